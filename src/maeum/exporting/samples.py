"""Texts that smaller graphs are made and measured on where nobody gives any: the samples of the package."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from maeum.data import Input
from maeum.formats import read
from maeum.models.windows import Window

SAMPLE_TEXTS = ("sample:nikl-ea", "sample:aihub", "sample:fashion")

Feed = dict[str, NDArray[np.int64]]


def sample_inputs() -> list[Input]:
    """The texts of the samples in the package."""
    found = {example.input for name in SAMPLE_TEXTS for example in read(name)}
    return sorted(found, key=lambda item: (item.text, str(item.target)))


def feeds(windows: Iterable[Window]) -> list[Feed]:
    """Inputs of a graph, windows of equal length together: nothing is padded."""
    groups: dict[int, list[Window]] = {}
    for window in windows:
        groups.setdefault(len(window.ids), []).append(window)
    found: list[Feed] = []
    for group in groups.values():
        ids = np.array([window.ids for window in group], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if group[0].types:
            feed["token_type_ids"] = np.array([window.types for window in group], np.int64)
        found.append(feed)
    return found
