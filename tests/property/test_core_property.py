"""Properties of thresholds, folds and labels that must hold for any data."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maeum.metrics import counts
from maeum.splits import duplicate_groups, duplicate_key, fold_numbers, holdout
from maeum.task import Label, Task
from maeum.thresholds import Thresholds, tune_thresholds

TASK = Task("t", "multilabel", (Label("a"), Label("b"), Label("c")))
PROBA = hnp.arrays(np.float32, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(0, 1, width=32))


@given(PROBA, st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 2), st.floats(0, 1))
def test_raising_a_threshold_never_adds_its_label(proba, values, label, higher):
    values[label], raised = min(values[label], higher), list(values)
    raised[label] = max(values[label], higher)
    before = Thresholds(TASK.keys, tuple(values)).decide(proba)
    after = Thresholds(TASK.keys, tuple(raised)).decide(proba)
    assert (after <= before).all()


@given(PROBA, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_tuned_f1_equals_the_best_over_every_cut(proba, seed):
    y = (np.random.default_rng(seed).random(proba.shape) < 0.4).astype(np.uint8)
    rule = tune_thresholds(y, proba, TASK, objective="macro-f1", empty="none")
    got = counts(y, rule.decide(proba)).f1
    for label in range(3):
        cuts = [*np.unique(proba[:, label]).tolist(), 2.0]
        best = max(float(counts(y[:, [label]], (proba[:, [label]] >= np.float32(c))).f1[0]) for c in cuts)
        assert abs(got[label] - best) < 1e-9


@given(st.lists(st.text("가나다 abAB!.", max_size=4), min_size=12, max_size=60), st.integers(2, 5), st.integers(0, 99))
@settings(deadline=None)
def test_folds_partition_and_never_share_a_duplicate(texts, folds, seed):
    groups = duplicate_groups(texts)
    if len(set(groups.tolist())) < folds:
        return
    y = np.array([[len(text) % 2, "가" in text] for text in texts], np.uint8)
    fold = fold_numbers(y, groups, folds=folds, seed=seed)
    assert fold.shape == (len(texts),)
    assert set(fold.tolist()) <= set(range(folds))
    place: dict[str, int] = {}
    for text, number in zip(texts, fold.tolist(), strict=True):
        assert place.setdefault(duplicate_key(text), number) == number
    assert (fold == fold_numbers(y, groups, folds=folds, seed=seed)).all()


@given(st.integers(10, 200), st.floats(0.1, 0.5), st.integers(0, 99))
@settings(deadline=None)
def test_holdout_is_a_partition_near_the_share_asked_for(n, fraction, seed):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < 0.3).astype(np.uint8)
    train, judge = holdout(y, np.arange(n), fraction=fraction, seed=seed)
    assert sorted([*train.tolist(), *judge.tolist()]) == list(range(n))
    assert abs(len(judge) - fraction * n) <= max(3, 0.05 * n)


@given(st.sets(st.sampled_from("abc")))
def test_decode_undoes_encode(labels):
    assert set(TASK.decode(TASK.encode(labels))) == labels
