"""Encoder runs that are killed go on to the very same result, and two processes give what one gives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import maeum

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

ROWS = 160
FAST = ("--batch-size", "8", "--max-length", "32", "--device", "cpu", "--learning-rate", "1e-3", "--set", "log_steps=1")


def start(*words: object, cwd: Path, module: tuple[str, ...] = ("maeum",)) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *module, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "MAEUM_LANG": "en", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )


def finish(*words: object, cwd: Path, module: tuple[str, ...] = ("maeum",)) -> tuple[str, str]:
    process = start(*words, cwd=cwd, module=module)
    try:
        out, err = process.communicate(timeout=500)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, err
    return out, err


def killed_when(ready: Callable[[], bool], *words: object, cwd: Path) -> None:
    """Run and kill as soon as something lies on the disk."""
    process = start(*words, cwd=cwd)
    end = time.monotonic() + 300
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    _, err = process.communicate()
    assert alive, err
    assert ready()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    sample = Path(maeum.__file__).parent / "samples" / "nikl-ea.jsonl"
    lines = sample.read_bytes().splitlines(keepends=True)[:ROWS]
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines))
    return tmp_path


def same(first: Path, second: Path) -> None:
    found, expected = load_file(first / "oof.safetensors"), load_file(second / "oof.safetensors")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.array_equal(found[name], array), f"{name}: {np.abs(found[name] - array.astype(float)).max()}"
    for name in ("thresholds.json", "calibration.json", "history.csv", "oof_ids.txt"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_run_killed_three_times_ends_like_an_unbroken_one(place, tiny_base):
    model = f"encoder:{tiny_base('klue-roberta')}"
    words = ("train", "rows.jsonl", "--model", model, "--folds", "5", "--epochs", "2", *FAST)
    words = (*words, "--set", "checkpoint_minutes=0")
    finish(*words, "-o", "whole", cwd=place)
    work = place / "out.partial"
    for found in ("fold_0/checkpoint-*/trainer_state.json", "fold_1/done.json", "fold_3/checkpoint-*/*.safetensors"):
        killed_when(lambda found=found: any(work.glob(found)), *words, "-o", "out", cwd=place)
        assert not (place / "out").exists()
    finished = [number for number in range(5) if (work / f"fold_{number}" / "done.json").exists()]
    assert finished == [0, 1, 2]
    _, err = finish(*words, "-o", "out", cwd=place)
    assert err.count("already trained") == 3
    same(place / "out", place / "whole")
    texts = ["드디어 표를 구했다", "너무 무섭다"]
    proba = [maeum.load(place / name).predict_proba(texts) for name in ("out", "whole")]
    assert np.abs(proba[0] - proba[1]).max() <= 1e-6
    assert {path.name for path in place.iterdir()} == {"rows.jsonl", "whole", "out"}


def test_patience_too_goes_on_to_the_same_result(place, tiny_base):
    model = f"encoder:{tiny_base('klue-bert')}"
    words = ("train", "rows.jsonl", "--model", model, "--epochs", "5", "--patience", "1", *FAST)
    words = (*words, "--set", "checkpoint_minutes=0")
    finish(*words, "-o", "whole", cwd=place)
    fold = place / "out.partial" / "fold_0"
    for found in ("checkpoint-1[0-9]/trainer_state.json", "checkpoint-2[0-9]/trainer_state.json"):
        killed_when(lambda found=found: any(fold.glob(found)), *words, "-o", "out", cwd=place)
    finish(*words, "-o", "out", cwd=place)
    same(place / "out", place / "whole")


def test_other_settings_are_refused_until_told_to_overwrite(place, tiny_base):
    model = f"encoder:{tiny_base('klue-bert')}"
    words = ("train", "rows.jsonl", "--model", model, "--epochs", "1", "-o", "out", *FAST)
    work = place / "out.partial"
    killed_when(
        lambda: any(work.glob("fold_0/checkpoint-*/trainer_state.json")),
        *words,
        "--set",
        "checkpoint_minutes=0",
        cwd=place,
    )
    process = start(*words, "--seed", "7", cwd=place)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert out == ""
    assert "'out.partial' holds an unfinished run with other data or settings" in err
    assert list(work.glob("fold_0/checkpoint-*"))
    finish(*words, "--seed", "7", "--overwrite", cwd=place)
    assert not work.exists()
    settings = json.loads((place / "out" / "settings.json").read_text(encoding="utf-8"))
    assert settings["settings"]["seed"] == 7


def test_two_processes_give_what_one_gives(place, tiny_base):
    pytest.importorskip("accelerate")
    model = f"encoder:{tiny_base('klue-bert', easy=True)}"
    words = ("train", "rows.jsonl", "--model", model, "--folds", "2", "--epochs", "2", *FAST, "--head", "mean")
    words = (*words, "--set", "dropout=0", "--set", "precision=fp32")
    finish(*words, "-o", "one", "--json", cwd=place)
    # `accelerate launch --cpu --num_processes 2` starts a single process unless there is an MPI
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ("torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}")
    out, err = finish(*words, "-o", "two", "--json", cwd=place, module=(*launch, "-m", "maeum"))
    assert json.loads(out)["model"] == "two"
    assert out.count("\n") == 1
    assert "Traceback" not in err
    assert {path.name for path in place.iterdir()} == {"rows.jsonl", "one", "two"}
    one, two = (load_file(place / name / "oof.safetensors") for name in ("one", "two"))
    # a model that gives every row the same would agree with anything: it must differ far more between rows than allowed below
    assert np.ptp(one["proba"], axis=0).min() > 2e-3
    assert np.abs(one["proba"] - two["proba"]).max() <= 1e-4
    steps = [
        len((place / name / "history.csv").read_text(encoding="utf-8-sig").splitlines()) for name in ("one", "two")
    ]
    assert steps[0] == steps[1]
