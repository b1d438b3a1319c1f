"""The file in which several people decide about an audit: nothing is lost, nothing is overwritten unseen, nothing is invented."""

from __future__ import annotations

import dataclasses
import io
import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from audit_kit import graded, reviews, sides, with_chewy_as_stretch

from maeum.auditing import Audit, Settings, apply, audit, read_decisions
from maeum.auditing.desk import Desk, Overtaken, settled
from maeum.auditing.desk_file import is_desk, make
from maeum.auditing.findings import Said, Suspect
from maeum.auditing.worklist import row_hash, value_of, write_lines
from maeum.data import Dataset
from maeum.errors import UsageError

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit(with_chewy_as_stretch(reviews(120), share=0.4)[0], settings=Settings(top=12))


@pytest.fixture
def path(found: Audit, tmp_path: Path) -> Path:
    make(tmp_path / "d.sqlite", found)
    return tmp_path / "d.sqlite"


def alone(found: Audit) -> list[int]:
    """Numbers of lines whose rows the list doubts only once."""
    rows = [item.row for item in found.suspects]
    return [at + 1 for at, row in enumerate(rows) if rows.count(row) == 1]


def doubted_twice(found: Audit) -> tuple[int, int]:
    rows = [item.row for item in found.suspects]
    row = next(row for row in rows if rows.count(row) == 2)
    first = rows.index(row)
    return first + 1, rows.index(row, first + 1) + 1


def test_it_holds_the_list_and_what_helps_to_decide(found: Audit, path: Path) -> None:
    with Desk(path) as desk:
        entries, about = desk.entries(), desk.about
        assert desk.task == found.data.task
        assert desk.rulings() == {}
    assert [entry.number for entry in entries] == list(range(1, len(found.suspects) + 1))
    for entry, item, said in zip(entries, found.suspects, found.said, strict=True):
        assert (entry.label, entry.kind, entry.given, entry.suggested) == (
            item.label,
            item.kind,
            item.given,
            item.suggested,
        )
        assert entry.example == found.data[item.row]
        assert entry.hash == row_hash(found.data[item.row])
        assert entry.said == said
        assert set(said.scores) == set(found.data.task.keys)
        assert said.words, "a linear model's words are kept"
        assert all(0 <= word.begin < word.end <= len(entry.example.text) for word in said.words)
    assert about["fingerprint"] == found.data.fingerprint
    assert [pair["words"] for pair in about["pairs"]] == [
        [word.word for word in pair.contested] for part in found.parts for pair in part.pairs
    ]


def test_the_words_speak_for_the_label_in_doubt(found: Audit) -> None:
    for item, said in zip(found.suspects, found.said, strict=True):
        text = found.data[item.row].text
        if item.label == "품질" and item.kind == "missing" and "쫀쫀" in text:
            best = max(said.words, key=lambda word: word.score)
            assert text[best.begin : best.end] in ("쫀쫀한", "느낌이에요")
            break
    else:
        pytest.fail("no row of the story is on the list")


def test_a_grade_in_doubt_comes_with_the_grades(tmp_path: Path) -> None:
    data = graded(reviews(160))
    flip = {"1": "-1", "-1": "1"}
    rows = [
        dataclasses.replace(
            e, aspects=tuple(dataclasses.replace(a, sentiment=flip[a.sentiment]) for a in e.aspects or ())
        )
        if n % 20 == 0
        else e
        for n, e in enumerate(data)
    ]
    found = audit(Dataset(data.task, rows), settings=Settings(top=40))
    grades = [(item, said) for item, said in zip(found.suspects, found.said, strict=True) if item.kind == "grade"]
    assert grades
    for item, said in grades:
        assert set(said.scores) == {"-1", "1"}
        assert said.about == item.suggested
        text = found.data[item.row].text
        best = max(said.words, key=lambda word: word.score)
        assert text[best.begin : best.end] in ("정말", "마음에", "들어요", "너무", "실망이에요")


def test_decisions_come_back_as_those_of_the_workbook_do(found: Audit, path: Path, tmp_path: Path) -> None:
    first, second, third = alone(found)[:3]
    with Desk(path) as desk:
        desk.decide(first, "fix", who="민지", seen=0, now=NOON)
        desk.decide(second, "keep", who="준호", seen=0, now=NOON)
        desk.decide(third, "drop", who="민지", seen=0, now=NOON)
        lines = desk.lines()
    assert is_desk(path)
    back = read_decisions(path, found.data)
    assert back.problems == ()
    assert back.undecided == len(found.suspects) - 3
    assert [(d.line, d.decision, d.who) for d in back.decisions] == [
        (first + 1, "fix", "민지"),
        (second + 1, "keep", "준호"),
        (third + 1, "drop", "민지"),
    ]
    assert {d.when for d in back.decisions} == {"2026-07-01T12:00:00+00:00"}
    write_lines(str(tmp_path / "d.xlsx"), lines, found.data.task)
    assert read_decisions(tmp_path / "d.xlsx", found.data).decisions == back.decisions
    done = apply(found.data, back.decisions)
    changed = {change["id"]: change for change in done.changes}
    rows = {example.id: example for example in done.data}
    item = found.suspects[first - 1]
    name = found.data.ids[item.row]
    assert value_of(rows[name], item.label, done.data.task) == item.suggested
    assert changed[name]["who"] == "민지"
    assert len(done.data) == len(found.data) - 1


