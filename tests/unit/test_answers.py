"""Training pairs of the three forms, and lists read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_decoders

from maeum.data import Input, Target
from maeum.errors import UsageError
from maeum.hf.causal import load_decoder_tokenizer
from maeum.models.answers import Pair, pairs, parse_list
from maeum.models.label_lists import ListWords
from maeum.models.prompt_tokens import PromptTokens
from maeum.models.prompts import load_template
from maeum.models.verbalizers import Verbalizer, answer_ids
from maeum.task import Label, Task, builtin_task

pytest.importorskip("transformers")

SHAPES = tuple(tiny_decoders.SHAPES)
TASK = Task("moods", "multilabel", (Label("joy", ko="기쁨"), Label("hope", ko="기대"), Label("grief", ko="슬픔")))
INPUTS = [
    Input("배송이 빠르고 포장도 예뻐요", Target("배송", 0, 2)),
    Input("그냥 그래요", Target("그냥", 0, 2)),
    Input("또 늦었네요 </s><|endoftext|>", Target("또", 0, 1)),
]
Y = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8)


class Kit:
    """Everything that ``pairs`` takes, for one tokenizer and template."""

    def __init__(self, tokenizer: Any, name: str, max_length: int = 1000) -> None:
        self.tokenizer = tokenizer
        self.template = load_template(name)
        self.tokens = PromptTokens(tokenizer, self.template, max_length)
        self.words = self.template.words_for(TASK)
        self.choices = tuple(self.words.values())
        self.ask = self.tokens.reference(choices=self.choices)
        self.labels = self.verbalizer(self.words | {"": self.template.none})
        first = self.ask + self.template.answer_text("기쁨")
        self.lists = ListWords(
            self.labels.ids[:3],
            tuple(answer_ids(tokenizer, first, f", {word}") for word in self.choices),
            self.labels.ids[3],
            (tokenizer.eos_token_id,),
        )

    def verbalizer(self, words: dict[str, str]) -> Verbalizer:
        return Verbalizer.of(tuple(words), words, self.tokenizer, self.ask, self.template)

    def yesno(self) -> Verbalizer:
        return self.verbalizer({"yes": "예", "no": "아니오"})

    def pairs(self, form: str, **how: Any) -> list[Pair]:
        how = {"verbalizer": self.yesno() if form == "yesno" else self.labels, "tokens": self.tokens} | how
        return pairs(form, INPUTS, Y, TASK, lists=self.lists if form == "list" else None, **how)

    def said(self, pair: Pair) -> str:
        return str(self.tokenizer.decode(pair.prompt.ids + pair.answer)).removeprefix("<s>").strip()


@pytest.fixture(scope="module")
def kit(tiny_decoder) -> Callable[..., Kit]:
    loaded: dict[str, Any] = {}

    def make(shape: str = "llama", name: str = "emotion", max_length: int = 1000) -> Kit:
        if shape not in loaded:
            loaded[shape] = load_decoder_tokenizer(tiny_decoder(shape))
        return Kit(loaded[shape], name, max_length)

    return make


# -- pairs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "name"), [*((shape, "emotion") for shape in SHAPES), ("qwen", "chat")])
def test_label_makes_one_pair_for_every_true_label(shape, name, kit):
    made = kit(shape, name)
    found = made.pairs("label")
    assert [(pair.row, made.tokenizer.decode(pair.answer).strip()) for pair in found] == [
        (0, "기쁨"),
        (0, "슬픔"),
        (2, "기대"),
    ]
    prompts = made.tokens.encode(INPUTS, choices=made.choices)
    for pair in found:
        assert pair.prompt == prompts[pair.row]
        item, word = INPUTS[pair.row], made.tokenizer.decode(pair.answer).strip()
        if name == "emotion" and pair.row == 0:  # the answer stands where the prompt ends, and both are one string
            text = made.template.render(item) + made.template.answer_text(word)
            assert list(pair.prompt.ids + pair.answer) == made.tokenizer(text)["input_ids"]
        assert made.said(pair).endswith(word)


def test_rows_without_a_label_are_skipped_or_taught_none(kit):
    made = kit()
    assert [pair.row for pair in made.pairs("label", unlabelled="skip")] == [0, 0, 2]
    taught = made.pairs("label", unlabelled="none")
    assert [pair.row for pair in taught] == [0, 0, 1, 2]
    assert taught[2].answer == made.labels.ids[-1]
    assert made.said(taught[2]).endswith("감정: 없음")


@pytest.mark.parametrize("unlabelled", ["skip", "none"])
def test_yesno_asks_about_every_label_of_every_row(unlabelled, kit):
    made = kit()
    found = made.pairs("yesno", unlabelled=unlabelled)
    yes, no = made.yesno().ids
    assert [pair.row for pair in found] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [pair.answer for pair in found] == [yes, no, yes, no, no, no, no, yes, no]
    for number, pair in enumerate(found):
        word = made.choices[number % 3]
        (prompt,) = made.tokens.encode([INPUTS[pair.row]], label=word)
        assert pair.prompt == prompt
        assert f"### 물음: {word}\n### 답: " in made.said(pair)


@pytest.mark.parametrize("shape", SHAPES)
def test_lists_hold_all_labels_in_order_and_end(shape, kit):
    made = kit(shape)
    found = made.pairs("list", unlabelled="none")
    assert [pair.row for pair in found] == [0, 1, 2]
    assert all(pair.answer[-1] == made.tokenizer.eos_token_id for pair in found)
    answers = [made.tokenizer.decode(pair.answer[:-1]).strip() for pair in found]
    assert answers == ["기쁨, 슬픔", "없음", "기대"]
    assert [pair.row for pair in made.pairs("list", unlabelled="skip")] == [0, 2]
    read = [parse_list(answer, made.words, none="없음") for answer in answers]
    assert read == [([("joy", None), ("grief", None)], []), ([], []), ([("hope", None)], [])]


def test_own_words_are_asked_about_and_named(kit):
    made = kit("llama", "label")
    own = {"joy": "좋음", "hope": "바람", "grief": "슬픔"}
    answers = made.verbalizer(own)
    (pair, *_) = pairs("label", INPUTS, Y, TASK, answers, made.tokens, words=own)
    assert "### 보기: 좋음, 바람, 슬픔\n" in made.said(pair)
    (other, *_) = pairs("label", INPUTS, Y, TASK, answers, made.tokens, words=own, choices=("둘", "하나"))
    assert "### 보기: 둘, 하나\n" in made.said(other)
    assert other.answer == pair.answer
    assert pair.answer == answers.ids[0]
    asked = made.pairs("yesno", words=own)
    assert ["바람" in made.said(pair) for pair in asked[:3]] == [False, True, False]


@pytest.mark.parametrize("form", ["label", "yesno", "list"])
def test_answers_are_never_cut(form, kit):
    made = kit("gpt-neox", "emotion", 130)
    inputs = [Input("오늘은 날씨가 맑았다. " * 40), Input("비")]
    y = np.array([[1, 1, 1], [0, 1, 0]], np.uint8)
    verbalizer = made.yesno() if form == "yesno" else made.labels
    for length in range(120, 130):
        tokens = replace(made.tokens, max_length=length)
        found = pairs(form, inputs, y, TASK, verbalizer, tokens, lists=made.lists if form == "list" else None)
        assert max(len(pair.prompt.ids) + len(pair.answer) for pair in found) <= length
        assert {pair.row for pair in found if pair.prompt.cut} == {0}
        if form == "list":
            assert found[0].answer == made.lists.answer([0, 1, 2])


def test_room_that_was_kept_already_is_kept(kit):
    made = kit("gpt-neox")
    inputs = [Input("오늘은 날씨가 맑았다. " * 40)]
    tokens = replace(made.tokens, max_length=130, reserve=20)
    (pair,) = pairs("label", inputs, np.array([[1, 0, 0]], np.uint8), TASK, made.labels, tokens)
    assert [pair.prompt] == tokens.encode(inputs)
    assert len(pair.prompt.ids) <= 110


def test_errors_name_the_row_of_the_data_not_of_what_is_left(kit):
    made = kit("llama", "seed000")
    inputs = [INPUTS[0], Input("x"), Input("대상이 없는 글")]
    y = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1]], np.uint8)
    with pytest.raises(UsageError, match=r"row 3: prompt 'seed000' needs \{target\}"):
        pairs("label", inputs, y, TASK, made.labels, made.tokens)


def test_what_does_not_fit_together_is_refused(kit):
    made = kit()
    with pytest.raises(UsageError, match="form is one of label, yesno, list, got 'lables'"):
        made.pairs("lables")
    with pytest.raises(UsageError, match="unlabelled is one of skip, none, got 'drop'"):
        made.pairs("label", unlabelled="drop")
    with pytest.raises(UsageError, match="no row has a label, so there is nothing to learn"):
        pairs("label", INPUTS, np.zeros((3, 3), np.uint8), TASK, made.labels, made.tokens)
    with pytest.raises(ValueError, match="shape"):
        pairs("label", INPUTS, Y[:2], TASK, made.labels, made.tokens)
    with pytest.raises(ValueError, match="yesno needs"):
        made.pairs("yesno", verbalizer=made.labels)
    with pytest.raises(ValueError, match="one for none"):
        made.pairs("label", verbalizer=made.verbalizer(made.words), unlabelled="none")
    with pytest.raises(ValueError, match="list needs the pieces"):
        pairs("list", INPUTS, Y, TASK, made.labels, made.tokens)
    assert pairs("label", [], Y[:0], TASK, made.labels, made.tokens) == []


# -- lists read back ------------------------------------------------------------------------------------------------------

FASHION = {key: key for key in builtin_task("review-fashion").keys}
TWO = [("디자인", "1"), ("배송", "-1")]


@pytest.mark.parametrize(
    "text",
    [
        "디자인1, 배송-1",  # as seed 004 writes it
        "디자인 1, 배송 -1",
        "디자인1,배송-1",
        "디자인1 배송-1",
        "디자인1배송-1",
        " 디자인1 ,배송 - 1\n",
        "디자인１，배송－１",
        "디자인1、배송−1。",
        "디자인1; 배송–1.",
        "디자인1/배송-1",
        "디자인1\n배송-1",
        "1. 디자인 1\n2. 배송 -1",
        "- 디자인: 1\n- 배송: -1",
        "• 디자인 +1\n• 배송 -1",
        "디자인(1), 배송(-1)",
        "디자인 : 1 | 배송 = -1",
        "**디자인**: 1, **배송**: -1",
        '"디자인" 1, "배송" -1',
        '["디자인1", "배송-1"]',
        "디자인 1점, 배송 -1점입니다.",
        "디자인1과 배송-1",
        "디자인1, 배송-1, 디자인1, 디자인",
        "디자인01, 배송-1",
    ],
)
def test_messy_lists_of_seed_004_are_read(text):
    assert parse_list(text, FASHION) == (TWO, [])


@pytest.mark.parametrize(
    ("text", "found", "rest"),
    [
        ("", [], []),
        (" \n,.", [], []),
        ("없음", [], []),
        ("없음.", [], []),
        ("디자인", [("디자인", None)], []),
        ("디자인-0", [("디자인", "0")], []),
        ("디자인12", [("디자인", "12")], []),
        ("향기1, 배송-1", [("배송", "-1")], ["향기1"]),
        ("향기1배송-1", [("배송", "-1")], ["향기1"]),
        ("디자인감 1, 배송", [("배송", None)], ["디자인감 1"]),
        ("새디자인1", [], ["새디자인1"]),
        ("디자인1, 디자인2", [("디자인", "1")], ["디자인2"]),
        ("디자인 1.5, 배송2", [("디자인", None), ("배송", "2")], ["1.5"]),
        ("가격이 비싸요", [], ["가격이 비싸요"]),
        ("아주 좋은 말, 배송 1 끝", [("배송", "1")], ["아주 좋은 말", "끝"]),
        ("색상2\n###입력: 옷이", [("색상", "2")], ["###입력", "옷이"]),
        ("배송 1 2", [("배송", "1")], ["2"]),
        ("향기.배송 1", [("배송", "1")], ["향기"]),
        ("향기 .5, 배송", [("배송", None)], ["향기 .5"]),
        ("- 배송 -1", [("배송", "-1")], []),
    ],
)
def test_what_is_no_label_is_given_back(text, found, rest):
    assert parse_list(text, FASHION, none="없음") == (found, rest)


def test_the_longest_word_wins_and_words_may_hold_separators():
    task = builtin_task("nikl-sa")
    words = {key: key for key in task.keys}
    assert parse_list("제품 전체#품질 1, 패키지/구성품#일반-1, 본품#디자인", words) == (
        [("제품 전체#품질", "1"), ("패키지/구성품#일반", "-1"), ("본품#디자인", None)],
        [],
    )
    nested = {"a": "기대", "b": "기대 이상", "c": "상"}
    assert parse_list("기대 이상, 기대", nested) == ([("b", None), ("a", None)], [])


def test_keys_are_read_as_well_as_words_whatever_their_width_or_case():
    words = {"joy": "기쁨", "hope": "기대", "none": "없음", "ＦＩＴ": "핏"}
    assert parse_list("JOY, 기대", words) == ([("joy", None), ("hope", None)], [])
    assert parse_list("fit 2, ｊｏｙ", words) == ([("ＦＩＴ", "2"), ("joy", None)], [])
    # a label that is called like the word for none is that label
    assert parse_list("없음", words, none="없음") == ([("none", None)], [])


def test_endings_and_joining_words_are_passed_over():
    words = {"joy": "기쁨", "hope": "기대", "grief": "슬픔"}
    for text in (
        "기쁨과 기대",
        "기쁨, 기대입니다.",
        "기쁨 및 기대",
        "기쁨 그리고 기대",
        "기쁨기대",
        "기쁨이랑 기대예요",
    ):
        assert parse_list(text, words) == ([("joy", None), ("hope", None)], [])
    assert parse_list("기대감, 기쁨조", words) == ([], ["기대감", "기쁨조"])


def test_a_long_answer_is_read_in_reasonable_time():
    text = "디자인감 " * 20_000 + "배송1"
    found, rest = parse_list(text, FASHION)
    assert found == [("배송", "1")]
    assert len(rest) == 1
    for text in (
        "(" * 50_000,
        "1" * 50_000,
        "가" * 50_000,
        "디자인" + " " * 50_000 + "가",
        "1" + "." * 50_000 + "가",
        "-" * 50_000,
    ):
        assert parse_list(text + "가", FASHION)[0] in ([], [("디자인", None)])
