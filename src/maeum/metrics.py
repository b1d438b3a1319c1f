"""Metrics: arrays in, numbers out.

Shapes: ``y`` and ``pred`` are (n, k) zeros and ones, ``proba`` is (n, k) in [0, 1]; columns are labels.
Decision metrics take decisions, never a model or a threshold, so that they cannot disagree with what is served.
Ratios are 0–1 and a ratio without cases (0/0) is 0, as in scikit-learn's ``zero_division=0``, unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives; arrays of any common shape, labels last."""

    tp: Floats
    fp: Floats
    fn: Floats

    @property
    def precision(self) -> Floats:
        """tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> Floats:
        """2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def pooled(self) -> Counts:
        """Counts summed over labels: what micro averages are made of."""
        return Counts(self.tp.sum(-1), self.fp.sum(-1), self.fn.sum(-1))


def counts(y: NDArray[Any], pred: NDArray[Any]) -> Counts:
    """Per-label counts, each (k,)."""
    y, pred = _pair(y, pred)
    return Counts(
        tp=(y & pred).sum(0).astype(np.float64),
        fp=(pred & ~y).sum(0).astype(np.float64),
        fn=(y & ~pred).sum(0).astype(np.float64),
    )


def decision_metrics(y: NDArray[Any], pred: NDArray[Any]) -> dict[str, float]:
    """Averages over labels and rows.

    ``micro_f1`` pools all decisions, ``macro_f1`` averages labels (a label without cases counts 0), ``weighted_f1``
    weighs labels by support, ``samples_f1`` averages rows (an empty row predicted empty counts 0, as in scikit-learn),
    ``subset_accuracy`` is the share of rows right in every label, ``label_accuracy`` the share of right cells.
    """
    y, pred = _pair(y, pred)
    if len(y) == 0:
        raise UsageError("잴 행이 없습니다.", "there are no rows to measure")
    by_label = counts(y, pred)
    pooled = by_label.pooled()
    support = y.sum(0)
    rows = Counts(
        (y & pred).sum(1).astype(np.float64), (pred & ~y).sum(1).astype(np.float64), (y & ~pred).sum(1).astype(float)
    )
    return {
        "micro_precision": float(pooled.precision),
        "micro_recall": float(pooled.recall),
        "micro_f1": float(pooled.f1),
        "macro_precision": float(by_label.precision.mean()),
        "macro_recall": float(by_label.recall.mean()),
        "macro_f1": float(by_label.f1.mean()),
        "weighted_f1": float((by_label.f1 * support).sum() / support.sum()) if support.sum() else 0.0,
        "samples_f1": float(rows.f1.mean()),
        "subset_accuracy": float((y == pred).all(1).mean()),
        "label_accuracy": float((y == pred).mean()),
    }


def average_precision(y: NDArray[Any], proba: NDArray[Any]) -> Floats:
    """Area under each label's precision–recall curve as a step sum, (k,); NaN for a label without positives.

    AP = Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct probabilities from the highest down, without interpolation, as scikit-learn
    does (Manning, Raghavan & Schütze, Introduction to Information Retrieval, 2008, ch. 8.4). Rows of one probability
    are one step, so their order does not matter.

    Raises:
        UsageError: a probability is not a number.
    """
    return np.array([_average_precision_one(*_steps(column, p)) for column, p in _columns(y, proba)])


def roc_auc(y: NDArray[Any], proba: NDArray[Any]) -> Floats:
    """Area under each label's ROC curve on probabilities, (k,); NaN where only one class occurs.

    The chance that a positive row has a higher probability than a negative one, ties counting half (Mann & Whitney 1947;
    Hanley & McNeil 1982): the area under the curve by trapezoids.

    Raises:
        UsageError: a probability is not a number.
    """
    return np.array([_roc_auc_one(*_steps(column, p)) for column, p in _columns(y, proba)])


def brier(y: NDArray[Any], proba: NDArray[Any]) -> Floats:
    """Mean squared error of each label's probability, (k,) (Brier 1950)."""
    return np.asarray(((proba.astype(np.float64) - y) ** 2).mean(0), dtype=np.float64)


def ece(y: NDArray[Any], proba: NDArray[Any], *, bins: int = 15) -> Floats:
    """Expected calibration error of each label, (k,), over equal-width bins (Naeini et al. 2015; Guo et al. 2017).

    The average over bins of |share of positives − mean probability|, weighted by the bin's rows.
    """
    return np.array([_ece_one(column, p, bins) for column, p in zip(y.T, proba.T, strict=True)])


def top_label_ece(y: NDArray[Any], proba: NDArray[Any], *, bins: int = 15) -> float:
    """Multiclass calibration error: confidence of the top label against how often it is right (Guo et al. 2017)."""
    top = proba.argmax(1)
    rows = np.arange(len(proba))
    return _ece_one(y[rows, top], proba[rows, top], bins)


