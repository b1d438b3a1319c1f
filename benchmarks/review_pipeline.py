"""Two stages (aspects, then a grade for each) or one (every aspect × grade at once)? And can an unseen aspect be graded?

    python benchmarks/review_pipeline.py --data DIR [--domains restaurant,hotel,phone,food] [--model linear] [--limit N]
    python benchmarks/review_pipeline.py --model encoder:runs/e5-small-ko --set epochs=3 --domains restaurant

M-ABSA in Korean, trained on ``train`` and judged on ``dev``: a model per domain, and one for the aspects of all domains
together. The joint model learns the same rows as (aspect, grade) labels; its thresholds too are tuned for micro-F1 on
out-of-fold rows. Where it gives an aspect several grades the most probable one counts, which helps it. Intervals: 95%,
paired bootstrap over dev rows. ``--categories N``: the grade stage trains without each of the N most frequent aspects of
a domain in turn and then grades that aspect, of which it knows nothing but the name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _results import save
from numpy.typing import NDArray

import maeum
from maeum import experiment, reviews
from maeum.analyzer import Analyzer
from maeum.data import AspectLabel, Dataset, Input
from maeum.experiment import TrainSettings
from maeum.metrics import counts
from maeum.reviews.scoring import ReviewScores, score_pairs
from maeum.reviews.stages import JOINT, described, grades
from maeum.task import Label, Task

DOMAINS = {"restaurant": "식당", "hotel": "호텔", "phone": "휴대폰", "food": "식품"}
ALL = "all"
Pairs = list[dict[str, str]]
"""For each row aspect → grade."""
_SCORES = ("aspect_micro_f1", "aspect_macro_f1", "sentiment_macro_f1", "pipeline_micro_f1", "pipeline_macro_f1")


def load(data: Path, domain: str, part: str, limit: int | None = None) -> Dataset:
    """The rows of a domain."""
    return maeum.read(data / "mabsa_ko" / f"{domain}.{part}.jsonl", format="mabsa")[:limit]


def union(sets: Mapping[str, Dataset]) -> Dataset:
    """The rows of several domains as one task; an aspect that two domains name alike gets the domain in front."""
    uses = Counter(key for rows in sets.values() for key in rows.task.keys)
    labels, examples = [], []
    for domain, rows in sets.items():
        own = {key: key if uses[key] == 1 else f"{domain}: {key}" for key in rows.task.keys}
        for label in rows.task.labels:
            name = label.name("ko") if uses[label.key] == 1 else f"{DOMAINS.get(domain, domain)} {label.name('ko')}"
            labels.append(Label(own[label.key], name))
        for example in rows:
            found = tuple(AspectLabel(own[item.aspect], item.sentiment) for item in example.aspects or ())
            examples.append(dataclasses.replace(example, aspects=found))
    first = next(iter(sets.values())).task
    return Dataset(Task("mabsa-union", "aspect", tuple(labels), first.sentiments), examples)


def two_stages(train: Dataset, judge: Dataset, settings: TrainSettings) -> tuple[Pairs, Pairs]:
    """The pairs found, and the grades of all aspects that people gave."""
    analyzer = reviews.train(train, settings=settings).analyzer
    on = analyzer.decide(analyzer.predict_proba(judge.inputs))
    model: Any = analyzer.predictor
    graded = [
        {item["aspect"]: item["sentiment"] for item in row}
        for row in model.grade(judge.inputs, np.maximum(on, judge.y))
    ]
    keys = judge.task.keys
    return [{a: g for a, g in row.items() if on[n, keys.index(a)]} for n, row in enumerate(graded)], graded


def joint(train: Dataset, judge: Dataset, settings: TrainSettings) -> tuple[Pairs, Pairs]:
    """The same of a model with a label for every aspect and grade."""
    settings = dataclasses.replace(settings, objective="micro-f1")
    analyzer = experiment.train(reviews.joint_rows(train), settings=settings).analyzer
    proba = analyzer.predict_proba(judge.inputs)
    decided = analyzer.decide(proba)
    places = {tuple(key.split(JOINT)): column for column, key in enumerate(analyzer.task.keys)}

    def best(row: int, aspect: str, among: Sequence[str]) -> str:
        return max(among, key=lambda grade: proba[row, places[aspect, grade]])

    found: Pairs = []
    for row, labels in enumerate(analyzer.task.decode(on) for on in decided):
        passed: dict[str, list[str]] = {}
        for label in labels:
            aspect, _, grade = label.partition(JOINT)
            passed.setdefault(aspect, []).append(grade)
        found.append({aspect: best(row, aspect, among) for aspect, among in passed.items()})
    every = judge.task.sentiment_keys
    given = [{item.aspect for item in example.aspects or ()} for example in judge]
    return found, [{a: best(row, a, every) for a in aspects} for row, aspects in enumerate(given)]


def paired(given: Pairs, first: Pairs, other: Pairs, *, resamples: int = 5000) -> tuple[float, float, float]:
    """Pipeline micro-F1 of ``first`` minus ``other``, and its 95% interval over rows."""
    parts = []
    for found in (first, other):
        hits = [sum(row.get(a) == g for a, g in mine.items()) for mine, row in zip(found, given, strict=True)]
        size = [len(mine) + len(row) for mine, row in zip(found, given, strict=True)]
        parts.append((np.array(hits, float), np.array(size, float)))
    picks = np.random.default_rng(0).integers(0, len(given), (resamples, len(given)))

    def gap(rows: NDArray[Any]) -> NDArray[np.float64]:
        ours, theirs = (2 * hits[rows].sum(-1) / np.maximum(size[rows].sum(-1), 1) for hits, size in parts)
        return np.asarray(ours - theirs)

    low, high = np.quantile(gap(picks), [0.025, 0.975])
    return float(gap(np.arange(len(given)))), float(low), float(high)


def compare(
    name: str, train: Dataset, judge: Dataset, settings: TrainSettings, *, joint_too: bool = True
) -> tuple[list[dict[str, Any]], tuple[Pairs, Pairs, Pairs] | None]:
    """Both ways on the same rows: scores, and the pairs given and found (None without the joint model)."""
    given: Pairs = [grades(example.aspects or ()) for example in judge]
    rows: list[dict[str, Any]] = []
    found: dict[str, Pairs] = {}
    for system in (two_stages, joint) if joint_too else (two_stages,):
        start = time.perf_counter()
        found[system.__name__], graded = system(train, judge, settings)
        scores: ReviewScores = score_pairs(judge.task, given, found[system.__name__], graded)
        row: dict[str, Any] = {"domain": name, "system": system.__name__, "seconds": time.perf_counter() - start}
        row |= {"train_rows": len(train), "dev_rows": len(judge), "aspects": len(judge.task), **scores.to_dict()}
        rows.append(row)
        shown = "".join(f"{row[score]:9.4f}" for score in _SCORES)
        print(f"{name:12}{system.__name__:12}{shown}{row['seconds']:7.0f}", flush=True)
    if not joint_too:
        return rows, None
    gain, low, high = paired(given, found["two_stages"], found["joint"])
    rows[0] |= {"gain": gain, "low": low, "high": high}
    print(f"{'':12}two stages minus joint, pipeline micro-F1: {gain:+.4f} [{low:+.4f}, {high:+.4f}]", flush=True)
    return rows, (given, found["two_stages"], found["joint"])


def unseen(name: str, train: Dataset, judge: Dataset, settings: TrainSettings, categories: int) -> list[dict[str, Any]]:
    """Grades of an aspect that the grade stage has not seen, against the majority and against one that has."""
    learnt, judged = reviews.sentiment_rows(train), reviews.sentiment_rows(judge)
    whole = experiment.train(learnt, settings=settings).analyzer
    rows = []
    for asked, _ in Counter(row.aspect for row in learnt).most_common(categories):
        key = next(key for key in train.task.keys if described(train.task, key) == asked)
        others = learnt.select(n for n, row in enumerate(learnt) if row.aspect != asked)
        own = judged.select(n for n, row in enumerate(judged) if row.aspect == asked)
        without = experiment.train(others, settings=settings).analyzer
        common = np.zeros_like(own.y)
        common[:, int(others.y.sum(0).argmax())] = 1
        bare = [Input(item.text) for item in own.inputs]
        decided = {
            "majority": common,
            "unseen": _graded(without, own.inputs),
            "unseen, name not told": _graded(without, bare),
            "seen": _graded(whole, own.inputs),
        }
        row: dict[str, Any] = {"domain": name, "aspect": key, "pairs": len(own)}
        for system, on in decided.items():
            present = (on.sum(0) + own.y.sum(0)) > 0
            row[system] = {
                "accuracy": float((on.argmax(1) == own.y.argmax(1)).mean()),
                "macro_f1": float(counts(own.y, on).f1[present].mean()),
                "right": (on.argmax(1) == own.y.argmax(1)).astype(int).tolist(),
            }
        rows.append(row)
        shown = "  ".join(f"{row[s]['accuracy']:.3f} ({row[s]['macro_f1']:.3f})" for s in decided)
        print(f"{name:12}{key:32}{len(own):5}  {shown}", flush=True)
    return rows


def _graded(analyzer: Analyzer, inputs: Sequence[Input]) -> NDArray[np.uint8]:
    return analyzer.decide(analyzer.predict_proba(inputs))


def pooled(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy over all held-out aspects, and what not having seen them costs, with its interval over pairs."""
    systems = ("majority", "unseen", "unseen, name not told", "seen")
    right = {s: np.array([hit for row in rows for hit in row[s].pop("right")], float) for s in systems}
    picks = np.random.default_rng(0).integers(0, len(right["seen"]), (5000, len(right["seen"])))
    found: dict[str, Any] = {s: float(hits.mean()) for s, hits in right.items()}
    for name, first, other in (
        ("unseen_minus_majority", "unseen", "majority"),
        ("unseen_minus_seen", "unseen", "seen"),
    ):
        gap = right[first] - right[other]
        low, high = np.quantile(gap[picks].mean(1), [0.025, 0.975])
        found[name] = {"gain": float(gap.mean()), "low": float(low), "high": float(high)}
        print(f"pooled {name}: {gap.mean():+.4f} [{low:+.4f}, {high:+.4f}]")
    print("pooled accuracy: " + ", ".join(f"{s} {found[s]:.4f}" for s in systems))
    return found


