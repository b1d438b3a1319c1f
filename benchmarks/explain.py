"""Do the words that ``maeum explain`` points at lie where people marked them, and what does masking cost?

    python benchmarks/explain.py [--data DIR] [--base runs/e5-small-ko] [--encoder runs/kote] [--clock cpu]
        [--parts pointing,sentiment,linear,encoder,quick,ig]

``pointing``: M-ABSA in Korean (restaurant, hotel, phone, food). A linear model learns which aspects a text has, never
where. On the dev texts, for every aspect it should find: does the word with the highest score overlap the span that
people marked (pointing game, Zhang et al. 2018)? Beside it, the chance of a uniformly random word; the difference is
bootstrapped over texts. ``sentiment``: the same for the grades of our fashion reviews (``sample:fashion``), every text
judged by a review model that did not see it (five folds): the best word for the *grade* of each aspect that people gave
(and for aspect and grade together), against the span they marked. ``linear``, ``encoder``: all masks of many texts in one stream against one mask at a time.
``quick``: how often the quick mode finds the best word of the full mode in long texts (dev texts joined). ``ig``:
integrated gradients beside masking, on an encoder trained on KOTE (``--encoder FOLDER``): faithfulness, same top words,
seconds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _results import save

import maeum
from maeum.analyzer import Analyzer
from maeum.data import Dataset, Example, Input
from maeum.explaining import Explanation, LabelEvidence, explain
from maeum.explaining.explanation import Method
from maeum.explaining.masking import Masker, MaskKind
from maeum.explaining.units import UnitKind, cut
from maeum.models.encoder import EncoderClassifier
from maeum.models.linear import LinearClassifier
from maeum.splits import duplicate_groups, fold_numbers
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


def sentiment(folds: int = 5) -> dict[str, Any]:
    """The pointing game for grades on the fashion sample, out of fold; the aspect's own words beside it."""
    data = maeum.read("sample:fashion")
    fold = fold_numbers(data.y, duplicate_groups(data.texts), folds=folds, seed=42)
    hits: dict[str, list[bool]] = {"sentiment": [], "aspect": [], "pair": []}
    chance, owner, right = [], [], []
    for number in range(folds):
        held = np.flatnonzero(fold == number)
        model = maeum.train(data.select(np.flatnonzero(fold != number)), seed=42).analyzer
        for row in held.tolist():
            example = data[row]
            spans: dict[str, list[tuple[int, int]]] = {}
            for item in example.aspects or ():
                if item.begin is not None and item.end is not None:
                    spans.setdefault(item.aspect, []).append((item.begin, item.end))
            if not spans:
                continue
            (found,) = explain(model, [example.text], aspect=list(spans), faithfulness=False)
            for key, places in spans.items():
                grade = found.grade(key)
                inside = overlaps(grade, places)
                if len(inside) < 2 or all(inside):
                    continue
                chance.append(float(np.mean(inside)))
                owner.append(row)
                right.append(grade.key in {item.sentiment for item in example.aspects or () if item.aspect == key})
                pair = next(item.pair for item in found.grades if item.aspect == key)
                for name, words in (("sentiment", grade.words), ("aspect", found[key].words), ("pair", pair)):
                    hits[name].append(inside[int(np.argmax([word.score for word in words]))])
        print(f"  fold {number + 1} of {folds}: {len(chance)} pairs so far", flush=True)
    result: dict[str, Any] = {
        "texts": len(set(owner)),
        "pairs": len(chance),
        "random": float(np.mean(chance)),
        "grade_right": float(np.mean(right)),
    }
    for name, found_hits in hits.items():
        gain, low, high = bootstrap(np.array(found_hits, float) - np.array(chance), owner)
        result[name] = {"hit": float(np.mean(found_hits)), "gain": gain, "low": low, "high": high}
        if name != "aspect":
            for word, chosen in (("right", np.array(right)), ("wrong", ~np.array(right))):
                own = np.array(found_hits)[chosen]
                result[name][f"hit_where_grade_{word}"] = float(own.mean()) if len(own) else None
        print(
            f"fashion, {name:9} hit {result[name]['hit']:.3f}  random {result['random']:.3f}  "
            f"+{gain:.3f} [{low:.3f}, {high:.3f}]  ({len(chance)} pairs in {result['texts']} texts)",
            flush=True,
        )
    return result


