"""Evidence: what is hidden, what is asked, and what is answered."""

from __future__ import annotations

import tracemalloc
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maeum
from maeum.analyzer import Analyzer
from maeum.data import Input, Target
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.explaining import Explanation, Word, explain, scoring
from maeum.explaining.answering import logit
from maeum.explaining.faithfulness import judge
from maeum.explaining.masking import MASK_KINDS, Masker, groups
from maeum.explaining.scoring import Asked
from maeum.explaining.searching import LONG
from maeum.explaining.units import cut, joined
from maeum.models.linear import LinearClassifier
from maeum.task import Label, Task
from maeum.text import TextPrep

REFUND = Task("refund", "multilabel", (Label("환불", en="refund"), Label("배송", en="delivery")))
GRADE = Task("grade", "multiclass", (Label("나쁨"), Label("보통"), Label("좋음")))
NOISY = "  환불해 주세요ㅋㅋㅋㅋㅋㅋ 👨‍👩‍👧😂😂 어제,  10000원\n주고 샀는데 \u200b별로 "
TEXTS = [
    NOISY,
    unicodedata.normalize("NFD", NOISY),
    "그냥 환불 부탁드려요!!",
    "ㅋㅋㅋ",
    "😂😂",
    "한낱말",
    "",
    "   \n",
    "\ud800 깨진 글",
]


class Planted:
    """A model whose probability hangs on one word, and that remembers what it was asked."""

    kind = "planted"

    def __init__(self, task: Task = REFUND, word: str = "환불") -> None:
        self.task, self.word = task, word
        self.calls: list[Sequence[Input]] = []

    def predict_proba(self, inputs: Sequence[Input]) -> np.ndarray:
        self.calls.append(inputs)
        out = np.full((len(inputs), len(self.task)), 0.02, np.float32)
        for row, item in enumerate(inputs):
            out[row, 0] = 0.98 if self.word in item.text else 0.02
            if self.task.kind == "multiclass":
                out[row, 1:] = (1 - out[row, 0]) / (len(self.task) - 1)
        return out

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path, task: Task) -> Any: ...


def planted(task: Task = REFUND, prep: str = "default") -> Analyzer:
    return Analyzer(Planted(task), prep=TextPrep.named(prep))


@pytest.fixture(scope="module")
def linear() -> Analyzer:
    """A linear model that learnt one word."""
    return taught(REFUND)


def taught(task: Task) -> Analyzer:
    rng = np.random.default_rng(3)
    filler = ["오늘", "어제", "가격", "포장", "상담", "화면", "소리", "색상", "친구", "정말", "그냥", "조금", "10000원"]
    signs = ["환불", "배송", "만족"][: len(task)]
    inputs, y = [], np.zeros((240, len(task)), np.uint8)
    for row in range(len(y)):
        label = row % len(task)
        words = [*map(str, rng.choice(filler, 5)), signs[label]]
        rng.shuffle(words)
        y[row, label] = 1
        inputs.append(Input(" ".join(words)))
    return Analyzer(LinearClassifier(task, seed=1).fit(inputs, y), prep=TextPrep.named("default"))


# ---------------------------------------------------------------------------------------------------------- units


@pytest.mark.parametrize("text", TEXTS)
def test_units_quote_the_raw_text_and_cover_it(text):
    units = cut(text, ())
    assert [unit.text for unit in units] == text.split()
    assert all(text[unit.begin : unit.end] == unit.text for unit in units)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_never_split_a_character_and_still_cover_everything(text):
    everywhere = [(place, place + 1) for place in range(len(text))]
    units = cut(text, everywhere)
    assert "".join(unit.text for unit in units) == "".join(text.split())
    assert not any(joined(text, unit.begin) for unit in units)
    assert all(text[unit.begin : unit.end] == unit.text for unit in units)


def test_overlapping_pieces_are_one_unit_and_the_target_is_cut_out():
    text = "배우는 좋았다"
    target = Target("배우", 0, 2)
    assert [unit.text for unit in cut(text, [(4, 5), (5, 6), (5, 6), (4, 6)], target)] == ["는", "좋았", "다"]
    assert [unit.text for unit in cut(text, (), target, with_target=True)] == ["배우", "는", "좋았다"]
    middle = Target("우", 1, 2)
    assert [unit.text for unit in cut(text, (), middle)] == ["배", "는", "좋았다"]


