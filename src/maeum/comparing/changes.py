"""The rows on which two models part, and which of them is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum.comparing.paired import mcnemar

Kind = Literal["fixed", "broken", "better", "worse", "other"]
KINDS: tuple[Kind, ...] = ("fixed", "broken", "better", "worse", "other")
"""``fixed``: A wrong, B right. ``broken``: the reverse. Both wrong, B in fewer labels (``better``), in more (``worse``), or
in as many others (``other``)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row on which the decisions differ."""

    row: int
    kind: Kind
    gained: tuple[int, ...]
    """Columns that B decides on and A does not."""
    lost: tuple[int, ...]


@dataclass(frozen=True)
class Changes:
    """All of them, and how many rows are what."""

    rows: tuple[Change, ...]
    both_right: int
    both_wrong: int
    """Rows wrong in A and B, changed or not."""
    p: float
    """McNemar's test of fixed against broken rows."""

    @property
    def counts(self) -> dict[str, int]:
        """Rows by kind."""
        kinds = [change.kind for change in self.rows]
        return {kind: kinds.count(kind) for kind in KINDS}


def changes(y: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> Changes:
    """What became of the rows from A's decisions (n, k) to B's; a row is right if all its labels are."""
    wrong_a, wrong_b = (y != before).sum(1), (y != after).sum(1)
    found = []
    for row in np.flatnonzero((before != after).any(1)).tolist():
        gained = tuple(np.flatnonzero(after[row] > before[row]).tolist())
        lost = tuple(np.flatnonzero(before[row] > after[row]).tolist())
        found.append(Change(row, _kind(int(wrong_a[row]), int(wrong_b[row])), gained, lost))
    fixed = sum(change.kind == "fixed" for change in found)
    broken = sum(change.kind == "broken" for change in found)
    return Changes(
        tuple(found),
        int(((wrong_a == 0) & (wrong_b == 0)).sum()),
        int(((wrong_a > 0) & (wrong_b > 0)).sum()),
        mcnemar(fixed, broken),
    )


def _kind(a: int, b: int) -> Kind:
    if not b:
        return "fixed"
    if not a:
        return "broken"
    return "better" if b < a else "worse" if b > a else "other"
