"""A few sentences for every number: the most confident ones, and some that chance picks, in bounded memory.

Chance is a hash of the text (bottom-k sampling: Cohen & Kaplan 2007), so the sample depends on the texts and the seed
alone, not on their order, and a text that occurs often is as likely as one that occurs once. Only the place in the
file is kept; the sentence is read from there when it is shown.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Cell = TypeVar("Cell", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Picked:
    """A sentence that was picked."""

    place: int
    """Where its row begins in the file of predictions."""
    score: float
    """The probability of what the cell says."""
    why: Literal["confident", "random"]


_Item = tuple[float, int, int, float]
"""Rank (0 where only chance ranks), −hash, place, score."""


@dataclass(slots=True)
class _Kept:
    """Two heaps, the item to go first at the top."""

    best: list[_Item] = field(default_factory=list)
    chance: list[_Item] = field(default_factory=list)


class Sampler(Generic[Cell]):
    """Sentences by cell.

    Args:
        examples: sentences per cell, half of them (and one more if odd) the most confident.
    """

    def __init__(self, examples: int) -> None:
        self.confident = (examples + 1) // 2
        self.random = examples - self.confident
        self._cells: dict[Cell, _Kept] = {}

    def offer(self, cell: Cell, score: float, key: int, place: int) -> None:
        """Consider a sentence.

        Args:
            key: ``text_key`` of its text.
        """
        kept = self._cells.get(cell)
        if kept is None:
            kept = self._cells[cell] = _Kept()
        _push(kept.best, (score, -key, place, score), self.confident)
        if self.random:
            # as many more as the confident ones may take away again
            _push(kept.chance, (0.0, -key, place, score), self.random + self.confident)

    def picked(self, cell: Cell) -> list[Picked]:
        """The sentences of a cell: confident ones by score, then those that chance picked. No text twice."""
        kept = self._cells.get(cell)
        if kept is None:
            return []
        best = sorted(kept.best, reverse=True)
        taken = {key for _, key, _, _ in best}
        chance = [item for item in sorted(kept.chance, reverse=True) if item[1] not in taken]
        return [
            *(Picked(place, score, "confident") for _, _, place, score in best),
            *(Picked(place, score, "random") for _, _, place, score in chance[: self.random]),
        ]


def _push(heap: list[_Item], item: _Item, most: int) -> None:
    """Keep the ``most`` largest items, no text twice."""
    if len(heap) >= most and item[:2] <= heap[0][:2]:
        return
    if any(other[1] == item[1] for other in heap):
        return
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heapreplace(heap, item)


def text_key(text: str, seed: int) -> int:
    """A number below 2⁶³ that stands for a text in the draw."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=str(seed).encode()[:64])
    return int.from_bytes(digest.digest(), "big") >> 1
