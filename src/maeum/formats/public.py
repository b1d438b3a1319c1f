"""Public Korean corpora: NSMC, KOTE, GoEmotions-ko, M-ABSA, KoBEST SentiNeg, korean-hate-speech, Chatbot_data.

Their TSV files are UTF-8 with a header and without quoting. Licences and row counts: ``docs/formats.md``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from maeum.data import AspectLabel, Example
from maeum.errors import DataError
from maeum.formats.columns import find_column, plain
from maeum.formats.lines import Row, Source
from maeum.formats.records import Context, Parse, Rows, Unreadable, as_id, as_object, as_text, need
from maeum.formats.tables import table_rows, tsv_rows
from maeum.formats.targets import locate
from maeum.task import builtin_task

MABSA_DOMAINS = ("restaurant", "hotel", "phone", "laptop", "food", "sight", "coursera")
_QUOTED = (".csv", ".xlsx", ".parquet")


def public_rows(source: Source) -> Iterator[Row]:
    """Rows of a public table: TSV without quoting, unless the suffix says CSV, xlsx or Parquet."""
    return table_rows(source) if source.suffix in _QUOTED else tsv_rows(source)


def headless_rows(*layouts: tuple[str, ...]) -> Rows:
    """Rows of a public table that some copies have without its header line.

    Args:
        layouts: column names of such copies, told apart by their number.
    """

    def unnamed(cells: Sequence[str]) -> Sequence[str] | None:
        if "text" in {plain(cell) for cell in cells}:
            return None
        return next((names for names in layouts if len(names) == len(cells)), None)

    def rows(source: Source) -> Iterator[Row]:
        return public_rows(source) if source.suffix in _QUOTED else tsv_rows(source, unnamed=unnamed)

    return rows


def column_parser(text: str, label: str, *, convert: Callable[[str], tuple[str, ...]] | None = None) -> Parse:
    """A parser for tables whose text and label columns have known names.

    Args:
        text: name of the text column.
        label: name of the label column; rows are not labelled if there is none.
        convert: label cell → label words; without it, the cell is the label.
    """

    def parse(row: Row, context: Context) -> Example:
        record = as_object(row)
        names = tuple(record)
        try:
            text_name = find_column(names, context.options.text_column or text, "--text-column")
        except DataError as error:
            raise Unreadable(error.ko, error.en) from error
        label_name = context.options.label_column or label
        labels = None
        if context.with_labels and label_name in record:
            cell = str(record[label_name]).strip()
            if cell:
                labels = context.labels.words(convert(cell)) if convert else context.labels.cell(cell)
        meta = {key: value for key, value in record.items() if key not in (text_name, label_name, "id")}
        return Example(as_id(record.get("id")), as_text(record[text_name], text_name), None, labels, None, meta)

    return parse


def numbered(task: str) -> Callable[[str], tuple[str, ...]]:
    """Reads ``3,7`` as the labels with these numbers in a built-in task; words pass as they are.

    Raises:
        DataError: a number that no label has.
    """

    def convert(cell: str) -> tuple[str, ...]:
        keys = builtin_task(task).keys
        words = []
        for part in cell.split(","):
            word = part.strip()
            if not word:
                continue
            if word.isascii() and word.isdigit():
                if int(word) >= len(keys):
                    raise DataError(
                        f"라벨 번호 {word}은(는) '{task}'에 없습니다. 번호는 0–{len(keys) - 1}입니다.",
                        f"'{task}' has no label number {word}; they are 0–{len(keys) - 1}",
                    )
                word = keys[int(word)]
            words.append(word)
        return tuple(words)

    return convert


def parse_mabsa(row: Row, context: Context) -> Example:
    """A row of M-ABSA: ``{"id", "domain", "text", "aspects": [{"term", "begin", "end", "category", "polarity"}]}``.

    A term whose offsets are missing is located in the text; a few do not occur there (translation) and get no
    span, as the words they name cannot be pointed at.
    """
    record = as_object(row)
    text = as_text(need(record, "text"), "text")
    aspects = None
    listed = record.get("aspects") if context.with_labels else None
    if listed is not None:
        if not isinstance(listed, list):
            raise DataError("aspects는 목록이어야 합니다.", f"aspects is a list, got {type(listed).__name__}")
        aspects = tuple(_mabsa_aspect(item, text, context) for item in listed)
    meta = {key: value for key, value in record.items() if key not in ("id", "text", "aspects")}
    return Example(as_id(record.get("id")), text, None, None, aspects, meta)


def mabsa_task(path: Path) -> str | None:
    """Built-in task of a file of M-ABSA, from the domain of its first row, else from its name."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            row = json.loads(file.readline())
        domain = row.get("domain") if isinstance(row, dict) else None
    except (OSError, ValueError):
        domain = None
    if domain not in MABSA_DOMAINS:
        domain = next((name for name in MABSA_DOMAINS if name in path.name.lower()), None)
    return f"mabsa-{domain}" if domain else None


def _mabsa_aspect(item: Any, text: str, context: Context) -> AspectLabel:
    if not isinstance(item, dict):
        raise DataError("aspects의 항목은 객체여야 합니다.", f"an aspect is an object, got {type(item).__name__}")
    category = as_text(need(item, "category"), "category")
    polarity = as_text(need(item, "polarity"), "polarity")
    term, begin, end = item.get("term"), item.get("begin"), item.get("end")
    if isinstance(term, str) and term and not (isinstance(begin, int) and text[begin:end] == term):
        found = locate(text, term)
        begin, end = (found.begin, found.end) if found else (None, None)
    if not term or not isinstance(begin, int) or not isinstance(end, int):
        begin = end = None
    return context.labels.aspect(category, polarity, begin, end)
