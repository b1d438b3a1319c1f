"""Everything that was counted, in one object that tables and the page are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from maeum._lang import language, say
from maeum.rolling.counting import Counts, Slice, Tally, sides, wilson
from maeum.rolling.settings import Settings
from maeum.rolling.words import Telling
from maeum.task import Task


class Cell(NamedTuple):
    """What a number is about."""

    slice: Slice
    label: int
    part: int
    """Of all rows the grade's column; of a period or a group 0 for grades below the middle, 1 for those above."""
    word: str = ""


LONGEST = 600
"""Characters of a text that stay in memory and go on the page; ``examples.jsonl`` has all of it."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text that shows what a number means."""

    place: int
    """Where the whole text is in the file of predictions."""
    id: str
    text: str
    """Raw, as far as the page shows it."""
    score: float
    why: str
    day: str
    group: str


@dataclass(frozen=True)
class Facts:
    """What the page says about where the numbers come from; no field names a place on a machine."""

    model: str
    input: str
    rows: int
    rejected: int = 0
    undated: int = 0
    unmatched: int = 0
    """Rows of predictions that have no row in the input."""
    groups: int = 0
    first_day: str = ""
    last_day: str = ""
    short_year: int = 0
    bad_date: str = ""
    vocabulary: int = 0
    unlisted: int = 0
    """A word that was not counted is in at most this many texts."""


@dataclass(frozen=True)
class Result:
    """The counts of a run, its words and its sentences."""

    task: Task
    settings: Settings
    counts: Counts
    words: Mapping[tuple[int, int], list[Telling]]
    """(label, grade) → words; grade −1 stands for all grades."""
    sentences: Mapping[Cell, list[Sentence]]
    facts: Facts

    @property
    def graded(self) -> bool:
        """Whether labels have grades."""
        return bool(self.task.sentiments)

    def label_name(self, label: int) -> str:
        """Display name of a label."""
        return self.task.labels[label].name(language())

    def grade_name(self, grade: int) -> str:
        """Display name of a grade; of −1, of all together."""
        if not self.graded:
            return ""
        return say("전체", "all") if grade < 0 else self.task.sentiments[grade].name(language())

    def labels(self) -> list[int]:
        """Columns of the labels, the most frequent first."""
        cells = self.counts.tallies[_ALL].cells.sum(1)
        return sorted(range(len(self.task)), key=lambda label: (-int(cells[label]), label))

    def lines(self, tally: Tally) -> Iterator[list[Any]]:
        """The lines that tables have for a slice: one per label and grade, of labels with anything to be a share of."""
        for label, item in enumerate(self.task.labels):
            of = tally.of(label)
            if not of:
                continue
            for grade in range(tally.cells.shape[1]):
                count = int(tally.cells[label, grade])
                low, high = wilson(count, of)
                key = self.task.sentiment_keys[grade] if self.graded else ""
                shares = [round(value, 6) for value in (count / of, low, high)]
                yield [item.key, self.label_name(label), key, self.grade_name(grade), count, of, *shares, tally.rows]

    def part_count(self, tally: Tally, label: int, part: int) -> int:
        """Texts of a slice with grades of one side of the middle."""
        return int(tally.cells[label, list(sides(self.task)[part])].sum())


_ALL = Slice("all")


def slice_name(slice: Slice) -> str:
    """How a slice is called for people."""
    if slice.name:
        return slice.name
    names = {
        "all": say("전체", "all"),
        "undated": say("날짜 없음", "no date"),
        "other": say("그 밖", "others"),
        "ungrouped": say("묶음 없음", "no group"),
    }
    return names[slice.kind]


def notes(result: Result) -> Iterator[str]:
    """What to know before reading on."""
    facts, settings = result.facts, result.settings
    if facts.rejected:
        yield say(
            f"읽을 수 없는 {facts.rejected:,}행은 빠졌습니다.",
            f"{facts.rejected:,} rows could not be read and are left out.",
        )
    if facts.undated:
        first = say(f" 예: '{facts.bad_date}'.", f" For example '{facts.bad_date}'.") if facts.bad_date else ""
        yield say(
            f"날짜가 없거나 알 수 없는 {facts.undated:,}행은 '날짜 없음'에 따로 셌습니다.{first}",
            f"{facts.undated:,} rows without a date that can be told are counted apart as 'no date'.{first}",
        )
    if facts.short_year:
        yield say(
            f"날짜 {facts.short_year:,}개는 해가 두 자리여서 어느 날인지 정할 수 없습니다. 해·달·날 순서가 맞다면 "
            "--date-format %y.%m.%d를 붙이세요.",
            f"{facts.short_year:,} dates have a year of two digits, which leaves the day open; if they are year, month, day, "
            "add --date-format %y.%m.%d",
        )
    if facts.unmatched:
        yield say(
            f"예측 {facts.unmatched:,}행은 INPUT에 같은 id가 없어 날짜와 묶음 없이 셌습니다.",
            f"{facts.unmatched:,} predictions have no row of that id in INPUT; they count without date and group.",
        )
    if settings.group_column is not None and facts.groups > settings.top:
        rest = facts.groups - settings.top
        yield say(
            f"묶음 {facts.groups:,}개 가운데 큰 {settings.top:,}개만 따로 세고 나머지 {rest:,}개는 '그 밖'입니다.",
            f"Of {facts.groups:,} groups the {settings.top:,} largest count by name, the other {rest:,} together.",
        )
