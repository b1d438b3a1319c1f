"""Corpora of the National Institute of Korean Language (국립국어원): read, and written back as a submission.

No row of them may be had, so reading is lenient; writing back replaces one value a row and touches nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum._files import atomic_text
from maeum.data import AspectLabel, Example, Target, check_target
from maeum.errors import DataError
from maeum.formats.ids import row_id
from maeum.formats.lines import Row
from maeum.formats.records import Context, as_id, as_object, as_text, need
from maeum.formats.splice import splice_file
from maeum.formats.targets import read_target
from maeum.task import Task, builtin_task

_TRUE = {"true", "1", "y", "yes"}
_FALSE = {"false", "0", "n", "no", ""}


def parse_ea(row: Row, context: Context) -> Example:
    """A row of the emotion analysis corpus: ``{"id", "input": {"form", "target"}, "output": {"joy": "False", …}}``.

    ``output`` may be missing, ``""`` or ``null`` (not labelled); ``target`` may be ``null``.

    Raises:
        DataError, TaskMismatch: anything that is neither that nor close to it.
    """
    record = as_object(row)
    given = need(record, "input")
    if not isinstance(given, dict):
        raise DataError(
            f"'input'은 객체여야 하는데 {type(given).__name__}입니다.",
            f"'input' is an object, got {type(given).__name__}",
        )
    text = as_text(need(given, "form"), "input.form")
    target = read_target(text, given.get("target"))
    labels = _output(record.get("output"), context) if context.with_labels else None
    meta: dict[str, Any] = {key: value for key, value in record.items() if key not in ("id", "input", "output")}
    inner = {key: value for key, value in given.items() if key not in ("form", "target")}
    if inner:
        meta["input"] = inner
    return Example(as_id(record.get("id")), text, target, labels, None, meta)


def parse_sa(row: Row, context: Context) -> Example:
    """A row of the aspect corpus: ``{"id", "sentence_form", "annotation": [[category, [form, begin, end], polarity]]}``.

    Pairs ``[category, polarity]`` (submissions) are read too; ``[null, 0, 0]`` = implicit. Rows without an
    annotation, or with one that is not a list, are not labelled.
    """
    record = as_object(row)
    text = as_text(need(record, "sentence_form"), "sentence_form")
    annotation = record.get("annotation") if context.with_labels else None
    aspects = None
    if isinstance(annotation, list):
        aspects = tuple(_annotation(item, text, context) for item in annotation)
    meta = {key: value for key, value in record.items() if key not in ("id", "sentence_form", "annotation")}
    return Example(as_id(record.get("id")), text, None, None, aspects, meta)


def ea_output(labels: Sequence[str] | None, task: Task) -> str:
    """The ``output`` value as the corpus writes it: every key in order with ``"True"`` or ``"False"``."""
    if labels is None:
        return '""'
    return json.dumps({key: str(key in labels) for key in task.keys}, ensure_ascii=False)


def sa_annotation(aspects: Iterable[AspectLabel] | None) -> str:
    """The ``annotation`` value of a submission: ``[category, polarity]`` pairs, each once."""
    pairs = dict.fromkeys((item.aspect, item.sentiment) for item in aspects or ())
    return json.dumps([list(pair) for pair in pairs], ensure_ascii=False)


def write_ea(examples: Iterable[Example], path: Path, task: Task | None, source: Path | None) -> None:
    """Write labels as an emotion analysis submission.

    With ``source``, its file is copied byte for byte with only ``output`` replaced, row by row by id; without,
    rows are written anew.

    Raises:
        DataError: the examples and the rows of ``source`` are not the same.
    """
    task = task or builtin_task("nikl-ea")
    if source is not None:
        rows = {example.id: example.labels for example in examples}
        _copy(source, path, "output", rows, lambda labels: ea_output(labels, task))
        return
    with atomic_text(path) as file:
        for example in examples:
            target = example.target
            given: dict[str, Any] = {
                "form": example.text,
                "target": target and target.to_dict(),
            }
            rest = dict(example.meta)
            inner = rest.pop("input", None)
            if isinstance(inner, dict):
                given |= inner
            row = {"id": example.id, "input": given, "output": json.loads(ea_output(example.labels, task))}
            file.write(json.dumps(row | _extra(rest, row), ensure_ascii=False) + "\n")


def write_sa(examples: Iterable[Example], path: Path, task: Task | None, source: Path | None) -> None:
    """Write aspects as an aspect submission; ``source`` as in ``write_ea``."""
    if source is not None:
        rows = {example.id: example.aspects for example in examples}
        _copy(source, path, "annotation", rows, sa_annotation)
        return
    with atomic_text(path) as file:
        for example in examples:
            row: dict[str, Any] = {"id": example.id, "sentence_form": example.text}
            if example.aspects is not None:
                row["annotation"] = [_triple(item, example.text) for item in example.aspects]
            file.write(json.dumps(row | _extra(example.meta, row), ensure_ascii=False) + "\n")


# -- inside -------------------------------------------------------------------------------------------------


def _output(value: Any, context: Context) -> tuple[str, ...] | None:
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise DataError(
            f'\'output\'은 감정별 "True"/"False"여야 하는데 {type(value).__name__}입니다.',
            f'\'output\' holds "True" or "False" per emotion, got {type(value).__name__}',
        )
    chosen = []
    for key, item in value.items():
        if context.task is not None:
            context.task.index(key)
        if _truth(item, key):
            chosen.append(key)
    return context.labels.words(chosen)


def _truth(value: Any, key: str) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise DataError(
        f'output의 \'{key}\'은(는) "True"나 "False"여야 하는데 {value!r}입니다.',
        f'output \'{key}\' is "True" or "False", got {value!r}',
    )


def _annotation(item: Any, text: str, context: Context) -> AspectLabel:
    if not isinstance(item, (list, tuple)) or len(item) not in (2, 3):
        raise DataError(
            f"annotation의 항목은 [분류, [대상, 시작, 끝], 감성]이어야 합니다: {str(item)[:60]}",
            f"an annotation is [category, [form, begin, end], polarity], got {str(item)[:60]}",
        )
    category = as_text(item[0], "annotation").strip()
    polarity = as_text(item[-1], "annotation")
    if context.task is not None:
        category = _known_category(category, context.task)
    span = _opinion(item[1], text) if len(item) == 3 else None
    begin, end = (span.begin, span.end) if span else (None, None)
    return context.labels.aspect(category, polarity, begin, end)


def _known_category(category: str, task: Task) -> str:
    """The category; its README spells one with a space after the slash."""
    return category if category in task.keys else "/".join(part.strip() for part in category.split("/"))


def _opinion(value: Any, text: str) -> Target | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise DataError(
            f"annotation의 대상은 [글자, 시작, 끝]이어야 합니다: {str(value)[:60]}",
            f"the target of an annotation is [form, begin, end], got {str(value)[:60]}",
        )
    form, begin, end = value
    if not form:
        return None
    if begin is None or end is None:
        return read_target(text, form)
    target = Target(as_text(form, "annotation"), int(begin), int(end))
    check_target(text, target)
    return target


def _triple(item: AspectLabel, text: str) -> list[Any]:
    if item.begin is None or item.end is None:
        return [item.aspect, [None, 0, 0], item.sentiment]
    return [item.aspect, [text[item.begin : item.end], item.begin, item.end], item.sentiment]


def _extra(meta: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key not in row and not key.startswith("_")}


def _copy(source: Path, path: Path, key: str, rows: Mapping[str, Any], text_of: Callable[[Any], str]) -> None:
    used = 0

    def value(record: Any, number: int) -> str:
        nonlocal used
        name = as_id(record.get("id")) or row_id(number)
        if name not in rows:
            raise DataError(
                f"원본의 행 '{name}'에 대한 예측이 없습니다. 같은 파일로 만든 예측인지 확인하세요.",
                f"there is no prediction for row '{name}' of the original; were the predictions made from this file?",
                path=source,
            )
        used += 1
        return text_of(rows[name])

    def finish() -> None:
        if used != len(rows):
            raise DataError(
                f"예측 {len(rows)}행 가운데 {len(rows) - used}행이 원본에 없습니다.",
                f"{len(rows) - used} of {len(rows)} predictions are for rows that the original does not have",
                path=source,
            )

    splice_file(source, path, key, value, finish)
