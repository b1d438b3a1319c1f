"""Whether a smaller graph is good enough to be the one that is written: measured, then one rule.

int8 must cost no label more than ε of its F1 beyond what chance explains, the mean of the labels no more than ε at all,
and it must be faster than fp32 on this processor, measured in the same run. fp16 has only size to offer, so only its F1
counts. Without labelled rows, the decisions of the full model stand in for labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.metrics import counts
from maeum.models.base import Predictor

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
EPSILON = 0.005
Stopwatch = Callable[[Predictor, Predictor, Sequence[Input]], tuple[float, float]]
"""(full, smaller, prepared inputs) -> texts per second of both."""

_SPEED_TEXTS = 128
_WARM_UP = 16
_SPEED_ROUNDS = 3
_RESAMPLES = 500
_OTHER = Input("앞에서 읽은 글을 잊게 하는 글")


@dataclass(frozen=True)
class Measured:
    """A smaller graph beside the full one, on the same texts."""

    keys: tuple[str, ...]
    texts: int
    labelled: bool
    """False: the full model's decisions stood in for labels."""
    source: str
    before: tuple[float, ...]
    """(k,) F1 of the full model; NaN for a label without positives."""
    after: tuple[float, ...]
    certain: tuple[float, ...]
    """(k,) lower end of the 95% interval of the drop, over resampled rows (Efron 1979)."""
    largest: float
    """Largest difference of a probability."""
    mean: float
    """Mean difference of a probability."""
    changed: float
    """Share of decisions (text, label) that differ."""
    speed_before: float
    speed_after: float
    """Texts per second."""

    @property
    def drops(self) -> NDArray[np.float64]:
        """(k,) F1 lost by each label."""
        return np.asarray(self.before, np.float64) - np.asarray(self.after, np.float64)

    @property
    def mean_drop(self) -> float:
        """Over the labels that can be judged; 0 without any."""
        known = self.drops[np.isfinite(self.drops)]
        return float(known.mean()) if len(known) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what cannot be judged is None."""
        rows = zip(self.keys, self.before, self.after, self.drops.tolist(), self.certain, strict=True)
        labels = {
            key: None if np.isnan(b) else {"before": b, "after": a, "drop": d, "drop_at_least": c}
            for key, b, a, d, c in rows
        }
        return {
            "texts": self.texts,
            "labelled": self.labelled,
            "source": self.source,
            "mean_f1_drop": self.mean_drop,
            "labels": labels,
            "largest_difference": self.largest,
            "mean_difference": self.mean,
            "decisions_changed": self.changed,
            "texts_per_second": {"fp32": self.speed_before, "smaller": self.speed_after},
        }


@dataclass(frozen=True)
class Verdict:
    """What is written, and why."""

    kept: bool
    reasons: tuple[str, ...]
    """Sentences for people: what spoke against the smaller graph, or what it cost and gained."""


def measure(
    full: Analyzer,
    smaller: Predictor,
    items: Sequence[Any],
    y: NDArray[np.uint8] | None,
    *,
    source: str,
    stopwatch: Stopwatch | None = None,
) -> Measured:
    """Both models on the same texts.

    Args:
        full: with the fp32 graph.
        smaller: the graph in question.
        items: texts, inputs or examples.
        y: (n, k) labels; None: the full model's decisions.
    """
    inputs = [full.prep.prepare_input(item if isinstance(item, Input) else item.input) for item in items]
    probas = [full.calibration.apply(model.predict_proba(inputs)) for model in (full.predictor, smaller)]
    decided = [full.decide(proba) for proba in probas]
    gold = decided[0] if y is None else y
    positives = gold.any(0)
    before, after = (np.where(positives, counts(gold, each).f1, np.nan) for each in decided)
    gap = np.abs(probas[0].astype(np.float64) - probas[1])
    speeds = (stopwatch or race)(full.predictor, smaller, inputs[:_SPEED_TEXTS])
    return Measured(
        full.task.keys,
        len(inputs),
        y is not None,
        source,
        tuple(before.tolist()),
        tuple(after.tolist()),
        tuple(np.where(positives, _certain_drop(gold, *decided), np.nan).tolist()),
        float(gap.max(initial=0)),
        float(gap.mean()) if gap.size else 0.0,
        float((decided[0] != decided[1]).mean()) if gap.size else 0.0,
        *speeds,
    )


def judge(measured: Measured, precision: Precision, epsilon: float) -> Verdict:
    """The rule of this module."""
    against = _against(measured, precision, epsilon)
    return Verdict(not against, tuple(against) or (_cost(measured),))


def _against(measured: Measured, precision: Precision, epsilon: float) -> list[str]:
    found = []
    if not np.isfinite(measured.drops).any():
        found.append(
            say(
                "어느 라벨에도 양성인 행이 없어 F1을 잴 수 없습니다. 라벨이 있는 데이터를 --data로 주세요.",
                "no label has a positive row, so F1 cannot be judged; give labelled rows with --data",
            )
        )
    if measured.mean_drop > epsilon:
        found.append(
            say(
                f"라벨별 F1이 평균 {measured.mean_drop:.4f} 떨어집니다(허용 {epsilon:g}).",
                f"F1 falls by {measured.mean_drop:.4f} on average over the labels (allowed {epsilon:g})",
            )
        )
    worst = [
        (drop, key)
        for key, drop, certain in zip(measured.keys, measured.drops.tolist(), measured.certain, strict=True)
        if certain > epsilon
    ]
    if worst:
        drop, key = max(worst)
        found.append(
            say(
                f"라벨 {len(worst)}개의 F1이 우연으로 볼 수 없을 만큼 떨어집니다(가장 큰 것: {key} {drop:.4f}, 허용 {epsilon:g}).",
                f"{len(worst)} labels lose more F1 than chance explains (worst: {key} {drop:.4f}, allowed {epsilon:g})",
            )
        )
    if precision == "int8" and measured.speed_after <= measured.speed_before:
        found.append(
            say(
                f"이 컴퓨터에서 더 빠르지 않습니다(1초에 {measured.speed_after:.0f}글, fp32 {measured.speed_before:.0f}글).",
                f"it is not faster on this machine ({measured.speed_after:.0f} texts/s against {measured.speed_before:.0f})",
            )
        )
    return found


def _cost(measured: Measured) -> str:
    return say(
        f"F1 변화 평균 {-measured.mean_drop:+.4f}, 확률 차이 최대 {measured.largest:.4f}, 바뀐 판정 {measured.changed:.2%}, "
        f"속도 {measured.speed_after / max(measured.speed_before, 1e-9):.2f}배",
        f"mean F1 {-measured.mean_drop:+.4f}, probabilities differ by at most {measured.largest:.4f}, "
        f"{measured.changed:.2%} of decisions changed, {measured.speed_after / max(measured.speed_before, 1e-9):.2f}x the speed",
    )


def race(full: Predictor, smaller: Predictor, inputs: Sequence[Input]) -> tuple[float, float]:
    """Texts per second of both: in turns, the best of several rounds, so that other work on the machine hits both."""
    best = [0.0, 0.0]
    for model in (full, smaller):
        model.predict_proba(inputs[:_WARM_UP])
    for _ in range(_SPEED_ROUNDS):
        for at, model in enumerate((full, smaller)):
            # the heads of a trunk remember the last texts (``models.head``), and a memory is no speed
            model.predict_proba([_OTHER])
            start = time.perf_counter()
            model.predict_proba(inputs)
            best[at] = max(best[at], len(inputs) / max(time.perf_counter() - start, 1e-9))
    return best[0], best[1]


def _certain_drop(y: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float64]:
    """(k,) the drop of F1 that at least 97.5% of resamplings of the rows reach."""
    rng, n = np.random.default_rng(0), len(y)
    gold = y.astype(bool)
    drops = np.empty((_RESAMPLES, y.shape[1]))
    cells = [
        np.concatenate([gold & given, given & ~gold, gold & ~given], axis=1).astype(np.float32)
        for given in (before.astype(bool), after.astype(bool))
    ]
    for number in range(_RESAMPLES):
        weights = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float32) if n else np.zeros(0, np.float32)
        f1 = [_f1(*np.split((weights @ each).astype(np.float64), 3)) for each in cells]
        drops[number] = f1[0] - f1[1]
    lower: NDArray[np.float64] = np.quantile(drops, 0.025, axis=0)
    return lower


def _f1(tp: Any, fp: Any, fn: Any) -> NDArray[np.float64]:
    bottom = 2 * tp + fp + fn
    return np.asarray(np.divide(2 * tp, bottom, out=np.zeros_like(bottom), where=bottom > 0))
