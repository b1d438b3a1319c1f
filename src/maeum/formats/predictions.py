"""Predictions out: rows of data with a probability per label, as our JSONL or as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maeum._files import atomic_text
from maeum.data import Target
from maeum.errors import UsageError
from maeum.formats.labels import labels_cell
from maeum.formats.tables_out import TableKind, open_table
from maeum.task import Task

BASE = ("id", "text", "target", "labels")
"""Columns of a table of predictions before the scores."""

_TABLES: tuple[TableKind, ...] = ("csv", "tsv", "xlsx", "parquet")


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One predicted row."""

    id: str
    text: str
    target: Target | None
    labels: tuple[str, ...]
    """Label keys that were decided on; in an aspect task the aspects."""
    scores: Mapping[str, float]
    """Probability of every label, in task order."""
    aspects: tuple[Mapping[str, Any], ...] | None = None
    """Aspect tasks: ``{"aspect", "sentiment", "score", "sentiment_scores", "evidence", "sentiment_evidence", "begin", "end"}``."""
    meta: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row in our JSONL form."""
        target = self.target
        row: dict[str, Any] = {
            "id": self.id,
            "text": self.text,
            "target": target and target.to_dict(),
        }
        if self.aspects is None:
            row["labels"] = list(self.labels)
        else:
            row["aspects"] = [dict(item) for item in self.aspects]
        row["scores"] = {key: short(score) for key, score in self.scores.items()}
        if self.meta:
            row["meta"] = dict(self.meta)
        return row


def short(score: float) -> float:
    """The shortest decimal that reads back as the same float32."""
    return float(str(np.float32(score)))


def prediction_line(row: PredictionRow) -> str:
    """A row as one line of our JSONL, without the line end."""
    return _ENCODER.encode(row.to_dict())


def prediction_header(task: Task) -> tuple[str, ...]:
    """Columns of a table of predictions: id, text, target, labels, one per label score."""
    return (*BASE, *(f"score_{key}" if key in BASE else key for key in task.keys))


def prediction_cells(row: PredictionRow, task: Task) -> list[Any]:
    """The cells of a row under ``prediction_header``; aspects with sentiments read ``배송 -1, 디자인 2``."""
    if row.aspects is None:
        labels = labels_cell(row.labels)
    else:
        labels = ", ".join(f"{item['aspect']} {item['sentiment']}" for item in row.aspects)
    form = row.target.form if row.target else ""
    return [row.id, row.text, form, labels, *(short(row.scores[key]) for key in task.keys)]


def write_predictions(rows: Iterable[PredictionRow], path: Path, task: Task, format: str = "jsonl") -> None:
    """Write predictions as they come: our JSONL, or a table (csv, tsv, xlsx, parquet).

    Raises:
        UsageError: predictions are not written in that format.
    """
    if format == "jsonl":
        with atomic_text(path) as file:
            for row in rows:
                file.write(prediction_line(row) + "\n")
        return
    for kind in _TABLES:
        if kind == format:
            with open_table(path, kind, prediction_header(task)) as write:
                for row in rows:
                    write(prediction_cells(row, task))
            return
    names = ", ".join(("jsonl", *_TABLES))
    raise UsageError(
        f"예측은 {names}(으)로 쓸 수 있습니다: {format!r}", f"predictions are written as {names}, got {format!r}"
    )


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_number)
"""Made once: building one for every row takes longer than using it."""
