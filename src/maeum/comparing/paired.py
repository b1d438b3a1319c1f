"""Gaps between two models' decisions on the same rows, with intervals that know what was compared.

Paired bootstrap (Efron 1979): both models are scored on the same resampled rows, so that hard rows move both. Texts, not
rows, are drawn: copies of a text and its several targets come together (cluster bootstrap, Field & Welsh 2007). Per label
the chance of the gap's sign is corrected for looking at many labels (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from maeum.errors import UsageError

Floats = NDArray[np.float64]
LEVEL = 0.95
_BLOCK = 100


@dataclass(frozen=True, slots=True)
class Gap:
    """A score of A and B, and the interval of the difference."""

    before: float
    after: float
    low: float
    """Lower end of the 95% interval of ``after - before``."""
    high: float
    p: float
    """Two-sided: how often resampling turns the sign of the gap."""

    @property
    def gap(self) -> float:
        """``after - before``."""
        return self.after - self.before

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {
            "a": round(self.before, 6),
            "b": round(self.after, 6),
            "gap": round(self.gap, 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "p": round(self.p, 6),
        }


@dataclass(frozen=True, slots=True)
class LabelGap:
    """The F1 of one label."""

    label: str
    support: int
    f1: Gap
    adjusted: float
    """``p`` after Holm's correction for all labels."""

    @property
    def stands(self) -> bool:
        """Whether the gap is left when all labels are looked at together."""
        return self.adjusted < 1 - LEVEL


def gaps(
    y: NDArray[Any],
    before: NDArray[Any],
    after: NDArray[Any],
    groups: NDArray[np.int64],
    keys: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> tuple[dict[str, Gap], tuple[LabelGap, ...]]:
    """``micro_f1``, ``macro_f1`` and ``accuracy`` (rows right in every label), and the F1 of each label.

    Args:
        y, before, after: (n, k) zeros and ones.
        groups: (n,) number of each row's text.
        keys: the labels.

    Raises:
        UsageError: fewer than two texts.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1 if len(group) else 0
    if count < 2:
        raise UsageError(
            f"서로 다른 글이 {count}개뿐이라 견줄 수 없습니다.",
            f"{count} distinct texts are too few to compare models on",
        )
    cells = [_summed(_cells(y, decided), group, count) for decided in (before, after)]
    exact = [_scores(np.ones((1, count), np.float32), each) for each in cells]
    rng = np.random.default_rng(seed)
    samples = []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        draws = rng.integers(count, size=(size, count))
        weights = np.stack([np.bincount(draw, minlength=count) for draw in draws]).astype(np.float32)
        samples.append(_scores(weights, cells[1]) - _scores(weights, cells[0]))
    differences = np.concatenate(samples)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(differences, [tail, 1 - tail], axis=0)
    p = np.minimum(2 * (np.minimum((differences <= 0).sum(0), (differences >= 0).sum(0)) + 1) / (resamples + 1), 1.0)
    found = [
        Gap(float(exact[0][0, at]), float(exact[1][0, at]), float(low[at]), float(high[at]), float(p[at]))
        for at in range(differences.shape[1])
    ]
    adjusted = holm(p[3:])
    labels = tuple(
        LabelGap(key, int(y[:, at].sum()), found[3 + at], float(adjusted[at])) for at, key in enumerate(keys)
    )
    return dict(zip(("micro_f1", "macro_f1", "accuracy"), found, strict=False)), labels


def holm(p: Floats) -> Floats:
    """p-values corrected for their number (Holm 1979): the smallest times m, the next times m − 1, never falling."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty_like(p)
    out[order] = np.minimum(steps, 1.0)
    return out


def mcnemar(fixed: int, broken: int) -> float:
    """How likely so uneven a split of changed rows is if either model were as good (exact binomial; McNemar 1947)."""
    total = fixed + broken
    return 1.0 if not total else float(min(1.0, 2 * bdtr(min(fixed, broken), total, 0.5)))


def _cells(y: NDArray[Any], decided: NDArray[Any]) -> NDArray[np.float32]:
    """(n, 3k + 2) true positives, false positives, false negatives, row right, row."""
    gold, given = y.astype(bool), decided.astype(bool)
    right = (gold == given).all(1, keepdims=True)
    return np.concatenate(
        [gold & given, given & ~gold, gold & ~given, right, np.ones_like(right)], axis=1, dtype=np.float32
    )


def _summed(cells: NDArray[np.float32], group: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    out = np.zeros((count, cells.shape[1]), np.float32)
    np.add.at(out, group, cells)
    return out


def _scores(weights: NDArray[np.float32], cells: NDArray[np.float32]) -> Floats:
    """(s, 3 + k) micro F1, macro F1, accuracy and the F1 of each label, for each weighting of the texts."""
    total = (weights @ cells).astype(np.float64)
    tp, fp, fn = np.split(total[:, :-2], 3, axis=1)
    labels = _f1(tp, fp, fn)
    micro = _f1(tp.sum(1), fp.sum(1), fn.sum(1))
    return np.concatenate([np.stack([micro, labels.mean(1), total[:, -2] / total[:, -1]], 1), labels], axis=1)


def _f1(tp: Floats, fp: Floats, fn: Floats) -> Floats:
    bottom = 2 * tp + fp + fn
    return np.divide(2 * tp, bottom, out=np.zeros_like(bottom), where=bottom > 0)
