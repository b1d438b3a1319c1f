"""JSON lines on stderr, one an event, without the texts and keys of requests.

What other packages log comes out as one event each, its exceptions without their sentences: those quote what was sent.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any, TextIO

LOGGER = "maeum.serve"
_FOREIGN = ("uvicorn.error", "asyncio")


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


class Log:
    """Where a service says what happens.

    Args:
        stream: stderr if not given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._handler = logging.StreamHandler(stream or sys.stderr)
        self._handler.setFormatter(_JsonLines())
        # made by hand, not by name: two services in one process do not write into each other's streams
        self._logger = logging.Logger(LOGGER, logging.INFO)
        self._logger.addHandler(self._handler)

    def __call__(self, event: str, *, error: BaseException | None = None, level: str = "info", **fields: Any) -> None:
        """Write one event."""
        number = logging.getLevelNamesMapping()[level.upper()]
        self._logger.log(number, event, extra={"fields": fields}, exc_info=error)

    def take_over(self) -> None:
        """Write what the server underneath logs, too, instead of its own lines."""
        for name in _FOREIGN:
            logger = logging.getLogger(name)
            logger.handlers = [self._handler]
            logger.propagate = False
            logger.setLevel(logging.WARNING)
        access = logging.getLogger("uvicorn.access")
        access.handlers, access.propagate = [], False
