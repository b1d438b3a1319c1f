"""The code of docs/client.md, run as it stands against a live service."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_service import Live, start

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "client.md"
ADDRESS = "http://127.0.0.1:8000"
BLOCKS = re.findall(
    r"```(python|bash|javascript)\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE.read_text(encoding="utf-8"), re.DOTALL
)


@pytest.fixture(scope="module")
def live(sample_model, tmp_path_factory) -> Iterator[Live]:
    with start(sample_model("nikl-ea"), f"후기={sample_model('fashion')}", log=tmp_path_factory.mktemp("log")) as found:
        yield found


def test_the_page_has_all_three_languages():
    kinds = [kind for kind, _, _ in BLOCKS]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"python": 3, "bash": 2, "javascript": 2}
    assert all(ADDRESS in code for _, code, _ in BLOCKS)


@pytest.mark.parametrize(
    ("kind", "code", "said"), BLOCKS, ids=[f"{kind}-{number}" for number, (kind, _, _) in enumerate(BLOCKS)]
)
def test_code_says_what_the_page_says(kind, code, said, live, tmp_path):
    name, command = {
        "python": ("code.py", [sys.executable]),
        "bash": ("code.sh", ["bash", "-eu"]),
        "javascript": ("code.mjs", ["node"]),
    }[kind]
    for tool in {"bash": ("bash", "curl"), "javascript": ("node",)}.get(kind, ()):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    (tmp_path / name).write_text(code.replace(ADDRESS, live.url), encoding="utf-8")
    done = subprocess.run([*command, name], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert said, "the page should show what comes out"
    assert done.stdout == said
