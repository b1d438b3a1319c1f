"""Labelled rows, and what two models or other thresholds make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maeum import evaluation, folder
from maeum._files import pretty_json
from maeum.apps.ui.state import Model, remember
from maeum.apps.ui.uploads import Rows, Upload, look, read_rows
from maeum.data import Dataset
from maeum.errors import TaskMismatch, UsageError
from maeum.evaluation import Scored
from maeum.formats import read
from maeum.formats.samples import PREFIX, SAMPLES
from maeum.measuring import Gap, gaps
from maeum.metrics import counts, decision_metrics
from maeum.task import Task
from maeum.taxonomy import find_map
from maeum.thresholds import Curve, Thresholds, curve

Labels = NDArray[np.uint8]
POINTS = 240
"""Points of a curve that are drawn, and one at threshold 0."""


@dataclass(frozen=True)
class Compared:
    """Two models on the same labelled rows, in the labels of the rows."""

    data: Dataset
    names: tuple[str, str]
    decided: tuple[Labels, Labels]
    """(n, k) each."""
    f1: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(k,) each."""
    gaps: Mapping[str, Gap]
    mapped: tuple[bool, bool]
    """Whether the answers of a model were carried over from another label set."""

    @property
    def right(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(n,) each: whether a row is right in every label."""
        first, second = ((decided == self.data.y).all(1) for decided in self.decided)
        return first, second


def samples_for(task: Task) -> list[str]:
    """Samples that are labelled for a task, as ``sample:NAME``."""
    return [PREFIX + name for name, sample in SAMPLES.items() if sample.task == task.name]


def rows_of_sample(name: str, limit: int) -> Dataset:
    """The labelled rows of a sample."""
    return read(name).labelled()[:limit]


def rows_of_upload(upload: Upload, task: Task, limit: int, columns: Mapping[str, str | None]) -> tuple[Dataset, Rows]:
    """The labelled rows of an upload: of its format's own task, else of ``task``; and what was left out. Remembered.

    Raises:
        UsageError: no row is labelled.
        DataError: no row can be used.
    """
    key = ("rows", upload.id, task.fingerprint, limit, tuple(sorted(columns.items(), key=str)))
    return remember(key, lambda: _rows_of(upload, task, limit, columns))


def _rows_of(upload: Upload, task: Task, limit: int, columns: Mapping[str, str | None]) -> tuple[Dataset, Rows]:
    seen = look(upload)
    rows = read_rows(upload, seen, limit=limit, task=seen.task or task, labelled=True, columns=columns)
    data = Dataset(seen.task or task, rows.examples, source=upload.name).labelled()
    if not len(data):
        raise UsageError(
            f"'{upload.name}'에 라벨이 있는 행이 없습니다. 라벨이 든 열을 확인하세요.",
            f"no row of '{upload.name}' is labelled; check the column of the labels",
        )
    return data, rows


def score(model: Model, head: str, data: Dataset) -> Scored:
    """Probabilities of a model for rows."""
    with model.lock:
        return evaluation.score_model(model.heads[head], data, name=model.name)


def out_of_fold(model: Model, head: str) -> Scored:
    """The training rows with the probabilities of folds that did not see them.

    Raises:
        FormatError: the folder keeps none.
    """
    assert model.path is not None
    return evaluation.score_out_of_fold(model.path, task=head)


def has_out_of_fold(model: Model, head: str) -> bool:
    """Whether the folder keeps them."""
    if model.path is None:
        return False
    return (model.path / folder.head_folder(model.path, head) / "oof.safetensors").is_file()


def compare(first: Scored, second: Scored) -> Compared:
    """Both models' decisions on the same rows, scores by label and 95% intervals of the difference.

    Raises:
        TaskMismatch: the labels of a model cannot be carried over to those of the rows.
    """
    data = first.data
    decided = (_decided(first), _decided(second))
    by_label = tuple(counts(data.y, each).f1 for each in decided)
    return Compared(
        data,
        (first.model, second.model),
        decided,
        (by_label[0], by_label[1]),
        gaps(data.task, data.y, *decided),
        (first.task.keys != data.task.keys, second.task.keys != data.task.keys),
    )


def _decided(scored: Scored) -> Labels:
    """Decisions (n, k) in the labels of the rows, as ``evaluation.judge`` makes them."""
    own = scored.thresholds.decide(scored.proba)
    task = scored.data.task
    if scored.task.keys == task.keys:
        return own
    label_map = find_map(scored.task, task)
    if task.kind == "multiclass":
        return Thresholds.default(task).decide(label_map.map_proba(scored.proba))
    return label_map.map_decisions(own)


@dataclass(frozen=True)
class Bench:
    """The threshold workbench: rows, and the curve of every label on them."""

    scored: Scored
    curves: tuple[Curve, ...]

    @classmethod
    def on(cls, scored: Scored) -> Bench:
        """The bench of scored rows.

        Raises:
            TaskMismatch: the rows are of another task than the model.
        """
        data = scored.data
        if data.task.keys != scored.task.keys:
            raise TaskMismatch(
                f"기준값은 같은 과제의 데이터로 봅니다(모델 '{scored.task.name}', 데이터 '{data.task.name}').",
                f"thresholds need rows of the model's own task ('{scored.task.name}'), got '{data.task.name}'",
            )
        columns = zip(data.y.T, scored.proba.T, strict=True)
        return cls(scored, tuple(curve(y, p) for y, p in columns))

    def best(self, column: int) -> tuple[float, float]:
        """The threshold with the best F1 of a label, and that F1."""
        found = self.curves[column]
        place = int(np.argmax(found.f1))
        return min(float(found.cuts[place]), 1.0), float(found.f1[place])

    def points(self, column: int) -> list[dict[str, float]]:
        """Precision, recall and F1 of a label, each up to and including its threshold; about ``POINTS`` of them, rising."""
        found = self.curves[column]
        # every probability is the highest threshold that its row still passes: steps end there, not at the cuts between
        ends = np.concatenate([[1.0], np.unique(self.scored.proba[:, column])[::-1]])
        picked = np.unique(np.linspace(0, len(ends) - 1, POINTS).round().astype(int))
        columns = (ends, found.precision, found.recall, found.f1)
        rising = [values[picked][::-1].tolist() for values in columns]
        points = [{"threshold": t, "precision": p, "recall": r, "f1": f} for t, p, r, f in zip(*rising, strict=True)]
        return [{**points[0], "threshold": 0.0}, *points]

    def table(self, rule: Thresholds) -> list[dict[str, float]]:
        """Of each label: support, threshold, precision, recall and F1 under a rule."""
        found = counts(self.scored.data.y, rule.decide(self.scored.proba))
        support = self.scored.data.y.sum(0)
        return [
            {
                "support": int(support[n]),
                "threshold": rule.values[n],
                "precision": float(found.precision[n]),
                "recall": float(found.recall[n]),
                "f1": float(found.f1[n]),
            }
            for n in range(len(rule.keys))
        ]

    def metrics(self, rule: Thresholds) -> dict[str, float]:
        """Averages under a rule."""
        return decision_metrics(self.scored.data.y, rule.decide(self.scored.proba))


def can_hold(model: Model) -> bool:
    """Whether thresholds may be written into a model's folder: not of one inside the package, or without a folder."""
    return model.path is not None and model.path.parent != Path(folder.__file__).parent


def save_thresholds(model: Model, head: str, rule: Thresholds) -> None:
    """Write thresholds into the model folder, which is swapped in whole.

    Raises:
        UsageError: the model is the one inside the package.
    """
    if model.path is None or not can_hold(model):
        raise UsageError(
            "내장 모델과 그 자리에서 배운 모델에는 기준값을 저장할 수 없습니다. 파일로 내려받으세요.",
            "neither the embedded model nor one trained here can hold thresholds; download the file",
        )
    with model.lock:
        place = folder.head_folder(model.path, head)
        folder.replace_files(model.path, {f"{place}thresholds.json": pretty_json(rule.to_dict())})
