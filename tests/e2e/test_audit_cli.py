"""``maeum audit`` and ``maeum compare`` as people run them: one turn of the loop, from wrong labels to a better model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audit_kit import reviews, with_chewy_as_stretch
from cli_kit import failed, ok

from maeum.data import Dataset
from maeum.formats import write
from maeum.formats.lines import Source
from maeum.formats.tables import sheet_cells

TASK = """
name = "shop"
kind = "multilabel"
labels = ["신축성", "품질", "배송", "색상"]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Rows with planted errors, frozen rows without, and the task."""
    (tmp_path / "shop.toml").write_text(TASK, encoding="utf-8")
    data, _ = with_chewy_as_stretch(reviews(240), share=0.45)
    write(data, tmp_path / "train.jsonl")
    frozen = reviews(120, seed=77)
    write(Dataset(frozen.task, frozen.examples), tmp_path / "frozen.jsonl")
    return tmp_path


def decide(source: Path, target: Path, *, fix: set[tuple[str, str]]) -> int:
    """A person who fixes what is wrong and keeps the rest, and saves the list as cp949 CSV."""
    lines = [list(cells) for _, cells in sheet_cells(Source(source))]
    at = lines[0].index("decision")
    for line in lines[1:]:
        line[at] = "fix" if (line[0], line[2]) in fix else "keep"
    import csv

    with target.open("w", encoding="cp949", newline="") as file:
        csv.writer(file).writerows(lines)
    return sum(line[at] == "fix" for line in lines)


def test_one_turn_of_the_loop(place: Path) -> None:
    task = ("--task", "shop.toml")
    done = ok("audit", "train.jsonl", "-o", "점검", "--valid", "frozen.jsonl", "--top", 80, *task, cwd=place)
    assert "신축성" in done.stdout
    assert "contested" in done.stdout
    assert json.loads((place / "점검" / "audit.json").read_text(encoding="utf-8"))["parts"][0]["pairs"]
    clean = reviews(240)
    true = {example.id: set(example.labels or ()) for example in clean}
    noisy, _ = with_chewy_as_stretch(clean, share=0.45)
    wrong = {(e.id, key) for e in noisy for key in true[e.id] ^ set(e.labels or ())}
    fixed = decide(place / "점검" / "worklist.xlsx", place / "결정.csv", fix=wrong)
    assert fixed >= len(wrong) / 3
    words = ("audit", "train.jsonl", "--apply", "결정.csv", "-o", "fixed.jsonl", *task)
    said = json.loads(ok(*words, "--who", "민지", "--json", cwd=place).stdout)
    assert said["decisions"]["fix"] == fixed
    log = [json.loads(line) for line in (place / "fixed.changes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(change["id"], change["label"]) for change in log if change["changed"]} <= wrong
    assert {change["who"] for change in log} == {"민지"}
    assert "already exists" in failed(1, *words, cwd=place)

    for name, data in (("a", "train.jsonl"), ("b", "fixed.jsonl")):
        ok("train", data, "-o", name, *task, "--quiet", cwd=place)
    words = ("compare", "a", "b", "--data", "frozen.jsonl", *task, "--resamples", 500)
    more = ("-o", "비교", "--loop", "개선", "--decisions", "fixed.changes.jsonl", "--json")
    said = json.loads(ok(*words, *more, cwd=place).stdout)
    assert said["scores"]["micro_f1"]["gap"] > 0
    assert said["loop"] == {"folder": "개선", "turn": 1, "added": 2}
    turn = json.loads((place / "개선" / "turns.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert turn["decisions"]["fix"] == fixed
    assert turn["labelled"] == 240
    assert "B − A" in ok(*words, cwd=place).stdout


def test_bad_lists_write_nothing(place: Path) -> None:
    task = ("--task", "shop.toml")
    ok("audit", "train.jsonl", "-o", "a", *task, "--quiet", cwd=place)
    (place / "d.csv").write_text(
        "id,text,label,suggested,decision,hash\nr000,x,품질,yes,fix,h0\nr999,x,품질,yes,fix,h0\n", encoding="utf-8"
    )
    told = failed(1, "audit", "train.jsonl", "--apply", "d.csv", "-o", "f.jsonl", *task, cwd=place)
    assert "d.csv:2:" in told
    assert "d.csv:3:" in told
    assert "2 lines cannot be used, so nothing was written" in told
    assert not (place / "f.jsonl").exists()
    assert "go with --apply" in failed(1, "audit", "train.jsonl", "-o", "b", "--who", "x", cwd=place)
    assert "go with --loop" in failed(1, "compare", "a", "b", "--data", "frozen.jsonl", "--note", "x", cwd=place)


def test_help(tmp_path: Path) -> None:
    for verb in ("audit", "compare"):
        assert "maeum " + verb in ok(verb, "--help", cwd=tmp_path).stdout
