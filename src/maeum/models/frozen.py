"""New labels on a trunk that stays as it is: ``--model mini`` and ``--model frozen:DIR``.

The trunk (an exported encoder) turns each text into a vector; a logistic regression on the vectors and a linear model
on the text's n-grams learn the labels, each on all rows, and their log-odds are mixed as the out-of-fold rows decide.
Seconds on a laptop, without torch. A text with an aspect is read together with the aspect's name, as a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from maeum._files import pretty_json, read_json, write_text
from maeum.data import Input
from maeum.errors import NotFitted, UsageError
from maeum.models import dense
from maeum.models.base import Labels, Proba, check_inputs
from maeum.models.head import fit_weight, mixed, open_trunk, save_trunk
from maeum.models.linear import LinearClassifier, LinearConfig
from maeum.splits import duplicate_groups
from maeum.task import Task

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

FOLDS = 5
_TEXTS = 4096
"""Texts whose vectors are made at a time."""


class FrozenClassifier:
    """A ``Classifier`` for multilabel and multiclass tasks on the vectors of a trunk.

    Args:
        trunk: kept as it is, and copied into the model's folder.
        seed: of the folds of ``fit`` and of the linear model.
        linear: settings of the linear model; None: vectors alone.
    """

    kind = "frozen"

    def __init__(self, task: Task, trunk: Any, *, seed: int = 42, linear: LinearConfig | None = None) -> None:
        self.task = task
        self.seed = seed
        self.trunk = trunk
        self.weight = 1.0
        """The vectors' share of the log-odds."""
        self._linear = None if linear is None else LinearClassifier(task, seed=seed, config=linear)
        self._dense: dense.Dense | None = None
        self._mean: F32 = np.zeros(0, np.float32)
        self._spread: F32 = np.zeros(0, np.float32)

    @classmethod
    def of(cls, argument: str, task: Task, *, seed: int, options: Mapping[str, Any]) -> Self:
        """An untrained model on the trunk in the folder ``argument``; options are those of the linear model.

        Raises:
            UsageError: the folder holds no trunk that gives sentence vectors.
        """
        return cls(task, find_trunk(Path(argument)), seed=seed, linear=LinearConfig.of(options))

    def fit(self, inputs: Sequence[Input], y: Labels) -> Self:
        """Train on inputs (n) and labels (n, k), with seeded folds of its own for penalty and mixture.

        Rows of one text, such as those of its several aspects, fall into one fold.
        """
        check_inputs(inputs)
        groups = duplicate_groups([item.text for item in inputs])
        count = int(groups.max(initial=0)) + 1
        fold = np.random.default_rng(self.seed).permutation(count)[groups] % min(FOLDS, count)
        self.fit_folds(inputs, y, fold.astype(np.int64))
        return self

    def fit_folds(self, inputs: Sequence[Input], y: Labels, fold: I64) -> Proba:
        """Train on all rows and return out-of-fold probabilities (n, k) for the fold numbers (n,)."""
        check_inputs(inputs)
        vectors = self._vectors(inputs)
        self._mean, self._spread = vectors.mean(0), np.maximum(vectors.std(0), 1e-6).astype(np.float32)
        x = self._standard(vectors)
        self._dense, z, _ = dense.fit_folds(x, y.astype(np.float32), self.task.kind, fold)
        if self._linear is None:
            return mixed(z, None, 1.0, self.task)
        other = self._linear.fit_folds(inputs, y, fold)
        self.weight = fit_weight(z, other, y, self.task)
        return mixed(z, other, self.weight, self.task)

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k)."""
        check_inputs(inputs)
        if self._dense is None:
            raise NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")
        if not len(inputs):
            return np.zeros((0, len(self.task)), np.float32)
        other = None
        if self._linear is not None and self.weight < 1:
            other = self._linear.predict_proba(inputs)
        return mixed(self._dense.logits(self._standard(self._vectors(inputs))), other, self.weight, self.task)

    def save(self, folder: Path) -> None:
        """``trunk/``, ``linear/``, ``dense.safetensors`` and ``frozen.json``."""
        from safetensors.numpy import save_file

        if self._dense is None:
            raise NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")
        (folder / "trunk").mkdir()
        save_trunk(self.trunk, folder / "trunk")
        arrays = {"weights": self._dense.weights, "bias": self._dense.bias, "mean": self._mean, "spread": self._spread}
        # safetensors writes the buffer as it lies: an array that is not C-contiguous would come back scrambled
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(arrays, folder / "dense.safetensors")
        if self._linear is not None:
            (folder / "linear").mkdir()
            self._linear.save(folder / "linear")
        about = {"seed": self.seed, "weight": self.weight, "linear": self._linear is not None}
        write_text(folder / "frozen.json", pretty_json(about))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote."""
        from safetensors.numpy import load_file

        about = read_json(folder / "frozen.json")
        self = cls(task, open_trunk(folder / "trunk"), seed=int(about["seed"]))
        arrays = load_file(folder / "dense.safetensors")
        self._dense = dense.Dense(arrays["weights"], arrays["bias"])
        self._mean, self._spread = arrays["mean"], arrays["spread"]
        self.weight = float(about["weight"])
        if about["linear"]:
            self._linear = LinearClassifier.load(folder / "linear", task)
        return self

    def _vectors(self, inputs: Sequence[Input]) -> F32:
        # a target is told as it is to the linear model only: the trunk was trained on whole texts
        plain = [Input(item.text, aspect=item.aspect) for item in inputs]
        starts = range(0, len(plain), _TEXTS)
        parts = [self.trunk.trunk.vectors(plain[start : start + _TEXTS]) for start in starts]
        return np.concatenate(parts).astype(np.float32)

    def _standard(self, vectors: F32) -> F32:
        found: F32 = (vectors - self._mean) / self._spread
        return found


def find_trunk(folder: Path) -> Any:
    """The trunk of a model folder: of several heads, or the one inside an exported encoder.

    Raises:
        UsageError: there is none that gives sentence vectors.
    """
    for place in (folder / "trunk", folder / "model" / "trunk"):
        if (place / "trunk.json").exists():
            shared = open_trunk(place)
            if hasattr(shared.trunk, "vectors"):
                return shared
    raise UsageError(
        f"'{folder}'에는 문장 벡터를 주는 몸통이 없습니다. 'maeum export'로 내보낸, 머리가 여럿인 모델의 폴더를 주세요.",
        f"'{folder}' holds no trunk that gives sentence vectors; give the folder of a model with several heads that "
        "'maeum export' wrote",
    )
