"""The linear model against two references of scikit-learn: same rows, same folds, same run, all cores.

    python benchmarks/linear.py [--data DIR] [--sets kote,goemotions_ko,nsmc] [--quick]

``train s``: features, 5 folds and the final model, with out-of-fold probabilities. ``texts/s``: prediction of raw texts
in bulk, best of three. Quality is judged on rows nobody tuned to, with thresholds from the out-of-fold probabilities.
``--quick`` leaves the logistic regression out.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _results import save
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

import maeum
from maeum.data import Input
from maeum.experiment import prepare_all
from maeum.metrics import decision_metrics
from maeum.models.linear import LinearClassifier
from maeum.splits import duplicate_groups, fold_numbers, holdout
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import tune_thresholds

Array = NDArray[Any]
Predict = Callable[[Sequence[Input]], Array]
Trained = tuple[Array, Predict]
"""Out-of-fold scores (n, k) in 0–1, and a function that scores new inputs."""
FORMATS = {"kote": "kote", "goemotions_ko": "goemotions", "nsmc": "nsmc"}


def ours(task: Task, inputs: Sequence[Input], y: Array, fold: Array) -> Trained:
    """The linear model with its defaults."""
    model = LinearClassifier(task)
    return model.fit_folds(inputs, y, fold), model.predict_proba


def logistic(task: Task, inputs: Sequence[Input], y: Array, fold: Array) -> Trained:
    """One-vs-rest LogisticRegression on char_wb(1,5) tf-idf, labels in parallel on all cores."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), min_df=2, sublinear_tf=True)
    x = vectorizer.fit_transform(item.text for item in inputs)
    columns = range(1, 2) if task.kind == "multiclass" else range(len(task))

    def one(rows: Array, label: int) -> Any:
        return LogisticRegression(C=4.0, max_iter=200).fit(x[rows], y[rows, label])

    def fit(rows: Array) -> list[Any]:
        return list(Parallel(n_jobs=-1)(delayed(one)(rows, label) for label in columns))

    oof = np.zeros((len(inputs), len(columns)))
    for number in np.unique(fold):
        held = fold == number
        oof[held] = np.stack([m.predict_proba(x[held])[:, 1] for m in fit(np.flatnonzero(~held))], 1)
    final = fit(np.arange(len(inputs)))
    weights = np.concatenate([m.coef_ for m in final]).T.copy()
    bias = np.concatenate([m.intercept_ for m in final])

    def predict(items: Sequence[Input]) -> Array:
        return np.asarray(1 / (1 + np.exp(-(vectorizer.transform(item.text for item in items) @ weights + bias))))

    return _both(oof, task), lambda items: _both(predict(items), task)


def ridge(task: Task, inputs: Sequence[Input], y: Array, fold: Array) -> Trained:
    """One multi-output Ridge on char_wb(1,4) tf-idf; scores are cut to 0–1."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2, sublinear_tf=True)
    x = vectorizer.fit_transform(item.text for item in inputs)
    target = y[:, 1:] if task.kind == "multiclass" else y
    oof = np.zeros(target.shape)
    for number in np.unique(fold):
        held = fold == number
        oof[held] = Ridge(alpha=1.0).fit(x[~held], target[~held]).predict(x[held]).reshape(-1, target.shape[1])
    model = Ridge(alpha=1.0).fit(x, target)

    def predict(items: Sequence[Input]) -> Array:
        scores = model.predict(vectorizer.transform(item.text for item in items))
        return np.clip(np.reshape(scores, (len(items), -1)), 0, 1)

    return _both(np.clip(oof, 0, 1), task), lambda items: _both(predict(items), task)


def _both(scores: Array, task: Task) -> Array:
    """Scores of the second of two exclusive classes as a column for each."""
    return np.concatenate([1 - scores, scores], axis=1) if task.kind == "multiclass" else scores


def load(name: str, data: Path) -> tuple[maeum.Dataset, maeum.Dataset]:
    """Rows that train and rows that judge."""
    rows = maeum.read(data / name / "train.tsv", format=FORMATS[name])
    if name == "nsmc":
        train, held = holdout(rows.y, duplicate_groups(rows.texts), fraction=0.1, seed=42)
        return rows.select(train), rows.select(held)
    return rows, maeum.read(data / name / "dev.tsv", format=FORMATS[name])


def measure(system: Callable[..., Trained], train: maeum.Dataset, judge: maeum.Dataset) -> dict[str, Any]:
    """Seconds, texts per second and quality of one system on one set."""
    prep = TextPrep.named("default")
    inputs, judged = prepare_all(prep, train.inputs), prepare_all(prep, judge.inputs)
    fold = fold_numbers(train.y, duplicate_groups(train.texts), folds=5, seed=42)
    start = time.perf_counter()
    oof, predict = system(train.task, inputs, train.y, fold)
    seconds = time.perf_counter() - start
    many = (judged * (10_000 // len(judged) + 1))[:10_000]
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        predict(many)
        rates.append(len(many) / (time.perf_counter() - start))
    rule = tune_thresholds(train.y, oof, train.task, objective="macro-f1", shrinkage=5.0)
    found = decision_metrics(judge.y, rule.decide(predict(judged)))
    quality = "subset_accuracy" if train.task.kind == "multiclass" else "macro_f1"
    return {
        "system": system.__name__,
        "train_sec": seconds,
        "texts_per_sec": max(rates),
        "metric": "accuracy" if quality == "subset_accuracy" else quality,
        "quality": found[quality],
        "micro_f1": found["micro_f1"],
    }


def main() -> None:
    """Print one table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="kote,goemotions_ko,nsmc")
    parser.add_argument("--quick", action="store_true")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    systems = [ours, ridge] if words.quick else [ours, ridge, logistic]
    print(f"{'data':14}{'system':10}{'train s':>9}{'x ours':>8}{'texts/s':>10}{'ours x':>8}  quality")
    rows = []
    for name in words.sets.split(","):
        train, judge = load(name, words.data)
        first: dict[str, Any] | None = None
        for system in systems:
            row = {"data": name} | measure(system, train, judge)
            first = first or row
            rows.append(row)
            print(
                f"{name:14}{row['system']:10}{row['train_sec']:9.1f}{row['train_sec'] / first['train_sec']:8.1f}"
                f"{row['texts_per_sec']:10.0f}{first['texts_per_sec'] / row['texts_per_sec']:8.1f}"
                f"  {row['metric']} {row['quality']:.4f}",
                flush=True,
            )
    print("saved", save("linear-" + words.sets.replace(",", "-"), {"rows": rows}).name)


if __name__ == "__main__":
    main()
