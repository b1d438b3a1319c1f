"""The students: a linear model, an encoder from its base, the teacher's encoder with fewer layers, a model that goes on."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum import folder as model_folder
from maeum._lang import say
from maeum._progress import Line
from maeum._version import __version__
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.distilling.pool import Pool, split
from maeum.distilling.settings import DistillSettings
from maeum.errors import TaskMismatch, UsageError
from maeum.experiment import claim, prepare_all
from maeum.models.base import Labels, Predictor, Proba
from maeum.splits import duplicate_groups
from maeum.task import Task
from maeum.text import TextPrep

FOLDS = 5
"""Folds of a linear student, whose out-of-fold probabilities tune its thresholds."""


@dataclass(frozen=True)
class Lesson:
    """What a student is to learn."""

    task: Task
    pool: Pool
    soft: Proba
    """(n, k) the teacher's probabilities."""
    decided: Labels
    """(n, k) the teacher's decisions."""
    settings: DistillSettings


@dataclass(frozen=True)
class Taught:
    """A student, and its probabilities for rows that it did not learn from."""

    predictor: Predictor
    rows: NDArray[np.int64]
    """(m,) which rows of the pool."""
    proba: Proba
    """(m, k), not calibrated yet."""
    fold: NDArray[np.int64]
    """(m,) numbers of parts to calibrate by."""
    out_of_fold: bool
    history: list[dict[str, Any]] = field(default_factory=list)


def prep_of(teacher: Analyzer, settings: DistillSettings) -> TextPrep:
    """How the student prepares text."""
    if settings.clean is not None:
        return TextPrep.named(settings.clean)
    if settings.kind == "model":
        return model_folder.load(settings.argument).prep
    if settings.kind == "layers" and settings.start is not None:
        return model_folder.load(settings.start).prep
    # a vote takes raw text and lets its members prepare it
    return TextPrep.named("default") if teacher.predictor.kind == "vote" else teacher.prep


def check_student(teacher: Analyzer, settings: DistillSettings) -> None:
    """Find out before the teacher's long pass what cannot be trained.

    Raises:
        UsageError: settings that do not fit, a base or folder that is not there.
        TaskMismatch: a model of another task to go on from.
    """
    if settings.kind != "linear":
        model, _, _ = _new_encoder(teacher, settings)
        if settings.kind == "encoder":
            from maeum.hf.files import resolve

            resolve(settings.argument, revision=model.config.revision, weights=True)


def teach(lesson: Lesson, teacher: Analyzer, prep: TextPrep, work: Path, progress: Line, *, overwrite: bool) -> Taught:
    """Train the student of ``settings``.

    Args:
        work: folder for the checkpoints of an encoder.
    """
    inputs = prepare_all(prep, lesson.pool.inputs)
    if lesson.settings.kind == "linear":
        return _teach_linear(lesson, inputs, progress)
    return _teach_encoder(lesson, teacher, inputs, work, progress, overwrite=overwrite)


def _teach_linear(lesson: Lesson, inputs: list[Input], progress: Line) -> Taught:
    """Squared error or log loss against the mixed targets: both are linear in the target, so mixing it mixes the loss."""
    from maeum.models.linear import LinearClassifier

    settings, pool = lesson.settings, lesson.pool
    targets = lesson.soft.copy()
    labelled = pool.labelled
    if settings.alpha > 0 and labelled.any():
        hard = pool.hard(len(lesson.task))[labelled].astype(np.float32)
        targets[labelled] = (1 - settings.alpha) * targets[labelled] + settings.alpha * hard
    groups = duplicate_groups([item.text for item in pool.inputs])
    fold = np.random.default_rng(settings.seed).permutation(int(groups.max()) + 1)[groups] % FOLDS
    model = LinearClassifier(lesson.task, seed=settings.seed)
    progress(say(f"학생 학습: {FOLDS}겹", f"training the student: {FOLDS} folds"))
    proba = model.fit_folds(inputs, targets, fold.astype(np.int64))
    rows = np.flatnonzero(labelled) if labelled.any() else np.arange(len(pool))
    return Taught(model, rows, proba[rows], fold[rows].astype(np.int64), out_of_fold=True)


