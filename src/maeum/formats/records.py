"""One row with named fields → one ``Example``: our JSONL and every kind of table."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maeum.data import AspectLabel, Example
from maeum.errors import DataError, UsageError
from maeum.formats.columns import Columns, missing_column, pick_columns
from maeum.formats.ids import row_id as row_id
from maeum.formats.labels import LabelReader, parse_completion
from maeum.formats.lines import Row, Source
from maeum.formats.options import ReadOptions, ReadReport
from maeum.formats.targets import read_target
from maeum.task import Task

NOT_META = frozenset({"scores"})
_KNOWN_ASPECT_KEYS = ("begin", "end")


class Unreadable(DataError):
    """Wrong with the file as a whole, so skipping rows would not help."""


@dataclass
class Context:
    """What the parser of a row knows besides the row."""

    source: Source
    task: Task | None = None
    with_labels: bool = True
    """Off: labels are not looked at (a file to predict may be labelled for another task)."""
    tabular: bool = False
    """Whether a missing column concerns the whole file."""
    report: ReadReport = field(default_factory=ReadReport)
    """For what a format notes of rows that are not wrong."""
    labels: LabelReader = field(init=False)

    def __post_init__(self) -> None:
        self.labels = LabelReader(self.task)
        self.columns = functools.lru_cache(maxsize=256)(self._columns)

    @property
    def options(self) -> ReadOptions:
        """Options of the reading."""
        return self.source.options

    def _columns(self, names: tuple[str, ...]) -> Columns:
        try:
            return pick_columns(names, self.options)
        except DataError as error:
            if self.tabular:
                raise Unreadable(error.ko, error.en) from error
            raise


Writer = Callable[[Iterable[Example], Path, Task | None, Path | None], None]
"""(examples, file to write, their task, the file they were read from) → the file."""
Rows = Callable[[Source], Iterator[Row]]
Parse = Callable[[Row, Context], Example | None]


@dataclass(frozen=True)
class Format:
    """A way data lies in a file."""

    name: str
    rows: Rows
    """Cuts a source into rows."""
    parse: Parse
    """One row → one example without an id if the row has none; ``None`` = the format leaves such rows out."""
    suffixes: tuple[str, ...]
    """Usual file suffixes, the first one for writing."""
    task: str | None = None
    """Name of the built-in task its labels belong to."""
    write: Writer | None = None
    tabular: bool = False
    blank_ok: bool = False
    """Whether rows without text are kept, because the published corpus has some."""
    loose_ids: bool = False
    """Whether an id that comes again gets ``#2`` …, because nobody vouches for the ids of the corpus."""
    merge: Callable[[Iterable[Example], Task | None], Iterator[Example]] | None = None
    """Joins examples that several rows make up."""
    task_of: Callable[[Path], str | None] | None = None
    """Built-in task of one particular file."""


def as_object(row: Row) -> Mapping[str, Any]:
    """The value of a row as an object with keys.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(row.value, dict):
        raise DataError(
            f"행은 {{…}} 객체여야 하는데 {type(row.value).__name__}입니다.",
            f"a row is an object {{…}}, got {type(row.value).__name__}",
        )
    return row.value


def as_text(value: Any, name: str) -> str:
    """A text field.

    Raises:
        DataError: not a string.
    """
    if not isinstance(value, str):
        raise DataError(
            f"'{name}'은(는) 글자여야 하는데 {'비어 있습니다' if value is None else type(value).__name__ + '입니다'}.",
            f"'{name}' is text, got {'nothing' if value is None else type(value).__name__}",
        )
    return value


def as_id(value: Any) -> str:
    """A row id; empty if the row has none.

    Raises:
        DataError: neither a word nor a number.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise DataError(
        f"id는 글자나 정수여야 하는데 {type(value).__name__}입니다.",
        f"an id is text or a whole number, got {type(value).__name__}",
    )


def need(record: Mapping[str, Any], key: str) -> Any:
    """The value of a key.

    Raises:
        DataError: the row has no such key; the sentence lists the keys it has.
    """
    if key not in record:
        raise missing_column(key, key, tuple(record), "")
    return record[key]


