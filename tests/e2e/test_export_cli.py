"""``maeum export`` and what people do with its result, where torch is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_kit import maeum, ok

from maeum import folder as model_folder
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.models.base import make_classifier
from maeum.task import get_task
from maeum.text import TextPrep

pytest.importorskip("torch")
pytest.importorskip("onnx")

SAMPLE = Path(__file__).parents[2] / "src" / "maeum" / "samples" / "nikl-ea.jsonl"
WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "onnx", "onnxscript", "accelerate"):
    sys.modules[name] = None
from maeum.apps.cli import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_base, one_thread) -> Path:
    """A folder with ``model``, an encoder after one step, ``few.jsonl``, and ``onnx``, exported by the command."""
    place = tmp_path_factory.mktemp("export")
    task = get_task("nikl-ea")
    options = {"head": "mean", "device": "cpu", "precision": "fp32", "max_steps": 1, "max_length": 32}
    inputs = [Input("오늘은 기분이 좋다"), Input("화가 난다")]
    y = np.zeros((2, len(task)), np.uint8)
    y[0, 0] = y[1, 5] = 1
    model = make_classifier(f"encoder:{tiny_base('e5')}", task, seed=1, options=options).fit(inputs, y)
    model_folder.save(Analyzer(model, prep=TextPrep.named("default")), place / "model")
    (place / "few.jsonl").write_bytes(b"".join(SAMPLE.read_bytes().splitlines(keepends=True)[:30]))
    ok("export", "model", "-o", "onnx", cwd=place)
    return place


def bare(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process that cannot import torch."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_predictions_without_torch_are_those_of_the_original(place):
    ok("predict", "model", "few.jsonl", "-o", "torch.jsonl", cwd=place)
    bare("predict", "onnx", "few.jsonl", "-o", "onnx.jsonl", cwd=place)
    rows = [
        [json.loads(line) for line in (place / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("torch", "onnx")
    ]
    assert len(rows[0]) == 30
    for before, after in zip(*rows, strict=True):
        assert before["labels"] == after["labels"]
        assert all(abs(before["scores"][key] - after["scores"][key]) <= 1e-5 for key in before["scores"])


def test_the_other_commands_work_on_it(place):
    found = json.loads(bare("analyze", "--model", "onnx", "--json", "기쁘다", cwd=place).stdout)
    assert len(found["results"]) == 1
    ok("evaluate", "onnx", "few.jsonl", cwd=place)
    ok("explain", "onnx", "정말 기쁜 하루였다", cwd=place)
    ok("info", "onnx", cwd=place)


def test_int8_prints_a_verdict_and_json_holds_it(place):
    done = ok("export", "model", "-o", "small", "--precision", "int8", "--data", "few.jsonl", "--json", cwd=place)
    found = json.loads(done.stdout)
    assert found["asked"] == "int8"
    assert found["precision"] in ("int8", "fp32")
    assert found["reasons"]
    assert found["measured"]["nikl-ea"]["texts"] == 30
    assert json.loads((place / "small" / "export.json").read_text(encoding="utf-8"))["reasons"] == found["reasons"]


def test_mistakes_are_one_sentence(place):
    done = maeum("export", "model", "-o", "onnx", cwd=place)
    assert done.returncode == 1
    assert "already exists" in done.stderr
    done = maeum("export", "onnx", "-o", "again", cwd=place)
    assert done.returncode == 1
    assert "exported model already" in done.stderr
    assert maeum("export", "model", "-o", "x", "--precision", "int4", cwd=place).returncode == 2


def test_doctor_lists_what_runs_exported_models(place):
    checks = {item["name"]: item for item in json.loads(ok("doctor", "--json", cwd=place).stdout)["checks"]}
    assert all(checks[name]["ok"] for name in ("onnxruntime", "tokenizers"))
