"""Pairs of labels that are taken for one another, and the words that do or do not tell them apart.

Two witnesses, either of which brings a pair up. The model: rows that carry one label and not the other, while the model,
which never saw them, says the other and not the one; more of them than two independent errors would give. The words: a
word that speaks for both labels, while its rows carry sometimes one and sometimes the other and nothing else in them says
which, so whoever labels has no rule for it. The second also finds what a model has learnt to copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from maeum.rolling.words import Z, log_odds, words

LEAST = 3
"""Rows that must witness before anything is said."""
VOCABULARY = 5_000
"""Words that are looked at, the most frequent ones."""
SPLIT = 0.25
"""Share of a word's rows that carry the less frequent label of two, from which on the word is contested."""
COVER = 0.6
"""Share of a word's rows that carry just one of the two labels; topics (``영화``) stand in rows of any label."""
TOLD = 0.7
"""Share of pairs of rows in the right order from which on a model tells them apart: the word is then no riddle."""
SHOWN = 8
"""Words of each kind in a pair."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word in the rows of a pair."""

    word: str
    first: int
    """Rows with the first label and without the second that have the word."""
    second: int
    """The other way round."""
    z: float
    """Standard errors by which it speaks for the first label (positive) or the second; of contested words, by which it
    is more frequent in these rows than in all others."""


@dataclass(frozen=True)
class Pair:
    """Two labels that are confused."""

    first: int
    """Column of the label that is given."""
    second: int
    """Column of the label that is predicted in its place."""
    count: int
    """Rows given ``first`` and not ``second`` that the model sees the other way round."""
    back: int
    """The reverse."""
    expected: float
    """``count`` that independent errors would give."""
    rows: tuple[int, ...]
    """Of those rows some, the surest first."""
    only_first: int
    """Rows with the first label and without the second."""
    only_second: int
    tells_first: tuple[Word, ...]
    """Words that speak for the first label."""
    tells_second: tuple[Word, ...]
    contested: tuple[Word, ...]
    """Words typical of both whose rows are split between them: the guideline should say which."""
    stray: tuple[tuple[str, int], ...]
    """Words that speak for the second label, are not contested, but stand in rows given the first and seen as the second; in
    how many of them."""


def confusable(
    texts: Sequence[str], y: NDArray[np.uint8], decided: NDArray[np.uint8], proba: NDArray[np.float32], *, most: int
) -> list[Pair]:
    """The most confused pairs, the surest first.

    Args:
        texts: (n,).
        y: (n, k) as given.
        decided: (n, k) as decided on out-of-fold probabilities.
        proba: (n, k) those probabilities.
        most: how many pairs at most.
    """
    table = _Words(texts)
    wrong = (y > decided).astype(np.float64)
    missing = (decided > y).astype(np.float64)
    counts = wrong.T @ missing
    expected = _by_chance(wrong, missing)
    # in a row seen all wrong every label is swapped for every other: such a row counts once for each label, not by the square
    swaps = 1 / np.sqrt(np.maximum(np.maximum(wrong.sum(1), missing.sum(1)), 1.0))[:, None]
    by_chance = _by_chance(wrong * swaps, missing * swaps)
    excess = ((wrong * swaps).T @ (missing * swaps) - by_chance) / np.sqrt(np.maximum(by_chance, 1.0))
    disputed = _disputed(table, y, proba)
    # both witnesses speak in standard errors
    by_model = np.where((counts >= LEAST) & (excess > Z), excess, 0.0)
    weight = np.maximum(np.maximum(by_model, by_model.T), np.where(disputed > Z, disputed, 0.0))
    weight = np.where(np.triu(np.ones_like(weight), 1).astype(bool), weight, 0.0)
    order = np.argsort(-weight, axis=None, kind="stable")[:most]
    found = []
    for flat in order:
        a, b = divmod(int(flat), y.shape[1])
        if not weight[a, b]:
            break
        if counts[b, a] > counts[a, b]:
            a, b = b, a
        found.append(_pair(table, y, counts, expected, wrong, missing, proba, a, b))
    return found


def _by_chance(wrong: NDArray[np.float64], missing: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k) how often two errors fall on one row if they know nothing of each other."""
    return np.outer(wrong.sum(0), missing.sum(0)) / max(len(wrong), 1)


def _ranks(values: NDArray[np.float32], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) ranks from 1 of the chosen values among themselves, ties sharing the mean; 0 for the rest."""
    out = np.zeros(len(values))
    _, place, count = np.unique(values[chosen], return_inverse=True, return_counts=True)
    out[chosen] = (np.cumsum(count) - (count - 1) / 2)[place]
    return out


