"""Thresholds: the decision rule, exact optima, the simulation table."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maeum.errors import TaskMismatch, UsageError
from maeum.metrics import counts, decision_metrics
from maeum.task import Label, Task
from maeum.thresholds import ABOVE_ALL, Thresholds, choose_pull, curve, simulation_table, tune_thresholds


def noisy(rng, n=60, k=3, positives=0.3):
    y = (rng.random((n, k)) < positives).astype(np.uint8)
    proba = np.clip(0.5 * y + rng.random((n, k)) * 0.6, 0, 1).round(2).astype(np.float32)
    return y, proba


def test_a_probability_equal_to_its_threshold_passes(three):
    rule = Thresholds(three.keys, (0.301, 0.5, 1.0))
    assert rule.decide(np.array([[0.301, 0.49, 1.0]], np.float64)).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("objective", ["macro-f1", "accuracy"])
def test_per_label_optimum_equals_brute_force(three, rng, objective):
    for _ in range(20):
        y, proba = noisy(rng)
        rule = tune_thresholds(y, proba, three, objective=objective, empty="none")
        got = rule.decide(proba)
        for label in range(3):
            cuts = np.append(np.unique(proba[:, label]), 2.0)

            def score(pred, gold=y[:, label]):
                if objective == "accuracy":
                    return int((pred == gold).sum())
                return float(counts(gold[:, None], pred[:, None]).f1[0])

            best = max(score((proba[:, label] >= cut).astype(np.uint8)) for cut in cuts)
            assert score(got[:, label]) == pytest.approx(best)


def test_joint_micro_f1_equals_brute_force_over_all_combinations(rng, three):
    for _ in range(10):
        y, proba = noisy(rng, n=12)
        rule = tune_thresholds(y, proba, three, objective="micro-f1", empty="none")
        got = decision_metrics(y, rule.decide(proba))["micro_f1"]
        grids = [np.append(np.unique(proba[:, label]), 2.0) for label in range(3)]
        best = max(
            decision_metrics(y, (proba >= np.array(cuts)).astype(np.uint8))["micro_f1"]
            for cuts in itertools.product(*grids)
        )
        assert got == pytest.approx(best)


def test_precision_floor_gives_the_highest_recall_that_keeps_it(three, rng):
    y, proba = noisy(rng, n=200)
    rule = tune_thresholds(y, proba, three, objective="precision>=0.8")
    found = counts(y, rule.decide(proba))
    for label in range(3):
        item = curve(y[:, label], proba[:, label])
        feasible = item.recall[(item.precision >= 0.8) & (item.passed > 0)]
        assert found.recall[label] == pytest.approx(feasible.max())
        assert found.precision[label] >= 0.8


def test_a_label_that_never_reaches_the_precision_is_never_given(three):
    y = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 1]], np.uint8)
    proba = np.array([[0.9, 0.1, 0.5], [0.1, 0.9, 0.6], [0.8, 0.2, 0.4]], np.float32)
    rule = tune_thresholds(y, proba, three, objective="precision>=0.95")
    assert rule.values[0] == ABOVE_ALL
    assert not rule.decide(np.ones((1, 3), np.float32)).any() or rule.values[1] <= 1


def test_shrinkage_moves_rare_labels_most(three, rng):
    y = np.zeros((400, 3), np.uint8)
    y[:120, 0] = 1
    y[:120, 1] = 1
    y[:3, 2] = 1
    proba = np.clip(0.4 * y + rng.random(y.shape) * np.array([0.6, 0.6, 0.3]), 0, 1).astype(np.float32)
    exact = tune_thresholds(y, proba, three, empty="none")
    pulled = tune_thresholds(y, proba, three, empty="none", shrinkage=10)
    moved = np.abs(np.array(exact.values) - np.array(pulled.values))
    assert moved[2] >= moved[:2].max()


def calibrated(rng, n: int, rates: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from their own probabilities: nothing could be better calibrated."""
    proba = 1 / (1 + np.exp(-(rng.normal(size=(n, len(rates))) * 1.5 + np.log(np.array(rates)))))
    return (rng.random(proba.shape) < proba).astype(np.uint8), proba.astype(np.float32)


def test_the_threshold_of_the_highest_expected_f1_is_half_of_it(three, rng):
    y, proba = calibrated(rng, 4000, [0.5, 0.2, 0.05])
    rule = tune_thresholds(y, proba, three, towards="expected", shrinkage=float("inf"), empty="none")
    for column, value in zip(proba.T.astype(float), rule.values, strict=True):
        expected = 2 * column[column >= value].sum() / ((column >= value).sum() + column.sum())
        assert value == pytest.approx(expected / 2, abs=0.005)
    again = tune_thresholds(1 - y, proba, three, towards="expected", shrinkage=float("inf"), empty="none")
    assert again.values == rule.values


