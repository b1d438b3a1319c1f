"""The embedded model: what comes with the package answers at once, and is what its card says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_kit import ok

import maeum
from maeum import folder as model_folder
from maeum._files import read_json
from maeum.experiment import TrainSettings

MINI = Path(maeum.__file__).parent / "mini"
RECIPE = Path(__file__).parents[2] / "recipes" / "mini"
HEADS = ("nikl-ea", "kote", "goemotions", "nsmc")
GLAD, ANGRY = "드디어 콘서트 표를 구했다!! 너무 행복해", "두 번 다시 안 산다. 환불도 안 해주고 진짜 화가 난다"


@pytest.fixture(scope="module")
def heads():
    return maeum.load_heads("mini")


def test_it_has_four_heads_and_knows_glad_from_angry(heads):
    assert tuple(heads) == HEADS
    glad, angry = heads["nsmc"].analyze([GLAD, ANGRY])
    assert (glad.labels, angry.labels) == (("긍정",), ("부정",))
    glad, angry = heads["nikl-ea"].analyze([GLAD, ANGRY])
    assert "joy" in glad.labels
    assert "anger" in angry.labels
    glad, angry = heads["kote"].analyze([GLAD, ANGRY])
    assert {"기쁨", "행복"} & set(glad.labels)
    assert {"화남/분노", "짜증"} & set(angry.labels)
    for head in heads.values():
        both = head.predict_proba([GLAD, ANGRY])
        assert np.allclose(both[1], head.predict_proba([ANGRY])[0], rtol=0, atol=1e-6)  # whatever the company


def test_files_are_small_and_licences_come_along():
    sizes = {path: path.stat().st_size for path in MINI.rglob("*") if path.is_file()}
    assert max(sizes.values()) <= 30_000_000
    assert sum(sizes.values()) <= 55_000_000
    card = (MINI / "README.md").read_text(encoding="utf-8")
    assert "LICENSES.md" in card
    for word in ("MIT", "CC0", "Apache-2.0"):
        assert word in (MINI / "LICENSES.md").read_text(encoding="utf-8")
    for path in sizes:
        if path.suffix in (".json", ".md"):
            # paths of the machine it was made on have no place here
            assert not re.search(r'"/(?!/)[a-z]', path.read_text(encoding="utf-8")) or path.name == "tokenizer.json"


def test_the_card_says_what_the_reports_say():
    card = (MINI / "README.md").read_text(encoding="utf-8")
    for name in HEADS:
        report = read_json(MINI / "heads" / name / "report.json")
        metric = "accuracy" if report["kind"] == "multiclass" else "macro_f1"
        assert f"| {name} |" in card
        assert f"{report['metrics'][metric]:.4f}" in card


def test_what_distils_it_reads_the_sources_that_trained_it():
    def without_passes(name: str) -> dict[str, Any]:
        plan = tomllib.loads((RECIPE / name).read_text(encoding="utf-8"))
        return plan | {"sources": [{**source, "passes": None} for source in plan["sources"]]}

    # else rows that one step held out or judged on would teach another
    for name in ("distill.toml", "distill-more.toml"):
        assert without_passes(name) == without_passes("heads.toml")


def test_analyze_needs_no_model(tmp_path):
    found = json.loads(ok("analyze", GLAD, "--json", cwd=tmp_path).stdout)
    assert found["model"] == "mini"
    assert set(found["results"][0]["scores"]) == set(HEADS)


def test_predict_picks_the_head(tmp_path):
    (tmp_path / "in.txt").write_text(f"{GLAD}\n{ANGRY}\n", encoding="utf-8")
    ok("predict", "mini", "in.txt", "--task", "nsmc", "-o", "out.jsonl", cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["labels"] for row in rows] == [["긍정"], ["부정"]]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_cold_start_is_quick_and_small():
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from maeum.apps.cli import run\n"
        f"code = run(['analyze', {GLAD!r}, '--json'])\n"
        # not ru_maxrss, which a process inherits from the one that started it
        "peak = int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) / 1024\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "print(peak, time.process_time(), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, seconds = map(float, done.stderr.split()[-2:])
    assert peak < 400
    assert seconds < 3  # of processor time; benchmarks/mini.py measures the clock on a quiet machine


@pytest.mark.slow
def test_new_labels_on_its_vectors_beat_n_grams_alone():
    rows = maeum.read("sample:aihub")  # sentences of sample:nikl-ea taught the model itself
    some, rest = rows.select(range(0, len(rows), 2)), rows.select(range(1, len(rows), 2))
    scores = {}
    for model in ("linear", "mini"):
        result = maeum.train(some, valid=rest, model=model)
        scores[model] = result.report.metrics["macro_f1"]
    assert scores["mini"] > scores["linear"] + 0.05


@pytest.mark.slow
def test_its_encoder_goes_on_learning(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    from maeum.hf.loading import load_backbone

    folder = model_folder.embedded_base()
    assert folder.is_relative_to(tmp_path / "cache")
    before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*"))
    assert model_folder.embedded_base() == folder  # made once
    assert sorted(path.stat().st_mtime_ns for path in folder.rglob("*")) == before
    head = maeum.load("mini", task="nsmc")
    inputs = [head.prep.prepare_input(maeum.Input(text)) for text in (GLAD, ANGRY)]
    import torch

    trunk = head.predictor.trunk.trunk
    model = load_backbone(folder)
    for windows, vector in zip(trunk.windows(inputs), trunk.vectors(inputs), strict=True):
        ids = torch.tensor([list(windows[0].ids)])
        with torch.no_grad():
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        own = states.mean(1)[0].numpy()
        # the graph rounds activations as well, so the vectors are near, not equal
        assert np.dot(own, vector) / np.linalg.norm(own) / np.linalg.norm(vector) > 0.99
    assert TrainSettings(model="encoder:mini").is_quick is False
