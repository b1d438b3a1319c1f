"""Target spans: checked where offsets are given, located where only the word is."""

from __future__ import annotations

from typing import Any

from maeum.data import Target, check_target
from maeum.errors import DataError


def read_target(text: str, form: Any, begin: Any = None, end: Any = None) -> Target | None:
    """A target from its word and, if the data has them, its offsets.

    A word without offsets is located at its first occurrence. An empty word is no target.

    Raises:
        DataError: the offsets do not give the word, the word does not occur, or a part has the wrong type.
    """
    if isinstance(form, dict):
        return read_target(text, form.get("form"), form.get("begin"), form.get("end"))
    if form is None or form == "":
        return None
    if not isinstance(form, str):
        raise DataError(
            f"대상(target)은 글자나 {{form, begin, end}}여야 하는데 {type(form).__name__}입니다.",
            f"a target is a word or {{form, begin, end}}, got {type(form).__name__}",
        )
    first, last = _offset(begin), _offset(end)
    if first is None or last is None:
        located = locate(text, form)
        if located is None:
            raise DataError(
                f"대상 '{form[:40]}'이(가) 본문에 없습니다. 본문과 대상의 철자를 맞추세요.",
                f"target '{form[:40]}' does not occur in the text; make the two agree",
            )
        return located
    target = Target(form, first, last)
    check_target(text, target)
    return target


def locate(text: str, form: str) -> Target | None:
    """The first occurrence of a word, or ``None``."""
    found = text.find(form) if form else -1
    return None if found < 0 else Target(form, found, found + len(form))


def _offset(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    raise DataError(
        f"대상의 위치(begin, end)는 정수여야 하는데 {value!r}입니다.",
        f"target offsets (begin, end) are whole numbers, got {value!r}",
    )
