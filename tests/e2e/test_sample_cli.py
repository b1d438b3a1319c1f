"""``maeum sample`` and ``maeum annotate`` as people run them, one after the other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import xlsxwriter
from cli_kit import failed, ok
from python_calamine import load_workbook

POOL = (
    "소매 끝 실밥이 세 가닥이나 나와 있어요", "분홍이 사진보다 훨씬 탁해요", "주문하고 이틀 만에 문 앞에 있었어요",
    "허리 고무줄이 잘 늘어나서 앉아도 편해요", "이 돈이면 하나 더 살 걸 그랬어요", "어깨가 좁아 보여서 마음에 들어요",
    "세탁기에 한 번 돌렸더니 줄었어요", "상담원이 끝까지 친절했습니다", "여름에 입기에는 두꺼운 천이에요", "그냥 그래요",
    "주머니가 깊어서 손이 푹 들어가요", "기장이 발목까지 와서 다시 보냈어요",
)  # fmt: skip


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.csv"
    lines = [f'p{number},"{text}",{"가나"[number % 3 == 0]}' for number, text in enumerate(POOL)]
    path.write_text("id,text,category\n" + "\n".join([*lines, 'again,"그냥 그래요!",가']) + "\n", encoding="utf-8-sig")
    return path


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_sample_then_label_then_read_back(sample_model, pool, tmp_path):
    model = sample_model("fashion")
    words = (
        "sample",
        model,
        pool,
        "-n",
        "6",
        "--train",
        "sample:fashion",
        "--stratify",
        "category",
        "-o",
        "next.jsonl",
    )
    told = json.loads(ok(*words, "--json", "--vectors", "ngrams", cwd=tmp_path).stdout)
    assert (told["pool"], told["repeated"], told["picked"], told["random"]) == (13, 1, 6, 1)
    assert told["groups"] == {"나": 2, "가": 4} or told["groups"] == {"가": 4, "나": 2}
    assert told["criteria"] == ["threshold", "uncertainty", "rare", "outlier"]
    assert set(told["not_used"]) == {"disagreement"}
    picked = rows(tmp_path / "next.jsonl")
    assert all(set(row["meta"]["sample"]["criteria"]) == set(told["criteria"]) for row in picked)
    assert "already exists" in failed(1, *words, cwd=tmp_path)

    ok("annotate", "export", "next.jsonl", "--task", "review-fashion", "-o", "sheet.xlsx", cwd=tmp_path)
    table = [
        [str(cell) for cell in row]
        for row in load_workbook(str(tmp_path / "sheet.xlsx")).get_sheet_by_index(0).to_python()
    ]
    column = table[0].index("배송")
    table[1][column], table[2][column] = "1", "다섯"
    with xlsxwriter.Workbook(str(tmp_path / "sheet.지은.xlsx")) as book:
        page = book.add_worksheet()
        for at, row in enumerate(table):
            page.write_row(at, 0, row)
    words = (
        "annotate",
        "import",
        "sheet.지은.xlsx",
        "--rows",
        "next.jsonl",
        "--task",
        "review-fashion",
        "-o",
        "done.jsonl",
    )
    error = failed(1, *words, cwd=tmp_path)
    assert "sheet.지은.xlsx:3: column '배송': '다섯' is no grade" in error
    assert "nothing was written" in error
    assert not (tmp_path / "done.jsonl").exists()
    told = json.loads(ok(*words, "--on-error", "skip", "--json", cwd=tmp_path).stdout)
    assert (told["labelled"], told["unlabelled"], told["annotators"]) == (1, 5, {"sheet.지은": 1})
    before = (tmp_path / "done.jsonl").read_bytes()
    os.utime(tmp_path / "sheet.지은.xlsx")
    assert "nothing new" in ok(*words, "--on-error", "skip", cwd=tmp_path).stderr
    assert (tmp_path / "done.jsonl").read_bytes() == before


def test_the_same_command_gives_the_same_file(sample_model, pool, tmp_path):
    model = sample_model("fashion")
    for name in ("a.csv", "b.csv"):
        said = ok(
            "sample", model, pool, "-n", "4", "--seed", "5", "--vectors", "ngrams", "-o", name, cwd=tmp_path
        ).stderr
    assert "without --train" in said
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_model_fills_in_its_answers(sample_model, pool, tmp_path):
    model = sample_model("fashion")
    ok("annotate", "export", pool, "--model", model, "-o", "tasks.json", cwd=tmp_path)
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    assert len(tasks) == 13
    marked = [result for task in tasks for result in task.get("predictions", [{"result": []}])[0]["result"]]
    assert marked
    assert all(item["value"]["text"] for item in marked)
    assert (tmp_path / "tasks.config.xml").read_text(encoding="utf-8").startswith("<View>")


def test_what_is_wrong_is_said(sample_model, pool, tmp_path):
    model = sample_model("fashion")
    assert "must be one of jsonl" in failed(1, "sample", model, pool, "-n", "2", "-o", "x.txt", cwd=tmp_path)
    assert "did you mean" in failed(
        1, "sample", model, pool, "-n", "2", "-o", "x.csv", "--weights", "rar=1", cwd=tmp_path
    )
    assert "say with --task" in failed(1, "annotate", "export", pool, "-o", "x.xlsx", cwd=tmp_path)
    assert "add --to" in failed(1, "annotate", "export", pool, "--task", "kote", "-o", "x.doc", cwd=tmp_path)


def test_bad_rows_are_skipped_when_asked(sample_model, pool, tmp_path):
    with pool.open("a", encoding="utf-8") as file:
        file.write('bad,"  ",가\n')
    words = ("sample", sample_model("fashion"), pool, "-n", "3", "--vectors", "ngrams", "-o", "x.jsonl")
    assert "the text is blank" in failed(1, *words, cwd=tmp_path)
    told = json.loads(ok(*words, "--on-error", "skip", "--json", cwd=tmp_path).stdout)
    assert (told["pool"], told["skipped"]) == (13, 1)
    assert len(rows(tmp_path / "x.jsonl.rejects.jsonl")) == 1


def test_what_is_read_is_not_written_over(sample_model, pool, tmp_path):
    """``--overwrite`` is for an earlier output: a pool of 13 rows must not become the 3 that were picked."""
    model, before = sample_model("fashion"), pool.read_bytes()
    sample = ("sample", model, pool, "-n", "3", "--vectors", "ngrams", "--overwrite")
    assert "is a file that is read" in failed(1, *sample, "-o", "pool.csv", cwd=tmp_path)
    (tmp_path / "train.csv").write_bytes(before)
    assert "is a file that is read" in failed(1, *sample, "--train", "train.csv", "-o", "train.csv", cwd=tmp_path)
    ok("annotate", "export", pool, "--task", "review-fashion", "-o", "rows.jsonl", cwd=tmp_path)
    written = (tmp_path / "rows.jsonl").read_bytes()
    for words in (
        ("export", "rows.jsonl", "--task", "review-fashion", "-o", "rows.jsonl", "--overwrite"),
        ("import", "rows.jsonl", "--rows", pool, "--task", "review-fashion", "-o", "rows.jsonl", "--overwrite"),
        ("import", "rows.jsonl", "--rows", pool, "--task", "review-fashion", "-o", pool, "--overwrite"),
    ):
        assert "is a file that is read" in failed(1, "annotate", *words, cwd=tmp_path)
    assert (pool.read_bytes(), (tmp_path / "rows.jsonl").read_bytes()) == (before, written)
    assert "--weights threshold=1,rare=0; got 'rare'" in failed(
        1, *sample, "--weights", "rare", "-o", "o.csv", cwd=tmp_path
    )
