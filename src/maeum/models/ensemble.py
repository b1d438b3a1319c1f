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
    """Plain mean of its members' probabilities; all members have the same task.

    Args:
        in_folds: the members are the fold models of a run; their files lie in ``folds/0 …`` beside the model's own
            folder, where each is a model folder of its own, instead of being written twice.
    """

    kind = "mean"

    def __init__(self, task: Task, members: Sequence[Predictor], *, in_folds: bool = False) -> None:
        if not members:
            raise UsageError("평균할 모델이 없습니다.", "there are no models to average")
        self.task = task
        self.members = tuple(members)
        self.in_folds = in_folds

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Mean probabilities (n, k)."""
        check_inputs(inputs)
        total = np.zeros((len(inputs), len(self.task)), np.float64)
        for member in self.members:
            total += member.predict_proba(inputs)
        return (total / len(self.members)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """One subfolder per member, unless the members live in the run's folds."""
        for number, member in enumerate(self.members):
            if not self.in_folds:
                place = _member_folder(folder, number, in_folds=False)
                place.mkdir()
                member.save(place)
        config = {"members": [member.kind for member in self.members], "in_folds": self.in_folds}
        write_text(folder / "config.json", pretty_json(config))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote."""
        config = read_json(folder / "config.json")
        in_folds = bool(config["in_folds"])
        members = [
            load_predictor(kind, _member_folder(folder, number, in_folds=in_folds), task)
            for number, kind in enumerate(config["members"])
        ]
        return cls(task, members, in_folds=in_folds)


def _member_folder(folder: Path, number: int, *, in_folds: bool) -> Path:
    return folder.parent / "folds" / str(number) / "model" if in_folds else folder / str(number)


def whole(model: Predictor) -> Predictor:
    """A model in a form that can be written anywhere: the mean of a run's folds leans on the run's ``folds/``."""
    return MeanPredictor(model.task, model.members) if isinstance(model, MeanPredictor) and model.in_folds else model
