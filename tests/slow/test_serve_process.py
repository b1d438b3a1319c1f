"""``maeum serve`` in a process of its own: start, signals, replacing models under load, memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_kit import TEXTS, feelings, polar

from maeum.folder import save

pytestmark = pytest.mark.slow


class Process:
    """A service in a process, and what it logs."""

    def __init__(self, *words: object, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "maeum", "serve", *map(str, words)],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "MAEUM_LANG": "en", "OMP_NUM_THREADS": "1", "MAEUM_SERVE_PORT": "0", **environ},
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.url = str(self.wait_for("listening")["url"])

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines += iter(self.process.stderr)

    def wait_for(self, event: str, seconds: float = 60) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in list(self.lines):
                if f'"event": "{event}"' in line:
                    return dict(json.loads(line))
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {event!r} in:\n" + "".join(self.lines))

    def end(self, seconds: float = 30) -> int:
        code = self.process.wait(seconds)
        self.reader.join(5)
        return code

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def process(*words: object, **environ: str) -> Iterator[Process]:
    started = Process(*words, **environ)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()
        for pipe in (started.process.stdout, started.process.stderr):
            if pipe is not None:
                started.reader.join(5)
                pipe.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("process")
    save(feelings(), place / "feelings")
    save(polar(), place / "polar")
    return place


def slow_stream(url: str) -> socket.socket:
    """A batch stream that has begun and will not end by itself."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=15)
    connection.sendall(b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    send_line(connection, "하나")
    assert b"row-000001" in receive_until(connection, b"row-000001")
    return connection


def send_line(connection: socket.socket, text: str) -> None:
    line = json.dumps({"text": text}).encode() + b"\n"
    connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))


def receive_until(connection: socket.socket, mark: bytes) -> bytes:
    found = b""
    while mark not in found and (part := connection.recv(65536)):
        found += part
    return found


def test_sigterm_finishes_what_has_begun(folder: Path) -> None:
    with process(folder / "feelings", "--drain-seconds", "20") as service:
        connection = slow_stream(service.url)
        with httpx.Client(base_url=service.url, trust_env=False) as client:
            assert client.get("/v2/health/ready").status_code == 200
            service.process.send_signal(signal.SIGTERM)
            service.wait_for("draining", 5)
            # readiness is gone at once, new work is refused, what has begun goes on
            assert client.get("/v2/health/ready").status_code == 503
            assert client.get("/health").status_code == 503
            assert client.get("/v2/health/live").status_code == 200
            refused = client.post("/v1/emotions", json={"texts": ["글"]})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        send_line(connection, "둘")
        assert b"row-000002" in receive_until(connection, b"row-000002")
        connection.sendall(b"0\r\n\r\n")
        assert b'{"done":true,"rows":2,"errors":0}' in receive_until(connection, b"done")
        began = time.monotonic()
        assert service.end() == 0
        assert time.monotonic() - began < 5
        connection.close()
        assert '"event": "stopped"' in service.lines[-1]


def test_draining_is_bounded_and_a_cut_stream_is_seen(folder: Path) -> None:
    with process(folder / "feelings", "--drain-seconds", "0.5") as service:
        connection = slow_stream(service.url)
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionResetError):
            assert b'"done"' not in receive_until(connection, b"done")
        assert service.end() == 0
        assert 0.4 < time.monotonic() - began < 10
        connection.close()


def test_a_second_signal_does_not_wait(folder: Path) -> None:
    with process(folder / "feelings") as service:
        connection = slow_stream(service.url)
        service.process.send_signal(signal.SIGINT)
        service.wait_for("draining", 5)
        service.process.send_signal(signal.SIGINT)
        service.end(10)
        connection.close()


def test_a_kill_loses_no_accepted_line_silently(folder: Path) -> None:
    with process(folder / "feelings") as service:
        connection = slow_stream(service.url)
        for text in TEXTS[:5]:
            send_line(connection, text)
        service.process.kill()
        with contextlib.suppress(ConnectionResetError):
            assert b'"done"' not in receive_until(connection, b"done")
        connection.close()


def test_a_model_is_replaced_under_load_without_an_error(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "feelings", tmp_path / "m")
    with process(tmp_path / "m", MAEUM_SERVE_RELOAD_SECONDS="0.1") as service:
        seen: list[tuple[int, str]] = []
        stop = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=service.url, trust_env=False, timeout=20) as client:
                while not stop.is_set():
                    answer = client.post("/v1/emotions", json={"texts": list(TEXTS[:3])})
                    seen.append((answer.status_code, next(iter(answer.json()["results"][0]["scores"]))))

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            for _ in range(3):
                for name in ("polar", "feelings"):
                    count = sum('"model_replaced"' in line for line in service.lines)
                    save(polar() if name == "polar" else feelings(), tmp_path / "m", overwrite=True)
                    until = time.monotonic() + 20
                    while sum('"model_replaced"' in line for line in service.lines) == count:
                        assert time.monotonic() < until
                        time.sleep(0.02)
                    time.sleep(0.1)
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert {status for status, _ in seen} == {200}
        assert {task for _, task in seen} == {"feelings", "polar"}


def test_overload_is_refused_quickly_and_memory_stays_flat(folder: Path) -> None:
    limits = ("--max-queue", "64", "--max-texts", "64", "--batch-texts", "16", "--max-concurrency", "48")
    with process(folder / "feelings", *limits) as service:
        body = {"texts": [text * 8 for text in TEXTS[:32]]}
        statuses: list[int] = []
        refusals: list[float] = []

        def ask() -> None:
            with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as client:
                for _ in range(25):
                    began = time.perf_counter()
                    answer = client.post("/v1/emotions", json=body)
                    statuses.append(answer.status_code)
                    if answer.status_code == 429:
                        refusals.append(time.perf_counter() - began)
                        assert int(answer.headers["retry-after"]) >= 1

        httpx.post(service.url + "/v1/emotions", json=body, trust_env=False, timeout=30)
        before = service.memory
        clients = [threading.Thread(target=ask) for _ in range(24)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert set(statuses) == {200, 429}
        assert statuses.count(429) > 20
        assert sorted(refusals)[len(refusals) // 2] < 1.0
        assert service.memory - before < 60 << 20
        assert httpx.post(service.url + "/v1/emotions", json=body, trust_env=False, timeout=30).status_code == 200


def test_the_environment_is_enough(folder: Path) -> None:
    environ = {"MAEUM_SERVE_MODELS": f"a={folder / 'feelings'} b={folder / 'polar'}", "MAEUM_API_KEYS": "k1,k2"}
    with process(**environ) as service:
        asked = {"texts": ["글"], "model": "b"}
        assert httpx.post(service.url + "/v1/emotions", json=asked, trust_env=False).status_code == 401
        headers = {"authorization": "Bearer k2"}
        assert httpx.post(service.url + "/v1/emotions", json=asked, headers=headers, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("없는폴더",), 1, "no model folder"),
        (("a/b=c",), 1, "cannot stand"),
        (("--port", "99999"), 1, "--port"),
        (("--port", "x"), 2, "--port"),
        (("--host", "192.0.2.1"), 1, "cannot listen"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_sentence(words: tuple[str, ...], code: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "maeum", "serve", *words],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "MAEUM_LANG": "en"},
        timeout=60,
    )
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
