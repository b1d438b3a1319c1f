"""Labelled text: ``Input`` (what a model sees), ``Example`` (a row), ``Dataset`` (rows of one task).

All are immutable. Offsets count code points of the raw text and ``end`` is exclusive.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from maeum._files import canonical_json
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.task import Task

_NO_META: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """The span the emotion is about: ``text[begin:end] == form``."""

    form: str
    begin: int
    end: int

    def to_dict(self) -> dict[str, Any]:
        """The target as it stands in files: ours and the NIKL corpora's."""
        return {"form": self.form, "begin": self.begin, "end": self.end}


@dataclass(frozen=True, slots=True)
class Input:
    """What a model sees: a text and, where the task asks for one, a target span or an aspect key."""

    text: str
    target: Target | None = None
    aspect: str | None = None


@dataclass(frozen=True, slots=True)
class AspectLabel:
    """One aspect of a review and its sentiment; ``begin``/``end`` mark the words that show it, if known."""

    aspect: str
    sentiment: str
    begin: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One row of data."""

    id: str
    text: str
    target: Target | None = None
    labels: tuple[str, ...] | None = None
    """Label keys in task order; ``None`` = not labelled, ``()`` = none of them applies."""
    aspects: tuple[AspectLabel, ...] | None = None
    """Aspect tasks only; ``None`` = not labelled."""
    meta: Mapping[str, Any] = field(default_factory=lambda: _NO_META, compare=False)
    """Whatever else the row carried; copied through, never read by a model."""
    aspect: str | None = None
    """What the labels are about, where they are the grade of one aspect of the text."""

    @property
    def input(self) -> Input:
        """What a model sees of this row."""
        return Input(self.text, self.target, self.aspect)

    def to_dict(self) -> dict[str, Any]:
        """The row in our JSONL form."""
        target = self.target
        row: dict[str, Any] = {
            "id": self.id,
            "text": self.text,
            "target": target and target.to_dict(),
        }
        if self.aspects is None:
            row["labels"] = None if self.labels is None else list(self.labels)
        else:
            row["aspects"] = [_aspect_dict(item) for item in self.aspects]
        if self.aspect is not None:
            row["aspect"] = self.aspect
        if self.meta:
            row["meta"] = dict(self.meta)
        return row


class Dataset(Sequence[Example]):
    """Rows of one task, in order. Slicing and ``select`` keep ids and task.

    Raises:
        DataError: two rows share an id.
    """

    def __init__(self, task: Task, examples: Iterable[Example], *, source: str = "") -> None:
        self.task = task
        self.examples = tuple(examples)
        self.source = source
        """Where the rows came from, for reports."""
        seen: set[str] = set()
        for example in self.examples:
            if example.id in seen:
                raise DataError(
                    f"id '{example.id}'이(가) 두 번 나옵니다.", f"id '{example.id}' occurs twice", path=source or None
                )
            seen.add(example.id)

    def __len__(self) -> int:
        return len(self.examples)

    @overload
    def __getitem__(self, item: int) -> Example: ...
    @overload
    def __getitem__(self, item: slice) -> Dataset: ...
    def __getitem__(self, item: int | slice) -> Example | Dataset:
        if isinstance(item, slice):
            return Dataset(self.task, self.examples[item], source=self.source)
        return self.examples[item]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __repr__(self) -> str:
        return f"Dataset({self.task.name!r}, {len(self)} rows)"

    def select(self, rows: Iterable[int]) -> Dataset:
        """The rows with these indices, in the order given."""
        return Dataset(self.task, (self.examples[int(row)] for row in rows), source=self.source)

    @property
    def ids(self) -> list[str]:
        """Row ids, in order."""
        return [example.id for example in self.examples]

    @property
    def texts(self) -> list[str]:
        """Raw texts, in order."""
        return [example.text for example in self.examples]

    @property
    def inputs(self) -> list[Input]:
        """What a model sees, in order (raw text; ``Analyzer`` prepares it)."""
        return [example.input for example in self.examples]

    @property
    def is_labelled(self) -> bool:
        """Whether every row has labels (or aspects, in an aspect task)."""
        return bool(self.examples) and all(_labels_of(example) is not None for example in self.examples)

    def labelled(self) -> Dataset:
        """The rows that have labels."""
        return Dataset(self.task, (e for e in self.examples if _labels_of(e) is not None), source=self.source)

    @functools.cached_property
    def y(self) -> NDArray[np.uint8]:
        """Labels as (n, k) zeros and ones in ``task.keys`` order (aspect tasks: the aspects).

        Raises:
            UsageError: a row is not labelled.
            TaskMismatch: a label is not in the task.
        """
        column = {key: index for index, key in enumerate(self.task.keys)}
        y = np.zeros((len(self), len(self.task)), dtype=np.uint8)
        for row, example in enumerate(self.examples):
            labels = _labels_of(example)
            if labels is None:
                raise UsageError(
                    f"행 '{example.id}'에 라벨이 없습니다. 라벨이 있는 데이터가 필요합니다.",
                    f"row '{example.id}' has no labels; labelled data is needed here",
                )
            for label in labels:
                if label not in column:
                    raise TaskMismatch(
                        f"라벨 '{label}'은(는) 과제 '{self.task.name}'에 없습니다.",
                        f"label '{label}' is not in task '{self.task.name}'",
                    )
                y[row, column[label]] = 1
        y.flags.writeable = False
        return y

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of task, ids, texts, targets and labels, in order. ``meta`` does not count."""
        digest = hashlib.sha256(self.task.fingerprint.encode())
        for example in self.examples:
            row = example.to_dict()
            row.pop("meta", None)
            digest.update(canonical_json(row).encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()[:16]


def check_target(text: str, target: Target) -> None:
    """Refuse a target whose offsets do not give its form.

    Raises:
        DataError: with the offsets where the form does occur, if it does.
    """
    if 0 <= target.begin < target.end <= len(text) and text[target.begin : target.end] == target.form:
        return
    found = text.find(target.form) if target.form else -1
    came = text[max(target.begin, 0) : max(target.end, 0)][:40]
    hint_ko = f" 본문에서는 [{found}, {found + len(target.form)})에 있습니다." if found >= 0 else ""
    hint_en = f" it occurs at [{found}, {found + len(target.form)})" if found >= 0 else " it does not occur in the text"
    raise DataError(
        f"대상 '{target.form[:40]}'의 위치 [{target.begin}, {target.end})가 틀렸습니다. 그 자리의 글자는 '{came}'입니다.{hint_ko}",
        f"target '{target.form[:40]}' is not at [{target.begin}, {target.end}), where the text has '{came}';{hint_en}",
    )


def _labels_of(example: Example) -> tuple[str, ...] | None:
    if example.aspects is not None:
        return tuple(item.aspect for item in example.aspects)
    return example.labels


def _aspect_dict(item: AspectLabel) -> dict[str, Any]:
    row: dict[str, Any] = {"aspect": item.aspect, "sentiment": item.sentiment}
    if item.begin is not None:
        row |= {"begin": item.begin, "end": item.end}
    return row
