"""Smaller arithmetic in exported graphs: fused attention, which rows get a fixed range, and what int8 products say."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_export import INPUTS, MULTI, untrained

from maeum.bases.exported import SMOOTHED, TWINS, backbone_weights
from maeum.exporting import graphs, rounding
from maeum.exporting.converting import Exporter
from maeum.exporting.quantizing import to_int8
from maeum.exporting.rounding import Seen, choose, fixed, smoothing

pytestmark = pytest.mark.usefixtures("one_thread")


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def operators(model: onnx.ModelProto) -> list[str]:
    """Of the graph and of its branches."""
    found = []
    for node in model.graph.node:
        found.append(node.op_type)
        found += [each.op_type for item in node.attribute for each in item.g.node]
    return found


# -- attention --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["e5", "kcelectra"])
def test_fused_attention_says_what_the_written_out_one_says_padded_or_not(tiny_base, monkeypatch, shape):
    model = untrained(tiny_base(shape), "cls", MULTI)
    fused = graphs.encoder_graph(model)
    monkeypatch.setattr(graphs, "with_fused_attention", lambda graph: graph)
    plain = graphs.encoder_graph(model)
    layers = operators(plain).count("Softmax")
    assert layers > 0
    assert operators(fused).count("If") == layers
    assert operators(fused).count("MultiHeadAttention") == 2 * layers
    assert "Softmax" not in operators(fused)
    rng, names = np.random.default_rng(0), [item.name for item in plain.graph.input]
    pair = session(plain), session(fused)
    for lengths in ([9, 9, 9], [9, 4, 1], [1], [24, 23]):
        ids = rng.integers(5, 60, (len(lengths), max(lengths)))
        mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
        feed = {"input_ids": ids * mask, "attention_mask": mask}
        feed |= {name: np.zeros_like(ids) for name in names if name not in feed}
        want, found = (each.run(["logits"], feed)[0] for each in pair)
        assert np.abs(want - found).max() < 1e-4
    assert np.ptp(want) > 1e-2


def test_attention_of_another_kind_is_left_alone(tiny_base, monkeypatch):
    model = untrained(tiny_base("e5"), "cls", MULTI)
    monkeypatch.setattr(graphs, "with_fused_attention", lambda graph: graph)
    plain = graphs.encoder_graph(model)
    for node in plain.graph.node:
        if node.op_type == "Softmax":
            node.attribute[0].i = 1
    monkeypatch.undo()
    found = graphs.with_fused_attention(plain)
    assert operators(found) == operators(plain)


# -- which ranges -----------------------------------------------------------------------------------------


def rows(kind: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 48)).astype(np.float32)
    if kind == "channel":
        x[:, 7] *= 40
    if kind == "token":
        x[::50] *= 300
    return x


def seen(x: np.ndarray) -> Seen:
    return Seen(x.min(0), x.max(0), x)


WEIGHT = np.random.default_rng(2).normal(size=(48, 32)).astype(np.float32)


def test_even_rows_get_one_range_and_outlying_tokens_keep_scales_of_their_own():
    even = choose(seen(rows("even")), [WEIGHT])
    assert even is not None
    assert even.factors is None
    assert choose(seen(rows("token")), [WEIGHT]) is None
    assert choose(Seen(*np.zeros((2, 48), np.float32), np.zeros((0, 48), np.float32)), [WEIGHT]) is None


def test_a_channel_of_outliers_is_divided_where_that_helps(monkeypatch):
    x = rows("channel")
    # a scale per row suffers from the channel as well: only the divided range is as good as that of even rows
    factors = smoothing(seen(x), [WEIGHT])
    assert factors[7] > 4
    assert (factors >= 1).all()

    def error(found: rounding.Fixed) -> float:
        return rounding._error(found.rounded(x), found.matrix(WEIGHT), WEIGHT, x)

    assert error(fixed(seen(x), factors)) < 0.5 * error(fixed(seen(x), None))
    monkeypatch.setattr(rounding, "WORSE", 0.7)
    found = choose(seen(x), [WEIGHT])
    assert found is not None
    assert np.array_equal(found.factors, factors)


@pytest.mark.parametrize("low", [-3.0, 0.0, 2.0])
def test_a_range_reaches_past_what_was_seen_and_clips_what_lies_beyond(low):
    x = np.linspace(low, 5, 96, dtype=np.float32).reshape(2, 48)
    found = fixed(seen(x), None)
    assert np.abs(found.rounded(x) - x).max() <= 0.51 * found.scale
    assert not found.rounded(np.zeros((1, 48), np.float32)).any()
    assert 5.4 < found.rounded(np.full((1, 48), 99, np.float32)).max() < 5.6


# -- int8 products ----------------------------------------------------------------------------------------


def product(weight: np.ndarray, *, bias: str | None, name: str = "network.backbone.w.transposed") -> onnx.ModelProto:
    """y = x · W, with a bias or a GELU after it."""
    d, m = weight.shape
    nodes = [helper.make_node("MatMul", ["x", name], ["y" if bias is None else "p"])]
    if bias == "Add":
        nodes.append(helper.make_node("Add", ["b", "p"], ["y"]))
    elif bias is not None:
        nodes.append(helper.make_node(bias, ["p", "b"], ["y"], domain="com.microsoft"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "t", d])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "t", m])],
        [numpy_helper.from_array(weight, name), numpy_helper.from_array(np.linspace(-2, 2, m, dtype=np.float32), "b")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {TWINS: "{}"})
    return model


@pytest.fixture
def watched(monkeypatch):
    """Ranges from rows given here instead of from running an encoder."""

    def give(x: np.ndarray) -> list[dict[str, np.ndarray]]:
        flat = x.reshape(-1, x.shape[-1])
        monkeypatch.setattr("maeum.exporting.quantizing.observe", lambda *_: {"x": seen(flat)})
        return [{}]

    return give


LARGE = (np.random.default_rng(3).normal(size=(96, 64)) / 10).astype(np.float32)


@pytest.mark.parametrize("bias", [None, "Add", "BiasGelu"])
@pytest.mark.parametrize("way", ["row", "fixed"])
def test_products_with_what_follows_them_are_close_to_exact(watched, bias, way):
    x = np.random.default_rng(4).normal(size=(3, 7, 96)).astype(np.float32)
    model = product(LARGE, bias=bias)
    small = to_int8(model, watched(x) if way == "fixed" else ())
    kinds = operators(small)
    assert ("ReduceMax" in kinds) == (way == "row")
    assert ("Add" in kinds) == (bias == "Add" and way == "row")  # a fixed range lets the product add it
    assert "BiasGelu" not in kinds
    want, found = (session(each).run(None, {"x": x})[0] for each in (model, small))
    assert 0 < np.abs(found - want).max() < 0.1
    assert np.sqrt(np.square(found - want).mean()) < 0.02
    single = np.concatenate([session(small).run(None, {"x": x[at : at + 1, :2]})[0] for at in range(3)])
    assert np.array_equal(single, found[:, :2])


def test_rows_after_a_gelu_need_no_magnitudes():
    """Its results are never below −0.1701: the largest value is the largest magnitude, or that is."""
    model = product(LARGE, bias="BiasGelu")
    second = np.random.default_rng(5).normal(size=(64, 96)).astype(np.float32)
    model.graph.node.append(helper.make_node("MatMul", ["y", "v"], ["z"]))
    model.graph.initializer.append(numpy_helper.from_array(second, "v"))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", "t", 96]))
    small = to_int8(model)
    assert operators(small).count("Abs") == 1
    assert operators(small).count("ReduceMax") == 2
    x = np.random.default_rng(6).normal(size=(2, 3, 96)).astype(np.float32)
    x[0, 0] = 0
    for shift in (0.0, -30.0):
        want, found = (session(each).run(["z"], {"x": x + np.float32(shift)})[0] for each in (model, small))
        assert np.abs(found - want).max() < 0.04 * max(np.abs(want).max(), 20.0)


def test_smoothed_weights_find_their_way_back(watched, tmp_path, monkeypatch):
    monkeypatch.setattr(rounding, "WORSE", 0.8)
    x = np.random.default_rng(7).normal(size=(1, 300, 96)).astype(np.float32)
    x[..., 5] *= 40
    model = product(LARGE, bias="Add")
    small = to_int8(model, watched(x))
    properties = {item.key: item.value for item in small.metadata_props}
    assert json.loads(properties[SMOOTHED]) == {"network.backbone.w.transposed": "x.inverse"}
    onnx.save(small, tmp_path / "model.onnx")
    found = backbone_weights(tmp_path / "model.onnx")["w"]
    # a rounded, multiplied matrix: no row is further away than half a step of the largest
    assert np.abs(found.T - LARGE).max() <= 0.51 * np.abs(LARGE).max() * 5 / 63
    want, near = (session(each).run(None, {"x": x})[0] for each in (model, small))
    assert np.abs(near - want).max() < 0.02 * np.abs(want).max()
    limit = {item.name: numpy_helper.to_array(item) for item in small.graph.initializer}
    assert 2 * 255 * np.abs(limit["network.backbone.w.transposed.int8"].astype(int)).max() <= 32767


def test_an_exported_encoder_has_ranges_from_the_samples(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr("maeum.exporting.quantizing.MIN_WEIGHTS", 64)
    monkeypatch.setattr("maeum.exporting.converting.SAMPLED", 12)
    model = untrained(tiny_base("e5"), "mean", MULTI)
    maker = Exporter(tmp_path, "", {})
    small = maker.smaller_trunk(maker.full(model).trunk, "int8")
    graph = onnx.load(small.folder / "model.onnx")
    assert any(item.name.endswith(".range") for item in graph.graph.initializer)
    together = small.logits(INPUTS)
    alone = np.concatenate([small.logits([item]) for item in INPUTS])
    assert np.abs(together - alone).max() <= 1e-5
