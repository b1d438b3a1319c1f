"""Out-of-fold probabilities: the hinge of thresholds, calibration, voting weights, audit and sampling.

Every row is predicted by a model that saw neither it nor a duplicate of its text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._files import write_text
from maeum.data import Input
from maeum.errors import FormatError
from maeum.models.base import Classifier, FitsFolds, Labels, Predictor, Proba
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
        from safetensors.numpy import save_file

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
        from safetensors.numpy import load_file

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
    progress: Callable[[str], None] = lambda _: None,
) -> FoldFit:
    """Train one model per fold on the other folds, and one on all rows if asked to.

    Args:
        make_model: gives a new, untrained model.
        fold: (n,) fold numbers from ``splits.fold_numbers``.
        keep_folds: return the K fold models too.
        refit: also train on all rows.
        progress: called with a line before each step.
    """
    model = make_model()
    if refit and not keep_folds and isinstance(model, FitsFolds):
        progress(f"{int(fold.max()) + 1} folds")
        return FoldFit(model.fit_folds(inputs, y, fold), (), model)
    proba = np.zeros(y.shape, np.float32)
    kept: list[Predictor] = []
    for number in range(int(fold.max()) + 1):
        progress(f"fold {number + 1}/{int(fold.max()) + 1}")
        train, held = np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()
        model = make_model().fit([inputs[row] for row in train], y[train])
        proba[held] = model.predict_proba([inputs[row] for row in held])
        if keep_folds:
            kept.append(model)
    final: Predictor | None = None
    if refit:
        progress("all rows")
        final = make_model().fit(inputs, y)
    return FoldFit(proba, tuple(kept), final)
