"""The words that tell a cell from the rest: log-odds with an informative Dirichlet prior.

After Monroe, Colaresi & Quinn, "Fightin' Words", Political Analysis 16(4), 2008: how much likelier a word is among the
texts of a cell than among all other texts, in standard errors, with a prior that has the word frequencies of all texts,
which keeps rare words from winning by chance. What is approximate here: a word is an eojeol without its particle, or its
first two syllables (늦어 stands for 늦어서 and 늦어요), found by rule and not by a morpheme analyser; a text counts a word once,
and a text with several labels counts for each; the vocabulary is the most frequent words, found with a fixed number of
counters (Misra & Gries 1982), so a rare word may be missing: ``Vocabulary.unlisted`` says how rare. The counts of the
words in it are exact.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VOCABULARY = 20_000
"""Words that are counted at most; fewer where there are very many cells (see ``_CELLS``)."""
_CELLS = 8_000_000
"""Counters at most, 4 bytes each."""
PRIOR = 500.0
"""How many words the prior weighs at most; in a small corpus a twentieth of all words, lest it drown them."""
Z = 1.96
"""Words below this many standard errors are not told from chance."""

_WORD = re.compile(r"[가-힣]+|[a-z]+|[ㄱ-ㅎㅏ-ㅣ]{2,}")
_RUN = re.compile(r"(.)\1{2,}")
_PARTICLES = frozenset((
    "에서는", "에서도", "이라고", "이라는", "으로는", "으로도", "까지도", "한테는", "에게는",
    "에서", "에게", "한테", "으로", "까지", "부터", "처럼", "보다", "이나", "이랑", "하고", "라고", "라는", "만큼", "마다", "조차", "밖에",
    "은", "는", "이", "가", "을", "를", "에", "도", "의", "로", "와", "과", "만", "랑",
))  # fmt: skip


def words(text: str) -> frozenset[str]:
    """The words of a text: Hangul eojeols without particle and how they begin, Latin words, laughing and crying letters.

    >>> sorted(words("환불을 했어요 ㅋㅋㅋㅋ 늦어서"))
    ['ㅋㅋ', '늦어', '늦어서', '했어', '했어요', '환불']
    """
    even = _RUN.sub(r"\1\1", unicodedata.normalize("NFC", text).lower())
    found: set[str] = set()
    for word in _WORD.findall(even):
        hangul = "가" <= word[0] <= "힣"
        stem = _stem(word) if hangul else word
        # one long run of letters without a space would be a "word" that no other text has
        if 2 <= len(stem) <= 12:
            found.add(stem)
            if hangul:
                found.add(stem[:2])
    return frozenset(found)


def _stem(word: str) -> str:
    # two syllables must be left, or verbs and short nouns would lose their own last syllable
    for length in range(min(3, len(word) - 2), 0, -1):
        if word[-length:] in _PARTICLES:
            return word[:-length]
    return word


class Vocabulary:
    """The most frequent words of a stream, with a fixed number of counters (Misra & Gries 1982).

    Where counters run out, all are lowered by their median and the empty ones dropped (Anderson et al. 2017, "A
    high-performance algorithm for identifying frequent items in data streams"). So no count is too low by more than what
    was taken away in all, which is at most twice the words of the stream by the number of counters.

    Args:
        most: counters.
    """

    def __init__(self, most: int = 100_000) -> None:
        self.most = most
        self.floor = 0
        """What was taken away: a word without a counter was in at most this many texts; 0: all counts are exact."""
        self.unlisted = 0
        """After ``top``: a word that is not listed was in at most this many texts."""
        self._counts: Counter[str] = Counter()

    def add(self, found: Iterable[str]) -> None:
        """Count the words of a text."""
        self._counts.update(found)
        while len(self._counts) > self.most:
            middle = statistics.median_low(self._counts.values())
            self.floor += middle
            self._counts = Counter({word: n - middle for word, n in self._counts.items() if n > middle})

    def top(self, cells: int, least: int) -> list[str]:
        """The words to count, the most frequent first; of equals, by name.

        Args:
            cells: in how many cells they will be counted.
            least: a word that was surely in fewer texts is left out.
        """
        size = min(VOCABULARY, max(200, _CELLS // max(cells, 1)))
        ranked = sorted((-n, word) for word, n in self._counts.items() if n + self.floor >= least)
        left = -ranked[size][0] if len(ranked) > size else 0
        self.unlisted = max(self.floor + left, least - 1)
        return [word for _, word in ranked[:size]]


@dataclass(frozen=True)
class Telling:
    """A word that tells a cell from the rest."""

    word: str
    count: int
    """Texts of the cell that have it."""
    elsewhere: int
    """Texts outside the cell that have it."""
    log_odds: float
    z: float
    """``log_odds`` in standard errors."""


class WordCounts:
    """In how many texts of each cell a word is.

    Args:
        vocabulary: the words that are counted.
        cells: how many cells there are.
    """

    def __init__(self, vocabulary: list[str], cells: int) -> None:
        self.vocabulary = vocabulary
        self._places = {word: place for place, word in enumerate(vocabulary)}
        self._counts = np.zeros((cells, len(vocabulary)), np.int32)
        self._all = np.zeros(len(vocabulary), np.int64)

    def add(self, cells: Iterable[int], found: Iterable[str]) -> None:
        """Count the words of a text in its cells."""
        places = [self._places[word] for word in found if word in self._places]
        if places:
            self._all[places] += 1
            for cell in cells:
                self._counts[cell, places] += 1

    def telling(self, cell: int, *, most: int, least: int) -> list[Telling]:
        """The words that tell a cell best, the surest first.

        Args:
            most: how many at most.
            least: in how many texts of the cell a word must be.
        """
        mine = self._counts[cell].astype(np.float64)
        if not mine.any():
            return []
        theirs = self._all - mine
        delta, z = log_odds(mine, theirs)
        ranked = sorted(
            (-float(z[place]), self.vocabulary[place], int(place))
            for place in np.flatnonzero((mine >= least) & (z > Z))
        )
        found: list[Telling] = []
        for less, word, place in ranked:
            count = int(mine[place])
            if len(found) < most and not any(_same(word, count, other) for other in found):
                found.append(Telling(word, count, int(theirs[place]), float(delta[place]), -less))
        return found


def _same(word: str, count: int, other: Telling) -> bool:
    """Whether a word and one listed already are beginnings of each other and in much the same texts."""
    nested = word.startswith(other.word) or other.word.startswith(word)
    return nested and min(count, other.count) >= 0.6 * max(count, other.count)


def log_odds(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-odds-ratios of words in two sets of texts under the prior, and their z-scores.

    Args:
        mine, theirs: (v,) counts.
    """
    both = mine + theirs
    prior = np.maximum(min(PRIOR, both.sum() / 20) * both / max(both.sum(), 1.0), 1e-9)
    total = prior.sum()
    delta = _odds(mine + prior, mine.sum() + total) - _odds(theirs + prior, theirs.sum() + total)
    return delta, delta / np.sqrt(1.0 / (mine + prior) + 1.0 / (theirs + prior))


def _odds(count: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    # where there is but one word, nothing is left beside it
    return np.asarray(np.log(count) - np.log(np.maximum(total - count, 1e-9)))
