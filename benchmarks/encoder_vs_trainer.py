"""A fine-tuned encoder against a plain Hugging Face ``Trainer`` script: same checkpoint, rows, seed and steps, one run.

    maeum base e5-small-ko -o runs/e5-small-ko
    python benchmarks/encoder_vs_trainer.py --base runs/e5-small-ko [--data DIR] [--sets kote,nsmc] [--epochs 1]
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/encoder_vs_trainer.py --base … --clock cpu   # on a busy machine
    python benchmarks/encoder_vs_trainer.py --base … --quality     # the reference padded less, for F1 on more rows

The reference is the script people write: every text padded to 200 tokens, fp32, the architecture's own classification
head. Ours is ``--model encoder:… --head cls`` in fp32 too; what differs is that batches hold texts of similar length
and are padded to the longest of them. With ``--quality`` the reference pads to the longest text of a batch too: the same
numbers but for the order in which dropout draws, in a fraction of the time. ``rows/s`` of training and of prediction; F1 with thresholds tuned on one half of
the judging rows and judged on the other, both ways round.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _results import save
from numpy.typing import NDArray

import maeum
from maeum.experiment import prepare_all
from maeum.metrics import decision_metrics
from maeum.models.encoder import EncoderClassifier
from maeum.splits import duplicate_groups, holdout
from maeum.text import TextPrep
from maeum.thresholds import tune_thresholds

Array = NDArray[Any]
BATCH, RATE, SEED, LENGTH = 32, 7e-5, 42, 200
Measured = tuple[Array, float, float]
"""Probabilities of the judging rows, training rows per second, predicted rows per second."""
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter
"""CPU seconds are the honest ones where other programs compete for the cores and one thread computes."""


def reference(
    base: str, train: maeum.Dataset, judge: maeum.Dataset, epochs: float, padding: str = "max_length"
) -> Measured:
    """The usual script."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    torch.manual_seed(SEED)
    kind = "single_label_classification" if train.task.kind == "multiclass" else "multi_label_classification"
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(train.task), problem_type=kind)

    class Rows(torch.utils.data.Dataset[dict[str, Any]]):
        def __init__(self, data: maeum.Dataset) -> None:
            texts = [item.text for item in prepare_all(TextPrep.named("default"), data.inputs)]
            self.coded = tokenizer(
                texts, padding="max_length" if padding == "max_length" else False, truncation=True, max_length=LENGTH
            )
            self.labels = (
                torch.from_numpy(data.y.argmax(1).astype(np.int64))
                if data.task.kind == "multiclass"
                else torch.from_numpy(data.y.astype(np.float32))
            )

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, row: int) -> dict[str, Any]:
            return {name: value[row] for name, value in self.coded.items()} | {"labels": self.labels[row].tolist()}

    from transformers import DataCollatorWithPadding

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=64,
            learning_rate=RATE,
            weight_decay=0.01,
            warmup_steps=0.1,
            seed=SEED,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
        )
        together = DataCollatorWithPadding(tokenizer)
        trainer = Trainer(model=model, args=arguments, train_dataset=Rows(train), data_collator=together)
        start = clock()
        trainer.train()
        trained = len(train) * epochs / (clock() - start)
        rows = Rows(judge)
        start = clock()
        logits = torch.from_numpy(trainer.predict(rows).predictions)
        predicted = len(judge) / (clock() - start)
    proba = logits.softmax(-1) if kind.startswith("single") else logits.sigmoid()
    return proba.numpy(), trained, predicted


def padded_less(base: str, train: maeum.Dataset, judge: maeum.Dataset, epochs: float) -> Measured:
    """The usual script with batches padded to their longest text."""
    return reference(base, train, judge, epochs, padding="longest")


def ours(base: str, train: maeum.Dataset, judge: maeum.Dataset, epochs: float) -> Measured:
    """The same with ``EncoderClassifier``."""
    prep = TextPrep.named("default")
    options = {"head": "cls", "epochs": epochs, "batch_size": BATCH, "learning_rate": RATE, "max_length": LENGTH}
    model = EncoderClassifier.of(base, train.task, seed=SEED, options=options | {"precision": "fp32"})
    inputs, judged = prepare_all(prep, train.inputs), prepare_all(prep, judge.inputs)
    start = clock()
    model.fit(inputs, train.y)
    trained = len(train) * epochs / (clock() - start)
    start = clock()
    proba = model.predict_proba(judged)
    return proba, trained, len(judge) / (clock() - start)


def quality(judge: maeum.Dataset, proba: Array) -> float:
    """Accuracy, or macro-F1 averaged over the two halves."""
    if judge.task.kind == "multiclass":
        return float((judge.y.argmax(1) == proba.argmax(1)).mean())
    halves = np.arange(len(judge)) % 2
    found = []
    for half in (0, 1):
        a, b = halves == half, halves != half
        rule = tune_thresholds(judge.y[a], proba[a], judge.task, objective="macro-f1", shrinkage=5.0)
        found.append(decision_metrics(judge.y[b], rule.decide(proba[b]))["macro_f1"])
    return float(np.mean(found))


def load(name: str, data: Path, limit: int) -> tuple[maeum.Dataset, maeum.Dataset]:
    """Rows that train and rows that judge."""
    rows = maeum.read(data / name / "train.tsv", format=name)
    if name == "nsmc":
        train, held = holdout(rows.y, duplicate_groups(rows.texts), fraction=0.1, seed=42)
        return rows.select(train[:limit]), rows.select(held[:1000])
    return rows.select(range(min(limit, len(rows)))), maeum.read(data / name / "dev.tsv", format=name)


def main() -> None:
    """Print one table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="kote,nsmc")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--limit", type=int, default=100_000, help="training rows at most")
    parser.add_argument("--judge", type=int, default=1000, help="judging rows at most")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--quality", action="store_true", help="pad the reference less, to compare F1 on more rows")
    words = parser.parse_args()
    global clock
    clock = CLOCKS[words.clock]
    warnings.simplefilter("ignore")
    print(f"{'data':6}{'system':12}{'train rows/s':>13}{'x':>7}{'predict rows/s':>16}{'x':>7}  quality")
    rows = []
    for name in words.sets.split(","):
        train, judge = load(name, words.data, words.limit)
        judge = judge[: words.judge]
        first: dict[str, Any] | None = None
        for system in (padded_less if words.quality else reference, ours):
            proba, trained, predicted = system(words.base, train, judge, words.epochs)
            row = {
                "data": name,
                "system": system.__name__,
                "train_rows": len(train),
                "epochs": words.epochs,
                "train_rows_per_sec": trained,
                "predict_rows_per_sec": predicted,
                "quality": quality(judge, proba),
            }
            first = first or row
            rows.append(row)
            print(
                f"{name:6}{system.__name__:12}{trained:13.1f}{trained / first['train_rows_per_sec']:7.2f}"
                f"{predicted:16.1f}{predicted / first['predict_rows_per_sec']:7.2f}  {row['quality']:.4f}",
                flush=True,
            )
    print(
        "saved", save("encoder_vs_trainer-" + words.sets.replace(",", "-"), {"clock": words.clock, "rows": rows}).name
    )


if __name__ == "__main__":
    main()
