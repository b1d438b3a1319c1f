"""A service on a free port of this machine, in a thread; raw requests, and its log."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from review_kit import SHOP, planted

from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.models.linear import LinearClassifier
from maeum.reviews import ReviewPredictor, aspect_rows, sentiment_rows
from maeum.serving.logs import Log
from maeum.serving.running import listen, make_server, make_service, url_of
from maeum.serving.service import Service
from maeum.serving.settings import ServeSettings
from maeum.task import Label, Task
from maeum.text import TextPrep


@dataclass
class Running:
    """A service that answers."""

    url: str
    service: Service
    stream: io.StringIO

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def told(self, enough: Callable[[list[dict[str, Any]]], Any], seconds: float = 10.0) -> list[dict[str, Any]]:
        """The log once it holds enough: an answer leaves before its line is written."""
        until = time.monotonic() + seconds
        while not enough(self.events):
            assert time.monotonic() < until, self.events[-8:]
            time.sleep(0.01)
        return self.events

    def post(self, path: str, value: Any, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=value, timeout=30, trust_env=False, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, trust_env=False, **options)

    def raw(self, data: bytes | Sequence[bytes], *, pause: float = 0.0, seconds: float = 10.0) -> bytes:
        """What comes back for bytes sent as they are, in pieces with pauses between, until the server closes or answers."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=seconds) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for number, piece in enumerate([data] if isinstance(data, bytes) else data):
                    if number and pause:
                        time.sleep(pause)
                    connection.sendall(piece)
            found = b""
            with contextlib.suppress(ConnectionResetError):
                while not answered(found) and (part := connection.recv(65536)):
                    found += part
            return found


def answered(found: bytes) -> bool:
    """Whether a whole response with a content-length is there."""
    head, end, body = found.partition(b"\r\n\r\n")
    if not end:
        return False
    if b"transfer-encoding: chunked" in head.lower():
        return body.endswith(b"\r\n0\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return False


@contextlib.contextmanager
def serving(models: Sequence[str], *, keys: Sequence[bytes] = (), **settings: Any) -> Iterator[Running]:
    """A service of these models; ``settings`` are those of ``ServeSettings``."""
    chosen = ServeSettings(**{"port": 0, "reload_seconds": 0, **settings})
    stream = io.StringIO()
    log = Log(stream)
    with listen(chosen.host, chosen.port) as listener:
        service = make_service(models, chosen, log)
        service.store.start()
        server = make_server(service, keys)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = url_of(listener)
        while not server.started:
            time.sleep(0.01)
        try:
            yield Running(url, service, stream)
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
            service.store.stop()
            assert not thread.is_alive()


FEELINGS = Task(
    "feelings", "multilabel", (Label("기쁨", en="joy"), Label("분노", en="anger"), Label("슬픔", en="sadness"))
)
POLAR = Task("polar", "multiclass", (Label("neg", ko="부정"), Label("pos", ko="긍정")))
_WORDS = {"기쁨": "기쁘고 행복한", "분노": "화가 나고 분한", "슬픔": "슬퍼서 눈물이"}
TEXTS = tuple(f"{n}번째 날은 {word} 하루였다" for n in range(20) for word in _WORDS.values())


def feelings(seed: int = 1) -> Analyzer:
    """A small model of three feelings."""
    y = np.array([[int(word in text) for word in _WORDS.values()] for text in TEXTS], np.uint8)
    return Analyzer(
        LinearClassifier(FEELINGS, seed=seed).fit(list(map(Input, TEXTS)), y), prep=TextPrep.named("default")
    )


def polar() -> Analyzer:
    """A small model of two labels that exclude each other."""
    y = np.array([[int("기쁘" not in text), int("기쁘" in text)] for text in TEXTS], np.uint8)
    return Analyzer(LinearClassifier(POLAR, seed=1).fit(list(map(Input, TEXTS)), y), prep=TextPrep.named("default"))


def reviews() -> Analyzer:
    """A small review model."""
    rows = planted(90)
    first, second = aspect_rows(rows), sentiment_rows(rows)
    prep = TextPrep.named("default")
    stages = [
        Analyzer(LinearClassifier(data.task, seed=1).fit(data.inputs, data.y), prep=prep) for data in (first, second)
    ]
    return Analyzer(ReviewPredictor(SHOP, *stages), prep=TextPrep.named("raw"))
