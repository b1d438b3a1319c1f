"""Rows to label as a workbook: a drop-down in every label cell, a sheet with each label's guideline, ids that stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maeum._lang import say
from maeum.annotating.cells import DONE, NO, YES, shown
from maeum.annotating.marks import row_check, task_check
from maeum.data import Example
from maeum.errors import DataError
from maeum.formats.tables_out import atomic_path
from maeum.task import Task

ID, CHECK, TEXT, TARGET, LABEL, FINISHED, SUGGESTED, ANNOTATOR, NOTE = (
    "id", "check", "text", "target", "label", "done", "suggested", "annotator", "note",
)  # fmt: skip
"""Headings besides those of the labels; the same in both languages, since they are read back."""
_EXCEL_CELL = 32_767
_ROOM = 200
"""Empty rows below the data that keep their drop-downs, for pasted rows."""


def headings(task: Task, *, suggested: bool = False) -> list[str]:
    """Headings of the label sheet, in order."""
    labels = [LABEL] if task.kind == "multiclass" else [shown(label) for label in task.labels]
    target, model = [TARGET] if task.targeted else [], [SUGGESTED] if suggested else []
    return [ID, CHECK, TEXT, *target, *labels, FINISHED, *model, ANNOTATOR, NOTE]


def write_sheet(
    rows: Sequence[Example], path: Path, task: Task, *, suggested: Sequence[dict[str, str]] | None = None
) -> None:
    """Write a workbook for annotators.

    Args:
        suggested: what a model says of each row, heading → cell; filled in, for people to correct.

    Raises:
        DataError: a text is longer than a cell.
    """
    import xlsxwriter

    with atomic_path(path) as temporary, xlsxwriter.Workbook(str(temporary), {"strings_to_formulas": False}) as book:
        heads = headings(task, suggested=suggested is not None)
        sheet = book.add_worksheet(say("라벨", "labels"))
        _guide(book, task)
        lists = _lists(book, task)
        looks = _Looks(book)
        for column, head in enumerate(heads):
            sheet.write_string(0, column, head, looks.head)
        for number, row in enumerate(rows, start=1):
            target = row.target.form if row.target else ""
            cells = {ID: row.id, CHECK: row_check(task, row), TEXT: row.text, TARGET: target}
            cells |= suggested[number - 1] if suggested else {}
            for column, head in enumerate(heads):
                cell = cells.get(head, "")
                if len(cell.encode("utf-16-le")) // 2 > _EXCEL_CELL:
                    raise DataError(
                        f"행 '{row.id}'의 글이 엑셀 한 칸({_EXCEL_CELL:,}자)보다 깁니다. --to jsonl이나 label-studio로 내보내세요.",
                        f"row '{row.id}' is longer than a cell ({_EXCEL_CELL:,} characters); export with --to jsonl or label-studio",
                    )
                if cell:
                    sheet.write_string(number, column, cell, looks.of(head))
                else:
                    sheet.write_blank(number, column, None, looks.of(head))
        _choices(sheet, heads, task, lists, len(rows) + _ROOM)
        _shape(sheet, heads, len(rows))


class _Looks:
    """Cell formats: what may be typed into is not locked."""

    def __init__(self, book: Any) -> None:
        self.head = book.add_format(
            {"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#E8EDF3"}
        )
        self._text = book.add_format({"text_wrap": True, "valign": "top"})
        self._fixed = book.add_format({"font_color": "#8A8A8A", "valign": "top", "num_format": "@"})
        self._free = book.add_format({"locked": False, "valign": "top", "align": "center", "num_format": "@"})
        self._note = book.add_format({"locked": False, "text_wrap": True, "valign": "top", "num_format": "@"})

    def of(self, head: str) -> Any:
        """The format of a column."""
        fixed = {ID: self._fixed, CHECK: self._fixed, SUGGESTED: self._fixed, TEXT: self._text, TARGET: self._text}
        return fixed.get(head, self._note if head in (NOTE, ANNOTATOR) else self._free)


def _guide(book: Any, task: Task) -> None:
    sheet = book.add_worksheet(say("기준", "guide"))
    bold = book.add_format({"bold": True, "valign": "top"})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    sheet.set_column(0, 0, 18)
    sheet.set_column(1, 1, 14)
    sheet.set_column(2, 2, 100)
    lines = [(say("과제", "task"), task.name, task.description), *((("", "", text)) for text in _how(task))]
    for number, line in enumerate(lines):
        for column, cell in enumerate(line):
            sheet.write_string(number, column, cell, wrap if column else bold)
    first = len(lines) + 1
    for column, cell in enumerate((say("라벨", "label"), "key", say("붙이는 기준", "when to give it"))):
        sheet.write_string(first, column, cell, bold)
    for number, label in enumerate((*task.labels, *task.sentiments), start=first + 1):
        rule = label.guideline or label.description or label.name("en")
        for column, cell in enumerate((label.name("ko"), label.key, rule)):
            sheet.write_string(number, column, cell, wrap if column else bold)
    sheet.protect("", {"format_columns": True, "format_rows": True})


def _how(task: Task) -> list[str]:
    if task.kind == "multiclass":
        rule = say(
            "label 열에서 하나를 고릅니다. 빈칸은 아직 보지 않은 행입니다.",
            "Choose one in column label; blank means not done yet.",
        )
    elif task.kind == "aspect":
        rule = say(
            f"글이 말하는 속성에 등급을 고릅니다. 말하지 않은 속성은 비워 둡니다. 아무 속성도 없으면 done에 {DONE}를 씁니다.",
            f"Choose a grade for every aspect the text mentions. If it mentions none, write {DONE} into done.",
        )
    else:
        rule = say(
            f"맞는 라벨에 {YES}를 고릅니다. 빈칸과 {NO}는 아니라는 뜻입니다. 맞는 라벨이 없으면 done에 {DONE}를 씁니다.",
            f"Choose {YES} where a label applies; blank and {NO} mean no. If none applies, write {DONE} into done.",
        )
    return [
        rule,
        say(
            "id, check, text 열과 머리줄은 고치지 마세요. 행을 지우거나 순서를 바꾸는 것, 열을 더하는 것은 괜찮습니다.",
            "Leave id, check, text and the headings alone. Rows may be deleted or moved, columns added.",
        ),
        say(
            f"suggested 열이 있으면 모델의 답이 미리 채워져 있습니다. 그대로 맞으면 done에 {DONE}를 쓰세요. 고치지도 않고 done도 없는 행은 읽지 않습니다.",
            f"Where there is a column suggested, a model's answers are filled in: write {DONE} into done to agree with one. A row "
            "that is neither changed nor done is not read.",
        ),
        say(
            "annotator 열이 비어 있으면 파일 이름이 라벨을 단 사람입니다.",
            "If annotator is blank, the file's name says who labelled.",
        ),
    ]


def _lists(book: Any, task: Task) -> str:
    """A hidden sheet with the choices (a drop-down written out in a cell rule may have 255 characters) and the task's mark."""
    sheet = book.add_worksheet("_maeum")
    if task.kind == "multiclass":
        choices = [shown(label) for label in task.labels]
    else:
        choices = list(task.sentiment_keys) or [YES, NO]
    for number, choice in enumerate(choices):
        sheet.write_string(number, 0, choice)
    sheet.write_string(0, 1, task.name)
    sheet.write_string(1, 1, task_check(task))
    sheet.hide()
    return f"=_maeum!$A$1:$A${len(choices)}"


