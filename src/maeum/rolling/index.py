"""Day and group of every row by its id, on disk: the rows may be many, and so may the groups."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from maeum.errors import DataError
from maeum.rolling.columns import Key


class RowIndex:
    """A table of keys in a file of its own; nothing of it is kept after the run.

    Args:
        path: the file, which must not be there yet.
    """

    def __init__(self, path: Path) -> None:
        # autocommit with explicit transactions; safety is not needed, a killed run builds the table anew
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA temp_store = FILE")
        self._db.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, day INTEGER, name TEXT) WITHOUT ROWID")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        yield
        self._db.execute("COMMIT")

    def fill(self, keys: Iterable[Key]) -> None:
        """Add rows.

        Raises:
            DataError: an id occurs twice.
        """
        with self._transaction():
            for key in keys:
                try:
                    self._db.execute("INSERT INTO rows VALUES (?, ?, ?)", key)
                except sqlite3.IntegrityError as error:
                    raise DataError(f"id '{key[0]}'이(가) 두 번 나옵니다.", f"id '{key[0]}' occurs twice") from error

    def keep(self, ids: Iterable[str]) -> tuple[int, int]:
        """Drop all rows but these.

        Returns:
            How many of the ids have a row, and how many have none.

        Raises:
            DataError: an id occurs twice.
        """
        self._db.execute("CREATE TABLE kept (id TEXT PRIMARY KEY) WITHOUT ROWID")
        with self._transaction():
            for name in ids:
                try:
                    self._db.execute("INSERT INTO kept VALUES (?)", (name,))
                except sqlite3.IntegrityError as error:
                    raise DataError(f"id '{name}'이(가) 두 번 나옵니다.", f"id '{name}' occurs twice") from error
        self._db.execute("DELETE FROM rows WHERE id NOT IN (SELECT id FROM kept)")
        have = self._number("SELECT COUNT(*) FROM rows")
        return have, self._number("SELECT COUNT(*) FROM kept") - have

    def find(self, name: str) -> tuple[int | None, str | None]:
        """Day and group of a row; nothing where there is no such row."""
        found = self._db.execute("SELECT day, name FROM rows WHERE id = ?", (name,)).fetchone()
        return (None, None) if found is None else (found[0], found[1])

    def top_groups(self, most: int) -> list[str]:
        """The groups with the most rows, largest first; of equals, by name."""
        query = "SELECT name FROM rows WHERE name IS NOT NULL GROUP BY name ORDER BY COUNT(*) DESC, name LIMIT ?"
        return [name for (name,) in self._db.execute(query, (most,))]

    def groups(self) -> int:
        """How many groups there are."""
        return self._number("SELECT COUNT(DISTINCT name) FROM rows")

    def days(self) -> list[int]:
        """The days that occur, in order."""
        query = "SELECT DISTINCT day FROM rows WHERE day IS NOT NULL ORDER BY day"
        return [day for (day,) in self._db.execute(query)]

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])
