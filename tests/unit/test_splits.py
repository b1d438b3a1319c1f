"""Folds spread labels evenly and keep duplicates together."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from maeum.errors import UsageError
from maeum.splits import duplicate_groups, duplicate_key, fold_numbers, holdout


def test_duplicates_ignore_case_spaces_punctuation_and_composition():
    key = duplicate_key("정말 좋아요!!  GOOD")
    assert duplicate_key("정말좋아요 good~") == key
    assert duplicate_key(unicodedata.normalize("NFD", "정말 좋아요 Good")) == key
    assert duplicate_key("정말 좋아요 bad") != key
    assert duplicate_key("!!!") != duplicate_key("???")


def test_a_five_positive_label_is_spread_one_to_a_fold():
    y = np.zeros((100, 2), np.uint8)
    y[:5, 0] = 1
    y[::2, 1] = 1
    fold = fold_numbers(y, np.arange(100), folds=5, seed=3)
    assert np.bincount(fold[:5], minlength=5).tolist() == [1, 1, 1, 1, 1]
    assert np.bincount(fold).tolist() == [20] * 5
    assert np.bincount(fold[y[:, 1] == 1]).tolist() == [10] * 5


def test_as_even_as_the_published_implementation(rng):
    iterstrat = pytest.importorskip("iterstrat.ml_stratifiers")
    y = (rng.random((2000, 20)) < rng.random(20) * 0.2).astype(np.uint8)
    ours = fold_numbers(y, np.arange(len(y)), folds=5, seed=0)
    theirs = np.zeros(len(y), int)
    splitter = iterstrat.MultilabelStratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    for number, (_, held) in enumerate(splitter.split(np.zeros(len(y)), y)):
        theirs[held] = number

    def spread(fold):
        return np.mean([np.std(np.bincount(fold[y[:, label] == 1], minlength=5)) for label in range(20)])

    assert spread(ours) <= spread(theirs) * 1.1 + 0.05


def test_seeds_give_other_folds_and_the_same_seed_the_same():
    y = np.ones((50, 1), np.uint8)
    first, again, other = (fold_numbers(y, np.arange(50), folds=5, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_refusals():
    with pytest.raises(UsageError, match="only 1 distinct"):
        fold_numbers(np.ones((3, 1)), duplicate_groups(["같다", "같다!", "같 다"]), folds=2, seed=0)
    with pytest.raises(UsageError, match="at least 2 folds"):
        fold_numbers(np.ones((3, 1)), np.arange(3), folds=1, seed=0)
    with pytest.raises(UsageError, match="0–1"):
        holdout(np.ones((3, 1)), np.arange(3), fraction=1.5, seed=0)
    with pytest.raises(UsageError, match="too few"):
        holdout(np.ones((1, 1)), np.arange(1), fraction=0.1, seed=0)
