"""Which prediction belongs to which row of a dataset."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maeum.data import Dataset, Input
from maeum.errors import DataError
from maeum.formats.scores import Predictions

Rule = Literal["id", "text", "order"]

_FINAL = " \t\r\n.!?~…。,;'\"”’"


@dataclass(frozen=True)
class Alignment:
    """The prediction of every row, and how it was found."""

    rows: NDArray[np.int64]
    """(n,) index into the predictions for each row of the dataset."""
    rule: Rule
    """``id``; ``text`` (text and target, without final punctuation and outer spaces); or ``order``."""


def align(predictions: Predictions, dataset: Dataset) -> Alignment:
    """Find the prediction of every row: by id, else by text and target, else by order if the lengths agree.

    Ids count only if the texts under them agree too (ids like ``row-000001`` occur in every file); order counts
    only where the predictions have no texts to compare, or some of them (cleaned too much) do agree.

    Raises:
        DataError: no rule fits; says how many rows matched and the first that did not.
    """
    by_id = _by_id(predictions, dataset)
    if by_id is not None:
        return Alignment(by_id, "id")
    found, ambiguous = _by_text(predictions, dataset)
    if found is not None and (found >= 0).all() and ambiguous is None:
        return Alignment(found, "text")
    matched = 0 if found is None else int((found >= 0).sum())
    if len(predictions.order) == len(dataset) and (found is None or matched * 2 >= len(dataset)):
        return Alignment(np.array(predictions.order, dtype=np.int64), "order")
    missing = ambiguous if ambiguous is not None else 0 if found is None else int(np.argmin(found >= 0))
    example = dataset[missing]
    why_ko = "점수가 다른 예측이 둘 이상" if ambiguous is not None else "예측 없음"
    why_en = "several predictions with different scores" if ambiguous is not None else "no prediction"
    raise DataError(
        f"예측 {len(predictions)}행과 데이터 {len(dataset)}행의 짝을 맞출 수 없습니다. {matched}행만 맞았고 "
        f"처음 어긋난 행은 id '{example.id}' \"{example.text[:40]}\"입니다({why_ko}). 같은 데이터로 만든 예측인지 확인하세요.",
        f"{len(predictions)} predictions cannot be matched to {len(dataset)} rows: {matched} matched, the first that "
        f"did not is id '{example.id}' \"{example.text[:40]}\" ({why_en}); were they made from the same data?",
        path=predictions.source or None,
    )


def _by_id(predictions: Predictions, dataset: Dataset) -> NDArray[np.int64] | None:
    if predictions.ids is None:
        return None
    place = {name: index for index, name in enumerate(predictions.ids)}
    if any(name not in place for name in dataset.ids):
        return None
    rows = np.array([place[name] for name in dataset.ids], dtype=np.int64)
    if predictions.inputs is not None:
        for row, example in zip(rows, dataset, strict=True):
            if _key(predictions.inputs[row])[0] != _key(example.input)[0]:
                return None
    return rows


def _by_text(predictions: Predictions, dataset: Dataset) -> tuple[NDArray[np.int64] | None, int | None]:
    """Rows by text (−1 = none) and the first row with several different predictions."""
    if predictions.inputs is None:
        return None, None
    with_target = any(item.target is not None for item in predictions.inputs)
    key: Callable[[Input], tuple[str, str]] = _key if with_target else _text_only
    places: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(predictions.inputs):
        places.setdefault(key(item), []).append(index)
    rows = np.full(len(dataset), -1, dtype=np.int64)
    ambiguous = None
    for row, example in enumerate(dataset):
        found = places.get(key(example.input), [])
        if found:
            rows[row] = found[0]
        if len(found) > 1 and ambiguous is None:
            spread = np.ptp(predictions.scores[found], axis=0).max()
            ambiguous = row if spread > 1e-3 else None
    return rows, ambiguous


def _key(item: Input) -> tuple[str, str]:
    return _plain(item.text), _plain(item.target.form) if item.target else ""


def _text_only(item: Input) -> tuple[str, str]:
    return _plain(item.text), ""


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip().rstrip(_FINAL)
