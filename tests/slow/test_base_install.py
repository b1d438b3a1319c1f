"""The base install in a clean environment: no extras, no development tools, still the whole job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def megabytes(folder: Path) -> float:
    """Of all files but byte code, in MB."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parts[-2] != "__pycache__")
    return sum(path.stat().st_size for path in files) / 1e6


def test_wheel_installs_alone_and_does_the_job(tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, str(ROOT)], check=True, timeout=900)
    listed = subprocess.run([str(python), "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    for absent in ("torch", "pandas", "pytest", "transformers"):
        assert absent not in listed.lower().split()
    site = next((venv / "lib").glob("python*/site-packages"))
    # the dependencies stay light, and so does what comes with the package: mostly the embedded model
    own = megabytes(site / "maeum")
    others = megabytes(site) - own - sum(megabytes(site / name) for name in ("pip", "setuptools"))
    assert others <= 350
    assert own <= 60
    maeum = str(venv / "bin" / "maeum")
    for words in (
        ["train", "sample:nikl-ea", "--valid", "0.2", "-o", "model"],
        ["evaluate", "model", "sample:nikl-ea"],
        ["predict", "model", "sample:nikl-ea", "-o", "out.csv"],
        ["predict", "model", "sample:aihub", "-o", "out.parquet"],
        ["doctor"],
        ["analyze", "드디어 콘서트 표를 구했다!!"],
        ["predict", "mini", "sample:fashion", "--task", "nsmc", "-o", "polarity.csv"],
        ["train", "sample:nikl-ea", "--model", "mini", "-o", "on-mini"],
    ):
        subprocess.run([maeum, *words], cwd=tmp_path, check=True, timeout=300, capture_output=True)
    strict = [str(python), "-W", "error", "-c", "import maeum; maeum.load('model').analyze(['좋다'])"]
    subprocess.run(strict, cwd=tmp_path, check=True)
