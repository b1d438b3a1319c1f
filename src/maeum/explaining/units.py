"""The words of a raw text: spans that are masked one at a time.

Whatever the kind, units do not overlap, cover everything but white space, never reach across white space, never split
what a reader sees as one character, and begin and end where the target does. Offsets count code points of the raw text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, get_args

from maeum._lang import say
from maeum._optional import require
from maeum.analyzer import Analyzer
from maeum.data import Target
from maeum.errors import UsageError
from maeum.models.windows import clean
from maeum.text import TextPrep

UnitKind = Literal["eojeol", "morpheme", "token"]
UNIT_KINDS: tuple[str, ...] = get_args(UnitKind)
Spans = Iterable[tuple[int, int]]

_WORD = re.compile(r"\S+")
_COMPOSED = TextPrep.named("raw", nfc=True)
"""Only NFC: what a morphological analyser needs to read text from a Mac."""


class Unit(NamedTuple):
    """A span of the raw text, ``raw[begin:end] == text``."""

    begin: int
    end: int
    text: str


def cut(text: str, spans: Spans, target: Target | None = None, *, with_target: bool = False) -> tuple[Unit, ...]:
    """Units of a text, in order.

    Args:
        spans: pieces found by an analyser, in any order; they may overlap (했 = 하 + 었) and leave gaps. Their borders
            become borders of units, except inside another piece. None at all: whole eojeols.
        target: its inside belongs to no unit.
        with_target: the whole target is a unit too.
    """
    borders, inside = set[int](), set[int]()
    for begin, end in spans:
        borders.update((begin, end))
        inside.update(range(begin + 1, end))
    places = {place for place in borders - inside if not joined(text, place)}
    if not places and target is None:  # the usual case, quickly
        return tuple(Unit(word.start(), word.end(), word.group()) for word in _WORD.finditer(text))
    held = (target.begin, target.end) if target is not None else (0, 0)
    if held[0] < held[1]:
        places.update(held)
    units = [
        Unit(begin, end, text[begin:end])
        for word in _WORD.finditer(text)
        for begin, end in _pieces(word.start(), word.end(), places)
        if not held[0] <= begin < held[1]
    ]
    if with_target and held[0] < held[1]:
        units.append(Unit(*held, text[slice(*held)]))
        units.sort(key=lambda unit: unit.begin)
    return tuple(units)


def _pieces(begin: int, end: int, places: set[int]) -> Iterator[tuple[int, int]]:
    for place in range(begin + 1, end):
        if place in places:
            yield begin, place
            begin = place
    yield begin, end


def joined(text: str, place: int) -> bool:
    """Whether readers see the characters before and after a place as one (NFD syllables, accents, composed emoji)."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    return (
        unicodedata.category(after)[0] == "M"
        or "\u1160" <= after <= "\u11ff"  # vowels and finals of decomposed Hangul
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\u200d" in (before, after)
        or ("\U0001f1e6" <= after <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff")  # flags
    )


def morphemes(text: str) -> list[tuple[int, int]]:
    """Spans of the morphemes that Kiwi finds (Lee 2024, doi:10.23287/KJDH.2024.1.1.6).

    Raises:
        MissingExtra: kiwipiepy is not installed.
    """
    prepared = _COMPOSED.prepare(text)
    found = _kiwi().tokenize(clean(prepared.text))
    return [prepared.to_raw(token.start, token.start + token.len) for token in found]


@functools.cache
def _kiwi() -> Any:
    return require("kiwipiepy").Kiwi(num_workers=1)


def tokens(text: str, tokenizer: Any, prep: TextPrep) -> list[tuple[int, int]]:
    """Spans of the raw text behind the tokens that a model reads."""
    prepared = prep.prepare(text)
    coded = tokenizer(clean(prepared.text), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans = []
    for begin, end in coded["offset_mapping"]:
        while begin < end and prepared.text[begin].isspace():  # some count the space before a word as part of it
            begin += 1
        if begin < end:
            spans.append(prepared.to_raw(begin, end))
    return spans


def reader_of(model: Any, prep: TextPrep) -> tuple[Any, TextPrep]:
    """The tokenizer of a model, and the preparation of the texts it gets; of an ensemble, those its members share.

    Args:
        prep: of the texts that the model is given.

    Raises:
        UsageError: the model reads no tokens, or its members read different ones.
    """
    found = list(_readers(model, prep))
    if not found:
        kind = getattr(model, "kind", type(model).__name__)
        raise UsageError(
            f"'{kind}' 모델에는 토크나이저가 없습니다. --unit eojeol이나 --unit morpheme을 쓰세요.",
            f"a model of kind '{kind}' has no tokenizer; use --unit eojeol or --unit morpheme",
        )
    first, first_prep = found[0]
    for other, other_prep in found[1:]:
        if other_prep != first_prep or not _alike(first, other):
            raise UsageError(
                "구성원들의 토큰이 서로 다릅니다(토크나이저나 텍스트 정제). --unit eojeol을 쓰거나 구성원 하나의 폴더를 주세요.",
                "the members read different tokens (tokenizer or text preparation); use --unit eojeol, or the folder of "
                "one member",
            )
    return first, first_prep


def _readers(model: Any, prep: TextPrep) -> Iterator[tuple[Any, TextPrep]]:
    """Every tokenizer in a model that knows where its tokens stand, and what prepares its texts."""
    for name in ("tokenizer", "_tokenizer"):
        found = getattr(model, name, None)
        if getattr(found, "is_fast", False):
            yield found, prep
            return
    for member in getattr(model, "members", ()):
        whole = isinstance(member, Analyzer)  # of a vote: it prepares raw texts for itself
        yield from _readers(member.predictor if whole else member, member.prep if whole else prep)


def _alike(one: Any, other: Any) -> bool:
    """Whether two tokenizers cut every text alike."""
    return one is other or one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()


def unit_name(kind: str) -> str:
    """What a kind of unit is called."""
    return {
        "eojeol": say("어절", "eojeol"),
        "morpheme": say("형태소", "morpheme"),
        "token": say("토큰", "token"),
    }[kind]
