"""The linear model as an ONNX graph: weighted features in, probabilities out.

A batch of sparse rows is three arrays, as in a CSR matrix: ``columns`` (z,) int64 and ``values`` (z,) fp32 of all
features, and ``rows`` (z,) int64, the row each belongs to; ``count`` (1,) int64 is the number of rows n. The graph gives
``probabilities`` (n, k). Turning text into features (hashed n-grams) stays in ``maeum.models.ngrams``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx  # noqa: TID253  only exporting imports this module, and it needs onnx anyway
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper  # noqa: TID253

from maeum.exporting.graphs import OPSET
from maeum.models.linear import LinearClassifier
from maeum.task import Task


def linear_graph(model: LinearClassifier) -> ModelProto:
    """The graph of a fitted linear model; weights stay fp16 with a scale per column, as the model keeps them."""
    state, task = model._state, model.task
    build = _Builder()
    # one sum per row, in the order of its features: the same whatever stands beside it
    build.add("Gather", ["weights", "columns"], "picked.half")
    build.add("Cast", ["picked.half"], "picked", to=TensorProto.FLOAT)
    build.add("Unsqueeze", ["values", build.put("one", np.array([1], np.int64))], "value.column")
    build.add("Mul", ["picked", "value.column"], "terms")
    views = state["weights"].shape[1]
    build.add("Concat", ["count", build.put("views", np.array([views], np.int64))], "shape", axis=0)
    build.add("ConstantOfShape", ["shape"], "zeros")
    build.add("Unsqueeze", ["rows", "one"], "row.column")
    build.add("ScatterND", ["zeros", "row.column", "terms"], "sums", reduction="add")
    build.put("weights", state["weights"])
    build.add("Mul", ["sums", build.put("scale", state["scale"])], "scaled")
    build.add("Add", ["scaled", build.put("bias", state["bias"])], "raw")
    build.standardised("raw", state["mean"], state["sd"], "z")
    top = _second_stage(build, state) if "beta" in state else _view_mean(build, views, len(state["platt_a"]))
    build.standardised(top, state["top_mean"], state["top_sd"], "unit")
    build.add("Mul", ["unit", build.put("platt_a", state["platt_a"])], "slope")
    build.add("Add", ["slope", build.put("platt_b", state["platt_b"])], "logit")
    _squashed(build, task)
    return build.model(task)


def _second_stage(build: _Builder, state: dict[str, NDArray[Any]]) -> str:
    """Random Fourier features and the scores themselves, times beta (``stacking.fourier_features``)."""
    size = state["rff_w"].shape[1]
    build.add("MatMul", ["z", build.put("rff_w", state["rff_w"])], "wave.raw")
    build.add("Add", ["wave.raw", build.put("rff_b", state["rff_b"])], "wave")
    build.add("Cos", ["wave"], "cosine")
    build.add("Mul", ["cosine", build.put("rff_size", np.array(np.sqrt(2 / size), np.float32))], "features")
    build.add("Mul", ["z", build.put("tenth", np.array(0.1, np.float32))], "shrunk")
    build.add("Concat", ["features", "shrunk"], "phi", axis=1)
    build.add("MatMul", ["phi", build.put("beta", state["beta"])], "second")
    build.add("Add", ["second", build.put("beta0", state["beta0"])], "top")
    return "top"


def _view_mean(build: _Builder, views: int, k: int) -> str:
    build.add("Reshape", ["z", build.put("split", np.array([-1, views // k, k], np.int64))], "by.view")
    build.add("ReduceMean", ["by.view"], "top", axes=[1], keepdims=0)
    return "top"


def _squashed(build: _Builder, task: Task) -> None:
    if task.kind != "multiclass":
        build.add("Sigmoid", ["logit"], "probabilities")
        return
    logits = "logit"
    if len(task) == 2:  # one column was solved for: softmax of (0, z)
        build.add("Mul", ["logit", build.put("nothing", np.array(0, np.float32))], "first.class")
        build.add("Concat", ["first.class", "logit"], "both.classes", axis=1)
        logits = "both.classes"
    build.add("Softmax", [logits], "probabilities", axis=1)


class _Builder:
    """Nodes and constants of a graph that is being written."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def put(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))

    def standardised(self, name: str, mean: NDArray[Any], sd: NDArray[Any], output: str) -> None:
        self.add("Sub", [name, self.put(f"{output}.mean", mean.astype(np.float32))], f"{output}.centred")
        self.add("Div", [f"{output}.centred", self.put(f"{output}.sd", sd.astype(np.float32))], output)

    def model(self, task: Task) -> ModelProto:
        number, real = TensorProto.INT64, TensorProto.FLOAT
        inputs = [
            helper.make_tensor_value_info("columns", number, ["features"]),
            helper.make_tensor_value_info("values", real, ["features"]),
            helper.make_tensor_value_info("rows", number, ["features"]),
            helper.make_tensor_value_info("count", number, [1]),
        ]
        outputs = [helper.make_tensor_value_info("probabilities", real, ["texts", len(task)])]
        graph = helper.make_graph(self.nodes, "maeum-linear", inputs, outputs, list(self.constants.values()))
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(made)
        return made
