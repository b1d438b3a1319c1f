"""Hyper-parameter search: many short runs of ``experiment.train``, chosen by Optuna, kept in an SQLite file.

What a trial is worth: the metric on its out-of-fold rows, each fold decided with thresholds that were tuned on the
other folds, so that a trial is not judged by thresholds fitted to the very rows it is judged on. All trials share one
split. The best of many trials is still a little lucky on these rows; ``valid`` rows are never seen by a trial and judge
the best configuration at the end.

Several processes may work on one file. Each holds a lock for as long as it lives; a trial still marked as running
whose lock is free belongs to a process that died, and is done again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import math
import shlex
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from maeum._files import canonical_json, write_text
from maeum._lang import say
from maeum._optional import require
from maeum._processes import process_count
from maeum._progress import Line, Step, steps
from maeum.data import Dataset
from maeum.errors import MaeumError, TaskMismatch, UsageError
from maeum.experiment import DEFAULT_FOLDS, TrainSettings, train
from maeum.metrics import decision_metrics
from maeum.search_report import SearchTable, Trial, html_page, write_csv
from maeum.search_space import Space, config_toml, short
from maeum.splits import duplicate_groups, holdout
from maeum.task import Task
from maeum.thresholds import tune_thresholds

if TYPE_CHECKING:
    import optuna

METRICS = ("micro-f1", "macro-f1", "accuracy")
PRUNE_AFTER = 5
"""Finished trials before a bad one may be stopped early."""
MOST_FAILURES = 3
"""Failures in a row that end the search: something is wrong with all trials, not with one."""
MOST_DEATHS = 2
"""How often a trial whose process died is tried again."""
STUDY = "maeum"
_FOLD_STEP = 1000
"""Steps of folds are counted from here on, those of epochs below, so that like is compared with like."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found."""

    output: Path
    metric: str
    trials: tuple[Trial, ...]
    """In the order they were begun; those of other processes that are still running too."""
    best: Trial | None
    settings: TrainSettings | None
    """The best trial's settings, fixed ones included."""
    importance: Mapping[str, float] = field(default_factory=dict)
    """How much of the variation of the metric each setting explains (0–1, sum 1); empty if too few trials can say."""
    valid: Mapping[str, float | None] | None = None
    """Metrics of the best configuration on the ``valid`` rows."""
    unfinished: int = 0
    """Trials that other processes are still working on."""

    @property
    def counts(self) -> dict[str, int]:
        """How many trials ended how."""
        states = [trial.state for trial in self.trials]
        return {state: states.count(state) for state in ("complete", "pruned", "failed", "running")}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        best = self.best
        return {
            "output": str(self.output),
            "metric": self.metric,
            "trials": self.counts,
            "best": best and {"number": best.number, "value": best.value, "values": dict(best.values)},
            "settings": self.settings and dataclasses.asdict(self.settings),
            "importance": dict(self.importance),
            "valid": self.valid and dict(self.valid),
            "unfinished": self.unfinished,
        }


