"""One training run: data → folds → out-of-fold probabilities → calibration → thresholds → report → model folder.

Who judges what: models train on the training rows; calibration and thresholds are fitted on out-of-fold
probabilities of those same rows; the ``--valid`` rows only judge. Without ``--valid`` the report is on the
out-of-fold rows and says that its thresholds were tuned on them.
"""

from __future__ import annotations

import dataclasses
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum import folder as model_folder
from maeum._files import atomic_folder, pretty_json, refuse_existing, write_text
from maeum._lang import say
from maeum._processes import is_main_process, wait_for_all
from maeum._progress import Line
from maeum._version import __version__
from maeum.analyzer import Analyzer
from maeum.calibration import Calibration, fit_calibration
from maeum.crossval import OutOfFold, cross_fit
from maeum.data import Dataset, Input
from maeum.errors import MaeumError, TaskMismatch, UsageError
from maeum.history import table, write_chart, write_csv
from maeum.models.base import Classifier, FitsWatched, Labels, Predictor, make_classifier
from maeum.models.ensemble import MeanPredictor
from maeum.report import Report, make_report
from maeum.splits import duplicate_groups, duplicate_key, fold_numbers, holdout
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds, choose_pull, tune_thresholds

Keep = Literal["mean", "best", "refit"]

MIN_TRAIN_ROWS = 10
"""Fewer distinct labelled texts than this cannot be split into folds that mean anything."""
DEFAULT_FOLDS = 5
HELD_SHARE = 0.1
"""Share of the training rows that a model trained once leaves out, for its thresholds."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the result of a run, beside the data."""

    model: str = "linear"
    """Model spec: ``linear``, ``mini`` (the embedded model's sentence vectors), ``encoder:FOLDER_OR_HUB_ID`` …"""
    folds: int | None = None
    """Cross-validation folds whose models answer together. None: a linear model gets 5 folds for thresholds only and
    then learns from all rows; an encoder holds out one tenth of the rows for thresholds and learns once, from the rest."""
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
    shrinkage: float | None = None
    """Pseudo-positives that pull the thresholds of rare labels towards the common one (see ``tune_thresholds``); None:
    cross-validation on the out-of-fold rows chooses how hard to pull, and towards what (``choose_pull``)."""
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
        return self.keep or ("refit" if self.folds is None and self.is_quick else "mean")

    @property
    def trains_once(self) -> bool:
        """Whether one held-out part stands in for the folds, because training is too long to be repeated unasked."""
        return self.folds is None and self.keep is None and not self.is_quick

    @property
    def is_quick(self) -> bool:
        """Whether training takes seconds, so that folds cost little and nothing need be kept on the way."""
        return self.model.partition(":")[0] in ("linear", "mini", "frozen")

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
    history: list[dict[str, Any]] = field(default_factory=list)
    """What was measured while training, one row per logged step (see ``maeum.history``)."""


