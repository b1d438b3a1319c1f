"""A batch whose members differ: greedy, each next row the best by its score and its distance to those picked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pick_diverse(
    scores: Floats, vectors: F32, groups: Ints, quota: Ints, *, weight: float, before: F32 | None = None
) -> list[tuple[int, float]]:
    """Indices picked, in order, each with its distance to the nearest row picked earlier (1 for the first).

    Greedy max-min distance (k-center: Gonzalez 1985; Sener & Savarese 2018) mixed with the score as in maximal marginal
    relevance (Carbonell & Goldstein 1998): the next row maximises ``score + weight · distance``. Ties go to the first.

    Args:
        scores: (n,) 0–1.
        vectors: (n, d) of length 1.
        groups: (n,) group number of each.
        quota: (g,) rows each group may give.
        weight: of the distance; 0 picks by score alone.
        before: (b, d) rows of the batch that are picked already.
    """
    nearest = np.ones(len(scores))
    if before is not None and len(before):
        nearest = np.minimum(nearest, _distances(vectors, before).min(1))
    left = quota.copy()
    alive = left[groups] > 0
    picked: list[tuple[int, float]] = []
    while alive.any():
        value = np.where(alive, scores + weight * nearest, -np.inf)
        row = int(value.argmax())
        picked.append((row, float(nearest[row])))
        alive[row] = False
        left[groups[row]] -= 1
        if left[groups[row]] == 0:
            alive &= groups != groups[row]
        if weight:
            nearest = np.minimum(nearest, _distances(vectors, vectors[row : row + 1])[:, 0])
    return picked


def _distances(vectors: F32, others: F32) -> Floats:
    return np.asarray(np.clip(1 - vectors @ others.T, 0, 1), np.float64)
