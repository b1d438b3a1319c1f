"""A work list read back: as Excel saved it, or as the CSV somebody made of it.

What people do to lists is expected: other column names, spaces, lines deleted or sorted, Korean words, cp949. What can
be meant in one way only is understood; everything else is a problem of its line, and all of them are told at once.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maeum.auditing.desk import Desk, settled
from maeum.auditing.desk_file import is_desk
from maeum.auditing.findings import ABSENT, PRESENT
from maeum.auditing.worklist import COLUMNS, SHOWN, row_hash, shown_text, value_of
from maeum.data import Dataset, Example
from maeum.errors import DataError, TaskMismatch
from maeum.formats.lines import Source
from maeum.formats.options import ReadOptions
from maeum.formats.tables import table_rows
from maeum.task import Task

NEEDED = ("id", "text", "label", "suggested", "decision", "hash")
_ALIASES = {
    "아이디": "id", "번호": "id", "글": "text", "본문": "text", "텍스트": "text", "라벨": "label", "지금": "given",
    "제안": "suggested", "점수": "score", "까닭": "reason", "이유": "reason", "결정": "decision", "판정": "decision",
    "누가": "who", "담당": "who", "작업자": "who", "언제": "when", "날짜": "when", "메모": "note", "비고": "note",
    "지문": "hash",
}  # fmt: skip
_DECISIONS = {
    "keep": "keep", "유지": "keep", "그대로": "keep", "k": "keep",
    "fix": "fix", "수정": "fix", "고침": "fix", "변경": "fix", "f": "fix",
    "drop": "drop", "삭제": "drop", "제외": "drop", "버림": "drop", "d": "drop",
}  # fmt: skip
_VALUES = {"있음": PRESENT, "yes": PRESENT, "o": PRESENT, "없음": ABSENT, "no": ABSENT, "x": ABSENT}
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f]|_x[0-9A-Fa-f]{4}_")


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about one (row, label)."""

    line: int
    """Line of the list, the header being 1."""
    id: str
    label: str
    decision: str
    """``keep``, ``fix`` or ``drop``."""
    given: str
    """The value now: ``yes``, ``no``, a label or a grade."""
    suggested: str
    """The value that ``fix`` sets; empty for the others."""
    who: str = ""
    when: str = ""
    note: str = ""


@dataclass(frozen=True)
class ReadBack:
    """A list as it was read."""

    decisions: tuple[Decision, ...]
    problems: tuple[DataError, ...]
    """One for each line that cannot be used, with its place."""
    undecided: int
    """Lines without a decision."""


def read_decisions(path: str | Path, data: Dataset, *, encoding: str | None = None) -> ReadBack:
    """Read a list of decisions about the rows of a data set: a workbook, a CSV, or the SQLite file of the audit page.

    Raises:
        DataError: the file cannot be read, or a column is missing.
        UsageError: another SQLite file.
    """
    if is_desk(path):
        return _from_desk(path, data)
    source = Source(Path(path), ReadOptions(encoding=encoding))
    by_id = _by_id(data)
    found: dict[tuple[str, str], Decision] = {}
    refused: dict[tuple[str, str], set[str]] = {}
    problems: list[DataError] = []
    undecided = 0
    columns: dict[str, str] | None = None
    for row in table_rows(source):
        if row.error is not None:
            problems.append(row.error.at(path, row.line))
            continue
        if columns is None:
            columns = _columns(list(row.value), path)
        cells = {name: _clean(row.value.get(theirs, "")) for name, theirs in columns.items()}
        if not cells["decision"]:
            undecided += 1
            continue
        try:
            decision = _decision(row.line, cells, by_id, data.task)
            key = (decision.id, decision.label)
            found[key] = _merged(found.get(key), decision, refused.setdefault(key, set()), cells["suggested"])
        except DataError as error:
            problems.append(error.at(path, row.line))
    if columns is None:
        raise DataError(
            "결정이 한 줄도 없습니다. maeum audit이 쓴 worklist.xlsx인지 보세요.",
            "there is no line; is this the worklist.xlsx that maeum audit wrote?",
            path=path,
        )
    return ReadBack(tuple(found.values()), tuple(problems), undecided)


