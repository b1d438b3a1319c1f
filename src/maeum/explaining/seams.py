"""Probabilities of a linear model for texts of which stretches are replaced: base − what was there + what is there now.

For every n-gram order the starts of the n-grams that touch a stretch are known; the features at those starts lose one
occurrence each, and the features of a snippet (what is put in, with as much text on both sides as an n-gram can reach)
gain one. A feature's value is (1 + log tf) · idf, so the counts of the text decide by how much it changes; the row's
length is that of the new values. Counts are whole numbers and squares are summed in float64: nothing drifts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from maeum.data import Input
from maeum.models.base import Proba
from maeum.models.linear import LinearClassifier
from maeum.models.ngrams import _ASPECT, _M3, _buckets, _Plan, _salt, _stream, decompose

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]


@dataclass(frozen=True)
class Seams:
    """m stretches of texts to replace; positions in the text's n-gram stream."""

    text: Ints
    """(m,)"""
    begin: Ints
    end: Ints
    put: Sequence[str | None]
    """``None``: nothing is replaced."""


@dataclass(frozen=True)
class _Symbols:
    """One stream of symbols of some segments, and the features that start at each place."""

    start: Ints
    """(characters + 1,) where each character of the segments stands among the symbols."""
    segment: I32
    """Of each symbol."""
    columns: tuple[tuple[int, I32], ...]
    """Of each order n: the feature of the n-gram at every start, −1 where there is none."""


class Base:
    """Texts of one model, counted once.

    Args:
        model: fitted.
        inputs: prepared, without targets; all with an aspect or none. Their n-gram stream must be the text itself between
            spaces: no other white space and no two spaces in a row.
    """

    def __init__(self, model: LinearClassifier, inputs: Sequence[Input]) -> None:
        self.model = model
        config, state = model._ngrams, model._state
        self.shift = np.int64(len(state["buckets"]).bit_length())
        n = len(inputs)
        self.codes, segment = _stream([item.text for item in inputs])
        self.bounds = np.concatenate([[0], np.cumsum(np.bincount(segment, minlength=n))])
        self.reach = max(*config.orders, *config.jamo_orders, 1) - 1
        self.salts = [np.zeros(n, np.uint64)]
        aspects = [item.aspect for item in inputs if item.aspect is not None]
        if aspects:
            self.salts.append(np.array([_salt("aspect-text", name) for name in aspects], dtype=np.uint64))
        self.streams = [list(self._streams(self.codes, segment, salts)) for salts in self.salts]
        found = [self._keys(symbols) for streams in self.streams for symbols in streams]
        if aspects:  # the name itself, which no mask changes
            codes, named = _stream(aspects)
            found += [self._keys(symbols) for symbols in self._streams(codes, named, np.full(n, _ASPECT))]
        keys = np.sort(np.concatenate(found))
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        self.keys = keys[first]
        self.tf = np.diff(first, append=len(keys))
        row, column = self.keys >> self.shift, self.keys & ((1 << self.shift) - 1)
        values = (1 + np.log(self.tf)) * state["idf"][column]
        self.filled = np.bincount(row, minlength=n)
        self.squares = np.bincount(row, values**2, n)
        ends = np.concatenate([[0], np.cumsum(self.filled)])
        self.sums: F32 = (
            sparse.csr_matrix((values.astype(np.float32), column, ends), shape=(n, len(state["buckets"])))
            @ model._weights
        )

    def proba(self, seams: Seams) -> Proba:
        """Probabilities (m, k) before calibration."""
        row, column, change = self._changes(seams)
        owner = seams.text[row]
        before = self._counts(owner << self.shift | column)
        after = before + change
        values = np.concatenate(
            [[0.0], 1 + np.log(np.arange(1, max(1, after.max(initial=0), before.max(initial=0)) + 1))]
        )
        idf = self.model._state["idf"][column].astype(np.float64)
        old, new = values[before] * idf, values[after] * idf
        m = len(seams.text)
        ends = np.searchsorted(row, np.arange(m + 1))
        delta = sparse.csr_matrix(((new - old).astype(np.float32), column, ends), shape=(m, len(self.model._weights)))
        sums = self.sums[seams.text] + delta @ self.model._weights
        squares = self.squares[seams.text] + np.bincount(row, new**2 - old**2, m)
        left = self.filled[seams.text] + np.bincount(row, (after > 0) * 1.0 - (before > 0), m).astype(np.int64)
        scale = np.where(left > 0, 1 / np.sqrt(np.maximum(squares, 1e-30)), 0.0)
        raw = sums * scale.astype(np.float32)[:, None] + self.model._state["bias"]
        return self.model._calibrated(self.model._stacked(raw))

    def _changes(self, seams: Seams) -> tuple[Ints, Ints, Ints]:
        """(row, feature, change of its count), sorted by row and feature, none of them 0."""
        at = np.flatnonzero([put is not None for put in seams.put])
        text, put = seams.text[at], [seams.put[row] or "" for row in at.tolist()]
        low, high = self.bounds[text], self.bounds[text + 1]
        begin, end = low + seams.begin[at], low + seams.end[at]
        left, right = np.minimum(begin - low, self.reach), np.minimum(high - end, self.reach)
        middle = np.fromiter(map(len, put), np.int64, len(put))
        source = np.concatenate([self.codes, _codes(put)])
        starts = np.stack([begin - left, len(self.codes) + np.cumsum(middle) - middle, end], axis=1)
        sizes = np.stack([left, middle, right], axis=1)
        snippets = source[_ranges(starts.ravel(), sizes.ravel())]
        bounds = np.concatenate([[0], np.cumsum(sizes.sum(1))])
        segment = np.repeat(np.arange(len(at), dtype=np.int32), sizes.sum(1))
        keys: list[Ints] = []  # row, feature, and in the last bit whether it comes or goes
        for salts, streams in zip(self.salts, self.streams, strict=True):
            fresh = self._streams(snippets, segment, salts[text])
            for base, new in zip(streams, fresh, strict=True):
                gone = _touching(base, begin, end, low, high)
                come = _touching(new, bounds[:-1] + left, bounds[:-1] + left + middle, bounds[:-1], bounds[1:])
                for comes, found in ((0, gone), (1, come)):
                    keys += [(at[row] << self.shift | column) << 1 | comes for row, column in found]
        both = np.sort(np.concatenate([np.zeros(0, np.int64), *keys]))
        key, sign = both >> 1, (both & 1) * 2 - 1
        first = np.flatnonzero(np.diff(key, prepend=-1))
        change = np.add.reduceat(sign, first) if len(first) else sign
        key, change = key[first][change != 0], change[change != 0]
        return key >> self.shift, key & ((1 << self.shift) - 1), change

    def _keys(self, symbols: _Symbols) -> Ints:
        """Text and feature of every n-gram, as one number."""
        found = []
        for _, columns in symbols.columns:
            at = np.flatnonzero(columns >= 0)
            found.append(symbols.segment[at].astype(np.int64) << self.shift | columns[at])
        return np.concatenate([np.zeros(0, np.int64), *found])

    def _counts(self, key: Ints) -> Ints:
        """How often features occur in their base texts; keys as of ``_keys``."""
        if not len(self.keys):
            return np.zeros(len(key), np.int64)
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, self.tf[place], 0)

    def _streams(self, codes: U32, segment: I32, salts: U64) -> Iterator[_Symbols]:
        """The features of characters, and of jamo where the model has some."""
        config, table = self.model._ngrams, self.model._table
        assert table is not None
        shift = np.uint64(64 - config.bits)
        places = np.arange(len(codes) + 1, dtype=np.int64)
        yield _Symbols(places, segment, tuple(_columns(codes, segment, salts, _Plan(config.orders, shift), table)))
        if config.jamo_orders:
            jamo, place = decompose(codes, np.arange(len(codes), dtype=np.int32))
            start = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(codes)))])
            plan = _Plan(config.jamo_orders, shift)
            owner = segment[place]
            yield _Symbols(start, owner, tuple(_columns(jamo, owner, salts + _M3, plan, table)))


