"""HTTP/1.1 connections that do not wait for ever, and say an answer in one go."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: TID253 -- the extra serve; only imported to serve

from maeum.serving.door import Door
from maeum.serving.settings import ServeSettings


class _Gathering:
    """A transport that writes once a turn of the loop: head and body of an answer in one packet and one system call."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write at the end of this turn."""
        if data:
            if not self._parts:
                self._loop.call_soon(self.flush)
            self._parts.append(data)

    def close(self) -> None:
        """Write what is left, then close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write now what was gathered."""
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))


def guarded(settings: ServeSettings, door: Door) -> type[H11Protocol]:
    """Connections with two more clocks: for headers that do not come, and for a client that does not read.

    What the door refuses does not get as far as the parser.
    """

    class Guarded(H11Protocol):
        """A connection."""

        _headers_due: asyncio.TimerHandle | None = None
        _reading_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            self._gathering = _Gathering(transport, self.loop)
            super().connection_made(self._gathering)  # type: ignore[arg-type]  # it acts as one
            self._watch_headers()

        def data_received(self, data: bytes) -> None:
            if self._resting():
                refused = door.refuse(data, len(self.tasks), self.server_state.default_headers)
                if refused is not None:
                    self.transport.write(refused)
                    self.on_response_complete()
                    self._headers_due = _stopped(self._headers_due)
                    return
            try:
                super().data_received(data)
            except Exception:  # h11 refuses to answer 400 to a body that breaks while its answer is being sent
                self.transport.abort()
            self._watch_headers()

        def on_response_complete(self) -> None:
            # now, not at the end of the turn: under load a turn is what hundreds of others want
            self._gathering.flush()
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_due = _stopped(self._headers_due)
            self._reading_due = _stopped(self._reading_due)
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reading_due = self.loop.call_later(settings.timeout, self.transport.abort)

        def resume_writing(self) -> None:
            self._reading_due = _stopped(self._reading_due)
            super().resume_writing()

        def _watch_headers(self) -> None:
            """A clock runs while a request has begun to come and its headers are not whole."""
            if self._busy() or self.transport.is_closing():
                self._headers_due = _stopped(self._headers_due)
            elif self._headers_due is None:
                self._headers_due = self.loop.call_later(settings.body_timeout, self._no_headers)

        def _no_headers(self) -> None:
            self._headers_due = None
            resting = self.timeout_keep_alive_task is not None  # nothing has come since the last answer
            if not resting and not self._busy() and not self.transport.is_closing():
                self.transport.close()

        def _resting(self) -> bool:
            """Whether nothing of a request has come that is not answered."""
            conn = self.conn
            idle = conn.our_state is h11.IDLE and conn.their_state is h11.IDLE
            return idle and not conn.trailing_data[0] and not self.transport.is_closing()

        def _busy(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

    return Guarded


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a clock; what it is replaced by."""
    if timer is not None:
        timer.cancel()
    return None
