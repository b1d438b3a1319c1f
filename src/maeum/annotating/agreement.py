"""How far annotators agree beyond chance: Cohen's kappa, Fleiss' kappa, Krippendorff's alpha.

Small formulas of our own, so that no package is needed where people label; the tests hold them to scikit-learn and to the
``krippendorff`` package. Answers are whole numbers from 0 up; −1 is "did not answer". None stands for "cannot be told":
fewer than two answers to compare, or everybody gave the same one, so that chance alone would agree as well.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
MISSING = -1


def observed(answers: Ints) -> float | None:
    """Share of pairs of answers to the same unit that are equal; ``answers`` (m raters, n units)."""
    counts = _counts(answers)
    each = counts.sum(1)
    pairs = float((each * (each - 1)).sum())
    return float((counts * (counts - 1)).sum()) / pairs if pairs else None


def cohen_kappa(first: Ints, second: Ints) -> float | None:
    """Two raters (n,): (p_o − p_e) / (1 − p_e), with p_e from each rater's own shares (Cohen 1960).

    Units that one of them left out do not count.
    """
    both = (first != MISSING) & (second != MISSING)
    if not both.any():
        return None
    a, b = first[both], second[both]
    values = np.union1d(a, b)
    by_chance = sum(float((a == value).mean() * (b == value).mean()) for value in values)
    return _beyond(float((a == b).mean()), by_chance)


def fleiss_kappa(answers: Ints) -> float | None:
    """Any fixed number of raters (m, n): p_e from the shares of all answers together (Fleiss 1971).

    Needs the same number of answers for every unit, so only units that all m raters answered count.
    """
    whole = answers[:, (answers != MISSING).all(0)]
    if whole.shape[0] < 2 or not whole.shape[1]:
        return None
    found = observed(whole)
    shares = _counts(whole).sum(0) / whole.size
    return None if found is None else _beyond(found, float((shares**2).sum()))


def krippendorff_alpha(answers: Ints, level: Literal["nominal", "ordinal"] = "nominal") -> float | None:
    """Any number of raters, with gaps (m, n): 1 − D_o / D_e from the coincidence matrix (Krippendorff 2011).

    Args:
        answers: −1 where a rater left a unit out; units with fewer than two answers do not count.
        level: ``ordinal`` weighs a disagreement by how many answers lie between the two.
    """
    counts = _counts(answers).astype(np.float64)
    each = counts.sum(1)
    counts, each = counts[each > 1], each[each > 1]
    if not len(counts):
        return None
    together = (counts.T @ (counts / (each - 1)[:, None])) - np.diag((counts / (each - 1)[:, None]).sum(0))
    totals = together.sum(1)
    apart = _distances(totals, level)
    expected = float((np.outer(totals, totals) * apart).sum()) / (totals.sum() - 1)
    return 1 - float((together * apart).sum()) / expected if expected > 0 else None


def _counts(answers: Ints) -> Ints:
    """How many raters gave each unit each answer (n, values)."""
    width = int(answers.max(initial=0)) + 1
    return np.stack([(answers == value).sum(0) for value in range(width)], axis=1).astype(np.int64)


def _distances(totals: NDArray[np.float64], level: str) -> NDArray[np.float64]:
    """Squared distances between answers (v, v); ordinal: (Σ n_g from c to k − (n_c + n_k)/2)²."""
    if level == "nominal":
        return 1 - np.eye(len(totals))
    upto = np.cumsum(totals) - totals / 2
    return np.asarray((upto[:, None] - upto[None]) ** 2)


def _beyond(found: float, by_chance: float) -> float | None:
    return None if by_chance >= 1 else (found - by_chance) / (1 - by_chance)
