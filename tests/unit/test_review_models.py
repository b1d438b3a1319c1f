"""Review models as folders: cards, folds, votes; and what cannot be one, or is hardly a review, in one sentence."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from review_kit import CUES, SHOP, call, planted, write_jsonl, write_task

import maeum
from maeum import reviews
from maeum.data import AspectLabel, Dataset, Example
from maeum.errors import TaskMismatch, UsageError
from maeum.evaluation import judge, score_model
from maeum.reviews import card
from maeum.task import Label, Task


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("review-models")
    maeum.train(planted(), valid=0.2, output=folder / "one")
    maeum.train(planted(seed=4), output=folder / "two", folds=3)
    write_jsonl(folder / "new.jsonl", planted(60, seed=9, prefix="n"))
    write_task(folder / "shop.toml")
    return folder


# ----------------------------------------------------------------------------------------------------- cards, info


def test_the_card_and_info_tell_of_both_stages(place):
    report = json.loads((place / "one" / "report.json").read_text(encoding="utf-8"))["extra"]["review"]
    text = (place / "one" / "README.md").read_text(encoding="utf-8")
    # trained where nothing asked for English
    for words in ("## 두 단계", "1단계(속성): linear", "2단계(감성): linear", "나쁨 (-1)", "`delivery`"):
        assert words in text
    assert f"| 둘 다 micro-F1 | {report['pipeline_micro_f1']:.4f} |" in text
    assert f"| 등급 차이 평균 | {report['sentiment_error']:.4f} |" in text
    said = call("info", place / "one")
    assert "stage 1 (aspects): linear, 120 training rows; a threshold for each aspect (micro-f1)" in said
    assert f"both, micro-F1 {report['pipeline_micro_f1']:.4f}" in said
    found = json.loads(call("info", place / "one", "--json"))["review"]
    assert found["aspects"] == list(SHOP.keys)
    assert found["grades"] == list(SHOP.sentiment_keys)
    assert found["scores"] == pytest.approx({name: report[name] for name in found["scores"]})
    assert list(found["thresholds"]) == list(SHOP.keys)
    assert found["stages"]["sentiment"]["decision"] == "argmax"


def test_without_held_out_rows_the_card_says_that_both_together_were_not_judged(place):
    found = json.loads(call("info", place / "two", "--json"))["review"]["scores"]
    assert set(found) == {"aspect_micro_f1", "aspect_macro_f1", "sentiment_accuracy", "sentiment_macro_f1"}
    assert "measured where --valid holds rows out" in call("info", place / "two")
    assert "--valid로 떼어 둔 행이 있을 때만" in (place / "two" / "README.md").read_text(encoding="utf-8")


def test_other_models_have_no_such_section(place):
    assert card.facts(maeum.load(place / "one").predictor.aspects) == {}
    assert "review" not in json.loads(call("info", place / "one" / "model" / "aspects", "--json"))


# ----------------------------------------------------------------------------------------------------------- folds


def test_every_fold_is_a_review_model_of_its_own(place):
    data = maeum.read(place / "new.jsonl", task=SHOP)
    whole = maeum.load(place / "two")
    folds = [maeum.load(place / "two" / "folds" / str(number)) for number in range(3)]
    assert not (place / "two" / "folds" / "3").exists()
    inputs, on = data.inputs, np.ones((len(data), 3), np.uint8)
    mean = np.mean([fold.predictor.aspects.predictor.predict_proba(inputs) for fold in folds], axis=0)
    assert whole.predictor.aspects.predictor.predict_proba(inputs) == pytest.approx(mean, abs=1e-6)
    for number, fold in enumerate(folds):
        assert fold.thresholds == whole.thresholds
        assert fold.about["fold"] == number
        assert reviews.score_reviews(fold, data).pipeline_micro_f1 > 0.8
        assert all(len(row) == 3 for row in fold.predictor.grade(inputs[:5], on[:5]))
    out = place / "fold.jsonl"
    call("predict", place / "two" / "folds" / "1", place / "new.jsonl", "-o", out, "--quiet")
    assert len(out.read_text(encoding="utf-8").splitlines()) == 60
    assert "review" in call("info", place / "two" / "folds" / "2")


# ----------------------------------------------------------------------------------------------------------- votes


def test_a_vote_of_reviews_is_a_review_model_that_averages_each_stage(place, tmp_path):
    out = tmp_path / "vote"
    said = call("ensemble", place / "one", place / "two", "-o", out, "--weights", "0.25,0.75", "--pool", "mean")
    assert "stage: grades" in said
    assert "nothing was measured" in maeum.load(out).about["notes"][0]
    vote, members = maeum.load(out), [maeum.load(place / name) for name in ("one", "two")]
    assert vote.predictor.kind == "review"
    inputs, on = planted(20, seed=9).inputs, np.ones((20, 3), np.uint8)
    probas = [member.predict_proba(inputs) for member in members]
    assert vote.predict_proba(inputs) == pytest.approx(0.25 * probas[0] + 0.75 * probas[1], abs=1e-6)
    cuts = np.array([member.thresholds.values for member in members])
    assert vote.thresholds.values == pytest.approx(tuple(0.25 * cuts[0] + 0.75 * cuts[1]), abs=1e-6)
    grades = [member.predictor.grade(inputs, on) for member in (vote, *members)]
    for mine, first, second in zip(*grades, strict=True):
        for item, one, two in zip(mine, first, second, strict=True):
            for key, score in item["sentiment_scores"].items():
                mean = 0.25 * one["sentiment_scores"][key] + 0.75 * two["sentiment_scores"][key]
                assert score == pytest.approx(mean, abs=1e-5)


def test_a_vote_weighed_on_rows_is_judged_on_both_stages_and_knows_the_rows_again(place, tmp_path):
    out = tmp_path / "vote"
    data = maeum.read(place / "new.jsonl", task=SHOP)
    said = json.loads(
        call("ensemble", place / "one", place / "two", "--data", place / "new.jsonl", "-o", out, "--json")
    )
    assert set(said["stages"]) == {"aspects", "sentiment"}
    vote = maeum.load(out)
    assert said["review"] == reviews.score_reviews(vote, data).to_dict()
    assert said["review"]["pipeline_micro_f1"] > 0.95
    report = judge(score_model(vote, data))
    assert report.tuned_on_same_rows
    assert not judge(score_model(vote, planted(30, seed=10))).tuned_on_same_rows
    assert "## Two stages" in (out / "README.md").read_text(encoding="utf-8")
    # a hard vote, in Python, and a vote of votes
    hard = maeum.ensemble([place / "one", out], vote="hard", output=tmp_path / "hard").analyzer
    again = maeum.load(tmp_path / "hard")
    assert [a.to_dict() for a in again.analyze(data)] == [a.to_dict() for a in hard.analyze(data)]


def test_reviews_vote_among_themselves_on_rows_they_have_not_seen(place, tmp_path):
    other = dataclasses.replace(SHOP, name="other", _index={})
    maeum.train(Dataset(other, list(planted(60))), output=tmp_path / "other")
    with pytest.raises(TaskMismatch, match=r"'shop' and 'other'"):
        maeum.ensemble([place / "one", tmp_path / "other"])
    stage = place / "one" / "model" / "aspects"
    for models in ((place / "one", stage), (stage, place / "one")):
        with pytest.raises(UsageError, match="review models vote among themselves only"):
            maeum.ensemble(models)
    with pytest.raises(UsageError, match="was trained on these very rows"):
        maeum.ensemble([place / "one", place / "two"], data=planted(seed=4))
    silent = Dataset(SHOP, [Example(f"v{n}", f"오늘 친구랑 {n}", aspects=()) for n in range(30)])
    with pytest.raises(UsageError, match="mention no aspect"):
        maeum.ensemble([place / "one", place / "two"], data=silent)


def test_predictions_of_reviews_do_not_vote(place, tmp_path):
    for name in ("one", "two"):
        call("predict", place / name, place / "new.jsonl", "-o", tmp_path / f"{name}.jsonl", "--quiet")
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    said = call("ensemble", *files, "--task", place / "shop.toml", "-o", tmp_path / "v.jsonl", code=1)
    assert re.fullmatch(r"error: predictions of review models cannot vote; their folders can[^\n]*\n", said)


# ---------------------------------------------------------------------------------------- what cannot be learnt

SAME = [
    ("aspects", (Label("a", ko="배송"), Label("b", ko="배송 ")), SHOP.sentiments, "'a' and 'b'"),
    ("aspects", (Label("a", ko="배송"), Label("배송")), SHOP.sentiments, "'a' and '배송'"),
    (
        "aspects",
        (Label("a", ko="배송", description="걸린 날"), Label("b", ko="배송: 걸린 날")),
        SHOP.sentiments,
        "'a' and 'b'",
    ),
    ("grades", SHOP.labels, (Label("1", ko="나쁨"), Label("2", ko="나쁨")), "'1' and '2'"),
]


@pytest.mark.parametrize(("what", "labels", "sentiments", "named"), SAME, ids=["names", "key", "description", "grades"])
def test_two_names_that_a_model_cannot_tell_apart_are_refused(what, labels, sentiments, named):
    task = Task("twins", "aspect", labels, sentiments)
    rows = [
        Example(f"r{n}", f"글 {n}", aspects=(AspectLabel(labels[n % 2].key, sentiments[n % 2].key),)) for n in range(40)
    ]
    with pytest.raises(UsageError, match=rf"the {what} {named} of task 'twins' are both told to the model as"):
        maeum.train(Dataset(task, rows))


def test_the_same_name_with_another_description_is_another_aspect():
    labels = (Label("a", ko="배송", description="걸린 날"), Label("b", ko="배송비"))
    reviews.stages.check(Task("near", "aspect", labels, SHOP.sentiments))


def test_names_that_are_the_same_are_refused_from_the_command_line(place, tmp_path):
    twins = dataclasses.replace(SHOP, sentiments=(*SHOP.sentiments[:2], Label("1", ko="나쁨")), _index={})
    words = ("--task", write_task(tmp_path / "twins.toml", twins), "-o", tmp_path / "never")
    said = call("train", place / "new.jsonl", *words, "--quiet", code=1)
    assert re.fullmatch(r"error: the grades '-1' and '1' of task 'shop' are both told[^\n]*\n", said)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("item", ['{"aspect": "배송"}', '{"aspect": "배송", "sentiment": null}'])
def test_an_aspect_without_a_grade_is_named(place, tmp_path, item):
    path = tmp_path / "bare.jsonl"
    path.write_text(f'{{"id": "b", "text": "글", "aspects": [{item}]}}\n', encoding="utf-8")
    said = call("evaluate", place / "one", path, code=1)
    assert re.fullmatch(r"error: .*bare\.jsonl:1: the aspect '배송' has no sentiment; give it one[^\n]*\n", said)
    # a file that is only predicted on is not asked
    call("predict", place / "one", path, "-o", tmp_path / "p.jsonl", "--quiet")


def test_tune_says_what_to_do_instead(place, tmp_path):
    pytest.importorskip("optuna")
    words = ("--task", place / "shop.toml", "--trials", 2, "-o", tmp_path / "t", "--quiet")
    said = call("tune", place / "new.jsonl", *words, code=1)
    assert re.fullmatch(r"error: tune does not take aspect tasks \('shop'\)[^\n]*--set sentiment[^\n]*\n", said)


# ------------------------------------------------------------------------------------------- hardly reviews at all


def test_long_reviews_and_emoji_go_through_every_command(place, tmp_path):
    cue = CUES["price", "-1"]
    rows = [
        Example("characters", (f"{cue} " * 15_000)[:100_000], aspects=(AspectLabel("price", "-1"),)),
        Example("words", " ".join(f"낱말{n}" for n in range(5_000)), aspects=()),
        Example("emoji", "😀👍🏽❤️", aspects=()),
    ]
    path = write_jsonl(tmp_path / "odd.jsonl", rows)
    out = tmp_path / "p.jsonl"
    call("predict", place / "one", path, "-o", out, "--quiet")
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in found] == [row.text for row in rows]
    assert [(item["aspect"], item["sentiment"]) for item in found[0]["aspects"]] == [("price", "-1")]
    assert json.loads(call("evaluate", place / "one", path, "--json"))["extra"]["review"]["pairs"] == 1
    call("rollup", place / "one", path, "-o", tmp_path / "roll", "--quiet")
    assert (tmp_path / "roll" / "report.html").stat().st_size < 5e6
    said = call("predict", place / "one", path, "-o", tmp_path / "p.xlsx", "--quiet", code=1)
    assert re.fullmatch(r"error: [^\n]*a cell holds 32,767 characters[^\n]*\n", said)
