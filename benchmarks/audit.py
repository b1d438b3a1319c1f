"""Planted label errors: does the audit find them, against random and plain cleanlab in the same run, and does mending help?

    python benchmarks/audit.py [--data DIR] [--sets kote,nsmc] [--model linear|mini] [--noise frequency|uniform] [--seeds 0,1,2] [--quick]
                               [--cache FILE.npz]

Some of the labels of the training rows are made wrong. ``frequency``: of each label 5% of the rows that have it lose it,
and as many that have not get it, so that no label becomes more or less frequent (NSMC: 5% of the rows change sides).
``uniform``: 5% of all cells flip, so that a rare label is mostly errors. A model is cross-validated on the noisy rows;
precision@k and recall are those of the ranking of all (row, label) cells. cleanlab (extra ``audit``) gets the same
probabilities and ranks by its defaults: first what ``find_label_issues`` returns, by self-confidence, then the rest.

``mended``: people look at as many cells as were planted, from the top of a ranking, and correct those that are wrong.
``--model mini`` gets of NSMC only the rows its trunk was never trained on (three quarters of them train here). ``--cache``
keeps its vectors for later runs.

``blind``: nobody looks, and cells with a score of 0.5 or more are flipped. The model is trained again on each; the gap to
the noisy one on held-out rows comes with a paired 95% interval.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _mini import nsmc_unseen, remembered
from _results import save
from numpy.typing import NDArray

import maeum
from maeum._optional import require
from maeum.auditing.probing import Probed, probe, train_settings
from maeum.auditing.scoring import cell_errors, class_errors
from maeum.comparing.paired import gaps
from maeum.data import Dataset
from maeum.splits import duplicate_groups

Array = NDArray[Any]
SHARE = 0.05
NSMC_TRAIN, NSMC_HELD = 40_000, 10_000


def load(name: str, data: Path, model: str) -> tuple[Dataset, Dataset]:
    """Rows that train and rows that judge; no text is in both."""
    if name == "kote":
        train = maeum.read(data / "kote" / "train.tsv", format="kote")
        judge = maeum.read(data / "kote" / "dev.tsv", format="kote")
        return train, judge
    if model == "mini":
        rows = nsmc_unseen(data)
        order = np.random.default_rng(0).permutation(len(rows))
        cut = len(rows) * 3 // 4
        return rows.select(order[:cut]), rows.select(order[cut:])
    rows = maeum.read(data / "nsmc" / "train.tsv", format="nsmc")
    groups = duplicate_groups(rows.texts)
    order = np.random.default_rng(0).permutation(len(rows))
    order = order[np.sort(np.unique(groups[order], return_index=True)[1])]
    return rows.select(order[:NSMC_TRAIN]), rows.select(order[NSMC_TRAIN : NSMC_TRAIN + NSMC_HELD])


def plant(data: Dataset, noise: str, seed: int) -> tuple[Dataset, Array]:
    """The rows with wrong labels, and which cells (n, k) are wrong (multiclass: rows (n,))."""
    rng = np.random.default_rng(seed)
    y = data.y.copy()
    if data.task.kind == "multiclass":
        wrong = np.zeros(len(y), bool)
        wrong[rng.choice(len(y), round(SHARE * len(y)), replace=False)] = True
        other = (y.argmax(1) + rng.integers(1, y.shape[1], len(y))) % y.shape[1]
        y[wrong] = np.eye(y.shape[1], dtype=np.uint8)[other[wrong]]
        return relabelled(data, y), wrong
    wrong = np.zeros(y.shape, bool)
    for label in range(y.shape[1]):
        on, off = np.flatnonzero(y[:, label]), np.flatnonzero(y[:, label] == 0)
        lost = round(SHARE * len(on))
        wrong[rng.choice(on, lost, replace=False), label] = True
        wrong[rng.choice(off, lost if noise == "frequency" else round(SHARE * len(off)), replace=False), label] = True
    return relabelled(data, y ^ wrong), wrong


def relabelled(data: Dataset, y: Array) -> Dataset:
    """The rows with other labels."""
    rows = (dataclasses.replace(e, labels=data.task.decode(on)) for e, on in zip(data, y, strict=True))
    return Dataset(data.task, rows, source=data.source)


def cleanlab_order(y: Array, proba: Array) -> tuple[Array, int]:
    """All cells (multiclass: rows) as cleanlab's defaults rank them, and how many it calls wrong."""
    by_class, by_label = require("cleanlab.filter"), require("cleanlab.multilabel_classification.filter")
    p = np.clip(proba.astype(np.float64), 1e-6, 1 - 1e-6)
    if np.allclose(p.sum(1), 1, atol=1e-3):
        p /= p.sum(1, keepdims=True)
        given = y.argmax(1)
        called = by_class.find_label_issues(given, p, return_indices_ranked_by="self_confidence", n_jobs=1)
        own = p[np.arange(len(p)), given]
    else:
        labels = [list(map(int, np.flatnonzero(row))) for row in y]
        masks = np.asarray(by_label.find_multilabel_issues_per_class(labels, p, n_jobs=1), bool)
        assert masks.shape == y.shape
        own = np.where(y == 1, p, 1 - p).ravel()
        called = np.flatnonzero(masks.ravel())
        called = called[np.argsort(own[called], kind="stable")]
    rest = np.setdiff1d(np.arange(own.size), called)
    return np.concatenate([called, rest[np.argsort(own[rest], kind="stable")]]), len(called)