class _Words:
    """Which of the most frequent words each text has: ``has`` (n, v) zeros and ones."""

    def __init__(self, texts: Sequence[str]) -> None:
        found = [words(text) for text in texts]
        total: dict[str, int] = {}
        for each in found:
            for word in each:
                total[word] = total.get(word, 0) + 1
        ranked = sorted((-count, word) for word, count in total.items() if count >= LEAST)
        self.names = [word for _, word in ranked[:VOCABULARY]]
        place = {word: at for at, word in enumerate(self.names)}
        rows = [sorted(place[word] for word in each if word in place) for each in found]
        bounds = np.cumsum([0, *map(len, rows)])
        columns = np.concatenate([np.array(row, np.int64) for row in rows]) if rows else np.zeros(0, np.int64)
        shape = (len(texts), len(self.names))
        self.has = sparse.csr_matrix((np.ones(len(columns), np.float64), columns, bounds), shape=shape)
        self._columns = self.has.tocsc()

    def told_apart(self, word: int, y: NDArray[np.uint8], proba: NDArray[np.float32], a: int, b: int) -> bool:
        """Whether a model tells a word's rows with only label ``a`` from those with only ``b``, beyond chance.

        Told by the area under the ROC curve of p(a) − p(b), which is the share of such pairs of rows in the right order
        (Mann & Whitney 1947), with its standard error where nothing can be told.
        """
        rows = self._columns.indices[self._columns.indptr[word] : self._columns.indptr[word + 1]]
        only_a, only_b = y[rows, a] > y[rows, b], y[rows, b] > y[rows, a]
        m, n = int(only_a.sum()), int(only_b.sum())
        if not m or not n:
            return True
        ranks = _ranks(proba[rows, a] - proba[rows, b], only_a | only_b)
        area = (ranks[only_a].sum() - m * (m + 1) / 2) / (m * n)
        return bool(area > max(TOLD, 0.5 + 2 * np.sqrt((m + n + 1) / (12 * m * n))))

    def count(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(v,) in how many of some rows each word is."""
        return np.asarray(self.has.T @ rows.astype(np.float64))


def _disputed(table: _Words, y: NDArray[np.uint8], proba: NDArray[np.float32]) -> NDArray[np.float64]:
    """(k, k) how surely the most contested word of two labels speaks for both: the lesser of its two z-scores.

    A word speaks for a label where it is more frequent in rows with this label and not the other than in rows with
    neither; rows of the other label do not count, since they are where the word went astray. Only words count whose rows
    the model cannot tell apart by what else they say.
    """
    k = y.shape[1]
    out = np.zeros((k, k))
    if not table.names:
        return out
    total = np.asarray(table.has.sum(0)).ravel()
    with_label = np.stack([table.count(column) for column in y.T.astype(bool)], 1)
    for a in range(k):
        for b in range(a + 1, k):
            both = table.count((y[:, a] & y[:, b]).astype(bool))
            only_a, only_b = with_label[:, a] - both, with_label[:, b] - both
            split = _split(only_a, only_b, total)
            if split.any():
                neither = total - with_label[:, a] - only_b
                sure = np.minimum(log_odds(only_a, neither)[1], log_odds(only_b, neither)[1])
                ranked = np.flatnonzero(split & (sure > Z))
                ranked = ranked[np.argsort(-sure[ranked], kind="stable")]
                best = next((at for at in ranked if not table.told_apart(int(at), y, proba, a, b)), None)
                out[a, b] = out[b, a] = 0.0 if best is None else float(sure[best])
    return out


def _pair(
    table: _Words,
    y: NDArray[np.uint8],
    counts: NDArray[np.float64],
    expected: NDArray[np.float64],
    wrong: NDArray[np.float64],
    missing: NDArray[np.float64],
    proba: NDArray[np.float32],
    a: int,
    b: int,
) -> Pair:
    swapped = (wrong[:, a] * missing[:, b]).astype(bool)
    rows = np.flatnonzero(swapped)
    surest = rows[np.argsort(-(proba[rows, b] - proba[rows, a]), kind="stable")]
    only_a = (y[:, a] > y[:, b]).astype(bool)
    only_b = (y[:, b] > y[:, a]).astype(bool)
    in_a, in_b = table.count(only_a), table.count(only_b)
    _, z = log_odds(in_a, in_b)
    _, typical = log_odds(in_a + in_b, table.count(~(only_a | only_b)))
    in_swapped = table.count(swapped)

    def listed(places: NDArray[np.int64], rank: NDArray[np.float64], *, own: bool) -> tuple[Word, ...]:
        chosen: list[Word] = []
        for at in sorted(places.tolist(), key=lambda at: (-rank[at], table.names[at])):
            name = table.names[at]
            if any(_nested(name, other.word) for other in chosen):
                continue
            chosen.append(Word(name, int(in_a[at]), int(in_b[at]), float(z[at] if own else typical[at])))
            if len(chosen) == SHOWN:
                break
        return tuple(chosen)

    both = _split(in_a, in_b, np.asarray(table.has.sum(0)).ravel()) & (typical > Z)
    for place in np.flatnonzero(both).tolist():
        both[place] = not table.told_apart(place, y, proba, a, b)
    strays = np.flatnonzero((z < -Z) & (in_swapped >= 2) & ~both)
    told: list[tuple[str, int]] = []
    for at in sorted(strays.tolist(), key=lambda at: (-in_swapped[at], z[at], table.names[at])):
        if len(told) < SHOWN and not any(_nested(table.names[at], other) for other, _ in told):
            told.append((table.names[at], int(in_swapped[at])))
    return Pair(
        a,
        b,
        int(counts[a, b]),
        int(counts[b, a]),
        float(expected[a, b]),
        tuple(surest[:6].tolist()),
        int(only_a.sum()),
        int(only_b.sum()),
        listed(np.flatnonzero((z > Z) & (in_a >= LEAST) & ~both), z, own=True),
        listed(np.flatnonzero((z < -Z) & (in_b >= LEAST) & ~both), -z, own=True),
        listed(np.flatnonzero(both), typical, own=False),
        tuple(told),
    )


def _split(in_a: NDArray[np.float64], in_b: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which words mostly stand in rows with just one of two labels, now the one and now the other.

    Args:
        in_a, in_b: (v,) rows with the word that carry one label and not the other.
        total: (v,) all rows with the word.
    """
    either = in_a + in_b
    return (np.minimum(in_a, in_b) >= np.maximum(LEAST, SPLIT * either)) & (either >= COVER * total)


def _nested(word: str, other: str) -> bool:
    """Whether a word is how another begins: 늦어 and 늦어서 are listed once."""
    return word.startswith(other) or other.startswith(word)
