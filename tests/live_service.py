"""``maeum serve`` in a process of its own, for tests that ask it over a real socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Live:
    """A running service."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def events(self) -> list[dict]:
        """Lines of its log so far."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


@contextlib.contextmanager
def start(*models: object, log: Path, port: int = 0, **env: str) -> Iterator[Live]:
    """Start, wait until it listens, give it, and end it with SIGTERM.

    Args:
        models: words of ``maeum serve``.
        log: a folder for its log.
        port: 0 takes a free one.
        env: environment variables.
    """
    path = log / "serve.log"
    command = [sys.executable, "-m", "maeum", "serve", *map(str, models), "--port", str(port)]
    with path.open("wb") as output:
        process = subprocess.Popen(command, stderr=output, stdout=output, env={**os.environ, **env})
    live = Live("", process, path)
    try:
        until = time.monotonic() + 90
        while not (said := [event for event in live.events if event["event"] == "listening"]):
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the service did not start: {path.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.05)
        yield Live(said[0]["url"], process, path)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
