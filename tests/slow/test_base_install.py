"""The base install in a clean environment: no extras, no development tools, still the whole job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


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
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file() and path.parts[-2] != "__pycache__")
    pip_size = sum(path.stat().st_size for name in ("pip", "setuptools") for path in (site / name).rglob("*.py"))
    assert (size - pip_size) / 1e6 <= 350
    maeum = str(venv / "bin" / "maeum")
    for words in (
        ["train", "sample:nikl-ea", "--valid", "0.2", "-o", "model"],
        ["evaluate", "model", "sample:nikl-ea"],
        ["predict", "model", "sample:nikl-ea", "-o", "out.csv"],
        ["predict", "model", "sample:aihub", "-o", "out.parquet"],
        ["doctor"],
    ):
        subprocess.run([maeum, *words], cwd=tmp_path, check=True, timeout=300, capture_output=True)
    strict = [str(python), "-W", "error", "-c", "import maeum; maeum.load('model').analyze(['좋다'])"]
    subprocess.run(strict, cwd=tmp_path, check=True)
