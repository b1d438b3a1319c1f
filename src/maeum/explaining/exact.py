"""What each word adds to the logit of a linear model, without masking anything.

What is exact: the log-odds of a label is a sum over the n-grams of the *prepared* text, plus a constant. Each n-gram's
part is shared equally by the characters it covers, white space excepted, and those are added up within the words of the
raw text; the sum over words, target and constant is the log-odds the model gives (to rounding). How an n-gram that
reaches into two words is divided is a choice, and so is leaving the length to which every text is scaled as it is:
taking the word out would also change that, so contributions are not the drops that masking measures.

When it is exact: the log-odds must be an affine function of the features. So the model is a ``LinearClassifier`` without
its second stage (fewer than three labels, or trained on fewer than 1,000 rows), the labels are independent or two, and
no aspect is given. Otherwise there are no contributions, rather than approximate ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.explaining.units import Unit
from maeum.models.linear import LinearClassifier
from maeum.models.ngrams import _M3, _SPACE, NgramConfig, _buckets, _Plan, _Segments, _stream, decompose
from maeum.task import Task
from maeum.text import Prepared

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Contributions:
    """Parts of the log-odds of L labels; ``units.sum(0) + target + constant`` is the log-odds."""

    units: Floats
    """(n, L)"""
    target: Floats
    """(L,) characters that belong to no unit: the target, where it may not be hidden."""
    constant: Floats
    """(L,)"""


@dataclass(frozen=True)
class _Occurrences:
    """Every n-gram of an input that the model knows, as often as it occurs."""

    column: Ints
    """(m,) feature"""
    share: tuple[tuple[Ints, Ints], ...]
    """(occurrence, character of the prepared text) pairs, in parts: the characters each n-gram covers."""


def contributions(
    analyzer: Analyzer, item: Input, units: Sequence[Unit], columns: Sequence[int]
) -> Contributions | None:
    """The parts of the log-odds, or ``None`` where they are not exact."""
    model = analyzer.predictor
    if not isinstance(model, LinearClassifier) or item.aspect is not None or not _is_affine(model):
        return None
    prepared_input = analyzer.prep.prepare_input(item)
    prepared = analyzer.prep.prepare(item.text)
    found = _occurrences(prepared_input, model)
    features, place, count = np.unique(found.column, return_inverse=True, return_counts=True)
    weights, constant = _log_odds(model, analyzer, features, columns)
    values = _shares(place, count, model._state["idf"][features])
    chars = np.zeros((len(prepared.text), len(columns)))
    for occurrence, covered in found.share:
        size = np.bincount(occurrence)[occurrence]
        parts = weights[place[occurrence]] * (values[occurrence] / size)[:, None]
        np.add.at(chars, covered, parts)
    owner, inside = owners(prepared, units)
    sums = np.zeros((len(units), len(columns)))
    np.add.at(sums, owner[inside], chars[inside])
    return Contributions(sums, chars[~inside].sum(0), constant)


def owners(prepared: Prepared, units: Sequence[Unit]) -> tuple[Ints, NDArray[np.bool_]]:
    """Of each character of a prepared text the unit it came from, and whether there is one."""
    raw = np.array([prepared.to_raw(at, at + 1)[0] for at in range(len(prepared.text))], dtype=np.int64)
    owner = np.searchsorted(np.array([unit.begin for unit in units], dtype=np.int64), raw, side="right") - 1
    ends = np.array([unit.end for unit in units], dtype=np.int64)
    return owner, (owner >= 0) & (raw < ends[owner]) if len(units) else np.zeros(len(raw), dtype=bool)


def _is_affine(model: LinearClassifier) -> bool:
    if not model._state or "beta" in model._state:
        return False
    return _is_binary(model.task) or model.task.kind == "multilabel"


def _is_binary(task: Task) -> bool:
    return task.kind == "multiclass" and len(task) == 2


def _log_odds(
    model: LinearClassifier, analyzer: Analyzer, features: Ints, columns: Sequence[int]
) -> tuple[Floats, Floats]:
    """Weights (d, L) of d features and constants (L,), from normalised features to calibrated log-odds."""
    names = ("bias", "mean", "sd", "top_mean", "top_sd", "platt_a", "platt_b")
    state = {name: model._state[name].astype(np.float64) for name in names}
    k = len(state["platt_a"])
    scale = 1 / state["sd"]
    weights = (model._weights[features] * scale).reshape(len(features), len(scale) // k, k).mean(1)
    constant = ((state["bias"] - state["mean"]) * scale).reshape(-1, k).mean(0)
    slope = state["platt_a"] / state["top_sd"]
    weights, constant = weights * slope, (constant - state["top_mean"]) * slope + state["platt_b"]
    if _is_binary(model.task):  # one column, the second class
        weights, constant = weights * [-1, 1], constant * [-1, 1]
    slopes = np.array(analyzer.calibration.slope, dtype=np.float64)
    offsets = np.array(analyzer.calibration.offset or 0.0, dtype=np.float64)
    weights, constant = weights * slopes, constant * slopes + offsets
    return weights[:, list(columns)], constant[list(columns)]


def _shares(place: Ints, count: Ints, idf: Any) -> Floats:
    """(m,) value of every occurrence: the weight of its n-gram in the row, divided by how often it occurs."""
    values = (1 + np.log(count)) * idf.astype(np.float64)
    length = np.sqrt((values**2).sum())
    return np.asarray((values / count / max(length, 1e-15))[place], dtype=np.float64)


def _occurrences(item: Input, model: LinearClassifier) -> _Occurrences:
    config, table = model._ngrams, model._table
    assert table is not None
    segments = _Segments([item], config.window)
    starts = [0]
    if item.target is not None:
        begin, end = item.target.begin, item.target.end
        starts += [begin, max(begin - config.window, 0), end]
    columns: list[Ints] = []
    shares: list[tuple[Ints, Ints]] = []
    count = 0
    for text, salt, start in zip(segments.texts, segments.salts, starts, strict=True):
        for codes, places, order, at, column in _known(text, salt, config, table):
            numbers = np.repeat(np.arange(count, count + len(at)), order)
            covered = (at[:, None] + np.arange(order)).ravel()
            dark = codes[covered] != _SPACE
            shares.append((numbers[dark], places[covered][dark] + start))
            columns.append(column)
            count += len(at)
    return _Occurrences(np.concatenate([np.zeros(0, np.int64), *columns]), tuple(shares))


def _known(
    text: str, salt: int, config: NgramConfig, table: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.uint32], Ints, int, Ints, Ints]]:
    """Of each order: the symbols and their places in ``text``, the order, and start and feature of the n-grams known."""
    codes, _ = _stream([text])
    places = _places(text)
    assert len(codes) == len(places), "positions follow the n-gram stream"
    salts = np.array([salt], dtype=np.uint64)
    shift = np.uint64(64 - config.bits)
    streams = [(codes, places, salts, config.orders)]
    if config.jamo_orders:
        jamo, jamo_places = decompose(codes.copy(), places.astype(np.int32))
        streams.append((jamo, jamo_places.astype(np.int64), salts + _M3, config.jamo_orders))
    for symbols, where, salted, orders in streams:
        segment = np.zeros(len(symbols), dtype=np.int32)
        found = _buckets(symbols, segment, salted[0], _Plan(orders, shift), len(symbols))
        for order, (bucket, ok) in zip(sorted(set(orders)), found, strict=False):
            column = table[bucket]
            at = np.flatnonzero(ok & (column >= 0))
            yield symbols, where, order, at, column[at].astype(np.int64)


def _places(text: str) -> Ints:
    """Where each symbol of the n-gram stream stands in the text; of a run of white space only the first stays."""
    codes = np.frombuffer(f" {text} ".encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    blank = (codes <= _SPACE) | (codes == 0xA0) | (codes == 0x3000)
    keep = np.ones(len(codes), dtype=bool)
    keep[1:] = ~(blank[1:] & blank[:-1])
    return np.flatnonzero(keep).astype(np.int64) - 1
