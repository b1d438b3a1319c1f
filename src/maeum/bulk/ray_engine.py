"""Workers as actors of a Ray cluster (extra ``ray``): the same callable, the same parts, so the same rows.

Parts are files that the actors write themselves; only their names and counts pass through Ray. So nothing is spilled or
pickled to disk, and a job that began on a cluster can be finished on one machine, or the other way round.
"""

from __future__ import annotations

import os
from typing import Any, Self

from maeum._optional import require
from maeum.bulk.local import ONE_THREAD
from maeum.bulk.plan import InputFile, Part
from maeum.bulk.settings import Crew
from maeum.bulk.work import Assignment, Died, Outcome, Station
from maeum.engine import cores
from maeum.errors import UsageError

_STORE_BYTES = 100 << 20
"""Shared memory of a cluster of our own: only counts pass through it."""
_PASSED_ON = ("MAEUM_DEVICE", "MAEUM_LANG")


class RayPool:
    """Actors, one analyzer each.

    Args:
        assignment: what they are told at the start; its paths must lead to the same files on every node.
        crew: the cluster and how many of them, with how many GPUs.
        parts: how many parts there are: more actors than that are not started.

    Raises:
        MissingExtra: Ray is not installed.
        UsageError: the cluster cannot be reached, or has no room for a single worker.
    """

    def __init__(self, assignment: Assignment, crew: Crew, parts: int) -> None:
        self.assignment = assignment
        self.crew = crew
        self.parts = parts
        self._actors: list[Any] = []
        self._busy: dict[Any, tuple[Any, Part]] = {}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray warns unless it is told
        self._ray: Any = require("ray")

    def __enter__(self) -> Self:
        self._connect()
        try:
            self._actors = [self._start() for _ in range(min(self._size(), self.parts))]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for actor in [*self._actors, *(actor for actor, _ in self._busy.values())]:
            self._ray.kill(actor)
        self._actors, self._busy = [], {}
        self._ray.shutdown()

    @property
    def free(self) -> int:
        """How many have nothing to do."""
        return len(self._actors)

    def give(self, file: InputFile, part: Part) -> None:
        """Give a part to one of the free ones."""
        actor = self._actors.pop()
        self._busy[actor.do.remote(file, part)] = (actor, part)

    def wait(self) -> list[Outcome]:
        """What came of the parts that ended."""
        ready, _ = self._ray.wait(list(self._busy), num_returns=1)
        found: list[Outcome] = []
        for reference in ready:
            actor, part = self._busy.pop(reference)
            try:
                found.append((part.number, self._ray.get(reference)))
            except self._ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                died = Died(part.number, f"Ray 작업자가 죽었습니다({reason}).", f"the Ray worker died ({reason})")
                found.append((part.number, died))
                actor = self._start()
            self._actors.append(actor)
        return found

    # -- inside ---------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.crew.address is None:
            # a node of our own: no dashboard, nothing but this machine's loopback
            self._ray.init(
                address="local",
                num_cpus=self.crew.workers or cores(),
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
            return
        try:
            self._ray.init(address=self.crew.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"Ray 클러스터 '{self.crew.address}'에 이어지지 않습니다: {error}",
                f"the Ray cluster '{self.crew.address}' cannot be reached: {error}",
            ) from error

    def _size(self) -> int:
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0))
        if self.crew.gpus:
            room = min(room, int(there.get("GPU", 0) / self.crew.gpus + 1e-9))
        if not room:
            raise UsageError(
                f"클러스터에 작업자 하나의 자리(CPU 1, GPU {self.crew.gpus:g})도 없습니다.",
                f"the cluster has no room for a single worker (1 CPU, {self.crew.gpus:g} GPU)",
            )
        # more than there is room for would wait for ever
        return min(self.crew.workers or room, room)

    def _start(self) -> Any:
        given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        own = {} if self.crew.gpus else {**ONE_THREAD, "MAEUM_DEVICE": "cpu"}  # a GPU nobody asked for is not taken
        actor = self._ray.remote(Station).options(
            num_cpus=1,
            num_gpus=self.crew.gpus,
            max_restarts=0,
            runtime_env={"env_vars": {**own, **given}},
        )
        return actor.remote(self.assignment)
