"""What a service answers, as objects; ``to_dict`` gives the JSON back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Emotions:
    """What was found in one text."""

    text: str
    labels: tuple[str, ...]
    """Label keys of the first task."""
    scores: Mapping[str, Mapping[str, float]]
    """Task → label key → probability."""
    labels_by_task: Mapping[str, tuple[str, ...]]
    """Task → label keys."""
    target: Mapping[str, Any] | None = None
    """``{"form", "begin", "end"}`` of what the emotion is about, if it was asked for."""
    aspects: tuple[AspectFound, ...] | None = None
    """Of aspect models."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Emotions:
        """One of the ``results``."""
        labels = tuple(row["labels"])
        by_task = row.get("labels_by_task") or {next(iter(row["scores"])): labels}
        return cls(
            row["text"],
            labels,
            row["scores"],
            {task: tuple(found) for task, found in by_task.items()},
            row.get("target"),
            _aspects(row),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the service sent it."""
        row: dict[str, Any] = {"text": self.text, "labels": list(self.labels), "scores": _plain(self.scores)}
        if len(self.labels_by_task) > 1:
            row["labels_by_task"] = {task: list(found) for task, found in self.labels_by_task.items()}
        if self.target is not None:
            row["target"] = dict(self.target)
        if self.aspects is not None:
            row["aspects"] = [aspect.to_dict() for aspect in self.aspects]
        return row


@dataclass(frozen=True)
class WordScore:
    """A word of the text and what it does for a label."""

    begin: int
    """Code points of the text; ``end`` is exclusive."""
    end: int
    text: str
    score: float | None
    """By how much the probability drops without it; None where it was not measured."""
    more: Mapping[str, Any]
    """What else the service said of it: ``logit_score`` …"""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> WordScore:
        """One of the ``words``."""
        rest = dict(row)
        return cls(rest.pop("begin"), rest.pop("end"), rest.pop("text"), rest.pop("score"), rest)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the service sent it."""
        return {"begin": self.begin, "end": self.end, "text": self.text, "score": self.score, **self.more}


@dataclass(frozen=True)
class AspectFound:
    """One aspect a review speaks of, and how."""

    aspect: str
    score: float
    sentiment: str
    sentiment_scores: Mapping[str, float]
    evidence: tuple[WordScore, ...] | None = None
    """Words that speak for the aspect, strongest first, if they were asked for."""
    sentiment_evidence: tuple[WordScore, ...] | None = None
    """The same for the sentiment."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> AspectFound:
        """One of the ``aspects``."""
        return cls(
            row["aspect"],
            row["score"],
            row["sentiment"],
            row["sentiment_scores"],
            *(_words(row[name]) if name in row else None for name in ("evidence", "sentiment_evidence")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the service sent it."""
        row: dict[str, Any] = {"aspect": self.aspect, "score": self.score, "sentiment": self.sentiment}
        row["sentiment_scores"] = dict(self.sentiment_scores)
        for name in ("evidence", "sentiment_evidence"):
            words: tuple[WordScore, ...] | None = getattr(self, name)
            if words is not None:
                row[name] = [word.to_dict() for word in words]
        return row


@dataclass(frozen=True)
class Review:
    """What a review speaks of."""

    text: str
    labels: tuple[str, ...]
    """Keys of the aspects that were found."""
    scores: Mapping[str, float]
    """Probability of every aspect."""
    aspects: tuple[AspectFound, ...]

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Review:
        """One of the ``results``."""
        return cls(row["text"], tuple(row["labels"]), row["scores"], _aspects(row) or ())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the service sent it."""
        aspects = [aspect.to_dict() for aspect in self.aspects]
        return {"text": self.text, "labels": list(self.labels), "scores": dict(self.scores), "aspects": aspects}


@dataclass(frozen=True)
class LabelWords:
    """The words that speak for and against one label, or (``label``: the sentiment) for an aspect's grade."""

    label: str
    probability: float
    decided: bool
    words: tuple[WordScore, ...]
    """Strongest first."""
    more: Mapping[str, Any]
    """What else the service said: ``faithfulness``, ``groups`` …"""

    @classmethod
    def read(cls, row: Mapping[str, Any], name: str = "label") -> LabelWords:
        """One of the ``evidence``."""
        rest = dict(row)
        words = _words(rest.pop("words"))
        return cls(rest.pop(name), rest.pop("probability"), rest.pop("decided"), words, rest)

    def to_dict(self, name: str = "label") -> dict[str, Any]:
        """Plain data, as the service sent it."""
        row: dict[str, Any] = {name: self.label, "probability": self.probability, "decided": self.decided}
        return {**row, "words": [word.to_dict() for word in self.words], **self.more}


@dataclass(frozen=True)
class GradeWords:
    """The words that speak for the grade of one aspect."""

    aspect: str
    evidence: LabelWords

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> GradeWords:
        """One of the ``grades``."""
        rest = dict(row)
        return cls(rest.pop("aspect"), LabelWords.read(rest, "sentiment"))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the service sent it."""
        return {"aspect": self.aspect, **self.evidence.to_dict("sentiment")}


@dataclass(frozen=True)
class Evidence:
    """Which words of one text made its labels."""

    text: str
    labels: tuple[str, ...]
    evidence: tuple[LabelWords, ...]
    """Most probable label first."""
    grades: tuple[GradeWords, ...]
    """Of aspect models."""
    notes: tuple[str, ...]
    more: Mapping[str, Any]
    """How it was measured: ``unit``, ``mask``, ``method``, ``quick``, ``target``."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Evidence:
        """One of the ``results``."""
        rest = dict(row)
        return cls(
            rest.pop("text"),
            tuple(rest.pop("labels")),
            tuple(map(LabelWords.read, rest.pop("evidence"))),
            tuple(map(GradeWords.read, rest.pop("grades", ()))),
            tuple(rest.pop("notes")),
            rest,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the service sent it."""
        grades = {"grades": [grade.to_dict() for grade in self.grades]} if self.grades else {}
        return {
            "text": self.text,
            "labels": list(self.labels),
            **self.more,
            "evidence": [item.to_dict() for item in self.evidence],
            **grades,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class BatchRow:
    """The answer to one row of a batch."""

    number: int
    """Which row, counted from 1."""
    id: str
    """The row's own id, or one made of its number; of a bad row possibly the latter."""
    error: str | None
    """What is wrong with the row; then there are no predictions."""
    labels: tuple[str, ...]
    scores: Mapping[str, float]
    text: str = ""
    target: Mapping[str, Any] | None = None
    aspects: tuple[AspectFound, ...] | None = None
    """Of aspect models."""
    code: str = ""
    """The service's word for the error: ``bad_line`` …"""

    @classmethod
    def read(cls, number: int, line: Mapping[str, Any]) -> BatchRow:
        """One line of the answer."""
        if "error" in line:
            error = line["error"]
            return cls(number, row_id(number), str(error["message"]), (), {}, code=str(error["code"]))
        aspects = _aspects(line)
        labels = line["labels"] if "labels" in line else [aspect.aspect for aspect in aspects or ()]
        return cls(number, line["id"], None, tuple(labels), line["scores"], line["text"], line.get("target"), aspects)

    def to_dict(self) -> dict[str, Any]:
        """A line of a predictions file; of a bad row ``{"id", "line", "error": {"code", "message"}}``."""
        if self.error is not None:
            return {"id": self.id, "line": self.number, "error": {"code": self.code, "message": self.error}}
        row: dict[str, Any] = {"id": self.id, "text": self.text, "target": self.target}
        if self.aspects is None:
            row["labels"] = list(self.labels)
        else:
            row["aspects"] = [aspect.to_dict() for aspect in self.aspects]
        return {**row, "scores": dict(self.scores)}


def row_id(number: int) -> str:
    """The id of a row that has none, as everywhere in the package."""
    return f"row-{number:06d}"


def _aspects(row: Mapping[str, Any]) -> tuple[AspectFound, ...] | None:
    return tuple(map(AspectFound.read, row["aspects"])) if row.get("aspects") is not None else None


def _words(rows: list[Mapping[str, Any]]) -> tuple[WordScore, ...]:
    return tuple(map(WordScore.read, rows))


def _plain(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {task: dict(found) for task, found in scores.items()}
