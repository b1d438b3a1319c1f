"""How unusual the words of a text are: subword tokens that the training text hardly knows.

Seed 004's criterion: a subword tokenizer is trained on the training text; what it cannot spell (``<unk>``) and what it
spells with late ids (a vocabulary is ordered by when a piece was merged, frequent pieces first) is rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = 0
"""Id of ``<unk>``."""
_SIZE = 8000
_LATE = 0.5
"""Ids from this share of the vocabulary on count as late."""
_PRIOR = 5
"""Ordinary tokens that every text is given, so that a text of one rare word does not count as all rare."""


class TrainingWords:
    """A byte-pair vocabulary of the training text, and how well it knows other texts.

    Args:
        texts: prepared training texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        self._tokenizer: Any = Tokenizer(models.BPE(unk_token="<unk>"))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=_SIZE, special_tokens=["<unk>"], min_frequency=2, limit_alphabet=2000, show_progress=False
        )
        self._tokenizer.train_from_iterator(texts, trainer)
        self.size: int = self._tokenizer.get_vocab_size()
        # the single characters come first and in no order of frequency: late begins among the merged pieces
        singles = sum(len(piece) == 1 for piece in self._tokenizer.get_vocab())
        self._late = singles + int(_LATE * (self.size - singles))

    def rarity(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], list[str]]:
        """(n,) smoothed share of unknown and late tokens, 0–1, and the first of them in each text (or nothing)."""
        values, words = np.zeros(len(texts)), []
        for row, coded in enumerate(self._tokenizer.encode_batch(list(texts))):
            ids = np.asarray(coded.ids, np.int64)
            rare = np.flatnonzero((ids == UNKNOWN) | (ids >= self._late))
            values[row] = len(rare) / (len(ids) + _PRIOR)
            begin, end = coded.offsets[rare[0]] if len(rare) else (0, 0)
            words.append(texts[row][begin:end].strip())
        return values, words
