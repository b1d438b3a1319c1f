"""SQLite files of ours: one writer at a time, nothing lost when a process is killed, foreign files refused."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maeum.errors import UsageError

_WAIT = 10.0
"""Seconds to wait for another window's write."""


@dataclass(frozen=True)
class Layout:
    """The tables of a kind of file."""

    application: int
    """SQLite's ``application_id``, by which a file of this kind is known."""
    version: int
    """SQLite's ``user_version``; a file of another version is refused."""
    tables: str
    """The statements that make an empty one."""
    ko: str
    en: str
    """What the file is, for messages."""


def open_file(path: str | Path, layout: Layout) -> sqlite3.Connection:
    """Open a file, or make it; transactions are begun by ``writing`` alone.

    The journal is written ahead and synced at each commit: what ``writing`` has ended survives ``kill -9`` and a power
    cut, and readers never wait. A connection belongs to the thread that opened it.

    Raises:
        UsageError: it is no SQLite file, another kind's, or of another version.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(place, timeout=_WAIT, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        with writing(connection):
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not tables and not application:
                for statement in layout.tables.split(";"):  # ``executescript`` would end the transaction
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {layout.application}")
                connection.execute(f"PRAGMA user_version = {layout.version}")
                application, version = layout.application, layout.version
        if (application, version) != (layout.application, layout.version):
            raise UsageError(
                f"'{place}'은(는) {layout.ko}이(가) 아니거나 다른 판이 쓴 것입니다. 다른 이름을 쓰세요.",
                f"'{place}' is not {layout.en}, or another version wrote it; choose another name",
            )
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise UsageError(
            f"'{place}'은(는) SQLite 파일이 아닙니다. 다른 이름을 쓰세요.",
            f"'{place}' is not a SQLite file; choose another name",
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that holds the write lock from its start, so that what it reads is still so when it writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
