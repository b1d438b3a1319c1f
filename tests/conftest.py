"""Shared fixtures. Tests never touch the network: opening a socket to anywhere but this machine fails."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from maeum._lang import set_language
from maeum.task import Label, Task

DATA = Path(os.environ.get("MAEUM_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets; skipped with a reason where they are absent, failed where CI says they must be there."""
    if not (DATA / "README.md").exists():
        message = f"the real data sets are not at {DATA} (set MAEUM_DATA; benchmarks/README.md says where to get them)"
        if os.environ.get("MAEUM_REQUIRE_DATA"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch):
    """Messages are tested in English unless a test chooses otherwise."""
    monkeypatch.setenv("MAEUM_LANG", "en")
    set_language(None)
    yield
    set_language(None)


@pytest.fixture
def three() -> Task:
    """A small multilabel task."""
    return Task(
        "three", "multilabel", (Label("기쁨", en="joy"), Label("분노", en="anger"), Label("슬픔", en="sadness"))
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
