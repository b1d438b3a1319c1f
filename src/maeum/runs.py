"""All runs under a folder as one result table, as seed 001 kept by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from maeum._files import atomic_text, read_json
from maeum.errors import FormatError, UsageError
from maeum.folder import HEADS_KIND, read_manifest

METRICS = ("micro_f1", "macro_f1", "accuracy", "subset_accuracy")
SETTING_COLUMNS = (
    "batch_size",
    "epochs",
    "max_steps",
    "learning_rate",
    "weight_decay",
    "loss",
    "patience",
    "head",
    "target_input",
    "template",
    "form",
    "learn",
    "shots",
)
"""Settings of encoders and decoders that get a column of their own."""
COLUMNS = (
    "run",
    "task",
    "model",
    *METRICS,
    "judged_on",
    "rows",
    *SETTING_COLUMNS,
    "folds",
    "keep",
    "objective",
    "clean",
    "seed",
    "problem",
)


def collect(folder: Path, *, sort: str = "micro_f1") -> list[dict[str, Any]]:
    """One row per model folder under ``folder``, best first; of a model of several heads one per head.

    Folders inside the folder of a run are not counted as runs of their own. A folder that cannot be read has its reason
    in the column ``problem`` instead of metrics; an ensemble that was never measured has no metrics.

    Raises:
        UsageError: there is no such folder, no run in it, or no run has the metric ``sort``.
    """
    if not folder.is_dir():
        raise UsageError(f"폴더가 없습니다: {folder}", f"no such folder: {folder}")
    places = [path.parent for path in sorted(folder.rglob("manifest.json"))]
    # folds, members of an ensemble and stages of a review model are folders inside the folder of a run
    places = [place for place in places if not set(places) & set(place.parents)]
    rows = [row for place in places for row in _rows(place, folder)]
    if not rows:
        raise UsageError(
            f"'{folder}' 아래에 모델 폴더가 없습니다. 'maeum train'으로 먼저 학습하세요.",
            f"there are no model folders under '{folder}'; train one with 'maeum train'",
        )
    if not any(sort in row for row in rows):
        known = [name for name in METRICS if any(name in row for row in rows)]
        raise UsageError(
            f"점수 '{sort}'가 있는 모델이 없습니다. 있는 점수: {', '.join(known) or '없음'}",
            f"no run has the metric '{sort}'; there are: {', '.join(known) or 'none'}",
        )
    return sorted(rows, key=lambda row: -float(row.get(sort, -1.0)))


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns that any row fills, in the order of ``COLUMNS``."""
    filled = {name for row in rows for name, value in row.items() if value not in ("", None)}
    return [name for name in COLUMNS if name in filled]


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table."""
    names = columns(rows)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")).replace("|", "\\|") for name in names) + " |" for row in rows]
    return "\n".join(lines)


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The rows as a CSV that Excel opens."""
    with atomic_text(path, encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns(rows), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _rows(place: Path, root: Path) -> list[dict[str, Any]]:
    """The row of a model folder; of one with several heads a row for each."""
    run = {"run": place.relative_to(root).as_posix()}
    try:
        manifest = read_manifest(place)
        several = manifest["model"] == HEADS_KIND
        parts = [place / "heads" / str(name) for name in manifest["heads"]] if several else [place]
    except (FormatError, OSError, json.JSONDecodeError, KeyError) as error:
        return [run | {"problem": str(error)}]
    rows = []
    for part in parts:
        try:
            rows.append(run | (_head_row(part) if several else _row(part, manifest)))
        except (FormatError, OSError, json.JSONDecodeError, KeyError) as error:
            rows.append(run | {"problem": str(error)})
    return rows


def _row(place: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    settings = read_json(place / "settings.json")
    # members without common rows cannot be measured, and then an ensemble has no report
    report = _report(place, needed=manifest["model"] != "vote")
    chosen = settings.get("settings", {})
    model = str(chosen.get("model") or manifest["model"])
    row = _common(manifest["task"], model, settings, report)
    row |= _cells(model, place, chosen, manifest["task"]["kind"])
    row["judged_on"] = report["data"] if settings.get("valid") or not report["metrics"] else "out-of-fold"
    return row


def _head_row(place: Path) -> dict[str, Any]:
    """One head of several; without held-out rows it has no report."""
    settings, report = read_json(place / "settings.json"), _report(place, needed=False)
    chosen = settings.get("settings", {})
    model = HEADS_KIND
    if chosen.get("base"):
        # a folder on the machine that trained it says less than its name
        model = f"{'frozen' if chosen.get('frozen') else 'encoder'}:{PurePath(chosen['base']).name}"
    return _common(read_json(place / "task.json"), model, settings, report) | {"judged_on": report["data"]}


def _report(place: Path, *, needed: bool) -> dict[str, Any]:
    path = place / "report.json"
    return read_json(path) if needed or path.exists() else {"metrics": {}, "data": ""}


def _common(
    task: Mapping[str, Any], model: str, settings: Mapping[str, Any], report: Mapping[str, Any]
) -> dict[str, Any]:
    chosen = settings.get("settings", {})
    row = {"task": task["name"], "model": model, "rows": (settings.get("train") or {}).get("rows", "")}
    row |= {name: chosen.get(name) or "" for name in ("folds", "objective", "clean")}
    row |= {"keep": chosen.get("vote") or chosen.get("keep") or "", "seed": chosen.get("seed", "")}
    return row | {name: round(value, 4) for name in METRICS if (value := report["metrics"].get(name)) is not None}


def _cells(model: str, place: Path, settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if model.startswith("encoder:"):
        return _encoder_cells(place, settings, kind)
    if not model.startswith("decoder"):
        return {}
    found = dict(settings.get("model_options") or {})
    path = next((p for p in (place / "model", place / "folds" / "0" / "model") if (p / "decoder.json").is_file()), None)
    if path is not None:
        about = read_json(path / "decoder.json")
        found = {**about["config"], "template": about["template"]["name"]}
    if found.get("learn") == "none":
        found |= dict.fromkeys(("epochs", "batch_size", "learning_rate", "weight_decay"))
    return {name: _cell(found.get(name) or None) for name in SETTING_COLUMNS}


def _encoder_cells(place: Path, settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Settings as the encoder was trained with them, its defaults of that time filled in."""
    from maeum.models.encoder import default_learning_rate

    found = dict(settings.get("model_options") or {})
    model = next((path for path in (place / "model", place / "folds" / "0" / "model") if _is_encoder(path)), None)
    if model is not None:
        about = read_json(model / "encoder.json")
        found = {**about["config"], "head": about["head"]}
        config = read_json(model / "hf" / "config.json")
        width = config.get("hidden_size") or config.get("d_model")
        if found.get("learning_rate") is None and width:
            found["learning_rate"] = default_learning_rate(int(width))
    found["loss"] = found.get("loss") or ("ce" if kind == "multiclass" else "bce")
    if found.get("max_steps"):
        found["epochs"] = None
    if found.get("target_input") == "none":
        found["target_input"] = None
    return {name: _cell(found.get(name)) for name in SETTING_COLUMNS}


def _is_encoder(model: Path) -> bool:
    return (model / "encoder.json").is_file() and (model / "hf" / "config.json").is_file()


def _cell(value: Any) -> Any:
    """Whole numbers without ``.0``; nothing for None."""
    if value is None:
        return ""
    return int(value) if isinstance(value, float) and value.is_integer() else value
