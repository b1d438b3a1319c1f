"""Lists of decisions come back in odd shapes: what is clear is done, the rest is refused line by line."""

from __future__ import annotations

import csv
import dataclasses
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_kit import graded, reviews, sides, with_chewy_as_stretch

from maeum._lang import set_language
from maeum.auditing import Audit, Settings, apply, audit, read_decisions
from maeum.auditing.applying import save
from maeum.auditing.worklist import COLUMNS, row_hash, write_worklist
from maeum.data import AspectLabel, Dataset, Example
from maeum.errors import DataError, UsageError
from maeum.formats.lines import Source
from maeum.formats.tables import sheet_cells

Lines = list[list[str]]


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit(with_chewy_as_stretch(reviews(120), share=0.4)[0], settings=Settings(top=12))


@pytest.fixture
def lines(found: Audit, tmp_path: Path) -> Lines:
    """The work list as a spreadsheet program would show it."""
    write_worklist(found, tmp_path / "list.xlsx")
    return [list(cells) for _, cells in sheet_cells(Source(tmp_path / "list.xlsx"))]


def decided(lines: Lines, *words: str) -> Lines:
    at = COLUMNS.index("decision")
    for line, word in zip(lines[1:], words, strict=False):
        line[at] = word
    return lines


def saved(lines: Lines, path: Path, encoding: str = "utf-8-sig") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(lines)
    return path


def xlsx(lines: Lines, path: Path) -> Path:
    import xlsxwriter

    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet()
    for row, cells in enumerate(lines):
        for column, cell in enumerate(cells):
            sheet.write_string(row, column, cell)
    book.close()
    return path


def test_the_list_as_it_was_written_decides_nothing(found: Audit, tmp_path: Path) -> None:
    write_worklist(found, tmp_path / "list.xlsx")
    back = read_decisions(tmp_path / "list.xlsx", found.data)
    assert back.decisions == ()
    assert back.problems == ()
    assert back.undecided == len(found.suspects)
    with pytest.raises(UsageError, match="nothing is decided"):
        apply(found.data, back.decisions)


def test_fix_keep_and_drop(found: Audit, lines: Lines, tmp_path: Path) -> None:
    # of a row with several entries only the first, lest a row be fixed and dropped
    places = [at for at, item in enumerate(found.suspects) if item.row not in [s.row for s in found.suspects[:at]]][:3]
    first, second, third = (found.suspects[at] for at in places)
    for at, word in zip(places, ("fix", "keep", "drop"), strict=True):
        lines[at + 1][COLUMNS.index("decision")] = word
    back = read_decisions(xlsx(lines, tmp_path / "d.xlsx"), found.data)
    assert back.problems == ()
    done = apply(found.data, back.decisions, who="민지", when="2026-11-22", source="d.xlsx")
    by_id = {example.id: example for example in done.data}
    changed = by_id[found.data.ids[first.row]].labels or ()
    assert (first.label in changed) is (first.suggested == "yes")
    assert by_id[found.data.ids[second.row]] == found.data[second.row]
    assert found.data.ids[third.row] not in by_id
    assert len(done.data) == len(found.data) - 1
    untouched = {found.data.ids[item.row] for item in (first, third)}
    assert all(by_id[e.id] == e for e in found.data if e.id not in untouched)
    log = {change["decision"]: change for change in done.changes}
    assert log["fix"]["was"] == first.given
    assert log["fix"]["is"] == first.suggested
    assert log["fix"]["who"] == "민지"
    assert log["fix"]["changed"] is True
    assert log["keep"]["changed"] is False
    assert log["drop"]["row_is"] is None
    assert done.to_dict()["decisions"] == {"keep": 1, "fix": 1, "drop": 1}
    assert done.before == found.data.fingerprint != done.data.fingerprint


ODD: dict[str, Callable[[Lines], Lines]] = {
    "capitals and spaces": lambda lines: [[f"  {cell.upper()} " if at == 7 else cell for at, cell in enumerate(line)] for line in lines],
    "words in Korean": lambda lines: [[{"fix": "수정", "keep": "유지"}.get(cell, cell) for cell in line] for line in lines],
    "columns in Korean": lambda lines: [[{"text": "글", "label": "라벨", "decision": "결정 ", "who": "누가"}.get(cell, cell) for cell in lines[0]], *lines[1:]],
    "lines deleted and turned round": lambda lines: [lines[0], *reversed(lines[1:3])],
    "columns moved and one added": lambda lines: [[*reversed(line), "?"] for line in lines],
    "blank lines": lambda lines: [lines[0], lines[1], [""] * len(lines[0]), *lines[2:]],
    "columns that are only shown are gone": lambda lines: [[cell for at, cell in enumerate(line) if at not in (3, 5, 6)] for line in lines],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["xlsx", "csv", "cp949"])
