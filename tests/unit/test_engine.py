"""What runs the models here, as ``doctor`` and ``info`` tell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import ok

from maeum import engine
from maeum.task import get_task


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


@pytest.mark.parametrize(("file", "runs"), [("decoder.json", "torch"), ("encoder.json", "torch"), ("x.json", "numpy/")])
def test_the_engine_is_told_by_what_lies_in_the_folder(tmp_path: Path, file: str, runs: str) -> None:
    # one of the members of a mean or a vote, or a stage of a review model
    (tmp_path / "model" / "0").mkdir(parents=True)
    (tmp_path / "model" / "0" / file).write_text("{}", encoding="utf-8")
    assert engine.engine_of(tmp_path).startswith(runs)


def test_a_folder_whose_weights_were_cut_short_before_it_was_sealed_is_refused(
    sample_model: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    from maeum import folder as model_folder
    from maeum.errors import FormatError

    shutil.copytree(sample_model("nikl-ea"), tmp_path / "m")
    weights = tmp_path / "m" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    (tmp_path / "m" / "manifest.json").unlink()
    model_folder.seal(tmp_path / "m", "linear", get_task("nikl-ea"))
    with pytest.raises(FormatError, match="damaged"):
        model_folder.load(tmp_path / "m")
