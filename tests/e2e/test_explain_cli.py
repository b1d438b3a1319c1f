"""``maeum explain`` as people run it."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from cli_kit import maeum, ok

TEXT = "드디어 콘서트 표를 구했다!! 벌써 두근두근 ㅋㅋㅋ"


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample_model) -> Path:
    """A folder with a trained model in ``model``."""
    place = tmp_path_factory.mktemp("explain")
    shutil.copytree(sample_model("nikl-ea"), place / "model")
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
        ((TEXT, "--aspect", "배송"), 1, "has no aspects; choose labels with --label"),
        ((TEXT, "--method", "ig"), 1, "ig needs one fine-tuned encoder, not a model of kind 'linear'"),
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


def test_predictions_of_a_review_model_quote_the_words_behind_each_aspect(tmp_path, sample_model):
    shutil.copytree(sample_model("fashion"), tmp_path / "model")
    ok("predict", "model", "sample:fashion", "-o", "out.jsonl", "--evidence", "2", cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    quoted = [(row["text"], word) for row in rows for item in row["aspects"] for word in item["evidence"]]
    assert len(quoted) > len(rows)
    assert all(text[word["begin"] : word["end"]] == word["text"] and word["score"] > 0 for text, word in quoted)
    assert all(len(item["evidence"]) <= 2 for row in rows for item in row["aspects"])
    grades = [(row["text"], word) for row in rows for item in row["aspects"] for word in item["sentiment_evidence"]]
    assert len(grades) > len(rows)
    assert all(text[word["begin"] : word["end"]] == word["text"] for text, word in grades)
    text = "색은 예쁜데 배송이 2주나 걸려서 화가 났어요"
    done = ok("explain", "model", text, "--aspect", "배송", "--html", "a.html", cwd=tmp_path)
    assert "shipping → " in done.stdout
    assert "shipping → " in (tmp_path / "a.html").read_text(encoding="utf-8")
    (found,) = json.loads(ok("explain", "model", text, "--aspect", "배송", "--json", cwd=tmp_path).stdout)["results"]
    (grade,) = found["grades"]
    assert (grade["aspect"], grade["sentiment"] in ("-2", "-1", "0", "1", "2")) == ("배송", True)
    for word in (*grade["words"], *grade["pair"]):
        assert text[word["begin"] : word["end"]] == word["text"]
    # another number of words is another job
    done = maeum("predict", "model", "sample:fashion", "-o", "out.jsonl", "--evidence", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert "exists" in done.stderr
