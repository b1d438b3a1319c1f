"""Predictors as ONNX predictors, kind by kind; what cannot be kept exact is refused by name."""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maeum._files import pretty_json, write_text
from maeum._version import __version__
from maeum.bases.exported import SMALL_FILES
from maeum.errors import UsageError
from maeum.exporting.parity import Parity, encoder_parity, text_parity
from maeum.exporting.samples import feeds, sample_inputs
from maeum.exporting.verdict import Precision
from maeum.models.base import Predictor
from maeum.models.ensemble import MeanPredictor
from maeum.models.onnx import OnnxPredictor, OnnxSettings, OnnxTrunk, write_settings
from maeum.models.onnx_linear import FORMAT as LINEAR_FORMAT
from maeum.models.onnx_linear import OnnxLinear

if TYPE_CHECKING:
    from onnx import ModelProto

    from maeum.models.encoder import EncoderClassifier
    from maeum.models.linear import LinearClassifier

SAMPLED = 192
"""Sample texts that fixed ranges of int8 are found on."""
LARGEST = 2_000_000_000
"""Bytes of fp32 weights: protobuf, and with it a graph in one file, ends at 2 GiB."""


@dataclass
class Exporter:
    """Writes graphs.

    Args:
        work: folder for the files, which the predictors returned read from.
        origin: fingerprint of the model folder.
        metadata: string properties of every graph: task, thresholds, calibration, text preparation.
    """

    work: Path
    origin: str
    metadata: Mapping[str, str]
    parities: list[Parity] = field(default_factory=list)
    """Of the fp32 graphs made so far."""

    def full(self, model: Predictor) -> Predictor:
        """The fp32 ONNX predictor of a model, compared with it.

        Raises:
            UsageError: models of this kind, or this very one, cannot be exported.
            ParityError: the graph says something else than the model.
        """
        if model.kind == "mean":
            return _mean(model, self.full)
        makers: dict[str, Callable[[Any], Predictor]] = {"encoder": self._encoder, "linear": self._linear}
        if model.kind not in makers:
            raise _refused(model.kind)
        return makers[model.kind](model)

    def trunk(self, model: EncoderClassifier) -> OnnxTrunk:
        """The fp32 ONNX trunk of an encoder, not yet compared with it."""
        from maeum.exporting.graphs import encoder_graph

        _check_encoder(model)
        place = self._place()
        settings = encoder_settings(model, self.origin)
        self._write(encoder_graph(model), place)
        _write_tokenizer(model.tokenizer, place)
        _write_small_files(model, place)
        write_settings(settings, place)
        return OnnxTrunk.open(place)

    def compared(self, model: EncoderClassifier, trunk: OnnxTrunk) -> OnnxPredictor:
        """A predictor of all columns of a trunk, compared with the encoder it was made from."""
        exported = OnnxPredictor(model.task, trunk)
        self.parities.append(encoder_parity(model, exported, trunk.folder / "model.onnx"))
        return exported

    def smaller(self, model: Predictor, precision: Precision) -> Predictor:
        """The same with a smaller graph; the very model where there is none."""
        if isinstance(model, MeanPredictor):
            found = [self.smaller(member, precision) for member in model.members]
            if all(new is old for new, old in zip(found, model.members, strict=True)):
                return model
            return MeanPredictor(model.task, found)
        if isinstance(model, OnnxPredictor):
            return OnnxPredictor(model.task, self.smaller_trunk(model.trunk, precision))
        return model

    def smaller_trunk(self, trunk: OnnxTrunk, precision: Precision) -> OnnxTrunk:
        """A trunk with int8 or fp16 weights."""
        import onnx

        from maeum.exporting.quantizing import to_fp16, to_int8

        place = self._place()
        trunk.save(place)
        graph = onnx.load(trunk.folder / "model.onnx")
        if precision == "int8":
            inputs = sample_inputs()
            some = inputs[:: -(-len(inputs) // SAMPLED)]
            smaller = to_int8(graph, feeds(window for windows in trunk.windows(some) for window in windows))
        else:
            smaller = to_fp16(graph)
        self._write(smaller, place)
        settings = OnnxSettings.from_dict({**trunk.settings.to_dict(), "precision": precision})
        write_settings(settings, place)
        return OnnxTrunk.open(place)

    def _encoder(self, model: EncoderClassifier) -> Predictor:
        return self.compared(model, self.trunk(model))

    def _linear(self, model: LinearClassifier) -> Predictor:
        from safetensors.numpy import save_file

        from maeum.exporting.linear_graph import linear_graph

        place = self._place()
        self._write(linear_graph(model), place)
        arrays = {name: np.ascontiguousarray(model._state[name]) for name in ("buckets", "idf")}
        save_file(arrays, place / "vocabulary.safetensors")
        about = {"format": LINEAR_FORMAT, "ngrams": asdict(model._ngrams), "precision": "fp32", "origin": self.origin}
        write_text(place / "onnx.json", pretty_json({**about, "versions": versions()}))
        exported = OnnxLinear.load(place, model.task)
        self.parities.append(text_parity(model, exported))
        return exported

    def _place(self) -> Path:
        place = self.work / str(len(list(self.work.iterdir())))
        place.mkdir()
        return place

    def _write(self, graph: ModelProto, place: Path) -> None:
        import onnx

        from maeum.exporting.graphs import with_metadata

        onnx.save(with_metadata(graph, {**self.metadata, "maeum.version": __version__}), place / "model.onnx")


def encoder_settings(model: EncoderClassifier, origin: str) -> OnnxSettings:
    """What is to be known of an encoder's graph."""
    windows, network = model.windows, model.network
    specials, unknown = windows.special_tokens
    blocks = getattr(model, "blocks", None)
    return OnnxSettings(
        frame=windows.frame,
        specials=specials,
        unknown=unknown,
        target_input=windows.target_input,
        max_length=windows.max_length,
        overlap=windows.overlap,
        markers=windows.markers,
        aggregate=network.aggregate,
        width=network.width,
        head=network.head_name,
        precision="fp32",
        blocks=() if blocks is None else tuple(blocks.to_list()),
        origin=origin,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Of the packages that make graphs."""
    names = ("maeum", "torch", "transformers", "tokenizers", "onnx", "onnxruntime")
    return {name: importlib.metadata.version(name) for name in names if _installed(name)}


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _mean(model: Any, convert: Callable[[Predictor], Predictor]) -> Predictor:
    return MeanPredictor(model.task, [convert(member) for member in model.members])


def _write_tokenizer(tokenizer: Any, place: Path) -> None:
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(place / "tokenizer.json"))


def _write_small_files(model: EncoderClassifier, place: Path) -> None:
    """What transformers needs beside weights and ``tokenizer.json``: the way back (``maeum.bases.exported``) copies it."""
    (place / SMALL_FILES).mkdir()
    with tempfile.TemporaryDirectory() as work:
        model.network.backbone.config.save_pretrained(work)
        model.tokenizer.save_pretrained(work)
        for name in ("config.json", "tokenizer_config.json", "special_tokens_map.json"):
            if (Path(work) / name).is_file():
                shutil.copyfile(Path(work) / name, place / SMALL_FILES / name)


def _check_encoder(model: EncoderClassifier) -> None:
    """Refuse encoders whose rows depend on padding, and those that do not fit in one file."""
    name = model.network.backbone.config.model_type
    size = 4 * sum(parameter.numel() for parameter in model.network.parameters())
    if size > LARGEST:
        raise UsageError(
            f"이 인코더의 가중치는 {size / 1e9:.1f} GB라 ONNX 파일 하나(2 GB까지)에 들어가지 않습니다. "
            "'maeum distill'로 더 작은 인코더에 옮긴 뒤 내보내세요.",
            f"this encoder's weights are {size / 1e9:.1f} GB, more than one ONNX file holds (2 GB); "
            "move it to a smaller encoder with 'maeum distill' and export that",
        )
    if name == "funnel":
        raise UsageError(
            "구조가 funnel인 인코더는 답이 패딩 길이에 따라 달라져 그대로 내보낼 수 없습니다. "
            "'maeum distill'로 다른 인코더에 옮긴 뒤 내보내세요.",
            "a funnel encoder's answers depend on how far a row is padded, so it cannot be exported exactly; "
            "move it to another encoder with 'maeum distill' and export that",
        )


_INSTEAD = {
    "vote": (
        "투표 모델은 멤버마다 글 준비와 기준값이 달라 그래프 하나가 되지 않습니다. 멤버를 하나씩 내보내 'maeum ensemble'로 묶거나, "
        "'maeum distill'로 한 모델에 옮긴 뒤 내보내세요.",
        "a vote's members prepare text each in their own way, so they are no single graph; export the members one by one "
        "and join them with 'maeum ensemble', or move them into one model with 'maeum distill'",
    ),
    "review": (
        "리뷰 모델은 두 단계라 그래프 하나가 되지 않습니다. DIR/model/aspects와 DIR/model/sentiment를 따로 내보내세요.",
        "a review model has two stages, so it is no single graph; export DIR/model/aspects and DIR/model/sentiment",
    ),
    "onnx": ("이미 내보낸 모델입니다. 원래 모델을 주세요.", "this is an exported model already; give the original"),
    "onnx-linear": (
        "이미 내보낸 모델입니다. 원래 모델을 주세요.",
        "this is an exported model already; give the original",
    ),
}


def _refused(kind: str) -> UsageError:
    ko, en = _INSTEAD.get(
        kind,
        (
            "ONNX로 내보낼 수 있는 것은 encoder와 linear뿐입니다. 'maeum distill'로 그런 모델에 옮긴 뒤 내보내세요.",
            "only encoder and linear models export to ONNX; move it into one of them with 'maeum distill' and export that",
        ),
    )
    return UsageError(f"'{kind}' 모델은 내보낼 수 없습니다: {ko}", f"a '{kind}' model cannot be exported: {en}")
