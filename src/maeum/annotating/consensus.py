"""How far annotators agreed, label by label; the rules of a consensus are those of ``maeum.consensus``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from maeum.annotating.agreement import MISSING, Ints, cohen_kappa, fleiss_kappa, krippendorff_alpha, observed
from maeum.annotating.marks import Annotation
from maeum.consensus import RULES, Conflict, Decided, Rule, check_rule, decide
from maeum.task import Task

__all__ = ["RULES", "Conflict", "Decided", "Rule", "agreement", "check_rule", "decide"]


def agreement(said: Mapping[str, Sequence[Annotation]], task: Task) -> list[dict[str, Any]]:
    """How far annotators agree, per label (aspect tasks: whether it is mentioned, and then its grade); row → annotations.

    Each entry has ``label``, ``what`` (``label``, ``choice``, ``mention`` or ``grade``), ``rows`` with two answers or more,
    ``observed`` agreement, ``cohen`` (two annotators), ``fleiss`` and ``alpha``; None where a number cannot be told.
    """
    shared = {row: {item.annotator: item for item in items} for row, items in said.items() if len(items) > 1}
    names = sorted({name for items in shared.values() for name in items})
    if not shared:
        return []

    def table(answer: Callable[[Annotation], int]) -> Ints:
        return np.array(
            [[answer(items[name]) if name in items else MISSING for items in shared.values()] for name in names],
            np.int64,
        )

    if task.kind == "multiclass":
        return [_measures("", "choice", table(lambda item: task.keys.index((item.labels or ("",))[0])), "nominal")]
    if task.kind == "multilabel":
        return [_measures(key, "label", table(_given(key)), "nominal") for key in task.keys]
    answered = table(lambda _: 0) != MISSING
    rows = []
    for key in task.keys:
        grades = table(_graded(key, task))
        mentioned = np.where(answered, (grades != MISSING).astype(np.int64), MISSING)
        rows.append(_measures(key, "mention", mentioned, "nominal"))
        rows.append(_measures(key, "grade", grades, "ordinal"))
    return rows


def _given(key: str) -> Callable[[Annotation], int]:
    return lambda item: int(key in (item.labels or ()))


def _graded(key: str, task: Task) -> Callable[[Annotation], int]:
    def number(item: Annotation) -> int:
        grade = next((found.sentiment for found in item.aspects or () if found.aspect == key), None)
        return MISSING if grade is None else task.sentiment_keys.index(grade)

    return number


def _measures(label: str, what: str, answers: Ints, level: Literal["nominal", "ordinal"]) -> dict[str, Any]:
    several = (answers != MISSING).sum(0) > 1
    numbers = {
        "observed": observed(answers),
        "cohen": cohen_kappa(answers[0], answers[1]) if len(answers) == 2 else None,
        "fleiss": fleiss_kappa(answers),
        "alpha": krippendorff_alpha(answers, level),
    }
    rounded = {name: None if value is None else round(value, 4) for name, value in numbers.items()}
    return {"label": label, "what": what, "rows": int(several.sum()), **rounded}
