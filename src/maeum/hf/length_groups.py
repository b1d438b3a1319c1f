"""Batches of texts of similar length, so that little is padded, in an order that a resumed run sees again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def length_grouped_sampler(lengths: Sequence[int], batch_size: int, *, seed: int, grouped: bool = True) -> Any:
    """A sampler whose batches hold rows of similar length, in an order that only the seed and the epoch decide.

    Rows are shuffled, cut into stretches of fifty batches, sorted by length inside each, and the batches of a stretch
    are shuffled again. (transformers' own sampler leaves them sorted, so that every stretch runs from long to short,
    and draws from the global random state, so that a resumed run sees another order.) The batch of the longest rows of
    all comes first: a run that will not fit into memory fails at once.
    """
    import torch
    from torch.utils.data import Sampler

    class LengthGrouped(Sampler[int]):  # type: ignore[misc, unused-ignore]
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __len__(self) -> int:
            return len(lengths)

        def __iter__(self) -> Iterator[int]:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + self.epoch)
            order = torch.randperm(len(lengths), generator=generator).tolist()
            if not grouped:
                return iter(order)
            return iter(_by_length(order, lengths, batch_size, generator))

    return LengthGrouped()


def _by_length(order: list[int], lengths: Sequence[int], batch_size: int, generator: torch.Generator) -> list[int]:
    import torch

    stretch = 50 * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda row: -lengths[row])
        cut = [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        batches += [cut[i] for i in torch.randperm(len(cut), generator=generator).tolist()]
    # a short batch anywhere but at the end would shift the cuts of the batch sampler after it
    short = [batch for batch in batches if len(batch) < batch_size]
    batches = [batch for batch in batches if len(batch) == batch_size]
    if batches:
        longest = max(range(len(batches)), key=lambda i: max(lengths[row] for row in batches[i]))
        batches.insert(0, batches.pop(longest))
    return [row for batch in batches + short for row in batch]
