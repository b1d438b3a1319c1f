"""Scores to entries of the work list, each with its reason in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from maeum._lang import language, say
from maeum.auditing.findings import ABSENT, PRESENT, Kind, Suspect
from maeum.auditing.probing import Probed
from maeum.data import Dataset, Input
from maeum.reviews.stages import described, grades
from maeum.task import Task

Floats = NDArray[np.float64]


def cells(
    probed: Probed, errors: Floats, twins: Sequence[Sequence[int]], *, floor: float, most: int
) -> tuple[list[Suspect], int]:
    """The likeliest wrong cells (n, k) of a multilabel question, and how many reach the floor."""
    y, proba, k = probed.y, probed.proba, probed.y.shape[1]
    usual = _usual(y, proba)
    same = {row: group for group in twins for row in group}
    flat = errors.ravel()
    order = _ranked(flat, most, floor)
    found = []
    for cell in order:
        row, label = divmod(int(cell), k)
        given = bool(y[row, label])
        kind: Kind = "wrong" if given else "missing"
        reason = _cell_reason(probed, row, label, float(usual[int(given), label]))
        reason += _twin_reason(probed, same.get(row, ()), row, label)
        values = (PRESENT, ABSENT) if given else (ABSENT, PRESENT)
        found.append(Suspect(row, probed.rows.task.keys[label], kind, *values, float(flat[cell]), reason))
    return found, int((flat >= floor).sum())


def classes(
    probed: Probed,
    errors: Floats,
    other: NDArray[np.int64],
    twins: Sequence[Sequence[int]],
    *,
    floor: float,
    most: int,
) -> tuple[list[Suspect], int]:
    """The likeliest wrong rows of a multiclass question, and how many reach the floor."""
    keys, given = probed.rows.task.keys, probed.y.argmax(1)
    same = {row: group for group in twins for row in group}
    found = []
    for row in _ranked(errors, most, floor).tolist():
        now, then = int(given[row]), int(other[row])
        names = [_name(probed.rows.task, label) for label in (now, then)]
        p, q = (f"{probed.proba[row, label]:.0%}" for label in (now, then))
        reason = say(f"모델: '{names[0]}' {p}, '{names[1]}' {q}", f"the model: '{names[0]}' {p}, '{names[1]}' {q}")
        twin = next((t for t in same.get(row, ()) if given[t] != now), None)
        if twin is not None:
            name, label = probed.rows[twin].id, _name(probed.rows.task, int(given[twin]))
            reason += say(f". 같은 글 '{name}'은(는) '{label}'", f"; the same text '{name}' is '{label}'")
        found.append(Suspect(row, keys[now], "class", keys[now], keys[then], float(errors[row]), reason))
    return found, int((errors >= floor).sum())


def graded(data: Dataset, suspects: Iterable[Suspect], sentiment: Probed | None) -> list[Suspect]:
    """Suspects about aspects with grades in the place of ``yes``; a missing aspect's grade is what a model would give."""
    made, missing = [], []
    for item in suspects:
        if item.kind == "wrong":
            grade = grades(data[item.row].aspects or ())[item.label]
            made.append(_with(item, given=grade))
        else:
            missing.append(item)
    if not missing:
        return made
    suggested = [""] * len(missing)
    if sentiment is not None and sentiment.analyzer is not None:
        inputs = [Input(data[item.row].text, aspect=described(data.task, item.label)) for item in missing]
        best = sentiment.analyzer.predict_proba(inputs).argmax(1)
        suggested = [data.task.sentiment_keys[at] for at in best]
    made += [_with(item, suggested=grade) for item, grade in zip(missing, suggested, strict=True)]
    return made


def grade_suspects(data: Dataset, suspects: Iterable[Suspect]) -> list[Suspect]:
    """Suspects among (row, aspect) questions as suspects of the rows."""
    places = [(row, aspect) for row, example in enumerate(data) for aspect in grades(example.aspects or ())]
    return [
        Suspect(places[item.row][0], places[item.row][1], "grade", item.given, item.suggested, item.score, item.reason)
        for item in suspects
    ]


def _with(item: Suspect, *, given: str | None = None, suggested: str | None = None) -> Suspect:
    given = item.given if given is None else given
    return Suspect(
        item.row,
        item.label,
        item.kind,
        given,
        item.suggested if suggested is None else suggested,
        item.score,
        item.reason,
    )


def _ranked(errors: Floats, most: int, floor: float) -> NDArray[np.int64]:
    """The highest ``most`` at or above the floor, the highest first; of equals, the earlier row."""
    above = np.flatnonzero(errors >= floor)
    return above[np.argsort(-errors[above], kind="stable")][:most]


def _usual(y: NDArray[np.uint8], proba: NDArray[np.float32]) -> Floats:
    """(2, k) the middle probability of a label among rows not given it, and given it."""
    out = np.zeros((2, y.shape[1]))
    for label in range(y.shape[1]):
        for given in (0, 1):
            part = proba[y[:, label] == given, label]
            out[given, label] = np.median(part) if len(part) else np.nan
    return out


def _cell_reason(probed: Probed, row: int, label: int, usual: float) -> str:
    """The model's probability beside the usual one, and the label it sees in place of this one."""
    task, y, proba, decided = probed.rows.task, probed.y, probed.proba, probed.decided
    p = float(proba[row, label])
    if y[row, label]:
        text = say(
            f"모델은 {p:.0%}로 봅니다(이 라벨이 달린 행은 보통 {usual:.0%})",
            f"the model says {p:.0%} (rows given this label: usually {usual:.0%})",
        )
        others = np.flatnonzero((decided[row] == 1) & (y[row] == 0))
        word = say("대신", "rather")
    else:
        text = say(
            f"모델은 {p:.0%}로 봅니다(이 라벨이 없는 행은 보통 {usual:.0%})",
            f"the model says {p:.0%} (rows without this label: usually {usual:.0%})",
        )
        others = np.flatnonzero((decided[row] == 0) & (y[row] == 1))
        word = say("달린", "given")
    if len(others):
        best = others[np.argmax(proba[row, others])] if y[row, label] else others[np.argmin(proba[row, others])]
        text += f". {word} '{_name(task, int(best))}' {proba[row, best]:.0%}"
    return text


def _twin_reason(probed: Probed, group: Sequence[int], row: int, label: int) -> str:
    twin = next((t for t in group if probed.y[t, label] != probed.y[row, label]), None)
    if twin is None:
        return ""
    name = probed.rows[twin].id
    if probed.y[twin, label]:
        return say(f". 같은 글 '{name}'에는 달려 있습니다", f"; the same text '{name}' has it")
    return say(f". 같은 글 '{name}'에는 없습니다", f"; the same text '{name}' does not have it")


def _name(task: Task, label: int) -> str:
    return task.labels[label].name(language())
