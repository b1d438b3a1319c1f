"""Our own JSONL out to annotators (or their scripts) and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maeum._files import atomic_text
from maeum.annotating.marks import Annotation, row_check
from maeum.annotating.problems import Problems, Rows
from maeum.data import AspectLabel, Example
from maeum.errors import DataError, TaskMismatch
from maeum.formats.jsonrows import json_rows
from maeum.formats.labels import LabelReader
from maeum.formats.lines import Source
from maeum.formats.options import ReadOptions
from maeum.formats.records import read_aspects
from maeum.task import Task


def write_lines(
    rows: Sequence[Example], path: Path, task: Task, *, suggested: Sequence[dict[str, Any]] | None = None
) -> None:
    """One row a line: ``labels`` (or ``aspects``) are null until somebody fills them in; ``suggested`` is a model's word."""
    with atomic_text(path) as file:
        for number, row in enumerate(rows):
            empty = dataclasses.replace(row, labels=None, aspects=None)
            line = empty.to_dict()
            if task.kind == "aspect":
                line["aspects"] = line.pop("labels")
            line["meta"] = {"check": row_check(task, row), "annotator": "", **({} if not row.meta else dict(row.meta))}
            line["meta"].pop("annotations", None)
            if suggested:
                line["suggested"] = suggested[number]
            file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")


def read_lines(path: Path, rows: Rows, problems: Problems, *, annotator: str, when: str) -> list[Annotation]:
    """The annotations of such a file; what is wrong with it goes into ``problems``."""
    task = rows.task
    labels = LabelReader(task)
    found: list[Annotation] = []
    for row in json_rows(Source(path, ReadOptions())):
        if row.error is not None or not isinstance(row.value, dict):
            error = row.error or DataError("행은 {…} 객체여야 합니다.", "a row is an object {…}")
            problems.errors.append(error.at(str(path), row.line))
            continue
        meta = row.value.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        name, check = str(row.value.get("id", "")), str(meta.get("check", ""))
        example = rows.find(name, check, problems, path=str(path), line=row.line)
        if example is None:
            continue
        try:
            aspects, given = _answer(row.value, example.text, task, labels)
        except (DataError, TaskMismatch) as error:
            problems.add(error.ko, error.en, path=str(path), line=row.line)
            continue
        if given is None and aspects is None:
            continue
        who, note = str(meta.get("annotator") or "").strip() or annotator, str(meta.get("note") or "")
        found.append(Annotation(example.id, who, str(meta.get("when") or when), given, aspects, note=note))
    return found


def _answer(
    value: dict[str, Any], text: str, task: Task, labels: LabelReader
) -> tuple[tuple[AspectLabel, ...] | None, tuple[str, ...] | None]:
    if task.kind == "aspect":
        return read_aspects(value.get("aspects"), text, labels), None
    given = value.get("labels")
    if given is not None and not (isinstance(given, list) and all(isinstance(word, str) for word in given)):
        raise DataError(
            'labels는 ["라벨", …] 목록이거나, 아직 안 달았으면 null이어야 합니다.',
            'labels is a list ["label", …], or null where nobody has labelled yet',
        )
    return None, None if given is None else task.order(given)
