"""The rows of one part, read by the readers of whole files: they are given a file that holds the part alone."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from maeum.bulk.parquet import row_batches
from maeum.bulk.plan import InputFile, Part
from maeum.bulk.settings import BatchSettings
from maeum.data import Example
from maeum.errors import DataError
from maeum.formats import FORMATS, ReadOptions, ReadReport
from maeum.formats.columns import find_column, pick_columns, plain
from maeum.formats.ids import SeenIds, row_id
from maeum.formats.jsonrows import line_rows
from maeum.formats.lines import Lines, Row, Source
from maeum.formats.options import Rejects
from maeum.formats.reading import Opened, examples_of
from maeum.formats.records import Context, Unreadable, parse_record
from maeum.formats.tables import csv_rows, tsv_rows
from maeum.task import Task


def part_examples(
    path: Path,
    file: InputFile,
    part: Part,
    settings: BatchSettings,
    task: Task,
    report: ReadReport,
    rejects: Path | None = None,
) -> Iterator[Example]:
    """Examples of a part in file order; ``meta`` holds the columns to keep.

    Ids are those of the file (not looked at for repetitions, which no part could see in another) or made from the
    number of the row.

    Args:
        path: the file.
        file, part: what the plan says of it.
        task: of the model; its labels play no role.
        report: filled with counts.
        rejects: where bad rows go, if they are skipped.

    Raises:
        DataError: a bad row (unless skipped), with file and line.
    """
    options = ReadOptions(
        text_column=settings.text_column,
        id_column=settings.id_column,
        target_column=settings.target_column,
        encoding=file.encoding,
        on_error=settings.on_error,
    )
    source = PartOfFile(path, options)
    source.place(file, part)
    rows = {"jsonl": _json_rows, "csv": _csv_rows, "tsv": _tsv_rows, "parquet": _parquet_rows}[file.kind]
    format = dataclasses.replace(
        FORMATS[file.kind],
        rows=functools.partial(_of_part, rows, file, part, settings),
        parse=_Parser(settings.keep_columns, file.id_prefix),
    )
    log = Rejects(rejects, report)
    try:
        yield from examples_of(Opened(source, format, task), report, log, _Unchecked())
    finally:
        log.close()


class PartOfFile(Source):
    """A text file that seems to hold its header and the rows of one part only."""

    head = begin = end = 0

    def place(self, file: InputFile, part: Part) -> None:
        """Show this part."""
        self.head, self.begin, self.end = file.head, part.begin, part.end

    def open(self) -> BinaryIO:
        """The header and the part."""
        stream: Any = _Window(super().open(), self.head, self.begin, self.end)
        return stream  # type: ignore[no-any-return]

    def byte_of(self, offset: int) -> int:
        """Where a byte of ``open()`` lies in the file."""
        return offset if offset < self.head else offset - self.head + self.begin


# -- inside -------------------------------------------------------------------------------------------------

PartRows = Callable[[Source, Part, BatchSettings], Iterator[Row]]


class _Window:
    """Some bytes of a file behind those of its header; nothing is held."""

    def __init__(self, stream: BinaryIO, head: int, begin: int, end: int) -> None:
        self._stream = stream
        self._head = io.BytesIO(stream.read(head))
        self._left = end - begin
        stream.seek(begin)

    def readline(self, size: int = -1) -> bytes:
        raw = self._head.readline(size)
        if not raw and self._left:
            raw = self._stream.readline(self._left if size < 0 else min(size, self._left))
            self._left -= len(raw)
        return raw

    def read(self, size: int) -> bytes:
        raw = self._head.read(size)
        if not raw and self._left:
            raw = self._stream.read(min(size, self._left))
            self._left -= len(raw)
        return raw

    def peek(self, size: int) -> bytes:
        waiting = self._head.getvalue()[self._head.tell() :]
        stream: Any = self._stream
        return waiting or bytes(stream.peek(size)[: self._left])

    def close(self) -> None:
        self._stream.close()


class _Unchecked(SeenIds):
    """Remembers nothing."""

    def line(self, name: str) -> int | None:
        return None

    def add(self, name: str, line: int) -> None:
        return

    def add_made_up(self, number: int, line: int) -> None:
        return


def _of_part(rows: PartRows, file: InputFile, part: Part, settings: BatchSettings, source: Source) -> Iterator[Row]:
    """The rows with the numbers and lines they have in the whole file."""
    lines = 0 if file.kind == "parquet" else part.first_line - file.head_lines - 1
    for row in rows(source, part, settings):
        error = row.error
        if error is not None and error.line is not None and lines:
            error = DataError(error.ko, error.en, path=error.path, line=error.line + lines)
        yield row._replace(number=row.number + part.first_row - 1, line=row.line + lines, error=error)


def _json_rows(source: Source, part: Part, settings: BatchSettings) -> Iterator[Row]:
    lines = Lines(source, limit=source.options.max_line_bytes)
    try:
        yield from line_rows(lines)
    finally:
        lines.close()


def _csv_rows(source: Source, part: Part, settings: BatchSettings) -> Iterator[Row]:
    return csv_rows(source)


def _tsv_rows(source: Source, part: Part, settings: BatchSettings) -> Iterator[Row]:
    return tsv_rows(source)


def _parquet_rows(source: Source, part: Part, settings: BatchSettings) -> Iterator[Row]:
    """Only the columns that count become Python values: the others may be many, and large."""
    assert source.path is not None
    number = 0
    wanted: dict[str, int] = {}
    for batch in row_batches(source.path, part.begin, part.end):
        if not wanted:
            wanted = _wanted(batch.schema.names, source.options, settings.keep_columns)
        columns = [batch.column(index).to_pylist() for index in wanted.values()]
        for cells in zip(*columns, strict=True):
            number += 1
            record = dict(zip(wanted, cells, strict=True))
            yield Row(number, number + part.first_row - 1, record, record)


def _wanted(names: list[str], options: ReadOptions, keep: tuple[str, ...]) -> dict[str, int]:
    """Column → its index, of those that are read."""
    try:
        columns = pick_columns(names, options)
    except DataError as error:
        raise Unreadable(error.ko, error.en) from error
    used = {columns.text, columns.target, columns.begin, columns.end, columns.id}
    used |= {find_column(names, name, "--keep-columns") for name in keep}
    return {name: index for index, name in enumerate(names) if name in used}


class _Parser:
    """A row with named fields → an example that carries the columns to keep."""

    def __init__(self, keep: tuple[str, ...], prefix: str) -> None:
        self.keep = keep
        self.prefix = prefix
        self._places = functools.lru_cache(maxsize=64)(self._find)

    def __call__(self, row: Row, context: Context) -> Example:
        example = parse_record(row, context)
        record: Mapping[str, Any] = row.value
        places = self._places(tuple(record), context.tabular) if self.keep else {}
        name = example.id if example.id.strip() else f"{self.prefix}{row_id(row.number)}"
        kept = {column: record.get(place) for column, place in places.items()}
        return dataclasses.replace(example, id=name, meta=kept, labels=None, aspects=None)

    def _find(self, names: tuple[str, ...], tabular: bool) -> dict[str, str]:
        """Column to keep → the row's own spelling of it; a JSON object may lack it, a table may not."""
        if not tabular:
            spelt = {plain(name): name for name in names}
            return {column: spelt.get(plain(column), column) for column in self.keep}
        try:
            return {column: find_column(names, column, "--keep-columns") for column in self.keep}
        except DataError as error:
            raise Unreadable(error.ko, error.en) from error
