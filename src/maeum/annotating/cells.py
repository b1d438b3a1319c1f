"""What people write into the cells of a label sheet: yes and no in many spellings, labels, grades."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from maeum.data import AspectLabel
from maeum.errors import DataError, TaskMismatch
from maeum.task import Label, Task

YES, NO = "O", "X"
"""What the drop-downs offer: ○ and × as people in Korea mark them."""
_YES = frozenset(
    {"o", "0o", "ㅇ", "ㅇㅇ", "○", "◯", "⭕", "v", "✓", "✔", "√", "y", "yes", "1", "true", "예", "네", "응", "해당"}
)
_NO = frozenset({"x", "ㄴ", "×", "✕", "❌", "n", "no", "0", "false", "아니오", "아니요", "아님", "-"})
DONE = "완료"
_DONE = frozenset({"완료", "done", "ok", "끝", *_YES})


def clean(cell: str) -> str:
    """A cell as it is compared: NFC (but ＯＸ and １ as O, X and 1), white space at the ends and runs of it gone."""
    return " ".join(unicodedata.normalize("NFKC", cell).replace("\u200b", "").split())


def yes_or_no(cell: str, label: Label) -> bool | None:
    """Whether a cell gives a label; None if it is blank.

    Raises:
        DataError: it says neither.
    """
    word = clean(cell).lower()
    if not word:
        return None
    if word in _YES or word in {clean(name).lower() for name in (label.key, label.ko, label.en) if name}:
        return True
    if word in _NO:
        return False
    raise DataError(
        f"'{_short(cell)}'은(는) {YES}도 {NO}도 아닙니다. 해당하면 {YES}, 아니면 {NO}나 빈칸으로 두세요.",
        f"'{_short(cell)}' is neither {YES} nor {NO}; write {YES} where the label applies, {NO} or nothing where not",
    )


def is_done(cell: str) -> bool:
    """Whether the cell says that the row is finished.

    Raises:
        DataError: it says something else.
    """
    word = clean(cell).lower()
    if word and word not in _DONE and word not in _NO:
        raise DataError(
            f"'{_short(cell)}'은(는) 알 수 없습니다. 다 보았으면 {DONE}, 아니면 빈칸으로 두세요.",
            f"'{_short(cell)}' is not known here; write {DONE} when the row is finished, else nothing",
        )
    return word in _DONE


def one_label(cell: str, task: Task) -> str | None:
    """The label a cell names by key, name or alias; None if it is blank.

    Raises:
        DataError: no label of the task; the nearest is suggested.
    """
    word = clean(cell)
    if not word:
        return None
    try:
        return task.resolve(word)
    except TaskMismatch:
        for label in task.labels:
            if word.lower() == clean(shown(label)).lower():
                return label.key
        raise


def grade(cell: str, task: Task) -> str | None:
    """The grade a cell gives an aspect; None if it is blank.

    Raises:
        DataError: no grade of the task.
    """
    word = clean(cell).replace("−", "-").replace("–", "-").removeprefix("+")
    if not word:
        return None
    if word.endswith(".0"):
        word = word[:-2]
    for label in task.sentiments:
        if word.lower() in {clean(name).lower() for name in (label.key, label.ko, label.en, *label.aliases) if name}:
            return label.key
    keys = ", ".join(task.sentiment_keys)
    raise DataError(
        f"'{_short(cell)}'은(는) 등급이 아닙니다. {keys} 가운데 하나를 쓰거나, 말하지 않은 속성이면 비워 두세요.",
        f"'{_short(cell)}' is no grade; write one of {keys}, or nothing for an aspect the text does not mention",
    )


def shown(label: Label) -> str:
    """A label's heading: its Korean name, and its key where that differs."""
    return label.key if label.name("ko") == label.key else f"{label.name('ko')} ({label.key})"


def in_words(labels: Sequence[str] | None, aspects: Sequence[AspectLabel] | None) -> str:
    """An answer as one cell, to tell whether people changed what a model filled in; ``-`` for "nothing applies"."""
    words = [f"{item.aspect} {item.sentiment}" for item in aspects or ()] if labels is None else list(labels)
    return ", ".join(words) or "-"


def _short(cell: str) -> str:
    return cell if len(cell) <= 30 else cell[:30] + "…"
