"""Tables as rows: CSV, TSV, plain text, xlsx and Parquet. Every row is a dict of column → cell."""

from __future__ import annotations

import contextlib
import csv
import io
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from maeum.errors import DataError
from maeum.formats.lines import Lines, Row, Source, read_bytes, too_long

Cells = Iterator[tuple[int, Sequence[str], Any, DataError | None]]
"""(line, cells, what the rejects file gets, error) of each row."""
Unnamed = Callable[[Sequence[str]], Sequence[str] | None]


def table_rows(source: Source) -> Iterator[Row]:
    """Rows of a table of any kind, told by its suffix (standard input: CSV)."""
    readers = {".xlsx": xlsx_rows, ".xlsm": xlsx_rows, ".xls": xlsx_rows, ".parquet": parquet_rows, ".tsv": tsv_rows}
    return readers.get(source.suffix, csv_rows)(source)


def csv_rows(source: Source) -> Iterator[Row]:
    """Rows of a CSV file: quoted cells may hold commas, quotes and line breaks."""
    return _with_header(_csv_cells(source), source)


def tsv_rows(source: Source, *, unnamed: Unnamed | None = None) -> Iterator[Row]:
    """Rows of a tab-separated file without quoting: a quote is a character like any other.

    Args:
        source: the file.
        unnamed: column names for a file whose first line is data already, or ``None`` if that line is a header.
    """
    return _with_header(_tsv_cells(source), source, unnamed=unnamed)


def txt_rows(source: Source) -> Iterator[Row]:
    """One text a line; blank lines are no rows."""
    lines = Lines(source, limit=source.options.max_line_bytes)
    number = 0
    with contextlib.closing(lines):
        while True:
            try:
                line = next(lines)
            except StopIteration:
                return
            except DataError as error:
                number += 1
                yield Row(number, lines.number, None, lines.refused, error)
                continue
            text = line.rstrip("\r\n")
            if text.strip():
                number += 1
                yield Row(number, lines.number, {"text": text}, text)


def xlsx_rows(source: Source) -> Iterator[Row]:
    """Rows of the first sheet of a workbook; numbers become text, as Excel makes numbers of texts."""
    return _with_header(((line, cells, cells, None) for line, cells in sheet_cells(source)), source, exact=False)


