"""Encoders on the command line as people run it."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest
from cli_kit import maeum, ok

pytest.importorskip("torch")
pytest.importorskip("transformers")

SAMPLE = Path(__file__).parents[2] / "src" / "maeum" / "samples" / "nikl-ea.jsonl"
FAST = ("--max-length", "24", "--device", "cpu", "--set", "max_steps=4", "--batch-size", "16", "--clean", "raw")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_base) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A place with a model in ``runs/tiny``, and what ``train --json`` said."""
    place = tmp_path_factory.mktemp("encoder")
    model = f"encoder:{tiny_base('klue-bert')}"
    words = ("--target-input", "marker", "--patience", "2", "--json", *FAST)
    return place, ok("train", "sample:nikl-ea", "--model", model, *words, "-o", "runs/tiny", cwd=place)


def test_train_prints_one_json_object_and_nothing_else(trained):
    place, done = trained
    found = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert found["model"] == "runs/tiny"
    assert 0 <= found["report"]["metrics"]["micro_f1"] <= 1
    assert done.stderr == ""
    assert [path.name for path in (place / "runs").iterdir()] == ["tiny"]


def test_the_folder_holds_a_history_and_a_model_that_transformers_opens(trained):
    folder = trained[0] / "runs" / "tiny"
    with (folder / "history.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["step", "epoch", "train_loss", "valid_loss"]
    assert {"learning_rate", "valid_micro_f1", "valid_macro_f1", "valid_accuracy"} <= set(rows[0])
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["valid_loss"]) > 0
    names = {path.name for path in (folder / "model" / "hf").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not list(folder.rglob("*.bin"))
    assert not list(folder.rglob("checkpoint*"))


@pytest.mark.slow
def test_evaluate_predict_and_analyze_answer_from_it(trained):
    place = trained[0]
    few = SAMPLE.read_bytes().splitlines(keepends=True)[:40]
    (place / "few.jsonl").write_bytes(b"".join(few))
    scores = json.loads(ok("evaluate", "runs/tiny", "few.jsonl", "--json", cwd=place).stdout)
    assert 0 <= scores["metrics"]["macro_f1"] <= 1
    ok("predict", "runs/tiny", "few.jsonl", "-o", "p.jsonl", cwd=place)
    rows = [json.loads(line) for line in (place / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    row = rows[7]
    words = ("--json", "--target", row["target"]["form"], row["text"])
    said = json.loads(ok("analyze", "--model", "runs/tiny", *words, cwd=place).stdout)
    assert said["results"][0]["scores"]["nikl-ea"] == pytest.approx(row["scores"], abs=1e-5)


def test_runs_lists_it(trained):
    (found,) = json.loads(ok("runs", "runs", "--json", cwd=trained[0]).stdout)["runs"]
    assert "encoder" in json.dumps(found)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "encoder:./nowhere"), "there is no model folder ./nowhere"),
        (("--model", "encoder:nobody/nothing"), "there is no folder 'nobody/nothing', no downloaded copy, and offline"),
        (("--model", "encoder:x", "--head", "bigur"), "did you mean 'bigru'?"),
        (("--model", "encoder:x", "--set", "warmpu=0.1"), "did you mean 'warmup'?"),
        (("--model", "encoder:x", "--set", "warmup"), "--set takes KEY=VALUE"),
        (("--model", "encoder"), "cannot be trained"),
    ],
    ids=["folder", "hub id", "head", "setting", "set", "no base"],
)
def test_mistakes_are_one_sentence(tmp_path, words, sentence):
    done = maeum("train", "sample:nikl-ea", *words, "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert line.startswith("error: ")
    assert sentence in line
    assert list(tmp_path.iterdir()) == []
