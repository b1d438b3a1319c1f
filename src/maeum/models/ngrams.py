"""Vectorised hashed character n-grams: texts -> scipy CSR matrix of counts.

All texts of a chunk become one array of code points; a rolling polynomial hash gives every n-gram of
every order in a handful of numpy passes, so there is no Python work per character or per n-gram.

Guarantees
* deterministic: only fixed 64-bit arithmetic and BLAKE2b, never Python's salted ``hash()``;
* a row depends on its own input only (whatever the batch, the chunking and the number of threads);
* any ``str`` is accepted: empty (a row of zeros), NUL, lone surrogates, lines of many megabytes
  (the working memory beyond the text itself is bounded by ``chunk_chars``).

Several models are often asked about the same few texts, one after the other. What does not depend on a vocabulary is
kept from one call to the next on the same thread, so that each of them only looks its own vocabulary up.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from maeum.data import Input, Target

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]

_P = np.uint64(0x9E3779B97F4A7C15)  # odd multiplier of the rolling hash (2^64 / golden ratio)
_M2 = np.uint64(0xBF58476D1CE4E5B9)  # the two multipliers of splitmix64 (Steele et al. 2014)
_M3 = np.uint64(0x94D049BB133111EB)
_SPACE = 32


@dataclass(frozen=True)
class NgramConfig:
    """What is counted. Every field is JSON-serialisable (tuples come back from JSON as lists: see ``from_json``)."""

    orders: tuple[int, ...] = (1, 2, 4)  # orders of the character n-grams, across word boundaries
    jamo_orders: tuple[int, ...] = (4,)  # orders of the n-grams over decomposed Hangul (see decompose)
    bits: int = 22  # 2**bits hash buckets
    window: int = 10  # characters of context on each side of a target
    chunk_chars: int = 1 << 18  # characters worked on at a time: bounds memory

    @staticmethod
    def from_json(data: dict[str, Any]) -> NgramConfig:
        """The configuration of a ``dataclasses.asdict`` that went through JSON."""
        changed: dict[str, Any] = {k: tuple(data[k]) for k in ("orders", "jamo_orders") if k in data}
        return NgramConfig(**(data | changed))


class _Segments:
    """Strings to count n-grams of: for each its row, the text, and the salt of its namespace.

    An aspect adds its key, and every n-gram of the text joined with the key: shared weights plus weights of this aspect
    (feature augmentation, Daumé 2007).
    """

    def __init__(self, items: Sequence[Input], window: int) -> None:
        self.rows: list[int] = []
        self.texts: list[str] = []
        self.salts: list[int] = []
        for row, item in enumerate(items):
            self._add(row, item.text, 0)
            if item.target is not None:
                self._add_target(row, item.text, item.target, window)
            if item.aspect is not None:
                self._add(row, item.aspect, _ASPECT)
                self._add(row, item.text, _salt("aspect-text", item.aspect))

    def _add(self, row: int, text: str, salt: int) -> None:
        self.rows.append(row)
        self.texts.append(text)
        self.salts.append(salt)

    def _add_target(self, row: int, text: str, target: Target, window: int) -> None:
        """The span itself, and ``window`` characters on each side, so that two targets of a sentence differ."""
        begin = min(max(target.begin, 0), len(text))
        end = min(max(target.end, begin), len(text))
        self._add(row, text[begin:end], _TARGET)
        self._add(row, text[max(begin - window, 0) : begin], _LEFT)
        self._add(row, text[end : end + window], _RIGHT)


def _salt(kind: str, key: str = "") -> int:
    """A stable 64-bit namespace for a kind of feature (and an aspect key)."""
    if not kind:
        return 0
    raw = f"{kind}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


_TARGET, _LEFT, _RIGHT, _ASPECT = (_salt(k) for k in ("target", "left", "right", "aspect"))


def _mix(x: U64) -> U64:
    """splitmix64's finaliser, in place: spreads small integers over 64 bits."""
    x ^= x >> np.uint64(30)
    x *= _M2
    x ^= x >> np.uint64(27)
    x *= _M3
    x ^= x >> np.uint64(31)
    return x


def _stream(texts: list[str]) -> tuple[U32, I32]:
    """Code points of all segments, each as `` text ``, and the segment index of every code point.

    ASCII capitals are lowered and runs of white space become one space, so a space is the word-boundary
    symbol inside an n-gram and the document boundary at its ends.
    """
    joined = " " + "  ".join(texts) + " "
    cp = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).copy()
    lens = np.fromiter((len(t) + 2 for t in texts), dtype=np.int64, count=len(texts))
    seg = np.repeat(np.arange(len(texts), dtype=np.int32), lens)
    cp[(cp - np.uint32(65)) < 26] += np.uint32(32)  # unsigned wrap-around makes this one comparison
    blank = (cp <= _SPACE) | (cp == 0xA0) | (cp == 0x3000)
    cp[blank] = _SPACE
    keep = np.ones(len(cp), dtype=bool)
    np.logical_not(blank[1:] & blank[:-1] & (seg[1:] == seg[:-1]), out=keep[1:])
    return cp[keep], seg[keep]


