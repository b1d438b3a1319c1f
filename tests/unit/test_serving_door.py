"""Refusals before the parser: which requests they are, what they say, and that nothing else is touched."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator

import h11
import pytest
from serving_kit import Running, answered, feelings, serving

from maeum.folder import save
from maeum.serving.door import Door
from maeum.serving.lifecycle import Lifecycle
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.settings import ServeSettings

BODY = '{"texts": ["몰래 쓴 글"]}'.encode()
DATE = [(b"date", b"now")]


def request(body: bytes = BODY, *, line: str = "POST /v1/emotions HTTP/1.1", **fields: str) -> bytes:
    """A whole request; ``fields`` replace headers, "-" leaves one out."""
    headers = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value != "-")]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Place:
    """A door, and what it tells."""

    def __init__(self, **settings: object) -> None:
        self.settings = ServeSettings(max_concurrency=4, **settings)  # type: ignore[arg-type]
        self.lifecycle = Lifecycle(1, 0)
        self.metrics = Metrics()
        self.stream = io.StringIO()
        self.door = Door(self.settings, self.lifecycle, self.metrics, Log(self.stream))

    def says(self, data: bytes, under_way: int = 4) -> bytes | None:
        return self.door.refuse(data, under_way, DATE)


def test_one_too_many_is_told_so() -> None:
    place = Place()
    said = place.says(request())
    assert said is not None
    assert answered(said)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\ndate: now\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert int(fields[b"retry-after"]) >= 1
    assert json.loads(body)["error"]["code"] == "overloaded"
    event = json.loads(place.stream.getvalue())
    assert (event["status"], event["code"], event["bytes_in"]) == (429, "overloaded", len(BODY))
    assert event["id"] == fields[b"x-request-id"].decode()
    assert "몰래" not in place.stream.getvalue()
    counted = place.metrics.render().decode()
    assert 'maeum_requests_total{method="POST",route="other",status="429"} 1.0' in counted
    assert 'maeum_requests_refused_total{code="overloaded"} 1.0' in counted


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("POST /predict HTTP/1.1", {"error", "error_type"}),
        ("POST /?a=b HTTP/1.1", {"error", "error_type"}),
        ("POST /v2/models/mini/infer HTTP/1.1", {"error"}),
        ("POST /front/predict HTTP/1.1", {"error", "error_type"}),
    ],
)
def test_it_speaks_the_dialect_of_the_address(line: str, keys: set[str]) -> None:
    said = Place(root_path="/front" if "front" in line else "").says(request(line=line))
    assert said is not None
    assert set(json.loads(said.partition(b"\r\n\r\n")[2])) == keys


def test_there_is_room() -> None:
    assert Place().says(request(), under_way=3) is None


def test_a_service_that_ends_says_so_in_the_usual_way() -> None:
    place = Place()
    place.lifecycle.drain()
    assert place.says(request()) is None


@pytest.mark.parametrize(
    "data",
    [
        request(line="GET /v1/models HTTP/1.1"),
        request(line="POST /v1/emotions HTTP/1.0"),
        request(line="POST  /v1/emotions HTTP/1.1"),
        request(line="POST /한글 HTTP/1.1"),
        request(line="POST /health HTTP/1.1"),
        request(Content_Length=str(len(BODY) + 1)),
        request(Content_Length=str(len(BODY) - 1)),
        request(Content_Length=f"+{len(BODY)}"),
        request(Content_Length="-"),
        request(content_length=str(len(BODY))),  # twice
        request(Transfer_Encoding="chunked"),
        request(transfer_encoding="CHUNKED"),
        request(Expect="100-continue"),
        request(Upgrade="websocket"),
        request(Connection="close"),
        request(Connection="keep-alive, close"),
        request(Origin="https://example.org"),
        request(X_Request_Id="mine"),
        request(Host="-"),
        request(host="y"),  # twice
        request(X_Folded="a\r\n b"),
        request(X_Nul="a\0b"),
        request(X_Long="a" * 2000),
        request() + request(),
        request()[:-1],
        request()[:40],
        b"\x16\x03\x01",
        b"",
    ],
)
def test_what_is_not_plain_and_whole_goes_to_the_parser(data: bytes) -> None:
    place = Place()
    assert place.says(data) is None
    assert not place.stream.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = save(feelings(), tmp_path_factory.mktemp("door") / "feelings")
    with serving([str(folder)], max_concurrency=1, keep_alive=1, body_timeout=0.5) as running:
        yield running


def receive(connection: socket.socket) -> bytes:
    found = b""
    while not answered(found) and (part := connection.recv(65536)):
        found += part
    return found


def test_a_connection_goes_on_after_it_was_refused(place: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    go, begun = threading.Event(), threading.Event()
    batcher = next(iter(place.service.store.models.values())).batcher
    real = batcher.answer

    def held(key: object, items: object) -> object:
        begun.set()
        assert go.wait(10)
        return real(key, items)  # type: ignore[arg-type]

    monkeypatch.setattr(batcher, "answer", held)
    host, port = place.url.removeprefix("http://").rsplit(":", 1)
    links = [socket.create_connection((host, int(port)), timeout=10) for _ in range(2)]
    try:
        links[0].sendall(request())
        assert begun.wait(10)
        for _ in range(3):
            links[1].sendall(request())
            assert receive(links[1]).startswith(b"HTTP/1.1 429")
        links[1].sendall(request()[:60])  # in two pieces: the parser waits for the rest
        threading.Timer(0.1, links[1].sendall, (request()[60:],)).start()
        assert receive(links[1]).startswith(b"HTTP/1.1 429")
        go.set()
        assert receive(links[0]).startswith(b"HTTP/1.1 200")
        links[1].sendall(request())
        assert receive(links[1]).startswith(b"HTTP/1.1 200")
    finally:
        go.set()
        for link in links:
            link.close()


def test_a_connection_that_was_only_refused_rests_like_others(place: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Door.refuse
    monkeypatch.setattr(Door, "refuse", lambda self, data, under_way, headers: real(self, data, 99, headers))
    host, port = place.url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as link:
        for _ in range(2):
            link.sendall(request())
            assert receive(link).startswith(b"HTTP/1.1 429")
            time.sleep(0.7)  # longer than headers may take, shorter than a connection may rest
        began = time.perf_counter()
        assert link.recv(1) == b""
        assert time.perf_counter() - began < 2


def test_what_the_door_refuses_is_what_the_parser_would_take() -> None:
    for data in (
        request(),
        request(b""),
        request(Accept="*/*", User_Agent="x y/1", X_Api_Key="a=b;c", Connection="Keep-Alive"),
    ):
        assert Place().says(data) is not None
        parser = h11.Connection(h11.SERVER)
        parser.receive_data(data)
        events = [parser.next_event()]
        while not isinstance(events[-1], h11.EndOfMessage):
            assert events[-1] is not h11.NEED_DATA
            events.append(parser.next_event())
        assert parser.trailing_data[0] == b""
        assert isinstance(events[0], h11.Request)
