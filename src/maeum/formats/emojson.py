"""``{"text", "target", "emo"}``, one row per label: the training files of a NIKL 2023 team's decoder models.

Reading merges the rows of one text and target; writing splits them again. The file has neither ids nor offsets:
a target is located at its first occurrence, and where that would be wrong the writer adds ``begin`` and ``end``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from maeum._files import atomic_text
from maeum.data import Example, Target
from maeum.errors import TaskMismatch, UsageError
from maeum.formats.labels import label_words
from maeum.formats.lines import Row
from maeum.formats.records import Context, as_object, as_text, need
from maeum.formats.targets import locate, read_target
from maeum.task import Task

WORDS = {
    "joy": "기쁨", "anticipation": "기대", "trust": "신뢰", "surprise": "당황",
    "disgust": "혐오", "fear": "공포", "anger": "분노", "sadness": "슬픔",
}  # fmt: skip
"""The words those models answer with (one token each), by ``nikl-ea`` key."""

_KEYS = {word: key for key, word in WORDS.items()}


def parse_emo(row: Row, context: Context) -> Example:
    """One row: a text with one label (``"emo": ""`` = none applies, no ``emo`` = not labelled)."""
    record = as_object(row)
    text = as_text(need(record, "text"), "text")
    form = record.get("target")
    meta: dict[str, Any] = {k: v for k, v in record.items() if k not in ("text", "target", "emo", "begin", "end", "id")}
    target = None
    if "begin" in record or isinstance(form, dict):
        target = read_target(text, form, record.get("begin"), record.get("end"))
    elif form is not None and form != "":
        target = locate(text, as_text(form, "target"))
        if target is None:
            # The team's cleaning may have changed the text under the target: keep the word.
            meta["target_form"] = form
    labels = _emotions(record["emo"], context) if context.with_labels and "emo" in record else None
    return Example("", text, target, labels, None, meta)


def merge_rows(examples: Iterable[Example], task: Task | None) -> Iterator[Example]:
    """One example per (text, target), in order of first appearance, with the labels of all its rows."""
    merged: dict[tuple[str, Target | None, str], Example] = {}
    for example in examples:
        key = (example.text, example.target, str(example.meta.get("target_form", "")))
        first = merged.get(key)
        if first is None:
            merged[key] = example
        elif example.labels:
            labels = (first.labels or ()) + example.labels
            labels = tuple(dict.fromkeys(labels)) if task is None else task.order(labels)
            merged[key] = dataclasses.replace(first, labels=labels)
    yield from merged.values()


def write_emo(examples: Iterable[Example], path: Path, task: Task | None, source: Path | None) -> None:
    """Write one row per label, as a JSON array (``.json``) or an object a line (``.jsonl``)."""
    by_line = path.suffix.lower() in (".jsonl", ".ndjson")
    with atomic_text(path) as file:
        file.write("" if by_line else "[")
        first = True
        for example in examples:
            if example.aspects is not None:
                raise UsageError("속성별 감성은 emo-json으로 쓸 수 없습니다.", "aspects cannot be written as emo-json")
            for row in _split(example):
                text = json.dumps(row, ensure_ascii=False, indent=None if by_line else 1)
                file.write(text + "\n" if by_line else ("\n" if first else ",\n") + text)
                first = False
        file.write("" if by_line else "\n]\n")


def _split(example: Example) -> Iterator[dict[str, Any]]:
    target = example.target
    form = target.form if target else example.meta.get("target_form")
    row: dict[str, Any] = {"text": example.text, "target": form}
    if target is not None and locate(example.text, target.form) != target:
        row |= {"begin": target.begin, "end": target.end}
    if example.labels is None:
        yield row
    elif not example.labels:
        yield row | {"emo": ""}
    else:
        for label in example.labels:
            yield row | {"emo": WORDS.get(label, label)}


def _emotions(value: Any, context: Context) -> tuple[str, ...] | None:
    words = label_words(value)
    if value is None:
        return None
    if not words:
        return ()
    if context.task is None:
        return words
    found = []
    for word in words:
        try:
            found.append(context.task.resolve(word))
        except TaskMismatch:
            if _KEYS.get(word) not in context.task.keys:
                raise
            found.append(_KEYS[word])
    return tuple(found)
