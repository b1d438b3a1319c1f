"""``maeum rollup`` as people run it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_kit import failed, ok

FILES = {
    *(f"{name}.{kind}" for name in ("aspects", "time", "groups", "words") for kind in ("csv", "parquet")),
    "examples.jsonl",
    "report.html",
    "rollup.json",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample_model) -> Path:
    """A folder with a review model in ``model`` and its roll-up of the sample in ``보고서``."""
    place = tmp_path_factory.mktemp("rollup")
    shutil.copytree(sample_model("fashion"), place / "model")
    ok("rollup", "model", "sample:fashion", "-o", "보고서", *COLUMNS, "-q", cwd=place, MAEUM_LANG="ko")
    return place


COLUMNS = ("--date-column", "date", "--group-column", "mall")


def test_a_folder_of_tables_and_one_page(place):
    assert {path.name for path in (place / "보고서").iterdir()} == FILES
    assert not (place / "보고서.partial").exists()
    page = (place / "보고서" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page
    assert "매우 부정" in page
    assert "A몰" in page
    assert (place / "보고서" / "aspects.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    told = json.loads((place / "보고서" / "rollup.json").read_text(encoding="utf-8"))
    assert told["counts"]["rows"] == 336
    assert told["model"]["name"] == "model"
    assert str(place) not in json.dumps(told)


def test_predictions_may_stand_where_the_model_stands(place):
    ok("predict", "model", "sample:fashion", "-o", "p.jsonl", "-q", cwd=place)
    done = ok("rollup", "p.jsonl", "sample:fashion", "-o", "again", *COLUMNS, "--json", cwd=place, MAEUM_LANG="ko")
    assert json.loads(done.stdout)["rows"] == 336
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    for name in ("aspects.csv", "time.csv", "groups.csv", "words.csv", "examples.jsonl"):
        assert (place / "again" / name).read_bytes() == (place / "보고서" / name).read_bytes()


def test_what_goes_wrong_is_one_sentence(place):
    again = failed(1, "rollup", "model", "sample:fashion", "-o", "보고서", cwd=place)
    assert "already exists" in again
    column = failed(1, "rollup", "model", "sample:fashion", "-o", "x", "--group-column", "mal", cwd=place)
    assert "did you mean 'mall'?" in column
    assert "'category'" in column
    assert "standard input" in failed(1, "rollup", "model", "-", "-o", "x", cwd=place)
    assert "INPUT" in failed(1, "rollup", "model", "-o", "x", cwd=place)
    (place / "empty.csv").write_text("text,date\n", encoding="utf-8")
    assert "no data" in failed(1, "rollup", "model", "empty.csv", "-o", "x", "--date-column", "date", cwd=place)
    assert "--period" in failed(2, "rollup", "model", "empty.csv", "-o", "x", "--period", "hour", cwd=place)
    assert not list(place.glob("x*"))


def test_bad_rows_go_beside_the_folder(place):
    (place / "in.csv").write_text(
        "본문,작성일\n배송이 빨라요,2025.01.02\n,2025.01.03\n색이 달라요,\n", encoding="cp949"
    )
    words = ("--text-column", "본문", "--date-column", "작성일", "--on-error", "skip", "--overwrite")
    done = ok("rollup", "model", "in.csv", "-o", "skipped", *words, cwd=place)
    assert "1 rows could not be read" in done.stderr
    assert "skipped/report.html: 2 rows" in done.stderr.replace("\\", "/")
    assert len((place / "skipped.rejects.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    ok("rollup", "model", "in.csv", "-o", "skipped", *words, "-q", cwd=place)


def test_a_model_of_labels(place, sample_model):
    mood = sample_model("nikl-ea")
    ok("rollup", mood, "sample:fashion", "-o", "moods", *COLUMNS, "--period", "year", "-q", cwd=place)
    page = (place / "moods" / "report.html").read_text(encoding="utf-8")
    assert "anticipation" in page
    assert "share negative" not in page
