"""What a smaller model gains and costs beside another one: size, parameters, texts per second, F1 on the same rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.data import Dataset, Input
from maeum.errors import TaskMismatch, UsageError
from maeum.formats import open_source, read
from maeum.metrics import counts
from maeum.models.base import Labels, Predictor, Proba
from maeum.task import Task

SPEED_SECONDS = 5.0
"""How long a model's speed is measured at most, warming up not counted."""
_BATCH = 64
_BLOCK = 100
_NOT_MODEL = ("oof.safetensors", "oof_ids.txt", "report.json", "report.html", "history.csv", "history.svg")


@dataclass(frozen=True)
class Size:
    """How much of everything a model is."""

    megabytes: float
    """Of the files it needs on disk."""
    parameters: int | None
    """Numbers it holds; None where nobody counted."""
    texts_per_second: float | None
    """None without texts."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Gap:
    """A score of two models on the same rows."""

    before: float
    after: float
    low: float
    """Lower end of the 95% interval of ``after - before``, over resampled rows (the same for both models)."""
    high: float

    def words(self) -> str:
        """Such as ``0.5012 → 0.4921 (-0.0091 [-0.0174, -0.0010])``."""
        gap = self.after - self.before
        return f"{self.before:.4f} → {self.after:.4f} ({gap:+.4f} [{self.low:+.4f}, {self.high:+.4f}])"


def labelled_rows(given: Dataset | str | Path | None, task: Task, words: Mapping[str, Any]) -> Dataset | None:
    """The labelled rows of a data set or file, which must be of a model's task.

    Args:
        words: how a file is read.

    Raises:
        TaskMismatch: another task.
        UsageError: no labelled row.
    """
    if given is None:
        return None
    if not isinstance(given, Dataset):
        given = read(given, task=open_source(given).task or task, **words)
    if given.task.fingerprint != task.fingerprint:
        raise TaskMismatch(
            f"'{given.source}'의 과제 '{given.task.name}'가 모델의 과제 '{task.name}'와 다릅니다.",
            f"'{given.source}' is of task '{given.task.name}', the model of '{task.name}'",
        )
    rows = given.labelled()
    if not len(rows):
        raise UsageError(f"'{given.source}'에 라벨이 있는 행이 없습니다.", f"'{given.source}' has no labelled row")
    return rows


def folder_megabytes(folder: Path) -> float:
    """Size on disk of what a model folder answers with: without reports and out-of-fold tables."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in _NOT_MODEL)
    return round(sum(path.stat().st_size for path in files) / 1e6, 3)


def parameter_count(predictor: Predictor) -> int | None:
    """Numbers in a model, those of its members together; None for kinds that nobody can count here."""
    model: Any = predictor
    if hasattr(model, "network"):
        return sum(int(parameter.numel()) for parameter in model.network.parameters())
    if getattr(model, "kind", "") == "linear":
        arrays = getattr(model, "state", None) or model._state
        return sum(int(array.size) for array in arrays.values() if array.dtype.kind == "f")
    if getattr(model, "kind", "") == "head":
        own = 0 if model.linear is None else parameter_count(model.linear)
        trunk = parameter_count(model.trunk.trunk)
        return None if own is None or trunk is None else own + trunk
    members = getattr(model, "members", None)
    if members:
        found = [parameter_count(getattr(member, "predictor", member)) for member in members]
        return None if None in found else sum(count for count in found if count is not None)
    return None


def speed(analyzer: Analyzer, inputs: Sequence[Input]) -> float | None:
    """Texts per second on this machine, preparation included, measured on at most ``SPEED_SECONDS`` of the texts."""
    if not inputs:
        return None
    # one more than any batch below has: a trunk of several heads remembers its last answer
    analyzer.predict_proba([*inputs[:_BATCH], inputs[0]])
    done, start = 0, time.perf_counter()
    for begin in range(0, len(inputs), _BATCH):
        done += len(analyzer.predict_proba(inputs[begin : begin + _BATCH]))
        if time.perf_counter() - start > SPEED_SECONDS:
            break
    return round(done / max(time.perf_counter() - start, 1e-9), 1)


