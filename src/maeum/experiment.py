"""One training run: data → folds → out-of-fold probabilities → calibration → thresholds → report → model folder.

Who judges what: models train on the training rows; calibration and thresholds are fitted on out-of-fold
probabilities of those same rows; the ``--valid`` rows only judge. Without ``--valid`` the report is on the
out-of-fold rows and says that its thresholds were tuned on them.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maeum import folder as model_folder
from maeum._files import atomic_folder, refuse_existing, write_text
from maeum._lang import say
from maeum._version import __version__
from maeum.analyzer import Analyzer
from maeum.calibration import Calibration, fit_calibration
from maeum.crossval import OutOfFold, cross_fit
from maeum.data import Dataset, Input
from maeum.errors import TaskMismatch, UsageError
from maeum.models.base import Classifier, Labels, Predictor, make_classifier
from maeum.models.ensemble import MeanPredictor
from maeum.report import Report, make_report
from maeum.splits import duplicate_groups, duplicate_key, fold_numbers, holdout
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds, tune_thresholds

Keep = Literal["mean", "best", "refit"]
Progress = Callable[[str], None]

MIN_TRAIN_ROWS = 10
"""Fewer distinct labelled texts than this cannot be split into folds that mean anything."""
DEFAULT_FOLDS = 5


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the result of a run, beside the data."""

    model: str = "linear"
    """Model spec: ``linear``."""
    folds: int | None = None
    """Cross-validation folds whose models answer together; None: 5 folds for thresholds only, then one model on all rows."""
    keep: Keep | None = None
    """What the folder answers with: the mean of the fold models, the best of them, or one model refitted on all rows."""
    seed: int = 42
    """Seed of everything random in training."""
    split_seed: int = 42
    """Seed of hold-out and folds; keep it to compare models on the same split."""
    clean: str = "default"
    """Text preparation recipe."""
    objective: str | None = None
    """Threshold objective; None: micro-f1 for nikl-ea (its official score), macro-f1 elsewhere."""
    shrinkage: float = 5.0
    """Pseudo-positives that pull the thresholds of rare labels towards the common one (see ``tune_thresholds``)."""
    empty: Literal["none", "argmax", "auto"] = "auto"
    """What to do when no label passes."""
    calibrate: bool = True
    """Fit per-label calibration on out-of-fold probabilities where it helps."""
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the model itself."""

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise UsageError(
                f"--folds는 2 이상이어야 합니다: {self.folds}", f"--folds must be at least 2, got {self.folds}"
            )
        if self.keep not in (None, "mean", "best", "refit"):
            raise UsageError(
                f"--keep은 mean, best, refit 가운데 하나입니다: {self.keep}",
                f"--keep is mean, best or refit, got {self.keep}",
            )

    @property
    def kept(self) -> Keep:
        """``keep`` with its default filled in."""
        return self.keep or ("refit" if self.folds is None else "mean")

    def objective_for(self, task: Task) -> str:
        """``objective`` with its default filled in."""
        return self.objective or ("micro-f1" if task.name == "nikl-ea" else "macro-f1")


@dataclass(frozen=True)
class RunResult:
    """What a training run leaves."""

    analyzer: Analyzer
    report: Report
    oof: OutOfFold
    fold_analyzers: tuple[Analyzer, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock seconds of each stage."""


def train(
    data: Dataset,
    *,
    valid: Dataset | float | None = None,
    settings: TrainSettings = TrainSettings(),
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = lambda _: None,
) -> RunResult:
    """Train, tune and judge a model, and save it as a folder if ``output`` is given.

    Args:
        data: labelled rows; rows without labels are left out and counted in the notes.
        valid: rows that only judge, or the share (0–1) of ``data`` to hold out for that.
        settings: everything else that decides the result.
        output: the model folder to write; nothing is written before the run is complete.
        overwrite: replace an existing model folder.
        progress: called with a line before each stage.

    Raises:
        UsageError: too few rows, or a task that cannot be trained.
        TaskMismatch: ``valid`` has another task than ``data``.
    """
    if output is not None:
        refuse_existing(Path(output), overwrite=overwrite)
    run = _Run(settings, progress)
    result = run(data, valid)
    if output is not None:
        progress(say("저장", "saving"))
        save_run(result, Path(output), overwrite=overwrite)
    return result


