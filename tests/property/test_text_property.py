"""What holds for every text, every recipe and every combination of switches."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from maeum import text as module
from maeum.data import Input, Target
from maeum.text import RECIPES, TextPrep

# Pieces that the rules look for, whole and cut in two, so that rules meet each other's left-overs.
PIECES = [
    *"가각감녘엌부앜곀웃안와아ㅋㅎㅠㅜㄱㄷㅡㅏ",
    *"\u1100\u1161\u11a8\u110f\u1172\u1112\u119e\u11ab\u1160\u11aa",
    *"aAobwWht0159_",
    *"!?.~…！♥★♡☹^;,&[](){}/:@#*-+=%$ ",
    *"\u200b\u200d\ufe0f\ufe0e\ufeff\u202e\u2067\u00ad\x00\x07\n\t\r\x85\u00a0\u3000\u3164\u2028",
    *"\ud800\udfff\u0301\u0338\u20e3\u0bc6\u0bbe\u212a\u2126",
    *"👍🏽😂❤👨👩👧🔥🇰🇷🏴©↔漢盧①１",
    *"\U000e0067\U000e007f",
    *("1\ufe0f\u20e3", "👨\u200d👩\u200d👧", "❤\ufe0f", "🇰🇷", "👍🏽", "🏴\U000e0067\U000e0062\U000e007f"),
    *("&others&", "&name&", "&oth", "ers&", "&tel-num1&", "&", "others"),
    *("http", "https://", "http://a.b", "://", "www.", "www.a", ".com", "에서", "a@b.c", "[URL]"),
    *("ㅋㅋㅋㅋㅋㅋ", "ㅠㅠㅠㅠㅠ", "아아아아", "!!!!", "oooo", "????", "10000원", "곀ㅋㅋ", "  ", "ttt"),
    *(unicodedata.normalize("NFD", word) for word in ("감동", "웃곀", "é", "각")),
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.lists(
        st.tuples(st.sampled_from(PIECES), st.integers(1, 8)).map(lambda piece: piece[0] * piece[1]), max_size=8
    ).map("".join),
    st.text(st.characters(), max_size=30),  # surrogates included
    st.lists(st.one_of(st.sampled_from(PIECES), st.characters()), max_size=14).map("".join),
)

CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "nfc": st.booleans(),
    "invisible": st.sampled_from(get_args(module.Invisible)),
    "jamo": st.sampled_from(get_args(module.Jamo)),
    "masks": st.sampled_from(get_args(module.Masks)),
    "emoji": st.sampled_from(get_args(module.Emoji)),
    "symbols": st.sampled_from(get_args(module.Symbols)),
    "urls": st.sampled_from(get_args(module.Urls)),
    "coda": st.sampled_from(get_args(module.Coda)),
    "spaces": st.sampled_from(get_args(module.Spaces)),
    **dict.fromkeys(("emoji_run", "laughter", "repeats", "punctuation", "word_run"), st.integers(0, 5)),
}
recipes = st.sampled_from(sorted(RECIPES))
preps = st.one_of(
    recipes.map(TextPrep.named),
    st.builds(
        lambda recipe, switches: TextPrep.named(recipe, **switches),
        recipes,
        st.fixed_dictionaries({}, optional=CHOICES),
    ),
)


def test_every_switch_is_drawn() -> None:
    assert set(CHOICES) == {item.name for item in dataclasses.fields(TextPrep)} - {"recipe", "version"}


@settings(max_examples=700, deadline=None)
@given(preps, texts)
def test_idempotent(prep: TextPrep, raw: str) -> None:
    once = prep(raw)
    assert prep(once) == once


@settings(max_examples=700, deadline=None)
@given(preps, texts)
def test_mapped_path_gives_the_same_text_and_sound_spans(prep: TextPrep, raw: str) -> None:
    prepared = prep.prepare(raw)
    assert prepared.text == prep(raw)
    assert prepared.raw == raw
    n = len(prepared.text)
    last = (0, 0)
    for place in range(n):
        begin, end = prepared.to_raw(place, place + 1)
        assert 0 <= begin < end <= len(raw)
        assert last <= (begin, end)
        assert last[1] <= end
        last = (begin, end)
    for begin in range(n + 1):
        for end in range(begin, n + 1):
            raw_span = prepared.to_raw(begin, end)
            assert 0 <= raw_span[0] <= raw_span[1] <= len(raw)
            back = prepared.to_prepared(*raw_span)
            assert back[0] <= begin
            assert end <= back[1]
            if prepared.text == raw:
                assert raw_span == (begin, end)


@settings(max_examples=300, deadline=None)
@given(preps, texts)
def test_raw_spans_map_into_the_prepared_text_and_are_monotone(prep: TextPrep, raw: str) -> None:
    prepared = prep.prepare(raw)
    for begin in range(len(raw) + 1):
        before = (0, 0)
        for end in range(begin, len(raw) + 1):
            span = prepared.to_prepared(begin, end)
            assert 0 <= span[0] <= span[1] <= len(prepared.text)
            if end > begin + 1:
                assert before[0] == span[0] or before[0] == before[1]
                assert before[1] <= span[1]
            before = span


@settings(max_examples=300, deadline=None)
@given(texts)
def test_default_keeps_every_digit_outside_addresses(raw: str) -> None:
    prep = TextPrep.named("default", urls="keep")
    assert re.findall("[0-9]", prep(raw)) == re.findall("[0-9]", raw)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["default", "seed001"]), texts)
def test_composed_and_decomposed_text_prepare_alike(recipe: str, raw: str) -> None:
    prep = TextPrep.named(recipe)
    nfc, nfd = unicodedata.normalize("NFC", raw), unicodedata.normalize("NFD", raw)
    assert prep(nfc) == prep(nfd) == prep(raw)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_raw_is_identity(raw: str) -> None:
    assert TextPrep.named("raw")(raw) == raw


@settings(max_examples=300, deadline=None)
@given(texts)
def test_default_never_empties_a_text_that_shows_something(raw: str) -> None:
    visible = any(
        unicodedata.category(char)[0] in "LPNS" for char in re.sub("[\u3164\uffa0\u2800\u115f\u1160]", "", raw)
    )
    assert bool(TextPrep.named("default")(raw)) or not visible


@settings(max_examples=300, deadline=None)
@given(preps, texts, st.data())
def test_target_survives(prep: TextPrep, raw: str, data: st.DataObject) -> None:
    if not raw:
        return
    begin = data.draw(st.integers(0, len(raw) - 1))
    end = data.draw(st.integers(begin + 1, len(raw)))
    item = prep.prepare_input(Input(raw, Target(raw[begin:end], begin, end)))
    target = item.target
    assert item.text == prep(raw)
    assert target is not None
    assert item.text[target.begin : target.end] == target.form
    assert bool(target.form) == bool(item.text.strip() or target.form)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["default", "seed001"]), texts)
def test_prepared_text_can_be_written_as_utf8(recipe: str, raw: str) -> None:
    TextPrep.named(recipe)(raw).encode("utf-8")
