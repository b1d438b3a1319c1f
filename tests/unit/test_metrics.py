"""Metrics agree with scikit-learn where both exist, and say what happens at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support, roc_auc_score

from maeum import metrics
from maeum.calibration import Calibration, fit_calibration
from maeum.errors import UsageError
from maeum.task import Label, Task


@pytest.fixture
def rows(rng):
    y = (rng.random((300, 6)) < 0.25).astype(np.uint8)
    pred = np.where(rng.random(y.shape) < 0.8, y, 1 - y).astype(np.uint8)
    return y, pred


def test_averages_equal_scikit_learn(rows):
    y, pred = rows
    found = metrics.decision_metrics(y, pred)
    for average in ("micro", "macro", "weighted", "samples"):
        expected = f1_score(y, pred, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    precision, recall, f1, _ = precision_recall_fscore_support(y, pred, zero_division=0)
    by_label = metrics.counts(y, pred)
    assert by_label.precision == pytest.approx(precision)
    assert by_label.recall == pytest.approx(recall)
    assert by_label.f1 == pytest.approx(f1)
    assert found["subset_accuracy"] == pytest.approx((y == pred).all(1).mean())


def test_a_label_without_cases_counts_zero():
    y = np.array([[1, 0], [1, 0]])
    assert metrics.counts(y, y).f1.tolist() == [1.0, 0.0]


def test_ece_is_zero_for_honest_probabilities_and_large_for_boasting(rng):
    proba = rng.random((20000, 1))
    y = (rng.random((20000, 1)) < proba).astype(np.uint8)
    assert metrics.ece(y, proba)[0] < 0.02
    assert metrics.ece(y, np.clip(proba * 3 - 1, 0, 1))[0] > 0.1
    assert metrics.brier(y, proba)[0] == pytest.approx(1 / 6, abs=0.01)


def test_bootstrap_interval_holds_the_value_and_shrinks_with_rows(rows):
    y, pred = rows
    value = metrics.decision_metrics(y, pred)["micro_f1"]
    low, high = metrics.bootstrap_intervals(y, pred)["micro_f1"]
    assert low < value < high
    wide = metrics.bootstrap_intervals(y[:60], pred[:60])["micro_f1"]
    assert wide[1] - wide[0] > high - low


def test_auc_is_on_probabilities_and_missing_without_both_classes(rng):
    y = np.array([[0, 0], [1, 0], [0, 0], [1, 0]])
    proba = np.array([[0.1, 0.5], [0.4, 0.5], [0.35, 0.5], [0.8, 0.5]])
    auc = metrics.roc_auc(y, proba)
    assert auc[0] == 1.0
    assert np.isnan(auc[1])
    assert np.isnan(metrics.average_precision(y, proba)[1])


@given(
    hnp.arrays(np.uint8, st.integers(1, 40), elements=st.integers(0, 1)),
    st.sampled_from([2, 5, 1000]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_areas_are_those_of_scikit_learn_with_ties_too(y, distinct, kind, seed):
    proba = (np.random.default_rng(seed).integers(0, distinct, len(y)) / distinct).astype(kind)
    found = metrics.average_precision(y[:, None], proba[:, None])[0]
    assert found == pytest.approx(average_precision_score(y, proba), abs=1e-12) if y.any() else np.isnan(found)
    found = metrics.roc_auc(y[:, None], proba[:, None])[0]
    both = 0 < y.sum() < len(y)
    assert found == pytest.approx(roc_auc_score(y, proba), abs=1e-12) if both else np.isnan(found)


def test_areas_of_no_rows_are_missing_and_nan_is_refused():
    none = np.zeros((0, 2))
    assert np.isnan(metrics.average_precision(none, none)).all()
    assert np.isnan(metrics.roc_auc(none, none)).all()
    y, proba = np.array([[1], [0]]), np.array([[0.5], [np.nan]])
    for area in (metrics.average_precision, metrics.roc_auc):
        with pytest.raises(UsageError, match="NaN"):
            area(y, proba)


def test_confusion_and_cooccurrence():
    y = np.eye(3, dtype=np.uint8)[[0, 0, 1, 2]]
    pred = np.eye(3, dtype=np.uint8)[[0, 1, 1, 0]]
    assert metrics.confusion_matrix(y, pred).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert metrics.cooccurrence(np.array([[1, 1], [1, 0]], np.uint8)).tolist() == [[2, 1], [1, 1]]


def test_no_rows_and_wrong_shapes_are_refused():
    with pytest.raises(UsageError, match="no rows"):
        metrics.decision_metrics(np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(UsageError, match="differ in shape"):
        metrics.decision_metrics(np.zeros((1, 2)), np.zeros((2, 2)))


def test_calibration_mends_overconfidence_and_leaves_honest_labels_alone(rng):
    task = Task("two", "multilabel", (Label("boast"), Label("honest")))
    p = rng.random((6000, 2))
    y = (rng.random(p.shape) < p).astype(np.uint8)
    logit = np.log(p[:, 0] / (1 - p[:, 0]))
    p[:, 0] = 1 / (1 + np.exp(-3 * logit))
    fold = np.arange(6000) % 5
    fitted = fit_calibration(y, p, fold, task)
    assert fitted.slope[0] == pytest.approx(1 / 3, abs=0.03)
    after = fitted.apply(p.astype(np.float32))
    assert metrics.ece(y, after)[0] < 0.3 * metrics.ece(y, p)[0]
    for column in range(2):
        assert metrics.ece(y, after)[column] <= metrics.ece(y, p)[column] + 0.005
    assert Calibration.from_dict(fitted.to_dict()) == fitted


def test_temperature_keeps_rows_summing_to_one_and_the_winner(rng):
    task = Task("three", "multiclass", (Label("a"), Label("b"), Label("c")))
    logits = rng.normal(size=(4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = np.eye(3, dtype=np.uint8)[[rng.choice(3, p=row) for row in p]]
    sharp = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    fitted = fit_calibration(y, sharp, np.arange(4000) % 5, task)
    after = fitted.apply(sharp.astype(np.float32))
    assert fitted.slope[0] == pytest.approx(1 / 3, abs=0.05)
    assert after.sum(1) == pytest.approx(np.ones(4000), abs=1e-5)
    assert (after.argmax(1) == sharp.argmax(1)).all()


def test_rare_labels_are_not_calibrated(rng):
    task = Task("two", "multilabel", (Label("a"), Label("b")))
    y = np.zeros((100, 2), np.uint8)
    y[:5] = 1
    fitted = fit_calibration(y, rng.random((100, 2)), np.arange(100) % 5, task)
    assert fitted.is_identity
    proba = rng.random((3, 2)).astype(np.float32)
    assert fitted.apply(proba) is proba