def _teach_encoder(
    lesson: Lesson, teacher: Analyzer, inputs: list[Input], work: Path, progress: Line, *, overwrite: bool
) -> Taught:
    settings, pool, task = lesson.settings, lesson.pool, lesson.task
    from maeum.models.encoder import Aim
    from maeum.models.soft_losses import Guided, aims, guided_loss, soft_loss

    parts = split(pool, lesson.decided, alpha=settings.alpha, seed=settings.seed)
    model, layers, guide = _new_encoder(teacher, settings)
    hard = pool.hard(len(task)) if settings.alpha > 0 and pool.labelled.any() else None
    plain = soft_loss(task.kind, temperature=settings.temperature, alpha=settings.alpha if hard is not None else 0.0)
    aim = Aim(guided_loss(plain, settings.hidden))
    if settings.hidden > 0:
        aim = Aim(aim.loss, lambda student: Guided(student, guide, layers))
    y = (pool.hard(len(task)) if parts.by_labels else lesson.decided)[parts.held].astype(np.uint8)
    claim(work, _identity(lesson), overwrite=overwrite)
    progress(
        say(
            f"학생 학습: {len(parts.train):,}건, 기준값용 {len(parts.held):,}건",
            f"training the student on {len(parts.train):,} texts, {len(parts.held):,} held out for thresholds",
        )
    )
    everything = aims(lesson.soft, hard)
    model.fit_to(
        [inputs[row] for row in parts.train.tolist()],
        everything[parts.train],
        aim,
        held=([inputs[row] for row in parts.held.tolist()], y),
        work=work,
        name=say("학생 학습", "student"),
        progress=progress,
    )
    proba = model.predict_proba([inputs[row] for row in parts.held.tolist()])
    fold = np.arange(len(parts.held)) % FOLDS
    return Taught(model, parts.held, proba, fold, out_of_fold=False, history=model.history)


def _identity(lesson: Lesson) -> dict[str, Any]:
    """What a killed training must share with the one that goes on from its checkpoints: all it learns from."""
    settings, pool = lesson.settings, lesson.pool
    start = settings.argument if settings.kind == "model" else settings.start
    return {
        "settings": settings.identity(),
        "start": None if start is None else model_folder.fingerprint(start),
        "pool": pool.digest(),
        "soft": _digest(lesson.soft),
        "decided": _digest(lesson.decided),
        "labels": _digest(pool.hard(len(lesson.task))),
        "maeum": __version__,
    }


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _new_encoder(teacher: Analyzer, settings: DistillSettings) -> tuple[Any, list[int], Any]:
    """The untaught student, the teacher's layers that its own stand for, and the whole backbone these are from."""
    from maeum.hf.cutting import layer_numbers, layers_of
    from maeum.models.encoder import EncoderClassifier
    from maeum.models.going_on import going_on

    options = settings.model_options
    if settings.kind == "encoder":
        return EncoderClassifier.of(settings.argument, teacher.task, seed=settings.seed, options=options), [], None
    if settings.kind == "model":
        place = settings.argument
        start = _encoder_in(model_folder.load(place), place, teacher.task)
        return going_on(start, copy.deepcopy(start.network), options, seed=settings.seed), [], None
    if settings.start is not None:
        start = _encoder_in(model_folder.load(settings.start), settings.start, teacher.task)
    elif isinstance(teacher.predictor, EncoderClassifier):
        start = teacher.predictor
    else:
        raise UsageError(
            f"'{settings.student}'은(는) 인코더의 층을 남기는 것인데 교사가 인코더가 아닙니다('{teacher.predictor.kind}'). "
            "--start에 같은 과제의 인코더 모델 폴더(예: 겹 하나)를 주거나 encoder:폴더, linear를 쓰세요.",
            f"'{settings.student}' keeps layers of an encoder, and the teacher is none ('{teacher.predictor.kind}'); give "
            "--start the folder of an encoder of the same task (one fold, say), or use encoder:FOLDER or linear",
        )
    layers = layer_numbers(settings.argument, len(layers_of(start.network.backbone)))
    network = copy.deepcopy(start.network)
    network.cut_layers(layers)
    return going_on(start, network, options, seed=settings.seed), layers, start.network.backbone


def _encoder_in(analyzer: Analyzer, place: str, task: Task) -> Any:
    from maeum.models.encoder import EncoderClassifier

    if not isinstance(analyzer.predictor, EncoderClassifier):
        raise UsageError(
            f"'{place}'은(는) 인코더 모델이 아닙니다('{analyzer.predictor.kind}').",
            f"'{place}' is not an encoder model but '{analyzer.predictor.kind}'",
        )
    if analyzer.task.fingerprint != task.fingerprint:
        raise TaskMismatch(
            f"'{place}'의 과제 '{analyzer.task.name}'가 교사의 과제 '{task.name}'와 다릅니다.",
            f"'{place}' is of task '{analyzer.task.name}', the teacher of '{task.name}'",
        )
    return analyzer.predictor
