"""Answers that list labels (``기쁨, 기대``): their tokens, and the probability that a label is in the list.

A list is put together from pieces, ``first`` word then ``later`` words with their comma, each tokenized on its own, so
that what is learnt and what is asked are the same tokens whatever the tokenizer would merge. Labels stand in the order
of the task, the end of the text token closes the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]
Floats = NDArray[np.float64]
Score = Callable[[Sequence[Ids], Sequence[Ids]], Floats]
"""(n prompts, m answers) -> (n, m) log-probabilities."""


@dataclass(frozen=True)
class ListWords:
    """The pieces of list answers."""

    first: tuple[Ids, ...]
    """(k,) tokens of each label's word where it begins a list."""
    later: tuple[Ids, ...]
    """(k,) tokens of a comma and each label's word."""
    none: Ids
    """The word for no label at all; empty where nothing but the end stands for it."""
    end: Ids
    """What closes a list."""

    def answer(self, columns: Sequence[int]) -> Ids:
        """Tokens of a list of labels, given by their columns in ascending order; of none, the word that says so."""
        if not len(columns):
            return self.none + self.end
        found = list(self.first[columns[0]])
        for column in columns[1:]:
            found += self.later[column]
        return tuple(found) + self.end


def list_probabilities(prompts: Sequence[Ids], words: ListWords, score: Score) -> Floats:
    """(n, k) log of how probable it is that a label is in the list.

    The list is followed along its most probable course: at each place the labels that may still come, and the end,
    share the probability, and what a label gets there counts as far as the course is reached. Lists that leave that
    course are not followed, so a probability is a lower bound of the true one and close to it where the model is sure.
    """
    n, k = len(prompts), len(words.first)
    inside = np.zeros((n, k))
    reached = np.ones(n)
    last = np.full(n, -1)
    ids = [tuple(prompt) for prompt in prompts]
    going = np.arange(n)
    while len(going):
        starting = last[going[0]] < 0
        options = (*words.first, words.none or words.end) if starting else (*words.later, words.end)
        logp = score([ids[row] for row in going], options)
        # a list keeps the task's order, so nothing up to its last label can come again
        logp[:, :k][np.arange(k)[None, :] <= last[going][:, None]] = -np.inf
        share = np.exp(logp - logp.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        inside[going] += reached[going, None] * share[:, :k]
        best = share.argmax(1)
        on = best < k
        for row, column in zip(going[on].tolist(), best[on].tolist(), strict=True):
            ids[row] = ids[row] + options[column]
            last[row] = column
        reached[going] *= share.max(1)
        going = going[on & (last[going] < k - 1)]
    with np.errstate(divide="ignore"):
        result: Floats = np.log(np.minimum(inside, 1.0))
    return result
