"""Two analyzers as one model: aspects of a review, then a grade for each aspect found, in two batched passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maeum import folder as model_folder
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.models.base import Proba, check_inputs
from maeum.models.ensemble import whole
from maeum.reviews.stages import described
from maeum.task import Task


class ReviewPredictor:
    """Aspects and their grades.

    Args:
        task: the aspect task.
        aspects: gives the aspects (``stages.aspect_task``).
        sentiment: gives the grade of one aspect (``stages.sentiment_task``).
    """

    kind = "review"

    def __init__(self, task: Task, aspects: Analyzer, sentiment: Analyzer) -> None:
        self.task = task
        self.aspects = aspects
        self.sentiment = sentiment

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k) of the aspects."""
        check_inputs(inputs)
        return self.aspects.predict_proba(inputs)

    def grade(self, inputs: Sequence[Input], on: NDArray[Any]) -> list[list[dict[str, Any]]]:
        """The grades of the aspects that are on.

        Args:
            on: (n, k) zeros and ones.

        Returns:
            For each input, and each of its aspects in task order, ``{"aspect", "sentiment", "sentiment_scores"}``.
        """
        rows, columns = np.nonzero(on)
        asked = [
            self.asked(inputs[row], self.task.keys[column])
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        found: list[list[dict[str, Any]]] = [[] for _ in inputs]
        if not asked:
            return found
        keys = self.task.sentiment_keys
        for row, column, scores in zip(
            rows.tolist(), columns.tolist(), self.sentiment.predict_proba(asked), strict=True
        ):
            found[row].append(
                {
                    "aspect": self.task.keys[column],
                    "sentiment": keys[int(scores.argmax())],
                    "sentiment_scores": {key: float(str(score)) for key, score in zip(keys, scores, strict=True)},
                }
            )
        return found

    def asked(self, item: Input, aspect: str) -> Input:
        """What the second stage is asked about an aspect (by key) of a text."""
        return replace(item, aspect=described(self.task, aspect))

    def save(self, folder: Path) -> None:
        """``aspects/`` and ``sentiment/``, each a sealed model folder that can be used on its own."""
        for name, analyzer in (("aspects", self.aspects), ("sentiment", self.sentiment)):
            (folder / name).mkdir()
            stage = analyzer.with_predictor(whole(analyzer.predictor))
            model_folder.write_analyzer(stage, folder / name)
            model_folder.seal(folder / name, stage.predictor.kind, stage.task)

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote; both folders are verified like any model folder."""
        return cls(task, model_folder.load(folder / "aspects"), model_folder.load(folder / "sentiment"))
