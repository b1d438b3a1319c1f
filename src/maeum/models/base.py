"""The contract every model keeps, whatever is inside it.

A model gives probabilities and nothing else; decisions belong to ``Thresholds``. For every ``Predictor``:

- ``predict_proba(inputs)`` is float32 of shape (n, k), columns in ``task.keys`` order, values in [0, 1];
- multiclass rows sum to 1, multilabel columns are independent;
- no inputs give shape (0, k); a bare ``str`` is a ``TypeError``; input order is kept;
- neither the batch size nor the other inputs of a batch change a row;
- ``save`` then ``load`` gives the same numbers; an unfitted model raises ``NotFitted``.

``tests/contract/test_predictor.py`` holds every model kind to it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maeum._progress import Line
from maeum.data import Input
from maeum.errors import FormatError, UsageError
from maeum.task import Task

Proba = NDArray[np.float32]
Labels = NDArray[np.uint8]


@runtime_checkable
class Predictor(Protocol):
    """Anything that gives label probabilities. ONNX files and ensembles stop here."""

    kind: str
    """Name in ``MODEL_KINDS``; written into the folder, so that loading needs no class path from data."""
    task: Task

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k) in ``task.keys`` order."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model's own files into an existing, empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote."""
        ...


@runtime_checkable
class Classifier(Predictor, Protocol):
    """A predictor that can be trained. Settings come in its constructor; its seed fixes the result on CPU."""

    def fit(self, inputs: Sequence[Input], y: Labels) -> Self:
        """Train on inputs and labels (n, k)."""
        ...


@runtime_checkable
class Grades(Protocol):
    """A predictor of an aspect task: its labels are aspects, and each of them has a grade."""

    def grade(self, inputs: Sequence[Input], on: NDArray[Any]) -> list[list[dict[str, Any]]]:
        """For each input, and each aspect that is on in (n, k), ``{"aspect", "sentiment", "sentiment_scores"}``."""
        ...


@runtime_checkable
class FitsFolds(Protocol):
    """A classifier that gets out-of-fold probabilities on the way to its final model, more cheaply than fold by fold."""

    def fit_folds(self, inputs: Sequence[Input], y: Labels, fold: NDArray[np.int64]) -> Proba:
        """Train on all rows and return the out-of-fold probabilities (n, k) for the fold numbers (n,)."""
        ...


@runtime_checkable
class FitsWatched(Protocol):
    """A classifier whose training takes long: it is watched on held-out rows and goes on after a kill."""

    history: list[dict[str, Any]]
    """What was measured along the way."""

    def fit_watched(
        self,
        inputs: Sequence[Input],
        y: Labels,
        *,
        held: tuple[Sequence[Input], Labels] | None,
        work: Path | None,
        name: str,
        progress: Line,
    ) -> Self:
        """Train; look at ``held`` along the way; keep what is needed to go on in the folder ``work``."""
        ...


MODEL_KINDS: dict[str, str] = {
    "linear": "maeum.models.linear:LinearClassifier",
    "mean": "maeum.models.ensemble:MeanPredictor",
    "encoder": "maeum.models.encoder:EncoderClassifier",
    "decoder": "maeum.models.decoder:DecoderClassifier",
    "decoder-cls": "maeum.models.decoder_cls:DecoderClsClassifier",
    "frozen": "maeum.models.frozen:FrozenClassifier",
    "head": "maeum.models.head:HeadPredictor",
    "onnx": "maeum.models.onnx:OnnxPredictor",
    "onnx-linear": "maeum.models.onnx_linear:OnnxLinear",
    "vote": "maeum.voting:VotePredictor",
    "review": "maeum.reviews:ReviewPredictor",
}
"""Model kind → where its class is. A closed table: no import path is ever taken from a file."""


TRAINABLE = ("linear", "frozen", "encoder", "decoder", "decoder-cls")
"""Kinds that ``--model`` can name."""


def load_predictor(kind: str, folder: Path, task: Task) -> Predictor:
    """Load a saved model by its kind.

    Raises:
        FormatError: the kind is unknown to this version.
    """
    if kind not in MODEL_KINDS:
        raise FormatError(
            f"모델 종류 '{kind}'을(를) 이 버전은 모릅니다. maeum을 올려 주세요.",
            f"this version does not know the model kind '{kind}'; upgrade maeum",
        )
    model: Predictor = _class(kind).load(folder, task)
    return model


def make_classifier(spec: str, task: Task, *, seed: int, options: dict[str, Any] | None = None) -> Classifier:
    """A new classifier from ``--model SPEC`` (``linear``; ``kind:argument`` for kinds that take one).

    Raises:
        UsageError: no such model kind can be trained.
    """
    kind, _, argument = spec.partition(":")
    if kind not in TRAINABLE or bool(argument) != (kind != "linear"):
        raise UsageError(
            f"모델 '{spec}'은(는) 학습할 수 없습니다. 쓸 수 있는 것: linear, mini, frozen:폴더, "
            "encoder:폴더_또는_허브_id, decoder:…, decoder-cls:…",
            f"model '{spec}' cannot be trained; known: linear, mini, frozen:FOLDER, encoder:FOLDER_OR_HUB_ID, "
            "decoder:…, decoder-cls:…",
        )
    made: Any = _class(kind)
    model: Classifier = made.of(argument, task, seed=seed, options=options or {})
    return model


def check_inputs(inputs: Sequence[Input]) -> None:
    """Refuse a bare string, which is a sequence of characters and never what was meant.

    Raises:
        TypeError: ``inputs`` is a ``str`` or holds something that is not an ``Input``.
    """
    found: object = inputs
    if isinstance(found, str):
        raise TypeError("a sequence of Input is expected, got one str; wrap it: [Input(text)]")
    for item in inputs:
        if not isinstance(item, Input):
            raise TypeError(f"a sequence of Input is expected, got {type(item).__name__}")


def _class(kind: str) -> Any:
    module, _, name = MODEL_KINDS[kind].partition(":")
    return getattr(importlib.import_module(module), name)
