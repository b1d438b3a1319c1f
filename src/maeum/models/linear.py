"""TEMPORARY stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from maeum.data import Input
from maeum.errors import NotFitted
from maeum.models.base import Labels, Proba, check_inputs
from maeum.task import Task


class LinearClassifier:
    kind = "linear"

    def __init__(self, task: Task, *, seed: int = 42, **options: Any) -> None:
        self.task = task
        self.weights: Any = None

    def _x(self, inputs: Sequence[Input]) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        v = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 4), n_features=2**14, dtype=np.float32)
        return v.transform([i.text + " " + (i.target.form * 2 if i.target else "") for i in inputs])

    def fit(self, inputs: Sequence[Input], y: Labels) -> Self:
        from sklearn.linear_model import Ridge

        m = Ridge(alpha=1.0).fit(self._x(inputs), y)
        self.weights = np.vstack([np.atleast_2d(m.coef_).T, np.atleast_1d(m.intercept_)[None]]).astype(np.float32)
        return self

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        check_inputs(inputs)
        if self.weights is None:
            raise NotFitted("x", "x")
        if not inputs:
            return np.zeros((0, len(self.task)), np.float32)
        s = self._x(inputs) @ self.weights[:-1] + self.weights[-1]
        p = 1 / (1 + np.exp(-6 * (s - 0.5)))
        if self.task.kind == "multiclass":
            p = p / p.sum(1, keepdims=True)
        return p.astype(np.float32)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"w": self.weights}, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        from safetensors.numpy import load_file

        m = cls(task)
        m.weights = load_file(folder / "model.safetensors")["w"]
        return m
