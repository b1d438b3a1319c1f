"""Probabilities that mean what they say: per-label Platt scaling, or one temperature for a multiclass task.

Fitted on out-of-fold probabilities only, and used for a label only where it lowers the calibration error of rows the
fit did not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum import metrics
from maeum.errors import FormatError
from maeum.task import Task

Floats = NDArray[np.float64]
_EPS = 1e-7


@dataclass(frozen=True)
class Calibration:
    """``p → σ(slope · logit p + offset)`` per label, or ``softmax(log p · slope)`` for multiclass (slope = 1/T).

    Slope 1 and offset 0 leave a label as it is.
    """

    keys: tuple[str, ...]
    slope: tuple[float, ...]
    """(k,) for multilabel, (1,) for multiclass."""
    offset: tuple[float, ...]
    """(k,) for multilabel, () for multiclass."""
    ece_before: tuple[float, ...] = ()
    """Calibration error of the fitting rows before, per entry of ``slope``."""
    ece_after: tuple[float, ...] = ()
    """The same after, on rows the fit did not see; equals ``ece_before`` where calibration is not used."""

    @classmethod
    def identity(cls, task: Task) -> Calibration:
        """Leaves every probability as it is."""
        if task.kind == "multiclass":
            return cls(task.keys, (1.0,), ())
        return cls(task.keys, (1.0,) * len(task), (0.0,) * len(task))

    @property
    def is_identity(self) -> bool:
        """Whether nothing is changed."""
        return all(s == 1.0 for s in self.slope) and not any(self.offset)

    def apply(self, proba: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities (n, k); untouched labels are returned bit for bit."""
        if self.is_identity or not len(proba):
            return proba
        if not self.offset:
            return _soften(proba, self.slope[0]).astype(np.float32)
        out = np.array(proba, dtype=np.float32)
        for column, (slope, offset) in enumerate(zip(self.slope, self.offset, strict=True)):
            if (slope, offset) != (1.0, 0.0):
                out[:, column] = _sigmoid(slope * _logit(proba[:, column]) + offset)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``from_dict`` reads it back exactly."""
        return {name: list(getattr(self, name)) for name in ("keys", "slope", "offset", "ece_before", "ece_after")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Read ``to_dict``'s form."""
        try:
            return cls(**{name: tuple(data[name]) for name in ("keys", "slope", "offset", "ece_before", "ece_after")})
        except (KeyError, TypeError) as error:
            raise FormatError(
                f"calibration.json을 읽을 수 없습니다: {error}", f"cannot read calibration: {error}"
            ) from error


def fit_calibration(y: NDArray[Any], proba: NDArray[Any], fold: NDArray[Any], task: Task) -> Calibration:
    """Fit on out-of-fold probabilities (n, k) and keep it where the calibration error falls.

    Whether it falls is judged on each fold with parameters fitted on the other folds. A label needs at least
    ``_MIN_POSITIVES`` positive and negative rows.
    """
    p = np.asarray(proba, np.float64)
    if task.kind == "multiclass":
        return _fit_temperature(np.asarray(y), p, fold, task)
    slopes, offsets, befores, afters = [], [], [], []
    for column in range(len(task)):
        slope, offset, before, after = _fit_label(np.asarray(y)[:, column].astype(np.float64), p[:, column], fold)
        slopes.append(slope)
        offsets.append(offset)
        befores.append(before)
        afters.append(after)
    return Calibration(task.keys, tuple(slopes), tuple(offsets), tuple(befores), tuple(afters))


_MIN_POSITIVES = 20


def _fit_label(y: Floats, p: Floats, fold: NDArray[Any]) -> tuple[float, float, float, float]:
    before = float(metrics.ece(y[:, None], p[:, None])[0])
    if min(y.sum(), len(y) - y.sum()) < _MIN_POSITIVES:
        return 1.0, 0.0, before, before
    score = _logit(p)
    unseen = np.empty_like(p)
    for number in np.unique(fold):
        held = fold == number
        slope, offset = platt(score[~held], y[~held])
        unseen[held] = _sigmoid(slope * score[held] + offset)
    after = float(metrics.ece(y[:, None], unseen[:, None])[0])
    slope, offset = platt(score, y)
    if after >= before or slope <= 0:
        return 1.0, 0.0, before, before
    return slope, offset, before, after


def platt(score: Floats, y: Floats, *, steps: int = 30) -> tuple[float, float]:
    """Slope and offset of σ(slope · score + offset) for ``score`` and ``y`` (n,): Platt (1999) by damped Newton steps (Lin, Lin & Weng 2007), with his smoothed targets; a probability for ``y`` lies between them."""
    positives = y.sum()
    target = y * ((positives + 1) / (positives + 2)) + (1 - y) / (len(y) - positives + 2)
    features = np.stack([score, np.ones_like(score)], axis=1)

    def loss(weights: Floats) -> float:
        margin = features @ weights
        return float((np.logaddexp(0, margin) - target * margin).sum())

    weights = np.array([0.0, np.log((positives + 1) / (len(y) - positives + 1))])
    current = loss(weights)
    for _ in range(steps):
        q = _sigmoid(features @ weights)
        curvature = features.T @ (features * (q * (1 - q))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, features.T @ (q - target))
        scale = 1.0
        while scale > 1e-6 and loss(weights - scale * step) > current:
            scale /= 2
        weights = weights - scale * step
        previous, current = current, loss(weights)
        if previous - current < 1e-10 * max(1.0, abs(current)):
            break
    return float(weights[0]), float(weights[1])


def _fit_temperature(y: NDArray[Any], p: Floats, fold: NDArray[Any], task: Task) -> Calibration:
    """One inverse temperature by maximum likelihood (Guo et al. 2017)."""
    before = metrics.top_label_ece(y, p)
    unseen = np.empty_like(p)
    for number in np.unique(fold):
        held = fold == number
        unseen[held] = _soften(p[held], _inverse_temperature(y[~held], p[~held]))
    after = metrics.top_label_ece(y, unseen)
    if after >= before:
        return Calibration(task.keys, (1.0,), (), (before,), (before,))
    return Calibration(task.keys, (_inverse_temperature(y, p),), (), (before,), (after,))


def _inverse_temperature(y: NDArray[Any], p: Floats) -> float:
    from scipy.optimize import minimize_scalar

    gold = y.argmax(1)

    def loss(log_slope: float) -> float:
        q = _soften(p, float(np.exp(log_slope)))
        return float(-np.log(np.clip(q[np.arange(len(q)), gold], _EPS, 1)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def _soften(p: NDArray[Any], slope: float) -> Floats:
    scaled = np.log(np.clip(np.asarray(p, np.float64), _EPS, 1)) * slope
    q = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(q / q.sum(1, keepdims=True))


def _logit(p: NDArray[Any]) -> Floats:
    p = np.clip(np.asarray(p, np.float64), _EPS, 1 - _EPS)
    return np.asarray(np.log(p) - np.log1p(-p))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
