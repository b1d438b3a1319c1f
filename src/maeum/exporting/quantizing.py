"""Smaller graphs: int8 with a scale for every row, and weights kept as fp16.

Int8, for every product of activations x (…, d) with a constant matrix W (d, m):

- each column of W is rounded to −63 … 63 times a scale of its own;
- each row of x, one token, is divided by its largest magnitude and rounded likewise, at run time;
- the product is summed in int32 and multiplied by both scales.

A row's scale comes from this row alone, so neither padding nor the other texts of a batch move a result; the usual
dynamic quantisation (``onnxruntime.quantization.quantize_dynamic``) takes one range from the whole batch, which makes
results depend on it and is several times less exact where one token has outliers. Embedding tables get a scale per
row (token). What is small (heads, norms, biases) stays in fp32.

Weights use seven of the eight bits because processors without VNNI add pairs of byte products in 16 bits, which
saturate (255 · 127 · 2 > 32767): with all eight a model answers differently there, by up to 0.04 of a probability.

The row-wise scheme is that of Dettmers et al. 2022 (LLM.int8()) without its split of outlier columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx  # noqa: TID253  only exporting imports this module, and it needs onnx anyway
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper  # noqa: TID253

WEIGHT_LIMIT = 63
"""Largest rounded weight of a product: 2 · 255 · 63 fits into 16 bits."""
MIN_WEIGHTS = 4096
"""Smaller matrices are not worth it."""

_TINY = np.float32(1e-30)
"""Keeps the division of a row of zeros finite."""


def to_int8(model: ModelProto) -> ModelProto:
    """A copy whose large products and tables are int8."""
    graph = _Graph(model)
    quantised_inputs: dict[str, tuple[str, str]] = {}
    for node in graph.nodes():
        if node.op_type == "MatMul" and graph.is_large(node.input[1]):
            graph.replace(node, _product(graph, node, quantised_inputs))
        elif node.op_type == "Gather" and graph.is_large(node.input[0]) and _axis(node) == 0:
            graph.replace(node, _lookup(graph, node))
    return graph.finished()


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


def _product(graph: _Graph, node: NodeProto, done: dict[str, tuple[str, str]]) -> list[NodeProto]:
    """x · W as int8; the rows of an x that several products share are rounded once."""
    x, name, out = node.input[0], node.input[1], node.output[0]
    nodes: list[NodeProto] = []
    if x not in done:
        size, safe, unit, rounded = (f"{x}.{part}" for part in ("abs", "size", "unit", "int8"))
        axes = graph.constant("maeum.last", np.array([-1], np.int64))
        nodes += [
            helper.make_node("Abs", [x], [size]),
            helper.make_node("ReduceMax", [size, axes], [f"{safe}.raw"], keepdims=1)
            if graph.opset >= 18
            else helper.make_node("ReduceMax", [size], [f"{safe}.raw"], axes=[-1], keepdims=1),
            helper.make_node("Max", [f"{safe}.raw", graph.constant("maeum.tiny", np.array(_TINY))], [safe]),
            helper.make_node("Div", [x, safe], [unit]),
            helper.make_node(
                "QuantizeLinear",
                [unit, _step(graph), _middle(graph)],
                [rounded],
            ),
        ]
        done[x] = rounded, safe
    rounded, safe = done[x]
    columns, scale = _rounded(graph.weight(name), axis=0, limit=WEIGHT_LIMIT)
    nodes += [
        helper.make_node(
            "MatMulIntegerToFloat",
            [
                rounded,
                graph.constant(f"{name}.int8", columns),
                _step(graph),
                graph.constant(f"{name}.scale", scale.ravel()),
                _middle(graph),
            ],
            [f"{out}.unit"],
            domain="com.microsoft",
        ),
        helper.make_node("Mul", [f"{out}.unit", safe], [out]),
    ]
    return nodes


def _lookup(graph: _Graph, node: NodeProto) -> list[NodeProto]:
    """Rows of an int8 table times the scales of these rows."""
    name, ids, out = node.input[0], node.input[1], node.output[0]
    rows, scale = _rounded(graph.weight(name), axis=1, limit=127)
    return [
        helper.make_node("Gather", [graph.constant(f"{name}.int8", rows), ids], [f"{out}.int8"]),
        helper.make_node("Cast", [f"{out}.int8"], [f"{out}.float"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [graph.constant(f"{name}.scale", scale), ids], [f"{out}.scale"]),
        helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out]),
    ]


def _rounded(weight: NDArray[np.float32], axis: int, *, limit: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric integers up to ``limit`` and their scales, one for each slice across ``axis``."""
    scale = np.maximum(np.abs(weight).max(axis, keepdims=True) / limit, _TINY).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def _middle(graph: _Graph) -> str:
    """The zero point: processors multiply unsigned by signed bytes faster than signed by signed."""
    return graph.constant("maeum.zero", np.array(128, np.uint8))


def _step(graph: _Graph) -> str:
    """What one step of a rounded row is worth, in units of its largest magnitude."""
    return graph.constant("maeum.step", np.array(1 / 127, np.float32))


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

    def constant(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._made:
            self._made[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def replace(self, node: NodeProto, new: list[NodeProto]) -> None:
        for place, (old, _) in enumerate(self._nodes):
            if old is node:
                self._nodes[place] = (old, new)

    def finished(self) -> ModelProto:
        """The rewritten model without weights that nothing uses any more."""
        graph = self._model.graph
        nodes = [new for _, news in self._nodes for new in news]
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        used = {name for node in copies for name in node.input} | {item.name for item in graph.output}
        kept = [TensorProto.FromString(item.SerializeToString()) for item in graph.initializer if item.name in used]
        del graph.initializer[:]
        graph.initializer.extend([*kept, *self._made.values()])
        if not any(item.domain == "com.microsoft" for item in self._model.opset_import):
            self._model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        onnx.checker.check_model(self._model)
        return self._model
