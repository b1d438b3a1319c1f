"""What a student of several heads leaves: calibration, thresholds and report of each head, sizes, scores, the folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maeum import measuring
from maeum._files import pretty_json, write_text
from maeum._lang import say
from maeum._progress import Line
from maeum.analyzer import Analyzer
from maeum.calibration import Calibration
from maeum.crossval import OutOfFold
from maeum.data import Input
from maeum.distilling.heads_lesson import JoinedTeacher, Lesson
from maeum.distilling.settings import DistillSettings
from maeum.distilling.words import likeness, report_on_held, size_table
from maeum.experiment import TrainSettings, library_versions, prepare_all, tune
from maeum.heads import HeadResult, save_heads
from maeum.heads.training import HeadRows, head_rows
from maeum.history import table
from maeum.measuring import Size
from maeum.models.base import Labels, Proba
from maeum.models.head import HeadPredictor, SharedTrunk
from maeum.models.many_heads import ManyHeads
from maeum.report import Report, make_report
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

MOST_COMPARED = 2000
"""Held-out rows of a plan that teacher and student are compared on, head by head."""
PARTS = 5


@dataclass(frozen=True)
class DistilledHeads:
    """What a distillation of several heads left."""

    output: Path
    heads: Mapping[str, Analyzer]
    facts: Mapping[str, Any]
    """The content of ``distill.json``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"model": str(self.output), **self.facts}

    def summary(self) -> str:
        """A few lines for people."""
        lines = [size_table(self.facts["sizes"])]
        for name, head in self.facts["heads"].items():
            lines += [f"\n[{name}]", *likeness(head)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Measured:
    """What the results are told of beside the lesson."""

    teacher: Mapping[str, Analyzer]
    place: Path
    """The teacher's folder."""
    texts: str
    settings: DistillSettings
    split_seed: int
    """Of the rows held out of a plan."""
    same_rows: bool
    """Whether the plan trained teacher and start, too."""
    seconds: Mapping[str, float]


def results_of(
    model: ManyHeads, prep: TextPrep, lesson: Lesson, about: Measured, progress: Line
) -> tuple[dict[str, HeadResult], dict[str, Any]]:
    """Every head of a taught trunk, and the content of ``distill.json``."""
    trunk = SharedTrunk(model)
    rows = lesson.rows
    notes = [] if about.same_rows or rows.plan is None else [_may_have_seen()]
    results: dict[str, HeadResult] = {}
    facts: dict[str, Any] = {}
    for task in model.tasks:
        progress(say(f"머리: {task.name}", f"head: {task.name}"))
        made = _Head(task, HeadPredictor(task, trunk), prep, lesson, about, notes)
        results[task.name], facts[task.name] = made.result()
    sample = [rows.pool.inputs[row] for row in (lesson.held if len(lesson.held) else lesson.train).tolist()]
    own = {name: result.analyzer for name, result in results.items()}
    sizes = {
        "teacher": _size(about.teacher, model.tasks, sample, measuring.folder_megabytes(about.place)),
        "student": _size(own, model.tasks, sample, 0.0),
    }
    return results, {
        "teacher": {"name": about.place.name, "kind": "heads"},
        "student": about.settings.student,
        "settings": about.settings.identity(),
        "counts": rows.pool.counts,
        "sizes": sizes,
        "heads": facts,
        "seconds": dict(about.seconds),
        "notes": notes,
    }


def save(
    results: Mapping[str, HeadResult], trunk: SharedTrunk, facts: dict[str, Any], output: Path, *, overwrite: bool
) -> None:
    """Write the folder in one step, and into ``facts`` how large the student is."""

    def also(target: Path) -> None:
        facts["sizes"]["student"]["megabytes"] = measuring.folder_megabytes(target)
        write_text(target / "distill.json", pretty_json(facts))

    model: Any = trunk.trunk
    save_heads(results, trunk, output, history=table(model.history), also=also, overwrite=overwrite)


class _Head:
    """One head of the student."""

    def __init__(
        self,
        task: Task,
        predictor: HeadPredictor,
        prep: TextPrep,
        lesson: Lesson,
        about: Measured,
        notes: Sequence[str],
    ) -> None:
        self.task = task
        self.predictor = predictor
        self.prep = prep
        self.lesson = lesson
        self.about = about
        self.notes = list(notes)
        self.teacher = about.teacher[task.name]
        self.columns = lesson.teacher.blocks[task.name].columns

    def result(self) -> tuple[HeadResult, dict[str, Any]]:
        """The head with its thresholds and report, and what is said of it in ``distill.json``."""
        held = self._raw("held")
        oof, calibration, thresholds = self._tuned(held)
        analyzer = Analyzer(
            self.predictor, prep=self.prep, calibration=calibration, thresholds=thresholds, about=self._about()
        )
        judge = self._raw("judge")
        report = self._report(analyzer, oof, judge)
        facts: dict[str, Any] = {
            "agreement": self._agreement(analyzer, oof, held),
            "valid": None,
            "thresholds": thresholds.tuned_on,
        }
        if judge is not None and len(judge.ids):
            both = [head.decide(head.predict_proba(judge.inputs)) for head in (self.teacher, analyzer)]
            scores = measuring.gaps(self.task, judge.y, *both)
            facts["valid"] = {
                "rows": len(judge.ids),
                "scores": {name: dataclasses.asdict(gap) for name, gap in scores.items()},
            }
        return HeadResult(analyzer, report, oof), facts

    def _raw(self, which: str) -> HeadRows | None:
        """The plan's rows of this head as they were read; None without a plan."""
        parts = self.lesson.rows.parts
        return None if parts is None else head_rows(self.task, parts, which, _AS_READ)

    def _tuned(self, held: HeadRows | None) -> tuple[OutOfFold, Calibration, Thresholds]:
        """As for a single model: labels calibrate and set thresholds, the teacher's decisions only set thresholds."""
        lesson, settings = self.lesson, self.about.settings
        if held is not None:
            inputs, y, ids = held.inputs, held.y, held.ids
        else:
            rows = lesson.held.tolist()
            inputs, y = [lesson.rows.pool.inputs[row] for row in rows], lesson.decided[rows][:, self.columns]
            ids = tuple(f"row-{row}" for row in rows)
        proba = self.predictor.predict_proba(prepare_all(self.prep, inputs))
        oof = OutOfFold(self.task, ids, y, proba, np.arange(len(ids)) % PARTS)
        words = TrainSettings(
            objective=settings.objective, empty=settings.empty, calibrate=held is not None, seed=settings.seed
        )
        calibration, thresholds = tune(oof, words)
        against = f"labels of {len(ids)} rows" if held is not None else f"the teacher's decisions on {len(ids)} texts"
        return oof, calibration, dataclasses.replace(thresholds, tuned_on=f"{against} (held out)")

    def _agreement(self, analyzer: Analyzer, oof: OutOfFold, held: HeadRows | None) -> dict[str, float]:
        """With the teacher, on rows that the student did not learn from."""
        lesson = self.lesson
        if held is None:
            wanted: Proba = lesson.soft[lesson.held][:, self.columns]
            decided: Labels = lesson.decided[lesson.held][:, self.columns]
        else:
            wanted = self.teacher.predict_proba(held.inputs[:MOST_COMPARED])
            decided = self.teacher.decide(wanted)
        own = analyzer.calibration.apply(oof.proba[: len(wanted)])
        return measuring.agreement(wanted, decided, own, analyzer.decide(own))

    def _report(self, analyzer: Analyzer, oof: OutOfFold, judge: HeadRows | None) -> Report:
        words: dict[str, Any] = {
            "model": f"head ({self.about.settings.student})",
            "train_support": list(analyzer.about["train"]["support"].values()),
        }
        if judge is not None and len(judge.ids):
            proba = analyzer.predict_proba(judge.inputs)
            return make_report(self.task, judge.y, proba, analyzer.thresholds, data="valid", notes=self.notes, **words)
        return report_on_held(analyzer, oof, labelled=judge is not None, notes=self.notes, **words)

    def _about(self) -> dict[str, Any]:
        settings, rows = self.about.settings, self.lesson.rows
        trunk: Any = self.predictor.trunk.trunk
        support = self.lesson.decided[self.lesson.train][:, self.columns].sum(0)
        about: dict[str, Any] = {
            "settings": {
                "base": trunk.config.base,
                "student": settings.student,
                "objective": TrainSettings(objective=settings.objective).objective_for(self.task),
                "clean": self.prep.recipe,
                "seed": settings.seed,
                "split_seed": self.about.split_seed,
                "options": dict(settings.model_options),
                "weights": trunk.weights,
                "trunk_weight": 1.0,
            },
            "train": {
                "source": ", ".join(
                    [
                        Path(self.about.texts).name,
                        *(part.source.rows.source for part in rows.parts or () if part.source.teaches(self.task)),
                    ]
                ),
                "rows": len(self.lesson.train),
                "fingerprint": rows.pool.digest()[:16],
                "support": dict(zip(self.task.keys, map(int, support), strict=True)),
            },
            "distilled": {"teacher": self.about.place.name, "kind": "heads"},
            "versions": library_versions(),
        }
        if rows.plan is not None and self.about.same_rows:
            # only then are the plan's held-out rows new to the student, as 'maeum train PLAN --model frozen:…' needs them
            about["plan"] = rows.plan.fingerprint
        return about


_AS_READ = TextPrep.named("raw")


def _size(
    heads: Mapping[str, Analyzer], tasks: Sequence[Task], sample: Sequence[Input], megabytes: float
) -> dict[str, Any]:
    """Of all heads together: every text gets the answers of all of them."""
    joined: Any = JoinedTeacher(heads, tasks)
    predictors: list[Any] = [head.predictor for head in heads.values()]
    counts = [measuring.parameter_count(predictors[0].trunk.trunk)]
    counts += [measuring.parameter_count(each.linear) for each in predictors if each.linear is not None]
    count = None if None in counts else sum(each for each in counts if each is not None)
    return Size(megabytes, count, measuring.speed(joined, sample)).to_dict()


def _may_have_seen() -> str:
    return say(
        "교사나 --start의 모델이 이 계획으로 학습한 것이 아니어서, 기준값과 평가에 쓴 행을 이미 보았을 수 있습니다.",
        "teacher or start were not trained by this plan and may have seen the rows that set thresholds and judge",
    )
