"""What one annotator said of one row, and the two marks that tie it to the row and the task it was made for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maeum.data import AspectLabel, Example, Target
from maeum.task import Task


@dataclass(frozen=True)
class Span:
    """Words that show a label; ``end`` is exclusive, both count code points of the raw text."""

    label: str
    begin: int
    end: int


@dataclass(frozen=True)
class Annotation:
    """One annotator's answer for one row; ``labels`` or ``aspects``, as the task has it."""

    row: str
    """Id of the row."""
    annotator: str
    when: str
    """ISO 8601 in UTC: when it was saved."""
    labels: tuple[str, ...] | None = None
    aspects: tuple[AspectLabel, ...] | None = None
    target: Target | None = None
    """Where the annotator marked it; None where the row's own stays."""
    evidence: tuple[Span, ...] = ()
    note: str = ""

    @property
    def answer(self) -> tuple[Any, ...]:
        """What was said, without who and when."""
        return self.labels, self.aspects, self.target, self.evidence

    def to_dict(self) -> dict[str, Any]:
        """As it stands in ``meta.annotations``."""
        data: dict[str, Any] = {"annotator": self.annotator, "when": self.when}
        if self.labels is not None:
            data["labels"] = list(self.labels)
        if self.aspects is not None:
            data["aspects"] = [_aspect_dict(item) for item in self.aspects]
        if self.target is not None:
            data["target"] = self.target.to_dict()
        if self.evidence:
            data["evidence"] = [{"label": s.label, "begin": s.begin, "end": s.end} for s in self.evidence]
        if self.note:
            data["note"] = self.note
        return data

    @classmethod
    def from_dict(cls, row: str, data: Mapping[str, Any]) -> Annotation:
        """Read ``to_dict``'s form."""
        aspects = data.get("aspects")
        target = data.get("target")
        return cls(
            row,
            str(data["annotator"]),
            str(data["when"]),
            None if data.get("labels") is None else tuple(data["labels"]),
            None if aspects is None else tuple(AspectLabel(**item) for item in aspects),
            None if target is None else Target(**target),
            tuple(Span(**item) for item in data.get("evidence", ())),
            str(data.get("note", "")),
        )


def row_check(task: Task, example: Example) -> str:
    """A mark of 16 characters that a row carries through any tool: 8 of the task, 8 of the raw text and target."""
    about = "" if example.target is None else f"\0{example.target.begin}\0{example.target.end}"
    raw = (example.text + about).encode("utf-8", "surrogatepass")
    return f"{task_check(task)}-{hashlib.sha256(raw).hexdigest()[:8]}"


def task_check(task: Task) -> str:
    """The task's half of ``row_check``."""
    return task.fingerprint[:8]


def _aspect_dict(item: AspectLabel) -> dict[str, Any]:
    data: dict[str, Any] = {"aspect": item.aspect, "sentiment": item.sentiment}
    if item.begin is not None:
        data |= {"begin": item.begin, "end": item.end}
    return data
