"""New labels on the vectors of a trunk that stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from maeum.data import Input
from maeum.errors import FormatError, NotFitted, UsageError
from maeum.models import dense, frozen
from maeum.models.frozen import FrozenClassifier, find_trunk
from maeum.models.head import SharedTrunk
from maeum.models.linear import LinearConfig
from maeum.task import Label, Task

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("긍정")))
WORDS = ("기쁘", "슬프", "화나")


class Counted:
    """A trunk whose vectors count letters: what a text says is in them, and nothing has to be learnt for it."""

    kind = "counted"
    asked: list[Input]

    def __init__(self) -> None:
        self.asked = []

    def vectors(self, inputs: Any) -> np.ndarray:
        self.asked += inputs
        return np.array(
            [[item.text.count(word) for word in WORDS] + [len(item.text), 1.0] for item in inputs], np.float32
        )

    def save(self, folder: Path) -> None:
        (folder / "nothing").write_text("", encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> Counted:
        return cls()


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    from maeum.models import head

    monkeypatch.setitem(head.TRUNKS, "counted", f"{__name__}:Counted")


def rows(task: Task, n: int = 120) -> tuple[list[Input], np.ndarray]:
    rng = np.random.default_rng(3)
    inputs, y = [], np.zeros((n, len(task)), np.uint8)
    for row in range(n):
        label = row % len(task)
        y[row, label] = 1
        inputs.append(Input(f"{rng.integers(100)}번 {WORDS[label]}다 {rng.integers(100)}"))
    return inputs, y


def model(task: Task, **words: Any) -> FrozenClassifier:
    return FrozenClassifier(task, SharedTrunk(Counted()), seed=1, linear=LinearConfig(), **words)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=["multilabel", "multiclass"])
def test_it_learns_saves_and_loads(task: Task, tmp_path: Path) -> None:
    inputs, y = rows(task)
    fitted = model(task).fit(inputs, y)
    proba = fitted.predict_proba(inputs)
    assert proba.dtype == np.float32
    assert ((proba >= 0.5) == y).mean() > 0.95
    if task is SINGLE:
        assert np.allclose(proba.sum(1), 1, atol=1e-6)
    assert np.allclose(fitted.predict_proba(inputs[7:8])[0], proba[7], atol=1e-6)
    fitted.save(tmp_path)
    again = FrozenClassifier.load(tmp_path, task)
    assert np.array_equal(again.predict_proba(inputs), proba)
    assert fitted.predict_proba([]).shape == (0, len(task))


def test_out_of_fold_rows_are_not_seen() -> None:
    rng = np.random.default_rng(0)
    inputs = [Input(f"{rng.integers(10**6)}") for _ in range(100)]
    y = np.eye(2, dtype=np.uint8)[rng.integers(0, 2, 100)]
    proba = model(SINGLE).fit_folds(inputs, y, np.arange(100) % 5)
    # labels that have nothing to do with the texts cannot be told by a model that never saw the row
    assert abs((proba.argmax(1) == y.argmax(1)).mean() - 0.5) < 0.17


def test_an_unfitted_model_and_a_folder_without_a_trunk_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFitted, match="not trained"):
        model(MULTI).predict_proba([Input("하루")])
    with pytest.raises(UsageError, match="no trunk that gives sentence vectors"):
        find_trunk(tmp_path)


def test_the_trunk_is_told_the_aspect_and_not_the_target() -> None:
    from maeum.data import Target

    fitted = model(MULTI)
    inputs, y = rows(MULTI, 30)
    fitted.fit([Input(item.text, Target(item.text[0], 0, 1), "배송") for item in inputs], y)
    asked = fitted.trunk.trunk.asked
    assert {item.aspect for item in asked} == {"배송"}
    assert {item.target for item in asked} == {None}


def test_rows_of_one_text_fall_into_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, y = rows(MULTI, 40)
    twice = [Input(item.text, aspect=aspect) for item in inputs for aspect in ("배송", "가격")]
    folds = []
    fitted = model(MULTI)
    monkeypatch.setattr(fitted, "fit_folds", lambda inputs, y, fold: folds.append(fold))
    fitted.fit(twice, y.repeat(2, axis=0))
    assert set(folds[0].tolist()) == set(range(5))
    assert (folds[0][::2] == folds[0][1::2]).all()


def test_a_changed_trunk_is_refused(tmp_path: Path) -> None:
    import maeum

    inputs, y = rows(MULTI, 30)
    from maeum.analyzer import Analyzer
    from maeum.experiment import TrainSettings, new_model
    from maeum.text import TextPrep

    maeum.save(Analyzer(model(MULTI).fit(inputs, y), prep=TextPrep.named("raw")), tmp_path / "made")
    settings = TrainSettings(model=f"frozen:{tmp_path / 'made'}")
    assert new_model(settings, SINGLE).kind == "frozen"
    (tmp_path / "made" / "model" / "trunk" / "nothing").write_text("x", encoding="utf-8")
    with pytest.raises(FormatError, match="was changed after it was saved"):
        new_model(settings, SINGLE)


def test_vectors_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, y = rows(MULTI)
    whole = model(MULTI).fit(inputs, y).predict_proba(inputs)
    monkeypatch.setattr(frozen, "_TEXTS", 7)
    assert np.allclose(model(MULTI).fit(inputs, y).predict_proba(inputs), whole, atol=1e-5)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_the_regression_is_the_one_of_the_textbook(kind: Any) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    z = x @ rng.normal(size=(6, 3))
    if kind == "multiclass":
        y = np.eye(3, dtype=np.float32)[(z + rng.gumbel(size=z.shape)).argmax(1)]
    else:
        y = (z + rng.logistic(size=z.shape) > 0).astype(np.float32)
    penalty = 5.0
    found = dense.fit(x, y, kind, penalty, steps=2000)
    if kind == "multiclass":
        other = LogisticRegression(C=1 / penalty, max_iter=2000, tol=1e-8).fit(x, y.argmax(1))
        p = np.exp(found.logits(x))
        assert np.allclose(p / p.sum(1, keepdims=True), other.predict_proba(x), atol=2e-3)
    else:
        for column in range(3):
            other = LogisticRegression(C=1 / penalty, max_iter=2000, tol=1e-8).fit(x, y[:, column])
            assert np.allclose(found.weights[:, column], other.coef_[0], atol=5e-3)
            assert np.allclose(found.bias[column], other.intercept_[0], atol=5e-3)


def test_the_penalty_is_the_one_that_unseen_rows_prefer() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 40)).astype(np.float32)
    noise = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 300)]
    _, _, strong = dense.fit_folds(x, noise, "multiclass", np.arange(300) % 5)
    assert strong >= 100
    clear = np.eye(2, dtype=np.float32)[(x[:, 0] > 0).astype(int)]
    _, z, weak = dense.fit_folds(x, clear, "multiclass", np.arange(300) % 5)
    assert weak < strong
    assert (z.argmax(1) == clear.argmax(1)).mean() > 0.9
