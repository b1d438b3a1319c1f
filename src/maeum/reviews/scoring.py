"""How good the two stages are, each and together.

Stage 1: micro- and macro-F1 of the aspects. Stage 2, on the aspects that people gave: accuracy, macro-F1 over grades, and
how many grades off (mean absolute error). Together, as the NIKL sentiment task scores it: a found (aspect, grade) pair is
right when people gave that very pair; micro-F1 over all pairs, macro-F1 as the mean over aspects of the F1 of their pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum._tables import text_table
from maeum.analyzer import Analyzer
from maeum.data import Dataset
from maeum.errors import UsageError
from maeum.evaluation import Scored
from maeum.metrics import counts
from maeum.report import Report
from maeum.reviews.predictor import ReviewPredictor
from maeum.reviews.stages import grades
from maeum.task import Task


@dataclass(frozen=True)
class ReviewScores:
    """Scores of both stages and of the whole."""

    task: Task
    aspect_micro_f1: float
    aspect_macro_f1: float
    sentiment_accuracy: float
    sentiment_macro_f1: float
    sentiment_error: float
    """Mean distance in grades between what was found and what people gave."""
    pipeline_micro_f1: float
    pipeline_macro_f1: float
    confusion: tuple[tuple[int, ...], ...]
    """(grades, grades) counts: row = what people gave, column = what was found, on the aspects people gave."""
    pairs: int
    """(row, aspect) pairs that people gave."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        data = {name: getattr(self, name) for name in _NUMBERS}
        return {
            **data,
            "pairs": self.pairs,
            "grades": list(self.task.sentiment_keys),
            "confusion": [list(row) for row in self.confusion],
        }

    @classmethod
    def from_dict(cls, task: Task, data: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        confusion = tuple(tuple(row) for row in data["confusion"])
        return cls(task=task, confusion=confusion, pairs=data["pairs"], **{name: data[name] for name in _NUMBERS})

    def summary(self) -> str:
        """A few lines for the terminal."""
        heads = [say("단계", "stage"), say("지표", "metric"), say("값", "value")]
        stages = {
            "aspect": say("속성", "aspects"),
            "sentiment": say("감성(정답 속성)", "sentiment")
            if sum(map(sum, self.confusion)) == self.pairs
            else say("감성(찾은 정답 속성)", "sentiment (of aspects found)"),
            "pipeline": say("둘 다", "both"),
        }
        rows = []
        for name in _NUMBERS:
            stage, _, metric = name.partition("_")
            shown = f"{getattr(self, name):.4f}"
            rows.append(
                [stages[stage], metric.replace("_", "-").replace("error", say("등급 차이", "grades off")), shown]
            )
        names = [label.name("ko") if say("ko", "en") == "ko" else label.name("en") for label in self.task.sentiments]
        grid = text_table(
            [say("정답＼예측", "given \\ found"), *names],
            [[name, *map(str, row)] for name, row in zip(names, self.confusion, strict=True)],
        )
        return text_table(heads, rows) + "\n\n" + grid


_NUMBERS = (
    "aspect_micro_f1",
    "aspect_macro_f1",
    "sentiment_accuracy",
    "sentiment_macro_f1",
    "sentiment_error",
    "pipeline_micro_f1",
    "pipeline_macro_f1",
)


def score_reviews(analyzer: Analyzer, data: Dataset) -> ReviewScores:
    """Scores of a review model on labelled rows.

    Raises:
        UsageError: the model or the rows are not of an aspect task, or a row is not labelled.
    """
    model = analyzer.predictor
    same = (data.task.keys, data.task.sentiment_keys) == (analyzer.task.keys, analyzer.task.sentiment_keys)
    if not isinstance(model, ReviewPredictor) or not same or not data.is_labelled:
        raise UsageError(
            "속성 과제의 모델과, 모든 행에 라벨이 있는 같은 과제의 데이터가 필요합니다.",
            "a model of an aspect task is needed, and rows of the same task that are all labelled",
        )
    given = [grades(example.aspects or ()) for example in data]
    inputs = data.inputs
    y = data.y
    on = analyzer.decide(analyzer.predict_proba(inputs))
    # aspects that were found and aspects that people gave are graded in one pass
    graded = [{item["aspect"]: item["sentiment"] for item in found} for found in model.grade(inputs, np.maximum(on, y))]
    found = [
        {aspect: grade for aspect, grade in row.items() if on[number, data.task.keys.index(aspect)]}
        for number, row in enumerate(graded)
    ]
    return score_pairs(data.task, given, found, graded)


def with_review_scores(report: Report, analyzer: Analyzer, data: Dataset) -> Report:
    """The report with the scores of grades and of pairs; of other models, or rows of another task, as it is."""
    same = (data.task.keys, data.task.sentiment_keys) == (analyzer.task.keys, analyzer.task.sentiment_keys)
    if not isinstance(analyzer.predictor, ReviewPredictor) or not same:
        return report
    return report.with_extra(review=score_reviews(analyzer, data).to_dict())


def with_predicted_scores(report: Report, scored: Scored) -> Report:
    """The report with the scores of grades and of pairs that a predictions file holds; of other files as it is."""
    if scored.grades is None:
        return report
    given = [grades(example.aspects or ()) for example in scored.data]
    return report.with_extra(review=score_pairs(scored.task, given, scored.grades).to_dict())


def score_pairs(
    task: Task,
    given: Sequence[Mapping[str, str]],
    found: Sequence[Mapping[str, str]],
    graded: Sequence[Mapping[str, str]] | None = None,
) -> ReviewScores:
    """Scores of (aspect → grade) of each row against those that people gave.

    Args:
        graded: the grades of at least the aspects that people gave, found or not; None: grades are judged on the aspects
            that were both given and found.
    """
    y, on = (_columns(task, rows) for rows in (given, found))
    aspects = counts(y, on)
    confusion = _confusion(task, given, found if graded is None else graded)
    right = np.zeros_like(y)
    for row, (mine, theirs) in enumerate(zip(found, given, strict=True)):
        for aspect, grade in mine.items():
            right[row, task.keys.index(aspect)] = theirs.get(aspect) == grade
    hits, passed, positives = right.sum(0), on.sum(0), y.sum(0)
    bottom = passed + positives
    each = 2 * hits[bottom > 0] / bottom[bottom > 0]
    per_grade = _f1_of(confusion)
    total = max(1, int(confusion.sum()))
    off = np.abs(np.subtract.outer(np.arange(len(confusion)), np.arange(len(confusion))))
    return ReviewScores(
        task=task,
        aspect_micro_f1=_ratio(2 * aspects.tp.sum(), on.sum() + y.sum()),
        aspect_macro_f1=float(aspects.f1[bottom > 0].mean()) if (bottom > 0).any() else 0.0,
        sentiment_accuracy=float(np.trace(confusion) / total),
        sentiment_macro_f1=float(per_grade[(confusion.sum(0) + confusion.sum(1)) > 0].mean())
        if confusion.any()
        else 0.0,
        sentiment_error=float((confusion * off).sum() / total),
        pipeline_micro_f1=_ratio(2 * hits.sum(), bottom.sum()),
        pipeline_macro_f1=float(each.mean()) if len(each) else 0.0,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        pairs=int(y.sum()),
    )


def _columns(task: Task, rows: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
    """(n, k) which aspects a row has."""
    y = np.zeros((len(rows), len(task)), np.int64)
    for number, row in enumerate(rows):
        for aspect in row:
            y[number, task.keys.index(aspect)] = 1
    return y


def _confusion(
    task: Task, given: Sequence[Mapping[str, str]], graded: Sequence[Mapping[str, str]]
) -> NDArray[np.int64]:
    keys = task.sentiment_keys
    found = np.zeros((len(keys), len(keys)), np.int64)
    for theirs, mine in zip(given, graded, strict=True):
        for aspect, grade in theirs.items():
            if aspect in mine:
                found[keys.index(grade), keys.index(mine[aspect])] += 1
    return found


def _f1_of(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    bottom = confusion.sum(0) + confusion.sum(1)
    found = np.zeros(len(confusion))
    np.divide(2.0 * np.diag(confusion), bottom, out=found, where=bottom > 0)
    return found


def _ratio(top: Any, bottom: Any) -> float:
    return float(top / bottom) if bottom else 0.0
