"""Which rows train and which judge: hold-out and folds, stratified by labels and grouped by duplicate text.

Rows whose texts are the same but for case, spaces and punctuation always fall on the same side, so that no model is
judged on a text it has read; a sentence with two targets counts as such a group.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.errors import UsageError


def duplicate_key(text: str) -> str:
    """What two texts share when they count as duplicates: NFC, lower case, letters and digits only."""
    text = unicodedata.normalize("NFC", text).casefold()
    return "".join(filter(str.isalnum, text)) or "".join(text.split())


def duplicate_groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Group number (n,) of every text; equal numbers mean duplicates."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(duplicate_key(text), len(numbers)) for text in texts], dtype=np.int64)


def fold_numbers(y: NDArray[Any], groups: NDArray[Any], *, folds: int, seed: int) -> NDArray[np.int64]:
    """Fold number 0 … folds−1 of every row, (n,).

    Raises:
        UsageError: fewer than two folds, or fewer distinct texts than folds.
    """
    if folds < 2:
        raise UsageError(f"겹(fold)은 2 이상이어야 합니다: {folds}", f"at least 2 folds are needed, got {folds}")
    distinct = len(np.unique(groups))
    if distinct < folds:
        raise UsageError(
            f"서로 다른 글이 {distinct}개뿐이라 {folds}겹으로 나눌 수 없습니다. 데이터를 늘리거나 --folds를 줄이세요.",
            f"there are only {distinct} distinct texts, too few for {folds} folds; add rows or lower --folds",
        )
    return _stratify(y, groups, np.full(folds, 1 / folds), seed)


def holdout(
    y: NDArray[Any], groups: NDArray[Any], *, fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row indices that train and row indices that judge; ``fraction`` (0–1) of the rows judge.

    Raises:
        UsageError: the fraction is not between 0 and 1, or leaves one side empty.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"평가에 떼어 둘 비율은 0과 1 사이여야 합니다: {fraction}",
            f"the held-out share lies in 0–1, got {fraction}",
        )
    side = _stratify(y, groups, np.array([1 - fraction, fraction]), seed)
    train, judge = np.flatnonzero(side == 0), np.flatnonzero(side == 1)
    if not len(train) or not len(judge):
        raise UsageError(
            f"행이 {len(y)}개뿐이라 {fraction:g}만큼 떼어 둘 수 없습니다.",
            f"{len(y)} rows are too few to hold out {fraction:g} of them",
        )
    return train, judge


def _stratify(y: NDArray[Any], groups: NDArray[Any], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011) over groups of rows.

    The rarest label's groups are dealt first, each to the part that still wants most of that label, then to the part
    that wants most rows, then by chance. Groups without labels come last.
    """
    _, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(group_of_row.max()) + 1
    y = np.asarray(y, dtype=np.int64)
    labels = np.zeros((n_groups, y.shape[1]), np.int64)
    np.add.at(labels, group_of_row, y)
    sizes = np.bincount(group_of_row)

    rng = np.random.default_rng(seed)
    order = rng.permutation(n_groups)
    order = order[np.argsort(-sizes[order], kind="stable")]
    part = _deal(labels, sizes, order, shares, rng)
    return part[group_of_row]


def _deal(
    labels: NDArray[np.int64],
    sizes: NDArray[np.int64],
    order: NDArray[np.int64],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    parts = len(shares)
    wanted_rows = [float(share * sizes.sum()) for share in shares]
    wanted = [[float(share * total) for total in labels.sum(0)] for share in shares]
    members = [order[labels[order, label] > 0].tolist() for label in range(labels.shape[1])]
    carried = [np.flatnonzero(row).tolist() for row in labels]
    left = labels.astype(bool).sum(0)
    done = np.zeros(len(sizes), bool)
    part = np.zeros(len(sizes), np.int64)
    tie = rng.random((len(sizes), parts)).tolist()

    def assign(group: int, label: int | None) -> None:
        want = wanted_rows if label is None else [wanted[p][label] for p in range(parts)]
        best = max(range(parts), key=lambda p: (want[p], wanted_rows[p], tie[group][p]))
        part[group] = best
        done[group] = True
        wanted_rows[best] -= float(sizes[group])
        for each in carried[group]:
            wanted[best][each] -= float(labels[group, each])
            left[each] -= 1

    while True:
        open_labels = np.flatnonzero(left > 0)
        if not len(open_labels):
            break
        label = int(open_labels[np.argmin(left[open_labels])])
        for group in members[label]:
            if not done[group]:
                assign(group, label)
    for group in order.tolist():
        if not done[group]:
            assign(group, None)
    return part
