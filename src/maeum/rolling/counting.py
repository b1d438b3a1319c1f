"""Counts of labels in a slice of the rows: small tables that can be added up, so that memory does not grow with rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, Self

import numpy as np

from maeum.rolling.periods import period_of
from maeum.rolling.settings import PeriodKind
from maeum.rolling.stored import Found
from maeum.task import Task


class Slice(NamedTuple):
    """Which rows: all, those of a period, or those of a group."""

    kind: Literal["all", "period", "undated", "group", "other", "ungrouped"]
    name: str = ""


ALL = Slice("all")
UNDATED = Slice("undated")
OTHER = Slice("other")
"""The groups that are not among the largest, together."""
UNGROUPED = Slice("ungrouped")


class Slicer:
    """Which slices a row is in.

    Args:
        period: None: not by time.
        groups: the groups that count by name; None: not by group.
    """

    def __init__(self, period: PeriodKind | None, groups: list[str] | None) -> None:
        self.period = period
        self.groups = None if groups is None else frozenset(groups)

    def __call__(self, day: int | None, group: str | None) -> tuple[Slice, ...]:
        """The slices of a row of that day and group."""
        found = [ALL]
        if self.period is not None:
            found.append(UNDATED if day is None else Slice("period", period_of(day, self.period)))
        if self.groups is not None:
            found.append(UNGROUPED if group is None else Slice("group", group) if group in self.groups else OTHER)
        return tuple(found)


class Tally:
    """Rows of a slice, and how many of them have each label with each grade.

    Args:
        labels, grades: how many there are; ``grades`` is 1 where labels have none.
    """

    def __init__(self, labels: int, grades: int) -> None:
        self.rows = 0
        self.empty = 0
        """Rows without any label."""
        self.cells = np.zeros((labels, grades), np.int64)

    def add(self, found: tuple[Found, ...]) -> None:
        """Count a row."""
        self.rows += 1
        self.empty += not found
        for label, grade, _ in found:
            self.cells[label, grade] += 1

    def merge(self, other: Tally) -> Self:
        """Add the counts of other rows."""
        self.rows += other.rows
        self.empty += other.empty
        self.cells += other.cells
        return self

    def of(self, label: int) -> int:
        """What shares of a label are shares of: the texts that mention an aspect, or all where there are no grades."""
        return int(self.cells[label].sum()) if self.cells.shape[1] > 1 else self.rows


class Counts:
    """A tally for every slice that occurs."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.tallies: dict[Slice, Tally] = {ALL: self._new()}

    def add(self, slices: tuple[Slice, ...], found: tuple[Found, ...]) -> None:
        """Count a row in its slices."""
        for slice in slices:
            tally = self.tallies.get(slice)
            if tally is None:
                tally = self.tallies[slice] = self._new()
            tally.add(found)

    def merge(self, other: Counts) -> Self:
        """Add the counts of other rows."""
        for slice, tally in other.tallies.items():
            self.tallies.setdefault(slice, self._new()).merge(tally)
        return self

    def __getitem__(self, slice: Slice) -> Tally:
        return self.tallies.get(slice) or self._new()

    def periods(self) -> Iterator[tuple[Slice, Tally]]:
        """Periods in order, rows without a date last."""
        yield from sorted((pair for pair in self.tallies.items() if pair[0].kind == "period"), key=lambda pair: pair[0])
        if UNDATED in self.tallies:
            yield UNDATED, self.tallies[UNDATED]

    def groups(self) -> Iterator[tuple[Slice, Tally]]:
        """Groups by size, then the others together, then rows without a group."""
        named = [pair for pair in self.tallies.items() if pair[0].kind == "group"]
        yield from sorted(named, key=lambda pair: (-pair[1].rows, pair[0].name))
        for slice in (OTHER, UNGROUPED):
            if slice in self.tallies:
                yield slice, self.tallies[slice]

    def _new(self) -> Tally:
        return Tally(len(self.task), max(1, len(self.task.sentiments)))


def sides(task: Task) -> tuple[tuple[int, ...], ...]:
    """Columns of the grades below the middle and of those above it; without grades, the one column there is."""
    n = len(task.sentiments)
    if n < 2:
        return ((0,),)
    return tuple(range(n // 2)), tuple(range((n + 1) // 2, n))


def wilson(count: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927), which stays within 0 and 1 and is honest for few rows."""
    if not of:
        return 0.0, 1.0
    share, square = count / of, z * z
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = z * math.sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    # at 0 and at all of them the bounds are exact; rounding must not say otherwise
    return 0.0 if not count else max(middle - reach, 0.0), 1.0 if count == of else min(middle + reach, 1.0)
