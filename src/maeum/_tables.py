"""Tables for a terminal: columns aligned by the width people see, in which a Hangul syllable takes two places."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def display_width(text: str) -> int:
    """How many columns a terminal with a fixed-width font uses: 2 for a Hangul syllable, 0 for a combining mark."""
    total = 0
    for char in unicodedata.normalize("NFC", text):
        if unicodedata.category(char) not in ("Mn", "Me", "Cf"):
            total += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return total


def tidy(text: str) -> str:
    """One line without control characters, which could drive a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain-text table aligned by the columns a terminal uses (a Hangul syllable takes two).

    The first column and every column that holds words are aligned to the left, columns of numbers to the right.
    """
    lined = [[tidy(cell) for cell in row] for row in (heads, *rows)]
    wide = [max(display_width(row[index]) for row in lined) for index in range(len(heads))]
    words = [not index or any(char.isalpha() for row in rows for char in row[index]) for index in range(len(heads))]
    lines = []
    for row in lined:
        gaps = [" " * (wide[index] - display_width(cell)) for index, cell in enumerate(row)]
        lines.append(
            "  ".join(cell + gap if left else gap + cell for cell, gap, left in zip(row, gaps, words, strict=True))
        )
    return "\n".join(line.rstrip() for line in lines)
