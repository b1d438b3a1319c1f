"""``report_to``: runs in a tracker on this machine, and sentences where there is none."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from maeum.errors import MissingExtra, UsageError
from maeum.hf import tracking

OURS = (
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_NESTED_RUN",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_TRACKING_URI",
    "WANDB_PROJECT",
    "TENSORBOARD_LOGGING_DIR",
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in OURS:
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    tracking._tensorboard.cache_clear()
    yield
    tracking._tensorboard.cache_clear()
    tracking._started.clear()


@pytest.fixture
def everything_installed(monkeypatch):
    monkeypatch.setattr(tracking, "_installed", lambda module: True)


def test_runs_are_named_after_folder_and_fold():
    assert tracking.run_name(Path("/x/runs/a.partial/fold_0"), "fold 1/5") == "a fold 1/5"
    assert tracking.run_name(Path("/x/runs/v1.2.partial/fold_0"), "training") == "v1.2 training"
    assert tracking.run_name(Path("/tmp/abc"), "training") == "training"
    assert tracking.run_name(Path("/tmp/abc"), "") == "maeum"


@pytest.mark.usefixtures("everything_installed")
def test_what_the_environment_says_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    tracking.prepare(["mlflow", "wandb"], "a")
    import os

    assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "mine"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
    assert os.environ["MLFLOW_NESTED_RUN"] == "true"
    assert os.environ["WANDB_PROJECT"] == "maeum"


@pytest.mark.usefixtures("everything_installed")
def test_tensorboard_gets_a_folder_for_each_fold(monkeypatch):
    import os

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "logs")
    for fold in (1, 2):
        tracking.prepare(["tensorboard"], f"a fold {fold}/2")
        assert Path(os.environ["TENSORBOARD_LOGGING_DIR"]) == Path("logs") / f"a fold {fold}-2"


@pytest.mark.usefixtures("everything_installed")
def test_a_wandb_run_of_ours_is_closed_before_the_next_and_no_other(monkeypatch):
    closed = []
    fake = types.SimpleNamespace(run=types.SimpleNamespace(name="theirs"), finish=lambda: closed.append(fake.run.name))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracking.prepare(["wandb"], "a fold 1/2")
    fake.run = types.SimpleNamespace(name="a fold 1/2")
    tracking.prepare(["wandb"], "a fold 2/2")
    assert closed == ["a fold 1/2"]


def test_a_tracker_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(tracking, "_installed", lambda module: module == "mlflow")
    with pytest.raises(MissingExtra, match="pip install wandb"):
        tracking.prepare(["wandb"], "a")
    with pytest.raises(MissingExtra, match="pip install sqlalchemy alembic"):
        tracking.prepare(["mlflow"], "a")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    tracking.prepare(["mlflow"], "a")
    monkeypatch.setattr(tracking, "_installed", lambda module: False)
    with pytest.raises(MissingExtra, match=r"\[mlflow\]"):
        tracking.prepare(["mlflow"], "a")


def test_an_unknown_word_is_said_before_anything_is_trained():
    pytest.importorskip("torch")
    from maeum.hf.training import LoopConfig, _trackers

    with pytest.raises(UsageError, match="did you mean 'mlflow'"):
        _trackers(LoopConfig(report_to="mlfow"))
    assert _trackers(LoopConfig(report_to=" none, ")) == []
