"""How much of a decision the words carry that are said to have made it, beside words picked at random.

Comprehensiveness and sufficiency: DeYoung et al., *ERASER*, ACL 2020 (aclanthology.org/2020.acl-main.408), §4. AOPC:
Samek et al., *Evaluating the visualization of what a deep neural network has learned*, IEEE TNNLS 28(11), 2017.

A probability that stays high without any of the words (a label the model gives to everything) leaves nothing to explain:
the three numbers are then near those of random words, which is what the comparison is for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from maeum.explaining.masking import Mask
from maeum.explaining.scoring import Asked, Floats, Work

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the units taken away or kept, as in ERASER; at least one unit."""
STEPS = 10
"""Most units that AOPC takes away, one after the other."""
RANDOM = 4
"""Random orders that the chance level is the mean of."""


@dataclass(frozen=True)
class Faithfulness:
    """Three measures of one ranking, each beside its mean over random rankings of the same words."""

    comprehensiveness: float
    """Mean drop of the probability when the best 1, 5, 10, 20, 50% of the words are gone: high is good, at most the
    probability itself. (The step of 0%, whose drop is always 0, is left out of the mean.)"""
    sufficiency: float
    """Mean drop when *only* those words are left: near 0 is good, negative means more certain than before."""
    aopc: float
    """Mean drop over the first up to 10 words taken away one after the other, the step of none included."""
    chance_comprehensiveness: float
    chance_sufficiency: float
    chance_aopc: float

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self)


def judge(ask: Asked, orders: Sequence[Sequence[int]], columns: Sequence[int]) -> Work[list[Faithfulness | None]]:
    """How faithful rankings are; ``None`` for a text without words.

    Args:
        orders: for each column a ranking of all units, best first.
        columns: the label each ranking is about.
    """
    if not orders or not orders[0]:
        return [None] * len(orders)
    rng = np.random.default_rng(len(orders[0]))  # the same text gets the same comparison
    shuffled = [rng.permutation(len(orders[0])).tolist() for _ in range(RANDOM)]
    ranked = [_masks(order) for order in (*orders, *shuffled)]
    yield from ask([(), *(mask for masks in ranked for group in masks for mask in group)])
    found: list[Faithfulness | None] = []
    for masks, column in zip(ranked, columns, strict=False):
        own = _measures(ask.known, masks, column)
        chance = np.mean([_measures(ask.known, other, column) for other in ranked[len(orders) :]], axis=0)
        found.append(Faithfulness(*own, *(float(value) for value in chance)))
    return found


def mean(found: Iterable[Faithfulness | None]) -> Faithfulness | None:
    """The mean of every measure; ``None`` if there is nothing to average."""
    rows = [[getattr(item, field.name) for field in fields(Faithfulness)] for item in found if item is not None]
    return Faithfulness(*(float(value) for value in np.mean(rows, axis=0))) if rows else None


def _masks(order: Sequence[int]) -> tuple[list[Mask], list[Mask], list[Mask]]:
    """Masks without the best words, with only the best words, and without one more of them each time."""
    n = len(order)
    sizes = [max(1, math.ceil(share * n)) for share in SHARES]
    return (
        [tuple(sorted(order[:size])) for size in sizes],
        [tuple(sorted(order[size:])) for size in sizes],
        [tuple(sorted(order[:size])) for size in range(min(n, STEPS) + 1)],
    )


def _measures(known: dict[Mask, Floats], masks: Sequence[list[Mask]], column: int) -> tuple[float, float, float]:
    base = known[()][column]
    drops = [float(np.mean([base - known[mask][column] for mask in group])) for group in masks]
    return drops[0], drops[1], drops[2]
