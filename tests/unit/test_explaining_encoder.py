"""Evidence from fine-tuned encoders: many masks at once, tokens as units, targets that are marked in the text."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from maeum.analyzer import Analyzer
from maeum.data import Input, Target
from maeum.explaining import explain
from maeum.explaining.masking import Masker
from maeum.explaining.units import cut, tokenizer_of
from maeum.models.encoder import EncoderClassifier
from maeum.models.ensemble import MeanPredictor
from maeum.task import Label, Task
from maeum.text import TextPrep

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
    """A tiny encoder that learnt one word, told its target by markers."""
    what = ["배송", "가격", "품질", "포장", "상담", "화면", "소리", "디자인"]
    inputs, y = [], np.zeros((32, 2), np.uint8)
    for row in range(len(y)):
        text = f"{what[row % 8]} {'화가 나서 환불했습니다' if row % 2 else '너무 좋아서 또 샀습니다'} {'오늘' * (row // 8)}"
        y[row, 1 - row % 2] = 1
        inputs.append(Input(text, Target(what[row % 8], 0, len(what[row % 8]))))
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


def test_tokens_are_smaller_than_eojeols_and_a_mean_of_models_has_them_too(encoder):
    (item,) = explain(encoder, [TEXTS[0]], unit="token", faithfulness=False)
    assert len(item.evidence[0].words) > len(TEXTS[0].split())
    mean = MeanPredictor(TWO, [encoder.predictor, encoder.predictor])
    assert tokenizer_of(mean) is tokenizer_of(encoder.predictor)


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
    found = explain(encoder, [Input("배송 화가 나서 환불했습니다", Target("배송", 0, 2))], labels=["환불"])[0].evidence[
        0
    ]
    assert found.probability > 0.5  # how sure it is depends on the number of threads
    assert {word.text for word in found.ranked[:3]} >= {"환불했습니다"}
    assert found.faithfulness.comprehensiveness > 0
