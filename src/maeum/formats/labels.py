"""Cells to label keys, and a task made from the labels that occur when nobody named one."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from maeum.data import AspectLabel, Example
from maeum.errors import DataError, TaskMismatch
from maeum.task import Label, Task

SEPARATOR = "|"
"""What our own tables put between labels; ``,`` and ``;`` are read too."""

_SPLIT = re.compile(r"[,;|]")
_ITEM = re.compile(r"(?P<aspect>.+?)\s*[:(]?\s*(?P<grade>[+\-\u2212–]?\d+)\s*\)?", re.DOTALL)
_CACHE_LIMIT = 20_000
_GRADES = {"negative": 0, "부정": 0, "conflict": 1, "neutral": 1, "중립": 1, "보통": 1, "positive": 2, "긍정": 2}


class LabelReader:
    """Reads label words for a task, or leaves them as they are when there is none.

    Args:
        task: the task the labels belong to; ``None`` = keep the words (``infer_task`` makes sense of them).
    """

    def __init__(self, task: Task | None) -> None:
        self.task = task
        self.grades = sentiment_task(task) if task is not None and task.sentiments else None
        self._cache: dict[str, tuple[str, ...] | None] = {}

    def cell(self, value: Any) -> tuple[str, ...] | None:
        """Label keys of one cell; ``None`` if it is empty.

        A cell is a label, labels between ``,`` ``;`` or ``|``, a list, or a list written as JSON (``[]`` = none
        of the labels). A cell that as a whole is a label of the task is never split.

        Raises:
            TaskMismatch: unknown label.
            DataError: not label-like.
        """
        if not isinstance(value, str):
            return self.words(label_words(value))
        if value not in self._cache:
            if len(self._cache) >= _CACHE_LIMIT:
                self._cache.clear()
            self._cache[value] = self._text_cell(value)
        return self._cache[value]

    def words(self, words: Iterable[str] | None) -> tuple[str, ...] | None:
        """Label keys of several words, in task order."""
        if words is None:
            return None
        if self.task is None:
            return tuple(dict.fromkeys(words))
        return self.task.order(words)

    def sentiment(self, word: str) -> str:
        """Sentiment key for a word.

        Raises:
            TaskMismatch: the task has no such grade.
        """
        word = word.strip().replace("\u2212", "-").replace("–", "-")
        return word if self.grades is None else self.grades.resolve(word)

    def aspect(self, aspect: str, sentiment: str, begin: int | None = None, end: int | None = None) -> AspectLabel:
        """An aspect label with its words resolved."""
        if self.task is not None and self.grades is None:
            raise TaskMismatch(
                f"데이터에는 속성별 감성이 있지만 과제 '{self.task.name}'은(는) 속성 과제가 아닙니다.",
                f"the data has a sentiment per aspect, but task '{self.task.name}' is not an aspect task",
            )
        key = aspect.strip() if self.task is None else self.task.resolve(aspect)
        return AspectLabel(key, self.sentiment(sentiment), begin, end)

    def _text_cell(self, value: str) -> tuple[str, ...] | None:
        text = value.strip()
        if not text:
            return None
        if self.task is not None and not text.startswith("["):
            try:
                return self.task.order([text])
            except TaskMismatch:
                if not _SPLIT.search(text):
                    raise
        return self.words(label_words(text))


def parse_completion(cell: str, labels: LabelReader) -> tuple[AspectLabel, ...]:
    """Aspects of one completion; an empty one says that no keyword applies.

    Raises:
        DataError: a part is not a keyword and a number.
        TaskMismatch: unknown keyword or grade.
    """
    found = []
    for part in re.split(r"[,;\n]", cell):
        if not part.strip():
            continue
        match = _ITEM.fullmatch(part.strip())
        if match is None:
            raise DataError(
                f"'{part.strip()[:40]}'을(를) '키워드 점수'로 읽을 수 없습니다. 예: 배송 -1, 디자인 2",
                f"'{part.strip()[:40]}' is not a keyword and a grade, as in: 배송 -1, 디자인 2",
            )
        grade = match["grade"].replace("\u2212", "-").replace("–", "-").lstrip("+")
        found.append(labels.aspect(match["aspect"].rstrip(), grade))
    return tuple(found)


def parse_graded(cell: str, labels: LabelReader) -> tuple[AspectLabel, ...]:
    """Aspects with their grades as tables of predictions hold them: ``배송 -1, 디자인 2``, ``본품#품질 positive``.

    Aspects and grades of the task may hold spaces and commas. An empty cell says that there is no aspect.

    Raises:
        DataError: a part is not an aspect of the task and one of its grades, or is so in two ways.
    """
    found: list[AspectLabel] = []
    parts = cell.split(",") if cell.strip() else []
    begin = 0
    for end in range(1, len(parts) + 1):
        ways = _graded(",".join(parts[begin:end]), labels)
        if len(ways) == 1:
            found += ways
            begin = end
    if begin < len(parts):
        word, task = parts[begin].strip()[:40], labels.task
        example = f"{task.keys[0]} {task.sentiment_keys[0]}" if task is not None and task.sentiments else "배송 -1"
        raise DataError(
            f"'{word}'을(를) '속성 감성'으로 읽을 수 없습니다. 예: {example}",
            f"'{word}' is not an aspect and its grade, as in: {example}",
        )
    return tuple(found)


def _graded(text: str, labels: LabelReader) -> list[AspectLabel]:
    """Every way to read a text as an aspect and a grade with a space between them."""
    words = text.split()
    found = []
    for cut in range(1, len(words)):
        with contextlib.suppress(TaskMismatch):
            found.append(labels.aspect(" ".join(words[:cut]), " ".join(words[cut:])))
    return found


def completion_text(aspects: Iterable[AspectLabel]) -> str:
    """Aspects as a completion: ``스타일 1, 만족도 2``."""
    return ", ".join(f"{item.aspect} {item.sentiment}" for item in aspects)


def label_words(value: Any) -> tuple[str, ...] | None:
    """The words of a cell, not yet resolved; ``None`` if it is empty.

    Raises:
        DataError: not a word, a number or a list of them.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            try:
                listed = json.loads(value)
            except ValueError:
                listed = None
            if isinstance(listed, list):
                return label_words(listed)
        return tuple(word.strip() for word in _SPLIT.split(value) if word.strip())
    if isinstance(value, (list, tuple)):
        return tuple(_word(item) for item in value)
    return (_word(value),)


