"""Rows out to people and back: sheets, JSONL and Label Studio exports, as they come back edited."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import xlsxwriter
from python_calamine import load_workbook
from review_kit import SHOP

from maeum.annotating import export_rows, import_files, read_labelled, row_check, studio_config, write_labelled
from maeum.annotating.studio_out import choices, region
from maeum.data import AspectLabel, Example, Target
from maeum.errors import UsageError
from maeum.formats.studio import offsets
from maeum.task import Label, Task

MOOD = Task("mood", "multiclass", (Label("up", ko="좋음"), Label("flat", ko="그저"), Label("down", ko="나쁨")))
TEXTS = ("비가 와서\n하루 종일 집에 있었다", "표를 구했다 🎉 만세", "버스를 놓쳐 화가 났다", "김치전이 생각나는 저녁")


def rows(count: int = 4) -> list[Example]:
    return [Example(f"00{number}", text) for number, text in enumerate(TEXTS[:count])]


def sheet(path: Path) -> list[list[str]]:
    cells = load_workbook(str(path)).get_sheet_by_index(0).to_python()
    return [["" if cell is None else str(cell) for cell in row] for row in cells]


def save(path: Path, table: list[list[str]], *, when: int = 1_700_000_000) -> Path:
    """A sheet as a person saves it."""
    if path.suffix == ".csv":
        text = "\r\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in table)
        path.write_bytes(text.encode("cp949", "replace"))
    else:
        with xlsxwriter.Workbook(str(path)) as book:
            page = book.add_worksheet()
            for at, row in enumerate(table):
                page.write_row(at, 0, row)
    os.utime(path, (when, when))
    return path


@pytest.fixture
def blank(three, tmp_path):
    """The table of an exported sheet: 0 id, 1 check, 2 text, 3 기쁨, 4 분노, 5 슬픔, 6 done, 7 annotator, 8 note."""
    export_rows(rows(), tmp_path / "out.xlsx", three, to="xlsx")
    return sheet(tmp_path / "out.xlsx")


def complaints(done) -> list[str]:
    return [f"{Path(error.path).name}:{error.line} {error.en}" for error in done.problems.errors]


# -- sheets -------------------------------------------------------------------------------------------------


def test_a_sheet_goes_out_and_comes_back(three, blank, tmp_path):
    assert blank[0] == ["id", "check", "text", "기쁨", "분노", "슬픔", "done", "annotator", "note"]
    blank[1][5], blank[2][3], blank[3][6], blank[3][8] = "O", "예", "완료", " 애매하다 "
    done = import_files([save(tmp_path / "b.xlsx", blank)], rows(), three)
    assert not done.problems.errors
    assert [row.labels for row in done.rows] == [("슬픔",), ("기쁨",), (), None]
    assert done.rows[2].meta["annotations"][0] == {
        "annotator": "b", "when": "2023-11-14T22:13:20+00:00", "labels": [], "note": "애매하다",
    }  # fmt: skip
    assert "annotations" not in done.rows[3].meta


def test_the_workbook_helps_and_protects(three, tmp_path):
    import re
    import zipfile

    task = Task(
        "g", "multilabel", (Label("joy", ko="기쁨", guideline="즐겁다는 말이 있을 때"), Label("rage", ko="분노"))
    )
    export_rows(rows(), tmp_path / "g.xlsx", task, to="xlsx")
    book = zipfile.ZipFile(tmp_path / "g.xlsx")
    first = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<sheetProtection" in first
    assert 'state="frozen"' in first
    assert len(re.findall("<dataValidation ", first)) == 3
    guide = load_workbook(str(tmp_path / "g.xlsx")).get_sheet_by_index(1).to_python()
    assert any(row[:3] == ["기쁨", "joy", "즐겁다는 말이 있을 때"] for row in guide)


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_odd_edits_that_do_no_harm(three, blank, tmp_path, suffix):
    table = [[row[2], row[1], row[0], row[5], " " + row[3] + " ", row[4], row[6], row[7], row[8], ""] for row in blank]
    table[0][9] = "내 생각"
    del table[4]
    for row, cell in zip(table[1:], ("ｏ", " O ", "x"), strict=True):
        row[4] = cell
    table[2][7] = "지은"
    done = import_files([save(tmp_path / f"b{suffix}", table)], rows(), three)
    assert complaints(done) == []
    assert [row.labels for row in done.rows] == [("기쁨",), ("기쁨",), (), None]
    assert done.annotators == {"b": 2, "지은": 1}
    assert "내 생각" in str(done.problems.notices[0])


def test_a_renamed_or_deleted_column_is_named(three, blank, tmp_path):
    blank[0][4] = "분노함"
    assert (
        "no column '분노'; if that is '분노함', rename it back"
        in complaints(import_files([save(tmp_path / "b.xlsx", blank)], rows(), three))[0]
    )
    blank[0][4], blank[0][1] = "분노", ""
    assert complaints(import_files([save(tmp_path / "c.xlsx", blank)], rows(), three))[0].startswith(
        "c.xlsx:1 the header has no column 'check'"
    )


def test_every_bad_cell_is_told_with_its_row(three, blank, tmp_path):
    blank[1][3] = "아마도"
    blank[2][1] = ""
    blank[3][2] = "딴 글"
    blank[4][0], blank[4][1] = "999", blank[4][1][:9] + "00000000"
    found = complaints(import_files([save(tmp_path / "b.xlsx", blank)], rows(), three))
    assert [line.split()[0] for line in found] == ["b.xlsx:2", "b.xlsx:3", "b.xlsx:4", "b.xlsx:5"]
    assert "'아마도' is neither O nor X" in found[0]
    assert "the check value is ''" in found[1]
    assert "the text of row '002' changed ('딴 글')" in found[2]
    assert "row '999' is not in the --rows file" in found[3]


def test_only_some_columns_sorted_is_found(three, blank, tmp_path):
    blank[1][2], blank[2][2] = blank[2][2], blank[1][2]
    blank[1][3] = blank[2][3] = "O"
    assert len(complaints(import_files([save(tmp_path / "b.xlsx", blank)], rows(), three))) == 2


def test_an_id_that_excel_changed_is_found_by_its_check(three, blank, tmp_path):
    for row in blank[1:]:
        row[0], row[3] = row[0].lstrip("0") or "0", "O"
    done = import_files([save(tmp_path / "b.xlsx", blank)], rows(), three)
    assert complaints(done) == []
    assert all(row.labels == ("기쁨",) for row in done.rows)


def test_a_row_twice_with_other_labels_is_refused(three, blank, tmp_path):
    blank[1][3] = "O"
    again = [*blank[1][:3], "", "O", *blank[1][5:]]
    found = complaints(import_files([save(tmp_path / "b.xlsx", [*blank, again])], rows(), three))
    assert found == ["b.xlsx:6 row '000' is on line 2 too, with other labels; keep one of them"]


def test_another_tasks_sheet_is_refused(three, tmp_path):
    other = Task("other", "multilabel", three.labels)
    export_rows(rows(), tmp_path / "o.xlsx", other, to="xlsx")
    table = sheet(tmp_path / "o.xlsx")
    table[1][3] = "O"
    found = complaints(import_files([save(tmp_path / "b.xlsx", table)], rows(), three))
    assert "was labelled for another task" in found[0]


def test_one_label_of_several_typed_by_hand(tmp_path):
    export_rows(rows(), tmp_path / "o.xlsx", MOOD, to="xlsx")
    table = sheet(tmp_path / "o.xlsx")
    assert table[0][3] == "label"
    for row, cell in zip(table[1:], ("좋음", " DOWN", "나쁨 (down)", "낫쁨"), strict=True):
        row[3] = cell
    done = import_files([save(tmp_path / "b.xlsx", table)], rows(), MOOD)
    assert [row.labels for row in done.rows] == [("up",), ("down",), ("down",), None]
    assert "did you mean '나쁨'" in complaints(done)[0]


def test_grades_of_aspects(tmp_path):
    export_rows(rows(), tmp_path / "o.xlsx", SHOP, to="xlsx")
    table = sheet(tmp_path / "o.xlsx")
    assert table[0][3:6] == ["배송 (delivery)", "가격 (price)", "모양 (look)"]
    table[1][3:5], table[2][3], table[3][6], table[4][5] = ["−1", "+1"], "좋음", "완료", "5"
    done = import_files([save(tmp_path / "b.xlsx", table)], rows(), SHOP)
    assert done.rows[0].aspects == (AspectLabel("delivery", "-1"), AspectLabel("price", "1"))
    assert done.rows[1].aspects == (AspectLabel("delivery", "1"),)
    assert (done.rows[2].aspects, done.rows[3].aspects) == ((), None)
    assert "'5' is no grade; write one of -1, 0, 1" in complaints(done)[0]


def test_a_models_answer_counts_only_when_somebody_agrees(three, tmp_path):
    from maeum.annotating.exporting import _cells
    from maeum.annotating.sheet_out import write_sheet

    said = [_cells({"labels": ["기쁨"]}, three)] * 4
    write_sheet(rows(), tmp_path / "o.xlsx", three, suggested=said)
    table = sheet(tmp_path / "o.xlsx")
    done, answer = table[0].index("done"), table[0].index("suggested")
    assert [row[answer] for row in table[1:]] == ["기쁨"] * 4
    table[2][done], table[3][4] = "완료", "O"
    found = import_files([save(tmp_path / "b.xlsx", table)], rows(), three)
    assert [row.labels for row in found.rows] == [None, ("기쁨",), ("기쁨", "분노"), None]
    assert [notice.line for notice in found.problems.notices] == [2, 5]


# -- several people, several times ----------------------------------------------------------------------------


def labelled(blank, tmp_path, name, column, *, when=1_700_000_000):
    table = [list(row) for row in blank]
    for row in table[1:]:
        row[column] = "O"
    return save(tmp_path / f"{name}.xlsx", table, when=when)


def test_the_same_file_twice_changes_nothing(three, blank, tmp_path):
    file, out = labelled(blank, tmp_path, "a", 3), tmp_path / "labelled.jsonl"
    assert write_labelled(import_files([file], rows(), three), out, three)
    before = out.read_bytes()
    again = import_files([file, file], rows(), three, before=read_labelled(out, three))
    assert (again.new, again.changed) == (0, 0)
    assert not write_labelled(again, out, three)
    assert out.read_bytes() == before


def test_people_may_change_their_minds_in_any_order_of_import(three, blank, tmp_path):
    old, new = labelled(blank, tmp_path, "a", 3), labelled(blank, tmp_path, "b", 4, when=1_700_000_500)
    for files in ([old, new], [new, old]):
        done = import_files(files, rows(), three, annotator="지은")
        assert all(row.labels == ("분노",) for row in done.rows)
        assert [item["labels"] for item in done.rows[0].meta["annotations"]] == [["기쁨"], ["분노"]]
        assert done.annotators == {"지은": 4}


@pytest.mark.parametrize(
    ("rule", "labels"), [("majority", ("분노",)), ("all", ()), ("any", ("기쁨", "분노")), ("first", ("기쁨",))]
)
def test_consensus_rules(three, blank, tmp_path, rule, labels):
    files = [labelled(blank, tmp_path, name, column, when=1_700_000_000 + at) for at, (name, column) in
             enumerate((("a", 3), ("b", 4), ("c", 4)))]  # fmt: skip
    done = import_files(files, rows(), three, rule=rule)
    assert done.rows[0].labels == labels
    assert done.rows[0].meta["consensus"] == rule
    first = next(item for item in done.conflicts if item.row == "000" and item.what == "분노")
    assert first.said == {"a": "X", "b": "O", "c": "O"}
    assert first.decided == ("O" if "분노" in labels else "X")
    told = {item["label"]: item for item in done.agreement}
    assert told["슬픔"]["observed"] == 1
    assert told["분노"]["observed"] == pytest.approx(1 / 3, abs=1e-4)
    assert told["분노"]["rows"] == 4


def test_a_tie_of_one_choice_stays_open(tmp_path):
    export_rows(rows(2), tmp_path / "o.xlsx", MOOD, to="xlsx")
    files = []
    for name, words in (("a", ("up", "up")), ("b", ("down", "up"))):
        table = sheet(tmp_path / "o.xlsx")
        for row, word in zip(table[1:], words, strict=True):
            row[3] = word
        files.append(save(tmp_path / f"{name}.xlsx", table))
    done = import_files(files, rows(2), MOOD)
    assert [row.labels for row in done.rows] == [None, ("up",)]
    assert (done.counts()["open"], done.counts()["labelled"]) == (1, 1)
    with pytest.raises(UsageError, match="only one label may stand"):
        import_files(files, rows(2), MOOD, rule="any")


def test_grades_that_tie_leave_the_row_open(tmp_path):
    files = []
    for name, grade in (("a", "1"), ("b", "-1")):
        lines = [
            {
                "id": "000",
                "aspects": [{"aspect": "price", "sentiment": grade}],
                "meta": {"check": row_check(SHOP, rows()[0])},
            }
        ]
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = import_files(files, rows(), SHOP)
    assert done.rows[0].aspects is None
    assert done.conflicts[0].said == {"a": "1", "b": "-1"}
    mention, grade = (
        next(i for i in done.agreement if (i["label"], i["what"]) == ("price", w)) for w in ("mention", "grade")
    )
    assert (mention["observed"], grade["observed"]) == (1, 0)


def test_an_output_of_other_rows_is_not_continued(three, blank, tmp_path):
    out = tmp_path / "labelled.jsonl"
    write_labelled(import_files([labelled(blank, tmp_path, "a", 3)], rows(), three), out, three)
    other = [Example("000", "아주 다른 글")]
    with pytest.raises(UsageError, match="row '000' of the output is none of --rows"):
        import_files([], other, three, before=read_labelled(out, three))


# -- JSONL ----------------------------------------------------------------------------------------------------


def test_jsonl_goes_out_and_comes_back(three, tmp_path):
    path = tmp_path / "out.jsonl"
    export_rows(rows(), path, three, to="jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(line["labels"] is None for line in lines)
    lines[0]["labels"], lines[1]["labels"], lines[2]["labels"] = ["joy"], [], ["기쁨!"]
    lines[0]["meta"]["annotator"] = "민호"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    done = import_files([path], rows(), three)
    assert [row.labels for row in done.rows] == [("기쁨",), (), None, None]
    assert done.rows[0].meta["annotations"][0]["annotator"] == "민호"
    assert "out.jsonl:3 label '기쁨!' is not in task 'three'" in complaints(done)[0]


# -- Label Studio ---------------------------------------------------------------------------------------------


def exported(task: Task, row: Example, result: list, *, who: object = 7) -> dict:
    data = {"id": row.id, "text": row.text, "check": row_check(task, row)}
    stamp = "2024-03-01T09:00:00.123456Z"
    return {"id": 1, "data": data, "annotations": [{"completed_by": who, "updated_at": stamp, "result": result}]}


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def test_label_studio_choices_and_evidence_come_back(three, tmp_path):
    row = rows()[1]
    utf16 = region("e", "evidence", "labels", ["joy"], row.text, 9, 11)
    utf16["value"] |= {"start": 10, "end": 12}  # browsers count the emoji before it twice
    assert utf16["value"]["text"] == "만세"
    done = import_files(
        [write(tmp_path / "e.json", [exported(three, row, [choices("labels", ["기쁨"]), utf16])])], rows(), three
    )
    assert complaints(done) == []
    assert done.rows[1].labels == ("기쁨",)
    assert done.rows[1].meta["annotations"] == [
        {"annotator": "label-studio:7", "when": "2024-03-01T09:00:00+00:00", "labels": ["기쁨"],
         "evidence": [{"label": "기쁨", "begin": 9, "end": 11}]},
    ]  # fmt: skip


def test_label_studio_aspects_are_regions_with_grades(tmp_path):
    row = Example("r", "값은 거저인데 택배가 늦다")

    def part(name, aspect, grade, begin, end):
        return [
            region(name, "evidence", "labels", [aspect], row.text, begin, end),
            region(name, "grade", "choices", [grade], row.text, begin, end),
        ]

    result = part("a", "가격", "좋음", 0, len(row.text)) + part("b", "delivery", "-1", 8, 14)
    done = import_files(
        [write(tmp_path / "e.json", [exported(SHOP, row, result, who={"email": "a@b.c"})])], [row], SHOP
    )
    assert done.rows[0].aspects == (AspectLabel("delivery", "-1", 8, 14), AspectLabel("price", "1"))
    assert done.annotators == {"a@b.c": 1}
    broken = [exported(SHOP, row, part("a", "가격", "좋음", 0, 2) + part("b", "가격", "나쁨", 0, 2))]
    assert "has both 1 and -1" in complaints(import_files([write(tmp_path / "f.json", broken)], [row], SHOP))[0]
    assert (
        "has 0 grades"
        in complaints(
            import_files(
                [write(tmp_path / "f.json", [exported(SHOP, row, part("a", "가격", "좋음", 0, 2)[:1])])], [row], SHOP
            )
        )[0]
    )


def test_a_target_marked_in_label_studio(tmp_path):
    task = Task("t", "multilabel", (Label("joy"), Label("rage")), targeted=True)
    row, aimed = rows()[2], Example("t", TEXTS[2], Target("버스", 0, 2))
    marked = [choices("labels", ["rage"]), region("t", "target", "labels", ["target"], row.text, 0, 2)]
    done = import_files([write(tmp_path / "e.json", [exported(task, row, marked)])], rows(), task)
    assert done.rows[2].target == Target("버스", 0, 2)
    out = tmp_path / "labelled.jsonl"
    write_labelled(done, out, task)
    again = import_files([tmp_path / "e.json"], rows(), task, before=read_labelled(out, task))
    assert not write_labelled(again, out, task)
    moved = [choices("labels", ["rage"]), region("t", "target", "labels", ["target"], row.text, 4, 7)]
    assert (
        "other words are marked"
        in complaints(import_files([write(tmp_path / "f.json", [exported(task, aimed, moved)])], [aimed], task))[0]
    )


def test_other_exports_and_skipped_tasks(three, tmp_path):
    skipped = exported(three, rows()[0], [])
    skipped["annotations"][0]["was_cancelled"] = True
    done = import_files([write(tmp_path / "e.json", [skipped])], rows(), three)
    assert (complaints(done), done.annotators) == ([], {})
    assert (
        "choose the format 'JSON'"
        in complaints(import_files([write(tmp_path / "m.json", [{"text": "a"}])], rows(), three))[0]
    )
    (tmp_path / "n.json").write_text("{", encoding="utf-8")
    assert "cannot be read as JSON" in complaints(import_files([tmp_path / "n.json"], rows(), three))[0]


def test_odd_values_of_an_export_are_told_and_not_fatal(three, tmp_path):
    """Found by hand: a note that is no list ended the command, a note that is text came back letter by letter."""
    noted = [choices("labels", ["기쁨"]), {"from_name": "note", "value": {"text": "애매 함"}}, {"type": "relation"}]
    numbered = [{"from_name": "note", "value": {"text": 5}}, {"from_name": "labels", "value": None}]
    broken = exported(three, rows()[2], [])
    broken["annotations"][0]["updated_at"] = "어제"
    items = [exported(three, rows()[0], noted), exported(three, rows()[1], numbered), broken]
    done = import_files([write(tmp_path / "e.json", items)], rows(), three)
    assert complaints(done) == ["e.json:3 row '002': the time of saving is no time: '어제'"]
    assert [row.meta["annotations"][0]["note"] for row in done.rows[:2]] == ["애매 함", "5"]


def test_marked_words_that_are_nowhere():
    assert offsets("하루 종일", 3, 5, "종일") == (3, 5)
    assert offsets("가\n나", 0, 3, "가\\n나") == (0, 3)
    from maeum.errors import DataError

    with pytest.raises(DataError, match="not in the text"):
        offsets("하루 종일", 3, 9, "종일")


def test_the_interface_names_every_label(three):
    from xml.etree.ElementTree import fromstring

    tricky = Task("q", "aspect", (Label("a", ko='"큰" <값> & 것', guideline='따옴표 "x"'),), (Label("-1"), Label("1")))
    for task in (three, MOOD, SHOP, tricky, Task("t", "multilabel", three.labels, targeted=True)):
        root = fromstring(studio_config(task))
        named = {node.get("alias") or node.get("value") for node in root.iter() if node.tag in ("Choice", "Label")}
        assert set(task.keys) <= named
        assert set(task.sentiment_keys) <= named
        tags = {node.get("name") for node in root.iter() if node.get("name")}
        assert all(node.get("toName") in tags for node in root.iter() if node.get("toName"))