def train(
    data: Dataset,
    *,
    valid: Dataset | float | None = None,
    settings: TrainSettings = TrainSettings(),
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Line = lambda _: None,
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
    place = None if output is None or settings.is_quick else Path(f"{output}.partial")
    refuse_untrainable(data.task)
    result = fit(data, valid=valid, settings=settings, work=place, overwrite=overwrite, progress=progress)
    if output is not None and is_main_process():
        progress(say("저장", "saving"))
        save_run(result, Path(output), overwrite=overwrite)
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
    wait_for_all()
    return result


def fit(
    data: Dataset,
    *,
    valid: Dataset | float | None,
    settings: TrainSettings,
    work: Path | None,
    overwrite: bool,
    progress: Line,
) -> RunResult:
    """Train, tune and judge without saving; arguments and errors as of ``train``.

    Args:
        work: folder for the progress of a model that trains long; one that a killed run with the same data and settings
            left is continued.
    """
    run = _Run(settings, progress if is_main_process() else lambda _: None)
    run.prepare(data, valid)
    new_model(settings, run.train_rows.task)  # settings that do not fit are refused before anything is written
    if work is not None:
        claim(work, run.identity(), overwrite=overwrite)
    try:
        return run(work)
    except MaeumError:
        if work is not None and is_main_process() and not has_progress(work):
            shutil.rmtree(work, ignore_errors=True)  # nothing there is worth the next command's while
        raise


class _Run:
    """The stages of a run, timed."""

    def __init__(self, settings: TrainSettings, progress: Line) -> None:
        self.settings = settings
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []

    def prepare(self, data: Dataset, valid: Dataset | float | None) -> None:
        """Split the rows and prepare the texts: all that comes before training."""
        settings = self.settings
        self.source = data.source
        self.train_rows, self.judge_rows = self._split(data, valid)
        self.prep = TextPrep.named(settings.clean)
        self.progress(say(f"글 {len(self.train_rows)}건 준비", f"preparing {len(self.train_rows)} texts"))
        self.inputs = self._timed("prepare", lambda: prepare_all(self.prep, self.train_rows.inputs))
        self.fold = self._folds()
        self._note_missing_in_folds()

    def identity(self) -> dict[str, Any]:
        """What a killed run must share with this one to be continued by it."""
        return {
            "settings": self._settings(),
            "train": self.train_rows.fingerprint,
            "task": self.train_rows.task.fingerprint,
            "maeum": __version__,
        }

    def __call__(self, work: Path | None = None) -> RunResult:
        settings, task, y = self.settings, self.train_rows.task, self.train_rows.y
        fit = self._timed(
            "fit",
            lambda: cross_fit(
                lambda: new_model(settings, task),
                self.inputs,
                y,
                self.fold,
                keep_folds=settings.kept != "refit",
                refit=settings.kept == "refit",
                progress=self.progress,
                work=work,
            ),
        )
        held = np.flatnonzero(self.fold >= 0)
        ids = self.train_rows.ids
        oof = OutOfFold(task, tuple(ids[row] for row in held), y[held], fit.proba[held], self.fold[held])
        self.progress(say("보정과 기준값", "calibration and thresholds"))
        calibration, thresholds = self._timed("tune", lambda: tune(oof, settings))
        self._note_watched()
        predictor = self._answering(fit.models, fit.final, oof, calibration, thresholds)
        about = self._about()
        analyzer = Analyzer(predictor, prep=self.prep, thresholds=thresholds, calibration=calibration, about=about)
        self.progress(say("평가", "evaluating"))
        report = self._timed("evaluate", lambda: self._judge(analyzer, oof))
        logs = [model.history if isinstance(model, FitsWatched) else [] for model in (*fit.models, fit.final)]
        history = [
            row for number, log in enumerate(logs) for row in table(log, fold=number if len(fit.models) > 1 else None)
        ]
        folds = self._fold_analyzers(analyzer, fit.models) if len(fit.models) > 1 else ()
        return RunResult(analyzer, report, oof, folds, self.seconds, history)

    def _folds(self) -> NDArray[np.int64]:
        """(n,) which fold holds each row out; -1 for rows that are only trained on."""
        y, groups = self.train_rows.y, duplicate_groups(self.train_rows.texts)
        seed = self.settings.split_seed
        if self.settings.trains_once:
            _, held = holdout(y, groups, fraction=HELD_SHARE, seed=seed)
            fold = np.full(len(y), -1, np.int64)
            fold[held] = 0
            return fold
        return fold_numbers(y, groups, folds=self.settings.folds or min(DEFAULT_FOLDS, len(y)), seed=seed)

    def _note_missing_in_folds(self) -> None:
        y, task = self.train_rows.y, self.train_rows.task
        missing = [
            key
            for key, column in zip(task.keys, y.T, strict=True)
            if column.any() and any(not column[self.fold != number].any() for number in range(self.fold.max() + 1))
        ]
        if missing:
            self.notes.append(
                say(
                    f"너무 드물어, 어떤 겹에서는 학습 행에 한 번도 나오지 않는 라벨: {', '.join(missing)}",
                    f"labels so rare that some fold trains without ever seeing them: {', '.join(missing)}",
                )
            )

    def _note_watched(self) -> None:
        if self.settings.model_options.get("patience") is not None:
            self.notes.append(
                say(
                    "조기 종료가 떼어 둔 행을 보고 멈출 때를 골랐으므로, 같은 행에서 맞춘 기준값과 교차 검증 점수는 조금 낙관적입니다.",
                    "early stopping chose when to stop by the held-out rows, so out-of-fold scores and thresholds from the "
                    "same rows are a little optimistic",
                )
            )

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        self.seconds[stage] = round(time.perf_counter() - start, 3)
        return result

    def _split(self, data: Dataset, valid: Dataset | float | None) -> tuple[Dataset, Dataset | None]:
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
        if len(models) == 1:
            return models[0]
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

    def _settings(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.settings) | {
            "keep": self.settings.kept,
            "objective": self.settings.objective_for(self.train_rows.task),
        }
        settings["model_options"] = dict(self.settings.model_options)
        return settings

    def _about(self) -> dict[str, Any]:
        rows, judge = self.train_rows, self.judge_rows
        return {
            "settings": self._settings(),
            "train": {
                "source": self.source,
                "rows": len(rows),
                "fingerprint": rows.fingerprint,
                "support": dict(zip(rows.task.keys, map(int, rows.y.sum(0)), strict=True)),
            },
            "valid": judge and {"source": judge.source, "rows": len(judge), "fingerprint": judge.fingerprint},
            "versions": library_versions(),
            "notes": self.notes,
        }

    def _judge(self, analyzer: Analyzer, oof: OutOfFold) -> Report:
        rows, judge = self.train_rows, self.judge_rows
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


def claim(work: Path, identity: Mapping[str, Any], *, overwrite: bool) -> None:
    """Take over the work folder of a killed run with the same data and settings, or begin a new one.

    Raises:
        UsageError: it holds the progress of another run.
    """
    path = work / "run.json"
    text = pretty_json(identity)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        if not overwrite and has_progress(work):
            raise UsageError(
                f"'{work}'에 다른 데이터나 설정으로 하다 만 학습이 있습니다. 그 학습을 이으려면 같은 명령을 쓰고, 버리려면 --overwrite를 주세요.",
                f"'{work}' holds an unfinished run with other data or settings; repeat that command to continue it, or "
                "give --overwrite to discard it",
            )
        if is_main_process():
            shutil.rmtree(work)
    wait_for_all()
    if is_main_process() and not path.exists():
        write_text(path, text)


def has_progress(work: Path) -> bool:
    """Whether a work folder holds anything that was trained."""
    return any(work.rglob("checkpoint-*")) or any(work.rglob("done.json"))


def new_model(settings: TrainSettings, task: Task) -> Classifier:
    """An untrained model for these settings."""
    spec = resolved(settings.model)
    kind, _, argument = spec.partition(":")
    if kind == "frozen" and argument:
        model_folder.check(Path(argument))  # a trunk that was changed or cut short is refused like any other model
    return make_classifier(spec, task, seed=settings.seed, options=dict(settings.model_options))


def resolved(spec: str) -> str:
    """A model spec with the embedded model's folder in the place of its name.

    ``mini`` is its trunk, kept as it is; ``encoder:mini`` an encoder of its weights, for training further.
    """
    if spec == "mini":
        return f"frozen:{model_folder.embedded('mini')}"
    if spec == "encoder:mini" and not (Path("mini") / "config.json").is_file():
        return f"encoder:{model_folder.embedded_base()}"
    return spec


def prepare_all(prep: TextPrep, inputs: Sequence[Input]) -> list[Input]:
    """Prepared inputs, in order."""
    return [prep.prepare_input(item) for item in inputs]


def tune(oof: OutOfFold, settings: TrainSettings) -> tuple[Calibration, Thresholds]:
    """Calibration, and thresholds on the calibrated probabilities, from out-of-fold rows."""
    folds = int(oof.fold.max()) + 1
    # calibration is judged on parts it was not fitted on; rows held out together have no folds, so any parts will do
    parts = oof.fold if folds > 1 else np.arange(len(oof.ids)) % DEFAULT_FOLDS
    calibration = (
        fit_calibration(oof.y, oof.proba, parts, oof.task) if settings.calibrate else Calibration.identity(oof.task)
    )
    tuned_on = f"out-of-fold probabilities of {len(oof.ids)} training rows, {folds} folds"
    if folds == 1:
        tuned_on = f"{len(oof.ids)} training rows that were held out"
    proba = calibration.apply(oof.proba)
    objective = settings.objective_for(oof.task)
    if settings.shrinkage is None:
        towards, shrinkage = choose_pull(oof.y, proba, oof.task, objective=objective, parts=parts)
        if oof.task.kind == "multilabel":
            tuned_on += f"; pulled towards {towards} ({shrinkage:g} pseudo-positives)"
    else:
        towards, shrinkage = "common", settings.shrinkage
    thresholds = tune_thresholds(
        oof.y,
        proba,
        oof.task,
        objective=objective,
        towards=towards,
        shrinkage=shrinkage,
        empty=settings.empty,
        tuned_on=tuned_on,
        resamples=100,
        seed=settings.seed,
    )
    return calibration, thresholds


def save_run(result: RunResult, output: Path, *, overwrite: bool = False, section: str = "") -> None:
    """Write the model folder of a run: all of it or nothing.

    Args:
        section: what else the model card should say, in Markdown.
    """
    analyzer = result.analyzer
    with atomic_folder(output, overwrite=overwrite) as target:
        model_folder.write_analyzer(analyzer, target)
        result.oof.save(target)
        write_text(target / "report.json", result.report.to_json())
        write_text(target / "report.html", result.report.to_html())
        if result.history:
            write_csv(target / "history.csv", result.history)
            write_chart(target / "history.svg", result.history)
        write_text(target / "README.md", model_card(analyzer, result.report, section))
        for number, fold_analyzer in enumerate(result.fold_analyzers):
            place = target / "folds" / str(number)
            place.mkdir(parents=True)
            model_folder.write_analyzer(fold_analyzer, place)
            model_folder.seal(place, fold_analyzer.predictor.kind, fold_analyzer.task)
        model_folder.seal(target, analyzer.predictor.kind, analyzer.task)


def model_card(analyzer: Analyzer, report: Report, section: str = "") -> str:
    """A model card in Markdown with Hugging Face front matter; ``section`` is put before how to use the model."""
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
        *([section] if section else []),
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
    """Say so where a task kind takes more than one stage.

    Raises:
        UsageError: an aspect task.
    """
    if task.kind == "aspect":
        raise UsageError(
            f"과제 '{task.name}'은(는) 속성(aspect) 과제라 두 단계로 학습합니다: maeum.train이나 maeum.reviews.train을 쓰세요.",
            f"task '{task.name}' is an aspect task, which trains in two stages: use maeum.train or maeum.reviews.train",
        )


def library_versions() -> dict[str, str]:
    """Versions that shaped a result."""
    import scipy

    return {
        "maeum": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def _score(y: Labels, decided: Labels) -> float:
    from maeum.metrics import counts

    return float(counts(y, decided).f1.mean())
