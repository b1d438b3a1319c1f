"""Examples to tables: CSV (utf-8-sig, which Excel opens), TSV, xlsx and Parquet, and a plain row writer for them.

Cells are kept as they are: a text that starts with ``=`` stays that text. In xlsx it is stored as a string and
never computed; a CSV opened in Excel may compute it, so give xlsx to people whom you do not know. Tables that nothing
reads back go through ``safe_cell`` first.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from maeum._files import atomic_text
from maeum.data import Example
from maeum.errors import DataError
from maeum.formats.labels import labels_cell
from maeum.task import Task

TableKind = Literal["csv", "tsv", "xlsx", "parquet"]
WriteRow = Callable[[Sequence[Any]], None]

_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def safe_cell(cell: Any) -> Any:
    """A CSV cell that no spreadsheet computes: ``'`` before a text that would begin a formula.

    Numbers stay as they are, and so do texts that are nothing but a number (the grade ``-2``). Parquet needs no guard.

    >>> safe_cell("=1+1"), safe_cell("-2"), safe_cell(-2), safe_cell("배송")
    ("'=1+1", '-2', -2, '배송')
    """
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


_EXCEL_CELL = 32_767
_EXCEL_ROWS = 1_048_576


@contextlib.contextmanager
def open_table(path: Path, kind: TableKind, header: Sequence[str]) -> Iterator[WriteRow]:
    """A table that appears under its name when the block ends without an error; yields a function per row.

    Raises:
        DataError: a cell that this kind of table cannot hold.
    """
    if kind == "csv":
        with atomic_text(path, encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow(header)
            yield lambda cells: writer.writerow([_plain(cell) for cell in cells])
    elif kind == "tsv":
        with atomic_text(path, newline="") as file:
            write = _tsv_writer(file.write, path)
            write(header)
            yield write
    elif kind == "xlsx":
        with atomic_path(path) as temporary, _workbook(temporary, path, header) as write:
            yield write
    else:
        with atomic_path(path) as temporary, _parquet(temporary, header) as write:
            yield write


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary sibling for libraries that want a path; renamed when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp" + path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_table(examples: Iterable[Example], path: Path, kind: TableKind) -> None:
    """Write examples as a table: id, text, target columns, labels or aspects, then one column per meta key.

    Columns that no row needs are left out. Aspects are JSON text, so that their spans come back.
    """
    header, rows = _columns(examples)
    with open_table(path, kind, header) as write:
        for cells in rows:
            write(cells)


def table_bytes(examples: Iterable[Example]) -> bytes:
    """The same as a workbook that never touches the disk."""
    header, rows = _columns(examples)
    whole = io.BytesIO()
    with _workbook(whole, Path("xlsx"), header) as write:
        for cells in rows:
            write(cells)
    return whole.getvalue()


def _columns(examples: Iterable[Example]) -> tuple[list[str], Iterator[list[Any]]]:
    """Header and cells of a table of examples."""
    rows = list(examples)
    targets = any(row.target is not None for row in rows)
    labelled = any(row.labels is not None for row in rows)
    aspects = any(row.aspects is not None for row in rows)
    taken = {"id", "text", "target", "target_begin", "target_end", "labels", "aspects"}
    meta = list(dict.fromkeys(key for row in rows for key in row.meta if not key.startswith("_")))
    header = ["id", "text"]
    header += ["target", "target_begin", "target_end"] if targets else []
    header += ["labels"] if labelled else []
    header += ["aspects"] if aspects else []
    header += [f"meta_{key}" if key in taken else key for key in meta]

    def cells(row: Example) -> list[Any]:
        made: list[Any] = [row.id, row.text]
        if targets:
            made += [row.target.form, row.target.begin, row.target.end] if row.target else ["", "", ""]
        if labelled:
            made.append(labels_cell(row.labels))
        if aspects:
            listed = row.to_dict().get("aspects")
            made.append("" if listed is None else json.dumps(listed, ensure_ascii=False))
        return [*made, *(row.meta.get(key, "") for key in meta)]

    return header, map(cells, rows)


def table_writer(kind: TableKind) -> Callable[[Iterable[Example], Path, Task | None, Path | None], None]:
    """``write_table`` of one kind, in the form that ``Format`` wants."""
    return lambda examples, path, task, source: write_table(examples, path, kind)


# -- inside -------------------------------------------------------------------------------------------------


def _plain(cell: Any) -> Any:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell)
    return cell if isinstance(cell, (str, int, float)) else json.dumps(cell, ensure_ascii=False, default=str)


def _tsv_writer(write: Callable[[str], object], path: Path) -> WriteRow:
    def row(cells: Sequence[Any]) -> None:
        texts = [str(_plain(cell)) for cell in cells]
        if any(mark in text for text in texts for mark in "\t\n\r"):
            raise DataError(
                f"행 '{texts[0]}'에 탭이나 줄바꿈이 있어 tsv로 쓸 수 없습니다. csv나 jsonl로 저장하세요.",
                f"row '{texts[0]}' has a tab or a line break, which tsv cannot hold; write csv or jsonl",
                path=path,
            )
        write("\t".join(texts) + "\n")

    return row


@contextlib.contextmanager
def _workbook(target: Path | io.BytesIO, path: Path, header: Sequence[str]) -> Iterator[WriteRow]:
    import xlsxwriter

    if isinstance(target, Path):
        book = xlsxwriter.Workbook(str(target), {"constant_memory": True})
    else:
        book = xlsxwriter.Workbook(target, {"in_memory": True})
    sheet = book.add_worksheet()
    line = 0

    def row(cells: Sequence[Any]) -> None:
        nonlocal line
        if line >= _EXCEL_ROWS:
            raise DataError(
                f"엑셀은 {_EXCEL_ROWS:,}행까지만 담습니다. csv나 parquet으로 저장하세요.",
                f"a sheet holds {_EXCEL_ROWS:,} rows; write csv or parquet",
                path=path,
            )
        for column, cell in enumerate(cells):
            value = _plain(cell)
            if isinstance(value, str):
                if len(value.encode("utf-16-le", "surrogatepass")) // 2 > _EXCEL_CELL:
                    raise DataError(
                        f"{_EXCEL_CELL:,}자가 넘는 글은 엑셀 칸에 들어가지 않습니다. csv나 jsonl로 저장하세요.",
                        f"a cell holds {_EXCEL_CELL:,} characters; write csv or jsonl",
                        path=path,
                        line=line + 1,
                    )
                sheet.write_string(line, column, value)
            else:
                sheet.write_number(line, column, value)
        line += 1

    try:
        row(header)
        yield row
    finally:
        book.close()


@contextlib.contextmanager
def _parquet(temporary: Path, header: Sequence[str]) -> Iterator[WriteRow]:
    import arro3.core
    import arro3.io

    columns: list[list[Any]] = [[] for _ in header]

    def row(cells: Sequence[Any]) -> None:
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell if isinstance(cell, (int, float, str)) or cell is None else _plain(cell))

    yield row
    # Score columns are numbers, the rest text: arro3 cannot build arrays of lists.
    arrays: dict[str, Any] = {}
    for name, column in zip(header, columns, strict=True):
        known = [cell for cell in column if cell is not None and cell != ""]
        number = bool(known) and all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in known)
        if number and all(isinstance(cell, int) for cell in known):
            cells, kind = [cell if cell != "" else None for cell in column], arro3.core.DataType.int64()
        elif number:
            cells = [float(cell) if cell not in (None, "") else None for cell in column]
            kind = arro3.core.DataType.float64()
        else:
            cells, kind = [None if cell is None else str(cell) for cell in column], arro3.core.DataType.string()
        arrays[name] = arro3.core.Array(cells, kind)
    arro3.io.write_parquet(arro3.core.Table.from_pydict(arrays), str(temporary))
