"""What to mask in one text, and what comes of it.

``full``: every unit by itself. ``quick``, for long texts: stretches of units first, then the units of the stretches
that matter most; the rest share what their stretch was worth, and are never called the best. How often the two agree
on the best word is measured in ``benchmarks/explain.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maeum.explaining import faithfulness, masking
from maeum.explaining.faithfulness import Faithfulness
from maeum.explaining.masking import Mask
from maeum.explaining.scoring import Asked, Floats, Work

LONG = 200
"""Units from which a text is long: quick unless told otherwise."""
BEST, WORST = 8, 1
"""Stretches refined for each label: those whose loss costs the label most, and those whose loss helps it most."""
MOST_GROUPS = 2000
"""Groups of units that are hidden together."""


@dataclass(frozen=True)
class Plan:
    """What is wanted of a text."""

    pick: Callable[[Floats], Sequence[int]]
    """Columns of the labels to explain, from the probabilities (k,) of the whole text."""
    quick: bool | None = None
    """None: only for long texts."""
    leave_out: int = 1
    """Largest group of units hidden together."""
    judge: bool = True
    """Whether to measure faithfulness."""


@dataclass(frozen=True)
class Found:
    """What masking one text with n units says about L labels."""

    base: Floats
    """(k,) probabilities of the whole text, all labels."""
    columns: tuple[int, ...]
    """(L,) labels looked at."""
    without: Floats
    """(n, L) probability without each unit; an estimate where not measured."""
    measured: NDArray[np.bool_]
    """(n,)"""
    groups: tuple[tuple[Mask, Floats], ...]
    """Units hidden together and the probabilities (L,) without them."""
    all_groups: bool
    """Whether these are all the groups there are."""
    faithfulness: tuple[Faithfulness | None, ...]
    """(L,)"""
    quick: bool


def search(n: int, plan: Plan) -> Work[Found]:
    """Look at a text of n units."""
    ask = Asked()
    quick = n >= LONG if plan.quick is None else plan.quick
    size = max(1, round(math.sqrt(n / (BEST + WORST))))
    quick = quick and size > 1  # a short text has no stretches
    stretches = [tuple(range(start, min(start + size, n))) for start in range(0, n, size)]
    first = yield from ask([(), *(stretches if quick else [(number,) for number in range(n)])])
    base, columns = first[0], tuple(plan.pick(first[0]))
    measured = np.full(n, not quick)
    if quick:
        rough = first[1:, columns]
        without = _shared(base[list(columns)], rough, stretches, n)
        chosen = sorted({number for mark in _worth(base[list(columns)] - rough) for number in stretches[mark]})
        refined = yield from ask([(number,) for number in chosen])
        without[chosen], measured[chosen] = refined[:, columns], True
    else:
        without = first[1:, columns]
    ranked = plan.judge or plan.leave_out > 1
    orders = [rank(without[:, label], measured) for label in range(len(columns))] if ranked else []
    sets: list[Mask] = []
    every = True
    if plan.leave_out > 1 and n > 1:
        # the quick mode stays quick: only words it has looked at by themselves
        known = [number for number in _merged(orders) if measured[number]]
        sets, every = masking.groups(known, plan.leave_out, MOST_GROUPS)
    together = (yield from ask(sets)) if sets else np.zeros((0, len(base)))
    judged: list[Faithfulness | None] = [None] * len(columns)
    if plan.judge:
        judged = yield from faithfulness.judge(ask, orders, columns)
    return Found(
        base,
        columns,
        without,
        measured,
        tuple(zip(sets, together[:, columns], strict=True)),
        every,
        tuple(judged),
        quick,
    )


def rank(without: Floats, measured: NDArray[np.bool_]) -> list[int]:
    """Units by the probability that is left without them, lowest first; those that were only estimated come last."""
    return [int(number) for number in np.lexsort((without, ~measured))]


def _shared(base: Floats, rough: Floats, stretches: Sequence[Mask], n: int) -> Floats:
    """(n, L): each unit of a stretch answers for an equal part of its drop."""
    out = np.zeros((n, rough.shape[1]))
    for mask, row in zip(stretches, rough, strict=True):
        out[list(mask)] = base - (base - row) / len(mask)
    return out


def _worth(drops: Floats) -> set[int]:
    """Stretches to look into, given the drops (m, L)."""
    order = np.argsort(-drops, axis=0, kind="stable")
    return {int(number) for number in (*order[:BEST].ravel(), *order[len(order) - WORST :].ravel())}


def _merged(orders: Sequence[Sequence[int]]) -> list[int]:
    """The best units of every label first: one of each in turn."""
    return list(dict.fromkeys(number for place in zip(*orders, strict=True) for number in place))
