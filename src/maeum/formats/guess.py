"""Which format a file is in, said only when its content leaves no doubt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum.errors import DataError, UsageError
from maeum.formats.columns import TEXT, plain
from maeum.formats.jsonrows import json_rows
from maeum.formats.lines import Row, Source
from maeum.formats.options import ReadOptions
from maeum.formats.tables import csv_rows, sheet_cells, tsv_rows

_ROWS_LOOKED_AT = 20


def guess_format(path: Path, options: ReadOptions | None = None, *, content: bytes | None = None) -> str:
    """The format of a file, from its suffix and its first rows.

    Args:
        content: what the file holds, where it is not on disk.

    Raises:
        UsageError: it could be several, or none that is known; the candidates are named.
        DataError: no such file, or it cannot be read.
    """
    source = Source(path, options or ReadOptions(), content=content)
    source.open().close()
    guess = _GUESSERS.get(source.suffix)
    found, candidates = guess(source) if guess else (None, _EVERY)
    if found is None:
        names = ", ".join(candidates)
        raise UsageError(
            f"'{path}'의 형식을 확실히 알 수 없습니다. --format으로 알려 주세요: {names}",
            f"the format of '{path}' cannot be told for certain; name it with --format: {names}",
        )
    return found


Guess = tuple[str | None, Sequence[str]]


def json_format(row: Any) -> str | None:
    """The format whose rows look like this JSON object; ``None`` if there is no telling."""
    if not isinstance(row, dict):
        return None
    given = row.get("input")
    if isinstance(given, dict) and "form" in given:
        return "nikl-ea"
    if "sentence_form" in row:
        return "nikl-sa"
    if "RawText" in row:
        return "aihub-absa"
    if "profile" in row and "talk" in row:
        return "aihub-dialogue"
    if isinstance(row.get("data"), dict) and row.keys() & {"annotations", "predictions"}:
        return "label-studio"
    if "text" in row and "emo" in row:
        return "emo-json"
    aspects = row.get("aspects")
    if isinstance(aspects, list) and "text" in row:
        first = aspects[0] if aspects else None
        theirs = isinstance(first, dict) and {"category", "polarity"} <= first.keys()
        return "mabsa" if theirs or (not aspects and "domain" in row and "labels" not in row) else "jsonl"
    return "jsonl" if {plain(str(key)) for key in row} & {plain(word) for word in TEXT} else None


# -- inside -------------------------------------------------------------------------------------------------


def _first(rows: Callable[[Source], Any], source: Source) -> list[Row]:
    # A fresh Source: a guess must not fix what the reading finds out for itself.
    found: list[Row] = []
    stream = rows(Source(source.path, source.options, content=source.content))
    try:
        for row in stream:
            if row.error is None:
                found.append(row)
            if len(found) >= _ROWS_LOOKED_AT or row.number >= _ROWS_LOOKED_AT:
                break
    finally:
        stream.close()
    return found


def _json(source: Source) -> Guess:
    options = source.options
    rows = _first(json_rows, source)
    if not rows:
        # Nothing parses: our own reader says best what is wrong with it.
        return "jsonl", ()
    found = json_format(rows[0].value)
    if found is None and (options.text_column or not isinstance(rows[0].value, dict)):
        found = "jsonl"
    return found, ("jsonl", "nikl-ea", "nikl-sa", "mabsa", "emo-json", "aihub-dialogue", "aihub-absa", "label-studio")


def _csv(source: Source) -> Guess:
    names, rows = _table(csv_rows, source)
    if {"발화문", "상황", "wav_id"} <= names:
        return "aihub-speech", ()
    if "completion" in names:
        return "completion", ()
    return _public(names, rows, source) or "csv", ()


def _tsv(source: Source) -> Guess:
    names, rows = _table(tsv_rows, source)
    return _public(names, rows, source) or "tsv", ()


def _txt(source: Source) -> Guess:
    try:
        names, rows = _table(tsv_rows, source)
    except DataError:
        return "txt", ()
    # NSMC calls its TSV files ratings_train.txt; other .txt files hold a text a line.
    return ("nsmc" if names == {"id", "document", "label"} and rows else "txt"), ()


def _xlsx(source: Source) -> Guess:
    head = []
    for _, cells in sheet_cells(source):
        head.append([plain(cell) for cell in cells])
        if len(head) >= 5:
            break
    first = [name for name in head[0] if name] if head else []
    if first[:2] == ["sentence", "emotion"] and len(first) == 2:
        return "aihub-short", ()
    if "completion" in first:
        return "completion", ()
    if "감정_대분류" in first and "사람문장1" in first:
        return "aihub-dialogue", ()
    if any("발화" in row and "감정" in row for row in head[1:]):
        return "aihub-continuous", ()
    return "xlsx", ()


def _markdown(source: Source) -> Guess:
    return "completion", ()


def _parquet(source: Source) -> Guess:
    return "parquet", ()


def _table(rows: Callable[[Source], Any], source: Source) -> tuple[set[str], list[Row]]:
    found = _first(rows, source)
    return ({plain(name) for name in found[0].value} if found else set()), found


def _public(names: set[str], rows: list[Row], source: Source) -> str | None:
    if not rows:
        return None
    if names == {"id", "document", "label"}:
        return "nsmc"
    if {"comments", "hate", "bias"} <= names:
        return "korean-hate-speech"
    if names in ({"question", "answer", "label"}, {"q", "a", "label"}):
        return "chatbot" if "question" in names else None
    if names == {"id", "text", "label"} and "sentineg" in str(source.path).lower():
        return "kobest-sentineg"
    if names in ({"id", "text", "labels"}, {"text", "labels"}) and _all_numbers(rows):
        return _numbered_labels(names, source)
    return None


def _all_numbers(rows: list[Row]) -> bool:
    cells = [str(row.value.get("labels", "")) for row in rows]
    return all(cell.replace(",", "").replace(" ", "").isdigit() for cell in cells)


def _numbered_labels(names: set[str], source: Source) -> str:
    """KOTE or GoEmotions: by the ``labels.json`` beside the file, else by KOTE's id column."""
    beside = source.path.parent / "labels.json" if source.path and source.content is None else None
    try:
        labels = json.loads(beside.read_text(encoding="utf-8-sig")) if beside and beside.is_file() else None
    except ValueError:
        labels = None
    if isinstance(labels, Mapping) and isinstance(labels.get("ko"), list) and len(labels["ko"]) == 44:
        return "kote"
    if isinstance(labels, list) and len(labels) == 28:
        return "goemotions"
    return "kote" if "id" in names else "goemotions"


_GUESSERS: dict[str, Callable[[Source], Guess]] = {
    ".jsonl": _json, ".json": _json, ".ndjson": _json, ".csv": _csv, ".tsv": _tsv, ".tab": _tsv, ".txt": _txt,
    ".xlsx": _xlsx, ".xls": _xlsx, ".xlsm": _xlsx, ".md": _markdown, ".markdown": _markdown, ".parquet": _parquet,
}  # fmt: skip
_EVERY = ("jsonl", "csv", "tsv", "xlsx", "parquet", "txt", "nikl-ea", "nikl-sa", "…")
