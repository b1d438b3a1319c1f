"""Review models: an aspect task as two ordinary ones, both stages as one model, their scores, and the way from file to file."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from review_kit import SHOP, call, planted, write_jsonl, write_task

import maeum
from maeum import reviews
from maeum.analyzer import Analyzer
from maeum.data import AspectLabel, Dataset, Example, Input
from maeum.errors import DataError, MaeumError, TaskMismatch, UsageError
from maeum.experiment import RunResult, TrainSettings
from maeum.formats import read_predictions
from maeum.reviews.scoring import score_pairs
from maeum.reviews.stages import JOINT, disputed, grades
from maeum.splits import duplicate_key
from maeum.task import Label, Task


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("reviews")


@pytest.fixture(scope="module")
def run(place) -> RunResult:
    """A linear model, saved as ``model``, judged on a fifth of the rows."""
    return maeum.train(planted(), valid=0.2, output=place / "model")


ENCODER = {"learning_rate": 3e-3, "head_learning_rate": 1e-2, "warmup": 0.3, "dropout": 0.0, "max_length": 32}
PLAIN = {"head": "cls", "device": "cpu", "precision": "fp32", "batch_size": 8}


def encoder_settings(base: Path, **options: object) -> TrainSettings:
    return TrainSettings(f"encoder:{base}", model_options={**PLAIN, **ENCODER, **options})


@pytest.fixture(scope="module")
def encoder(tiny_base, one_thread) -> Analyzer:
    pytest.importorskip("transformers")
    return reviews.train(planted(60), settings=encoder_settings(tiny_base("klue-bert", easy=True), epochs=2.0)).analyzer


# ---------------------------------------------------------------------------------------------------------- stages


def one(*aspects: tuple[str, str], text: str = "글", row: str = "a") -> Dataset:
    return Dataset(SHOP, [Example(row, text, aspects=tuple(AspectLabel(*pair) for pair in aspects))])


@pytest.mark.parametrize(
    ("given", "kept", "twice"),
    [
        ([("price", "1"), ("price", "-1"), ("price", "-1")], {"price": "-1"}, 1),
        ([("price", "0"), ("price", "-1")], {"price": "0"}, 1),
        ([("price", "-1"), ("price", "0"), ("look", "1")], {"price": "-1", "look": "1"}, 1),
        ([("price", "1"), ("price", "1")], {"price": "1"}, 0),
        ([], {}, 0),
    ],
    ids=["most", "tie", "tie-turned", "agreed", "none"],
)
def test_an_aspect_with_two_grades_keeps_the_one_given_most_often_else_the_first(given, kept, twice):
    data = one(*given)
    assert grades(data[0].aspects or ()) == kept
    assert disputed(data) == twice
    rows = reviews.sentiment_rows(data)
    assert {row.id: row.labels for row in rows} == {f"a#{key}": (grade,) for key, grade in kept.items()}


def test_the_rows_of_a_stage_say_what_they_are_about():
    data = one(("look", "1"), ("delivery", "-1"), text="택배가 늦었지만 화사해요")
    (first,) = reviews.aspect_rows(data)
    assert (first.id, first.labels, first.aspects) == ("a", ("delivery", "look"), None)
    second = {row.id: row for row in reviews.sentiment_rows(data)}
    assert {key: (row.aspect, row.labels) for key, row in second.items()} == {
        "a#look": ("모양", ("1",)),
        "a#delivery": ("배송", ("-1",)),
    }
    assert all(row.input == Input(data[0].text, None, row.aspect) for row in second.values())
    (both,) = reviews.joint_rows(data)
    assert both.labels == (f"delivery{JOINT}-1", f"look{JOINT}1")


def test_tasks_of_the_stages():
    assert reviews.aspect_task(SHOP).kind == "multilabel"
    assert reviews.aspect_task(SHOP).keys == SHOP.keys
    assert reviews.sentiment_task(SHOP).kind == "multiclass"
    assert reviews.sentiment_task(SHOP).keys == SHOP.sentiment_keys
    joint = reviews.joint_task(SHOP)
    assert len(joint) == 9
    assert joint.labels[5].name("ko") == "가격 좋음"
    with pytest.raises(UsageError, match="'x/aspects' is not an aspect task"):
        reviews.aspect_task(Task("x/aspects", "multilabel", SHOP.labels))


def test_rows_that_are_not_labelled_stay_so():
    data = Dataset(SHOP, [Example("a", "글"), Example("b", "글", aspects=())])
    assert [row.labels for row in reviews.aspect_rows(data)] == [None, ()]
    assert [row.labels for row in reviews.joint_rows(data)] == [None, ()]
    assert len(reviews.sentiment_rows(data)) == 0


# -------------------------------------------------------------------------------------------------------- learning


def test_both_stages_learn_what_the_words_say(run):
    scores = reviews.score_reviews(run.analyzer, planted(90, seed=8, prefix="u"))
    assert scores.aspect_micro_f1 > 0.98
    assert scores.sentiment_accuracy > 0.95
    assert scores.pipeline_micro_f1 > 0.95
    assert scores.pipeline_macro_f1 > 0.95
    assert scores.pairs == 90
    found = run.analyzer.analyze(["주말에 값은 바가지 생김새 화사함"])[0]
    assert found.labels == ("price", "look")
    assert [(item["aspect"], item["sentiment"]) for item in found.aspects or ()] == [("price", "-1"), ("look", "1")]
    assert list(found.to_dict()) == ["text", "target", "aspects", "scores"]


def test_the_report_tells_of_both_stages(run, place):
    review = run.report.extra["review"]
    assert review["pipeline_micro_f1"] > 0.9
    assert run.report.extra["sentiment"]["subset_accuracy"] == pytest.approx(review["sentiment_accuracy"])
    again = reviews.ReviewScores.from_dict(SHOP, review)
    assert again.to_dict() == review
    assert "grades off" in again.summary()
    assert "aspects and grades" in run.report.to_html()
    assert f"{review['pipeline_micro_f1']:.4f}" in (place / "model" / "report.html").read_text(encoding="utf-8")


def test_a_dispute_is_noted():
    rows = list(planted(60))
    rows[1] = dataclasses.replace(rows[1], aspects=(AspectLabel("price", "1"), AspectLabel("price", "-1")))
    result = maeum.train(Dataset(SHOP, rows))
    assert any(re.search(r"^1 aspects? .*graded twice", note) for note in result.report.notes)
    assert "review" not in result.report.extra


def test_rows_without_labels_are_left_out_and_counted():
    rows = [*planted(60), Example("bare", "라벨이 없는 글")]
    result = maeum.train(Dataset(SHOP, rows))
    assert "1 rows without labels were left out" in result.report.notes
    assert result.analyzer.about["train"]["rows"] == 60
    with pytest.raises(UsageError, match="no row of the valid data is labelled"):
        maeum.train(planted(60), valid=Dataset(SHOP, rows[-1:]))


def test_both_stages_judge_on_the_same_texts():
    # every text comes twice, under another id and with other spaces: both must fall on one side
    rows = [
        dataclasses.replace(row, id=f"{row.id}-{copy}", text=row.text.replace(" ", "  ") if copy else row.text)
        for row in planted(60)
        for copy in range(2)
    ]
    data = Dataset(SHOP, rows, source="made up")
    about = maeum.train(data, valid=0.25).analyzer.about["stages"]
    aspects, sentiment = about["aspects"], about["sentiment"]
    from maeum.reviews.training import _split

    learnt, judged = _split(data, 0.25, 42)
    assert judged is not None
    assert not {duplicate_key(text) for text in learnt.texts} & {duplicate_key(text) for text in judged.texts}
    for stage, make in ((aspects, reviews.aspect_rows), (sentiment, reviews.sentiment_rows)):
        assert stage["train"]["fingerprint"] == make(learnt).fingerprint
        assert stage["valid"]["fingerprint"] == make(judged).fingerprint


@pytest.mark.slow
def test_folds_answer_together_and_come_back(tmp_path):
    result = maeum.train(planted(90), folds=3, output=tmp_path / "folds")
    model = result.analyzer.predictor
    assert [stage.predictor.kind for stage in (model.aspects, model.sentiment)] == ["mean", "mean"]
    assert [len(stage.predictor.members) for stage in (model.aspects, model.sentiment)] == [3, 3]
    data = planted(20, seed=9)
    assert [a.to_dict() for a in maeum.load(tmp_path / "folds").analyze(data)] == [
        a.to_dict() for a in result.analyzer.analyze(data)
    ]


# --------------------------------------------------------------------------------------------------------- grading


class Asked:
    """An analyzer that remembers what it was asked."""

    def __init__(self, real: Analyzer) -> None:
        self.real = real
        self.calls: list[list[Input]] = []

    def predict_proba(self, items: Sequence[Input]) -> np.ndarray:
        self.calls.append(list(items))
        return self.real.predict_proba(items)


def test_only_what_is_on_is_graded_in_one_pass_and_in_order(run):
    model = run.analyzer.predictor
    asked = Asked(model.sentiment)
    spying = reviews.ReviewPredictor(SHOP, model.aspects, asked)  # type: ignore[arg-type]
    inputs = [Input(f"글 {number}") for number in range(4)]
    on = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8)
    found = spying.grade(inputs, on)
    assert [[item["aspect"] for item in row] for row in found] == [[], ["delivery", "look"], [], ["price"]]
    assert [[(item.text, item.aspect) for item in call] for call in asked.calls] == [
        [("글 1", "배송"), ("글 1", "모양"), ("글 3", "가격")]
    ]
    for item in (item for row in found for item in row):
        assert list(item["sentiment_scores"]) == list(SHOP.sentiment_keys)
        assert sum(item["sentiment_scores"].values()) == pytest.approx(1, abs=1e-5)
        assert item["sentiment"] == max(item["sentiment_scores"], key=item["sentiment_scores"].get)
    assert spying.grade(inputs, np.zeros((4, 3), np.uint8)) == [[], [], [], []]
    assert spying.grade([], np.zeros((0, 3), np.uint8)) == []
    assert len(asked.calls) == 1


WEIRD = ["", "   ", "😀👍🏽", "\x00\ud800 이상한 글자", "[SEP] [PAD] <s> </s>", "가" * 3000]


def same_grades(found: list[list[dict]], expected: list[list[dict]], allowed: float) -> None:
    assert [len(row) for row in found] == [len(row) for row in expected]
    for first, second in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert first["aspect"] == second["aspect"]
        assert first["sentiment_scores"] == pytest.approx(second["sentiment_scores"], abs=allowed)


def same_alone_and_together(analyzer: Analyzer, texts: list[str], allowed: float) -> None:
    inputs = [Input(text) for text in texts]
    on = np.ones((len(inputs), len(SHOP)), np.uint8)
    together = analyzer.predictor.grade(inputs, on)
    proba = analyzer.predict_proba(inputs)
    assert np.isfinite(proba).all()
    for row, item in enumerate(inputs):
        assert analyzer.predict_proba([item])[0] == pytest.approx(proba[row], abs=allowed)
        same_grades(analyzer.predictor.grade([item], on[:1]), together[row : row + 1], allowed)
    same_grades(analyzer.predictor.grade(inputs[::-1], on)[::-1], together, allowed)


def test_batch_mates_change_nothing(run):
    same_alone_and_together(run.analyzer, [*planted(20, seed=9).texts, *WEIRD], 1e-6)


def test_batch_mates_change_nothing_for_an_encoder(encoder):
    same_alone_and_together(encoder, [*planted(8, seed=9).texts, *WEIRD], 1e-5)


def test_saved_and_loaded_is_the_same(run, place):
    data = planted(40, seed=9)
    again = maeum.load(place / "model")
    assert np.array_equal(again.predict_proba(data), run.analyzer.predict_proba(data))
    assert [a.to_dict() for a in again.analyze(data)] == [a.to_dict() for a in run.analyzer.analyze(data)]
    # each stage is a model folder of its own
    stage = maeum.load(place / "model" / "model" / "aspects")
    assert np.array_equal(stage.predict_proba(data.inputs), again.predict_proba(data))
    grade = maeum.load(place / "model" / "model" / "sentiment")
    assert grade.analyze([Input("값은 바가지", aspect="가격")])[0].labels == ("-1",)


def test_an_encoder_saved_and_loaded_is_the_same(encoder, tmp_path):
    from maeum import folder

    (tmp_path / "model").mkdir()
    folder.write_analyzer(encoder, tmp_path / "model")
    folder.seal(tmp_path / "model", "review", encoder.task)
    again = maeum.load(tmp_path / "model")
    texts = planted(10, seed=9).texts
    on = np.ones((10, 3), np.uint8)
    assert np.abs(again.predict_proba(texts) - encoder.predict_proba(texts)).max() <= 1e-6
    inputs = [Input(text) for text in texts]
    same_grades(again.predictor.grade(inputs, on), encoder.predictor.grade(inputs, on), 1e-6)


def test_a_stage_that_was_edited_is_refused(run, tmp_path):
    from maeum.errors import FormatError
    from maeum.experiment import save_run

    save_run(run, tmp_path / "model")
    path = tmp_path / "model" / "model" / "sentiment" / "task.json"
    path.write_text(path.read_text(encoding="utf-8").replace("나쁨", "나뻐"), encoding="utf-8")
    with pytest.raises(FormatError):
        maeum.load(tmp_path / "model")


# ---------------------------------------------------------------------------------------- settings and killed runs


@pytest.mark.slow
def test_a_setting_with_the_name_of_a_stage_is_for_that_stage_alone(tiny_base, one_thread):
    pytest.importorskip("transformers")
    own = {"sentiment.max_steps": 2, "aspects.dropout": 0.25}
    result = reviews.train(planted(40), settings=encoder_settings(tiny_base("klue-bert"), max_steps=1, **own))
    stages = result.analyzer.about["stages"]
    said = {name: stage["settings"]["model_options"] for name, stage in stages.items()}
    assert (said["aspects"]["max_steps"], said["sentiment"]["max_steps"]) == (1, 2)
    assert (said["aspects"]["dropout"], said["sentiment"]["dropout"]) == (0.25, 0.0)
    assert not any("." in name for options in said.values() for name in options)
    assert {row["stage"] for row in result.history} == {"aspects", "sentiment"}


def test_stages_of_a_linear_model_have_settings_of_their_own():
    settings = TrainSettings(model_options={"min_df": 3, "sentiment.min_df": 1})
    model = reviews.train(planted(60), settings=settings).analyzer.predictor
    assert (model.aspects.predictor.config.min_df, model.sentiment.predictor.config.min_df) == (3, 1)
    settings = TrainSettings(model_options={"min_df": 3, "sentiment": {"min-df": 1, "solver": {"penalty": 2.0}}})
    model = reviews.train(planted(60), settings=settings).analyzer.predictor
    configs = [stage.predictor.config for stage in (model.aspects, model.sentiment)]
    assert [config.min_df for config in configs] == [3, 1]
    assert configs[1].solver.penalty == 2.0 != configs[0].solver.penalty
    with pytest.raises(UsageError, match=r"no setting 'sentimnt.min_df'"):
        reviews.train(planted(60), settings=TrainSettings(model_options={"sentimnt.min_df": 1}))


def test_a_wrong_setting_of_the_second_stage_is_said_before_the_first_is_trained(tiny_base, tmp_path):
    pytest.importorskip("transformers")
    settings = encoder_settings(tiny_base("klue-bert"), max_steps=1, **{"sentiment.epocs": 2})
    said: list[str] = []
    with pytest.raises(UsageError, match="unknown setting 'epocs'; did you mean 'epochs'"):
        reviews.train(planted(40), settings=settings, output=tmp_path / "out", progress=said.append)
    assert not any("training" in line for line in said)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("dies_in", ["aspects", "sentiment"])
def test_a_killed_run_goes_on_where_it_stopped(tiny_base, tmp_path, monkeypatch, one_thread, dies_in):
    pytest.importorskip("transformers")
    from maeum.models import encoder as module

    data = planted(40)
    settings = encoder_settings(tiny_base("klue-bert"), epochs=2.0, checkpoint_minutes=0.0)
    whole = reviews.train(data, settings=settings)
    real, steps, stage = module.collate, iter(range(10**6)), [""]

    def collate(*args: object, **words: object):
        if stage[0] == dies_in and next(steps) == 7:
            raise KeyboardInterrupt
        return real(*args, **words)

    def progress(line: str) -> None:
        for name, words in (("aspects", "stage: aspects"), ("sentiment", "stage: the grade")):
            if words in line:
                stage[0] = name

    with monkeypatch.context() as patch:
        patch.setattr(module, "collate", collate)
        with pytest.raises(KeyboardInterrupt):
            reviews.train(data, settings=settings, output=tmp_path / "out", progress=progress)
    work = tmp_path / "out.partial"
    assert not (tmp_path / "out").exists()
    assert any((work / dies_in).rglob("checkpoint-*"))
    assert any((work / "aspects").rglob("done.json")) == (dies_in == "sentiment")
    said: list[str] = []
    again = reviews.train(data, settings=settings, output=tmp_path / "out", progress=said.append)
    assert any("resuming from checkpoint" in line for line in said)
    assert any("already trained" in line for line in said) == (dies_in == "sentiment")
    assert not work.exists()
    judged = planted(10, seed=9)
    assert np.array_equal(again.analyzer.predict_proba(judged), whole.analyzer.predict_proba(judged))
    on = np.ones((10, 3), np.uint8)
    first, second = (result.analyzer.predictor.grade(judged.inputs, on) for result in (again, whole))
    assert first == second


# ---------------------------------------------------------------------------------------------------------- scores


def test_scores_by_hand():
    given = [
        {"delivery": "-1", "price": "1"},
        {"price": "0"},
        {"look": "1"},
        {},
    ]
    found = [
        {"delivery": "-1", "price": "-1"},  # one pair right; the other's aspect right, two grades off
        {"price": "0", "look": "0"},  # one right, one too much
        {},  # one missed
        {"delivery": "1"},  # one too much
    ]
    graded = [dict(row) for row in found]
    graded[2] = {"look": "0"}  # missed, but graded all the same: one grade off
    scores = score_pairs(SHOP, given, found, graded)
    # aspects: 3 right of 5 found and 4 given; delivery 1 of 2+1, price 2 of 2+2, look 0 of 1+1
    assert scores.aspect_micro_f1 == pytest.approx(6 / 9)
    assert scores.aspect_macro_f1 == pytest.approx((2 / 3 + 1 + 0) / 3)
    # pairs: 2 right (delivery -1, price 0)
    assert scores.pipeline_micro_f1 == pytest.approx(4 / 9)
    assert scores.pipeline_macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # grades of the four given pairs: -1→-1, 1→-1, 0→0, 1→0
    assert scores.confusion == ((1, 0, 0), (0, 1, 0), (1, 1, 0))
    assert scores.sentiment_accuracy == pytest.approx(2 / 4)
    assert scores.sentiment_macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert scores.sentiment_error == pytest.approx((2 + 1) / 4)
    assert scores.pairs == 4


def test_scores_without_grades_of_what_was_missed():
    scores = score_pairs(SHOP, [{"price": "1"}, {"look": "0"}], [{"price": "0"}, {}])
    assert scores.confusion == ((0, 0, 0), (0, 0, 0), (0, 1, 0))
    assert scores.sentiment_error == 1
    assert scores.pipeline_micro_f1 == 0
    assert scores.aspect_micro_f1 == pytest.approx(2 / 3)


def test_scores_of_nothing_are_nought_and_of_everything_right_are_one():
    nothing = score_pairs(SHOP, [{}], [{}])
    assert nothing.pipeline_micro_f1 == nothing.pipeline_macro_f1 == nothing.sentiment_error == 0
    right = [{"price": "1"}, {"look": "0", "price": "-1"}]
    scores = score_pairs(SHOP, right, right)
    assert scores.pipeline_micro_f1 == scores.pipeline_macro_f1 == scores.sentiment_macro_f1 == 1
    # an aspect that nobody gave or found does not count, a grade neither
    assert scores.aspect_macro_f1 == 1


def test_grades_are_judged_on_the_aspects_that_people_gave(run):
    model, data = run.analyzer, planted(30, seed=9)
    blind = Analyzer(
        model.predictor,
        prep=model.prep,
        thresholds=dataclasses.replace(model.thresholds, values=(1.0, 1.0, 1.0), empty="none"),
    )
    scores = reviews.score_reviews(blind, data)
    assert scores.pipeline_micro_f1 == scores.aspect_micro_f1 == 0
    assert scores.sentiment_accuracy > 0.9
    assert sum(map(sum, scores.confusion)) == scores.pairs


def test_rows_that_cannot_be_scored_are_one_sentence(run):
    data = planted(10)
    bare = Dataset(SHOP, [*data, Example("bare", "라벨이 없는 글")])
    joint = reviews.joint_rows(data)
    graded = dataclasses.replace(SHOP, sentiments=(Label("bad"), Label("good")), _index={})
    other = Dataset(graded, [Example("a", "글", aspects=(AspectLabel("price", "good"),))])
    for rows in (bare, joint, Dataset(SHOP, []), other):
        with pytest.raises(UsageError, match="rows of the same task that are all labelled"):
            reviews.score_reviews(run.analyzer, rows)
    with pytest.raises(UsageError, match="a model of an aspect task"):
        reviews.score_reviews(run.analyzer.predictor.aspects, data)


# ----------------------------------------------------------------------------------------------- files and commands


@pytest.fixture(scope="module")
def files(run, place) -> Path:
    write_jsonl(place / "new.jsonl", planted(30, seed=9, prefix="n"))
    write_task(place / "shop.toml")
    return place


def test_predictions_hold_aspects_and_read_back(run, files):
    from maeum.predicting import stream_predictions

    out = files / "p.jsonl"
    call("predict", files / "model", files / "new.jsonl", "-o", out, "--batch-size", 7, "--quiet")
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for row, analysis in zip(rows, run.analyzer.analyze(planted(30, seed=9, prefix="n")), strict=True):
        assert row["scores"] == pytest.approx(dict(analysis.scores), abs=1e-6)
        assert [item["aspect"] for item in row["aspects"]] == list(analysis.labels)
        for mine, theirs in zip(row["aspects"], analysis.aspects or (), strict=True):
            assert (mine["aspect"], mine["sentiment"]) == (theirs["aspect"], theirs["sentiment"])
            assert mine["score"] == pytest.approx(row["scores"][mine["aspect"]])
            assert mine["sentiment_scores"] == pytest.approx(theirs["sentiment_scores"], abs=1e-6)
        assert "labels" not in row
    found = read_predictions(out, SHOP)
    assert found.labels == tuple(tuple(item["aspect"] for item in row["aspects"]) for row in rows)
    assert [row.aspects for row in stream_predictions(out)] == [tuple(row["aspects"]) for row in rows]
    # what was predicted can be labelled data for the next model
    data = maeum.read(out, task=SHOP)
    assert reviews.score_reviews(run.analyzer, data).pipeline_micro_f1 == 1


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_predictions_as_a_table_name_aspects_with_their_grades(files, kind):
    out = files / f"table.{kind}"
    call("predict", files / "model", files / "new.jsonl", "-o", out, "--quiet")
    if kind == "csv":
        with out.open(encoding="utf-8-sig", newline="") as file:
            cells = list(csv.reader(file))
    else:
        from maeum.formats.lines import Source
        from maeum.formats.tables import sheet_cells

        cells = [list(row) for _, row in sheet_cells(Source(out))]
    assert cells[0] == ["id", "text", "target", "labels", *SHOP.keys]
    good = {row.id: grades(row.aspects or ()) for row in planted(30, seed=9, prefix="n")}
    right = sum(cell[3] == ", ".join(f"{a} {g}" for a, g in good[cell[0]].items()) for cell in cells[1:] if cell[3])
    assert right >= 18


@pytest.mark.parametrize("kind", ["csv", "jsonl", "completion"])
def test_converted_predictions_keep_their_grades(files, kind):
    source, out = files / "p2.jsonl", files / f"converted.{'csv' if kind == 'completion' else kind}"
    call("predict", files / "model", files / "new.jsonl", "-o", source, "--quiet", "--overwrite")
    call("convert", source, "--to", kind, "--task", files / "shop.toml", "-o", out, "--overwrite", "--quiet")
    before = [
        {item["aspect"]: item["sentiment"] for item in json.loads(line)["aspects"]}
        for line in source.read_text(encoding="utf-8").splitlines()
    ]
    if kind == "jsonl":
        rows = [json.loads(line)["aspects"] for line in out.read_text(encoding="utf-8").splitlines()]
        after = [{item["aspect"]: item["sentiment"] for item in row} for row in rows]
    else:
        with out.open(encoding="utf-8-sig", newline="") as file:
            cells = [row["labels" if kind == "csv" else "Completion"] for row in csv.DictReader(file)]
        after = [dict(pair.rsplit(" ", 1) for pair in cell.split(", ") if pair) for cell in cells]
    assert after == before


def test_labelled_rows_go_through_the_completion_format(files):
    out = files / "labelled.csv"
    call("convert", files / "new.jsonl", "--to", "completion", "--task", files / "shop.toml", "-o", out, "--quiet")
    again = maeum.read(out, task=SHOP, format="completion")
    assert [row.aspects for row in again] == [row.aspects for row in planted(30, seed=9)]


@pytest.mark.slow
def test_from_the_sample_to_an_evaluation(tmp_path):
    model, sample = tmp_path / "fashion", "sample:fashion"
    said = json.loads(call("train", sample, "--valid", "0.2", "-o", model, "--json"))
    review = said["report"]["extra"]["review"]
    assert 0.1 < review["pipeline_micro_f1"] <= review["aspect_micro_f1"]
    assert len(review["confusion"]) == 5
    info = call("info", model)
    assert "review-fashion" in info
    assert "checksums match" in info
    text = "배송은 빨랐는데 색상이 화면과 너무 달라요"
    (found,) = json.loads(call("analyze", "--model", model, "--json", text))["results"]
    assert found["labels"] == [item["aspect"] for item in found["aspects"]]
    assert all(set(item["sentiment_scores"]) == {"-2", "-1", "0", "1", "2"} for item in found["aspects"])
    assert "●" in call("analyze", "--model", model, text)
    call("predict", model, sample, "-o", tmp_path / "p.jsonl", "--quiet")
    scores = json.loads(call("evaluate", model, sample, "--json", "--html", tmp_path / "r.html"))
    assert scores["extra"]["review"]["pairs"] == sum(len(grades(row.aspects or ())) for row in maeum.read(sample))
    assert "grades off" in call("evaluate", model, sample)
    stressed = json.loads(call("evaluate", model, sample, "--stress", "--json"))["extra"]["stress"]["results"]
    assert stressed["none"]["row_flips"] == stressed["nfd"]["row_flips"] == 0


# ---------------------------------------------------------------------------------------------------- wrong inputs


def test_data_of_another_task_is_one_sentence(files):
    said = call("evaluate", files / "model", "sample:aihub", code=1)
    assert said.startswith("error: ")
    assert len(said.strip().splitlines()) == 1


def test_rows_without_labels_are_not_evaluated(files):
    path = files / "bare.jsonl"
    path.write_text('{"id": "a", "text": "라벨이 없는 글"}\n', encoding="utf-8")
    said = call("evaluate", files / "model", path, code=1)
    assert re.fullmatch(r"error: [^\n]*label[^\n]*\n?", said)


@pytest.mark.parametrize(
    ("aspects", "sentence"),
    [
        ('[{"aspect": "배송료", "sentiment": "1"}]', "label '배송료' is not in task 'shop'"),
        ('[{"aspect": "배송", "sentiment": "7"}]', "label '7' is not in task 'shop/sentiment'"),
        ('[{"aspect": "배송"}]', "the aspect '배송' has no sentiment"),
        ('["배송"]', 'an item of aspects is {"aspect", "sentiment"'),
        ('{"배송": 1}', "aspects is a list, got dict"),
    ],
    ids=["unknown aspect", "unknown grade", "no grade", "no object", "no list"],
)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_wrong_aspects_are_one_sentence_with_file_and_line(files, verb, aspects, sentence):
    path = files / "wrong.jsonl"
    good = json.dumps(planted(2)[1].to_dict(), ensure_ascii=False)
    path.write_text(f'{good}\n{{"id": "b", "text": "글", "aspects": {aspects}}}\n', encoding="utf-8")
    words = ["-o", files / "never", "--task", files / "shop.toml"] if verb == "train" else []
    said = call(verb, *([] if verb == "train" else [files / "model"]), path, *words, code=1)
    line = next(line for line in said.splitlines() if line.startswith("error: "))
    assert "wrong.jsonl:2" in line
    assert sentence in line
    assert not (files / "never").exists()


def test_a_valid_set_of_another_task_is_refused():
    other = dataclasses.replace(SHOP, name="other", _index={})
    with pytest.raises(TaskMismatch, match=r"'other'.*'shop'"):
        maeum.train(planted(60), valid=Dataset(other, list(planted(10, seed=9, prefix="v"))))


def test_what_there_is_nothing_to_learn_from_is_said_before_anything_is_trained():
    rows = [dataclasses.replace(row, aspects=()) for row in planted(40)]
    same = [
        dataclasses.replace(row, aspects=tuple(AspectLabel(item.aspect, "1") for item in row.aspects or ()))
        for row in planted(60)
    ]
    said: list[str] = []
    for broken in (rows, same, list(planted(6))):
        with pytest.raises(MaeumError):
            maeum.train(Dataset(SHOP, broken), progress=said.append)
    assert not any("training" in line for line in said)
    with pytest.raises(MaeumError, match=r"the same label|graded the same|all .* same"):
        maeum.train(Dataset(SHOP, same))


def test_valid_rows_that_mention_nothing_do_not_stop_the_run():
    silent = Dataset(SHOP, [Example(f"v{n}", f"오늘 친구랑 {n}", aspects=()) for n in range(12)])
    result = maeum.train(planted(60), valid=silent)
    assert result.report.extra["review"]["pairs"] == 0
    assert any("the grades were judged on out-of-fold rows" in note for note in result.report.notes)


def test_a_task_with_one_aspect(tmp_path):
    task = Task("only", "aspect", (Label("price", ko="가격"),), SHOP.sentiments)
    rows = [
        dataclasses.replace(row, aspects=tuple(item for item in row.aspects or () if item.aspect == "price"))
        for row in planted(120)
    ]
    result = maeum.train(Dataset(task, rows), valid=0.2, output=tmp_path / "only")
    assert result.report.extra["review"]["pipeline_micro_f1"] > 0.9
    (found,) = maeum.load(tmp_path / "only").analyze(["저녁에 값은 바가지"])
    assert [(item["aspect"], item["sentiment"]) for item in found.aspects or ()] == [("price", "-1")]


def test_a_task_with_one_grade_is_refused_in_one_sentence():
    task = Task("flat", "aspect", SHOP.labels, (Label("1"),))
    rows = [Example(row.id, row.text, aspects=(AspectLabel("price", "1"),)) for row in planted(40)]
    with pytest.raises(UsageError, match="at least two labels"):
        maeum.train(Dataset(task, rows))


@pytest.mark.parametrize(
    "text", ["", "   ", "😀👍🏽❤️", "ㅋㅋㅋㅋ", "\ud800"], ids=["empty", "blank", "emoji", "ㅋ", "half"]
)
def test_texts_without_words_are_graded_if_at_all(run, text):
    (found,) = run.analyzer.analyze([text])
    assert [item["aspect"] for item in found.aspects or ()] == list(found.labels)
    (forced,) = run.analyzer.predictor.grade([Input(text)], np.ones((1, 3), np.uint8))
    assert all(np.isfinite(list(item["sentiment_scores"].values())).all() for item in forced)


@pytest.mark.parametrize(
    "text", ["값은 바가지 " * 14_300, " ".join(f"낱말{n}" for n in range(5_000))], ids=["100k characters", "5000 words"]
)
def test_a_very_long_review_takes_bounded_memory(run, text):
    import time

    start = time.process_time()
    tracemalloc.start()
    (found,) = run.analyzer.predictor.grade([Input(text)], np.ones((1, 3), np.uint8))
    run.analyzer.analyze([text])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 3
    assert peak < 200e6
    assert time.process_time() - start < 20


def test_a_very_long_review_and_an_encoder(encoder):
    import time

    start = time.process_time()
    (found,) = encoder.predictor.grade([Input("값은 바가지 " * 14_300)], np.ones((1, 3), np.uint8))
    assert [item["aspect"] for item in found] == list(SHOP.keys)
    assert time.process_time() - start < 60


def test_a_bare_string_is_a_type_error(run):
    with pytest.raises(TypeError, match="one str"):
        run.analyzer.predictor.predict_proba("값은 바가지")
    with pytest.raises(DataError, match="twice"):
        Dataset(SHOP, [Example("a", "글"), Example("a", "글")])


def test_a_description_enters_what_the_second_stage_reads():
    from maeum.reviews.stages import described

    data = SHOP.to_dict()
    data["labels"][0]["description"] = "도착까지 걸린 날"
    task = Task.from_dict(data)
    assert described(task, "delivery") == "배송: 도착까지 걸린 날"
    assert described(task, "price") == "가격"
    assert Task.from_dict(task.to_dict()) == task
    (row,) = reviews.sentiment_rows(Dataset(task, [Example("1", "늦음", aspects=(AspectLabel("delivery", "-1"),))]))
    assert row.input.aspect == "배송: 도착까지 걸린 날"


def test_thresholds_are_tuned_on_what_the_analyzer_gives_and_known_rows_are_known(tmp_path):
    from maeum.crossval import OutOfFold
    from maeum.evaluation import judge, score_model
    from maeum.folder import load

    rows = maeum.read("sample:fashion")
    reviews.train(rows, output=tmp_path / "m")
    analyzer = load(tmp_path / "m")
    oof = OutOfFold.load(tmp_path / "m", analyzer.task)
    raw = OutOfFold.load(tmp_path / "m", analyzer.task).proba
    calibration = analyzer.predictor.aspects.calibration
    assert any(step != "identity" for step in map(str, calibration.to_dict().get("kinds", ["?"])))
    # tuned thresholds and the table they were tuned on belong together
    from maeum.thresholds import tune_thresholds

    again = tune_thresholds(oof.y, raw, analyzer.task, objective="micro-f1", shrinkage=5.0)
    f1 = lambda rule: float((2 * (rule.decide(raw) & oof.y).sum()) / (rule.decide(raw).sum() + oof.y.sum()))  # noqa: E731
    assert f1(analyzer.thresholds) == pytest.approx(f1(again), abs=0.05)
    assert any("trained on these very rows" in note for note in judge(score_model(analyzer, rows)).notes)


def test_evaluate_in_python_tells_what_the_command_tells(run):
    rows = planted(40, seed=9, prefix="n")
    found = maeum.evaluate(run.analyzer, rows).extra["review"]
    assert found == reviews.score_reviews(run.analyzer, rows).to_dict()
