"""A label sheet that came back, as workbook, CSV or TSV, however people edited it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum.annotating.cells import clean, grade, in_words, is_done, one_label, shown, yes_or_no
from maeum.annotating.marks import Annotation
from maeum.annotating.problems import Problems, Rows
from maeum.annotating.sheet_out import ANNOTATOR, CHECK, FINISHED, ID, LABEL, NOTE, SUGGESTED, TARGET, TEXT
from maeum.data import AspectLabel, Example
from maeum.errors import DataError, TaskMismatch
from maeum.formats.lines import Source
from maeum.formats.options import ReadOptions
from maeum.formats.tables import csv_rows, tsv_rows, xlsx_rows
from maeum.task import Label, Task

_OTHER_NAMES = {
    ID: ("아이디",), CHECK: ("확인",), TEXT: ("글", "본문"), TARGET: ("대상",), LABEL: ("라벨", "label"),
    FINISHED: ("완료",), SUGGESTED: ("제안",), ANNOTATOR: ("작성자", "이름"), NOTE: ("메모", "비고"),
}  # fmt: skip
_SUFFIXES = {".xlsx": xlsx_rows, ".xlsm": xlsx_rows, ".csv": csv_rows, ".tsv": tsv_rows}


@dataclass(frozen=True)
class _Columns:
    """Which column of the file is what; labels by key."""

    fixed: dict[str, str]
    labels: dict[str, str]


def read_sheet(
    path: Path, rows: Rows, problems: Problems, *, annotator: str, when: str, encoding: str | None = None
) -> list[Annotation]:
    """The annotations of a sheet; what is wrong with it goes into ``problems``.

    Args:
        annotator, when: for rows that do not name anybody, and for all of them.
    """
    source = Source(path, ReadOptions(encoding=encoding))
    found: list[Annotation] = []
    seen: dict[tuple[str, str], tuple[int, Annotation]] = {}
    columns: _Columns | None = None
    for row in _SUFFIXES[path.suffix.lower()](source):
        if row.error is not None:
            problems.errors.append(row.error.at(source.name, row.line))
            continue
        cells = {_heading(name): str(cell) for name, cell in row.value.items()}
        if columns is None:
            columns = _columns(list(row.value), rows.task, problems, source.name)
            if columns is None:
                return []
        annotation = _annotation(
            cells, columns, rows, problems, path=source.name, line=row.line, who=annotator, when=when
        )
        if annotation is None:
            continue
        before = seen.get((annotation.row, annotation.annotator))
        if before is not None and before[1].answer != annotation.answer:
            problems.add(
                f"행 '{annotation.row}'이(가) {before[0]}번째 줄에도 있는데 라벨이 다릅니다. 하나만 남기세요.",
                f"row '{annotation.row}' is on line {before[0]} too, with other labels; keep one of them",
                path=source.name,
                line=row.line,
            )
        elif before is None:
            seen[annotation.row, annotation.annotator] = (row.line, annotation)
            found.append(annotation)
    if columns is None:
        problems.add("행이 없습니다.", "there are no rows", path=source.name)
    return found


def is_sheet(path: Path) -> bool:
    """Whether a file is read as a sheet."""
    return path.suffix.lower() in _SUFFIXES


# -- columns ------------------------------------------------------------------------------------------------


def _heading(name: str) -> str:
    return clean(unicodedata.normalize("NFC", name)).lower()


def _columns(names: Sequence[str], task: Task, problems: Problems, path: str) -> _Columns | None:
    """Headings matched by meaning; None where something needed is missing, which ``problems`` then says."""
    left = {_heading(name): name for name in names if name.strip()}
    fixed = {}
    for wanted, others in _OTHER_NAMES.items():
        hit = next((word for word in (wanted, *others) if word in left), None)
        if hit is not None:
            fixed[wanted] = hit
            left.pop(hit)
    labels = {}
    if task.kind != "multiclass":
        for label in task.labels:
            hit = next((word for word in _spellings(label) if word in left), None)
            if hit is not None:
                labels[label.key] = hit
                left.pop(hit)
    missing = [name for name in (ID, CHECK, TEXT) if name not in fixed]
    missing += [LABEL] if task.kind == "multiclass" and LABEL not in fixed else []
    if task.kind != "multiclass":
        missing += [shown(label) for label in task.labels if label.key not in labels]
    for name in missing:
        _complain(name, left, problems, path)
    for name in left.values() if not missing else ():
        problems.notice(f"'{name}' 열은 읽지 않았습니다.", f"column '{name}' was not read", path=path, line=1)
    return None if missing else _Columns(fixed, labels)


def _complain(name: str, left: dict[str, str], problems: Problems, path: str) -> None:
    # letter by letter, so that 신축 is near 신축성
    spelled = {unicodedata.normalize("NFD", key): shown_name for key, shown_name in left.items()}
    close = difflib.get_close_matches(unicodedata.normalize("NFD", name.lower()), spelled, n=1, cutoff=0.5)
    hint_ko = (
        f" '{spelled[close[0]]}' 열이라면 이름을 '{name}'(으)로 되돌리세요."
        if close
        else " 내보낸 파일의 머리줄을 그대로 두세요."
    )
    hint_en = f" if that is '{spelled[close[0]]}', rename it back" if close else " keep the headings as exported"
    problems.add(
        f"머리줄에 '{name}' 열이 없습니다.{hint_ko}", f"the header has no column '{name}';{hint_en}", path=path, line=1
    )


def _spellings(label: Label) -> Iterator[str]:
    for name in (shown(label), label.key, label.ko, label.en, *label.aliases):
        if name:
            yield _heading(name)


# -- rows ---------------------------------------------------------------------------------------------------


def _annotation(
    cells: dict[str, str],
    columns: _Columns,
    rows: Rows,
    problems: Problems,
    *,
    path: str,
    line: int,
    who: str,
    when: str,
) -> Annotation | None:
    def cell(name: str) -> str:
        return cells.get(columns.fixed.get(name, ""), "")

    example = rows.find(cell(ID).strip(), clean(cell(CHECK)), problems, path=path, line=line)
    if example is None or not _same_text(cell(TEXT), example, problems, path, line):
        return None
    try:
        said = _answer(cells, columns, rows.task)
    except _CellError as error:
        problems.add(
            f"'{error.column}' 열: {error.why.ko}", f"column '{error.column}': {error.why.en}", path=path, line=line
        )
        return None
    if said is None:
        return None
    suggested = clean(cell(SUGGESTED))
    if suggested and not said.pop("done") and suggested == clean(in_words(said.get("labels"), said.get("aspects"))):
        problems.notice(
            f"행 '{example.id}'은(는) 모델의 답 그대로이고 done이 비어 있어 읽지 않았습니다.",
            f"row '{example.id}' was not read: it holds the model's answer unchanged, and done is blank",
            path=path,
            line=line,
        )
        return None
    said.pop("done", None)
    note = " ".join(cell(NOTE).split())
    return Annotation(example.id, clean(cell(ANNOTATOR)) or who, when, note=note, **said)


def _same_text(cell: str, example: Example, problems: Problems, path: str, line: int) -> bool:
    if _plain(cell) == _plain(example.text):
        return True
    problems.add(
        f"행 '{example.id}'의 글이 바뀌었습니다('{cell[:20]}'). 글을 고쳤다면 되돌리고, 정렬은 모든 열을 함께 하세요.",
        f"the text of row '{example.id}' changed ('{cell[:20]}'); undo the edit, and sort all columns together",
        path=path,
        line=line,
    )
    return False


def _plain(text: str) -> str:
    """Without what spreadsheets and cp949 change on their own: white space, and characters cp949 cannot hold (``?``)."""
    kept = text.encode("cp949", "ignore").decode("cp949")
    return "".join(unicodedata.normalize("NFC", kept).replace("?", "").split())


class _CellError(Exception):
    def __init__(self, column: str, why: DataError | TaskMismatch) -> None:
        super().__init__(column)
        self.column, self.why = column, why


def _answer(cells: dict[str, str], columns: _Columns, task: Task) -> dict[str, Any] | None:
    """``labels`` or ``aspects``, and ``done``; None where the row is not labelled yet.

    Raises:
        _CellError: a cell cannot be understood.
    """
    done = FINISHED in columns.fixed and _read(columns.fixed[FINISHED], is_done, cells)
    if task.kind == "multiclass":
        one = _read(columns.fixed[LABEL], lambda word: one_label(word, task), cells)
        return None if one is None else {"labels": (one,), "done": done}
    if task.kind == "aspect":
        graded = {
            key: _read(column, lambda word: grade(word, task), cells, shown(_label(task, key)))
            for key, column in columns.labels.items()
        }
        aspects = tuple(AspectLabel(key, graded[key]) for key in task.keys if graded[key] is not None)
        return {"aspects": aspects, "done": done} if aspects or done else None
    marks = {}
    for key, column in columns.labels.items():
        label = _label(task, key)
        marks[key] = _read(column, lambda word, label=label: yes_or_no(word, label), cells, shown(label))
    labels = tuple(key for key in task.keys if marks[key])
    return {"labels": labels, "done": done} if done or any(mark is not None for mark in marks.values()) else None


def _read(column: str, parse: Any, cells: dict[str, str], name: str = "") -> Any:
    try:
        return parse(cells.get(column, ""))
    except (DataError, TaskMismatch) as error:
        raise _CellError(name or column, error) from error


def _label(task: Task, key: str) -> Label:
    return task.labels[task.keys.index(key)]
