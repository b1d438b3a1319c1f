"""The image's own steps in a clean root: installs, starts without rights or network, answers, ends when told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import maeum

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TEXTS = ["드디어 콘서트 표를 구했다!!", "배송이 너무 늦어서 화가 나요"]


def test_the_image_installs_starts_answers_and_ends(tmp_path, sample_model):
    if os.geteuid() != 0 or not shutil.which("chroot") or not shutil.which("unshare"):
        pytest.skip("a rehearsal of the image needs root, chroot and namespaces")
    model = sample_model("nikl-ea")
    report = tmp_path / "report.json"
    command = [sys.executable, str(ROOT / "deploy" / "rehearse.py"), "--report", str(report)]
    command += ["--mount", f"{model}:/models/first", "--ask", "/v1/emotions", json.dumps({"texts": TEXTS})]
    done = subprocess.run([*command, "--", "serve", "/models/first"], capture_output=True, text=True, timeout=900)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))

    assert found["user"] == "1000:1000"
    assert "maeum" in found["packages"]
    assert not {"torch", "transformers", "pandas", "streamlit", "ray", "pytest"} & set(found["packages"])
    assert found["image_mb"] < 500
    # the same answer as the library's, from another Python, without rights, network or a place to write
    here = maeum.load(model).analyze(TEXTS)
    assert found["answer"]["status"] == 200
    for row, analysis in zip(found["answer"]["body"]["results"], here, strict=True):
        assert row["labels"] == list(analysis.labels)
        assert row["scores"]["nikl-ea"] == pytest.approx(dict(analysis.scores), abs=1e-5)
    assert found["stop_status"] == 0
    assert found["stopped_after_s"] < 10
    assert not any(text in found["log"] for text in TEXTS)


def test_a_step_that_fails_is_reported(tmp_path):
    """A rehearsal that cannot fail would prove nothing."""
    if os.geteuid() != 0 or not shutil.which("chroot") or not shutil.which("unshare"):
        pytest.skip("a rehearsal of the image needs root, chroot and namespaces")
    (tmp_path / "deploy").mkdir()
    for name in ("rehearse.py", "confined.py", "baseroot.py", "dockerfile.py"):
        shutil.copy(ROOT / "deploy" / name, tmp_path / "deploy")
    (tmp_path / ".dockerignore").write_text("*\n!kept\n", encoding="utf-8")
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    (tmp_path / "shut-out").write_text("shut out", encoding="utf-8")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    start = f"FROM python:{version}-slim AS one\nCOPY kept /etc/kept\n"
    checks = {
        # files of this machine and of what .dockerignore shuts out are not there; the user is what USER says
        "RUN test ! -e /work && test ! -e /opt && grep -q kept /etc/kept && test $(id -u) = 0\n"
        "USER 1000:1000\nRUN test $(id -u) = 1000 && ! touch /etc/x\n": "",
        "RUN true\nRUN exit 7\n": "line 4: RUN ended with status 7",
    }
    said = {}
    for steps in checks:
        (tmp_path / "deploy" / "Dockerfile").write_text(start + steps, encoding="utf-8")
        command = [sys.executable, str(tmp_path / "deploy" / "rehearse.py"), "--build-only"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode == 3:
            pytest.skip(done.stderr.strip().splitlines()[-1])
        said[steps] = done
    for steps, why in checks.items():
        assert said[steps].returncode == (1 if why else 0), said[steps].stderr
        assert why in said[steps].stderr
