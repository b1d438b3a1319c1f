"""What is refused at the door: while as many requests are under way as may be, one more is told so before it is parsed.

Far more may come than can be answered, and all of it goes through one thread: what a refusal costs decides how soon it
comes, and how much is left for those who are answered. Only a whole, plain request is refused here, byte for byte what the
parser would take; anything else goes the way of all others and is refused behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from maeum.serving.lifecycle import Lifecycle
from maeum.serving.limits import OPEN, request_id
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.refusals import body_of, overloaded
from maeum.serving.settings import ServeSettings
from maeum.serving.strictjson import dumps

_HEAD = re.compile(rb"POST (/[!-~]{0,2000}) HTTP/1\.1\r\n((?:[A-Za-z0-9\-_]{1,64}:[ -~\t]{0,1000}\r\n){1,64})\r\n")
_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,9})[ \t]*\r$", re.MULTILINE)
_HOST = re.compile(rb"^host:", re.MULTILINE)
_SPECIAL = re.compile(
    rb"^(?:transfer-encoding|content-encoding|expect|upgrade|origin|x-request-id|connection:(?!\s*keep-alive\s*$))",
    re.MULTILINE,
)
"""Headers that change where a request ends, or what its answer has to hold."""


class Door:
    """See the module.

    Args:
        settings: the limits.
        lifecycle, metrics, log: those of the service.
    """

    def __init__(self, settings: ServeSettings, lifecycle: Lifecycle, metrics: Metrics, log: Log) -> None:
        self.lifecycle = lifecycle
        self.most = settings.max_concurrency
        self.root = settings.root_path
        self.log = log
        self._answered = metrics.requests.labels("POST", "other", "429")
        self._seconds = metrics.seconds.labels("other")
        self._refused = metrics.refused.labels("overloaded")

    def refuse(self, data: bytes, under_way: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """The answer to a request that is one too many; None: let it in, or look at it more closely.

        Args:
            data: what came, with nothing left over from before.
            under_way: requests that have begun.
            headers: those that every answer has.
        """
        if under_way < self.most or not self.lifecycle.accepting:
            return None
        head = _HEAD.match(data)
        if head is None:
            return None
        fields = head[2].lower()
        lengths = _LENGTH.findall(fields)
        if len(lengths) != 1 or len(_HOST.findall(fields)) != 1 or _SPECIAL.search(fields):
            return None
        path = head[1].partition(b"?")[0].decode().removeprefix(self.root)
        if len(data) - head.end() != int(lengths[0]) or path in OPEN:
            return None
        return self._answer(path, len(data) - head.end(), headers)

    def _answer(self, path: str, received: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        refusal, own = overloaded(), request_id(None)
        self._answered.inc()
        self._seconds.observe(0)
        self._refused.inc()
        self.log(
            "request", id=own, method="POST", route="other", status=429, ms=0.0, bytes_in=received, code=refusal.code
        )
        content = dumps(body_of(refusal, path))
        lines = [
            *headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
            (b"x-request-id", own.encode()),
        ]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        return b"HTTP/1.1 429 Too Many Requests\r\n%s\r\n%s" % (head, content)
