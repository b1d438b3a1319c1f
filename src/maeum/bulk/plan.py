"""The plan of a job: its input files as they were when it began, cut into parts. Plain JSON on disk."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maeum.bulk.parquet import read_footer
from maeum.bulk.scanning import Cut, Scan, TextKind, scan
from maeum.bulk.settings import BatchSettings
from maeum.errors import DataError, UsageError
from maeum.formats import ReadOptions

Kind = TextKind | Literal["parquet"]
KINDS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
}
"""File suffix → how rows lie in it."""

Tick = Callable[[str, int], None]
"""Called with a file's name and the bytes of it that were looked at."""

_SHEETS = (".xlsx", ".xlsm", ".xls")
_END_BYTES = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """What tells one state of a file from another without reading it all."""

    bytes: int
    mtime_ns: int
    ends: str
    """SHA-256 of its first and last MiB."""


@dataclass(frozen=True)
class InputFile:
    """One file of the input."""

    name: str
    """Its path within the input folder; for a single file its name."""
    kind: Kind
    stamp: Stamp
    rows: int
    """Bad ones counted, blank lines not."""
    encoding: str | None = None
    head: int = 0
    """Bytes before the first row (a table's header)."""
    head_lines: int = 0
    id_prefix: str = ""
    """In front of the ids of rows that have none: several files have a first row each."""


@dataclass(frozen=True)
class Part:
    """Rows of one file that are read, predicted and written in one go."""

    number: int
    file: int
    """Index into ``Plan.files``."""
    begin: int
    end: int
    """Bytes ``begin`` to ``end - 1`` of the file; of Parquet, rows, counted from 0."""
    first_row: int
    """Number of its first row within the file, from 1."""
    rows: int
    first_line: int
    """Line of the file that row starts on, from 1; of Parquet, the row."""

    def name(self, suffix: str) -> str:
        """The name of its output."""
        return f"part-{self.number:05d}.{suffix}"


