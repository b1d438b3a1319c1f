"""Decisions to a corrected data set, with a line in the changelog for every decision."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum._files import atomic_text
from maeum.auditing.decisions import Decision
from maeum.auditing.findings import ABSENT, PRESENT
from maeum.auditing.worklist import row_hash
from maeum.data import AspectLabel, Dataset, Example
from maeum.errors import DataError, UsageError
from maeum.formats import output_format, write
from maeum.task import Task


@dataclass(frozen=True)
class Applied:
    """A corrected data set and how it came about."""

    data: Dataset
    changes: tuple[dict[str, Any], ...]
    """One for each decision: row, label, what was, what is, who, when."""
    before: str
    """Fingerprint of the data set as it was."""

    def to_dict(self) -> dict[str, Any]:
        """Counts and fingerprints."""
        words = [change["decision"] for change in self.changes]
        return {
            "rows": len(self.data),
            "decisions": {word: words.count(word) for word in ("keep", "fix", "drop")},
            "changed_rows": len({change["id"] for change in self.changes if change["changed"]}),
            "before": self.before,
            "after": self.data.fingerprint,
        }


def apply(data: Dataset, decisions: Sequence[Decision], *, who: str = "", when: str = "", source: str = "") -> Applied:
    """The data set with what was decided, and nothing else, changed. Rows keep their order, ids and other fields.

    A row that is dropped under one label is gone, whatever was decided of its others.

    Args:
        decisions: as ``read_decisions`` gives them, made for these very rows.
        who, when: for decisions that do not say.
        source: the list they come from, for the changelog.

    Raises:
        UsageError: nothing was decided, or every row dropped.
        DataError: a multiclass row would get two labels.
    """
    if not decisions:
        raise UsageError(
            "결정이 하나도 없어 바꿀 것이 없습니다. decision 열을 채우세요.",
            "nothing is decided; fill in the column decision",
        )
    by_row: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_row.setdefault(decision.id, []).append(decision)
    rows: list[Example] = []
    changes: list[dict[str, Any]] = []
    for example in data:
        mine = by_row.get(example.id, [])
        dropped = any(decision.decision == "drop" for decision in mine)
        fixed = None if dropped else _fixed(example, [d for d in mine if d.decision == "fix"], data.task)
        changes += (_change(decision, example, fixed, who, when, source) for decision in mine)
        if fixed is not None:
            rows.append(fixed)
    if not rows:
        raise UsageError("모든 행을 빼는 결정입니다.", "the decisions drop every row")
    return Applied(Dataset(data.task, rows, source=data.source), tuple(changes), data.fingerprint)


def save(applied: Applied, output: Path) -> Path:
    """Write the data set and, beside it, ``NAME.changes.jsonl``; the path of the changelog.

    Raises:
        UsageError: the suffix of ``output`` is none that can be written.
    """
    output_format(output)
    log = changelog_of(output)
    with atomic_text(log) as file:
        for change in applied.changes:
            file.write(change_line(change) + "\n")
    write(applied.data, output)
    return log


def change_line(change: dict[str, Any]) -> str:
    """A line of the changelog."""
    return json.dumps(change, ensure_ascii=False)


def changelog_of(output: Path) -> Path:
    """Where the changelog of a corrected file lies."""
    return output.with_name(f"{output.stem}.changes.jsonl")


def _fixed(example: Example, decisions: Iterable[Decision], task: Task) -> Example:
    fixed = example
    for decision in decisions:
        if task.kind == "aspect":
            fixed = dataclasses.replace(fixed, aspects=_aspects(fixed, decision.label, decision.suggested))
        elif task.kind == "multiclass":
            if fixed is not example:
                raise DataError(
                    f"행 '{example.id}'에 라벨이 둘 정해졌습니다.", f"row '{example.id}' is given two labels"
                )
            fixed = dataclasses.replace(fixed, labels=(decision.suggested,))
        else:
            labels = set(fixed.labels or ())
            if decision.suggested == PRESENT:
                labels.add(decision.label)
            else:
                labels.discard(decision.label)
            fixed = dataclasses.replace(fixed, labels=task.order(labels))
    return fixed


def _aspects(example: Example, aspect: str, value: str) -> tuple[AspectLabel, ...]:
    """The aspects of a row with one removed, added or graded anew; spans stay."""
    aspects = example.aspects or ()
    if value == ABSENT:
        return tuple(item for item in aspects if item.aspect != aspect)
    if all(item.aspect != aspect for item in aspects):
        return (*aspects, AspectLabel(aspect, value))
    return tuple(dataclasses.replace(item, sentiment=value) if item.aspect == aspect else item for item in aspects)


def _change(
    decision: Decision, example: Example, fixed: Example | None, who: str, when: str, source: str
) -> dict[str, Any]:
    was = example.to_dict()
    what = "aspects" if example.aspects is not None else "labels"
    changed = fixed is None or fixed != example
    return {
        "id": example.id,
        "label": decision.label,
        "decision": decision.decision,
        "changed": changed and decision.decision != "keep",
        "was": decision.given,
        "is": None if fixed is None else decision.suggested if decision.decision == "fix" else decision.given,
        "row_was": was.get(what),
        "row_is": None if fixed is None else fixed.to_dict().get(what),
        "hash": row_hash(example),
        "who": decision.who or who or None,
        "when": decision.when or when or None,
        "note": decision.note or None,
        "list": source or None,
        "line": decision.line,
    }
