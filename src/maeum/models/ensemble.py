"""The mean of several predictors' probabilities; itself a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from maeum._files import pretty_json, read_json, write_text
from maeum.data import Input
from maeum.errors import UsageError
from maeum.models.base import Predictor, Proba, check_inputs, load_predictor
from maeum.task import Task


class MeanPredictor:
    """Plain mean of its members' probabilities; all members have the same task."""

    kind = "mean"

    def __init__(self, task: Task, members: Sequence[Predictor]) -> None:
        if not members:
            raise UsageError("평균할 모델이 없습니다.", "there are no models to average")
        self.task = task
        self.members = tuple(members)

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Mean probabilities (n, k)."""
        check_inputs(inputs)
        total = np.zeros((len(inputs), len(self.task)), np.float64)
        for member in self.members:
            total += member.predict_proba(inputs)
        return (total / len(self.members)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """One subfolder per member."""
        for number, member in enumerate(self.members):
            (folder / str(number)).mkdir()
            member.save(folder / str(number))
        write_text(folder / "config.json", pretty_json({"members": [member.kind for member in self.members]}))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote."""
        kinds = read_json(folder / "config.json")["members"]
        return cls(task, [load_predictor(kind, folder / str(number), task) for number, kind in enumerate(kinds)])
