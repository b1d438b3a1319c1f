"""Masks scored by what they change: the same numbers as masked texts on their own, whatever the text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maeum.analyzer import Analyzer
from maeum.calibration import Calibration
from maeum.data import Input, Target
from maeum.explaining.masking import MASK_KINDS, Masker
from maeum.explaining.splicing import SplicedText, by_words, spliced
from maeum.explaining.units import cut
from maeum.models.ensemble import MeanPredictor
from maeum.models.linear import LinearClassifier, LinearConfig
from maeum.models.stacking import StackConfig
from maeum.task import Label, Task
from maeum.text import TextPrep

PIECES = [
    "가",
    "나다",
    "환불",
    "좋아요",
    "ㅋ",
    "ㅋㅋㅋㅋㅋ",
    "웃곀ㅋ",
    "!",
    "?!?!",
    ".",
    "😂",
    "👨‍👩‍👧",
    "A",
    "www",
    "http://a.kr/b",
    "10000원",
    "&name&",
    "\u1100\u1161",
    "\u0301",
    "\u200b",
    "\u3164",
    "\x07",
    "♥",
    "漢",
    "○",
    "\ud800",
]
SPACES = [" ", "  ", "\n", "\t", "\xa0", "\u3000", "\x1c", ""]
texts = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SPACES)), max_size=14).map(
    lambda parts: "".join(piece + space for piece, space in parts)
)


@st.composite
def masked(draw):
    """A text, the borders of its units, and some masks."""
    text = draw(texts)
    if draw(st.booleans()):
        text = " " + text
    inside = [(place, place + 1) for place in range(len(text))] if draw(st.booleans()) else []
    masker = Masker(Input(text), cut(text, inside), draw(st.sampled_from(MASK_KINDS)))
    n = len(masker.units)
    masks = [(), tuple(range(n)), *((number,) for number in range(n))]
    chosen = st.sets(st.integers(0, n - 1)).map(lambda found: tuple(sorted(found))) if n else st.just(())
    return masker, list(dict.fromkeys([*masks, *draw(st.lists(chosen, max_size=4))]))


preps = st.builds(
    lambda **switches: TextPrep.named("default", **switches),
    emoji=st.sampled_from(["keep", "describe", "drop"]),
    masks=st.sampled_from(["keep", "drop"]),
    symbols=st.sampled_from(["keep", "drop"]),
    urls=st.sampled_from(["keep", "mask", "drop", "seed001"]),
    word_run=st.sampled_from([0, 2]),
    laughter=st.sampled_from([0, 2, 4]),
    nfc=st.booleans(),
    jamo=st.sampled_from(["keep", "compat"]),
    coda=st.sampled_from(["keep", "fix"]),
)


@settings(max_examples=300, deadline=None)
@given(masked(), preps)
def test_a_change_gives_the_text_that_preparation_gives(given_masks, prep):
    masker, masks = given_masks
    assert by_words(prep)
    text = SplicedText(masker, prep)
    for mask in masks:
        assert text.input(text.change(mask)).text == prep(masker(mask).text)


def test_recipes_that_look_past_white_space_are_not_taken():
    assert by_words(TextPrep.named("default"))
    for recipe in ("raw", "seed001"):
        assert not by_words(TextPrep.named(recipe))
    prep = TextPrep.named("default", masks="others")
    assert not by_words(prep)
    assert prep("&oth&others&ers& &others&") != " ".join(map(prep, ("&oth&others&ers&", "&others&")))


def model(kind: str, seed: int, *, aspect: bool = False) -> LinearClassifier:
    """A small model with its second stage, on texts made of the pieces."""
    k = {"multiclass": 3, "multilabel": 3, "binary": 2, "many": 10}[kind]
    labels = tuple(Label(f"라벨{number}") for number in range(k))
    task = Task(kind, "multilabel" if kind in ("multilabel", "many") else "multiclass", labels)
    rng = np.random.default_rng(seed)
    words = [piece for piece in PIECES if len(piece) > 1]
    inputs, y = [], np.zeros((60, k), np.uint8)
    for row in range(len(y)):
        label = row % k
        y[row, label] = 1
        chosen = [str(word) for word in rng.choice(words, 4)] + [words[label % len(words)]] * 2
        inputs.append(Input(" ".join(chosen), None, ["배송", "색상"][row % 2] if aspect else None))
    config = LinearConfig(stack=StackConfig(min_rows=10, features=16))
    return LinearClassifier(task, seed=seed, config=config, threads=1).fit(inputs, y)


def agree(analyzer: Analyzer, masker: Masker, masks: list[tuple[int, ...]]) -> None:
    scorer = spliced(analyzer)
    assert scorer is not None
    (found,) = scorer([(masker, masks)])
    assert scorer.changed + scorer.whole == len(masks)
    alone = np.concatenate([analyzer.predict_proba([masker(mask)]) for mask in masks])
    np.testing.assert_allclose(found, alone, atol=1e-5)


MODELS = {kind: model(kind, 1) for kind in ("multiclass", "multilabel", "binary", "many")}


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=60, deadline=None)
@given(given_masks=masked())
def test_every_mask_gets_the_scores_of_the_masked_text(kind, given_masks):
    agree(Analyzer(MODELS[kind], prep=TextPrep.named("default")), *given_masks)


def test_long_texts_lose_many_words_or_few():
    rng = np.random.default_rng(5)
    text = " ".join(str(word) for word in rng.choice([piece for piece in PIECES if piece.isprintable()], 400))
    analyzer = Analyzer(MODELS["many"], prep=TextPrep.named("default"))
    masker = Masker(Input(text), cut(text, ()), "delete")
    n = len(masker.units)
    masks = [(), *((number,) for number in range(n)), tuple(range(1, n)), tuple(range(0, n, 3)), (0, n - 1)]
    agree(analyzer, masker, masks)
    scorer = spliced(analyzer)
    assert scorer is not None
    list(scorer([(masker, masks)]))
    assert 0 < scorer.whole <= 3  # all but one word gone: counted as a text of its own
    assert scorer.changed >= n


def test_aspects_calibration_and_the_mean_of_models_count():
    first, second = model("multiclass", 1, aspect=True), model("multiclass", 2, aspect=True)
    calibration = dataclasses.replace(Calibration.identity(first.task), slope=(1.7,))
    for predictor in (first, MeanPredictor(first.task, [first, second])):
        analyzer = Analyzer(predictor, prep=TextPrep.named("default"), calibration=calibration)
        text = "환불 좋아요 ㅋㅋㅋㅋㅋ 나다 10000원 환불"
        jobs = []
        for aspect in ("배송", "색상", None, "배송"):
            masker = Masker(Input(text, None, aspect), cut(text, ()), "delete")
            jobs.append((masker, [(), (0,), (0, 3), (5,)]))
        found = np.concatenate(list(spliced(analyzer)(jobs)))
        alone = np.concatenate([analyzer.predict_proba([masker(mask)]) for masker, masks in jobs for mask in masks])
        np.testing.assert_allclose(found, alone, atol=1e-5)
        assert np.abs(found[:4] - found[4:8]).max() > 1e-4  # the aspect matters


def test_targets_are_counted_as_whole_texts():
    text = "환불 좋아요 나다 10000원"
    analyzer = Analyzer(MODELS["multilabel"], prep=TextPrep.named("default"))
    target = Target("좋아", 3, 5)
    masker = Masker(Input(text, target), cut(text, (), target), "delete")
    masks = [(), *((number,) for number in range(len(masker.units)))]
    agree(analyzer, masker, masks)
    scorer = spliced(analyzer)
    assert scorer is not None
    list(scorer([(masker, masks)]))
    assert (scorer.changed, scorer.whole) == (0, len(masks))
