"""How likely a given label is wrong, from probabilities of a model that never saw the row.

The usual label-quality score, self-confidence (Northcutt, Jiang & Chuang, "Confident learning", JAIR 70, 2021), ranks a
label by the model's probability for it alone. So a rare label, whose probabilities are low everywhere, looks wrong
everywhere, and the ranking mixes up labels of different frequency. Here the probability is set against what errors would
look like. A share ``e`` of the labels given is wrong: where a label is true, it is missing with rate ``e``. Where it is not
true, it appears with a rate between ``e·π/(1−π)``, as if wrong labels were drawn by how frequent the labels are (π), and
``e``, as if each cell were flipped for itself. Which of the two is read off the data: the least likely rows without a label
cannot have it with a smaller chance than that of appearing by mistake, so the first percentile of their probabilities is a
bound on the rate (after Scott, Blanchard & Handy 2013). Bayes' rule then turns the model's probability that a label is true,
and what was given, into the chance that it was given wrongly. Solving the rates for "true" out of the chance of "given",
which is what a model of labels with errors learns, was tried: everything above 1 − e becomes certain, the order at the top
is lost, and of scores above 0.9 only 47% were errors (KOTE, planted).
Rows with the same text but different
labels are several votes on one truth; copies that agree count once, since they may be copies of one vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from maeum._optional import require
from maeum.auditing.settings import Method

Floats = NDArray[np.float64]
_EPS = 1e-4
"""Probabilities are kept this far from 0 and 1, which no model of text may claim to know."""


def cell_errors(
    y: NDArray[Any],
    proba: NDArray[Any],
    *,
    share: float,
    method: Method = "posterior",
    twins: Sequence[Sequence[int]] = (),
) -> Floats:
    """Multilabel: the chance (n, k) that each cell is wrong, be it a label given (1) or not given (0).

    Args:
        y: (n, k) zeros and ones as given.
        proba: (n, k) out-of-fold probabilities, calibrated.
        twins: groups of rows with the same text.
        share: ``e``, between 0 and 0.5.
        method: ``cleanlab`` gives 1 − self-confidence instead.
    """
    if method == "cleanlab":
        return _cleanlab_cells(y, proba)
    p = _inner(proba)
    frequency = np.clip(y.mean(0, dtype=np.float64), _EPS, 0.5)
    lost = np.full(y.shape[1], share)
    given = y.astype(bool)
    false = np.clip(_floor(given, p), share * frequency / (1 - frequency), share)
    if_true = np.log(np.where(given, 1 - lost, lost))
    if_false = np.log(np.where(given, false, 1 - false))
    for group in twins:
        rows = list(group)
        split = given[rows].any(0) & ~given[rows].all(0)
        for votes in (if_true, if_false):
            votes[np.ix_(np.array(rows), np.flatnonzero(split))] = votes[rows].sum(0)[split]
    # the chance that the label is true, in log-odds
    odds = np.log(p / (1 - p)) + if_true - if_false
    return np.asarray(expit(np.where(given, -odds, odds)), np.float64)


def class_errors(
    y: NDArray[Any],
    proba: NDArray[Any],
    *,
    share: float,
    method: Method = "posterior",
    twins: Sequence[Sequence[int]] = (),
) -> tuple[Floats, NDArray[np.int64]]:
    """Multiclass: the chance (n,) that the one label given is wrong, and the column (n,) of the likeliest true one.

    Args:
        y: (n, k), one 1 a row.
        proba: (n, k) out-of-fold probabilities; rows sum to 1.
        share, method, twins: as of ``cell_errors``.
    """
    p = _inner(proba)
    given = y.argmax(1)
    rows = np.arange(len(y))
    if method == "cleanlab":
        rank = require("cleanlab.rank")
        errors = 1 - np.asarray(rank.get_label_quality_scores(given, p / p.sum(1, keepdims=True)), np.float64)
        other = p.copy()
    else:
        moves = _moves(y, share)
        votes = np.log(moves.T[given])
        for group in twins:
            members = list(group)
            if len(set(given[members].tolist())) > 1:
                votes[members] = votes[members].sum(0)
        other = softmax(np.log(p) + votes, axis=1)
        errors = 1 - other[rows, given]
    other[rows, given] = -1.0
    return errors, other.argmax(1)


def _floor(given: NDArray[np.bool_], p: Floats) -> Floats:
    """(k,) the first percentile of a label's probabilities where it is not given; 0 where it is given everywhere."""
    columns = [p[~given[:, label], label] for label in range(p.shape[1])]
    return np.array([np.quantile(column, 0.01) if len(column) else 0.0 for column in columns])


def _moves(y: NDArray[Any], share: float) -> Floats:
    """(k, k) chance that a row of true class c (row) is given class g (column)."""
    frequency = np.maximum(y.mean(0, dtype=np.float64), _EPS)
    frequency /= frequency.sum()
    moves = share * frequency[None, :] / np.maximum(1 - frequency[:, None], _EPS)
    np.fill_diagonal(moves, 0.0)
    # a class that nearly all rows have would be left with more than its share
    moves *= share / np.maximum(moves.sum(1, keepdims=True), share)
    np.fill_diagonal(moves, 1 - moves.sum(1))
    return np.asarray(moves, np.float64)


def _cleanlab_cells(y: NDArray[Any], proba: NDArray[Any]) -> Floats:
    rank = require("cleanlab.rank")
    p = _inner(proba)
    columns = [
        rank.get_label_quality_scores(y[:, label].astype(np.int64), np.stack([1 - p[:, label], p[:, label]], 1))
        for label in range(y.shape[1])
    ]
    return 1 - np.stack(columns, 1).astype(np.float64)


def _inner(proba: NDArray[Any]) -> Floats:
    return np.clip(proba.astype(np.float64), _EPS, 1 - _EPS)
