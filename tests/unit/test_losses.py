"""Training losses: gradients, agreement with torch and with the published formulas, extreme logits, settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from maeum.errors import UsageError
from maeum.models.losses import LOSSES, POS_WEIGHT_RANGE, LossConfig, default_loss, make_loss

K = 5
ROWS = 200
SUPPORT = [100, 50, 30, 15, 5]
CASES = [(name, kind) for name, kinds in LOSSES.items() for kind in kinds]
VARIANTS = [
    (LossConfig("bce"), "multilabel"),
    (LossConfig("bce", label_smoothing=0.1, pos_weight="balanced"), "multilabel"),
    (LossConfig("focal"), "multilabel"),
    (LossConfig("focal", gamma=0.5, alpha=0.25, label_smoothing=0.1), "multilabel"),
    (LossConfig("focal"), "multiclass"),
    (LossConfig("focal", gamma=0.5, class_weight="balanced", label_smoothing=0.1), "multiclass"),
    (LossConfig("asl"), "multilabel"),
    (LossConfig("asl", focus_gradient=True), "multilabel"),
    (LossConfig("asl", focus_gradient=True, clip=0.0, label_smoothing=0.1), "multilabel"),
    (LossConfig("asl", focus_gradient=True, gamma_neg=0.5, gamma_pos=0.5), "multilabel"),
    (LossConfig("asl-seed001"), "multilabel"),
    (LossConfig("asl-seed001", gamma_pos=1.5, label_smoothing=0.1), "multilabel"),
    (LossConfig("ce"), "multiclass"),
    (LossConfig("ce", class_weight="balanced", label_smoothing=0.1), "multiclass"),
    (LossConfig("ordinal"), "multiclass"),
    (LossConfig("ordinal", steepness=0.5, class_weight="balanced", label_smoothing=0.1), "multiclass"),
]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(kind, n=7, dtype=torch.float64, scale=2.0):
    rng = np.random.default_rng(3)
    z = torch.tensor(rng.normal(size=(n, K)) * scale, dtype=dtype)
    y = np.eye(K)[rng.integers(0, K, n)] if kind == "multiclass" else (rng.random((n, K)) < 0.4)
    return z, torch.tensor(y, dtype=dtype)


def built(config, kind):
    return make_loss(config, kind, SUPPORT, ROWS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# -- every loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "kind"), [case for case in VARIANTS if case != (LossConfig("asl"), "multilabel")])
def test_gradients_are_those_of_the_values(config, kind):  # asl holds its weights fixed; its gradient is tested below
    z, y = batch(kind)
    assert torch.autograd.gradcheck(lambda logits: built(config, kind)(logits, y), (z.requires_grad_(),))


@pytest.mark.parametrize(("config", "kind"), VARIANTS)
def test_an_examples_loss_does_not_depend_on_its_batch(config, kind):
    z, y = batch(kind)
    loss = built(config, kind)
    together = loss(z, y)
    assert together.shape == (7,)
    torch.testing.assert_close(torch.cat([loss(z[i : i + 1], y[i : i + 1]) for i in range(7)]), together)


@pytest.mark.parametrize(("config", "kind"), VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_stay_finite(config, kind, dtype):
    _, y = batch(kind, dtype=dtype)
    for sign in (1, -1):
        for extreme in (sign * 1e4 * (2 * y - 1), torch.full_like(y, sign * 1e4), torch.zeros_like(y)):
            z = extreme.clone().requires_grad_()
            loss = built(config, kind)(z, y)
            loss.mean().backward()
            assert loss.dtype == torch.float32
            assert torch.isfinite(loss).all()
            assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize(("config", "kind"), VARIANTS)
def test_half_precision_logits_are_computed_in_float32(config, kind):
    z, y = batch(kind, dtype=torch.bfloat16)
    torch.testing.assert_close(built(config, kind)(z, y), built(config, kind)(z.float(), y.float()), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_right_answers_cost_less_than_wrong_ones(name, kind):
    _, y = batch(kind)
    loss = make_loss(LossConfig(name), kind)
    assert (loss(8 * (2 * y - 1), y) < loss(8 * (1 - 2 * y), y) - 0.1).all()


# -- against torch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("balance", ["none", "balanced"])
def test_bce_is_torchs(smoothing, balance):
    z, y = batch("multilabel")
    low, high = POS_WEIGHT_RANGE
    weight = torch.tensor([(ROWS - s) / s for s in SUPPORT], dtype=z.dtype).clamp(low, high)
    soft = y * (1 - smoothing) + smoothing / 2
    expected = functional.binary_cross_entropy_with_logits(
        z, soft, pos_weight=weight if balance == "balanced" else None, reduction="none"
    ).mean(1)
    config = LossConfig("bce", label_smoothing=smoothing, pos_weight=balance)
    torch.testing.assert_close(built(config, "multilabel")(z, y), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("balance", ["none", "balanced"])
def test_ce_is_torchs_before_its_mean(smoothing, balance):
    z, y = batch("multiclass")
    weight = torch.tensor([ROWS / (K * s) for s in SUPPORT], dtype=z.dtype) if balance == "balanced" else None
    expected = functional.cross_entropy(z, y.argmax(1), weight=weight, label_smoothing=smoothing, reduction="none")
    config = LossConfig("ce", label_smoothing=smoothing, class_weight=balance)
    torch.testing.assert_close(built(config, "multiclass")(z, y), expected)


@pytest.mark.parametrize(("kind", "plain"), [("multilabel", "bce"), ("multiclass", "ce")])
def test_focal_without_focusing_is_the_plain_loss(kind, plain):
    z, y = batch(kind)
    focal = make_loss(LossConfig("focal", gamma=0, label_smoothing=0.1), kind)(z, y)
    torch.testing.assert_close(focal, make_loss(LossConfig(plain, label_smoothing=0.1), kind)(z, y))


def test_asl_without_focusing_or_clip_is_the_sum_of_bce():
    z, y = batch("multilabel")
    asl = make_loss(LossConfig("asl", gamma_neg=0, gamma_pos=0, clip=0), "multilabel")(z, y)
    torch.testing.assert_close(asl, K * make_loss(LossConfig("bce"), "multilabel")(z, y))


# -- against the formulas, in numpy -------------------------------------------------------------------------------------


def test_focal_on_independent_labels():
    z, y = batch("multilabel")
    p, t = sigmoid(z.numpy()), y.numpy()
    p_t, alpha_t = np.where(t == 1, p, 1 - p), np.where(t == 1, 0.25, 0.75)
    expected = (-alpha_t * (1 - p_t) ** 3 * np.log(p_t)).mean(1)
    got = make_loss(LossConfig("focal", gamma=3, alpha=0.25), "multilabel")(z, y)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10)


def test_focal_on_classes():
    z, y = batch("multiclass")
    e = np.exp(z.numpy())
    p_t = (e / e.sum(1, keepdims=True))[y.numpy() == 1]
    got = make_loss(LossConfig("focal"), "multiclass")(z, y)
    np.testing.assert_allclose(got.numpy(), -((1 - p_t) ** 2) * np.log(p_t), rtol=1e-10)


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4, 1, 0.05), (2, 0, 0.2), (3, 3, 0.0)])
def test_asl_is_the_published_formula(gamma_neg, gamma_pos, clip):
    z, y = batch("multilabel", n=50, scale=4.0)
    expected = []
    for row, truth in zip(z.tolist(), y.tolist(), strict=True):
        total = 0.0
        for logit, positive in zip(row, truth, strict=True):
            p = sigmoid(logit)
            if positive:
                total -= (1 - p) ** gamma_pos * np.log(max(p, 1e-8))
            else:
                right = min(1 - p + clip, 1)  # the authors shift 1 - p up instead of p down
                total -= (1 - right) ** gamma_neg * np.log(max(right, 1e-8))
        expected.append(total)
    for through in (False, True):
        config = LossConfig("asl", gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip, focus_gradient=through)
        np.testing.assert_allclose(make_loss(config, "multilabel")(z, y).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_asl_by_default_holds_its_weights_fixed_in_the_gradient():
    z, y = batch("multilabel")
    p, t = sigmoid(z.numpy()), y.numpy()
    m = np.maximum(p - 0.05, 0)
    slope = np.where(t == 1, -((1 - p) ** 2), m**4 * p * (1 - p) / (1 - m))
    z.requires_grad_()
    make_loss(LossConfig("asl"), "multilabel")(z, y).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), slope, rtol=1e-9, atol=1e-15)


def test_asl_seed001_is_that_repositorys_formula():
    z, y = batch("multilabel", n=50, scale=4.0)
    p, t = sigmoid(z.numpy()), y.numpy()
    flat = t * np.log(p + 0.1) + (1 - t) * p**4 * np.log(1 - p + 0.1)
    got = make_loss(LossConfig("asl-seed001"), "multilabel")(z, y)
    np.testing.assert_allclose(got.numpy(), -flat.mean(1), rtol=1e-9)
    np.testing.assert_allclose(got.mean().item(), -flat.sum() / flat.size, rtol=1e-9)


@pytest.mark.parametrize("steepness", [0.3, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_ordinal_is_cross_entropy_with_labels_that_fall_with_distance(steepness, smoothing):
    z, y = batch("multiclass", n=50, scale=4.0)
    expected = []
    for row, right in zip(z.tolist(), y.argmax(1).tolist(), strict=True):
        near = [np.exp(-steepness * abs(grade - right)) for grade in range(K)]
        total = sum(np.exp(logit) for logit in row)
        cost = 0.0
        for logit, share in zip(row, near, strict=True):
            soft = (1 - smoothing) * share / sum(near) + smoothing / K
            cost -= soft * np.log(np.exp(logit) / total)
        expected.append(cost)
    config = LossConfig("ordinal", steepness=steepness, label_smoothing=smoothing)
    np.testing.assert_allclose(make_loss(config, "multiclass")(z, y).numpy(), expected, rtol=1e-10)


def test_ordinal_costs_more_the_farther_off_and_ce_does_not():
    y = torch.eye(K, dtype=torch.float64)[[0] * K]
    sure = 6 * torch.eye(K, dtype=torch.float64)  # each row is sure of one grade; the first is right
    ordinal = make_loss(LossConfig("ordinal"), "multiclass")(sure, y)
    assert (ordinal.diff() > 0).all()
    plain = make_loss(LossConfig("ce"), "multiclass")(sure, y)
    torch.testing.assert_close(plain[1:], plain[1].expand(K - 1))


def test_ordinal_is_least_at_its_own_soft_labels_and_keeps_the_right_grade_on_top():
    y = torch.eye(K, dtype=torch.float64)
    z = torch.zeros(K, K, dtype=torch.float64, requires_grad=True)
    loss = make_loss(LossConfig("ordinal", steepness=1.0), "multiclass")
    for _ in range(400):
        (slope,) = torch.autograd.grad(loss(z, y).sum(), z)
        z = (z - 2 * slope).detach().requires_grad_()
    found = torch.softmax(z, 1).detach().numpy()
    distance = np.abs(np.subtract.outer(np.arange(K), np.arange(K)))
    np.testing.assert_allclose(found, np.exp(-distance) / np.exp(-distance).sum(1, keepdims=True), atol=1e-6)
    assert (found.argmax(1) == np.arange(K)).all()


def test_a_steep_ordinal_loss_is_ce():
    z, y = batch("multiclass")
    steep = built(LossConfig("ordinal", steepness=60.0, class_weight="balanced"), "multiclass")(z, y)
    torch.testing.assert_close(steep, built(LossConfig("ce", class_weight="balanced"), "multiclass")(z, y))


# -- weights ------------------------------------------------------------------------------------------------------------


def test_class_weights_average_one_over_the_training_rows():
    truth = np.repeat(np.arange(K), SUPPORT)
    y = torch.tensor(np.eye(K)[truth])
    z = torch.zeros_like(y)
    weighted = built(LossConfig("ce", class_weight="balanced"), "multiclass")(z, y)
    assert weighted.mean().item() == pytest.approx(np.log(K))


def test_a_class_without_rows_leaves_the_other_weights_at_mean_one():
    loss = make_loss(LossConfig("ce", class_weight="balanced"), "multiclass", [6, 2, 0], 8)
    z = torch.zeros(3, 3, dtype=torch.float64)
    weights = loss(z, torch.eye(3, dtype=torch.float64)) / np.log(3)
    assert weights.tolist() == pytest.approx([8 / 12, 8 / 4, 1])


def test_positive_weights_are_cut_off():
    loss = make_loss(LossConfig("bce", pos_weight="balanced"), "multilabel", [0, 1, 1000], 1000)
    z = torch.zeros(3, 3, dtype=torch.float64)
    extra = (loss(z, torch.eye(3, dtype=torch.float64)) - np.log(2)) * 3 / np.log(2) + 1
    low, high = POS_WEIGHT_RANGE
    assert extra.tolist() == pytest.approx([high, high, low])


@pytest.mark.parametrize(
    ("support", "rows"), [(None, 10), ([1, 2], 0), ([1, -1], 10), ([1, 11], 10), ([[1]], 1), ([1, float("nan")], 10)]
)
def test_balanced_weights_without_sensible_counts_are_refused(support, rows):
    with pytest.raises(UsageError, match="support"):
        make_loss(LossConfig("bce", pos_weight="balanced"), "multilabel", support, rows)


def test_class_counts_that_are_not_of_one_class_per_row_are_refused():
    with pytest.raises(UsageError, match="rows"):
        make_loss(LossConfig("ce", class_weight="balanced"), "multiclass", [5, 6], 10)


# -- settings -----------------------------------------------------------------------------------------------------------


def test_defaults():
    assert (default_loss("multilabel").name, default_loss("multiclass").name) == ("bce", "ce")
    with pytest.raises(UsageError, match="aspect"):
        default_loss("aspect")
    with pytest.raises(UsageError, match="aspect"):
        make_loss(LossConfig(), "aspect")


@pytest.mark.parametrize(("name", "near"), [("focl", "focal"), ("asl-seed01", "asl-seed001"), ("bec", "bce")])
def test_an_unknown_loss_is_refused_with_the_nearest_name(name, near):
    with pytest.raises(UsageError) as caught:
        LossConfig(name)
    assert f"'{near}'인가요" in caught.value.ko
    assert f"did you mean '{near}'?" in caught.value.en


@pytest.mark.parametrize(
    "settings",
    [
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
        {"label_smoothing": float("nan")},
        {"label_smoothing": "0.1"},
        {"pos_weight": "balance"},
        {"name": "ce", "class_weight": 2.0},
        {"name": "focal", "gamma": -1},
        {"name": "focal", "gamma": float("inf")},
        {"name": "focal", "alpha": 0.0},
        {"name": "asl", "clip": 1.0},
        {"name": "asl", "gamma_neg": True},
        {"name": "asl", "focus_gradient": "yes"},
        {"name": "asl-seed001", "eps": 0.0},
        {"name": "ordinal", "steepness": 0.0},
    ],
)
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(UsageError):
        LossConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "has"),
    [
        ({"name": "bce", "gamma": 2.0}, "pos_weight"),
        ({"name": "asl", "pos_weight": "balanced"}, "clip"),
        ({"name": "asl-seed001", "clip": 0.05}, "eps"),
        ({"name": "ce", "alpha": 0.25}, "class_weight"),
        ({"name": "ce", "steepness": 1.0}, "class_weight"),
    ],
)
def test_a_setting_of_another_loss_is_refused_not_ignored(settings, has):
    with pytest.raises(UsageError, match=has):
        LossConfig(**settings)


@pytest.mark.parametrize(
    ("config", "kind", "instead"),
    [
        (LossConfig("ce"), "multilabel", "bce"),
        (LossConfig("asl"), "multiclass", "focal"),
        (LossConfig("focal", alpha=0.25), "multiclass", "class_weight"),
        (LossConfig("focal", class_weight="balanced"), "multilabel", "alpha"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused(config, kind, instead):
    with pytest.raises(UsageError, match=instead):
        built(config, kind)


def test_settings_hold_the_numbers_that_act():
    assert LossConfig("asl", clip=0).settings() == {
        "name": "asl",
        "label_smoothing": 0.0,
        "gamma_neg": 4.0,
        "gamma_pos": 1.0,
        "clip": 0,
        "focus_gradient": False,
    }
    for name in LOSSES:  # and a config made of them is the same loss
        config = LossConfig(**LossConfig(name).settings())
        assert config.settings() == LossConfig(name).settings()
        assert dataclasses.replace(config, label_smoothing=0.1).label_smoothing == 0.1


def test_logits_and_labels_of_different_shapes_are_refused():
    loss = make_loss(LossConfig(), "multilabel")
    for z, y in [((4, 3), (4, 1)), ((4, 3), (3,)), ((3,), (3,))]:
        with pytest.raises(UsageError, match=r"\(n, k\)"):
            loss(torch.zeros(z), torch.zeros(y))
