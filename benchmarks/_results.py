"""Where benchmark results go: one JSON file per run, with command, versions, machine and date."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def save(name: str, result: dict[str, Any]) -> Path:
    """Write ``results/<date>-<name>.json`` and return its path."""
    from maeum.experiment import library_versions

    RESULTS.mkdir(exist_ok=True)
    today = datetime.date.today().isoformat()
    path = RESULTS / f"{today}-{name}.json"
    about = {
        "benchmark": name,
        "date": today,
        "command": " ".join(["python", Path(sys.argv[0]).name, *map(_portable, sys.argv[1:])]),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": library_versions(),
    }
    path.write_text(json.dumps(about | result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return path


def _portable(word: str) -> str:
    """An argument without the place it has on this machine: of an absolute path the last part, also after ``kind:``."""
    kind, colon, path = word.rpartition(":")
    return f"{kind}{colon}{Path(path).name}" if Path(path).is_absolute() else word


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip()
