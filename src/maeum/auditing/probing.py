"""Out-of-fold probabilities for the rows of an audit: from training now, or from a model folder trained on these rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum import folder
from maeum._lang import say
from maeum._progress import Line
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset
from maeum.errors import TaskMismatch, UsageError
from maeum.experiment import MIN_TRAIN_ROWS, TrainSettings, fit
from maeum.models.base import Labels, Proba
from maeum.reviews import aspect_rows, sentiment_rows
from maeum.splits import duplicate_groups
from maeum.thresholds import Thresholds


@dataclass(frozen=True)
class Probed:
    """What a model that never saw a row says of it, for all rows of one question."""

    rows: Dataset
    y: Labels
    proba: Proba
    """(n, k), calibrated."""
    decided: NDArray[np.uint8]
    """(n, k) by thresholds tuned on these probabilities."""
    analyzer: Analyzer | None
    """A model trained on all rows, where there is one."""
    notes: tuple[str, ...] = ()


def train_settings(model: str, *, folds: int | None, seed: int, options: Mapping[str, Any]) -> TrainSettings:
    """Settings under which every row is held out once."""
    quick = TrainSettings(model=model).is_quick
    # a model that trains long would hold out one part only; here all rows must be judged
    return TrainSettings(
        model=model,
        folds=folds or (None if quick else 5),
        keep="refit" if quick else None,
        seed=seed,
        split_seed=seed,
        model_options=dict(options),
    )


def probe(data: Dataset, settings: TrainSettings, *, work: Path | None, progress: Line) -> dict[str, Probed]:
    """Train by cross-validation; one entry for each question: ``labels``, or ``aspects`` and ``sentiment``."""
    questions = questions_of(data)
    found = {}
    for name, rows in questions.items():
        if name == "sentiment" and not _is_learnable(rows):
            continue
        if len(questions) > 1:
            progress(say(f"단계: {name}", f"stage: {name}"))
        place = None if work is None else work / name
        result = fit(rows, valid=None, settings=settings, work=place, overwrite=False, progress=progress)
        found[name] = _probed(rows, result.oof, result.analyzer, result.report.notes)
    return found


def recall(data: Dataset, path: str | Path) -> dict[str, Probed]:
    """The out-of-fold probabilities that a model folder keeps of its training rows.

    Raises:
        UsageError: it was trained on other rows, or held out only some of them.
        TaskMismatch: it is of another task.
        FormatError: it keeps no such probabilities.
    """
    names = folder.head_names(path)
    place = folder.embedded(path)
    head = data.task.name if data.task.name in names else None
    analyzer = folder.load(place, task=head)
    if analyzer.task.fingerprint != data.task.fingerprint:
        raise TaskMismatch(
            f"'{path}'의 과제 '{analyzer.task.name}'가 데이터의 과제 '{data.task.name}'와 다릅니다.",
            f"'{path}' is of task '{analyzer.task.name}', the data of '{data.task.name}'",
        )
    oof = OutOfFold.load(place / folder.head_folder(place, head), analyzer.task)
    by_id = {example.id: row for row, example in enumerate(data)}
    rows = [by_id[name] for name in oof.ids if name in by_id]
    part = data.select(rows)
    trained_on = str((analyzer.about.get("train") or {}).get("fingerprint", ""))
    if len(rows) < len(oof.ids) or part.fingerprint != trained_on or len(part) < len(data):
        raise UsageError(
            f"'{path}'의 교차 검증 확률은 이 데이터의 것이 아닙니다(확률 {len(oof.ids)}행, 데이터 {len(data)}행, 같은 id "
            f"{len(rows)}행). 같은 파일을 통째로 --folds와 함께 학습한 폴더를 주거나, --oof 없이 --model로 새로 학습하세요.",
            f"the out-of-fold probabilities in '{path}' are not those of this data ({len(oof.ids)} rows there, {len(data)} "
            f"here, {len(rows)} ids in common); give a folder that was trained on the whole of this file, or train anew "
            "with --model instead of --oof",
        )
    rows_of = questions_of(part)
    name = next(iter(rows_of))
    note: tuple[str, ...] = ()
    if name == "aspects":
        note = (
            say(
                "모델 폴더에는 감성의 확률이 없어 속성만 보았습니다.",
                "the folder keeps no grades: only aspects were audited",
            ),
        )
    return {name: _probed(rows_of[name], oof, analyzer, note, calibrated=name == "aspects")}


def questions_of(data: Dataset) -> dict[str, Dataset]:
    """What is asked of the rows: of an aspect task first the aspects, then the grade of each."""
    if data.task.kind != "aspect":
        return {"labels": data}
    return {"aspects": aspect_rows(data), "sentiment": sentiment_rows(data)}


def _probed(
    rows: Dataset, oof: OutOfFold, analyzer: Analyzer, notes: tuple[str, ...], *, calibrated: bool = False
) -> Probed:
    proba = oof.proba if calibrated else analyzer.calibration.apply(oof.proba)
    thresholds: Thresholds = analyzer.thresholds
    return Probed(rows, rows.y, proba, thresholds.decide(proba), analyzer, tuple(notes))


def _is_learnable(rows: Dataset) -> bool:
    """Whether grades can be learnt at all: enough texts, and more than one grade."""
    return (
        len(set(duplicate_groups(rows.texts).tolist())) >= MIN_TRAIN_ROWS and int(np.count_nonzero(rows.y.any(0))) > 1
    )
