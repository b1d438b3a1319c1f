"""Put a finished model of several heads into the package as ``mini``.

    python recipes/mini/ship.py runs/mini

Copies what answering needs (trunk, heads, their thresholds and reports), writes the card and seals the folder. What only
training needs (out-of-fold rows, HTML reports) stays behind, and so does every path of the machine it was trained on.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path, PurePath
from typing import Any

from maeum import folder as model_folder
from maeum._files import atomic_folder, pretty_json, read_json, write_text

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "src" / "maeum" / "mini"
LARGEST = 30_000_000
"""Bytes a file may have."""
WHOLE = 60_000_000
"""Bytes the wheel may have; the weights do not shrink in it."""
FIRST = "nikl-ea"
"""The head that answers where nobody chose one; the others keep their order."""
KEPT = ("task.json", "text.json", "calibration.json", "thresholds.json", "settings.json", "report.json", "model")


def ship(source: Path, target: Path = PACKAGE) -> None:
    """Write ``target`` from the model folder ``source``.

    Raises:
        SystemExit: the model is not exported, or too large.
    """
    found = model_folder.load_heads(source)
    heads = {name: found[name] for name in sorted(found, key=lambda name: name != FIRST)}
    if read_json(source / "trunk" / "trunk.json")["kind"] != "onnx":
        sys.exit(f"{source}: export it first (maeum export --precision int8)")
    with atomic_folder(target, overwrite=True) as place:
        shutil.copytree(source / "trunk", place / "trunk")
        for name in heads:
            for part in KEPT:
                old, new = source / "heads" / name / part, place / "heads" / name / part
                new.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(old, new) if old.is_dir() else shutil.copyfile(old, new)
            settings = place / "heads" / name / "settings.json"
            write_text(settings, pretty_json(portable(read_json(settings))))
        write_text(place / "README.md", card(place, tuple(heads)))
        write_text(place / "LICENSES.md", (HERE / "LICENSES.md").read_text(encoding="utf-8"))
        for path in place.rglob("*"):
            if path.is_file() and path.stat().st_size > LARGEST:
                sys.exit(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}")
        if (size := sum(path.stat().st_size for path in place.rglob("*") if path.is_file())) > WHOLE:
            sys.exit(f"{size / 1e6:.1f} MB in all, more than {WHOLE / 1e6:.0f}")
        first = next(iter(heads.values()))
        model_folder.seal(place, model_folder.HEADS_KIND, first.task, heads=tuple(heads))
    sys.stdout.write(f"{target}: {size / 1e6:.1f} MB, {', '.join(heads)}\n")


def portable(value: Any) -> Any:
    """JSON data in which an absolute path keeps its last two parts only."""
    if isinstance(value, dict):
        return {name: portable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [portable(item) for item in value]
    if isinstance(value, str):
        return ", ".join(
            "/".join(PurePath(part).parts[-2:]) if PurePath(part).is_absolute() else part for part in value.split(", ")
        )
    return value


def card(place: Path, names: tuple[str, ...]) -> str:
    """The model card: the words of ``card.md`` with a table of what was measured."""
    lines = ["| 머리 | 라벨 | 떼어 둔 행 | 지표 | 95% 구간 |", "|---|---|---|---|---|"]
    for name in names:
        report = json.loads((place / "heads" / name / "report.json").read_text(encoding="utf-8"))
        metric = "accuracy" if report["kind"] == "multiclass" else "macro_f1"
        low, high = report["intervals"].get(metric, (None, None))
        between = "–" if low is None else f"{low:.4f}–{high:.4f}"
        lines.append(
            f"| {name} | {len(report['labels'])} | {report['n']:,} | {metric} {report['metrics'][metric]:.4f} | {between} |"
        )
    return (HERE / "card.md").read_text(encoding="utf-8").replace("{{results}}", "\n".join(lines))


if __name__ == "__main__":
    ship(Path(sys.argv[1]))
