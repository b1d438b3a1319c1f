"""The improvement loop from Python: the same as the commands, with what people have at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from audit_kit import SHOPS, reviews, with_chewy_as_stretch

import maeum
import maeum.api
from maeum.errors import DataError, UsageError
from maeum.formats import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear model of the review kit."""
    place = tmp_path_factory.mktemp("improving") / "m"
    maeum.train(reviews(80), output=place, valid=0.3)
    return place


def rows(count: int = 40) -> list[dict[str, object]]:
    return [{"text": row.text, "category": "ab"[number % 2]} for number, row in enumerate(reviews(count, seed=9))]


def test_a_pool_may_be_a_file_a_list_or_a_data_set(folder: Path, tmp_path: Path) -> None:
    words = {"vectors": "ngrams", "stratify": ("category",), "random_share": 0.2}
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    by_file = maeum.sample(folder, tmp_path / "pool.jsonl", 10, output=tmp_path / "out.csv", **words)
    by_list = maeum.sample(maeum.load(folder), rows(), 10, **words)
    assert [row.text for row in by_list.rows] == [row.text for row in by_file.rows]
    assert by_list.report["groups"] == by_file.report["groups"] == {"a": 5, "b": 5}
    assert by_list.rows[0].meta["sample"]["picked"] in ("score", "random")
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()) == 11
    again = maeum.sample(folder, reviews(40, seed=9), 10, train=rows(5), vectors="ngrams")
    assert again.report["in_train"] == 5
    assert len(again.rows) == 10


def test_missing_cells_of_a_data_frame_are_missing(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows(20))
    frame["mall"] = ["A", None] * 10
    frame["labels"] = ["품질", float("nan")] * 10
    found = maeum.sample(folder, frame, 4, stratify=("mall",), vectors="ngrams", random_share=0)
    assert found.report["groups"] == {"A": 2, "": 2}
    assert [row.labels for row in maeum.api.dataset(frame, SHOPS)][:2] == [("품질",), None]


def test_what_a_pool_cannot_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'text_colum'"):
        maeum.sample(folder, rows(), 3, text_colum="x")
    with pytest.raises(UsageError, match="did you mean: text_column"):
        maeum.sample(folder, "sample:fashion", 3, text_colum="x")
    with pytest.raises(DataError, match="no usable row"):
        maeum.sample(folder, [], 3)
    with pytest.raises(DataError, match="no row has a column 'shop'"):
        maeum.sample(folder, rows(), 3, stratify=("shop",))
    with pytest.raises(DataError, match="twice"):
        maeum.sample(folder, [{"id": "a", "text": "글"}, {"id": "a", "text": "말"}], 1)


def test_an_audit_writes_its_folder(tmp_path: Path) -> None:
    data, wrong = with_chewy_as_stretch(reviews(120), share=0.4)
    found = maeum.audit(data, output=tmp_path / "audit", top=30, valid=reviews(30, seed=5))
    assert {found.data[item.row].id for item in found.suspects} & wrong
    assert (tmp_path / "audit" / "worklist.xlsx").exists()
    assert not (tmp_path / "audit.partial").exists()
    with pytest.raises(UsageError, match="already exists"):
        maeum.audit(data, output=tmp_path / "audit")
    with pytest.raises(UsageError, match="'tops'"):
        maeum.audit(data, tops=3)
    with pytest.raises(UsageError, match="do not tell their task"):
        maeum.audit([{"text": "글", "labels": ["품질"]}])
    listed = [{"text": row.text, "labels": list(row.labels or ())} for row in data]
    same = maeum.audit(listed, task=SHOPS, top=30)
    kept = maeum.audit(data, top=30)
    assert [(item.row, item.label) for item in same.suspects] == [(item.row, item.label) for item in kept.suspects]


def test_two_models_are_compared(folder: Path, tmp_path: Path) -> None:
    maeum.train(reviews(30), output=tmp_path / "small", valid=0.3)
    judge = reviews(60, seed=7)
    write(judge, tmp_path / "judge.jsonl")
    found = maeum.compare(tmp_path / "small", folder, tmp_path / "judge.jsonl", output=tmp_path / "cmp", resamples=200)
    assert found.scores["macro_f1"].gap > 0
    assert (tmp_path / "cmp" / "report.html").exists()
    listed = [{"text": row.text, "labels": list(row.labels or ())} for row in judge]
    again = maeum.compare(tmp_path / "small", folder, listed, resamples=200)
    assert again.scores["macro_f1"] == found.scores["macro_f1"]


def test_names_are_there_and_cost_nothing() -> None:
    heavy = "maeum.auditing|maeum.sampling|maeum.comparing|numpy|scipy"
    code = f"import sys, maeum; dir(maeum); print([m for m in '{heavy}'.split('|') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {"audit", "compare", "sample"} <= set(maeum.__all__)
