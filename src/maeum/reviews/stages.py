"""An aspect task as two ordinary ones: which aspects (multilabel), and which grade an aspect gets (multiclass).

The grade is asked of one aspect at a time, by what it is called and how it is described, never by its number: so an
aspect that is added later, with a description, can be graded without training.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from maeum.data import AspectLabel, Dataset, Example
from maeum.errors import UsageError
from maeum.task import Label, Task

JOINT = "\u241f"
"""Between aspect and grade in the keys of a joint task (the symbol for "unit separator": no key has it)."""


def aspect_task(task: Task) -> Task:
    """The first stage: any number of the aspects.

    Raises:
        UsageError: as of ``check``.
    """
    check(task)
    return Task(f"{task.name}/aspects", "multilabel", task.labels, description=task.description)


def sentiment_task(task: Task) -> Task:
    """The second stage: exactly one grade.

    Raises:
        UsageError: as of ``check``.
    """
    check(task)
    return Task(f"{task.name}/sentiment", "multiclass", task.sentiments, description=task.description)


def joint_task(task: Task) -> Task:
    """Both at once: any number of (aspect, grade) pairs, aspects × grades labels. For comparison: seed 004 argues against it."""
    check(task)
    labels = tuple(
        Label(f"{aspect.key}{JOINT}{grade.key}", f"{aspect.name('ko')} {grade.name('ko')}")
        for aspect in task.labels
        for grade in task.sentiments
    )
    return Task(f"{task.name}/joint", "multilabel", labels)


def aspect_rows(data: Dataset) -> Dataset:
    """The rows with the aspects they mention as labels."""
    rows = (
        Example(e.id, e.text, labels=None if e.aspects is None else data.task.order(item.aspect for item in e.aspects))
        for e in data
    )
    return Dataset(aspect_task(data.task), rows, source=data.source)


def sentiment_rows(data: Dataset) -> Dataset:
    """One row per (row, aspect) with its grade; ids are ``row#aspect``."""
    task = data.task
    rows = []
    for example in data:
        for key, grade in grades(example.aspects or ()).items():
            rows.append(Example(f"{example.id}#{key}", example.text, labels=(grade,), aspect=described(task, key)))
    return Dataset(sentiment_task(task), rows, source=data.source)


def joint_rows(data: Dataset) -> Dataset:
    """The rows with (aspect, grade) pairs as labels."""
    joint = joint_task(data.task)
    rows = []
    for e in data:
        found = None if e.aspects is None else (f"{a}{JOINT}{g}" for a, g in grades(e.aspects).items())
        rows.append(Example(e.id, e.text, labels=None if found is None else joint.order(found)))
    return Dataset(joint, rows, source=data.source)


def grades(aspects: Sequence[AspectLabel]) -> dict[str, str]:
    """Aspect → its grade. Of an aspect that is graded more than once, the grade given most often; of equals, the first."""
    found: dict[str, Counter[str]] = {}
    for item in aspects:
        found.setdefault(item.aspect, Counter())[item.sentiment] += 1
    return {aspect: counter.most_common(1)[0][0] for aspect, counter in found.items()}


def disputed(data: Dataset) -> int:
    """(row, aspect) pairs that are graded more than once, and differently."""
    return sum(
        len({item.sentiment for item in example.aspects or () if item.aspect == aspect}) > 1
        for example in data
        for aspect in grades(example.aspects or ())
    )


def described(task: Task, key: str) -> str:
    """What a model is told of an aspect: its Korean name, else its key, and its description where it has one."""
    label = task.labels[task.keys.index(key)]
    return f"{label.name('ko')}: {label.description}" if label.description else label.name("ko")


def check(task: Task) -> None:
    """Whether a task can be learnt in two stages.

    Raises:
        UsageError: not an aspect task, or two aspects or two grades that a model is told in the same words.
    """
    if task.kind != "aspect":
        raise UsageError(
            f"과제 '{task.name}'은(는) 속성(aspect) 과제가 아닙니다.", f"task '{task.name}' is not an aspect task"
        )
    _refuse_same("속성", "aspects", task.name, {key: described(task, key) for key in task.keys})
    _refuse_same("감성", "grades", task.name, {label.key: label.name("ko") for label in task.sentiments})


def _refuse_same(ko: str, en: str, task: str, told: Mapping[str, str]) -> None:
    """Refuse keys whose words are the same once spaces, case and how Hangul is composed are left aside."""
    seen: dict[str, str] = {}
    for key, words in told.items():
        plain = " ".join(unicodedata.normalize("NFKC", words).casefold().split())
        if plain in seen:
            raise UsageError(
                f"과제 '{task}'의 {ko} '{seen[plain]}'과(와) '{key}'은(는) 모델에게 알려 주는 말이 '{words}'(으)로 같아 "
                "가릴 수 없습니다. ko나 description을 다르게 적어 주세요.",
                f"the {en} '{seen[plain]}' and '{key}' of task '{task}' are both told to the model as '{words}', so it cannot "
                "tell them apart; give them another ko or description",
            )
        seen[plain] = key
