"""``notebooks/*.ipynb`` from the first cell to the last, on a tiny encoder or decoder, without a network."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FOLDERS = {
    "encoder": ("notebook", ("encoder", "folds", "linear", "both")),
    "qlora": ("qlora-notebook", ("zero", "decoder", "linear", "both")),
}
"""Where each notebook writes under ``runs``, and the models it leaves there."""


@pytest.fixture
def environment(tiny_base, tiny_decoder, tmp_path, monkeypatch) -> Path:
    """A folder to work in, and what the kernel and its commands find in their environment."""
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAEUM_NOTEBOOK_BASE", str(tiny_base("klue-roberta")))
    monkeypatch.setenv("MAEUM_NOTEBOOK_DECODER", str(tiny_decoder("qwen")))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_ALLOW_INSECURE_WRITES", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    place = tmp_path / "work"
    place.mkdir()
    return place


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.filterwarnings("default")
def test_every_cell_runs(environment, name):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
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
    place, models = FOLDERS[name]
    out = environment / "runs" / place
    for model in models:
        assert (out / model / "manifest.json").exists(), model
    kind = "encoder" if name == "encoder" else "decoder"
    assert (out / kind / "history.csv").exists()
    assert not list(out.glob("*.partial"))
    assert f"{kind}:" in (out / "runs.csv").read_text(encoding="utf-8-sig")
    test, submission = (
        [json.loads(line) for line in (out / file).read_text(encoding="utf-8").splitlines()]
        for file in ("test.jsonl", "submission.jsonl")
    )
    assert [row["id"] for row in submission] == [row["id"] for row in test]
    assert all(set(row["output"].values()) <= {"True", "False"} for row in submission)
    assert not any(isinstance(row.get("output"), dict) for row in test)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_notebook_is_kept_without_outputs(name):
    content = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_every_notebook_is_run():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(FOLDERS)
