"""Audits in the folder that the app was given: found, made from an upload, decided in, applied."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum.apps.ui.settings import Settings
from maeum.apps.ui.uploads import Upload, look
from maeum.auditing import Applied, apply, audit, read_decisions
from maeum.auditing import Settings as AuditSettings
from maeum.auditing.applying import change_line
from maeum.auditing.desk import Desk
from maeum.auditing.desk_file import DESK, Entry
from maeum.auditing.outputs import FOLDER, ROWS, write
from maeum.auditing.worklist import write_lines
from maeum.data import Dataset
from maeum.errors import DataError, UsageError
from maeum.formats import ReadReport, read
from maeum.formats.jsonl import json_line
from maeum.task import Task

_NAME = 60
"""Longest name of an audit."""


@dataclass(frozen=True)
class Listed:
    """An audit and what never changes in it."""

    path: Path
    """Of the file of decisions."""
    made: str
    """With the path what tells one audit from another of the same name."""
    about: Mapping[str, Any]
    task: Task
    entries: tuple[Entry, ...]

    @property
    def rows(self) -> Path:
        """All its rows, where they were kept."""
        return self.path.with_name(ROWS)


def folder() -> Path | None:
    """Where audits lie; None where the app was given no folder."""
    name = Settings.current().folder
    return None if name is None else Path(name)


def names(place: Path) -> list[str]:
    """The audits of a folder, the latest first."""
    found = [path.parent for path in place.glob(f"*/{DESK}") if not path.parent.name.startswith(".")]
    return [path.name for path in sorted(found, key=lambda path: -(path / DESK).stat().st_ctime_ns)]


def made(path: Path) -> str:
    """When an audit was made."""
    with Desk(path) as desk:
        return str(desk.about["made"])


def opened(path: Path) -> Listed:
    """An audit with all its lines.

    Raises:
        UsageError: it is no file of decisions.
    """
    with Desk(path) as desk:
        about = desk.about
        return Listed(path, str(about["made"]), about, Task.from_dict(about["task"]), desk.entries())


def safe_name(text: str) -> str:
    """A folder name that cannot leave the folder it is in.

    Raises:
        UsageError: nothing is left of it.
    """
    name = re.sub(r"[^\w .()\-]+", "_", text.strip()).strip(" .")[:_NAME].rstrip(" .")
    if not name:
        raise UsageError("점검의 이름을 쓰세요.", "give the audit a name")
    return name


def labelled_rows(
    upload: Upload, task: Task | None, columns: Mapping[str, str | None], report: ReadReport
) -> tuple[Dataset, bool]:
    """The rows of an upload, and whether there were more than are read.

    Args:
        task: None: that of its format, or one made of the labels there are.
    """
    seen = look(upload)
    chosen: dict[str, Any] = {name: value for name, value in columns.items() if value}
    data = read(
        upload.name,
        content=upload.content,
        task=task or seen.task,
        format=seen.format,
        report=report,
        on_error="skip",
        **chosen,
    )
    limit = Settings.current().max_rows
    return data[:limit], len(data) > limit


def make(data: Dataset, place: Path, *, top: int, progress: Callable[[str], None]) -> Path:
    """Audit rows with the linear model and write the folder, with the rows beside the list; the file of decisions.

    Raises:
        UsageError: there is such a folder, or too few rows are labelled.
    """
    if place.exists():
        raise UsageError(
            f"'{place.name}'은(는) 이미 있습니다. 다른 이름을 쓰세요.",
            f"there is '{place.name}' already; choose another name",
        )
    found = audit(data, settings=AuditSettings(top=top), progress=progress)
    write(found, place, rows=data)
    return place / DESK


def is_audit(place: Path) -> bool:
    """Whether a folder was written by an audit."""
    return (place / FOLDER.mark).is_file()


def workbook(path: Path) -> bytes:
    """The list as a workbook with the decisions in it, as ``maeum audit --apply`` reads it."""
    whole = io.BytesIO()
    with Desk(path) as desk:
        write_lines(whole, desk.lines(), desk.task)
    return whole.getvalue()


@dataclass(frozen=True)
class Corrected:
    """A corrected data set and its changelog, to take away."""

    applied: Applied
    undecided: int
    rows: bytes
    changes: bytes


def correct(path: Path, data: Dataset) -> Corrected:
    """Apply what was decided so far to all rows.

    Raises:
        DataError: the rows are not those that were audited.
        UsageError: nothing was decided.
    """
    back = read_decisions(path, data)
    if back.problems:
        raise DataError(
            f"결정 {len(back.problems)}개를 이 데이터에 쓸 수 없습니다. 첫 문제: {back.problems[0].ko}",
            f"{len(back.problems)} decisions cannot be applied to this data; the first: {back.problems[0].en}",
        )
    applied = apply(data, back.decisions, source=path.name)
    rows = "".join(json_line(example) + "\n" for example in applied.data)
    changes = "".join(change_line(change) + "\n" for change in applied.changes)
    return Corrected(applied, back.undecided, rows.encode(), changes.encode())


def kept_rows(audit: Listed) -> Dataset | None:
    """The rows that were kept with an audit."""
    return read(audit.rows, task=audit.task, format="jsonl") if audit.rows.is_file() else None
