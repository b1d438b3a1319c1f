"""The gate: keys, sizes, speeds, how many at a time, how long; and what the log and the counters say of it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from maeum.serving.lifecycle import Lifecycle
from maeum.serving.limits import Gate
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.refusals import Refusal
from maeum.serving.settings import ServeSettings


class Place:
    """A gate in front of an app that can be told what to do, and what was sent to the client."""

    def __init__(self, app: Any = None, *, keys: Sequence[bytes] = (), **settings: Any) -> None:
        self.settings = ServeSettings(**settings)
        self.lifecycle = Lifecycle(self.settings.drain_seconds, self.settings.linger_seconds)
        self.metrics = Metrics()
        self.stream = io.StringIO()
        self.bodies: list[bytes] = []
        self.cancelled = False
        self.gate = Gate(
            app or self.echo,
            settings=self.settings,
            keys=keys,
            lifecycle=self.lifecycle,
            metrics=self.metrics,
            log=Log(self.stream),
        )

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.bodies.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})

    async def sleep(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def ask(
        self,
        pieces: Sequence[bytes | float] = (b"",),
        *,
        path: str = "/v1/emotions",
        method: str = "POST",
        headers: dict[str, str] | None = None,
        leaves: float | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request; a number among the pieces is a pause, ``leaves`` when the client goes away after its body."""
        left = list(pieces)
        end = asyncio.Event()
        sent: list[Any] = []

        async def receive() -> Any:
            while left and isinstance(left[0], float):
                await asyncio.sleep(left.pop(0))
            if left:
                return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
            if leaves is not None:
                await asyncio.sleep(leaves)
            else:
                await end.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b"", "root_path": ""}
        await self.gate(scope, receive, send)
        if not sent:
            return 0, {}, b""
        start = sent[0]
        names = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], names, b"".join(message.get("body", b"") for message in sent[1:])

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def run(work: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work(), 20))


def code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


def test_a_body_comes_through_whole() -> None:
    place = Place()
    status, headers, body = run(lambda: place.ask([b"one ", b"two"]))
    assert (status, body, place.bodies) == (200, b"ok", [b"one two"])
    (event,) = place.events
    assert event["event"] == "request"
    assert (event["status"], event["bytes_in"], event["id"]) == (200, 7, headers["x-request-id"])
    assert place.lifecycle.in_flight == 0


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_X", True), ("a b", False), ("x" * 129, False), ('"}\n{', False), ("", False)]
)
def test_request_ids_are_kept_if_they_are_harmless(given: str, kept: bool) -> None:
    _, headers, _ = run(lambda: Place().ask(headers={"X-Request-ID": given}))
    assert (headers["x-request-id"] == given) == kept
    assert 1 <= len(headers["x-request-id"]) <= 128


def test_large_bodies_are_refused_by_what_they_say_and_by_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maeum.serving.limits._LINGER_SECONDS", 0.05)
    place = Place(max_payload_bytes=100)
    for pieces, headers in (([b"x" * 60, b"y" * 60], {}), ([b""], {"content-length": "101"})):
        status, answer, body = run(lambda pieces=pieces, headers=headers: place.ask(pieces, headers=headers))
        assert (status, code(body), answer["connection"]) == (413, "too_large", "close")
    assert place.bodies == []
    assert run(lambda: place.ask([b"x" * 100]))[0] == 200


def test_slow_bodies_are_given_up() -> None:
    place = Place(body_timeout=0.05)
    status, _, body = run(lambda: place.ask([b"{", 0.03, b" ", 0.03, b" ", 0.03, b"}"]))
    assert (status, code(body)) == (408, "slow_body")


def test_keys() -> None:
    place = Place(keys=(b"first", b"second-key"))
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic first"},
        {"authorization": "first"},
        {"x-api-key": ""},
        {"x-api-key": "firs"},
        {"authorization": "Bearer \xff"},
    ):
        status, answer, body = run(lambda headers=headers: place.ask(headers=headers))
        assert (status, code(body), answer["www-authenticate"]) == (401, "unauthorized", "Bearer")
    for headers in ({"authorization": "Bearer first"}, {"Authorization": "bearer second-key"}, {"x-api-key": "first"}):
        assert run(lambda headers=headers: place.ask(headers=headers))[0] == 200
    assert run(lambda: place.ask(path="/health", method="GET"))[0] == 200
    assert run(lambda: place.ask(path="/metrics", method="GET"))[0] == 401
    assert "second-key" not in place.stream.getvalue()


