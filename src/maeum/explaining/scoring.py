"""The masked texts of many texts through a model in one stream.

Each text is worked on by a generator that yields masks and is sent their probabilities (``searching``). Here the
requests of all of them are joined, so that a model sees thousands of texts at a time, and its own batching by length
has something to choose from. A masked text exists only from the time its batch is filled until the batch is scored.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum._progress import Line, steps
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.explaining.masking import Mask, Masker
from maeum.explaining.splicing import Requests, Spliced, spliced
from maeum.models.base import Proba

Floats = NDArray[np.float64]
T = TypeVar("T")
Work = Generator[list[Mask], Floats, T]
"""Yields masks of one text, is sent their probabilities (m, k), returns a result."""

BATCH_CHARS = 1 << 19
"""Characters given to the model at a time: bounds memory."""
BATCH_TEXTS = 4096
"""Masked texts given to the model at a time."""
ACTIVE = 256
"""Texts worked on side by side."""


def run(analyzer: Analyzer, jobs: Iterable[tuple[Masker, Work[T]]], *, progress: Line = lambda _: None) -> Iterator[T]:
    """The results of all jobs, in order."""
    waiting = iter(jobs)
    while block := [job for _, job in zip(range(ACTIVE), waiting, strict=False)]:
        yield from _finish(analyzer, block, progress)


def _finish(analyzer: Analyzer, jobs: Sequence[tuple[Masker, Work[T]]], progress: Line) -> list[T]:
    results: dict[int, T] = {}
    requests: dict[int, list[Mask]] = {}
    quick = spliced(analyzer)
    for number, (_, work) in enumerate(jobs):
        _advance(number, work, None, requests, results)
    while requests:
        asked, requests = requests, {}
        scored = _score(analyzer, quick, [(jobs[number][0], masks) for number, masks in asked.items()], progress)
        for number, rows in zip(asked, scored, strict=True):
            _advance(number, jobs[number][1], rows, requests, results)
    return [results[number] for number in range(len(jobs))]


def _advance(
    number: int, work: Work[T], rows: Floats | None, requests: dict[int, list[Mask]], results: dict[int, T]
) -> None:
    try:
        requests[number] = next(work) if rows is None else work.send(rows)
    except StopIteration as stop:
        results[number] = stop.value


def _score(analyzer: Analyzer, quick: Spliced | None, asked: Requests, progress: Line) -> list[Floats]:
    """Probabilities (m, k) of the masks of every text."""
    counts = [len(masks) for _, masks in asked]
    out = np.zeros((sum(counts), len(analyzer.task)), np.float32)
    done = 0
    with steps(progress, say("가리고 다시 묻기", "masking"), len(out)) as step:
        for part in _whole(analyzer, asked) if quick is None else quick(asked):
            out[done : done + len(part)] = part
            done += len(part)
            step(done, "")
    ends = np.cumsum(counts)[:-1]
    return [part.astype(np.float64) for part in np.split(out, ends)]


def _whole(analyzer: Analyzer, asked: Requests) -> Iterator[Proba]:
    """Every masked text through the model, batch by batch."""
    for batch in _batches(masker(mask) for masker, masks in asked for mask in masks):
        yield analyzer.predict_proba(batch)


def _batches(inputs: Iterable[Input]) -> Iterator[list[Input]]:
    batch: list[Input] = []
    size = 0
    for item in inputs:
        if batch and (len(batch) == BATCH_TEXTS or size + len(item.text) > BATCH_CHARS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.text)
    if batch:
        yield batch


class Asked:
    """What is known of one text already, so that no mask is scored twice."""

    def __init__(self) -> None:
        self.known: dict[Mask, Floats] = {}

    def __call__(self, masks: Sequence[Mask]) -> Work[Floats]:
        """Probabilities (m, k) of masks; only the new ones are asked for."""
        new = [mask for mask in dict.fromkeys(masks) if mask not in self.known]
        if new:
            rows = yield new
            self.known.update(zip(new, rows, strict=True))
            if len(new) == len(masks):
                return rows
        return np.stack([self.known[mask] for mask in masks])