@pytest.mark.parametrize("text", [text for text in TEXTS if text.strip()])
def test_morphemes_quote_the_raw_text(text):
    pytest.importorskip("kiwipiepy")
    found = explain(planted(), [text], unit="morpheme", faithfulness=False)[0].evidence[0]
    assert all(text[word.begin : word.end] == word.text for word in found.words)
    assert "".join(word.text for word in found.words) == "".join(text.split())


def test_a_morpheme_is_less_than_an_eojeol_in_nfd_too():
    pytest.importorskip("kiwipiepy")
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, "물건을 환불했어요")
        words = [unicodedata.normalize("NFC", word.text) for word in evidence(planted(), text, unit="morpheme").ranked]
        assert words[0] == "환불"
        assert len(words) >= 4


def test_morphemes_need_an_extra_and_say_so(monkeypatch):
    import sys

    from maeum.explaining import units

    units._kiwi.cache_clear()
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    with pytest.raises(maeum.MaeumError, match=r"needs the package 'kiwipiepy'; install it with: pip install .*\[ko\]"):
        explain(planted(), ["환불"], unit="morpheme")


def test_tokens_need_a_tokenizer_and_say_so(linear):
    with pytest.raises(UsageError, match="'linear' has no tokenizer; use --unit eojeol"):
        explain(linear, ["환불"], unit="token")


# ---------------------------------------------------------------------------------------------------------- masks


def test_deleting_leaves_one_space_and_no_more():
    text = "가  나 다\n라 "
    masker = Masker(Input(text), cut(text, ()), "delete")
    assert masker(()).text == text
    assert masker((0,)).text == "나 다\n라 "
    assert masker((1,)).text == "가  다\n라 "
    assert masker((2, 3)).text == "가  나 "
    assert masker((0, 1, 2, 3)).text == ""
    bare = Masker(Input("가 나 다"), cut("가 나 다", ()), "delete")
    assert bare((0, 1)).text == "다"
    assert bare((2,)).text == "가 나"


@pytest.mark.parametrize("kind", MASK_KINDS)
@pytest.mark.parametrize("word", ["배우", "콘서트", "표를", "👨‍👩‍👧"])
def test_the_target_survives_every_mask(kind, word):
    text = "  나는 배우 보러 콘서트에 갔다가표를 👨‍👩‍👧 ㅋㅋ "
    begin = text.index(word)
    target = Target(word, begin, begin + len(word))
    units = cut(text, [(place, place + 1) for place in range(0, len(text), 2)], target)
    masker = Masker(Input(text, target), units, kind)
    rng = np.random.default_rng(0)
    masks = [(), tuple(range(len(units))), *((number,) for number in range(len(units)))]
    masks += [tuple(np.flatnonzero(rng.random(len(units)) < 0.5).tolist()) for _ in range(100)]
    for mask in masks:
        masked = masker(mask)
        assert masked.target is not None
        assert masked.target.form == word
        assert masked.text[masked.target.begin : masked.target.end] == word


def test_the_same_word_twice_keeps_the_target_at_its_place():
    text = "배우 말고 배우 좋아"
    masker = Masker(Input(text, Target("배우", 6, 8)), cut(text, (), Target("배우", 6, 8)), "delete")
    assert masker((0,)) == Input("말고 배우 좋아", Target("배우", 3, 5))
    assert masker((0, 1)) == Input("배우 좋아", Target("배우", 0, 2))


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_a_target_that_may_be_hidden_leaves_a_target(kind):
    text, target = "새 폰이 좋아요", Target("새 폰", 0, 3)
    units = cut(text, (), target, with_target=True)
    masked = Masker(Input(text, target), units, kind)((0, 1))
    shown = "[MASK]" if kind == "mask" else "○○○"
    assert masked.target == Target(shown, 0, len(shown))
    assert masked.text.startswith(shown)
    found = explain(planted(), [Input(text, target)], mask_target=True, mask=kind)[0]
    assert [word.text for word in found.evidence[0].words] == ["새 폰", "이", "좋아요"]


def test_groups_are_all_or_the_best_and_the_neighbours():
    assert groups([2, 0, 1], 2, 100) == ([(0, 1), (0, 2), (1, 2)], True)
    found, every = groups([9, *range(9), *range(10, 60)], 3, 300)
    assert not every
    assert {(0, 1), (58, 59), (10, 11, 12), (0, 9)} <= set(found)
    assert len(found) < 500


