"""Where a text file can be cut: one pass over its lines finds the byte at which every so-many-th row begins.

In a table a newline may stand inside a quoted cell, so the very reader that will read the parts finds the rows; its file
counts the bytes it gives away. JSON lines end where lines end, and are counted a block at a time.
"""

from __future__ import annotations

import codecs
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from maeum.errors import DataError, UsageError
from maeum.formats.jsonrows import is_document
from maeum.formats.lines import BYTEWISE, Lines, Source
from maeum.formats.options import ReadOptions
from maeum.formats.tables import csv_rows, tsv_rows

TextKind = Literal["jsonl", "csv", "tsv"]
Tick = Callable[[int], None]

_TICK_EVERY = 1 << 15
_BLOCK = 1 << 20
_NEWLINE, _BRACE = ord("\n"), ord("{")


@dataclass(frozen=True)
class Cut:
    """Where a part begins."""

    byte: int
    row: int
    """Number of its first row in the file, from 1."""
    line: int
    """Line of the file that row starts on, from 1."""


@dataclass(frozen=True)
class Scan:
    """What the pass found."""

    rows: int
    cuts: tuple[Cut, ...]
    head: int
    """Bytes before the first row: a table's header."""
    head_lines: int
    encoding: str


def scan(path: Path, kind: TextKind, options: ReadOptions, part_rows: int, tick: Tick = lambda _: None) -> Scan:
    """Find the beginnings of parts.

    Args:
        path: the file.
        kind: how rows lie in it.
        options: its encoding, if it was told.
        part_rows: rows between two cuts.
        tick: called with the bytes read so far.

    Raises:
        DataError: it cannot be read as that kind of file.
        UsageError: it can, but not be cut into parts; the sentence says what to do.
    """
    encoding = _refuse_whole(path, kind, options)
    if kind == "jsonl":
        return _scan_json(path, encoding, options.max_line_bytes, part_rows, tick)
    source = _Scanned(path, options)
    cuts: list[Cut] = []
    rows = 0
    try:
        for rows, line in _PLACES[kind](source):
            counting = source.counting
            assert counting is not None
            byte = counting.start_of(line)
            if (rows - 1) % part_rows == 0:
                cuts.append(Cut(byte, rows, line))
            if rows % _TICK_EVERY == 0:
                tick(byte)
    except DataError as error:
        raise error.at(path) from error
    head = (cuts[0].byte, cuts[0].line - 1) if cuts else (0, 0)
    return Scan(rows, tuple(cuts), *head, source.encoding or "utf-8")


# -- inside -------------------------------------------------------------------------------------------------


