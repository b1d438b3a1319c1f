"""Teacher → 6 layers (distilled) → int8 → pruned: size, texts per second and F1 of each, intervals against the teacher.

    maeum train ../shared/data/kote/train.tsv --format kote --model encoder:runs/e5-small-ko -o runs/kote
    python benchmarks/compress.py --teacher runs/kote --work runs/compress [--limit 20000] [--epochs 4]

Every step is the command people type. The student learns from raw reviews (``nsmc/reviews.parquet``, no labels) and the
labelled rows of KOTE's train file; a tenth of those tunes its thresholds. Pruning trims the vocabulary to the same texts,
halves the feed-forward layers and recovers on the labelled rows. All models are judged on KOTE's dev file, which none of
the steps learns from or tunes on, and timed on its texts in this process, in turns, the best of several. ``export`` may
write int8 here even where its own verdict would not (``--epsilon``): this table is to say what int8 costs. Models that lie
in ``--work`` already are not made again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _results import save

import maeum
from maeum import measuring
from maeum.analyzer import Analyzer
from maeum.data import Dataset

TIMED = 128
"""Texts of a round."""


def command(*words: object) -> float:
    """Run ``maeum`` with these words; seconds it took."""
    start = time.perf_counter()
    shown = [str(word) for word in words]
    print("maeum", " ".join(shown), flush=True)
    subprocess.run([sys.executable, "-m", "maeum", *shown], check=True)
    return round(time.perf_counter() - start, 1)


def made(words: argparse.Namespace) -> dict[str, tuple[Path, float]]:
    """The models by name: where they are, and the seconds they took (0: they were there)."""
    train, work, encoder = words.data / "kote" / "train.tsv", words.work, []
    if words.device:
        encoder = ["--device", words.device]
    found: dict[str, tuple[Path, float]] = {"teacher": (words.teacher, 0.0)}

    def make(name: str, place: str, *arguments: object) -> Path:
        path: Path = work / place
        done = (path / "manifest.json").exists()
        found[name] = (path, 0.0 if done else command(*arguments, "-o", path))
        return path

    texts = words.texts or words.data / "nsmc" / "reviews.parquet"
    column = ["--text-column", words.text_column] if words.text_column else []
    small = make(
        f"{words.layers} layers",
        "layers",
        *("distill", words.teacher, texts, *column, "--limit", words.limit, "--student", f"layers:{words.layers}"),
        *("--hidden", words.hidden, "--temperature", words.temperature, "--data", train, "--alpha", words.alpha),
        *("--epochs", words.epochs, "--soft-labels", work / "soft", *encoder),
    )
    int8 = ("--precision", "int8", "--epsilon", words.epsilon)
    make("teacher, int8", "teacher-int8", "export", words.teacher, *int8)
    make(f"{words.layers} layers, int8", "layers-int8", "export", small, *int8)
    pruned = make(
        f"{words.layers} layers, pruned",
        "pruned",
        *("prune", small, "--vocabulary", train, "--format", "kote", "--ffn", words.ffn),
        *("--data", train, "--recover", words.recover, *encoder),
    )
    make(f"{words.layers} layers, pruned, int8", "pruned-int8", "export", pruned, *int8)
    return found


def precision(place: Path) -> str:
    """What ``export`` really wrote; torch models are fp32."""
    about = place / "export.json"
    return str(json.loads(about.read_text(encoding="utf-8"))["precision"]) if about.exists() else "fp32 (torch)"


def speeds(analyzers: dict[str, Analyzer], dev: Dataset, rounds: int) -> dict[str, float]:
    """Texts per second of each model: in turns, so that what else the machine does hits all alike; the best round counts."""
    inputs = dev.inputs[:TIMED]
    found = dict.fromkeys(analyzers, 0.0)
    for _ in range(rounds):
        for name, analyzer in analyzers.items():
            found[name] = max(found[name], measuring.speed(analyzer, inputs) or 0.0)
    return found


def judged(models: dict[str, tuple[Path, float]], dev: Dataset, rounds: int) -> list[dict[str, Any]]:
    """A row for each model, the teacher's first."""
    rows: list[dict[str, Any]] = []
    first = None
    analyzers = {name: maeum.load(place) for name, (place, _) in models.items()}
    rates = speeds(analyzers, dev, rounds)
    print(f"{'model':36}{'MB':>8}{'M param':>9}{'texts/s':>9}  micro-F1, macro-F1 (gap to the teacher, 95%)")
    for name, (place, seconds) in models.items():
        analyzer = analyzers[name]
        count = measuring.parameter_count(analyzer.predictor)
        size = measuring.Size(measuring.folder_megabytes(place), count, rates[name])
        decided = analyzer.decide(analyzer.predict_proba(dev))
        first = decided if first is None else first
        gaps = measuring.gaps(dev.task, dev.y, first, decided)
        rows.append(
            {
                "model": name,
                "seconds": seconds,
                "precision": precision(place),
                **size.to_dict(),
                **{metric: dataclasses.asdict(gap) for metric, gap in gaps.items()},
            }
        )
        millions = "-" if count is None else f"{count / 1e6:.1f}"
        shown = "   ".join(
            f"{gap.after:.4f} ({gap.after - gap.before:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}])"
            for gap in gaps.values()
        )
        name += f" [{precision(place)}]" if "int8" in name else ""
        print(f"{name:36}{size.megabytes:8.1f}{millions:>9}{size.texts_per_second:9.0f}  {shown}", flush=True)
    return rows


def main() -> None:
    """Make the models, print one table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True, help="an encoder trained on kote/train.tsv")
    parser.add_argument("--work", type=Path, required=True, help="folder for the models; kept")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--texts", type=Path, help="texts to distil on (default: nsmc/reviews.parquet)")
    parser.add_argument("--text-column", default="review")
    parser.add_argument("--limit", type=int, default=20_000)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=float, default=1.0)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--ffn", type=float, default=0.5)
    parser.add_argument("--recover", type=float, default=2.0)
    parser.add_argument("--epsilon", type=float, default=0.3, help="F1 that int8 may lose in export's own verdict")
    parser.add_argument("--rounds", type=int, default=5, help="times each model is timed")
    parser.add_argument("--rows", type=int, help="rows of kote/dev.tsv to judge on")
    parser.add_argument("--device", default="")
    words = parser.parse_args()
    words.work.mkdir(parents=True, exist_ok=True)
    place = words.data / "kote" / "dev.tsv"
    dev = maeum.read(place, format="kote")[: words.rows]
    rows = judged(made(words), dev, words.rounds)
    settings = ("limit", "layers", "hidden", "temperature", "alpha", "epochs", "ffn", "recover", "epsilon", "rounds")
    about = {"settings": {name: getattr(words, name) for name in settings}, "judge": len(dev), "results": rows}
    print("saved", save("compress", about).name)


if __name__ == "__main__":
    main()
