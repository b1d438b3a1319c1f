"""Review predictions in files: read back with their grades, judged, rolled up, handed in; and grades under stress."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from review_kit import SHOP, call, planted, write_jsonl, write_task

import maeum
from maeum import reviews
from maeum.data import AspectLabel, Dataset, Example
from maeum.errors import DataError, UsageError
from maeum.formats import read_predictions
from maeum.formats.labels import LabelReader, parse_graded
from maeum.stress import grade_flips, stress_test
from maeum.task import Label, Task, builtin_task
from maeum.thresholds import Thresholds

TABLES = ("csv", "tsv", "xlsx", "parquet")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("review-files")
    maeum.train(planted(), valid=0.2, output=folder / "model")
    write_jsonl(folder / "new.jsonl", planted(30, seed=9, prefix="n"))
    write_task(folder / "shop.toml")
    for kind in ("jsonl", *TABLES):
        call("predict", folder / "model", folder / "new.jsonl", "-o", folder / f"p.{kind}", "--quiet")
    return folder


def pairs(path: Path, task: Task = SHOP) -> list[dict[str, str]]:
    aspects = read_predictions(path, task).aspects
    assert aspects is not None
    return [{item["aspect"]: item["sentiment"] for item in row} for row in aspects]


# ------------------------------------------------------------------------------------------------- cells and files

AWKWARD = Task(
    "awkward",
    "aspect",
    (Label("제품 전체#일반"), Label("빛, 색"), Label("빛"), Label("1")),
    (Label("매우 나쁨"), Label("-1"), Label("good", ko="좋음")),
)


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("", []),
        ("  ", []),
        ("빛 good", [("빛", "good")]),
        ("빛, 색 매우 나쁨, 빛 -1", [("빛, 색", "매우 나쁨"), ("빛", "-1")]),
        ("제품 전체#일반 좋음,1 −1", [("제품 전체#일반", "good"), ("1", "-1")]),
    ],
)
def test_a_cell_of_aspects_with_grades_is_read_whatever_their_names(cell, found):
    assert [(item.aspect, item.sentiment) for item in parse_graded(cell, LabelReader(AWKWARD))] == found


@pytest.mark.parametrize("cell", ["빛", "빛 나쁨", "good", "빛 good, 색", "그림자 good", "빛 good 1 -1"])
def test_a_cell_that_is_no_aspect_with_a_grade_is_one_sentence(cell):
    with pytest.raises(DataError, match=r"is not an aspect and its grade, as in: 제품 전체#일반 매우 나쁨"):
        parse_graded(cell, LabelReader(AWKWARD))


def test_a_cell_that_can_be_read_in_two_ways_is_refused():
    task = Task("two", "aspect", (Label("a"), Label("a b")), (Label("c"), Label("b c")))
    assert [item.aspect for item in parse_graded("a c", LabelReader(task))] == ["a"]
    with pytest.raises(DataError, match="'a b c' is not"):
        parse_graded("a b c", LabelReader(task))


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_predictions_hold_the_grades_of_the_jsonl(place, kind):
    whole, table = read_predictions(place / "p.jsonl", SHOP), read_predictions(place / f"p.{kind}", SHOP)
    assert pairs(place / f"p.{kind}") == pairs(place / "p.jsonl")
    assert table.labels == whole.labels
    assert np.array_equal(table.scores, whole.scores)
    assert any(len(row) == 2 for row in table.aspects or ())
    assert any(len(row) == 0 for row in table.aspects or ())
    for mine, theirs in zip(table.aspects or (), whole.aspects or (), strict=True):
        assert [item["score"] for item in mine] == [item["score"] for item in theirs]


def test_a_broken_cell_is_named_with_its_line(place, tmp_path):
    with (place / "p.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    rows[2][3] = "delivery 9"
    path = tmp_path / "broken.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    said = call("evaluate", path, place / "new.jsonl", "--task", place / "shop.toml", code=1)
    assert re.fullmatch(r"error: .*broken\.csv:3.*'delivery 9' is not an aspect and its grade[^\n]*\n", said)


# ---------------------------------------------------------------------------------------------------------- judging


@pytest.mark.parametrize("kind", ["jsonl", *TABLES])
def test_a_predictions_file_is_judged_like_the_model_that_wrote_it(place, kind):
    task = ("--task", place / "shop.toml")
    of_model = json.loads(call("evaluate", place / "model", place / "new.jsonl", *task, "--json"))
    of_file = json.loads(call("evaluate", place / f"p.{kind}", place / "new.jsonl", *task, "--json"))
    assert of_file["metrics"]["micro_f1"] == pytest.approx(of_model["metrics"]["micro_f1"])
    mine, theirs = of_file["extra"]["review"], of_model["extra"]["review"]
    for name in ("aspect_micro_f1", "aspect_macro_f1", "pipeline_micro_f1", "pipeline_macro_f1", "pairs"):
        assert mine[name] == pytest.approx(theirs[name]), name
    # the file knows the grades of what was found, the model those of all that people gave
    assert sum(map(sum, mine["confusion"])) <= sum(map(sum, theirs["confusion"])) == theirs["pairs"]
    assert any("grades only for aspects that were found" in note for note in of_file["notes"])


def test_a_predictions_file_is_judged_in_python_and_on_paper(place, tmp_path):
    data = maeum.read(place / "new.jsonl", task=SHOP)
    report = maeum.evaluate(place / "p.csv", data)
    assert report.extra["review"]["pipeline_micro_f1"] > 0.9
    page = tmp_path / "r.html"
    said = call("evaluate", place / "p.csv", place / "new.jsonl", "--task", place / "shop.toml", "--html", page)
    assert "grades off" in said
    assert "both, micro-F1" in page.read_text(encoding="utf-8")


def test_what_was_missed_and_misgraded_counts_in_a_file(tmp_path):
    texts = {"a": "값은 바가지", "b": "생김새 화사함", "c": "택배가 번개처럼"}
    given = {"a": ("price", "-1"), "b": ("look", "1"), "c": ("delivery", "1")}
    found: dict[str, list[tuple[str, str]]] = {
        "a": [("price", "-1")],  # right
        "b": [("look", "0")],  # a grade off
        "c": [],  # missed
    }
    rows = [
        {
            "id": key,
            "text": texts[key],
            "target": None,
            "aspects": [{"aspect": a, "sentiment": g, "score": 0.2} for a, g in found[key]],
            # scores under 0.5: the aspects in the file decide, not the scores
            "scores": dict.fromkeys(SHOP.keys, 0.2),
        }
        for key in texts
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    data = Dataset(SHOP, [Example(key, texts[key], aspects=(AspectLabel(*given[key]),)) for key in texts])
    report = maeum.evaluate(path, data)
    review = report.extra["review"]
    assert review["aspect_micro_f1"] == report.metrics["micro_f1"] == pytest.approx(4 / 5)
    assert review["pipeline_micro_f1"] == pytest.approx(2 / 5)
    assert review["sentiment_accuracy"] == 1 / 2
    assert review["pairs"] == 3
    assert "sentiment (of aspects found)" in reviews.ReviewScores.from_dict(SHOP, review).summary()


def test_thresholds_may_take_aspects_of_a_file_away_but_not_add_any(place, tmp_path):
    low = Thresholds.default(SHOP).replaced(dict.fromkeys(SHOP.keys, 0.0001), SHOP)
    high = Thresholds.default(SHOP).replaced(dict.fromkeys(SHOP.keys, 0.9999), SHOP)
    words = ("evaluate", place / "p.jsonl", place / "new.jsonl", "--task", place / "shop.toml", "--thresholds")
    for name, rule in (("low", low), ("high", high)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rule.to_dict()), encoding="utf-8")
    found = json.loads(call(*words, tmp_path / "high.json", "--json"))["extra"]["review"]
    assert found["pipeline_micro_f1"] < 0.5
    assert re.fullmatch(
        r"error: [^\n]*has no grade for the aspect[^\n]*\n", call(*words, tmp_path / "low.json", code=1)
    )


def test_a_file_without_grades_is_judged_by_its_aspects_alone(place, tmp_path):
    path = tmp_path / "bare.jsonl"
    rows = [json.loads(line) for line in (place / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps({k: r[k] for k in ("id", "text", "scores")}) + "\n" for r in rows), "utf-8")
    report = maeum.evaluate(path, maeum.read(place / "new.jsonl", task=SHOP))
    assert "review" not in report.extra
    assert any("only the aspects were judged" in note for note in report.notes)


# --------------------------------------------------------------------------------------------------- other programs


def test_a_roll_up_of_a_table_counts_what_that_of_the_jsonl_counts(place, tmp_path):
    for kind in ("jsonl", "csv"):
        words = ("--task", place / "shop.toml", "--quiet")
        call("rollup", place / f"p.{kind}", place / "new.jsonl", "-o", tmp_path / kind, *words)
    for name in ("aspects.csv", "groups.csv"):
        assert (tmp_path / "csv" / name).read_bytes() == (tmp_path / "jsonl" / name).read_bytes()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("kind", ["jsonl", "csv", "xlsx"])
def test_completions_go_out_and_come_back(place, tmp_path, kind):
    before = pairs(place / f"p.{kind}")
    for suffix in ("md", "csv"):
        out = tmp_path / f"c.{suffix}"
        call("convert", place / f"p.{kind}", "--to", "completion", "--task", place / "shop.toml", "-o", out, "--quiet")
        data = maeum.read(out, task=SHOP, format="completion")
        assert [{item.aspect: item.sentiment for item in row.aspects or ()} for row in data] == before
        assert data.texts == maeum.read(place / "new.jsonl", task=SHOP).texts
    straight = tmp_path / "straight.md"
    call("predict", place / "model", place / "new.jsonl", "--output-format", "completion", "-o", straight, "--quiet")
    assert straight.read_bytes() == (tmp_path / "c.md").read_bytes()


def test_a_form_that_does_not_fit_the_task_is_refused_before_anything_is_predicted(place, tmp_path):
    for form in ("nikl-sa", "nikl-ea"):
        said = call(
            "predict", place / "model", place / "new.jsonl", "--output-format", form, "-o", tmp_path / "x", code=1
        )
        assert re.fullmatch(rf"error: a {form} submission needs predictions of task {form}[^\n]*\n", said)
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------------------------- nikl-sa

SA = builtin_task("nikl-sa")
SA_CUES = {
    ("제품 전체#품질", "positive"): "전체적으로 만듦새가 훌륭",
    ("제품 전체#품질", "negative"): "전체적으로 만듦새가 엉성",
    ("패키지/구성품#디자인", "positive"): "상자가 앙증맞음",
    ("패키지/구성품#디자인", "negative"): "상자가 촌스러움",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A model of the corpus task, and a test file with spaces, escapes and line ends of its own."""
    folder = tmp_path_factory.mktemp("sa")
    cues = list(SA_CUES.items())
    rows = []
    for number in range(80):
        picked = [cues[number % 4]] if number % 5 else []
        text = " ".join([f"물건{number}", *(words for _, words in picked)])
        rows.append(Example(f"t{number}", text, aspects=tuple(AspectLabel(*pair) for pair, _ in picked)))
    maeum.train(Dataset(SA, rows), output=folder / "model")
    (folder / "test.jsonl").write_bytes(
        (
            '{"id": "nikluge-sa-2022-test-00001",  "sentence_form": "새 물건은 상자가 앙증맞음"}\r\n'
            '{"sentence_form": "\\uc624\\ub298 온 것은 전체적으로 만듦새가 엉성", "annotation": [], "id": "b", "extra": 1}\r\n'
            '{"id":"c","sentence_form":"어제 도착","annotation":null}\r\n'
        ).encode()
    )
    return folder


