"""A text without some of its units, its target still in place.

Three ways to hide a unit:

``delete``   nothing is left of it, and not two spaces either
``circles``  ``○`` for every character: the place and the length stay
``mask``     ``[MASK]``, as in seed projects. Models take special tokens only from themselves, never from a text, so an
             encoder reads its unknown token here, and a linear model five letters
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Literal, get_args

from maeum._lang import say
from maeum.data import Input, Target
from maeum.explaining.units import Unit, UnitKind

MaskKind = Literal["delete", "circles", "mask"]
MASK_KINDS: tuple[str, ...] = get_args(MaskKind)
BEST_MASK: dict[UnitKind, MaskKind] = {"eojeol": "delete", "morpheme": "circles", "token": "circles"}
"""What is done unless told otherwise. Whole eojeols: all three point equally well, and deleting keeps the text natural.
Inside an eojeol, deleting joins what is left into words that are not there, and points worse (``benchmarks/explain.py``,
measured for morphemes with a linear model)."""
CIRCLE = "○"

Mask = tuple[int, ...]
"""Numbers of the units to hide, ascending; ``()`` hides nothing."""


class Masker:
    """Makes the masked versions of one text.

    Args:
        item: raw text; its target, if any, stands between units or is a unit itself.
        units: of ``units.cut``.
    """

    def __init__(self, item: Input, units: Sequence[Unit], kind: MaskKind) -> None:
        self.item = item
        self.units = tuple(units)
        self.kind = kind

    @functools.cached_property
    def gaps(self) -> list[tuple[int, int, str]]:
        """Of each unit: what is taken out of the text, ``[begin, end)``, and what is put there."""
        return [_gap(self.item, unit, self.kind) for unit in self.units]

    def __call__(self, mask: Mask) -> Input:
        """The input without some units. Where they stood before the target, the target moves along."""
        text, target = self.item.text, self.item.target
        parts: list[str] = []
        at = size = 0
        begin = end = -1
        for number in mask:
            gap_begin, gap_end, put = self.gaps[number]
            gap_begin = max(gap_begin, at)  # neighbours may both claim the space between them
            if target is not None and begin < 0 and gap_end > target.begin:
                begin = size + target.begin - at
                # the target is hidden as a whole or not at all
                end = begin + (len(put) if gap_begin == target.begin else target.end - target.begin)
            parts += (text[at:gap_begin], put)
            size += gap_begin - at + len(put)
            at = max(at, gap_end)
        if target is not None and begin < 0:
            begin, end = size + target.begin - at, size + target.end - at
        parts.append(text[at:])
        masked = "".join(parts)
        if target is None:
            return Input(masked, None, self.item.aspect)
        return Input(masked, Target(masked[begin:end], begin, end), self.item.aspect)


def _gap(item: Input, unit: Unit, kind: MaskKind) -> tuple[int, int, str]:
    """What to take out for a unit, and what to put there."""
    text, target = item.text, item.target
    is_target = target is not None and (unit.begin, unit.end) == (target.begin, target.end)
    if kind == "mask":
        return unit.begin, unit.end, "[MASK]"
    if kind == "circles" or is_target:  # a model that is told its target must still find one
        return unit.begin, unit.end, CIRCLE * (unit.end - unit.begin)
    begin, end = unit.begin, unit.end
    low, high = 0, len(text)
    if target is not None and target.begin < target.end:
        low, high = (target.end, high) if target.end <= begin else (low, target.begin)
    if begin == 0 or text[begin - 1].isspace():
        if end < len(text):
            while end < high and text[end].isspace():
                end += 1
        else:
            while begin > low and text[begin - 1].isspace():
                begin -= 1
    return begin, end, ""


def groups(order: Sequence[int], size: int, most: int) -> tuple[list[Mask], bool]:
    """Groups of 2 … ``size`` of the units given to hide together, and whether these are all of them.

    All if there are at most ``most``; else all among the first units of ``order``, as many as fit, and all neighbours
    in the text.
    """
    n, units = len(order), sorted(order)
    sizes = range(2, min(size, n) + 1)
    if sum(math.comb(n, length) for length in sizes) <= most:
        return [mask for length in sizes for mask in itertools.combinations(units, length)], True
    kept = n
    while kept > size and sum(math.comb(kept, length) for length in sizes) > most:
        kept -= 1
    first = sorted(order[:kept])
    found = {mask for length in sizes for mask in itertools.combinations(first, length)}
    runs = (tuple(units[start : start + length]) for length in sizes for start in range(n - length + 1))
    found |= {run for run in runs if run[-1] - run[0] == len(run) - 1}
    return sorted(found), False


def mask_name(kind: MaskKind) -> str:
    """What a way of masking is called."""
    return {
        "delete": say("지우기", "deletion"),
        "circles": say("○로 바꾸기", "circles"),
        "mask": say("[MASK]로 바꾸기", "[MASK]"),
    }[kind]
