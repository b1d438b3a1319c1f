"""Attention as one operator, in two forms: with the mask where windows are padded, without it where none is.

onnxruntime's ``MultiHeadAttention`` works through the scores in blocks that stay in the cache, but only where nothing is
added to them; our own engine never pads, so a mask of ones is what it always sees. Every window and head is worked on by
itself in both forms, so the other windows of a batch move nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import onnx  # noqa: TID253  only exporting imports this module, and it needs onnx anyway
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper  # noqa: TID253

UNPADDED = "maeum.unpadded"
"""Value of the graph: whether the attention mask holds ones only."""
_TO_HEADS, _TO_COLUMNS = [0, 2, 1, 3], [0, 2, 3, 1]


@dataclass(frozen=True)
class _Attention:
    """softmax(q kᵀ · scale + bias) v, heads side by side in the last axis of all of them."""

    query: str
    key: str
    value: str
    bias: str
    output: str
    heads: int
    scale: float
    last: NodeProto
    """The node whose place the operator takes."""

    def node(self) -> NodeProto:
        return helper.make_node(
            "If",
            [UNPADDED],
            [self.output],
            then_branch=self._branch("unpadded", []),
            else_branch=self._branch("padded", ["", "", self.bias]),
        )

    def _branch(self, name: str, more: list[str]) -> onnx.GraphProto:
        output = f"{self.output}.{name}"
        node = helper.make_node(
            "MultiHeadAttention",
            [self.query, self.key, self.value, *more],
            [output],
            domain="com.microsoft",
            num_heads=self.heads,
            scale=self.scale,
        )
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])


def with_fused_attention(model: ModelProto) -> ModelProto:
    """A copy with every attention of the usual kind fused; others (relative positions, …) stay as they are."""
    fused = ModelProto()
    fused.CopyFrom(model)
    graph = fused.graph
    originals = list(graph.node)
    links = _Links(originals, graph.initializer)
    found = [each for node in originals if node.op_type == "Softmax" and (each := links.attention(node)) is not None]
    if not found:
        return fused
    places = {id(each.last): each for each in found}
    nodes = [*_all_ones(), *(places[id(node)].node() if id(node) in places else node for node in originals)]
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    nodes = _needed(nodes, {output.name for output in graph.output})
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in inputs_of(node)} | {output.name for output in graph.output}
    kept = [item for item in graph.initializer if item.name in used]
    kept = [TensorProto.FromString(item.SerializeToString()) for item in kept]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return fused


def inputs_of(node: NodeProto) -> Iterator[str]:
    """Names that a node reads, those that its branches read included."""
    yield from node.input
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            for inner in item.g.node:
                yield from inputs_of(inner)


def _all_ones() -> list[NodeProto]:
    smallest = f"{UNPADDED}.smallest"
    return [
        helper.make_node("ReduceMin", ["attention_mask"], [smallest], keepdims=0),
        helper.make_node("Cast", [smallest], [UNPADDED], to=TensorProto.BOOL),
    ]


def _needed(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Nodes whose results something uses."""
    kept: list[NodeProto] = []
    used = set(outputs)
    for node in reversed(nodes):
        if used.intersection(node.output):
            kept.append(node)
            used.update(inputs_of(node))
    return kept[::-1]


class _Links:
    """Who makes and who reads the values of a graph."""

    def __init__(self, nodes: Sequence[NodeProto], weights: Iterable[TensorProto]) -> None:
        self._makers = {name: node for node in nodes for name in node.output}
        self._weights = {item.name: item for item in weights}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in nodes:
            for name in inputs_of(node):
                self._readers.setdefault(name, []).append(node)

    def attention(self, softmax: NodeProto) -> _Attention | None:
        """The attention around a softmax; None: it is of another kind."""
        biased = self._only(self._maker(softmax.input[0], "Add"))
        if _number(softmax, "axis", -1) not in (-1, 3) or biased is None:
            return None
        scores, bias = self._maker(biased.input[0], "FusedMatMul"), biased.input[1]
        context = self._reader(softmax.output[0], "MatMul")
        if self._only(scores) is None or scores is None or context is None or context.input[0] != softmax.output[0]:
            return None
        turned = self._reader(context.output[0], "Transpose")
        joined = None if turned is None else self._reader(turned.output[0], "Reshape")
        names = (scores.input[0], scores.input[1], context.input[1])
        sides = [self._split(*side) for side in zip(names, (_TO_HEADS, _TO_COLUMNS, _TO_HEADS), strict=True)]
        if turned is None or joined is None or _list(turned, "perm") != _TO_HEADS or not _is_plain(scores):
            return None
        if any(side is None for side in sides) or len({side[1:] for side in sides if side is not None}) != 1:
            return None
        (query, width, depth), (key, *_), (value, *_) = (side for side in sides if side is not None)
        if width % depth or self._rank(joined) != 3:
            return None
        scale = next(item.f for item in scores.attribute if item.name == "alpha")
        return _Attention(query, key, value, bias, joined.output[0], width // depth, scale, joined)

    def _split(self, name: str, order: list[int]) -> tuple[str, int, int] | None:
        """What was split into heads and turned: its name, its width and the width of a head."""
        turned = self._only(self._maker(name, "Transpose"))
        split = None if turned is None else self._only(self._maker(turned.input[0], "Reshape"))
        if turned is None or split is None or _list(turned, "perm") != order or self._rank(split) != 4:
            return None
        biased, depth = self._maker(split.input[0], "Add"), self._last_size(split)
        widths = [] if biased is None else [self._weights[each].dims for each in biased.input if each in self._weights]
        if len(widths) != 1 or len(widths[0]) != 1 or depth is None or depth <= 0:
            return None
        return split.input[0], int(widths[0][0]), depth

    def _shape(self, reshape: NodeProto) -> list[str] | None:
        """Names of the parts that a shape is put together of."""
        made = self._maker(reshape.input[1], "Concat")
        return None if made is None else list(made.input)

    def _rank(self, reshape: NodeProto) -> int | None:
        parts = self._shape(reshape)
        if parts is not None:
            return len(parts)
        found = self._weights.get(reshape.input[1])
        return None if found is None else int(found.dims[0])

    def _last_size(self, reshape: NodeProto) -> int | None:
        parts = self._shape(reshape)
        found = self._weights.get(reshape.input[1] if parts is None else parts[-1])
        return None if found is None else int(numpy_helper.to_array(found).ravel()[-1])

    def _maker(self, name: str, operator: str) -> NodeProto | None:
        found = self._makers.get(name)
        return found if found is not None and found.op_type == operator else None

    def _reader(self, name: str, operator: str) -> NodeProto | None:
        found = self._readers.get(name, [])
        return found[0] if len(found) == 1 and found[0].op_type == operator else None

    def _only(self, node: NodeProto | None) -> NodeProto | None:
        """The node, if a single other one reads its result."""
        return node if node is not None and len(self._readers.get(node.output[0], [])) == 1 else None


def _is_plain(product: NodeProto) -> bool:
    """Whether it is a · b and neither is turned."""
    flags = [_number(product, name, 0) for name in ("transA", "transB", "transBatchA", "transBatchB")]
    return not any(flags)


def _number(node: NodeProto, name: str, default: int) -> int:
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def _list(node: NodeProto, name: str) -> list[int]:
    return next((list(item.ints) for item in node.attribute if item.name == name), [])
