"""Parts of a Parquet file by rows: which row groups there are, and a view of the file that shows only some of them.

The reader of the base install reads a file from its first row on. A part in the middle of a large file is therefore
handed to it as a file whose footer names only the row groups that the part touches: the data stays where it is, the
footer is cut. The footer is a struct in Thrift's compact protocol (``FileMetaData`` of the Parquet format).
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from maeum.errors import DataError

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
_NUM_ROWS, _ROW_GROUPS, _GROUP_ROWS = 3, 4, 3
"""Field ids of FileMetaData.num_rows, FileMetaData.row_groups and RowGroup.num_rows."""
_STRUCT, _BATCH = 12, 8192


@dataclass(frozen=True)
class Footer:
    """Where the row groups stand within the footer of a file."""

    data: bytes
    begin: int
    """Byte of the file where the footer begins."""
    rows: tuple[int, ...]
    """Rows of each row group."""
    spans: tuple[tuple[int, int], ...]
    """Bytes of each row group's description within ``data``."""
    groups: tuple[int, int]
    """Bytes of the whole list of them."""
    count: tuple[int, int]
    """Bytes of the number of all rows."""

    def only(self, first: int, last: int) -> bytes:
        """The footer with row groups ``first`` to ``last - 1`` alone."""
        kept = self.spans[first:last]
        described = _list_head(len(kept)) + b"".join(self.data[begin:end] for begin, end in kept)
        changed = sorted([(self.count, _zigzag(sum(self.rows[first:last]))), (self.groups, described)])
        out, position = b"", 0
        for (begin, end), value in changed:
            out += self.data[position:begin] + value
            position = end
        return out + self.data[position:]


