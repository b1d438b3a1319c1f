"""Ids seen so far, in little memory: files too big to hold must still be checked for ids that come twice."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_RECENT = 1 << 16
_MADE_UP = re.compile(r"row-(\d{6,})")


def row_id(number: int) -> str:
    """The id of a row that has none, from its number."""
    return f"row-{number:06d}"


class SeenIds:
    """Remembers ids as 8-byte hashes: recent ones with their line, older ones in one sorted array.

    Args:
        recent: how many are kept with their line.
    """

    def __init__(self, recent: int = _RECENT) -> None:
        self.recent = recent
        self._lines: dict[int, int] = {}
        self._older: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._made_up = 0
        """Rows up to this one had ids made up for them, which need no remembering."""

    def __contains__(self, name: str) -> bool:
        return self.line(name) is not None

    def line(self, name: str) -> int | None:
        """Line an id was used on: 0 if that is no longer known, ``None`` if it is new."""
        key = hash(name)
        if key in self._lines:
            return self._lines[key]
        match = _MADE_UP.fullmatch(name) if self._made_up else None
        if match and int(match[1]) <= self._made_up and name == row_id(int(match[1])):
            return 0
        if not len(self._older):
            return None
        place = int(np.searchsorted(self._older, key))
        return 0 if place < len(self._older) and int(self._older[place]) == key else None

    def add_made_up(self, number: int, line: int) -> None:
        """Remember that row ``number`` got ``row_id(number)``."""
        if self._lines or len(self._older):
            self.add(row_id(number), line)
        else:
            self._made_up = number

    def add(self, name: str, line: int) -> None:
        """Remember an id."""
        self._lines[hash(name)] = line
        if len(self._lines) >= self.recent:
            keys = np.fromiter(self._lines, dtype=np.int64, count=len(self._lines))
            self._older = np.sort(np.concatenate([self._older, np.sort(keys)]), kind="stable")  # merges two sorted runs
            self._lines.clear()