def test_more_at_a_time_than_there_may_be_are_refused_at_once() -> None:
    place = Place(max_concurrency=2, timeout=5)
    place.gate.app = place.sleep

    async def work() -> None:
        busy = [asyncio.ensure_future(place.ask()) for _ in range(2)]
        await asyncio.sleep(0.01)
        status, headers, body = await place.ask()
        assert (status, code(body), headers["retry-after"]) == (429, "overloaded", "1")
        place.gate.app = place.echo
        assert (await place.ask(path="/health", method="GET"))[0] == 200
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        assert (await place.ask())[0] == 200

    run(work)
    assert place.lifecycle.in_flight == 0


def test_streams_have_a_limit_of_their_own() -> None:
    place = Place(max_streams=1)
    place.gate.app = place.sleep

    async def work() -> None:
        busy = asyncio.ensure_future(place.ask(path="/v1/batch"))
        await asyncio.sleep(0.01)
        assert (await place.ask(path="/v1/batch"))[0] == 429
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        place.gate.app = place.echo
        assert (await place.ask(path="/v1/batch"))[0] == 200

    run(work)


def test_requests_end_after_their_time() -> None:
    place = Place(timeout=0.05)
    place.gate.app = place.sleep
    status, headers, body = run(place.ask)
    assert (status, code(body)) == (503, "timeout")
    assert headers["retry-after"]
    assert place.cancelled


def test_a_client_that_goes_away_cancels_its_work() -> None:
    place = Place()
    place.gate.app = place.sleep
    assert run(lambda: place.ask(leaves=0.02)) == (0, {}, b"")
    assert place.cancelled
    assert place.events[-1]["status"] == 499
    assert place.lifecycle.in_flight == 0


def test_draining() -> None:
    place = Place(drain_seconds=30, linger_seconds=0.05)
    assert place.lifecycle.ready
    place.lifecycle.drain()
    assert not place.lifecycle.ready

    async def work() -> None:
        assert (await place.ask())[0] == 200
        assert not place.lifecycle.over
        await asyncio.sleep(0.06)
        status, headers, body = await place.ask()
        assert (status, code(body)) == (503, "draining")
        assert headers["retry-after"]
        assert (await place.ask(path="/health", method="GET"))[0] == 200
        assert place.lifecycle.over

    run(work)


def test_draining_waits_for_what_has_begun_but_not_for_ever() -> None:
    lifecycle = Lifecycle(drain_seconds=0.05, linger_seconds=0)
    lifecycle.in_flight = 1
    assert not lifecycle.over
    lifecycle.drain()
    assert not lifecycle.over
    asyncio.run(asyncio.sleep(0.06))
    assert lifecycle.over


def test_mistakes_of_ours_tell_nothing() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("비밀 글")

    place = Place(broken)
    status, _, body = run(place.ask)
    assert (status, code(body)) == (500, "internal")
    assert "비밀" not in body.decode() + place.stream.getvalue()
    failed = place.events[0]
    assert failed["exception"]["type"] == "ValueError"
    assert any("broken" in frame for frame in failed["exception"]["at"])


@pytest.mark.parametrize(
    ("path", "keys"),
    [("/v1/emotions", {"code", "message"}), ("/predict", None), ("/", None), ("/v2/models/x/infer", None)],
)
def test_errors_speak_the_dialect_of_their_address(path: str, keys: set[str] | None) -> None:
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        raise Refusal(422, "invalid", "틀렸습니다", "this is wrong")

    _, _, body = run(lambda: Place(refuses).ask(path=path))
    error = json.loads(body)["error"]
    assert (set(error) == keys) if keys else error == "this is wrong"
    assert ("error_type" in json.loads(body)) == (path in ("/predict", "/"))


def test_compressed_bodies_are_refused() -> None:
    status, _, body = run(lambda: Place().ask([b"\x1f\x8b"], headers={"content-encoding": "gzip"}))
    assert (status, code(body)) == (415, "wrong_content_type")


def test_counters_do_not_grow_with_what_clients_make_up() -> None:
    place = Place()

    async def work() -> None:
        for number in range(20):
            await place.ask(path=f"/made/up/{number}", method=f"VERB{number}")

    run(work)
    shown = place.metrics.render().decode()
    assert 'maeum_requests_total{method="other",route="other",status="200"} 20.0' in shown
    assert "made" not in shown + place.stream.getvalue()
