"""Micro-batching: order, budget, turns, cancellation, overflow, errors."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from maeum.serving.batcher import Batcher, Budget
from maeum.serving.refusals import Refusal


class Model:
    """Answers in capitals; notes its batches; can be held up."""

    def __init__(self) -> None:
        self.batches: list[tuple[Any, list[str]]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, key: Any, items: Sequence[str]) -> list[str]:
        self.batches.append((key, list(items)))
        assert self.go.wait(10)
        if "bad" in items:
            raise ValueError("bad")
        return [f"{key}:{item.upper()}" for item in items]


def run(model: Model, budget: Budget, work: Callable[[Batcher], Awaitable[Any]]) -> Any:
    batcher = Batcher(model, budget)
    batcher.start()
    try:
        return asyncio.run(asyncio.wait_for(work(batcher), 20))
    finally:
        model.go.set()
        batcher.stop()


def ask(batcher: Batcher, *items: str, key: Any = "k", **options: Any) -> asyncio.Task[list[Any]]:
    return asyncio.ensure_future(batcher.ask(key, items, [len(item) for item in items], **options))


async def held(batcher: Batcher, model: Model) -> asyncio.Task[list[Any]]:
    """Begin a batch that does not end, so that what comes next must wait."""
    model.go.clear()
    first = ask(batcher, "first")
    while not model.batches:
        await asyncio.sleep(0.001)
    return first


async def timed(batcher: Batcher, model: Model, seconds: float) -> None:
    """Afterwards it is known that a text takes so long or so."""
    first = await held(batcher, model)
    await asyncio.sleep(seconds)
    model.go.set()
    await first
    model.batches.clear()


def test_what_waits_goes_together_and_each_gets_its_own() -> None:
    model = Model()

    async def work(batcher: Batcher) -> Any:
        first = await held(batcher, model)
        others = [ask(batcher, "a", "b"), ask(batcher, "c"), ask(batcher, "d", "e")]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *others)

    assert run(model, Budget(), work) == [["k:FIRST"], ["k:A", "k:B"], ["k:C"], ["k:D", "k:E"]]
    assert model.batches == [("k", ["first"]), ("k", ["a", "b", "c", "d", "e"])]


def test_batches_keep_to_their_budget() -> None:
    model = Model()

    async def work(batcher: Batcher) -> Any:
        first = await held(batcher, model)
        others = [ask(batcher, *"abcdefg"), ask(batcher, "x" * 9, "y" * 9, "z" * 30)]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *others)

    found = run(model, Budget(texts=3, chars=20), work)
    assert found[1] == [f"k:{letter}" for letter in "ABCDEFG"]
    assert [item[:3] for item in found[2]] == ["k:X", "k:Y", "k:Z"]
    for _, items in model.batches:
        assert len(items) <= 3
        assert sum(map(len, items)) <= 20 or len(items) == 1


def test_long_requests_take_turns_with_short_ones() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        first = await held(batcher, model)
        long, short = ask(batcher, *"abcdefghij"), ask(batcher, "x")
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(first, short, long)

    run(model, Budget(texts=2), work)
    assert "x" in model.batches[2][1]


def test_keys_are_kept_apart_and_what_goes_alone_goes_alone() -> None:
    model = Model()

    async def work(batcher: Batcher) -> Any:
        first = await held(batcher, model)
        others = [ask(batcher, "a", key=1), ask(batcher, "b", "c", key=2, alone=True), ask(batcher, "d", key=1)]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *others)

    assert run(model, Budget(), work)[1:] == [["1:A"], ["2:B", "2:C"], ["1:D"]]
    assert model.batches[1:] == [(2, ["b"]), (1, ["a", "d"]), (2, ["c"])]  # turn by turn


def test_a_full_queue_refuses_at_once_and_recovers() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        first = await held(batcher, model)
        waiting = [ask(batcher, "a", "b", "c"), ask(batcher, "d")]
        await asyncio.sleep(0)
        began = time.perf_counter()
        with pytest.raises(Refusal) as refused:
            await ask(batcher, "e")
        assert time.perf_counter() - began < 0.5
        assert (refused.value.status, refused.value.code) == (429, "overloaded")
        assert int(refused.value.headers["Retry-After"]) >= 1
        patient = ask(batcher, "f", patient=True)
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(first, *waiting)
        assert await patient == ["k:F"]
        assert await ask(batcher, "e") == ["k:E"]
        assert batcher.waiting == 0

    run(model, Budget(queue=4), work)


def test_cancelled_and_late_requests_are_not_worked_on() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        first = await held(batcher, model)
        gone, late, stays = ask(batcher, "gone"), ask(batcher, "late", seconds=0.01), ask(batcher, "stays")
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0)
        model.go.set()
        assert await stays == ["k:STAYS"]
        await first
        with pytest.raises(TimeoutError):
            await late
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert batcher.waiting == 0

    run(model, Budget(), work)
    assert [items for _, items in model.batches] == [["first"], ["stays"]]


def test_one_bad_request_does_not_spoil_its_mates() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        first = await held(batcher, model)
        good, bad, also = ask(batcher, "a"), ask(batcher, "bad", "b"), ask(batcher, "c")
        await asyncio.sleep(0)
        model.go.set()
        assert await asyncio.gather(first, good, also) == [["k:FIRST"], ["k:A"], ["k:C"]]
        with pytest.raises(ValueError, match="bad"):
            await bad
        assert await ask(batcher, "d") == ["k:D"]

    run(model, Budget(), work)


def test_stopping_leaves_nobody_waiting() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        first = await held(batcher, model)
        left = ask(batcher, "a")
        await asyncio.sleep(0)
        stopping = asyncio.get_running_loop().run_in_executor(None, batcher.stop)
        with pytest.raises(asyncio.CancelledError):
            await left
        model.go.set()
        await stopping
        await first

    run(model, Budget(), work)


def test_nothing_asked_is_answered_without_the_model() -> None:
    model = Model()
    assert run(model, Budget(), lambda batcher: batcher.ask("k", [], [])) == []
    assert model.batches == []


def test_waiting_a_little_makes_larger_batches() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        tasks = []
        for letter in "abc":
            tasks.append(ask(batcher, letter))
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)

    run(model, Budget(wait=0.5, texts=3), work)
    assert model.batches == [("k", ["a", "b", "c"])]


def test_what_would_wait_too_long_is_refused_at_once_and_taken_again_later() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        await timed(batcher, model, 0.2)
        running = await held(batcher, model)
        await asyncio.sleep(0.25)
        waiting = [ask(batcher, "item")]
        await asyncio.sleep(0)
        with pytest.raises(Refusal):  # it would not be done in its own time
            await ask(batcher, "d", seconds=0.35)
        waiting.append(ask(batcher, "item", "item"))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await ask(batcher, "d")
        assert refused.value.status == 429
        stream = ask(batcher, "s", patient=True)
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(running, stream, *waiting)
        assert await ask(batcher, "abc") == ["k:ABC"]

    run(model, Budget(delay=0.4), work)


def test_a_batch_waits_for_no_one() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        first = await held(batcher, model)
        await asyncio.sleep(0.4)
        other = ask(batcher, "b")
        await asyncio.sleep(0)
        model.go.set()
        began = time.perf_counter()
        await asyncio.gather(first, other)  # one was answered, one waits: it goes at once
        assert time.perf_counter() - began < 0.3
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        await ask(batcher, "c")  # long after the last batch
        assert time.perf_counter() - began < 0.3

    run(model, Budget(), work)


def test_a_burst_is_taken_and_a_queue_that_stands_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maeum.serving.batcher._FEW", 2)
    monkeypatch.setattr("maeum.serving.batcher._BURST_SECONDS", 0.2)
    model = Model()

    async def work(batcher: Batcher) -> None:
        await timed(batcher, model, 0.1)
        running = await held(batcher, model)
        burst = [ask(batcher, "a") for _ in range(2)]
        await asyncio.sleep(0.3)
        burst += [ask(batcher, "b")]  # only few wait
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await ask(batcher, "c")
        assert refused.value.status == 429
        stream, alone = ask(batcher, "s", patient=True), ask(batcher, "e", key="explain", alone=True)
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(running, stream, alone, *burst)
        assert await asyncio.gather(*(ask(batcher, "d") for _ in range(6))) == [["k:D"]] * 6

    run(model, Budget(target=0.05), work)


def test_requests_do_not_wait_for_all_of_a_stream_or_of_what_goes_alone() -> None:
    model = Model()

    async def work(batcher: Batcher) -> None:
        first = await held(batcher, model)
        streams = [ask(batcher, *"ssss", patient=True) for _ in range(3)]
        alone = ask(batcher, *"eeee", key="explain", alone=True)
        request = ask(batcher, "x")
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(first, request, alone, *streams)

    run(model, Budget(texts=4), work)
    order = ["x" if "x" in items else items[0] for _, items in model.batches[1:]]
    assert order.index("x") <= 2
    assert order[:3] == ["s", "e", "x"]
