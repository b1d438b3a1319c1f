"""What runs the models here, as ``doctor`` and ``info`` tell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import ok

from maeum import engine


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("flags\t\t: fpu avx2 avx512bw avx512_vnni amx_int8", "amx_int8"),
        ("flags\t\t: fpu avx2 avx_vnni", "avx_vnni"),
        ("Features\t: fp asimd asimddp", "asimddp"),
        ("flags\t\t: fpu avx2", ""),
        ("model name : none", None),
    ],
)
def test_int8_instructions_are_read_from_the_flags(tmp_path: Path, flags: str, found: str | None) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n", encoding="utf-8")
    assert engine.int8_instructions(tmp_path / "cpuinfo") == found


def test_a_machine_without_the_file_is_unknown(tmp_path: Path) -> None:
    assert engine.int8_instructions(tmp_path / "none") is None
    assert engine.int8_shown(None) != engine.int8_shown("")


def test_doctor_names_engine_threads_and_instructions(tmp_path: Path) -> None:
    checks = {item["name"]: item["value"] for item in json.loads(ok("doctor", "--json", cwd=tmp_path).stdout)["checks"]}
    assert checks["engine"].startswith("onnxruntime ")
    assert checks["threads (CPU cores)"] == str(engine.cores())
    assert "int8 instructions" in checks
    assert "embedded model mini" in checks


def test_info_names_the_engine(sample_model: Callable[[str], Path], tmp_path: Path) -> None:
    assert "engine: numpy/scipy" in ok("info", sample_model("nikl-ea"), cwd=tmp_path).stdout
