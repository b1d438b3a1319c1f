"""What models and predictions files have in common when they vote: rows to measure on, weights, standings, fixed rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.data import Dataset
from maeum.errors import TaskMismatch, UsageError
from maeum.metrics import decision_metrics
from maeum.models.base import Labels, Proba
from maeum.task import Task
from maeum.thresholds import Thresholds
from maeum.voting.rules import POOLS, Pool, Vote, choose_pool, fit_weights, log_loss, simplex

Empty = Literal["none", "argmax", "auto"]

MIN_ROWS = 50
"""Fewer labelled rows than this fit no weights."""


@dataclass(frozen=True)
class Weights:
    """The members' weights and where they come from."""

    values: tuple[float, ...]
    """One per member, sum 1."""
    how: Literal["fitted", "given", "equal"]
    why: str
    """In words."""
    pool: Pool = "mean"
    """How a soft vote joins probabilities."""

    def sentence(self) -> str:
        """How the weights came about."""
        head = {"fitted": ("맞춤", "fitted"), "given": ("직접 정함", "set by hand"), "equal": ("같음", "equal")}
        # the weights are those of the mean of probabilities, whichever of the two is then taken with them
        joined = (
            say("; 이 가중치로 로그 오즈의 평균", "; with them the mean of log-odds") if self.pool == "logit" else ""
        )
        return say("가중치: ", "weights: ") + say(*head[self.how]) + (f", {self.why}" if self.why else "") + joined

    def idle(self, names: Sequence[str]) -> list[str]:
        """A note on the members that have no weight, if there are any."""
        idle = ", ".join(name for name, weight in zip(names, self.values, strict=True) if weight == 0)
        if not idle:
            return []
        return [
            say(
                f"가중치가 0인 모델: {idle}. 빼고 만들어도 답이 같고 폴더가 작아집니다.",
                f"of weight 0: {idle}; an ensemble without them answers the same and is smaller",
            )
        ]


@dataclass(frozen=True)
class MemberScore:
    """What a member is worth on the rows."""

    name: str
    kind: str
    weight: float
    metrics: Mapping[str, float]
    """``decision_metrics`` and ``log_loss``; empty without rows."""


