"""Nothing is sent or kept about those who use maeum."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "maeum"


def test_onnxruntime_leaves_no_identifier_of_the_machine(tmp_path: Path) -> None:
    home = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    words = "from maeum._onnxruntime import onnxruntime; onnxruntime()"
    subprocess.run([sys.executable, "-c", words], env={**home, "HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.rglob("*"))


def test_it_is_imported_in_one_place() -> None:
    places = [
        p for p in SOURCES.rglob("*.py") if re.search(r"^\s*(import|from) onnxruntime\b", p.read_text("utf-8"), re.M)
    ]
    assert [place.name for place in places] == ["_onnxruntime.py"]