def search(
    data: Dataset,
    output: str | Path,
    *,
    space: Space | None = None,
    trials: int = 20,
    valid: Dataset | float | None = None,
    metric: str | None = None,
    storage: str | Path | None = None,
    seed: int = 42,
    timeout: float | None = None,
    overwrite: bool = False,
    finish: bool = True,
    on_start: Callable[[], None] = lambda: None,
    command: str = "",
    progress: Line = lambda _: None,
) -> SearchResult:
    """Search settings, keep every trial, and write a table, a report and the best configuration.

    Called again with the same data and space it goes on to ``trials`` trials in total, whoever did the others.

    Args:
        data: labelled rows, which trials train on and are judged on out of fold.
        output: folder for ``study.db``, ``trials.csv``, ``report.html``, ``best.toml`` and, with ``valid``, the model
            folder ``best``.
        space: what to vary; None: the built-in space of the linear model.
        trials: how many in total; failed ones count, those of killed processes do not.
        valid: rows no trial ever sees, or the share (0–1) of ``data`` to hold out; they judge the best configuration.
        metric: micro-f1, macro-f1 or accuracy; None: the threshold objective of the runs.
        storage: the SQLite file, if not ``output/study.db``.
        seed: of the sampler; with one process it fixes which trials are made.
        timeout: minutes after which no further trial is begun.
        overwrite: forget the trials in ``storage``.
        finish: write the results at the end; a helping process leaves that to the one it helps.
        on_start: called once the study is open, before the first trial; helping processes are started here.
        command: words after ``maeum train`` that read the same data, for the report.
        progress: called with a line after each trial.

    Raises:
        MissingExtra: Optuna is not installed.
        UsageError: nothing to vary, a metric that does not exist, or a storage with a search of other data or settings.
        MaeumError: three trials in a row failed; the sentence of the last is in it.
    """
    optuna = require("optuna")
    if data.task.kind == "aspect":
        raise UsageError(
            f"tune은 속성 과제('{data.task.name}')를 받지 않습니다. 단계마다의 설정을 'maeum train --set sentiment.이름=값'으로 "
            "바꾸어 가며 같은 --valid로 견주세요.",
            f"tune does not take aspect tasks ('{data.task.name}'); change the settings of a stage with "
            "'maeum train --set sentiment.NAME=VALUE' and compare on the same --valid",
        )
    space = space or Space.default("linear", len(data.task))
    _check(space, trials, valid, data)
    space, metric = _with_metric(space, metric, data.task)
    rows, judge = _split(data, valid, space)
    place = Path(output)
    identity = {
        "data": rows.fingerprint,
        "task": rows.task.fingerprint,
        "space": space.to_dict(),
        "metric": metric,
        "seed": seed,
    }
    with _quiet(optuna), _Study(optuna, _storage_path(storage, place), identity, overwrite) as study:
        work = _Work(study, rows, space, metric, trials, seed, progress)
        on_start()
        stopped: MaeumError | None = None
        try:
            work.run(None if timeout is None else time.monotonic() + 60 * timeout)
        except MaeumError as error:
            stopped = error
        if not finish:
            if stopped is not None:
                raise stopped
            return _result(study, place, space, metric)
        study.tell_dead()
        result = _write(study, place, space, metric, rows.task, command)
        if stopped is not None:
            raise stopped
        if judge is not None and not result.unfinished and result.best is not None:
            result = _judged(study, result, data, judge, valid, place, progress)
            _write(study, place, space, metric, rows.task, command)
        return result


def trial_score(metric: str, task: Task, y: NDArray[Any], decided: NDArray[Any]) -> float:
    """The metric of decisions (n, k); ``accuracy`` is the share of right rows (multiclass) or right cells."""
    found = decision_metrics(y, decided)
    if metric == "accuracy":
        return found["subset_accuracy" if task.kind == "multiclass" else "label_accuracy"]
    return found[metric.replace("-", "_")]


def cross_fitted(
    y: NDArray[Any], proba: NDArray[Any], fold: NDArray[Any], task: Task, settings: TrainSettings
) -> NDArray[np.uint8]:
    """Decisions (n, k) of out-of-fold probabilities, each fold's with thresholds tuned on the other folds.

    Rows that were held out together have no folds; they are dealt into parts instead.
    """
    numbers, parts = np.unique(fold, return_inverse=True)
    if len(numbers) < 2:
        parts = np.arange(len(y)) % min(DEFAULT_FOLDS, max(len(y), 1))
    decided = np.zeros(y.shape, np.uint8)
    for part in np.unique(parts):
        held = parts == part
        tuned_on = ~held if (~held).any() else held  # a single row has no others
        rule = tune_thresholds(
            y[tuned_on],
            proba[tuned_on],
            task,
            objective=settings.objective_for(task),
            # the same pull for every trial: choosing one within each part would cost more than it tells
            shrinkage=5.0 if settings.shrinkage is None else settings.shrinkage,
            empty=settings.empty,
        )
        decided[held] = rule.decide(proba[held])
    return decided


# -- before the trials ------------------------------------------------------------------------------------------------