def test_a_submission_is_the_corpus_file_with_the_answers_filled_in(corpus, tmp_path):
    source = corpus / "test.jsonl"
    call("predict", corpus / "model", source, "-o", tmp_path / "p.jsonl", "--quiet")
    call(
        "predict", corpus / "model", source, "-o", tmp_path / "straight.jsonl", "--output-format", "nikl-sa", "--quiet"
    )
    call("predict", corpus / "model", source, "-o", tmp_path / "p.csv", "--quiet")
    for kind in ("jsonl", "csv"):
        out = tmp_path / f"from-{kind}.jsonl"
        call("convert", tmp_path / f"p.{kind}", "--to", "nikl-sa", "--source", source, "-o", out, "--quiet")
        assert out.read_bytes() == (tmp_path / "straight.jsonl").read_bytes()
    lines = (tmp_path / "straight.jsonl").read_bytes().decode().split("\r\n")
    assert lines == [
        '{"id": "nikluge-sa-2022-test-00001",  "sentence_form": "새 물건은 상자가 앙증맞음", '
        '"annotation": [["패키지/구성품#디자인", "positive"]]}',
        '{"sentence_form": "\\uc624\\ub298 온 것은 전체적으로 만듦새가 엉성", '
        '"annotation": [["제품 전체#품질", "negative"]], "id": "b", "extra": 1}',
        '{"id":"c","sentence_form":"어제 도착","annotation":[]}',
        "",
    ]
    again = maeum.read(tmp_path / "straight.jsonl", format="nikl-sa")
    assert [{item.aspect: item.sentiment for item in row.aspects or ()} for row in again] == pairs(
        tmp_path / "p.jsonl", SA
    )


