"""Predictions of a part to its file: Parquet, JSONL or CSV, there under its name when it is complete.

With one head the columns are those of ``maeum predict``: id, text, target, labels, a probability per label. With several,
each head has its own: ``kote.labels``, ``kote.기쁨`` and so on. The columns that were kept come last.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._files import atomic_text
from maeum.analyzer import score_dict
from maeum.bulk.parquet import column_types
from maeum.bulk.settings import OutputFormat
from maeum.data import Example
from maeum.formats import PredictionRow, prediction_line
from maeum.formats.columns import plain
from maeum.formats.predictions import prediction_cells, prediction_header
from maeum.formats.tables_out import atomic_path, open_table
from maeum.models.base import Proba
from maeum.task import Task

_COMPRESSION = "zstd(1)"
_OWN = 3
"""Columns of a table of predictions that belong to the text and not to a head: id, text, target."""


@dataclass(frozen=True)
class HeadAnswer:
    """What one head says of a batch of n texts."""

    task: Task
    proba: Proba
    """(n, k)."""
    on: NDArray[np.uint8]
    """(n, k) decisions."""
    aspects: Sequence[tuple[Mapping[str, Any], ...]] | None
    """Of aspect tasks: for each text the aspects found and their grades."""

    def rows(self, examples: Sequence[Example]) -> Iterator[PredictionRow]:
        """One prediction per text."""
        for row, example in enumerate(examples):
            scores = dict(zip(self.task.keys, self.proba[row].tolist(), strict=True))
            aspects = None if self.aspects is None else self.aspects[row]
            labels = self.task.decode(self.on[row])
            yield PredictionRow(example.id, example.text, example.target, labels, scores, aspects, example.meta)


@dataclass(frozen=True)
class Answered:
    """A batch with the answers of all heads."""

    examples: Sequence[Example]
    heads: Sequence[HeadAnswer]


WriteBatch = Callable[[Answered], None]


@dataclass(frozen=True)
class Layout:
    """Which columns a table has."""

    tasks: tuple[Task, ...]
    keep: Mapping[str, Any]
    """Column to keep → its Arrow type in Parquet; None: text."""

    @property
    def header(self) -> list[str]:
        """The names of the columns, in order."""
        header = [*prediction_header(self.tasks[0])[:_OWN], *(name for task in self.tasks for name in self.of(task))]
        return [*header, *(f"meta_{name}" if name in header else name for name in self.keep)]

    def of(self, task: Task) -> list[str]:
        """The columns of one head: its labels, then a probability per label."""
        columns = prediction_header(task)[_OWN:]
        return list(columns) if len(self.tasks) == 1 else [f"{task.name}.{name}" for name in columns]


def kept_types(path: Path, keep: Sequence[str]) -> dict[str, Any]:
    """Columns to keep with their Arrow types; None, which is text, for all but the numbers of a Parquet file."""
    types: dict[str, Any] = dict.fromkeys(keep)
    if keep and path.suffix.lower() == ".parquet":
        found = {plain(name): type for name, type in column_types(path).items()}
        for name in keep:
            types[name] = _number_type(found.get(plain(name)))
    return types


@contextlib.contextmanager
def open_part(path: Path, format: OutputFormat, layout: Layout) -> Iterator[WriteBatch]:
    """A file of predictions that appears under its name when the block ends without an error."""
    if format == "parquet":
        with _parquet(path, layout) as write:
            yield write
    elif format == "csv":
        with open_table(path, "csv", layout.header) as write_row:
            yield lambda batch: _each(write_row, _cells(batch))
    else:
        line = _line if len(layout.tasks) > 1 else prediction_line_of_one
        with atomic_text(path) as file:
            yield lambda batch: _each(file.write, (text + "\n" for text in line(batch)))


# -- inside -------------------------------------------------------------------------------------------------


def _each(write: Callable[[Any], object], items: Iterator[Any]) -> None:
    for item in items:
        write(item)


def prediction_line_of_one(batch: Answered) -> Iterator[str]:
    """The lines that ``maeum predict`` writes."""
    return map(prediction_line, batch.heads[0].rows(batch.examples))


def _line(batch: Answered) -> Iterator[str]:
    """A line per text with the labels and scores of every head, those of the first also as ``labels``."""
    for row, example in enumerate(batch.examples):
        labels = {head.task.name: list(head.task.decode(head.on[row])) for head in batch.heads}
        scores = {head.task.name: score_dict(head.task, head.proba[row]) for head in batch.heads}
        found: dict[str, Any] = {
            "id": example.id,
            "text": example.text,
            "target": example.target and example.target.to_dict(),
            "labels": next(iter(labels.values())),
            "labels_by_task": labels,
            "scores": scores,
        }
        if example.meta:
            found["meta"] = dict(example.meta)
        yield json.dumps(found, ensure_ascii=False, default=str)


def _cells(batch: Answered) -> Iterator[list[Any]]:
    of_heads = zip(*(head.rows(batch.examples) for head in batch.heads), strict=True)
    for example, rows in zip(batch.examples, of_heads, strict=True):
        cells: list[Any] = []
        for head, row in zip(batch.heads, rows, strict=True):
            found = prediction_cells(row, head.task)
            cells += found[_OWN:] if cells else found
        yield [*cells, *example.meta.values()]


@contextlib.contextmanager
def _parquet(path: Path, layout: Layout) -> Iterator[WriteBatch]:
    import arro3.core
    import arro3.io

    text, number = arro3.core.DataType.string(), arro3.core.DataType.float32()
    header, kept = layout.header, list(layout.keep.values())
    scores = {name for task in layout.tasks for name in layout.of(task)[1:]}
    types = [number if name in scores else text for name in header[: len(header) - len(kept)]]
    types += [text if type is None else type for type in kept]
    schema = arro3.core.Schema(
        [arro3.core.Field(name, type, nullable=True) for name, type in zip(header, types, strict=True)]
    )
    batches: list[Any] = []

    def write(batch: Answered) -> None:
        rows = batch.examples
        columns: list[Any] = [
            arro3.core.Array([row.id for row in rows], text),
            arro3.core.Array([row.text for row in rows], text),
            arro3.core.Array([row.target.form if row.target else "" for row in rows], text),
        ]
        for head in batch.heads:
            labels = [prediction_cells(row, head.task)[_OWN] for row in head.rows(rows)]
            columns.append(arro3.core.Array(labels, text))
            columns += [arro3.core.Array.from_numpy(column) for column in np.ascontiguousarray(head.proba.T)]
        for name, type in layout.keep.items():
            values = [row.meta[name] for row in rows]
            if type is None:
                columns.append(arro3.core.Array([_text(value) for value in values], text))
            else:
                columns.append(arro3.core.Array(values, type))
        batches.append(arro3.core.RecordBatch.from_arrays(columns, schema=schema))

    with atomic_path(path) as temporary:
        yield write
        table = arro3.core.Table.from_batches(batches, schema=schema)
        arro3.io.write_parquet(table, str(temporary), compression=_COMPRESSION)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else str(value)


def _number_type(type: Any) -> Any:
    import arro3.core

    kinds: Any = arro3.core.DataType
    if type is None or not any(test(type) for test in (kinds.is_integer, kinds.is_floating, kinds.is_boolean)):
        return None
    return kinds.float64() if kinds.is_floating(type) else type
