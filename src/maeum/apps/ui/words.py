"""Names of tasks, labels and models as people read them, in the language in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from maeum._lang import language, say
from maeum.task import Label, Task

_TASKS: dict[str, tuple[str, str]] = {
    "kote": ("감정 44가지", "44 emotions"),
    "nikl-ea": ("기본 감정 8가지", "8 basic emotions"),
    "goemotions": ("감정 28가지", "28 emotions"),
    "nsmc": ("긍정·부정", "positive / negative"),
    "sentiment": ("긍정·중립·부정", "three sentiments"),
    "aihub-7": ("감정 7가지", "7 emotions"),
    "aihub-dialogue-6": ("감정 6가지", "6 emotions"),
    "review-fashion": ("패션 후기", "fashion reviews"),
}


def task_name(task: Task) -> str:
    """A short name of a task; of one that people made its own name."""
    pair = _TASKS.get(task.name)
    return f"{say(*pair)} · {task.name}" if pair else task.name


def label_name(label: Label) -> str:
    """A label."""
    return label.name(language())


def label_names(task: Task) -> Mapping[str, str]:
    """Key → name of all labels."""
    return {label.key: label_name(label) for label in task.labels}


def grade_names(task: Task) -> Mapping[str, str]:
    """Key → name of the grades of an aspect task."""
    return {label.key: label_name(label) for label in task.sentiments}


def short_names(paths: Sequence[str]) -> Mapping[str, str]:
    """Model folder → the last parts of its path, as many as tell the folders apart."""
    parts = {path: PurePath(path).parts or (path,) for path in paths}
    depth = 1
    while depth < max(map(len, parts.values())) and len({each[-depth:] for each in parts.values()}) < len(parts):
        depth += 1
    return {path: "/".join(each[-depth:]) for path, each in parts.items()}


def model_kind(kind: str) -> str:
    """What kind of model it is."""
    known = {
        "linear": ("선형 모델", "linear model"),
        "encoder": ("인코더", "encoder"),
        "frozen": ("고정된 인코더", "frozen encoder"),
        "decoder": ("언어 모델", "language model"),
        "decoder-cls": ("언어 모델 분류기", "language model classifier"),
        "onnx": ("ONNX 모델", "ONNX model"),
        "onnx-linear": ("ONNX 선형 모델", "ONNX linear model"),
        "mean": ("평균 모델", "mean of models"),
        "vote": ("투표 모델", "voting model"),
        "review": ("리뷰 모델", "review model"),
        "head": ("과제 하나의 머리", "one head of several"),
        "many-heads": ("과제가 여럿인 모델", "several heads"),
    }
    return say(*known[kind]) if kind in known else kind
