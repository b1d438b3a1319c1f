"""``Text | Completion`` tables (a review API's training data): ``스타일 1, 만족도 2``.

Read from Markdown tables, CSV and xlsx; ``디자인1, 배송-1`` is read too. Spans of aspects are not in this format.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from maeum._files import atomic_text
from maeum.data import Example
from maeum.errors import DataError
from maeum.formats.columns import find_column, pick_columns
from maeum.formats.labels import completion_text, parse_completion
from maeum.formats.lines import Lines, Row, Source
from maeum.formats.records import Context, Unreadable, as_id, as_object, as_text
from maeum.formats.tables import table_rows
from maeum.formats.tables_out import open_table
from maeum.task import Task

_GRADE = re.compile(r"-?\d+")
_CELL_END = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:\-]+")


def completion_rows(source: Source) -> Iterator[Row]:
    """Rows of a Markdown table, CSV or xlsx."""
    if source.suffix in (".md", ".markdown", ".txt") or (source.path is None and _looks_markdown(source)):
        return markdown_rows(source)
    return table_rows(source)


def markdown_rows(source: Source) -> Iterator[Row]:
    """Rows of the Markdown tables of a file that have a Completion column; other lines are passed over."""
    lines = Lines(source, limit=source.options.max_line_bytes)
    header: list[str] | None = None
    number = 0
    with contextlib.closing(lines):
        for line in lines:
            text = line.strip()
            if not text.startswith("|"):
                header = header if text.startswith(">") else None
                continue
            if _RULE.fullmatch(text):
                continue
            cells = [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(text.removeprefix("|"))]
            if text.endswith("|") and not text.endswith("\\|"):
                cells.pop()
            if header is None:
                header = cells
            elif "completion" in (name.lower() for name in header):
                number += 1
                error = None if len(cells) == len(header) else _ragged(len(cells), len(header))
                yield Row(number, lines.number, dict(zip(header, cells, strict=False)), text, error)


def parse_completion_row(row: Row, context: Context) -> Example:
    """A row with a text and a completion.

    Raises:
        DataError: the completion column is missing or broken.
    """
    record = as_object(row)
    names = tuple(record)
    try:
        columns = pick_columns(names, context.options)
        completion = find_column(names, context.options.label_column or "completion", "--label-column")
    except DataError as error:
        raise Unreadable(error.ko, error.en) from error
    cell = record[completion]
    aspects = None
    if context.with_labels:
        aspects = parse_completion("" if cell is None else as_text(cell, completion), context.labels)
    meta = {name: record[name] for name in columns.meta if name != completion}
    text = as_text(record[columns.text], columns.text)
    return Example(as_id(record[columns.id]) if columns.id else "", text, None, None, aspects, meta)


def write_completion(examples: Iterable[Example], path: Path, task: Task | None, source: Path | None) -> None:
    """Write ``Text,Completion``: a Markdown table for ``.md``, else CSV.

    Raises:
        DataError: a row has no aspects, or a Markdown cell would need a line break.
    """
    if path.suffix.lower() in (".md", ".markdown"):
        with atomic_text(path) as file:
            file.write("| Text | Completion |\n| --- | --- |\n")
            for example in examples:
                text, cell = _pair(example)
                if "\n" in text or "\r" in text:
                    raise DataError(
                        f"행 '{example.id}': 마크다운 표에는 줄바꿈을 쓸 수 없습니다. .csv로 저장하세요.",
                        f"row '{example.id}': a Markdown table cannot hold a line break; write a .csv file",
                    )
                file.write("| " + text.replace("|", "\\|") + " | " + cell.replace("|", "\\|") + " |\n")
        return
    with open_table(path, "xlsx" if path.suffix.lower() == ".xlsx" else "csv", ("Text", "Completion")) as write:
        for example in examples:
            write(_pair(example))


def _pair(example: Example) -> tuple[str, str]:
    if example.aspects is None:
        raise DataError(
            f"행 '{example.id}'에 속성별 감성이 없어 completion으로 쓸 수 없습니다.",
            f"row '{example.id}' has no aspects, so it cannot be written as a completion",
        )
    for item in example.aspects:
        if not _GRADE.fullmatch(item.sentiment):
            raise DataError(
                f"completion은 감성이 숫자인 과제에만 쓸 수 있는데 '{item.sentiment}'입니다.",
                f"a completion needs grades that are numbers, got '{item.sentiment}'",
            )
    return example.text, completion_text(example.aspects)


def _looks_markdown(source: Source) -> bool:
    head: bytes = source.open().peek(64)  # type: ignore[attr-defined]
    return head.lstrip().startswith(b"|")


def _ragged(came: int, expected: int) -> DataError:
    return DataError(
        f"칸이 {came}개입니다. 머리줄에는 {expected}개입니다.", f"the row has {came} cells, the header {expected}"
    )
