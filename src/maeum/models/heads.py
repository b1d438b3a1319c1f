"""Classification heads of fine-tuned encoders: token states and their mask in, logits out.

Padding is on the right: every row is one or more real tokens, then padding. Any other mask is refused (except while
a graph is being traced, when values cannot be looked at). What stands in padded places never reaches the logits, so
a row does not depend on the length of its batch.

Shapes: m rows, L tokens, h hidden units, k labels.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

import torch  # noqa: TID253  only the encoder imports this module, and it needs torch anyway
from torch import Tensor, nn  # noqa: TID253

from maeum.errors import UsageError

HEADS = ("cls", "mean", "bigru")
"""What ``make_head`` builds: from the first token, the mean of the tokens, or a recurrent net over them."""

INIT_STD = 0.02
"""Spread of new linear weights, as in the encoders these heads sit on."""


def make_head(name: str, hidden: int, k: int, *, dropout: float, dense: int | None = None) -> nn.Module:
    """A new head: ``forward(states (m, L, h), attention_mask (m, L)) -> logits (m, k)``.

    Args:
        name: one of ``HEADS``.
        hidden: width h of the states.
        k: number of labels.
        dropout: share of units dropped before every linear layer.
        dense: ``bigru`` only: width of its dense layers, ``hidden`` if not given.

    Raises:
        UsageError: no head has that name, or a size makes no sense.
    """
    if name not in HEADS:
        close = difflib.get_close_matches(str(name), HEADS, n=1)
        shown = ", ".join(HEADS)
        hint_ko = f" '{close[0]}'인가요?" if close else ""
        hint_en = f" did you mean '{close[0]}'?" if close else ""
        raise UsageError(
            f"분류 머리에 {name!r}은(는) 없습니다.{hint_ko} 쓸 수 있는 것: {shown}",
            f"unknown head {name!r};{hint_en} known: {shown}",
        )
    if min(hidden, k, 1 if dense is None else dense) < 1 or not 0 <= dropout < 1:
        raise UsageError(
            f"hidden, k, dense는 1 이상, dropout은 0 이상 1 미만이어야 합니다: {hidden}, {k}, {dense}, {dropout}",
            f"hidden, k and dense must be at least 1 and dropout in [0, 1), got {hidden}, {k}, {dense}, {dropout}",
        )
    if name == "bigru":
        return BiGRUHead(hidden, k, dropout, hidden if dense is None else dense)
    if dense is not None:
        raise UsageError(f"머리 '{name}'에는 dense 층이 없습니다.", f"head '{name}' has no dense layers")
    return LinearHead(hidden, k, dropout, {"cls": _first, "mean": _mean}[name])


class LinearHead(nn.Module):
    """Pooled state, dropout, one linear layer."""

    def __init__(self, hidden: int, k: int, dropout: float, pool: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.out = _linear(hidden, k)

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (m, k)."""
        logits: Tensor = self.out(self.dropout(self.vector(states, attention_mask)))
        return logits

    def vector(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """The pooled states (m, h)."""
        return self.pool(*_checked(states, attention_mask))


class BiGRUHead(nn.Module):
    """A bidirectional GRU over the tokens, its two final states joined to the first token's, then dense layers.

    After seed 002's ``bert_GRU.py``, with one recurrent layer for its two, h/2 units a direction (its 512 for 1024)
    and dense layers of width ``dense`` for its 2·(4·512 + h). Unlike it, the final states are those at the
    first and last *real* token: a plain bidirectional GRU starts its backward pass in the padding, and packed
    sequences cannot be exported.
    """

    def __init__(self, hidden: int, k: int, dropout: float, dense: int) -> None:
        super().__init__()
        units = max(hidden // 2, 1)
        self.ahead = _gru(hidden, units)
        self.back = _gru(hidden, units)
        self.dense = nn.Sequential(
            nn.Dropout(dropout),
            _linear(hidden + 2 * units, dense),
            nn.ReLU(),
            nn.Dropout(dropout),
            _linear(dense, dense),
            nn.ReLU(),
            nn.Dropout(dropout),
            _linear(dense, k),
        )

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (m, k)."""
        states, mask = _checked(states, attention_mask)
        logits: Tensor = self.dense(torch.cat([_first(states, mask), *self.final_states(states, mask)], 1))
        return logits

    def final_states(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The forward state at the last real token and the backward state at the first, (m, units) each."""
        length = mask.long().sum(1, keepdim=True)
        place = torch.arange(states.shape[1], device=states.device).unsqueeze(0)
        # only real tokens are reversed; padding stays behind them, where it comes too late to matter
        mirror = torch.where(place < length, length - 1 - place, place)
        reversed_states = states.gather(1, mirror.unsqueeze(2).expand(-1, -1, states.shape[2]))
        return _last(self.ahead, states, length), _last(self.back, reversed_states, length)


def _last(gru: nn.GRU, states: Tensor, length: Tensor) -> Tensor:
    """The GRU's state (m, units) after ``length`` (m, 1) tokens."""
    # a start of our own, since the exported default has the batch size of the traced example
    start = states.new_zeros(1, states.shape[0], gru.hidden_size)
    outputs: Tensor = gru(states, start)[0]
    at = (length - 1).unsqueeze(2).expand(-1, -1, gru.hidden_size)
    return outputs.gather(1, at).squeeze(1)


def _first(states: Tensor, mask: Tensor) -> Tensor:
    return states[:, 0]


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over real tokens (m, h); padded states are zero by now."""
    return states.sum(1) / mask.sum(1, keepdim=True).to(states)


def _checked(states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """States with zeros in padded places (whatever stood there, NaN included) and the mask as booleans."""
    mask = attention_mask != 0
    tracing = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined,no-untyped-call]
    if not tracing and not bool(mask[:, 0].all() & (mask[:, 1:] <= mask[:, :-1]).all()):
        raise UsageError(
            "패딩은 오른쪽에 있어야 하고 모든 행에 실제 토큰이 있어야 합니다(tokenizer.padding_side = 'right').",
            "padding must be on the right and every row needs a real token (tokenizer.padding_side = 'right')",
        )
    return states.masked_fill(~mask.unsqueeze(2), 0.0), mask


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, 0.0, INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer


def _gru(inputs: int, units: int) -> nn.GRU:
    """One direction; recurrent weights orthogonal gate by gate (Saxe et al. 2014), so that states neither fade nor grow."""
    gru = nn.GRU(inputs, units, batch_first=True)
    for gate in range(3):
        rows = slice(gate * units, (gate + 1) * units)
        nn.init.xavier_uniform_(gru.get_parameter("weight_ih_l0")[rows])
        nn.init.orthogonal_(gru.get_parameter("weight_hh_l0")[rows])
    nn.init.zeros_(gru.get_parameter("bias_ih_l0"))
    nn.init.zeros_(gru.get_parameter("bias_hh_l0"))
    return gru
