"""A kill at the last moments of a prediction run costs nothing: the next run finishes the job."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from maeum.analyzer import Analyzer
from maeum.data import Example, Input
from maeum.errors import UsageError
from maeum.models.linear import LinearClassifier
from maeum.predicting import finish_predictions, predict_file
from maeum.text import TextPrep

TEXTS = ["기쁘고 행복한 하루", "화가 나서 못 참겠다", "슬퍼서 눈물이 난다"]


@pytest.fixture(scope="module")
def rows():
    return [Example(str(i), f"{TEXTS[i % 3]} {i}") for i in range(60)]


@pytest.fixture
def analyzer(three, rows):
    y = np.eye(3, dtype=np.uint8)[[i % 3 for i in range(60)]]
    return Analyzer(LinearClassifier(three).fit([Input(e.text) for e in rows], y), prep=TextPrep.named("default"))


def job(analyzer, rows, tmp_path, name, **more):
    (tmp_path / "in.txt").write_text("x")
    return predict_file(
        analyzer,
        str(tmp_path / "in.txt"),
        tmp_path / name,
        model_fingerprint="m",
        read=lambda: iter(rows),
        options={},
        batch_size=7,
        **more,
    )


def test_killed_between_the_last_row_and_the_record(analyzer, rows, tmp_path):
    job(analyzer, rows, tmp_path, "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    job(analyzer, rows, tmp_path, "out.jsonl")
    done = json.loads((tmp_path / "out.jsonl.done.json").read_text())
    (tmp_path / "out.jsonl.done.json").unlink()
    progress = {"identity": done["identity"], "rows": 60, "bytes": len(whole)}
    (tmp_path / "out.jsonl.progress.json").write_text(json.dumps(progress))
    result = job(analyzer, rows, tmp_path, "out.jsonl")
    assert result.rows == result.resumed == 60
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out.jsonl", "out.jsonl.done.json"]


def test_killed_after_the_table_was_written(analyzer, rows, tmp_path, three):
    def finish(source, target):
        finish_predictions(source, target, three, to="csv", source="")

    job(analyzer, rows, tmp_path, "whole.jsonl")
    job(analyzer, rows, tmp_path, "out.csv", finish=finish)
    table = (tmp_path / "out.csv").read_bytes()
    done = json.loads((tmp_path / "out.csv.done.json").read_text())
    (tmp_path / "out.csv.done.json").unlink()
    shutil.copy(tmp_path / "whole.jsonl", tmp_path / "out.csv.partial")
    size = (tmp_path / "out.csv.partial").stat().st_size
    progress = {"identity": done["identity"], "rows": 60, "bytes": size}
    (tmp_path / "out.csv.progress.json").write_text(json.dumps(progress))
    job(analyzer, rows, tmp_path, "out.csv", finish=finish)
    assert (tmp_path / "out.csv").read_bytes() == table


def test_somebody_elses_file_is_never_taken_for_ours(analyzer, rows, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(UsageError, match="already exists"):
        job(analyzer, rows, tmp_path, "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "precious"


def test_torn_rows_after_the_safe_bytes_are_cut_off(analyzer, rows, tmp_path):
    job(analyzer, rows, tmp_path, "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    done = json.loads((tmp_path / "whole.jsonl.done.json").read_text())
    safe = len(b"".join(whole.splitlines(keepends=True)[:21]))
    (tmp_path / "out.jsonl.partial").write_bytes(whole[: safe + 37])
    progress = {"identity": done["identity"], "rows": 21, "bytes": safe}
    (tmp_path / "out.jsonl.progress.json").write_text(json.dumps(progress))
    result = job(analyzer, rows, tmp_path, "out.jsonl")
    assert result.resumed == 21
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_the_input_is_never_written_over(analyzer, rows, tmp_path):
    with pytest.raises(UsageError, match=r"is read|읽을 파일"):
        job(analyzer, rows, tmp_path, "in.txt", overwrite=True)
    assert (tmp_path / "in.txt").read_text() == "x"
