"""What a training run measured on its way: one row per logged step, as a table and as a CSV.

The Trainer logs the training loss and the judgement on held-out rows as separate entries; here each step has one row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum._files import atomic_text

FIRST = ("fold", "step", "epoch", "train_loss", "valid_loss")
_NAMES = {"loss": "train_loss", "eval_loss": "valid_loss"}


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
    names = [*(name for name in FIRST if name in found), *(name for name in found if name not in FIRST)]
    with atomic_text(path, encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