# -------------------------------------------------------------------------------------------------------- answers


def evidence(analyzer: Analyzer, text: str, **options: Any) -> Any:
    return explain(analyzer, [text], labels=["환불"], **options)[0].evidence[0]


LONG_TEXT = " ".join(["정말"] * 130 + ["환불"] + ["그냥"] * 130)


@pytest.mark.parametrize("options", [{}, {"quick": True}, {"mask": "circles"}, {"mask": "mask"}, {"leave_out": 2}])
@pytest.mark.parametrize("text", ["어제 산 물건 환불 부탁드려요 정말", LONG_TEXT])
def test_the_planted_word_is_on_top_in_every_mode(linear, options, text):
    if "leave_out" in options and text == LONG_TEXT:
        options = options | {"faithfulness": False}
    for analyzer in (planted(), linear):
        best = evidence(analyzer, text, **options).ranked[0]
        assert best.text == "환불"
        assert best.score > 0
        assert best.logit_score > 0


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_gets_an_answer_with_exact_quotes(linear, text):
    found = explain(linear, [text], leave_out=2)[0]
    assert found.text == text
    for item in found.evidence:
        assert [word.text for word in item.words] == text.split()
        assert all(text[word.begin : word.end] == word.text for word in item.words)
        assert (item.faithfulness is None) == (not text.split())
    html = found.to_html()
    assert html.count("<mark") <= len(found.evidence) * len(text.split())
    assert "<script" not in html


def test_scores_are_drops_and_the_batch_does_not_matter(linear):
    texts = ["어제 환불 부탁", "배송 그냥 그래요 환불", "정말 배송"]
    together = explain(linear, texts, labels=["환불", "배송"])
    for text, item in zip(texts, together, strict=True):
        units = cut(text, ())
        masker = Masker(Input(text), units, "delete")
        base = linear.predict_proba([text])[0]
        for found in item.evidence:
            column = REFUND.index(found.key)
            for number, word in enumerate(found.words):
                alone = linear.predict_proba([masker((number,))])[0]
                assert word.score == pytest.approx(float(base[column] - alone[column]), abs=1e-5)
                assert word.logit_score == pytest.approx(float(logit(base[column]) - logit(alone[column])), abs=1e-4)


def test_texts_are_worked_on_in_blocks_and_come_back_in_order(linear, monkeypatch):
    texts = [f"{number} 번 글 환불" for number in range(23)]
    whole = explain(linear, texts).to_dict()
    monkeypatch.setattr(scoring, "ACTIVE", 4)
    monkeypatch.setattr(scoring, "BATCH_TEXTS", 5)
    parts = explain(linear, texts).to_dict()
    assert [row["text"] for row in parts["results"]] == texts
    for one, other in zip(whole["results"], parts["results"], strict=True):
        assert one["labels"] == other["labels"]
        for mine, yours in zip(one["evidence"], other["evidence"], strict=True):
            assert [w["text"] for w in mine["words"]] == [w["text"] for w in yours["words"]]
            assert mine["probability"] == pytest.approx(yours["probability"], abs=1e-6)


def test_labels_default_to_the_decided_ones_else_the_most_probable():
    decided = explain(planted(), ["환불이요"])[0]
    assert (decided.labels, [item.key for item in decided.evidence]) == (("환불",), ["환불"])
    none = explain(planted(), ["글쎄요"])[0]
    assert none.labels == ()
    assert [(item.decided, item.key) for item in none.evidence] == [(False, "환불")]
    both = explain(planted(), ["환불이요"], labels=["delivery", "환불"])[0]
    assert [item.key for item in both.evidence] == ["환불", "배송"]
    assert both["refund"].probability == pytest.approx(0.98)
    with pytest.raises(UsageError, match=r"no evidence for label '배송' here; ask with labels="):
        decided["배송"]


def test_multiclass_explains_the_class_given():
    (item,) = explain(planted(GRADE), ["환불 하고 싶다"])[0].evidence
    assert (item.key, item.ranked[0].text) == ("나쁨", "환불")
    assert item.ranked[0].score == pytest.approx(0.96, abs=1e-6)
    against = explain(planted(GRADE), ["환불 하고 싶다"], labels=["좋음"])[0].evidence[0]
    assert against.words[0].score < 0


