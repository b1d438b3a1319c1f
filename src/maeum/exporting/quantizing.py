"""Smaller graphs: int8 that keeps rows apart, and weights kept as fp16.

Int8, for every product of activations x (…, d) with a constant matrix W (d, m):

- each column of W is rounded to −63 … 63 times a scale of its own;
- each row of x, one token, is rounded to a byte, either by a scale of its own or by a range fixed beforehand
  (``rounding`` chooses);
- the product is summed in int32 and multiplied by both scales.

Neither looks at another row, so neither padding nor the other texts of a batch move a result; the usual dynamic
quantisation (``onnxruntime.quantization.quantize_dynamic``) takes one range from the whole batch, which makes results
depend on it and is several times less exact where one token has outliers. Embedding tables get a scale per row (token).
What is small (heads, norms, biases) stays in fp32. GELU becomes its tanh form, which is off by less than a rounding step.

Weights use seven of the eight bits because processors without VNNI add pairs of byte products in 16 bits, which
saturate (255 · 127 · 2 > 32767): with all eight a model answers differently there, by up to 0.04 of a probability.

The row-wise scheme is that of Dettmers et al. 2022 (LLM.int8()) without its split of outlier columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx  # noqa: TID253  only exporting imports this module, and it needs onnx anyway
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper  # noqa: TID253

from maeum.bases.exported import SMOOTHED
from maeum.exporting.fusing import inputs_of
from maeum.exporting.rounding import TINY, WEIGHT_LIMIT, Fixed, choose, observe, rounded_weight

MIN_WEIGHTS = 4096
"""Smaller matrices are not worth it."""
GELU = ("BiasGelu", "Gelu", "FastGelu")
"""Operators whose results are never below −``GELU_LOWEST``."""
GELU_LOWEST = np.float32(0.1701)

Feeds = Sequence[Mapping[str, NDArray[np.int64]]]


def to_int8(model: ModelProto, samples: Feeds = ()) -> ModelProto:
    """A copy whose large products and tables are int8.

    Args:
        samples: unpadded inputs of the graph that fixed ranges are found on; none: every row gets its own scale.
    """
    graph = _Graph(model)
    products = [node for node in graph.nodes() if node.op_type == "MatMul" and graph.is_large(node.input[1])]
    ranges = _ranges(graph, model, products, samples)
    written: dict[str, _Rounded] = {}
    multiplied = {id(node) for node in products}
    for node in graph.nodes():
        if id(node) in multiplied:
            _product(graph, node, ranges.get(node.input[0]), written)
        elif node.op_type == "Gather" and graph.is_large(node.input[0]) and _axis(node) == 0:
            graph.replace(node, _lookup(graph, node))
        elif node.op_type in ("BiasGelu", "Gelu") and node.domain and not graph.is_replaced(node):
            graph.replace(node, [_tanh_gelu(list(node.input), node.output[0])])
    smoothed = {
        node.input[1]: _inverse(node.input[0])
        for node in products
        if (found := ranges.get(node.input[0])) is not None and found.factors is not None
    }
    return graph.finished({SMOOTHED: json.dumps(smoothed)} if smoothed else {})


def _ranges(graph: _Graph, model: ModelProto, products: Sequence[NodeProto], samples: Feeds) -> dict[str, Fixed]:
    """Fixed ranges by the activations that may have one."""
    weights: dict[str, list[NDArray[np.float32]]] = {}
    for node in products:
        weights.setdefault(node.input[0], []).append(graph.weight(node.input[1]))
    seen = observe(model, list(weights), samples) if samples and weights else {}
    return {name: found for name, rows in seen.items() if (found := choose(rows, weights[name])) is not None}


def to_fp16(model: ModelProto) -> ModelProto:
    """A copy whose large weights are fp16 in the file and cast to fp32 where they are used.

    The arithmetic stays fp32: processors multiply halves more slowly, if at all.
    """
    graph = _Graph(model)
    casts: dict[str, str] = {}
    for node in graph.nodes():
        new: list[NodeProto] = []
        for at, name in enumerate(node.input):
            if not graph.is_large(name):
                continue
            if name not in casts:
                limit = float(np.finfo(np.float16).max)
                half = np.clip(graph.weight(name), -limit, limit).astype(np.float16)
                stored = graph.constant(f"{name}.fp16", half)
                if node.op_type == "Gather" and at == 0:
                    new = _cast_after(graph, node, stored)
                    break
                casts[name] = f"{name}.fp32"
                new.append(helper.make_node("Cast", [stored], [casts[name]], to=TensorProto.FLOAT))
            node.input[at] = casts[name]
        else:
            new = [*new, node]
        graph.replace(node, new)
    return graph.finished()


def _cast_after(graph: _Graph, node: NodeProto, stored: str) -> list[NodeProto]:
    """Of a table only the rows looked up are cast."""
    rows = f"{node.output[0]}.fp16"
    return [
        helper.make_node("Gather", [stored, node.input[1]], [rows], axis=_axis(node)),
        helper.make_node("Cast", [rows], [node.output[0]], to=TensorProto.FLOAT),
    ]


class _Rounded(NamedTuple):
    """A rounded activation and what undoes it."""

    name: str
    scale: str
    """Scalar that products are multiplied by."""
    zero: str
    rows: str | None
    """Scales of the rows (…, 1), in the end; None where the scalar is all."""


def _product(graph: _Graph, node: NodeProto, fixed: Fixed | None, written: dict[str, _Rounded]) -> None:
    """x · W as int8; an x that several products share is rounded once."""
    x, name, out = node.input[0], node.input[1], node.output[0]
    nodes: list[NodeProto] = []
    if x not in written:
        new, written[x] = (
            _by_row(graph, x, graph.weight(name).shape[0]) if fixed is None else _by_range(graph, x, fixed)
        )
        nodes += new
    found = written[x]
    weight = graph.weight(name) if fixed is None else fixed.matrix(graph.weight(name))
    columns, scale = rounded_weight(weight, axis=0, limit=WEIGHT_LIMIT)
    inputs = [
        found.name,
        graph.constant(f"{name}.int8", columns),
        found.scale,
        graph.constant(f"{name}.scale", scale.ravel()),
        found.zero,
    ]
    if found.rows is not None:
        unit = f"{out}.unit"
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [unit], domain="com.microsoft"))
        nodes.append(helper.make_node("Mul", [unit, found.rows], [out]))
    elif (after := graph.bias_after(out, weight.shape[1])) is None:
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [out], domain="com.microsoft"))
    else:
        following, bias = after
        gelu = following.op_type == "BiasGelu"
        result = f"{out}.biased" if gelu else following.output[0]
        nodes.append(helper.make_node("MatMulIntegerToFloat", [*inputs, "", bias], [result], domain="com.microsoft"))
        graph.replace(following, [_tanh_gelu([result], following.output[0])] if gelu else [])
    graph.replace(node, nodes)


def _by_row(graph: _Graph, x: str, width: int) -> tuple[list[NodeProto], _Rounded]:
    """x (…, d) rounded by a scale for each row."""
    largest, size, step, flat, rows, count, zeros, bytes_, shape = (
        f"{x}.{part}" for part in ("largest", "size", "step", "steps", "rows", "count", "zeros", "bytes", "shape")
    )
    nodes = []
    if graph.made_by(x) in GELU:
        # nothing is further below zero than this: one pass over the values less
        magnitude, least = x, graph.constant("maeum.gelu.lowest", np.array(GELU_LOWEST))
    else:
        magnitude, least = f"{x}.abs", graph.constant("maeum.tiny", np.array(TINY))
        nodes.append(helper.make_node("Abs", [x], [magnitude]))
    if graph.opset >= 18:
        axes = graph.constant("maeum.last", np.array([-1], np.int64))
        nodes.append(helper.make_node("ReduceMax", [magnitude, axes], [largest], keepdims=1))
    else:
        nodes.append(helper.make_node("ReduceMax", [magnitude], [largest], axes=[-1], keepdims=1))
    nodes += [
        helper.make_node("Max", [largest, least], [size]),
        helper.make_node("Mul", [size, graph.constant("maeum.step", np.array(1 / 127, np.float32))], [step]),
        # one axis of scales is what the operator takes, and is faster than dividing first
        helper.make_node("Reshape", [step, graph.constant("maeum.flat", np.array([-1], np.int64))], [flat]),
        helper.make_node(
            "Reshape", [x, graph.constant(f"maeum.rows.{width}", np.array([-1, width], np.int64))], [rows]
        ),
        helper.make_node("Shape", [flat], [count]),
        helper.make_node("Expand", [_middle(graph), count], [zeros]),
        helper.make_node("QuantizeLinear", [rows, flat, zeros], [bytes_], axis=0),
        helper.make_node("Shape", [x], [shape]),
        helper.make_node("Reshape", [bytes_, shape], [f"{x}.int8"]),
    ]
    one = graph.constant("maeum.one", np.array(1, np.float32))
    return nodes, _Rounded(f"{x}.int8", one, _middle(graph), step)


def _by_range(graph: _Graph, x: str, fixed: Fixed) -> tuple[list[NodeProto], _Rounded]:
    """x rounded by one range."""
    nodes, source = [], x
    if fixed.factors is not None:
        source = f"{x}.smooth"
        inverse = graph.constant(_inverse(x), (1 / fixed.factors).astype(np.float32))
        nodes.append(helper.make_node("Mul", [x, inverse], [source]))
    scale, zero = graph.constant(f"{x}.range", np.array(fixed.scale)), graph.constant(f"{x}.zero", np.array(fixed.zero))
    nodes.append(helper.make_node("QuantizeLinear", [source, scale, zero], [f"{x}.int8"]))
    return nodes, _Rounded(f"{x}.int8", scale, zero, None)


def _inverse(x: str) -> str:
    return f"{x}.inverse"


def _tanh_gelu(inputs: list[str], output: str) -> NodeProto:
    return helper.make_node("FastGelu", inputs, [output], domain="com.microsoft")


def _lookup(graph: _Graph, node: NodeProto) -> list[NodeProto]:
    """Rows of an int8 table times the scales of these rows."""
    name, ids, out = node.input[0], node.input[1], node.output[0]
    rows, scale = rounded_weight(graph.weight(name), axis=1, limit=127)
    return [
        helper.make_node("Gather", [graph.constant(f"{name}.int8", rows), ids], [f"{out}.int8"]),
        helper.make_node("Cast", [f"{out}.int8"], [f"{out}.float"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [graph.constant(f"{name}.scale", scale), ids], [f"{out}.scale"]),
        helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out]),
    ]


def _middle(graph: _Graph) -> str:
    """The zero point: processors multiply unsigned by signed bytes faster than signed by signed."""
    return graph.constant("maeum.zero", np.array(128, np.uint8))


def _axis(node: NodeProto) -> int:
    return next((int(item.i) for item in node.attribute if item.name == "axis"), 0)


class _Graph:
    """A copy of a model that is being rewritten."""

    def __init__(self, model: ModelProto) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        # shapes noted by the exporter would contradict the new nodes
        del self._model.graph.value_info[:]
        self._weights = {item.name: item for item in self._model.graph.initializer}
        self._made: dict[str, TensorProto] = {}
        self._nodes: list[tuple[NodeProto, list[NodeProto]]] = [(node, [node]) for node in list(self._model.graph.node)]
        self._makers = {name: node.op_type for node, _ in self._nodes for name in node.output}
        self.opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))

    def nodes(self) -> list[NodeProto]:
        return [node for node, _ in self._nodes]

    def is_large(self, name: str) -> bool:
        found = self._weights.get(name)
        return (
            found is not None
            and found.data_type == TensorProto.FLOAT
            and len(found.dims) == 2
            and int(np.prod(found.dims)) >= MIN_WEIGHTS
        )

    def weight(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = numpy_helper.to_array(self._weights[name])
        return array

    def made_by(self, name: str) -> str | None:
        """The operator that a value comes from."""
        return self._makers.get(name)

    def bias_after(self, name: str, width: int) -> tuple[NodeProto, str] | None:
        """The only node that uses a product, and the constant vector that it adds, if that is what it does."""
        users = [node for node, _ in self._nodes if name in inputs_of(node)]
        if len(users) != 1 or name in {output.name for output in self._model.graph.output}:
            return None
        others = [other for other in users[0].input if other != name]
        if users[0].op_type not in ("Add", "BiasGelu") or len(others) != 1:
            return None
        found = self._weights.get(others[0])
        return (users[0], others[0]) if found is not None and list(found.dims) == [width] else None

    def is_replaced(self, node: NodeProto) -> bool:
        return next(new != [old] for old, new in self._nodes if old is node)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._made:
            self._made[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def replace(self, node: NodeProto, new: list[NodeProto]) -> None:
        for place, (old, _) in enumerate(self._nodes):
            if old is node:
                self._nodes[place] = (old, new)

    def finished(self, properties: Mapping[str, str] | None = None) -> ModelProto:
        """The rewritten model without weights that nothing uses any more, with more ``properties``."""
        graph = self._model.graph
        nodes = [new for _, news in self._nodes for new in news]
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        used = {name for node in copies for name in inputs_of(node)} | {item.name for item in graph.output}
        kept = [TensorProto.FromString(item.SerializeToString()) for item in graph.initializer if item.name in used]
        del graph.initializer[:]
        graph.initializer.extend([*kept, *self._made.values()])
        if not any(item.domain == "com.microsoft" for item in self._model.opset_import):
            self._model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        kept_properties = {item.key: item.value for item in self._model.metadata_props}
        helper.set_model_props(self._model, {**kept_properties, **(properties or {})})
        onnx.checker.check_model(self._model)
        return self._model
