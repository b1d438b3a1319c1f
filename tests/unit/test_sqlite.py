"""SQLite files: made once, known again, foreign ones refused, half-done writes undone."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from maeum._sqlite import Layout, open_file, writing
from maeum.errors import UsageError

NOTES = Layout(
    0x6D61_0001,
    1,
    "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL); CREATE INDEX by_text ON note (text)",
    "쪽지 파일",
    "a file of notes",
)


def texts(path: Path) -> list[str]:
    with contextlib.closing(open_file(path, NOTES)) as file:
        return [row["text"] for row in file.execute("SELECT text FROM note ORDER BY id")]


def test_what_a_transaction_wrote_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "notes.sqlite"
    with contextlib.closing(open_file(path, NOTES)) as file, writing(file):
        file.execute("INSERT INTO note (text) VALUES ('하나')")
    assert texts(path) == ["하나"]


def test_a_transaction_that_fails_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    twice = "INSERT INTO note (id, text) VALUES (1, ?)"
    with contextlib.closing(open_file(path, NOTES)) as file, pytest.raises(sqlite3.IntegrityError), writing(file):
        file.executemany(twice, [("하나",), ("또 하나",)])
    assert texts(path) == []


def test_a_second_writer_waits_its_turn_and_is_told_when_it_does_not_come(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    with contextlib.closing(open_file(path, NOTES)) as one, contextlib.closing(open_file(path, NOTES)) as two:
        two.execute("PRAGMA busy_timeout = 50")
        with writing(one), pytest.raises(sqlite3.OperationalError, match="locked"), writing(two):
            pass
        with writing(two):
            two.execute("INSERT INTO note (text) VALUES ('둘')")
    assert texts(path) == ["둘"]


@pytest.mark.parametrize(
    "other", [Layout(7, 1, NOTES.tables, "", ""), Layout(NOTES.application, 2, NOTES.tables, "", "")]
)
def test_another_kind_or_version_is_refused(tmp_path: Path, other: Layout) -> None:
    path = tmp_path / "notes.sqlite"
    open_file(path, other).close()
    with pytest.raises(UsageError, match=r"not a file of notes|쪽지 파일"):
        open_file(path, NOTES)


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE other (a)")
        theirs.commit()
    before = path.read_bytes()
    with pytest.raises(UsageError):
        open_file(path, NOTES)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("그냥 글입니다. " * 200, encoding="utf-8")
    with pytest.raises(UsageError, match=r"SQLite"):
        open_file(path, NOTES)
    assert path.read_text(encoding="utf-8") == "그냥 글입니다. " * 200
