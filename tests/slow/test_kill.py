"""``kill -9`` at random moments: no corrupt folder is ever loadable, and predictions resume to the identical file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import maeum
from maeum.errors import MaeumError

pytestmark = pytest.mark.slow
TRIES = 20


def start(*words: object, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "maeum", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MAEUM_LANG": "en"},
        start_new_session=True,
    )


def killed_after(seconds: float, *words: object, cwd: Path) -> bool:
    """Run and kill after some seconds; whether it was still running."""
    process = start(*words, cwd=cwd)
    time.sleep(seconds)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def finish(*words: object, cwd: Path) -> float:
    begun = time.perf_counter()
    process = start(*words, cwd=cwd)
    assert process.wait(timeout=600) == 0
    return time.perf_counter() - begun


def test_train_leaves_the_old_folder_or_the_new_never_a_mixture(tmp_path):
    rng = random.Random(1)
    took = finish("train", "sample:nikl-ea", "--seed", "1", "-o", "model", cwd=tmp_path)
    texts = ["드디어 표를 구했다", "너무 무섭다"]
    old = maeum.load(tmp_path / "model").predict_proba(texts)
    interrupted = 0
    for attempt in range(TRIES):
        target = "model" if attempt % 2 else f"fresh{attempt}"
        words = ("train", "sample:nikl-ea", "--seed", "1", "-o", target, "--overwrite")
        interrupted += killed_after(rng.uniform(0.3, 1.0) * took, *words, cwd=tmp_path)
        assert (maeum.load(tmp_path / "model").predict_proba(texts) == old).all()
        if target != "model" and (tmp_path / target).exists():
            assert (maeum.load(tmp_path / target).predict_proba(texts) == old).all()
        for partial in tmp_path.glob(".*.tmp"):
            if not (partial / "manifest.json").exists():
                with pytest.raises(MaeumError):
                    maeum.load(partial)
    assert interrupted >= TRIES // 4


def test_thresholds_killed_leaves_a_folder_that_loads(tmp_path):
    rng = random.Random(2)
    finish("train", "sample:nikl-ea", "-o", "model", cwd=tmp_path)
    took = finish("thresholds", "model", "--objective", "accuracy", cwd=tmp_path)
    for attempt in range(TRIES // 2):
        objective = ("micro-f1", "macro-f1")[attempt % 2]
        killed_after(rng.uniform(0.6, 1.0) * took, "thresholds", "model", "--objective", objective, cwd=tmp_path)
        maeum.load(tmp_path / "model")


def killed_at(size: int, path: Path, *words: object, cwd: Path) -> bool:
    """Run and kill as soon as a file has grown to some bytes; whether it was still running."""
    process = start(*words, cwd=cwd)
    while process.poll() is None and not (path.exists() and path.stat().st_size >= size):
        time.sleep(0.002)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_predict_resumes_to_the_identical_file(tmp_path, suffix):
    rng = random.Random(3)
    finish("train", "sample:nikl-ea", "-o", "model", cwd=tmp_path)
    texts = [example.text for example in maeum.read("sample:nikl-ea")]
    with (tmp_path / "many.txt").open("w", encoding="utf-8") as file:
        for row in range(40_000):
            file.write(f"{texts[row % len(texts)]} {row}\n")
    words = ("predict", "model", "many.txt", "--format", "txt")
    finish(*words, "-o", "whole.jsonl", cwd=tmp_path)
    finish(*words, "-o", f"expected.{suffix}", cwd=tmp_path)
    size = (tmp_path / "whole.jsonl").stat().st_size
    interrupted = 0
    for _ in range(TRIES // 2):
        output = tmp_path / f"out.{suffix}"
        for path in tmp_path.glob(f"{output.name}*"):
            path.unlink()
        partial = tmp_path / f"{output.name}.partial"
        for share in sorted(rng.uniform(0, 1.001) for _ in range(2)):
            interrupted += killed_at(int(share * size), partial, *words, "-o", output.name, cwd=tmp_path)
        finish(*words, "-o", output.name, cwd=tmp_path)
        assert output.read_bytes() == (tmp_path / f"expected.{suffix}").read_bytes()
    assert interrupted >= TRIES // 2
