"""Hyper-parameter search: spaces, trials that add up, dead and bad trials, pruning, and what is written."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maeum import search as search_module
from maeum._lang import set_language
from maeum._progress import ScoreListener, report_folds, report_scores
from maeum.apps.cli import run
from maeum.data import Dataset
from maeum.errors import MaeumError, MissingExtra, UsageError
from maeum.experiment import TrainSettings, train
from maeum.formats import read
from maeum.search import cross_fitted, search, trial_score
from maeum.search_report import Trial, history_chart
from maeum.search_space import Choice, Range, Space, config_toml

optuna = pytest.importorskip("optuna")

_spec = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parents[1] / "tiny.py")
assert _spec is not None
assert _spec.loader is not None
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)

QUICK = """
[fixed]
model = "linear"
folds = 2
keep = "refit"
[solver.logistic-penalty]
low = 0.05
high = 2.0
log = true
start = 0.2
[solver.newton-steps]
low = 1
high = 2
[few-ngrams.orders]
choices = [[1], [1, 2]]
[few-ngrams.jamo-orders]
choices = [[3], [4]]
"""


@pytest.fixture(autouse=True)
def _english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return read("sample:nikl-ea").select(np.arange(80))


@pytest.fixture(scope="module")
def found(rows: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("search") / "tune"
    set_language("en")
    result = search(rows, folder, space=Space.parse(QUICK), trials=4, valid=0.25, command="sample:nikl-ea --valid 0.25")
    return folder, result


# -- the space --------------------------------------------------------------------------------------------------------


def test_a_space_knows_ranges_choices_and_fixed_settings():
    space = Space.parse(
        """
        [fixed]
        model = "encoder:some/base"
        max-length = 128
        [learning-rate]
        low = 1e-5
        high = 2e-4
        log = true
        [batch-size]
        choices = [16, 32]
        [epochs]
        low = 2
        high = 5
        step = 1
        [clean]
        choices = ["default", "none"]
        """
    )
    assert space.varied["learning_rate"] == Range(1e-5, 2e-4, log=True)
    assert space.varied["batch_size"] == Choice((16, 32))
    assert space.varied["epochs"] == Range(2.0, 5.0, step=1)
    settings = space.train_settings({"learning_rate": 1e-4, "batch_size": 16, "epochs": 2.0, "clean": "none"})
    assert settings.clean == "none"
    assert settings.model_options == {"max_length": 128, "learning_rate": 1e-4, "batch_size": 16, "epochs": 2.0}
    assert type(space.distributions()["epochs"]).__name__ == "FloatDistribution"


def test_lists_go_through_optuna_and_back():
    space = Space.parse(QUICK)
    words = {"few_ngrams.orders": "[1,2]", "solver.newton_steps": 2}
    assert space.values(words) == {"solver.newton_steps": 2, "few_ngrams.orders": [1, 2]}
    assert space.train_settings(space.values(words)).model_options == {
        "solver": {"newton_steps": 2},
        "few_ngrams": {"orders": [1, 2]},
    }
    assert space.start() == {"solver.logistic_penalty": 0.2}


@pytest.mark.parametrize(("model", "labels"), [("linear", 8), ("linear", 44), ("encoder:some/base", 8)])
def test_built_in_spaces_are_sound_and_start_at_the_defaults(model: str, labels: int):
    space = Space.default(model, labels)
    assert set(space.start()) == set(space.varied)
    assert set(space.distributions()) == set(space.varied)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learnin-rate]\nlow = 1\nhigh = 2\n[fixed]\nmodel = 'encoder:x'", "did you mean 'learning-rate'"),
        ("[penalty]\nlow = 1\nhigh = 2", r"unknown setting 'penalty'; did you mean '(solver|stack).penalty'"),
        ("[fixed]\nfold = 3", "did you mean 'folds'"),
        ("[min-df]\nlow = 1\nhihg = 2", "unknown word in .min-df. 'hihg'; did you mean 'high'"),
        ("[min-df]\nlow = 1.5\nhigh = 2", "whole numbers"),
        ("[min-df]\nlow = 3\nhigh = 2", "must be below"),
        ("[min-df]\nlow = 1\nhigh = 4\nstep = 2", "whole number of steps"),
        ("[min-df]\nlow = 1", "needs low and high"),
        ("[min-df]\nlow = 1\nhigh = 4\nstart = 9", "must lie in"),
        ("[solver.penalty]\nlow = 0\nhigh = 1\nlog = true", "low must be above 0"),
        ("[clean]\nlow = 0\nhigh = 1", "takes choices"),
        ("[clean]\nchoices = ['default']", "two values or more"),
        ("[keep]\nchoices = ['mean', 'worst']", "'worst' does not fit 'keep'; it takes: mean, best, refit"),
        ("[split-seed]\nlow = 1\nhigh = 9", r"only stand under \[fixed\]"),
        ("[fixed]\nmodel = 'forest'", "unknown model"),
        ("[model]\nchoices = ['linear', 'encoder:x']", "cannot mix"),
        ("[fixed]\nmodel = 'encoder:x'\n[warmup]\nlow = -1.0\nhigh = 0.5", "warmup is too small"),
        ("min-df = 3", "must be a table"),
        ("[min-df", "not valid TOML"),
    ],
)
def test_what_a_space_may_not_say(text: str, message: str):
    with pytest.raises(UsageError, match=message):
        Space.parse(text, source="space.toml")


def test_a_fixed_setting_is_no_longer_varied_and_is_checked():
    space = Space.parse(QUICK, fixed={"solver.newton-steps": 1})
    assert "solver.newton_steps" not in space.varied
    assert space.train_settings({}).model_options["solver"] == {"newton_steps": 1}
    with pytest.raises(UsageError, match="did you mean 'shrinkage'"):
        Space.parse(QUICK, fixed={"shrinkag": 1})


def test_a_configuration_file_reads_back():
    options = {"learning_rate": 3e-5, "device": "cuda:1", "loss": 'a"b\\'}
    settings = TrainSettings(model="encoder:한글/폴더", folds=3, calibrate=False, model_options=options)
    data = tomllib.loads(config_toml(settings, ("remark",)))
    assert data["encoder"] == {"learning-rate": 3e-5, "loss": 'a"b\\'}
    assert (data["model"], data["folds"], data["no-calibration"]) == ("encoder:한글/폴더", 3, True)


# -- what a trial is worth --------------------------------------------------------------------------------------------


def test_thresholds_of_a_fold_come_from_the_other_folds(rows: Dataset):
    rng = np.random.default_rng(0)
    y, proba = rows.y, rng.random(rows.y.shape).astype(np.float32)
    fold = np.arange(len(y)) % 4
    settings = TrainSettings(objective="micro-f1")
    decided = cross_fitted(y, proba, fold, rows.task, settings)
    other = y.copy()
    other[fold == 2] = 1 - other[fold == 2]  # a fold's own labels must not change its decisions
    assert (cross_fitted(other, proba, fold, rows.task, settings)[fold == 2] == decided[fold == 2]).all()
    assert 0 < trial_score("micro-f1", rows.task, y, decided) < 1


def test_only_listeners_that_look_at_scores_are_told(rows: Dataset):
    heard: list[Any] = []

    class Ear:
        def __call__(self, line: str) -> None:
            heard.append(line)

        def evaluated(self, epoch: float, scores: Any) -> None:
            heard.append((epoch, dict(scores)))

        def folds_done(self, folds: int, y: Any, proba: Any) -> None:
            heard.append((folds, len(y), proba.shape))

    assert isinstance(Ear(), ScoreListener)
    report_scores(lambda _: None, 1.0, {})
    report_folds(lambda _: None, 1, rows.y, rows.y)
    report_scores(Ear(), 1.0, {"loss": 2.0})
    train(rows, settings=TrainSettings(folds=2, keep="mean"), progress=Ear())
    assert (1.0, {"loss": 2.0}) in heard
    folds = [item for item in heard if isinstance(item, tuple) and len(item) == 3]
    assert [item[0] for item in folds] == [1]
    assert 0 < folds[0][1] < len(rows)


# -- searches ---------------------------------------------------------------------------------------------------------


def test_a_search_leaves_a_study_tables_and_the_best_configuration(found: tuple[Path, Any]):
    folder, result = found
    assert result.counts == {"complete": 4, "pruned": 0, "failed": 0, "running": 0}
    assert result.trials[0].values["solver.logistic_penalty"] == 0.2
    assert result.best.value == max(trial.value for trial in result.trials)
    assert (folder / "trials.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with (folder / "trials.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    values = [float(row["value"]) for row in table]
    assert values == sorted(values, reverse=True)
    assert {"solver.logistic-penalty", "few-ngrams.orders", "seconds", "error"} <= set(table[0])
    assert result.importance
    assert sum(result.importance.values()) == pytest.approx(1)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "importance of settings" in page
    assert "history of the search" in page
    assert "solver.logistic-penalty" in page
    assert "http" not in page.replace("http-equiv", "")
    assert result.valid["micro_f1"] is not None
    assert (folder / "best" / "manifest.json").exists()
    assert not list((folder / "study.db.locks").glob("?" * 12))


def test_training_with_the_best_configuration_gives_the_judged_model(
    found: tuple[Path, Any], tmp_path: Path, rows, capsys
):
    folder, result = found
    data = tmp_path / "rows.jsonl"
    data.write_text(
        "".join(json.dumps(example.to_dict(), ensure_ascii=False) + "\n" for example in rows), encoding="utf-8"
    )
    words = ["train", str(data), "--task", "nikl-ea", "--valid", "0.25", "--config", str(folder / "best.toml")]
    status = run([*words, "-o", str(tmp_path / "model"), "--json"])
    assert status == 0, capsys.readouterr().err
    again = json.loads((tmp_path / "model" / "report.json").read_text(encoding="utf-8"))
    assert again["metrics"]["micro_f1"] == pytest.approx(result.valid["micro_f1"])
    settings = json.loads((tmp_path / "model" / "settings.json").read_text(encoding="utf-8"))["settings"]
    assert settings["model_options"]["solver"]["logistic-penalty"] == result.best.values["solver.logistic_penalty"]


@pytest.mark.slow
def test_going_on_adds_only_what_is_missing_and_is_what_one_run_would_have_done(rows: Dataset, tmp_path: Path):
    space = Space.parse(QUICK)
    whole = search(rows, tmp_path / "a", space=space, trials=3)
    search(rows, tmp_path / "b", space=space, trials=1)
    parts = search(rows, tmp_path / "b", space=space, trials=3)
    assert [trial.values for trial in parts.trials] == [trial.values for trial in whole.trials]
    assert [trial.value for trial in parts.trials] == [trial.value for trial in whole.trials]
    lines: list[str] = []
    again = search(rows, tmp_path / "b", space=space, trials=2, progress=lines.append)
    assert len(again.trials) == 3
    assert lines == []
    with pytest.raises(UsageError, match="holds another search"):
        search(rows, tmp_path / "b", space=space, trials=6, metric="macro-f1")
    assert len(search(rows, tmp_path / "b", space=space, trials=1, metric="macro-f1", overwrite=True).trials) == 1


def test_a_trial_whose_process_died_is_done_again(rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    space = Space.parse(QUICK)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search_module, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            search(rows, tmp_path, space=space, trials=2)
    result = search(rows, tmp_path, space=space, trials=2)
    assert [trial.state for trial in result.trials] == ["failed", "complete", "complete"]
    assert result.trials[1].values == result.trials[0].values
    assert "died" in result.trials[0].error


@pytest.mark.slow
def test_a_failed_trial_keeps_its_sentence_and_the_search_goes_on(
    rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[int] = []

    def sometimes(*words: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return train(*words, **more)

    monkeypatch.setattr(search_module, "train", sometimes)
    result = search(rows, tmp_path / "one", space=Space.parse(QUICK), trials=3)
    assert [trial.state for trial in result.trials] == ["complete", "failed", "complete"]
    assert result.trials[1].error == "out of memory"

    def never(*_: Any, **__: Any) -> Any:
        raise UsageError("안 됨", "it cannot work")

    monkeypatch.setattr(search_module, "train", never)
    with pytest.raises(MaeumError, match=r"3 trials in a row failed.*it cannot work"):
        search(rows, tmp_path / "all", space=Space.parse(QUICK), trials=9)
    assert "it cannot work" in (tmp_path / "all" / "report.html").read_text(encoding="utf-8")
    assert not (tmp_path / "all" / "best.toml").exists()


@pytest.mark.slow
def test_two_processes_share_one_study(tmp_path: Path):
    (tmp_path / "space.toml").write_text(QUICK, encoding="utf-8")
    words = ["sample:nikl-ea", "--space", "space.toml", "--trials", "4", "--workers", "2", "--json", "-o", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "maeum", "tune", *words],
        cwd=tmp_path,
        env={**os.environ, "MAEUM_LANG": "en"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["trials"] == {"complete": 4, "pruned": 0, "failed": 0, "running": 0}
    assert found["command"].startswith("maeum train sample:nikl-ea --config")
    study = optuna.load_study(study_name="maeum", storage=f"sqlite:///{tmp_path}/out/study.db")
    assert [trial.number for trial in study.trials] == list(range(4))
    study._storage._backend.engine.dispose()


@pytest.fixture
def prunes_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which trial is bad is up to the pruner; what happens to a bad one is up to us."""
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda trial: trial.number == 1)


