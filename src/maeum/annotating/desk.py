"""A labelling file: rows to label and what everybody answered, in SQLite, for several people at the same time.

An answer belongs to its annotator, so two people never touch one another's. Two windows of one annotator are told apart by
tokens: whoever saves says which answer was on the screen (its token, or nothing), and is refused where another has been
saved since. A save that is sent twice (a lost connection) is known by its own token and counts once.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum._sqlite import open_file, writing
from maeum.annotating.desk_answers import checked_answer
from maeum.annotating.desk_file import LAYOUT, now, row_of
from maeum.data import Example
from maeum.errors import UsageError
from maeum.task import Task

HELD_SEC = 600.0
"""How long a row that was handed out stays with its annotator, where rows are shared out."""
NAME_CHARS = 40
NOTE_CHARS = 500


@dataclass(frozen=True)
class Standing:
    """The last word of one annotator about one row."""

    annotator: str
    token: str
    saved: str
    """ISO 8601 in UTC."""
    answer: Mapping[str, Any] | None
    """``{"labels": […]}`` or ``{"aspects": [{"aspect", "sentiment"}, …]}``; None: taken back."""
    note: str


@dataclass(frozen=True)
class DeskRow:
    """A row as an annotator gets it."""

    position: int
    example: Example
    suggested: Mapping[str, Any] | None
    """What a model says, in the form of an answer."""
    own: Standing | None


@dataclass(frozen=True)
class Saved:
    """What became of a save; ``standing`` is what is in the file now."""

    kept: bool
    """False: another answer of the same annotator was saved since the one that was seen; nothing was changed."""
    standing: Standing | None


@dataclass(frozen=True)
class Progress:
    """How far one annotator is."""

    total: int
    done: int
    """Rows this annotator answered."""
    left: int
    """Rows still to come; where rows are shared out, those nobody answered."""
    others: Mapping[str, int]
    """Other annotators → rows answered."""
    shared: Mapping[str, tuple[int, int]]
    """Other annotators → rows both answered, and how many of them alike."""


def annotator_name(name: str) -> str:
    """A name as it is kept.

    Raises:
        UsageError: empty, too long, or with characters that cannot be seen.
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise UsageError(
            f"이름은 보이는 글자로 {NAME_CHARS}자까지 써 주세요.",
            f"a name is up to {NAME_CHARS} visible characters",
        )
    return name


