"""How good is the embedded model on rows it never saw, and what does each of its parts bring?

    python benchmarks/mini.py --data DIR [--model mini] [--plan recipes/mini/heads.toml]

Rows are split as its training plan splits them. Judged on the plan's judge rows, which set nothing: the model as shipped;
its encoder and its linear model alone, with thresholds of their own set on the held-out rows; and beside them what
``maeum train --model linear`` makes of the same training rows. First of all, how long ``maeum analyze`` takes from a
cold start, and in how much memory. Macro-F1 over all labels, accuracy for polarity, with 95%
bootstrap intervals over rows.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _results import RESULTS, save
from numpy.typing import NDArray

from maeum import experiment, folder
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset
from maeum.experiment import TrainSettings, tune
from maeum.heads import own_rows, read_plan
from maeum.metrics import counts
from maeum.models.head import HeadPredictor, mixed
from maeum.task import Task

BARS = {"kote": (0.49, 0.52), "nsmc": (0.89, 0.905), "goemotions": (0.44, 0.46)}
"""What was asked for, and what was hoped for."""
RESAMPLES = 1000


def quality(task: Task, y: NDArray[Any], decided: NDArray[Any]) -> float:
    """Accuracy of labels that exclude each other, macro-F1 of others."""
    if task.kind == "multiclass":
        return float((y.argmax(1) == decided.argmax(1)).mean())
    return float(counts(y, decided).f1.mean())


def interval(task: Task, y: NDArray[Any], decided: NDArray[Any]) -> tuple[float, float]:
    """95% bootstrap interval over rows."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), len(y))
        scores.append(quality(task, y[rows], decided[rows]))
    low, high = np.quantile(scores, (0.025, 0.975))
    return float(low), float(high)


def part(analyzer: Analyzer, held: Dataset, judge: Dataset, which: str) -> NDArray[Any]:
    """Decisions of one part of a head, tuned on the held-out rows."""
    head: Any = analyzer.predictor

    def proba(rows: Dataset) -> Any:
        inputs = [analyzer.prep.prepare_input(item) for item in rows.inputs]
        if which == "linear":
            return head.linear.predict_proba(inputs)
        return mixed(head.logits(inputs), None, 1.0, analyzer.task)

    oof = OutOfFold(held.task, tuple(held.ids), held.y, proba(held), np.zeros(len(held), np.int64))
    calibration, thresholds = tune(oof, TrainSettings())
    return thresholds.decide(calibration.apply(proba(judge)))


def peak_of(command: list[str]) -> float:
    """Peak resident MB of a command, as GNU time would say: measured by a small process that starts it."""
    watch = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", watch, *command], check=True, capture_output=True, text=True)
    return float(done.stdout)


def cold_start(model: str, runs: int = 5) -> dict[str, Any]:
    """Wall-clock seconds and peak MB of ``maeum analyze`` in a process of its own, beside an empty interpreter."""
    found: dict[str, Any] = {}
    sentence = "드디어 콘서트 표를 구했다!! 벌써 두근두근"
    for name, arguments in (
        ("python -c pass", ["-c", "pass"]),
        ("maeum analyze", ["-m", "maeum", "analyze", sentence, "--model", model]),
    ):
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        peak = peak_of([sys.executable, *arguments])
        found[name] = {"seconds": statistics.median(seconds), "peak_mb": peak}
        print(f"{name:16} {found[name]['seconds']:.2f} s  {peak:.0f} MB (median of {runs}; bars 1.5 s, 400 MB)")
    return found


def main() -> None:
    """Print a table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--plan", default="recipes/mini/heads.toml")
    words = parser.parse_args()
    start_up = cold_start(words.model)
    plan = read_plan(words.plan, root=words.data)
    train, held, judge = (own_rows(plan, which) for which in ("train", "held", "judge"))
    table: list[dict[str, Any]] = []
    for name, analyzer in folder.load_heads(words.model).items():
        if name not in BARS:
            continue
        rows = judge[name]
        head: Any = analyzer.predictor
        assert isinstance(head, HeadPredictor)
        start = time.perf_counter()
        decided = {"mini": analyzer.decide(analyzer.predict_proba(rows.inputs))}
        seconds = time.perf_counter() - start
        decided["its encoder alone"] = part(analyzer, held[name], rows, "trunk")
        if head.linear is not None:
            decided["its linear model alone"] = part(analyzer, held[name], rows, "linear")
        both = Dataset(rows.task, [*train[name], *held[name]], source="train")
        alone = experiment.train(both, settings=TrainSettings(model="linear")).analyzer
        decided["train --model linear, same rows"] = alone.decide(alone.predict_proba(rows.inputs))
        for who, found in decided.items():
            low, high = interval(rows.task, rows.y, found)
            score = quality(rows.task, rows.y, found)
            table.append({"head": name, "model": who, "rows": len(rows), "score": score, "low": low, "high": high})
            bar = f"  bar {BARS[name][0]}, goal {BARS[name][1]}" if who == "mini" else ""
            print(f"{name:11} {who:32} {score:.4f} [{low:.4f}, {high:.4f}]{bar}", flush=True)
        table[-len(decided)] |= {"trunk_weight": head.weight, "seconds": seconds}
    path = save("mini", {"bars": BARS, "table": table, "cold_start": start_up})
    print(path.relative_to(RESULTS.parent))


if __name__ == "__main__":
    main()