def test_a_bad_trial_is_pruned_after_its_first_fold(rows: Dataset, tmp_path: Path, prunes_the_second: None):
    space = Space.parse(QUICK, fixed={"keep": "mean"})
    result = search(rows, tmp_path, space=space, trials=2)
    assert [trial.state for trial in result.trials] == ["complete", "pruned"]
    assert result.trials[1].value is None
    assert 0 <= result.trials[1].last <= 1
    assert "pruned (0." in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_bad_trial_of_an_encoder_is_pruned_at_an_evaluation_and_leaves_nothing(
    rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prunes_the_second: None
):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    base = tiny.build("klue-bert", tmp_path / "base")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    space = Space.parse(
        "[learning-rate]\nlow = 1e-4\nhigh = 5e-3\nlog = true\nstart = 5e-3\n[fixed]\npatience = 1",
        model=f"encoder:{base}",
        fixed={"max_length": 32, "batch_size": 32, "epochs": 2, "device": "cpu"},
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = search(rows.select(np.arange(50)), tmp_path / "out", space=space, trials=2, metric="micro-f1")
    finally:
        torch.set_num_threads(before)
    assert [trial.state for trial in result.trials] == ["complete", "pruned"], result.trials
    assert all(trial.last is not None for trial in result.trials)
    assert list((tmp_path / "temporary").iterdir()) == []
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"study.db", "study.db.locks", "trials.csv", "report.html", "best.toml"}
    config = tomllib.loads((tmp_path / "out" / "best.toml").read_text(encoding="utf-8"))
    assert config["encoder"]["metric"] == "micro-f1"
    assert "device" not in config["encoder"]
    assert dataclasses.asdict(result.settings)["objective"] == "micro-f1"


