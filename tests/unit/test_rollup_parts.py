"""The parts of a roll-up on their own: dates, periods, intervals, samples, words, the row index."""

from __future__ import annotations

import datetime
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maeum.errors import DataError, UsageError
from maeum.formats.tables_out import safe_cell
from maeum.rolling import Settings
from maeum.rolling.counting import Counts, Slice, Slicer, sides, wilson
from maeum.rolling.examples import Sampler, text_key
from maeum.rolling.index import RowIndex
from maeum.rolling.periods import parse_day, period_of, place_of, short_year
from maeum.rolling.words import Vocabulary, WordCounts, log_odds, words
from maeum.task import Label, Task

DAY = datetime.date(2015, 8, 24)


@pytest.mark.parametrize(
    "value",
    [
        "2015-08-24", " 2015.08.24 ", "2015.8.24.", "2015. 8. 24.", "2015/08/24", "20150824", 20150824, 20150824.0,
        "2015-08-24 10:11", "2015-08-24T23:59:59+09:00", "2015.08.24 오전" [:10], "2015년 8월 24일", "20150824101112",
        DAY, datetime.datetime(2015, 8, 24, 23, 59),
    ],
)  # fmt: skip
def test_days_in_every_clear_form(value):
    assert parse_day(value) == DAY


@pytest.mark.parametrize(
    "value",
    [
        None, "", "nan", float("nan"), "15.08.24", "24/08/2015", "08-24-2015", "2015-13-01", "2015-02-30", "어제", 42240,
        42240.5, True, "2015-08", "2015", "２０１５-08-24", "2015-08.24", b"2015-08-24", [2015], "1" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_clearly_a_day_is_none(value):
    assert parse_day(value) is None


def test_a_form_that_is_given_is_the_only_one():
    assert parse_day("15.08.24", "%y.%m.%d") == DAY
    assert parse_day("2015-08-24", "%y.%m.%d") is None
    assert parse_day(DAY, "%y.%m.%d") == DAY
    assert short_year("15.08.24")
    assert not short_year("2015.08.24")


def test_periods_sort_as_time_does_and_neighbours_are_one_apart():
    days = range(datetime.date(2018, 12, 1).toordinal(), datetime.date(2021, 2, 1).toordinal())
    for kind in ("day", "week", "month", "year"):
        names = list(dict.fromkeys(period_of(day, kind) for day in days))
        assert names == sorted(names)
        places = [place_of(name, kind) for name in names]
        assert places == list(range(places[0], places[0] + len(names)))
    assert period_of(datetime.date(2018, 12, 31).toordinal(), "week") == "2019-W01"


def test_wilson_against_the_textbook():
    low, high = wilson(2, 10)
    assert (low, high) == pytest.approx((0.0567, 0.5098), abs=1e-4)
    assert wilson(0, 0) == (0, 1)
    assert wilson(0, 4)[0] == 0
    assert wilson(4, 4)[1] == 1


def test_counts_add_up_in_any_split():
    task = Task("t", "multilabel", (Label("a"), Label("b")))
    slicer = Slicer("year", ["x"])
    whole, parts = Counts(task), [Counts(task) for _ in range(3)]
    for n in range(200):
        row = (
            slicer(None if n % 5 == 0 else 730_000 + 50 * n, (None, "x", "y")[n % 3]),
            (((n % 2), 0, 0.5),) * (n % 4 > 0),
        )
        whole.add(*row)
        parts[n % 3].add(*row)
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert set(merged.tallies) == set(whole.tallies)
    for slice, tally in whole.tallies.items():
        assert (merged[slice].cells == tally.cells).all()
        assert (merged[slice].rows, merged[slice].empty) == (tally.rows, tally.empty)
    assert [slice.kind for slice, _ in whole.groups()] == ["group", "other", "ungrouped"]
    assert list(whole.periods())[-1][0] == Slice("undated")


def test_sides_of_grades():
    def task(n: int) -> Task:
        return Task("t", "aspect", (Label("a"),), tuple(Label(str(i)) for i in range(n)))

    assert sides(task(5)) == ((0, 1), (3, 4))
    assert sides(task(3)) == ((0,), (2,))
    assert sides(task(2)) == ((0,), (1,))
    assert sides(Task("t", "multilabel", (Label("a"),))) == ((0,),)


def test_samples_do_not_depend_on_order_and_hold_no_text_twice():
    rows = [(f"글 {n % 80}", (n % 80) / 100, n % 80) for n in range(400)]
    found = []
    for seed in (1, 2):
        random.Random(seed).shuffle(rows)
        sampler: Sampler[str] = Sampler(5)
        for text, score, place in rows:
            sampler.offer("c", score, text_key(text, 0), place)
        found.append(sampler.picked("c"))
    assert found[0] == found[1]
    assert len({item.place for item in found[0]}) == 5
    assert [item.place for item in found[0][:3]] == [79, 78, 77]
    assert [item.why for item in found[0]] == ["confident"] * 3 + ["random"] * 2
    assert sampler.picked("other") == []


def test_chance_is_fair():
    hits = np.zeros(20)
    for seed in range(2000):
        sampler: Sampler[int] = Sampler(2)
        for n in range(20):
            sampler.offer(0, float(n == 0), text_key(f"글 {n}", seed), n)
        hits[sampler.picked(0)[1].place] += 1
    assert hits[0] == 0
    # 19 texts, 2000 draws: six standard errors around the mean of 105
    assert np.abs(hits[1:] - 2000 / 19).max() < 6 * math.sqrt(2000 / 19)


def test_words_are_stems_and_their_beginnings():
    assert words("배송이 늦어요!! Good ㅋㅋㅋㅋ 10000원") == {"배송", "늦어", "늦어요", "good", "ㅋㅋ"}
    assert words("") == frozenset()
    assert words("가" * 1000) == {"가가"}
    assert words("가나다라마바사아자차카타파하" * 9) == frozenset()


def test_the_vocabulary_is_bounded_and_keeps_what_is_frequent():
    vocabulary = Vocabulary(most=50)
    for n in range(2000):
        vocabulary.add([f"희귀{n}", "흔한", f"반반{n % 2}"])
    assert vocabulary.top(1, 5)[:3] == ["흔한", "반반0", "반반1"]
    assert vocabulary.floor > 0


@given(st.lists(st.lists(st.sampled_from("가나다라마바사아자차"), unique=True), max_size=60), st.integers(2, 6))
def test_no_word_is_counted_too_low_by_more_than_was_taken_away(texts, most):
    vocabulary, true = Vocabulary(most), Counter(word for text in texts for word in text)
    for text in texts:
        vocabulary.add(text)
        assert len(vocabulary._counts) <= most
    assert vocabulary.floor <= 2 * sum(true.values()) / most
    for word, count in true.items():
        assert count - vocabulary.floor <= vocabulary._counts[word] <= count
    listed = vocabulary.top(1, 3)
    assert all(true[word] <= vocabulary.unlisted for word in true.keys() - set(listed))


def test_the_words_that_are_left_out_are_rarer_than_is_said():
    vocabulary = Vocabulary()
    for n in range(300):
        vocabulary.add([f"낱말{n}"] * (300 - n))
    # so many cells leave room for 200 words
    assert len(vocabulary.top(10**9, 5)) == 200
    assert vocabulary.unlisted == 100


@pytest.mark.parametrize("cell", ["=1+1", "+82 상점", "-할인", "@몰", "\t=1", "＝1+1", "-2+3", "+"])
def test_a_text_that_would_be_computed_is_guarded(cell):
    assert safe_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["배송", "", "-2", "+1.5", -2, -0.5, None, "a=b", "'=1"])
def test_numbers_and_plain_texts_are_left_alone(cell):
    assert safe_cell(cell) is cell


def test_a_planted_word_is_told_and_the_prior_holds_back_rare_ones():
    counted = WordCounts(["배송", "옷", "희귀"], 2)
    for n in range(400):
        cell = n % 2
        found = ["옷"] + (["배송"] if cell and n % 3 else []) + (["희귀"] if n == 1 else [])
        counted.add([cell], found)
    told = counted.telling(1, most=10, least=1)
    assert [item.word for item in told] == ["배송"]
    assert (told[0].count, told[0].elsewhere) == (133, 0)
    assert [item.word for item in counted.telling(0, most=10, least=1)] == ["옷"]


def test_log_odds_by_hand():
    mine, theirs = np.array([8.0, 2.0]), np.array([2.0, 8.0])
    # 20 words, so the prior weighs one: half for each
    expected = math.log(8.5 / 2.5) - math.log(2.5 / 8.5)
    delta, z = log_odds(mine, theirs)
    assert delta == pytest.approx([expected, -expected])
    assert z[0] == pytest.approx(expected / math.sqrt(1 / 8.5 + 1 / 2.5))


def test_the_row_index(tmp_path):
    index = RowIndex(tmp_path / "rows")
    index.fill([("a", 5, "x"), ("b", None, "y"), ("c", 3, "y"), ("d", 3, None)])
    assert index.find("b") == (None, "y")
    assert index.find("nobody") == (None, None)
    assert index.top_groups(1) == ["y"]
    assert index.days() == [3, 5]
    assert index.groups() == 2
    assert index.keep(["c", "zz"]) == (1, 1)
    assert index.top_groups(9) == ["y"]
    with pytest.raises(DataError, match="occurs twice"):
        index.fill([("c", 1, None)])
    index.close()


def test_settings_are_checked():
    for wrong in ({"period": "hour"}, {"top": 0}, {"examples": 0}, {"min_count": 0}):
        with pytest.raises(UsageError):
            Settings(**wrong)
