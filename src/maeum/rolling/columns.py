"""Dates and groups out of the rows of any file, whatever its format takes those columns for."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from maeum.data import Example
from maeum.errors import UsageError
from maeum.formats.columns import plain
from maeum.formats.lines import Row
from maeum.formats.options import ReadReport
from maeum.formats.reading import Opened, _examples
from maeum.formats.records import Context
from maeum.rolling.periods import parse_day, short_year
from maeum.rolling.settings import Settings

Key = tuple[str, int | None, str | None]
"""Of a row: its id, its day (``date.toordinal``), its group."""

_DATE, _GROUP = "rollup date", "rollup group"
_LOOKED_AT = 1000
"""Rows in which a key of JSON lines must occur at least once: not every object has every key."""


@dataclass
class Seen:
    """What reading the dates came to."""

    short_year: int = 0
    """Dates with a year of two digits."""
    example: str = ""
    """The first of them, or else the first cell that is no date."""


def examples(opened: Opened, report: ReadReport | None = None) -> Iterator[Example]:
    """The rows of a file, without labels."""
    return _examples(opened, False, report or ReadReport())


def keys_of(opened: Opened, settings: Settings, report: ReadReport, seen: Seen) -> Iterator[Key]:
    """Id, day and group of every row, in file order and in constant memory.

    Raises:
        DataError: as reading does.
    """
    parse = opened.format.parse

    def tagged(row: Row, context: Context) -> Example | None:
        # the format may have taken the column for something else (a category for a label), so the row itself is asked
        example = parse(row, context)
        if example is None:
            return None
        fields = _fields(row.value) | dict(example.meta)
        meta = {_DATE: _cell(fields, settings.date_column), _GROUP: _cell(fields, settings.group_column)}
        return dataclasses.replace(example, meta={**example.meta, **meta})

    format = dataclasses.replace(opened.format, parse=tagged)
    for example in examples(dataclasses.replace(opened, format=format), report):
        yield key_of(example.id, example.meta.get(_DATE), example.meta.get(_GROUP), settings, seen)


def key_of(name: str, date: Any, group: Any, settings: Settings, seen: Seen) -> Key:
    """A row's key from its two cells."""
    day = None if date is None else parse_day(date, settings.date_format)
    if day is None and date is not None and str(date).strip():
        # the first cell that is not understood is shown to people; one with a short year beats others
        short = short_year(date)
        if not seen.example or (short and not seen.short_year):
            seen.example = str(date).strip()[:40]
        seen.short_year += short
    return name, None if day is None else day.toordinal(), _group(group)


def keys_of_meta(
    rows: Iterable[tuple[str, Mapping[str, Any]]], settings: Settings, seen: Seen
) -> Iterator[tuple[Key, bool]]:
    """The same out of (id, fields) of predictions, and whether any field was there."""
    for name, fields in rows:
        date, group = _cell(fields, settings.date_column), _cell(fields, settings.group_column)
        yield key_of(name, date, group, settings, seen), date is not None or group is not None


def check_columns(opened: Opened, settings: Settings) -> None:
    """Refuse columns that the file does not have, before any long work.

    Raises:
        UsageError: the nearest column is suggested, and all are listed.
    """
    first = islice(opened.format.rows(opened.source), 1 if opened.format.tabular else _LOOKED_AT)
    check_names((_fields(row.value) for row in first if row.error is None), settings, opened.source.name)


def check_names(rows: Iterable[Mapping[str, Any]], settings: Settings, source: str) -> None:
    """The same for rows that are at hand.

    Raises:
        UsageError: as ``check_columns``.
    """
    wanted = {"--date-column": settings.date_column, "--group-column": settings.group_column}
    missing = {flag: name for flag, name in wanted.items() if name is not None}
    names: dict[str, str] = {}
    asked = 0
    for fields in rows:
        asked += 1
        for field in fields:
            names.setdefault(plain(str(field)), str(field))
        missing = {flag: name for flag, name in missing.items() if plain(name) not in names}
        if not missing:
            return
    if not names and not asked:
        return  # no row at all: reading says so better
    if not names:
        flags = ", ".join(missing)
        raise UsageError(
            f"{source}: 행에 열이 없어 {flags}을(를) 쓸 수 없습니다. 날짜와 묶음이 든 원본 파일을 INPUT으로 함께 주세요.",
            f"{source}: its rows have no columns for {flags}; give the file that holds dates and groups as INPUT",
        )
    for flag, name in missing.items():
        close = difflib.get_close_matches(plain(name), names, n=1, cutoff=0.5)
        hint_ko = f" 혹시 '{names[close[0]]}'인가요?" if close else ""
        hint_en = f"; did you mean '{names[close[0]]}'?" if close else ""
        there = ", ".join(f"'{found}'" for found in names.values())
        raise UsageError(
            f"{source}: {flag}의 '{name}' 열이 없습니다.{hint_ko} 있는 열: {there}",
            f"{source}: there is no column '{name}' for {flag}{hint_en}; the columns are: {there}",
        )


def _fields(value: Any) -> dict[str, Any]:
    """Everything of a row that has a name, the insides of ``meta`` among it."""
    if not isinstance(value, dict):
        return {}
    inner = value.get("meta")
    return {**value, **inner} if isinstance(inner, dict) else dict(value)


def _cell(fields: Mapping[str, Any], wanted: str | None) -> Any:
    if wanted is None:
        return None
    if wanted in fields:
        return fields[wanted]
    name = plain(wanted)
    return next((value for field, value in fields.items() if plain(str(field)) == name), None)


def _group(value: Any) -> str | None:
    """The name of a group; None for nothing, blanks and NaN."""
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split()) or None
