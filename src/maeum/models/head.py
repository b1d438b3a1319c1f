"""One task of a trunk that several share, mixed with a linear model of its own where that is better.

The trunk reads a text once for all of its heads: what it said last is kept, so that asking the next head about the
same texts costs nothing. A mixture is taken in log-odds (log-probabilities for labels that exclude each other), where
errors of the two that point different ways cancel: ``w`` parts of the trunk, ``1 - w`` of the linear model. Before that the
trunk's logits of independent labels are scaled and shifted (Platt 1999): it may have learnt a head from rows of another
density, such as what a taxonomy makes of a corpus where texts have many labels.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maeum._files import pretty_json, read_json, write_text
from maeum.data import Input
from maeum.errors import FormatError, UsageError
from maeum.models.base import Proba, check_inputs
from maeum.models.batching import probabilities
from maeum.models.blocks import Block, Blocks
from maeum.models.linear import LinearClassifier
from maeum.models.stacking import fit_sigmoids
from maeum.task import Task

Floats = NDArray[np.float32]
FLOOR = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken."""


@runtime_checkable
class Trunk(Protocol):
    """Reads texts for several heads."""

    kind: str
    """Name in ``TRUNKS``."""
    blocks: Blocks
    """Whose columns are which."""

    def logits(self, inputs: Sequence[Input]) -> Floats:
        """(n, K) logits of all heads."""
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing, empty folder."""
        ...


TRUNKS = {"many-heads": "maeum.models.many_heads:ManyHeads", "onnx": "maeum.models.onnx:OnnxTrunk"}
"""Trunk kind → where its class is: a closed table, as for models."""


class SharedTrunk:
    """A trunk that remembers its last answer."""

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk
        self._last: tuple[tuple[Input, ...], Floats] | None = None

    def logits(self, inputs: Sequence[Input]) -> Floats:
        """(n, K) logits of all heads."""
        asked, last = tuple(inputs), self._last
        if last is not None and last[0] == asked:
            return last[1]
        found = self.trunk.logits(asked)
        self._last = (asked, found)  # one assignment: another thread sees the old pair or the new one
        return found


def open_trunk(folder: Path) -> SharedTrunk:
    """The trunk in a folder.

    Raises:
        FormatError: its kind is unknown to this version.
    """
    kind = read_json(folder / "trunk.json")["kind"]
    if kind not in TRUNKS:
        raise FormatError(
            f"몸통 종류 '{kind}'을(를) 이 버전은 모릅니다. maeum을 올려 주세요.",
            f"this version does not know the trunk kind '{kind}'; upgrade maeum",
        )
    module, _, name = TRUNKS[kind].partition(":")
    trunk: Any = getattr(importlib.import_module(module), name)
    return SharedTrunk(trunk.open(folder))


def save_trunk(shared: SharedTrunk, folder: Path) -> None:
    """Write a trunk and its kind into an existing, empty folder."""
    shared.trunk.save(folder)
    write_text(folder / "trunk.json", pretty_json({"kind": shared.trunk.kind}))


class HeadPredictor:
    """A predictor that is one head of a trunk.

    Args:
        trunk: may be shared with other heads.
        linear: mixed in, or None.
        weight: w, of the trunk's log-odds; 1 without a linear model.
        platt: slopes and shifts (2, k) of the trunk's logits; None: as they are.
    """

    kind = "head"

    def __init__(
        self,
        task: Task,
        trunk: SharedTrunk,
        *,
        linear: LinearClassifier | None = None,
        weight: float = 1.0,
        platt: Floats | None = None,
    ) -> None:
        if not 0 <= weight <= 1 or (linear is None and weight != 1):
            raise UsageError(
                f"몸통의 비중은 0과 1 사이(선형 모델이 없으면 1)여야 합니다: {weight}",
                f"the trunk's weight must be between 0 and 1 (1 without a linear model), got {weight}",
            )
        self.task = task
        self.trunk = trunk
        self.linear = linear
        self.weight = weight
        self.platt = platt
        self.block: Block = trunk.trunk.blocks[task.name]

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k)."""
        check_inputs(inputs)
        if not len(inputs):
            return np.zeros((0, len(self.task)), np.float32)
        other = None if self.linear is None else self.linear.predict_proba(inputs)
        return mixed(self.logits(inputs), other, self.weight, self.task)

    def logits(self, inputs: Sequence[Input]) -> Floats:
        """(n, k) what the trunk says, scaled and shifted, without the linear model."""
        z = self.trunk.logits(inputs)[:, self.block.columns]
        return z if self.platt is None else z * self.platt[0] + self.platt[1]

    def save(self, folder: Path) -> None:
        """The head with a copy of its trunk: it stands on its own."""
        self.save_head(folder)
        (folder / "trunk").mkdir()
        save_trunk(self.trunk, folder / "trunk")

    def save_head(self, folder: Path) -> None:
        """The head alone; its trunk lies elsewhere."""
        about = {"weight": self.weight, "linear": self.linear is not None}
        if self.platt is not None:
            about["platt"] = self.platt.tolist()
        write_text(folder / "head.json", pretty_json(about))
        if self.linear is not None:
            (folder / "linear").mkdir()
            self.linear.save(folder / "linear")

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote."""
        return cls.load_head(folder, task, open_trunk(folder / "trunk"))

    @classmethod
    def load_head(cls, folder: Path, task: Task, trunk: SharedTrunk) -> Self:
        """Read what ``save_head`` wrote."""
        about = read_json(folder / "head.json")
        linear = LinearClassifier.load(folder / "linear", task) if about["linear"] else None
        platt = np.asarray(about["platt"], np.float32) if "platt" in about else None
        if platt is not None and platt.shape != (2, len(task)):
            raise ValueError(f"platt of shape {platt.shape} for {len(task)} labels")
        return cls(task, trunk, linear=linear, weight=float(about["weight"]), platt=platt)


def mixed(z: Floats, other: Proba | None, weight: float, task: Task) -> Proba:
    """Probabilities (n, k) from the trunk's logits (n, k) and, if given, the probabilities of a linear model."""
    own = z.astype(np.float64)
    if task.kind == "multiclass":
        own -= np.logaddexp.reduce(own, axis=1, keepdims=True)
    if other is not None and weight < 1:
        own = weight * own + (1 - weight) * _log_odds(other, task)
    return probabilities(own, task.kind)