def test_predictions_about_rows_from_elsewhere_become_rows_of_the_corpus(corpus, tmp_path):
    other = write_jsonl(tmp_path / "mine.jsonl", [Example("x", "물건은 상자가 촌스러움"), Example("y", "어제 도착")])
    out = tmp_path / "sa.jsonl"
    call("predict", corpus / "model", other, "-o", out, "--output-format", "nikl-sa", "--quiet")
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == [
        {
            "id": "x",
            "sentence_form": "물건은 상자가 촌스러움",
            "annotation": [["패키지/구성품#디자인", [None, 0, 0], "negative"]],
        },
        {"id": "y", "sentence_form": "어제 도착", "annotation": []},
    ]


# ---------------------------------------------------------------------------------------------------------- stress


def test_flips_are_counted_over_aspects_found_before_and_after():
    before = [{"price": "1", "look": "0"}, {"price": "-1"}, {}]
    after = [{"price": "-1", "look": "0"}, {"look": "1"}, {"price": "0"}]
    assert grade_flips(before, after) == {"grade_flips": 0.5, "graded_pairs": 2.0}
    assert grade_flips(before, [{}, {}, {}]) == {"graded_pairs": 0.0}


class Hollow:
    """Finds every aspect; likes whatever has a full stop."""

    kind = "review"
    task = SHOP

    def predict_proba(self, inputs):
        return np.full((len(inputs), 3), 0.9, np.float32)

    def grade(self, inputs, on):
        return [
            [{"aspect": key, "sentiment": "1" if "." in item.text else "-1"} for key in SHOP.keys] for item in inputs
        ]


