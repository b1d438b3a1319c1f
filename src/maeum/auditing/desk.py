"""The work list as a SQLite file in which several people decide, one decision at a time, with what they need to see.

A decision is kept by (row, label), as in the workbook, and every row has a version: whoever decides says which version of
the row they saw, and is refused if another decision came between. What a row's decisions were before and after each change
is kept, so a decision can be taken back.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from maeum._files import canonical_json
from maeum._sqlite import open_file, writing
from maeum.auditing.desk_file import DESK, LAYOUT, Entry, Ruling, Word, allowed, example_of, said_of, stamp
from maeum.auditing.worklist import Line, line, value_of
from maeum.data import Example
from maeum.errors import UsageError
from maeum.task import Task


class Overtaken(UsageError):
    """Somebody decided about the row after it was shown; nothing was written."""


class Desk:
    """An open file; of one thread, like its connection.

    Raises:
        UsageError: there is no such file, or it is no file of decisions.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise UsageError(
                f"'{path}'이(가) 없습니다. maeum audit이 쓴 폴더의 {DESK}를 주세요.",
                f"there is no '{path}'; give the {DESK} of a folder that maeum audit wrote",
            )
        self._file = open_file(path, LAYOUT)

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def about(self) -> Mapping[str, Any]:
        """What was audited: ``task``, ``source``, ``rows``, ``fingerprint``, ``model``, ``made``, ``pairs``."""
        return {row["name"]: json.loads(row["value"]) for row in self._file.execute("SELECT name, value FROM about")}

    @property
    def task(self) -> Task:
        """The task of the labels."""
        return Task.from_dict(self.about["task"])

    def entries(self) -> tuple[Entry, ...]:
        """All lines in their order; they never change."""
        examples = {
            row["id"]: (example_of(json.loads(row["example"])), row["hash"])
            for row in self._file.execute("SELECT * FROM row")
        }
        return tuple(
            Entry(
                row["number"],
                *examples[row["row"]],
                row["label"],
                row["kind"],
                row["given"],
                row["suggested"],
                row["score"],
                row["reason"],
                said_of(row["said"]),
            )
            for row in self._file.execute("SELECT * FROM entry ORDER BY number")
        )

    def rulings(self) -> dict[tuple[str, str], Ruling]:
        """(row, label) → what was decided."""
        return {(row["row"], row["label"]): Ruling(**row) for row in self._rulings()}

    def now(self) -> tuple[dict[tuple[str, str], Ruling], dict[str, int]]:
        """What was decided, and row → its version, both of one moment."""
        self._file.execute("BEGIN")
        try:
            return self.rulings(), {
                row["id"]: row["version"] for row in self._file.execute("SELECT id, version FROM row")
            }
        finally:
            self._file.execute("COMMIT")

    # -- deciding ---------------------------------------------------------------------------------------------

    def decide(self, number: int, word: Word, *, who: str, seen: int, now: datetime | None = None) -> int:
        """Keep what line ``number`` has, take what it suggests, drop its row, or leave it open; the row's new version.

        A row is either dropped as a whole or decided label by label: dropping it replaces what was decided about its
        labels, and deciding about a label takes a drop back.

        Args:
            seen: version of the row that was shown.

        Raises:
            Overtaken: the row has another version by now.
            UsageError: nobody's name, no such line, or ``fix`` where nothing is suggested.
        """
        if word not in get_args(Word):
            raise UsageError(f"결정은 {', '.join(get_args(Word))} 가운데 하나입니다.", f"no such decision: {word}")
        entry = self._entry(number)
        if word == "fix" and not entry["suggested"]:
            raise UsageError(
                "제안하는 값이 없는 항목입니다. 라벨을 직접 고치세요.",
                "nothing is suggested here; edit the labels instead",
            )
        value = entry["suggested"] if word == "fix" else ""
        return self._settle(entry, {entry["label"]: (word, value)}, who, seen, now, whole=word == "drop")

    def edit(self, number: int, values: Mapping[str, str], *, who: str, seen: int, now: datetime | None = None) -> int:
        """Say what the row of line ``number`` shall have; the row's new version.

        Args:
            values: of a multiclass task ``{the label given: the label it shall have}``; of others every label, with
                ``yes`` or ``no``, or a grade or ``no``. Labels that stay are kept where the list doubts them.

        Raises:
            Overtaken, UsageError: as of ``decide``; or a value that its label cannot have.
        """
        entry, task = self._entry(number), self.task
        example = self._example(entry["row"])
        doubted = {row["label"] for row in self._file.execute("SELECT label FROM entry WHERE row = ?", (entry["row"],))}
        decided: dict[str, tuple[Word, str]] = {}
        for label, value in values.items():
            if label not in task.keys or value not in allowed(task):
                raise UsageError(
                    f"'{label}'의 값으로 '{value}'은(는) 쓸 수 없습니다.", f"'{label}' cannot be '{value}'"
                )
            if value != value_of(example, label, task):
                decided[label] = ("fix", value)
            elif label in doubted:
                decided[label] = ("keep", "")
        return self._settle(entry, decided, who, seen, now, whole=True)

    def undo(self, row: str, *, who: str, seen: int, now: datetime | None = None) -> int:
        """Put a row's decisions back to what they were before the last change; the row's new version.

        Raises:
            Overtaken: the row has another version by now.
            UsageError: nothing was decided about it.
        """
        with writing(self._file):
            self._check(row, seen, who)
            last = self._file.execute(
                "SELECT before FROM history WHERE row = ? AND version = ?", (row, seen)
            ).fetchone()
            if last is None:
                raise UsageError("되돌릴 결정이 없습니다.", "there is no decision to take back")
            return self._write(row, json.loads(last["before"]), who, now)

    # -- what was decided, for others ---------------------------------------------------------------------------

    def lines(self) -> list[Line]:
        """The list with the decisions in it, as the workbook has it; labels that the list does not doubt come last."""
        rulings, task = self.rulings(), self.task
        found, entries = [], self.entries()
        for entry in entries:
            ruling = rulings.pop((entry.example.id, entry.label), None)
            found.append(_line(entry, entry.label, entry.given, entry.score, entry.reason, ruling, entry.suggested))
        for ruling in rulings.values():
            entry = entries[ruling.entry - 1]
            given = value_of(entry.example, ruling.label, task)
            found.append(_line(entry, ruling.label, given, None, "", ruling, ""))
        return found

    # -- inside -----------------------------------------------------------------------------------------------

    def _entry(self, number: int) -> sqlite3.Row:
        entry: sqlite3.Row | None = self._file.execute("SELECT * FROM entry WHERE number = ?", (number,)).fetchone()
        if entry is None:
            raise UsageError(f"{number}번 항목은 목록에 없습니다.", f"the list has no line {number}")
        return entry

    def _example(self, row: str) -> Example:
        return example_of(json.loads(self._file.execute("SELECT example FROM row WHERE id = ?", (row,)).fetchone()[0]))

    def _rulings(self, row: str | None = None) -> list[dict[str, Any]]:
        where = "" if row is None else " WHERE row = ?"
        asked = f"SELECT row, label, entry, word, value, who, at FROM decision{where} ORDER BY entry, label"
        return [dict(found) for found in self._file.execute(asked, () if row is None else (row,))]

    def _check(self, row: str, seen: int, who: str) -> None:
        if not who.strip():
            raise UsageError("누가 정하는지 이름을 쓰세요.", "say who decides")
        version = self._file.execute("SELECT version FROM row WHERE id = ?", (row,)).fetchone()["version"]
        if version == seen:
            return
        last = self._file.execute(
            "SELECT who, at FROM history WHERE row = ? AND version = ?", (row, version)
        ).fetchone()
        raise Overtaken(
            f"보여 드린 뒤에 {last['who']} 님이 이 행을 정해서 아무것도 쓰지 않았습니다. 지금 결정을 보고 다시 정하세요.",
            f"{last['who']} decided about this row after it was shown, so nothing was written; look at it and decide again",
        )

    def _settle(
        self, entry: sqlite3.Row, decided: Mapping[str, tuple[Word, str]], who: str, seen: int, now: datetime | None, *,
        whole: bool,
    ) -> int:  # fmt: skip
        """Write decisions about one row; ``whole``: they replace all that it has."""
        row = entry["row"]
        at = stamp(now)
        made = [
            {
                "row": row,
                "label": label,
                "entry": entry["number"],
                "word": word,
                "value": value,
                "who": who.strip(),
                "at": at,
            }
            for label, (word, value) in decided.items()
        ]
        with writing(self._file):
            before = self._rulings(row)
            stays = [] if whole else [old for old in before if old["label"] not in decided and old["word"] != "drop"]
            if _plain(before) == _plain([*stays, *made]):
                # a key that was pressed twice: there is nothing to say, whoever was first
                return int(self._file.execute("SELECT version FROM row WHERE id = ?", (row,)).fetchone()["version"])
            self._check(row, seen, who)
            return self._write(row, [*stays, *made], who, now)

    def _write(self, row: str, decisions: Sequence[Mapping[str, Any]], who: str, now: datetime | None) -> int:
        before = self._rulings(row)
        self._file.execute("DELETE FROM decision WHERE row = ?", (row,))
        self._file.executemany(
            "INSERT INTO decision VALUES (:row, :label, :entry, :word, :value, :who, :at)", list(map(dict, decisions))
        )
        self._file.execute("UPDATE row SET version = version + 1 WHERE id = ?", (row,))
        (version,) = self._file.execute("SELECT version FROM row WHERE id = ?", (row,)).fetchone()
        self._file.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)",
            (row, version, who.strip(), stamp(now), canonical_json(before), canonical_json(list(decisions))),
        )
        return int(version)


def settled(entries: Sequence[Entry], rulings: Mapping[tuple[str, str], Ruling]) -> list[Ruling | None]:
    """What was decided about each line: its own decision, or the drop of its row."""
    drops = {row: ruling for (row, _), ruling in rulings.items() if ruling.word == "drop"}
    return [rulings.get((e.example.id, e.label)) or drops.get(e.example.id) for e in entries]


def _line(
    entry: Entry, label: str, given: str, score: float | None, reason: str, ruling: Ruling | None, suggested: str
) -> Line:
    if ruling is None:
        return line(entry.example, entry.hash, label, given, suggested, score, reason)
    unsure = ruling.word == "unsure"
    return line(
        entry.example,
        entry.hash,
        label,
        given,
        ruling.value or suggested,
        score,
        reason,
        decision="" if unsure else ruling.word,
        who=ruling.who,
        when=ruling.at,
        note=ruling.word if unsure else "",
    )


def _plain(decisions: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    """Decisions without who and when."""
    return {tuple(item[name] for name in ("row", "label", "word", "value")) for item in decisions}
