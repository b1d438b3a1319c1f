"""What a training run measured on its way: one row per logged step, as a table, a CSV and a chart.

The Trainer logs the training loss and the judgement on held-out rows as separate entries; here each step has one row.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maeum._files import atomic_text, write_text
from maeum._lang import say
from maeum._svg_plot import Line, Panel, sheet

FIRST = ("fold", "step", "epoch", "train_loss", "valid_loss")
_NAMES = {"loss": "train_loss", "eval_loss": "valid_loss"}
_Run = tuple[list[float], list[float]]
"""Steps and values."""
_LOSSES = {"train_loss": ("학습 행", "training rows"), "valid_loss": ("떼어 둔 행", "held-out rows")}
_SCORES = {
    "valid_micro_f1": ("마이크로 F1", "micro F1"),
    "valid_macro_f1": ("매크로 F1", "macro F1"),
    "valid_accuracy": ("정확도", "accuracy"),
}


def table(log: Iterable[Mapping[str, Any]], *, fold: int | None = None) -> list[dict[str, Any]]:
    """Rows by step: ``train_loss`` (mean since the row before), ``valid_loss``, ``valid_*`` metrics, learning rate.

    Args:
        log: the Trainer's log (``state.log_history``).
        fold: put in front as a column where given.
    """
    rows: dict[int, dict[str, Any]] = {}
    for entry in log:
        if "train_runtime" in entry:
            continue
        row = rows.setdefault(int(entry["step"]), {} if fold is None else {"fold": fold})
        row |= {"step": int(entry["step"]), "epoch": round(float(entry["epoch"]), 4)}
        for name, value in entry.items():
            if name not in ("step", "epoch", "total_flos"):
                row[_NAMES.get(name, name.replace("eval_", "valid_"))] = value
    return [rows[step] for step in sorted(rows)]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows as a CSV that Excel opens; replaces the file in one step."""
    found = dict.fromkeys(name for row in rows for name in row)
    # sorted: a resumed run reads its log back from a file that does not keep the order
    names = [*(name for name in FIRST if name in found), *sorted(name for name in found if name not in FIRST)]
    with atomic_text(path, encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as an SVG file: losses over the steps, and the metrics on held-out rows beside them if there are any.

    With folds, each has a thin line and their mean, where all of them have values, a bold one.
    """
    scores = [name for row in rows for name in row if name.startswith("valid_") and name != "valid_loss"]
    losses = [(name, words) for name, words in _LOSSES.items() if any(name in row for row in rows)]
    step = say("학습 단계", "training step")
    folds = any("fold" in row for row in rows)
    thin = say(" (가는 선: 겹마다, 굵은 선: 평균)", " (thin: each fold, bold: their mean)") if folds else ""
    panels = [Panel(say("손실", "loss") + thin, _lines(rows, losses), step)]
    if scores:
        named = [
            (name, _SCORES.get(name, (name.removeprefix("valid_"),) * 2)) for name in list(dict.fromkeys(scores))[:4]
        ]
        panels.append(Panel(say("떼어 둔 행의 점수", "scores on held-out rows") + thin, _lines(rows, named), step))
    return sheet(panels, title=say("학습 과정", "training history"))


def write_chart(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The chart as a file; replaces it in one step."""
    write_text(path, chart(rows))


def _lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, tuple[str, str]]]) -> list[Line]:
    thin, bold = [], []
    for color, (column, words) in enumerate(columns, 1):
        runs: dict[Any, _Run] = {}
        for row in rows:
            if column in row and math.isfinite(row[column]):
                steps, values = runs.setdefault(row.get("fold"), ([], []))
                steps.append(float(row["step"]))
                values.append(float(row[column]))
        stroke = ("", "dash", "dot", "")[color - 1]
        if len(runs) > 1:
            thin += [Line("", *run, color, thin=True) for run in runs.values()]
        if runs:
            bold.append(Line(say(*words), *_mean(list(runs.values())), color, stroke))
    return thin + bold


def _mean(runs: Sequence[_Run]) -> _Run:
    """The mean of lines over the steps that all of them reach, drawn straight between the steps of each."""
    first, last = max(steps[0] for steps, _ in runs), min(steps[-1] for steps, _ in runs)
    grid = sorted({step for steps, _ in runs for step in steps if first <= step <= last})
    return grid, np.mean([np.interp(grid, *run) for run in runs], axis=0).tolist()
