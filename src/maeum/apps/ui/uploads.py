"""A file that was sent, read where it is, in memory: its columns, its rows, the bad ones; and tables to take away."""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer, batched, score_dict
from maeum.apps.ui.state import Model
from maeum.data import Example
from maeum.errors import DataError, UsageError
from maeum.formats import PredictionRow, ReadOptions, ReadReport, iter_examples, open_source
from maeum.formats.columns import pick_columns
from maeum.formats.lines import Source
from maeum.formats.predictions import prediction_cells, prediction_header
from maeum.models.base import Proba
from maeum.task import Task

SUFFIXES = ("csv", "tsv", "xlsx", "jsonl", "json", "parquet", "txt")
CHOOSABLE = ("csv", "tsv", "xlsx", "jsonl", "parquet")
"""Formats whose columns a person may choose; the others say themselves what is what."""
SHOWN = 5
KEPT = 200
"""Bad rows that are listed."""
_UNPACKED = 20
"""Times its size that a workbook may unpack to."""
_BATCH = 64


@dataclass(frozen=True)
class Upload:
    """A file in memory."""

    name: str
    content: bytes
    id: str
    """Tells one upload from another."""


@dataclass(frozen=True)
class Look:
    """What can be told of a file before its rows are read."""

    format: str
    encoding: str | None
    columns: tuple[str, ...]
    """Those a person may choose among; empty where the format has fixed ones."""
    rows: tuple[Mapping[str, Any], ...]
    """The first few, as they are."""
    text: str | None
    target: str | None
    task: Task | None
    """That of the format, where it has one."""


@dataclass(frozen=True)
class Rows:
    """The rows that could be read."""

    examples: tuple[Example, ...]
    report: ReadReport
    cut: bool
    """Whether there are more rows than are read."""


@dataclass(frozen=True)
class Predicted:
    """What a model says of the rows of a file."""

    task: Task
    examples: tuple[Example, ...]
    proba: Proba
    """(n, k)"""
    on: NDArray[np.uint8]
    """(n, k)"""
    aspects: tuple[tuple[Mapping[str, Any], ...], ...] | None
    """The aspects of each row with their grades; None of other tasks."""

    def rows(self, picked: Iterable[int] | None = None) -> Iterator[PredictionRow]:
        """As ``maeum predict`` writes them; all of them, or those picked."""
        for n in range(len(self.examples)) if picked is None else picked:
            item = self.examples[n]
            labels = self.task.decode(self.on[n])
            aspects = None if self.aspects is None else self.aspects[n]
            yield PredictionRow(item.id, item.text, item.target, labels, score_dict(self.task, self.proba[n]), aspects)


def received(name: str, content: bytes, id: str) -> Upload:
    """An upload whose name is safe to show and whose workbook does not unpack to something huge.

    Raises:
        DataError: it would.
    """
    name = PurePath(name.replace("\\", "/")).name[-120:] or "upload"
    if name.lower().endswith((".xlsx", ".xlsm")) and zipfile.is_zipfile(io.BytesIO(content)):
        size = sum(item.file_size for item in zipfile.ZipFile(io.BytesIO(content)).infolist())
        if size > _UNPACKED * max(len(content), 1 << 20):
            raise DataError(
                f"엑셀 파일이 풀면 {size / 1e6:,.0f} MB나 됩니다. csv로 저장해서 올리세요.",
                f"this workbook unpacks to {size / 1e6:,.0f} MB; save it as csv and upload that",
                path=name,
            )
    return Upload(name, content, id)


