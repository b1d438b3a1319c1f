"""How unsure a model is of a text: nearness to its tuned thresholds, and how flat its choice of one class is.

Both are larger where a label would teach more. Neither looks at 0.5: a decision flips at the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.thresholds import Thresholds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_FLOOR = 1e-6
"""Probabilities and thresholds are kept this far from 0 and 1 before their log-odds are taken."""


def logit(p: NDArray[Any]) -> Floats:
    """Log-odds of probabilities of any shape."""
    p = np.clip(np.asarray(p, np.float64), _FLOOR, 1 - _FLOOR)
    return np.asarray(np.log(p / (1 - p)))


def threshold_nearness(proba: NDArray[Any], rule: Thresholds) -> tuple[Floats, Ints]:
    """How near each row is to flipping a decision, and at which label.

    exp(−min |logit p − logit t|) over the labels: 1 where a label is exactly at its threshold t, 0.37 where the nearest
    one's odds are e times away. The nearest and not the sum over labels: a sum prefers texts of which everything
    is half true, and bought labels were worth less (docs/sample.md). Labels that are always or never given (t ≤ 0
    or t > 1) cannot flip and do not count.

    Args:
        proba: (n, k) calibrated probabilities.
        rule: of a task with thresholds (not argmax).

    Returns:
        (n,) nearness, 0–1, and (n,) the column of the nearest label (−1 where none can flip).
    """
    values = np.asarray(rule.values, np.float64)
    live = (values > 0) & (values <= 1)
    if not live.any():
        return np.zeros(len(proba)), np.full(len(proba), -1)
    distance = np.abs(logit(proba) - logit(values))
    distance[:, ~live] = np.inf
    return np.exp(-distance.min(1)), distance.argmin(1)


def choice_uncertainty(proba: NDArray[Any]) -> Floats:
    """(1 − max p) · N / (N − 1) of each row (n, N): 0 where one class has everything, 1 where all have the same.

    The formula of the retraining notes that this product began with (seed 004, "재학습").
    """
    classes = proba.shape[1]
    return np.asarray((1 - np.asarray(proba, np.float64).max(1)) * classes / (classes - 1))


def grade_uncertainty(graded: Sequence[Sequence[Mapping[str, Any]]], columns: Mapping[str, int]) -> tuple[Floats, Ints]:
    """The same for the grades of the aspects found: (n,) that of the least certain aspect, and (n,) its column.

    A text without an aspect counts 0 (column −1): it has no grade to be unsure of.
    """
    worst, which = np.zeros(len(graded)), np.full(len(graded), -1)
    for row, found in enumerate(graded):
        for item in found:
            scores = np.fromiter(item["sentiment_scores"].values(), np.float64)
            value = float(choice_uncertainty(scores[None])[0])
            if value > worst[row] or which[row] < 0:
                worst[row], which[row] = value, columns[item["aspect"]]
    return worst, which