def _jamo_table() -> U32:
    """Initial, vowel and final of every Hangul syllable (11172, 3), 0 for no final."""
    s = np.arange(11172, dtype=np.uint32)
    final = np.where(s % 28 > 0, 0x11A7 + s % 28, 0)
    return np.stack([0x1100 + s // 588, 0x1161 + s % 588 // 28, final], axis=1).astype(np.uint32)


_JAMO = _jamo_table()


def decompose(cp: U32, seg: I32) -> tuple[U32, I32]:
    """Hangul syllables -> initial, vowel, final jamo (Unicode 3.12 arithmetic); other symbols unchanged."""
    syllable = cp - np.uint32(0xAC00)
    other = np.flatnonzero(syllable >= 11172)
    syllable[other] = 0
    out = np.take(_JAMO, syllable, axis=0)
    out[other] = 0
    out[other, 0] = cp[other]
    flat = out.ravel()
    used = flat != 0
    used[::3] = True  # a NUL in the text stays a symbol
    return flat[used], np.repeat(seg, 3)[used]


def _buckets(
    cp: U32, seg: I32, salt: U64 | np.uint64, config: _Plan, limit: int
) -> Iterator[tuple[I64, npt.NDArray[np.bool_]]]:
    """Of each order, the bucket of the n-gram at every start position, and whether there is one.

    An n-gram stays inside its segment and is not blank; only starts below ``limit`` are given.
    h_n(i) = h_{n-1}(i) * P + c(i+n-1) (Karp & Rabin 1987); c is mixed, so the top bits are well spread.
    """
    code = _mix((cp.astype(np.uint64) + np.uint64(1)) * _P + salt)
    blank = cp == _SPACE
    h = np.zeros(len(code), dtype=np.uint64)
    for n in range(1, max(config.orders, default=0) + 1):
        m = len(code) - n + 1
        if m <= 0:
            return
        h = h[:m]
        h *= _P
        h += code[n - 1 :]
        if n not in config.orders:
            continue
        m = min(m, limit)
        ok = ~blank[:m] if n == 1 else seg[:m] == seg[n - 1 : n - 1 + m]
        if n == 2:
            ok &= ~(blank[:m] & blank[1 : m + 1])
        yield (h[:m] >> config.shift).view(np.int64), ok


@dataclass(frozen=True)
class _Plan:
    """Orders of one stream, and the shift that leaves the top bits of a hash."""

    orders: tuple[int, ...]
    shift: np.uint64


def _found(
    cp: U32, seg: I32, salts: U64, plan: _Plan, chunk: int, table: I32 | None
) -> Iterator[tuple[I32, npt.NDArray[Any]]]:
    """(segment, column) arrays, ``chunk`` start positions at a time with the look-ahead of the longest order."""
    ahead = max(plan.orders, default=1) - 1
    salted = bool(salts.any())
    for lo in range(0, len(cp), chunk):
        c, g = cp[lo : lo + chunk + ahead], seg[lo : lo + chunk + ahead]
        for bucket, ok in _buckets(c, g, salts[g] if salted else np.uint64(0), plan, chunk):
            if table is None:
                at = np.flatnonzero(ok)
                yield np.take(g, at), np.take(bucket, at)
            else:
                col = np.take(table, bucket)
                ok &= col >= 0
                at = np.flatnonzero(ok)
                yield np.take(g, at), np.take(col, at)


def _streams(items: Sequence[Input], config: NgramConfig) -> tuple[I32, list[tuple[U32, I32, U64, _Plan]]]:
    """The row of each segment; characters, and jamo if they are counted, with segments, salts and orders."""
    segments = _Segments(items, config.window)
    cp, seg = _stream(segments.texts)
    salts = np.array(segments.salts, dtype=np.uint64)
    shift = np.uint64(64 - config.bits)
    streams = [(cp, seg, salts, _Plan(config.orders, shift))]
    if config.jamo_orders:
        streams.append((*decompose(cp, seg), salts + _M3, _Plan(config.jamo_orders, shift)))
    return np.array(segments.rows, dtype=np.int32), streams


def _chunk_counts(items: Sequence[Input], config: NgramConfig, table: I32 | None, width: int) -> sparse.csr_matrix:
    """Counts of one chunk of inputs; with ``table`` buckets are replaced by columns and unknown ones dropped."""
    if table is not None and sum(len(item.text) for item in items) <= _SHARED_CHARS:
        return _vocabulary_counts(tuple(items), config, table, width)
    row_of, streams = _streams(items, config)
    total = sparse.csr_matrix((len(items), width), dtype=np.float32)
    rows: list[I32] = []
    columns: list[I32] = []
    size = 0
    for stream in streams:
        for g, col in _found(*stream, chunk=config.chunk_chars, table=table):
            rows.append(np.take(row_of, g))
            columns.append(col.astype(np.int32))
            size += len(col)
            if size > 32 * config.chunk_chars:  # only a text longer than a chunk gets here
                total = total + _summed(rows, columns, total.shape)
                rows, columns, size = [], [], 0
    if not rows:
        return total
    last = _summed(rows, columns, total.shape)
    return total + last if total.nnz else last


_SHARED_CHARS = 1 << 16
"""Texts of no more characters are hashed once for all vocabularies: a batch of a service, or one text."""


@dataclass(frozen=True)
class _Hashed:
    """Rows and buckets of all n-grams of some texts, by what is counted; whatever the vocabulary."""

    items: tuple[Input, ...]
    found: dict[NgramConfig, tuple[I32, I64]]


class _Kept(threading.local):
    hashed: _Hashed = _Hashed((), {})


_KEPT = _Kept()


def _hashed(items: tuple[Input, ...], config: NgramConfig) -> tuple[I32, I64]:
    """Row and bucket of every n-gram."""
    if _KEPT.hashed.items != items:
        _KEPT.hashed = _Hashed(items, {})
    found = _KEPT.hashed.found
    if config not in found:
        row_of, streams = _streams(items, config)
        parts = [part for stream in streams for part in _found(*stream, chunk=config.chunk_chars, table=None)]
        rows = [np.take(row_of, segment) for segment, _ in parts]
        found[config] = (
            np.concatenate([np.zeros(0, np.int32), *rows]),
            np.concatenate([np.zeros(0, np.int64), *(bucket for _, bucket in parts)]),
        )
    return found[config]


def _vocabulary_counts(items: tuple[Input, ...], config: NgramConfig, table: I32, width: int) -> sparse.csr_matrix:
    """The same as ``_chunk_counts``, of few texts and with what other vocabularies share with this one."""
    row, bucket = _hashed(items, config)
    column = np.take(table, bucket)
    known = np.flatnonzero(column >= 0)
    # row and column in one number: sorted, equal ones lie together
    place = np.take(row, known).astype(np.int64) * width + np.take(column, known)
    place.sort()
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(place)), bool), place[1:] != place[:-1]]))
    rows, columns = np.divmod(place[first], width)
    out = sparse.csr_matrix((len(items), width), dtype=np.float32)
    out.data = np.diff(first, append=len(place)).astype(np.float32)
    out.indices = columns.astype(np.int32)
    out.indptr = np.searchsorted(rows, np.arange(len(items) + 1)).astype(np.int32)
    return out


