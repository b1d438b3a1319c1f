"""How to read: options, the report of a reading, and the file that keeps rejected rows."""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

from maeum.errors import DataError, UsageError

log = logging.getLogger("maeum.formats")

OnError = Literal["stop", "skip"]
Gold = Literal["situation", "raters"]

MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class ReadOptions:
    """How a file is read; the defaults fit a file that is what its format says."""

    text_column: str | None = None
    """Column (or JSON key) of the text; guessed if not given."""
    label_column: str | None = None
    """Column of the label or labels; guessed if not given."""
    target_column: str | None = None
    """Column of the target word; guessed if not given."""
    id_column: str | None = None
    """Column of the row id; guessed if not given."""
    on_error: OnError = "stop"
    """``stop`` at the first bad row, or ``skip`` bad rows and go on."""
    rejects: Path | None = None
    """File that skipped rows are appended to, one JSON object a line: ``{"line", "error", "raw"}``."""
    encoding: str | None = None
    """Text encoding; detected (UTF-8, UTF-8 with BOM, UTF-16 with BOM, cp949) if not given."""
    max_line_bytes: int = MAX_LINE_BYTES
    """Longest line, row or text that is read, in bytes; anything longer is an error, read in bounded memory."""
    gold: Gold = "situation"
    """``aihub-speech`` only: label from the 상황 column, or from the five raters' summed intensities."""

    def __post_init__(self) -> None:
        _choice("on_error", self.on_error, get_args(OnError))
        _choice("gold", self.gold, get_args(Gold))
        if self.max_line_bytes < 1:
            raise UsageError("max_line_bytes는 1 이상이어야 합니다.", "max_line_bytes must be at least 1")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise UsageError(
                    f"모르는 인코딩 '{self.encoding}'입니다. utf-8, cp949, utf-16 등을 쓰세요.",
                    f"unknown encoding '{self.encoding}'; use utf-8, cp949, utf-16 …",
                ) from error

    def updated(self, settings: dict[str, Any]) -> ReadOptions:
        """A copy with some settings changed.

        Raises:
            UsageError: no setting has that name; the nearest one is suggested.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in settings:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = close[0] if close else ", ".join(names)
                raise UsageError(
                    f"읽기 설정 '{name}'은(는) 없습니다. 혹시: {hint}",
                    f"no reading option '{name}'; did you mean: {hint}?",
                )
        return dataclasses.replace(self, **settings)


@dataclass
class ReadReport:
    """What a reading came to; filled while rows are read."""

    source: str = ""
    format: str = ""
    encoding: str | None = None
    rows: int = 0
    """Rows that became examples."""
    rejected: int = 0
    """Rows skipped because something was wrong with them."""
    dropped: int = 0
    """Rows that the format itself says to leave out (misspelt emotions of ``aihub-continuous``)."""
    conflicts: int = 0
    """Rows whose annotators differ (``label-studio``)."""
    undecided: int = 0
    """Of them, those that have no labels because no answer has a majority."""
    first_error: str | None = None
    """The sentence of the first rejected row."""
    keep: int = 0
    """How many rejected rows are remembered in ``refused``."""
    refused: list[DataError] = dataclasses.field(default_factory=list)
    """What was wrong with the first of them, each with its line."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("keep", "refused")
        }


class Rejects:
    """Counts bad rows and appends them to the rejects file, which is created only when one comes."""

    def __init__(self, path: Path | None, report: ReadReport) -> None:
        self.path = path
        self.report = report
        self._file: TextIO | None = None

    def add(self, error: DataError, *, line: int | None, raw: object) -> None:
        """Count a row and write it down."""
        self.report.rejected += 1
        if self.report.first_error is None:
            self.report.first_error = str(error)
        if len(self.report.refused) < self.report.keep:
            self.report.refused.append(error)
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
        row = {"line": line, "error": str(error), "raw": raw}
        # ASCII escapes where the row holds what UTF-8 cannot (lone surrogates): the file itself stays valid.
        text = json.dumps(row, ensure_ascii=False, default=str)
        if not _is_utf8(text):
            text = json.dumps(row, default=str)
        self._file.write(text + "\n")

    def close(self) -> None:
        """Close the file and log, once, how many rows were left out."""
        if self._file is not None:
            self._file.close()
            self._file = None
        report = self.report
        if report.rejected:
            where = f" → {self.path}" if self.path else ""
            log.warning("%s: %d rows skipped%s; first: %s", report.source, report.rejected, where, report.first_error)
        if report.dropped:
            log.warning("%s: %d rows left out, as format '%s' says", report.source, report.dropped, report.format)
        if report.conflicts:
            text = "%s: annotators differ on %d rows (the majority stands; meta.conflicts), %d of them without labels"
            log.warning(text, report.source, report.conflicts, report.undecided)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(allowed)
        raise UsageError(
            f"{name}은(는) {choices} 가운데 하나여야 합니다: {value!r}",
            f"{name} is one of {choices}, got {value!r}",
        )
