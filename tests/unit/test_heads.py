"""Classification heads: nothing but a row's own real tokens reaches its logits."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from maeum.errors import UsageError
from maeum.models.heads import HEADS, INIT_STD, BiGRUHead, make_head

HIDDEN, K = 16, 5


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def head(name):
    """A head with linear weights large enough for logits of about 1, so that small tolerances mean something."""
    torch.manual_seed(1)
    model = make_head(name, HIDDEN, K, dropout=0.1).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, layer.in_features**-0.5)
    return model


def rows(*lengths, width=None, seed=0):
    """States, large noise in the padding, and the mask."""
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    states = torch.randn(len(lengths), width, HIDDEN, generator=generator)
    return torch.where(mask[:, :, None] == 1, states, 50 * states), mask


def tracing(module, *example):
    with warnings.catch_warnings():  # tracing itself is deprecated; it is what the exporter does
        warnings.simplefilter("ignore")
        return torch.jit.trace(module, example, check_trace=False)


@pytest.mark.parametrize("name", HEADS)
def test_padding_changes_nothing(name):
    states, mask = rows(12)
    padded = torch.full((1, 100, HIDDEN), 1e3)
    padded[:, :12] = states
    longer = torch.zeros(1, 100, dtype=torch.long)
    longer[:, :12] = 1
    model = head(name)
    torch.testing.assert_close(model(padded, longer), model(states, mask), rtol=0, atol=1e-6)
    unmasked = model(padded, torch.ones_like(longer))
    assert name == "cls" or (unmasked - model(states, mask)).abs().max() > 0.01  # it is the mask that does it


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("mask_type", [torch.long, torch.bool, torch.float32])
def test_batch_mates_change_nothing(name, mask_type):
    lengths = (12, 1, 30, 7)
    states, mask = rows(*lengths)
    model = head(name)
    together = model(states, mask.to(mask_type))
    assert together.shape == (4, K)
    for row, length in enumerate(lengths):
        alone = model(states[row : row + 1, :length], mask[row : row + 1, :length].to(mask_type))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_no_gradient_reaches_padded_states_even_where_they_are_not_numbers(name):
    states, mask = rows(12, 5, width=20)
    states[mask == 0] = float("nan")
    states.requires_grad_()
    model = head(name)
    logits = model(states, mask)
    logits.square().sum().backward()
    assert torch.isfinite(logits).all()
    assert (states.grad[mask == 0] == 0).all()
    reached = states.grad[mask == 1].abs().sum(1) > 0
    assert reached.all() if name != "cls" else reached.sum() == 2
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def reference_gru(model):
    """torch's bidirectional GRU with the weights of a head."""
    gru = nn.GRU(HIDDEN, HIDDEN // 2, batch_first=True, bidirectional=True)
    backward = {f"{name}_reverse": value for name, value in model.back.state_dict().items()}
    gru.load_state_dict({**model.ahead.state_dict(), **backward})
    return gru


def test_final_states_are_those_of_torchs_bidirectional_gru():
    model = head("bigru")
    states, mask = rows(12)
    ahead, back = model.final_states(states, mask)
    outputs, final = reference_gru(model)(states)
    torch.testing.assert_close(ahead, outputs[:, -1, : HIDDEN // 2], rtol=0, atol=1e-6)
    torch.testing.assert_close(back, outputs[:, 0, HIDDEN // 2 :], rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.stack([ahead, back]), final, rtol=0, atol=1e-6)


def test_final_states_of_a_batch_are_those_of_packed_sequences():
    model = head("bigru")
    states, mask = rows(12, 1, 30, 7)
    packed = nn.utils.rnn.pack_padded_sequence(states, mask.sum(1), batch_first=True, enforce_sorted=False)
    final = reference_gru(model)(packed)[1]
    torch.testing.assert_close(torch.stack(model.final_states(states, mask)), final, rtol=0, atol=1e-6)


def test_linear_heads_are_what_they_say():
    states, mask = rows(12, 5)
    cls, mean = head("cls"), head("mean")
    torch.testing.assert_close(cls(states, mask), cls.out(states[:, 0]))
    means = torch.stack([states[0, :12].mean(0), states[1, :5].mean(0)])
    torch.testing.assert_close(mean(states, mask), mean.out(means))


@pytest.mark.parametrize("name", HEADS)
def test_a_traced_head_serves_other_sizes(name):
    model = head(name)
    states, mask = rows(12, 5, 1)
    traced = tracing(model, states, mask)
    for lengths in [(12, 5, 1), (30,), (1, 1), (3, 40, 8, 20)]:
        states, mask = rows(*lengths, seed=2)
        torch.testing.assert_close(traced(states, mask), model(states, mask), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("mask", [[0, 1, 1], [1, 0, 1], [0, 0, 0]])
def test_padding_elsewhere_than_on_the_right_is_refused(name, mask):
    with pytest.raises(UsageError, match="padding_side"):
        head(name)(torch.zeros(2, 3, HIDDEN), torch.tensor([[1, 1, 1], mask]))


@pytest.mark.parametrize("name", HEADS)
def test_dropout_acts_in_training_only(name):
    states, mask = rows(12, 5)
    model = head(name)
    torch.testing.assert_close(model(states, mask), model(states, mask), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(states, mask), model(states, mask))


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_states(name):
    states, mask = rows(12, 5)
    states = torch.where(mask[:, :, None] == 1, states, 0.0)
    logits = head(name).bfloat16()(states.bfloat16(), mask)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), head(name)(states, mask), rtol=0.1, atol=0.02)


def test_initial_weights():
    torch.manual_seed(0)
    model = make_head("bigru", 64, 3, dropout=0.0, dense=128)
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(128, 128), (128, 128), (128, 3)]
    assert all(layer.bias.abs().max() == 0 for layer in linear)
    assert linear[0].weight.std().item() == pytest.approx(INIT_STD, rel=0.05)
    for gru in (model.ahead, model.back):
        for gate in gru.weight_hh_l0.detach().chunk(3):
            torch.testing.assert_close(gate @ gate.T, torch.eye(32), rtol=0, atol=1e-5)
        assert gru.bias_ih_l0.abs().max() == 0


def test_width_of_dense_layers_follows_the_states_unless_given():
    assert make_head("bigru", 1, 2, dropout=0.0)(torch.zeros(1, 3, 1), torch.ones(1, 3)).shape == (1, 2)
    model = make_head("bigru", HIDDEN, K, dropout=0.0, dense=7)
    assert isinstance(model, BiGRUHead)
    assert model.dense[-1].in_features == 7
    assert make_head("bigru", HIDDEN, K, dropout=0.0).dense[-1].in_features == HIDDEN


@pytest.mark.parametrize(("name", "near"), [("bi-gru", "bigru"), ("CLS", None), ("means", "mean")])
def test_an_unknown_head_is_refused_with_the_nearest_name(name, near):
    with pytest.raises(UsageError) as caught:
        make_head(name, HIDDEN, K, dropout=0.1)
    assert "cls, mean, bigru" in caught.value.ko
    assert near is None or f"did you mean '{near}'?" in caught.value.en


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cls", {"dense": 8}),
        ("mean", {"dense": 8}),
        ("bigru", {"dense": 0}),
        ("cls", {"hidden": 0}),
        ("cls", {"k": 0}),
        ("cls", {"dropout": 1.0}),
        ("cls", {"dropout": -0.1}),
    ],
)
def test_sizes_that_make_no_sense_are_refused(name, settings):
    with pytest.raises(UsageError):
        make_head(name, **{"hidden": HIDDEN, "k": K, "dropout": 0.1} | settings)
