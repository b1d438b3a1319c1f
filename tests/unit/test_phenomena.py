"""Hard sentences: what is in them, and that the right side is counted right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from maeum.analyzer import Analyzer
from maeum.formats import read
from maeum.phenomena import PHENOMENA, SOURCE, phenomena_test, side
from maeum.task import Label, Task, builtin_task
from maeum.text import TextPrep


class Oracle:
    """Says of each text what a function says; grades aspects by another."""

    kind = "oracle"

    def __init__(self, task, answer, grade=None):
        self.task, self.answer = task, answer
        if grade is not None:
            self.grade = lambda inputs, on: [
                [{"aspect": self.task.keys[c], "sentiment": grade(item.text)} for c in np.flatnonzero(row)]
                for item, row in zip(inputs, on, strict=True)
            ]

    def predict_proba(self, inputs):
        return np.array([self.answer(item.text) for item in inputs], np.float32)


def analyzer(model) -> Analyzer:
    return Analyzer(model, prep=TextPrep.named("raw"))


@pytest.fixture(scope="module")
def data():
    return read(SOURCE)


def test_there_are_enough_of_each_kind_and_evidence_is_quoted(data):
    count = Counter(example.meta["phenomenon"] for example in data)
    assert set(count) == set(PHENOMENA)
    assert len(data) >= 60
    assert min(count.values()) >= 6
    assert all(item.begin is not None and item.begin < item.end for e in data for item in e.aspects)
    assert all(e.meta["polarity"] == "mixed" for e in data if len(e.aspects) > 1)
    training = {example.text for example in read("sample:fashion")}
    assert not training & {example.text for example in data}


def test_a_model_that_knows_is_always_right_and_one_that_likes_everything_is_right_where_things_are_liked(data):
    polarity = {e.text: e.meta["polarity"] for e in data}
    task = builtin_task("nsmc")
    knows = phenomena_test(
        analyzer(Oracle(task, lambda text: [0.1, 0.9] if polarity[text] == "positive" else [0.9, 0.1]))
    )
    assert {values["right"] for values in knows.results.values()} == {1.0}
    likes = phenomena_test(analyzer(Oracle(task, lambda _: [0.1, 0.9])))
    leaning = [value for value in polarity.values() if value != "mixed"]
    assert likes.results["all"]["right"] == pytest.approx(leaning.count("positive") / len(leaning))
    assert likes.results["sarcasm"]["right"] == 0.0
    assert likes.measured == "texts"
    assert "sarcasm" in likes.summary()


def test_aspects_are_graded_whether_found_or_not(data):
    sides = {e.text: {item.aspect: item.sentiment for item in e.aspects} for e in data}
    task = data.task

    class Knows(Oracle):
        def grade(self, inputs, on):
            return [
                [{"aspect": task.keys[c], "sentiment": sides[item.text][task.keys[c]]} for c in np.flatnonzero(row)]
                for item, row in zip(inputs, on, strict=True)
            ]

    found = phenomena_test(analyzer(Knows(task, lambda _: [0.0] * len(task))))
    assert found.measured == "aspects"
    assert found.results["all"] == {"count": sum(len(e.aspects) for e in data), "right": 1.0, "found": 0.0}


def test_labels_that_say_nothing_of_sentiment_are_not_asked(data):
    assert phenomena_test(analyzer(Oracle(builtin_task("chatbot"), lambda _: [1.0, 0.0, 0.0]))) is None
    other = Task("other", "aspect", (Label("맛"),), (Label("나쁨"), Label("좋음")))
    assert phenomena_test(analyzer(Oracle(other, lambda _: [1.0], grade=lambda _: "좋음"))) is None


def test_sides_of_grades(data):
    assert [side(data.task, grade) for grade in ("-2", "-1", "0", "1", "2")] == [-1, -1, 0, 1, 1]
    two = Task("two", "aspect", (Label("맛"),), (Label("나쁨"), Label("좋음")))
    assert [side(two, grade) for grade in ("나쁨", "좋음")] == [-1, 1]
