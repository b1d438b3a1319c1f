"""Answers in a labelling file: one spelling for each, so that equal answers are equal text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maeum._files import canonical_json
from maeum.errors import UsageError
from maeum.task import Task


def checked_answer(task: Task, answer: Mapping[str, Any]) -> str:
    """An answer as JSON, in the order of the task; an empty one says that no label fits.

    ``{"labels": [key, …]}``, or for aspect tasks ``{"aspects": [{"aspect", "sentiment"}, …]}``.

    Raises:
        UsageError: another shape, an unknown label, two where one is chosen, or an aspect twice.
    """
    name = "aspects" if task.kind == "aspect" else "labels"
    given = answer.get(name)
    if not isinstance(given, list | tuple):
        raise _refused(task)
    if name == "labels":
        if not all(isinstance(key, str) and key in task.keys for key in given):
            raise _refused(task)
        if task.kind == "multiclass" and len(set(given)) > 1:
            raise _refused(task)
        return canonical_json({name: [key for key in task.keys if key in given]})
    grades: dict[str, str] = {}
    for item in given:
        aspect, grade = (item.get("aspect"), item.get("sentiment")) if isinstance(item, Mapping) else (None, None)
        if aspect not in task.keys or grade not in task.sentiment_keys or aspect in grades:
            raise _refused(task)
        grades[aspect] = grade
    return canonical_json({name: [{"aspect": key, "sentiment": grades[key]} for key in task.keys if key in grades]})


def _refused(task: Task) -> UsageError:
    return UsageError(
        f"과제 '{task.name}'에 없는 답입니다. 쪽을 새로 고치세요.",
        f"task '{task.name}' has no such answer; reload the page",
    )
