"""Several tasks side by side as the columns of one model: which columns are whose, and what is not labelled.

A trunk with several heads gives logits (n, K) for the labels of all its tasks, block by block. A training row has
labels for some blocks only; the cells of the others hold ``ABSENT`` and take no part in the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.errors import UsageError
from maeum.task import Kind, Label, Task

Floats = NDArray[np.float32]

ABSENT = -1.0
"""In a matrix of labels: this row is not labelled for this task."""
JOINT = "/"


@dataclass(frozen=True)
class Block:
    """The columns of one task."""

    name: str
    """The task's name."""
    kind: Kind
    start: int
    stop: int
    """Columns ``start`` to ``stop`` (exclusive)."""

    @property
    def columns(self) -> slice:
        """For indexing (n, K)."""
        return slice(self.start, self.stop)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "kind": self.kind, "start": self.start, "stop": self.stop}


@dataclass(frozen=True)
class Blocks:
    """Blocks in column order; they cover all columns."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> Blocks:
        """One block per task.

        Raises:
            UsageError: two tasks share a name, or a task has no columns of its own (aspect tasks).
        """
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"과제 '{twice}'이(가) 두 번 있습니다.", f"the task '{twice}' occurs twice")
        blocks: list[Block] = []
        for task in tasks:
            if task.kind == "aspect":
                raise UsageError(
                    f"과제 '{task.name}'은(는) 속성(aspect) 과제라 머리 하나로 배울 수 없습니다. 'maeum train DATA'로 따로 학습하세요.",
                    f"'{task.name}' is an aspect task, which one head cannot learn; train it on its own with 'maeum train DATA'",
                )
            start = blocks[-1].stop if blocks else 0
            blocks.append(Block(task.name, task.kind, start, start + len(task)))
        return cls(tuple(blocks))

    @classmethod
    def from_list(cls, data: Sequence[Mapping[str, Any]]) -> Blocks:
        """What ``to_list`` gave."""
        return cls(tuple(Block(**item) for item in data))

    def to_list(self) -> list[dict[str, Any]]:
        """Plain data."""
        return [block.to_dict() for block in self.blocks]

    def __len__(self) -> int:
        """Columns in all."""
        return self.blocks[-1].stop

    def __getitem__(self, name: str) -> Block:
        return next(block for block in self.blocks if block.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Task names in column order."""
        return tuple(block.name for block in self.blocks)


def joined_task(tasks: Sequence[Task]) -> Task:
    """All labels of several tasks as those of one (``kote/감동`` …): what the network itself is built for."""
    labels = tuple(
        Label(f"{task.name}{JOINT}{label.key}", f"{task.name} {label.name('ko')}", f"{task.name} {label.name('en')}")
        for task in tasks
        for label in task.labels
    )
    return Task("+".join(task.name for task in tasks), "multilabel", labels)
