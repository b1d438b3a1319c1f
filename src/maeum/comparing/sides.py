"""What a model folder or a predictions file decides on labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._files import sha256_file
from maeum._lang import say
from maeum.data import Dataset
from maeum.errors import TaskMismatch
from maeum.evaluation import score_model, score_predictions
from maeum.folder import fingerprint, head_names, load
from maeum.models.base import Proba


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    fingerprint: str
    """Of the folder's manifest (which vouches for every file), or of the predictions file."""
    proba: Proba = field(repr=False)
    decided: NDArray[np.uint8] = field(repr=False)
    """(n, k)."""
    grades: tuple[Mapping[str, str], ...] | None = field(repr=False)
    """Aspect → grade of each row, in an aspect task where they are known."""
    labelled: int | None
    """Rows it was trained on, if known."""
    trained_on: str
    """Fingerprint of those rows, if known."""
    notes: tuple[str, ...] = ()


def open_side(path: str | Path, data: Dataset) -> Side:
    """Let a model, or a file of its predictions, decide on every row.

    Raises:
        TaskMismatch: it is of another task.
        UsageError, FormatError, DataError: it cannot be opened.
    """
    if Path(path).is_file():
        return _of_file(Path(path), data)
    head = data.task.name if data.task.name in head_names(path) else None
    analyzer = load(path, task=head)
    if (analyzer.task.keys, analyzer.task.kind) != (data.task.keys, data.task.kind):
        raise TaskMismatch(
            f"'{path}'의 과제 '{analyzer.task.name}'가 데이터의 과제 '{data.task.name}'와 달라 견줄 수 없습니다.",
            f"'{path}' is of task '{analyzer.task.name}', the data of '{data.task.name}': they cannot be compared",
        )
    scored = score_model(analyzer, data)
    decided = analyzer.decide(scored.proba)
    graded = analyzer.grade(data.inputs, decided, scored.proba)
    train: Mapping[str, Any] = analyzer.about.get("train") or {}
    notes: tuple[str, ...] = ()
    if scored.seen and scored.seen == data.fingerprint:
        notes = (
            say(
                f"'{path}'은(는) 이 행들로 학습했습니다. 견주는 뜻이 없습니다.",
                f"'{path}' was trained on these very rows; comparing says nothing",
            ),
        )
    return Side(
        str(path),
        fingerprint(path)[:16],
        scored.proba,
        decided,
        None if graded is None else tuple({item["aspect"]: item["sentiment"] for item in row} for row in graded),
        int(train["rows"]) if "rows" in train else None,
        str(train.get("fingerprint", "")),
        notes,
    )


def _of_file(path: Path, data: Dataset) -> Side:
    scored = score_predictions(path, data)
    if scored.grades is not None:
        decided = np.array([data.task.encode(row) for row in scored.grades], np.uint8)
    else:
        decided = scored.decided if scored.decided is not None else scored.thresholds.decide(scored.proba)
    notes = tuple(f"{path}: {note}" for note in scored.notes)
    return Side(str(path), sha256_file(path)[:16], scored.proba, decided, scored.grades, None, "", notes)
