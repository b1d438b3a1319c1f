"""The rules of a vote: weights, soft and hard votes, on arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voting_kit import MULTI, SINGLE, gold, noisy, rule

from maeum.errors import UsageError
from maeum.task import Label, Task
from maeum.thresholds import ABOVE_ALL, Thresholds
from maeum.voting import fit_weights, hard_vote, log_loss, simplex, soft_vote

# -- weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=lambda t: t.kind)
def test_weights_find_the_better_member_and_sum_to_one(task):
    y = gold(400, task)
    good, poor = noisy(y, 1.2, 1, task), noisy(y, 6.0, 2, task)
    weights = fit_weights(y, [poor, good], task)
    assert weights[1] > 0.7
    assert sum(weights) == pytest.approx(1)
    mixed = soft_vote([poor, good], weights)
    assert log_loss(y, mixed, task) <= min(log_loss(y, p, task) for p in (good, poor)) + 1e-9


def test_a_member_of_pure_noise_gets_nothing():
    y = gold(500)
    noise = np.random.default_rng(9).random(y.shape)
    assert fit_weights(y, [noisy(y, 1.0, 1), noise], MULTI)[1] == 0


def test_equal_members_share_equally():
    y = gold(80)
    same = noisy(y, 2, 1)
    assert fit_weights(y, [same, same, same], MULTI) == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert fit_weights(y, [same], MULTI) == (1.0,)


def test_alike_members_share_about_equally():
    y = gold(300)
    assert fit_weights(y, [noisy(y, 2, s) for s in (1, 2)], MULTI) == pytest.approx([0.5, 0.5], abs=0.15)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(4)))
def test_the_order_of_members_permutes_the_weights_only(seed, order):
    y = gold(60, seed=seed)
    probas = [noisy(y, noise, seed + i) for i, noise in enumerate((1.0, 1.5, 3.0, 8.0))]
    weights = fit_weights(y, probas, MULTI)
    turned = fit_weights(y, [probas[i] for i in order], MULTI)
    assert turned == pytest.approx([weights[i] for i in order], abs=2e-3)


def test_the_fitted_weights_are_the_minimum():
    y = gold(200)
    probas = [noisy(y, noise, 5 + i) for i, noise in enumerate((1.5, 2.5, 2.0))]

    def loss(weights):
        mixed = soft_vote(probas, weights).astype(np.float64)
        pull = 5.0 * 3 / 2 * sum((w - 1 / 3) ** 2 for w in weights)
        return log_loss(y, mixed, MULTI) * y.size + pull

    best = loss(fit_weights(y, probas, MULTI))
    rng = np.random.default_rng(0)
    assert all(loss(tuple(rng.dirichlet(np.ones(3)))) >= best - 1e-3 for _ in range(300))


def test_weights_by_hand_are_checked():
    assert simplex([3, 1], 2) == (0.75, 0.25)
    for bad in ([1.0], [-1, 2], [0, 0], [float("nan"), 1]):
        with pytest.raises(UsageError, match="weight"):
            simplex(bad, 2)
    assert simplex(None, 4) == (0.25,) * 4
    with pytest.raises(UsageError, match="no models"):
        simplex(None, 0)


# -- votes --------------------------------------------------------------------------------------------------


def decide(probas, rules, weights=None, empty="none"):
    ballots = [rule.decide(np.float32(p)) for p, rule in zip(probas, rules, strict=True)]
    score = hard_vote(probas, ballots, rules, weights or [1 / len(probas)] * len(probas))
    assert ((score >= 0) & (score <= 1)).all()
    return dataclasses.replace(Thresholds.default(MULTI), empty=empty).decide(score).tolist(), ballots


def test_hard_is_the_majority_whatever_the_margins():
    rules = [rule(0.5, 0.5, 0.5)] * 3
    probas = [np.array([[0.51, 0.49, 0.99]]), np.array([[0.51, 0.49, 0.0]]), np.array([[0.0, 1.0, 0.0]])]
    assert decide(probas, rules)[0] == [[1, 0, 0]]


def test_a_tie_goes_to_the_side_that_is_surer_from_its_own_threshold():
    # member 1 is far above its low threshold, member 2 barely below its own: the mean probability, .325, is no judge
    rules = [rule(0.2, 0.2, 0.2), rule(0.3, 0.3, 0.3)]
    probas = [np.array([[0.40, 0.21, 0.20]]), np.array([[0.25, 0.02, 0.30]])]
    assert decide(probas, rules)[0] == [[1, 0, 1]]


def test_nothing_passes_stays_empty_unless_the_highest_is_asked_for():
    rules = [rule(0.5, 0.9, 0.5)] * 2
    probas = [np.array([[0.4, 0.85, 0.1]]), np.array([[0.4, 0.85, 0.1]])]
    assert decide(probas, rules)[0] == [[0, 0, 0]]
    assert decide(probas, rules, empty="argmax")[0] == [[0, 1, 0]]


def test_a_member_that_fills_its_empty_rows_votes_for_what_it_filled_in():
    filling = rule(0.9, 0.9, 0.9, empty="argmax")
    probas = [np.array([[0.3, 0.2, 0.1]])] * 3
    assert decide(probas, [filling, filling, rule(0.9, 0.9, 0.9)])[0] == [[1, 0, 0]]


def test_weights_of_a_hard_vote_count():
    rules = [rule(0.5, 0.5, 0.5)] * 3
    probas = [np.array([[0.9, 0.1, 0.9]]), np.array([[0.4, 0.6, 0.9]]), np.array([[0.4, 0.6, 0.1]])]
    assert decide(probas, rules)[0] == [[0, 1, 1]]
    assert decide(probas, rules, [0.8, 0.1, 0.1])[0] == [[1, 0, 1]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hard_with_equal_weights_is_exactly_the_majority(data):
    m = data.draw(st.integers(1, 6))
    corner = st.sampled_from([0.0, 0.2, 0.5, 1.0, ABOVE_ALL])
    cut = st.one_of(corner, st.floats(0, 1, width=32))
    p = st.one_of(corner.map(lambda v: min(v, 1.0)), st.floats(0, 1, width=32))
    rules = [rule(*data.draw(st.tuples(cut, cut, cut))) for _ in range(m)]
    probas = [np.array([data.draw(st.tuples(p, p, p))]) for _ in range(m)]
    found, ballots = decide(probas, rules)
    votes = sum(ballot.astype(int) for ballot in ballots)[0]
    for label, count in enumerate(votes):
        if 2 * count != m:
            assert found[0][label] == int(2 * count > m)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_multiclass_rows_sum_to_one_and_the_most_votes_win(data):
    m = data.draw(st.integers(1, 5))
    raw = [np.array([data.draw(st.tuples(*[st.floats(0.01, 1)] * 3))]) for _ in range(m)]
    probas = [p / p.sum(1, keepdims=True) for p in raw]
    best = Thresholds.default(SINGLE)
    ballots = [best.decide(p) for p in probas]
    score = hard_vote(probas, ballots, [best] * m, [1 / m] * m)
    assert score.sum(1) == pytest.approx([1], abs=1e-5)
    votes = sum(ballot.astype(int) for ballot in ballots)[0]
    winner = int(score[0].argmax())
    assert votes[winner] == votes.max()
    mean = sum(probas)[0]
    ties = np.flatnonzero(votes == votes.max())
    assert mean[winner] == pytest.approx(mean[ties].max(), abs=1e-6)


def test_the_mean_of_log_odds_by_hand_and_for_exclusive_labels():
    from maeum.voting.rules import soft_vote

    a, b = np.array([[0.9, 0.2]]), np.array([[0.6, 0.5]])
    odds = (0.9 / 0.1) ** 0.25 * (0.6 / 0.4) ** 0.75
    found = soft_vote([a, b], (0.25, 0.75), "logit")
    assert found[0, 0] == pytest.approx(odds / (1 + odds), abs=1e-6)
    single = soft_vote([np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])], (0.5, 0.5), "logit", multiclass=True)
    assert single.sum() == pytest.approx(1)
    assert single[0, 0] == pytest.approx(np.sqrt(0.45) / (np.sqrt(0.45) + np.sqrt(0.05)), abs=1e-6)
    sure = soft_vote([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])], (0.5, 0.5), "logit", multiclass=True)
    assert sure == pytest.approx(np.array([[0.5, 0.5]]))


def test_the_rows_choose_how_probabilities_are_joined():
    from maeum.voting.rules import choose_pool

    rng = np.random.default_rng(1)
    task = Task("t", "multilabel", (Label("a"), Label("b")))
    truth = rng.normal(0, 2, (4000, 2))
    y = (rng.random((4000, 2)) < 1 / (1 + np.exp(-truth))).astype(np.uint8)
    # both are right and too modest, one much more so: the mean of their log-odds is less modest than their mean
    modest = [1 / (1 + np.exp(-share * truth)) for share in (0.2, 1.0)]
    assert choose_pool(y, modest, (0.5, 0.5), task) == "logit"
    # one is far too sure of what it often gets wrong, the other does not know: better to hedge
    sure = np.where(rng.random(y.shape) < 0.2, 1 - y, y) * 0.998 + 0.001
    assert choose_pool(y, [sure, np.full(y.shape, 0.5)], (0.5, 0.5), task) == "mean"