def sheet_cells(source: Source) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells as text) of the first sheet.

    Raises:
        DataError: not a workbook, damaged, or locked.
    """
    import python_calamine

    content = read_bytes(source)
    try:
        book = python_calamine.load_workbook(io.BytesIO(content))
        sheet = book.get_sheet_by_index(0)
    except python_calamine.CalamineError as error:
        raise DataError(
            f"엑셀 파일로 읽을 수 없습니다(깨졌거나 암호가 걸렸거나 다른 형식): {error}",
            f"cannot be read as a workbook (damaged, locked, or something else): {error}",
            path=source.name,
        ) from error
    for line, cells in enumerate(sheet.iter_rows(), start=1):
        yield line, [_cell_text(cell) for cell in cells]


def parquet_rows(source: Source) -> Iterator[Row]:
    """Rows of a Parquet file, a record batch at a time.

    Raises:
        DataError: not a Parquet file, or damaged.
    """
    batches = _parquet_batches(source)
    number = 0
    for batch in batches:
        names = [_name(name) for name in batch.schema.names]
        columns = [batch.column(index).to_pylist() for index in range(batch.num_columns)]
        for cells in zip(*columns, strict=True):
            number += 1
            record = dict(zip(names, cells, strict=True))
            yield Row(number, number, record, record)


# -- inside -------------------------------------------------------------------------------------------------


def _with_header(cells: Cells, source: Source, *, exact: bool = True, unnamed: Unnamed | None = None) -> Iterator[Row]:
    """Rows as dicts under the names of the first line.

    Args:
        exact: whether every row must have as many cells as the header.
        unnamed: as in ``tsv_rows``.
    """
    header: list[str] | None = None
    number = 0
    for line, row, raw, error in cells:
        if header is None:
            if error is not None:
                raise error
            names = unnamed(row) if unnamed else None
            if names is None:
                header = _header(row, source, line) if any(cell.strip() for cell in row) else None
                continue
            header = list(names)
        if error is None and not any(cell.strip() for cell in row):
            continue
        number += 1
        if error is None and exact:
            error = _ragged(row, header)
        record = {name: cell for name, cell in zip(header, row, strict=False) if name}
        yield Row(number, line, record, raw, error)


def _header(row: Sequence[str], source: Source, line: int) -> list[str]:
    names = [_name(cell) for cell in row]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        raise DataError(
            f"머리줄에 '{twice[0]}' 열이 두 번 있습니다. 하나의 이름을 바꾸세요.",
            f"the header has column '{twice[0]}' twice; rename one",
            path=source.name,
            line=line,
        )
    return names


def _name(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _ragged(row: Sequence[str], header: Sequence[str]) -> DataError | None:
    if len(row) == len(header) or (len(row) > len(header) and not any(row[len(header) :])):
        return None
    return DataError(
        f"칸이 {len(row)}개인데 머리줄은 {len(header)}개입니다. 구분자가 든 칸이 따옴표로 묶였는지 보세요.",
        f"the row has {len(row)} cells, the header {len(header)}; is a cell with a separator in it left unquoted?",
    )


def _tsv_cells(source: Source) -> Cells:
    lines = Lines(source, limit=source.options.max_line_bytes)
    with contextlib.closing(lines):
        while True:
            try:
                line = next(lines)
            except StopIteration:
                return
            except DataError as error:
                yield lines.number, (), lines.refused, error
                continue
            text = line.rstrip("\r\n")
            yield lines.number, text.split("\t"), text, None


class _Feed:
    """Feeds lines to ``csv.reader`` and remembers those of the row in hand."""

    def __init__(self, lines: Lines, limit: int) -> None:
        self.lines = lines
        self.limit = limit
        self.taken: list[tuple[int, str]] = []
        self._size = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        try:
            line = next(self.lines)
        except DataError as error:
            if self.taken:  # a bad line behind an open quote: that row is given up, and this line is its own
                self.lines.push_back([(self.lines.number, error)])
            raise
        self.taken.append((self.lines.number, line))
        self._size += len(line)
        if self._size > self.limit:
            raise too_long(self.limit, self.lines.source.name, self.taken[0][0])
        return line

    def begin(self) -> None:
        """A new row starts."""
        self.taken = []
        self._size = 0


def _csv_cells(source: Source) -> Cells:
    limit = source.options.max_line_bytes
    # The module's own limit is process-wide and 128 KiB: ours, counted per row in _Feed, is the one that holds.
    csv.field_size_limit(max(csv.field_size_limit(), limit + 2))
    feed = _Feed(Lines(source, limit=limit), limit)
    reader = csv.reader(feed, strict=True)
    with contextlib.closing(feed.lines):
        while True:
            feed.begin()
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield _refused(feed, _csv_error(error, feed))
            except DataError as error:
                yield _refused(feed, error)
            else:
                yield feed.taken[0][0], row, "".join(line for _, line in feed.taken).rstrip("\r\n"), None


def _refused(feed: _Feed, error: DataError) -> tuple[int, Sequence[str], Any, DataError | None]:
    """Give up the first line of the row in hand only: the lines after it may be good rows."""
    if not feed.taken:
        return feed.lines.number, (), feed.lines.refused, error
    line, raw = feed.taken[0]
    feed.lines.push_back(feed.taken[1:])
    return line, (), raw.rstrip("\r\n"), error


def _csv_error(error: csv.Error, feed: _Feed) -> DataError:
    if "unexpected end of data" in str(error):
        return DataError(
            '여기서 시작한 행의 따옴표(")가 닫히지 않은 채 파일이 끝났습니다. 따옴표 짝을 맞추세요.',
            'the row that starts here opens a quote (") that is never closed; balance the quotes',
        )
    if "new-line character" in str(error):
        return DataError(
            "따옴표 밖에 줄바꿈 문자 CR(\\r)이 있습니다. 줄 끝을 LF나 CRLF로 바꿔 저장하세요.",
            "there is a bare CR (\\r) outside quotes; save the file with LF or CRLF line ends",
        )
    return DataError(
        f'CSV 규칙에 맞지 않습니다({error}). 따옴표가 든 칸은 "로 묶고 안의 따옴표는 ""로 쓰세요.',
        f'not valid CSV ({error}); wrap a cell that has quotes in " and double the quotes inside',
    )


def _cell_text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _parquet_batches(source: Source) -> Iterator[Any]:
    import arro3.io

    if source.path is None or source.content is not None:
        file: Any = io.BytesIO(read_bytes(source))
        whole = file.getvalue()[-4:] == b"PAR1"
    else:
        with source.open() as stream:
            stream.seek(0, io.SEEK_END)
            stream.seek(max(stream.tell() - 4, 0))
            whole = stream.read() == b"PAR1"
        file = str(source.path)
    broken = DataError(
        "Parquet 파일이 아니거나 깨졌거나 끝이 잘렸습니다. 다시 받거나 다시 저장하세요.",
        "not a Parquet file, or damaged or cut short; fetch or save it again",
        path=source.name,
    )
    if not whole:
        raise broken
    try:
        yield from arro3.io.read_parquet(file)
    except GeneratorExit:
        raise
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # arro3 panics (a BaseException) on a damaged file
        raise broken from error
