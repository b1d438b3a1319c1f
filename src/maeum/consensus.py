"""One answer out of several annotators': the rule, and what it cannot decide (how far they agree: ``maeum.annotating``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from maeum.data import AspectLabel, Target
from maeum.errors import UsageError
from maeum.task import Task

Rule = Literal["majority", "all", "any", "first"]
RULES: Mapping[str, tuple[str, str]] = {
    "majority": (
        "절반보다 많은 사람이 단 라벨(동수이면 달지 않음; 하나만 고르는 과제에서는 동수이면 미정)",
        "labels that more than half gave (a tie gives none; where one label is chosen, a tie stays open)",
    ),
    "all": (
        "모두가 단 라벨(하나만 고르는 과제에서는 모두 같아야 함)",
        "labels that all gave (where one is chosen, all the same)",
    ),
    "any": ("한 사람이라도 단 라벨", "labels that anybody gave"),
    "first": ("가장 먼저 단 사람의 라벨", "labels of whoever labelled first"),
}
"""Rule → what it does, in Korean and English."""


class Said(Protocol):
    """What one annotator said of a row: ``labels`` or ``aspects``, as the task has it."""

    @property
    def annotator(self) -> str:
        """Who."""
        ...

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Label keys; in multiclass tasks exactly one."""
        ...

    @property
    def aspects(self) -> tuple[AspectLabel, ...] | None:
        """Aspects, each once."""
        ...

    @property
    def target(self) -> Target | None:
        """The target that was marked; None where the row's own stays."""
        ...


@dataclass(frozen=True)
class Conflict:
    """Something about a row that annotators do not agree on."""

    row: str
    what: str
    """A label or an aspect; ``target`` for the span; nothing where one label is chosen."""
    said: Mapping[str, str]
    """Annotator → ``O``/``X``, a label, or a grade (``X``: does not mention it)."""
    decided: str
    """What the rule made of it; empty: left open."""


@dataclass(frozen=True)
class Decided:
    """The answer of a row, or None where the rule leaves it open."""

    labels: tuple[str, ...] | None
    aspects: tuple[AspectLabel, ...] | None
    target: Target | None
    conflicts: tuple[Conflict, ...]


def check_rule(rule: str, task: Task) -> None:
    """Refuse a rule that a task cannot have.

    Raises:
        UsageError: an unknown rule, or ``any`` where only one label may stand.
    """
    if rule not in get_args(Rule):
        names = ", ".join(RULES)
        raise UsageError(
            f"합의 규칙은 {names} 가운데 하나입니다: {rule}", f"a consensus rule is one of {names}, got {rule}"
        )
    if rule == "any" and task.kind == "multiclass":
        raise UsageError(
            "라벨을 하나만 고르는 과제에는 any를 쓸 수 없습니다. majority, all, first를 쓰세요.",
            "'any' cannot decide where only one label may stand; use majority, all or first",
        )


def decide(row: str, said: Sequence[Said], rule: Rule, task: Task) -> Decided:
    """The answer of one row from one annotation of each annotator, the earliest first (at least one)."""
    target, conflicts = _target(row, said, rule)
    if task.kind == "multiclass":
        votes = [(item.labels or ("",))[0] for item in said]
        won = _one(votes, rule)
        if len(set(votes)) > 1:
            conflicts.append(Conflict(row, "", _by_name(said, lambda item: (item.labels or ("",))[0]), won or ""))
        return Decided(None if won is None else (won,), None, target, tuple(conflicts))
    if task.kind == "aspect":
        aspects, more, is_open = _aspects(row, said, rule, task)
        return Decided(None, None if is_open else aspects, target, (*conflicts, *more))
    labels = []
    for key in task.keys:
        votes_on = [key in (item.labels or ()) for item in said]
        on = _yes(votes_on, rule)
        if on:
            labels.append(key)
        if len(set(votes_on)) > 1:
            told = {item.annotator: "O" if key in (item.labels or ()) else "X" for item in said}
            conflicts.append(Conflict(row, key, told, "O" if on else "X"))
    return Decided(tuple(labels), None, target, tuple(conflicts))


def _aspects(
    row: str, said: Sequence[Said], rule: Rule, task: Task
) -> tuple[tuple[AspectLabel, ...], list[Conflict], bool]:
    """Aspects, conflicts, and whether a grade could not be settled."""
    given = [{item.aspect: item for item in one.aspects or ()} for one in said]
    found, conflicts, is_open = [], [], False
    for key in task.keys:
        grades = [one[key].sentiment for one in given if key in one]
        on = bool(grades) and _yes([key in one for one in given], rule)
        first = given[0].get(key)
        grade = (first.sentiment if first else None) if rule == "first" else _grade(grades, rule)
        if on and grade is not None:
            found.append(next(one[key] for one in given if key in one and one[key].sentiment == grade))
        is_open |= on and grade is None
        if len({one[key].sentiment if key in one else "X" for one in given}) > 1:
            told = {
                who.annotator: one[key].sentiment if key in one else "X" for who, one in zip(said, given, strict=True)
            }
            conflicts.append(Conflict(row, key, told, (grade or "") if on else "X"))
    return tuple(found), conflicts, is_open


def _target(row: str, said: Sequence[Said], rule: Rule) -> tuple[Target | None, list[Conflict]]:
    marked = [item.target for item in said if item.target is not None]
    if not marked:
        return None, []
    won = marked[0] if len(set(marked)) == 1 else _one(marked, "majority" if rule == "any" else rule)
    if len(set(marked)) == 1:
        return won, []
    told = _by_name(said, lambda item: item.target.form if item.target else "X")
    return won, [Conflict(row, "target", told, won.form if won else "")]


def _one(votes: Sequence[Any], rule: Rule) -> Any:
    if rule == "first":
        return votes[0]
    value, count = Counter(votes).most_common(1)[0]
    enough = count == len(votes) if rule == "all" else 2 * count > len(votes)
    return value if enough else None


def _grade(grades: Sequence[str], rule: Rule) -> str | None:
    """The grade of those who gave one: more than half of them, or all of them."""
    found: str | None = _one(grades, "all" if rule == "all" else "majority") if grades else None
    return found


def _yes(votes: Sequence[bool], rule: Rule) -> bool:
    yes = sum(votes)
    return {"majority": 2 * yes > len(votes), "all": yes == len(votes), "any": yes > 0, "first": votes[0]}[rule]


def _by_name(said: Sequence[Said], word: Callable[[Said], str]) -> dict[str, str]:
    return {item.annotator: word(item) for item in said}