def gaps(
    task: Task, y: Labels, before: NDArray[Any], after: NDArray[Any], *, resamples: int = 2000, seed: int = 0
) -> dict[str, Gap]:
    """Scores of two models' decisions (n, k) on the same labelled rows, with paired bootstrap intervals (Efron 1979).

    ``micro_f1`` (of a multiclass task ``accuracy``, which is the same) and ``macro_f1``.
    """
    first = "accuracy" if task.kind == "multiclass" else "micro_f1"
    n, rng = len(y), np.random.default_rng(seed)
    cells = [_cells(y, decided) for decided in (before, after)]
    exact = [_scores(np.ones((1, n), np.float32), each) for each in cells]
    samples = []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        weights = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(size)]).astype(np.float32)
        samples.append(_scores(weights, cells[1]) - _scores(weights, cells[0]))
    low, high = np.quantile(np.concatenate(samples), [0.025, 0.975], axis=0)
    return {
        name: Gap(float(exact[0][0, at]), float(exact[1][0, at]), float(low[at]), float(high[at]))
        for at, name in enumerate((first, "macro_f1"))
    }


def agreement(teacher: Proba, decided: NDArray[Any], student: Proba, own: NDArray[Any]) -> dict[str, float]:
    """How far a student does as its teacher: F1 of its decisions against the teacher's, mean difference of p.

    Args:
        teacher, student: probabilities (n, k).
        decided, own: decisions (n, k) of teacher and student.
    """
    found = counts(decided, own)
    return {
        "rows": len(teacher),
        "micro_f1": float(found.pooled().f1),
        "macro_f1": float(found.f1.mean()),
        "same_rows": float((decided == own).all(1).mean()),
        "mean_difference": float(np.abs(teacher.astype(np.float64) - student).mean()),
    }


def table(sizes: Mapping[str, Size]) -> str:
    """Sizes of several models for people, one line each."""
    head = (say("모델", "model"), "MB", say("파라미터", "parameters"), say("글/초", "texts/s"))
    rows = [head, *((name, *_shown(size)) for name, size in sizes.items())]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(_cell(row[at], widths[at], left=at == 0) for at in range(len(head))) for row in rows)


def gap_lines(found: Mapping[str, Gap]) -> Iterable[str]:
    """Scores for people, one line each."""
    return (f"{name:9} {gap.words()}" for name, gap in found.items())


def _shown(size: Size) -> tuple[str, str, str]:
    count = "-" if size.parameters is None else f"{size.parameters / 1e6:.2f}M"
    rate = "-" if size.texts_per_second is None else f"{size.texts_per_second:,.0f}"
    return f"{size.megabytes:,.1f}", count, rate


def _width(text: str) -> int:
    return sum(2 if ord(character) >= 0x1100 else 1 for character in text)


def _cell(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text


def _cells(y: NDArray[Any], decided: NDArray[Any]) -> NDArray[np.float32]:
    gold, given = y.astype(bool), decided.astype(bool)
    return np.concatenate([gold & given, given & ~gold, gold & ~given], axis=1).astype(np.float32)


def _scores(weights: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float64]:
    """(s, 2) micro and macro F1 of each weighting of the rows."""
    tp, fp, fn = np.split((weights @ cells).astype(np.float64), 3, axis=1)

    def f1(tp: Any, fp: Any, fn: Any) -> Any:
        bottom = 2 * tp + fp + fn
        return np.divide(2 * tp, bottom, out=np.zeros_like(bottom), where=bottom > 0)

    return np.stack([f1(tp.sum(1), fp.sum(1), fn.sum(1)), f1(tp, fp, fn).mean(1)], 1)