def _merged(before: Decision | None, now: Decision, refused: set[str], proposed: str) -> Decision:
    """The decision of two lines about one row and label.

    An aspect may be listed twice, as not said at all and as said with another grade: to keep the one proposal from
    being made and to fix the other is no contradiction.

    Args:
        refused: values that were kept from being set; filled in.
        proposed: what this line proposes.

    Raises:
        DataError: the lines decide otherwise.
    """
    if now.decision == "keep":
        refused.add(_VALUES.get(proposed.casefold(), proposed))
    if before is None or before == _at(now, before.line):
        return before or now
    fix, keep = (now, before) if now.decision == "fix" else (before, now)
    if (fix.decision, keep.decision) == ("fix", "keep") and fix.suggested not in refused:
        return fix
    raise DataError(
        f"{before.line}번째 줄에도 같은 행과 라벨의 다른 결정이 있습니다. 하나만 남기세요.",
        f"line {before.line} decides otherwise about the same row and label; leave one of them",
    )


def _from_desk(path: str | Path, data: Dataset) -> ReadBack:
    """The same of a SQLite file; its lines count as those of the workbook that was written with it."""
    with Desk(path) as desk:
        entries, rulings = desk.entries(), desk.rulings()
    by_id = _by_id(data)
    found: list[Decision] = []
    problems: list[DataError] = []
    for ruling in rulings.values():
        if ruling.word == "unsure":
            continue
        entry = entries[ruling.entry - 1]
        cells = {"id": ruling.row, "text": shown_text(entry.example), "label": ruling.label, "hash": entry.hash}
        cells |= {"decision": ruling.word, "suggested": ruling.value, "who": ruling.who, "when": ruling.at}
        try:
            found.append(_decision(entry.number + 1, cells, by_id, data.task))
        except DataError as error:
            problems.append(error.at(path, entry.number + 1))
    done = settled(entries, rulings)
    return ReadBack(tuple(found), tuple(problems), sum(item is None or item.word == "unsure" for item in done))


def _columns(header: Sequence[str], path: str | Path) -> dict[str, str]:
    """Our name → the name in the file.

    Raises:
        DataError: a needed column is missing, with the column that was probably renamed.
    """
    found: dict[str, str] = {}
    for theirs in header:
        plain = re.sub(r"[\s_\-*:()]+", "", _clean(theirs)).casefold()
        name = _ALIASES.get(plain, plain)
        if name in COLUMNS and name not in found:
            found[name] = theirs
    missing = [name for name in NEEDED if name not in found]
    if missing:
        others = [name for name in header if name and name not in found.values()]
        close = difflib.get_close_matches(missing[0], others, n=1, cutoff=0.5)
        near = close or others[:1]
        hint_ko = f" '{near[0]}' 열의 이름을 바꾸셨다면 '{missing[0]}'(으)로 되돌리세요." if near else ""
        hint_en = f" if '{near[0]}' is that column renamed, name it '{missing[0]}' again" if near else ""
        shown = ", ".join(header)
        raise DataError(
            f"'{', '.join(missing)}' 열이 없습니다. 있는 열: {shown}.{hint_ko}",
            f"there is no column '{', '.join(missing)}'; the columns are: {shown};{hint_en}",
            path=path,
            line=1,
        )
    return found


def _decision(line: int, cells: Mapping[str, str], by_id: Mapping[str, Example], task: Task) -> Decision:
    word = _DECISIONS.get(cells["decision"].casefold())
    if word is None:
        raise DataError(
            f"decision은 keep, fix, drop 가운데 하나입니다: '{cells['decision'][:40]}'",
            f"decision is keep, fix or drop, got '{cells['decision'][:40]}'",
        )
    example = _row(cells, by_id)
    if task.kind == "multiclass":
        # the label column shows the label given; the decision is about the row
        label = value_of(example, "", task)
    else:
        try:
            label = task.resolve(cells["label"])
        except TaskMismatch as error:
            raise DataError(error.ko, error.en) from error
    given = value_of(example, label, task)
    suggested = _suggested(cells["suggested"], given, task) if word == "fix" else ""
    note = {name: cells.get(name, "") for name in ("who", "when", "note")}
    return Decision(line, example.id, label, word, given, suggested, **note)


