"""Tables for a terminal: columns aligned by the width people see, in which a Hangul syllable takes two places."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def display_width(text: str) -> int:
    """Terminal columns a text takes."""
    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Mn", "Me") else _wide(char)
        for char in text
    )


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool = True) -> str:
    """Rows under heads: the first column to the left, the others to the right (or all to the left)."""
    shown = [list(heads), *[list(row) for row in rows]]
    widths = [max(display_width(row[column]) for row in shown) for column in range(len(heads))]
    lines = []
    for row in shown:
        cells = []
        for column, cell in enumerate(row):
            pad = " " * (widths[column] - display_width(cell))
            cells.append(pad + cell if right and column else cell + pad)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _wide(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
