"""Do the words that ``maeum explain`` points at lie where people marked them, and what does masking cost?

    python benchmarks/explain.py [--data DIR] [--base runs/e5-small-ko] [--parts pointing,linear,encoder,quick]

``pointing``: M-ABSA in Korean (restaurant, hotel, phone, food). A linear model learns which aspects a text has, never
where. On the dev texts, for every aspect it should find: does the word with the highest score overlap the span that
people marked (pointing game, Zhang et al. 2018)? Beside it, the chance of a uniformly random word; the difference is
bootstrapped over texts. ``linear``, ``encoder``: all masks of many texts in one stream against one mask at a time.
``quick``: how often the quick mode finds the best word of the full mode in long texts (dev texts joined).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _results import save

import maeum
from maeum.analyzer import Analyzer
from maeum.data import Dataset, Example, Input
from maeum.explaining import Explanation, explain
from maeum.explaining.masking import Masker, MaskKind
from maeum.explaining.units import UnitKind, cut
from maeum.models.encoder import EncoderClassifier
from maeum.models.linear import LinearClassifier
from maeum.task import Label, Task
from maeum.text import TextPrep

DOMAINS = ("restaurant", "hotel", "phone", "food")
MASKS: tuple[MaskKind, ...] = ("delete", "circles", "mask")
PREP = TextPrep.named("default")


def aspects(data: Path, part: str, task: Task | None = None) -> Dataset:
    """Texts with their aspects as plain labels; without a task, one of the aspects with 20 texts or more."""
    rows = [
        example
        for domain in DOMAINS
        for example in maeum.read(data / f"mabsa_ko/{domain}.{part}.jsonl", format="mabsa")
    ]
    if task is None:
        count = Counter(key for example in rows for key in {item.aspect for item in example.aspects or ()})
        task = Task("aspects", "multilabel", tuple(Label(key) for key, n in sorted(count.items()) if n >= 20))
    known = set(task.keys)
    return Dataset(
        task,
        [
            Example(
                example.id,
                example.text,
                None,
                task.order(key for key in {item.aspect for item in example.aspects or ()} if key in known),
                meta={"spans": [(item.aspect, item.begin, item.end) for item in example.aspects or ()]},
            )
            for example in rows
        ],
    )


def trained(data: Dataset) -> Analyzer:
    """The linear model on all rows."""
    inputs = [PREP.prepare_input(item) for item in data.inputs]
    return Analyzer(LinearClassifier(data.task, seed=42, threads=1).fit(inputs, data.y), prep=PREP)


# -- where the words lie ----------------------------------------------------------------------------------------------


def pointing(
    analyzer: Analyzer, dev: Dataset, mask: MaskKind, unit: UnitKind, deleted: Sequence[bool] | None
) -> tuple[dict[str, Any], list[bool]]:
    """Hit rate of the best word, of a random word, the difference with its 95% interval, and every hit.

    Args:
        deleted: the hits of deletion, to compare with.
    """
    wanted = [marked(example) for example in dev]
    hits, chance, owner = [], [], []
    for key in dev.task.keys:
        rows = [row for row, spans in enumerate(wanted) if key in spans]
        found = explain(
            analyzer, [dev[row].input for row in rows], labels=[key], mask=mask, unit=unit, faithfulness=False
        )
        for at, item in zip(rows, found, strict=True):
            words = item[key].words
            inside = [any(word.begin < end and begin < word.end for begin, end in wanted[at][key]) for word in words]
            if len(words) < 2 or all(inside):
                continue  # nothing to choose between
            best = max(range(len(words)), key=lambda place: words[place].score)
            hits.append(inside[best])
            chance.append(float(np.mean(inside)))
            owner.append(at)
    gain, low, high = bootstrap(np.array(hits, float) - np.array(chance), owner)
    row = {
        "unit": unit,
        "mask": mask,
        "pairs": len(hits),
        "hit": float(np.mean(hits)),
        "random": float(np.mean(chance)),
        "gain": gain,
        "low": low,
        "high": high,
        "to_delete": None if deleted is None else bootstrap(np.array(hits, float) - np.array(deleted, float), owner),
    }
    return row, hits


def marked(example: Example) -> dict[str, list[tuple[int, int]]]:
    """The spans of each aspect that has some."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for key, begin, end in example.meta["spans"]:
        if begin is not None and key in (example.labels or ()):
            spans.setdefault(key, []).append((begin, end))
    return spans


