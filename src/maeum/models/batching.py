"""Windows in batches, their logits joined to those of texts, logits as probabilities: the same for torch and ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum.models.base import Proba
from maeum.task import Kind

Floats = NDArray[np.float32]


def probabilities(logits: NDArray[np.floating[Any]], kind: Kind) -> Proba:
    """(n, k): the softmax of multiclass logits, the sigmoid of others."""
    z = logits.astype(np.float64)
    if kind == "multiclass":
        e = np.exp(z - z.max(1, keepdims=True, initial=-np.inf))
        z = e / e.sum(1, keepdims=True)
    else:
        z = 1 / (1 + np.exp(-z))
    proba: Proba = z.astype(np.float32)
    return proba


def by_token_budget(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Row numbers in batches of similar length whose padded size stays within ``budget`` tokens."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    batches: list[list[int]] = []
    widest = 0
    for row in order:
        if not batches or widest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            widest = lengths[row]
        batches[-1].append(row)
    return batches


def join(logits: Floats, owner: NDArray[np.int64], n: int, how: Literal["max", "mean"]) -> Floats:
    """Window logits (w, k) joined label by label to those of their texts (n, k)."""
    if len(logits) == n:
        return logits
    if how == "max":
        joined = np.full((n, logits.shape[1]), -np.inf, np.float32)
        np.maximum.at(joined, owner, logits)
        return joined
    total = np.zeros((n, logits.shape[1]), np.float64)
    np.add.at(total, owner, logits)
    return (total / np.bincount(owner, minlength=n)[:, None]).astype(np.float32)
