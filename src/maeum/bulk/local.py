"""Workers as processes of this machine, each with one thread and an analyzer of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from maeum.bulk.plan import InputFile, Part
from maeum.bulk.work import Assignment, Died, Outcome, Station

_THREAD_NAMES = ("MAEUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
ONE_THREAD: Mapping[str, str] = {**dict.fromkeys(_THREAD_NAMES, "1"), "TOKENIZERS_PARALLELISM": "false"}
"""Environment of a worker: there are as many of them as cores, so each takes one."""


@dataclass
class _Hand:
    process: Any
    connection: Connection
    part: Part | None = None


class LocalPool:
    """Processes started afresh (not forked): they share nothing but the files.

    Args:
        assignment: what they are told at the start.
        workers: how many.
    """

    def __init__(self, assignment: Assignment, workers: int) -> None:
        self.assignment = assignment
        self.workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._hands: list[_Hand] = []

    def __enter__(self) -> Self:
        try:
            self._hands = []
            for _ in range(self.workers):
                self._hands.append(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for hand in self._hands:
            hand.process.kill()
        for hand in self._hands:
            hand.process.join()
            hand.connection.close()
        self._hands = []

    @property
    def free(self) -> int:
        """How many have nothing to do."""
        return sum(hand.part is None for hand in self._hands)

    def give(self, file: InputFile, part: Part) -> None:
        """Give a part to one of the free ones."""
        hand = next(hand for hand in self._hands if hand.part is None)
        hand.part = part
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is dead, which ``wait`` will find
            hand.connection.send((file, part))

    def wait(self) -> list[Outcome]:
        """What came of the parts that ended."""
        found: list[Outcome] = []
        while not found:
            ready = set(wait([item for hand in self._hands for item in (hand.connection, hand.process.sentinel)]))
            for index, hand in enumerate(self._hands):
                if ready & {hand.connection, hand.process.sentinel}:
                    found += self._look(index, hand)
        return found

    def _look(self, index: int, hand: _Hand) -> list[Outcome]:
        part = hand.part
        try:
            # the answer of one that ended right after giving it still lies in the pipe
            outcome = hand.connection.recv() if hand.connection.poll() else None
        except (EOFError, OSError):
            outcome = None
        if outcome is not None:
            hand.part = None
            return [(part.number if part else -1, outcome)]
        hand.process.join()
        code = hand.process.exitcode
        hand.connection.close()
        self._hands[index] = self._start()
        return [(part.number, Died(part.number, *_how(code)))] if part else []

    def _start(self) -> _Hand:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self.assignment), daemon=True)
        with _environment(ONE_THREAD):
            process.start()
        theirs.close()
        return _Hand(process, ours)


# -- inside -------------------------------------------------------------------------------------------------


def _work(connection: Connection, assignment: Assignment) -> None:
    """The life of a worker process: until the other end of the pipe is closed, or the main process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process ends the others
    threading.Thread(target=_die_with_parent, daemon=True).start()
    station = Station(assignment)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            file, part = connection.recv()
            connection.send(station.do(file, part))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _how(code: int | None) -> tuple[str, str]:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = name == "SIGKILL"
        hint_ko = (
            " 메모리가 모자라 운영 체제가 끝냈을 수 있습니다(--workers나 --batch-size를 줄여 보세요)." if memory else ""
        )
        hint_en = (
            "; the system may have ended it for want of memory (try fewer --workers or a smaller --batch-size)"
            if memory
            else ""
        )
        return (
            f"작업 프로세스가 {name} 신호로 죽었습니다.{hint_ko}",
            f"the worker process was killed by {name}{hint_en}",
        )
    return f"작업 프로세스가 상태 {code}(으)로 끝났습니다.", f"the worker process ended with status {code}"