def _check(space: Space, trials: int, valid: Dataset | float | None, data: Dataset) -> None:
    if not space.varied:
        raise UsageError(
            "탐색 공간에 바꿀 설정이 없습니다. low·high나 choices가 있는 표를 하나 이상 적으세요.",
            "the space varies nothing; give at least one table with low and high, or choices",
        )
    if trials < 1:
        raise UsageError(f"시도 수는 1 이상이어야 합니다: {trials}", f"at least one trial is needed, got {trials}")
    if process_count() > 1:
        raise UsageError(
            "accelerate로 여러 프로세스를 띄워 탐색할 수는 없습니다. 대신 --workers를 쓰거나 같은 명령을 여러 번 실행하세요.",
            "a search does not run under accelerate with several processes; use --workers, or start the command several times",
        )
    if isinstance(valid, Dataset) and valid.task.fingerprint != data.task.fingerprint:
        raise TaskMismatch(
            f"평가 데이터의 과제 '{valid.task.name}'가 학습 데이터의 과제 '{data.task.name}'와 다릅니다.",
            f"the valid rows are of task '{valid.task.name}', the training rows of '{data.task.name}'",
        )


def _with_metric(space: Space, metric: str | None, task: Task) -> tuple[Space, str]:
    """The metric in force, and the space whose runs tune thresholds for it and watch it."""
    if metric is not None and metric not in METRICS:
        raise UsageError(
            f"점수 '{metric}'을(를) 모릅니다. 쓸 수 있는 것: {', '.join(METRICS)}",
            f"unknown metric '{metric}'; choose from {', '.join(METRICS)}",
        )
    objective = space.fixed.get("objective") or metric or TrainSettings().objective_for(task)
    chosen = metric or (objective if objective in METRICS else "macro-f1")
    space = space.fixing(objective=objective)
    # several models to choose from are encoders: there is one linear model
    if space.fixed.get("model", "encoder:") != "linear" and "metric" not in space.fixed:
        # of exclusive labels micro-F1 is the accuracy, which is how an encoder's evaluation calls it
        watched = "accuracy" if task.kind == "multiclass" and chosen == "micro-f1" else chosen
        space = space.fixing(metric=watched)
    return space, chosen


def _split(data: Dataset, valid: Dataset | float | None, space: Space) -> tuple[Dataset, Dataset | None]:
    """Rows of the trials, and rows that judge the best of them."""
    rows = data.labelled()
    if valid is None or isinstance(valid, Dataset):
        return rows, valid
    # the same split as experiment.train makes, so that the best configuration is judged on rows no trial saw
    seed = int(space.fixed.get("split_seed", TrainSettings().split_seed))
    kept, held = holdout(rows.y, duplicate_groups(rows.texts), fraction=float(valid), seed=seed)
    return rows.select(kept), rows.select(held)


def _storage_path(storage: str | Path | None, output: Path) -> Path:
    if storage is not None and "://" in str(storage):
        raise UsageError(
            f"--storage는 SQLite 파일의 경로입니다(주소가 아니라): {storage}",
            f"--storage is the path of an SQLite file, not an address: {storage}",
        )
    if output.exists() and (not output.is_dir() or (output / "manifest.json").exists()):
        raise UsageError(
            f"'{output}'은(는) 탐색 결과를 쓸 폴더가 아닙니다(파일이거나 모델 폴더). 다른 이름을 쓰세요.",
            f"'{output}' is a file or a model folder, not a place for a search; choose another name",
        )
    return Path(storage) if storage is not None else output / "study.db"


# -- the trials -------------------------------------------------------------------------------------------------------


