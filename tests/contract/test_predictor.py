"""Every model kind keeps the contract of ``maeum.models.base``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maeum.data import Input, Target
from maeum.errors import NotFitted
from maeum.models.base import Classifier, Predictor, load_predictor, make_classifier
from maeum.models.ensemble import MeanPredictor
from maeum.task import Label, Task

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("긍정")))

WORDS = {0: "기쁘고 행복한 하루", 1: "슬퍼서 눈물이 난다", 2: "화가 나서 못 참겠다"}
FILLER = ["오늘", "회사", "친구", "점심", "날씨", "영화", "버스", "커피", "저녁", "가족", "주말", "전화"]


def rows(task: Task, n: int = 90) -> tuple[list[Input], np.ndarray]:
    rng = np.random.default_rng(5)
    inputs, y = [], np.zeros((n, len(task)), np.uint8)
    for row in range(n):
        label = row % len(task)
        words = [*map(str, rng.choice(FILLER, 3)), WORDS[label]]
        y[row, label] = 1
        if task.kind == "multilabel" and row % 7 == 0:
            other = (label + 1) % len(task)
            words.append(WORDS[other])
            y[row, other] = 1
        text = " ".join(words)
        target = Target(words[0], 0, len(words[0])) if row % 3 == 0 else None
        inputs.append(Input(text, target))
    return inputs, y


def linear(task: Task) -> Classifier:
    return make_classifier("linear", task, seed=1)


def mean(task: Task) -> Predictor:
    inputs, y = rows(task)
    return MeanPredictor(task, [linear(task).fit(inputs[part : part + 60], y[part : part + 60]) for part in (0, 30)])


def fitted_linear(task: Task) -> Predictor:
    inputs, y = rows(task)
    return linear(task).fit(inputs, y)


KINDS: dict[str, Callable[[Task], Predictor]] = {"linear": fitted_linear, "mean": mean}


@pytest.fixture(
    scope="module",
    params=[(kind, task) for kind in KINDS for task in (MULTI, SINGLE)],
    ids=lambda p: f"{p[0]}-{p[1].name}",
)
def model(request) -> Predictor:
    kind, task = request.param
    return KINDS[kind](task)


def test_shape_type_range_and_sums(model):
    inputs, _ = rows(model.task)
    proba = model.predict_proba(inputs)
    assert proba.dtype == np.float32
    assert proba.shape == (len(inputs), len(model.task))
    assert ((proba >= 0) & (proba <= 1)).all()
    if model.task.kind == "multiclass":
        assert proba.sum(1) == pytest.approx(np.ones(len(inputs)), abs=1e-5)


def test_no_inputs_give_no_rows(model):
    assert model.predict_proba([]).shape == (0, len(model.task))


def test_a_bare_string_is_a_type_error(model):
    with pytest.raises(TypeError, match="str"):
        model.predict_proba("기쁘다")
    with pytest.raises(TypeError, match="Input"):
        model.predict_proba(["기쁘다"])


def test_neither_batch_nor_mates_nor_order_change_a_row(model):
    inputs, _ = rows(model.task, 40)
    inputs = [*inputs, Input(""), Input("   "), Input("가" * 5000), Input("😀👍🏽"), Input("\x00\ud800 이상한 글자")]
    whole = model.predict_proba(inputs)
    single = np.concatenate([model.predict_proba([item]) for item in inputs])
    assert np.abs(whole - single).max() <= 1e-6
    backwards = model.predict_proba(inputs[::-1])[::-1]
    assert np.abs(whole - backwards).max() <= 1e-6


def test_saved_and_loaded_gives_the_same_numbers(model, tmp_path: Path):
    inputs, _ = rows(model.task)
    model.save(tmp_path)
    again = load_predictor(model.kind, tmp_path, model.task)
    assert np.array_equal(model.predict_proba(inputs), again.predict_proba(inputs))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}


def test_it_learns(model):
    inputs, y = rows(model.task)
    assert (model.predict_proba(inputs).argmax(1) == y.argmax(1)).mean() > 0.8


@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=["multilabel", "multiclass"])
def test_same_seed_same_numbers(task):
    inputs, y = rows(task)
    first, again = linear(task).fit(inputs, y), linear(task).fit(inputs, y)
    assert np.array_equal(first.predict_proba(inputs), again.predict_proba(inputs))


def test_unfitted_says_so():
    with pytest.raises(NotFitted):
        linear(MULTI).predict_proba([Input("기쁘다")])


def test_an_ensemble_of_one_is_its_member():
    member = fitted_linear(MULTI)
    inputs, _ = rows(MULTI)
    assert np.array_equal(MeanPredictor(MULTI, [member]).predict_proba(inputs), member.predict_proba(inputs))


def test_label_order_only_permutes_columns():
    inputs, y = rows(MULTI)
    turned = Task("multi", "multilabel", MULTI.labels[::-1])
    straight = linear(MULTI).fit(inputs, y).predict_proba(inputs)
    reverse = linear(turned).fit(inputs, y[:, ::-1].copy()).predict_proba(inputs)
    assert np.abs(straight - reverse[:, ::-1]).max() < 1e-3
