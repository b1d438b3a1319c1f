"""The SQLite file of an audit's list: its tables, how it is made, and its lines as plain values."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from maeum._files import canonical_json
from maeum._sqlite import Layout, open_file, writing
from maeum.auditing.findings import ABSENT, PRESENT, Audit, Kind, Mark, Said
from maeum.auditing.worklist import row_hash
from maeum.data import AspectLabel, Example, Target
from maeum.task import Task

DESK = "decisions.sqlite"
"""Its name in the folder of an audit."""
Word = Literal["keep", "fix", "drop", "unsure"]
"""What can be decided; ``unsure`` is remembered and changes nothing."""
LAYOUT = Layout(
    0x6D61_7564,
    1,
    """
    CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE row (id TEXT PRIMARY KEY, example TEXT NOT NULL, hash TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE entry (
        number INTEGER PRIMARY KEY, row TEXT NOT NULL REFERENCES row, label TEXT NOT NULL, kind TEXT NOT NULL,
        given TEXT NOT NULL, suggested TEXT NOT NULL, score REAL NOT NULL, reason TEXT NOT NULL, said TEXT
    );
    CREATE TABLE decision (
        row TEXT NOT NULL REFERENCES row, label TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entry,
        word TEXT NOT NULL, value TEXT NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (row, label)
    );
    CREATE TABLE history (
        row TEXT NOT NULL REFERENCES row, version INTEGER NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL,
        before TEXT NOT NULL, after TEXT NOT NULL, PRIMARY KEY (row, version)
    )
    """,
    "라벨 점검의 결정 파일",
    "a file of audit decisions",
)


@dataclass(frozen=True)
class Entry:
    """A line of the list."""

    number: int
    """From 1; in the workbook it stands on the line after."""
    example: Example
    hash: str
    label: str
    kind: Kind
    given: str
    suggested: str
    score: float
    reason: str
    said: Said | None


@dataclass(frozen=True)
class Ruling:
    """What was decided about one (row, label)."""

    row: str
    label: str
    entry: int
    """The line it was decided on."""
    word: Word
    value: str
    """The value that ``fix`` sets; empty for the others."""
    who: str
    at: str
    """ISO 8601 in UTC."""


def make(path: Path, audit: Audit) -> None:
    """Write an audit's list as a new file in which nothing is decided."""
    data = audit.data
    about = {
        "task": data.task.to_dict(),
        "source": data.source,
        "rows": len(data),
        "fingerprint": data.fingerprint,
        "model": audit.model,
        "made": stamp(None),
        "pairs": [
            {
                "labels": [part.task.keys[pair.first], part.task.keys[pair.second]],
                "words": [w.word for w in pair.contested],
            }
            for part in audit.parts
            if part.name != "sentiment"
            for pair in part.pairs
        ],
    }
    listed = dict.fromkeys(item.row for item in audit.suspects)
    with contextlib.closing(open_file(path, LAYOUT)) as file, writing(file):
        file.executemany(
            "INSERT INTO about VALUES (?, ?)", [(name, canonical_json(value)) for name, value in about.items()]
        )
        file.executemany(
            "INSERT INTO row (id, example, hash) VALUES (?, ?, ?)",
            [(data[row].id, canonical_json(_plain_row(data[row])), row_hash(data[row])) for row in listed],
        )
        file.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _entries(audit))


def is_desk(path: str | Path) -> bool:
    """Whether a file is a SQLite file, whatever it is called."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
    return False


def allowed(task: Task) -> tuple[str, ...]:
    """The values that a label of a row may have."""
    if task.kind == "multiclass":
        return task.keys
    return (*task.sentiment_keys, ABSENT) if task.kind == "aspect" else (PRESENT, ABSENT)


def _entries(audit: Audit) -> Iterator[tuple[Any, ...]]:
    for place, item in enumerate(audit.suspects):
        said = canonical_json(asdict(audit.said[place])) if audit.said else None
        value = (item.label, item.kind, item.given, item.suggested, item.score, item.reason)
        yield (place + 1, audit.data[item.row].id, *value, said)


def stamp(now: datetime | None) -> str:
    """A moment, by default this one, as the file keeps it."""
    return (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")


def _plain_row(example: Example) -> dict[str, Any]:
    row = example.to_dict()
    row.pop("meta", None)
    return row


def example_of(row: Mapping[str, Any]) -> Example:
    """A row as the file keeps it."""
    aspects = row.get("aspects")
    return Example(
        row["id"],
        row["text"],
        target=None if row["target"] is None else Target(**row["target"]),
        labels=None if row.get("labels") is None else tuple(row["labels"]),
        aspects=None if aspects is None else tuple(AspectLabel(**item) for item in aspects),
        aspect=row.get("aspect"),
    )


def said_of(text: str | None) -> Said | None:
    """What the model said, as the file keeps it."""
    if text is None:
        return None
    data = json.loads(text)
    words = tuple(Mark(**mark) for mark in data["words"])
    return Said(data["scores"], tuple(data["decided"]), data["about"], words)