def read_footer(path: Path) -> Footer:
    """The footer of a Parquet file.

    Raises:
        DataError: not a Parquet file, cut short, or encrypted.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        tail = file.read(8)
        if tail[-4:] == ENCRYPTED:
            raise DataError(
                "암호화된 Parquet은 읽지 못합니다. 풀어서 다시 저장하세요.",
                "encrypted Parquet is not read; decrypt it and save it again",
                path=path,
            )
        length = int.from_bytes(tail[:4], "little")
        if len(tail) < 8 or tail[4:] != MAGIC or length + 12 > size:
            raise _broken(path)
        file.seek(size - 8 - length)
        data = file.read(length)
    try:
        return _parsed(data, size - 8 - length)
    except (IndexError, KeyError, ValueError, RecursionError) as error:
        raise _broken(path) from error


def row_batches(path: Path, begin: int, end: int) -> Iterator[Any]:
    """Arrow record batches that hold rows ``begin`` to ``end - 1`` of a file, counted from 0.

    Raises:
        DataError: not a Parquet file, or damaged.
    """
    import arro3.io

    footer = _cached_footer(path, path.stat().st_mtime_ns)
    first, last, skipped = _groups_of(footer.rows, begin, end)
    left, skip = end - begin, begin - skipped
    if not left:
        return
    with _View(path, footer, first, last) as view:
        try:
            file: Any = view  # a RawIOBase is not typing.IO, though it has all that is called
            for batch in arro3.io.read_parquet(file, batch_size=_BATCH):
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                piece = batch.slice(skip, min(batch.num_rows - skip, left))
                skip, left = 0, left - piece.num_rows
                yield piece
                if not left:
                    return
        except (GeneratorExit, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # arro3 panics (a BaseException) on a damaged file
            raise _broken(path) from error
    raise _broken(path)


def column_types(path: Path) -> dict[str, Any]:
    """Column → its Arrow type."""
    import arro3.io

    schema = arro3.io.read_parquet(str(path)).schema
    return {name: schema.field(name).type for name in schema.names}


# -- inside -------------------------------------------------------------------------------------------------


class _View(io.RawIOBase):
    """A file with another footer, read only."""

    def __init__(self, path: Path, footer: Footer, first: int, last: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._begin = footer.begin
        cut = footer.only(first, last)
        self._tail = cut + len(cut).to_bytes(4, "little") + MAGIC
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._begin + len(self._tail)}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position < self._begin:
            self._file.seek(self._position)
            data = self._file.read(min(len(buffer), self._begin - self._position))
        else:
            begin = self._position - self._begin
            data = self._tail[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@functools.lru_cache(maxsize=4)
def _cached_footer(path: Path, changed: int) -> Footer:
    return read_footer(path)


def _groups_of(rows: tuple[int, ...], begin: int, end: int) -> tuple[int, int, int]:
    """(first group, one past the last, rows before the first) of the groups that hold rows ``begin`` to ``end - 1``."""
    first, before = 0, 0
    while first < len(rows) and before + rows[first] <= begin:
        before += rows[first]
        first += 1
    last, reached = first, before
    while last < len(rows) and reached < end:
        reached += rows[last]
        last += 1
    return first, last, before


def _parsed(data: bytes, begin: int) -> Footer:
    fields = {field.number: field for field in _fields(data, 0)}
    groups, count = fields[_ROW_GROUPS], fields[_NUM_ROWS]
    spans = tuple(_elements(data, groups.begin))
    rows = []
    for start, _ in spans:
        number = next(field for field in _fields(data, start) if field.number == _GROUP_ROWS)
        rows.append(_unzigzag(_varint(data, number.begin)[0]))
    if sum(rows) != _unzigzag(_varint(data, count.begin)[0]):
        raise ValueError("row counts differ")
    return Footer(data, begin, tuple(rows), spans, (groups.begin, groups.end), (count.begin, count.end))


class _Field(NamedTuple):
    number: int
    begin: int
    end: int


def _fields(data: bytes, position: int) -> Iterator[_Field]:
    """The fields of the struct at a position: ids and the bytes of their values."""
    number = 0
    while True:
        head = data[position]
        position += 1
        if not head:
            return
        if head >> 4:
            number += head >> 4
        else:
            value, position = _varint(data, position)
            number = _unzigzag(value)
        end = _skip(data, position, head & 15)
        yield _Field(number, position, end)
        position = end


def _elements(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    """The bytes of each struct of the list at a position."""
    size, kind, position = _list(data, position)
    if size and kind != _STRUCT:
        raise ValueError("not a list of structs")
    for _ in range(size):
        end = _skip(data, position, kind)
        yield position, end
        position = end


def _skip(data: bytes, position: int, kind: int) -> int:
    """Where the value at a position ends."""
    if kind in (1, 2):  # a boolean is in the field's head
        return position
    if kind == 3:
        return position + 1
    if kind in (4, 5, 6):
        return _varint(data, position)[1]
    if kind == 7:
        return position + 8
    if kind == 8:
        length, position = _varint(data, position)
        return position + length
    if kind in (9, 10):
        size, kind, position = _list(data, position)
        for _ in range(size):
            position = position + 1 if kind in (1, 2) else _skip(data, position, kind)
        return position
    if kind == _STRUCT:
        end = position
        for field in _fields(data, position):
            end = field.end
        return _after_stop(data, position, end)
    raise ValueError(f"unknown Thrift type {kind}")  # maps do not occur in Parquet's metadata


def _after_stop(data: bytes, begin: int, end: int) -> int:
    if data[end]:
        raise ValueError("a struct without an end")
    return end + 1


def _list(data: bytes, position: int) -> tuple[int, int, int]:
    """(number of elements, their type, where the first begins)."""
    head = data[position]
    size, position = head >> 4, position + 1
    if size == 15:
        size, position = _varint(data, position)
    return size, head & 15, position


def _list_head(size: int) -> bytes:
    return bytes([size << 4 | _STRUCT]) if size < 15 else bytes([15 << 4 | _STRUCT]) + _unsigned(size)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


def _unsigned(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _zigzag(value: int) -> bytes:
    return _unsigned(value << 1)


def _unzigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def _broken(path: Path) -> DataError:
    return DataError(
        "Parquet 파일이 아니거나 깨졌거나 끝이 잘렸습니다. 다시 받거나 다시 저장하세요.",
        "not a Parquet file, or damaged or cut short; fetch or save it again",
        path=path,
    )
