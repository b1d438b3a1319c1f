"""All criteria of a batch of rows at once: the model runs once, however many of them ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer
from maeum.data import Example
from maeum.errors import UsageError
from maeum.models.base import Grades
from maeum.sampling.committee import ask, has_committee
from maeum.sampling.outliers import REFERENCES, Known
from maeum.sampling.rare import TrainingWords
from maeum.sampling.settings import CRITERIA, DIVERSITY
from maeum.sampling.uncertain import choice_uncertainty, grade_uncertainty, threshold_nearness
from maeum.sampling.vectors import Vectors, find_vectors

Floats = NDArray[np.float64]
WHY_NOT: dict[str, tuple[str, str]] = {
    "threshold": (
        "이 모델은 라벨 하나를 고르므로 기준값이 없습니다",
        "this model picks one label and has no thresholds",
    ),
    "uncertainty": ("라벨이 서로 독립인 모델에는 없습니다", "labels of this model do not exclude each other"),
    "disagreement": ("여러 모델이 함께 답하는 폴더가 아닙니다", "the folder holds no ensemble"),
    "rare": ("--train(학습에 쓴 글)이 없습니다", "no --train (the text the model learned from)"),
    "outlier": ("--train(학습에 쓴 글)이 없습니다", "no --train (the text the model learned from)"),
}


@dataclass
class Measured:
    """What a batch of rows came to."""

    values: dict[str, Floats]
    """Criterion → (n,), larger = to be labelled first."""
    hints: dict[str, list[str]]
    """Criterion → what it points at in each row: the nearest label, the least certain aspect, a rare word."""


class Criteria:
    """The criteria that apply to a model and a training set.

    Args:
        analyzer: the model.
        weights: criteria with weight 0 are not measured.
        train: prepared training texts; None where they are not given.
        vectors, model, seed: as for ``find_vectors``.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        weights: Mapping[str, float],
        train: Sequence[str] | None,
        *,
        vectors: str = "auto",
        model: Path | None = None,
        seed: int = 42,
    ) -> None:
        self.analyzer = analyzer
        there = self._available(train)
        wanted = [name for name in CRITERIA if weights[name] > 0]
        self.names = tuple(name for name in wanted if there[name])
        self.missing = {name: WHY_NOT[name] for name in wanted if not there[name]}
        """Criteria that were asked for and do not apply, with the reason in Korean and English."""
        if not self.names:
            raise UsageError(
                "이 모델에 쓸 수 있는 기준이 없습니다: " + "; ".join(f"{k}: {v[0]}" for k, v in self.missing.items()),
                "no criterion applies: " + "; ".join(f"{k}: {v[1]}" for k, v in self.missing.items()),
            )
        known = _spread(train or (), seed)
        self.vectors: Vectors | None = None
        """What gives distances; None where nothing asks for them."""
        if "outlier" in self.names or weights[DIVERSITY] > 0:
            self.vectors = find_vectors(vectors, known, model=model, seed=seed)
        self._words = TrainingWords(train) if train and "rare" in self.names else None
        self._known = Known(self.vectors(known)) if self.vectors and known and "outlier" in self.names else None

    def _available(self, train: Sequence[str] | None) -> dict[str, bool]:
        task = self.analyzer.task
        return {
            "threshold": not self.analyzer.thresholds.is_argmax,
            "uncertainty": task.kind == "multiclass" or isinstance(self.analyzer.predictor, Grades),
            "disagreement": has_committee(self.analyzer),
            "rare": bool(train),
            "outlier": bool(train),
        }

    def measure(self, rows: Sequence[Example]) -> Measured:
        """The criteria of some rows (n), and what each points at."""
        found = Measured({}, {})
        if {"threshold", "uncertainty", "disagreement"} & set(self.names):
            self._by_model(rows, found)
        texts = prepared(self.analyzer, rows)
        if self._words is not None:
            found.values["rare"], found.hints["rare"] = self._words.rarity(texts)
        if self._known is not None and self.vectors is not None:
            found.values["outlier"] = self._known.distance(self.vectors(texts))
        return found

    def places(self, rows: Sequence[Example]) -> NDArray[np.float32]:
        """Unit vectors (n, d) of some rows to keep apart; all alike where diversity has no weight."""
        if self.vectors is None:
            return np.zeros((len(rows), 1), np.float32)
        return self.vectors(prepared(self.analyzer, rows))

    def _by_model(self, rows: Sequence[Example], found: Measured) -> None:
        analyzer = self.analyzer
        proba, apart = ask(analyzer, rows)
        if "threshold" in self.names:
            found.values["threshold"], nearest = threshold_nearness(proba, analyzer.thresholds)
            found.hints["threshold"] = self._labels(nearest)
        if "uncertainty" in self.names:
            graded = analyzer.grade(rows, analyzer.decide(proba), proba)
            if graded is None:
                found.values["uncertainty"] = choice_uncertainty(proba)
                found.hints["uncertainty"] = self._labels(proba.argmax(1))
            else:
                columns = {key: index for index, key in enumerate(analyzer.task.keys)}
                found.values["uncertainty"], which = grade_uncertainty(graded, columns)
                found.hints["uncertainty"] = self._labels(which)
        if "disagreement" in self.names and apart is not None:
            found.values["disagreement"] = apart.sum(1)
            found.hints["disagreement"] = self._labels(apart.argmax(1))

    def _labels(self, columns: NDArray[Any]) -> list[str]:
        return [self.analyzer.task.keys[column] if column >= 0 else "" for column in columns.tolist()]


def prepared(analyzer: Analyzer, rows: Sequence[Example]) -> list[str]:
    """The texts of rows as the model reads them."""
    return [analyzer.prep.prepare_input(row.input).text for row in rows]


def _spread(texts: Sequence[str], seed: int) -> list[str]:
    """At most ``REFERENCES`` of the texts, by chance."""
    if len(texts) <= REFERENCES:
        return list(texts)
    picked = np.random.default_rng(seed).choice(len(texts), REFERENCES, replace=False)
    return [texts[row] for row in np.sort(picked).tolist()]