def test_unsure_is_remembered_and_changes_nothing(found: Audit, path: Path) -> None:
    with Desk(path) as desk:
        desk.decide(1, "unsure", who="민지", seen=0)
        assert [ruling.word for ruling in desk.rulings().values()] == ["unsure"]
        whole = io.BytesIO()
        write_lines(whole, desk.lines(), desk.task)
    back = read_decisions(path, found.data)
    assert back.decisions == ()
    assert back.undecided == len(found.suspects)


def test_a_decision_made_meanwhile_is_not_overwritten(found: Audit, path: Path) -> None:
    number = alone(found)[0]
    with Desk(path) as here, Desk(path) as there:
        assert here.now()[1] == there.now()[1]
        here.decide(number, "fix", who="민지", seen=0, now=NOON)
        with pytest.raises(Overtaken, match="민지"):
            there.decide(number, "drop", who="준호", seen=0)
        (ruling,) = there.rulings().values()
        assert (ruling.word, ruling.who) == ("fix", "민지")
        assert there.decide(number, "drop", who="준호", seen=1) == 2
        (ruling,) = here.rulings().values()
        assert (ruling.word, ruling.who) == ("drop", "준호")


def test_a_key_pressed_twice_is_one_decision(path: Path) -> None:
    with Desk(path) as desk:
        assert desk.decide(1, "keep", who="민지", seen=0) == 1
        assert desk.decide(1, "keep", who="민지", seen=0) == 1
        with pytest.raises(Overtaken):
            desk.decide(1, "fix", who="민지", seen=0)