def ranked(name: str, order: Array, wrong: Array, called: int) -> dict[str, Any]:
    """Precision and recall of a ranking."""
    hits = np.cumsum(wrong.ravel()[order])
    planted = int(wrong.sum())
    row: dict[str, Any] = {"system": name}
    row |= {f"precision@{k}": float(hits[k - 1] / k) for k in (100, 500, 1000, planted)}
    row |= {"recall@planted": float(hits[planted - 1] / planted), "recall@2x": float(hits[2 * planted - 1] / planted)}
    row |= {
        "precision@cleanlab": float(hits[called - 1] / called),
        "recall@cleanlab": float(hits[called - 1] / planted),
    }
    return row


@dataclasses.dataclass
class Planted:
    """One planting: what was found, and what the models decide on the held-out rows after each way to mend."""

    rankings: list[dict[str, Any]]
    called: int
    planted: int
    sure: tuple[int, int]
    """Cells of a score of 0.5 or more, and how many of them are wrong."""
    decided: dict[str, Array]
    train_seconds: float
    score_seconds: float


def once(clean: Dataset, judge: Dataset, words: argparse.Namespace, seed: int) -> Planted:
    """Plant, find, mend and train again."""
    noisy, wrong = plant(clean, words.noise, seed)
    settings = train_settings(words.model, folds=None, seed=42, options={})

    def trained(rows: Dataset) -> Probed:
        return probe(rows, settings, work=None, progress=lambda _: None)["labels"]

    def decisions(found: Probed) -> Array:
        assert found.analyzer is not None
        return found.analyzer.decide(found.analyzer.predict_proba(judge))

    start = time.perf_counter()
    probed = trained(noisy)
    train_seconds = time.perf_counter() - start
    y, many = noisy.y, noisy.task.kind != "multiclass"
    start = time.perf_counter()
    if many:
        score, guess = cell_errors(y, probed.proba, share=SHARE), 1 - y
    else:
        score, other = class_errors(y, probed.proba, share=SHARE)
        guess = np.eye(y.shape[1], dtype=np.uint8)[other]
    score_seconds = time.perf_counter() - start
    by_cleanlab, called = cleanlab_order(y, probed.proba)
    orders = {
        "ours": np.argsort(-score.ravel(), kind="stable"),
        "cleanlab": by_cleanlab,
        "random": np.random.default_rng(seed + 1).permutation(wrong.size),
    }
    planted = int(wrong.sum())

    def wide(mask: Array) -> Array:
        return mask if many else mask[:, None]

    def mended(order: Array) -> Dataset:
        looked = np.zeros(wrong.size, bool)
        looked[order[:planted]] = True
        return relabelled(clean, np.where(wide(looked.reshape(wrong.shape) & wrong), clean.y, y))

    makers: dict[str, Callable[[], Dataset]] = {
        **{f"mended by {name}": functools.partial(mended, order) for name, order in orders.items()},
        "blind": lambda: relabelled(clean, np.where(wide(score >= 0.5), guess, y)),
        "clean": lambda: clean,
    }
    if not many:
        makers["dropped"] = lambda: noisy.select(np.flatnonzero(score < 0.5))
    decided = {}
    if not words.quick:
        decided = {"noisy": decisions(probed)} | {name: decisions(trained(make())) for name, make in makers.items()}
    sure = score >= 0.5
    rankings = [ranked(name, order, wrong, called) for name, order in orders.items()]
    return Planted(
        rankings, called, planted, (int(sure.sum()), int((sure & wrong).sum())), decided, train_seconds, score_seconds
    )


