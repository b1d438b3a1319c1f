"""A Label Studio export (JSON) that came back: choices, spans with raw offsets, who and when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maeum.annotating.marks import Annotation, Span
from maeum.annotating.problems import Problems, Rows
from maeum.data import Example
from maeum.errors import DataError, TaskMismatch
from maeum.formats import studio
from maeum.formats.labels import LabelReader
from maeum.task import Task


def read_studio(path: Path, rows: Rows, problems: Problems, *, when: str) -> list[Annotation]:
    """The annotations of an export; what is wrong with it goes into ``problems``, with the number of the task in the file.

    Args:
        when: for annotations that do not say.
    """
    name = str(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        problems.add(f"JSON으로 읽을 수 없습니다: {error}", f"cannot be read as JSON: {error}", path=name)
        return []
    if not isinstance(content, list) or not all(isinstance(item, dict) and "data" in item for item in content):
        problems.add(
            "Label Studio의 내보내기에서 'JSON' 형식을 고르세요(JSON-MIN, CSV는 위치와 사람이 빠집니다).",
            "choose the format 'JSON' in Label Studio's export (JSON-MIN and CSV leave out places or people)",
            path=name,
        )
        return []
    labels = LabelReader(rows.task)
    found: list[Annotation] = []
    for number, item in enumerate(content, start=1):
        data = item["data"] if isinstance(item["data"], dict) else {}
        example = rows.find(str(data.get("id", "")), str(data.get("check", "")), problems, path=name, line=number)
        if example is None:
            continue
        for annotation in studio.finished(item):
            try:
                found.append(_annotation(annotation, example, rows.task, labels, when))
            except (DataError, TaskMismatch) as error:
                problems.add(
                    f"행 '{example.id}': {error.ko}", f"row '{example.id}': {error.en}", path=name, line=number
                )
    return found


def _annotation(
    annotation: Mapping[str, Any], example: Example, task: Task, labels: LabelReader, when: str
) -> Annotation:
    found = studio.results(annotation)
    marked = studio.regions(found, example.text, tag=studio.EVIDENCE)
    answer: dict[str, Any] = {}
    if task.kind == "aspect":
        answer["aspects"] = studio.aspects(marked, studio.grades(found), example.text, labels)
    else:
        words = [word for _, words in studio.choices(found, studio.LABELS) for word in words]
        answer["labels"] = task.order(words)
    evidence = {Span(task.resolve(region.label), region.begin, region.end) for region in marked}
    return Annotation(
        example.id,
        studio.who(annotation),
        studio.when(annotation) or when,
        target=studio.target(found, example),
        evidence=tuple(sorted(evidence, key=lambda span: (span.begin, span.end, span.label))),
        note=studio.notes(found),
        **answer,
    )
