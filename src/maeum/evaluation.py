"""Judging: a model or a predictions file against labelled rows, also across label sets.

Whatever gives the probabilities, the same decision rule and the same report follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum import folder
from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset, Example
from maeum.errors import UsageError
from maeum.formats import Predictions, align, read_predictions, scores_fit
from maeum.models.base import Proba
from maeum.report import Report, make_report
from maeum.task import Task, builtin_task, builtin_task_names
from maeum.taxonomy import LabelMap, find_map
from maeum.thresholds import Thresholds, tune_thresholds


@dataclass(frozen=True)
class Scored:
    """Probabilities for the rows of a data set, and the decision rule that goes with them."""

    data: Dataset
    task: Task
    """The task of the probabilities; the data may be of another one."""
    proba: Proba
    """(n, k) in ``task.keys`` order, one row per row of ``data``."""
    thresholds: Thresholds
    model: str
    """Where they came from, in words."""
    train_support: Sequence[int] | None = None
    notes: tuple[str, ...] = ()
    seen: str = ""
    """Fingerprint of the rows the model was trained on, if known."""
    extra: dict[str, Any] = field(default_factory=dict)
    grades: tuple[Mapping[str, str], ...] | None = None
    """Predictions of an aspect task: for each row the aspects decided on, with their grades. They, and not the thresholds,
    are the decisions then. None where there are no grades, or where a model gives them (``maeum.reviews``)."""
    decided: NDArray[np.uint8] | None = None
    """(n, k) the labels that a predictions file says were decided on; None where the thresholds decide."""


def score_model(analyzer: Analyzer, data: Dataset, *, name: str = "") -> Scored:
    """Probabilities of a model for every row."""
    train = analyzer.about.get("train") or {}
    support = train.get("support")
    return Scored(
        data,
        analyzer.task,
        analyzer.predict_proba(data),
        analyzer.thresholds,
        name or analyzer.predictor.kind,
        [int(support.get(key, 0)) for key in analyzer.task.keys] if support else None,
        seen=str(train.get("fingerprint", "")),
        extra={"train": train} if train else {},
    )


def score_out_of_fold(model: str | Path, *, task: str | None = None) -> Scored:
    """The training rows of a model folder with the probabilities of its folds that did not see them; without texts.

    Args:
        model: the folder.
        task: name of the head, where it holds several.

    Raises:
        FormatError: the folder keeps no such probabilities.
    """
    path = folder.embedded(model)
    analyzer = folder.load(path, task=task)
    oof = OutOfFold.load(path / folder.head_folder(path, task), analyzer.task)
    rows = (Example(key, "", labels=analyzer.task.decode(y)) for key, y in zip(oof.ids, oof.y, strict=True))
    data = Dataset(analyzer.task, rows, source="out-of-fold")
    return Scored(data, analyzer.task, analyzer.calibration.apply(oof.proba), analyzer.thresholds, str(model))


def score_predictions(path: str | Path, data: Dataset, *, thresholds: Thresholds | None = None) -> Scored:
    """Probabilities of a predictions file (ours, or seed 000's ``*_predict.json``) for the rows it is about.

    Args:
        path: the file.
        data: rows to match by id, by text and target, or by order, whichever holds for all rows.
        thresholds: the decision rule; without one, the labels that the file says were decided on (by the model's own
            thresholds), if every row has them, else 0.5 (or the most probable label). Of an aspect task the aspects that
            the file gives a grade are the decisions; thresholds may only take some of them away.

    Raises:
        UsageError: the thresholds decide on an aspect that the file has no grade for.
    """
    predictions = read_predictions(path, data.task)
    matched = align(predictions, data)
    notes = [
        say(
            f"예측과 데이터를 {matched.rule} 기준으로 맞췄습니다.",
            f"predictions were matched to rows by {matched.rule}",
        )
    ]
    grades = decided = None
    if data.task.kind == "aspect":
        found = _predicted_grades(predictions, thresholds)
        grades = None if found is None else tuple(found[row] for row in matched.rows)
        notes.append(_graded_note(grades is not None))
    if grades is None:
        if thresholds is None and predictions.labels is not None:
            decided = np.array([data.task.encode(predictions.labels[row]) for row in matched.rows], np.uint8)
        notes.append(_decided_note(data.task, decided is not None, thresholds))
    return Scored(
        data,
        data.task,
        predictions.scores[matched.rows],
        thresholds or Thresholds.default(data.task),
        str(path),
        notes=tuple(notes),
        grades=grades,
        decided=decided,
    )


def _decided_note(task: Task, own: bool, thresholds: Thresholds | None) -> str:
    """What decided on the labels of a predictions file."""
    if own:
        return say("예측 파일에 적힌 라벨을 판정으로 썼습니다.", "the labels that the file holds are the decisions")
    if thresholds is not None:
        return say(
            "따로 준 기준값으로 예측 파일의 확률을 판정했습니다.", "the thresholds given decided on the file's scores"
        )
    if task.kind == "multiclass":
        return say(
            "예측 파일에 라벨이 없는 행이 있어 확률이 가장 높은 라벨을 판정으로 썼습니다.",
            "not every row of the file has labels, so the most probable label was decided on",
        )
    return say(
        "예측 파일에 라벨이 없는 행이 있어 기준값 0.5로 판정했습니다.",
        "not every row of the file has labels, so a threshold of 0.5 decided",
    )


def _predicted_grades(predictions: Predictions, thresholds: Thresholds | None) -> list[dict[str, str]] | None:
    """Aspect → grade of each row of a file; None if it has no grades."""
    labels = predictions.labels
    if thresholds is not None or labels is None:
        rule = thresholds or Thresholds.default(predictions.task)
        labels = tuple(predictions.task.decode(on) for on in rule.decide(predictions.scores))
    graded = predictions.graded(labels)
    return None if graded is None else [{item["aspect"]: item["sentiment"] for item in row} for row in graded]


def _graded_note(graded: bool) -> str:
    if graded:
        return say(
            "예측 파일에는 찾은 속성의 감성만 있으므로, 감성은 사람도 달고 파일도 찾은 속성에서만 쟀습니다.",
            "the file has grades only for aspects that were found, so grades were judged on those that people gave too",
        )
    return say("예측 파일에 감성이 없어 속성만 쟀습니다.", "the file has no grades, so only the aspects were judged")


def judge(scored: Scored) -> Report:
    """The report of scored rows.

    Where the rows are of another task than the model, its decisions are mapped by the taxonomy and the notes say
    which labels are lossy or missing.

    Raises:
        UsageError: no row is labelled.
        TaskMismatch: there is no map between the two tasks.
    """
    data = scored.data
    if not data.is_labelled:
        raise UsageError(
            "평가하려면 모든 행에 라벨이 있어야 합니다.",
            "every row must be labelled to be evaluated",
        )
    if data.task.keys != scored.task.keys:
        return _judge_mapped(scored, find_map(scored.task, data.task))
    notes = list(scored.notes)
    if scored.seen and scored.seen == data.fingerprint:
        notes.append(
            say(
                "이 행들로 학습한 모델입니다. 점수는 처음 보는 글에서보다 높습니다.",
                "the model was trained on these very rows; the scores are higher than on new texts",
            )
        )
    return make_report(
        data.task,
        data.y,
        scored.proba,
        scored.thresholds,
        decided=_decided(scored),
        data=data.source,
        model=scored.model,
        train_support=scored.train_support,
        notes=notes,
        tuned_on_same_rows=data.fingerprint in scored.thresholds.tuned_on,
        extra={**scored.extra, "data": {"rows": len(data), "fingerprint": data.fingerprint}},
    )


def _decided(scored: Scored) -> NDArray[np.uint8] | None:
    """(n, k) the labels that a predictions file decided on; None where the thresholds decide."""
    if scored.grades is None:
        return scored.decided
    return np.array([scored.task.encode(row) for row in scored.grades], np.uint8)


def _judge_mapped(scored: Scored, label_map: LabelMap) -> Report:
    data = scored.data
    proba = label_map.map_proba(scored.proba)
    decided: NDArray[np.uint8] | None = None
    if data.task.kind != "multiclass":
        decided = label_map.map_decisions(scored.thresholds.decide(scored.proba))
    note = say(
        f"과제 '{scored.task.name}'의 답을 '{data.task.name}'(으)로 옮겨 쟀습니다. 의미가 바뀌는 라벨은 아래 표에 있습니다.",
        f"answers of task '{scored.task.name}' were mapped to '{data.task.name}'; the table says where meaning shifts",
    )
    return make_report(
        data.task,
        data.y,
        proba,
        Thresholds.default(data.task),
        decided=decided,
        data=data.source,
        model=scored.model,
        notes=[*scored.notes, note],
        extra={**scored.extra, "taxonomy": taxonomy_table(label_map)},
    )


def taxonomy_table(label_map: LabelMap) -> dict[str, Any]:
    """How the labels of a map correspond, as plain data for a report."""
    return {
        "source": label_map.source.name,
        "target": label_map.target.name,
        "rows": label_map.rows(),
        "coverage": {key: str(value) for key, value in label_map.coverage().items()},
    }


def retune(scored: Scored, *, objective: str, shrinkage: float, empty: Any = "auto", seed: int = 0) -> Thresholds:
    """Thresholds that maximise an objective on scored rows; they remember which rows those were.

    Raises:
        UsageError: the rows are not labelled, or of another task.
    """
    data = scored.data
    if data.task.keys != scored.task.keys:
        raise UsageError(
            f"기준값은 같은 과제의 데이터로 찾아야 합니다(모델 '{scored.task.name}', 데이터 '{data.task.name}').",
            f"thresholds need rows of the model's own task ('{scored.task.name}'), got '{data.task.name}'",
        )
    return tune_thresholds(
        data.y,
        scored.proba,
        scored.task,
        objective=objective,
        shrinkage=shrinkage,
        empty=empty,
        tuned_on=f"{data.source or 'rows'}: {len(data)} rows, fingerprint {data.fingerprint}",
        resamples=100,
        seed=seed,
    )


def predictions_task(path: str | Path) -> Task:
    """The built-in task whose labels a predictions file scores: the one with the most labels of those its first row fits.

    Raises:
        UsageError: no built-in task fits.
        DataError: the file cannot be read.
    """
    fitting = [task for task in map(builtin_task, builtin_task_names()) if scores_fit(path, task)]
    if not fitting:
        raise UsageError(
            f"'{path}'의 점수가 어느 내장 과제의 것인지 알 수 없습니다. --task를 주세요.",
            f"the scores in '{path}' fit no built-in task; give --task",
        )
    return max(fitting, key=len)
