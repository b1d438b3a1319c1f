"""Agreement against other people's programs and published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from maeum.annotating import cohen_kappa, fleiss_kappa, krippendorff_alpha
from maeum.annotating.agreement import observed

# Fleiss (1971) as it is shown in textbooks: 10 units, 14 raters, 5 categories, kappa 0.210
COUNTS = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip


def answers(rng: np.random.Generator, raters: int, units: int, values: int, gaps: float) -> np.ndarray:
    truth = rng.integers(0, values, units)
    table = np.where(rng.random((raters, units)) < 0.6, truth, rng.integers(0, values, (raters, units)))
    return np.where(rng.random((raters, units)) < gaps, -1, table)


@pytest.mark.parametrize("seed", range(5))
def test_cohen_is_that_of_scikit_learn(seed):
    from sklearn.metrics import cohen_kappa_score

    first, second = answers(np.random.default_rng(seed), 2, 60, 3, 0.2)
    both = (first >= 0) & (second >= 0)
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first[both], second[both]))


def test_fleiss_is_the_published_number():
    columns = [[value for value, count in enumerate(row) for _ in range(count)] for row in COUNTS]
    assert fleiss_kappa(np.array(columns).T) == pytest.approx(0.2099, abs=5e-5)


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_the_krippendorff_package(seed, level):
    krippendorff = pytest.importorskip("krippendorff")
    table = answers(np.random.default_rng(seed), 4, 40, 5, 0.3)
    expected = krippendorff.alpha(
        reliability_data=np.where(table < 0, np.nan, table), level_of_measurement=level, value_domain=list(range(5))
    )
    assert krippendorff_alpha(table, level) == pytest.approx(expected)


def test_what_cannot_be_told_is_none():
    same = np.zeros((2, 5), np.int64)
    assert cohen_kappa(*same) is None
    assert fleiss_kappa(same) is None
    assert krippendorff_alpha(same) is None
    assert observed(same) == 1
    apart = np.array([[0, 1, -1, -1], [-1, -1, 1, 0]])
    assert (cohen_kappa(*apart), krippendorff_alpha(apart), observed(apart)) == (None, None, None)


def test_opposite_answers_are_worse_than_chance():
    table = np.array([[0, 0, 1, 1], [1, 1, 0, 0]])
    assert cohen_kappa(*table) == pytest.approx(-1)
    assert krippendorff_alpha(table) < 0
