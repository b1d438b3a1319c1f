"""Integrated gradients of a fine-tuned encoder (Sundararajan, Taly & Yan, ICML 2017), beside masking for comparison.

The path goes from a baseline to the text in the space of word embeddings. In the baseline every token of the text is the
mask token (the padding token where there is none); special tokens, aspect and target markers stay as they are, and so do
attention mask, segments and positions, which the model makes of the real token ids: no position ids are ever given to it
(RoBERTa counts them from its padding id). What is attributed is the logit of a label before the sigmoid or softmax and
before calibration. Of several windows each counts by its share in the joined logit.

Parts and constant add up to the logit but for the error of the finite sum, which is reported as ``gap``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._optional import require
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.errors import UsageError
from maeum.explaining.exact import owners
from maeum.explaining.units import Unit
from maeum.models.base import Predictor
from maeum.models.encoder import EncoderClassifier, pad, spare_columns
from maeum.models.windows import Window, Windows, _split, clean

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TOKENS = 4096
"""Tokens that go through the model at a time."""


@dataclass(frozen=True)
class Parts:
    """Parts of the logits of L labels; ``units.sum(0) + rest + constant`` is the logit but for ``gap``."""

    units: Floats
    """(n, L)"""
    rest: Floats
    """(L,) tokens that belong to no unit: the target, where it may not be hidden."""
    constant: Floats
    """(L,) the logit of the baseline."""
    gap: Floats
    """(L,) what the parts are more than the difference of the logits."""


def refuse_other_models(model: Predictor) -> None:
    """Refuse what has no gradients to integrate.

    Raises:
        UsageError: not a fine-tuned encoder.
        MissingExtra: captum is not installed.
    """
    if not isinstance(model, EncoderClassifier) or model._model is None:
        kind = getattr(model, "kind", type(model).__name__)
        raise UsageError(
            f"ig는 학습한 인코더 모델 하나에만 됩니다('{kind}' 모델). --method mask를 쓰거나, 앙상블이면 구성원 폴더를 주세요.",
            f"ig needs one fine-tuned encoder, not a model of kind '{kind}'; use --method mask, or of an ensemble the "
            "folder of a member",
        )
    require("captum")


def integrated(analyzer: Analyzer, item: Input, units: Sequence[Unit], columns: Sequence[int], steps: int) -> Parts:
    """The parts that the words of a text have in the logits of labels."""
    import torch

    model = analyzer.predictor
    assert isinstance(model, EncoderClassifier)
    assert model._model is not None
    assert model._windows is not None
    prepared = analyzer.prep.prepare(item.text)
    laid = _laid_out(model._windows, analyzer.prep.prepare_input(item))
    net = model._model.eval()
    frame, spare = model._windows.frame, spare_columns(net.backbone.config)
    device = next(net.parameters()).device
    tensors = [{n: t.to(device) for n, t in pad([window], frame.pad_id, spare).items()} for window in laid.windows]
    with torch.no_grad():
        logits = torch.cat([net.window_logits(**words) for words in tensors]).double().cpu().numpy()
    shares = _shares(logits, columns, model._aggregate)
    blank = frame.pad_id if frame.mask_id is None else frame.mask_id
    tokens = np.zeros((len(laid.offsets), len(columns)))
    constant, gap = np.zeros(len(columns)), np.zeros(len(columns))
    for window, words in enumerate(tensors):
        places = laid.places[window]
        for label, column in enumerate(columns):
            if share := shares[window, label]:
                parts, start, error = _one(net, words, places >= 0, blank, column, steps)
                np.add.at(tokens[:, label], places[places >= 0], share * parts[: len(places)][places >= 0])
                constant[label] += share * start
                gap[label] += share * error
    chars = np.zeros((len(prepared.text), len(columns)))
    for (begin, end), part in zip(laid.offsets, tokens, strict=True):
        dark = [place for place in range(begin, end) if not prepared.text[place].isspace()]
        chars[dark] += part / max(1, len(dark))
    owner, inside = owners(prepared, units)
    sums = np.zeros((len(units), len(columns)))
    np.add.at(sums, owner[inside], chars[inside])
    # a token that covers no character (SentencePiece's lone ▁) belongs to no word
    return Parts(sums, tokens.sum(0) - sums.sum(0), constant, gap)


def _one(
    net: Any, words: dict[str, Any], own: NDArray[np.bool_], blank: int, column: int, steps: int
) -> tuple[Floats, float, float]:
    """Of one window and label: parts of the tokens (L,), the logit of the baseline, and the gap."""
    import torch

    ids = words["input_ids"]
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    hidden[0, : len(own)] = torch.from_numpy(own)
    baseline = torch.where(hidden, torch.full_like(ids, blank), ids)
    names = [name for name in words if name != "input_ids"]

    def forward(input_ids: Any, *more: Any) -> Any:
        return net.window_logits(input_ids, **dict(zip(names, more, strict=True)))[:, column]

    rest = tuple(words[name] for name in names)
    method = require("captum.attr").LayerIntegratedGradients(forward, net.backbone.get_input_embeddings())
    parts, gap = method.attribute(
        inputs=ids,
        baselines=baseline,
        additional_forward_args=rest,
        n_steps=steps,
        internal_batch_size=max(1, TOKENS // ids.shape[1]),
        return_convergence_delta=True,
    )
    with torch.no_grad():
        whole = float(forward(ids, *rest)[0])
    total: Floats = parts.detach().sum(-1)[0].double().cpu().numpy()
    return total, whole + float(gap[0]) - float(total.sum()), float(gap[0])


@dataclass(frozen=True)
class _Laid:
    windows: tuple[Window, ...]
    places: tuple[Ints, ...]
    """Of each window, the number of the text's token at each place, −1 for special tokens, aspect and markers."""
    offsets: list[tuple[int, int]]
    """Of each token of the text, its characters in the prepared text."""


def _laid_out(windows: Windows, item: Input) -> _Laid:
    """Where the tokens of a prepared text stand in its windows.

    Raises:
        UsageError: the target's border lies inside a token, so that the marked text has other tokens.
    """
    text = clean(item.text)
    ((ids, offsets),) = windows._pieces([text])
    numbered = tuple(-1 - number for number in range(len(ids)))  # real ids are never negative
    second = windows._second(item)
    if windows.target_input == "marker" and item.target is not None and second is None:
        if _split(text, item.target, ids, offsets) is None:
            raise UsageError(
                f"대상 '{item.target.form}'의 경계가 토큰 안에 있어 ig로 볼 수 없습니다. --method mask를 쓰세요.",
                f"the border of the target '{item.target.form}' lies inside a token, which ig cannot show; use "
                "--method mask",
            )
        laid: tuple[Window, ...] = (windows._marked(text, item.target, numbered, offsets),)
    else:
        laid = windows._cut(numbered, None if second is None else windows._pieces([second])[0][0])
    (real,) = windows([item])
    places = tuple(np.array([-1 - number if number < 0 else -1 for number in window.ids], np.int64) for window in laid)
    for window, place in zip(real, places, strict=True):
        assert all(ids[at] == window.ids[spot] for spot, at in enumerate(place.tolist()) if at >= 0)
    return _Laid(real, places, offsets)


def _shares(logits: Floats, columns: Sequence[int], how: str) -> Floats:
    """(w, L) share of each window in the joined logits (``models.encoder.join``)."""
    shares = np.full((len(logits), len(columns)), 1 / len(logits))
    if how == "max":
        shares[:] = 0
        shares[logits[:, list(columns)].argmax(0), np.arange(len(columns))] = 1
    return shares