def run(name: str, words: argparse.Namespace) -> dict[str, Any]:
    """One set, planted with every seed; effects on held-out rows are pooled over the plantings."""
    clean, judge = load(name, words.data, words.model)
    found = []
    for seed in words.seeds:
        found.append(once(clean, judge, words, seed))
        print(f"{name}: planting {seed} done", flush=True)
    means = []
    for rows in zip(*(each.rankings for each in found), strict=True):
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "system"}
        means.append({"system": rows[0]["system"]} | mean)
    called, planted = (int(np.mean([getattr(each, key) for each in found])) for key in ("called", "planted"))
    print(
        f"\n{name}: {len(clean):,} rows, {planted:,} planted, cleanlab calls {called:,} ({words.noise}, {words.model})"
    )
    for row in means:
        print("  " + "  ".join(f"{key} {value:.3f}" if key != "system" else f"{value:9}" for key, value in row.items()))
    sure, right = (sum(each.sure[at] for each in found) for at in (0, 1))
    print(f"  score >= 0.5: {sure / len(found):.0f} cells, {right / max(sure, 1):.3f} of them wrong")
    # a row of the judge stands once for every planting; resampling draws it together with its twins of the others
    times = len(found)
    y, groups = np.tile(judge.y, (times, 1)), np.tile(duplicate_groups(judge.texts), times)
    effects = []
    for variant in list(found[0].decided)[1:]:
        before = np.concatenate([each.decided["noisy"] for each in found])
        after = np.concatenate([each.decided[variant] for each in found])
        scores, _ = gaps(y, before, after, groups, judge.task.keys, resamples=2000, seed=0)
        effects.append({"variant": variant} | {key: gap.to_dict() for key, gap in scores.items()})
        shown = [
            f"{key} {gap.after:.4f} ({gap.gap:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}])" for key, gap in scores.items()
        ]
        print(f"  {variant:20}" + "   ".join(shown), flush=True)
    return {
        "data": name,
        "rows": len(clean),
        "held_out": len(judge),
        "planted": planted,
        "cleanlab_calls": called,
        "rankings": means,
        "score_0.5": {"cells": sure / times, "precision": right / max(sure, 1)},
        "effects": effects,
        "train_seconds": round(float(np.mean([each.train_seconds for each in found])), 1),
        "score_seconds": round(float(np.mean([each.score_seconds for each in found])), 3),
    }


def main() -> None:
    """Print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="kote,nsmc")
    parser.add_argument("--model", default="linear")
    parser.add_argument("--noise", choices=["frequency", "uniform"], default="frequency")
    parser.add_argument("--quick", action="store_true", help="rankings only: mend nothing and train once")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--cache", type=Path, help="where mini's vectors are kept")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    with remembered(words.cache):
        results = [run(name, words) for name in words.sets.split(",")]
    about = {"model": words.model, "noise": words.noise, "seeds": words.seeds, "sets": results}
    print(
        "saved", save(f"audit-{words.model.partition(':')[0]}-{words.sets.replace(',', '-')}-{words.noise}", about).name
    )


if __name__ == "__main__":
    main()
