"""Every loss can be learnt with: a tiny encoder knows thirty-two sentences by heart."""

from __future__ import annotations

import numpy as np
import pytest

from maeum.data import Input
from maeum.models.encoder import EncoderClassifier
from maeum.task import Label, Task

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

MULTI = Task("multi", "multilabel", (Label("좋음"), Label("놀람"), Label("드묾")))
SINGLE = Task("single", "multiclass", (Label("나쁨"), Label("그저 그럼"), Label("좋음")))
WHAT = ["배송", "가격", "품질", "포장", "상담", "화면", "소리", "디자인"]
HOW = ["정말 마음에 들어요", "생각보다 별로라서 속상했어요", "그냥 그래요", "기대하지 않았는데 깜짝 놀랐어요"]
TEXTS = [f"{what} {how}" for what in WHAT for how in HOW]


def labels(task: Task) -> np.ndarray:
    kind = np.arange(len(TEXTS)) % 4
    if task is SINGLE:
        return np.eye(3, dtype=np.uint8)[np.array([2, 0, 1, 2])[kind]]
    return np.stack([(kind == 0) | (kind == 3), kind == 3, np.arange(len(TEXTS)) == 5], axis=1).astype(np.uint8)


@pytest.mark.parametrize(
    ("task", "loss", "more"),
    [
        (MULTI, "bce", {}),
        (MULTI, "bce", {"pos_weight": "balanced"}),
        (MULTI, "bce", {"label_smoothing": 0.1}),
        (MULTI, "focal", {}),
        (MULTI, "focal", {"alpha": 0.25, "gamma": 1.0}),
        (MULTI, "asl", {}),
        (MULTI, "asl", {"gamma_neg": 2.0, "loss_clip": 0.0}),
        (MULTI, "asl-seed001", {}),
        (SINGLE, "ce", {}),
        (SINGLE, "ce", {"class_weight": "balanced", "label_smoothing": 0.1}),
        (SINGLE, "focal", {}),
    ],
    ids=lambda value: getattr(value, "name", None) or (str(value) if value else "default"),
)
def test_every_loss_learns_thirty_two_sentences_by_heart(tiny_base, task, loss, more):
    y = labels(task)
    rates = {"learning_rate": 3e-3, "head_learning_rate": 2e-2, "warmup": 0.3, "weight_decay": 0.0}
    settings = {"head": "mean", "device": "cpu", "dropout": 0.0, "batch_size": 16, "epochs": 80.0, "max_length": 32}
    options = {"loss": loss, "precision": "fp32", **settings, **rates, **more}
    base = str(tiny_base("klue-bert", easy=True))
    model = EncoderClassifier.of(base, task, seed=1, options=options).fit([Input(text) for text in TEXTS], y)
    proba = model.predict_proba([Input(text) for text in TEXTS])
    if task is SINGLE:
        assert np.array_equal(proba.argmax(1), y.argmax(1))
    else:
        # losses that weigh positives and negatives differently have their threshold elsewhere
        for column, gold in zip(proba.T, y.T, strict=True):
            assert column[gold == 1].min() > column[gold == 0].max()
