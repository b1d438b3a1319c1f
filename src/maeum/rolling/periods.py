"""Days out of what cells hold, and days as periods. A date that could mean two days is no date: it is never guessed."""

from __future__ import annotations

import datetime
import functools
import re
from typing import Any

from maeum.rolling.settings import PeriodKind

_TIME = r"(?:[T\s]+[0-9]{1,2}:[0-9]{2}.*)?"
_FORMS = (
    re.compile(rf"([0-9]{{4}})-([0-9]{{1,2}})-([0-9]{{1,2}}){_TIME}"),
    re.compile(rf"([0-9]{{4}})/([0-9]{{1,2}})/([0-9]{{1,2}}){_TIME}"),
    re.compile(rf"([0-9]{{4}})\.\s*([0-9]{{1,2}})\.\s*([0-9]{{1,2}})\.?{_TIME}"),
    re.compile(rf"([0-9]{{4}})년\s*([0-9]{{1,2}})월\s*([0-9]{{1,2}})일{_TIME}"),
    re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{4}(?:[0-9]{2})?)?"),
)
"""Year, month, day. The clock is not looked at, and a zone moves nothing: the day is the one that is written."""
_SHORT_YEAR = re.compile(r"[0-9]{2}[-./][0-9]{1,2}[-./][0-9]{1,2}(?:[.T\s].*)?")


def parse_day(value: Any, format: str | None = None) -> datetime.date | None:
    """The day of a cell, or None.

    Args:
        value: text, a date, or a number such as 20150824; other numbers (day counts of a spreadsheet) are no dates.
        format: ``strptime`` letters; then nothing else is tried on texts.
    """
    if isinstance(value, datetime.datetime):
        # pandas' missing time is a datetime, too, but not equal to itself
        return value.date() if value == value else None
    if isinstance(value, datetime.date):
        return value
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        value = str(int(value)) if value.is_integer() else ""
    return _parse(str(value).strip()[:80], format)


def short_year(value: Any) -> bool:
    """Whether a cell looks like a date whose year has two digits: 15.08.24 may be of 2015 or of 2024."""
    return isinstance(value, str) and _SHORT_YEAR.fullmatch(value.strip()) is not None


@functools.lru_cache(maxsize=1 << 14)
def _parse(text: str, format: str | None) -> datetime.date | None:
    try:
        if format is not None:
            return datetime.datetime.strptime(text, format).date()
        for form in _FORMS:
            if match := form.fullmatch(text):
                return datetime.date(*(int(part) for part in match.groups()))
    except ValueError:
        return None
    return None


@functools.lru_cache(maxsize=1 << 14)
def period_of(day: int, kind: PeriodKind) -> str:
    """The name of the period a day (``date.toordinal``) is in; names sort as time does."""
    date = datetime.date.fromordinal(day)
    if kind == "week":
        year, week, _ = date.isocalendar()
        return f"{year:04d}-W{week:02d}"
    return date.isoformat()[: {"day": 10, "month": 7, "year": 4}[kind]]


def place_of(name: str, kind: PeriodKind) -> int:
    """A number that grows by one from a period to the next, so that gaps can be seen."""
    if kind == "year":
        return int(name)
    if kind == "month":
        return int(name[:4]) * 12 + int(name[5:])
    if kind == "week":
        return (datetime.date.fromisocalendar(int(name[:4]), int(name[6:]), 1).toordinal() - 1) // 7
    return datetime.date.fromisoformat(name).toordinal()


def day_name(day: int | None) -> str:
    """A day as people read it; empty for none."""
    return "" if day is None else datetime.date.fromordinal(day).isoformat()
