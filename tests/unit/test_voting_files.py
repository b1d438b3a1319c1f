"""Predictions files as one, and ``maeum ensemble``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from voting_kit import MULTI, SINGLE, gold, make_data, noisy, write_file

import maeum
from maeum.apps.cli import run
from maeum.errors import DataError
from maeum.experiment import TrainSettings, train
from maeum.formats import write
from maeum.voting import vote_predictions


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """``a`` (one model) and ``b`` (three folds, other preparation) on the same rows, ``other`` on a foreign task."""
    place = tmp_path_factory.mktemp("runs")
    data = make_data(n=150)
    train(data, output=place / "a")
    train(data, output=place / "b", settings=TrainSettings(folds=3, clean="raw", calibrate=False))
    train(make_data(SINGLE, 90), output=place / "other")
    return place


def test_predictions_are_averaged_row_by_row(tmp_path):
    data = make_data(n=80)
    first, second = noisy(data.y, 1.5, 1), noisy(data.y, 4, 2)
    a = write_file(tmp_path / "a.jsonl", data, first)
    turned = np.arange(80)[::-1]
    b = write_file(tmp_path / "b.jsonl", data.select(turned), second[turned])
    plain = vote_predictions([a, b], MULTI)
    assert plain.weights.how == "equal"
    assert [row.id for row in plain.rows] == data.ids
    found = np.array([list(row.scores.values()) for row in plain.rows])
    assert found == pytest.approx((first + second) / 2, abs=1e-6)
    fitted = vote_predictions([a, b], MULTI, data=data)
    assert fitted.weights.values[0] > 0.6
    assert fitted.score["macro_f1"] >= max(m.metrics["macro_f1"] for m in fitted.members) - 0.05
    assert data.fingerprint in fitted.thresholds.tuned_on


def test_the_labels_in_the_files_are_the_ballots(tmp_path):
    data = make_data(n=60)
    low = np.full((60, 3), 0.2)
    never = np.zeros((60, 3), np.uint8)
    files = [
        write_file(tmp_path / "a.jsonl", data, low, data.y),
        write_file(tmp_path / "b.jsonl", data, low, data.y),
        write_file(tmp_path / "c.jsonl", data, low, never),
    ]
    voted = vote_predictions(files, MULTI, vote="hard", data=data)
    assert [row.labels for row in voted.rows] == [example.labels for example in data]
    assert voted.score["micro_f1"] == 1
    assert voted.thresholds.objective == "votes"


def test_files_of_other_rows_are_refused(tmp_path):
    data, other = make_data(n=60), make_data(n=60, seed=9)
    a = write_file(tmp_path / "a.jsonl", data, noisy(data.y, 2, 1))
    b = write_file(tmp_path / "b.jsonl", other[:50], noisy(other[:50].y, 2, 1))
    with pytest.raises(DataError, match="cannot be matched"):
        vote_predictions([a, b], MULTI)


# -- the command line ---------------------------------------------------------------------------------------


def cli(capsys, *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in words])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_command_on_folders(runs, tmp_path, capsys):
    out = tmp_path / "both"
    code, text, err = cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--quiet")
    assert code == 0, err
    assert "vote" in text
    assert "weights: fitted" in text
    code, text, _ = cli(
        capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--json", "--vote", "hard", "--overwrite"
    )
    found = json.loads(text)
    assert code == 0
    assert found["weights"]["how"] == "equal"
    assert len(found["members"]) == 2
    assert 0 <= found["metrics"]["micro_f1"] <= 1
    assert cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out)[0] == 1
    write(make_data(seed=6), tmp_path / "new.jsonl", "jsonl")
    code, text, err = cli(capsys, "evaluate", out, tmp_path / "new.jsonl")
    assert code == 0, err
    code, text, err = cli(capsys, "thresholds", out, "--json")
    assert code == 0, err
    assert json.loads(text)["objective"] == "votes"


def test_command_on_predictions(tmp_path, capsys):
    data = maeum.read("sample:nikl-ea")[:80]
    a = write_file(tmp_path / "a.jsonl", data, noisy(data.y, 1.5, 1))
    rows = [
        {"text": e.text, "target": e.target.form, **dict(zip(data.task.keys, (p * 100).tolist(), strict=True))}
        for e, p in zip(data, noisy(data.y, 2, 2), strict=True)
    ]
    b = tmp_path / "b_predict.json"
    b.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    gold_file = tmp_path / "gold.jsonl"
    write(data, gold_file, "jsonl")
    out = tmp_path / "both.jsonl"
    words = ("ensemble", a, b, "-o", out, "--data", gold_file, "--task", "nikl-ea")
    code, text, err = cli(capsys, *words, "--json")
    assert code == 0, err
    found = json.loads(text)
    assert found["weights"]["how"] == "fitted"
    assert found["predictions"] == len(out.read_text(encoding="utf-8").splitlines()) == 80
    assert cli(capsys, *words)[0] == 1
    assert cli(capsys, *words, "--overwrite")[0] == 0
    code, text, _ = cli(capsys, "ensemble", a, b, "-o", tmp_path / "both.csv", "--weights", "0.6,0.4")
    assert code == 0
    assert "set by hand" in text
    code, text, _ = cli(capsys, "ensemble", a, b, "-o", "-", "--equal")
    assert code == 0
    assert len(text.splitlines()) == 80


def test_command_says_what_is_wrong(runs, tmp_path, capsys):
    file = write_file(tmp_path / "a.jsonl", make_data(n=5), gold(5))
    out = tmp_path / "out"
    code, _, err = cli(capsys, "ensemble", runs / "a", file, "-o", out)
    assert code == 1
    assert "maeum predict" in err
    assert cli(capsys, "ensemble", runs / "a", "-o", out)[0] == 2
    assert cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--weights", "x")[0] == 2
    assert cli(capsys, "ensemble", runs / "a", runs / "b", "-o", out, "--weights", "1,2", "--equal")[0] == 2
    code, _, err = cli(capsys, "ensemble", runs / "a", runs / "other", "-o", out)
    assert code == 1
    assert "same task" in err
    assert not out.exists()
