"""The README's own words, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def test_the_minute_of_use(tmp_path):
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## 1분 사용법")[1].split("\n## ")[0]
    shell, python = re.findall(r"```(?:python)?\n(.*?)```", section, re.DOTALL)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = [line.split("#")[0].strip() for line in shell.splitlines() if line.startswith("maeum ")]
    assert len(commands) >= 4
    for command in commands:
        subprocess.run(command, shell=True, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=300)
    assert (tmp_path / "결과.csv").exists()
    done = subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "joy" in done.stdout
