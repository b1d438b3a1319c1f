"""Texts to label next, picked from an upload."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from maeum._lang import say
from maeum.apps.ui.state import Model
from maeum.apps.ui.uploads import Look, Upload
from maeum.data import Example
from maeum.formats import iter_examples
from maeum.formats.jsonl import json_line
from maeum.formats.tables_out import table_bytes
from maeum.models.base import Grades
from maeum.sampling import Pool, Sample, SampleSettings, sample
from maeum.sampling.committee import has_committee
from maeum.sampling.writing import flat_rows, reason_words
from maeum.task import Task

BATCH = 128
"""Texts between two moments in which other sessions may ask the model."""
TELLING = 0.75
"""Rank from which on a criterion is named among a row's reasons, beside the one that counted most."""


class UploadPool(Pool):
    """The first rows of an upload."""

    def __init__(
        self,
        upload: Upload,
        seen: Look,
        task: Task,
        stratify: tuple[str, ...],
        columns: Mapping[str, str | None],
        *,
        limit: int,
    ) -> None:
        chosen: dict[str, Any] = {name: value for name, value in columns.items() if value}
        super().__init__(
            upload.name, task, stratify, content=upload.content, format=seen.format, on_error="skip", **chosen
        )
        self.limit = limit
        self.cut = False
        """Whether there are more rows than are read."""

    def rows(self, *, first: bool) -> Iterator[tuple[Example, tuple[str, ...]]]:
        """As of ``Pool``, up to the limit."""
        found = super().rows(first=first)
        yield from itertools.islice(found, self.limit)
        self.cut = next(found, None) is not None


def texts_of(upload: Upload, column: str | None) -> list[Example]:
    """The rows that a model learned from.

    Args:
        column: that of the text in the pool; used where this file has it too.
    """
    from maeum.apps.ui.uploads import look

    seen = look(upload)
    chosen: dict[str, Any] = {"text_column": column} if column in seen.columns else {}
    found = iter_examples(
        upload.name, content=upload.content, format=seen.format, with_labels=False, on_error="skip", **chosen
    )
    return list(found)


def applying(model: Model, head: str, *, train: bool) -> dict[str, bool]:
    """Criterion → whether it can be told of this model."""
    analyzer = model.heads[head]
    return {
        "threshold": not analyzer.thresholds.is_argmax,
        "uncertainty": analyzer.task.kind == "multiclass" or isinstance(analyzer.predictor, Grades),
        "disagreement": has_committee(analyzer),
        "rare": train,
        "outlier": train,
    }


def draw(
    model: Model,
    head: str,
    pool: UploadPool,
    settings: SampleSettings,
    *,
    train: Sequence[Example] | None,
    tick: Callable[[int], object],
) -> Sample:
    """Pick rows; other sessions may ask the model between two batches.

    Raises:
        UsageError, DataError: as of ``maeum.sampling.sample``.
    """

    def step(done: int) -> None:
        tick(done)
        _let_others(model.lock)

    with model.lock:
        return sample(model.heads[head], pool, settings, train=train, model=model.path, tick=step)


def _let_others(lock: threading.RLock) -> None:
    lock.release()
    time.sleep(0.002)
    lock.acquire()


def reasons(why: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """Why a row was picked, in words: what counted most, then what else speaks for it strongly."""
    criteria = why["criteria"]
    if why["picked"] == "random":
        return [reason_words("random")]
    told = [why["won"]]
    told += [name for name in criteria if name != why["won"] and criteria[name]["rank"] >= TELLING]
    return [_one(name, criteria[name], names) for name in told]


def _one(name: str, found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    at = found.get("at")
    pointed = f" ({names.get(at, at)})" if at else ""
    top = max(1 - found["rank"], 0.001)
    return reason_words(name) + pointed + say(f" · 위 {top:.0%}", f" · top {top:.0%}")


def jsonl(rows: Sequence[Example]) -> bytes:
    """The rows as ``maeum sample -o X.jsonl`` writes them."""
    return "".join(json_line(row) + "\n" for row in rows).encode()


def xlsx(rows: Sequence[Example]) -> bytes:
    """The rows as ``maeum sample -o X.xlsx`` writes them."""
    return table_bytes(flat_rows(rows))