def overlaps(found: LabelEvidence, spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each word overlaps a marked span."""
    return [any(word.begin < end and begin < word.end for begin, end in spans) for word in found.words]


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


def speed(analyzer: Analyzer, texts: Sequence[str], clock: Callable[[], float], *, rounds: int = 5) -> dict[str, Any]:
    """Seconds for all single masks of the texts, in one stream and one at a time: the best of a few alternating rounds."""
    streamed, single = [], []
    for _ in range(rounds):
        start = clock()
        found = explain(analyzer, texts, faithfulness=False, quick=False)
        streamed.append(clock() - start)
        start = clock()
        alone = [one_by_one(analyzer, text) for text in texts]
        single.append(clock() - start)
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


def gradients(model: str, texts: Sequence[str], steps: int, *, timed: int = 5) -> dict[str, Any]:
    """Masking and integrated gradients of one trained encoder, for the most probable label of each text.

    Faithfulness, completeness, how often both name the same word, seconds per text (of the first few) without measuring faithfulness. The
    interval is that of the paired difference, over texts.
    """
    analyzer = maeum.load(model)
    analyzer.thresholds = analyzer.thresholds.default(analyzer.task)
    best = analyzer.predict_proba(texts).argmax(1)
    result: dict[str, Any] = {"texts": len(texts), "steps": steps}
    methods: tuple[Method, ...] = ("mask", "ig")
    names = ("comprehensiveness", "sufficiency", "aopc")
    values: dict[str, Any] = {}
    tops: dict[str, list[int]] = {}
    for method in methods:
        found, seconds = [], 0.0
        for number, (text, column) in enumerate(zip(texts, best.tolist(), strict=True)):
            label = [analyzer.task.keys[column]]
            if number < timed:
                start = time.process_time()
                explain(analyzer, [text], labels=label, method=method, steps=steps, faithfulness=False)
                seconds += time.process_time() - start
            (one,) = explain(analyzer, [text], labels=label, method=method, steps=steps)[0].evidence
            if one.faithfulness is not None:
                found.append(one)
        judged = [one.faithfulness for one in found if one.faithfulness is not None]
        values[method] = {name: np.array([getattr(one, name) for one in judged]) for name in names}
        row = {name: float(values[method][name].mean()) for name in names}
        row |= {f"chance_{name}": float(np.mean([getattr(one, f"chance_{name}") for one in judged])) for name in names}
        row["cpu_sec_per_text"] = seconds / min(timed, len(texts))
        if method == "ig":
            row["mean_gap"] = float(np.mean([abs(one.gap or 0.0) for one in found]))
            row["largest_gap"] = float(max(abs(one.gap or 0.0) for one in found))
        tops[method] = [one.ranked[0].begin for one in found]
        result[method] = row
        print(f"{method:5}", {name: round(value, 4) for name, value in row.items()}, flush=True)
    owner = list(range(len(tops["mask"])))
    result["same_top_word"] = float(np.mean([one == other for one, other in zip(*tops.values(), strict=True)]))
    result["ig_minus_mask"] = {name: bootstrap(values["ig"][name] - values["mask"][name], owner) for name in names}
    print(f"same top word {result['same_top_word']:.3f}")
    for name, difference in result["ig_minus_mask"].items():
        print("ig minus mask, {}: {:+.4f} [{:+.4f}, {:+.4f}]".format(name, *difference), flush=True)
    return result


def main() -> None:
    """Print the tables and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--base", help="folder of a base encoder, for the part 'encoder'")
    parser.add_argument("--parts", default="pointing,linear,encoder,quick")
    parser.add_argument("--units", default="eojeol")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: waiting does not count")
    parser.add_argument("--steps", type=int, default=50, help="of integrated gradients")
    parser.add_argument("--encoder", help="model folder of an encoder trained on KOTE, for the part 'ig'")
    parser.add_argument("--texts", type=int, default=100, help="KOTE dev texts of the part 'ig'")
    parser.add_argument("--name", default="explain", help="of the result file")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    parts = words.parts.split(",")
    clock = time.process_time if words.clock == "cpu" else time.perf_counter
    if "ig" in parts and words.encoder:
        kote = maeum.read(words.data / "kote/dev.tsv", format="kote")
        found = {"ig": gradients(words.encoder, kote.texts[: words.texts], words.steps)}
        print("saved", save(f"{words.name}-ig", found).name)
    if set(parts) <= {"ig"}:
        return
    train = aspects(words.data, "train")
    dev = aspects(words.data, "dev", train.task)
    print(f"{len(train)} training texts, {len(dev)} dev texts, {len(train.task)} aspects", flush=True)
    linear = trained(train)
    result: dict[str, Any] = {"train_rows": len(train), "dev_rows": len(dev), "aspects": len(train.task)}
    result["clock"] = words.clock
    if "sentiment" in parts:
        result["sentiment"] = sentiment()
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
        result["linear"] = show("linear", speed(linear, dev.texts[:200], clock))
        joined = [" ".join(dev.texts[start : start + 5]) for start in range(0, 200, 5)]
        result["linear_long"] = show("5 joined", speed(linear, joined, clock))
    if "encoder" in parts and words.base:
        result["encoder"] = show("encoder", speed(encoder(words.base, train), dev.texts[:40], clock, rounds=2))
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
    print("saved", save(words.name, result).name)


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
