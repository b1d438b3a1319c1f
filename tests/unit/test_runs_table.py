"""``maeum runs``: the columns of seed 001's hand-kept table, for encoders and linear models side by side."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from maeum.apps.cli import run
from maeum.errors import UsageError
from maeum.experiment import TrainSettings, train
from maeum.formats import read
from maeum.runs import COLUMNS, collect, columns, markdown_table, write_csv
from maeum.voting import ensemble, open_members, save_ensemble

SEED_COLUMNS = ("model", "micro_f1", "batch_size", "epochs", "learning_rate", "weight_decay", "clean", "loss")


@pytest.fixture(scope="module")
def rows():
    return read("sample:nikl-ea").select(range(0, 360, 4))


@pytest.fixture(scope="module")
def linear(rows, tmp_path_factory) -> Path:
    """A folder of runs that holds linear models only."""
    place = tmp_path_factory.mktemp("linear")
    train(rows, output=place / "a")
    train(rows, output=place / "b", settings=TrainSettings(folds=2, clean="raw", seed=0))
    return place


@pytest.fixture(scope="module")
def mixed(rows, linear, tiny_base, tmp_path_factory) -> Path:
    """The same with two encoders, one told everything and one nothing, and an ensemble that could not be measured."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("mixed")
    shutil.copytree(linear / "a", place / "linear" / "a")
    told = {"epochs": 1, "batch_size": 64, "learning_rate": 4e-5, "weight_decay": 0.0, "loss": "focal", "patience": 3}
    base = f"encoder:{tiny_base('klue-roberta')}"
    quick = {"max_length": 16, "device": "cpu"}
    settings = TrainSettings(model=base, clean="seed001", folds=2, model_options={**told, **quick})
    train(rows, output=place / "told", settings=settings)
    settings = TrainSettings(model=base, model_options={"max_steps": 1, "target_input": "marker", **quick})
    train(rows, output=place / "untold", settings=settings)
    other = rows.select(range(0, 40))
    train(other, output=place / "c")
    torch.set_num_threads(threads)
    members = open_members([place / "c", place / "told"])
    save_ensemble(ensemble(members, vote="hard"), place / "vote")
    return place


def test_linear_runs_show_no_columns_of_encoders(linear):
    found = collect(linear)
    assert columns(found) == [
        "run",
        "task",
        "model",
        "micro_f1",
        "macro_f1",
        "subset_accuracy",
        "judged_on",
        "rows",
        "folds",
        "keep",
        "objective",
        "clean",
        "seed",
    ]
    assert {row["model"] for row in found} == {"linear"}
    assert {row["run"]: row["seed"] for row in found} == {"a": 42, "b": 0}


def test_encoders_show_what_seed_001_kept(mixed):
    found = {row["run"]: row for row in collect(mixed)}
    assert set(found) == {"linear/a", "told", "untold", "c", "vote"}
    assert not any("problem" in row for row in found.values())
    told, untold = found["told"], found["untold"]
    assert told["model"].startswith("encoder:")
    shown = {name: told[name] for name in SEED_COLUMNS if name not in ("model", "micro_f1")}
    assert shown == {
        "batch_size": 64,
        "epochs": 1,
        "learning_rate": 4e-5,
        "weight_decay": 0.0,
        "clean": "seed001",
        "loss": "focal",
    }
    assert (told["patience"], told["folds"], told["keep"], told["head"]) == (3, 2, "mean", "cls")
    # what was left to defaults is what training did: a 32 wide encoder gets the rate of small ones
    assert (untold["batch_size"], untold["weight_decay"], untold["learning_rate"]) == (16, 0.01, 7e-5)
    assert (untold["loss"], untold["max_steps"], untold["epochs"], untold["patience"]) == ("bce", 1, "", "")
    assert (untold["target_input"], told["target_input"]) == ("marker", "")


def test_tables_hold_linear_rows_with_empty_cells(mixed, tmp_path):
    found = collect(mixed)
    names = columns(found)
    assert set(SEED_COLUMNS) | {"patience"} <= set(names) <= set(COLUMNS)
    lines = markdown_table(found).splitlines()
    assert all(line.count(" | ") == len(names) - 1 for line in [lines[0], *lines[2:]])
    write_csv(found, tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open(encoding="utf-8-sig", newline="") as file:
        read_back = {row["run"]: row for row in csv.DictReader(file)}
    assert read_back["linear/a"]["batch_size"] == read_back["linear/a"]["loss"] == ""
    assert read_back["told"]["weight_decay"] == "0"
    assert float(read_back["told"]["learning_rate"]) == 4e-5


def test_an_unmeasured_ensemble_is_a_run_without_scores(mixed, capsys):
    assert not (mixed / "vote" / "report.json").exists()
    (row,) = [row for row in collect(mixed) if row["run"] == "vote"]
    assert (row["model"], row["keep"]) == ("vote", "hard")
    assert "micro_f1" not in row
    assert run(["runs", str(mixed)]) == 0
    assert "vote" in capsys.readouterr().out


def test_a_damaged_run_tells_why_and_stays_last(mixed, tmp_path):
    shutil.copytree(mixed, tmp_path / "runs")
    (tmp_path / "runs" / "told" / "report.json").unlink()
    (tmp_path / "runs" / "untold" / "model" / "encoder.json").write_text("{", encoding="utf-8")
    found = {row["run"]: row for row in collect(tmp_path / "runs")}
    assert "report.json" in found["told"]["problem"]
    assert found["untold"]["problem"]
    assert columns(list(found.values()))[-1] == "problem"


def test_a_metric_nobody_has_is_refused_with_those_there_are(linear, tmp_path):
    with pytest.raises(UsageError, match="micro_f1, macro_f1"):
        collect(linear, sort="f2")
    with pytest.raises(UsageError, match="no model folders"):
        collect(tmp_path)
    assert json.loads(json.dumps(collect(linear)))[0]["run"]


def test_a_review_model_and_a_language_model_are_one_run_each(tmp_path, tiny_decoder, sample_model):
    import maeum

    shutil.copytree(sample_model("fashion"), tmp_path / "review")
    options = {"device": "cpu", "precision": "fp32", "max_length": 120, "max_steps": 1, "form": "yesno"}
    rows = [{"id": str(n), "text": f"{n}번 글", "labels": ["긍정" if n % 2 else "부정"]} for n in range(12)]
    model = f"decoder:{tiny_decoder('gpt-neox')}"
    maeum.train(rows, task="nsmc", output=tmp_path / "llm", model=model, model_options=options)
    found = {row["run"]: row for row in collect(tmp_path)}
    assert set(found) == {"review", "llm"}
    assert (found["llm"]["form"], found["llm"]["template"], found["llm"]["learn"]) == ("yesno", "label", "lora")
    assert "problem" not in found["review"]
