"""The networks of a language model as a classifier: answers by words, or by a head on the last token's state."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this module is only imported once a decoder is built or opened
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253

from maeum.models.answers import Pair

IGNORED = -100


class _Adapted(nn.Module):
    """A module whose state is only what it learns: a checkpoint must not hold the base again."""

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        learnt = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if name in learnt}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        learnt = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        if set(state_dict) != learnt:
            raise RuntimeError(f"the checkpoint does not hold the adapters of this model ({len(learnt)} tensors)")
        found = super().load_state_dict(state_dict, strict=False, assign=assign)
        found.missing_keys.clear()  # the base is not missing: it is not meant to be there
        return found

    def parameter_groups(
        self, *, learning_rate: float, head_learning_rate: float | None, weight_decay: float
    ) -> list[dict[str, Any]]:
        """The learnt parameters: adapters at ``learning_rate``, a head at its own."""
        adapters = [p for name, p in self.named_parameters() if p.requires_grad and not name.startswith("head.")]
        head = [p for name, p in self.named_parameters() if p.requires_grad and name.startswith("head.")]
        groups = [{"params": adapters, "lr": learning_rate, "weight_decay": weight_decay}] if adapters else []
        if head:
            rate = learning_rate if head_learning_rate is None else head_learning_rate
            groups.append({"params": head, "lr": rate, "weight_decay": weight_decay})
        return groups


class AnswerModel(_Adapted):
    """A causal language model that learns the tokens of answers and nothing of prompts.

    Args:
        width: tokens of the longest answer there is.
    """

    def __init__(self, backbone: Any, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = width
        self.takes = _keywords(backbone)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """``{"logits": (n, width, vocabulary)}``: before each of the last ``width`` tokens, what comes next."""
        words = {"position_ids": positions(attention_mask), "logits_to_keep": self.width + 1, "use_cache": False}
        kept = {name: value for name, value in words.items() if name in self.takes}
        logits = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **kept).logits
        return {"logits": logits[:, -(self.width + 1) : -1].float()}


class LastTokenModel(_Adapted):
    """A decoder without its language-model head; a linear head reads the last token's state, which has seen all others.

    The head is an ordinary module of ours and in float32, not a part of the adapters, which have been known to lose it
    on saving (PEERS.md: peft#602, #876).
    """

    def __init__(self, backbone: Any, k: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(int(backbone.config.hidden_size), k)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.takes = _keywords(backbone)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """``{"logits": (n, k)}``; prompts end at the last column."""
        words = {"position_ids": positions(attention_mask), "use_cache": False}
        kept = {name: value for name, value in words.items() if name in self.takes}
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **kept).last_hidden_state
        return {"logits": self.head(self.dropout(states[:, -1].float()))}


def positions(mask: Tensor) -> Tensor:
    """(n, L) position of each token in its own text, whatever the padding on its left."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def answer_loss(outputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """(m,) cross-entropy of each answer token; ``labels`` is (n, width), -100 where there is none."""
    # a batch of short rows may hold fewer columns than the longest answer of all; what is cut off is padding
    labels = labels[:, -outputs["logits"].shape[1] :]
    wanted = labels != IGNORED
    return nn.functional.cross_entropy(outputs["logits"][wanted], labels[wanted], reduction="none")


def pad_left(rows: Sequence[tuple[int, ...]], pad_id: int) -> dict[str, Tensor]:
    """Token ids as tensors (n, L) whose rows end in the same column."""
    width = max(len(ids) for ids in rows)
    ids = np.full((len(rows), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, found in enumerate(rows):
        ids[row, width - len(found) :] = found
        mask[row, width - len(found) :] = 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def collate_pairs(pairs: Sequence[Pair], *, pad_id: int, width: int) -> dict[str, Any]:
    """Training pairs as tensors: prompt and answer on one line, and the answer's ids (n, width) at the right end."""
    tensors: dict[str, Any] = dict(pad_left([(*pair.prompt.ids, *pair.answer) for pair in pairs], pad_id))
    labels = np.full((len(pairs), width), IGNORED, np.int64)
    for row, pair in enumerate(pairs):
        labels[row, width - len(pair.answer) :] = pair.answer
    tensors["labels"] = torch.from_numpy(labels)
    tensors["rows"] = [pair.row for pair in pairs]
    return tensors


def collate_rows(rows: Sequence[tuple[int, tuple[int, ...], NDArray[Any]]], *, pad_id: int) -> dict[str, Any]:
    """Rows of (number, prompt ids, labels (k,)) as tensors."""
    tensors: dict[str, Any] = dict(pad_left([ids for _, ids, _ in rows], pad_id))
    tensors["labels"] = torch.from_numpy(np.stack([labels for _, _, labels in rows]).astype(np.float32))
    tensors["rows"] = [number for number, _, _ in rows]
    return tensors


def _keywords(backbone: Any) -> frozenset[str]:
    """What the base's own forward takes: not every architecture knows positions, or takes the last logits only."""
    inner = backbone.get_base_model() if hasattr(backbone, "get_base_model") else backbone
    return frozenset(inspect.signature(inner.forward).parameters)
