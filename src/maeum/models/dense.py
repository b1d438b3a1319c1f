"""Logistic regression on dense features of moderate width, such as sentence vectors: all labels together.

Shapes: n rows, d features, k labels. Independent labels are k binary regressions, exclusive ones a multinomial; both
minimise the mean log loss plus penalty/2 · ‖W‖² / n (the offsets are not penalised), by L-BFGS (Liu & Nocedal 1989).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maeum.task import Kind

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Tried by ``fit_folds``; features have mean 0 and spread 1."""


@dataclass(frozen=True)
class Dense:
    """A fitted regression: logits (n, k) = x · weights + bias."""

    weights: F32
    """(d, k)"""
    bias: F32
    """(k,)"""

    def logits(self, x: F32) -> F32:
        """(n, k) for standardised features (n, d)."""
        found: F32 = x @ self.weights + self.bias
        return found


def fit(x: F32, y: F32, kind: Kind, penalty: float, *, start: Dense | None = None, steps: int = 200) -> Dense:
    """The regression on features (n, d) and labels (n, k) of zeros and ones.

    Args:
        penalty: above 0; larger pulls harder to 0.
        start: where to begin; zeros and the labels' base rates if not given.
        steps: most iterations.
    """
    from scipy.optimize import minimize

    n, d, k = len(x), x.shape[1], y.shape[1]
    if start is None:
        rate = np.clip(y.mean(0), 1e-4, 1 - 1e-4)
        base = np.log(rate) if kind == "multiclass" else np.log(rate / (1 - rate))
        start = Dense(np.zeros((d, k), np.float32), base.astype(np.float32))

    def loss(v: F64) -> tuple[float, F64]:
        weights, bias = v[: d * k].reshape(d, k), v[d * k :]
        # products in single precision: they are nearly all of the work, and the sums over rows are short enough
        z: F64 = (x @ weights.astype(np.float32)).astype(np.float64) + bias
        gap: F64
        if kind == "multiclass":
            log_p = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
            value, gap = -(y * log_p).sum(), np.exp(log_p) - y
        else:
            value, gap = (np.logaddexp(0, z) - y * z).sum(), 1 / (1 + np.exp(-z)) - y
        slope = (x.T @ gap.astype(np.float32)).astype(np.float64) + penalty * weights
        value += 0.5 * penalty * np.square(weights).sum()
        return float(value) / n, np.concatenate([slope.ravel(), gap.sum(0)]) / n

    begin = np.concatenate([start.weights.ravel(), start.bias]).astype(np.float64)
    with np.errstate(over="ignore"):
        best = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-7})
    found = best.x.astype(np.float32)
    return Dense(found[: d * k].reshape(d, k), found[d * k :])


def fit_folds(x: F32, y: F32, kind: Kind, fold: I64) -> tuple[Dense, F32, float]:
    """The regression on all rows, its out-of-fold logits (n, k), and the penalty of ``PENALTIES`` that they prefer.

    ``fold`` (n,) numbers the parts; the penalty is the one with the smallest out-of-fold log loss.
    """
    ids = np.unique(fold[fold >= 0])
    if len(ids) < 2:
        strong = fit(x, y, kind, max(PENALTIES))  # nothing to judge by: the strongest
        return strong, strong.logits(x), max(PENALTIES)
    tried: dict[float, tuple[float, F32]] = {}
    starts: dict[int, Dense | None] = dict.fromkeys(ids.tolist())
    for penalty in sorted(PENALTIES, reverse=True):  # each is a good start for the next, weaker one
        out = np.zeros((len(x), y.shape[1]), np.float32)
        for number in ids.tolist():
            held = fold == number
            starts[number] = fit(x[~held], y[~held], kind, penalty, start=starts[number])
            found = starts[number]
            assert found is not None
            out[held] = found.logits(x[held])
        tried[penalty] = _log_loss(out, y, kind), out
        if tried[penalty][0] > 1.02 * min(value for value, _ in tried.values()):
            break  # weaker penalties only fit the rows closer
    best = min(tried, key=lambda penalty: tried[penalty][0])
    return fit(x, y, kind, best), tried[best][1], best


def _log_loss(z: F32, y: F32, kind: Kind) -> float:
    wide = z.astype(np.float64)
    if kind == "multiclass":
        return float(-(y * (wide - np.logaddexp.reduce(wide, axis=1, keepdims=True))).sum(1).mean())
    return float((np.logaddexp(0, wide) - y * wide).mean())
