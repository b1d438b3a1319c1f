"""``Analyzer`` = text preparation + predictor + calibration + thresholds: the thing that is saved and served.

Preparation happens here and nowhere else, in training and serving alike, and so does the decision.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from maeum._lang import language
from maeum.calibration import Calibration
from maeum.data import Example, Input, Target
from maeum.errors import UsageError
from maeum.models.base import Grades, Predictor, Proba
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

T = TypeVar("T")


@dataclass(frozen=True)
class Analysis:
    """What was found in one text."""

    text: str
    """The raw text."""
    labels: tuple[str, ...]
    """Label keys in task order."""
    scores: Mapping[str, float]
    """Probability of every label, in task order."""
    task: Task = field(repr=False)
    target: Target | None = None
    aspects: tuple[Mapping[str, Any], ...] | None = None
    """Of a model of an aspect task: for each aspect found ``{"aspect", "score", "sentiment", "sentiment_scores"}``."""

    @property
    def proba(self) -> Mapping[str, float]:
        """Another name for ``scores``."""
        return self.scores

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in a predictions file but without the id."""
        target = self.target
        return {
            "text": self.text,
            "target": target and target.to_dict(),
            **({"labels": list(self.labels)} if self.aspects is None else {"aspects": [dict(a) for a in self.aspects]}),
            "scores": dict(self.scores),
        }

    def _repr_html_(self) -> str:
        names = {label.key: label.name(language()) for label in self.task.labels}
        rows = "".join(
            f"<tr><td style='text-align:left'>{'<b>' if key in self.labels else ''}{html.escape(names[key])}</td>"
            f"<td>{score:.3f}</td><td style='text-align:left'>"
            f"<div style='background:#4c78a8;height:.8em;width:{score * 12:.2f}em'></div></td></tr>"
            for key, score in sorted(self.scores.items(), key=lambda item: -item[1])[:12]
        )
        return f"<p>{html.escape(self.text)}</p><table>{rows}</table>"


class Analyzer:
    """Raw texts in, labels and probabilities out.

    Args:
        predictor: gives probabilities for prepared inputs.
        prep: text preparation, applied once to every text.
        calibration, thresholds: fitted to this predictor's out-of-fold probabilities.
        about: what is known of the training run (data, settings, metrics); saved with the model.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        prep: TextPrep,
        thresholds: Thresholds | None = None,
        calibration: Calibration | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.predictor = predictor
        self.task: Task = predictor.task
        self.prep = prep
        self.thresholds = thresholds or Thresholds.default(self.task)
        self.calibration = calibration or Calibration.identity(self.task)
        self.about: dict[str, Any] = dict(about or {})
        if self.thresholds.keys != self.task.keys:
            raise UsageError(
                f"기준값의 라벨이 과제 '{self.task.name}'과(와) 다릅니다.",
                f"the thresholds are for other labels than those of task '{self.task.name}'",
            )

    def __repr__(self) -> str:
        return f"Analyzer(task={self.task.name!r}, model={self.predictor.kind!r}, labels={len(self.task)})"

    def with_predictor(self, predictor: Predictor) -> Analyzer:
        """The same around another model."""
        return Analyzer(
            predictor, prep=self.prep, thresholds=self.thresholds, calibration=self.calibration, about=self.about
        )

    def predict_proba(self, items: Iterable[str | Input | Example]) -> Proba:
        """Calibrated probabilities (n, k) float32 in ``task.keys`` order, for raw texts, inputs or examples."""
        return self.predict_prepared(self.prepare(items))

    def prepare(self, items: Iterable[str | Input | Example]) -> list[Input]:
        """What the model is asked of raw texts, inputs or examples; the same for all analyzers of one ``prep``."""
        return [self.prep.prepare_input(item) for item in as_inputs(items)]

    def predict_prepared(self, inputs: Sequence[Input]) -> Proba:
        """Calibrated probabilities (n, k) for what ``prepare`` made."""
        return self.calibration.apply(self.predictor.predict_proba(inputs))

    def decide(self, proba: NDArray[Any]) -> NDArray[np.uint8]:
        """Labels (n, k) of zeros and ones."""
        return self.thresholds.decide(proba)

    def analyze(self, items: Iterable[str | Input | Example], *, target: str | None = None) -> list[Analysis]:
        """Labels and probabilities of every text, in order.

        Args:
            items: raw texts, inputs or examples; anything iterable but a bare string.
            target: what the emotion is about, for all the texts given as strings; its first occurrence is meant.
        """
        inputs = as_inputs(items, target=target)
        return list(self._analyses(inputs))

    def iter(self, items: Iterable[str | Input | Example], *, batch_size: int = 256) -> Iterator[Analysis]:
        """The same one by one, in constant memory; ``batch_size`` texts go through the model at a time."""
        _refuse_str(items)
        for batch in batched(items, batch_size):
            yield from self._analyses(as_inputs(batch))

    def _analyses(self, inputs: Sequence[Input]) -> Iterator[Analysis]:
        proba = self.predict_proba(inputs)
        decided = self.decide(proba)
        graded = self.grade(inputs, decided, proba)
        for row, (item, scores, on) in enumerate(zip(inputs, proba, decided, strict=True)):
            aspects = None if graded is None else graded[row]
            scored = score_dict(self.task, scores)
            yield Analysis(item.text, self.task.decode(on), scored, self.task, item.target, aspects)

    def grade(
        self, items: Iterable[str | Input | Example], on: NDArray[np.uint8], proba: Proba
    ) -> list[tuple[dict[str, Any], ...]] | None:
        """The grades of the aspects that are on in (n, k), with their probabilities; None for other tasks."""
        if not isinstance(self.predictor, Grades):
            return None
        inputs = [self.prep.prepare_input(item) for item in as_inputs(items)]
        scores = [score_dict(self.task, row) for row in proba]
        return [
            tuple({"aspect": item["aspect"], "score": scores[row][item["aspect"]], **item} for item in found)
            for row, found in enumerate(self.predictor.grade(inputs, on))
        ]


def score_dict(task: Task, scores: NDArray[np.float32]) -> dict[str, float]:
    """One row of probabilities by label key; the shortest decimals that give the same float32 back."""
    return {key: float(str(score)) for key, score in zip(task.keys, scores, strict=True)}


def as_inputs(items: Iterable[str | Input | Example], *, target: str | None = None) -> list[Input]:
    """Inputs from texts, inputs or examples.

    Raises:
        TypeError: a bare string, or an item that is none of these.
        UsageError: ``target`` does not occur in a text.
    """
    _refuse_str(items)
    inputs = []
    for item in items:
        if isinstance(item, Example):
            inputs.append(item.input)
        elif isinstance(item, Input):
            inputs.append(item)
        elif isinstance(item, str):
            inputs.append(Input(item, find_target(item, target) if target else None))
        else:
            raise TypeError(f"texts, Inputs or Examples are expected, got {type(item).__name__}")
    return inputs


def find_target(text: str, form: str) -> Target:
    """The first occurrence of ``form`` in ``text``.

    Raises:
        UsageError: there is none.
    """
    begin = text.find(form)
    if begin < 0:
        raise UsageError(
            f"대상 '{form}'이(가) 글에 없습니다: '{text[:40]}'", f"the target '{form}' does not occur in '{text[:40]}'"
        )
    return Target(form, begin, begin + len(form))


def _refuse_str(items: object) -> None:
    if isinstance(items, str):
        raise TypeError("a list of texts is expected, got one str; wrap it: [text]")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Tuples of up to ``size`` items, in order."""
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch
