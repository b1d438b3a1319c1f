"""``maeum explain`` as people run it, in a subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

TEXT = "드디어 콘서트 표를 구했다!! 벌써 두근두근 ㅋㅋㅋ"


def maeum(*words: object, cwd: Path, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "maeum", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        input=stdin,
        timeout=300,
        env={**os.environ, "MAEUM_LANG": "en", "PYTHONIOENCODING": "utf-8", **env},
        check=False,
    )


def ok(*words: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    done = maeum(*words, cwd=cwd, **more)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a trained model in ``model``."""
    place = tmp_path_factory.mktemp("explain")
    ok("train", "sample:nikl-ea", "--valid", "0.2", "-o", "model", "-q", cwd=place)
    return place


def test_it_prints_words_for_every_label_given(place):
    done = ok("explain", "model", TEXT, "--target", "콘서트", cwd=place)
    lines = done.stdout.splitlines()
    assert lines[0] == TEXT
    assert "● anticipation" in done.stdout
    assert "두근두근" in done.stdout
    assert "comprehensiveness" in lines[-1]
    assert done.stderr == ""


def test_json_is_one_object_that_quotes_the_raw_text(place):
    raw = unicodedata.normalize("NFD", TEXT)
    done = ok("explain", "model", raw, "😂", "", "--label", "기쁨", "--top", "2", "--json", cwd=place)
    found = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert found["model"] == "model"
    assert [row["text"] for row in found["results"]] == [raw, "😂", ""]
    (item,) = found["results"][0]["evidence"]
    assert item["label"] == "joy"
    assert len(item["words"]) == 2
    for word in item["words"]:
        assert raw[word["begin"] : word["end"]] == word["text"]
    assert item["words"][0]["score"] >= item["words"][1]["score"]
    assert set(item["faithfulness"]) >= {"comprehensiveness", "sufficiency", "aopc", "chance_aopc"}
    assert found["results"][2]["evidence"][0]["words"] == []


def test_html_lines_of_a_file_and_standard_input(place):
    (place / "글.txt").write_text(f"\ufeff{TEXT}\n화가 난다\n", encoding="utf-8")
    ok("explain", "model", "--input", "글.txt", "--html", "근거.html", "--leave-out", "2", cwd=place)
    html = (place / "근거.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert html.count("<section>") == 2
    assert "두근두근" in html
    done = ok("explain", "model", "-", "--json", "--quick", cwd=place, stdin=f"{TEXT}\n화가 난다\n")
    assert [row["text"] for row in json.loads(done.stdout)["results"]] == [TEXT, "화가 난다"]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ((TEXT, "--label", "jooy"), 1, "did you mean 'joy'?"),
        ((TEXT, "--unit", "token"), 1, "has no tokenizer; use --unit eojeol"),
        ((TEXT, "--target", "영화"), 1, "the target '영화' does not occur"),
        ((), 2, "give either TEXT or --input FILE"),
        (("--input", "없음.txt"), 1, "no such file: 없음.txt"),
    ],
)
def test_mistakes_get_one_sentence(place, words, status, sentence):
    done = maeum("explain", "model", *words, cwd=place)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_help_knows_both_languages(place):
    assert "which words made the labels" in ok("--help", cwd=place).stdout
    assert "근거를 볼 라벨" in ok("explain", "--help", cwd=place, MAEUM_LANG="ko").stdout


def test_predictions_of_a_review_model_quote_the_words_behind_each_aspect(tmp_path):
    ok("train", "sample:fashion", "-o", "model", "--quiet", cwd=tmp_path)
    ok("predict", "model", "sample:fashion", "-o", "out.jsonl", "--evidence", "2", cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    quoted = [(row["text"], word) for row in rows for item in row["aspects"] for word in item["evidence"]]
    assert len(quoted) > len(rows)
    assert all(text[word["begin"] : word["end"]] == word["text"] and word["score"] > 0 for text, word in quoted)
    assert all(len(item["evidence"]) <= 2 for row in rows for item in row["aspects"])
    # another number of words is another job
    done = maeum("predict", "model", "sample:fashion", "-o", "out.jsonl", "--evidence", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert "exists" in done.stderr
