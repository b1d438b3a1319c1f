"""The counts as files: CSV that Excel opens, Parquet twins, and sentences as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from maeum._files import atomic_text
from maeum.formats.tables_out import TableKind, open_table, safe_cell
from maeum.rolling.counting import ALL
from maeum.rolling.rollup import Cell, Result
from maeum.task import Task

COUNTED = ("aspect", "name", "grade", "grade_name", "count", "of", "share", "low", "high", "rows")
"""``share`` is ``count / of`` with its 95% interval; ``of`` the texts with the aspect, or all rows where labels have no
grades; ``rows`` the rows of the slice."""
_KINDS: tuple[TableKind, ...] = ("csv", "parquet")


def write_tables(result: Result, folder: Path, whole: Callable[[int], str]) -> None:
    """``aspects``, ``time``, ``groups`` and ``words``, each as CSV and Parquet, and ``examples.jsonl``.

    Args:
        whole: the raw text of the row that begins at a place in the file of predictions.
    """
    counts = result.counts
    tables: list[tuple[str, Sequence[str], list[list[Any]]]] = [
        ("aspects", COUNTED, list(result.lines(counts[ALL]))),
        (
            "time",
            ("period", *COUNTED),
            [[slice.name, *line] for slice, tally in counts.periods() for line in result.lines(tally)],
        ),
        (
            "groups",
            ("group", "kind", *COUNTED),
            [[slice.name, slice.kind, *line] for slice, tally in counts.groups() for line in result.lines(tally)],
        ),
        ("words", ("aspect", "name", "grade", "grade_name", "word", *_WORD), list(_words(result))),
    ]
    for name, header, rows in tables:
        for kind in _KINDS:
            _write(folder / f"{name}.{kind}", kind, header, rows)
    with atomic_text(folder / "examples.jsonl") as file:
        for line in example_lines(result, whole):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def example_lines(result: Result, whole: Callable[[int], str]) -> Iterator[dict[str, Any]]:
    """Every sentence under every number it was picked for, its text raw and whole."""
    for cell, sentences in result.sentences.items():
        for item in sentences:
            yield {
                "slice": cell.slice.kind,
                "slice_name": cell.slice.name,
                "aspect": result.task.keys[cell.label],
                **cell_grade(result.task, cell),
                "word": cell.word or None,
                "id": item.id,
                "text": whole(item.place),
                "score": round(item.score, 6),
                "why": item.why,
                "date": item.day or None,
                "group": item.group or None,
            }


def cell_grade(task: Task, cell: Cell) -> dict[str, Any]:
    """``grade`` of a cell of all rows, ``side`` of one of a slice."""
    if not task.sentiments:
        return {"grade": None, "side": None}
    if cell.slice == ALL:
        return {"grade": None if cell.part < 0 else task.sentiment_keys[cell.part], "side": None}
    return {"grade": None, "side": ("low", "high")[cell.part]}


_WORD = ("count", "elsewhere", "log_odds", "z")


def _words(result: Result) -> Iterator[list[Any]]:
    for (label, grade), found in result.words.items():
        key = result.task.sentiment_keys[grade] if result.graded and grade >= 0 else ""
        about = [result.task.keys[label], result.label_name(label), key, result.grade_name(grade)]
        for item in found:
            yield [*about, item.word, item.count, item.elsewhere, round(item.log_odds, 4), round(item.z, 3)]


def _write(path: Path, kind: TableKind, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open_table(path, kind, header) as write:
        for row in rows:
            write([safe_cell(cell) for cell in row] if kind == "csv" else row)