def test_wrong_words_are_refused_with_a_hint():
    with pytest.raises(TaskMismatch, match="did you mean '환불'"):
        explain(planted(), ["글"], labels=["황불"])
    with pytest.raises(UsageError, match="unit 'word' is unknown; known: eojeol"):
        explain(planted(), ["글"], unit="word")
    with pytest.raises(UsageError, match="mask 'zero' is unknown"):
        explain(planted(), ["글"], mask="zero")
    with pytest.raises(UsageError, match="at least 1, got 0"):
        explain(planted(), ["글"], leave_out=0)
    with pytest.raises(UsageError, match="does not occur"):
        explain(planted(), ["글"], target="없는 말")
    with pytest.raises(DataError, match="is not at"):
        explain(planted(), [Input("배우 좋아", Target("배우", 1, 3))])
    with pytest.raises(TypeError, match="wrap it"):
        maeum.explain(planted(), "글")


def test_a_wrong_quote_is_impossible():
    good = explain(planted(), ["환불 해"])[0]
    item = good.evidence[0]
    bent = type(item)(item.key, item.name, 0.5, True, (Word(0, 2, "환부", 0.1, 0.1),))
    with pytest.raises(ValueError, match="does not read"):
        Explanation(good.text, good.labels, (bent,), good.task)


def test_words_that_only_work_together_are_found():
    class Both(Planted):
        def predict_proba(self, inputs):
            out = super().predict_proba(inputs)
            for row, item in enumerate(inputs):
                out[row, 0] = 0.9 if "안" in item.text or "못" in item.text else 0.1
            return out

    found = evidence(Analyzer(Both(), prep=TextPrep.named("raw")), "안 그러면 못 해", leave_out=2)
    assert max(abs(word.score) for word in found.words) < 1e-6
    best = found.groups[0]
    assert [found.words[place].text for place in best.words] == ["안", "못"]
    assert best.score == pytest.approx(0.8, abs=1e-6)
    assert best.together == pytest.approx(best.logit_score)


# ------------------------------------------------------------------------------------------------------ long texts