@dataclass(frozen=True)
class Standing:
    """How a vote did beside its members."""

    weights: Weights
    members: tuple[MemberScore, ...]
    score: Mapping[str, float]
    """The vote's own metrics on the same rows; empty without rows."""
    measured_on: str
    """The labelled rows, in words; empty if there were none."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The standing as plain data, without the model or the predictions."""
        return {
            "weights": asdict(self.weights),
            "members": [asdict(member) for member in self.members],
            "metrics": dict(self.score),
            "rows": self.measured_on,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Table:
    """Labelled rows with what every member says about them."""

    ids: tuple[str, ...]
    y: Labels
    probas: tuple[Proba, ...]
    """Each member's calibrated probabilities (n, k)."""
    ballots: tuple[Labels, ...]
    """Each member's decisions (n, k)."""
    fold: NDArray[np.int64]
    words: str
    """Which rows, for people."""
    tuned_on: str
    """Which rows, for the record in ``thresholds.json``."""


def check_options(
    count: int,
    vote: Vote,
    weights: Sequence[float] | None,
    *,
    equal: bool,
    objective: str | None,
    pool: str = "auto",
) -> None:
    """Refuse options that contradict each other, before anything is opened or computed.

    Raises:
        UsageError: they do, or there are no members.
    """
    if weights is not None and equal:
        raise UsageError("--weights와 --equal은 함께 쓸 수 없습니다.", "--weights and --equal exclude each other")
    if vote == "hard" and objective is not None:
        raise UsageError(
            "hard 투표는 멤버들의 기준값으로 정하므로 --objective가 없습니다. soft 투표에 쓰거나 빼세요.",
            "a hard vote is decided by the members' own thresholds, so it takes no --objective; use it with --vote soft",
        )
    if pool not in ("auto", *POOLS) or (vote == "hard" and pool != "auto"):
        raise UsageError(
            f"--pool은 soft 투표에서 auto, mean, logit 가운데 하나입니다: {pool}",
            f"--pool is auto, mean or logit, and for soft votes; got {pool}",
        )
    simplex(weights, count)


def labelled(data: Dataset, task: Task) -> Dataset:
    """The labelled rows of ``--data``.

    Raises:
        TaskMismatch: they have other labels than the members.
        UsageError: there are none.
    """
    if data.task.keys != task.keys:
        raise TaskMismatch(
            f"--data의 과제 '{data.task.name}'은(는) 모델의 과제 '{task.name}'과(와) 라벨이 다릅니다.",
            f"the rows of --data have the labels of task '{data.task.name}', the models those of '{task.name}'",
        )
    rows = data.labelled()
    if not len(rows):
        raise UsageError("--data에 라벨이 달린 행이 없습니다.", "no row of --data is labelled")
    return rows


def words(rows: Dataset) -> tuple[str, str]:
    """Labelled rows for people, and for the record: with the fingerprint by which ``evaluate`` knows them again."""
    name, count = rows.source or "rows", len(rows)
    people = f"{name} ({say(f'{count}행', f'{count} rows')})"
    return people, f"{name}: {count} rows, fingerprint {rows.fingerprint}"


def weigh(
    task: Task,
    vote: Vote,
    count: int,
    table: Table | None,
    why: str,
    *,
    given: Sequence[float] | None,
    equal: bool,
    pool: Pool | Literal["auto"] = "auto",
) -> Weights:
    """The weights: as given, equal, or fitted on the table; and how a soft vote joins probabilities.

    Args:
        why: the reason if there is no table.
        pool: ``auto``: what has the least log loss on the table, the mean without one.

    Raises:
        UsageError: too few rows to fit on.
    """
    found = _weights(task, vote, count, table, why, given=given, equal=equal)
    if pool == "auto":
        asked = vote == "soft" and table is not None and len(table.y)
        pool = choose_pool(table.y, table.probas, found.values, task) if asked and table is not None else "mean"
    return replace(found, pool=pool)


def _weights(
    task: Task, vote: Vote, count: int, table: Table | None, why: str, *, given: Sequence[float] | None, equal: bool
) -> Weights:
    if given is not None:
        return Weights(simplex(given, count), "given", "")
    if equal:
        return Weights(simplex(None, count), "equal", say("그렇게 골랐습니다", "as asked for"))
    if vote == "hard":
        one = say("hard 투표는 한 모델이 한 표입니다", "a hard vote counts every member once")
        return Weights(simplex(None, count), "equal", one)
    if table is None:
        return Weights(simplex(None, count), "equal", say(f"이유: {why}", f"because {why}"))
    if len(table.y) < MIN_ROWS:
        raise UsageError(
            f"가중치를 맞추려면 라벨이 달린 행이 적어도 {MIN_ROWS}개 필요한데 {len(table.y)}개입니다. --equal이나 --weights를 쓰세요.",
            f"fitting weights needs at least {MIN_ROWS} labelled rows, got {len(table.y)}; use --equal or --weights",
        )
    least = say(f"{table.words}의 로그 손실을 가장 작게", f"least log loss on {table.words}")
    return Weights(fit_weights(table.y, table.probas, task), "fitted", least)


def metrics(task: Task, y: Labels, proba: Proba, decided: Labels) -> dict[str, float]:
    """What members and the vote are compared by."""
    return {**decision_metrics(y, decided), "log_loss": log_loss(y, proba, task)}


def member_scores(
    task: Task, table: Table | None, weights: Weights, names: Sequence[str], kinds: Sequence[str]
) -> tuple[MemberScore, ...]:
    """Each member by itself on the table's rows."""
    found: list[dict[str, float]] = [{} for _ in names]
    if table is not None:
        found = [metrics(task, table.y, p, on) for p, on in zip(table.probas, table.ballots, strict=True)]
    return tuple(map(MemberScore, names, kinds, weights.values, found))


def fixed_rule(task: Task, empty: Empty, *, objective: str = "none", tuned_on: str = "") -> Thresholds:
    """One half for every label (multiclass: the most probable), whatever the rows say."""
    rule = replace(Thresholds.default(task), objective=objective, tuned_on=tuned_on)
    return replace(rule, empty="argmax") if empty == "argmax" and not rule.is_argmax else rule


def votes_rule(task: Task, empty: Empty, rules: Sequence[Thresholds] = ()) -> Thresholds:
    """The fixed rule of a hard vote; what the members' own thresholds were tuned on stays on record."""
    tuned = "; ".join(dict.fromkeys(rule.tuned_on for rule in rules if rule.tuned_on))
    record = "nothing: the members decide by their own thresholds" + (f", tuned on {tuned}" if tuned else "")
    return fixed_rule(task, empty, objective="votes", tuned_on=record)
