"""Predictions as they lie in a file of our JSONL: read row by row, and again at a place to quote a text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum.errors import DataError
from maeum.task import Label, Task, builtin_task, builtin_task_names, get_task

Found = tuple[int, int, float]
"""A label that a text was given: its column, its grade's column (0 where there are no grades), its probability."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """One row."""

    place: int
    """Where in the file it begins, in bytes."""
    id: str
    text: str
    found: tuple[Found, ...]
    """Each label once."""
    fields: Mapping[str, Any]
    """``meta``."""


class Stored:
    """A file of predictions.

    Args:
        path: the file.
        task: whose labels they are; None: told from the rows.

    Raises:
        DataError: no predictions of ours, or of another task.
    """

    def __init__(self, path: Path, task: Task | str | None = None) -> None:
        self.path = path
        given = get_task(task) if isinstance(task, str) else task
        self.task = _task_of(path) if given is None else given
        self._columns = {key: index for index, key in enumerate(self.task.keys)}
        self._grades = {key: index for index, key in enumerate(self.task.sentiment_keys)}

    def rows(self) -> Iterator[Predicted]:
        """Every row, in order.

        Raises:
            DataError: a row that is no prediction of the task, with its line.
        """
        for line, place, value in _lines(self.path):
            try:
                yield Predicted(place, value["id"], value["text"], self._found(value), value.get("meta") or {})
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataError(
                    f"과제 '{self.task.name}'의 예측이 아닙니다({type(error).__name__}: {error}). "
                    "maeum predict가 쓴 JSONL이 필요합니다.",
                    f"not a prediction of task '{self.task.name}' ({type(error).__name__}: {error}); "
                    "a JSONL written by maeum predict is needed",
                    path=self.path,
                    line=line,
                ) from error

    def at(self, place: int) -> tuple[str, str]:
        """Id and raw text of the row that begins there."""
        with self.path.open("rb") as file:
            file.seek(place)
            value = json.loads(file.readline())
        return value["id"], value["text"]

    def _found(self, value: Mapping[str, Any]) -> tuple[Found, ...]:
        scores = value["scores"]
        if not self._grades:
            return tuple((self._columns[key], 0, float(scores[key])) for key in dict.fromkeys(value["labels"]))
        found: dict[int, Found] = {}
        for item in value["aspects"]:
            column, grade = self._columns[item["aspect"]], self._grades[item["sentiment"]]
            sure = float(item.get("sentiment_scores", {}).get(item["sentiment"], 1.0))
            found.setdefault(column, (column, grade, float(scores[item["aspect"]]) * sure))
        return tuple(found.values())


def _lines(path: Path) -> Iterator[tuple[int, int, Any]]:
    """(line, where it begins, JSON value)."""
    place = 0
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            begin, place = place, place + len(raw)
            if line == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw, begin = raw[3:], 3
            if not raw.strip():
                continue
            try:
                yield line, begin, json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"JSON이 아닙니다: {error}. 한 줄에 예측 하나씩 든 JSONL이 필요합니다.",
                    f"not JSON: {error}; a JSONL with a prediction a line is needed",
                    path=path,
                    line=line,
                ) from error


def _task_of(path: Path) -> Task:
    """The built-in task with the very same labels, else a task made of what the rows show."""
    keys: tuple[str, ...] = ()
    graded = False
    for line, _, value in _lines(path):
        if not isinstance(value, dict) or not isinstance(value.get("scores"), dict) or not value["scores"]:
            raise DataError(
                "예측 파일이 아닙니다('scores'가 없습니다). MODEL에는 모델 폴더나 maeum predict가 쓴 JSONL을 쓰세요.",
                "no predictions (there are no 'scores'); MODEL is a model folder or a JSONL written by maeum predict",
                path=path,
                line=line,
            )
        keys, graded = tuple(value["scores"]), "aspects" in value
        if not graded:
            break
        for item in value["aspects"] or ():
            if isinstance(item, dict) and item.get("sentiment_scores"):
                return _named(keys, tuple(item["sentiment_scores"]))
    if not keys:
        raise DataError("예측이 하나도 없습니다.", "there are no predictions", path=path)
    # graded, but no text has an aspect: the grades do not matter then
    return _named(keys, ("?",) if graded else ())


def _named(keys: tuple[str, ...], grades: tuple[str, ...]) -> Task:
    for name in builtin_task_names():
        task = builtin_task(name)
        if task.keys == keys and (task.sentiment_keys == grades or (grades == ("?",) and task.sentiments)):
            return task
    labels = tuple(Label(key) for key in keys)
    sentiments = tuple(Label(grade) for grade in grades)
    return Task("predictions", "aspect" if grades else "multilabel", labels, sentiments)
