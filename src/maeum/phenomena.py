"""Sentences that are hard in Korean, written for this: contrast, negation, sarcasm, comparison, conditionals, reversals.

``sample:contradictions`` holds them, with aspects, grades and, where the whole sentence leans one way, its polarity. What is
measured is as coarse as it has to be to serve every task: is the sentiment on the right side?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum._tables import text_table
from maeum.analyzer import Analyzer
from maeum.data import Dataset
from maeum.errors import TaskMismatch
from maeum.formats import read
from maeum.models.base import Grades
from maeum.task import Task, builtin_task
from maeum.taxonomy import find_map

PHENOMENA: dict[str, tuple[str, str]] = {
    "contrast": ("대조", "contrast"),
    "negation": ("부정", "negation"),
    "sarcasm": ("반어", "sarcasm"),
    "comparison": ("비교", "comparison"),
    "conditional": ("조건", "conditional"),
    "reversal": ("뒤집힘", "reversal"),
}
SOURCE = "sample:contradictions"


@dataclass(frozen=True)
class PhenomenaReport:
    """How often the sentiment is on the right side, by phenomenon."""

    measured: Literal["aspects", "texts"]
    """Grades of the aspects that are given (a grade in the middle is wrong), or whole texts by their polarity."""
    results: Mapping[str, Mapping[str, float]]
    """Phenomenon → ``count``, and ``right`` (0 to 1); for aspects also ``found``, the share of them that the model finds."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"measured": self.measured, "results": {name: dict(values) for name, values in self.results.items()}}

    def summary(self) -> str:
        """A text table."""
        heads = [say("현상", "phenomenon"), say("수", "count"), say("방향이 맞음", "right side")]
        rows = []
        for name, values in self.results.items():
            shown = say(*PHENOMENA[name]) if name in PHENOMENA else say("모두", "all")
            rows.append([shown, f"{values['count']:.0f}", f"{values['right']:.1%}"])
            if "found" in values:
                rows[-1].append(f"{values['found']:.1%}")
        return text_table([*heads, say("속성을 찾음", "aspect found")][: len(rows[0])], rows)


def phenomena_test(analyzer: Analyzer) -> PhenomenaReport | None:
    """Ask a model about the sentences; None where its labels say nothing about sentiment.

    Models of an aspect task are asked if its aspects are those of the sentences; others if their labels map to
    negative and positive.
    """
    data = read(SOURCE)
    if isinstance(analyzer.predictor, Grades):
        return _aspects(analyzer, data) if analyzer.task.keys == data.task.keys else None
    try:
        label_map = find_map(analyzer.task, builtin_task("sentiment"))
    except TaskMismatch:
        return None
    leaning = Dataset(data.task, (e for e in data if e.meta["polarity"] != "mixed"), source=data.source)
    if analyzer.task.targeted or not len(leaning):
        return None
    proba = label_map.map_proba(analyzer.predict_proba(leaning))
    keys = label_map.target.keys
    positive = proba[:, keys.index("긍정")] > proba[:, keys.index("부정")]
    right = positive == np.array([e.meta["polarity"] == "positive" for e in leaning])
    names = [str(example.meta["phenomenon"]) for example in leaning]
    return PhenomenaReport("texts", _by_phenomenon(names, {"right": right}))


def _aspects(analyzer: Analyzer, data: Dataset) -> PhenomenaReport:
    assert isinstance(analyzer.predictor, Grades)
    inputs = [analyzer.prep.prepare_input(item) for item in data.inputs]
    on = analyzer.decide(analyzer.predict_proba(data))
    graded = analyzer.predictor.grade(inputs, data.y)
    names, right, found = [], [], []
    for row, (example, mine) in enumerate(zip(data, graded, strict=True)):
        given = {item.aspect: item.sentiment for item in example.aspects or ()}
        for item in mine:
            names.append(str(example.meta["phenomenon"]))
            sides = (side(data.task, given[item["aspect"]]), side(analyzer.task, item["sentiment"]))
            # what people graded in the middle has no side to be on
            right.append(sides[0] == sides[1])
            found.append(bool(on[row, data.task.keys.index(item["aspect"])]))
    return PhenomenaReport("aspects", _by_phenomenon(names, {"right": np.array(right), "found": np.array(found)}))


def side(task: Task, grade: str) -> int:
    """−1, 0 or 1: whether a grade lies below, in or above the middle of the task's grades."""
    keys = task.sentiment_keys
    return int(np.sign(2 * keys.index(grade) - (len(keys) - 1)))


def _by_phenomenon(names: list[str], columns: Mapping[str, NDArray[np.bool_]]) -> dict[str, dict[str, float]]:
    of = np.array(names)
    groups = {name: of == name for name in PHENOMENA} | {"all": np.ones(len(of), bool)}
    return {
        name: {"count": float(rows.sum())} | {column: float(values[rows].mean()) for column, values in columns.items()}
        for name, rows in groups.items()
        if rows.any()
    }
