"""Training a review model: a run for the aspects, a run for their grades, one model folder.

Both runs are those of ``maeum.experiment``: held-out rows for thresholds and calibration, folds grouped by text, exact
resume. Settings whose names begin with ``aspects.`` or ``sentiment.`` are for that stage only.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maeum._files import refuse_existing
from maeum._lang import say
from maeum._processes import is_main_process, wait_for_all
from maeum._progress import Line
from maeum.analyzer import Analyzer
from maeum.data import Dataset
from maeum.errors import TaskMismatch, UsageError
from maeum.experiment import MIN_TRAIN_ROWS, RunResult, TrainSettings, fit, new_model, save_run
from maeum.reviews import card
from maeum.reviews.predictor import ReviewPredictor
from maeum.reviews.scoring import with_review_scores
from maeum.reviews.stages import aspect_rows, disputed, sentiment_rows
from maeum.splits import duplicate_groups, holdout
from maeum.text import TextPrep

STAGES = ("aspects", "sentiment")


def train(
    data: Dataset,
    *,
    valid: Dataset | float | None = None,
    settings: TrainSettings | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> RunResult:
    """Train both stages of an aspect task; arguments and errors as of ``maeum.experiment.train``.

    The report is that of the aspects; its ``extra`` holds the grades' (``sentiment``) and, where there are rows to judge
    on, the scores of both together (``review``).
    """
    settings = settings or TrainSettings()
    if output is not None:
        refuse_existing(Path(output), overwrite=overwrite)
    if isinstance(valid, Dataset) and valid.task.fingerprint != data.task.fingerprint:
        raise TaskMismatch(
            f"평가 데이터의 과제 '{valid.task.name}'가 학습 데이터의 과제 '{data.task.name}'와 다릅니다.",
            f"the valid rows are of task '{valid.task.name}', the training rows of '{data.task.name}'",
        )
    rows, judge = _split(data.labelled(), valid, settings.split_seed)
    work = None if output is None or settings.is_quick else Path(f"{output}.partial")
    made = {"aspects": aspect_rows(rows), "sentiment": sentiment_rows(rows)}
    judged = {} if judge is None else {"aspects": aspect_rows(judge), "sentiment": sentiment_rows(judge)}
    of_stage = {stage: _of_stage(settings, stage) for stage in STAGES}
    # what would stop the second stage is said before the first is trained, which may take hours
    for stage in STAGES:
        new_model(of_stage[stage], made[stage].task)
    _refuse_ungraded(made["sentiment"], of_stage["sentiment"])
    if judge is not None and not len(judge.labelled()):
        raise UsageError("평가 데이터에 라벨이 있는 행이 없습니다.", "no row of the valid data is labelled")
    results: dict[str, RunResult] = {}
    for stage in STAGES:
        progress(say(f"단계: {_NAMES[stage][0]}", f"stage: {_NAMES[stage][1]}"))
        results[stage] = fit(
            made[stage],
            # rows that mention no aspect have no grade to judge
            valid=judged.get(stage) or None,
            settings=of_stage[stage],
            work=work and work / stage,
            overwrite=overwrite,
            progress=progress,
        )
    result = _joined(data, rows, judge, results)
    if output is not None and is_main_process():
        progress(say("저장", "saving"))
        save_run(result, Path(output), overwrite=overwrite, section=card.section(result.analyzer, result.report))
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    wait_for_all()
    return result


_NAMES = {"aspects": ("속성", "aspects"), "sentiment": ("속성마다 감성", "the grade of each aspect")}


def _split(data: Dataset, valid: Dataset | float | None, seed: int) -> tuple[Dataset, Dataset | None]:
    """The rows split once, so that both stages judge on the same texts."""
    if valid is None or isinstance(valid, Dataset):
        return data, valid
    train_rows, held = holdout(data.y, duplicate_groups(data.texts), fraction=float(valid), seed=seed)
    return data.select(train_rows), data.select(held)


def _refuse_ungraded(rows: Dataset, settings: TrainSettings) -> None:
    """Refuse rows that the second stage cannot learn from.

    Raises:
        UsageError: too few texts whose aspects are graded, or the same grade everywhere.
    """
    distinct = len(set(duplicate_groups(rows.texts).tolist()))
    needed = max(MIN_TRAIN_ROWS, 2 * (settings.folds or 0))
    if distinct < needed:
        raise UsageError(
            f"속성과 감성이 달린 서로 다른 글이 {distinct}개뿐입니다. 적어도 {needed}개 필요합니다.",
            f"there are only {distinct} distinct texts with a graded aspect; training needs at least {needed}",
        )
    if np.count_nonzero(rows.y.any(0)) < 2:
        raise UsageError(
            "학습 데이터의 감성이 한 가지뿐이라 배울 것이 없습니다.",
            "all aspects of the training rows have the same grade, so there is nothing to learn",
        )


def _of_stage(settings: TrainSettings, stage: str) -> TrainSettings:
    """The settings of a stage: ``sentiment.epochs`` beats ``epochs`` in the stage ``sentiment``.

    In a TOML file ``sentiment.epochs = 2`` is a table in a table, and means the same.
    """
    common: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in settings.model_options.items():
        if name in STAGES and isinstance(value, Mapping):
            own |= {word.replace("-", "_"): inner for word, inner in value.items()} if name == stage else {}
            continue
        prefix, dot, rest = name.partition(".")
        if dot and prefix in STAGES:
            own |= {rest: value} if prefix == stage else {}
        else:
            common[name] = value
    # a shop wants few wrong aspects rather than every rare one: an aspect that the model cannot tell is better left out
    objective = settings.objective or ("micro-f1" if stage == "aspects" else None)
    return dataclasses.replace(settings, model_options=common | own, objective=objective)


def _joined(data: Dataset, rows: Dataset, judge: Dataset | None, results: Mapping[str, RunResult]) -> RunResult:
    aspects, sentiment = (results[stage] for stage in STAGES)
    notes = [*aspects.report.notes]
    if missing := len(data) - len(data.labelled()):
        notes.append(say(f"라벨이 없는 {missing}행은 뺐습니다.", f"{missing} rows without labels were left out"))
    notes += (
        say(f"감성: {note}", f"grades: {note}") for note in sentiment.report.notes if note not in aspects.report.notes
    )
    if judge is not None and not len(sentiment_rows(judge)):
        notes.append(
            say(
                "평가 행에 속성이 하나도 없어, 감성은 학습 데이터의 교차 검증 확률로 쟀습니다.",
                "the valid rows mention no aspect, so the grades were judged on out-of-fold rows of the training data",
            )
        )
    if twice := disputed(data):
        notes.append(
            say(
                f"같은 속성에 서로 다른 감성이 달린 경우 {twice}번은 더 많은(같으면 앞선) 쪽으로 배웠습니다.",
                f"{twice} aspects of a text are graded twice and differently; the grade given more often counts, or the first",
            )
        )
    model = ReviewPredictor(data.task, aspects.analyzer, sentiment.analyzer)
    about = {
        **aspects.analyzer.about,
        # by these evaluate knows the rows again, which are those of the whole task
        "train": {**aspects.analyzer.about["train"], "fingerprint": rows.fingerprint},
        "valid": judge and {"source": judge.source, "rows": len(judge), "fingerprint": judge.fingerprint},
        "stages": {stage: results[stage].analyzer.about for stage in STAGES},
        "notes": notes,
    }
    thresholds = aspects.analyzer.thresholds
    analyzer = Analyzer(model, prep=TextPrep.named("raw"), thresholds=thresholds, about=about)
    report = dataclasses.replace(aspects.report, notes=tuple(notes)).with_extra(
        sentiment=dict(sentiment.report.metrics)
    )
    if judge is not None:
        report = with_review_scores(report, analyzer, judge.labelled())
    seconds = {f"{stage}/{name}": value for stage in STAGES for name, value in results[stage].seconds.items()}
    history = [{"stage": stage, **row} for stage in STAGES for row in results[stage].history]
    # thresholds are tuned on what the analyzer gives, and the stage's calibration is inside of it
    proba = aspects.analyzer.calibration.apply(aspects.oof.proba)
    oof = dataclasses.replace(aspects.oof, task=data.task, proba=proba)
    folds = tuple(
        Analyzer(
            ReviewPredictor(data.task, first, second),
            prep=TextPrep.named("raw"),
            thresholds=thresholds,
            about={**about, "fold": number},
        )
        for number, (first, second) in enumerate(zip(aspects.fold_analyzers, sentiment.fold_analyzers, strict=True))
    )
    return RunResult(analyzer, report, oof, folds, seconds, history)