def test_twenty_threads_at_one_row_leave_one_decision(path: Path) -> None:
    told: list[str] = []
    start = threading.Barrier(20)

    def person(number: int) -> None:
        with Desk(path) as desk:
            start.wait()
            try:
                desk.decide(1, "keep" if number % 2 else "fix", who=f"사람{number}", seen=0)
                told.append("done")
            except Overtaken:
                told.append("refused")

    threads = [threading.Thread(target=person, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 20
    with Desk(path) as desk:
        assert len(desk.rulings()) == 1
        assert max(desk.now()[1].values()) == 1


def test_everything_can_be_taken_back_one_by_one(path: Path) -> None:
    with Desk(path) as desk:
        row = desk.entries()[0].example.id
        version = desk.decide(1, "keep", who="민지", seen=0, now=NOON)
        version = desk.decide(1, "drop", who="준호", seen=version)
        version = desk.undo(row, who="준호", seen=version)
        (ruling,) = desk.rulings().values()
        assert (ruling.word, ruling.who, ruling.at) == ("keep", "민지", "2026-07-01T12:00:00+00:00")
        with pytest.raises(Overtaken):
            desk.undo(row, who="준호", seen=1)


def test_nothing_decided_is_nothing_to_take_back(path: Path) -> None:
    with Desk(path) as desk:
        row = desk.entries()[0].example.id
        with pytest.raises(UsageError):
            desk.undo(row, who="준호", seen=0)
        assert desk.now()[1][row] == 0


def test_dropping_a_row_settles_all_its_lines_until_one_is_decided_anew(found: Audit, path: Path) -> None:
    first, second = doubted_twice(found)
    with Desk(path) as desk:
        version = desk.decide(first, "keep", who="민지", seen=0)
        version = desk.decide(second, "drop", who="민지", seen=version)
        done = settled(desk.entries(), desk.rulings())
        assert [done[first - 1].word, done[second - 1].word] == ["drop", "drop"]  # type: ignore[union-attr]
        desk.decide(first, "fix", who="민지", seen=version)
        done = settled(desk.entries(), desk.rulings())
        assert done[first - 1].word == "fix"  # type: ignore[union-attr]
        assert done[second - 1] is None
    assert read_decisions(path, found.data).undecided == len(found.suspects) - 1


def test_editing_sets_every_label_of_the_row(found: Audit, path: Path) -> None:
    first, second = doubted_twice(found)
    item = found.suspects[first - 1]
    example = found.data[item.row]
    other = next(key for key in found.data.task.keys if key not in (item.label, found.suspects[second - 1].label))
    values = {key: value_of(example, key, found.data.task) for key in found.data.task.keys}
    values[other] = "no" if values[other] == "yes" else "yes"
    with Desk(path) as desk:
        desk.edit(first, values, who="민지", seen=0)
        words = {label: ruling.word for (_, label), ruling in desk.rulings().items()}
        lines = desk.lines()
    assert words == {item.label: "keep", found.suspects[second - 1].label: "keep", other: "fix"}
    assert lines[-1][2] == other, "a label that the list does not doubt comes last"
    back = read_decisions(path, found.data)
    assert back.problems == ()
    done = apply(found.data, back.decisions)
    row = next(row for row in done.data if row.id == example.id)
    assert {key: value_of(row, key, done.data.task) for key in done.data.task.keys} == values


def test_a_row_of_one_label_gets_another(tmp_path: Path) -> None:
    data, _ = sides(80, wrong=6)
    found = audit(data, settings=Settings(top=20))
    make(tmp_path / "d.sqlite", found)
    with Desk(tmp_path / "d.sqlite") as desk:
        entry = desk.entries()[0]
        desk.edit(1, {entry.given: entry.suggested}, who="민지", seen=0)
    done = apply(data, read_decisions(tmp_path / "d.sqlite", data).decisions)
    assert next(row for row in done.data if row.id == entry.example.id).labels == (entry.suggested,)


def test_grades_are_kept_decided_and_applied(tmp_path: Path) -> None:
    data = graded(reviews(40))
    row = next(n for n, example in enumerate(data) if example.aspects)
    aspect = (data[row].aspects or ())[0]
    other = "-1" if aspect.sentiment == "1" else "1"
    missing = next(key for key in data.task.keys if all(item.aspect != key for item in data[row].aspects or ()))
    listed = (
        Suspect(row, aspect.aspect, "grade", aspect.sentiment, other, 0.9, "까닭"),
        Suspect(row, missing, "missing", "no", "", 0.5, "까닭"),
    )
    said = (Said({"-1": 0.9, "1": 0.1}, ("-1",), other, ()), Said(dict.fromkeys(data.task.keys, 0.5), (), missing, ()))
    found = Audit(data, Settings(), "linear", (), listed, 2, (), 0, (), 0, None, None, (), {}, said)
    make(tmp_path / "d.sqlite", found)
    with Desk(tmp_path / "d.sqlite") as desk:
        version = desk.decide(1, "fix", who="민지", seen=0)
        with pytest.raises(UsageError, match="edit the labels"):
            desk.decide(2, "fix", who="민지", seen=version)
        values = {key: value_of(data[row], key, data.task) for key in data.task.keys} | {
            aspect.aspect: other,
            missing: "1",
        }
        desk.edit(2, values, who="민지", seen=version)
    done = apply(data, read_decisions(tmp_path / "d.sqlite", data).decisions)
    grades = {item.aspect: item.sentiment for item in next(e for e in done.data if e.id == data[row].id).aspects or ()}
    assert grades[aspect.aspect] == other
    assert grades[missing] == "1"


@pytest.mark.parametrize(
    ("values", "who"), [({"품질": "maybe"}, "민지"), ({"없는 라벨": "yes"}, "민지"), ({"품질": "yes"}, "  ")]
)
def test_what_cannot_be_is_refused_and_nothing_is_written(values: dict[str, str], who: str, path: Path) -> None:
    with Desk(path) as desk:
        with pytest.raises(UsageError):
            desk.edit(1, values, who=who, seen=0)
        assert desk.rulings() == {}
        assert set(desk.now()[1].values()) == {0}


def test_decisions_about_rows_that_changed_are_refused_line_by_line(found: Audit, path: Path) -> None:
    with Desk(path) as desk:
        desk.decide(1, "fix", who="민지", seen=0)
    done = apply(found.data, read_decisions(path, found.data).decisions)
    back = read_decisions(path, done.data)
    assert back.decisions == ()
    assert [problem.line for problem in back.problems] == [2]
    assert "run maeum audit again" in str(back.problems[0])
    name = found.data.ids[found.suspects[0].row]
    gone = Dataset(found.data.task, [example for example in found.data if example.id != name])
    assert "no row with id" in str(read_decisions(path, gone).problems[0])


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"decisions\.sqlite"):
        Desk(tmp_path / "none.sqlite")
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(UsageError, match="is not a file of audit decisions"):
        Desk(tmp_path / "other.sqlite")
    (tmp_path / "list.csv").write_text("id,text\n", encoding="utf-8")
    assert not is_desk(tmp_path / "list.csv")


def test_what_was_decided_before_a_kill_is_there_after_it(path: Path) -> None:
    """A connection that is never closed and a transaction that never ended, as ``kill -9`` leaves them."""
    left = Desk(path)
    left.decide(1, "keep", who="민지", seen=0)
    left._file.execute("BEGIN IMMEDIATE")
    left._file.execute("DELETE FROM decision")
    copy = path.with_name("copy.sqlite")
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
    left._file.close()
    with Desk(copy) as desk:
        assert [ruling.word for ruling in desk.rulings().values()] == ["keep"]
        history = desk._file.execute("SELECT before, after FROM history").fetchall()
    assert [(json.loads(row["before"]), len(json.loads(row["after"]))) for row in history] == [([], 1)]
