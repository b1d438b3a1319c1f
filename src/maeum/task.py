"""What a model decides: named, ordered labels and how they combine.

The order of ``Task.labels`` is the order of columns everywhere: in ``y``, in probabilities, in files and plots.
Built-in tasks are data files (``tasks/*.toml``); people write their own in the same form.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maeum._files import canonical_json, sha256_text
from maeum.errors import TaskMismatch, UsageError

Kind = Literal["multilabel", "multiclass", "aspect"]


@dataclass(frozen=True)
class Label:
    """One label: its key in data and files, its names for display, and how an annotator decides on it."""

    key: str
    ko: str = ""
    """Name shown in Korean; the key if empty."""
    en: str = ""
    """Name shown in English; the key if empty."""
    aliases: tuple[str, ...] = ()
    """Other spellings that data files use for it."""
    guideline: str = ""
    """When to give this label, for annotators."""
    description: str = ""
    """What a model that reads its labels is told beside the name, such as an aspect it was not trained on."""

    def name(self, language: str) -> str:
        """The display name in ``"ko"`` or ``"en"``."""
        return (self.ko if language == "ko" else self.en) or self.key


@dataclass(frozen=True)
class Task:
    """Ordered labels and how they combine.

    ``multilabel``: any number of labels, independent probabilities. ``multiclass``: exactly one, probabilities
    sum to 1. ``aspect``: ``labels`` are aspects (any number), each with one of ``sentiments``.
    """

    name: str
    kind: Kind
    labels: tuple[Label, ...]
    sentiments: tuple[Label, ...] = ()
    """Grades of an aspect task, from most negative to most positive; empty for the other kinds."""
    targeted: bool = False
    """Whether the labels are about a target span of the text."""
    description: str = ""
    _index: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            kinds = ", ".join(get_args(Kind))
            raise UsageError(
                f"과제 종류는 {kinds} 가운데 하나여야 합니다: {self.kind!r}",
                f"the kind of a task is one of {kinds}, got {self.kind!r}",
            )
        if not self.labels:
            raise UsageError(f"과제 '{self.name}'에 라벨이 없습니다.", f"task '{self.name}' has no labels")
        if self.kind == "multiclass" and len(self.labels) < 2:
            raise UsageError(
                f"과제 '{self.name}': 하나를 고르려면 라벨이 둘 이상이어야 합니다.",
                f"task '{self.name}': a multiclass task needs at least two labels",
            )
        if (self.kind == "aspect") != bool(self.sentiments):
            raise UsageError(
                f"과제 '{self.name}': sentiments는 kind = \"aspect\"일 때만, 그리고 그때는 반드시 필요합니다.",
                f"task '{self.name}': sentiments belong to aspect tasks, and aspect tasks need them",
            )
        _unique([label.key for label in self.labels], self.name)
        _unique([label.key for label in self.sentiments], self.name)
        object.__setattr__(self, "_index", _spellings(self.labels, self.name))

    # -- labels ---------------------------------------------------------------------------------------------

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """Label keys in column order."""
        return tuple(label.key for label in self.labels)

    @functools.cached_property
    def sentiment_keys(self) -> tuple[str, ...]:
        """Sentiment keys in column order; empty unless the task is an aspect task."""
        return tuple(label.key for label in self.sentiments)

    def __len__(self) -> int:
        return len(self.labels)

    def resolve(self, word: str) -> str:
        """The key for a key, a name or an alias.

        Raises:
            TaskMismatch: no label is spelt so; the nearest spelling is suggested.
        """
        index = self._index.get(word)
        if index is None:
            index = self._index.get(word.strip().lower())
        if index is None:
            raise self._unknown(word)
        return self.labels[index].key

    def index(self, word: str) -> int:
        """Column of a label, given by key, name or alias."""
        return self.keys.index(self.resolve(word))

    def _unknown(self, word: str) -> TaskMismatch:
        close = _nearest(word, self._index)
        shown = ", ".join(self.keys[:10]) + (", …" if len(self) > 10 else "")
        hint_ko = f" '{close[0]}'을(를) 쓰려고 하셨나요?" if close else f" 있는 라벨: {shown}"
        hint_en = f" did you mean '{close[0]}'?" if close else f" its labels are: {shown}"
        return TaskMismatch(
            f"라벨 '{_short(word)}'은(는) 과제 '{self.name}'에 없습니다.{hint_ko}",
            f"label '{_short(word)}' is not in task '{self.name}';{hint_en}",
        )

    # -- rows -----------------------------------------------------------------------------------------------

    def order(self, words: Iterable[str]) -> tuple[str, ...]:
        """Label keys, each once, in column order.

        Raises:
            TaskMismatch: an unknown label, or not exactly one label in a multiclass task.
        """
        found = {self.index(word) for word in words}
        if self.kind == "multiclass" and len(found) != 1:
            raise TaskMismatch(
                f"과제 '{self.name}'은(는) 라벨이 정확히 하나여야 하는데 {len(found)}개입니다.",
                f"task '{self.name}' takes exactly one label a row, got {len(found)}",
            )
        return tuple(self.keys[index] for index in sorted(found))

    def encode(self, words: Iterable[str]) -> NDArray[np.uint8]:
        """One row of ``y``: (k,) zeros and ones in column order."""
        row = np.zeros(len(self), dtype=np.uint8)
        for word in words:
            row[self.index(word)] = 1
        return row

    def decode(self, row: NDArray[Any] | Sequence[int]) -> tuple[str, ...]:
        """The label keys of one row of zeros and ones (k,), in column order."""
        return tuple(key for key, on in zip(self.keys, row, strict=True) if on)

    # -- as data --------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON/TOML data; ``from_dict`` reads it back."""
        data: dict[str, Any] = {"name": self.name, "kind": self.kind, "targeted": self.targeted}
        if self.description:
            data["description"] = self.description
        data["labels"] = [_label_dict(label) for label in self.labels]
        if self.sentiments:
            data["sentiments"] = [_label_dict(label) for label in self.sentiments]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Task:
        """A task from plain data.

        Raises:
            UsageError: a key is missing or unknown.
        """
        allowed = {"name", "kind", "labels", "sentiments", "targeted", "description"}
        _only(data, allowed, "task")
        missing = [key for key in ("name", "kind", "labels") if key not in data]
        if missing:
            raise UsageError(
                f"과제 파일에 {', '.join(missing)} 항목이 없습니다.", f"the task lacks: {', '.join(missing)}"
            )
        return cls(
            name=str(data["name"]),
            kind=data["kind"],
            labels=tuple(_label(item) for item in data["labels"]),
            sentiments=tuple(_label(item) for item in data.get("sentiments", ())),
            targeted=bool(data.get("targeted", False)),
            description=str(data.get("description", "")),
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of what changes meaning: name, kind, label and sentiment keys in order."""
        return sha256_text(canonical_json([self.name, self.kind, self.keys, self.sentiment_keys, self.targeted]))[:16]


def builtin_task_names() -> tuple[str, ...]:
    """Names of the tasks that come with the package."""
    files = (resources.files("maeum") / "tasks").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


@functools.cache
def builtin_task(name: str) -> Task:
    """A task that comes with the package."""
    text = (resources.files("maeum") / "tasks" / f"{name}.toml").read_text(encoding="utf-8")
    return Task.from_dict(tomllib.loads(text))


def get_task(name_or_path: str) -> Task:
    """A built-in task by name, or a task file (``.toml``) by path.

    Raises:
        UsageError: neither; the nearest built-in name is suggested.
    """
    if name_or_path in builtin_task_names():
        return builtin_task(name_or_path)
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        try:
            return Task.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path}: TOML로 읽을 수 없습니다: {error}", f"{path}: cannot be read as TOML: {error}"
            ) from error
    names = ", ".join(builtin_task_names())
    raise UsageError(
        f"과제 '{name_or_path}'을(를) 찾을 수 없습니다. 내장 과제: {names}. 직접 만든 과제는 .toml 파일 경로를 쓰세요.",
        f"no task '{name_or_path}'; built in: {names}. For your own, give the path of a .toml file",
    )


def _nearest(word: str, spellings: Iterable[str]) -> list[str]:
    """The closest spelling, compared letter by letter (jamo): 기뿜 and 기쁨 share five of six."""
    letters = {unicodedata.normalize("NFD", spelling): spelling for spelling in spellings}
    close = difflib.get_close_matches(unicodedata.normalize("NFD", word[:100]), letters, n=1, cutoff=0.7)
    return [letters[found] for found in close]


def _label(item: Any) -> Label:
    if isinstance(item, str):
        return Label(item)
    _only(item, {"key", "ko", "en", "aliases", "guideline", "description"}, "label")
    return Label(
        key=str(item["key"]),
        ko=str(item.get("ko", "")),
        en=str(item.get("en", "")),
        aliases=tuple(str(alias) for alias in item.get("aliases", ())),
        guideline=str(item.get("guideline", "")).strip(),
        description=str(item.get("description", "")).strip(),
    )


def _label_dict(label: Label) -> dict[str, Any]:
    data: dict[str, Any] = {"key": label.key}
    for name in ("ko", "en", "guideline", "description"):
        if getattr(label, name):
            data[name] = getattr(label, name)
    if label.aliases:
        data["aliases"] = list(label.aliases)
    return data


def _only(data: Mapping[str, Any], allowed: set[str], what: str) -> None:
    for key in data:
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            hint_ko = f" '{close[0]}'인가요?" if close else f" 쓸 수 있는 항목: {', '.join(sorted(allowed))}"
            hint_en = f" did you mean '{close[0]}'?" if close else f" allowed: {', '.join(sorted(allowed))}"
            raise UsageError(f"{what}: 모르는 항목 '{key}'.{hint_ko}", f"{what}: unknown key '{key}';{hint_en}")


def _unique(keys: Sequence[str], task: str) -> None:
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise UsageError(
            f"과제 '{task}'에 라벨 {', '.join(sorted(twice))}이(가) 두 번 있습니다.",
            f"task '{task}' has a label twice: {', '.join(sorted(twice))}",
        )


def _spellings(labels: Sequence[Label], task: str) -> dict[str, int]:
    """Every accepted spelling → column. Keys win over names, and a spelling of two labels counts for neither."""
    table = {label.key: column for column, label in enumerate(labels)}
    claimed: dict[str, set[int]] = {}
    for column, label in enumerate(labels):
        for word in (label.key.lower(), label.ko, label.en, label.en.lower(), *label.aliases):
            if word:
                claimed.setdefault(word, set()).add(column)
    for word, columns in claimed.items():
        if word not in table and len(columns) == 1:
            table[word] = min(columns)
    return table


def _short(word: str, limit: int = 40) -> str:
    return word if len(word) <= limit else word[:limit] + "…"