def main() -> None:
    """Print two tables and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--domains", default=",".join(DOMAINS))
    parser.add_argument("--model", default="linear", help="linear or encoder:FOLDER")
    parser.add_argument("--set", action="append", default=[], help="model setting KEY=JSON")
    parser.add_argument("--limit", type=int, help="training rows of a domain")
    parser.add_argument("--categories", type=int, default=3, help="aspects to hold out in each domain; 0: none")
    parser.add_argument("--parts", default="each,all", help="a model per domain, one over all, or both")
    parser.add_argument("--no-joint", action="store_true", help="leave out the joint model")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    options = {name: json.loads(value) for name, _, value in (word.partition("=") for word in words.set)}
    settings = TrainSettings(model=words.model, model_options=options)
    names = words.domains.split(",")
    train = {name: load(words.data, name, "train", words.limit) for name in names}
    judge = {name: load(words.data, name, "dev") for name in names}
    parts = words.parts.split(",")
    sets = {name: (train[name], judge[name]) for name in names if "each" in parts}
    if len(names) > 1 and "all" in parts:
        sets[ALL] = (union(train), union(judge))
    heads = ("aspects", "", "grades", "both", "")
    print(f"{'':24}{''.join(f'{head:>9}' for head in heads)}")
    print(
        f"{'data':12}{'system':12}{''.join(f'{h:>9}' for h in ('micro', 'macro', 'macro', 'micro', 'macro'))}{'s':>7}"
    )
    compared = {name: compare(name, *pair, settings, joint_too=not words.no_joint) for name, pair in sets.items()}
    result = {"model": words.model.partition(":")[0], "options": options, "limit": words.limit}
    result |= {"rows": [row for rows, _ in compared.values() for row in rows]}
    if not words.no_joint and "each" in parts:
        kept = [pairs for name in names if (pairs := compared[name][1])]
        gain, low, high = paired(*([row for pairs in kept for row in pairs[part]] for part in range(3)))
        print(f"rows of the models per domain together: {gain:+.4f} [{low:+.4f}, {high:+.4f}]")
        result["domains_together"] = {"gain": gain, "low": low, "high": high}
    if words.categories:
        print("\nheld-out aspects, accuracy (macro-F1): majority, unseen, unseen and its name not told, seen")
        held = [row for name in names for row in unseen(name, *sets[name], settings, words.categories)]
        result |= {"held_out": held, "held_out_pooled": pooled(held)}
    print("saved", save(f"review_pipeline-{words.model.partition(':')[0]}", result).name)


if __name__ == "__main__":
    main()
