"""``label-studio``: the JSON export of a Label Studio project as labelled rows.

Each task of the export is a row: its text and other fields are ``data``, its labels what its annotators chose. Skipped
annotations, drafts and predictions of models do not count; of several annotations of one person the last does. Where
several people answered, a label stands that **more than half** of them gave (``maeum.consensus``, rule ``majority``): a row
of one choice without such a majority stays without labels. Rows on which people differ say so in ``meta.conflicts`` and
are counted in the report of the reading. To keep what everybody said, or for another rule: ``maeum annotate import``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maeum.consensus import Conflict, decide
from maeum.data import Example
from maeum.formats import studio
from maeum.formats.columns import Columns, pick_columns
from maeum.formats.jsonrows import json_rows
from maeum.formats.lines import Row, Source
from maeum.formats.records import Context, Unreadable, as_id, as_text
from maeum.formats.targets import read_target
from maeum.task import Label, Task

_OWN = ("check", "target_begin", "target_end")
"""Fields that ``maeum annotate export`` adds."""
_NO_TARGET = "-"
"""What it writes for a row without target, since Label Studio would show the name of an absent field."""


@dataclass
class _Whole:
    """What the answers of all tasks together tell; needed where no task was named."""

    items: Sequence[Any] = field(repr=False)
    _tasks: dict[str, Task] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def results(self) -> list[list[studio.Found]]:
        """Of every finished annotation."""
        items = [item for item in self.items if isinstance(item, dict)]
        return [studio.results(one) for item in items for one in studio.finished(item)]

    @functools.cached_property
    def tags(self) -> tuple[str, ...]:
        """Names of the choices about whole texts."""
        return tuple(dict.fromkeys(name for found in self.results for name, _ in studio.choices(found)))

    @functools.cached_property
    def graded(self) -> bool:
        """Whether regions carry grades."""
        return any(studio.grades(found) for found in self.results)

    def task(self, tag: str) -> Task:
        """A task to settle on answers with: one choice if everybody gave exactly one, else any number."""
        if tag not in self._tasks:
            self._tasks[tag] = self._task(tag)
        return self._tasks[tag]

    def _task(self, tag: str) -> Task:
        if self.graded and not self.tags:
            words = [word for found in self.results for item in found for word in item["value"].get("labels") or ()]
            grades = [word for found in self.results for given in studio.grades(found).values() for word in given]
            return Task("label-studio", "aspect", _labels(words), _labels(grades))
        said = [[word for _, words in studio.choices(found, tag) for word in words] for found in self.results]
        words = [word for one in said for word in one]
        single = all(len(one) == 1 for one in said) and len(set(words)) > 1
        return Task("label-studio", "multiclass" if single else "multilabel", _labels(words))


class _Fields(dict[str, Any]):
    """The ``data`` of a task, which is what columns are looked for in, with the task it belongs to."""

    def __init__(self, item: Any, whole: _Whole) -> None:
        data = item.get("data") if isinstance(item, dict) else None
        super().__init__(data if isinstance(data, dict) else {})
        self.item, self.whole = item, whole


def export_rows(source: Source) -> Iterator[Row]:
    """The tasks of an export, each with what all of them together tell."""
    rows = list(json_rows(source))
    whole = _Whole([row.value for row in rows if row.error is None])
    for row in rows:
        yield row if row.error is not None else row._replace(value=_Fields(row.value, whole))


def parse_task(row: Row, context: Context) -> Example:
    """One task of the export.

    Raises:
        Unreadable: the file is another export, or what its labels are cannot be told.
        DataError, TaskMismatch: something in the task is not what it should be.
    """
    item, whole = row.value.item, row.value.whole
    if not isinstance(item, dict) or not isinstance(item.get("data"), dict):
        raise Unreadable(
            "Label Studio의 내보내기에서 'JSON' 형식을 고르세요(JSON-MIN, CSV는 위치와 사람이 빠집니다).",
            "choose the format 'JSON' in Label Studio's export (JSON-MIN and CSV leave out places or people)",
        )
    data = item["data"]
    columns = pick_columns(tuple(data), dataclasses.replace(context.options, label_column=None))
    example = _plain(item, data, columns)
    if not context.with_labels:
        return example
    answers = _answers(studio.finished(item), example, whole, context)
    if not answers:
        return example
    task = context.task or whole.task(_tag(whole, context))
    decided = decide(example.id, answers, "majority", task)
    disputed = bool(decided.conflicts)
    context.report.conflicts += disputed
    context.report.undecided += decided.labels is None and decided.aspects is None
    meta = {**example.meta, "annotators": [answer.annotator for answer in answers]}
    if disputed:
        meta["conflicts"] = [_conflict(conflict) for conflict in decided.conflicts]
    return dataclasses.replace(
        example, labels=decided.labels, aspects=decided.aspects, target=decided.target or example.target, meta=meta
    )


def _plain(item: Mapping[str, Any], data: Mapping[str, Any], columns: Columns) -> Example:
    text = as_text(data[columns.text], columns.text)
    form = data.get(columns.target) if columns.target else None
    begin, end = data.get(columns.begin or ""), data.get(columns.end or "")
    target = None if form == _NO_TARGET else read_target(text, form, begin, end)
    known = {columns.text, columns.id, columns.target, *_OWN}
    meta = {name: value for name, value in data.items() if name not in known}
    return Example(as_id(data[columns.id] if columns.id else item.get("id")), text, target, None, None, meta)


def _answers(
    annotations: Sequence[studio.Found], example: Example, whole: _Whole, context: Context
) -> list[studio.Answer]:
    """The last answer of each annotator; who labelled first comes first."""
    last: dict[str, studio.Answer] = {}
    tag = _tag(whole, context) if annotations else ""
    answers = [_answer(one, example, whole, context, tag) for one in annotations]
    for answer in sorted(answers, key=lambda answer: answer.when):
        last[answer.annotator] = answer
    return list(last.values())


def _answer(annotation: studio.Found, example: Example, whole: _Whole, context: Context, tag: str) -> studio.Answer:
    found = studio.results(annotation)
    answer = studio.Answer(studio.who(annotation), studio.when(annotation), target=studio.target(found, example))
    if (context.task or whole.task(tag)).kind == "aspect":
        marked = studio.regions(found, example.text)
        aspects = studio.aspects(marked, studio.grades(found), example.text, context.labels)
        return dataclasses.replace(answer, aspects=aspects)
    words = [word for _, words in studio.choices(found, tag) for word in words]
    return dataclasses.replace(answer, labels=context.labels.words(words))


def _tag(whole: _Whole, context: Context) -> str:
    """The name of the choices that are the labels: the one asked for, ours, or the only one.

    Raises:
        Unreadable: there is none, or several.
    """
    wanted, tags = context.options.label_column, whole.tags
    is_aspect = context.task.kind == "aspect" if context.task else whole.graded and not tags
    if is_aspect:
        return ""
    there = ", ".join(f"'{name}'" for name in tags) or "-"
    if wanted is not None and wanted not in tags:
        raise Unreadable(
            f"이름이 '{wanted}'인 <Choices>가 없습니다. 있는 것: {there}",
            f"there are no <Choices> named '{wanted}'; there are: {there}",
        )
    if wanted is not None or studio.LABELS in tags or len(tags) == 1:
        return wanted or (studio.LABELS if studio.LABELS in tags else tags[0])
    if tags:
        raise Unreadable(
            f"<Choices>가 여럿입니다: {there}. 라벨인 것의 이름을 --label-column으로 고르세요.",
            f"there are several <Choices>: {there}; name the one that holds the labels with --label-column",
        )
    if any(whole.results):
        raise Unreadable(
            "글 전체에 대한 선택(<Choices>)이 하나도 없습니다. 라벨은 <Choices>에서, 속성은 등급이 달린 영역에서 읽습니다.",
            "there are no choices about whole texts; labels are read from <Choices>, aspects from regions with a grade",
        )
    return studio.LABELS


def _labels(words: Sequence[str]) -> tuple[Label, ...]:
    return tuple(Label(word) for word in sorted(set(words)) or ["-"])


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {"what": conflict.what, "said": dict(conflict.said), "decided": conflict.decided}
