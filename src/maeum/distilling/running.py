"""``distill``: texts, the teacher's pass, the student, its thresholds, what it gained and cost."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maeum import folder as model_folder
from maeum import measuring
from maeum._files import refuse_existing
from maeum._lang import say
from maeum._processes import one_process
from maeum._progress import Line
from maeum._version import __version__
from maeum.analyzer import Analyzer
from maeum.calibration import Calibration
from maeum.crossval import OutOfFold
from maeum.data import Dataset
from maeum.distilling.pool import Pool, gather, pool_words
from maeum.distilling.saving import Distilled, save
from maeum.distilling.settings import DEFAULTS, DistillSettings
from maeum.distilling.softening import SoftLabels
from maeum.distilling.students import Lesson, Taught, check_student, prep_of, teach
from maeum.distilling.words import judged_on, report_on_held
from maeum.errors import UsageError
from maeum.experiment import TrainSettings, has_progress, library_versions, tune
from maeum.models.base import Labels
from maeum.report import Report, make_report
from maeum.thresholds import Thresholds


def distill(
    teacher: str | Path,
    texts: str | Path,
    output: str | Path,
    settings: DistillSettings = DEFAULTS,
    *,
    task: str | None = None,
    data: Dataset | str | Path | None = None,
    valid: Dataset | str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    soft_labels: str | Path | None = None,
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> Distilled:
    """Train a student on a teacher's probabilities and write it as a model folder.

    The same call again goes on from where a killed one stopped.

    Args:
        teacher: a model folder of any kind.
        texts: a file of any format of ``maeum.formats``; labels in it are not read.
        output: the folder to write; ``output.partial`` is used meanwhile.
        task: which head of a teacher that has several.
        data: labelled rows or their file: a part trains (``alpha``), the rest tunes calibration and thresholds.
        valid: labelled rows that only judge, and which no student learns from.
        reading: how ``texts`` is read: ``format``, ``text_column``, ``encoding``, ``on_error`` …
        labels: how files of labelled rows are read: ``label_column``, ``encoding`` …
        soft_labels: folder for the teacher's probabilities, kept for other students; None: thrown away at the end.
        overwrite: replace an existing model folder, and throw away an interrupted run with other settings.
        progress: called with a line before each stage.

    Raises:
        UsageError: settings that do not fit each other, the teacher or the rows.
        TaskMismatch: labelled rows of another task than the teacher.
        DataError: a file cannot be read, or too few texts are left.
    """
    output = Path(output)
    one_process("distill")
    refuse_existing(output, overwrite=overwrite)
    progress(say(f"교사 여는 중: {teacher}", f"opening the teacher {teacher}"))
    if task is None and (names := model_folder.head_names(teacher)):
        raise UsageError(
            f"'{teacher}'에는 머리가 여럿입니다({', '.join(names)}). task로 하나를 고르거나 distill_heads로 모두 증류하세요.",
            f"'{teacher}' has several heads ({', '.join(names)}); choose one with task, or distil all with distill_heads",
        )
    analyzer = model_folder.load(teacher, task=task)
    _refuse_teacher(analyzer, Path(teacher))
    check_student(analyzer, settings)
    rows, judging = (measuring.labelled_rows(given, analyzer.task, labels or {}) for given in (data, valid))
    work = Path(f"{output}.partial")
    try:
        return _Run(analyzer, Path(teacher), settings, work, progress)(
            str(texts), output, rows, judging, dict(reading or {}), soft_labels, overwrite=overwrite
        )
    finally:
        if work.exists() and not has_progress(work) and not any(work.rglob("part-*")):
            shutil.rmtree(work, ignore_errors=True)  # nothing there is worth the next command's while


class _Run:
    def __init__(self, teacher: Analyzer, place: Path, settings: DistillSettings, work: Path, progress: Line) -> None:
        self.teacher = teacher
        self.place = model_folder.embedded(place)
        self.settings = settings
        self.work = work
        self.prep = prep_of(teacher, settings)
        self.progress = progress
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}

    def __call__(
        self,
        texts: str,
        output: Path,
        data: Dataset | None,
        valid: Dataset | None,
        reading: dict[str, Any],
        soft_labels: str | Path | None,
        *,
        overwrite: bool,
    ) -> Distilled:
        teacher, settings, prep, progress = self.teacher, self.settings, self.prep, self.progress
        progress(say(f"읽는 중: {texts}", f"reading {texts}"))
        pool = gather(texts, reading, prep, data=data, valid=valid, limit=settings.limit)
        progress(pool_words(pool.counts))
        lesson = self._soften(pool, soft_labels)
        start = time.perf_counter()
        taught = teach(lesson, teacher, prep, self.work / "student", progress, overwrite=overwrite)
        self.seconds["train"] = round(time.perf_counter() - start, 1)
        progress(say("보정과 기준값", "calibration and thresholds"))
        oof, calibration, thresholds = self._tune(lesson, taught, data)
        about = self._about(lesson, taught, texts, data, valid)
        student = Analyzer(taught.predictor, prep=prep, thresholds=thresholds, calibration=calibration, about=about)
        progress(say("교사와 견주는 중", "measuring beside the teacher"))
        facts = self._facts(lesson, taught, student, valid)
        facts["counts"] = pool.counts
        report = self._report(student, oof, data, valid)
        progress(say("저장", "saving"))
        save(student, report, oof if data is not None else None, taught.history, facts, output, overwrite=overwrite)
        _clear(self.work)
        return Distilled(output, student, report, facts)

    def _soften(self, pool: Pool, kept: str | Path | None) -> Lesson:
        teacher = self.teacher
        start = time.perf_counter()
        identity = {
            "teacher": model_folder.fingerprint(self.place),
            "task": teacher.task.fingerprint,
            "texts": pool.digest(),
            "maeum": __version__,
        }
        folder = self.work / "soft" if kept is None else Path(kept)
        soft = SoftLabels(folder, identity, kept=kept is not None).fill(teacher, pool.inputs, self.progress)
        self.seconds["teacher"] = round(time.perf_counter() - start, 1)
        return Lesson(teacher.task, pool, soft, teacher.decide(soft), self.settings)

    def _tune(self, lesson: Lesson, taught: Taught, data: Dataset | None) -> tuple[OutOfFold, Calibration, Thresholds]:
        """Calibration and thresholds from rows the student did not learn from.

        Against the teacher's decisions there is nothing to calibrate: the probabilities imitate the teacher's already.
        """
        pool, rows, task = lesson.pool, taught.rows, lesson.task
        if data is not None:
            y: Labels = pool.hard(len(task))[rows].astype(np.uint8)
            ids = [pool.ids[row] for row in rows.tolist()]
        else:
            y, ids = lesson.decided[rows], [f"row-{row}" for row in rows.tolist()]
        oof = OutOfFold(task, tuple(ids), y, taught.proba, taught.fold)
        settings = TrainSettings(
            objective=self.settings.objective,
            empty=self.settings.empty,
            calibrate=data is not None,
            seed=self.settings.seed,
        )
        calibration, thresholds = tune(oof, settings)
        how = "out-of-fold" if taught.out_of_fold else "held out"
        against = f"labels of {len(ids)} rows" if data is not None else f"the teacher's decisions on {len(ids)} texts"
        return oof, calibration, dataclasses.replace(thresholds, tuned_on=f"{against} ({how})")

    def _facts(self, lesson: Lesson, taught: Taught, student: Analyzer, valid: Dataset | None) -> dict[str, Any]:
        teacher, rows = self.teacher, taught.rows
        own = student.calibration.apply(taught.proba)
        like = measuring.agreement(lesson.soft[rows], lesson.decided[rows], own, student.decide(own))
        sample = valid.inputs if valid is not None else [lesson.pool.inputs[row] for row in rows.tolist()]
        sizes = {
            "teacher": measuring.Size(
                measuring.folder_megabytes(self.place),
                measuring.parameter_count(teacher.predictor),
                measuring.speed(teacher, sample),
            ).to_dict(),
            "student": measuring.Size(
                0.0, measuring.parameter_count(student.predictor), measuring.speed(student, sample)
            ).to_dict(),
        }
        judged = None
        if valid is not None:
            both = [model.decide(model.predict_proba(valid)) for model in (teacher, student)]
            scores = measuring.gaps(student.task, valid.y, *both)
            judged = {
                "source": valid.source,
                "rows": len(valid),
                "fingerprint": valid.fingerprint,
                "scores": {name: dataclasses.asdict(gap) for name, gap in scores.items()},
            }
        return {
            "teacher": {"name": self.place.name, "kind": teacher.predictor.kind},
            "student": self.settings.student,
            "settings": self.settings.identity(),
            "sizes": sizes,
            "agreement": like,
            "valid": judged,
            "thresholds": student.thresholds.tuned_on,
            "seconds": self.seconds,
            "notes": self.notes,
        }

    def _about(
        self, lesson: Lesson, taught: Taught, texts: str, data: Dataset | None, valid: Dataset | None
    ) -> dict[str, Any]:
        kind = self.settings.kind
        predictor: Any = taught.predictor
        model = "linear" if kind == "linear" else f"encoder:{predictor.config.base}"
        task, decided = lesson.task, lesson.decided
        objective = TrainSettings(objective=self.settings.objective).objective_for(task)
        judging: dict[str, Any]
        if valid is not None:
            judging = {"source": valid.source, "rows": len(valid), "fingerprint": valid.fingerprint}
        else:
            source = judged_on(len(taught.rows), labelled=data is not None)
            judging = {"source": source, "rows": len(taught.rows), "fingerprint": ""}
        support = decided.sum(0)
        if data is not None and self.settings.alpha > 0:
            support = data.y.sum(0)
        return {
            "settings": {
                "model": model,
                "student": self.settings.student,
                "objective": objective,
                "clean": self.prep.recipe,
                "seed": self.settings.seed,
                "model_options": dict(self.settings.model_options),
            },
            "train": {
                "source": Path(texts).name + ("" if data is None else f" + {data.source}"),
                "rows": len(lesson.pool),
                "fingerprint": lesson.pool.digest()[:16],
                "support": dict(zip(task.keys, map(int, support), strict=True)),
            },
            "distilled": {"teacher": self.place.name, "kind": self.teacher.predictor.kind},
            "valid": judging,
            "versions": library_versions(),
            "notes": self.notes,
        }

    def _report(self, student: Analyzer, oof: OutOfFold, data: Dataset | None, valid: Dataset | None) -> Report:
        words: dict[str, Any] = {
            "model": f"{student.predictor.kind} ({self.settings.student})",
            "train_support": list(student.about["train"]["support"].values()),
            "extra": {"train": student.about["train"], "valid": student.about["valid"]},
        }
        if valid is None:
            return report_on_held(student, oof, labelled=data is not None, notes=self.notes, **words)
        proba, source = student.predict_proba(valid), valid.source or "valid"
        return make_report(student.task, valid.y, proba, student.thresholds, data=source, notes=self.notes, **words)


def _clear(work: Path) -> None:
    """Take away what a distillation leaves in its work folder; an unfinished training there of another command stays."""
    for name in ("soft", "student"):
        shutil.rmtree(work / name, ignore_errors=True)
    if work.exists() and not any(work.iterdir()):
        work.rmdir()


def _refuse_teacher(teacher: Analyzer, place: Path) -> None:
    if teacher.task.kind == "aspect":
        raise UsageError(
            f"속성 과제의 모델은 두 단계라 하나로 증류할 수 없습니다. 속성을 찾는 단계({place}/model/aspects)는 따로 증류할 수 있습니다.",
            "a model of an aspect task has two stages and cannot be distilled as one; the stage that finds aspects "
            f"({place}/model/aspects) can be distilled by itself",
        )
    if teacher.task.name.endswith("/sentiment"):
        # texts without labels name no aspect: teacher and student would grade nothing in particular, and agree on it
        raise UsageError(
            f"'{place}'은(는) 속성마다 등급을 매기는 단계인데 라벨 없는 글에는 속성이 없어 증류할 수 없습니다.",
            f"'{place}' grades the aspects of a review, and unlabelled texts name none, so it cannot be distilled",
        )
