"""How many labelled rows do new labels need, on the embedded model's vectors and on n-grams alone?

    python benchmarks/mini_curve.py --data DIR [--model mini] [--seeds 3] [--sizes 50,100,250,500,1000,2500,5000]

``maeum train --model mini`` against ``--model linear`` on growing parts of the same training rows, thresholds of both
tuned out-of-fold, judged on rows neither saw: the sample of seven feelings (a fifth held out), M-ABSA aspects of four domains
as one task, and the grades of the aspects people gave. Macro-F1; ± is the spread over seeds (which rows).
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _results import RESULTS, save
from review_pipeline import DOMAINS, load, union

import maeum
from maeum import experiment, reviews
from maeum._svg_plot import Line, Panel, sheet
from maeum.data import Dataset
from maeum.experiment import TrainSettings
from maeum.metrics import counts
from maeum.splits import duplicate_groups, holdout


def corpora(data: Path) -> dict[str, tuple[Dataset, Dataset]]:
    """Name → rows to learn from and rows that judge."""
    # not sample:nikl-ea, whose sentences taught the embedded model's own eight-emotion head
    rows = maeum.read("sample:aihub")
    kept, held = holdout(rows.y, duplicate_groups(rows.texts), fraction=0.2, seed=42)
    found = {"sample:aihub": (rows.select(kept), rows.select(held))}
    train = union({name: load(data, name, "train") for name in DOMAINS})
    judge = union({name: load(data, name, "dev") for name in DOMAINS})
    found["mabsa aspects"] = reviews.aspect_rows(train), reviews.aspect_rows(judge)
    found["mabsa grades"] = reviews.sentiment_rows(train), reviews.sentiment_rows(judge)
    return found


def score(model: str, train: Dataset, judge: Dataset) -> tuple[float, float]:
    """Macro-F1 over the labels that occur, and seconds of training."""
    start = time.perf_counter()
    analyzer = experiment.train(train, settings=TrainSettings(model=model)).analyzer
    seconds = time.perf_counter() - start
    decided = analyzer.decide(analyzer.predict_proba(judge.inputs))
    present = (judge.y.sum(0) + decided.sum(0)) > 0
    return float(counts(judge.y, decided).f1[present].mean()), seconds


def main() -> None:
    """Print a table, save it and a plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="mini", help="mini, or frozen:FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", default="50,100,250,500,1000,2500,5000")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    table: list[dict[str, Any]] = []
    panels = []
    for name, (train, judge) in corpora(words.data).items():
        sizes = [n for n in map(int, words.sizes.split(",")) if n < len(train)] + [len(train)]
        sizes = [n for n in sizes if n <= max(map(int, words.sizes.split(",")))] or sizes[:1]
        means: dict[str, list[tuple[float, float]]] = {"linear": [], words.model: []}
        for n in sizes:
            seeds = words.seeds if n < len(train) else 1
            for model, curve in means.items():
                runs = []
                for seed in range(seeds):
                    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:n])
                    runs.append(score(model, train.select(rows.tolist()), judge))
                scores, seconds = [f1 for f1, _ in runs], [s for _, s in runs]
                curve.append((float(np.log10(n)), float(np.mean(scores))))
                row = {"data": name, "rows": n, "model": model.partition(":")[0], "macro_f1": float(np.mean(scores))}
                row |= {"spread": float(np.std(scores)), "seeds": seeds, "seconds": float(np.mean(seconds))}
                table.append(row)
                print(
                    f"{name:16}{n:7}  {row['model']:8}{row['macro_f1']:8.4f} ± {row['spread']:.4f}{row['seconds']:8.1f} s",
                    flush=True,
                )
        lines = [
            Line(model.partition(":")[0], [x for x, _ in points], [y for _, y in points], color=number + 1)
            for number, (model, points) in enumerate(means.items())
        ]
        panels.append(Panel(name, lines, "log10(training rows)"))
    print("saved", save("mini_curve", {"rows": table}).name)
    (RESULTS / "mini_curve.svg").write_text(sheet(panels, title="macro-F1 by training rows"), encoding="utf-8")


if __name__ == "__main__":
    main()
