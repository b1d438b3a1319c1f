"""The rules of a vote, on arrays: scores from probabilities and ballots, and the weights of the members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum.errors import UsageError
from maeum.models.base import Labels, Proba
from maeum.task import Task
from maeum.thresholds import Thresholds

Vote = Literal["soft", "hard"]
Pool = Literal["mean", "logit"]
"""How a soft vote joins probabilities: their mean, or the mean of their log-odds."""
Floats = NDArray[np.float64]

POOLS: tuple[Pool, ...] = ("mean", "logit")
PULL = 5.0
"""Pull of the weights towards equal ones, in nats for all rows together: it decides only where the rows do not."""
_FLOOR = 1e-6
"""Least likelihood a member can give a cell, so that one overconfident cell does not cost a member its weight."""
_DROP = 1e-3
"""Weights below this are 0: such a member changes nothing and need not be run."""
_BELOW_HALF = float(np.nextafter(0.5, 0.0))


def soft_vote(
    probas: Sequence[NDArray[Any]], weights: Sequence[float], pool: Pool = "mean", *, multiclass: bool = False
) -> Proba:
    """The members' probabilities, each (n, k), as one; ``weights`` sum to 1.

    ``mean`` is the weighted mean (the linear opinion pool). ``logit`` is the weighted mean of the log-odds, or for
    multiclass rows the normalised weighted geometric mean (the logarithmic pool: Genest & Zidek 1986): a member that is
    sure counts for more.
    """
    if pool == "mean":
        return np.clip(weighted(probas, weights), 0.0, 1.0).astype(np.float32)
    cut = [np.clip(np.asarray(p, np.float64), _FLOOR, 1 - _FLOOR) for p in probas]
    if multiclass:
        score = weighted([np.log(p) for p in cut], weights)
        mixed = np.exp(score - score.max(1, keepdims=True, initial=-np.inf))
        shares: Proba = (mixed / mixed.sum(1, keepdims=True)).astype(np.float32)
        return shares
    return (1 / (1 + np.exp(-weighted([np.log(p / (1 - p)) for p in cut], weights)))).astype(np.float32)


def choose_pool(y: Labels, probas: Sequence[NDArray[Any]], weights: Sequence[float], task: Task) -> Pool:
    """The pool with the least log loss on labelled rows; the mean where they are equal."""
    single = task.kind == "multiclass"
    losses = {pool: log_loss(y, soft_vote(probas, weights, pool, multiclass=single), task) for pool in POOLS}
    return "logit" if losses["logit"] < losses["mean"] else "mean"


def hard_vote(
    probas: Sequence[NDArray[Any]],
    ballots: Sequence[NDArray[Any]],
    rules: Sequence[Thresholds],
    weights: Sequence[float],
) -> Proba:
    """Scores (n, k) in [0, 1] that are at least one half where the vote is won; multiclass rows sum to 1.

    Args:
        probas: each member's probabilities (n, k).
        ballots: each member's decisions (n, k), zeros and ones.
        rules: what they were decided by; gives the margins.
        weights: one per member, sum 1. Unequal ones count votes and margins alike, and a vote that is lost or won by
            less than the margins' own weight, 1 / (m + 1), may be turned by them.
    """
    m = len(probas)
    margins = [_margin(p, ballot, rule) for p, ballot, rule in zip(probas, ballots, rules, strict=True)]
    return ((m * weighted(ballots, weights) + weighted(margins, weights)) / (m + 1)).clip(0, 1).astype(np.float32)


def fit_weights(y: Labels, probas: Sequence[NDArray[Any]], task: Task) -> tuple[float, ...]:
    """Weights on the simplex that minimise the log loss of the weighted mean.

    The loss is summed over labels (multiclass: over the right class alone) and averaged over rows; a small quadratic
    pull towards equal weights (``PULL``) makes the minimum unique and fades as rows grow. Solved by SLSQP (Kraft 1988).

    Args:
        y: (n, k) labels.
        probas: each member's probabilities (n, k), for rows it was not trained on.

    Returns:
        One weight per member, sum 1; those below 0.001 are 0.
    """
    from scipy.optimize import minimize

    m, rows = len(probas), len(y)
    right = np.stack([_likelihoods(y, p, task) for p in probas], axis=1)

    def loss(weights: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(right @ weights, _FLOOR**2)
        off = weights - 1 / m
        value = -np.log(mixed).sum() + PULL * m / 2 * (off @ off)
        slope = -(right.T @ (1 / mixed)) + PULL * m * off
        return float(value / rows), np.asarray(slope / rows)

    found = minimize(
        loss,
        np.full(m, 1 / m),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = np.clip(found.x, 0.0, 1.0)
    weights[weights < _DROP] = 0.0
    return tuple(float(weight) for weight in weights / weights.sum())


def simplex(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """Weights brought to sum 1; None: equal ones.

    Raises:
        UsageError: there are no members, or not one finite number for each, or one below 0, or all 0.
    """
    if not count:
        raise UsageError("투표할 모델이 없습니다.", "there are no models to vote")
    if weights is None:
        return (1 / count,) * count
    values = [float(weight) for weight in weights]
    if len(values) != count:
        raise UsageError(
            f"가중치는 모델마다 하나씩 {count}개여야 하는데 {len(values)}개입니다.",
            f"there must be one weight for each of {count} models, got {len(values)}",
        )
    total = sum(values)
    if not all(np.isfinite(values)) or total <= 0 or min(values) < 0:
        shown = ", ".join(f"{value:g}" for value in values)
        raise UsageError(
            f"가중치는 0 이상이고 적어도 하나는 0보다 커야 합니다: {shown}",
            f"weights are 0 or more and not all 0, got {shown}",
        )
    # weights that were already brought to sum 1 come back bit for bit, so a loaded ensemble is the saved one
    return tuple(values) if abs(total - 1) < 1e-12 else tuple(value / total for value in values)


def log_loss(y: Labels, proba: NDArray[Any], task: Task) -> float:
    """Mean negative log likelihood of a cell (multiclass: of a row) in nats, with probabilities cut at 1e-6."""
    return float(-np.log(_likelihoods(y, proba, task)).mean())


def weighted(arrays: Sequence[NDArray[Any]], weights: Sequence[float]) -> Floats:
    """Weighted sum; arrays of weight 0 are not looked at."""
    total = np.zeros(arrays[0].shape, np.float64)
    for array, weight in zip(arrays, weights, strict=True):
        if weight:
            total += weight * array
    return total


def _margin(proba: NDArray[Any], ballot: NDArray[Any], rule: Thresholds) -> Floats:
    """0 … ½ outside the threshold, ½ … 1 inside; where a ballot differs from the threshold, the ballot holds."""
    p = np.asarray(proba, np.float64)
    if rule.is_argmax:
        return p
    cut = np.asarray(rule.values, np.float32).astype(np.float64)
    tiny = 1e-12
    outside, inside = p / np.maximum(cut, tiny), (p - cut) / np.maximum(1 - cut, tiny)
    margin = np.where(p >= cut, (1 + inside) / 2, outside / 2)
    return np.where(np.asarray(ballot) > 0, np.clip(margin, 0.5, 1.0), np.clip(margin, 0.0, _BELOW_HALF))


def _likelihoods(y: Labels, proba: NDArray[Any], task: Task) -> Floats:
    """The probability given to what is true, per cell (multiclass: per row), flat."""
    p = np.asarray(proba, np.float64)
    right = p[np.arange(len(p)), y.argmax(1)] if task.kind == "multiclass" else np.where(y > 0, p, 1 - p).ravel()
    return np.clip(right, _FLOOR, 1.0)