def _columns(codes: U32, segment: I32, salts: U64, plan: _Plan, table: I32) -> Iterator[tuple[int, I32]]:
    """Of each order, the feature of the n-gram at every start, −1 where there is none."""
    salt = salts[segment] if salts.any() else np.uint64(0)
    orders = sorted(set(plan.orders))
    for order, (bucket, ok) in zip(orders, _buckets(codes, segment, salt, plan, len(codes)), strict=False):
        yield order, np.where(ok, table[bucket], np.int32(-1))


def _touching(symbols: _Symbols, begin: Ints, end: Ints, low: Ints, high: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(stretch, feature) of the n-grams that overlap ``[begin, end)`` or, where that is empty, reach across it.

    Args:
        low, high: the segment of each stretch.
    """
    begin, end, low, high = (symbols.start[place] for place in (begin, end, low, high))
    for order, columns in symbols.columns:
        first = np.maximum(begin - order + 1, low)
        size = np.maximum(np.minimum(end, high - order + 1) - first, 0)
        column = columns[_ranges(first, size)]
        row = np.repeat(np.arange(len(begin)), size)
        known = column >= 0
        yield row[known], column[known].astype(np.int64)


def _ranges(start: Ints, size: Ints) -> Ints:
    """``start[0], start[0] + 1, …`` (``size[0]`` numbers), then those of the next."""
    shift = start - (np.cumsum(size) - size)
    return np.repeat(shift, size) + np.arange(int(size.sum()))


def _codes(parts: Sequence[str]) -> U32:
    """Code points of the joined strings, ASCII capitals lowered as in the n-gram stream."""
    codes = np.frombuffer("".join(parts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).copy()
    codes[(codes - np.uint32(65)) < 26] += np.uint32(32)
    return codes
