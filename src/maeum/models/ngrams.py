"""Vectorised hashed character n-grams: texts -> scipy CSR matrix of counts.

All texts of a chunk become one array of code points; a rolling polynomial hash gives every n-gram of
every order in a handful of numpy passes, so there is no Python work per character or per n-gram.

Guarantees
* deterministic: only fixed 64-bit arithmetic and BLAKE2b, never Python's salted ``hash()``;
* a row depends on its own input only (whatever the batch, the chunking and the number of threads);
* any ``str`` is accepted: empty (a row of zeros), NUL, lone surrogates, lines of many megabytes
  (the working memory beyond the text itself is bounded by ``chunk_chars``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from maeum.data import Input

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

    orders: tuple[int, ...] = (1, 2, 3, 4)  # orders of the character n-grams, across word boundaries
    jamo_orders: tuple[int, ...] = (4, 6)  # orders of the n-grams over decomposed Hangul (see decompose)
    bits: int = 22  # 2**bits hash buckets
    window: int = 10  # characters of context on each side of a target
    chunk_chars: int = 1 << 16  # characters worked on at a time: bounds memory and keeps arrays in cache

    @staticmethod
    def from_json(data: dict[str, Any]) -> NgramConfig:
        """The configuration of a ``dataclasses.asdict`` that went through JSON."""
        lists: dict[str, Any] = {k: tuple(data[k]) for k in ("orders", "jamo_orders") if k in data}
        return NgramConfig(**{**data, **lists})


@dataclass(frozen=True)
class _Segment:
    """A string to count n-grams of, for a row, in the namespace of a salt."""

    row: int
    text: str
    salt: int


def _salt(kind: str, key: str = "") -> int:
    """A stable 64-bit namespace for a kind of feature (and an aspect key)."""
    if not kind:
        return 0
    raw = f"{kind}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


_TARGET, _LEFT, _RIGHT, _ASPECT = (_salt(k) for k in ("target", "left", "right", "aspect"))


def _segments(row: int, item: Input, window: int) -> Iterator[_Segment]:
    """The strings of one input: its text, and when there is a target or an aspect their own namespaces.

    Target: the span itself, and ``window`` characters to its left and to its right, so that two targets
    of one sentence get different features. Aspect: the key, and every n-gram of the text conjoined with
    the key (the feature-augmentation trick of Daume 2007: shared weights plus weights of this aspect).
    """
    text = item.text
    yield _Segment(row, text, 0)
    target = item.target
    if target is not None:
        begin = min(max(int(target.begin), 0), len(text))
        end = min(max(int(target.end), begin), len(text))
        yield _Segment(row, text[begin:end], _TARGET)
        yield _Segment(row, text[max(begin - window, 0) : begin], _LEFT)
        yield _Segment(row, text[end : end + window], _RIGHT)
    if item.aspect is not None:
        yield _Segment(row, item.aspect, _ASPECT)
        yield _Segment(row, text, _salt("aspect-text", item.aspect))


def _mix(x: U64) -> U64:
    """splitmix64's finaliser, in place: spreads small integers over 64 bits."""
    x ^= x >> np.uint64(30)
    x *= _M2
    x ^= x >> np.uint64(27)
    x *= _M3
    x ^= x >> np.uint64(31)
    return x


def _stream(segments: Sequence[_Segment]) -> tuple[U32, I32]:
    """Code points of all segments, each as `` text ``, and the segment index of every code point.

    ASCII capitals are lowered and runs of white space become one space, so a space is the word-boundary
    symbol inside an n-gram and the document boundary at its ends.
    """
    texts = [s.text for s in segments]
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