def look(upload: Upload) -> Look:
    """Format, columns and first rows.

    Raises:
        DataError: it cannot be read at all.
    """
    try:
        opened = open_source(upload.name, content=upload.content, on_error="skip")
        name, task = opened.format.name, opened.task
    except UsageError:
        # JSON without a text column of a known name: a person will say which it is
        if not upload.name.lower().endswith((".jsonl", ".json")):
            raise
        opened = open_source(upload.name, content=upload.content, format="jsonl", on_error="skip")
        name, task = "jsonl", None
    source: Source = opened.source
    first = [row for row in itertools.islice(opened.format.rows(source), SHOWN * 4) if row.error is None][:SHOWN]
    rows = tuple(row.value for row in first if isinstance(row.value, dict))
    columns = tuple(dict.fromkeys(str(key) for row in rows for key in row)) if name in CHOOSABLE else ()
    text, target = _guessed(columns)
    return Look(name, source.encoding, columns, rows, text, target, task)


def _guessed(columns: tuple[str, ...]) -> tuple[str | None, str | None]:
    if not columns:
        return None, None
    try:
        found = pick_columns(columns, ReadOptions())
    except DataError:
        return None, None
    return found.text, found.target


def read_rows(
    upload: Upload,
    seen: Look,
    *,
    limit: int,
    task: Task | None = None,
    labelled: bool = False,
    columns: Mapping[str, str | None] | None = None,
) -> Rows:
    """The rows of an upload; bad ones are left out and remembered.

    Args:
        limit: rows that are read.
        task: of the labels, where ``labelled``.
        columns: ``text_column``, ``label_column``, ``target_column`` as people chose them.

    Raises:
        DataError: no row can be used.
    """
    report = ReadReport(keep=KEPT)
    chosen: dict[str, Any] = {name: value for name, value in (columns or {}).items() if value}
    found = iter_examples(
        upload.name,
        content=upload.content,
        task=task,
        format=seen.format,
        with_labels=labelled,
        report=report,
        on_error="skip",
        **chosen,
    )
    examples = tuple(itertools.islice(found, limit))
    cut = next(found, None) is not None
    return Rows(examples, report, cut)


def predict(model: Model, head: str, rows: tuple[Example, ...], tick: Callable[[int], object]) -> Predicted:
    """Probabilities and decisions for rows, a batch at a time; ``tick`` gets the number of rows done."""
    analyzer: Analyzer = model.heads[head]
    proba, aspects = [], []
    for batch in batched(rows, _BATCH):
        with model.lock:
            scores = analyzer.predict_proba(batch)
            graded = analyzer.grade(batch, analyzer.decide(scores), scores)
        proba.append(scores)
        aspects += graded or []
        tick(sum(map(len, proba)))
    whole = np.concatenate(proba) if proba else np.zeros((0, len(analyzer.task)), np.float32)
    graded_task = analyzer.task.kind == "aspect"
    return Predicted(analyzer.task, rows, whole, analyzer.decide(whole), tuple(aspects) if graded_task else None)


def csv_bytes(rows: Iterable[PredictionRow], task: Task) -> bytes:
    """A CSV file that Excel opens (UTF-8 with a byte order mark), as ``maeum predict`` writes it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(prediction_header(task))
    writer.writerows(prediction_cells(row, task) for row in rows)
    return text.getvalue().encode("utf-8-sig")


def xlsx_bytes(rows: Iterable[PredictionRow], task: Task) -> bytes:
    """The same as a workbook; every text is stored as text and never computed.

    Raises:
        DataError: a text is longer than a cell holds.
    """
    import xlsxwriter

    whole = io.BytesIO()
    with xlsxwriter.Workbook(whole, {"in_memory": True}) as book:
        sheet = book.add_worksheet("maeum")
        sheet.freeze_panes(1, 0)
        sheet.set_column(1, 1, 60)
        for line, cells in enumerate(
            itertools.chain([prediction_header(task)], (prediction_cells(r, task) for r in rows))
        ):
            for column, cell in enumerate(cells):
                write = sheet.write_string if isinstance(cell, str) else sheet.write_number
                if write(line, column, cell) < 0:
                    raise DataError(
                        f"{line}번째 행의 글이 엑셀 칸보다 깁니다. csv로 받으세요.",
                        f"the text of row {line} is longer than a cell holds; take the csv",
                    )
    return whole.getvalue()