@pytest.mark.parametrize("name", ODD)
def test_odd_edits_that_are_clear(name: str, kind: str, found: Audit, lines: Lines, tmp_path: Path) -> None:
    odd = ODD[name](decided(lines, "fix", "keep"))
    if kind == "xlsx":
        path = xlsx(odd, tmp_path / "d.xlsx")
    else:
        path = saved(odd, tmp_path / "d.csv", "utf-8-sig" if kind == "csv" else "cp949")
    back = read_decisions(path, found.data)
    assert back.problems == ()
    assert sorted(decision.decision for decision in back.decisions) == ["fix", "keep"]
    fixed = next(decision for decision in back.decisions if decision.decision == "fix")
    assert (fixed.id, fixed.label) == (found.data.ids[found.suspects[0].row], found.suspects[0].label)


BAD: dict[str, tuple[Callable[[Lines], None], str]] = {
    "an unknown word": (lambda lines: lines[1].__setitem__(7, "maybe"), "keep, fix or drop, got 'maybe'"),
    "a row of other data": (lambda lines: lines[1].__setitem__(0, "zzz"), "no row with id 'zzz'"),
    "a fingerprint of another row": (lambda lines: lines[1].__setitem__(11, "h000000000000"), "has changed since the list"),
    "no fingerprint": (lambda lines: lines[1].__setitem__(11, ""), "hash none"),
    "an edited text": (lambda lines: lines[1].__setitem__(1, "다른 글"), "one column sorted alone"),
    "an unknown label": (lambda lines: lines[1].__setitem__(2, "신축"), "label '신축'"),
    "a value that is none": (lambda lines: lines[1].__setitem__(4, "아마"), "fix needs suggested"),
    "no value": (lambda lines: lines[1].__setitem__(4, ""), "fix needs suggested"),
    "the value there is": (lambda lines: lines[1].__setitem__(4, lines[1][3]), "was keep meant"),
    "two decisions on one label": (lambda lines: lines.insert(2, [*lines[1][:7], "keep", *lines[1][8:]]), "decides otherwise"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_lines_that_cannot_be_used_are_named(name: str, found: Audit, lines: Lines, tmp_path: Path) -> None:
    spoil, told = BAD[name]
    spoil(decided(lines, "fix", "keep"))
    path = xlsx(lines, tmp_path / "d.xlsx")
    back = read_decisions(path, found.data)
    assert len(back.problems) == 1
    sentence = str(back.problems[0])
    assert told in sentence
    line = 3 if name == "two decisions on one label" else 2
    assert sentence.startswith(f"{path}:{line}: ")


def test_every_bad_line_is_told_at_once(found: Audit, lines: Lines, tmp_path: Path) -> None:
    back = read_decisions(xlsx(decided(lines, "?", "??", "fix"), tmp_path / "d.xlsx"), found.data)
    assert [problem.line for problem in back.problems] == [2, 3]
    assert len(back.decisions) == 1


def test_a_column_sorted_alone_is_noticed(found: Audit, lines: Lines, tmp_path: Path) -> None:
    """Ids and fingerprints moved together, texts and decisions stayed: without the text nobody would see it."""
    decided(lines, *["fix"] * 12)
    ids = sorted({(line[0], line[11]) for line in lines[1:]}, reverse=True)
    for line, (name, code) in zip(lines[1:], ids, strict=False):
        line[0], line[11] = name, code
    back = read_decisions(xlsx(lines, tmp_path / "d.xlsx"), found.data)
    assert back.problems
    assert "sorted alone" in " ".join(map(str, back.problems))


def test_a_renamed_column_is_guessed_but_not_taken(found: Audit, lines: Lines, tmp_path: Path) -> None:
    lines[0][7] = "decisions made"
    with pytest.raises(
        DataError, match=r"d\.xlsx:1: there is no column 'decision'.*'decisions made'.*name it 'decision'"
    ):
        read_decisions(xlsx(lines, tmp_path / "d.xlsx"), found.data)


def test_a_file_that_is_no_list(found: Audit, tmp_path: Path) -> None:
    (tmp_path / "d.xlsx").write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(DataError, match="workbook"):
        read_decisions(tmp_path / "d.xlsx", found.data)
    with pytest.raises(DataError, match="no such file"):
        read_decisions(tmp_path / "none.xlsx", found.data)
    (tmp_path / "e.csv").write_text("id,text,label,suggested,decision,hash\n", encoding="utf-8")
    with pytest.raises(DataError, match="no line"):
        read_decisions(tmp_path / "e.csv", found.data)


def test_a_zero_that_a_spreadsheet_ate_is_explained() -> None:
    from maeum.auditing.decisions import _row

    row = Example("007", "글입니다", labels=())
    with pytest.raises(DataError, match="if '007' is meant, the spreadsheet changed the id"):
        _row({"id": "7", "hash": row_hash(row), "text": row.text}, {"007": row})


def test_ids_come_back_although_cells_are_cleaned(found: Audit, tmp_path: Path) -> None:
    """Ids as macOS spells them, or with spaces at their ends: what is read from a cell is NFC and stripped."""
    first, second = (item.row for item in found.suspects[:2])
    names = {first: unicodedata.normalize("NFD", "후기-가"), second: " 둘 "}
    rows = [dataclasses.replace(row, id=names.get(at, row.id)) for at, row in enumerate(found.data)]
    data = Dataset(found.data.task, rows)
    write_worklist(dataclasses.replace(found, data=data), tmp_path / "list.xlsx")
    lines = [list(cells) for _, cells in sheet_cells(Source(tmp_path / "list.xlsx"))]
    back = read_decisions(saved(decided(lines, "keep", "keep"), tmp_path / "d.csv"), data)
    assert back.problems == ()
    assert [item.id for item in back.decisions] == [names[first], names[second]]


def test_letters_that_cp949_does_not_know_are_no_edit(found: Audit, tmp_path: Path) -> None:
    """Excel in Korea saves a CSV in cp949 and writes ``?`` for an emoji, or two."""
    first = found.suspects[0].row
    text = "🎉 정말? 꿻뚫 늘어나요 ❤️"
    data = found.data.select(range(len(found.data)))
    rows = [dataclasses.replace(row, text=text) if at == first else row for at, row in enumerate(data)]
    data = Dataset(data.task, rows)
    write_worklist(dataclasses.replace(found, data=data), tmp_path / "list.xlsx")
    lines = [list(cells) for _, cells in sheet_cells(Source(tmp_path / "list.xlsx"))]
    path = tmp_path / "d.csv"
    sheet = "".join(
        ",".join(f'"{cell.replace("🎉", "??")}"' for cell in line) + "\r\n" for line in decided(lines, "fix")
    )
    path.write_bytes(sheet.encode("cp949", "replace"))
    assert b"??" in path.read_bytes()
    back = read_decisions(path, data)
    assert back.problems == ()
    assert [item.id for item in back.decisions] == [data[first].id]


def test_one_aspect_listed_twice_may_be_kept_and_graded_anew(tmp_path: Path) -> None:
    data = graded(reviews(40))
    found = audit(data, settings=Settings(top=40, expected_errors=0.0001))
    row = next(row for row in data if row.aspects)
    label, grade = row.aspects[0].aspect, row.aspects[0].sentiment
    other = next(key for key in data.task.sentiment_keys if key != grade)
    write_worklist(found, tmp_path / "list.xlsx")
    header = list(next(cells for _, cells in sheet_cells(Source(tmp_path / "list.xlsx"))))
    base = {"id": row.id, "text": row.text, "label": label, "given": grade, "hash": row_hash(row)}

    def read(*said: tuple[str, str]) -> tuple[list[tuple[str, str]], int]:
        lines = [{**base, "decision": word, "suggested": value} for word, value in said]
        table = [header, *([line.get(name, "") for name in header] for line in lines)]
        back = read_decisions(xlsx(table, tmp_path / "d.xlsx"), data)
        return [(item.decision, item.suggested) for item in back.decisions], len(back.problems)

    assert read(("keep", "no"), ("fix", other)) == ([("fix", other)], 0)
    assert read(("fix", other), ("keep", "no")) == ([("fix", other)], 0)
    assert read(("keep", "없음"), ("keep", other)) == ([("keep", "")], 0)
    assert read(("keep", "no"), ("keep", other), ("fix", other)) == ([("keep", "")], 1)
    assert read(("keep", other), ("fix", other)) == ([("keep", "")], 1)
    assert read(("fix", "no"), ("fix", other)) == ([("fix", "no")], 1)
    assert read(("drop", "no"), ("fix", other)) == ([("drop", "")], 1)


def test_decisions_are_not_applied_twice(found: Audit, lines: Lines, tmp_path: Path) -> None:
    path = xlsx(decided(lines, "fix"), tmp_path / "d.xlsx")
    done = apply(found.data, read_decisions(path, found.data).decisions)
    again = read_decisions(path, done.data)
    assert again.decisions == ()
    assert "has changed since the list" in str(again.problems[0])


def test_a_class_may_be_fixed_to_another_than_the_proposed_one(tmp_path: Path) -> None:
    data, _ = sides()
    found = audit(data, settings=Settings(top=3))
    set_language("ko")
    write_worklist(found, tmp_path / "list.xlsx")
    lines = decided([list(cells) for _, cells in sheet_cells(Source(tmp_path / "list.xlsx"))], "수정", "drop", "유지")
    back = read_decisions(xlsx(lines, tmp_path / "d.xlsx"), data)
    assert back.problems == ()
    done = apply(data, back.decisions)
    by_id = {example.id: example for example in done.data}
    first = found.suspects[0]
    assert by_id[data.ids[first.row]].labels == (first.suggested,)
    assert len(done.data) == len(data) - 1


def test_aspects_are_added_removed_and_graded_anew(tmp_path: Path) -> None:
    data = graded(reviews(30))
    rows = list(data)
    rows[0] = Example("a0", "허리가 늘어나요", aspects=(AspectLabel("신축성", "1", 0, 3), AspectLabel("품질", "1")))
    data = Dataset(data.task, rows)
    head = ["id", "text", "label", "given", "suggested", "decision", "hash"]
    code = row_hash(rows[0])

    def line(label: str, suggested: str) -> list[str]:
        return ["a0", rows[0].text, label, "", suggested, "fix", code]

    path = saved([head, line("신축성", "-1"), line("품질", "없음"), line("배송", "+1")], tmp_path / "d.csv")
    back = read_decisions(path, data)
    assert back.problems == ()
    fixed = apply(data, back.decisions).data[0]
    assert fixed.aspects == (AspectLabel("신축성", "-1", 0, 3), AspectLabel("배송", "1"))


def test_other_fields_of_a_row_stay(found: Audit, lines: Lines, tmp_path: Path) -> None:
    rows = [dataclasses.replace(example, meta={"mall": "A몰"}) for example in found.data]
    data = Dataset(found.data.task, rows, source="x")
    back = read_decisions(xlsx(decided(lines, "fix"), tmp_path / "d.xlsx"), data)
    done = apply(data, back.decisions, source="d.xlsx")
    log = save(done, tmp_path / "fixed.jsonl")
    written = [json.loads(text) for text in (tmp_path / "fixed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(written) == len(data)
    assert all(row["meta"] == {"mall": "A몰"} for row in written)
    assert log.name == "fixed.changes.jsonl"
    change = json.loads(log.read_text(encoding="utf-8"))
    assert (change["list"], change["line"], change["decision"]) == ("d.xlsx", 2, "fix")


def test_long_texts_line_breaks_and_formulas_survive_the_list(tmp_path: Path) -> None:
    data, _ = sides(40)
    rows = list(data)
    texts = [
        "=1+1 정말 마음에 들어요",
        "첫 줄\r\n둘째 줄 너무 실망이에요",
        "가" * 40_000 + " 마음에 들어요",
        "탭\t과 \x0b 문자 실망",
    ]
    rows[:4] = [Example(f"s{n:03d}", text, labels=("부정" if n % 2 == 0 else "긍정",)) for n, text in enumerate(texts)]
    data = Dataset(data.task, rows)
    found = audit(data, settings=Settings(top=40, expected_errors=0.0001))
    listed = {item.row for item in found.suspects}
    assert listed >= {0, 1, 2, 3}
    write_worklist(found, tmp_path / "list.xlsx")
    lines = [list(cells) for _, cells in sheet_cells(Source(tmp_path / "list.xlsx"))]
    back = read_decisions(xlsx(decided(lines, *["keep"] * len(lines)), tmp_path / "d.xlsx"), data)
    assert back.problems == ()
    assert len(back.decisions) == len(found.suspects)
