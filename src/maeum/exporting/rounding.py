"""How the rows that enter the products of an int8 graph are rounded: chosen from what they are on sample texts.

Two ways, both of which keep a row's result from depending on its mates:

``row``    a scale from each row's own largest magnitude, found at run time: exact where single tokens or channels
           have outliers, and needs no samples
``fixed``  one range for all rows, found here: nothing is left to find at run time, and the bias fits into the product.
           Channels with outliers may be divided beforehand and the rows of the matrix multiplied by the same factors
           (SmoothQuant, Xiao et al. 2023), so that no channel coarsens the others

A fixed range is taken only where products come out as close to the exact ones as with a scale per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper  # noqa: TID253  only exporting imports this module

from maeum._onnxruntime import onnxruntime

F32 = NDArray[np.float32]

WEIGHT_LIMIT = 63
"""Largest rounded weight of a product: 2 · 255 · 63 fits into 16 bits."""
TINY = np.float32(1e-30)
"""Keeps the division by the largest magnitude of zeros finite."""
ROWS = 768
"""Rows of each activation that are kept to compare the two ways on."""
MARGIN = 1.1
"""A range is this much wider than what the samples reached."""
WORSE = 1.5
"""Error (root mean square) of a fixed range, in errors of a scale per row, that is still good enough."""


@dataclass(frozen=True)
class Seen:
    """An activation (…, d) on the samples."""

    low: F32
    """(d,) smallest value of each channel over all rows."""
    high: F32
    """(d,) largest."""
    rows: F32
    """(r, d) some rows."""


@dataclass(frozen=True)
class Fixed:
    """One range for all rows of an activation x: ``rint(x / factors / scale) + zero`` in 0 … 255."""

    scale: np.float32
    zero: np.uint8
    factors: F32 | None
    """(d,) at least 1; None: no channel is divided."""

    def scaled(self, x: F32) -> F32:
        """x / factors."""
        return x if self.factors is None else np.asarray(x / self.factors, np.float32)

    def rounded(self, x: F32) -> F32:
        """What x is after rounding and clipping, in units of x / factors."""
        zero = np.float32(self.zero)
        levels = np.clip(np.rint(self.scaled(x) / self.scale) + zero, 0, 255)
        return np.asarray((levels - zero) * self.scale, np.float32)

    def matrix(self, weight: F32) -> F32:
        """The matrix (d, m) that x / factors is multiplied by."""
        return weight if self.factors is None else np.asarray(weight * self.factors[:, None], np.float32)


def rounded_weight(weight: F32, axis: int, *, limit: int) -> tuple[NDArray[np.int8], F32]:
    """Symmetric integers up to ``limit`` and their scales, one for each slice across ``axis``."""
    scale = np.maximum(np.abs(weight).max(axis, keepdims=True) / limit, TINY).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def observe(
    model: ModelProto, names: Sequence[str], feeds: Sequence[Mapping[str, NDArray[np.int64]]]
) -> dict[str, Seen]:
    """The activations ``names`` of a graph on ``feeds``, none of whose windows is padded."""
    ort = onnxruntime()

    watched = ModelProto()
    watched.CopyFrom(model)
    given = {output.name for output in watched.graph.output}
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in given
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    step = max(1, sum(feed["input_ids"].size for feed in feeds) // ROWS)
    lows: dict[str, list[F32]] = {name: [] for name in names}
    highs: dict[str, list[F32]] = {name: [] for name in names}
    kept: dict[str, list[F32]] = {name: [] for name in names}
    at = 0
    for feed in feeds:
        for name, found in zip(names, session.run(list(names), dict(feed)), strict=True):
            rows = found.reshape(-1, found.shape[-1])
            lows[name].append(rows.min(0))
            highs[name].append(rows.max(0))
            kept[name].append(rows[-at % step :: step].copy())
        at += feed["input_ids"].size
    return {
        name: Seen(np.min(lows[name], axis=0), np.max(highs[name], axis=0), np.concatenate(kept[name]))
        for name in names
    }


def choose(seen: Seen, weights: Sequence[F32]) -> Fixed | None:
    """A fixed range for an activation that all of ``weights`` (d, m) are multiplied by; None: a scale per row."""
    if not len(seen.rows):
        return None
    bar = WORSE**2 * sum(_error(_by_row(seen.rows), weight, weight, seen.rows) for weight in weights)
    for factors in (None, smoothing(seen, weights)):
        found = fixed(seen, factors)
        error = sum(_error(found.rounded(seen.rows), found.matrix(w), w, seen.rows) for w in weights)
        if error <= bar:
            return found
    return None


def fixed(seen: Seen, factors: F32 | None) -> Fixed:
    """The range that holds what was seen, ``MARGIN`` times as wide; 0 is one of its levels."""
    low, high = (
        np.float32(MARGIN) * side
        for side in ((seen.low, seen.high) if factors is None else (seen.low / factors, seen.high / factors))
    )
    bottom, top = min(0.0, float(low.min())), max(0.0, float(high.max()))
    scale = np.float32(max((top - bottom) / 255, float(TINY)))
    return Fixed(scale, np.uint8(np.clip(round(-bottom / float(scale)), 0, 255)), factors)


def smoothing(seen: Seen, weights: Sequence[F32]) -> F32:
    """(d,) what channels with outliers are divided by: half of the outlier, in logarithms, goes over to the weights."""
    reach = np.maximum(np.maximum(np.abs(seen.low), np.abs(seen.high)), TINY)
    weight = np.maximum(np.max([np.abs(each).max(1) for each in weights], axis=0), TINY)
    found = np.sqrt(reach / weight)
    return np.asarray(np.maximum(found / np.median(found), 1), np.float32)


def _by_row(x: F32) -> F32:
    step = np.maximum(np.abs(x).max(1, keepdims=True), TINY) / 127
    return np.asarray(np.rint(x / step) * step, np.float32)


def _error(rounded: F32, matrix: F32, weight: F32, x: F32) -> float:
    """Squared error of a product, both of whose sides are rounded."""
    columns, scale = rounded_weight(matrix, 0, limit=WEIGHT_LIMIT)
    difference: NDArray[Any] = rounded @ (columns * scale) - x @ weight
    return float(np.square(difference).sum())
