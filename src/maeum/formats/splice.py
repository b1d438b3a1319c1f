"""Replace the value of one key in JSON text and leave every other character as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in CPython, missing from the stubs
from pathlib import Path
from typing import Any

from maeum._files import atomic_text
from maeum.errors import DataError
from maeum.formats.jsonrows import spans
from maeum.formats.lines import Lines, Source

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def splice_value(raw: str, key: str, value: str) -> str:
    """The JSON object ``raw`` with the value of a top-level key replaced, or the key added at its end.

    Args:
        raw: JSON text of one object; white space around it is kept.
        key: the key.
        value: JSON text that becomes its value.

    Raises:
        ValueError: ``raw`` is not a JSON object.
    """
    found, end, count = _find(raw, key)
    if found is not None:
        return raw[: found[0]] + value + raw[found[1] :]
    added = f"{', ' if count else ''}{json.dumps(key, ensure_ascii=False)}: {value}"
    return raw[:end] + added + raw[end:]


def splice_file(
    source: Path, path: Path, key: str, value_of: Callable[[Any, int], str], finish: Callable[[], None]
) -> None:
    """Copy a JSON or JSON-lines file, replacing the value of a key in each row.

    Bytes outside the replaced values, line ends, the encoding and its byte order mark included, stay the same.

    Args:
        source: the file to copy.
        path: the file to write.
        key: top-level key of each row.
        value_of: (row, row number from 1) → JSON text of the new value.
        finish: called after the last row; what it raises keeps the file from appearing.

    Raises:
        DataError: a row that is not a JSON object, with its line.
    """
    origin = Source(source)
    with origin.open() as stream:
        bom = stream.read(3)
    text = "".join(Lines(origin, limit=None))
    encoding = origin.encoding or "utf-8"
    if encoding == "utf-8" and bom == b"\xef\xbb\xbf":
        encoding = "utf-8-sig"
    with atomic_text(path, encoding=encoding, newline="") as file:
        done = number = 0
        begin = 0
        try:
            for begin, end, value in spans(text):
                number += 1
                if not isinstance(value, dict):
                    raise ValueError(f"row {number} is {type(value).__name__}")
                file.write(text[done:begin])
                file.write(splice_value(text[begin:end], key, value_of(value, number)))
                done = end
        except ValueError as error:
            if isinstance(error, UnicodeEncodeError):
                raise
            place = getattr(error, "pos", begin)
            raise DataError(
                f"JSON 객체로 읽을 수 없습니다: {error}",
                f"cannot be read as JSON objects: {error}",
                path=source,
                line=1 + text.count("\n", 0, place),
            ) from error
        file.write(text[done:])
        finish()


def _find(raw: str, key: str) -> tuple[tuple[int, int] | None, int, int]:
    """Span of the key's value (the last one, as ``json.loads`` takes it), end of the last value, number of keys."""
    position = _skip(raw, 0)
    if raw[position : position + 1] != "{":
        raise ValueError("not a JSON object")
    end = position + 1
    position = _skip(raw, end)
    found: tuple[int, int] | None = None
    count = 0
    while raw[position : position + 1] == '"':
        name, position = scanstring(raw, position + 1, True)
        position = _skip(raw, position)
        if raw[position : position + 1] != ":":
            raise ValueError("expected ':' after a key")
        begin = _skip(raw, position + 1)
        _, end = _DECODER.raw_decode(raw, begin)
        count += 1
        if name == key:
            found = (begin, end)
        position = _skip(raw, end)
        if raw[position : position + 1] == ",":
            position = _skip(raw, position + 1)
    if raw[position : position + 1] != "}":
        raise ValueError("expected '}' at the end of the object")
    return found, end, count


def _skip(raw: str, position: int) -> int:
    match = _SPACE.match(raw, position)
    return position if match is None else match.end()
