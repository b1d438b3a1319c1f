"""Writing: examples → a file in a chosen format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from maeum.data import Dataset, Example
from maeum.errors import UsageError
from maeum.formats.reading import find_format
from maeum.formats.registry import FORMATS
from maeum.task import Task

WRITABLE = tuple(name for name, item in FORMATS.items() if item.write is not None)
"""Formats that can be written."""

_BY_SUFFIX = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".xlsx": "xlsx", ".parquet": "parquet",
    ".md": "completion",
}  # fmt: skip


def write(
    data: Dataset | Iterable[Example],
    path: str | Path,
    format: str | None = None,
    *,
    task: Task | None = None,
    source: str | Path | None = None,
) -> None:
    """Write examples; the file appears under its name only when it is complete.

    Args:
        data: a dataset, or examples one by one (``jsonl`` and ``csv`` …).
        path: the file.
        format: one of ``WRITABLE``; told from the suffix if not given.
        task: task of the labels; a dataset brings its own.
        source: ``nikl-ea`` and ``nikl-sa``: the corpus file to copy, with only its answers replaced.

    Raises:
        UsageError: the format cannot be told or cannot be written.
        DataError: a row that the format cannot hold.
    """
    target = Path(path)
    name = format or output_format(target)
    writer = find_format(name).write
    if writer is None:
        names = ", ".join(WRITABLE)
        raise UsageError(
            f"'{name}' 형식으로는 쓸 수 없습니다. 쓸 수 있는 것: {names}",
            f"'{name}' cannot be written; these can: {names}",
        )
    if task is None and isinstance(data, Dataset):
        task = data.task
    writer(data, target, task, None if source is None else Path(source))


def output_format(path: Path) -> str:
    """The format that a suffix stands for when writing.

    Raises:
        UsageError: none.
    """
    name = _BY_SUFFIX.get(path.suffix.lower())
    if name is None:
        raise UsageError(
            f"'{path}'의 확장자로는 출력 형식을 알 수 없습니다. {', '.join(_BY_SUFFIX)} 가운데 하나를 쓰거나 형식을 지정하세요.",
            f"the suffix of '{path}' does not tell the output format; use one of {', '.join(_BY_SUFFIX)} or name the format",
        )
    return name
