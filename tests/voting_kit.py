"""Rows, members and files that the tests of ``maeum.voting`` are made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset, Example
from maeum.models.linear import LinearClassifier
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("중립"), Label("긍정")))
CUES = ("신나고 기분 좋은 소식", "서러워 눈물이 고인다", "어이없고 짜증이 치민다")
FILLER = ("오늘", "골목", "우산", "점심", "버스", "화분", "저녁", "이웃", "주말", "전화", "시장", "커피")


def make_data(task: Task = MULTI, n: int = 120, seed: int = 3, prefix: str = "r") -> Dataset:
    rng = np.random.default_rng(seed)
    rows = []
    for row in range(n):
        on = {row % 3} | ({(row + 1) % 3} if task.kind == "multilabel" and row % 5 == 0 else set())
        words = [*rng.choice(FILLER, 3), *(CUES[label] for label in sorted(on)), f"{seed}{row}"]
        rows.append(Example(f"{prefix}{row}", " ".join(words), labels=tuple(task.keys[i] for i in sorted(on))))
    return Dataset(task, rows, source="made up")


def tiny(task: Task, *, seed: int = 1, clean: str = "default", n: int = 60, **more: object) -> Analyzer:
    data = make_data(task, n, seed)
    prep = TextPrep.named(clean)
    inputs = [prep.prepare_input(item) for item in data.inputs]
    return Analyzer(LinearClassifier(task, seed=seed).fit(inputs, data.y), prep=prep, **more)  # type: ignore[arg-type]


def table(task: Task, y: np.ndarray, proba: np.ndarray, ids: list[str] | None = None) -> OutOfFold:
    n = len(y)
    return OutOfFold(task, tuple(ids or [f"r{i:04d}" for i in range(n)]), y, proba.astype(np.float32), np.arange(n) % 4)


def gold(n: int, task: Task = MULTI, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if task.kind == "multiclass":
        return np.eye(len(task), dtype=np.uint8)[rng.integers(len(task), size=n)]
    return (rng.random((n, len(task))) < 0.35).astype(np.uint8)


def noisy(y: np.ndarray, noise: float, seed: int, task: Task = MULTI) -> np.ndarray:
    """Probabilities that know ``y`` through this much noise, about calibrated."""
    rng = np.random.default_rng(seed)
    logit = (y * 2.0 - 1) / noise**2 * 2 + rng.normal(size=y.shape) * 2 / noise
    if task.kind == "multiclass":
        p = np.exp(logit - logit.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)
    return 1 / (1 + np.exp(-logit))


def rule(*values: float, empty: str = "none") -> Thresholds:
    return Thresholds(MULTI.keys, values, empty=empty)  # type: ignore[arg-type]


def write_file(path: Path, data: Dataset, proba: np.ndarray, labels: np.ndarray | None = None) -> Path:
    lines = []
    for row, example in enumerate(data):
        item: dict[str, object] = {"id": example.id, "text": example.text, "target": example.to_dict()["target"]}
        if labels is not None:
            item["labels"] = list(data.task.decode(labels[row]))
        item["scores"] = dict(zip(data.task.keys, map(float, proba[row]), strict=True))
        lines.append(json.dumps(item, ensure_ascii=False))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