def bootstrap(values: Any, owner: Sequence[int], *, resamples: int = 5000) -> tuple[float, float, float]:
    """Mean and its 95% interval, resampling texts."""
    _, place = np.unique(owner, return_inverse=True)
    total, size = np.bincount(place, values), np.bincount(place).astype(float)
    picks = np.random.default_rng(0).integers(0, len(size), (resamples, len(size)))
    low, high = np.quantile(total[picks].sum(1) / size[picks].sum(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


# -- what it costs ----------------------------------------------------------------------------------------------------


def speed(analyzer: Analyzer, texts: Sequence[str], *, rounds: int = 3) -> dict[str, Any]:
    """Seconds for all single masks of the texts, in one stream and one at a time: the best of a few alternating rounds."""
    streamed, single = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        found = explain(analyzer, texts, faithfulness=False, quick=False)
        streamed.append(time.perf_counter() - start)
        start = time.perf_counter()
        alone = [one_by_one(analyzer, text) for text in texts]
        single.append(time.perf_counter() - start)
    worst = max(distance(item, rows) for item, rows in zip(found, alone, strict=True))
    masks = sum(len(rows) for rows in alone)
    return {
        "texts": len(texts),
        "masks": masks,
        "stream_sec": min(streamed),
        "single_sec": min(single),
        "ratio": min(single) / min(streamed),
        "masks_per_sec": masks / min(streamed),
        "largest_difference": worst,
    }


def one_by_one(analyzer: Analyzer, text: str) -> np.ndarray[Any, Any]:
    """Probabilities (n + 1, k) of the whole text and without each word, a call each."""
    units = cut(text, ())
    masker = Masker(Input(text), units, "delete")
    masks = [(), *((number,) for number in range(len(units)))]
    return np.concatenate([analyzer.predict_proba([masker(mask)]) for mask in masks])


def distance(item: Explanation, rows: np.ndarray[Any, Any]) -> float:
    """Largest difference of a score to that of ``one_by_one``."""
    worst = 0.0
    for found in item.evidence:
        column = item.task.index(found.key)
        scores = np.array([word.score for word in found.words])
        worst = max(worst, float(np.abs(scores - (rows[0] - rows[1:])[:, column]).max(initial=0.0)))
    return worst


def encoder(base: str, data: Dataset) -> Analyzer:
    """The base after a few steps; how well it does is of no matter here."""
    options = {"max_steps": 8, "batch_size": 16, "max_length": 128, "device": "cpu"}
    model = EncoderClassifier.of(base, data.task, seed=42, options=options)
    few = data[:256]
    return Analyzer(model.fit([PREP.prepare_input(item) for item in few.inputs], few.y), prep=PREP)


# -- the quick mode ---------------------------------------------------------------------------------------------------


def quick(analyzer: Analyzer, dev: Dataset, words: int, count: int) -> dict[str, Any]:
    """Agreement of quick and full mode on texts of about ``words`` eojeols, for the labels the model decides on."""
    rng = np.random.default_rng(words)
    texts = []
    for _ in range(count):
        parts: list[str] = []
        while sum(len(part.split()) for part in parts) < words:
            parts.append(dev[int(rng.integers(len(dev)))].text)
        texts.append(" ".join(parts))
    seconds = []
    answers = []
    for how in (False, True):
        start = time.perf_counter()
        answers.append(explain(analyzer, texts, quick=how, faithfulness=False))
        seconds.append(time.perf_counter() - start)
    top, five, asked, n = [], [], 0, 0
    for full, rough in zip(*answers, strict=True):
        n += len(full.evidence[0].words)
        asked += int(np.sum([word.measured for word in rough.evidence[0].words]))
        for found in full.evidence:
            best = [word.begin for word in found.ranked[:5]]
            again = [word.begin for word in rough[found.key].ranked[:5]]
            top.append(best[0] == again[0])
            five.append(len(set(best) & set(again)) / 5)
    return {
        "words": n / count,
        "measured_words": asked / count,
        "labels": len(top),
        "top_word_recall": float(np.mean(top)),
        "top_five_recall": float(np.mean(five)),
        "full_sec": seconds[0],
        "quick_sec": seconds[1],
    }


def main() -> None:
    """Print the tables and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--base", help="folder of a base encoder, for the part 'encoder'")
    parser.add_argument("--parts", default="pointing,linear,encoder,quick")
    parser.add_argument("--units", default="eojeol")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    parts = words.parts.split(",")
    train = aspects(words.data, "train")
    dev = aspects(words.data, "dev", train.task)
    print(f"{len(train)} training texts, {len(dev)} dev texts, {len(train.task)} aspects", flush=True)
    linear = trained(train)
    result: dict[str, Any] = {"train_rows": len(train), "dev_rows": len(dev), "aspects": len(train.task)}
    if "pointing" in parts:
        result["pointing"] = []
        for unit in words.units.split(","):
            deleted = None
            for mask in MASKS:
                row, hits = pointing(linear, dev, mask, unit, deleted)
                deleted = hits if deleted is None else deleted
                result["pointing"].append(row)
                print(
                    f"{unit:9}{mask:8} hit {row['hit']:.3f}  random {row['random']:.3f}  "
                    f"+{row['gain']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  ({row['pairs']} pairs)"
                    + (
                        " against delete {:+.3f} [{:+.3f}, {:+.3f}]".format(*row["to_delete"])
                        if row["to_delete"]
                        else ""
                    ),
                    flush=True,
                )
    if "linear" in parts:
        result["linear"] = show("linear", speed(linear, dev.texts[:200]))
    if "encoder" in parts and words.base:
        result["encoder"] = show("encoder", speed(encoder(words.base, train), dev.texts[:40], rounds=2))
    if "quick" in parts:
        result["quick"] = []
        for length, count in ((200, 40), (500, 20), (1500, 8)):
            row = quick(linear, dev, length, count)
            result["quick"].append(row)
            print(
                f"{row['words']:6.0f} words: top word {row['top_word_recall']:.3f}, top five {row['top_five_recall']:.3f}, "
                f"{row['measured_words']:.0f} words hidden one by one, {row['full_sec']:.1f} s → {row['quick_sec']:.1f} s",
                flush=True,
            )
    print("saved", save("explain", result).name)


def show(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Print a row of the speed table."""
    print(
        f"{name:8} {row['masks']} masks: one at a time {row['single_sec']:.2f} s, in one stream {row['stream_sec']:.2f} s, "
        f"{row['ratio']:.1f} times faster; largest difference {row['largest_difference']:.1e}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
