"""Labels bought in batches: our sampling mix against plain chance and against each criterion alone.

    python benchmarks/active.py [--model linear|mini] [--data DIR] [--sets kote,nsmc,hate] [--seeds 0,1,2,3,4]
                                [--sizes 200,…] [--strategies random,mix,…] [--weights threshold=1,…] [--name active]
                                [--cache FILE.npz]

The labels of a training set are hidden. Every strategy starts from the same 200 rows picked by chance, trains, picks the
next batch, "buys" its labels and trains anew. Judged on rows that no strategy sees: macro-F1 with thresholds from the
bought rows' own out-of-fold probabilities (KOTE, 44 labels), accuracy (NSMC, 2 classes), macro-F1 (news comments: none,
offensive, hate). ``mix`` is what ``maeum sample --train`` does, a tenth of it picked by chance; the others are one
criterion alone without chance or diversity.

``--model mini``: frozen vectors of the embedded model and a linear model on n-grams, as ``maeum train --model mini``. Its
trunk has learnt KOTE's pool with its labels and the task of NSMC, so of NSMC it gets only rows it was never trained on, and
only the news comments are a task that is new to it. ``--cache`` keeps its vectors for later runs.
``saving``: the share of rows that a strategy needs fewer than chance for the quality chance has at the end, read off the
straight lines between the measured sizes of its mean curve; below 0 it needs more.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _mini import nsmc_unseen, remembered
from _results import RESULTS, save
from numpy.typing import NDArray
from scipy.stats import t

import maeum
from maeum._svg_plot import Line, Panel, sheet
from maeum.analyzer import Analyzer
from maeum.data import Dataset
from maeum.experiment import prepare_all
from maeum.folder import embedded
from maeum.metrics import decision_metrics
from maeum.models.ensemble import MeanPredictor
from maeum.models.frozen import FrozenClassifier
from maeum.models.linear import LinearClassifier
from maeum.sampling import CRITERIA, HeldPool, SampleSettings, sample
from maeum.splits import duplicate_groups, fold_numbers
from maeum.text import TextPrep
from maeum.thresholds import tune_thresholds

SIZES = (200, 600, 1200, 2000, 3000)
POOL, JUDGE = 8000, 4000
STRATEGIES = {
    "kote": ("random", "mix", "threshold", "rare", "outlier"),
    "nsmc": ("random", "mix", "uncertainty", "disagreement", "rare", "outlier"),
    "hate": ("random", "mix", "uncertainty", "disagreement", "rare", "outlier"),
}
METRICS = {"kote": "macro_f1", "nsmc": "subset_accuracy", "hate": "macro_f1"}
COLOURS = {"random": 4, "mix": 1, "threshold": 2, "uncertainty": 2, "rare": 3, "outlier": 3, "disagreement": 2}
STROKES = {"outlier": "dot", "disagreement": "dash"}
MEMBERS = 3


@functools.cache
def whole(name: str, data: Path, model: str) -> Dataset:
    """All rows of a set that a pool is drawn from, each text once, so that no text judges that was bought."""
    if name == "nsmc" and model == "mini":
        return nsmc_unseen(data)
    if name == "nsmc":
        rows = maeum.read(data / "nsmc" / "train.tsv", format="nsmc")
    else:
        parts = [
            maeum.read(data / "korean_hate_speech" / f"{part}.tsv", format="korean-hate-speech")
            for part in ("train", "dev")
        ]
        examples = [example for part in parts for example in part]
        rows = Dataset(parts[0].task, [dataclasses.replace(e, id=f"r{n}") for n, e in enumerate(examples)])
    return rows.select(np.unique(duplicate_groups(rows.texts), return_index=True)[1])


@functools.cache
def load(name: str, data: Path, seed: int, model: str) -> tuple[Dataset, Dataset]:
    """Rows whose labels can be bought, and rows that judge."""
    if name == "kote":
        return tuple(maeum.read(data / "kote" / f"{part}.tsv", format="kote") for part in ("train", "dev"))  # type: ignore[return-value]
    rows = whole(name, data, model)
    judge = min(JUDGE, len(rows) // 3)
    part = np.random.default_rng(seed).permutation(len(rows))[: POOL + judge]
    return rows.select(part[judge:]), rows.select(part[:judge])


def learner(kind: str, rows: Dataset, seed: int) -> Any:
    """An untrained model with the settings of ``maeum train --model``."""
    if kind == "linear":
        return LinearClassifier(rows.task, seed=seed)
    return FrozenClassifier.of(str(embedded("mini")), rows.task, seed=seed, options={})


def train(rows: Dataset, *, kind: str, committee: bool, seed: int) -> Analyzer:
    """A model with thresholds of its own out-of-fold probabilities; with ``committee`` the mean of fold models."""
    prep = TextPrep.named("default")
    inputs = prepare_all(prep, rows.inputs)
    folds = MEMBERS if committee else 5
    fold = fold_numbers(rows.y, duplicate_groups(rows.texts), folds=folds, seed=seed)
    model: Any = learner(kind, rows, seed)
    oof = model.fit_folds(inputs, rows.y, fold)
    if committee:
        parts = [np.flatnonzero(fold != number) for number in range(folds)]
        members = [learner(kind, rows, seed).fit([inputs[row] for row in part], rows.y[part]) for part in parts]
        model = MeanPredictor(rows.task, members)
    rule = tune_thresholds(rows.y, oof, rows.task, objective="macro-f1", shrinkage=5.0)
    return Analyzer(model, prep=prep, thresholds=rule)


def quality(analyzer: Analyzer, judge: Dataset, metric: str) -> float:
    """A metric of decisions on the rows that judge."""
    return float(decision_metrics(judge.y, analyzer.decide(analyzer.predict_proba(judge)))[metric])


def buy(
    strategy: str,
    analyzer: Analyzer,
    have: NDArray[Any],
    pool: Dataset,
    count: int,
    seed: int,
    words: argparse.Namespace,
) -> NDArray[Any]:
    """Row numbers of the pool to label next; distances by the vectors that ``maeum sample`` takes for such a model."""
    vectors = "mini" if words.model == "mini" else "ngrams"
    rest = np.setdiff1d(np.arange(len(pool)), have)
    if strategy == "random":
        return np.random.default_rng(seed + count).choice(rest, count, replace=False)
    if strategy == "mix":
        settings = SampleSettings(n=count, weights=words.weights, vectors=vectors, seed=seed)
    else:
        alone = {name: float(name == strategy) for name in (*CRITERIA, "diversity")}
        settings = SampleSettings(n=count, weights=alone, vectors=vectors, random_share=0, seed=seed)
    found = sample(analyzer, HeldPool(pool.select(rest).examples), settings, train=pool.select(have).examples)
    number = {example.id: row for row, example in enumerate(pool)}
    return np.array([number[row.id] for row in found.rows])


def curve(strategy: str, name: str, seed: int, words: argparse.Namespace) -> list[float]:
    """Quality at every size."""
    pool, judge = load(name, words.data, seed, words.model)
    sizes = words.sizes
    have = np.random.default_rng(seed).choice(len(pool), sizes[0], replace=False)
    scores: list[float] = []
    analyzer: Analyzer | None = None
    for size in sizes:
        if analyzer is not None:
            have = np.concatenate([have, buy(strategy, analyzer, have, pool, size - len(have), seed, words)])
        analyzer = train(pool.select(have), kind=words.model, committee=False, seed=seed)
        scores.append(quality(analyzer, judge, METRICS[name]))
        if strategy == "disagreement" and size < sizes[-1]:
            analyzer = train(pool.select(have), kind=words.model, committee=True, seed=seed)
    return scores


def saving(sizes: NDArray[Any], chance: NDArray[Any], other: NDArray[Any]) -> float | None:
    """Share of rows fewer than chance for chance's last quality; None where a strategy does not get there."""
    goal = float(chance[-1])
    best = np.maximum.accumulate(other)
    if best[-1] < goal:
        return None
    return float(1 - np.interp(goal, best, sizes) / sizes[-1])


