"""Text preparation: the golden table, spans, targets, recipes and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from maeum.data import Input, Target
from maeum.errors import FormatError, UsageError
from maeum.text import RECIPES, VERSION, Prepared, TextPrep

GOLDEN = Path(__file__).parents[1] / "golden" / "text_preparation.jsonl"
ROWS = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def default() -> TextPrep:
    return TextPrep.named("default")


def span(prepared: Prepared, word: str) -> str:
    """The raw text behind a word of the prepared one."""
    begin = prepared.text.index(word)
    raw_begin, raw_end = prepared.to_raw(begin, begin + len(word))
    return prepared.raw[raw_begin:raw_end]


# -- the golden table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=[f"{index}-{row['recipe']}" for index, row in enumerate(ROWS, 1)])
def test_golden(row: dict[str, Any]) -> None:
    prep = TextPrep.named(row["recipe"], **row.get("overrides", {}))
    assert prep(row["input"]) == row["expected"], row["reason"]
    assert prep.prepare(row["input"]).text == row["expected"]
    assert prep(row["expected"]) == row["expected"]


def test_golden_table_is_whole() -> None:
    keys = [(row["recipe"], json.dumps(row.get("overrides")), row["input"]) for row in ROWS]
    assert len(set(keys)) == len(keys) >= 130
    assert {row["recipe"] for row in ROWS} == set(RECIPES)
    assert all(row["reason"] for row in ROWS)


def test_table_of_the_manual_is_true(default: TextPrep) -> None:
    manual = Path(__file__).parents[2] / "docs" / "text.md"
    rows = re.findall(r"\| `([^`]+)` \| `([^`]*)` \|$", manual.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) >= 15
    for before, after in rows:
        assert default(before) == after


# -- spans ------------------------------------------------------------------------------------------------------------


def test_unchanged_text_maps_to_itself(default: TextPrep) -> None:
    prepared = default.prepare("배송이 빨라요")
    assert prepared.to_raw(2, 5) == (2, 5)
    assert prepared.to_prepared(2, 5) == (2, 5)
    assert prepared.to_raw(7, 7) == (7, 7)


def test_span_after_removed_characters(default: TextPrep) -> None:
    prepared = default.prepare("\ufeff  배송이\u200b   빨라요\x00!!!!!!")
    assert prepared.text == "배송이 빨라요!!!"
    assert span(prepared, "배송이") == "배송이"
    assert span(prepared, "빨라요") == "빨라요"
    assert span(prepared, "!!!") == "!!!!!!"


def test_last_character_kept_stands_for_the_rest_of_a_run(default: TextPrep) -> None:
    prepared = default.prepare("ㅋㅋㅋㅋㅋㅋㅋ")
    assert prepared.to_raw(0, 4) == (0, 7)
    assert prepared.to_raw(0, 1) == (0, 1)
    assert prepared.to_raw(3, 4) == (3, 7)
    assert prepared.to_prepared(5, 6) == (3, 4)


def test_half_of_a_decomposed_syllable_maps_to_the_syllable(default: TextPrep) -> None:
    raw = unicodedata.normalize("NFD", "감동")
    assert len(raw) == 6
    prepared = default.prepare(raw)
    assert prepared.text == "감동"
    assert prepared.to_prepared(0, 2) == (0, 1)
    assert prepared.to_prepared(2, 4) == (0, 2)
    assert prepared.to_raw(1, 2) == (3, 6)


def test_replacement_belongs_to_the_whole_of_what_it_replaced(default: TextPrep) -> None:
    prepared = default.prepare("봐 https://a.b/c에서")
    assert prepared.text == "봐 [URL]에서"
    assert span(prepared, "URL") == "https://a.b/c"
    assert span(prepared, "에서") == "에서"
    assert prepared.to_raw(4, 4) == (2, 15)
    described = TextPrep.named("default", emoji="describe").prepare("최고👍🏽요")
    assert span(described, "엄지") == "👍🏽"


def test_removed_span_is_empty_in_the_prepared_text(default: TextPrep) -> None:
    assert default.prepare("좋\u200b아").to_prepared(1, 2) == (1, 1)
    assert default.prepare("\u200b").to_prepared(0, 1) == (0, 0)
    assert default.prepare("\u200b").to_raw(0, 0) == (0, 0)


def test_offsets_count_code_points(default: TextPrep) -> None:
    prepared = default.prepare("😂😂😂😂😂 끝")
    assert prepared.text == "😂😂😂 끝"
    assert prepared.to_raw(4, 5) == (6, 7)


@pytest.mark.parametrize(("begin", "end"), [(-1, 0), (2, 1), (0, 4)])
def test_span_outside_the_text_is_refused(default: TextPrep, begin: int, end: int) -> None:
    prepared = default.prepare("가나다")
    for convert in (prepared.to_raw, prepared.to_prepared):
        with pytest.raises(UsageError) as caught:
            convert(begin, end)
        assert "is not inside a text of length 3" in caught.value.en


# -- targets ------------------------------------------------------------------------------------------------------------


def moved(prep: TextPrep, text: str, form: str) -> Target | None:
    begin = text.index(form)
    return prep.prepare_input(Input(text, Target(form, begin, begin + len(form)))).target


def test_target_moves_with_the_text(default: TextPrep) -> None:
    text = "ㅋㅋㅋㅋㅋㅋㅋㅋ   배송이 느려요"
    assert moved(default, text, "배송") == Target("배송", 5, 7)
    nfd = unicodedata.normalize("NFD", text)
    assert moved(default, nfd, unicodedata.normalize("NFD", "배송")) == Target("배송", 5, 7)


def test_target_form_is_the_prepared_slice(default: TextPrep) -> None:
    assert moved(default, "완전 좋아아아아아요", "좋아아아아아요") == Target("좋아아아요", 3, 8)
    assert moved(default, "웃곀ㅋㅋ", "웃곀") == Target("웃겨", 0, 2)


def test_input_without_target_keeps_its_aspect(default: TextPrep) -> None:
    assert default.prepare_input(Input("좋다!!!!!", aspect="배송")) == Input("좋다!!!", aspect="배송")
    item = default.prepare_input(Input("좋다!!!!!", Target("좋다", 0, 2), "배송"))
    assert item == Input("좋다!!!", Target("좋다", 0, 2), "배송")


def test_removed_target_becomes_the_next_word_or_the_last() -> None:
    prep = TextPrep.named("default", emoji="drop")
    assert moved(prep, "배송 \u200b빨라요", "\u200b") == Target("빨라요", 3, 6)
    assert moved(prep, "배송 빨라요\u200b", "\u200b") == Target("빨라요", 3, 6)
    assert moved(prep, "배송 빨\u200b라요", "\u200b") == Target("빨라요", 3, 6)
    assert moved(prep, "👍", "👍") == Target("", 0, 0)


def test_empty_target_stays_empty(default: TextPrep) -> None:
    assert default.prepare_input(Input("  좋다", Target("", 2, 2))).target == Target("", 0, 0)


def test_target_outside_the_text_is_refused(default: TextPrep) -> None:
    with pytest.raises(UsageError):
        default.prepare_input(Input("좋다", Target("좋다요", 0, 3)))


# -- recipes ------------------------------------------------------------------------------------------------------------


def test_default_is_the_default() -> None:
    assert TextPrep() == TextPrep.named("default") == RECIPES["default"]
    assert RECIPES["seed001"].recipe == "seed001"


def test_recipes_keep_their_version_apart() -> None:
    assert VERSION == 1
    assert {prep.version for prep in RECIPES.values()} == {VERSION}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_round_trips(name: str) -> None:
    prep = TextPrep.named(name, laughter=2)
    data = json.loads(json.dumps(prep.to_dict()))
    assert data["recipe"] == name
    assert data["version"] == VERSION
    prep("ㅋㅋㅋㅋ")
    for other in (TextPrep.from_dict(data), pickle.loads(pickle.dumps(prep)), copy.deepcopy(prep)):  # noqa: S301
        assert other == prep
        assert hash(other) == hash(prep)
        assert other("ㅋㅋㅋㅋ 1") == prep("ㅋㅋㅋㅋ 1")


def test_switches_left_out_are_those_of_the_recipe() -> None:
    assert TextPrep.from_dict({"recipe": "seed001"}) == RECIPES["seed001"]
    assert TextPrep.from_dict({}) == RECIPES["default"]


@pytest.mark.parametrize(
    ("recipe", "switches", "message"),
    [
        ("defualt", {}, "did you mean 'default'"),
        ("default", {"emojis": "drop"}, "did you mean 'emoji'"),
        ("default", {"emoji": "descibe"}, "did you mean 'describe'"),
        ("default", {"version": 1}, "switch 'version' is unknown"),
        ("default", {"laughter": -1}, "laughter is a whole number"),
        ("default", {"laughter": True}, "laughter is a whole number"),
        ("default", {"laughter": "3"}, "laughter is a whole number"),
        ("default", {"nfc": "yes"}, "nfc is true or false"),
    ],
)
def test_mistakes_are_named(recipe: str, switches: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TextPrep.named(recipe, **switches)
    assert message in caught.value.en
    assert "텍스트 정제" in caught.value.ko


def test_saved_preparation_of_a_newer_version_is_refused(default: TextPrep) -> None:
    with pytest.raises(FormatError) as caught:
        TextPrep.from_dict({**default.to_dict(), "version": VERSION + 1, "new_switch": 1})
    assert "upgrade maeum" in caught.value.en


@pytest.mark.parametrize("change", [{"new": 1}, {"recipe": "mine"}, {"emoji": "?"}, {"version": 0}, {"version": "1"}])
def test_saved_preparation_with_anything_unknown_is_refused(default: TextPrep, change: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        TextPrep.from_dict({**default.to_dict(), **change})


def test_import_is_light() -> None:
    code = "import sys, maeum.text; print({'numpy', 'emoji', 'torch', 'difflib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize(
    "piece", ["ㅋ", "a", ".", " ", "\u200b", "👨\u200d", "🇰", "&oth", "http://", "a.", "\u0301", "@a."]
)
def test_long_texts_take_linear_time(recipe: str, piece: str) -> None:
    # A quadratic rule would need minutes for this one.
    TextPrep.named(recipe).prepare(piece * 20_000)