# -- words ------------------------------------------------------------------------------------------------------------


def test_misuse_is_said_in_a_sentence(rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="unknown metric 'f2'"):
        search(rows, tmp_path / "x", metric="f2")
    with pytest.raises(UsageError, match="varies nothing"):
        search(rows, tmp_path / "x", space=Space.parse("[fixed]\nmodel = 'linear'"))
    with pytest.raises(UsageError, match="path of an SQLite file"):
        search(rows, tmp_path / "x", storage="sqlite:///a.db")
    (tmp_path / "study.db").write_text("nothing of the kind" * 100, encoding="utf-8")
    with pytest.raises(UsageError, match="not a study this version can read"):
        search(rows, tmp_path)
    with pytest.raises(UsageError, match="is no study, so it is not removed"):
        search(rows, tmp_path, overwrite=True)
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "optuna")
    monkeypatch.setattr(sys, "meta_path", [_NoOptuna(), *sys.meta_path])
    with pytest.raises(MissingExtra, match="tune"):
        search(rows, tmp_path / "x")


class _NoOptuna:
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "optuna":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_a_history_without_any_score_still_draws():
    failed = Trial(0, "failed", None, 1.0, {"a": 1}, error="<b>&")
    chart = history_chart([failed], title="t", y_name="micro-f1")
    assert "×" in chart
    assert "&lt;b&gt;" in chart
