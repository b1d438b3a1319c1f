"""Evidence from fine-tuned encoders: many masks at once, tokens as units, targets that are marked in the text."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from maeum.analyzer import Analyzer
from maeum.data import Input, Target
from maeum.errors import MaeumError, UsageError
from maeum.explaining import explain
from maeum.explaining.masking import Masker
from maeum.explaining.units import cut, reader_of
from maeum.models.encoder import EncoderClassifier
from maeum.models.ensemble import MeanPredictor
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.voting.predictor import VotePredictor

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

TWO = Task("two", "multilabel", (Label("환불"), Label("좋음")))
TEXTS = [
    "배송이 화가 나서 환불했습니다 ㅡㅡ",
    "  가격이 ㅋㅋㅋ  너무 좋아서 😂😂 또 샀습니다",
    unicodedata.normalize("NFD", "화면이 별로라서 환불했어요"),
]


@pytest.fixture(scope="module")
def encoder(tiny_base) -> Analyzer:
    """A tiny encoder that learnt one word, told its target by markers.

    Half the texts say neither: a text without words must be no evidence of a label, or nothing is left for the words.
    """
    what = ["배송", "가격", "품질", "포장", "상담", "화면", "소리", "디자인"]
    said = ["화가 나서 환불했습니다", "그냥 받았습니다", "너무 좋아서 또 샀습니다", ""]
    inputs, y = [], np.zeros((64, 2), np.uint8)
    for row in range(len(y)):
        target, kind = what[row % 8], row // 8 % 4
        inputs.append(Input(f"{target} {said[kind]} {'오늘' * (row // 32)}", Target(target, 0, len(target))))
        y[row, kind // 2] = kind % 2 == 0
    options = {
        "head": "mean",
        "device": "cpu",
        "precision": "fp32",
        "batch_size": 8,
        "max_length": 32,
        "epochs": 20.0,
        "learning_rate": 3e-3,
        "head_learning_rate": 1e-2,
        "dropout": 0.0,
        "target_input": "marker",
    }
    model = EncoderClassifier.of(str(tiny_base("klue-bert", easy=True)), TWO, seed=1, options=options)
    return Analyzer(model.fit(inputs, y), prep=TextPrep.named("default"))


@pytest.mark.parametrize("unit", ["eojeol", "token"])
def test_quotes_are_exact(encoder, unit):
    for text, item in zip(TEXTS, explain(encoder, TEXTS, unit=unit, faithfulness=False), strict=True):
        for found in item.evidence:
            assert all(text[word.begin : word.end] == word.text for word in found.words)
            assert "".join(word.text for word in found.words) == "".join(text.split())


def test_tokens_are_smaller_than_eojeols(encoder):
    (item,) = explain(encoder, [TEXTS[0]], unit="token", faithfulness=False)
    assert len(item.evidence[0].words) > len(TEXTS[0].split())


def test_batched_masks_equal_one_at_a_time(encoder):
    target = Target("배송", 0, 2)
    items = [Input(TEXTS[0], target), *(Input(text) for text in TEXTS[1:])]
    for item, answer in zip(items, explain(encoder, items, labels=TWO.keys), strict=True):
        masker = Masker(item, cut(item.text, (), item.target), "delete")
        base = encoder.predict_proba([item])[0]
        for found in answer.evidence:
            column = TWO.index(found.key)
            for number, word in enumerate(found.words):
                alone = encoder.predict_proba([masker((number,))])[0]
                assert word.score == pytest.approx(float(base[column] - alone[column]), abs=1e-5)


def test_the_learnt_word_matters(encoder):
    angry, glad = (
        explain(encoder, [Input(text, Target("배송", 0, 2))], labels=["환불"])[0].evidence[0]
        for text in ("배송 화가 나서 환불했습니다", "배송 너무 좋아서 또 샀습니다")
    )
    # how sure the tiny model is depends on the number of threads; that these words tell the two apart does not
    assert angry.probability > glad.probability + 0.2
    assert {word.text for word in angry.ranked[:3]} >= {"환불했습니다"}
    assert angry.faithfulness.comprehensiveness > angry.faithfulness.chance_comprehensiveness - 0.05
    assert angry.faithfulness.comprehensiveness > 0


# ------------------------------------------------------------------------------------------- tokens of several models


def test_a_mean_and_a_vote_are_read_by_the_tokens_and_preparation_of_their_members(encoder):
    model, raw = encoder.predictor, TextPrep.named("raw")
    text = "배송이  화가 나서 환불했습니다 ㅋㅋㅋㅋㅋㅋㅋㅋ"
    vote = Analyzer(VotePredictor(TWO, [encoder, encoder]), prep=raw)
    mean = Analyzer(MeanPredictor(TWO, [model, model]), prep=encoder.prep)
    alone, voted, averaged = (
        [word.text for word in explain(one, [text], unit="token", faithfulness=False)[0].evidence[0].words]
        for one in (encoder, vote, mean)
    )
    assert alone == voted == averaged
    assert reader_of(vote.predictor, raw) == (model._tokenizer, encoder.prep)


def test_members_with_other_tokens_are_refused_in_a_sentence(encoder):
    other = Analyzer(encoder.predictor, prep=TextPrep.named("raw"))
    vote = Analyzer(VotePredictor(TWO, [encoder, other]), prep=TextPrep.named("raw"))
    with pytest.raises(
        UsageError, match=r"the members read different tokens .* use --unit eojeol, or the folder of one"
    ):
        explain(vote, TEXTS, unit="token")


# --------------------------------------------------------------------------------------------- integrated gradients


@pytest.fixture(scope="module")
def plain(tiny_base) -> dict[str, Analyzer]:
    """Untrained encoders (one step) of three kinds; several short windows a text for the last."""
    inputs = [Input(text) for text in ("배송이 화가 나요", "가격이 좋아요", "화면이 별로", "소리가 좋다")]
    y = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.uint8)
    options = {"device": "cpu", "precision": "fp32", "batch_size": 4, "max_steps": 1, "dropout": 0.0}
    made = {}
    for name, more in {
        "klue-bert": {"head": "mean", "target_input": "pair"},
        "klue-roberta": {"head": "cls"},
        "kcelectra": {"head": "bigru", "max_length": 8},
    }.items():
        model = EncoderClassifier.of(str(tiny_base(name, easy=True)), TWO, seed=3, options=options | more)
        made[name] = Analyzer(model.fit(inputs, y), prep=TextPrep.named("default"))
    return made


@pytest.mark.parametrize("name", ["klue-bert", "klue-roberta", "kcelectra"])
def test_integrated_gradients_add_up_to_the_logit(plain, name):
    pytest.importorskip("captum")
    analyzer = plain[name]
    items = [Input("배송이 너무 늦어서 화가 나요 ㅋㅋ"), Input("가격이 좋아요", Target("가격", 0, 2)), Input("")]
    found = explain(analyzer, items, labels=TWO.keys, method="ig", steps=64, faithfulness=False)
    for item, answer in zip(items, found, strict=True):
        prepared = analyzer.prep.prepare_input(item)
        logits = analyzer.predictor._logits(analyzer.predictor._windows([prepared]))[0]
        assert answer.method == "ig"
        for one in answer.evidence:
            total = sum(word.contribution for word in one.words) + one.constant
            assert total - one.gap == pytest.approx(logits[TWO.index(one.key)], abs=1e-4)
            assert abs(one.gap) < 0.02
            assert all(item.text[word.begin : word.end] == word.text for word in one.words)
    spread = [word.score for word in found[0].evidence[0].words]
    assert max(spread) - min(spread) > 1e-6


def test_integrated_gradients_and_masking_find_the_learnt_words(encoder):
    pytest.importorskip("captum")
    items = [Input("배송 화가 나서 환불했습니다", Target("배송", 0, 2))]
    (ig,) = explain(encoder, items, labels=["환불"], method="ig")[0].evidence
    assert ig.ranked[0].text in ("화가", "나서", "환불했습니다")
    assert sum(word.score for word in ig.words) > 0
    assert ig.faithfulness.comprehensiveness > 0
    assert "배송" not in [word.text for word in ig.words]


def test_integrated_gradients_refuse_what_they_cannot_do(encoder, monkeypatch):
    mean = Analyzer(MeanPredictor(TWO, [encoder.predictor]), prep=encoder.prep)
    with pytest.raises(UsageError, match="needs one fine-tuned encoder, not a model of kind 'mean'; use --method mask"):
        explain(mean, TEXTS, method="ig")
    with pytest.raises(UsageError, match="hidden by method mask only"):
        explain(encoder, TEXTS, method="ig", leave_out=2)
    import sys

    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MaeumError, match=r"needs the package 'captum'; install it with: pip install .*\[ig\]"):
        explain(encoder, TEXTS, method="ig")
