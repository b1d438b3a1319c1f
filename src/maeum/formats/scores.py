"""Predictions in: ours, or those of anybody's script, as arrays.

Others' files are read leniently: a JSON array, JSON lines or an object of rows; the scores of a row at its top
level or in an object or list inside it; 0–1 or percent.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.data import Input, Target
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.formats.emojson import WORDS
from maeum.formats.jsonrows import json_rows
from maeum.formats.labels import LabelReader, parse_graded
from maeum.formats.lines import Row, Source
from maeum.formats.options import ReadOptions
from maeum.formats.predictions import BASE, short
from maeum.formats.records import read_aspects
from maeum.formats.tables import table_rows
from maeum.formats.targets import locate
from maeum.task import Task, builtin_task

_SAME = 1e-3
"""Two rows of one text whose scores differ by no more than this say the same (percents are often rounded)."""
_WHOLE_FILE = 1 << 30
_TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")
_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_WORDS = {word: key for key, word in WORDS.items()}


@dataclass(frozen=True)
class Predictions:
    """A predictions file as arrays."""

    task: Task
    ids: tuple[str, ...] | None
    """``None`` if the file has none."""
    inputs: tuple[Input, ...] | None
    """``None`` if the file has no texts."""
    scores: NDArray[np.float32]
    """(n, k) in ``task.keys`` order, within [0, 1]."""
    labels: tuple[tuple[str, ...], ...] | None
    """Decided labels, if every row has them."""
    aspects: tuple[tuple[Mapping[str, Any], ...], ...] | None
    """Of an aspect task: the aspects with their grades as they stand in the file, if every row has them. A table holds
    aspect and grade; ``score`` is then that of the aspect's column."""
    order: tuple[int, ...]
    """For each row of the file its index here: rows that repeat a text and target with the same scores are one."""
    source: str = ""

    def __len__(self) -> int:
        return len(self.scores)

    def graded(self, labels: Sequence[tuple[str, ...]]) -> tuple[tuple[Mapping[str, Any], ...], ...] | None:
        """For each row those of its ``aspects`` that are decided on; None if the file has no grades.

        Args:
            labels: the aspects decided on, for each row.

        Raises:
            UsageError: an aspect is decided on that the file has no grade for.
        """
        if self.aspects is None:
            return None
        found = []
        for row, (given, wanted) in enumerate(zip(self.aspects, labels, strict=True)):
            missing = set(wanted) - {item["aspect"] for item in given}
            if missing:
                raise UsageError(
                    f"{row + 1}번째 예측에는 속성 '{min(missing)}'의 감성이 없습니다. 기준값을 낮추려면 모델에 넣고 다시 "
                    "predict하세요.",
                    f"prediction {row + 1} has no grade for the aspect '{min(missing)}'; to lower a threshold, set it in "
                    "the model and predict again",
                )
            found.append(tuple(item for item in given if item["aspect"] in wanted))
        return tuple(found)


def read_predictions(path: str | Path, task: Task, *, options: ReadOptions | None = None) -> Predictions:
    """Read a predictions file, ours or anybody's.

    Args:
        path: JSON, JSONL, or a table with a column per label.
        task: whose labels the scores are for; every row must have all of them.
        options: encoding and limits.

    Raises:
        DataError: a row without the scores of the task, or scores that are no probabilities, with file and line.
    """
    source = Source(Path(path), options or ReadOptions())
    reader = LabelReader(task)
    found = [placed(row, task, reader, source) for row in _rows(source)]
    if not found:
        raise DataError("예측이 하나도 없습니다.", "there are no predictions", path=source.name)
    scores = _probabilities(np.array([item.scores for item in found], dtype=np.float64), source)
    kept, order = _merge(found, scores)
    rows = [found[index] for index in kept]
    texts = [row.text for row in rows if row.text is not None]
    labels = [row.labels for row in rows if row.labels is not None]
    graded = [
        tuple({"score": short(scores[index, task.keys.index(item["aspect"])]), **item} for item in row.aspects)
        for index, row in zip(kept, rows, strict=True)
        if row.aspects is not None
    ]
    ids = [row.id for row in rows if row.id]
    _unique(ids, source)
    return Predictions(
        task=task,
        ids=tuple(ids) if len(ids) == len(rows) else None,
        inputs=tuple(Input(row.text or "", row.target) for row in rows) if len(texts) == len(rows) else None,
        scores=scores[kept].astype(np.float32),
        labels=tuple(labels) if len(labels) == len(rows) else None,
        aspects=tuple(graded) if len(graded) == len(rows) else None,
        order=order,
        source=source.name,
    )


