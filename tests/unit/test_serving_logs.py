"""The log writes behind the service's back."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable

from maeum.serving.logs import Behind, Log


class Slow(io.StringIO):
    """A stream that takes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.begun = threading.Event()

    def write(self, text: str) -> int:
        self.begun.set()
        assert self.go.wait(10)
        return super().write(text)


def test_every_line_is_there_in_order_when_the_log_ends() -> None:
    stream = io.StringIO()
    log = Log(stream)
    with log.behind():
        for number in range(500):
            log("request", number=number)
    log("after")
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("number") for line in told] == [*range(500), None]
    assert told[-1]["event"] == "after"


def test_a_stream_nobody_reads_holds_nothing_up_and_what_is_lost_is_counted() -> None:
    stream = Slow()
    behind = Behind(stream, most=3)
    behind.write("a\n")
    assert stream.begun.wait(10)
    for letter in "bcdefg":
        behind.write(f"{letter}\n")  # would hang if it waited for the stream
    stream.go.set()
    behind.close()
    lines = stream.getvalue().splitlines()
    assert lines[:4] == ["a", "b", "c", "d"]
    assert [json.loads(line)["lines"] for line in lines[4:]] == [3]


def test_a_stream_that_fails_is_left_alone() -> None:
    class Gone(io.StringIO):
        write: Callable[[str], int]

    stream = Gone()

    def fail(text: str) -> int:
        raise BrokenPipeError

    stream.write = fail
    log = Log(stream)
    with log.behind():
        log("request")
    assert not [thread for thread in threading.enumerate() if thread.name == "maeum-log"]