class _Run:
    """The stages of a run, timed."""

    def __init__(self, settings: TrainSettings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []

    def __call__(self, data: Dataset, valid: Dataset | float | None) -> RunResult:
        settings = self.settings
        train_rows, judge_rows = self._split(data, valid)
        task = train_rows.task
        prep = TextPrep.named(settings.clean)
        self.progress(say(f"글 {len(train_rows)}건 준비", f"preparing {len(train_rows)} texts"))
        inputs = self._timed("prepare", lambda: prepare_all(prep, train_rows.inputs))
        y = train_rows.y
        fold = fold_numbers(
            y,
            duplicate_groups(train_rows.texts),
            folds=settings.folds or min(DEFAULT_FOLDS, len(y)),
            seed=settings.split_seed,
        )
        fit = self._timed(
            "fit",
            lambda: cross_fit(
                lambda: new_model(settings, task),
                inputs,
                y,
                fold,
                keep_folds=settings.kept != "refit",
                refit=settings.kept == "refit",
                progress=lambda step: self.progress(say(f"학습: {step}", f"training: {step}")),
            ),
        )
        oof = OutOfFold(task, tuple(train_rows.ids), y, fit.proba, fold)
        self.progress(say("보정과 기준값", "calibration and thresholds"))
        calibration, thresholds = self._timed("tune", lambda: tune(oof, settings))
        predictor = self._answering(fit.models, fit.final, oof, calibration, thresholds)
        about = self._about(train_rows, judge_rows, data)
        analyzer = Analyzer(predictor, prep=prep, thresholds=thresholds, calibration=calibration, about=about)
        self.progress(say("평가", "evaluating"))
        report = self._timed("evaluate", lambda: self._judge(analyzer, oof, train_rows, judge_rows))
        return RunResult(analyzer, report, oof, self._fold_analyzers(analyzer, fit.models), self.seconds)

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        self.seconds[stage] = round(time.perf_counter() - start, 3)
        return result

    def _split(self, data: Dataset, valid: Dataset | float | None) -> tuple[Dataset, Dataset | None]:
        refuse_untrainable(data.task)
        rows = self._labelled(data)
        judge: Dataset | None = None
        if isinstance(valid, Dataset):
            if valid.task.fingerprint != data.task.fingerprint:
                raise TaskMismatch(
                    f"평가 데이터의 과제 '{valid.task.name}'가 학습 데이터의 과제 '{data.task.name}'와 다릅니다.",
                    f"the valid rows are of task '{valid.task.name}', the training rows of '{data.task.name}'",
                )
            judge = self._labelled(valid)
            self._note_leakage(rows, judge)
        elif valid is not None:
            train, held = holdout(
                rows.y, duplicate_groups(rows.texts), fraction=float(valid), seed=self.settings.split_seed
            )
            rows, judge = rows.select(train), rows.select(held)
        distinct = len(np.unique(duplicate_groups(rows.texts)))
        needed = max(MIN_TRAIN_ROWS, 2 * (self.settings.folds or 0))
        if distinct < needed:
            raise UsageError(
                f"서로 다른 글이 {distinct}개뿐입니다. 학습에는 라벨이 달린 서로 다른 글이 적어도 {needed}개 필요합니다.",
                f"there are only {distinct} distinct labelled texts; training needs at least {needed}",
            )
        self._note_thin_labels(rows)
        return rows, judge

    def _labelled(self, data: Dataset) -> Dataset:
        rows = data.labelled()
        if len(rows) < len(data):
            missing = len(data) - len(rows)
            self.notes.append(
                say(f"라벨이 없는 {missing}행은 뺐습니다.", f"{missing} rows without labels were left out")
            )
        return rows

    def _note_leakage(self, rows: Dataset, judge: Dataset) -> None:
        known = {duplicate_key(text) for text in rows.texts}
        leaked = sum(duplicate_key(text) in known for text in judge.texts)
        if leaked:
            self.notes.append(
                say(
                    f"평가 글 {leaked}개가 학습 데이터에도 있어 점수가 실제보다 높을 수 있습니다.",
                    f"{leaked} of the valid texts also occur in the training rows, so scores may be too high",
                )
            )

    def _note_thin_labels(self, rows: Dataset) -> None:
        support = rows.y.sum(0)
        absent = [key for key, count in zip(rows.task.keys, support, strict=True) if count == 0]
        if rows.task.kind == "multiclass" and len(absent) >= len(rows.task) - 1:
            raise UsageError(
                "학습 데이터의 라벨이 한 가지뿐이라 배울 것이 없습니다.",
                "all training rows have the same label, so there is nothing to learn",
            )
        if not support.any():
            raise UsageError("학습 데이터에 라벨이 하나도 없습니다.", "no training row has any label")
        if absent:
            names = ", ".join(absent[:10])
            self.notes.append(
                say(f"학습 데이터에 없는 라벨: {names}", f"labels that do not occur in the training rows: {names}")
            )

    def _answering(
        self,
        models: Sequence[Predictor],
        final: Predictor | None,
        oof: OutOfFold,
        calibration: Calibration,
        thresholds: Thresholds,
    ) -> Predictor:
        if final is not None:
            return final
        if self.settings.kept == "mean":
            return MeanPredictor(oof.task, models, in_folds=True)
        decided = thresholds.decide(calibration.apply(oof.proba))
        scores = [_score(oof.y[oof.fold == i], decided[oof.fold == i]) for i in range(len(models))]
        best = int(np.argmax(scores))
        self.notes.append(
            say(
                f"가장 좋은 겹 {best}의 모델을 씁니다(겹별 macro-F1: {', '.join(f'{s:.4f}' for s in scores)}).",
                f"answering with fold {best}, the best (macro-F1 of the folds: {', '.join(f'{s:.4f}' for s in scores)})",
            )
        )
        return models[best]

    def _fold_analyzers(self, analyzer: Analyzer, models: Sequence[Predictor]) -> tuple[Analyzer, ...]:
        return tuple(
            Analyzer(
                model,
                prep=analyzer.prep,
                thresholds=analyzer.thresholds,
                calibration=analyzer.calibration,
                about={**analyzer.about, "fold": number},
            )
            for number, model in enumerate(models)
        )

    def _about(self, rows: Dataset, judge: Dataset | None, data: Dataset) -> dict[str, Any]:
        settings = dataclasses.asdict(self.settings) | {
            "keep": self.settings.kept,
            "objective": self.settings.objective_for(rows.task),
        }
        settings["model_options"] = dict(self.settings.model_options)
        return {
            "settings": settings,
            "train": {
                "source": data.source,
                "rows": len(rows),
                "fingerprint": rows.fingerprint,
                "support": dict(zip(rows.task.keys, map(int, rows.y.sum(0)), strict=True)),
            },
            "valid": judge and {"source": judge.source, "rows": len(judge), "fingerprint": judge.fingerprint},
            "versions": library_versions(),
            "notes": self.notes,
        }

    def _judge(self, analyzer: Analyzer, oof: OutOfFold, rows: Dataset, judge: Dataset | None) -> Report:
        support = rows.y.sum(0).tolist()
        model = f"{analyzer.predictor.kind} ({self.settings.kept})"
        if judge is not None:
            return make_report(
                analyzer.task,
                judge.y,
                analyzer.predict_proba(judge),
                analyzer.thresholds,
                data=judge.source or "valid",
                model=model,
                train_support=support,
                notes=self.notes,
                extra={"train": analyzer.about["train"], "valid": analyzer.about["valid"]},
            )
        return make_report(
            analyzer.task,
            oof.y,
            analyzer.calibration.apply(oof.proba),
            analyzer.thresholds,
            data=say("학습 데이터의 교차 검증 확률", "out-of-fold rows of the training data"),
            model=model,
            train_support=support,
            notes=self.notes,
            tuned_on_same_rows=analyzer.task.kind != "multiclass",
            extra={"train": analyzer.about["train"]},
        )


def new_model(settings: TrainSettings, task: Task) -> Classifier:
    """An untrained model for these settings."""
    return make_classifier(settings.model, task, seed=settings.seed, options=dict(settings.model_options))


def prepare_all(prep: TextPrep, inputs: Sequence[Input]) -> list[Input]:
    """Prepared inputs, in order."""
    return [prep.prepare_input(item) for item in inputs]


def tune(oof: OutOfFold, settings: TrainSettings) -> tuple[Calibration, Thresholds]:
    """Calibration, and thresholds on the calibrated probabilities, from out-of-fold rows."""
    calibration = (
        fit_calibration(oof.y, oof.proba, oof.fold, oof.task) if settings.calibrate else Calibration.identity(oof.task)
    )
    folds = int(oof.fold.max()) + 1
    thresholds = tune_thresholds(
        oof.y,
        calibration.apply(oof.proba),
        oof.task,
        objective=settings.objective_for(oof.task),
        shrinkage=settings.shrinkage,
        empty=settings.empty,
        tuned_on=f"out-of-fold probabilities of {len(oof.ids)} training rows, {folds} folds",
        resamples=100,
        seed=settings.seed,
    )
    return calibration, thresholds


def save_run(result: RunResult, output: Path, *, overwrite: bool = False) -> None:
    """Write the model folder of a run: all of it or nothing."""
    analyzer = result.analyzer
    with atomic_folder(output, overwrite=overwrite) as target:
        model_folder.write_analyzer(analyzer, target)
        result.oof.save(target)
        write_text(target / "report.json", result.report.to_json())
        write_text(target / "report.html", result.report.to_html())
        write_text(target / "README.md", model_card(analyzer, result.report))
        for number, fold_analyzer in enumerate(result.fold_analyzers):
            place = target / "folds" / str(number)
            place.mkdir(parents=True)
            model_folder.write_analyzer(fold_analyzer, place)
            model_folder.seal(place, fold_analyzer.predictor.kind, fold_analyzer.task)
        model_folder.seal(target, analyzer.predictor.kind, analyzer.task)


def model_card(analyzer: Analyzer, report: Report) -> str:
    """A model card in Markdown with Hugging Face front matter."""
    task, about = analyzer.task, analyzer.about
    train_info = about.get("train", {})
    front = (
        f"---\nlanguage: ko\nlibrary_name: maeum\npipeline_tag: text-classification\ntags: [korean, {task.name}]\n---\n"
    )
    lines = [
        front,
        f"# {task.name} ({analyzer.predictor.kind})",
        "",
        say("maeum으로 학습한 한국어 글 분류 모델입니다.", "A Korean text classifier trained with maeum."),
        "",
        f"- task: `{task.name}` ({task.kind}, {len(task)} labels)",
        f"- train: {train_info.get('rows', '?')} rows, fingerprint `{train_info.get('fingerprint', '?')}`",
        f"- text preparation: `{analyzer.prep.recipe}`",
        f"- thresholds: {analyzer.thresholds.objective}; {analyzer.thresholds.tuned_on}",
        f"- maeum {__version__}",
        "",
        say("## 쓰는 법", "## Use"),
        "",
        '```python\nimport maeum\n\nanalyzer = maeum.load("PATH")\n'
        'print(analyzer.analyze(["정말 마음에 들어요"])[0].labels)\n```',
        "",
        report.to_markdown(),
        "",
        say("## 한계", "## Limits"),
        "",
        say(
            "점수는 위 평가 데이터에서 잰 것입니다. 다른 출처의 글에서는 낮아질 수 있으니 자기 데이터로 다시 재세요. "
            "이 모델을 공개하려면 학습 데이터의 이용 허락 조건을 따라야 합니다.",
            "The scores hold for the rows above; texts from elsewhere may score lower, so measure on your own. "
            "Publishing this model is subject to the licence of its training data.",
        ),
        "",
    ]
    return "\n".join(lines)


def refuse_untrainable(task: Task) -> None:
    """Say so where a task kind cannot be trained in this version.

    Raises:
        UsageError: an aspect task.
    """
    if task.kind == "aspect":
        raise UsageError(
            f"과제 '{task.name}'은(는) 속성(aspect) 과제입니다. 속성별 감성 학습은 아직 없습니다. "
            "이 데이터는 convert로 변환할 수 있습니다.",
            f"task '{task.name}' is an aspect task, which this version cannot train yet; its data can be converted",
        )


def library_versions() -> dict[str, str]:
    """Versions that shaped a result."""
    import scipy
    import sklearn

    return {
        "maeum": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }


def _score(y: Labels, decided: Labels) -> float:
    from maeum.metrics import counts

    return float(counts(y, decided).f1.mean())