def is_predictions_file(path: str | Path, task: Task | None = None) -> bool:
    """Whether a file holds predictions and not data: its first row has a number for every label.

    Args:
        path: any path; folders are no predictions.
        task: whose labels; without it, rows with our ``scores`` and rows scored for ``nikl-ea`` count, and tables
            with our columns.
    """
    target = Path(path)
    if not target.is_file() or target.suffix.lower() not in _JSON_SUFFIXES + _TABLE_SUFFIXES:
        return False
    try:
        row = next(_rows(Source(target)), None)
    except DataError:
        return False
    if row is None or row.error is not None:
        return False
    value = row.value
    if target.suffix.lower() in _TABLE_SUFFIXES:
        names = tuple(value)
        return names[:4] == BASE and len(names) > 5 and all(_as_number(value[name]) is not None for name in names[4:])
    if task is None and isinstance(value, dict) and isinstance(value.get("scores"), dict):
        return True
    wanted = task or builtin_task("nikl-ea")
    return any(_scores(item, wanted) is not None for item in _objects(value))


def scores_fit(path: str | Path, task: Task) -> bool:
    """Whether the first row of a predictions file has a score for every label of a task, and no labels of another.

    Raises:
        DataError: the file cannot be read.
    """
    source = Source(Path(path), ReadOptions())
    row = next(_rows(source), None)
    if row is None or row.error is not None:
        return False
    try:
        placed(row, task, LabelReader(task), source)
    except (DataError, TaskMismatch):
        return False
    return True


# -- rows ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A row as it stands in the file; ``scores`` may be percent."""

    id: str
    text: str | None
    target: Target | None
    form: str
    labels: tuple[str, ...] | None
    scores: list[float]
    aspects: tuple[Mapping[str, Any], ...] | None


def _rows(source: Source) -> Iterator[Row]:
    if source.suffix in _TABLE_SUFFIXES:
        yield from table_rows(source)
        return
    if source.suffix == ".json":
        # A whole file on one line is usual here.
        options = dataclasses.replace(source.options, max_line_bytes=_WHOLE_FILE)
        source = Source(source.path, options)
    rows = json_rows(source)
    first = next(rows, None)
    if first is None:
        return
    second = next(rows, None)
    if second is None and isinstance(first.value, dict):
        members = first.value.values()
        if members and all(isinstance(item, (dict, list)) for item in members) and len(members) != 1:
            # {"0": {…}, "1": {…}}: rows under their numbers, as pandas writes them with orient="index".
            for number, (key, item) in enumerate(first.value.items(), start=1):
                yield Row(number, first.line, item, key)
            return
        only = next(iter(members), None)
        if len(members) == 1 and (isinstance(only, list) or (isinstance(only, dict) and _holds_rows(only))):
            items = only if isinstance(only, list) else list(only.values())
            for number, item in enumerate(items, start=1):
                yield Row(number, first.line, item, "")
            return
    yield first
    if second is not None:
        yield second
    yield from rows


def _holds_rows(value: dict[str, Any]) -> bool:
    return bool(value) and all(isinstance(item, (dict, list)) for item in value.values())


def placed(row: Row, task: Task, reader: LabelReader, source: Source) -> Found:
    """A row as predictions, or why it is none with file and line."""
    try:
        if row.error is not None:
            raise row.error
        return _found(row.value, task, reader, table=source.suffix in _TABLE_SUFFIXES)
    except (DataError, TaskMismatch) as error:
        if isinstance(error, DataError) and error.path:
            raise
        raise DataError(error.ko, error.en, path=source.name, line=row.line) from error