class Desk(contextlib.AbstractContextManager["Desk"]):
    """An open labelling file; belongs to the thread that opened it, and is closed by ``with`` or ``close``.

    Raises:
        UsageError: no such file, or another kind of file.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(
                f"라벨 파일 '{path}'이(가) 없습니다. maeum annotate export로 만드세요.",
                f"there is no labelling file '{path}'; make one with maeum annotate export",
            )
        self._file = open_file(path, LAYOUT)
        about = {row["key"]: row["value"] for row in self._file.execute("SELECT * FROM about")}
        self.task = Task.from_dict(json.loads(about["task"]))
        self.share = bool(about["share"])
        """Whether every row goes to one annotator only."""
        self.model = about["model"]
        """Whose suggestions it holds; empty: none."""
        self.mark = about["mark"]
        """Tells this file from another of the same name."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._one("SELECT count(*) FROM row"))

    # -- rows -----------------------------------------------------------------------------------------------

    def upcoming(self, annotator: str, most: int) -> list[DeskRow]:
        """The next rows to answer, in order; those skipped come last.

        Where rows are shared out, these are rows that nobody answered and nobody else holds, and they are held for this
        annotator for ten minutes from now on: who takes them is decided under the write lock.
        """
        skipped = "LEFT JOIN skipped AS s ON s.position = r.position AND s.annotator = :me"
        order = "ORDER BY s.at IS NOT NULL, s.at, r.position LIMIT :most"
        words: dict[str, Any] = {"me": annotator, "most": most, "now": time.time()}
        if not self.share:
            done = "SELECT 1 FROM standing AS a WHERE a.position = r.position AND a.annotator = :me AND a.answer IS NOT NULL"
            found = self._file.execute(
                f"SELECT r.position FROM row AS r {skipped} WHERE NOT EXISTS ({done}) {order}", words
            )
            return self._rows(annotator, [row["position"] for row in found])
        free = (
            "NOT EXISTS (SELECT 1 FROM standing AS a WHERE a.position = r.position AND a.answer IS NOT NULL) AND "
            "NOT EXISTS (SELECT 1 FROM held AS h WHERE h.position = r.position AND h.annotator <> :me AND h.until > :now)"
        )
        with writing(self._file):
            found = self._file.execute(f"SELECT r.position FROM row AS r {skipped} WHERE {free} {order}", words)
            picked = [row["position"] for row in found]
            until = words["now"] + HELD_SEC
            self._file.executemany("REPLACE INTO held VALUES (?, ?, ?)", [(at, annotator, until) for at in picked])
        return self._rows(annotator, picked)

    def recent(self, annotator: str, most: int) -> list[DeskRow]:
        """The rows this annotator answered last, the latest at the end."""
        found = self._file.execute(
            "SELECT position FROM standing WHERE annotator = ? AND answer IS NOT NULL ORDER BY saved DESC, position DESC LIMIT ?",
            (annotator, most),
        )
        return self._rows(annotator, [row["position"] for row in found][::-1])

    def row(self, annotator: str, position: int) -> DeskRow:
        """One row.

        Raises:
            UsageError: there is none.
        """
        return self._rows(annotator, [position])[0]

    def others(self, annotator: str, position: int) -> list[Standing]:
        """What the others say of a row."""
        found = self._file.execute(
            "SELECT * FROM standing WHERE position = ? AND annotator <> ? AND answer IS NOT NULL ORDER BY annotator",
            (position, annotator),
        )
        return [_standing(row) for row in found]

    def everything(self) -> Iterator[tuple[int, Example, Standing]]:
        """Every answer that stands, by row and annotator, as of one moment."""
        self._file.execute("BEGIN")
        try:
            for row in self._file.execute(
                "SELECT * FROM standing JOIN row USING (position) WHERE answer IS NOT NULL ORDER BY position, annotator"
            ):
                yield row["position"], row_of(row["data"]), _standing(row)
        finally:
            self._file.rollback()

    def examples(self) -> list[Example]:
        """All rows, as they were given."""
        return [row_of(row["data"]) for row in self._file.execute("SELECT data FROM row ORDER BY position")]

    def progress(self, annotator: str) -> Progress:
        """How far one annotator is, and how the others answered what both did."""
        counted = self._file.execute(
            "SELECT annotator, count(*) AS n FROM standing WHERE answer IS NOT NULL GROUP BY annotator"
        )
        done = {row["annotator"]: row["n"] for row in counted}
        alike = self._file.execute(
            "SELECT o.annotator AS who, count(*) AS n, sum(o.answer = m.answer) AS alike FROM standing AS m "
            "JOIN standing AS o ON o.position = m.position AND o.annotator <> m.annotator "
            "WHERE m.annotator = ? AND m.answer IS NOT NULL AND o.answer IS NOT NULL GROUP BY o.annotator",
            (annotator,),
        )
        shared = {row["who"]: (row["n"], row["alike"]) for row in alike}
        total, own = len(self), done.pop(annotator, 0)
        if self.share:
            own_or_others = self._one("SELECT count(DISTINCT position) FROM standing WHERE answer IS NOT NULL")
            return Progress(total, own, total - own_or_others, done, shared)
        return Progress(total, own, total - own, done, shared)

    # -- answers --------------------------------------------------------------------------------------------

    def save(
        self, annotator: str, position: int, answer: Mapping[str, Any] | None, *, seen: str, token: str, note: str = ""
    ) -> Saved:
        """Keep an answer, or take one's own back (None); on disk when this returns.

        Args:
            seen: token of one's own answer that was on the screen; empty where there was none.
            token: of this save, made by whoever sends it; the same again counts once.

        Raises:
            UsageError: no such row, an answer that the task cannot have, or a token that is somebody else's.
        """
        said = None if answer is None else checked_answer(self.task, answer)
        note = " ".join(note.split())[:NOTE_CHARS]
        with writing(self._file):
            row = self._rows(annotator, [position])[0]
            before = self._file.execute("SELECT * FROM history WHERE token = ?", (token,)).fetchone()
            if before is not None:
                if (before["position"], before["annotator"]) != (position, annotator):
                    raise UsageError("이 저장은 다른 행의 것입니다.", "this save is another row's")
                return Saved(True, row.own)
            if (row.own.token if row.own else "") != seen:
                return Saved(False, row.own)
            saved = max(now(), row.own.saved) if row.own else now()  # a clock that was set back reorders nothing
            values = (token, position, annotator, saved, said, note)
            names = "(token, position, annotator, saved, answer, note)"
            self._file.execute(f"INSERT INTO history {names} VALUES (?, ?, ?, ?, ?, ?)", values)
            self._file.execute(f"REPLACE INTO standing {names} VALUES (?, ?, ?, ?, ?, ?)", values)
            for table in ("skipped", "held"):
                self._file.execute(f"DELETE FROM {table} WHERE position = ? AND annotator = ?", (position, annotator))
        kept = None if said is None else json.loads(said)
        return Saved(True, Standing(annotator, token, saved, kept, note))

    def skip(self, annotator: str, position: int, *, token: str) -> None:
        """Put a row off: it comes again after all others, and where rows are shared out somebody else may have it.

        Args:
            token: of this request; the same again counts once.

        Raises:
            UsageError: there is no such row.
        """
        with writing(self._file):
            self._rows(annotator, [position])
            known = self._file.execute("SELECT 1 FROM skipped WHERE token = ?", (token,)).fetchone()
            if known is None:
                now = time.time()
                self._file.execute("REPLACE INTO skipped VALUES (?, ?, ?, ?)", (position, annotator, now, token))
                self._file.execute("DELETE FROM held WHERE position = ? AND annotator = ?", (position, annotator))

    # -- inside ---------------------------------------------------------------------------------------------

    def _rows(self, annotator: str, positions: Sequence[int]) -> list[DeskRow]:
        found = []
        for position in positions:
            row = self._file.execute("SELECT * FROM row WHERE position = ?", (position,)).fetchone()
            if row is None:
                raise UsageError(f"행 {position}은(는) 이 파일에 없습니다.", f"there is no row {position} in this file")
            own = self._file.execute(
                "SELECT * FROM standing WHERE position = ? AND annotator = ?", (position, annotator)
            ).fetchone()
            suggested = row["suggested"] and json.loads(row["suggested"])
            found.append(DeskRow(position, row_of(row["data"]), suggested, own and _standing(own)))
        return found

    def _one(self, query: str) -> int:
        return int(self._file.execute(query).fetchone()[0])


def _standing(row: sqlite3.Row) -> Standing:
    answer = None if row["answer"] is None else json.loads(row["answer"])
    return Standing(row["annotator"], row["token"], row["saved"], answer, row["note"])
