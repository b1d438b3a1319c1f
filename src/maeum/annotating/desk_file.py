"""The file that is labelled in: its tables, making one, telling one from other files."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maeum._sqlite import Layout, open_file, writing
from maeum.annotating.desk_answers import checked_answer
from maeum.data import Example, Target
from maeum.errors import UsageError
from maeum.task import Task

LAYOUT = Layout(
    0x6D61_6C62,
    1,
    """CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE row (position INTEGER PRIMARY KEY, data TEXT NOT NULL, suggested TEXT);
CREATE TABLE standing (position INTEGER NOT NULL REFERENCES row, annotator TEXT NOT NULL, token TEXT NOT NULL,
  saved TEXT NOT NULL, answer TEXT, note TEXT NOT NULL, PRIMARY KEY (position, annotator)) WITHOUT ROWID;
CREATE INDEX by_annotator ON standing (annotator, saved);
CREATE TABLE history (token TEXT PRIMARY KEY, position INTEGER NOT NULL REFERENCES row, annotator TEXT NOT NULL,
  saved TEXT NOT NULL, answer TEXT, note TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE skipped (position INTEGER NOT NULL REFERENCES row, annotator TEXT NOT NULL, at REAL NOT NULL,
  token TEXT NOT NULL, PRIMARY KEY (position, annotator)) WITHOUT ROWID;
CREATE TABLE held (position INTEGER PRIMARY KEY REFERENCES row, annotator TEXT NOT NULL, until REAL NOT NULL)""",
    "라벨 파일",
    "a labelling file",
)


def create_desk(
    path: Path,
    task: Task,
    rows: Sequence[Example],
    *,
    suggested: Sequence[Mapping[str, Any]] | None = None,
    model: str = "",
    share: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a labelling file; it appears when it is whole.

    Args:
        suggested: what a model says of each row, in the form of an answer.
        share: hand every row to one annotator only; otherwise everybody labels all.

    Raises:
        UsageError: the file exists (with ``overwrite``: and holds answers, or is something else).
    """
    from maeum.formats.tables_out import atomic_path

    _refuse(path, overwrite=overwrite)
    about = {
        "task": json.dumps(task.to_dict()),
        "share": "1" if share else "",
        "model": model,
        "mark": secrets.token_hex(8),
        "made": now(),
    }
    with atomic_path(path) as temporary:
        with contextlib.closing(open_file(temporary, LAYOUT)) as file, writing(file):
            file.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            for position, row in enumerate(rows):
                said = None if suggested is None else checked_answer(task, suggested[position])
                file.execute("INSERT INTO row VALUES (?, ?, ?)", (position, _row_json(row), said))
        for rest in ("-wal", "-shm"):  # of the file that is replaced: it would be read into the new one
            path.with_name(path.name + rest).unlink(missing_ok=True)


def is_desk(path: Path) -> bool:
    """Whether a file is a labelling file of this version, told by its head alone."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(72)
        numbers = tuple(int.from_bytes(head[at : at + 4], "big") for at in (68, 60))
        return head.startswith(b"SQLite format 3\0") and numbers == (LAYOUT.application, LAYOUT.version)
    return False


def _row_json(row: Example) -> str:
    target = row.target and row.target.to_dict()
    meta = {key: value for key, value in row.meta.items() if key != "annotations"}
    # in ASCII: a text may hold half a surrogate pair, which SQLite cannot
    return json.dumps({"id": row.id, "text": row.text, "target": target, "meta": meta}, default=str)


def row_of(data: str) -> Example:
    """A row as it was given, without labels."""
    row = json.loads(data)
    return Example(row["id"], row["text"], row["target"] and Target(**row["target"]), meta=row["meta"])


def now() -> str:
    """This moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _refuse(path: Path, *, overwrite: bool) -> None:
    """Answers are never overwritten, not even where the user says so: they are people's work."""
    if not path.exists():
        return
    if not overwrite:
        raise UsageError(
            f"'{path}'이(가) 이미 있습니다. 다른 이름을 쓰거나 --overwrite를 붙이세요.",
            f"'{path}' already exists; choose another name or add --overwrite",
        )
    with contextlib.closing(open_file(path, LAYOUT)) as file:
        (answers,) = file.execute("SELECT count(*) FROM history").fetchone()
    if answers:
        raise UsageError(
            f"'{path}'에 라벨이 {answers}개 들어 있어 덮어쓰지 않습니다. 직접 지우거나 다른 이름을 쓰세요.",
            f"'{path}' holds {answers} answers, so it is not overwritten; remove it yourself or choose another name",
        )
