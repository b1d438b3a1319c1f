"""The work list as a workbook: one suspect a line, an empty ``decision`` with a drop-down, guidelines on a sheet beside it.

Every line carries a fingerprint of its row, so that decisions are never applied to a row that is not the one people saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from maeum._files import canonical_json, sha256_text
from maeum._lang import say
from maeum.auditing.findings import ABSENT, PRESENT, Audit
from maeum.data import Example
from maeum.formats.tables_out import atomic_path
from maeum.reviews.stages import grades
from maeum.task import Task

COLUMNS = (
    "id",
    "text",
    "label",
    "given",
    "suggested",
    "score",
    "reason",
    "decision",
    "who",
    "when",
    "note",
    "hash",
)
"""Header of the list; the same in both languages, so that a list travels between people."""
WORDS = ("keep", "fix", "drop")
"""What ``decision`` may be."""
Line = tuple[str | float | None, ...]
"""Cells of the list in the order of ``COLUMNS``."""
SHOWN = 3_000
"""Letters of a text that are shown; what is cut ends with ``…``."""

_WIDTHS = {"id": 16, "text": 60, "label": 14, "given": 9, "suggested": 11, "score": 7, "reason": 44, "decision": 11}


def row_hash(example: Example) -> str:
    """Fingerprint of a row: id, text, target and labels. It begins with a letter: spreadsheets make numbers of ``12e4``."""
    row = example.to_dict()
    row.pop("meta", None)
    return "h" + sha256_text(canonical_json(row))[:12]


def value_of(example: Example, label: str, task: Task) -> str:
    """The value a row has for a label now: ``yes``, ``no``, its label (multiclass) or a grade."""
    if task.kind == "aspect":
        return grades(example.aspects or ()).get(label, ABSENT)
    if task.kind == "multiclass":
        return (example.labels or ("",))[0]
    return PRESENT if label in (example.labels or ()) else ABSENT


def shown_text(example: Example) -> str:
    """The text as the list shows it, its target in brackets."""
    text, target = example.text, example.target
    if target is not None:
        text = f"{text[: target.begin]}【{target.form}】{text[target.end :]}"
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def shown_value(value: str) -> str:
    """``yes`` and ``no`` in the language in force; other values as they are."""
    return {PRESENT: say("있음", PRESENT), ABSENT: say("없음", ABSENT)}.get(value, value)


def write_worklist(audit: Audit, path: Path) -> None:
    """Write the workbook; it appears under its name when it is complete."""
    hashes: dict[int, str] = {}
    lines = []
    for item in audit.suspects:
        code = hashes.setdefault(item.row, row_hash(audit.data[item.row]))
        lines.append(line(audit.data[item.row], code, item.label, item.given, item.suggested, item.score, item.reason))
    with atomic_path(path) as temporary:
        write_lines(str(temporary), lines, audit.data.task, copies=_copies(audit))


def line(
    example: Example, code: str, label: str, given: str, suggested: str, score: float | None = None, reason: str = "",
    *, decision: str = "", who: str = "", when: str = "", note: str = "",
) -> Line:  # fmt: skip
    """One line of the list; ``code`` is the row's fingerprint."""
    values = (shown_value(given), shown_value(suggested), score, reason)
    return (example.id, shown_text(example), label, *values, decision, who, when, note, code)


def write_lines(
    target: str | BinaryIO, lines: Sequence[Line], task: Task, *, copies: Sequence[Sequence[str]] = ()
) -> None:
    """Write lines as a workbook with all its sheets, to a path or into memory."""
    import xlsxwriter

    book = xlsxwriter.Workbook(target, {"strings_to_formulas": False, "strings_to_urls": False})
    try:
        head = book.add_format({"bold": True, "bg_color": "#E8EEF4", "bottom": 1, "valign": "vcenter"})
        wrap = book.add_format({"text_wrap": True, "valign": "top"})
        _list(book.add_worksheet(say("할 일", "worklist")), lines, head, wrap, book)
        _sheet(book.add_worksheet(say("읽어 두기", "how to")), _how(), [24, 110], head, wrap)
        if any(label.guideline for label in task.labels):
            told = [(label.key, label.guideline) for label in task.labels]
            rows = [(say("라벨", "label"), say("붙이는 기준", "guideline")), *told]
            _sheet(book.add_worksheet(say("라벨 기준", "guidelines")), rows, [16, 110], head, wrap)
        if copies:
            _sheet(book.add_worksheet(say("같은 글", "copies")), copies, [9, 16, 60, 36, 16, 60, 36], head, wrap)
    finally:
        book.close()


