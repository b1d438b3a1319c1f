"""Lines out of a body that comes in pieces: never more than one line, and the piece it ends in, is held."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from maeum.data import Example
from maeum.errors import MaeumError
from maeum.formats import ReadOptions
from maeum.formats.ids import row_id
from maeum.formats.lines import Row, Source
from maeum.formats.records import Context, parse_record
from maeum.serving.refusals import Refusal
from maeum.serving.strictjson import loads

Piece = Callable[[], Awaitable[bytes | None]]
"""The next piece of a body; None at its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int
    """Of the line, from 1; blank ones count."""
    row: int
    """Of the row, from 1; blank lines do not count."""
    content: bytes | None
    """None: it was longer than it may be, and left out."""


async def read_lines(piece: Piece, longest: int) -> AsyncIterator[Line]:
    """The lines of a body.

    Args:
        longest: bytes of a line.
    """
    rest, number, row, skipping, ended = b"", 0, 0, False, False
    while not ended:
        part = await piece()
        if part is None:
            part, ended = (b"" if rest.endswith(b"\n") or not (rest or skipping) else b"\n"), True
        *whole, rest = (rest + part).split(b"\n") if not skipping else _after_line_end(part)
        for place, content in enumerate(whole):
            number += 1
            too_long = (skipping and place == 0) or len(content) > longest
            if too_long or content.strip():
                row += 1
                yield Line(number, row, None if too_long else content)
        skipping = skipping and not whole
        if len(rest) > longest:
            rest, skipping = b"", True


def _after_line_end(part: bytes) -> list[bytes]:
    """The pieces of a body after a line that is being left out: its own end comes first, and is empty."""
    _, end, after = part.partition(b"\n")
    return [b"", *after.split(b"\n")] if end else [b""]


class ExampleReader:
    """Lines of our JSONL as examples: as ``maeum predict`` reads them, labels left alone."""

    def __init__(self) -> None:
        self._context = Context(Source(None, ReadOptions()), with_labels=False)

    def read(self, line: Line) -> Example:
        """The example in a line, with an id.

        Raises:
            Refusal: there is none.
        """
        if line.content is None:
            raise Refusal(413, "too_large", "줄이 너무 깁니다.", "the line is too long")
        value = loads(line.content.removeprefix(codecs.BOM_UTF8) if line.number == 1 else line.content)
        try:
            example = parse_record(Row(line.row, line.number, value, value), self._context)
        except MaeumError as error:
            raise Refusal(422, "bad_line", error.ko, error.en) from None
        return example if example.id else replace(example, id=row_id(line.row))
