"""What the first pass leaves of every row: a key, a group and one number per criterion; about 40 bytes a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.sampling.pool import chances

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Table:
    """Rows of the pool by number."""

    def __init__(self, criteria: Sequence[str]) -> None:
        self.criteria = tuple(criteria)
        self.groups: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("key", "group", *criteria)}

    def add(self, keys: Sequence[int], groups: Sequence[tuple[str, ...]], values: Mapping[str, Floats]) -> None:
        """The next rows of the pool."""
        for group in groups:
            if group not in self._numbers:
                self._numbers[group] = len(self._numbers)
                self.groups.append(group)
        self._parts["key"].append(np.array(keys, np.uint64))
        self._parts["group"].append(np.array([self._numbers[group] for group in groups], np.int32))
        for name in self.criteria:
            self._parts[name].append(np.asarray(values[name], np.float32))

    def column(self, name: str) -> NDArray[Any]:
        """One number of every row (n,)."""
        parts = self._parts[name]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0]

    def fresh(self, known: NDArray[np.uint64]) -> tuple[Ints, int, int]:
        """Rows to choose from: of each text the first, and none that is in ``known``.

        Returns:
            their numbers in file order, how many rows were left out as known, and how many as repeated.
        """
        keys = self.column("key")
        new = ~np.isin(keys, known)
        _, first = np.unique(keys, return_index=True)
        once = np.zeros(len(keys), bool)
        once[first] = True
        return np.flatnonzero(new & once), int((~new).sum()), int((new & ~once).sum())

    def by_chance(self, rows: Ints, count: int, seed: int) -> Ints:
        """``count`` of these rows at random, in random order."""
        drawn = chances(self.column("key")[rows], seed)
        return np.asarray(rows[np.argsort(drawn, kind="stable")[:count]])


def ranks(values: NDArray[Any]) -> Floats:
    """Each value's place among all (n,), from near 0 (smallest) to near 1 (largest); equal values share the middle place."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + upto) / (2 * max(len(values), 1)), np.float64)


def mixed(ranked: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """The weighted mean of ranks (n,), 0–1."""
    total = sum(weights[name] for name in ranked)
    return np.asarray(sum(weights[name] * column for name, column in ranked.items()) / total)