class _Lock:
    """A lock between processes that the system takes back when its holder dies, on every system that has SQLite."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: sqlite3.Connection | None = None

    def acquire(self, wait: float) -> bool:
        """Whether the lock was free within ``wait`` seconds."""
        connection = sqlite3.connect(self.path, timeout=wait, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=MEMORY")  # nothing is written, so no journal beside it
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            if "locked" not in str(error):
                raise MaeumError(
                    f"'{self.path}'을(를) 잠글 수 없습니다: {error}. 탐색 파일을 다른 디스크에 두세요(--storage).",
                    f"cannot lock '{self.path}': {error}; put the study on another disk (--storage)",
                ) from error
            return False
        self._held = connection
        return True

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


class _Study:
    """The study in its file, with the locks beside it."""

    def __init__(self, module: Any, path: Path, identity: Mapping[str, Any], overwrite: bool) -> None:
        self.optuna = module
        self.path = path
        self.identity = identity
        self.overwrite = overwrite
        self.locks = Path(f"{path}.locks")
        self.token = uuid.uuid4().hex[:12]
        self._mine = _Lock(self.locks / self.token)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.locks.mkdir(exist_ok=True)
        with self.alone():
            busy = [path for path in self.locks.glob("?" * len(self.token)) if self._lives(path.name)]
            if self.overwrite and self.path.exists():
                self._forget(busy)
            self._mine.acquire(0)
            try:
                self._open()
                self._check_identity()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        storage = getattr(self, "storage", None)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
        self._mine.release()
        self._mine.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process changes the list of trials while the block runs."""
        lock = _Lock(self.locks / "all")
        if not lock.acquire(600):
            raise MaeumError(
                f"다른 탐색 프로세스가 '{self.path}'을(를) 10분 넘게 잠그고 있습니다.",
                f"another process has kept '{self.path}' locked for more than ten minutes",
            )
        try:
            yield
        finally:
            lock.release()

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials, fresh from the file."""
        found: list[optuna.trial.FrozenTrial] = self.study.get_trials(deepcopy=False)
        return found

    def tell_dead(self) -> None:
        """Mark trials of processes that died as failed, and put them on the list again."""
        with self.alone():
            self.retry_dead()

    def retry_dead(self) -> None:
        """``tell_dead`` for a caller who holds the lock."""
        states = self.optuna.trial.TrialState
        for trial in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if self._lives(str(trial.user_attrs.get("worker", ""))):
                continue
            deaths = int(trial.user_attrs.get("deaths", 0)) + 1
            if deaths > MOST_DEATHS:
                sentence = say(
                    f"이 시도를 하던 프로세스가 {deaths}번 죽었습니다(메모리 부족일 수 있습니다).",
                    f"the process of this trial died {deaths} times (perhaps for want of memory)",
                )
                self.storage.set_trial_user_attr(trial._trial_id, "error", sentence)
            else:
                attributes = {"deaths": deaths, "retry_of": trial.number}
                self.study.enqueue_trial(trial.params, user_attrs=attributes)
            self.study.tell(trial.number, state=states.FAIL)

    def _lives(self, worker: str) -> bool:
        if worker == self.token:
            return True
        path = self.locks / worker
        # the file of a dead one is taken away here
        if not worker or not path.exists():
            return False
        lock = _Lock(path)
        if not lock.acquire(0):
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False

    def _forget(self, busy: Sequence[Path]) -> None:
        if busy:
            raise UsageError(
                f"다른 프로세스가 '{self.path}'에서 탐색하고 있어 버릴 수 없습니다.",
                f"another process is searching in '{self.path}', so it cannot be discarded",
            )
        if self.path.read_bytes()[:16] != b"SQLite format 3\0":
            raise UsageError(
                f"'{self.path}'은(는) 탐색 파일이 아니어서 지우지 않습니다.",
                f"'{self.path}' is no study, so it is not removed",
            )
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _open(self) -> None:
        try:
            self.storage = self.optuna.storages.RDBStorage(
                f"sqlite:///{self.path.absolute()}", engine_kwargs={"connect_args": {"timeout": 120}}
            )
            self.study = self.optuna.create_study(
                study_name=STUDY,
                storage=self.storage,
                direction="maximize",
                load_if_exists=True,
                pruner=self.optuna.pruners.MedianPruner(n_startup_trials=PRUNE_AFTER),
            )
        except Exception as error:
            if "file is not a database" in str(error) or isinstance(error, RuntimeError):
                raise UsageError(
                    f"'{self.path}'은(는) 이 버전이 읽을 수 있는 탐색 파일이 아닙니다: {error}",
                    f"'{self.path}' is not a study this version can read: {error}",
                ) from error
            raise

    def _check_identity(self) -> None:
        words = self.study.user_attrs.get("identity")
        if words is None:
            self.study.set_user_attr("identity", canonical_json(self.identity))
            return
        before = json.loads(words)
        now = json.loads(canonical_json(self.identity))
        names = {
            "data": say("데이터", "data"),
            "task": say("과제", "task"),
            "space": say("탐색 공간", "space"),
            "metric": say("점수", "metric"),
            "seed": say("씨앗", "seed"),
        }
        other = [names[name] for name in names if before.get(name) != now[name]]
        if other:
            raise UsageError(
                f"'{self.path}'에는 다른 탐색이 있습니다(다른 것: {', '.join(other)}). 다른 -o를 쓰거나, 버리려면 --overwrite를 주세요.",
                f"'{self.path}' holds another search (what differs: {', '.join(other)}); choose another -o, or discard it "
                "with --overwrite",
            )


class _Work:
    """One process's share of the trials."""

    def __init__(
        self, study: _Study, rows: Dataset, space: Space, metric: str, trials: int, seed: int, progress: Line
    ) -> None:
        self.study = study
        self.rows = rows
        self.space = space
        self.metric = metric
        self.total = trials
        self.seed = seed
        self.progress = progress

    def run(self, until: float | None) -> None:
        """Trials until there are enough, or it is time."""
        failures = 0
        while until is None or time.monotonic() < until:
            trial = self._next()
            if trial is None:
                return
            sentence = self._do(trial)
            self.settle()
            failures = failures + 1 if sentence else 0
            if failures >= MOST_FAILURES:
                raise MaeumError(
                    f"시도 {failures}개가 잇달아 실패해 탐색을 멈춥니다. 마지막 오류: {sentence}",
                    f"{failures} trials in a row failed, so the search stops; the last said: {sentence}",
                )
        self.progress(say("시간이 다 되어 새 시도를 하지 않습니다.", "time is up: no further trials"))

    @staticmethod
    def settle() -> None:
        """Give back what a trial held, a failed one above all."""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _next(self) -> optuna.Trial | None:
        """A new trial with its values chosen, or None if there are enough."""
        study = self.study
        with study.alone():
            study.retry_dead()
            trials = study.trials()
            if sum(map(_counts, trials)) >= self.total:
                return None
            if not trials and self.space.start():
                study.study.enqueue_trial(self.space.start())
                trials = study.trials()
            begun = sum(trial.state.name != "WAITING" for trial in trials)
            # a sampler's numbers begin anew in each process: seeded by the trial's place, a search that goes on after
            # a stop makes the trials it would have made without
            sampler = study.optuna.samplers.TPESampler(seed=(self.seed * 1_000_003 + begun) % 2**32)
            study.study.sampler = sampler
            trial: optuna.Trial = study.study.ask(fixed_distributions=self.space.distributions())
            trial.set_user_attr("worker", study.token)
            return trial

    def _do(self, trial: optuna.Trial) -> str:
        """Train, and tell the study; the sentence of a failure, else nothing."""
        states = self.study.optuna.trial.TrialState
        values = self.space.values(trial.params)
        known = self._known(trial)
        try:
            value = self._value(trial, self.space.train_settings(values)) if known is None else known
        except self.study.optuna.TrialPruned:
            self.study.study.tell(trial, state=states.PRUNED)
            self._say(trial, say("중단", "pruned"), values)
            return ""
        except Exception as error:
            # whatever goes wrong in one trial must not end the others: an interrupt is no Exception and does
            sentence = _sentence(error)
            trial.set_user_attr("error", sentence)
            self.study.study.tell(trial, state=states.FAIL)
            self._say(trial, say("실패", "failed") + f": {sentence}", values)
            return sentence
        self.study.study.tell(trial, value)
        self._say(trial, f"{self.metric} {value:.4f}", values)
        return ""

    def _value(self, trial: optuna.Trial, settings: TrainSettings) -> float:
        if settings.keep == "refit" and settings.model != "linear":
            # the model of all rows would be trained for nothing: only the folds judge a trial
            settings = dataclasses.replace(settings, keep="mean")
        listener = _Listener(self.study.optuna, trial, self.metric, self.rows.task, settings, self.progress)
        result = train(self.rows, settings=settings, progress=listener)
        oof, task = result.oof, self.rows.task
        # calibration keeps the order of a label's probabilities; the run's own does as well as one per fold
        proba = result.analyzer.calibration.apply(oof.proba)
        return trial_score(self.metric, task, oof.y, cross_fitted(oof.y, proba, oof.fold, task, settings))

    def _known(self, trial: optuna.Trial) -> float | None:
        """The value of an earlier trial with the same settings, which would come out the same."""
        for other in self.study.trials():
            if other.number != trial.number and other.params == trial.params and other.state.name == "COMPLETE":
                trial.set_user_attr("same_as", other.number)
                return None if other.value is None else float(other.value)
        return None

    def _say(self, trial: optuna.Trial, outcome: str, values: Mapping[str, Any]) -> None:
        done = [each for each in self.study.trials() if each.state.name == "COMPLETE" and each.value is not None]
        best = max(done, key=lambda each: (each.value or 0.0, -each.number), default=None)
        shown = " ".join(f"{name.replace('_', '-')}={short(value)}" for name, value in values.items())
        tail = ""
        if best is not None:
            tail = say(f"최고 {best.value:.4f}: 시도 {best.number}", f"best {best.value:.4f}: trial {best.number}")
        place = say(f"시도 {trial.number}", f"trial {trial.number}")
        self.progress(f"{place}  {outcome}  ({tail or say('아직 없음', 'no best yet')})  {shown}")


