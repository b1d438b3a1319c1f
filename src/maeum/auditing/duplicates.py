"""Texts that are the same, or nearly: within a data set, and between training and valid rows.

Same: equal letters and digits (``splits.duplicate_key``) and the same target. Nearly: the sets of their letter triples
overlap by a share (Jaccard). Candidates come from MinHash signatures cut into bands (Broder 1997; Leskovec, Rajaraman &
Ullman, Mining of Massive Datasets, ch. 3) and every one is then measured exactly, so no pair is reported that is not
one; of pairs with a share of 0.7 about one in a hundred is missed, above 0.8 practically none. Memory is 0.5 KB a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.data import Dataset, Example
from maeum.splits import duplicate_key

SHORT = 8
"""Texts with fewer letters and digits are only compared for being the same: ``최고예요`` and ``최고네요`` are no copies."""
LONG = 4_000
"""Letters of a text that are compared."""
_BANDS, _ROWS = 16, 4
_CHUNK = 20_000
_P = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

U64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Twins:
    """Two rows with the same text, or nearly."""

    first: int
    """Row index."""
    second: int
    similarity: float
    """1: the same letters and digits."""
    agree: bool
    """Whether they carry the same labels."""


@dataclass(frozen=True)
class Overlap:
    """Valid rows whose text is in the training rows."""

    same: tuple[Twins, ...]
    """``first`` is a training row, ``second`` a valid one; one entry for each valid row."""
    near: tuple[Twins, ...]


def within(data: Dataset, *, near: float) -> tuple[list[list[int]], list[Twins]]:
    """Groups of rows with the same text, and pairs of nearly the same text (each text once), in order of the rows."""
    groups = _groups([row_key(example) for example in data])
    firsts = [rows[0] for rows in groups.values()]
    found = near_pairs([data[row].text for row in firsts], near=near)
    twins = [
        Twins(firsts[a], firsts[b], share, labels_of(data[firsts[a]]) == labels_of(data[firsts[b]]))
        for a, b, share in found
        if _target(data[firsts[a]]) == _target(data[firsts[b]])
    ]
    return [rows for rows in groups.values() if len(rows) > 1], twins


def between(train: Dataset, valid: Dataset, *, near: float) -> Overlap:
    """Which valid rows a model has read in training, word for word or nearly."""
    known = _groups([row_key(example) for example in train])
    same: list[Twins] = []
    fresh: list[int] = []
    for row, example in enumerate(valid):
        twins = known.get(row_key(example))
        if twins is None:
            fresh.append(row)
        else:
            agree = any(labels_of(train[twin]) == labels_of(example) for twin in twins)
            same.append(Twins(twins[0], row, 1.0, agree))
    firsts = [rows[0] for rows in known.values()]
    texts = [*(train[row].text for row in firsts), *(valid[row].text for row in fresh)]
    best: dict[int, Twins] = {}
    for a, b, share in near_pairs(texts, near=near):
        if not a < len(firsts) <= b:
            continue
        row, twin = fresh[b - len(firsts)], firsts[a]
        if _target(valid[row]) == _target(train[twin]) and (row not in best or best[row].similarity < share):
            best[row] = Twins(twin, row, share, labels_of(train[twin]) == labels_of(valid[row]))
    return Overlap(tuple(same), tuple(best[row] for row in sorted(best)))


def row_key(example: Example) -> tuple[str, Any]:
    """What two rows share when they are the same question: the text, and the target that is asked about."""
    return duplicate_key(example.text), _target(example)


def labels_of(example: Example) -> frozenset[str]:
    """The labels of a row, in an aspect task with their grades, for comparing."""
    if example.aspects is not None:
        return frozenset(f"{item.aspect} {item.sentiment}" for item in example.aspects)
    return frozenset(example.labels or ())


def near_pairs(texts: Sequence[str], *, near: float) -> list[tuple[int, int, float]]:
    """Pairs (a < b, share) of texts whose letter triples overlap by ``near`` (Jaccard) or more, in order."""
    keys = [duplicate_key(text)[:LONG] for text in texts]
    rows = np.array([row for row, key in enumerate(keys) if len(key) >= SHORT], np.int64)
    if len(rows) < 2:
        return []
    signatures = np.concatenate([_signatures([keys[row] for row in part]) for part in _parts(rows)])
    found = []
    for a, b in _candidates(signatures):
        first, second = int(rows[a]), int(rows[b])
        share = _jaccard(keys[first], keys[second])
        if share >= near:
            found.append((first, second, share))
    return found


def _parts(rows: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))


def _signatures(keys: Sequence[str]) -> U64:
    """(n, bands · rows) the smallest of each random hash over a text's triples."""
    lengths = np.array([len(key) for key in keys], np.int64)
    code = np.frombuffer("".join(keys).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    grams = (code[:-2] * _P + code[1:-1]) * _P + code[2:]
    ends = np.cumsum(lengths)
    inside = np.ones(len(code), bool)
    for back in (1, 2):  # triples that begin on the last two letters of a text run into the next
        inside[ends - back] = False
    grams = grams[inside[:-2]]
    starts = np.concatenate([[0], np.cumsum(lengths - 2)[:-1]])
    out = np.empty((len(keys), _BANDS * _ROWS), np.uint64)
    seeds = _mixed(np.arange(1, out.shape[1] + 1, dtype=np.uint64))
    for column, seed in enumerate(seeds):
        # an exclusive or, since numpy warns of sums with a scalar that run over
        out[:, column] = np.minimum.reduceat(_mixed(grams ^ seed), starts)
    return out


def _mixed(x: U64) -> U64:
    """splitmix64's finaliser (Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX[0]
    x = (x ^ (x >> np.uint64(27))) * _MIX[1]
    return x ^ (x >> np.uint64(31))


def _candidates(signatures: U64) -> list[tuple[int, int]]:
    """Pairs that share a band: each row with the first of its bucket and with the one before it, lest a crowd of equal
    texts make pairs by the square."""
    n = len(signatures)
    codes: list[NDArray[np.int64]] = []
    for band in range(_BANDS):
        value = np.zeros(n, np.uint64)
        for column in signatures[:, band * _ROWS : (band + 1) * _ROWS].T:
            value = _mixed(value * _P + column)
        order = np.argsort(value, kind="stable")
        ranked = value[order]
        new = np.concatenate([[True], ranked[1:] != ranked[:-1]])
        first = order[np.maximum.accumulate(np.where(new, np.arange(n), 0))]
        for other in (first[1:], order[:-1]):
            pair = np.stack([other, order[1:]], 1)[~new[1:]]
            pair = pair[pair[:, 0] != pair[:, 1]]
            codes.append(pair.min(1) * n + pair.max(1))
    unique = np.unique(np.concatenate(codes))
    return [(int(code // n), int(code % n)) for code in unique]


def _jaccard(a: str, b: str) -> float:
    first = {a[at : at + 3] for at in range(len(a) - 2)}
    second = {b[at : at + 3] for at in range(len(b) - 2)}
    return len(first & second) / len(first | second)


def _groups(keys: Iterable[Any]) -> dict[Any, list[int]]:
    groups: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return groups


def _target(example: Example) -> tuple[str, int] | None:
    return None if example.target is None else (example.target.form, example.target.begin)
