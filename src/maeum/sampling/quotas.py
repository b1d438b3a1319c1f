"""How many rows each group gets: in proportion to its size, whole numbers that add up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def proportionate(sizes: Ints, total: int) -> Ints:
    """Whole shares (g,) of ``total`` in proportion to ``sizes`` (g,), by largest remainder (Hamilton's method).

    At most as many as there are, so that no group gets more than its size. Ties go to the larger group, then to the first.
    """
    everything = int(sizes.sum())
    total = min(total, everything)
    whole, rest = np.divmod(total * sizes, max(everything, 1))
    shares: Ints = whole.astype(np.int64)
    order = np.lexsort((np.arange(len(sizes)), -sizes, -rest))
    shares[order[: total - int(shares.sum())]] += 1
    return shares


def remaining(quota: Ints, taken: Ints, total: int) -> Ints:
    """What is left of each group's quota (g,) after ``taken`` (g,), cut so that it adds up to at most ``total``.

    A group from which chance took more than its quota makes the others give; the largest give first.
    """
    left: Ints = np.maximum(quota - taken, 0)
    while int(left.sum()) > total:
        left[int(left.argmax())] -= 1
    return left
