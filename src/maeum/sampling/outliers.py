"""How far a text lies from everything the model was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
REFERENCES = 4096
"""Training texts that stand for all of them."""
_NEIGHBOURS = 5


class Known:
    """Training vectors to measure distances from.

    Args:
        vectors: (m, d) of length 1, m ≥ 1.
    """

    def __init__(self, vectors: F32) -> None:
        self._vectors = vectors

    def distance(self, vectors: F32) -> NDArray[np.float64]:
        """(n,) mean cosine distance, 0–2, to the nearest 5 (Ramaswamy, Rastogi & Shim 2000 rank outliers so)."""
        near = min(_NEIGHBOURS, len(self._vectors))
        similar = vectors @ self._vectors.T
        best = np.partition(similar, -near, axis=1)[:, -near:]
        return np.asarray(1 - best.mean(1), np.float64)
