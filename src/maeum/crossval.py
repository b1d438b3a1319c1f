"""Out-of-fold probabilities: the hinge of thresholds, calibration, voting weights, audit and sampling.

Every row is predicted by a model that saw neither it nor a duplicate of its text.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from maeum._files import atomic_folder, pretty_json, write_text
from maeum._lang import say
from maeum._processes import is_main_process, wait_for_all
from maeum._progress import Line, report_folds
from maeum.data import Input
from maeum.errors import FormatError
from maeum.models.base import Classifier, FitsFolds, FitsWatched, Labels, Predictor, Proba, load_predictor
from maeum.task import Task


@dataclass(frozen=True)
class FoldFit:
    """What cross-fitting gives."""

    proba: Proba
    """Out-of-fold probabilities (n, k): each row from the model that never saw its fold."""
    models: tuple[Predictor, ...]
    """The K fold models, in fold order (empty if not asked for)."""
    final: Predictor | None
    """The model trained on all rows (None if not asked for)."""


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold probabilities of labelled rows."""

    task: Task
    ids: tuple[str, ...]
    """(n,) row ids."""
    y: Labels
    """(n, k) labels."""
    proba: Proba
    """(n, k) probabilities before calibration."""
    fold: NDArray[np.int64]
    """(n,) the fold that held the row out."""

    def save(self, folder: Path) -> None:
        """Write ``oof.safetensors`` and ``oof_ids.txt`` into a folder."""
        arrays: dict[str, NDArray[Any]] = {"proba": self.proba, "y": self.y, "fold": self.fold.astype(np.int16)}
        # safetensors writes the buffer as it lies: an array that is not C-contiguous would come back scrambled
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(arrays, folder / "oof.safetensors", metadata={"task": self.task.fingerprint})
        write_text(folder / "oof_ids.txt", "".join(f"{row_id}\n" for row_id in self.ids))

    @classmethod
    def load(cls, folder: Path, task: Task) -> OutOfFold:
        """Read what ``save`` wrote.

        Raises:
            FormatError: the files are missing or do not fit the task.
        """
        try:
            arrays = load_file(folder / "oof.safetensors")
            ids = (folder / "oof_ids.txt").read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError as error:
            raise FormatError(
                f"'{folder}'에 교차 검증 확률이 없습니다.", f"'{folder}' holds no out-of-fold probabilities"
            ) from error
        if arrays["proba"].shape != (len(ids), len(task)):
            raise FormatError(
                f"'{folder}'의 교차 검증 확률이 과제와 맞지 않습니다.",
                f"the out-of-fold probabilities in '{folder}' do not fit the task",
            )
        return cls(task, tuple(ids), arrays["y"], arrays["proba"], arrays["fold"].astype(np.int64))


def cross_fit(
    make_model: Callable[[], Classifier],
    inputs: Sequence[Input],
    y: Labels,
    fold: NDArray[np.int64],
    *,
    keep_folds: bool,
    refit: bool,
    progress: Line = lambda _: None,
    work: Path | None = None,
) -> FoldFit:
    """Train one model per fold on all rows outside it, and one on all rows if asked to.

    Args:
        make_model: gives a new, untrained model.
        fold: (n,) fold numbers from ``splits.fold_numbers``; -1 for rows that every model trains on.
        keep_folds: return the K fold models too.
        refit: also train on all rows.
        progress: called with a line before each step.
        work: folder where finished folds and checkpoints are kept, for models that train long; what is found there
            is not done again, so the caller must see to it that the data and settings are the same.
    """
    model = make_model()
    if refit and not keep_folds and isinstance(model, FitsFolds):
        progress(say(f"학습: {int(fold.max()) + 1}겹", f"training: {int(fold.max()) + 1} folds"))
        return FoldFit(model.fit_folds(inputs, y, fold), (), model)
    folds = int(fold.max()) + 1
    proba = np.zeros(y.shape, np.float32)
    kept: list[Predictor | None] = []
    for number in range(folds):
        name = say(f"{number + 1}/{folds}겹", f"fold {number + 1}/{folds}") if folds > 1 else say("학습", "training")
        progress(say(f"학습: {name}", f"training: {name}") if folds > 1 else name)
        fitted, held_proba = _one_fold(
            make_model, inputs, y, fold == number, name, work and work / f"fold_{number}", progress
        )
        gc.collect()  # a Trainer and its model hold each other
        proba[fold == number] = held_proba
        if number + 1 < folds:
            done = (fold >= 0) & (fold <= number)
            report_folds(progress, number + 1, y[done], proba[done])
        if keep_folds:
            kept.append(fitted)
    final: Predictor | None = None
    if refit:
        progress(say("학습: 전체 행", "training: all rows"))
        nobody = np.zeros(len(y), bool)
        final, _ = _one_fold(
            make_model, inputs, y, nobody, say("전체 행", "all rows"), work and work / "all_rows", progress
        )
        gc.collect()
        final = final or _opened(model, work, "all_rows")
    models = tuple(fitted or _opened(model, work, f"fold_{number}") for number, fitted in enumerate(kept))
    return FoldFit(proba, models, final)


def _opened(model: Classifier, work: Path | None, name: str) -> Predictor:
    """A finished model that stayed on disk; those of one base share it in memory."""
    assert work is not None
    return load_predictor(model.kind, work / name / "model", model.task)


def _one_fold(
    make_model: Callable[[], Classifier],
    inputs: Sequence[Input],
    y: Labels,
    held: NDArray[np.bool_],
    name: str,
    work: Path | None,
    progress: Line,
) -> tuple[Predictor | None, Proba]:
    """A model trained on the rows that are not held, and its probabilities for those that are.

    A model that is too large to lie beside the next one stays on disk; it is None then.
    """
    model = make_model()
    if work is not None and (work / "done.json").exists():
        progress(say(f"{name}: 이미 학습했습니다", f"{name}: already trained"))
        later = getattr(model, "kept_on_disk", False)
        return None if later else load_predictor(model.kind, work / "model", model.task), _read_proba(work)
    train_rows, held_rows = np.flatnonzero(~held).tolist(), np.flatnonzero(held).tolist()
    train, watch = [inputs[row] for row in train_rows], [inputs[row] for row in held_rows]
    if not isinstance(model, FitsWatched):
        model.fit(train, y[train_rows])
        return model, model.predict_proba(watch)
    model.fit_watched(
        train, y[train_rows], held=(watch, y[held_rows]) if watch else None, work=work, name=name, progress=progress
    )
    proba = model.predict_proba(watch)
    if work is not None:
        _keep(model, proba, work)
        if getattr(model, "kept_on_disk", False):
            return None, proba
    return model, proba


def _keep(model: Predictor, proba: Proba, work: Path) -> None:
    """Put a finished fold on disk; its checkpoints are not needed any more."""
    if is_main_process():
        shutil.rmtree(work / "model", ignore_errors=True)  # of a run killed just before done.json
        with atomic_folder(work / "model") as folder:
            model.save(folder)
        save_file({"proba": np.ascontiguousarray(proba)}, work / "held.safetensors")
        write_text(work / "done.json", pretty_json({"rows": len(proba)}))
        for checkpoint in work.glob("checkpoint-*"):
            shutil.rmtree(checkpoint, ignore_errors=True)
    wait_for_all()


def _read_proba(work: Path) -> Proba:
    proba: Proba = load_file(work / "held.safetensors")["proba"]
    return proba
