"""Micro-batching: what many requests ask is put together, a budget at a time, on one thread for each model.

While the model works on a batch, the next one collects by itself, so hardly anything is waited for when little is asked,
and batches grow with the load. Long requests take turns with short ones, and so do requests, streams and work that goes one
item at a time: none of the three waits for all of another. Nothing here knows what a model is: items go in, and for each
of them a result comes out.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from maeum.serving.pace import LANES, Lane, Pace, Standing, work_of
from maeum.serving.refusals import overloaded

Answer = Callable[[Hashable, Sequence[Any]], Sequence[Any]]
"""(key, items that go together) → a result for each, in order. Called on the thread of the batcher only."""


@dataclass(frozen=True)
class Budget:
    """How much goes into a batch, and how much may wait."""

    texts: int = 256
    chars: int = 16_384
    """Characters: a token is never less than one, so this bounds tokens too. One longer text goes alone."""
    queue: int = 2048
    """Items that may wait."""
    delay: float = math.inf
    """Seconds that something may have to wait, as far as is known; what would wait longer is refused."""
    target: float = math.inf
    """Seconds of waiting that may last: a queue that stays longer is cut to that, not one that a burst has made."""
    wait: float = 0.0
    """Seconds to wait for more before a batch that is not full is begun."""


_BURST_SECONDS = 0.5
"""A queue of more than its target that lasts so long is no burst."""
_FEW = 64
"""Texts that may wait all the same: on a slow machine the target alone would leave too few for a good batch."""


@dataclass(eq=False)
class Job:
    """What one request asks: results of items, one for each."""

    key: Hashable
    """Items are put together with those of equal keys only."""
    items: Sequence[Any]
    sizes: Sequence[int]
    """Characters of each item."""
    lane: Lane
    deadline: float
    """On the clock of ``time.monotonic``; what starts later is not started."""
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Any]]
    taken: int = 0
    """Items that were given to the model."""
    results: list[Any] = field(default_factory=list)
    dropped: bool = False
    """Nobody waits for it any longer."""

    @property
    def alone(self) -> bool:
        """One item a batch: for work that takes long, so that others get their turn in between."""
        return self.lane == "alone"


@dataclass(frozen=True)
class _Slice:
    job: Job
    begin: int
    end: int

    @property
    def sizes(self) -> Sequence[int]:
        return self.job.sizes[self.begin : self.end]


class Batcher:
    """One model's queue and thread.

    Args:
        answer: see ``Answer``.
        budget: of a batch and of the queue.
        watch: told of every batch: how many items, how many seconds.
        name: of the thread.
    """

    def __init__(
        self,
        answer: Answer,
        budget: Budget,
        *,
        watch: Callable[[int, float], None] = lambda texts, seconds: None,
        name: str = "maeum-batches",
    ) -> None:
        self.answer = answer
        self.budget = budget
        self.watch = watch
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._pace = Pace(budget.chars)
        self._standing = {lane: Standing(budget.target, _BURST_SECONDS) for lane in LANES}
        self._last: Lane = "alone"
        self._wanted = 1
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """End after the batch that is being worked on; what still waits is cancelled."""
        with self._changed:
            self._stopped = True
            left = list(self._jobs)
            self._jobs.clear()
            self._pace.clear()
            self._changed.notify_all()
        for job in left:
            _settle(job.loop, [(job, asyncio.CancelledError())])
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def waiting(self) -> int:
        """Items in the queue."""
        return self._pace.items

    def delay(self) -> float:
        """Seconds that a request would wait for its turn now, as far as is known."""
        return self._pace.delay("request", ())

    async def ask(
        self,
        key: Hashable,
        items: Sequence[Any],
        sizes: Sequence[int],
        *,
        seconds: float = math.inf,
        alone: bool = False,
        patient: bool = False,
    ) -> list[Any]:
        """Results of items, in order. If the caller is cancelled, what has not begun is dropped.

        Args:
            key: with whom the items may go together.
            items: what the model is asked.
            sizes: characters of each.
            seconds: how long the caller will wait.
            alone: one item a batch.
            patient: wait however long the queue is: for callers that bound themselves.

        Raises:
            Refusal: 429: the queue is full, or so long that the caller would wait too long, or in vain.
            TimeoutError: the time was over before it was its turn.
        """
        if not items:
            return []
        loop = asyncio.get_running_loop()
        lane: Lane = "alone" if alone else "stream" if patient else "request"
        job = Job(key, items, sizes, lane, time.monotonic() + seconds, loop, loop.create_future())
        with self._changed:
            if self._stopped:
                raise asyncio.CancelledError
            if not patient:
                self._admit(job, seconds)
            self._jobs.append(job)
            self._pace.put(lane, sizes)
            if self.waiting >= self._wanted:
                self._changed.notify()
        try:
            return await job.future
        finally:
            job.dropped = True  # a flag is enough: the worker leaves out what is dropped

    def _admit(self, job: Job, seconds: float) -> None:
        # an empty queue takes whatever a request may hold
        if self.waiting and self.waiting + len(job.items) > self.budget.queue:
            raise overloaded(self.delay())
        delay, own = self._pace.delay(job.lane, job.sizes), self._pace.seconds(job.lane, work_of(job.sizes))
        # what would take too long even if it were alone is too large, not one too many
        most = min(self.budget.delay, seconds - own if own < seconds else seconds)
        if delay > most:
            raise overloaded(delay - most)
        waits = self._pace.own(job.lane)
        stands = self._standing[job.lane].seen(waits)
        if stands and waits > self.budget.target and self._pace.texts(job.lane) > _FEW:
            raise overloaded(waits - self.budget.target)

    # -- the worker -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            batch, late = self._take()
            if batch is None:
                return
            for job in late:
                _settle(job.loop, [(job, TimeoutError())])
            if batch:
                began = time.perf_counter()
                done = self._run(batch)
                # before the answers: who gets one may ask again at once, and must not be told to wait for what is over
                self._measure(batch, time.perf_counter() - began)
                _hand_out(done)

    def _measure(self, batch: Sequence[_Slice], seconds: float) -> None:
        texts = sum(part.end - part.begin for part in batch)
        with self._changed:
            self._pace.done(seconds)
        self.watch(texts, seconds)

    def _take(self) -> tuple[list[_Slice] | None, list[Job]]:
        """The next batch, and jobs whose time is over; None: there will be none."""
        with self._changed:
            self._wait(1)
            self._wait(self.budget.texts, self.budget.wait)
            return (None, []) if self._stopped else self._fill()

    def _wait(self, texts: int, seconds: float | None = None) -> None:
        """Until so many texts wait, or the time is over."""
        self._wanted = texts
        if seconds is None or seconds > 0:
            self._changed.wait_for(lambda: self._stopped or self.waiting >= texts, seconds)

    def _fill(self) -> tuple[list[_Slice], list[Job]]:
        batch: list[_Slice] = []
        late: list[Job] = []
        kept: deque[Job] = deque()
        again: list[Job] = []
        texts, chars, key = self.budget.texts, self.budget.chars, None
        now = time.monotonic()
        # who had the last turn comes after the others; else the oldest first
        for job in sorted(self._jobs, key=lambda job: job.lane == self._last):
            if job.dropped or now > job.deadline:
                self._pace.take(job.lane, job.sizes[job.taken :])
                if not job.dropped:
                    late.append(job)
                continue
            if batch and (job.key != key or job.alone or texts <= 0 or chars <= 0):
                kept.append(job)
                continue
            key = job.key
            begin = job.taken
            while job.taken < len(job.items) and texts > 0:
                first = not batch and job.taken == begin
                if not first and chars < job.sizes[job.taken]:
                    break
                chars -= job.sizes[job.taken]
                texts = 0 if job.alone else texts - 1
                job.taken += 1
            if job.taken > begin:
                batch.append(_Slice(job, begin, job.taken))
            else:
                chars = 0  # the next text does not fit: those behind it wait for it, so that it is not passed for ever
            if job.taken < len(job.items):
                (again if job.taken > begin else kept).append(job)
        self._jobs = kept
        self._jobs.extend(again)  # who had a turn goes to the end
        for part in batch:
            self._pace.take(part.job.lane, part.sizes)
        if batch:
            self._last = batch[0].job.lane
            self._pace.begin(self._last, [size for part in batch for size in part.sizes])
        return batch, late

    def _run(self, batch: Sequence[_Slice]) -> list[_Done]:
        """Jobs of a batch that are done, or failed."""
        items = [item for part in batch for item in part.job.items[part.begin : part.end]]
        try:
            results = self.answer(batch[0].job.key, items)
            if len(results) != len(items):
                raise RuntimeError("a batch did not get as many results as it has items")
        except Exception as error:
            if len(batch) > 1:  # one of them is to blame; the others get their answers
                return [done for part in batch for done in self._run([part])]
            batch[0].job.dropped = True
            return [(batch[0].job, error)]
        place = 0
        for part in batch:
            count = part.end - part.begin
            part.job.results += results[place : place + count]
            place += count
        return [(part.job, None) for part in batch if len(part.job.results) == len(part.job.items)]


_Done = tuple[Job, BaseException | None]
"""A job whose results are whole, or what went wrong with it."""


def _hand_out(done: Sequence[_Done]) -> None:
    """Results or errors to those who wait for them."""
    loops: dict[asyncio.AbstractEventLoop, list[_Done]] = {}
    for job, error in done:
        loops.setdefault(job.loop, []).append((job, error))
    for loop, jobs in loops.items():
        _settle(loop, jobs)


def _settle(loop: asyncio.AbstractEventLoop, jobs: Sequence[_Done]) -> None:
    """Hand results or errors to those who wait, in one step of their loop."""

    def hand() -> None:
        for job, error in jobs:
            if job.future.done():
                continue
            if error is None:
                job.future.set_result(job.results)
            elif isinstance(error, asyncio.CancelledError):
                job.future.cancel()
            else:
                job.future.set_exception(error)

    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(hand)
        except RuntimeError:  # it was closed in between: nobody waits
            return