def _summed(rows: list[I32], columns: list[I32], shape: tuple[int, int]) -> sparse.csr_matrix:
    """How often each (row, column) occurs; indices sorted."""
    row, column = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(len(row), dtype=np.float32)
    return sparse.coo_matrix((ones, (row, column)), shape=shape).tocsr()


def chunks(items: Sequence[Input], chunk_chars: int) -> list[tuple[int, int]]:
    """Ranges of consecutive inputs of at most about ``chunk_chars`` characters (at least one input each)."""
    out: list[tuple[int, int]] = []
    start = size = 0
    for i, item in enumerate(items):
        length = len(item.text) + 2
        if i > start and size + length > chunk_chars:
            out.append((start, i))
            start, size = i, 0
        size += length
    if start < len(items):
        out.append((start, len(items)))
    return out


def count_ngrams(
    items: Sequence[Input], config: NgramConfig, table: I32 | None = None, width: int | None = None, threads: int = 2
) -> sparse.csr_matrix:
    """n-gram counts, (n, 2**bits) or with a vocabulary ``table`` (bucket -> column or -1) (n, ``width``)."""
    cols = (1 << config.bits) if table is None else int(width if width is not None else table.max(initial=-1) + 1)
    cols = max(cols, 1)
    ranges = chunks(items, config.chunk_chars)
    if not ranges:
        return sparse.csr_matrix((0, cols), dtype=np.float32)

    def work(span: tuple[int, int]) -> sparse.csr_matrix:
        return _chunk_counts(items[span[0] : span[1]], config, table, cols)

    if len(ranges) == 1:
        return work(ranges[0])
    if threads <= 1:
        return sparse.vstack([work(r) for r in ranges], format="csr", dtype=np.float32)
    with ThreadPoolExecutor(threads) as pool:
        return sparse.vstack(list(pool.map(work, ranges)), format="csr", dtype=np.float32)