def summary(sizes: tuple[int, ...], runs: dict[str, list[list[float]]]) -> list[dict[str, Any]]:
    """Per strategy: mean curve, its difference to chance at every size with a 95% interval over seeds, and the saving."""
    chance = np.array(runs["random"])
    rows = []
    for strategy, found in runs.items():
        scores = np.array(found)
        gap = scores - chance
        wide = float(t.ppf(0.975, max(len(gap) - 1, 1)))
        half = wide * gap.std(0, ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.full(len(sizes), np.nan)
        rows.append(
            {
                "strategy": strategy,
                "mean": scores.mean(0).round(4).tolist(),
                "minus_random": gap.mean(0).round(4).tolist(),
                "interval_half": half.round(4).tolist() if len(gap) > 1 else None,
                "saving": saving(np.array(sizes), chance.mean(0), scores.mean(0)),
                "runs": scores.round(4).tolist(),
            }
        )
    return rows


def _weights(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in (part.split("=") for part in text.split(",") if part)}


def main() -> None:
    """Print a table per set, save everything, draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", choices=["linear", "mini"], default="linear")
    parser.add_argument("--sets", default="kote,nsmc")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--sizes", type=lambda text: tuple(map(int, text.split(","))), default=SIZES)
    parser.add_argument("--strategies")
    parser.add_argument("--weights", type=_weights, default={})
    parser.add_argument("--name", default="active")
    parser.add_argument("--cache", type=Path, help="where mini's vectors are kept")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    with remembered(words.cache):
        measure(words)


def measure(words: argparse.Namespace) -> None:
    """Every set, strategy and seed."""
    panels, result, sizes = [], [], words.sizes
    for name in words.sets.split(","):
        start = time.perf_counter()
        runs: dict[str, list[list[float]]] = {}
        for strategy in words.strategies.split(",") if words.strategies else STRATEGIES[name]:
            runs[strategy] = [curve(strategy, name, int(seed), words) for seed in words.seeds.split(",")]
            shown = " ".join(f"{value:.4f}" for value in np.mean(runs[strategy], 0))
            print(f"{name:6}{strategy:14}{shown}  [{time.perf_counter() - start:.0f} s]", flush=True)
        rows = summary(sizes, runs)
        for row in rows:
            told = "never" if row["saving"] is None else f"{row['saving']:+.0%}"
            print(
                f"{name:6}{row['strategy']:14}minus random {row['minus_random']} ± {row['interval_half']}  saving {told}"
            )
        result.append({"data": name, "sizes": sizes, "seeds": words.seeds, "strategies": rows})
        lines = [
            Line(row["strategy"], sizes, row["mean"], COLOURS[row["strategy"]], STROKES.get(row["strategy"], ""))
            for row in rows
        ]
        metric = "accuracy" if METRICS[name] == "subset_accuracy" else "macro-F1"
        panels.append(Panel(f"{name}: {metric}", lines, "labelled rows"))
    about = {"model": words.model, "weights": words.weights or "default", "sets": result}
    path = save(words.name, about)
    figure = RESULTS / path.name.replace(".json", ".svg")
    figure.write_text(sheet(panels, title="What a labelled row is worth"), encoding="utf-8")
    print("saved", path.name, figure.name)


if __name__ == "__main__":
    main()
