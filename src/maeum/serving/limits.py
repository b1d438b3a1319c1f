"""The gate in front of all routes: keys, how many at a time, how large, how slow, how long.

Pure ASGI. Except for streams, a body is read here, whole and within its limits, before anything else looks at the
request; a client that goes away cancels what was begun for it. Every request leaves one line in the log and one count
in the metrics, under the pattern of its route and never under what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from maeum.serving import refusals
from maeum.serving.lifecycle import Lifecycle
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.refusals import Refusal
from maeum.serving.settings import ServeSettings
from maeum.serving.strictjson import dumps

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/health", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"})
"""Answered without a key, at any time: probes have none."""
STREAMS = frozenset({"/v1/batch"})
"""Routes that read their body themselves, and may take as long as they like."""

HEADER_BYTES = 32 << 10
"""Of all headers together."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 64 << 20


class _Gone(Exception):
    """The client went away."""


class Gate:
    """See the module.

    Args:
        app: what answers.
        settings: the limits.
        keys: any of them opens the door; none: it stands open.
        lifecycle, metrics, log: those of the service.
    """

    def __init__(
        self,
        app: App,
        *,
        settings: ServeSettings,
        keys: Sequence[bytes],
        lifecycle: Lifecycle,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.app = app
        self.settings = settings
        self.keys = tuple(keys)
        self.lifecycle = lifecycle
        self.metrics = metrics
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        await _Visit(self, dict(scope), receive, send).run()

    def check_key(self, headers: dict[bytes, bytes]) -> None:
        """Refuse a request without a key that is known, in constant time.

        Raises:
            Refusal: 401.
        """
        given = headers.get(b"x-api-key", b"")
        kind, _, word = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer":
            given = word.strip()
        # every key is compared, so that the time does not tell which of them comes near
        if not sum([hmac.compare_digest(given, key) for key in self.keys]):
            raise refusals.unauthorized()


class _Visit:
    """One request on its way through the gate."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate = gate
        self.scope = scope
        self.receive = receive
        self.deliver = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        root = scope.get("root_path", "")
        path: str = scope["path"]
        self.path = path.removeprefix(root) if root else path
        self.status = 0
        self.refused = ""
        self.bytes_in = 0
        self.unread = False
        self.began = time.perf_counter()
        self.id = request_id(self.headers.get(b"x-request-id"))
        scope["state"] = {**scope.get("state", {}), "request_id": self.id, "log": {}}
        if scope["method"] == "HEAD":
            scope["method"] = "GET"  # the server leaves the body out

    async def run(self) -> None:
        """Answer, whatever happens."""
        metrics, lifecycle = self.gate.metrics, self.gate.lifecycle
        counted = self.path not in OPEN
        stream = self.path in STREAMS
        lifecycle.in_flight += counted
        lifecycle.streams += stream
        metrics.in_flight.inc()
        try:
            self._check_head()
            if counted:
                self._admit(stream)
            await (self._stream() if stream else self._whole())
        except Refusal as refusal:
            await self._refuse(refusal)
        except _Gone:
            self.status = self.status or 499
        except asyncio.CancelledError:
            # the server ends and will not wait any longer
            await self._refuse(refusals.draining())
        except Exception as error:
            self.gate.log("failed", level="error", error=error, id=self.id)
            await self._refuse(refusals.internal())
        finally:
            metrics.in_flight.dec()
            lifecycle.in_flight -= counted
            lifecycle.streams -= stream
            self._note()

    def _check_head(self) -> None:
        """What the HTTP parser lets through where a head comes in one piece."""
        host = self.headers.get(b"host", b"")
        if self.scope.get("http_version", "1.1") not in ("1.0", "1.1", "2") or len(host.split()) > 1:
            raise Refusal(400, "bad_request", "HTTP 요청이 틀렸습니다.", "this is not a proper HTTP request")
        if sum(len(name) + len(value) for name, value in self.scope["headers"]) > HEADER_BYTES:
            raise Refusal(431, "headers_too_large", "머리글이 너무 깁니다.", "the headers are too long")

    def _admit(self, stream: bool) -> None:
        lifecycle, settings = self.gate.lifecycle, self.gate.settings
        if self.gate.keys:
            self.gate.check_key(self.headers)
        if not lifecycle.accepting:
            raise refusals.draining()
        if lifecycle.in_flight > settings.max_concurrency or (stream and lifecycle.streams > settings.max_streams):
            raise refusals.overloaded()
        if self.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refusal(415, "wrong_content_type", "압축한 본문은 받지 않습니다.", "compressed bodies are not taken")

    # -- ways through -----------------------------------------------------------------------------------------

    async def _whole(self) -> None:
        """Read the body, then let the app answer within the time there is."""
        settings = self.gate.settings
        body = await self._body(settings.max_payload_bytes, settings.body_timeout)
        self.scope["state"]["deadline"] = time.monotonic() + settings.timeout
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                await asyncio.Event().wait()  # who waits for the client to go away is cancelled here instead
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        own = asyncio.current_task()
        assert own is not None
        watcher = asyncio.ensure_future(self.receive())  # after the body there is nothing to come but the end
        gone = answered = False

        def leave(future: asyncio.Future[Message]) -> None:
            nonlocal gone
            if not answered and not future.cancelled():
                gone = True
                own.cancel()

        watcher.add_done_callback(leave)
        try:
            async with asyncio.timeout(settings.timeout):
                await self.gate.app(self.scope, replay, self._send)
        except TimeoutError:
            raise refusals.timed_out(settings.timeout) from None
        except asyncio.CancelledError:
            if gone:
                own.uncancel()
                raise _Gone from None
            raise
        finally:
            answered = True  # the callback may be on its way already
            watcher.cancel()

    async def _stream(self) -> None:
        """Let the app read by itself, a piece at a time."""
        seconds = self.gate.settings.body_timeout

        async def patient() -> Message:
            try:
                message = await asyncio.wait_for(self.receive(), seconds)
            except TimeoutError:
                raise refusals.slow_body(seconds) from None
            self.bytes_in += len(message.get("body", b""))
            return message

        self.scope["state"]["deadline"] = float("inf")
        await self.gate.app(self.scope, patient, self._send)

    async def _body(self, limit: int, seconds: float) -> bytes:
        self.unread = True
        with contextlib.suppress(ValueError):  # the server below has checked that it is a number
            if int(self.headers.get(b"content-length", b"0")) > limit:
                raise refusals.too_large(limit)
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    parts.append(message.get("body", b""))
                    self.bytes_in += len(parts[-1])
                    if self.bytes_in > limit:
                        raise refusals.too_large(limit)
                    if not message.get("more_body", False):
                        self.unread = False
                        return b"".join(parts)
        except TimeoutError:
            raise refusals.slow_body(seconds) from None

    # -- answers ----------------------------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.id.encode())]
        await self.deliver(message)

    async def _refuse(self, refusal: Refusal) -> None:
        self.refused = refusal.code
        if self.status:
            return  # the answer has begun: all that can be done is to break it off
        content = dumps(refusals.body_of(refusal, self.path))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
        ]
        await self._send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        closing = self.unread and "Connection" in refusal.headers
        await self.deliver({"type": "http.response.body", "body": content, "more_body": closing})
        if closing:
            # closing with bytes unread resets the connection, and the client may lose the answer
            await self._leave_unread()
            await self.deliver({"type": "http.response.body", "body": b"", "more_body": False})

    async def _leave_unread(self) -> None:
        seen = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while seen < _LINGER_BYTES:
                    message = await self.receive()
                    seen += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    def _note(self) -> None:
        seconds = time.perf_counter() - self.began
        route = getattr(self.scope.get("route"), "path", None) or (
            self.path if self.path in OPEN or self.path in STREAMS else "other"
        )
        method = self.scope["method"] if self.scope["method"] in _METHODS else "other"
        metrics = self.gate.metrics
        metrics.requests.labels(method, route, str(self.status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        if self.refused:
            metrics.refused.labels(self.refused).inc()
        fields: dict[str, Any] = {
            "id": self.id,
            "method": method,
            "route": route,
            "status": self.status,
            "ms": round(seconds * 1000, 2),
            "bytes_in": self.bytes_in,
        }
        if self.refused:
            fields["code"] = self.refused
        self.gate.log("request", **fields, **self.scope["state"]["log"])


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def request_id(given: bytes | None) -> str:
    """The id a client gave, if it is harmless in headers and logs; else a new one."""
    word = (given or b"").decode("latin-1")
    return word if _REQUEST_ID.fullmatch(word) else f"{_PROCESS}-{next(_NUMBERS):x}"


_PROCESS = secrets.token_hex(8)
_NUMBERS = itertools.count(1)
"""Ids are counted: fresh random bytes for each would let go of the interpreter lock, and wait for it again."""