def _choices(sheet: Any, heads: Sequence[str], task: Task, lists: str, last: int) -> None:
    fixed = {ID, CHECK, TEXT, TARGET, SUGGESTED, ANNOTATOR, NOTE}
    guides = {shown(label): label.guideline for label in task.labels}
    for column, head in enumerate(heads):
        if head in fixed:
            continue
        source: Any = [DONE] if head == FINISHED else lists
        rule = {"validate": "list", "source": source, "ignore_blank": True, "error_type": "stop"}
        if guides.get(head):
            rule |= {"input_title": head[:32], "input_message": guides[head][:255]}
        sheet.data_validation(1, column, last, column, rule)


def _shape(sheet: Any, heads: Sequence[str], rows: int) -> None:
    sheet.freeze_panes(1, heads.index(TEXT) + 1)  # ids and text stay in view
    sheet.autofilter(0, 0, max(rows, 1), len(heads) - 1)
    widths = {ID: 12, CHECK: 10, TEXT: 60, TARGET: 16, ANNOTATOR: 12, NOTE: 24, LABEL: 20}
    for column, head in enumerate(heads):
        sheet.set_column(column, column, widths.get(head, 9))
    allowed = ("format_columns", "format_rows", "autofilter", "sort", "select_locked_cells", "delete_rows")
    sheet.protect("", dict.fromkeys(allowed, True))