class _Listener:
    """Hands what a trial measures on its way to the pruner; lines of its stages are not shown, bars are."""

    def __init__(
        self, module: Any, trial: optuna.Trial, metric: str, task: Task, settings: TrainSettings, progress: Line
    ) -> None:
        self.optuna = module
        self.trial = trial
        self.metric = metric
        self.task = task
        self.settings = settings
        self.progress = progress
        self.folds = 0
        self.seen: set[int] = set()

    def __call__(self, line: str) -> None:
        """The lines of one run among many would bury those of the search."""

    def bar(self, name: str, total: int) -> AbstractContextManager[Step]:
        """The bar of the search's own listener."""
        return steps(self.progress, say(f"시도 {self.trial.number} ", f"trial {self.trial.number} ") + name, total)

    def evaluated(self, epoch: float, scores: Mapping[str, float]) -> None:
        """Compare by whole epochs, which trials with other batch sizes share; only in the first fold."""
        watched = str(self.settings.model_options.get("metric", self.metric))
        value = scores.get(watched)
        if value is not None and self.folds == 0:
            self._report(int(epoch + 1e-6), -value if watched == "loss" else value)

    def folds_done(self, folds: int, y: NDArray[Any], proba: NDArray[Any]) -> None:
        """The trial's metric on the folds so far."""
        self.folds = folds
        decided = cross_fitted(y, proba, np.zeros(len(y), np.int64), self.task, self.settings)
        self._report(_FOLD_STEP * folds, trial_score(self.metric, self.task, y, decided))

    def _report(self, step: int, value: float) -> None:
        if step in self.seen or not math.isfinite(value):
            return
        self.seen.add(step)
        self.trial.report(value, step)
        if self.trial.should_prune():
            raise self.optuna.TrialPruned


