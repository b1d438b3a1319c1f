"""Predictions: rows with a probability per label, written by us or by anybody with a script.

Ours are JSONL rows of data with ``scores`` added. Others' are read leniently: a JSON array, JSON lines or an
object of rows; the scores of a row at its top level or in an object or list inside it; 0–1 or percent.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum._files import atomic_text
from maeum.data import Input, Target
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.formats.completion import completion_text
from maeum.formats.emojson import WORDS
from maeum.formats.jsonrows import json_rows
from maeum.formats.labels import LabelReader, labels_cell
from maeum.formats.lines import Row, Source
from maeum.formats.options import ReadOptions
from maeum.formats.records import read_aspects
from maeum.formats.tables import table_rows
from maeum.formats.tables_out import TableKind, open_table
from maeum.formats.targets import locate
from maeum.task import Task

_SAME = 1e-3
"""Two rows of one text whose scores differ by no more than this say the same (percents are often rounded)."""
_BASE = ("id", "text", "target", "labels")
_TABLES: tuple[TableKind, ...] = ("csv", "tsv", "xlsx", "parquet")
_WORDS = {word: key for key, word in WORDS.items()}
_FOREIGN = {"input", "output", "emo", "sentence_form", "RawText"}


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One predicted row."""

    id: str
    text: str
    target: Target | None
    labels: tuple[str, ...]
    """Label keys that were decided on; in an aspect task the aspects."""
    scores: Mapping[str, float]
    """Probability of every label, in task order."""
    aspects: tuple[Mapping[str, Any], ...] | None = None
    """Aspect tasks: ``{"aspect", "sentiment", "score", "sentiment_scores", "evidence", "begin", "end"}``."""
    meta: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row in our JSONL form."""
        target = self.target
        row: dict[str, Any] = {
            "id": self.id,
            "text": self.text,
            "target": target and {"form": target.form, "begin": target.begin, "end": target.end},
        }
        if self.aspects is None:
            row["labels"] = list(self.labels)
        else:
            row["aspects"] = [dict(item) for item in self.aspects]
        row["scores"] = {key: short(score) for key, score in self.scores.items()}
        if self.meta:
            row["meta"] = dict(self.meta)
        return row


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
    order: tuple[int, ...]
    """For each row of the file its index here: rows that repeat a text and target with the same scores are one."""
    source: str = ""

    def __len__(self) -> int:
        return len(self.scores)


def short(score: float) -> float:
    """The shortest decimal that reads back as the same float32."""
    return float(str(np.float32(score)))


def prediction_line(row: PredictionRow) -> str:
    """A row as one line of our JSONL, without the line end."""
    return json.dumps(row.to_dict(), ensure_ascii=False, default=_number)


def prediction_header(task: Task) -> tuple[str, ...]:
    """Columns of a table of predictions: id, text, target, labels, one per label score."""
    return (*_BASE, *(f"score_{key}" if key in _BASE else key for key in task.keys))


def prediction_cells(row: PredictionRow, task: Task) -> list[Any]:
    """The cells of a row under ``prediction_header``; aspects with sentiments read ``배송 -1, 디자인 2``."""
    if row.aspects is None:
        labels = labels_cell(row.labels)
    else:
        labels = ", ".join(f"{item['aspect']} {item['sentiment']}" for item in row.aspects)
    form = row.target.form if row.target else ""
    return [row.id, row.text, form, labels, *(short(row.scores[key]) for key in task.keys)]


def write_predictions(rows: Iterable[PredictionRow], path: Path, task: Task, format: str = "jsonl") -> None:
    """Write predictions as they come: our JSONL, or a table (csv, tsv, xlsx, parquet).

    Raises:
        UsageError: predictions are not written in that format.
    """
    if format == "jsonl":
        with atomic_text(path) as file:
            for row in rows:
                file.write(prediction_line(row) + "\n")
        return
    for kind in _TABLES:
        if kind == format:
            with open_table(path, kind, prediction_header(task)) as write:
                for row in rows:
                    write(prediction_cells(row, task))
            return
    names = ", ".join(("jsonl", *_TABLES))
    raise UsageError(
        f"예측은 {names}(으)로 쓸 수 있습니다: {format!r}", f"predictions are written as {names}, got {format!r}"
    )


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
    found = [_placed(row, task, reader, source) for row in _rows(source)]
    if not found:
        raise DataError("예측이 하나도 없습니다.", "there are no predictions", path=source.name)
    scores = _probabilities(np.array([item.scores for item in found], dtype=np.float64), source)
    kept, order = _merge(found, scores)
    rows = [found[index] for index in kept]
    texts = [row.text for row in rows if row.text is not None]
    labels = [row.labels for row in rows if row.labels is not None]
    ids = [row.id for row in rows if row.id]
    _unique(ids, source)
    return Predictions(
        task=task,
        ids=tuple(ids) if len(ids) == len(rows) else None,
        inputs=tuple(Input(row.text or "", row.target) for row in rows) if len(texts) == len(rows) else None,
        scores=scores[kept].astype(np.float32),
        labels=tuple(labels) if len(labels) == len(rows) else None,
        order=order,
        source=source.name,
    )


def is_predictions_file(path: str | Path) -> bool:
    """Whether a file holds predictions and not data: its first row has a number per label."""
    target = Path(path)
    if not target.is_file() or target.suffix.lower() not in (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".xlsx"):
        return False
    try:
        with contextlib.closing(_rows(Source(target))) as rows:
            row = next(rows, None)
    except DataError:
        return False
    if row is None or row.error is not None:
        return False
    value = row.value
    if target.suffix.lower() in (".csv", ".tsv", ".xlsx"):
        names = tuple(value)
        return names[:4] == _BASE and len(names) > 5 and all(_is_number(value[name]) for name in names[4:])
    if isinstance(value, dict):
        if isinstance(value.get("scores"), dict):
            return True
        if _FOREIGN & value.keys():
            return False
    return any(sum(map(_is_number, item.values())) >= 2 for item in _objects(value))


# -- rows ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    id: str
    text: str | None
    target: Target | None
    form: str
    labels: tuple[str, ...] | None
    scores: list[float]


def _rows(source: Source) -> Iterator[Row]:
    if source.suffix in (".csv", ".tsv", ".xlsx", ".parquet"):
        yield from table_rows(source)
        return
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


def _placed(row: Row, task: Task, reader: LabelReader, source: Source) -> _Found:
    try:
        if row.error is not None:
            raise row.error
        return _found(row.value, task, reader)
    except (DataError, TaskMismatch) as error:
        if isinstance(error, DataError) and error.path:
            raise
        raise DataError(error.ko, error.en, path=source.name, line=row.line) from error


def _found(value: Any, task: Task, reader: LabelReader) -> _Found:
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
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        labels = reader.words(given) if given or task.kind != "multiclass" else ()
    if isinstance(value, dict) and isinstance(value.get("aspects"), list):
        aspects = read_aspects(value["aspects"], text or "", reader) or ()
        labels = task.order(item.aspect for item in aspects)
    name = value.get("id") if isinstance(value, dict) else None
    return _Found("" if name is None else str(name), text, target, form, labels, scores)


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
        begin, end, form = form.get("begin"), form.get("end"), form.get("form")
        exact = isinstance(text, str) and isinstance(begin, int) and isinstance(end, int) and text[begin:end] == form
        if exact and isinstance(form, str):
            return text, Target(form, begin, end), form
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


def _merge(found: list[_Found], scores: NDArray[np.float64]) -> tuple[list[int], tuple[int, ...]]:
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


def _is_number(value: Any) -> bool:
    return _as_number(value) is not None


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


__all__ = [
    "PredictionRow", "Predictions", "completion_text", "is_predictions_file", "prediction_cells", "prediction_header",
    "prediction_line", "read_predictions", "short", "write_predictions",
]  # fmt: skip
Rule = Literal["id", "text", "order"]
