"""Shared fixtures. Tests never touch the network: opening a socket to anywhere but this machine fails."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from maeum._lang import set_language
from maeum.task import Label, Task

DATA = Path(os.environ.get("MAEUM_DATA") or Path(__file__).parents[2] / "shared" / "data")


def pytest_configure() -> None:
    """What the libraries read from the environment once, so before any of them is imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    if "PYTEST_XDIST_WORKER" in os.environ:
        # workers share the cores already
        os.environ["OMP_NUM_THREADS"] = "1"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # of a job in the background; programs started by tests would inherit it, and not hear a Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


TinyBase = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> TinyBase:
    """``tiny_base("klue-bert")``: the folder of a tiny encoder of ``tiny.SHAPES``, built once, to be read only.

    ``easy=True``: one that learns fast, without dropout and with weights as large as those of trained encoders.
    """
    place = tmp_path_factory.mktemp("tiny")

    def base(name: str, *, easy: bool = False) -> Path:
        import tiny

        folder = place / (f"{name}-easy" if easy else name)
        if not folder.exists():
            tiny.build(name, folder)
            if easy:
                tiny.make_easy(folder)
        return folder

    return base


TinyDecoder = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory: pytest.TempPathFactory) -> TinyDecoder:
    """``tiny_decoder("gpt-neox")``: the folder of a tiny decoder of ``tiny_decoders.SHAPES``, built once, read only."""
    place = tmp_path_factory.mktemp("tiny-decoders")

    def decoder(name: str) -> Path:
        import tiny_decoders

        folder = place / name
        if not folder.exists():
            tiny_decoders.build(name, folder)
        return folder

    return decoder


SampleModel = Callable[[str], Path]


@pytest.fixture(scope="session")
def sample_model(tmp_path_factory: pytest.TempPathFactory) -> SampleModel:
    """``sample_model("nikl-ea")``: the folder of a linear model of a sample, trained once, read only: copy it to change it."""
    place = tmp_path_factory.mktemp("samples")

    def model(name: str) -> Path:
        import maeum

        folder = place / name
        if not folder.exists():
            set_language("en")
            maeum.train(f"sample:{name}", valid=0.2, output=folder)
            set_language(None)
        return folder

    return model


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: for tiny models more are slower, and the same numbers everywhere need the same number."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def three() -> Task:
    """A small multilabel task."""
    return Task(
        "three", "multilabel", (Label("기쁨", en="joy"), Label("분노", en="anger"), Label("슬픔", en="sadness"))
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def own_main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests with AppTest: it leaves the page as ``__main__``, which worker processes of later tests would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
