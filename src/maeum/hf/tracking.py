"""Trackers beside the folder's own history: transformers' callbacks write to them, here they are made ready.

Each model that is trained (each fold) is a run of its own, named after its folder and fold. What the environment says
wins: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``, ``WANDB_PROJECT``, ``TENSORBOARD_LOGGING_DIR`` and the rest.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from maeum._optional import missing
from maeum.errors import MissingExtra

TRACKERS = ("mlflow", "wandb", "tensorboard")
_PROJECT = "maeum"
_started: set[str] = set()


def run_name(folder: Path, name: str) -> str:
    """``runs/a.partial/fold_0`` and ``fold 1/5`` → ``a fold 1/5``; the name alone where there is no such folder."""
    run = next((path.stem for path in (folder, *folder.parents) if path.suffix == ".partial"), "")
    return f"{run} {name}".strip() or _PROJECT


def check(words: Sequence[str]) -> None:
    """Whether the trackers are there.

    Raises:
        MissingExtra: one is not installed.
    """
    for word in words:
        if not _installed(word):
            raise missing(word) if word == "mlflow" else _install(word, word)


def prepare(words: Sequence[str], name: str) -> None:
    """See to it that the trackers can be written to, and that the next run in them is a new one.

    Args:
        words: of ``TRACKERS``.
        name: of the next run.

    Raises:
        MissingExtra: one is not installed.
    """
    check(words)
    if "mlflow" in words:
        _mlflow()
    if "wandb" in words:
        os.environ.setdefault("WANDB_PROJECT", _PROJECT)
        wandb = sys.modules.get("wandb")
        # the callback goes on with an open run and never closes one; a run that somebody else opened stays theirs
        if wandb is not None and getattr(wandb.run, "name", None) in _started:
            wandb.finish()
    if "tensorboard" in words:
        # the callback's own place is the folder of the checkpoints, which goes when training is done
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(_tensorboard() / name.replace("/", "-"))
    _started.add(name)


def _mlflow() -> None:
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", _PROJECT)
    # a run of its own for each fold, also inside a run that the caller has open
    os.environ.setdefault("MLFLOW_NESTED_RUN", "true")
    # mlflow reads this when it is imported; who wants to be counted has said so before
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    store = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:")
    if store.startswith("sqlite:") and not (_installed("sqlalchemy") and _installed("alembic")):
        raise _install("mlflow", "sqlalchemy alembic")


@functools.cache
def _tensorboard() -> Path:
    return Path(os.environ.get("TENSORBOARD_LOGGING_DIR", "tensorboard"))


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _install(tracker: str, packages: str) -> MissingExtra:
    return MissingExtra(
        f"report_to={tracker}에 필요한 패키지가 없습니다. 설치: pip install {packages}",
        f"report_to={tracker} needs packages that are not installed; install them with: pip install {packages}",
    )
