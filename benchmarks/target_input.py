"""Does it matter that the model knows *where* its target stands? ``none``, ``pair`` and ``marker`` beside each other.

    maeum base e5-small-ko -o runs/e5-small-ko
    python benchmarks/target_input.py --base runs/e5-small-ko [--data DIR] [--epochs 3] [--modes none,pair,marker]

M-ABSA in Korean, all domains: each row is a text and one span of it, the label is the span's polarity. Judged on the
texts of the dev set that hold both a positive and a negative span: whoever cannot see the target gives all spans of a
text the same answer there. Differences are paired; their 95% intervals are bootstrapped over texts.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _results import save
from numpy.typing import NDArray

import maeum
from maeum.data import Dataset, Example, Target
from maeum.experiment import prepare_all
from maeum.models.encoder import EncoderClassifier
from maeum.task import Label, Task
from maeum.text import TextPrep

POLARITY = Task("polarity", "multiclass", (Label("negative"), Label("neutral"), Label("positive")))


def spans(data: Path, part: str) -> Dataset:
    """One row per text and span; spans labelled with two polarities are left out."""
    rows = []
    for path in sorted((data / "mabsa_ko").glob(f"*.{part}.jsonl")):
        for example in maeum.read(path):
            found: dict[tuple[int, int], set[str]] = {}
            for aspect in example.aspects or ():
                if aspect.begin is not None and aspect.end is not None:
                    found.setdefault((aspect.begin, aspect.end), set()).add(aspect.sentiment)
            for (begin, end), polarity in found.items():
                if len(polarity) == 1:
                    target = Target(example.text[begin:end], begin, end)
                    rows.append(Example(f"{example.id}#{begin}-{end}", example.text, target, tuple(polarity)))
    return Dataset(POLARITY, rows)


def opposed(data: Dataset) -> NDArray[np.bool_]:
    """(n,) rows with a positive or negative span in a text that holds both."""
    seen: dict[str, set[str]] = {}
    for example in data:
        seen.setdefault(example.id.split("#")[0], set()).update(example.labels or ())
    return np.array(
        [
            {"positive", "negative"} <= seen[example.id.split("#")[0]] and example.labels != ("neutral",)
            for example in data
        ]
    )


def paired(a: NDArray[Any], b: NDArray[Any], texts: list[str], *, resamples: int = 5000) -> tuple[float, float, float]:
    """Mean of a - b and its 95% interval, resampling texts."""
    names, owner = np.unique(texts, return_inverse=True)
    gain = np.bincount(owner, a.astype(float) - b.astype(float))
    size = np.bincount(owner).astype(float)
    picks = np.random.default_rng(0).integers(0, len(names), (resamples, len(names)))
    means = gain[picks].sum(1) / size[picks].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(gain.sum() / size.sum()), float(low), float(high)


def main() -> None:
    """Print one table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--modes", default="none,pair,marker")
    parser.add_argument("--set", action="append", default=[], help="encoder setting KEY=JSON")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    train, dev = spans(words.data, "train"), spans(words.data, "dev")
    hard = opposed(dev)
    texts = [example.id.split("#")[0] for example, kept in zip(dev, hard, strict=True) if kept]
    print(f"{len(train)} training rows, {len(dev)} dev rows, {hard.sum()} of them in {len(set(texts))} opposed texts")
    prep = TextPrep.named("default")
    inputs, judged = prepare_all(prep, train.inputs), prepare_all(prep, dev.inputs)
    options: dict[str, Any] = {"epochs": words.epochs, "max_length": 160, "precision": "bf16"}
    options |= {name: json.loads(value) for name, _, value in (word.partition("=") for word in words.set)}
    right: dict[str, NDArray[Any]] = {}
    rows: list[dict[str, Any]] = []
    for mode in words.modes.split(","):
        model = EncoderClassifier.of(words.base, POLARITY, seed=42, options=options | {"target_input": mode})
        start = time.perf_counter()
        model.fit(inputs, train.y)
        seconds = time.perf_counter() - start
        hits = model.predict_proba(judged).argmax(1) == dev.y.argmax(1)
        right[mode] = hits[hard]
        row = {
            "mode": mode,
            "opposed_accuracy": float(hits[hard].mean()),
            "dev_accuracy": float(hits.mean()),
            "train_sec": seconds,
        }
        print(
            f"{mode:8} opposed {row['opposed_accuracy']:.4f}  dev {row['dev_accuracy']:.4f}  {seconds:.0f} s",
            flush=True,
        )
        if mode != "none" and "none" in right:
            gain, low, high = paired(right[mode], right["none"], texts)
            row |= {"gain": gain, "low": low, "high": high}
            print(f"{'':8} against none: {gain:+.4f} [{low:+.4f}, {high:+.4f}]", flush=True)
        rows.append(row)
    facts = {"train_rows": len(train), "dev_rows": len(dev), "opposed_rows": int(hard.sum())}
    print("saved", save("target_input", facts | {"options": options, "rows": rows}).name)


if __name__ == "__main__":
    main()
