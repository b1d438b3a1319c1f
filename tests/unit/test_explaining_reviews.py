"""Evidence of review models: for an aspect, and for the grade it gets."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.errors import TaskMismatch, UsageError
from maeum.explaining import aspect_words, explain
from maeum.models.linear import LinearClassifier
from maeum.reviews import ReviewPredictor, aspect_task, sentiment_task
from maeum.reviews.stages import described
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

REVIEW = Task(
    "옷",
    "aspect",
    (Label("배송", en="delivery"), Label("색상", en="color")),
    sentiments=(Label("-1", "부정"), Label("1", "긍정")),
)
SIGNS = {"배송": ("도착이", "택배가"), "색상": ("빛깔이", "물감이")}
GRADES = {"-1": ("늦네요", "엉망이네요"), "1": ("훌륭해요", "마음에들어요")}


@pytest.fixture(scope="module")
def review() -> Analyzer:
    """A linear review model that learnt a few words."""
    rng = np.random.default_rng(7)
    filler = ["어제", "친구", "오늘", "정말", "그냥", "조금", "우리"]
    prep = TextPrep.named("default")
    texts, aspects, graded, grades = [], np.zeros((240, 2), np.uint8), [], np.zeros((240, 2), np.uint8)
    for row in range(240):
        column, grade = row % 2, row // 2 % 2
        words = [str(rng.choice(SIGNS[REVIEW.keys[column]])), str(rng.choice(GRADES[["-1", "1"][grade]]))]
        text = " ".join([*map(str, rng.choice(filler, 3)), *words])
        aspects[row, column] = grades[row, grade] = 1
        texts.append(Input(text))
        graded.append(Input(text, None, described(REVIEW, REVIEW.keys[column])))
    first = Analyzer(LinearClassifier(aspect_task(REVIEW), seed=1).fit(texts, aspects), prep=prep)
    second = Analyzer(LinearClassifier(sentiment_task(REVIEW), seed=1).fit(graded, grades), prep=prep)
    thresholds = Thresholds.default(REVIEW)
    return Analyzer(ReviewPredictor(REVIEW, first, second), prep=TextPrep.named("raw"), thresholds=thresholds)


TEXT = "어제 도착이 늦네요 ㅋㅋㅋㅋㅋㅋ 친구"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("quick", [True, None])
def test_an_aspect_and_its_grade_have_words_of_their_own(review, form, quick):
    raw = unicodedata.normalize(form, TEXT)
    (found,) = explain(review, [raw], aspect="delivery", quick=quick)
    assert [item.key for item in found.evidence] == ["배송"]
    grade = found.grade("배송")
    assert (grade.key, grade.decided) == ("-1", True)
    tops = [unicodedata.normalize("NFC", item.ranked[0].text) for item in (found["배송"], grade)]
    assert tops == ["도착이", "늦네요"]
    assert all(raw[word.begin : word.end] == word.text for word in grade.words)
    assert grade.faithfulness is not None
    data = found.to_dict()
    assert (data["grades"][0]["aspect"], data["grades"][0]["sentiment"]) == ("배송", "-1")
    assert "배송 → " in found.to_html() or "delivery → " in found.to_html()


def test_the_grade_is_the_one_that_predict_gives(review):
    texts = [TEXT, "오늘 빛깔이 훌륭해요", "택배가 마음에들어요 물감이 엉망이네요"]
    for analysis, found in zip(review.analyze(texts), explain(review, texts, faithfulness=False), strict=True):
        assert found.labels == analysis.labels
        given = {item["aspect"]: item for item in analysis.aspects}
        for grade in found.grades:
            if grade.aspect in given:
                own = given[grade.aspect]
                assert grade.evidence.key == own["sentiment"]
                assert grade.evidence.probability == pytest.approx(own["sentiment_scores"][own["sentiment"]], abs=1e-5)


def test_scores_of_a_grade_are_drops_of_its_probability(review):
    (found,) = explain(review, [TEXT], aspect=["배송"], faithfulness=False)
    grade = found.grade("배송")
    asked = Input(TEXT, None, described(REVIEW, "배송"))
    base = review.predictor.sentiment.predict_proba([asked])[0]
    masked = Input(TEXT.replace("늦네요 ", ""), None, asked.aspect)
    without = review.predictor.sentiment.predict_proba([masked])[0]
    (word,) = [word for word in grade.words if word.text == "늦네요"]
    column = REVIEW.sentiment_keys.index(grade.key)
    assert word.score == pytest.approx(float(base[column] - without[column]), abs=1e-5)


def test_the_pair_is_the_product_of_both_stages(review):
    (found,) = explain(review, [TEXT], aspect="배송", faithfulness=False)
    (grade,) = found.grades
    asked = Input(TEXT, None, described(REVIEW, "배송"))
    column = REVIEW.sentiment_keys.index(grade.evidence.key)

    def both(text: str) -> float:
        aspect = review.predict_proba([text])[0, 0]
        given = review.predictor.sentiment.predict_proba([Input(text, None, asked.aspect)])[0, column]
        return float(aspect * given)

    for word, gone in (("도착이", "어제 늦네요 ㅋㅋㅋㅋㅋㅋ 친구"), ("늦네요", "어제 도착이 ㅋㅋㅋㅋㅋㅋ 친구")):
        (score,) = [one.score for one in grade.pair if one.text == word]
        assert score == pytest.approx(both(TEXT) - both(gone), abs=1e-5)
    assert {word.text for word in grade.ranked[:2]} == {"도착이", "늦네요"}


def test_words_for_predictions_come_for_aspects_and_grades(review):
    (found,) = aspect_words(review, [TEXT], 2)
    words = found["배송"]
    assert set(words) == {"evidence", "sentiment_evidence"}
    assert words["evidence"][0]["text"] == "도착이"
    assert words["sentiment_evidence"][0]["text"] == "늦네요"
    for word in (*words["evidence"], *words["sentiment_evidence"]):
        assert TEXT[word["begin"] : word["end"]] == word["text"]
    assert all(len(part) <= 2 for part in words.values())


def test_mistakes_get_a_sentence(review):
    with pytest.raises(TaskMismatch, match="did you mean '배송'"):
        explain(review, [TEXT], aspect="배숑")
    (found,) = explain(review, [TEXT], aspect="배송", faithfulness=False)
    with pytest.raises(UsageError, match=r"no evidence for the grade of '색상' here; ask a review model"):
        found.grade("색상")
    with pytest.raises(TaskMismatch, match="has no aspects; choose labels with --label"):
        explain(review.predictor.aspects, [TEXT], aspect="배송")
    with pytest.raises(UsageError, match="exact parts exist only for linear models"):
        explain(review, [TEXT], method="exact")


def test_exact_parts_rank_the_words_of_a_linear_model(review):
    (item,) = explain(review.predictor.aspects, [TEXT], labels=["배송"], method="exact")[0].evidence
    assert item.ranked[0].text == "도착이"
    assert [word.score for word in item.words] == [word.contribution for word in item.words]
    assert item.faithfulness is not None
    assert item.gap is None
