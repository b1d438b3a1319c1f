"""``notebooks/encoder.ipynb`` from the first cell to the last, on a tiny encoder, without a network."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "encoder.ipynb"


@pytest.fixture
def environment(tiny_base, tmp_path, monkeypatch) -> Path:
    """A folder to work in, and what the kernel and its commands find in their environment."""
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAEUM_NOTEBOOK_BASE", str(tiny_base("klue-roberta")))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_ALLOW_INSECURE_WRITES", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    place = tmp_path / "work"
    place.mkdir()
    return place


@pytest.mark.filterwarnings("default")
def test_every_cell_runs(environment):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(environment)}}
    )
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    shown = [out for cell in cells for out in cell.outputs]
    assert not [out for out in shown if out.output_type == "error"]
    assert any("image/svg+xml" in out.get("data", {}) for out in shown)
    assert any("valid_micro_f1" in out.get("data", {}).get("text/html", "") for out in shown)
    out = environment / "runs" / "notebook"
    for name in ("encoder", "folds", "linear", "both"):
        assert (out / name / "manifest.json").exists(), name
    assert (out / "encoder" / "history.csv").exists()
    assert not list(out.glob("*.partial"))
    assert "encoder:" in (out / "runs.csv").read_text(encoding="utf-8-sig")
    test, submission = (
        [json.loads(line) for line in (out / name).read_text(encoding="utf-8").splitlines()]
        for name in ("test.jsonl", "submission.jsonl")
    )
    assert [row["id"] for row in submission] == [row["id"] for row in test]
    assert all(set(row["output"].values()) <= {"True", "False"} for row in submission)
    assert not any(isinstance(row.get("output"), dict) for row in test)


def test_the_notebook_is_kept_without_outputs():
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
