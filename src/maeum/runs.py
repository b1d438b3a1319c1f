"""All runs under a folder as one result table, as seed 001 kept by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maeum._files import atomic_text
from maeum.errors import FormatError, UsageError
from maeum.folder import read_manifest

METRICS = ("micro_f1", "macro_f1", "accuracy", "subset_accuracy")


def collect(folder: Path, *, sort: str = "micro_f1") -> list[dict[str, Any]]:
    """One row per model folder under ``folder``, best first.

    Folders inside a run's ``folds`` are not counted as runs of their own. A folder that cannot be read has its reason
    in the column ``problem`` instead of metrics.

    Raises:
        UsageError: there is no such folder, no run in it, or no run has the metric ``sort``.
    """
    if not folder.is_dir():
        raise UsageError(f"폴더가 없습니다: {folder}", f"no such folder: {folder}")
    manifests = sorted(folder.rglob("manifest.json"))
    places = [path.parent for path in manifests if "folds" not in path.relative_to(folder).parts]
    rows = [_row(place, folder) for place in places]
    if not rows:
        raise UsageError(
            f"'{folder}' 아래에 모델 폴더가 없습니다. 'maeum train'으로 먼저 학습하세요.",
            f"there are no model folders under '{folder}'; train one with 'maeum train'",
        )
    if not any(sort in row for row in rows):
        known = sorted({name for row in rows for name in row if isinstance(row[name], float)})
        raise UsageError(
            f"점수 '{sort}'가 있는 모델이 없습니다. 있는 점수: {', '.join(known)}",
            f"no run has the metric '{sort}'; there are: {', '.join(known)}",
        )
    return sorted(rows, key=lambda row: -float(row.get(sort, -1.0)))


def columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Column names that any row has, in the order rows have them."""
    return list(dict.fromkeys(name for row in rows for name in row))


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    names = columns(rows)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")).replace("|", "\\|") for name in names) + " |" for row in rows]
    return "\n".join(lines)


def write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The rows as a CSV that Excel opens."""
    with atomic_text(path, encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns(rows))
        writer.writeheader()
        writer.writerows(rows)


def _row(place: Path, root: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"run": place.relative_to(root).as_posix()}
    try:
        manifest = read_manifest(place)
        settings = json.loads((place / "settings.json").read_text(encoding="utf-8"))
        report = json.loads((place / "report.json").read_text(encoding="utf-8"))
    except (FormatError, OSError, json.JSONDecodeError) as error:
        return row | {"problem": str(error)}
    chosen = settings.get("settings", {})
    row |= {"task": manifest["task"]["name"], "model": manifest["model"], "rows": settings["train"]["rows"]}
    row |= {name: chosen.get(name) or "" for name in ("folds", "keep", "objective", "clean", "seed")}
    row |= {name: round(value, 4) for name in METRICS if (value := report["metrics"].get(name)) is not None}
    row["judged_on"] = report["data"] if settings.get("valid") else "out-of-fold"
    return row
