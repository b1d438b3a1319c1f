"""Rows to what the model sees and has to guess: words are hidden, rows become batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from maeum.hf.frame import Frame
from maeum.models.encoder import pad
from maeum.models.windows import Window
from maeum.posttraining.corpus import Bools, Corpus, Ids

HELD_PASS = 0
"""Pass number of the held-out rows' masks; training passes count from 1."""


@dataclass(frozen=True)
class Masking:
    """What is hidden and how: 80% become the mask token, 10% random tokens, 10% stay (Devlin et al. 2019, §3.1).

    The three fates fall on whole units, eojeols or tokens.
    """

    share: float
    whole_word: bool
    mask_id: int
    ordinary: Ids
    """Ids that a random token is drawn from: the vocabulary without special tokens."""
    seed: int

    def __call__(self, ids: Ids, starts: Bools, *, times: int, row: int) -> tuple[Ids, Bools]:
        """The row as the model sees it, and where it has to guess; decided by (seed, times, row) alone."""
        random = np.random.default_rng((self.seed, times, row))
        return mask_row(ids, starts, self, random)


def mask_row(ids: Ids, starts: Bools, how: Masking, random: np.random.Generator) -> tuple[Ids, Bools]:
    """Hide a share of the units of one row.

    The number of units is the share of them, rounded up or down at random so that it is right on average, and at least
    one. A row of a single eojeol is hidden token by token, as nothing would be left to guess it from.

    Args:
        ids: (L,) tokens without special ones, L ≥ 1.
        starts: (L,) where units begin.

    Returns:
        New ids (L,) and where there is something to guess (L,).
    """
    unit = np.arange(len(ids))
    if how.whole_word and starts[1:].any():
        unit = np.cumsum(starts) - int(starts[0])
    n = int(unit[-1]) + 1
    k = min(n, max(1, int(how.share * n + random.random())))
    chosen = np.argsort(random.random(n), kind="stable")[:k]
    fate = np.full(n, 1.0)
    fate[chosen] = random.random(k)
    of_token = fate[unit]
    masked = of_token < 1
    given = ids.copy()
    given[of_token < 0.8] = how.mask_id
    swapped = (of_token >= 0.8) & (of_token < 0.9)
    if swapped.any():
        drawn = random.random(int(swapped.sum())) * len(how.ordinary)
        given[swapped] = how.ordinary[drawn.astype(np.int64)]
    return given, masked


Item = tuple[int, int]
"""(pass, row)"""


class Passes(Sequence[Item]):
    """Rows × passes as one long list: that the loop knows no passes is what makes each draw a function of its place."""

    def __init__(self, rows: Ids, passes: int) -> None:
        self.rows = rows
        self.passes = passes

    def __len__(self) -> int:
        return len(self.rows) * self.passes

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        times, place = divmod(index, len(self.rows))
        return times + 1, int(self.rows[place])


@dataclass(frozen=True)
class Batches:
    """(pass, row) pairs to tensors."""

    corpus: Corpus
    masking: Masking
    frame: Frame

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        """``input_ids``, ``attention_mask``, ``masked``, ``labels`` (n, L), the labels −100 where nothing is asked."""
        import torch

        windows, labels, masks = [], [], []
        for times, row in items:
            ids, starts = self.corpus.row(row)
            given, masked = self.masking(ids, starts, times=times, row=row)
            windows.append(self._framed(given))
            labels.append(ids)
            masks.append(masked)
        tensors = pad(windows, self.frame.pad_id)
        wanted = np.full(tensors["input_ids"].shape, -100, np.int64)
        before = len(self.frame.begin)
        for number, (ids, masked) in enumerate(zip(labels, masks, strict=True)):
            wanted[number, before : before + len(ids)][masked] = ids[masked]
        tensors["labels"] = torch.from_numpy(wanted)
        tensors["masked"] = tensors["labels"] != -100
        tensors["rows"] = [row for _, row in items]
        return tensors

    def plain(self, rows: Sequence[int]) -> dict[str, Any]:
        """Rows as they are."""
        return pad([self._framed(self.corpus.row(row)[0]) for row in rows], self.frame.pad_id)

    def _framed(self, ids: Ids) -> Window:
        whole, types = self.frame.encode(ids.tolist())
        return Window(tuple(whole), tuple(types or ()))
