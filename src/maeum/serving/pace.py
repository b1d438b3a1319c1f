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

    def texts(self, lane: Lane) -> int:
        """Texts that wait in a lane."""
        return self._items[lane]

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

    def own(self, lane: Lane) -> float:
        """Seconds until all of a lane that runs or waits is done, if the other lanes were empty."""
        return self._left(lane) + self.seconds(lane, self._work[lane])

    def _left(self, lane: Lane | None = None) -> float:
        """Seconds that the batch that runs still takes; 0 where it is of another lane than the one asked about."""
        if self._running is None or lane not in (None, self._running[0]):
            return 0.0
        running, work, began = self._running
        return max(0.0, self.seconds(running, work) - (self.clock() - began))

    def delay(self, lane: Lane, sizes: Sequence[int]) -> float:
        """Seconds that texts would have to wait, other than for themselves.

        First the batch that runs, then their own lane; and between two turns of it, one of every other lane that waits.
        """
        waits = self._left()
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


class Standing:
    """Tells a queue that stands from one that a burst has made, as CoDel does (Nichols & Jacobson 2012).

    A burst is worked off; a queue that stays long only makes everybody wait, and the first who come after it as well.

    Args:
        target: seconds of waiting that may last.
        burst: seconds for which it may be more.
        clock: seconds; of another kind in tests.
    """

    def __init__(self, target: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.target = target
        self.burst = burst
        self.clock = clock
        self._since: float | None = None
        self._stands = False

    def seen(self, delay: float) -> bool:
        """Whether the queue stands, of which ``delay`` seconds are left to do now."""
        # what is refused keeps it near the target: only when it is well below that, less comes in than is done
        if delay <= (self.target / 2 if self._stands else self.target):
            self._since, self._stands = None, False
            return False
        if self._since is None:
            self._since = self.clock()
        self._stands = self.clock() - self._since >= self.burst
        return self._stands