def fit_platt(z: Floats, y: NDArray[np.uint8], task: Task) -> Floats | None:
    """Slopes and shifts (2, k) with the smallest log loss on rows that did not train the trunk, logits z (n, k).

    A label that a slope would turn round (too few rows tell otherwise) stays as it is; None where labels exclude each other.
    """
    if task.kind == "multiclass":
        return None
    found = np.stack(fit_sigmoids(z.astype(np.float64), y.astype(np.float64)))
    found[:, found[0] <= 0] = [[1.0], [0.0]]
    return found.astype(np.float32)


def fit_weight(z: Floats, other: Proba, y: NDArray[np.uint8], task: Task) -> float:
    """The trunk's weight, in steps of 0.05, with the smallest log loss on rows that trained neither of the two."""
    truth = y.astype(np.float64)

    def loss(weight: float) -> float:
        p = np.clip(mixed(z, other, weight, task).astype(np.float64), FLOOR, 1 - FLOOR)
        if task.kind == "multiclass":
            return float(-(truth * np.log(p)).sum(1).mean())
        return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())

    return min((round(0.05 * step, 2) for step in range(21)), key=loss)


def _log_odds(proba: Proba, task: Task) -> NDArray[np.float64]:
    p = np.clip(proba.astype(np.float64), FLOOR, 1 - FLOOR)
    return np.log(p) if task.kind == "multiclass" else np.log(p) - np.log1p(-p)
