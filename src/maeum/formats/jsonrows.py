"""JSON files as rows: one object a line, an array, or objects one after the other (with or without commas).

Files with an object a line are read a line at a time; the other shapes are read whole.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from maeum.errors import DataError
from maeum.formats.lines import Lines, Row, Source

_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_TROUBLE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_OPENINGS = ("{", "[")


def json_rows(source: Source) -> Iterator[Row]:
    """Rows of a JSON or JSON-lines file; a row that cannot be parsed carries its error."""
    lines = Lines(source, limit=source.options.max_line_bytes)
    with contextlib.closing(lines):
        if not is_document(lines):
            yield from line_rows(lines)
            return
        # A document was read up to its first lines only: what was pushed back is part of the rest.
        lines.limit = None
        text = "".join(lines)
    yield from _document_rows(text, source)


def spans(text: str) -> Iterator[tuple[int, int, Any]]:
    """(begin, end, value) of the objects of an array or of a sequence of objects.

    Raises:
        ValueError: the text breaks off or is not JSON there.
    """
    match = re.match(r"\ufeff?\s*(\[?)", text)
    assert match is not None
    is_array, position = bool(match.group(1)), match.end()
    while True:
        between = _BETWEEN.match(text, position)
        assert between is not None
        position = between.end()
        if position == len(text):
            if is_array:
                raise json.JSONDecodeError("the closing ] is missing", text, position)
            return
        if is_array and text[position] == "]":
            rest = text[position + 1 :].lstrip()
            if rest:
                raise json.JSONDecodeError("text after the closing ]", text, len(text) - len(rest))
            return
        value, end = _DECODER.raw_decode(text, position)
        yield position, end, value
        position = end


def parse_json(text: str) -> Any:
    """A JSON value.

    Raises:
        DataError: not JSON (a line cut short is told from other mistakes), nested too deep, or holding
            characters that UTF-8 cannot write.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _not_json(error, text) from error
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"JSON을 읽을 수 없습니다(너무 깊거나 수가 너무 깁니다): {error}",
            f"the JSON cannot be read (nested too deep, or a number too long): {error}",
        ) from error
    if _ESCAPED_TROUBLE.search(text):
        refuse_unwritable(value)
    return value


def refuse_unwritable(value: Any, where: str = "") -> None:
    """Refuse NUL characters and lone surrogates anywhere in a JSON value.

    Raises:
        DataError: with the key and the position.
    """
    if isinstance(value, str):
        found = value.find("\0")
        surrogate = _SURROGATE.search(value)
        if found < 0 and surrogate is None:
            return
        place = found if found >= 0 else surrogate.start() if surrogate else 0
        code = ord(value[place])
        label = f"'{where}'" if where else "본문"
        label_en = f"'{where}'" if where else "the text"
        raise DataError(
            f"{label}의 {place + 1}번째 글자 U+{code:04X}은(는) UTF-8로 쓸 수 없거나 글자가 아닙니다. 지우거나 고치세요.",
            f"character {place + 1} of {label_en} is U+{code:04X}, which is no text and cannot be written as UTF-8; remove it",
        )
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_unwritable(key, "key")
            refuse_unwritable(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for item in value:
            refuse_unwritable(item, where)


# -- inside -------------------------------------------------------------------------------------------------


def is_document(lines: Lines) -> bool:
    """Whether the file is one JSON document and not an object a line; gives back the lines it looked at."""
    opening = lines.first_character
    if opening not in _OPENINGS:
        return False
    limit, lines.limit = lines.limit, lines.limit if opening == "{" else None
    taken: list[tuple[int, str | DataError]] = []
    texts: list[str] = []
    while len(texts) < 2:
        try:
            line = next(lines)
        except StopIteration:
            break
        except DataError as error:
            taken.append((lines.number, error))
            break
        taken.append((lines.number, line))
        if line.strip():
            texts.append(line.strip())
    lines.push_back(taken)
    lines.limit = limit
    first, second = [*texts, "", ""][:2]
    if opening == "[":
        return not (second.startswith("{") and _parses(first))
    return bool(second) and not second.startswith(_OPENINGS) and not _parses(_trim(first))


def line_rows(lines: Lines) -> Iterator[Row]:
    """Rows of a file with an object a line."""
    number = 0
    while True:
        line = ""
        try:
            line = next(lines)
            text = line.strip()
            if not text:
                continue
            number += 1
            yield Row(number, lines.number, parse_json(_trim(text)), line.rstrip("\r\n"))
        except StopIteration:
            return
        except DataError as error:
            number += not line
            yield Row(number, lines.number, None, (line or lines.refused).rstrip("\r\n"), error)


def _document_rows(text: str, source: Source) -> Iterator[Row]:
    number, line, seen = 0, 1, 0
    try:
        for begin, end, value in spans(text):
            number += 1
            line += text.count("\n", seen, begin)
            seen = begin
            raw = text[begin:end]
            error = None
            if _ESCAPED_TROUBLE.search(raw):
                try:
                    refuse_unwritable(value)
                except DataError as found:
                    error = found
            yield Row(number, line, value, raw, error)
    except json.JSONDecodeError as broken:
        place = 1 + text.count("\n", 0, broken.pos)
        yield Row(number + 1, place, None, text[broken.pos : broken.pos + 200], _not_json(broken, text))
    except (RecursionError, ValueError) as broken:
        deep = DataError(f"JSON을 읽을 수 없습니다: {broken}", f"the JSON cannot be read: {broken}", path=source.name)
        yield Row(number + 1, line, None, "", deep)


def _trim(text: str) -> str:
    """Without the comma that some dumps put after each object of a line."""
    text = text.strip()
    return text[:-1] if text.endswith("},") else text


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _not_json(error: json.JSONDecodeError, text: str) -> DataError:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return DataError(
            "JSON이 중간에서 끊겼습니다. 파일이 잘렸을 수 있으니 다시 받거나 그 줄을 지우세요.",
            "the JSON breaks off; the file may have been cut short: fetch it again or remove the line",
        )
    return DataError(
        f"JSON이 아닙니다({error.colno}번째 글자: {error.msg}). 한 줄에 객체 하나 또는 객체의 배열이어야 합니다.",
        f"not JSON (column {error.colno}: {error.msg}); expected one object a line, or an array of objects",
    )
