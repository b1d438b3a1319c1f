"""Texts and targets as token windows: what is cut, what is repeated, and where the target is marked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tiny

from maeum.data import Input, Target
from maeum.hf import loading
from maeum.hf.frame import frame_of
from maeum.hf.tokenizers import load_tokenizer
from maeum.models.windows import MARKERS, Window, Windows, clean

pytest.importorskip("torch")
pytest.importorskip("transformers")

LONG = "오늘은 기분이 좋다. 하늘도 맑고 바람도 시원하다. " * 12
MakeWindows = Callable[..., Windows]


@pytest.fixture
def windows(tiny_base) -> MakeWindows:
    def make(target_input: str = "none", max_length: int = 24, shape: str = "klue-bert", overlap: float = 0.25):
        tokenizer = load_tokenizer(tiny_base(shape))
        frame = frame_of(tokenizer, loading.load_config(tiny_base(shape)))
        markers = ()
        if target_input == "marker":
            tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)}, False)
            markers = tuple(tokenizer.convert_tokens_to_ids(list(MARKERS)))
        return Windows(tokenizer, frame, target_input, max_length, overlap, markers)

    return make


def at(text: str, form: str, number: int = 0) -> Input:
    """The text with the ``number``-th occurrence of ``form`` as its target."""
    begin = -1
    for _ in range(number + 1):
        begin = text.index(form, begin + 1)
    return Input(text, Target(form, begin, begin + len(form)))


def marked(made: Windows, window: Window) -> str:
    """What stands between the markers."""
    opening, closing = (window.ids.index(marker) for marker in made.markers)
    assert [window.ids.count(marker) for marker in made.markers] == [1, 1]
    tokens = made.tokenizer.convert_ids_to_tokens(list(window.ids[opening + 1 : closing]))
    return "".join(token.removeprefix("##").removeprefix("▁") for token in tokens)


def pieces(made: Windows, text: str) -> tuple[int, ...]:
    return tuple(made.tokenizer(text, add_special_tokens=False)["input_ids"])


def inside(made: Windows, window: Window) -> tuple[int, ...]:
    return window.ids[len(made.frame.begin) : len(window.ids) - len(made.frame.end)]


@pytest.mark.parametrize("shape", list(tiny.SHAPES))
def test_windows_of_a_long_text_cover_it_all_and_overlap(windows, shape):
    made = windows(shape=shape)
    found = [inside(made, window) for window in made([Input(LONG)])[0]]
    whole, room = pieces(made, LONG), 24 - made.frame.overhead(pair=False)
    assert all(len(part) == room for part in found)
    assert found[0] == whole[:room]
    assert found[-1] == whole[-room:]
    step = room - int(room * 0.25)
    for number, part in enumerate(found[:-1]):
        assert part == whole[number * step : number * step + room]
    assert len(whole) - room <= (len(found) - 1) * step


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_text_as_long_as_the_window_is_one_window(windows, extra):
    made = windows(max_length=512)
    text = "가격이 " * 6
    made = windows(max_length=len(pieces(made, text)) + 2 + extra)
    assert len(made([Input(text)])[0]) == (2 if extra < 0 else 1)


def test_no_overlap_and_a_window_of_one_token_still_move_on(windows):
    assert len(windows(overlap=0.0)([Input(LONG)])[0]) < len(windows(overlap=0.5)([Input(LONG)])[0])
    narrow = windows(max_length=3, overlap=0.9)
    assert len(narrow([Input("맛이 정말 마음에 들어요")])[0]) == len(pieces(narrow, "맛이 정말 마음에 들어요"))


def test_no_inputs_and_empty_texts(windows):
    for target_input in ("none", "pair", "marker"):
        made = windows(target_input)
        assert made([]) == []
        ((window,), (blank,)) = made([Input(""), Input("  \t ", Target(" ", 0, 1))])
        assert window.ids == (*made.frame.begin, *made.frame.end)
        assert set(made.frame.begin) <= set(blank.ids)


def test_a_text_cannot_bring_special_tokens_along(windows):
    made = windows("marker")
    text = "앞 [SEP] 뒤 <target> 맛 </target> [PAD]"
    (window,) = made([at(text, "맛")])[0]
    assert window.ids.count(made.tokenizer.sep_token_id) == 1
    assert made.tokenizer.pad_token_id not in window.ids
    assert marked(made, window) == "맛"


# ------------------------------------------------------------------------------------------------------------ pair


@pytest.mark.parametrize("shape", list(tiny.SHAPES))
def test_a_pair_stands_whole_in_every_window(windows, shape):
    made = windows("pair", shape=shape)
    target = at(LONG, "바람", 3)
    found = made([target])[0]
    word = pieces(made, "바람")
    assert len(found) > 5
    for window in found:
        assert len(window.ids) <= 24
        assert window.ids[-len(word) - len(made.frame.end) :] == (*word, *made.frame.end)
    assert made([Input(LONG)])[0] == windows("none", shape=shape)([Input(LONG)])[0]


@pytest.mark.parametrize("shape", list(tiny.SHAPES))
def test_no_segment_is_one_that_the_model_does_not_have(windows, shape, tiny_base):
    made = windows("pair", shape=shape)
    config = loading.load_config(tiny_base(shape))
    for window in made([at(LONG, "하늘")])[0]:
        if shape in ("klue-roberta", "e5"):
            assert window.types == ()
        else:
            assert len(window.types) == len(window.ids)
            assert max(window.types) < (3 if shape == "funnel" else config.type_vocab_size)
            assert 1 in window.types


def test_a_target_longer_than_the_window_leaves_half_of_it_to_the_text(windows):
    made = windows("pair")
    found = made([Input(LONG, Target(LONG, 0, len(LONG)))])[0]
    assert len(found) > 1
    for window in found:
        assert len(window.ids) <= 24
        first = window.types.index(1)
        assert first - len(made.frame.begin) - len(made.frame.between) >= 24 // 2 - made.frame.overhead(pair=True)


# ---------------------------------------------------------------------------------------------------------- marker


@pytest.mark.parametrize("shape", list(tiny.SHAPES))
def test_the_same_word_twice_is_told_apart(windows, shape):
    made = windows("marker", max_length=64, shape=shape)
    text = "맛이 좋고 또 맛이 난다"
    (first,), (second,) = made([at(text, "맛이", 0), at(text, "맛이", 1)])
    assert first.ids != second.ids
    assert marked(made, first) == marked(made, second) == "맛이"
    assert first.ids.index(made.markers[0]) < second.ids.index(made.markers[0])
    plain = tuple(number for number in inside(made, first) if number not in made.markers)
    assert plain == pieces(made, text)


@pytest.mark.parametrize("number", [0, 5, 11])
def test_a_marked_target_survives_wherever_it_stands(windows, number):
    made = windows("marker")
    (window,) = made([at(LONG, "바람", number)])[0]
    assert marked(made, window) == "바람"
    assert len(window.ids) == 24
    assert window.ids[: len(made.frame.begin)] == made.frame.begin
    assert window.ids[-len(made.frame.end) :] == made.frame.end


def test_what_one_side_does_not_need_goes_to_the_other(windows):
    made = windows("marker")
    (window,) = made([at("맛 " + LONG, "맛")])[0]
    assert len(window.ids) == 24
    assert window.ids[len(made.frame.begin)] == made.markers[0]


def test_a_span_longer_than_the_window_is_cut_at_its_end(windows):
    made = windows("marker")
    (window,) = made([Input(LONG, Target(LONG, 0, len(LONG)))])[0]
    assert len(window.ids) == 24
    assert LONG.replace(" ", "").startswith(marked(made, window))


@pytest.mark.parametrize("shape", list(tiny.SHAPES))
def test_a_border_inside_a_token_splits_it(windows, shape):
    made = windows("marker", max_length=64, shape=shape)
    text = "배송이정말마음에들어요"
    for begin, end in ((0, 1), (1, 2), (1, 4), (3, 7), (8, 11)):
        (window,) = made([Input(text, Target(text[begin:end], begin, end))])[0]
        found = marked(made, window)
        if made.tokenizer.unk_token_id not in window.ids:
            assert found == text[begin:end]
        assert found


@pytest.mark.parametrize("shape", ["klue-bert", "kobert", "e5"])
def test_spaces_around_the_word_are_not_part_of_it(windows, shape):
    made = windows("marker", max_length=64, shape=shape)
    text = "  그 가격이   정말  별로 "
    (window,) = made([at(text, "가격이")])[0]
    assert marked(made, window) == "가격이"
    plain = tuple(number for number in inside(made, window) if number not in made.markers)
    assert plain == pieces(made, text)


def test_half_a_surrogate_pair_in_text_and_target(windows):
    text = "\ud800 맛이 \udfff 좋다"
    for target_input in ("pair", "marker"):
        made = windows(target_input, max_length=64)
        (window,) = made([at(text, "맛이 \udfff")])[0]
    assert marked(made, window) == "맛이"
    assert clean("\ud800가😀") == "\ufffd가😀"


def test_a_split_surrogate_pair_before_the_target_does_not_move_it(windows):
    made = windows("marker", max_length=64)
    (window,) = made([at("\ud83d\ude00\ud83d\ude00 맛이 좋다", "맛이")])[0]
    assert marked(made, window) == "맛이"
