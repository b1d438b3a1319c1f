"""``/v1/batch``: examples in, predictions out, both a line at a time and at the same time.

Nothing of the body is kept but the lines that are being worked on. Every line that came in goes out as a prediction or
as an error, in order, and the last line says how many: where it is missing, the stream was cut.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Query  # noqa: TID253 -- the extra serve; only imported where a service is made
from starlette.requests import Request  # noqa: TID253 -- the same
from starlette.responses import Response  # noqa: TID253 -- the same
from starlette.types import Receive, Scope, Send  # noqa: TID253 -- the same

from maeum.data import Example
from maeum.formats import prediction_line
from maeum.serving.answers import Answer, prediction
from maeum.serving.lines import ExampleReader, Line, read_lines
from maeum.serving.refusals import Refusal, body_of, internal
from maeum.serving.routes._described import gives
from maeum.serving.service import Service
from maeum.serving.store import Served
from maeum.serving.strictjson import dumps

_CHUNK = 64
"""Lines that go through the model together."""
_AHEAD = 2
"""Chunks that may be asked for while one is sent."""
_TYPES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/json", "text/plain", "")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line as far as it could be read."""

    line: int
    example: Example | None
    error: Refusal | None


@dataclass(frozen=True, slots=True)
class _End:
    """How a body ended: whole, or with what is to be said, or with nobody there to say it to."""

    refusal: Refusal | None = None
    gone: bool = False


class _Broken(Exception):
    """A body ended before its end."""

    def __init__(self, end: _End) -> None:
        super().__init__()
        self.end = end


def router(service: Service) -> APIRouter:
    """The stream."""
    routes = APIRouter(prefix="/v1")
    body = {"application/x-ndjson": {"schema": {"type": "string"}, "example": '{"text": "배송이 늦어요"}\n'}}

    @routes.post(
        "/batch",
        summary="JSONL in, JSONL out, streamed both ways",
        openapi_extra={"requestBody": {"required": True, "content": body}},
        responses={
            **gives(""),
            200: {"description": "Predictions, a line each", "content": {"application/x-ndjson": {}}},
        },
    )
    async def batch(
        request: Request,
        model: str | None = Query(None, max_length=200),
        task: str | None = Query(None, max_length=200),
    ) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _TYPES:
            raise Refusal(
                415,
                "wrong_content_type",
                "본문은 content-type: application/x-ndjson이어야 합니다.",
                "the body should come with content-type: application/x-ndjson",
            )
        served = service.store.get(model)
        name = served.current.head(task).task.name
        return _Stream(service, served, name, request.state.log)

    return routes


class _Stream(Response):
    """A response that reads the request while it is sent."""

    def __init__(self, service: Service, model: Served, task: str, noted: dict[str, Any]) -> None:
        self.service = service
        self.model = model
        self.task = task
        self.noted = noted
        self.reader = ExampleReader()
        self.status_code = 200
        self.background = None
        self.rows = self.errors = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"application/x-ndjson; charset=utf-8"),
            (b"x-model-version", self.model.current.version.encode()),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        rows: asyncio.Queue[_Row | _End] = asyncio.Queue(_CHUNK)
        asked: asyncio.Queue[asyncio.Task[bytes] | _End] = asyncio.Queue(_AHEAD)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.ensure_future(self._read(receive, rows)),
            asyncio.ensure_future(self._submit(rows, asked)),
        ]
        try:
            while not isinstance(got := await asked.get(), _End):
                tasks.append(got)
                await send({"type": "http.response.body", "body": await got, "more_body": True})
                tasks.remove(got)
            if got.gone:
                return
            last = {"done": True, "rows": self.rows, "errors": self.errors}
            if got.refusal is not None:
                last = body_of(got.refusal, "/v1/batch")
            await send({"type": "http.response.body", "body": dumps(last) + b"\n", "more_body": False})
        finally:
            for task in (*tasks, *_left(asked)):
                task.cancel()
            self.noted |= {"rows": self.rows, "line_errors": self.errors}

    async def _read(self, receive: Receive, rows: asyncio.Queue[_Row | _End]) -> None:
        """Put the rows of the body into the queue, then what ended it."""
        ended = False

        async def piece() -> bytes | None:
            nonlocal ended
            if ended:
                return None
            try:
                message = await receive()
            except Refusal as refusal:
                raise _Broken(_End(refusal)) from None
            if message["type"] == "http.disconnect":
                raise _Broken(_End(gone=True))
            ended = not message.get("more_body", False)
            return bytes(message.get("body", b""))

        try:
            async for line in read_lines(piece, self.service.settings.max_payload_bytes):
                await rows.put(self._row(line))
            await rows.put(_End())
        except _Broken as broken:
            await rows.put(broken.end)
        except Exception as error:  # whatever it is, the stream says so: it has no time limit that would end it
            self.service.log("failed", level="error", error=error)
            await rows.put(_End(internal()))

    def _row(self, line: Line) -> _Row:
        try:
            example = self.reader.read(line)
            # what is checked of the texts of other requests is checked here; a target was read with the line
            self.service.input(example.text, None, "text")
        except Refusal as refusal:
            return _Row(line.number, None, refusal)
        return _Row(line.number, example, None)

    async def _submit(self, rows: asyncio.Queue[_Row | _End], asked: asyncio.Queue[asyncio.Task[bytes] | _End]) -> None:
        """Ask the model about what has come, a chunk at a time; full queues make this wait, and with it the client."""
        while True:
            chunk: list[_Row] = []
            item = await rows.get()
            while isinstance(item, _Row):
                chunk.append(item)
                if len(chunk) == _CHUNK or rows.empty():
                    break
                item = rows.get_nowait()
            if chunk:
                await asked.put(asyncio.ensure_future(self._ask(chunk)))
            if isinstance(item, _End):
                await asked.put(item)
                return

    async def _ask(self, chunk: Sequence[_Row]) -> bytes:
        """The answers to some lines, in their order."""
        examples = [row.example for row in chunk if row.example is not None]
        try:
            found = iter(
                await self.model.labels(
                    [example.input for example in examples], task=self.task, seconds=math.inf, patient=True
                )
            )
        except Exception as error:
            # such as a model that was replaced by one without this task: the lines are answered for, one by one
            self.service.log("chunk_failed", level="error", error=error)
            refusal = error if isinstance(error, Refusal) else internal()
            return b"".join(self._error(row.line, row.error or refusal) for row in chunk)
        return b"".join(
            self._error(row.line, row.error or internal())
            if row.example is None
            else self._prediction(row.example, next(found))
            for row in chunk
        )

    def _prediction(self, example: Example, answer: Answer) -> bytes:
        self.rows += 1
        return prediction_line(prediction(example.id, answer)).encode() + b"\n"

    def _error(self, line: int, refusal: Refusal) -> bytes:
        self.errors += 1
        return dumps({"line": line, **body_of(refusal, "/v1/batch")}) + b"\n"


def _left(asked: asyncio.Queue[asyncio.Task[bytes] | _End]) -> list[asyncio.Task[bytes]]:
    """Chunks that nobody will send."""
    found = []
    while not asked.empty():
        item = asked.get_nowait()
        if not isinstance(item, _End):
            found.append(item)
    return found
