"""The decision rule: probabilities in, labels out. Nothing else in the package holds a cut-off.

Tuning is exact: for each label every cut that could change a decision is tried by sorting once, and the joint
optimum of micro-F1 over all labels is found by Dinkelbach's method, not on a grid.
Probabilities and thresholds are compared as float32, so ``0.301`` read from a file passes a threshold of ``0.301``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum.errors import FormatError, TaskMismatch, UsageError
from maeum.task import Task

Empty = Literal["none", "argmax"]
Towards = Literal["common", "expected"]
Floats = NDArray[np.float64]

OBJECTIVES = ("micro-f1", "macro-f1", "accuracy", "precision>=X")
ABOVE_ALL = float(np.nextafter(np.float32(1), np.float32(2)))
"""A threshold no probability reaches: the label is never given."""


@dataclass(frozen=True)
class Thresholds:
    """One threshold per label and how it was found.

    A label is given when ``proba >= value``; raising a value never adds that label. Multiclass tasks take the most
    probable label and have no values.
    """

    keys: tuple[str, ...]
    values: tuple[float, ...]
    """One per label, 0 to just above 1; empty for the multiclass rule."""
    objective: str = "none"
    """What was maximised; ``none`` for a default, ``set`` where a person set a value."""
    empty: Empty = "none"
    """When no label passes: ``none`` gives no label, ``argmax`` gives the most probable one."""
    tuned_on: str = ""
    """Which rows were used, in words."""
    low: tuple[float, ...] = ()
    """Lower ends of the bootstrap intervals of the values; empty if not computed."""
    high: tuple[float, ...] = ()
    """Upper ends."""

    def __post_init__(self) -> None:
        if self.values and len(self.values) != len(self.keys):
            raise UsageError("기준값 수가 라벨 수와 다릅니다.", "there must be one threshold per label")
        if any(not 0 <= value <= ABOVE_ALL for value in self.values):
            raise UsageError("기준값은 0과 1 사이여야 합니다.", "thresholds must lie between 0 and 1")
        if self.empty not in ("none", "argmax"):
            raise UsageError(
                f"empty는 none 또는 argmax입니다: {self.empty}", f"empty must be none or argmax, got {self.empty}"
            )

    @classmethod
    def default(cls, task: Task) -> Thresholds:
        """The untuned rule: one half for every label, or the most probable label of a multiclass task."""
        return cls(task.keys, () if task.kind == "multiclass" else (0.5,) * len(task))

    @property
    def is_argmax(self) -> bool:
        """Whether exactly one label is given to every row."""
        return not self.values

    def decide(self, proba: NDArray[Any]) -> NDArray[np.uint8]:
        """Labels (n, k) of zeros and ones for probabilities (n, k)."""
        proba = np.asarray(proba, dtype=np.float32)
        if proba.ndim != 2 or proba.shape[1] != len(self.keys):
            raise TaskMismatch(
                f"확률의 열은 {len(self.keys)}개여야 하는데 모양이 {proba.shape}입니다.",
                f"probabilities must have {len(self.keys)} columns, got shape {proba.shape}",
            )
        on = np.zeros(proba.shape, np.uint8)
        if len(proba) == 0:
            return on
        if self.values:
            on[:] = proba >= np.asarray(self.values, dtype=np.float32)
        bare = ~on.any(1) if self.is_argmax or self.empty == "argmax" else np.zeros(len(on), bool)
        if bare.any():
            on[bare, proba[bare].argmax(1)] = 1
        return on

    def replaced(self, values: Mapping[str, float], task: Task) -> Thresholds:
        """The same rule with some values set by hand (keys, names or aliases of ``task``)."""
        if self.is_argmax:
            raise UsageError(
                f"과제 '{task.name}'은(는) 가장 높은 라벨 하나를 고르므로 기준값이 없습니다.",
                f"task '{task.name}' picks the most probable label, so it has no thresholds to set",
            )
        new = list(self.values)
        for word, value in values.items():
            if not 0 <= value <= 1:
                raise UsageError(
                    f"기준값은 0과 1 사이여야 합니다: {word}={value}", f"a threshold lies in 0–1, got {word}={value}"
                )
            new[task.index(word)] = float(np.float32(value))
        return replace(self, values=tuple(new), objective="set", low=(), high=(), tuned_on="")

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``from_dict`` reads it back exactly."""
        return {
            "rule": "argmax" if self.is_argmax else "proba >= value",
            "values": dict(zip(self.keys, self.values, strict=True)) if self.values else None,
            "keys": list(self.keys),
            "objective": self.objective,
            "empty": self.empty,
            "tuned_on": self.tuned_on,
            "interval": [list(pair) for pair in zip(self.low, self.high, strict=True)] if self.low else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Thresholds:
        """Read ``to_dict``'s form."""
        try:
            keys = tuple(data["keys"])
            values = data["values"]
            interval = data.get("interval") or ()
            return cls(
                keys=keys,
                values=tuple(float(values[key]) for key in keys) if values is not None else (),
                objective=data["objective"],
                empty=data["empty"],
                tuned_on=data["tuned_on"],
                low=tuple(pair[0] for pair in interval),
                high=tuple(pair[1] for pair in interval),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise FormatError(
                f"thresholds.json을 읽을 수 없습니다: {error}", f"cannot read thresholds: {error}"
            ) from error


@dataclass(frozen=True)
class Curve:
    """Counts at every cut of one label's probabilities, from "nothing passes" down to "everything passes"."""

    cuts: Floats
    """(m,) thresholds, falling; the first is above every probability."""
    tp: Floats
    """(m,) true positives at each cut (weighted if weights were given)."""
    passed: Floats
    """(m,) rows that pass each cut."""
    positives: float
    total: float

    @property
    def f1(self) -> Floats:
        """(m,) F1 at each cut; 0 where there is neither a positive nor a passing row."""
        bottom = self.passed + self.positives
        return np.divide(2 * self.tp, bottom, out=np.zeros_like(self.tp), where=bottom > 0)

    @property
    def precision(self) -> Floats:
        """(m,) precision at each cut; 1 where nothing passes."""
        return np.divide(self.tp, self.passed, out=np.ones_like(self.tp), where=self.passed > 0)

    @property
    def recall(self) -> Floats:
        """(m,) recall at each cut."""
        return self.tp / self.positives if self.positives else np.zeros_like(self.tp)

    @property
    def right(self) -> Floats:
        """(m,) true positives + true negatives."""
        return self.total - self.positives + 2 * self.tp - self.passed


def curve(y: NDArray[Any], proba: NDArray[Any]) -> Curve:
    """The curve of one label: ``y`` (n,) zeros and ones, ``proba`` (n,)."""
    order, ends, cuts = _cuts(np.asarray(proba, np.float32))
    tp = np.concatenate([[0.0], np.cumsum(np.asarray(y)[order], dtype=np.float64)])[ends]
    return Curve(cuts, tp, ends.astype(np.float64), float(np.sum(y)), float(len(y)))


def tune_thresholds(
    y: NDArray[Any],
    proba: NDArray[Any],
    task: Task,
    *,
    objective: str = "macro-f1",
    shrinkage: float = 0.0,
    towards: Towards = "common",
    empty: Empty | Literal["auto"] = "auto",
    tuned_on: str = "",
    resamples: int = 0,
    seed: int = 0,
) -> Thresholds:
    """Find the thresholds that maximise an objective on labelled probabilities.

    Args:
        y, proba: (n, k); use out-of-fold probabilities, since a model's own training rows look too easy.
        task: whose labels the columns are. Multiclass tasks get the argmax rule whatever the objective.
        objective: ``micro-f1`` (joint over labels), ``macro-f1``, ``accuracy`` (true positives + true negatives per
            label), or ``precision>=0.9``: the highest recall among cuts with that precision; a label that never
            reaches it is never given.
        shrinkage: pseudo-positives (≥ 0) that pull a label's threshold towards a steadier one, in logit space with weight
            ``positives / (positives + shrinkage)``. 0 keeps the exact optimum, infinity the steadier one.
        towards: ``common``: the threshold that is best for all labels together; ``expected``: the label's threshold
            that maximises the objective *expected* under the probabilities themselves, whose labels are not looked at
            (for F1 it is half the best F1: Lipton, Elkan & Naryanaswamy 2014, arXiv:1402.1892). It varies far less
            from sample to sample, and is as good as the probabilities are calibrated.
        empty: what to do when nothing passes; ``auto`` takes whichever is better on these rows.
        resamples: bootstrap resamples for the 90% intervals of the values; 0 for none.

    Raises:
        UsageError: an unknown objective, or arrays that do not fit each other.
    """
    floor = _parse_objective(objective)
    y, proba = _check(y, proba, task)
    if task.kind == "multiclass":
        return Thresholds(task.keys, (), objective=objective, tuned_on=tuned_on)
    curves = [curve(column, p) for column, p in zip(y.T, proba.T, strict=True)]
    values = _optimum(curves, objective, floor)
    if shrinkage > 0 and floor is None:
        values = _shrink(values, y, proba, objective, shrinkage, towards)
    pull = (towards, shrinkage if floor is None else 0.0)
    low, high = _intervals(y, proba, objective, floor, pull, resamples, seed) if resamples else ((), ())
    rule = Thresholds(task.keys, tuple(values), objective, "none", tuned_on, low, high)
    if empty == "auto":
        empty = "argmax" if floor is None and _gains_from_argmax(rule, y, proba, objective) else "none"
    return replace(rule, empty=empty)


PULLS: tuple[tuple[Towards, float], ...] = (
    ("common", 5.0),
    ("common", 20.0),
    ("expected", 20.0),
    ("expected", 100.0),
    ("expected", float("inf")),
)
"""What ``choose_pull`` tries: where thresholds are pulled to, and how hard; the first unless another is clearly better."""
_WORTH_A_CHANGE = 0.004
"""Gain of a pull over the usual one below which it is noise (benchmarks/LOG.md, 2026-11-22)."""


def choose_pull(
    y: NDArray[Any], proba: NDArray[Any], task: Task, *, objective: str, parts: NDArray[Any]
) -> tuple[Towards, float]:
    """Which of ``PULLS`` gives the best decisions on rows that did not tune the thresholds.

    Few rows or rare labels want a hard pull, well calibrated probabilities one towards their own expectation; neither is
    known beforehand, so the rows decide: thresholds are tuned on all parts but one and judged on that one.

    Args:
        y, proba: (n, k), as for ``tune_thresholds``.
        parts: (n,) numbers of the parts; rows with the same text belong into the same one.
    """
    if task.kind == "multiclass" or _parse_objective(objective) is not None or len(np.unique(parts)) < 2:
        return PULLS[0]
    y, proba = _check(y, proba, task)

    def score(pull: tuple[Towards, float]) -> float:
        decided = np.zeros_like(y)
        for part in np.unique(parts):
            held = parts == part
            rule = tune_thresholds(
                y[~held], proba[~held], task, objective=objective, towards=pull[0], shrinkage=pull[1], empty="none"
            )
            decided[held] = rule.decide(proba[held])
        return _value(y, decided, objective)

    scores = {pull: score(pull) for pull in PULLS}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > scores[PULLS[0]] + _WORTH_A_CHANGE else PULLS[0]


def simulation_table(
    y: NDArray[Any], proba: NDArray[Any], *, steps: int = 1000
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """True positives + true negatives of every label at 0/steps, 1/steps, … (seed 000's ``percent_simulation``).

    Returns:
        thresholds (steps,) and counts (steps, k). One pass over the cells: each is put in the bin of the thresholds it
        passes, and sums over bins give all rows of the table.
    """
    proba = np.asarray(proba, np.float32)
    grid = np.arange(steps) / steps
    passes = np.searchsorted(grid.astype(np.float32), proba.ravel(), side="right")
    k = proba.shape[1]
    cell = passes * k + np.tile(np.arange(k), len(proba))
    gain = np.bincount(cell, weights=np.ravel(np.asarray(y, np.float64)) * 2 - 1, minlength=(steps + 1) * k)
    above = gain.reshape(steps + 1, k)[::-1].cumsum(0)[::-1][1:]
    negatives = len(proba) - np.asarray(y).sum(0, dtype=np.int64)
    return grid, above.astype(np.int64) + negatives


def _parse_objective(objective: str) -> float | None:
    """The precision floor of ``precision>=x``, None for the other objectives."""
    match = re.fullmatch(r"precision\s*>=\s*(0?\.\d+|1(?:\.0+)?|0)", objective)
    if match:
        return float(match.group(1))
    if objective not in OBJECTIVES[:3]:
        raise UsageError(
            f"목표 '{objective}'을(를) 모릅니다. 쓸 수 있는 것: {', '.join(OBJECTIVES)} (예: precision>=0.9)",
            f"unknown objective '{objective}'; choose from {', '.join(OBJECTIVES)} (for example precision>=0.9)",
        )
    return None


def _check(y: NDArray[Any], proba: NDArray[Any], task: Task) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    y, proba = np.asarray(y, np.uint8), np.asarray(proba, np.float32)
    if y.shape != proba.shape or y.ndim != 2 or y.shape[1] != len(task):
        raise UsageError(
            f"라벨 {y.shape}과(와) 확률 {proba.shape}은(는) (행, {len(task)}) 모양이어야 합니다.",
            f"labels {y.shape} and probabilities {proba.shape} must both be (rows, {len(task)})",
        )
    if len(y) == 0:
        raise UsageError("기준값을 찾을 행이 없습니다.", "there are no rows to tune thresholds on")
    if not np.isfinite(proba).all():
        raise UsageError("확률에 숫자가 아닌 값(NaN/inf)이 있습니다.", "the probabilities hold NaN or infinity")
    return y, proba


def _cuts(proba: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Falling order of rows, how many rows pass each cut, and the cuts: midway between neighbouring values."""
    order = np.argsort(-proba, kind="stable")
    ranked = proba[order]
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    upper = ranked[last].astype(np.float64)
    lower = np.append(upper[1:], 0.0)
    middle = ((upper + lower) / 2).astype(np.float32).astype(np.float64)
    middle = np.where(middle > lower, middle, upper)
    middle[-1] = upper[-1] / 2 if len(upper) == 1 else upper[-1]
    top = np.float32(ranked[0])
    above = min(float((top + np.float32(1)) / 2) if top < 1 else ABOVE_ALL, ABOVE_ALL)
    above = above if np.float32(above) > top else float(np.nextafter(top, np.float32(2)))
    return order, np.append(0, last + 1), np.append(above, middle)


def _optimum(curves: list[Curve], objective: str, floor: float | None) -> list[float]:
    if objective == "micro-f1":
        return _joint_micro_f1(curves)
    values = []
    for item in curves:
        if floor is not None:
            score = np.where((item.precision >= floor) & (item.passed > 0), item.tp, -1.0)
            values.append(ABOVE_ALL if score.max() <= 0 else float(item.cuts[int(np.argmax(score))]))
        else:
            score = item.right if objective == "accuracy" else item.f1
            values.append(float(item.cuts[int(np.argmax(score))]))
    return values


def _joint_micro_f1(curves: list[Curve]) -> list[float]:
    """Maximise 2·Σtp / Σ(passed + positives) over all labels' cuts together.

    Dinkelbach (1967): for a guess F, the best cut of each label maximises 2·tp − F·passed, on its own; the ratio at
    those cuts is a better guess; when it no longer moves, it is the maximum over all combinations.
    """
    positives = sum(item.positives for item in curves)
    ratio = 0.0
    while True:
        rows = [int(np.argmax(2 * item.tp - ratio * item.passed)) for item in curves]
        top = 2 * sum(float(item.tp[row]) for item, row in zip(curves, rows, strict=True))
        bottom = positives + sum(float(item.passed[row]) for item, row in zip(curves, rows, strict=True))
        new = top / bottom if bottom else 0.0
        if new <= ratio:
            return [float(item.cuts[row]) for item, row in zip(curves, rows, strict=True)]
        ratio = new


def _shrink(
    values: list[float],
    y: NDArray[np.uint8],
    proba: NDArray[np.float32],
    objective: str,
    shrinkage: float,
    towards: Towards,
) -> list[float]:
    if towards == "common":
        steady = np.full(len(values), _optimum([curve(y.ravel(), proba.ravel())], objective, None)[0])
    else:
        # a row counts as a positive to the degree that it is expected to be one
        steady = np.array(_optimum([curve(column, column) for column in proba.T], objective, None))
    return _mixed(values, steady, y.sum(0, dtype=np.float64), shrinkage)


def _mixed(values: list[float], steady: Floats, positives: Floats, shrinkage: float) -> list[float]:
    weight = positives / (positives + shrinkage)
    mixed = weight * _logit(np.array(values)) + (1 - weight) * _logit(steady)
    return [float(np.float32(value)) for value in 1 / (1 + np.exp(-mixed))]


def _logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))


def _gains_from_argmax(rule: Thresholds, y: NDArray[np.uint8], proba: NDArray[np.float32], objective: str) -> bool:
    plain = _value(y, rule.decide(proba), objective)
    return _value(y, replace(rule, empty="argmax").decide(proba), objective) > plain


def _value(y: NDArray[np.uint8], decided: NDArray[np.uint8], objective: str) -> float:
    from maeum.metrics import decision_metrics

    name = {"micro-f1": "micro_f1", "macro-f1": "macro_f1", "accuracy": "label_accuracy"}[objective]
    return decision_metrics(y, decided)[name]


def _intervals(
    y: NDArray[np.uint8],
    proba: NDArray[np.float32],
    objective: str,
    floor: float | None,
    pull: tuple[Towards, float],
    resamples: int,
    seed: int,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """90% percentile intervals of the thresholds, pulled as they are, over resampled rows; weights stand for repeated rows."""
    ranked = [_cuts(column) for column in proba.T]
    towards, shrinkage = pull
    together = _cuts(proba.ravel()) if shrinkage and towards == "common" else None
    found = []
    for weights in _weights(len(y), resamples, seed):
        values = _optimum(_weighted(y, ranked, weights), objective, floor)
        if shrinkage:
            if together is not None:
                pooled = _weighted(y.reshape(-1, 1), [together], np.repeat(weights, y.shape[1]))
                steady = np.full(len(values), _optimum(pooled, objective, None)[0])
            else:
                steady = np.array(_optimum(_weighted(proba, ranked, weights), objective, None))
            values = _mixed(values, steady, (weights @ y).astype(np.float64), shrinkage)
        found.append(values)
    low, high = np.quantile(np.array(found), [0.05, 0.95], axis=0)
    return tuple(map(float, low)), tuple(map(float, high))


def _weights(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(n, size=n), minlength=n)


def _weighted(
    y: NDArray[Any],
    ranked: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]],
    weights: NDArray[np.int64],
) -> list[Curve]:
    curves = []
    for column, (order, ends, cuts) in zip(y.T, ranked, strict=True):
        in_order = weights[order]
        passed = np.concatenate([[0], np.cumsum(in_order)])[ends].astype(np.float64)
        tp = np.concatenate([[0], np.cumsum(in_order * column[order])])[ends].astype(np.float64)
        curves.append(Curve(cuts, tp, passed, float(tp[-1]), float(passed[-1])))
    return curves