def test_grades_that_turn_are_flips_and_labels_that_stay_are_not():
    from maeum.analyzer import Analyzer
    from maeum.text import TextPrep

    analyzer = Analyzer(Hollow(), prep=TextPrep.named("raw"))
    data = Dataset(SHOP, [Example("a", "값은 거저. 생김새 평범", aspects=()), Example("b", "값은 바가지", aspects=())])
    results = stress_test(analyzer, data).results
    assert results["none"]["grade_flips"] == results["laughter"]["grade_flips"] == 0
    # "." goes from the middle of a, and comes to the end of both
    assert results["punctuation"]["grade_flips"] == 0.5
    assert {values["graded_pairs"] for values in results.values()} == {6.0}
    assert {values["row_flips"] for values in results.values()} == {0.0}
    assert "grades flipped" in stress_test(analyzer, data).summary()


def test_grade_flips_stand_in_every_report(place, tmp_path):
    words = ("evaluate", place / "model", place / "new.jsonl", "--task", place / "shop.toml", "--stress")
    results = json.loads(call(*words, "--json"))["extra"]["stress"]["results"]
    assert results["none"]["grade_flips"] == results["nfd"]["grade_flips"] == results["invisible"]["grade_flips"] == 0
    assert set(results) == {"none", "no_spaces", "typos", "laughter", "emoji", "punctuation", "nfd", "invisible"}
    said = call(*words, "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    for text in (said, *((tmp_path / name).read_text(encoding="utf-8") for name in ("r.html", "r.md"))):
        assert "grades flipped" in text
        assert "vowel typos" in text


def test_predictions_cannot_be_perturbed(place):
    words = ("evaluate", place / "p.jsonl", place / "new.jsonl", "--task", place / "shop.toml", "--stress")
    assert re.fullmatch(r"error: --stress needs a model folder[^\n]*\n", call(*words, code=1))


def test_thresholds_of_another_task_are_refused(place):
    predictions = read_predictions(place / "p.csv", SHOP)
    with pytest.raises(UsageError, match="prediction 1 has no grade for the aspect"):
        predictions.graded([SHOP.keys] * len(predictions))