def parse_record(row: Row, context: Context) -> Example:
    """Read a row whose fields have names.

    Raises:
        DataError, TaskMismatch: something in it is not what it should be.
    """
    record = as_object(row)
    columns = context.columns(tuple(record))
    text = as_text(record[columns.text], columns.text)
    begin = record[columns.begin] if columns.begin else None
    end = record[columns.end] if columns.end else None
    target = read_target(text, record[columns.target], begin, end) if columns.target else None
    labels: tuple[str, ...] | None = None
    aspects: tuple[AspectLabel, ...] | None = None
    if context.with_labels:
        if columns.aspects:
            aspects = read_aspects(record[columns.aspects], text, context.labels)
        elif columns.label:
            labels = context.labels.cell(record[columns.label])
            _not_aspect_task(context.task, columns.label)
    meta: dict[str, Any] = {name: record[name] for name in columns.meta if name not in NOT_META}
    inner = meta.pop("meta", None)
    if isinstance(inner, dict):
        meta |= inner
    elif inner is not None:
        meta["meta"] = inner
    row_name = as_id(record[columns.id]) if columns.id else ""
    return Example(row_name, text, target, labels, aspects, meta)


def read_aspects(value: Any, text: str, labels: LabelReader) -> tuple[AspectLabel, ...] | None:
    """Aspects from a list of ``{"aspect", "sentiment", "begin", "end"}``, the same as JSON text, or ``배송 -1, …``.

    Raises:
        DataError: another shape, or offsets outside the text.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if not value.strip():
            return None
        if not value.lstrip().startswith("["):
            return parse_completion(value, labels)
        try:
            value = json.loads(value)
        except ValueError as error:
            raise DataError(
                f"aspects 칸이 JSON이 아닙니다: {error}", f"the aspects cell is not JSON: {error}"
            ) from error
    if not isinstance(value, list):
        raise DataError(
            f"aspects는 목록이어야 하는데 {type(value).__name__}입니다.",
            f"aspects is a list, got {type(value).__name__}",
        )
    return tuple(_aspect(item, text, labels) for item in value)


def _aspect(item: Any, text: str, labels: LabelReader) -> AspectLabel:
    if not isinstance(item, dict) or "aspect" not in item:
        raise DataError(
            'aspects의 항목은 {"aspect", "sentiment"}여야 합니다.', 'an item of aspects is {"aspect", "sentiment", …}'
        )
    aspect, grade = item["aspect"], item.get("sentiment")
    if grade is None or grade == "":
        raise DataError(
            f"속성 '{str(aspect)[:40]}'에 감성(sentiment)이 없습니다. 감성을 적거나 그 속성을 빼세요.",
            f"the aspect '{str(aspect)[:40]}' has no sentiment; give it one or leave the aspect out",
        )
    if isinstance(grade, int) and not isinstance(grade, bool):
        grade = str(grade)
    found = labels.aspect(as_text(aspect, "aspect"), as_text(grade, "sentiment"))
    begin, end = (item.get(key) for key in _KNOWN_ASPECT_KEYS)
    if begin is None and end is None:
        return found
    if not isinstance(begin, int) or not isinstance(end, int) or not 0 <= begin < end <= len(text):
        raise DataError(
            f"속성 '{found.aspect}'의 위치 [{begin}, {end})가 본문(0–{len(text)}) 안에 있지 않습니다.",
            f"aspect '{found.aspect}' is at [{begin}, {end}), outside the text (0–{len(text)})",
        )
    return AspectLabel(found.aspect, found.sentiment, begin, end)


def _not_aspect_task(task: Task | None, column: str) -> None:
    if task is not None and task.kind == "aspect":
        raise UsageError(
            f"과제 '{task.name}'에는 aspects 열이 필요한데 라벨 열 '{column}'만 있습니다.",
            f"task '{task.name}' needs an aspects column, but there is only the label column '{column}'",
        )
