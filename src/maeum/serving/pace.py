"""How long what waits will take: measured, so that it holds on slow machines as on fast ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Literal

Lane = Literal["request", "stream", "alone"]
"""Who takes turns: requests that wait for an answer, streams that wait however long, and what goes one item at a time."""
LANES: tuple[Lane, ...] = ("request", "stream", "alone")
_KEEP = 0.8
"""What is left of earlier batches with each new one."""
_PER_TEXT = 16
"""What a text costs beside its characters, in characters."""


def work_of(sizes: Sequence[int]) -> int:
    """Work of texts, from the characters of each."""
    return sum(sizes) + _PER_TEXT * len(sizes)


class _Rate:
    """Seconds a unit of work, from sums that forget: a large batch says more of a full queue than a small one."""

    def __init__(self) -> None:
        self.work = self.spent = 0.0

    def learn(self, work: float, seconds: float) -> None:
        self.work = _KEEP * self.work + work
        self.spent = _KEEP * self.spent + seconds

    def seconds(self, work: float) -> float:
        return work * self.spent / self.work if self.work else 0.0


class Pace:
    """What waits in each lane, and how fast it moves. Not safe for threads: its owner locks.

    Args:
        turn: work that goes into one batch.
        clock: seconds; of another kind in tests.
    """

    def __init__(self, turn: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.turn = turn
        self.clock = clock
        self.clear()
        batches, alone = _Rate(), _Rate()
        self._rates: dict[Lane, _Rate] = {"request": batches, "stream": batches, "alone": alone}
        self._running: tuple[Lane, int, float] | None = None

    def clear(self) -> None:
        """Nothing waits."""
        self._items: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._work: dict[Lane, int] = dict.fromkeys(LANES, 0)

    @property
    def items(self) -> int:
        """Texts that wait."""
        return sum(self._items.values())

    def put(self, lane: Lane, sizes: Sequence[int]) -> None:
        """Texts begin to wait."""
        self._items[lane] += len(sizes)
        self._work[lane] += work_of(sizes)

    def take(self, lane: Lane, sizes: Sequence[int]) -> None:
        """Texts wait no longer."""
        self._items[lane] -= len(sizes)
        self._work[lane] -= work_of(sizes)

    def begin(self, lane: Lane, sizes: Sequence[int]) -> None:
        """A batch is begun."""
        self._running = (lane, work_of(sizes), self.clock())

    def done(self, seconds: float) -> None:
        """The batch took so long."""
        if self._running is not None:
            lane, work, _ = self._running
            self._rates[lane].learn(work, seconds)
        self._running = None

    def seconds(self, lane: Lane, work: float) -> float:
        """What work takes by itself; 0 while nothing is known."""
        return self._rates[lane].seconds(work)

    def delay(self, lane: Lane, sizes: Sequence[int]) -> float:
        """Seconds that texts would have to wait, other than for themselves.

        First the batch that runs, then their own lane; and between two turns of it, one of every other lane that waits.
        """
        waits = 0.0
        if self._running is not None:
            running, work, began = self._running
            waits = max(0.0, self.seconds(running, work) - (self.clock() - began))
        turns = (
            self._items[lane] + len(sizes)
            if lane == "alone"
            else math.ceil((self._work[lane] + work_of(sizes)) / self.turn)
        )
        for other in LANES:
            theirs = self.seconds(other, self._work[other])
            waits += theirs if other == lane else min(theirs, turns * self._turn_seconds(other))
        return waits

    def _turn_seconds(self, lane: Lane) -> float:
        if lane == "alone":
            return self.seconds(lane, self._work[lane] / max(1, self._items[lane]))
        return self.seconds(lane, self.turn)