class _Counting:
    """A file that remembers at which byte each line began, as long as somebody may still ask."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: Any = stream
        self._position = 0
        self._line = 0
        self._fresh = True
        self._starts: deque[tuple[int, int]] = deque()

    def start_of(self, line: int) -> int:
        """The byte a line begins at; lines before it are forgotten."""
        while self._starts[0][0] < line:
            self._starts.popleft()
        return self._starts[0][1]

    def readline(self, size: int = -1) -> bytes:
        """As of a file; long lines come in several pieces."""
        raw: bytes = self._stream.readline(size)
        if self._fresh:
            self._line += 1
            self._starts.append((self._line, self._position))
        self._fresh = raw.endswith(b"\n")
        self._position += len(raw)
        return raw

    def read(self, size: int) -> bytes:
        """As of a file: the byte order mark, which is in front of the first line."""
        raw: bytes = self._stream.read(size)
        self._position += len(raw)
        return raw

    def peek(self, size: int) -> bytes:
        """As of a file."""
        raw: bytes = self._stream.peek(size)
        return raw

    def close(self) -> None:
        """As of a file."""
        self._stream.close()


class _Scanned(Source):
    counting: _Counting | None = None

    def open(self) -> BinaryIO:
        self.counting = _Counting(super().open())
        stream: Any = self.counting
        return stream  # type: ignore[no-any-return]


Places = Iterator[tuple[int, int]]
"""(number of the row, line it starts on)."""


def _csv_places(source: Source) -> Places:
    return ((row.number, row.line) for row in csv_rows(source))


def _tsv_places(source: Source) -> Places:
    return ((row.number, row.line) for row in tsv_rows(source))


_PLACES: dict[str, Callable[[Source], Places]] = {
    "csv": _csv_places,
    "tsv": _tsv_places,
}


def _scan_json(path: Path, encoding: str | None, limit: int, part_rows: int, tick: Tick) -> Scan:
    """JSON lines: every line that is not blank is a row, and one that begins with ``{`` is not blank."""
    cuts: list[Cut] = []
    rows = lines = 0
    with path.open("rb") as file:
        has_mark = file.read(3) == codecs.BOM_UTF8 and encoding == "utf-8"
        position = file.seek(3 if has_mark else 0)
        while block := file.read(_BLOCK):
            tail = b"" if block.endswith(b"\n") else file.readline(limit)
            block += tail
            text = np.frombuffer(block, np.uint8)
            starts = np.append(0, np.flatnonzero(text == _NEWLINE) + 1)
            starts = starts[starts < len(block)]
            if encoding is None and not block.isascii():
                encoding = _first_encoding(block)
            full = text[starts] == _BRACE
            for index in np.flatnonzero(~full):
                end = starts[index + 1] if index + 1 < len(starts) else len(block)
                full[index] = not _is_blank(block[starts[index] : end], encoding)
            numbers = rows + np.cumsum(full)
            for index in np.flatnonzero(full & ((numbers - 1) % part_rows == 0)):
                cuts.append(Cut(position + int(starts[index]), int(numbers[index]), lines + int(index) + 1))
            rows, lines = rows + int(full.sum()), lines + len(starts)
            while tail and not tail.endswith(b"\n"):  # the rest of a very long line, which nobody holds
                tail = file.readline(_BLOCK)
            position = file.tell()
            tick(position)
    head = (cuts[0].byte, cuts[0].line - 1) if cuts else (0, 0)
    return Scan(rows, tuple(cuts), *head, encoding or "utf-8")


def _first_encoding(block: bytes) -> str | None:
    """UTF-8 or cp949, whichever the first line that is not ASCII is in."""
    for line in block.split(b"\n"):
        for name in () if line.isascii() else ("utf-8", "cp949"):
            with contextlib.suppress(UnicodeDecodeError):
                line.decode(name)
                return name
    return None


def _is_blank(line: bytes, encoding: str | None) -> bool:
    try:
        return not line.decode(encoding or "utf-8").strip()
    except UnicodeDecodeError:
        return False


def _refuse_whole(path: Path, kind: TextKind, options: ReadOptions) -> str | None:
    """Refuse what can only be read from its beginning; the encoding, if it can be told yet."""
    source = Source(path, options)
    lines = Lines(source, limit=options.max_line_bytes)
    with contextlib.closing(lines):
        if lines.encoding is not None and codecs.lookup(lines.encoding).name not in BYTEWISE:
            raise UsageError(
                f"'{path}': {lines.encoding} 파일은 바이트로 나눌 수 없습니다. UTF-8로 바꾸거나 'maeum predict'를 쓰세요.",
                f"'{path}': a file in {lines.encoding} cannot be cut by bytes; turn it into UTF-8, or use 'maeum predict'",
            )
        if kind == "jsonl" and is_document(lines):
            raise UsageError(
                f"'{path}': 한 줄에 객체 하나씩인 JSONL이 아니라 통째로 된 JSON입니다. 'maeum convert {path} -o 새파일.jsonl'로 바꾸세요.",
                f"'{path}' is one JSON document, not an object a line; turn it into JSONL with "
                f"'maeum convert {path} -o new.jsonl'",
            )
    return lines.encoding
