"""Bytes to lines: where data comes from, which encoding it is in, and lines that can be refused one by one.

``Lines`` is an iterator that survives its own errors: after it raised ``DataError`` for a bad line, ``next``
goes on with the following one. Nothing is ever decoded with replacement characters.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from maeum.errors import DataError
from maeum.formats.options import ReadOptions

_BLOCK = 1 << 18
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
BYTEWISE = {"utf-8", "cp949", "euc_kr", "ascii", "iso8859-1", "cp1252"}
"""Encodings whose newline is the byte 0x0A and nothing else, so that lines can be cut before decoding."""


class Row(NamedTuple):
    """One row as its file holds it, before it becomes an ``Example``."""

    number: int
    """Row number from 1, header and blank lines not counted."""
    line: int
    """Line of the file it starts on, from 1."""
    value: Any
    """Parsed content: a JSON value, or column → cell."""
    raw: Any
    """What goes into the rejects file."""
    error: DataError | None = None
    """Why it could not even be cut out of the file."""


@dataclass
class Source:
    """Where rows come from: a file or standard input."""

    path: Path | None
    options: ReadOptions = field(default_factory=ReadOptions)
    encoding: str | None = None
    """Filled in as soon as it is known."""
    content: bytes | None = field(default=None, repr=False, compare=False)
    """What the file holds, where it never was on disk, such as an upload; ``path`` then only names it."""
    _stdin: Any = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """For messages."""
        return "<stdin>" if self.path is None else str(self.path)

    @property
    def suffix(self) -> str:
        """Lower-case file suffix, empty for standard input."""
        return "" if self.path is None else self.path.suffix.lower()

    def open(self) -> BinaryIO:
        """The bytes from the start.

        Raises:
            DataError: no such file, a folder, or not readable.
        """
        if self.content is not None:
            return io.BufferedReader(io.BytesIO(self.content))
        if self.path is None:
            if self._stdin is None:
                raw: Any = sys.stdin.buffer
                self._stdin = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
            stream: BinaryIO = self._stdin
            return stream
        try:
            return self.path.open("rb", buffering=_BLOCK)
        except IsADirectoryError as error:
            raise DataError(
                "폴더입니다. 데이터 파일의 경로를 쓰세요.",
                "this is a folder; give the path of a data file",
                path=self.path,
            ) from error
        except FileNotFoundError as error:
            raise DataError(
                "파일이 없습니다. 경로를 확인하세요.", "no such file; check the path", path=self.path
            ) from error
        except OSError as error:
            raise DataError(
                f"파일을 열 수 없습니다: {error.strerror}", f"cannot be opened: {error.strerror}", path=self.path
            ) from error

    def byte_of(self, offset: int) -> int:
        """Where a byte of ``open()`` lies in the file, for messages; a source that shows a part of a file knows better."""
        return offset


class Lines:
    """Decoded lines of a source with their line ends, and the number of the last one.

    Args:
        source: where from.
        limit: longest line in bytes; ``None`` = any.
    """

    def __init__(self, source: Source, *, limit: int | None) -> None:
        self.source = source
        self.limit = limit
        self.number = 0
        """Number of the line given last, from 1."""
        self._offset = 0
        self.refused = ""
        """What is known of the line that was refused last, for the rejects file."""
        self.first_character = ""
        """First character of the source that is not white space."""
        self._waiting: deque[tuple[int, str | DataError]] = deque()
        self._stream = source.open()
        self._text: io.TextIOWrapper | None = None
        self._read_number = 0
        self._done = False
        self.encoding = self._detect()

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if self._waiting:
            self.number, waiting = self._waiting.popleft()
            if isinstance(waiting, DataError):
                raise waiting
            return waiting
        if self._done:
            raise StopIteration
        self._read_number += 1
        self.number = self._read_number
        line = self._wide_line() if self._text is not None else self._byte_line()
        self.source.encoding = self.encoding
        if not line:
            self.close()
            raise StopIteration
        if "\0" in line:
            self.refused = line.rstrip("\r\n")
            raise DataError(
                f"{line.index(chr(0)) + 1}번째 글자가 NUL(\\0)입니다. 파일이 깨졌거나 텍스트 파일이 아닙니다.",
                f"character {line.index(chr(0)) + 1} is NUL (\\0); the file is damaged or not text",
                path=self.source.name,
                line=self.number,
            )
        return line

    def push_back(self, lines: Iterable[tuple[int, str | DataError]]) -> None:
        """Have these (number, line or error) pairs again, before the rest."""
        self._waiting.extendleft(reversed(list(lines)))

    def close(self) -> None:
        """Close the file (standard input stays open)."""
        self._done = True
        if self.source.path is not None:
            self._stream.close()
        elif self._text is not None:
            self._text.detach()
            self._text = None

    # -- inside ---------------------------------------------------------------------------------------------

    def _detect(self) -> str | None:
        head = self._stream.peek(_BLOCK)  # type: ignore[attr-defined]
        asked = self.source.options.encoding
        for bom, name in _BOMS:
            if head.startswith(bom) and asked is None:
                asked = name
        self.first_character = head.decode(asked or "ascii", "ignore").lstrip("\ufeff \t\r\n")[:1]
        if asked is None:
            return _vote(head)
        name = codecs.lookup(asked).name
        if name in ("utf-8", "utf-8-sig"):
            if head.startswith(codecs.BOM_UTF8):
                self._offset = len(self._stream.read(3))
            return "utf-8"
        if name not in BYTEWISE:
            self._text = io.TextIOWrapper(self._stream, encoding=name, newline="\n")
        return name

    def _byte_line(self) -> str:
        limit = self.limit
        start = self._offset
        raw = self._stream.readline() if limit is None else self._stream.readline(limit + 2)
        self._offset += len(raw)
        if limit is not None and len(raw.rstrip(b"\r\n")) > limit:
            self.refused = raw[:200].decode("ascii", "backslashreplace") + " …"
            while raw and not raw.endswith(b"\n"):
                raw = self._stream.readline(_BLOCK)
                self._offset += len(raw)
            raise too_long(limit, self.source.name, self.number)
        return self._decode(raw, start)

    def _decode(self, raw: bytes, start: int) -> str:
        if self.encoding is None and raw.isascii():
            return raw.decode("ascii")
        candidates = ("utf-8", "cp949") if self.encoding is None else (self.encoding,)
        wrong: UnicodeDecodeError | None = None
        for name in candidates:
            try:
                line = raw.decode(name)
            except UnicodeDecodeError as error:
                wrong = wrong or error
                continue
            self.encoding = name
            return line
        assert wrong is not None
        self.refused = raw[:10_000].decode("utf-8", "backslashreplace").rstrip("\r\n")
        raise self._undecodable(wrong, start)

    def _wide_line(self) -> str:
        assert self._text is not None
        limit = self.limit
        try:
            line = self._text.readline() if limit is None else self._text.readline(limit + 2)
            if limit is not None and len(line.rstrip("\r\n")) > limit:
                while line and not line.endswith("\n"):
                    line = self._text.readline(_BLOCK)
                raise too_long(limit, self.source.name, self.number)
        except UnicodeError as error:
            # The decoder works in blocks, so neither the line nor a way to go on is known.
            self.close()
            raise DataError(
                f"{self.encoding}(으)로 읽을 수 없는 바이트가 있습니다. --encoding을 확인하세요: {error}",
                f"some bytes are not {self.encoding}; check --encoding: {error}",
                path=self.source.name,
                line=self.number,
            ) from error
        return line

    def _undecodable(self, error: UnicodeDecodeError, start: int) -> DataError:
        byte = error.object[error.start]
        tried = self.encoding or "utf-8, cp949"
        place = self.source.byte_of(start + error.start)
        return DataError(
            f"{place}번째 바이트 0x{byte:02x}을(를) {tried}(으)로 읽을 수 없습니다. "
            f"다른 인코딩이면 --encoding으로 알려 주고, 아니면 그 줄을 고치세요.",
            f"byte 0x{byte:02x} at offset {place} is not {tried}; "
            "give the right --encoding (for example cp949), or mend the line",
            path=self.source.name,
            line=self.number,
        )


def too_long(limit: int, path: str, line: int) -> DataError:
    """The error for a line or a row over the limit."""
    return DataError(
        f"한 줄이 {limit:,}바이트를 넘습니다. 줄바꿈이나 따옴표가 빠졌는지 보고, 정말 긴 글이면 한도(max_line_bytes)를 올리세요.",
        f"the line is longer than {limit:,} bytes; look for a missing line break or quote, "
        "or raise the limit (max_line_bytes) if it is really one text",
        path=path,
        line=line,
    )


def read_all(source: Source) -> str:
    """The whole text of a source, decoded (its byte order mark taken off)."""
    return "".join(Lines(source, limit=None))


def read_bytes(source: Source) -> bytes:
    """The whole content of a source."""
    stream = source.open()
    try:
        return stream.read()
    finally:
        if source.path is not None:
            stream.close()


def _vote(head: bytes) -> str | None:
    """UTF-8 or cp949, by which of the two more non-ASCII lines are valid in; ``None`` while all is ASCII."""
    votes = {"utf-8": 0, "cp949": 0}
    foreign = [line for line in head.splitlines() if not line.isascii()]
    for line in foreign:
        for name in votes:
            with contextlib.suppress(UnicodeDecodeError):
                # The last line may be cut inside a character, which an incremental decoder does not mind.
                codecs.getincrementaldecoder(name)().decode(line)
                votes[name] += 1
    if not foreign:
        return None
    return "utf-8" if votes["utf-8"] >= votes["cp949"] else "cp949"
