"""The web app in a process of its own, and the browser that visits it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path(os.environ.get("MAEUM_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000


def chromium() -> Iterator[Any]:
    """A Chromium; without one the test is skipped, or fails where one is required."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        message = f"there is no Chromium at {CHROMIUM} (set MAEUM_CHROMIUM)"
        if os.environ.get("MAEUM_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@dataclass
class App:
    """``maeum ui``, which may be killed and started again at the same address.

    Args:
        home: its home and working folder.
        words: models and options.
    """

    home: Path
    words: tuple[str, ...]
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        """The one given with ``--folder``."""
        return Path(self.words[self.words.index("--folder") + 1])

    def start(self) -> None:
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "maeum", "ui", *self.words, "--no-browser", "--port", str(self.port)],
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "MAEUM_LANG": "ko", "HOME": str(self.home), "OMP_NUM_THREADS": "1"},
        )
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=2) as answer:
                    assert answer.read() == b"ok"
                return
            except OSError:
                assert self.process.poll() is None, self.process.communicate()[0]
                assert time.monotonic() < until, "the app did not start within a minute"
                time.sleep(0.2)

    def stop(self, how: int = signal.SIGTERM) -> str:
        """Send it a signal and wait for its end; all it said."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.communicate(timeout=20)[0]

    def kill(self) -> str:
        """As ``kill -9`` does."""
        return self.stop(signal.SIGKILL)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def left(self) -> list[Path]:
        """Files that it left in its home."""
        return [path for path in self.home.rglob("*") if path.is_file()]