def test_few_rows_of_calibrated_probabilities_are_pulled_towards_their_expectation(three):
    new_y, new = calibrated(np.random.default_rng(99), 20_000, [0.3, 0.1, 0.03])
    gains, chosen = [], []
    for seed in range(12):
        y, proba = calibrated(np.random.default_rng(seed), 150, [0.3, 0.1, 0.03])
        towards, shrinkage = choose_pull(y, proba, three, objective="macro-f1", parts=np.arange(150) % 5)
        chosen.append(towards)
        pulled = tune_thresholds(y, proba, three, towards=towards, shrinkage=shrinkage, empty="none")
        exact = tune_thresholds(y, proba, three, empty="none")
        gains.append(counts(new_y, pulled.decide(new)).f1.mean() - counts(new_y, exact.decide(new)).f1.mean())
    assert chosen.count("expected") >= 6
    assert np.mean(gains) > 0.01


def test_probabilities_that_say_nothing_true_are_not_believed(three, rng):
    y, proba = calibrated(rng, 3000, [0.3, 0.2, 0.1])
    _, shrinkage = choose_pull(y, proba**4, three, objective="macro-f1", parts=np.arange(3000) % 5)
    assert shrinkage <= 20


def test_argmax_rule_gives_exactly_one_label_where_nothing_passes(three):
    rule = Thresholds(three.keys, (0.9, 0.9, 0.9), empty="argmax")
    assert rule.decide(np.array([[0.1, 0.5, 0.2], [0.95, 0.1, 0.92]], np.float32)).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_multiclass_takes_the_most_probable():
    task = Task("two", "multiclass", (Label("부정"), Label("긍정")))
    rule = tune_thresholds(np.eye(2, dtype=np.uint8), np.array([[0.4, 0.6], [0.7, 0.3]]), task)
    assert rule.is_argmax
    assert rule.decide(np.array([[0.4, 0.6], [0.5, 0.5]])).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(UsageError, match="no thresholds"):
        rule.replaced({"긍정": 0.3}, task)


def test_intervals_hold_the_value_of_a_clear_label(three, rng):
    y, proba = noisy(rng, n=300)
    rule = tune_thresholds(y, proba, three, resamples=50, seed=1)
    assert len(rule.low) == 3
    assert all(low <= high for low, high in zip(rule.low, rule.high, strict=True))


def test_simulation_table_equals_the_grid(rng):
    y = (rng.random((500, 4)) < 0.3).astype(np.uint8)
    proba = (rng.random((500, 4)) * 100).round(2) / 100
    grid, table = simulation_table(y, proba)
    p32 = proba.astype(np.float32)
    for row in range(0, 1000, 37):
        pred = p32 >= np.float32(grid[row])
        assert table[row].tolist() == (pred == y).sum(0).tolist()


def test_set_by_name_and_bad_values(three):
    rule = Thresholds.default(three).replaced({"joy": 0.331}, three)
    assert rule.values[0] == pytest.approx(0.331)
    assert rule.objective == "set"
    with pytest.raises(UsageError, match="0–1"):
        rule.replaced({"joy": 33.1}, three)
    with pytest.raises(TaskMismatch, match="did you mean"):
        rule.replaced({"joyy": 0.3}, three)


def test_round_trip_and_wrong_shapes(three, rng):
    y, proba = noisy(rng)
    rule = tune_thresholds(y, proba, three, resamples=5)
    assert Thresholds.from_dict(rule.to_dict()) == rule
    with pytest.raises(TaskMismatch, match="3 columns"):
        rule.decide(np.zeros((2, 4)))
    with pytest.raises(UsageError, match="unknown objective 'f1'"):
        tune_thresholds(y, proba, three, objective="f1")
    with pytest.raises(UsageError, match="NaN"):
        tune_thresholds(y, np.full(proba.shape, np.nan), three)
    with pytest.raises(UsageError, match="no rows"):
        tune_thresholds(y[:0], proba[:0], three)


def test_constant_probabilities_do_not_break(three):
    y = np.array([[1, 0, 0], [0, 0, 1]], np.uint8)
    for value in (0.0, 0.5, 1.0):
        rule = tune_thresholds(y, np.full((2, 3), value, np.float32), three, resamples=3)
        rule.decide(np.full((2, 3), value, np.float32))


@pytest.mark.parametrize("towards", ["common", "expected"])
@pytest.mark.parametrize("shrinkage", [0.0, 20.0, float("inf")])
def test_the_interval_is_that_of_the_pulled_value(towards, shrinkage):
    rng = np.random.default_rng(4)
    task = Task("t", "multilabel", (Label("often"), Label("rare"), Label("other")))
    proba = rng.beta(1, 4, (300, 3)).astype(np.float32)
    y = (rng.random((300, 3)) < proba * [1, 0.2, 1]).astype(np.uint8)
    rule = tune_thresholds(y, proba, task, shrinkage=shrinkage, towards=towards, resamples=200)
    for value, low, high in zip(rule.values, rule.low, rule.high, strict=True):
        assert low <= value <= high
    if shrinkage and towards == "common":
        loose = tune_thresholds(y, proba, task, resamples=200)
        assert rule.high[1] - rule.low[1] < loose.high[1] - loose.low[1]
