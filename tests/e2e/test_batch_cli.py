"""``maeum batch`` as people run it: real worker processes, one of which is killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import failed, maeum, ok

SAMPLE = Path(__file__).parents[2] / "src" / "maeum" / "samples" / "nikl-ea.jsonl"


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with ``in.jsonl``, 40 rows."""
    rows = [{"id": f"r{n}", "text": f"{n}번째로 드디어 표를 구했다"} for n in range(40)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.slow
def test_two_processes_write_what_predict_writes(place, sample_model):
    model = sample_model("nikl-ea")
    ok("predict", model, "in.jsonl", "-o", "whole.jsonl", "-q", cwd=place)
    words = ("batch", model, "in.jsonl", "out", "--format", "jsonl", "--part-rows", "16", "--workers", "2")
    done = ok(*words, cwd=place)
    assert "out/: 40 rows in 3 part(s)" in done.stderr
    assert done.stdout == ""
    parts = sorted((place / "out").glob("part-*.jsonl"))
    assert b"".join(part.read_bytes() for part in parts) == (place / "whole.jsonl").read_bytes()
    again = json.loads(ok(*words, "--json", cwd=place).stdout)
    assert (again["complete_before"], again["rows"], again["resumed"]) == (True, 40, 3)
    assert "a job with another options" in failed(1, *words[:-2], "--batch-size", "7", cwd=place)


def test_what_goes_wrong_is_one_sentence(place, sample_model):
    model = sample_model("nikl-ea")
    (place / "in.jsonl").write_text('{"text": "글"}\n{"text": 3}\n')
    # in a process of its own: workers import its main module, and a test runner's is whatever the last test left there
    done = maeum("batch", model, "in.jsonl", "out", "--workers", "1", cwd=place, process=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("in.jsonl:2: 'text' is text, got int")
    assert "no head for task" in failed(1, "batch", model, "in.jsonl", "out", "--task", "nsmc", cwd=place)
    assert "--engine ray only" in failed(1, "batch", model, "in.jsonl", "out", "--address", "auto", cwd=place)
    assert "no model folder" in failed(1, "batch", "nowhere", "in.jsonl", "out", cwd=place)
    failed(2, "batch", model, "in.jsonl", cwd=place)