def _by_id(data: Dataset) -> dict[str, Example]:
    """Rows by id; also by the id as a cell is read (NFC, no spaces at its ends), where that is no other row's."""
    found = {example.id: example for example in data}
    plain: dict[str, list[Example]] = {}
    for example in data:
        plain.setdefault(_clean(example.id), []).append(example)
    return {name: rows[0] for name, rows in plain.items() if len(rows) == 1} | found


def _row(cells: Mapping[str, str], by_id: Mapping[str, Example]) -> Example:
    """The row that a line is about.

    Raises:
        DataError: there is none, or it is not the one people saw.
    """
    name = cells["id"]
    example = by_id.get(name)
    if example is None:
        near = [key for key in by_id if key.strip() == name or key.lstrip("0") == name.lstrip("0")]
        hint_ko = (
            f" '{near[0]}'라면 표 프로그램이 id를 바꾼 것이니 되돌리세요."
            if near
            else " 다른 데이터의 목록인지 보세요."
        )
        hint_en = f" if '{near[0]}' is meant, the spreadsheet changed the id" if near else " is the list of other data?"
        raise DataError(
            f"id '{name[:60]}'인 행이 데이터에 없습니다.{hint_ko}",
            f"there is no row with id '{name[:60]}' in the data;{hint_en}",
        )
    if cells["hash"] != row_hash(example):
        raise DataError(
            f"id '{name[:60]}'의 행이 목록을 만든 뒤에 바뀌었거나 다른 데이터의 행입니다(지문 {cells['hash'] or '없음'}, 지금 "
            f"{row_hash(example)}). 지금 데이터로 maeum audit을 다시 하세요.",
            f"the row '{name[:60]}' has changed since the list was made, or is of other data (hash "
            f"{cells['hash'] or 'none'}, now {row_hash(example)}); run maeum audit again on the data as it is now",
        )
    if _plain(cells["text"]) != _plain(shown_text(example)):
        raise DataError(
            f"id '{name[:60]}'의 글이 데이터와 다릅니다. 한 열만 정렬하거나 글을 고치지 않았는지 보세요: '{cells['text'][:40]}'",
            f"the text of '{name[:60]}' is not that of the data; was one column sorted alone, or the text edited? "
            f"'{cells['text'][:40]}'",
        )
    return example


def _suggested(cell: str, given: str, task: Task) -> str:
    """The value that a fix sets.

    Raises:
        DataError: it is none that the label can have, or the one it has.
    """
    value = _VALUES.get(cell.casefold(), cell)
    if task.kind == "multiclass":
        allowed = task.keys
        try:
            value = task.resolve(cell) if cell else ""
        except TaskMismatch as error:
            raise DataError(error.ko, error.en) from error
    elif task.kind == "aspect":
        allowed = (*task.sentiment_keys, ABSENT)
        value = value.replace("\u2212", "-").removeprefix("+")
    else:
        allowed = (PRESENT, ABSENT)
    if value not in allowed:
        shown = ", ".join(allowed[:12]) + (", …" if len(allowed) > 12 else "")
        raise DataError(
            f"fix에는 suggested가 필요합니다. {shown} 가운데 하나인데 '{cell[:40]}'입니다.",
            f"fix needs suggested, one of {shown}; got '{cell[:40]}'",
        )
    if value == given:
        raise DataError(
            f"suggested가 지금 값 '{given}'과(와) 같아 고칠 것이 없습니다. keep을 뜻했나요?",
            f"suggested is the value there is, '{given}'; was keep meant?",
        )
    return value


def _at(decision: Decision, line: int) -> Decision:
    return Decision(
        line,
        decision.id,
        decision.label,
        decision.decision,
        decision.given,
        decision.suggested,
        decision.who,
        decision.when,
        decision.note,
    )


def _clean(cell: object) -> str:
    return _INVISIBLE.sub("", unicodedata.normalize("NFC", str(cell))).replace("\xa0", " ").strip()


def _plain(text: str) -> str:
    """A text without what spreadsheets and CSV do to it: white space, invisible characters, how Hangul is composed, and
    letters that cp949, in which Excel saves a CSV in Korea, turns into question marks."""
    kept = _clean(text).encode("cp949", "ignore").decode("cp949")
    return "".join(kept.replace("?", "").split())[:SHOWN]