def reliability(y: NDArray[Any], proba: NDArray[Any], *, bins: int = 10) -> list[tuple[float, float, int]]:
    """Points of a reliability diagram over all cells given: (mean probability, share of positives, cells) per bin."""
    y, proba = np.ravel(y), np.ravel(proba).astype(np.float64)
    which = np.minimum((proba * bins).astype(int), bins - 1)
    size = np.bincount(which, minlength=bins)
    mean = np.bincount(which, weights=proba, minlength=bins)
    share = np.bincount(which, weights=y, minlength=bins)
    return [(float(mean[b] / size[b]), float(share[b] / size[b]), int(size[b])) for b in range(bins) if size[b]]


def confusion_matrix(y: NDArray[Any], pred: NDArray[Any]) -> NDArray[np.int64]:
    """(k, k) counts, rows gold and columns predicted, for single-label rows."""
    k = y.shape[1]
    flat = y.argmax(1) * k + pred.argmax(1)
    return np.bincount(flat, minlength=k * k).reshape(k, k)


def cooccurrence(y: NDArray[Any]) -> NDArray[np.int64]:
    """(k, k) counts of rows that carry both labels; the diagonal is each label's support."""
    wide = y.astype(np.int64)
    return np.asarray(wide.T @ wide)


def bootstrap_intervals(
    y: NDArray[Any], pred: NDArray[Any], *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals over rows (Efron 1979) of micro F1, macro F1 and subset accuracy.

    Rows are resampled with replacement; duplicates of a text count as separate rows. No resamples, no intervals.
    """
    if resamples == 0:
        return {}
    y, pred = _pair(y, pred)
    n = len(y)
    rng = np.random.default_rng(seed)
    cells = np.concatenate([y & pred, pred & ~y, y & ~pred], axis=1).astype(np.float32)
    right = (y == pred).all(1).astype(np.float32)
    values: dict[str, list[Floats]] = {"micro_f1": [], "macro_f1": [], "subset_accuracy": []}
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        weights = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(size)]).astype(np.float32)
        tp, fp, fn = np.split((weights @ cells).astype(np.float64), 3, axis=1)
        sample = Counts(tp, fp, fn)
        values["micro_f1"].append(sample.pooled().f1)
        values["macro_f1"].append(sample.f1.mean(1))
        values["subset_accuracy"].append((weights @ right).astype(np.float64) / n)
    tail = (1 - level) / 2
    return {
        name: (float(np.quantile(np.concatenate(parts), tail)), float(np.quantile(np.concatenate(parts), 1 - tail)))
        for name, parts in values.items()
    }


_BLOCK = 50
"""Bootstrap resamples held in memory at a time."""


def _columns(y: NDArray[Any], proba: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    if np.isnan(proba).any():
        raise UsageError(
            "확률 가운데 숫자가 아닌 것(NaN)이 있어 순위를 매길 수 없습니다. 모델의 학습이 발산하지 않았는지 보세요.",
            "some probabilities are NaN, so that rows cannot be ranked; see whether the model's training diverged",
        )
    return zip(y.T, proba.T, strict=True)


def _steps(y: NDArray[Any], p: NDArray[Any]) -> tuple[Floats, Floats]:
    """True and false positives at each distinct probability as threshold, from the highest down, both (m,)."""
    order = np.argsort(-p, kind="stable")
    ranked = p[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(p) - 1) if len(p) else np.zeros(0, np.int64)
    tp = np.cumsum(y[order].astype(bool), dtype=np.float64)[last]
    return tp, last + 1 - tp


def _average_precision_one(tp: Floats, fp: Floats) -> float:
    if not len(tp) or not tp[-1]:
        return float("nan")
    return float((np.diff(tp, prepend=0.0) / tp[-1] * (tp / (tp + fp))).sum())


def _roc_auc_one(tp: Floats, fp: Floats) -> float:
    if not len(tp) or not tp[-1] or not fp[-1]:
        return float("nan")
    middle = tp - np.diff(tp, prepend=0.0) / 2
    return float((np.diff(fp, prepend=0.0) * middle).sum() / (tp[-1] * fp[-1]))


def _ece_one(y: NDArray[Any], proba: NDArray[Any], bins: int) -> float:
    total = sum(size * abs(share - mean) for mean, share, size in reliability(y, proba, bins=bins))
    return float(total / max(len(y), 1))


def _pair(y: NDArray[Any], pred: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if y.shape != pred.shape or y.ndim != 2:
        raise UsageError(
            f"정답과 예측의 모양이 다릅니다: {y.shape}, {pred.shape}",
            f"gold and predicted labels differ in shape: {y.shape} and {pred.shape}",
        )
    return y.astype(bool), pred.astype(bool)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(np.asarray(top, dtype=np.float64)), where=bottom > 0)