def decompose(cp: U32, seg: I32) -> tuple[U32, I32]:
    """Hangul syllables -> initial, vowel, final jamo (Unicode 3.12 arithmetic); other symbols unchanged."""
    s = cp - np.uint32(0xAC00)
    hangul = s < 11172
    out = np.zeros((len(cp), 3), dtype=np.uint32)
    out[:, 0] = np.where(hangul, 0x1100 + s // 588, cp)
    out[:, 1] = np.where(hangul, 0x1161 + s % 588 // 28, 0)
    out[:, 2] = np.where(hangul & (s % 28 > 0), 0x11A7 + s % 28, 0)
    flat = out.ravel()
    used = flat != 0
    used[::3] = True  # a NUL in the text stays a symbol
    return flat[used], np.repeat(seg, 3)[used]


def _hashes(
    cp: U32, salt: U64 | np.uint64, orders: tuple[int, ...], same: npt.NDArray[np.int32], limit: int
) -> Iterator[tuple[I64, U64]]:
    """(start, hash) arrays of each order; an n-gram stays inside its segment and is not blank.

    ``same[i]``: number of symbols from i to the end of its segment. ``limit``: only starts below it count.
    h_n(i) = h_{n-1}(i) * P + c(i+n-1) (Karp & Rabin 1987); c is mixed, so the top bits are well spread.
    """
    code = _mix((cp.astype(np.uint64) + np.uint64(1)) * _P + salt)
    blank = cp == _SPACE
    h = np.zeros(len(code), dtype=np.uint64)
    for n in range(1, max(orders, default=0) + 1):
        m = len(code) - n + 1
        if m <= 0:
            return
        h = h[:m]
        h *= _P
        h += code[n - 1 :]
        if n not in orders:
            continue
        m = min(m, limit)
        ok = same[:m] >= n
        if n == 1:
            ok &= ~blank[:m]
        elif n == 2:
            ok &= ~(blank[:m] & blank[1 : m + 1])
        start = np.flatnonzero(ok)
        yield start, h[start]


def _blocks(cp: U32, seg: I32, salts: U64, orders: tuple[int, ...], chunk: int) -> Iterator[tuple[I32, U64]]:
    """(segment, hash) arrays, ``chunk`` start positions at a time with the look-ahead of the longest order."""
    ahead = max(orders, default=1) - 1
    salted = bool(salts.any())
    for lo in range(0, len(cp), chunk):
        c, g = cp[lo : lo + chunk + ahead], seg[lo : lo + chunk + ahead]
        last = np.flatnonzero(g[1:] != g[:-1])
        ends = np.append(last + 1, len(g)).astype(np.int32)
        length = np.diff(ends, prepend=np.int32(0))
        same = (np.repeat(ends, length) - np.arange(len(g), dtype=np.int32)).astype(np.int32)
        for start, h in _hashes(c, salts[g] if salted else np.uint64(0), orders, same, chunk):
            yield g[start], h


def _unique(key: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], F32]:
    """Sorted distinct keys and their counts (sorts in place)."""
    if len(key) == 0:
        return key, np.zeros(0, dtype=np.float32)
    key.sort()
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    return key[first], np.diff(np.append(first, len(key))).astype(np.float32)


def _merge(parts: list[tuple[U64, F32]]) -> tuple[U64, F32]:
    """Sums the counts of equal keys of several parts."""
    if len(parts) == 1:
        return parts[0]
    key = np.concatenate([k for k, _ in parts])
    cnt = np.concatenate([c for _, c in parts])
    order = np.argsort(key, kind="stable")
    key, cnt = key[order], cnt[order]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, np.int64)
    return key[first], (np.add.reduceat(cnt, first) if len(first) else cnt).astype(np.float32)


def _chunk_counts(items: Sequence[Input], config: NgramConfig, table: I32 | None, width: int) -> sparse.csr_matrix:
    """Counts of one chunk of inputs; with ``table`` buckets are replaced by columns and unknown ones dropped."""
    segments = [s for row, item in enumerate(items) for s in _segments(row, item, config.window)]
    cp, seg = _stream(segments)
    rows = np.fromiter((s.row for s in segments), dtype=np.uint64, count=len(segments)) * np.uint64(width)
    salts = np.fromiter((s.salt for s in segments), dtype=np.uint64, count=len(segments))
    streams = [(cp, seg, salts, config.orders)]
    if config.jamo_orders:
        streams.append((*decompose(cp, seg), salts + _M3, config.jamo_orders))
    small = len(items) * width <= 2**32  # 32-bit keys sort twice as fast
    shift = np.uint64(64 - config.bits)
    parts: list[tuple[U64, F32]] = []
    pending: list[npt.NDArray[Any]] = []
    size = 0
    for stream in streams:
        for g, h in _blocks(*stream, chunk=config.chunk_chars):
            col: npt.NDArray[np.int32] = (h >> shift).astype(np.int32)
            base = rows[g]
            if table is not None:
                known = table[col]
                used = known >= 0
                col, base = known[used], base[used]
            pending.append((base + col.astype(np.uint64)).astype(np.uint32 if small else np.uint64))
            size += len(col)
            if size > 16 * config.chunk_chars:  # only a text longer than a chunk gets here
                parts = [_merge([*parts, _unique(np.concatenate(pending))])]
                pending, size = [], 0
    if pending or not parts:
        parts.append(_unique(np.concatenate(pending) if pending else np.zeros(0, np.uint64)))
    key, cnt = _merge(parts)
    row, col = np.divmod(key, key.dtype.type(width))
    indptr = np.searchsorted(row, np.arange(len(items) + 1, dtype=row.dtype)).astype(np.int32)
    out = sparse.csr_matrix((len(items), width), dtype=np.float32)
    out.data, out.indices, out.indptr = cnt, col.astype(np.int32), indptr
    return out


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
