"""Masks of a text through a linear model, at the price of what each mask changes.

A mask leaves most n-grams of a text as they are. So the n-grams of the whole text are counted once; those that overlap
what is hidden are taken off, those across the seam are added, and the sums and lengths of the row follow.

When this is exact: text preparation must treat the words between white space one by one (``by_words`` says which recipes
do, and why), and there may be no target, whose window would move. Where that does not hold, or a mask changes more than
three quarters of a text, the masked text is counted as any other text is; ``Spliced.changed`` and ``Spliced.whole`` say how many
masks went which way. Tests hold both ways to the same numbers (1e-5).
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.explaining.masking import Mask, Masker
from maeum.explaining.seams import Base, Seams
from maeum.models.base import Proba
from maeum.models.ensemble import MeanPredictor
from maeum.models.linear import LinearClassifier
from maeum.text import TextPrep

Requests = Sequence[tuple[Masker, Sequence[Mask]]]

CHARS = 1 << 18
"""Characters worked on at a time: bounds memory."""


_PLAIN = re.compile(r"(?:([가-힣.,])(?!\1)| )*")
"""Texts that no rule of preparation changes but for spaces: Hangul syllables, full stops and commas, none of them twice in
a row."""


def by_words(prep: TextPrep) -> bool:
    """Whether preparing a text is the same as preparing its words and joining them by single spaces.

    No rule looks past white space but three: spaces that are kept, ``&others&`` (which asks whether the rest of the
    text would make a new one), and control characters that are kept (n-grams take them for spaces).
    """
    return prep.spaces == "collapse" and prep.masks != "others" and prep.invisible == "drop"


def spliced(analyzer: Analyzer) -> Spliced | None:
    """What scores masks of this model by their changes; ``None`` unless it is linear, or a mean of such."""
    model = analyzer.predictor
    members = model.members if isinstance(model, MeanPredictor) else (model,)
    linear = [member for member in members if isinstance(member, LinearClassifier) and member._state]
    if len(linear) < len(members) or not by_words(analyzer.prep):
        return None
    return Spliced(analyzer, linear)


class Change(NamedTuple):
    """``stream[begin:end]`` becomes ``put``; the stream is the prepared text with a space at either end (or just one)."""

    begin: int
    end: int
    put: str


class SplicedText:
    """A text as prepared words, and what masks make of them."""

    def __init__(self, masker: Masker, prepare: Callable[[str], str]) -> None:
        raw, units = masker.item.text, masker.units
        self.masker = masker
        self._prepare = prepare
        pieces = raw.split()
        whole = [unit.text for unit in units] == pieces
        self._words_go = whole and masker.kind == "delete"
        if whole:
            self._spans = [(unit.begin, unit.end) for unit in units]
            self._word_of = range(len(units))
        else:
            self._spans = [match.span() for match in re.finditer(r"\S+", raw)]
            begins = np.array([begin for begin, _ in self._spans], dtype=np.int64)
            places = np.array([unit.begin for unit in units], dtype=np.int64)
            self._word_of = (np.searchsorted(begins, places, side="right") - 1).tolist()
        words = pieces if _PLAIN.fullmatch(raw) else [prepare(word) for word in pieces]
        self.prepared = " ".join(word for word in words if word)
        self._ends = [0, *itertools.accumulate(len(word) + 1 if word else 0 for word in words)]
        # before each word and after the last: where the words so far end in the stream

    def keeps_little(self, change: Change) -> bool:
        """Whether so little stays that what is left of the sums would be mostly rounding (unless nothing stays)."""
        size = self._ends[-1]
        stays = size + 1 + change.begin - change.end
        return stays > 1 and 4 * stays < size

    def change(self, mask: Mask) -> Change | None:
        """What a mask changes; ``None``: nothing."""
        if not mask:
            return None
        first, last = mask[0], mask[-1]
        if self._words_go and last - first == len(mask) - 1:  # the usual case, quickly
            before, end, put = self._ends[first], self._ends[last + 1], ""
        else:
            first, last = self._word_of[first], self._word_of[last]
            put = self._between(mask, self._spans[first][0], self._spans[last][1])
            before, end = self._ends[first], self._ends[last + 1]
        if before < end:  # without anything in its place, one of the two spaces around goes along
            return Change(before + 1, end if put else end + 1, put)
        return Change(before + 1, before + 1, put + " ") if put else None

    def input(self, change: Change | None) -> Input:
        """The prepared input with a change made."""
        if change is None:
            return Input(self.prepared, None, self.masker.item.aspect)
        stream = f" {self.prepared} " if self.prepared else " "
        text = stream[: change.begin] + change.put + stream[change.end :]
        return Input(text.strip(" "), None, self.masker.item.aspect)

    def _between(self, mask: Mask, begin: int, end: int) -> str:
        """What the mask leaves of ``raw[begin:end]``, prepared."""
        raw, gaps = self.masker.item.text, self.masker.gaps
        parts: list[str] = []
        at = begin
        for number in mask:
            gap_begin, gap_end, put = gaps[number]
            parts += (raw[at : max(gap_begin, at)], put)
            at = max(at, gap_end)
        parts.append(raw[at:end])
        left = "".join(parts)
        return " ".join(word for word in map(self._prepare, left.split()) if word) if left else ""


class Spliced:
    """Scores masks for one analyzer. It remembers the words of the texts it has seen: one for a round of texts."""

    def __init__(self, analyzer: Analyzer, models: Sequence[LinearClassifier]) -> None:
        self.analyzer = analyzer
        self.models = models
        self.changed = 0
        """Masks scored by what they change."""
        self.whole = 0
        """Masks scored as texts of their own."""
        self._texts: dict[Masker, SplicedText] = {}
        self._prepare = functools.lru_cache(maxsize=1 << 16)(analyzer.prep.__call__)

    def __call__(self, asked: Requests) -> Iterator[Proba]:
        """Probabilities (m, k) of all masks in order, in parts."""
        for group in _groups(asked):
            proba = np.zeros((sum(len(masks) for _, masks in group), len(self.analyzer.task)), np.float32)
            if all(masker.item.target is None for masker, _ in group):
                self._by_changes(group, proba)
            else:
                inputs = (self.analyzer.prep.prepare_input(masker(mask)) for masker, masks in group for mask in masks)
                self._whole(enumerate(inputs), proba)
            yield self.analyzer.calibration.apply(proba)

    def _by_changes(self, group: Requests, proba: Proba) -> None:
        texts = [self._text(masker) for masker, _ in group]
        few: list[tuple[int, int, int, int]] = []  # row, text, begin and end of what is replaced
        puts: list[str | None] = []
        many: list[tuple[int, SplicedText, Change]] = []
        rows = itertools.count()
        for number, (text, (_, masks)) in enumerate(zip(texts, group, strict=True)):
            for mask in masks:
                row = next(rows)
                change = text.change(mask)
                if change is None:
                    few.append((row, number, 0, 0))
                    puts.append(None)
                elif text.keeps_little(change):
                    many.append((row, text, change))
                else:
                    few.append((row, number, change[0], change[1]))
                    puts.append(change[2])
        self._whole(((row, text.input(change)) for row, text, change in many), proba)
        self.changed += len(few)
        inputs = [text.input(None) for text in texts]
        at = np.array(few, dtype=np.int64).reshape(-1, 4)
        for model in self.models:
            base = Base(model, inputs)
            for begin, end in _parts(at, puts):
                places, owner, low, high = at[begin:end].T
                found = base.proba(Seams(owner, low, high, puts[begin:end]))
                proba[places] += found / np.float32(len(self.models))

    def _whole(self, inputs: Iterable[tuple[int, Input]], proba: Proba) -> None:
        """Rows of prepared inputs."""
        waiting = iter(inputs)
        while batch := _upto(waiting):
            self.whole += len(batch)
            found = self.analyzer.predictor.predict_proba([item for _, item in batch])
            proba[[row for row, _ in batch]] = found

    def _text(self, masker: Masker) -> SplicedText:
        if masker not in self._texts:
            self._texts[masker] = SplicedText(masker, self._prepare)
        return self._texts[masker]


def _groups(asked: Requests) -> Iterator[Requests]:
    """Texts together as long as they are alike (with a target or an aspect, or not) and not too long."""
    alike = itertools.groupby(asked, key=lambda job: (job[0].item.target is None, job[0].item.aspect is None))
    for _, jobs in alike:
        group: list[tuple[Masker, Sequence[Mask]]] = []
        size = 0
        for job in jobs:
            if group and size + len(job[0].item.text) > CHARS:
                yield group
                group, size = [], 0
            group.append(job)
            size += len(job[0].item.text)
        yield group


def _parts(places: NDArray[np.int64], puts: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """Ranges of changes that are together about as long as ``CHARS``."""
    sizes = places[:, 3] - places[:, 2] + np.fromiter((len(put or "") for put in puts), np.int64, len(puts)) + 8
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // CHARS)) + 1
    yield from itertools.pairwise([0, *cuts.tolist(), len(puts)])


def _upto(waiting: Iterator[tuple[int, Input]]) -> list[tuple[int, Input]]:
    """The next inputs, of about ``CHARS`` characters."""
    batch: list[tuple[int, Input]] = []
    size = 0
    for row, item in waiting:
        batch.append((row, item))
        size += len(item.text) + 2
        if size > CHARS:
            break
    return batch