def _counts(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a trial counts towards the total: not those on the list, nor those of processes that died."""
    if trial.state.name == "FAIL":
        return "error" in trial.user_attrs
    return trial.state.name != "WAITING"


def _sentence(error: Exception) -> str:
    words = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError):
        words = say("메모리가 모자랍니다.", "out of memory")
    elif not isinstance(error, MaeumError):
        words = f"{type(error).__name__}: {words}"
    return " ".join(words.split())[:500]


@contextlib.contextmanager
def _quiet(module: Any) -> Iterator[None]:
    """Optuna's own log lines are off while the block runs."""
    before = module.logging.get_verbosity()
    module.logging.set_verbosity(module.logging.ERROR)
    try:
        yield
    finally:
        module.logging.set_verbosity(before)


# -- after the trials -------------------------------------------------------------------------------------------------

_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def _result(study: _Study, place: Path, space: Space, metric: str) -> SearchResult:
    found = [
        Trial(
            number=trial.number,
            state=_STATES[trial.state.name],
            value=trial.value if trial.state.name == "COMPLETE" else None,
            seconds=trial.duration.total_seconds() if trial.duration is not None else None,
            values=space.values(trial.params),
            # a failure without a sentence is a process that died
            error=str(trial.user_attrs.get("error") or say("프로세스가 죽어 다시 함", "process died; done again"))
            if trial.state.name == "FAIL"
            else "",
            last=max(trial.intermediate_values.items(), default=(0, None))[1],
        )
        for trial in study.trials()
        if trial.state.name in _STATES
    ]
    complete = [trial for trial in found if trial.value is not None]
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
    running = sum(trial.state == "running" for trial in found)
    return SearchResult(
        output=place,
        metric=metric,
        trials=tuple(found),
        best=best,
        settings=space.train_settings(best.values) if best is not None else None,
        importance=_importance(study, complete),
        unfinished=running,
    )


def _importance(study: _Study, complete: list[Trial]) -> dict[str, float]:
    """fANOVA (Hutter et al. 2014), seeded; nothing where the finished trials cannot tell the settings apart."""
    if len(complete) < 2 or len({trial.value for trial in complete}) < 2:
        return {}
    importance = study.optuna.importance
    try:
        found = importance.get_param_importances(
            study.study, evaluator=importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
        )
    except (ValueError, RuntimeError):
        return {}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _write(study: _Study, place: Path, space: Space, metric: str, task: Task, command: str) -> SearchResult:
    """Table, page and best configuration, from what the study holds now."""
    place.mkdir(parents=True, exist_ok=True)
    with study.alone():
        result = _result(study, place, space, metric)
        write_csv(result.trials, place / "trials.csv")
        again = train_command(place, command)
        table = SearchTable(
            task=task.name,
            metric=metric,
            trials=result.trials,
            best=result.best,
            importance=result.importance,
            fixed={name.replace("_", "-"): short(value) for name, value in space.fixed.items()},
            config=_best_toml(result, again),
            command=again,
            valid=study.study.user_attrs.get("judged", {}).get("metrics"),
        )
        if result.settings is not None:
            write_text(place / "best.toml", table.config)
        write_text(place / "report.html", html_page(table))
        return result


def train_command(place: Path, command: str) -> str:
    """The one line that trains the best configuration."""
    config, model = shlex.quote(str(place / "best.toml")), shlex.quote(str(place / "model"))
    return f"maeum train {command or 'DATA'} --config {config} -o {model}"


def _best_toml(result: SearchResult, again: str) -> str:
    if result.settings is None or result.best is None:
        return ""
    value = result.best.value or 0.0
    told = say(
        f"maeum tune이 찾은 설정: 시도 {result.best.number}, {result.metric} {value:.4f} (교차 검증)",
        f"found by maeum tune: trial {result.best.number}, {result.metric} {value:.4f} (out of fold)",
    )
    return config_toml(result.settings, (told, " ".join(again.split())))


def _judged(
    study: _Study,
    result: SearchResult,
    data: Dataset,
    judge: Dataset,
    valid: Dataset | float | None,
    place: Path,
    progress: Line,
) -> SearchResult:
    """The best configuration trained once more and judged on the valid rows, once for each best trial."""
    assert result.best is not None
    assert result.settings is not None
    mark = {"trial": result.best.number, "valid": judge.fingerprint}
    lock = _Lock(study.locks / "judge")
    if not lock.acquire(0):
        progress(
            say("다른 프로세스가 가장 좋은 설정을 평가하고 있습니다.", "another process is judging the best settings")
        )
        return dataclasses.replace(result, unfinished=1)
    try:
        before = study.study.user_attrs.get("judged", {})
        if {name: before.get(name) for name in mark} == mark and (place / "best" / "manifest.json").exists():
            return dataclasses.replace(result, valid=before["metrics"])
        progress(
            say(
                f"가장 좋은 설정(시도 {result.best.number})으로 학습해 평가 행에서 잽니다.",
                f"training with the best settings (trial {result.best.number}) and judging on the valid rows",
            )
        )
        run = train(
            data, valid=valid, settings=result.settings, output=place / "best", overwrite=True, progress=progress
        )
        metrics = dict(run.report.metrics)
        study.study.set_user_attr("judged", {**mark, "metrics": metrics})
        return dataclasses.replace(result, valid=metrics)
    finally:
        lock.release()
