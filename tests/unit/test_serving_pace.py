"""How long what waits will take."""

from __future__ import annotations

import pytest

from maeum.serving.pace import Pace, Standing, work_of

TEXT = 84
"""Characters that make 100 units of work."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def learnt(lane: str, texts: int, seconds: float, *, turn: int = 1000) -> tuple[Pace, Clock]:
    clock = Clock()
    pace = Pace(turn, clock)
    pace.begin(lane, [TEXT] * texts)  # type: ignore[arg-type]
    pace.done(seconds)
    return pace, clock


def test_nothing_is_known_before_the_first_batch() -> None:
    pace = Pace(1000)
    pace.put("request", [TEXT] * 1000)
    assert (pace.delay("request", [TEXT]), pace.items) == (0.0, 1000)


def test_work_of_texts_counts_their_characters() -> None:
    assert work_of([TEXT, TEXT]) == 200
    pace, _ = learnt("request", 10, 2.0)
    pace.put("request", [984])
    assert pace.delay("request", [TEXT]) == pytest.approx(2.0)
    pace.take("request", [984])
    assert (pace.delay("request", [TEXT]), pace.items) == (0.0, 0)


def test_a_full_batch_says_more_than_single_texts() -> None:
    pace, _ = learnt("request", 1, 0.5)
    for _ in range(50):
        pace.begin("request", [TEXT])
        pace.done(0.5)
    pace.begin("request", [TEXT] * 100)
    pace.done(1.0)
    assert pace.seconds("request", 100 * 100) < 4  # 50 at the rate of single texts


def test_the_batch_that_runs_is_waited_for() -> None:
    pace, clock = learnt("request", 10, 2.0)
    pace.begin("request", [TEXT] * 10)
    assert pace.delay("request", [TEXT]) == pytest.approx(2.0)
    clock.now = 1.5
    assert pace.delay("request", [TEXT]) == pytest.approx(0.5)
    clock.now = 60.0
    assert pace.delay("request", [TEXT]) == 0.0


def test_lanes_take_turns() -> None:
    pace, _ = learnt("request", 10, 1.0)  # a turn of 1000 units takes a second
    pace.begin("alone", [TEXT])
    pace.done(3.0)
    pace.put("stream", [TEXT] * 100)  # ten seconds, ten turns
    assert pace.delay("request", [TEXT]) == pytest.approx(1.0)
    assert pace.delay("request", [TEXT] * 30) == pytest.approx(3.0)
    pace.put("alone", [TEXT] * 2)
    assert pace.delay("request", [TEXT]) == pytest.approx(1.0 + 3.0)
    assert pace.delay("alone", [TEXT]) == pytest.approx(6.0 + 3.0)


def test_the_own_lane_is_what_runs_and_waits_in_it() -> None:
    pace, clock = learnt("request", 10, 2.0)
    pace.put("request", [TEXT] * 5)
    pace.put("stream", [TEXT] * 50)
    assert pace.own("request") == pytest.approx(1.0)
    pace.begin("stream", [TEXT] * 10)
    assert pace.own("request") == pytest.approx(1.0)
    pace.begin("request", [TEXT] * 10)
    clock.now = 0.5
    assert pace.own("request") == pytest.approx(1.0 + 1.5)
    assert pace.texts("request") == 5


def test_a_queue_stands_when_it_outlasts_a_burst() -> None:
    clock = Clock()
    queue = Standing(1.0, 0.5, clock)
    assert not queue.seen(5.0)
    clock.now = 0.4
    assert not queue.seen(5.0)  # a burst
    clock.now = 0.6
    assert queue.seen(5.0)
    assert queue.seen(0.7)  # what is refused keeps it there
    assert not queue.seen(0.5)
    assert not queue.seen(5.0)  # the next burst
    clock.now = 1.0
    assert not queue.seen(1.0)
    clock.now = 1.2
    assert not queue.seen(5.0)  # it was short in between


def test_without_a_target_no_queue_stands() -> None:
    clock = Clock()
    queue = Standing(float("inf"), 0.5, clock)
    assert not queue.seen(1e9)
    clock.now = 9.0
    assert not queue.seen(1e9)
