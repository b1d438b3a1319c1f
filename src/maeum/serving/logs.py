"""JSON lines on stderr, one an event, without the texts and keys of requests.

What other packages log comes out as one event each, its exceptions without their sentences: those quote what was sent.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, Literal, TextIO

LOGGER = "maeum.serve"
_FOREIGN = ("uvicorn.error", "asyncio")
Level = Literal["info", "warning", "error"]
_LEVELS: dict[Level, int] = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_GATHER_SECONDS = 0.02
"""Time in which further lines are waited for, so that a line does not wake the writer up each."""
_MOST_LINES = 10_000
"""Lines that may wait for a stream that is slow; what comes then is counted, not kept."""


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
        }
        if record.name == LOGGER:
            line |= {"event": record.getMessage(), **getattr(record, "fields", {})}
        else:
            # the first line only: asyncio appends the repr of tasks and their exceptions
            line |= {"event": record.name, "message": record.getMessage().partition("\n")[0]}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = exception_fields(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def exception_fields(error: BaseException) -> dict[str, Any]:
    """What may be told of an exception: its type and where it was raised, never its sentence."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "type": type(error).__name__,
        "at": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames],
    }


class Behind:
    """A stream whose lines are written by a thread of their own, many in one go.

    Each write lets go of the interpreter lock, and who answers HTTP beside a model that computes waits long to get it back;
    and a stream that nobody reads must not stop the service.
    """

    def __init__(self, stream: TextIO, most: int = _MOST_LINES) -> None:
        self._stream = stream
        self._most = most
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lost = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="maeum-log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Write soon."""
        if self._lines.qsize() < self._most:
            self._lines.put(text)
        else:
            self._lost += 1

    def flush(self) -> None:
        """What waits is written as soon as it can be."""

    def close(self, seconds: float = 2.0) -> None:
        """Write what waits, unless the stream does not take it."""
        self._closing.set()
        self._lines.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        line: str | None = ""
        while line is not None:
            lines = []
            line = self._lines.get()
            self._closing.wait(_GATHER_SECONDS)
            while line is not None:
                lines.append(line)
                if self._lines.empty():
                    break
                line = self._lines.get()
            if self._lost:
                lost, self._lost = self._lost, 0
                lines.append(json.dumps({"level": "warning", "event": "log_lines_lost", "lines": lost}) + "\n")
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                self._stream.write("".join(lines))
                self._stream.flush()


class Log:
    """Where a service says what happens.

    Args:
        stream: stderr if not given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._handler = logging.StreamHandler(stream or sys.stderr)
        self._handler.setFormatter(_JsonLines())

    def __call__(self, event: str, *, error: BaseException | None = None, level: Level = "info", **fields: Any) -> None:
        """Write one event."""
        trouble = (type(error), error, error.__traceback__) if error is not None else None
        # made by hand: a logger would look through the stack for who calls, with every request
        record = logging.LogRecord(LOGGER, _LEVELS[level], "", 0, event, (), trouble)
        record.fields = fields
        self._handler.handle(record)

    @contextlib.contextmanager
    def behind(self) -> Iterator[None]:
        """Write on a thread of its own for the time being."""
        stream = self._handler.stream
        writer = Behind(stream)
        self._handler.setStream(writer)  # all a handler asks of it is write and flush
        try:
            yield
        finally:
            self._handler.setStream(stream)
            writer.close()

    def take_over(self) -> None:
        """Write what the server underneath logs, too, instead of its own lines."""
        for name in _FOREIGN:
            logger = logging.getLogger(name)
            logger.handlers = [self._handler]
            logger.propagate = False
            logger.setLevel(logging.WARNING)
        access = logging.getLogger("uvicorn.access")
        access.handlers, access.propagate = [], False
