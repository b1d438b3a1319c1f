"""What models say of texts, as plain data: the same as the library says, in the shapes of the dialects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.formats import PredictionRow
from maeum.models.base import Grades
from maeum.serving.strictjson import short
from maeum.task import Kind, Task
from maeum.text import TextPrep

Function = Literal["sigmoid", "softmax", "none"]
_EDGE = 1e-7
"""Probabilities are kept this far from 0 and 1 before their log-odds are taken: about the last step of a float32."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one head says of one text."""

    task: Task
    labels: tuple[str, ...]
    scores: Sequence[float]
    """Probabilities in task order, as short as a float32 can be written."""
    aspects: tuple[Mapping[str, Any], ...] | None

    def by_label(self) -> dict[str, float]:
        """Probability of every label, in task order."""
        return dict(zip(self.task.keys, self.scores, strict=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the heads asked say of one text, in their order."""

    input: Input
    parts: tuple[Part, ...]


def answers(heads: Mapping[str, Analyzer], inputs: Sequence[Input]) -> list[Answer]:
    """What heads say of texts: all of one preparation are asked the same list, which what they share reads once."""
    prepared: dict[TextPrep, list[Input]] = {}
    for head in heads.values():
        if head.prep not in prepared:
            prepared[head.prep] = head.prepare(inputs)
    columns = [_parts(head, inputs, prepared[head.prep]) for head in heads.values()]
    return [Answer(item, tuple(column[row] for column in columns)) for row, item in enumerate(inputs)]


def _parts(head: Analyzer, inputs: Sequence[Input], prepared: Sequence[Input]) -> list[Part]:
    proba = head.predict_prepared(prepared)
    decided = head.decide(proba)
    graded = head.grade(inputs, decided, proba) if isinstance(head.predictor, Grades) else None
    keys = head.task.keys
    labels: list[list[str]] = [[] for _ in inputs]
    for row, column in np.argwhere(decided).tolist():
        labels[row].append(keys[column])
    scores = short(proba).tolist()
    return [
        Part(head.task, tuple(labels[row]), scores[row], None if graded is None else graded[row])
        for row in range(len(inputs))
    ]


# -- shapes ---------------------------------------------------------------------------------------------------


def emotions(answer: Answer) -> dict[str, Any]:
    """As ``maeum analyze --json`` has it; and the target, where one was given."""
    first, target = answer.parts[0], answer.input.target
    result: dict[str, Any] = {"text": answer.input.text}
    if target is not None:
        result["target"] = target.to_dict()
    result["labels"] = list(first.labels)
    result["scores"] = {part.task.name: part.by_label() for part in answer.parts}
    if len(answer.parts) > 1:
        result["labels_by_task"] = {part.task.name: list(part.labels) for part in answer.parts}
    if first.aspects is not None:
        result["aspects"] = [dict(aspect) for aspect in first.aspects]
    return result


def review(answer: Answer, words: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Aspects and grades of a review.

    Args:
        words: aspect → ``{"evidence", "sentiment_evidence"}``, if they were asked for.
    """
    part = answer.parts[0]
    aspects = [dict(aspect) for aspect in part.aspects or ()]
    if words is not None:
        aspects = [{**aspect, **words.get(aspect["aspect"], _NO_WORDS)} for aspect in aspects]
    return {"text": answer.input.text, "labels": list(part.labels), "scores": part.by_label(), "aspects": aspects}


_NO_WORDS: Mapping[str, Any] = {"evidence": [], "sentiment_evidence": []}


def prediction(row_id: str, answer: Answer) -> PredictionRow:
    """A row of our predictions JSONL."""
    part = answer.parts[0]
    return PredictionRow(row_id, answer.input.text, answer.input.target, part.labels, part.by_label(), part.aspects)


def ranked(answer: Answer, function: Function | None, top: int | None) -> list[dict[str, Any]]:
    """Labels and scores in the Hugging Face form, the highest score first; equal ones in task order.

    Args:
        function: ``none``: log-odds (log-probabilities where labels exclude each other); ``sigmoid`` or ``softmax`` of
            these. None: the probabilities as they are.
    """
    part = answer.parts[0]
    scores = part.scores if function is None else _applied(np.array(part.scores), part.task.kind, function).tolist()
    pairs = sorted(zip(part.task.keys, scores, strict=True), key=lambda pair: -pair[1])
    return [{"label": key, "score": score} for key, score in pairs[:top]]


def _applied(proba: NDArray[np.float64], kind: Kind, function: Function) -> NDArray[np.float64]:
    p = np.clip(proba, _EDGE, 1 - _EDGE)
    z: NDArray[np.float64] = np.log(p) if kind == "multiclass" else np.log(p) - np.log1p(-p)
    if function == "sigmoid":
        z = 1 / (1 + np.exp(-z))
    elif function == "softmax":
        e = np.exp(z - z.max())
        z = e / e.sum()
    return z.round(6)


def tensors(found: Sequence[Answer], wanted: Sequence[str] | None) -> list[dict[str, Any]]:
    """Output tensors of the Open Inference Protocol; ``wanted``: their names, None for all."""
    task = found[0].parts[0].task
    n, k = len(found), len(task)
    made = {
        "scores": {"datatype": "FP32", "shape": [n, k], "data": [s for item in found for s in item.parts[0].scores]},
        "label_names": {"datatype": "BYTES", "shape": [k], "data": list(task.keys)},
        "labels": {
            "datatype": "BYTES",
            "shape": [n],
            "data": [json.dumps(item.parts[0].labels, ensure_ascii=False) for item in found],
        },
    }
    return [{"name": name, **made[name]} for name in (made if wanted is None else wanted)]


TENSORS = ("scores", "label_names", "labels")
"""Names of the output tensors."""
