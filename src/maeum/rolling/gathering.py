"""Counts, words and sentences out of stored predictions, in three streamed passes and constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from maeum.rolling.counting import ALL, Counts, Slice, Slicer, sides
from maeum.rolling.examples import Picked, Sampler, text_key
from maeum.rolling.index import RowIndex
from maeum.rolling.periods import day_name, period_of
from maeum.rolling.rollup import LONGEST, Cell, Sentence
from maeum.rolling.settings import Settings
from maeum.rolling.stored import Predicted, Stored
from maeum.rolling.words import Telling, Vocabulary, WordCounts, words

SHOWN_PERIODS = 36
"""The last so many periods keep sentences; shares of all of them are in the tables."""
WORDS = 10
"""Words listed for a cell."""
_WORD_SENTENCES = 3

Words = dict[tuple[int, int], list[Telling]]


@dataclass(frozen=True)
class Gathered:
    """What the passes found."""

    counts: Counts
    words: Words
    sentences: Mapping[Cell, list[Sentence]]
    vocabulary: int
    unlisted: int
    """A word outside the vocabulary is in at most this many texts."""


def gather(
    stored: Stored,
    index: RowIndex | None,
    settings: Settings,
    groups: list[str],
    rows: Callable[[str], Iterator[Predicted]],
) -> Gathered:
    """Count everything.

    Args:
        stored: the predictions.
        index: day and group of every row; None where neither was asked for.
        groups: those that count by name.
        rows: a pass over the predictions, by its name for people.
    """
    job = _Job(stored, index, settings, groups)
    for row in rows("counting"):
        job.count(row)
    listed = job.start_words()
    for row in rows("words"):
        listed.add(job.word_cells(row), words(row.text))
    found = job.telling(listed)
    if found:
        for row in rows("sentences"):
            job.show_words(row)
    return Gathered(job.counts, found, job.sentences(), len(listed.vocabulary), job.vocabulary.unlisted)


class _Job:
    def __init__(self, stored: Stored, index: RowIndex | None, settings: Settings, groups: list[str]) -> None:
        self.stored, self.index, self.settings = stored, index, settings
        self.task = stored.task
        self.counts = Counts(self.task)
        self.vocabulary = Vocabulary()
        period = settings.period if settings.date_column is not None else None
        self.slicer = Slicer(period, groups if settings.group_column is not None else None)
        days = [] if index is None or period is None else index.days()
        names = sorted({period_of(day, settings.period) for day in days})
        self.old = frozenset(names[:-SHOWN_PERIODS])
        self.grades = len(self.task.sentiments)
        self.parts = {grade: part for part, grades in enumerate(sides(self.task)) for grade in grades}
        self.samples: Sampler[Cell] = Sampler(settings.examples)
        self.slice_samples: Sampler[Cell] = Sampler(min(settings.examples, max(2, settings.examples // 2)))
        self.word_samples: Sampler[Cell] = Sampler(min(settings.examples, _WORD_SENTENCES))
        self.cells: dict[Cell, Sampler[Cell]] = {}
        self.listed: dict[tuple[int, int], frozenset[str]] = {}

    # -- first pass ---------------------------------------------------------------------------------------------

    def count(self, row: Predicted) -> None:
        day, group = (None, None) if self.index is None else self.index.find(row.id)
        slices = self.slicer(day, group)
        self.counts.add(slices, row.found)
        self.vocabulary.add(words(row.text))
        if not row.found:
            return
        key = text_key(row.text, self.settings.seed)
        for label, grade, score in row.found:
            self._offer(self.samples, Cell(ALL, label, grade), score, key, row.place)
            part = self.parts.get(grade)
            if part is None:
                continue
            for slice in slices[1:]:
                if not self._is_old(slice):
                    self._offer(self.slice_samples, Cell(slice, label, part), score, key, row.place)

    def _is_old(self, slice: Slice) -> bool:
        return slice.kind == "period" and slice.name in self.old

    def _offer(self, sampler: Sampler[Cell], cell: Cell, score: float, key: int, place: int) -> None:
        self.cells[cell] = sampler
        sampler.offer(cell, score, key, place)

    # -- second pass --------------------------------------------------------------------------------------------

    def start_words(self) -> WordCounts:
        cells = len(self.task) * (self.grades + 1)
        return WordCounts(self.vocabulary.top(cells, self.settings.min_count), cells)

    def word_cells(self, row: Predicted) -> list[int]:
        """A row for each (label, grade), and one for the label with any grade."""
        wide = self.grades + 1
        cells = [label * wide + self.grades for label, _, _ in row.found]
        return cells + [label * wide + grade for label, grade, _ in row.found] if self.grades else cells

    def telling(self, counted: WordCounts) -> Words:
        found: Words = {}
        for label in range(len(self.task)):
            for grade in (-1, *range(self.grades)):
                cell = label * (self.grades + 1) + (self.grades if grade < 0 else grade)
                listed = counted.telling(cell, most=WORDS, least=self.settings.min_count)
                if listed:
                    found[label, grade] = listed
                    self.listed[label, grade] = frozenset(item.word for item in listed)
        return found

    # -- third pass ---------------------------------------------------------------------------------------------

    def show_words(self, row: Predicted) -> None:
        if not row.found:
            return
        mine = words(row.text)
        key = text_key(row.text, self.settings.seed)
        for label, grade, score in row.found:
            for part in (-1, grade) if self.grades else (-1,):
                for word in mine & self.listed.get((label, part), frozenset()):
                    self._offer(self.word_samples, Cell(ALL, label, part, word), score, key, row.place)

    # -- sentences ----------------------------------------------------------------------------------------------

    def sentences(self) -> dict[Cell, list[Sentence]]:
        picked = {cell: self.cells[cell].picked(cell) for cell in sorted(self.cells)}
        rows = {
            place: self._row(place) for place in sorted({item.place for items in picked.values() for item in items})
        }
        return {cell: [_sentence(item, rows[item.place]) for item in items] for cell, items in picked.items()}

    def _row(self, place: int) -> tuple[str, str, str, str]:
        name, text = self.stored.at(place)
        day, group = (None, None) if self.index is None else self.index.find(name)
        shown = text if len(text) <= LONGEST else text[:LONGEST] + "…"
        return name, shown, day_name(day), group or ""


def _sentence(item: Picked, row: tuple[str, str, str, str]) -> Sentence:
    name, text, day, group = row
    return Sentence(item.place, name, text, item.score, item.why, day, group)
