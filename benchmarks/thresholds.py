"""Seed 000's simulation table (TP+TN of 8 labels at 0.0% … 99.9%) against a vectorised numpy grid, in the same run.

python benchmarks/thresholds.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _results import save
from numpy.typing import NDArray

from maeum.task import builtin_task
from maeum.thresholds import simulation_table, tune_thresholds

ROWS, LABELS, REPEATS = 4750, 8, 7


def grid_table(y: NDArray[np.uint8], proba: NDArray[np.float32]) -> NDArray[np.int64]:
    """The obvious vectorised table: all cells compared with every cut-off."""
    cuts = (np.arange(1000) / 1000).astype(np.float32)
    positive = y.astype(bool)
    return np.stack([((proba >= cut) == positive).sum(0) for cut in cuts])


def best_of(work: Callable[[], Any]) -> float:
    """Shortest of some runs, in seconds: the one least disturbed by the machine."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Compare counts and times; exit with an error if the counts differ."""
    rng = np.random.default_rng(0)
    y = (rng.random((ROWS, LABELS)) < rng.uniform(0.05, 0.5, LABELS)).astype(np.uint8)
    proba = (np.clip(0.4 * y + rng.beta(0.5, 2, y.shape), 0, 1).round(4)).astype(np.float32)
    same = bool((simulation_table(y, proba)[1] == grid_table(y, proba)).all())
    ours, grid = best_of(lambda: simulation_table(y, proba)), best_of(lambda: grid_table(y, proba))
    tuned = best_of(lambda: tune_thresholds(y, proba, builtin_task("nikl-ea"), objective="micro-f1", empty="none"))
    print(f"{ROWS} rows x {LABELS} labels x 1000 cut-offs")
    print(f"numpy grid         {grid * 1e3:8.2f} ms")
    print(f"simulation_table   {ours * 1e3:8.2f} ms   {grid / ours:.1f}x faster, counts identical: {same}")
    print(f"joint micro-F1     {tuned * 1e3:8.2f} ms   (exact, all labels together)")
    result = {"rows": ROWS, "labels": LABELS, "grid_ms": grid * 1e3, "ours_ms": ours * 1e3, "ratio": grid / ours}
    print("saved", save("thresholds", result | {"identical": same, "joint_micro_f1_ms": tuned * 1e3}).name)
    if not same:
        raise SystemExit("the counts differ")


if __name__ == "__main__":
    main()
