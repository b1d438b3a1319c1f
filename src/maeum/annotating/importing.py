"""Files that came back, merged into labelled rows: whoever labels again replaces themselves, and nothing is counted twice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maeum._files import write_text
from maeum.annotating.consensus import Conflict, Rule, agreement, check_rule, decide
from maeum.annotating.desk_in import read_desk
from maeum.annotating.marks import Annotation, row_check
from maeum.annotating.problems import Problems, Rows
from maeum.annotating.rows_jsonl import read_lines
from maeum.annotating.sheet_in import is_sheet, read_sheet
from maeum.annotating.studio_in import read_studio
from maeum.data import Example
from maeum.errors import DataError, UsageError
from maeum.formats import iter_examples
from maeum.task import Task

KEPT = "annotations"
"""Key of ``meta`` that holds what everybody said."""


@dataclass(frozen=True)
class Imported:
    """Labelled rows, and how they came about."""

    rows: tuple[Example, ...]
    """All rows of ROWS, in order: labelled by the rule, or without labels where nobody labelled or the rule leaves it open."""
    new: int
    """Annotations that were not there before."""
    changed: int
    """Of them, those by which an annotator replaced an answer of their own."""
    annotators: Mapping[str, int]
    """Annotator → rows."""
    conflicts: tuple[Conflict, ...]
    agreement: tuple[dict[str, Any], ...]
    problems: Problems

    def counts(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        labelled = sum(row.labels is not None or row.aspects is not None for row in self.rows)
        touched = sum(bool(row.meta.get(KEPT)) for row in self.rows)
        return {
            "rows": len(self.rows),
            "labelled": labelled,
            "open": touched - labelled,
            "unlabelled": len(self.rows) - touched,
            "new": self.new,
            "changed": self.changed,
            "annotators": dict(self.annotators),
            "conflicts": len(self.conflicts),
            "agreement": list(self.agreement),
            "problems": [str(error) for error in self.problems.errors],
            "notices": [str(error) for error in self.problems.notices],
        }


@dataclass
class _Said:
    """Annotations by row, in order of time."""

    by_row: dict[str, list[Annotation]] = field(default_factory=dict)
    new: int = 0
    changed: int = 0

    def add(self, annotation: Annotation) -> None:
        """Note one, unless it is known or says again what its annotator said last."""
        here = self.by_row.setdefault(annotation.row, [])
        own = [item for item in here if item.annotator == annotation.annotator]
        if annotation in own or (own and _latest(own).answer == annotation.answer):
            return
        here.append(annotation)
        here.sort(key=lambda item: (item.when, item.annotator))
        self.new += 1
        self.changed += bool(own)

    def standing(self, row: str) -> list[Annotation]:
        """The last word of each annotator; who labelled first comes first."""
        here = self.by_row.get(row, [])
        names = list(dict.fromkeys(item.annotator for item in here))
        return [_latest([item for item in here if item.annotator == name]) for name in names]


def import_files(
    files: Sequence[Path],
    rows: Sequence[Example],
    task: Task,
    *,
    rule: Rule = "majority",
    before: Sequence[Example] = (),
    annotator: str | None = None,
    encoding: str | None = None,
) -> Imported:
    """Read annotated files and merge them.

    Args:
        files: sheets (xlsx, csv, tsv), our JSONL, Label Studio exports (json), or labelling files (sqlite).
        rows: the rows that were exported.
        rule: how one answer is made of several.
        before: the labelled rows of an earlier import, which go on.
        annotator: who labelled, for files that do not say; otherwise the name of the file.

    Raises:
        UsageError: a rule the task cannot have, a file of an unknown kind, or ``before`` is about other rows.
    """
    check_rule(rule, task)
    problems, known = Problems(), Rows.of(task, list(rows))
    said = _earlier([*rows, *before], known)
    for path in files:
        for annotation in _read(path, known, problems, annotator=annotator, encoding=encoding):
            said.add(annotation)
    done: list[Example] = []
    conflicts: list[Conflict] = []
    for row in rows:
        standing = said.standing(row.id)
        labelled, found = _labelled(row, standing, said.by_row.get(row.id, []), rule, task)
        done.append(labelled)
        conflicts += found
    standing_by_row = {row.id: said.standing(row.id) for row in rows}
    names = sorted({item.annotator for items in standing_by_row.values() for item in items})
    counts = {
        name: sum(any(i.annotator == name for i in items) for items in standing_by_row.values()) for name in names
    }
    told = agreement(standing_by_row, task)
    return Imported(tuple(done), said.new, said.changed, counts, tuple(conflicts), tuple(told), problems)


def read_labelled(path: Path, task: Task) -> list[Example]:
    """The rows of an earlier import; none where there was none.

    Raises:
        DataError: the file holds something else.
    """
    return list(iter_examples(path, task=task, format="jsonl", with_labels=False)) if path.exists() else []


def labelled_text(imported: Imported, task: Task) -> str:
    """The labelled rows as our JSONL."""
    return "".join(_line(row, task) + "\n" for row in imported.rows)


def write_labelled(imported: Imported, path: Path, task: Task) -> bool:
    """Write the labelled rows as our JSONL; whether anything changed (an unchanged file is left alone, its time too)."""
    text = labelled_text(imported, task)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_text(path, text)
    return True


def write_conflicts(conflicts: Sequence[Conflict], rows: Sequence[Example], path: Path) -> None:
    """Conflicts as CSV, the text beside them; no file where there are none."""
    from maeum.formats.tables_out import open_table

    if not conflicts:
        path.unlink(missing_ok=True)
        return
    texts = {row.id: row.text for row in rows}
    names = sorted({name for conflict in conflicts for name in conflict.said})
    with open_table(path, "csv", ["id", "text", "label", *names, "decided"]) as write:
        for item in conflicts:
            write([item.row, texts[item.row], item.what, *(item.said.get(name, "") for name in names), item.decided])


def _line(row: Example, task: Task) -> str:
    data = row.to_dict()
    if task.kind == "aspect" and "labels" in data:  # a row not labelled yet still says what it is to be labelled with
        data = {"aspects" if key == "labels" else key: value for key, value in data.items()}
    return json.dumps(data, ensure_ascii=False, default=str)


# -- inside -------------------------------------------------------------------------------------------------


def _earlier(rows: Sequence[Example], known: Rows) -> _Said:
    said = _Said()
    for row in rows:
        own = known.by_id.get(row.id)
        target_added = own is not None and own.target is None
        if own is None or row_check(
            known.task, dataclasses.replace(row, target=None) if target_added else row
        ) != row_check(known.task, own):
            raise UsageError(
                f"출력 파일의 행 '{row.id}'은(는) --rows의 행이 아닙니다. 다른 -o를 쓰거나 --overwrite로 새로 시작하세요.",
                f"row '{row.id}' of the output is none of --rows; use another -o, or start anew with --overwrite",
            )
        for item in row.meta.get(KEPT) or ():
            said.add(Annotation.from_dict(row.id, item))
    said.new = said.changed = 0
    return said


def _read(
    path: Path, known: Rows, problems: Problems, *, annotator: str | None, encoding: str | None
) -> list[Annotation]:
    if not path.is_file():
        raise DataError("파일이 없습니다. 경로를 확인하세요.", "no such file; check the path", path=path)
    when = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    who = annotator or path.stem
    suffix = path.suffix.lower()
    if is_sheet(path):
        return read_sheet(path, known, problems, annotator=who, when=when, encoding=encoding)
    if suffix == ".jsonl":
        return read_lines(path, known, problems, annotator=who, when=when)
    if suffix == ".json":
        return read_studio(path, known, problems, when=when)
    if suffix == ".sqlite":
        return read_desk(path, known, problems)
    raise UsageError(
        f"'{path}': .xlsx, .csv, .tsv, .jsonl, .sqlite나 Label Studio의 .json이어야 합니다.",
        f"'{path}': expected .xlsx, .csv, .tsv, .jsonl, .sqlite, or a .json of Label Studio",
    )


def _labelled(
    row: Example, standing: Sequence[Annotation], history: Sequence[Annotation], rule: Rule, task: Task
) -> tuple[Example, tuple[Conflict, ...]]:
    meta = {key: value for key, value in row.meta.items() if key != KEPT}
    if not standing:
        return dataclasses.replace(row, labels=None, aspects=None, meta=meta), ()
    decided = decide(row.id, standing, rule, task)
    meta |= {KEPT: [item.to_dict() for item in history], "consensus": rule}
    target = decided.target or row.target
    found = dataclasses.replace(row, labels=decided.labels, aspects=decided.aspects, target=target, meta=meta)
    return found, decided.conflicts


def _latest(items: Sequence[Annotation]) -> Annotation:
    """The last of one annotator's answers; of two of the same second, the one imported later."""
    return max(enumerate(items), key=lambda pair: (pair[1].when, pair[0]))[1]
