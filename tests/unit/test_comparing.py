"""Comparisons say how far two models are apart, on which rows, and how much of it may be chance."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audit_kit import GRADED, graded, reviews, sides

from maeum._lang import set_language
from maeum.comparing import Comparison, compare, record, write
from maeum.comparing.changes import changes
from maeum.comparing.loop import chart, read_turns
from maeum.comparing.page import page
from maeum.comparing.paired import gaps, holm, mcnemar
from maeum.data import Dataset, Example
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.experiment import TrainSettings, train
from maeum.formats import PredictionRow, write_predictions
from maeum.metrics import decision_metrics


def predictions(path: Path, data: Dataset, decided: np.ndarray[Any, Any]) -> Path:
    rows = [
        PredictionRow(
            example.id,
            example.text,
            None,
            data.task.decode(on),
            {key: 0.9 if one else 0.1 for key, one in zip(data.task.keys, on, strict=True)},
        )
        for example, on in zip(data, decided, strict=True)
    ]
    write_predictions(rows, path, data.task)
    return path


def spoiled(y: np.ndarray[Any, Any], rows: range, column: int = 0) -> np.ndarray[Any, Any]:
    out = y.copy()
    out[list(rows), column] ^= 1
    return out


@pytest.fixture
def pair(tmp_path: Path) -> Comparison:
    """A is wrong in 30 rows of label 0, B in 5 of those and 3 others."""
    data = reviews(100)
    a = predictions(tmp_path / "a.jsonl", data, spoiled(data.y, range(30)))
    b = predictions(tmp_path / "b.jsonl", data, spoiled(spoiled(data.y, range(5)), range(40, 43), 2))
    return compare(a, b, data)


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_metrics(rng: np.random.Generator) -> None:
    y, a, b = ((rng.random((200, 5)) < 0.3).astype(np.uint8) for _ in range(3))
    scores, labels = gaps(y, a, b, np.arange(200), list("abcde"), resamples=200, seed=0)
    for side, decided in (("before", a), ("after", b)):
        expected = decision_metrics(y, decided)
        assert getattr(scores["micro_f1"], side) == pytest.approx(expected["micro_f1"])
        assert getattr(scores["macro_f1"], side) == pytest.approx(expected["macro_f1"])
        assert getattr(scores["accuracy"], side) == pytest.approx(expected["subset_accuracy"])
        mean = np.mean([getattr(item.f1, side) for item in labels])
        assert mean == pytest.approx(expected["macro_f1"])


def test_the_interval_is_that_of_the_difference(rng: np.random.Generator) -> None:
    """Accuracy of one column: the exact standard error of a paired difference is known."""
    n = 400
    y = np.stack([np.ones(n), np.zeros(n)], 1).astype(np.uint8)
    a, b = y.copy(), y.copy()
    a[:80] = a[:80, ::-1]
    b[60:100] = b[60:100, ::-1]
    difference = ((y == b).all(1).astype(float) - (y == a).all(1)).std() / math.sqrt(n)
    found = gaps(y, a, b, np.arange(n), ["x", "y"], resamples=4000, seed=1)[0]["accuracy"]
    assert found.gap == pytest.approx(0.1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * difference, rel=0.08)
    assert found.low > 0


def test_rows_of_one_text_are_drawn_together() -> None:
    """The same rows four times over are no more evidence than once."""
    y = np.tile(np.array([[1, 0], [0, 1]], np.uint8), (50, 1))
    a, b = spoiled(y, range(30)), spoiled(y, range(20))
    once = gaps(y, a, b, np.arange(100), ["x", "y"], resamples=2000, seed=0)[0]["macro_f1"]
    four = [np.tile(each, (4, 1)) for each in (y, a, b)]
    grouped = gaps(*four, np.tile(np.arange(100), 4), ["x", "y"], resamples=2000, seed=0)[0]["macro_f1"]
    apart = gaps(*four, np.arange(400), ["x", "y"], resamples=2000, seed=0)[0]["macro_f1"]
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high), abs=1e-9)
    assert apart.high - apart.low < 0.7 * (once.high - once.low)


def test_equal_models_are_not_told_apart() -> None:
    """Over many comparisons of models that are equally good, about one in twenty labels strays; Holm keeps nearly none."""
    rng = np.random.default_rng(3)
    outside = stands = total = 0
    for _ in range(6):
        y = (rng.random((300, 20)) < 0.4).astype(np.uint8)
        a, b = (y ^ (rng.random(y.shape) < 0.2).astype(np.uint8) for _ in range(2))
        labels = gaps(y, a, b, np.arange(300), list(map(str, range(20))), resamples=400, seed=0)[1]
        outside += sum(item.f1.low > 0 or item.f1.high < 0 for item in labels)
        stands += sum(item.stands for item in labels)
        total += len(labels)
    assert 0 < outside < 0.15 * total
    assert stands <= 1


def test_holm_and_mcnemar_are_the_textbook_ones() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]
    by_hand = 2 * sum(math.comb(12, k) for k in range(3)) / 2**12
    assert mcnemar(10, 2) == mcnemar(2, 10) == pytest.approx(by_hand)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0


def test_kinds_of_changes() -> None:
    y = np.array([[1, 0, 0]] * 6, np.uint8)
    a = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0]], np.uint8)
    b = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], np.uint8)
    found = changes(y, a, b)
    assert [(change.row, change.kind) for change in found.rows] == [
        (0, "fixed"),
        (1, "broken"),
        (2, "better"),
        (3, "worse"),
        (4, "other"),
    ]
    assert (found.both_right, found.both_wrong) == (1, 3)
    assert (found.rows[4].gained, found.rows[4].lost) == ((2,), (1,))


# -- models and files -------------------------------------------------------------------------------------------------


def test_what_is_said_of_two_files(pair: Comparison) -> None:
    assert pair.changes.counts == {"fixed": 25, "broken": 3, "better": 0, "worse": 0, "other": 0}
    assert pair.scores["accuracy"].gap == pytest.approx(0.22)
    assert [item.label for item in pair.labels if item.stands] == ["신축성"]
    text = pair.summary()
    assert "25 fixed, 3 broken" in text
    assert "Left when all are looked at together (Holm): 1." in text
    said = json.loads(json.dumps(pair.to_dict()))
    assert said["rows"]["fixed"] == 25
    assert said["scores"]["micro_f1"]["low"] > 0


def test_two_model_folders(tmp_path: Path) -> None:
    data, _ = sides(wrong=0)
    for name, rows in (("a", sides(40, wrong=12, seed=5)[0]), ("b", sides(80, wrong=0, seed=5)[0])):
        train(rows, settings=TrainSettings(), output=tmp_path / name)
    found = compare(tmp_path / "a", tmp_path / "b", data)
    assert (found.a.labelled, found.b.labelled) == (40, 80)
    assert found.scores["accuracy"].after >= found.scores["accuracy"].before
    same = compare(tmp_path / "a", tmp_path / "a", data)
    assert any("the same" in note for note in same.notes)
    assert same.changes.rows == ()
    assert same.scores["micro_f1"].p == 1.0
    seen = compare(tmp_path / "a", tmp_path / "b", sides(80, wrong=0, seed=5)[0])
    assert any("trained on these very rows" in note for note in seen.notes)
    with pytest.raises(TaskMismatch):
        compare(tmp_path / "a", tmp_path / "b", reviews(20))


def test_aspects_are_compared_with_their_grades(tmp_path: Path) -> None:
    data = graded(reviews(40))

    def file(name: str, turned: int) -> Path:
        rows = []
        for number, example in enumerate(data):
            aspects = [
                {"aspect": item.aspect, "sentiment": item.sentiment if number >= turned else "1", "score": 0.9}
                for item in example.aspects or ()
            ]
            on = {item["aspect"] for item in aspects}
            scores = {key: 0.9 if key in on else 0.1 for key in GRADED.keys}
            labels = tuple(key for key in GRADED.keys if key in on)
            rows.append(PredictionRow(example.id, example.text, None, labels, scores, tuple(aspects)))
        write_predictions(rows, tmp_path / name, GRADED)
        return tmp_path / name

    found = compare(file("a.jsonl", 20), file("b.jsonl", 0), data)
    assert found.scores["micro_f1"].gap == 0
    assert found.scores["pairs_micro_f1"].gap > 0
    assert found.changes.counts["fixed"] == len(found.changes.rows) > 0
    assert found.named(found.changes.rows[0].gained).endswith("-1")


def test_rows_that_cannot_be_compared_on(tmp_path: Path, three: Any) -> None:
    with pytest.raises(UsageError, match="must be labelled"):
        compare("a", "b", Dataset(three, [Example("1", "글")]))
    one = Dataset(three, [Example("1", "같은 글", labels=("기쁨",)), Example("2", "같은 글", labels=("기쁨",))])
    path = predictions(tmp_path / "p.jsonl", one, one.y)
    with pytest.raises(UsageError, match="too few"):
        compare(path, path, one)


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_folder(pair: Comparison, tmp_path: Path) -> None:
    write(pair, tmp_path / "out")
    with (tmp_path / "out" / "changes.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 28
    assert {row["kind"] for row in rows} == {"fixed", "broken"}
    assert json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))["rows"]["changed"] == 28
    with pytest.raises(UsageError, match="already exists"):
        write(pair, tmp_path / "out")
    write(pair, tmp_path / "out", overwrite=True)


def test_the_page_escapes_texts(tmp_path: Path) -> None:
    data, _ = sides(20)
    rows = [Example(e.id, f"{e.text} <script>alert(1)</script>", labels=e.labels) for e in data]
    data = Dataset(data.task, rows, source="<i>.jsonl")
    a = predictions(tmp_path / "a.jsonl", data, data.y)
    b = predictions(tmp_path / "b.jsonl", data, 1 - data.y)
    set_language("ko")
    html = page(compare(a, b, data))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "나빠진 행" in html
    assert not re.search(r"https?://", html)


# -- the loop ---------------------------------------------------------------------------------------------------------


def test_turns_of_a_loop(pair: Comparison, tmp_path: Path) -> None:
    log = tmp_path / "fixed.changes.jsonl"
    log.write_text('{"decision": "fix"}\n{"decision": "keep"}\n', encoding="utf-8")
    first = record(tmp_path / "loop", pair, note="처음", decisions=log)
    assert (first.number, first.added) == (1, 2)
    again = record(tmp_path / "loop", pair)
    assert (again.number, again.added) == (1, 0)
    c = predictions(tmp_path / "c.jsonl", pair.data, pair.data.y)
    second = record(tmp_path / "loop", compare(pair.b.name, c, pair.data), labelled=120)
    assert (second.number, second.added, second.notes) == (2, 1, ())
    turns = read_turns(tmp_path / "loop")
    assert [turn["turn"] for turn in turns] == [0, 1, 2]
    assert turns[1]["note"] == "처음"
    assert turns[1]["decisions"] == {
        "file": log.name,
        "sha256": turns[1]["decisions"]["sha256"],
        "keep": 1,
        "fix": 1,
        "drop": 0,
    }
    assert turns[1]["against"]["turn"] == 0
    assert turns[2]["scores"]["micro_f1"] == 1.0
    assert {turn["frozen"]["fingerprint"] for turn in turns} == {pair.data.fingerprint}
    assert "<svg" in (tmp_path / "loop" / "quality.svg").read_text(encoding="utf-8")


def test_a_jump_over_a_turn_is_told(pair: Comparison, tmp_path: Path) -> None:
    record(tmp_path / "loop", pair)
    c = predictions(tmp_path / "c.jsonl", pair.data, pair.data.y)
    jumped = record(tmp_path / "loop", compare(pair.a.name, c, pair.data))
    assert any("not the model of the turn before" in note for note in jumped.notes)
    assert read_turns(tmp_path / "loop")[-1]["against"]["turn"] == 0


def test_a_changed_test_set_is_refused(pair: Comparison, tmp_path: Path) -> None:
    record(tmp_path / "loop", pair)
    rows = list(pair.data)
    rows[0] = Example(rows[0].id, rows[0].text, labels=("배송",))
    other = Dataset(pair.data.task, rows, source="reviews.jsonl")
    thawed = compare(pair.a.name, predictions(tmp_path / "c.jsonl", other, other.y), other)
    before = (tmp_path / "loop" / "turns.jsonl").read_bytes()
    with pytest.raises(UsageError, match="have changed"):
        record(tmp_path / "loop", thawed)
    assert (tmp_path / "loop" / "turns.jsonl").read_bytes() == before


def test_damaged_records_are_refused(pair: Comparison, tmp_path: Path) -> None:
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "turns.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"turns\.jsonl:1: the record of a turn is damaged"):
        record(tmp_path / "loop", pair)
    (tmp_path / "no.jsonl").write_text("[]\n", encoding="utf-8")
    with pytest.raises(DataError, match="not a changelog"):
        record(tmp_path / "new", pair, decisions=tmp_path / "no.jsonl")
    assert not (tmp_path / "new").exists()


def test_a_loop_begins_with_one_turn_where_both_are_the_same(pair: Comparison, tmp_path: Path) -> None:
    same = compare(pair.a.name, pair.a.name, pair.data, resamples=100)
    first = record(tmp_path / "loop", same)
    assert (first.number, first.added) == (0, 1)
    assert "only the first turn" in first.notes[0]
    assert [turn["turn"] for turn in read_turns(tmp_path / "loop")] == [0]
    assert record(tmp_path / "loop", pair).number == 1


def test_what_is_no_loop_folder_and_no_file_is_said(pair: Comparison, tmp_path: Path) -> None:
    (tmp_path / "loop").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="is no folder"):
        record(tmp_path / "loop", pair)
    with pytest.raises(DataError, match="no such file"):
        record(tmp_path / "new", pair, decisions=tmp_path / "nowhere.jsonl")


def test_the_chart_is_over_rows_where_all_turns_know_them() -> None:
    turns = [{"turn": n, "labelled": rows, "scores": {"micro_f1": 0.5 + n / 10}} for n, rows in enumerate((100, 300))]
    assert "labelled training rows" in chart(turns)
    turns[1]["labelled"] = None
    assert "labelled training rows" not in chart(turns)