@pytest.mark.slow
def test_five_thousand_words_are_quick_say_so_and_stay_small():
    analyzer = planted()
    text = " ".join(["정말로"] * 3210 + ["환불해주세요"] + ["그렇습니다"] * 1789)
    tracemalloc.start()
    item = explain(analyzer, [text])[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 120e6
    assert item.quick
    assert "5,000 units; it has 200 or more, so only" in item.notes[0]
    found = item.evidence[0]
    assert found.ranked[0].text == "환불해주세요"
    assert len(found.words) == 5000
    assert len(found.ranked) < 250
    calls = analyzer.predictor.calls
    assert sum(map(len, calls)) < 800
    assert all(sum(len(one.text) for one in call) <= max(scoring.BATCH_CHARS, len(text)) for call in calls)


def test_a_long_text_may_still_be_read_in_full():
    text = " ".join(["정말로"] * LONG + ["환불"])
    item = explain(planted(), [text], quick=False, faithfulness=False)[0]
    assert not item.quick
    assert not item.notes
    assert all(word.measured for word in item.evidence[0].words)
    short = explain(planted(), ["환불 해 주세요"], quick=True)[0]
    assert not short.quick


@pytest.mark.parametrize("quick", [True, False])
def test_groups_of_a_long_text_stay_few_and_say_so(quick):
    analyzer = planted()
    item = explain(analyzer, [LONG_TEXT], leave_out=2, quick=quick, faithfulness=False)[0]
    assert item.quick == quick
    assert any("there are more than 2,000 groups" in note for note in item.notes) != quick
    assert sum(map(len, analyzer.predictor.calls)) < 2600
    assert 130 in item.evidence[0].groups[0].words


def test_no_mask_is_asked_twice():
    analyzer = planted()
    explain(analyzer, ["하나 둘 셋 환불 넷 다섯"], leave_out=3)
    asked = [item.text for call in analyzer.predictor.calls for item in call]
    assert len(asked) == len(set(asked))


# ---------------------------------------------------------------------------------------------------- faithfulness


def judged(text: str, order: list[int]) -> Any:
    """Faithfulness of some order of the words, for the planted model."""
    analyzer = planted()
    masker = Masker(Input(text), cut(text, ()), "delete")
    ((result,),) = scoring.run(analyzer, [(masker, judge(Asked(), [order], [0]))])
    return result


def test_the_planted_word_is_the_whole_decision():
    found = evidence(planted(), " ".join(["글"] * 30 + ["환불"] + ["말"] * 29)).faithfulness
    assert found.comprehensiveness == pytest.approx(0.96, abs=1e-6)
    assert found.sufficiency == pytest.approx(0, abs=1e-6)
    assert found.aopc > 0.85
    assert found.chance_comprehensiveness < 0.4
    assert found.chance_sufficiency > 0.5


def test_random_scores_are_near_chance():
    text = " ".join(["글"] * 30 + ["환불"] + ["말"] * 29)
    rng = np.random.default_rng(11)
    rows = [judged(text, rng.permutation(60).tolist()) for _ in range(40)]
    for own, chance in (
        ("comprehensiveness", "chance_comprehensiveness"),
        ("sufficiency", "chance_sufficiency"),
        ("aopc", "chance_aopc"),
    ):
        assert np.mean([getattr(row, own) for row in rows]) == pytest.approx(
            np.mean([getattr(row, chance) for row in rows]), abs=0.2
        )


def test_the_mean_of_a_run_is_reported():
    found = explain(planted(), ["환불 해 주세요", "그냥 환불", ""])
    rows = [item.evidence[0].faithfulness for item in found]
    assert rows[2] is None
    assert found.faithfulness.aopc == pytest.approx((rows[0].aopc + rows[1].aopc) / 2)
    assert explain(planted(), []).faithfulness is None


# ----------------------------------------------------------------------------------------------- exact contributions


@pytest.mark.parametrize("text", [*TEXTS, "어제 환불 환불 부탁 가격 소리 ㅋㅋㅋㅋㅋㅋㅋ 10000원", "환불 배송"])
def test_contributions_add_up_to_the_log_odds(linear, text):
    for item in explain(linear, [text], labels=["환불", "배송"], faithfulness=False)[0].evidence:
        total = sum(word.contribution for word in item.words) + item.constant
        assert total == pytest.approx(float(logit(item.probability)), abs=2e-3)


def test_contributions_of_two_classes_are_opposite_and_name_the_planted_word():
    two = Task("two", "multiclass", (Label("환불"), Label("배송")))
    found = explain(taught(two), ["어제 환불 부탁 정말 가격"], labels=["환불", "배송"])[0]
    first, second = found["환불"], found["배송"]
    assert max(first.words, key=lambda word: word.contribution).text == "환불"
    for one, other in zip(first.words, second.words, strict=True):
        assert one.contribution == pytest.approx(-other.contribution, abs=1e-9)
    total = sum(word.contribution for word in first.words) + first.constant
    assert total == pytest.approx(float(logit(first.probability)), abs=2e-3)


def test_contributions_with_a_target_leave_its_part_to_the_constant(linear):
    item = explain(linear, ["어제 환불 부탁 정말 배송"], target="부탁", labels=["환불"])[0].evidence[0]
    assert "부탁" not in [word.text for word in item.words]
    total = sum(word.contribution for word in item.words) + item.constant
    assert total == pytest.approx(float(logit(item.probability)), abs=2e-3)


def test_no_contributions_where_they_would_not_be_exact():
    item = explain(taught(GRADE), ["어제 환불 부탁"])[0].evidence[0]
    assert all(word.contribution is None for word in item.words)
    assert item.constant is None


# ------------------------------------------------------------------------------------------------------------ page


def test_the_page_is_self_contained_and_escapes_what_it_quotes():
    found = explain(
        planted(), ['<b>환불</b> & "해" 주세요', "배우 환불"], target=None, labels=["환불", "배송"], model="<m>"
    )
    html = found.to_html()
    assert html.startswith("<!doctype html>")
    assert "&lt;b&gt;환불&lt;/b&gt;" in html
    assert "<b>환불" not in html
    assert "<m>" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert 'class="mm-for"' in html
    assert html.count('class="mm-label"') == 4
    assert "random words" in html
    assert found._repr_html_().startswith("<div")


def test_the_target_is_framed_and_not_marked():
    html = explain(planted(), ["배우는 환불"], target="배우")[0].to_html()
    assert '<u class="mm-target">배우</u>' in html
