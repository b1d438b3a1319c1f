"""Does more masked-LM training on raw reviews help the fine-tuning that follows? The base as it is beside post-trained ones.

    maeum base e5-small-ko -o runs/e5-small-ko
    python benchmarks/posttrain_effect.py --base runs/e5-small-ko --work runs/posttrain [--texts 20000] [--rates 2e-5]

NSMC: post-training on raw reviews without labels (``nsmc/reviews.parquet``), then fine-tuning on ``--rows`` labelled ones
with every base, same rows, seed and steps; accuracy on rows that no fine-tuning saw, paired over rows. Reviews that are
also labelled rows are not taken out of the raw ones: no label is read there, and that is what users would do too.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _results import save
from numpy.typing import NDArray

import maeum
from maeum.data import Dataset
from maeum.experiment import prepare_all
from maeum.models.encoder import EncoderClassifier
from maeum.posttraining import PosttrainSettings, posttrain
from maeum.splits import duplicate_groups, holdout
from maeum.text import TextPrep


def right(base: str, train: Dataset, judge: Dataset, epochs: float) -> NDArray[np.bool_]:
    """(n,) which judging rows a model fine-tuned from ``base`` gets right."""
    prep = TextPrep.named("default")
    model = EncoderClassifier.of(base, train.task, seed=42, options={"epochs": epochs, "max_length": 96})
    model.fit(prepare_all(prep, train.inputs), train.y)
    proba = model.predict_proba(prepare_all(prep, judge.inputs))
    found: NDArray[np.bool_] = proba.argmax(1) == judge.y.argmax(1)
    return found


def paired(gain: NDArray[Any], *, resamples: int = 5000) -> tuple[float, float, float]:
    """Mean of paired differences and its 95% interval over resampled rows."""
    rng = np.random.default_rng(0)
    means = [gain[rng.integers(len(gain), size=len(gain))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(gain.mean()), float(low), float(high)


def main() -> None:
    """Print one table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the post-trained bases; kept")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rates", default="2e-5", help="learning rates of post-training")
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--judge", type=int, default=4_000)
    parser.add_argument("--epochs", type=float, default=2.0)
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = maeum.read(words.data / "nsmc" / "train.tsv", format="nsmc")
    kept, held = holdout(rows.y, duplicate_groups(rows.texts), fraction=0.1, seed=42)
    train, judge = rows.select(kept[: words.rows]), rows.select(held[: words.judge])
    bases: dict[str, tuple[str, dict[str, Any]]] = {"as it is": (words.base, {})}
    for rate in words.rates.split(","):
        place = words.work / f"e5-{words.texts}-{rate}"
        start = time.perf_counter()
        if not place.exists():
            settings = PosttrainSettings(limit=words.texts, learning_rate=float(rate), precision="auto")
            source = [words.data / "nsmc" / "reviews.parquet"]
            posttrain(words.base, source, place, settings, text_column="review", progress=print)
        bases[f"post-trained, {rate}"] = (str(place), {"seconds": round(time.perf_counter() - start)})
    first: NDArray[np.bool_] | None = None
    found = []
    print(f"{'base':24}{'accuracy':>10}  gain [95%]")
    for name, (base, about) in bases.items():
        hits = right(base, train, judge, words.epochs)
        row: dict[str, Any] = {"base": name, "accuracy": float(hits.mean()), **about}
        shown = ""
        if first is None:
            first = hits
        else:
            gain, low, high = paired(hits.astype(float) - first.astype(float))
            row |= {"gain": gain, "low": low, "high": high}
            shown = f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]"
        found.append(row)
        print(f"{name:24}{row['accuracy']:10.4f}  {shown}", flush=True)
    about = {"texts": words.texts, "rows": len(train), "judge": len(judge), "epochs": words.epochs, "results": found}
    print("saved", save("posttrain_effect", about).name)


if __name__ == "__main__":
    main()
