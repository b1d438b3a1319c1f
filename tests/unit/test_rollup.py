"""Roll-ups: what is counted equals what is in the predictions, whatever the batch and however they came."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maeum
from maeum.analyzer import Analyzer
from maeum.data import Example
from maeum.errors import DataError, UsageError
from maeum.rolling.stored import Stored
from maeum.task import Label, Task

REVIEW = Task(
    "toy",
    "aspect",
    (Label("배송"), Label("<가격>"), Label("핏")),
    (Label("-1", "나쁨"), Label("0", "보통"), Label("1", "좋음")),
)
MOOD = Task("mood", "multilabel", (Label("기쁨"), Label("슬픔")))


def prediction(number: int, found: dict[str, str], **meta: Any) -> dict[str, Any]:
    """A row as ``maeum predict`` writes it for ``REVIEW``."""
    aspects = [
        {"aspect": key, "sentiment": grade, "score": 0.9, "sentiment_scores": {"-1": 0.2, "0": 0.3, "1": 0.5}}
        for key, grade in found.items()
    ]
    scores = dict.fromkeys(REVIEW.keys, 0.5 + number % 50 / 100)
    text = f'<b>원문</b> {number} "{" ".join(found)}"'
    return {"id": f"r{number}", "text": text, "target": None, "aspects": aspects, "scores": scores, "meta": meta}


def stored(rows: list[dict[str, Any]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def sums(rows: list[dict[str, str]], *by: str) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        if int(row["count"]):
            found[tuple(row[name] for name in by)] += int(row["count"])
    return found


@pytest.fixture
def many(tmp_path: Path) -> Path:
    grades = ("-1", "0", "1")
    rows = [
        prediction(
            n,
            {key: grades[(n + n % 7) % 3] for place, key in enumerate(REVIEW.keys) if n % (place + 2)},
            date=f"2024-{n % 12 + 1:02d}-{n % 28 + 1:02d}" if n % 10 else None,
            shop=f"가게 {n % 4}" if n % 9 else float("nan"),
        )
        for n in range(300)
    ]
    return stored(rows, tmp_path / "predictions.jsonl")


def roll(model: Any, tmp_path: Path, source: Any = None, name: str = "out", **options: Any) -> Path:
    maeum.rollup(model, source, tmp_path / name, overwrite=True, **options)
    return tmp_path / name


ROW = st.tuples(
    st.dictionaries(st.sampled_from(REVIEW.keys), st.sampled_from(REVIEW.sentiment_keys)),
    st.sampled_from(["2024-01-31", "2024.02.01", "20240229", "2024-02-30", "", None, "15.08.24"]),
    st.sampled_from(["ㄱ", "ㄴ", "ㄷ", "=1+1", None]),
)


@given(rows=st.lists(ROW, min_size=1, max_size=25), top=st.integers(1, 4))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_table_adds_up_to_the_predictions(tmp_path, rows, top):
    path = stored([prediction(n, found, d=d, g=g) for n, (found, d, g) in enumerate(rows)], tmp_path / "p.jsonl")
    out = roll(path, tmp_path, task=REVIEW, date_column="d", group_column="g", top=top)

    months = {"2024-01-31": "2024-01", "2024.02.01": "2024-02", "20240229": "2024-02"}
    sizes = Counter(g for _, _, g in rows if g is not None)
    named = sorted(sizes, key=lambda g: (-sizes[g], g))[:top]

    def group(g: str | None) -> tuple[str, str]:
        # no spreadsheet is to compute a name
        return ("", "ungrouped") if g is None else (g.replace("=", "'="), "group") if g in named else ("", "other")

    pairs = [(item, d, g) for found, d, g in rows for item in found.items()]
    assert sums(table(out / "aspects.csv"), "aspect", "grade") == Counter(item for item, _, _ in pairs)
    assert sums(table(out / "time.csv"), "period", "aspect", "grade") == Counter(
        (months.get(d or "", ""), *item) for item, d, _ in pairs
    )
    assert sums(table(out / "groups.csv"), "group", "kind", "aspect", "grade") == Counter(
        (*group(g), *item) for item, _, g in pairs
    )
    for row in table(out / "groups.csv"):
        here = [found for found, _, g in rows if group(g) == (row["group"], row["kind"])]
        assert int(row["rows"]) == len(here)
        assert int(row["of"]) == sum(row["aspect"] in found for found in here)
        assert float(row["low"]) <= float(row["share"]) <= float(row["high"])
    told = json.loads((out / "rollup.json").read_text(encoding="utf-8"))["counts"]
    assert told["rows"] == len(rows)
    assert told["undated"] == sum(d not in months for _, d, _ in rows)
    assert told["groups"] == len(sizes)


def test_every_sentence_is_a_raw_text_of_its_cell(many, tmp_path):
    out = roll(many, tmp_path, task=REVIEW, date_column="date", group_column="shop", examples=4)
    rows = {row.id: row for row in Stored(many, REVIEW).rows()}
    lines = [json.loads(line) for line in (out / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    page = (out / "report.html").read_text(encoding="utf-8")
    seen = set()
    for line in lines:
        row = rows[line["id"]]
        assert line["text"] == row.text
        grade = {REVIEW.keys[label]: REVIEW.sentiment_keys[grade] for label, grade, _ in row.found}[line["aspect"]]
        assert line["grade"] in (grade, None)
        assert line["side"] in ({"-1": "low", "1": "high"}.get(grade), None)
        if line["slice"] == "group":
            assert line["group"] == line["slice_name"] == row.fields["shop"]
        if line["slice"] == "period":
            assert line["date"].startswith(line["slice_name"])
        if line["word"] is None:
            cell = (line["slice"], line["slice_name"], line["aspect"], line["grade"], line["side"])
            assert (cell, line["id"]) not in seen
            seen.add((cell, line["id"]))
    per_cell = Counter(cell for cell, _ in seen)
    assert max(per_cell.values()) == 4
    assert {line["why"] for line in lines} == {"confident", "random"}
    assert {line["slice"] for line in lines} == {"all", "period", "undated", "group", "ungrouped"}
    assert "<b>원문" not in page
    assert "<가격>" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not re.search(r"(src|href)=\"(?!#)", page)


def test_a_long_text_is_cut_on_the_page_and_whole_beside_it(tmp_path):
    row = prediction(1, {"배송": "1"}) | {"text": "가나다 " * 500}
    out = roll(stored([row], tmp_path / "p.jsonl"), tmp_path, task=REVIEW)
    lines = (out / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["text"] for line in lines} == {row["text"]}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert row["text"][:600] + "…" in page
    assert row["text"][:601] not in page


def test_each_button_of_the_page_opens_sentences(many, tmp_path):
    page = (roll(many, tmp_path, task=REVIEW, date_column="date", group_column="shop") / "report.html").read_text(
        "utf-8"
    )
    block = re.search(r'<script type="application/json" id="rl-data">(.*?)</script>', page)
    assert block is not None
    data = json.loads(block[1])
    buttons = re.findall(r'data-c="([0-9,]+)"', page)
    assert len(buttons) > 60
    for cells in buttons:
        for cell in cells.split(","):
            assert data["cells"][int(cell)]
            assert all(0 <= row < len(data["rows"]) for row, _, _ in data["cells"][int(cell)])


def test_dates_and_groups_by_id_in_any_order(many, tmp_path):
    own = roll(many, tmp_path, task=REVIEW, date_column="date", group_column="shop", name="own")
    rows = [json.loads(line) for line in many.read_text(encoding="utf-8").splitlines()]
    with (tmp_path / "data.csv").open("w", encoding="cp949", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "리뷰", "category", "Date "])
        for row in reversed(rows):
            shop, date = row["meta"]["shop"], row["meta"]["date"]
            writer.writerow([row["id"], "x", shop if isinstance(shop, str) else "", date or "모름"])
        writer.writerow(["only here", "x", "가게 1", "2024-01-01"])
    # "category" is a column that reading takes for labels
    joined = roll(
        many, tmp_path, tmp_path / "data.csv", "joined", task=REVIEW, date_column="date", group_column="category"
    )
    for name in ("aspects.csv", "time.csv", "groups.csv", "words.csv"):
        assert (own / name).read_bytes() == (joined / name).read_bytes()


def test_predictions_without_a_row_in_the_input_are_counted_and_told(many, tmp_path):
    lines = ["id,text,d\n", *(f"r{n},글,2024-05-05\n" for n in range(100))]
    (tmp_path / "part.csv").write_text("".join(lines), encoding="utf-8")
    done = maeum.rollup(many, tmp_path / "part.csv", tmp_path / "out", task=REVIEW, date_column="d")
    assert done.rows == 300
    assert done.undated == 200
    assert "200 predictions have no row" in " ".join(done.notes)
    (tmp_path / "none.csv").write_text("id,text,d\nz,글,2024-05-05\n", encoding="utf-8")
    with pytest.raises(DataError, match="no id of the predictions"):
        maeum.rollup(many, tmp_path / "none.csv", tmp_path / "none", task=REVIEW, date_column="d")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "none.partial").exists()


class Toy:
    """A model whose probabilities are a hash of the text."""

    kind = "toy"
    task = MOOD

    def predict_proba(self, inputs):
        import numpy as np

        return np.array([[len(i.text) % 7 / 7, len(i.text) % 5 / 5] for i in inputs], np.float32).reshape(-1, 2)


@pytest.fixture
def analyzer() -> Analyzer:
    from maeum.text import TextPrep

    return Analyzer(Toy(), prep=TextPrep.named("raw"))  # type: ignore[arg-type]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    rows = [Example(f"r{n}", "글 " * (n % 11 + 1) + str(n), meta={"d": f"2020-{n % 3 + 1:02d}-05"}) for n in range(90)]
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(e.to_dict(), ensure_ascii=False) + "\n" for e in rows), encoding="utf-8")
    return path


def test_the_batch_changes_nothing(analyzer, reviews, tmp_path):
    outs = [
        roll(analyzer, tmp_path, reviews, f"out{size}", batch_size=size, date_column="d", min_count=2)
        for size in (1, 7, 500)
    ]
    for name in ("aspects.csv", "time.csv", "words.csv", "examples.jsonl", "report.html", "time.parquet"):
        assert len({(out / name).read_bytes() for out in outs}) == 1
    rows = table(outs[0] / "aspects.csv")
    assert [row["of"] for row in rows] == ["90", "90"]
    assert {row["grade"] for row in rows} == {""}
    assert not list(tmp_path.glob("*.partial"))


def test_tables_are_the_same_in_parquet(analyzer, reviews, tmp_path):
    import arro3.io

    out = roll(analyzer, tmp_path, reviews, date_column="d")
    for name in ("aspects", "time", "groups", "words"):
        batches = list(arro3.io.read_parquet(str(out / f"{name}.parquet")))
        expected = table(out / f"{name}.csv")
        found = [
            dict(zip(batch.schema.names, values, strict=True))
            for batch in batches
            for values in zip(*(batch.column(i).to_pylist() for i in range(batch.num_columns)), strict=True)
        ]
        assert [{key: str(value) for key, value in row.items()} for row in found] == expected
    assert table(out / "groups.csv") == []


def test_ten_thousand_groups(tmp_path):
    rows = [prediction(n, {"핏": "1"} if n % 2 else {}, g=n if n > 60 else n % 3) for n in range(10_060)]
    out = roll(stored(rows, tmp_path / "p.jsonl"), tmp_path, task=REVIEW, group_column="g", top=5)
    groups = table(out / "groups.csv")
    kinds = {(row["group"], row["kind"]): int(row["rows"]) for row in groups}
    # three of 20 or 21 rows, the first two of those with one row each, and all the others together
    assert list(kinds.items())[:3] == [(("0", "group"), 21), (("1", "group"), 20), (("2", "group"), 20)]
    told = json.loads((out / "rollup.json").read_text("utf-8"))
    assert told["counts"]["groups"] == 10_002
    assert "the other 9,997 together" in " ".join(told["notes"])
    assert kinds["", "other"] == 10_060 - 63
    assert sums(groups)[()] == sums(table(out / "aspects.csv"))[()] == 5_030


def test_one_group_no_labels_and_no_dates(tmp_path):
    rows = [prediction(n, {}, g="하나", d=float("nan")) for n in range(3)]
    out = roll(stored(rows, tmp_path / "p.jsonl"), tmp_path, task=REVIEW, group_column="g", date_column="d")
    assert table(out / "aspects.csv") == []
    assert json.loads((out / "rollup.json").read_text("utf-8"))["counts"]["rows_without_label"] == 3
    assert "No row has a date" in (out / "report.html").read_text("utf-8")


def test_short_years_are_not_guessed_but_can_be_told(tmp_path):
    rows = [prediction(n, {"핏": "1"}, d="15.08.24") for n in range(3)]
    path = stored(rows, tmp_path / "p.jsonl")
    done = maeum.rollup(path, None, tmp_path / "a", task=REVIEW, date_column="d")
    assert done.undated == 3
    assert "--date-format %y.%m.%d" in " ".join(done.notes)
    out = roll(path, tmp_path, task=REVIEW, date_column="d", date_format="%y.%m.%d", period="week")
    assert {row["period"] for row in table(out / "time.csv")} == {"2015-W35"}


def test_unknown_columns_are_refused_with_the_nearest(analyzer, reviews, many, tmp_path):
    with pytest.raises(UsageError, match=r"no column 'dd'.*did you mean 'd'.*'id', 'text'"):
        maeum.rollup(analyzer, reviews, tmp_path / "out", date_column="dd")
    with pytest.raises(UsageError, match=r"no column 'shopp' for --group-column; did you mean 'shop'"):
        maeum.rollup(many, None, tmp_path / "out", task=REVIEW, group_column="shopp")
    assert not list(tmp_path.glob("out*"))


def test_bad_rows_stop_or_are_left_out(analyzer, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id":"a","text":"좋다","d":"2020-01-01"}\n{"id":"b"}\n{"id":"c","text":"싫다"}\n', "utf-8")
    with pytest.raises(DataError, match=r"in\.jsonl:2"):
        maeum.rollup(analyzer, path, tmp_path / "out", date_column="d")
    assert not list(tmp_path.glob("out*"))
    done = maeum.rollup(analyzer, path, tmp_path / "out", date_column="d", on_error="skip", rejects=tmp_path / "bad")
    assert (done.rows, done.rejected, done.undated) == (2, 1, 1)
    assert len((tmp_path / "bad").read_text("utf-8").splitlines()) == 1
    told = json.loads((tmp_path / "out" / "rollup.json").read_text("utf-8"))
    assert told["rejects"]["rows"] == 1
    assert str(tmp_path) not in json.dumps(told)


def test_what_is_no_predictions_file_is_refused(tmp_path):
    for text, said in (("", "no predictions"), ('{"id":"a","text":"글"}\n', "no 'scores'"), ("글\n", "not JSON")):
        (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=said):
            maeum.rollup(tmp_path / "x.jsonl", None, tmp_path / "out")
    row = prediction(1, {"핏": "1"})
    row["aspects"][0]["sentiment"] = "7"
    with pytest.raises(DataError, match=r"p\.jsonl:1"):
        maeum.rollup(stored([row], tmp_path / "p.jsonl"), None, tmp_path / "out", task=REVIEW)
    twice = stored([prediction(1, {}), prediction(1, {})], tmp_path / "p.jsonl")
    with pytest.raises(DataError, match="occurs twice"):
        maeum.rollup(twice, None, tmp_path / "out", task=REVIEW)


def test_the_task_is_told_from_the_rows(many, tmp_path):
    task = Stored(many).task
    assert (task.kind, task.keys, task.sentiment_keys) == ("aspect", REVIEW.keys, REVIEW.sentiment_keys)


def test_only_its_own_folder_is_replaced(many, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="already exists"):
        maeum.rollup(many, None, tmp_path / "out", task=REVIEW)
    with pytest.raises(UsageError, match="was not written by maeum rollup"):
        maeum.rollup(many, None, tmp_path / "out", task=REVIEW, overwrite=True)
    assert (tmp_path / "out" / "mine.txt").exists()


def test_a_killed_run_goes_on(sample_model, reviews, tmp_path, monkeypatch):
    trained = sample_model("nikl-ea")
    import maeum.rolling.running as running

    def killed(*words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "gather", killed)
    with pytest.raises(KeyboardInterrupt):
        maeum.rollup(trained, reviews, tmp_path / "out", date_column="d")
    assert (tmp_path / "out.partial" / "predictions.jsonl").exists()
    monkeypatch.undo()
    # what is only counted otherwise does not need the model again
    done = maeum.rollup(trained, reviews, tmp_path / "out", date_column="d", period="year")
    assert (done.rows, done.resumed) == (90, 90)
    assert not (tmp_path / "out.partial").exists()


def test_date_cells_of_workbooks_and_parquet(analyzer, tmp_path):
    import datetime

    import arro3.core
    import arro3.io
    import xlsxwriter

    book = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    sheet, style = book.add_worksheet(), book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(0, 0, ["text", "작성일"])
    for line, day in enumerate((datetime.datetime(2015, 8, 24), datetime.datetime(2015, 9, 1, 10, 11)), start=1):
        sheet.write_string(line, 0, f"글 {line}")
        sheet.write_datetime(line, 1, day, style)
    sheet.write_row(3, 0, ["글 3", 42240])
    book.close()
    days = arro3.core.Array([16671, 16679, None], arro3.core.DataType.int32()).cast(arro3.core.DataType.date32())
    texts = arro3.core.Array([f"글 {n}" for n in (1, 2, 3)], arro3.core.DataType.string())
    columns = arro3.core.Table.from_pydict({"text": texts, "작성일": days})
    arro3.io.write_parquet(columns, str(tmp_path / "a.parquet"))
    for name in ("a.xlsx", "a.parquet"):
        out = roll(analyzer, tmp_path, tmp_path / name, date_column="작성일")
        rows = {row["period"]: row["rows"] for row in table(out / "time.csv")}
        assert rows == {"2015-08": "1", "2015-09": "1", "": "1"}


def test_a_table_is_rolled_up_without_being_held(tmp_path, monkeypatch):
    head = f"id,text,target,labels,{','.join(MOOD.keys)}"
    # by thresholds of the model's own: 0.3 is a label here, and one row has none
    (tmp_path / "p.csv").write_text(f"{head}\na,하나,,기쁨,0.3,0.1\nb,둘,,[],0.6,0.1\n", encoding="utf-8")

    def whole(*_: object, **__: object) -> None:
        raise AssertionError("the table was read as a whole")

    monkeypatch.setattr("maeum.predicting.read_predictions", whole)
    monkeypatch.setattr("maeum.evaluation.read_predictions", whole)
    done = maeum.rollup(tmp_path / "p.csv", None, tmp_path / "out", task=MOOD)
    assert done.rows == 2
    assert sums(table(tmp_path / "out" / "aspects.csv"), "aspect") == Counter({("기쁨",): 1})


def test_the_file_is_named_as_it_was_given(tmp_path):
    (tmp_path / "p.csv").write_text("id,text,target,labels,기쁨,슬픔\na,하나,,기쁨,0.3,0.1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"p\.csv: .*--date-column"):
        maeum.rollup(tmp_path / "p.csv", None, tmp_path / "out", task=MOOD, date_column="date")
    with pytest.raises(UsageError, match="no model folder or predictions file"):
        maeum.rollup(tmp_path / "q.csv", None, tmp_path / "out")
