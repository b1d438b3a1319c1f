"""Which column is what: names matched in NFC without regard to case and spacing, guessed where nobody said."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from maeum.errors import DataError
from maeum.formats.options import ReadOptions

TEXT = (
    "text", "발화문", "문장", "sentence", "document", "review", "리뷰", "내용", "본문", "form", "sentence_form",
    "comments", "comment", "question", "댓글", "후기", "발화", "content", "텍스트", "raw_text", "rawtext",
)  # fmt: skip
LABEL = (
    "labels", "label", "감정", "emotions", "emotion", "emo", "라벨", "레이블", "정답", "상황", "감성", "긍부정",
    "sentiment", "polarity", "class", "category",
)  # fmt: skip
TARGET = ("target", "target_form", "대상")
BEGIN = ("target_begin", "begin")
END = ("target_end", "end")
ID = ("id", "row_id", "wav_id", "review_id", "아이디", "번호")
ASPECTS = ("aspects", "completion")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names, as the file spells them, of the columns that mean something; the rest is ``meta``."""

    text: str
    label: str | None
    target: str | None
    begin: str | None
    end: str | None
    id: str | None
    aspects: str | None
    meta: tuple[str, ...]


def pick_columns(names: Sequence[str], options: ReadOptions) -> Columns:
    """Find the columns among the names of a header or the keys of a row.

    Raises:
        DataError: no text column can be told, or one that was asked for is missing.
    """
    text = _asked(names, options.text_column, "--text-column") or _guess(names, TEXT)
    if text is None:
        raise missing_column("본문", "text", names, "--text-column")
    rest = [name for name in names if name != text]
    label = _asked(names, options.label_column, "--label-column") or _guess(rest, LABEL)
    target = _asked(names, options.target_column, "--target-column") or _guess(rest, TARGET)
    row_id = _asked(names, options.id_column, "--id-column") or _guess(rest, ID)
    begin, end = (_guess(rest, BEGIN), _guess(rest, END)) if target else (None, None)
    aspects = None if options.label_column else _guess(rest, ASPECTS)
    used = {text, label, target, begin, end, row_id, aspects}
    if aspects is not None:
        label = None
    return Columns(
        text=text,
        label=label,
        target=target,
        begin=begin,
        end=end,
        id=row_id,
        aspects=aspects,
        meta=tuple(name for name in names if name not in used),
    )


def find_column(names: Sequence[str], wanted: str, flag: str = "") -> str:
    """The column of that name (NFC, case and spacing do not count).

    Raises:
        DataError: there is none; the sentence lists the columns there are.
    """
    found = _guess(names, (wanted,))
    if found is None:
        raise missing_column(wanted, wanted, names, flag)
    return found


def missing_column(ko: str, en: str, names: Sequence[str], flag: str) -> DataError:
    """The error that says which columns there are and how to choose one."""
    there = ", ".join(f"'{name}'" for name in names if name) or "-"
    hint_ko = f" {flag}으로 고르세요." if flag else " --format이 맞는지 보세요."
    hint_en = f"; choose one with {flag}" if flag else "; check --format"
    return DataError(
        f"'{ko}' 열을 찾을 수 없습니다. 있는 열: {there}.{hint_ko}",
        f"no column '{en}'; the columns are: {there}{hint_en}",
    )


def plain(name: str) -> str:
    """A column name as it is compared: NFC, lower case, no white space."""
    return "".join(unicodedata.normalize("NFC", name).lower().split())


def _asked(names: Sequence[str], wanted: str | None, flag: str) -> str | None:
    if wanted is None:
        return None
    return wanted if wanted in names else find_column(names, wanted, flag)


def _guess(names: Sequence[str], candidates: Sequence[str]) -> str | None:
    table: dict[str, str] = {}
    for name in names:
        table.setdefault(plain(name), name)
    return next((table[plain(word)] for word in candidates if plain(word) in table), None)
