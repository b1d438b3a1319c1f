"""A fine-tuned encoder as an ONNX graph: token windows in, logits out.

The exporter is torch's tracing one (``dynamo=False``): the newer one silently freezes the sequence length of the
recurrent head. The graph is optimised here, once, by onnxruntime itself as far as that does not depend on the processor.
"""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx  # noqa: TID253  only exporting imports this module, and it needs onnx anyway
import torch  # noqa: TID253
from onnx import ModelProto  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from maeum._onnxruntime import onnxruntime
from maeum.bases.exported import TRANSPOSED, TWINS
from maeum.exporting.fusing import with_fused_attention

if TYPE_CHECKING:
    from maeum.models._label_model import LabelModel
    from maeum.models.encoder import EncoderClassifier

OPSET = 17


def encoder_graph(model: EncoderClassifier) -> ModelProto:
    """The graph of an encoder in fp32.

    Inputs ``input_ids``, ``attention_mask`` and, where the encoder looks at segments, ``token_type_ids``, (w, L) int64;
    outputs ``logits`` (w, k) and with a ``mean`` head ``vector`` (w, h), the mean of the tokens' states.
    """
    network = copy.deepcopy(model.network).to("cpu").float().eval()
    ids = torch.tensor([[0, 1, 2, 1, 2, 1, 2], [0, 1, 2, 1, 2, 0, 0]])
    mask = (torch.tensor([[1] * 7, [1] * 5 + [0] * 2])).long()
    example = {"input_ids": ids, "attention_mask": mask}
    if uses_segments(model):
        example["token_type_ids"] = torch.zeros_like(ids)
    outputs = ["logits", "vector"] if network.head_name == "mean" else ["logits"]
    axes: dict[str, dict[int, str]] = {name: {0: "windows", 1: "tokens"} for name in example}
    axes |= {name: {0: "windows"} for name in outputs}
    with (
        tempfile.TemporaryDirectory() as place,
        _plain_attention(network.backbone),
        warnings.catch_warnings(),
        torch.no_grad(),
    ):
        path = Path(place) / "traced.onnx"
        # the tracer warns of every branch it cannot follow; the parity test is what tells whether it mattered
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Windowed(network),
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        traced = onnx.load(path)
    return with_fused_attention(_named(optimised(traced), _Windowed(network)))


def _named(model: ModelProto, network: nn.Module) -> ModelProto:
    """The graph with every weight under the name it has in torch: the way back (``maeum.bases.exported``) needs them.

    The exporter folds a matrix with its transposition into a nameless one, and keeps equal weights only once.
    """
    state = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    turned = {array.T.tobytes(): name + TRANSPOSED for name, array in state.items() if array.ndim == 2}
    renamed: dict[str, str] = {}
    kept: dict[bytes, str] = {}
    for item in model.graph.initializer:
        content = onnx.numpy_helper.to_array(item).tobytes()
        if item.name.startswith("onnx::") and len(item.dims) == 2:
            name = turned.pop(content, item.name)
            renamed[item.name], item.name = name, name
        kept.setdefault(content, item.name)
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = renamed.get(name, name)
    there = {item.name.removesuffix(TRANSPOSED) for item in model.graph.initializer}
    twins = {
        name: kept[content]
        for name, array in state.items()
        if name not in there and (content := array.tobytes()) in kept
    }
    onnx.helper.set_model_props(model, {TWINS: json.dumps(twins)})
    return model


def uses_segments(model: EncoderClassifier) -> bool:
    """Whether windows of this encoder carry segment ids."""
    return model.windows.frame.first_type is not None


def optimised(model: ModelProto) -> ModelProto:
    """The same graph with constants folded and nodes fused by onnxruntime, for any processor."""
    ort = onnxruntime()

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = onnx.load(path)
    del found.graph.value_info[:]
    return found


def with_metadata(model: ModelProto, metadata: Mapping[str, str]) -> ModelProto:
    """The model with string properties that any program can read."""
    kept = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(model, {**kept, **metadata})
    model.producer_name = "maeum"
    return model


class _Windowed(nn.Module):
    """The network as the graph has it."""

    def __init__(self, network: LabelModel) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        words = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            words["token_type_ids"] = token_type_ids
        out = self.network.backbone(**words)
        logits = self.network.logits_of(out, attention_mask)
        if self.network.head_name != "mean":
            return logits
        head: Any = self.network.head
        return logits, head.vector(out.last_hidden_state, attention_mask)


@contextmanager
def _plain_attention(backbone: Any) -> Iterator[None]:
    """Attention written out: what ``fusing`` knows."""
    before = getattr(backbone.config, "_attn_implementation", None)
    try:
        backbone.set_attn_implementation("eager")
    except (AttributeError, ValueError):
        before = None
    try:
        yield
    finally:
        if before is not None:
            backbone.set_attn_implementation(before)
