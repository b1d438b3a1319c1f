"""Predictions of a table one by one: for files too long to hold, such as those of a roll-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maeum.errors import DataError
from maeum.formats.labels import LabelReader
from maeum.formats.lines import Source
from maeum.formats.options import ReadOptions
from maeum.formats.predictions import PredictionRow
from maeum.formats.scores import Found, placed
from maeum.formats.tables import table_rows
from maeum.task import Task

_PERCENT = 1 + 1e-6
_LARGEST = 100 + 1e-6

Decide = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""(n, k) probabilities → zeros and ones, such as ``Thresholds.decide``."""


def iter_table_predictions(path: str | Path, task: Task, decide: Decide) -> Iterator[PredictionRow]:
    """The rows of a table of predictions, read twice and never held: the first time tells what all rows have in common.

    As ``read_predictions`` has it: scores are percent where any is over 1; the labels decided are the file's own if every
    row has them, else what ``decide`` says; ids count if every row has one. Rows that repeat a text stay apart.

    Args:
        path: CSV, TSV, Parquet; xlsx too, but its reader holds the sheet.
        decide: asked where a row of the file has no labels.

    Raises:
        DataError: a row without the scores of the task, or scores that are no probabilities, with file and line.
    """
    count, top = 0, 0.0
    named = labelled = graded = True
    for line, row in _rows(path, task):
        count += 1
        _check(row, path, line)
        top = max(top, *row.scores)
        named &= bool(row.id)
        labelled &= row.labels is not None
        graded &= row.aspects is not None
    if not count:
        raise DataError("예측이 하나도 없습니다.", "there are no predictions", path=path)
    whole = 100 if top > _PERCENT else 1
    for number, (_, row) in enumerate(_rows(path, task), start=1):
        scores = np.clip(np.array(row.scores) / whole, 0, 1).astype(np.float32)
        labels = row.labels if labelled and row.labels is not None else task.decode(decide(scores[None])[0])
        yield PredictionRow(
            id=row.id if named else f"row-{number:06d}",
            text=row.text or "",
            target=row.target,
            labels=labels,
            scores=dict(zip(task.keys, scores.tolist(), strict=True)),
            aspects=row.aspects if graded else None,
        )


def _rows(path: str | Path, task: Task) -> Iterator[tuple[int, Found]]:
    """(line, row)."""
    source, reader = Source(Path(path), ReadOptions()), LabelReader(task)
    for row in table_rows(source):
        yield row.line, placed(row, task, reader, source)


def _check(row: Found, path: str | Path, line: int) -> None:
    for score in row.scores:
        if not 0 <= score <= _LARGEST:  # NaN is not either
            raise DataError(
                f"점수 {score}은(는) 확률(0–1)도 퍼센트(0–100)도 아닙니다.",
                f"score {score} is neither a probability (0–1) nor a percentage (0–100)",
                path=path,
                line=line,
            )