@dataclass(frozen=True)
class Plan:
    """Files and parts, in order."""

    root: Path
    """Where the files' names start."""
    files: tuple[InputFile, ...]
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of the input."""
        return sum(part.rows for part in self.parts)

    def path(self, part: Part) -> Path:
        """The file a part is of."""
        return self.root / self.files[part.file].name

    def to_dict(self) -> dict[str, Any]:
        """Plain data; parts are lists, since there may be many."""
        return {
            "files": [dataclasses.asdict(file) for file in self.files],
            "parts": [list(dataclasses.astuple(part)[1:]) for part in self.parts],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], root: Path) -> Plan:
        """What ``to_dict`` made."""
        files = tuple(InputFile(**{**item, "stamp": Stamp(**item["stamp"])}) for item in data["files"])
        return cls(root, files, tuple(Part(number, *item) for number, item in enumerate(data["parts"])))


def find_files(source: Path) -> tuple[Path, tuple[str, ...]]:
    """(the folder, the names of the input files in it, in order) of a file or a folder.

    Hidden files and those whose names begin with ``_`` (``_SUCCESS`` and the like) are no data.

    Raises:
        UsageError: nothing there, or a file of a kind that is not read in parts.
    """
    if source.is_file():
        _kind(source)
        return source.parent.resolve(), (source.name,)
    if not source.is_dir():
        raise UsageError(
            f"'{source}'이(가) 없습니다. 데이터 파일이나 그런 파일이 든 폴더를 쓰세요.",
            f"there is no '{source}'; give a data file or a folder of them",
        )
    found = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    names = [path for path in found if not any(part.startswith((".", "_")) for part in path.parts)]
    for path in names:
        _kind(source / path)
    if not names:
        raise UsageError(
            f"폴더 '{source}'에 데이터 파일({', '.join(KINDS)})이 없습니다.",
            f"the folder '{source}' has no data file ({', '.join(KINDS)})",
        )
    return source.resolve(), tuple(path.as_posix() for path in names)


def stamp(path: Path) -> Stamp:
    """The state of a file: a change of its middle that leaves size, time and both ends alone goes unnoticed."""
    about = path.stat()
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        file.seek(max(_END_BYTES, about.st_size - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    return Stamp(about.st_size, about.st_mtime_ns, digest.hexdigest())


def refuse_changed(path: Path, expected: Stamp) -> None:
    """Stop where a file is not the one that was planned for.

    Raises:
        DataError: its size or time changed.
    """
    about = path.stat()
    if (about.st_size, about.st_mtime_ns) != (expected.bytes, expected.mtime_ns):
        raise DataError(
            "작업을 시작한 뒤에 파일이 바뀌었습니다. 처음부터 다시 하려면 --overwrite를 붙이세요.",
            "the file changed after the job began; add --overwrite to start anew",
            path=path,
        )


def make_plan(root: Path, names: Sequence[str], settings: BatchSettings, tick: Tick = lambda *_: None) -> Plan:
    """Cut the files into parts: Parquet by its footer alone, text in one pass over its lines.

    Raises:
        DataError: a file cannot be read, or there is no row in any of them.
        UsageError: a file cannot be cut.
    """
    files: list[InputFile] = []
    parts: list[Part] = []
    for index, name in enumerate(names):
        prefix = f"{Path(name).with_suffix('').as_posix()}/" if len(names) > 1 else ""
        file, cuts = _cut(root / name, name, settings, prefix, tick)
        files.append(file)
        for begin, end, first_row, rows, line in cuts:
            parts.append(Part(len(parts), index, begin, end, first_row, rows, line))
    if not parts:
        raise DataError(
            "데이터가 없습니다. 행이 하나 이상 있어야 합니다.",
            "there is no data; at least one row is needed",
            path=root / names[0] if len(names) == 1 else root,
        )
    return Plan(root, tuple(files), tuple(parts))


# -- inside -------------------------------------------------------------------------------------------------

_Range = tuple[int, int, int, int, int]
"""(begin, end, first row, rows, first line)."""


def _cut(path: Path, name: str, settings: BatchSettings, prefix: str, tick: Tick) -> tuple[InputFile, Iterator[_Range]]:
    kind, state = _kind(path), stamp(path)
    if kind == "parquet":
        rows = sum(read_footer(path).rows)
        return InputFile(name, kind, state, rows, id_prefix=prefix), _row_ranges(rows, settings.part_rows)
    options = ReadOptions(encoding=settings.encoding)
    found = scan(path, kind, options, settings.part_rows, lambda done: tick(name, done))
    file = InputFile(name, kind, state, found.rows, found.encoding, found.head, found.head_lines, prefix)
    return file, _byte_ranges(found, state.bytes)


def _row_ranges(rows: int, size: int) -> Iterator[_Range]:
    for begin in range(0, rows, size):
        end = min(begin + size, rows)
        yield begin, end, begin + 1, end - begin, begin + 1


def _byte_ranges(found: Scan, size: int) -> Iterator[_Range]:
    ends = (*found.cuts[1:], Cut(size, found.rows + 1, 0))
    for begin, end in zip(found.cuts, ends, strict=False):
        yield begin.byte, end.byte, begin.row, end.row - begin.row, begin.line


def _kind(path: Path) -> Kind:
    suffix = path.suffix.lower()
    if suffix in KINDS:
        return KINDS[suffix]
    if suffix in _SHEETS:
        raise UsageError(
            f"'{path}': 엑셀 파일은 나눌 수 없습니다(한 시트는 1,048,576행까지입니다). 'maeum predict'를 쓰거나 csv로 저장하세요.",
            f"'{path}': a workbook cannot be cut into parts (a sheet holds 1,048,576 rows); "
            "use 'maeum predict', or save it as CSV",
        )
    kinds = ", ".join(KINDS)
    raise UsageError(
        f"'{path}': batch는 {kinds} 파일을 읽습니다. 압축된 파일은 먼저 푸세요.",
        f"'{path}': batch reads {kinds}; unpack compressed files first",
    )