def _list(sheet: Any, lines: Sequence[Line], head: Any, wrap: Any, book: Any) -> None:
    choice = book.add_format({"valign": "top", "bg_color": "#FFF8E1", "border": 1, "border_color": "#E0C060"})
    number = book.add_format({"num_format": "0.00", "valign": "top"})
    for column, name in enumerate(COLUMNS):
        sheet.write_string(0, column, name, head)
        sheet.set_column(column, column, _WIDTHS.get(name, 13))
    for row, cells in enumerate(lines, start=1):
        for column, cell in enumerate(cells):
            if isinstance(cell, float):
                sheet.write_number(row, column, round(cell, 4), number)
            elif COLUMNS[column] == "decision":
                (sheet.write_string if cell else sheet.write_blank)(row, column, cell or None, choice)
            elif cell:
                sheet.write_string(row, column, cell, wrap)
    last = max(len(lines), 1)
    at = COLUMNS.index("decision")
    rule = {
        "validate": "list",
        "source": list(WORDS),
        "error_title": say("결정", "decision"),
        "error_message": say("keep, fix, drop 가운데 하나를 고르세요.", "Choose keep, fix or drop."),
    }
    sheet.data_validation(1, at, last, at, rule)
    sheet.freeze_panes(1, 2)
    sheet.autofilter(0, 0, last, len(COLUMNS) - 1)


def _how() -> list[tuple[str, str]]:
    return [
        (say("열", "column"), say("뜻", "meaning")),
        ("given · suggested", say("지금 값과 제안하는 값입니다. 제안이 틀렸으면 suggested를 고쳐 쓰고 fix를 고르세요.", "The value now and the one proposed. If the proposal is wrong, overwrite suggested and choose fix.")),
        ("score", say("지금 값이 틀렸을 가능성(0–1)입니다. 모델의 추정일 뿐입니다.", "How likely the value now is wrong (0–1); an estimate of a model, no more.")),
        ("decision", say("keep: 그대로 둔다 · fix: suggested로 바꾼다 · drop: 행을 데이터에서 뺀다 · 빈칸: 아직 정하지 않음(아무것도 바뀌지 않음)", "keep: leave it · fix: change it to suggested · drop: remove the row · empty: undecided, nothing changes")),
        ("who · when · note", say("적으면 변경 기록에 남습니다.", "Kept in the changelog if filled in.")),
        ("hash", say("행의 지문입니다. 지우거나 고치지 마세요. 데이터가 바뀐 행의 결정은 이것으로 알아보고 거절합니다.", "Fingerprint of the row; leave it alone. Decisions about rows that have changed are refused by it.")),
        (say("적용", "apply"), "maeum audit DATA --apply worklist.xlsx -o fixed.jsonl"),
    ]  # fmt: skip


def _copies(audit: Audit) -> list[tuple[str, ...]]:
    """Rows with the same or nearly the same text and different labels, two by two."""
    pairs = [(1.0, group[0], other) for group in audit.same for other in group[1:]]
    pairs += [(twins.similarity, twins.first, twins.second) for twins in audit.near]
    if not pairs:
        return []
    names = [say("비슷함", "similarity"), "id", say("글", "text"), say("라벨", "labels")]
    rows = [(*names, *names[1:])]
    for share, first, second in pairs[:1000]:
        cells = [f"{share:.2f}"]
        for row in (first, second):
            example = audit.data[row]
            cells += [example.id, shown_text(example), labels_text(example)]
        rows.append(tuple(cells))
    return rows


def labels_text(example: Example) -> str:
    """The labels of a row in one line."""
    if example.aspects is not None:
        return ", ".join(f"{item.aspect} {item.sentiment}" for item in example.aspects) or "–"
    return ", ".join(example.labels or ()) or "–"


def _sheet(sheet: Any, rows: Sequence[Sequence[str]], widths: Sequence[int], head: Any, wrap: Any) -> None:
    for column, width in enumerate(widths):
        sheet.set_column(column, column, width)
    for line, row in enumerate(rows):
        for column, cell in enumerate(row):
            sheet.write_string(line, column, cell, head if line == 0 else wrap)
    sheet.freeze_panes(1, 0)
