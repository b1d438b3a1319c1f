"""What an audit finds, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from maeum.auditing.confusing import Pair
from maeum.auditing.duplicates import Overlap, Twins
from maeum.auditing.settings import Settings
from maeum.data import Dataset
from maeum.task import Task

Kind = Literal["wrong", "missing", "class", "grade"]
"""A label given that should not be; one not given that should be; another label; another grade of an aspect."""
ABSENT, PRESENT = "no", "yes"
"""A label's value where it has no grade."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A (row, label) that looks wrong."""

    row: int
    """Index in the audited data."""
    label: str
    """Label key; of a multiclass task the one given."""
    kind: Kind
    given: str
    """``yes``, ``no``, a label (multiclass) or a grade (aspects)."""
    suggested: str
    """The same, of what it should be; empty where nobody can say (the grade of a missing aspect)."""
    score: float
    """0–1, how likely the given value is wrong, if the assumed share of labels is."""
    reason: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A word and what it does for a label, as ``explaining.Word`` has it."""

    begin: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Said:
    """What a model that never saw the row says of a suspect's row."""

    scores: Mapping[str, float]
    """Held-out probability of every label; of a grade in doubt, of every grade."""
    decided: tuple[str, ...]
    """Those it would give."""
    about: str
    """What ``words`` speak for: the label in doubt, or the one suggested in its place."""
    words: tuple[Mark, ...]
    """Of a model trained on all rows; empty where it is no linear one, whose words would take too long."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label in the table of labels."""

    label: str
    train: int
    """Rows given it."""
    valid: int | None
    """The same of the valid rows; None without them."""
    wrong: int
    """Of the rows given it, how many are suspicious."""
    errors: float
    """How many of those are likely wrong: the sum of their scores."""
    missing: int
    """Of the rows not given it, how many are suspicious."""
    precision: float
    """Of out-of-fold decisions."""
    recall: float
    f1: float
    lift: float | None
    """Average precision by the label's share: 1 is guessing; None where the label does not occur."""
    rare: bool
    """Given to too few rows to be learnt."""

    @property
    def error_share(self) -> float:
        """``errors`` by ``train``."""
        return self.errors / self.train if self.train else 0.0


@dataclass(frozen=True)
class Part:
    """One question asked of the rows: the labels themselves, or in an aspect task the grades of the aspects."""

    name: str
    """``labels``, ``aspects`` or ``sentiment``."""
    task: Task
    rows: int
    labels: tuple[LabelRow, ...]
    pairs: tuple[Pair, ...]
    texts: tuple[str, ...] = field(repr=False)
    """Texts of the rows that the pairs' numbers count in."""
    ids: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Audit:
    """Everything that was found."""

    data: Dataset
    """The labelled rows."""
    settings: Settings
    model: str
    parts: tuple[Part, ...]
    suspects: tuple[Suspect, ...]
    """The work list, the likeliest first."""
    above: int
    """(Row, label) pairs of a score as high as the assumed share of errors, listed or not."""
    same: tuple[tuple[int, ...], ...]
    """Groups of rows with the same text and different labels."""
    copies: int
    """Rows whose text another row has too."""
    near: tuple[Twins, ...]
    """Nearly equal texts with different labels, the most alike first."""
    near_agreeing: int
    """Nearly equal texts with the same labels."""
    overlap: Overlap | None
    """None without valid rows."""
    valid: Dataset | None = field(repr=False)
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    said: tuple[Said, ...] = field(default=(), repr=False)
    """One for each of ``suspects``."""

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain data; row texts are left out."""
        ids = self.data.ids
        overlap = self.overlap
        valid_ids = self.valid.ids if self.valid is not None else []
        return {
            "data": {"source": self.data.source, "rows": len(self.data), "fingerprint": self.data.fingerprint},
            "task": {"name": self.data.task.name, "kind": self.data.task.kind, "labels": len(self.data.task)},
            "model": self.model,
            "settings": self.settings.to_dict(),
            "listed": len(self.suspects),
            "above_assumed_share": self.above,
            "expected_errors_in_list": round(sum(item.score for item in self.suspects), 1),
            "kinds": {
                kind: sum(item.kind == kind for item in self.suspects)
                for kind in ("wrong", "missing", "class", "grade")
                if any(item.kind == kind for item in self.suspects)
            },
            "suspects": [
                {
                    "id": ids[item.row],
                    "label": item.label,
                    "kind": item.kind,
                    "given": item.given,
                    "suggested": item.suggested,
                    "score": round(item.score, 4),
                }
                for item in self.suspects
            ],
            "parts": [_part_dict(part) for part in self.parts],
            "duplicates": {
                "copies": self.copies,
                "same_text_other_labels": [[ids[row] for row in group] for group in self.same],
                "near_other_labels": [_twins_dict(item, ids, ids) for item in self.near],
                "near_same_labels": self.near_agreeing,
            },
            "leakage": overlap
            and {
                "same": [_twins_dict(item, ids, valid_ids) for item in overlap.same],
                "near": [_twins_dict(item, ids, valid_ids) for item in overlap.near],
            },
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
        }


def _twins_dict(item: Twins, first: list[str], second: list[str]) -> dict[str, Any]:
    return {
        "first": first[item.first],
        "second": second[item.second],
        "similarity": round(item.similarity, 3),
        "same_labels": item.agree,
    }


def _part_dict(part: Part) -> dict[str, Any]:
    keys = part.task.keys
    return {
        "name": part.name,
        "rows": part.rows,
        "labels": [
            {
                "label": row.label,
                "train": row.train,
                "valid": row.valid,
                "suspicious_given": row.wrong,
                "estimated_errors": round(row.errors, 1),
                "error_share": round(row.error_share, 4),
                "suspicious_missing": row.missing,
                "precision": round(row.precision, 4),
                "recall": round(row.recall, 4),
                "f1": round(row.f1, 4),
                "lift": None if row.lift is None else round(row.lift, 2),
                "rare": row.rare,
            }
            for row in part.labels
        ],
        "pairs": [
            {
                "given": keys[pair.first],
                "predicted": keys[pair.second],
                "rows": pair.count,
                "reverse": pair.back,
                "by_chance": round(pair.expected, 2),
                "tells_given": [word.word for word in pair.tells_first],
                "tells_predicted": [word.word for word in pair.tells_second],
                "contested": [{"word": w.word, "given": w.first, "predicted": w.second} for w in pair.contested],
                "stray": [{"word": word, "rows": count} for word, count in pair.stray],
                "examples": [part.ids[row] for row in pair.rows],
            }
            for pair in part.pairs
        ],
    }
