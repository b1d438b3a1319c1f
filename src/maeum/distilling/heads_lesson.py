"""What a student of several heads learns: the texts and labelled rows, and the teacher's word on them for all tasks.

Shapes: n texts, K labels of all tasks side by side, in the column order of the student's trunk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.distilling.pool import Pool, collect, split
from maeum.distilling.settings import DistillSettings
from maeum.errors import TaskMismatch
from maeum.experiment import prepare_all
from maeum.heads import HeadsSettings, Plan
from maeum.heads.training import Part, joined_labels, pass_counts, split_plan
from maeum.models.base import Labels, Proba
from maeum.models.blocks import Blocks, joined_task
from maeum.splits import duplicate_key
from maeum.task import Task
from maeum.text import TextPrep

MOST_WATCHED = 500
"""Held-out rows of each source of a plan that are looked at along the way; all of them set thresholds afterwards."""


class JoinedTeacher:
    """All heads of a folder as one model with the labels of all of them.

    Args:
        heads: by the names of their tasks.
        tasks: in column order.
    """

    def __init__(self, heads: Mapping[str, Analyzer], tasks: Sequence[Task]) -> None:
        self.task = joined_task(tasks)
        self.blocks = Blocks.of(tasks)
        self.heads = {task.name: heads[task.name] for task in tasks}

    def predict_proba(self, data: Sequence[Input]) -> Proba:
        """Calibrated probabilities (n, K); the heads share a trunk, which reads a text once for all of them."""
        return np.concatenate([head.predict_proba(data) for head in self.heads.values()], axis=1)

    def decide(self, proba: Proba) -> Labels:
        """Decisions (n, K), each head by its own thresholds."""
        return np.concatenate(
            [head.decide(proba[:, self.blocks[name].columns]) for name, head in self.heads.items()], axis=1
        )


@dataclass(frozen=True)
class Rows:
    """Texts, and what is known of them."""

    pool: Pool
    times: NDArray[np.int64]
    """(n,) how often a row is seen in an epoch."""
    plan: Plan | None
    parts: list[Part] | None
    """The sources of the plan, split."""


def gather_rows(
    texts: str,
    reading: Mapping[str, Any],
    prep: TextPrep,
    tasks: Sequence[Task],
    plan: Plan | None,
    split_seed: int,
    settings: DistillSettings,
) -> Rows:
    """The plan's training rows (as often as it says) and all texts that it neither holds out nor judges by.

    With α = 0 only the texts of the plan's training rows are learnt from, not their labels.

    Raises:
        TaskMismatch: the plan has other heads.
        DataError: too few texts are left.
    """
    if plan is None:
        pool = collect(texts, reading, prep, known=(), judging=frozenset(), limit=settings.limit)
        return Rows(pool, np.ones(len(pool), np.int64), None, None)
    wanted, found = ({task.name: task.fingerprint for task in each} for each in (tasks, plan.heads))
    if wanted != found:
        raise TaskMismatch(
            f"계획의 머리({', '.join(found)})가 교사의 머리({', '.join(wanted)})와 다르거나 라벨이 다릅니다. 모든 머리의 라벨이 "
            "있어야 기준값을 맞춥니다.",
            f"the plan's heads ({', '.join(found)}) are not the teacher's ({', '.join(wanted)}), or have other labels; "
            "thresholds need labels of every head",
        )
    parts = split_plan(plan, HeadsSettings(base="", split_seed=split_seed))
    known: list[tuple[Input, NDArray[Any], str]] = []
    seen: dict[str, int] = {}
    rng = np.random.default_rng(settings.seed)
    for number, part in enumerate(parts):
        labels = joined_labels(part.source, part.train, tasks).astype(np.int8)
        times = pass_counts(len(part.train), part.source.passes, rng)
        for row in np.flatnonzero(times).tolist():
            name = f"{number}/{row}"
            known.append((part.train.examples[row].input, labels[row], name))
            seen[name] = int(times[row])
    out = {duplicate_key(text) for part in parts for text in part.held.texts}
    out |= {duplicate_key(text) for part in parts if part.judge is not None for text in part.judge.texts}
    pool = collect(texts, reading, prep, known=known, judging=out, limit=settings.limit)
    return Rows(pool, np.array([seen.get(name, 1) for name in pool.ids], np.int64), plan, parts)


@dataclass(frozen=True)
class Lesson:
    """What the student is to learn."""

    rows: Rows
    teacher: JoinedTeacher
    soft: Proba
    """(n, K) the teacher's probabilities."""
    decided: Labels
    """(n, K) the teacher's decisions."""
    train: NDArray[np.int64]
    """Rows of the pool that are learnt from."""
    held: NDArray[np.int64]
    """Rows of the pool that set the thresholds; none where the plan has its own."""

    def watched(self, prep: TextPrep) -> tuple[list[Input], NDArray[Any]]:
        """What to look at while the student learns: prepared inputs (m) it does not learn from, and labels (m, K).

        The teacher's decisions on the held-out texts; with a plan its labels of some held-out rows of every source.
        """
        tasks = [head.task for head in self.teacher.heads.values()]
        if self.rows.parts is None:
            texts = [self.rows.pool.inputs[row] for row in self.held.tolist()]
            return prepare_all(prep, texts), self.decided[self.held]
        inputs: list[Input] = []
        y: list[NDArray[Any]] = []
        for part in self.rows.parts:
            some = part.held.select(range(0, len(part.held), 1 + len(part.held) // MOST_WATCHED))
            inputs += some.inputs
            y.append(joined_labels(part.source, some, tasks))
        return prepare_all(prep, inputs), np.concatenate(y)

    def digest(self) -> str:
        """Hash of all that is learnt."""
        found = hashlib.sha256(self.rows.pool.digest().encode())
        arrays = (self.soft, self.decided, self.train, self.rows.times, self.rows.pool.hard(len(self.teacher.task)))
        for array in arrays:
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def lesson_of(rows: Rows, teacher: JoinedTeacher, soft: Proba, settings: DistillSettings) -> Lesson:
    """Rows and what the teacher says of them; without a plan a tenth of the texts is held out."""
    decided = teacher.decide(soft)
    if rows.parts is not None:
        every = np.arange(len(rows.pool))
        return Lesson(rows, teacher, soft, decided, every, every[:0])
    parts = split(rows.pool, decided, alpha=0.0, seed=settings.seed)
    return Lesson(rows, teacher, soft, decided, parts.train, parts.held)