def _found(value: Any, task: Task, reader: LabelReader, *, table: bool) -> Found:
    scores = None
    for item in _objects(value):
        scores = _scores(item, task)
        if scores is not None:
            break
    if scores is None:
        raise DataError(
            f"과제 '{task.name}'의 라벨 {len(task)}개 전부의 점수가 있어야 합니다: {', '.join(task.keys[:8])}",
            f"every row needs a score for all {len(task)} labels of task '{task.name}': {', '.join(task.keys[:8])}",
        )
    text, target, form = _input(value)
    given = value.get("labels") if isinstance(value, dict) else None
    labels = reader.cell(given) if isinstance(given, str) and task.kind != "aspect" else None
    graded: tuple[Mapping[str, Any], ...] | None = None
    if table and task.kind == "aspect" and isinstance(value, dict) and "labels" in value:
        cells = parse_graded("" if given is None else str(given), reader)
        labels = task.order(item.aspect for item in cells)
        graded = tuple({"aspect": item.aspect, "sentiment": item.sentiment} for item in cells)
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        labels = reader.words(given) if given or task.kind != "multiclass" else ()
    if isinstance(value, dict) and isinstance(value.get("aspects"), list):
        aspects = read_aspects(value["aspects"], text or "", reader) or ()
        labels = task.order(item.aspect for item in aspects)
        graded = tuple(
            {**given, "aspect": item.aspect, "sentiment": item.sentiment}
            for given, item in zip(value["aspects"], aspects, strict=True)
        )
    name = value.get("id") if isinstance(value, dict) else None
    return Found("" if name is None else str(name), text, target, form, labels, scores, graded)


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that may hold scores: ``scores`` first, then the row, then what lies inside it."""
    if isinstance(value, dict):
        if isinstance(value.get("scores"), dict):
            yield value["scores"]
        yield value
        for item in value.values():
            if isinstance(item, (dict, list)):
                yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)):
                yield from _objects(item)


def _scores(item: Mapping[str, Any], task: Task) -> list[float] | None:
    columns: dict[str, float] = {}
    for word, value in item.items():
        number = _as_number(value)
        if number is None:
            continue
        key = _key(str(word), task)
        if key is not None:
            columns[key] = number
    if len(columns) != len(task):
        return None
    return [columns[key] for key in task.keys]


def _key(word: str, task: Task) -> str | None:
    if word in task.keys:
        return word
    if word.startswith("score_") and word.removeprefix("score_") in task.keys:
        return word.removeprefix("score_")
    try:
        return task.resolve(word)
    except TaskMismatch:
        key = _WORDS.get(word)
        return key if key in task.keys else None


def _input(value: Any) -> tuple[str | None, Target | None, str]:
    """Text, located target and target word of a row, as far as it has them."""
    text: Any = None
    form: Any = None
    if isinstance(value, list):
        words = [item for item in value if isinstance(item, str)]
        text, form = [*words, None, None][:2]
    elif isinstance(value, dict):
        inner = value.get("input")
        record: Mapping[str, Any] = inner if isinstance(inner, dict) else value
        text = next((record[key] for key in ("text", "form", "sentence", "문장") if key in record), None)
        form = record.get("target", record.get("대상"))
    if isinstance(form, dict):
        given = form
        form, begin, end = given.get("form"), given.get("begin"), given.get("end")
        placed = isinstance(text, str) and isinstance(begin, int) and isinstance(end, int)
        if placed and isinstance(form, str) and text[begin:end] == form:
            return text, Target(form, int(begin or 0), int(end or 0)), form
    if not isinstance(text, str):
        text = None
    if not isinstance(form, str):
        return text, None, ""
    return text, locate(text or "", form), form


def _probabilities(scores: NDArray[np.float64], source: Source) -> NDArray[np.float64]:
    """Scores as probabilities: a file with any value over 1 is in percent."""
    bad = ~np.isfinite(scores) | (scores < 0) | (scores > 100 + 1e-6)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise DataError(
            f"{row + 1}번째 행의 점수 {scores[bad][0]}은(는) 확률(0–1)도 퍼센트(0–100)도 아닙니다.",
            f"row {row + 1} has score {scores[bad][0]}, neither a probability (0–1) nor a percentage (0–100)",
            path=source.name,
        )
    return np.clip(scores / 100 if (scores > 1 + 1e-6).any() else scores, 0.0, 1.0)


def _merge(found: list[Found], scores: NDArray[np.float64]) -> tuple[list[int], tuple[int, ...]]:
    """Indices of the rows to keep, and for every row the place of the one that stands for it."""
    kept: list[int] = []
    order: list[int] = []
    places: dict[tuple[str, str], int] = {}
    for index, row in enumerate(found):
        key = (row.text or "", row.form)
        place = None if row.id or row.text is None else places.get(key)
        if place is not None and np.abs(scores[kept[place]] - scores[index]).max() <= _SAME:
            order.append(place)
            continue
        places.setdefault(key, len(kept))
        order.append(len(kept))
        kept.append(index)
    return kept, tuple(order)


def _unique(ids: list[str], source: Source) -> None:
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"id '{twice}'이(가) 두 번 나옵니다.", f"id '{twice}' occurs twice", path=source.name)


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value.strip().removesuffix("%"))
    return None
