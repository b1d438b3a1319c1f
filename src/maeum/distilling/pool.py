"""The texts a student learns from: distinct, without those that judge, with the labels some of them have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.data import Dataset, Input
from maeum.errors import DataError, UsageError
from maeum.experiment import MIN_TRAIN_ROWS
from maeum.formats import ReadReport, iter_examples
from maeum.models.base import Labels
from maeum.splits import duplicate_groups, duplicate_key, holdout
from maeum.text import TextPrep

HELD_SHARE = 0.1
MOST_HELD = 5000
"""Unlabelled texts that are held out to tune thresholds on: a tenth, at most so many."""


@dataclass
class Pool:
    """Distinct texts in the order they were read, first those of ``--data``."""

    inputs: list[Input] = field(default_factory=list)
    """(n,) raw."""
    labels: list[NDArray[Any] | None] = field(default_factory=list)
    """(n,) true labels (k,), where known; of several tasks side by side, -1 for those a row has no labels of."""
    ids: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"duplicates": 0, "blank": 0, "rejected": 0, "judging": 0})

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(n,) which rows have labels."""
        return np.array([row is not None for row in self.labels], bool)

    def hard(self, k: int) -> NDArray[np.int8]:
        """(n, k) labels, -1 in rows without any."""
        out = np.full((len(self), k), -1, np.int8)
        for number, row in enumerate(self.labels):
            if row is not None:
                out[number] = row
        return out

    def digest(self) -> str:
        """Hash of all inputs in order."""
        found = hashlib.sha256()
        for item in self.inputs:
            found.update(repr((item.text, item.target, item.aspect)).encode("utf-8", "surrogatepass"))
        return found.hexdigest()


def gather(
    source: str,
    reading: Mapping[str, Any],
    prep: TextPrep,
    *,
    data: Dataset | None,
    valid: Dataset | None,
    limit: int | None,
) -> Pool:
    """Read all texts once. Blank ones, repeated ones (after preparation) and those that also judge are left out.

    Args:
        source: a file of any format; labels in it are not read.
        reading: how ``iter_examples`` is to read it.
        data: labelled rows, which come first.
        valid: rows that judge.

    Raises:
        DataError: too few texts are left.
        UsageError: no row of ``data`` is left.
    """
    judging = {duplicate_key(text) for text in valid.texts} if valid is not None else set()
    known = [] if data is None else [(example.input, data.y[row], example.id) for row, example in enumerate(data)]
    pool = collect(source, reading, prep, known=known, judging=judging, limit=limit)
    if data is not None and not pool.counts["labelled"]:
        raise UsageError(
            f"'{data.source}'의 라벨 행은 모두 비었거나 --valid에도 있어, 배우거나 기준값을 맞출 행이 없습니다.",
            f"every labelled row of '{data.source}' is blank or also in --valid, so none is left to learn from or to tune on",
        )
    return pool


def collect(
    source: str,
    reading: Mapping[str, Any],
    prep: TextPrep,
    *,
    known: Iterable[tuple[Input, NDArray[Any], str]],
    judging: Set[object],
    limit: int | None,
) -> Pool:
    """The same with labelled rows one by one.

    Args:
        known: input, labels (k,) and id of each.
        judging: ``duplicate_key`` of texts that are left out.

    Raises:
        DataError: too few texts are left.
    """
    pool = Pool()
    seen: set[int] = set()

    def add(item: Input, labels: NDArray[Any] | None, name: str) -> None:
        prepared = prep.prepare_input(item)
        text = prepared.text.strip()
        if not text:
            pool.counts["blank"] += 1
            return
        key = _key(text, prepared)
        if key in seen:
            pool.counts["duplicates"] += 1
        elif judging and duplicate_key(item.text) in judging:
            pool.counts["judging"] += 1
        else:
            seen.add(key)
            pool.inputs.append(item)
            pool.labels.append(labels)
            pool.ids.append(name)

    for item, labels, name in known:
        add(item, labels, name)
    labelled = len(pool)
    report = ReadReport()
    for item in _inputs(source, reading, report):
        if limit is not None and len(pool) - labelled >= limit:
            break
        add(item, None, "")
    pool.counts["rejected"] = report.rejected
    pool.counts["texts"] = len(pool) - labelled
    pool.counts["labelled"] = labelled
    if len(pool) < MIN_TRAIN_ROWS:
        raise DataError(
            f"배울 글이 {len(pool)}건뿐입니다. 서로 다른 글이 적어도 {MIN_TRAIN_ROWS}건 필요합니다.",
            f"there are only {len(pool)} texts to learn from; at least {MIN_TRAIN_ROWS} distinct ones are needed",
            path=source,
        )
    return pool


def _inputs(source: str, reading: Mapping[str, Any], report: ReadReport) -> Iterator[Input]:
    for example in iter_examples(source, with_labels=False, report=report, **reading):
        yield example.input


def _key(text: str, item: Input) -> int:
    spelt = repr((text, item.target, item.aspect)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(spelt, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Split:
    """Which rows an encoder learns from, and which tune its thresholds."""

    train: NDArray[np.int64]
    held: NDArray[np.int64]
    by_labels: bool
    """Whether the held-out rows have true labels; else the teacher's decisions stand in for them."""


def split(pool: Pool, decided: Labels, *, alpha: float, seed: int) -> Split:
    """Hold out a tenth of the labelled rows (all of them where labels do not train), else a tenth of all texts.

    Rows with the same text as a held-out one do not train either.

    Args:
        decided: (n, k) the teacher's decisions, which spread the held-out texts evenly over the labels.
    """
    groups = duplicate_groups([item.text for item in pool.inputs])
    labelled = np.flatnonzero(pool.labelled)
    if len(labelled):
        y = pool.hard(decided.shape[1])[labelled].astype(np.uint8)
        chosen = labelled
        if alpha > 0:
            _, part = holdout(y, groups[labelled], fraction=HELD_SHARE, seed=seed)
            chosen = labelled[part]
    else:
        share = min(HELD_SHARE, MOST_HELD / len(pool))
        _, chosen = holdout(decided, groups, fraction=share, seed=seed)
    held = np.zeros(len(pool), bool)
    held[chosen] = True
    train = ~np.isin(groups, groups[held])
    if alpha == 0 and len(labelled):
        train[labelled] = False
    if train.sum() < MIN_TRAIN_ROWS:
        raise UsageError(
            f"떼어 둔 글을 빼면 배울 글이 {int(train.sum())}건뿐입니다. 글을 늘리세요.",
            f"without the held-out rows only {int(train.sum())} texts are left to learn from; add texts",
        )
    return Split(np.flatnonzero(train), np.flatnonzero(held), bool(len(labelled)))


def pool_words(counts: Mapping[str, int]) -> str:
    """What was read, in one line."""
    left = counts["blank"] + counts["rejected"]
    return say(
        f"글 {counts['texts']:,}건"
        + (f", 라벨 있는 글 {counts['labelled']:,}건" if counts["labelled"] else "")
        + f" (중복 "
        f"{counts['duplicates']:,}, 평가 글과 같음 {counts['judging']:,}, 제외 {left:,})",
        f"{counts['texts']:,} texts" + (f", {counts['labelled']:,} labelled" if counts["labelled"] else "") + " ("
        f"{counts['duplicates']:,} duplicates, {counts['judging']:,} that also judge, {left:,} left out)",
    )
