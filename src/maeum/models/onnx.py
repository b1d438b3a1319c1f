"""Exported encoders: an ONNX graph, a tokenizer and what is to be known of both; needs neither torch nor transformers.

::

    model.onnx       token windows in, ``logits`` (w, k) out; of heads that pool a vector also ``vector`` (w, h)
    tokenizer.json   as the ``tokenizers`` package reads it
    onnx.json        special tokens, how texts become windows and windows become texts again, how it is run
    hf/              the small files of transformers, for the way back to an encoder that can be trained further

Texts become windows as in training (``windows``) and windows become texts as in training (``batching``): the same
functions, so the same numbers. Calibration and thresholds are the model folder's; the graph's metadata repeats them for
other programs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from maeum._files import pretty_json, read_json, write_text
from maeum.bases.exported import SMALL_FILES
from maeum.data import Input
from maeum.errors import FormatError
from maeum.hf.frame import Frame
from maeum.models._backend import BackendTokenizer
from maeum.models._sessions import ROWS, Engine, Outputs, Rows
from maeum.models.base import Proba, check_inputs
from maeum.models.batching import Floats, join, probabilities
from maeum.models.blocks import Blocks
from maeum.models.windows import TARGET_INPUTS, TargetInput, Window, Windows
from maeum.task import Task

FILES = ("model.onnx", "tokenizer.json", "onnx.json")
FORMAT = 1
_TEXTS = 64
"""Texts tokenised at a time, while the windows of earlier ones are being worked on."""


@dataclass(frozen=True)
class OnnxSettings:
    """What ``onnx.json`` says."""

    frame: Frame
    specials: Mapping[str, int]
    """Special tokens that no text may bring along."""
    unknown: int
    target_input: TargetInput
    max_length: int
    overlap: float
    markers: tuple[int, ...]
    aggregate: Literal["max", "mean"]
    width: int
    """Width of the encoder's states."""
    head: str
    """What made the logits: cls, mean, bigru."""
    precision: str
    rows: Rows = "same-length"
    blocks: tuple[Mapping[str, Any], ...] = ()
    """Whose columns are which, where several tasks share the graph."""
    origin: str = ""
    """Fingerprint of the model folder that was exported."""
    versions: Mapping[str, str] | None = None
    """Of the packages that exported it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read ``to_dict``'s form.

        Raises:
            FormatError: it is from a newer version, or not such a file.
        """
        words = dict(data)
        try:
            if int(words.pop("format")) > FORMAT:
                raise FormatError(
                    "onnx.json을 더 새로운 maeum이 만들었습니다. maeum을 올려 주세요.",
                    "onnx.json was made by a newer maeum; upgrade maeum",
                )
            frame: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in words.pop("frame").items()
            }
            words["markers"], words["blocks"] = tuple(words["markers"]), tuple(words["blocks"])
            found = cls(frame=Frame(**frame), **words)
            known = found.rows in ROWS and found.target_input in TARGET_INPUTS and found.aggregate in ("max", "mean")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unreadable(str(error)) from error
        if not known:
            raise _unreadable(f"{found.rows}, {found.target_input}, {found.aggregate}")
        return found


class OnnxTrunk:
    """Reads texts with an exported encoder.

    Args:
        folder: holds ``FILES``; they are read when they are needed and copied by ``save``.
        threads: workers; None: the cores this process may use.
    """

    kind = "onnx"

    def __init__(self, folder: Path, settings: OnnxSettings, *, threads: int | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.blocks = Blocks.from_list(settings.blocks)
        self.engine = Engine(folder / "model.onnx", rows=settings.rows, threads=threads)
        self._windows = Windows(
            BackendTokenizer(folder / "tokenizer.json", settings.specials, settings.unknown),
            settings.frame,
            settings.target_input,
            settings.max_length,
            settings.overlap,
            settings.markers,
        )

    @classmethod
    def open(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The trunk in a folder.

        Raises:
            FormatError: a file is not what it should be.
        """
        return cls(folder, OnnxSettings.from_dict(read_json(folder / "onnx.json")), threads=threads)

    def save(self, folder: Path) -> None:
        """Copy its files into an existing, empty folder."""
        for name in FILES:
            shutil.copyfile(self.folder / name, folder / name)
        if (small := self.folder / SMALL_FILES).is_dir():
            shutil.copytree(small, folder / SMALL_FILES)

    def windows(self, inputs: Sequence[Input]) -> list[tuple[Window, ...]]:
        """The windows of each input, at least one."""
        return self._windows(inputs)

    def run(self, windows: Iterable[Window]) -> Outputs:
        """Of windows w: ``logits`` (w, k) and, where the head pools one, ``vector`` (w, h)."""
        return self.engine.run(windows)

    def logits(self, inputs: Sequence[Input]) -> Floats:
        """Logits (n, k) of texts."""
        outputs, owner = self._outputs(inputs)
        return join(outputs["logits"], owner, len(inputs), self.settings.aggregate)

    def vectors(self, inputs: Sequence[Input]) -> Floats:
        """Sentence vectors (n, h); of a text of several windows their mean.

        Raises:
            FormatError: the head of this model makes no such vector.
        """
        outputs, owner = self._outputs(inputs)
        if "vector" not in outputs:
            raise FormatError(
                f"머리가 '{self.settings.head}'인 모델에는 문장 벡터가 없습니다. 머리가 mean인 모델을 쓰세요.",
                f"a model with head '{self.settings.head}' has no sentence vectors; use one with head 'mean'",
            )
        return join(outputs["vector"], owner, len(inputs), "mean")

    def _outputs(self, inputs: Sequence[Input]) -> tuple[Outputs, Any]:
        """Outputs of all windows, and the number of the text each belongs to."""
        counts: list[int] = []

        def stream() -> Iterator[Window]:
            for start in range(0, len(inputs), _TEXTS):
                for windows in self._windows(inputs[start : start + _TEXTS]):
                    counts.append(len(windows))
                    yield from windows

        outputs = self.run(stream())
        return outputs, np.repeat(np.arange(len(inputs)), counts)


class OnnxPredictor:
    """An exported encoder as a predictor."""

    kind = "onnx"

    def __init__(self, task: Task, trunk: OnnxTrunk) -> None:
        self.task = task
        self.trunk = trunk

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k)."""
        check_inputs(inputs)
        if not len(inputs):
            return np.zeros((0, len(self.task)), np.float32)
        return probabilities(self.trunk.logits(inputs), self.task.kind)

    def save(self, folder: Path) -> None:
        """``FILES``."""
        self.trunk.save(folder)

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote."""
        return cls(task, OnnxTrunk.open(folder))


def write_settings(settings: OnnxSettings, folder: Path) -> None:
    """``onnx.json``."""
    write_text(folder / "onnx.json", pretty_json(settings.to_dict()))


def _unreadable(what: str) -> FormatError:
    return FormatError(f"onnx.json을 읽을 수 없습니다: {what}", f"cannot read onnx.json: {what}")