def labels_cell(labels: Sequence[str] | None) -> str:
    """Labels as the text of one cell; ``LabelReader.cell`` reads it back (``[]`` = labelled with none)."""
    if labels is None:
        return ""
    if not labels or any(_SPLIT.search(label) or label != label.strip() or label[:1] in ("[", "") for label in labels):
        return json.dumps(list(labels), ensure_ascii=False)
    return SEPARATOR.join(labels)


def sentiment_task(task: Task) -> Task:
    """The grades of an aspect task as a task of their own, for looking words up."""
    if len(task.sentiments) == 1:
        return Task(f"{task.name}/sentiment", "multilabel", task.sentiments)
    return Task(f"{task.name}/sentiment", "multiclass", task.sentiments)


def infer_task(examples: Iterable[Example], name: str) -> Task:
    """A task from labels that are still plain words.

    Aspects make an aspect task (grades from worst to best where numbers or 부정/중립/긍정 tell, else sorted);
    exactly one label on every labelled row a multiclass task; anything else a multilabel one. Labels are
    sorted, numbers by value.

    Raises:
        DataError: no row has a label, or there is only one label to choose from.
    """
    labels: set[str] = set()
    grades: set[str] = set()
    single = True
    labelled = False
    for example in examples:
        if example.aspects is not None:
            labelled = True
            labels.update(item.aspect for item in example.aspects)
            grades.update(item.sentiment for item in example.aspects)
        elif example.labels is not None:
            labelled = True
            labels.update(example.labels)
            single = single and len(example.labels) == 1
    if not labelled or not labels:
        raise DataError(
            "라벨이 있는 행이 없어 과제를 알 수 없습니다. --label-column으로 라벨 열을, 또는 --task로 과제를 알려 주세요.",
            "no row has a label, so the task cannot be told; name the label column with --label-column, or the task with --task",
        )
    if grades:
        return Task(name, "aspect", _labels(_sorted(labels)), _labels(_grades(grades)))
    if single and len(labels) == 1:
        raise DataError(
            f"라벨이 '{next(iter(labels))}' 하나뿐이라 고를 것이 없습니다. --label-column이 맞는지 보거나 --task를 쓰세요.",
            f"'{next(iter(labels))}' is the only label, so there is nothing to choose; check --label-column or give --task",
        )
    return Task(name, "multiclass" if single else "multilabel", _labels(_sorted(labels)))


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise DataError(
        f"라벨은 글자나 정수여야 하는데 {value!r}입니다.", f"a label is a word or a whole number, got {value!r}"
    )


def _labels(keys: Iterable[str]) -> tuple[Label, ...]:
    return tuple(Label(key) for key in keys)


def _sorted(words: set[str]) -> list[str]:
    if all(re.fullmatch(r"[+-]?\d{1,9}", word) for word in words):
        return sorted(words, key=lambda word: (int(word), word))
    return sorted(words)


def _grades(words: set[str]) -> list[str]:
    if all(word in _GRADES for word in words):
        return sorted(words, key=lambda word: (_GRADES[word], word))
    return _sorted(words)
