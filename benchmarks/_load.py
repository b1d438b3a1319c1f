"""A load generator: many keep-alive HTTP/1.1 connections in one asyncio process, hand-written so that it costs little.

Runs as ``python _load.py`` with a plan on stdin (JSON) and leaves what happened in a NumPy file: one row a request,
``(sent, answered, status)`` on the machine's monotonic clock; status 0: the connection broke before the whole answer.
Every answer is read to its end, and an answer of 200 is only counted as one if it is whole and of the right shape.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

Events = NDArray[np.float64]
NOT_SENT, NO_CONNECTION = -1, -2
"""Instead of a status: all connections were busy; nobody took one."""


@dataclass(frozen=True)
class Plan:
    """What to send."""

    url: str
    bodies: str
    """A file with one JSON body a line, sent in turn."""
    out: str
    answer_key: str
    """An answer of 200 without this key at its top counts as broken."""
    seconds: float
    clients: int = 64
    """Closed loop: each sends, waits for the answer, sends again."""
    rate: float = 0.0
    """Open loop: requests a second, whatever the answers do; 0: closed."""
    connections: int = 2048
    """Open loop: connections at most; a request that finds none free is not sent."""


class Generator:
    """Sends a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        where = urlsplit(plan.url)
        self.host, self.port = where.hostname or "", where.port or 80
        head = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
        lines = Path(plan.bodies).read_bytes().splitlines()
        self.messages = itertools.cycle(
            [f"{head}Content-Length: {len(line)}\r\n\r\n".encode() + line for line in lines]
        )
        self.events: list[tuple[float, float, int]] = []
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.open = 0

    async def run(self) -> None:
        """Send until the time is over, then wait for what is under way."""
        until = time.monotonic() + self.plan.seconds
        if self.plan.rate:
            await self._arrivals(until)
        else:
            await asyncio.gather(*(self._client(until) for _ in range(self.plan.clients)))

    async def _client(self, until: float) -> None:
        link = None
        while time.monotonic() < until:
            link = await self._ask(link)
            if link is None:
                await asyncio.sleep(0.05)  # nobody there: do not spin

    async def _arrivals(self, until: float) -> None:
        """Requests at even distances; those that are late are sent at once."""
        due = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        while (now := time.monotonic()) < until:
            while due <= now:
                due += 1 / self.plan.rate
                if self.idle or self.open < self.plan.connections:
                    task = asyncio.create_task(self._arrive(self.idle.pop() if self.idle else None))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                else:
                    self.events.append((now, now, NOT_SENT))
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        if under_way:
            await asyncio.wait(under_way)

    async def _arrive(self, link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
        self.open += link is None
        link = await self._ask(link)
        if link is None:
            self.open -= 1
        else:
            self.idle.append(link)

    async def _ask(
        self, link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """One request; the connection if it can be used again."""
        sent = time.monotonic()
        status, keep = NO_CONNECTION, False
        try:
            link = link or await asyncio.open_connection(self.host, self.port)
            status = 0
            reader, writer = link
            writer.write(next(self.messages))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            keep = b"connection: close" not in head
            code = int(head[9:12])
            if code != 200 or self.plan.answer_key in json.loads(body):
                status = code
        except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
            pass  # status says how far it came
        self.events.append((sent, time.monotonic(), status))
        if not keep and link is not None:
            link[1].close()
        return link if keep else None


def start(plan: Plan, cores: list[int]) -> Any:
    """The generator in a process of its own."""
    import subprocess

    command = [sys.executable, __file__, ",".join(map(str, cores))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(plan)))
    process.stdin.close()
    return process


def finish(process: Any, plan: Plan) -> tuple[Events, float]:
    """What happened, and the processor seconds the generator took itself."""
    said = process.stdout.read()
    if process.wait():
        raise SystemExit("the load generator failed")
    return np.load(plan.out), float(said)


def main() -> None:
    os.sched_setaffinity(0, [int(core) for core in sys.argv[1].split(",")])
    plan = Plan(**json.load(sys.stdin))
    generator = Generator(plan)
    asyncio.run(generator.run())
    np.save(plan.out, np.array(generator.events, np.float64).reshape(-1, 3))
    print(time.process_time())


if __name__ == "__main__":
    main()
