"""Sentence vectors for "far from what is known" and "unlike what is picked already".

The best there are: those of a trunk (of the model itself, or of the embedded ``mini``), else hashed n-grams projected at
random, which need no model. A sample says which it used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from maeum.data import Input
from maeum.errors import UsageError
from maeum.folder import embedded

F32 = NDArray[np.float32]


class Vectors(Protocol):
    """Texts in, unit vectors out."""

    name: str
    """What made them, for the report."""

    def __call__(self, texts: Sequence[str]) -> F32:
        """(n, d) of length 1 (or 0 for a text without content)."""
        ...


class NgramVectors:
    """Hashed n-grams of characters, weighted by idf where texts to count are given, projected to ``size`` dimensions.

    Random signs keep angles on average (Johnson & Lindenstrauss 1984; Achlioptas 2003): a cosine moves by about
    1/√size.

    Args:
        known: texts whose n-grams say what is common.
        seed: of the signs.
    """

    name = "ngrams"

    def __init__(self, known: Sequence[str] = (), *, size: int = 256, seed: int = 0) -> None:
        from maeum.models.ngrams import NgramConfig

        self._config = NgramConfig(orders=(2, 3), jamo_orders=(), bits=16)
        rng = np.random.default_rng(seed)
        signs = rng.integers(0, 2, (1 << self._config.bits, size), dtype=np.int8)
        self._signs: F32 = (signs * 2 - 1).astype(np.float32)
        if known:
            df = np.bincount(self._counts(known).indices, minlength=1 << self._config.bits)
            self._signs *= (np.log((1 + len(known)) / (1 + df)) + 1).astype(np.float32)[:, None]

    def __call__(self, texts: Sequence[str]) -> F32:
        """(n, size) unit vectors."""
        counts = self._counts(texts)
        counts.data = 1 + np.log(counts.data)
        return unit(np.asarray(counts @ self._signs, np.float32))

    def _counts(self, texts: Sequence[str]) -> Any:
        from maeum.models.ngrams import count_ngrams

        return count_ngrams([Input(text) for text in texts], self._config, threads=1)


class TrunkVectors:
    """The sentence vectors of a trunk, around their mean over ``known`` (raw encoder vectors all point the same way)."""

    def __init__(self, trunk: Any, name: str, known: Sequence[str] = ()) -> None:
        self.name = name
        self._trunk = trunk
        self._mean: F32 | None = None
        if known:
            self._mean = self._raw(known).mean(0)

    def __call__(self, texts: Sequence[str]) -> F32:
        """(n, h) unit vectors."""
        raw = self._raw(texts)
        return unit(raw if self._mean is None else raw - self._mean)

    def _raw(self, texts: Sequence[str]) -> F32:
        found: F32 = np.asarray(self._trunk.trunk.vectors([Input(text) for text in texts]), np.float32)
        return found


def find_vectors(wanted: str, known: Sequence[str], *, model: Path | None, seed: int) -> Vectors:
    """The vectors to use.

    Args:
        wanted: ``auto`` (the model's own trunk, else ``mini``'s, else n-grams), ``ngrams``, ``mini`` or a folder.
        known: prepared texts to centre or weigh by; a sample of them will do.
        model: folder of the model in use.

    Raises:
        UsageError: what was asked for by name is not there.
    """
    from maeum.models.frozen import find_trunk

    if wanted == "ngrams":
        return NgramVectors(known, seed=seed)
    if wanted != "auto":
        return TrunkVectors(find_trunk(embedded(wanted)), Path(wanted).name, known)
    for name, folder in (("model", model), ("mini", None)):
        try:
            place = embedded("mini") if name == "mini" else folder
            if place is not None:
                return TrunkVectors(find_trunk(place), name, known)
        except UsageError:
            continue  # no trunk there: the next best
    return NgramVectors(known, seed=seed)


def unit(vectors: F32) -> F32:
    """Rows of length 1; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: F32 = vectors / np.maximum(length, 1e-9)
    return found
