"""Texts per second of one fine-tuned encoder: the usual loops against exported graphs, in one run.

    maeum train DATA/kote/train.tsv --format kote --model encoder:runs/e5-small-ko -o runs/kote
    python benchmarks/inference.py --kote runs/kote [--nsmc runs/polarity] [--data DIR] [--texts 5000] [--threads 2]
    python benchmarks/inference.py --kote runs/kote --texts 200 --reference-texts 64 --clock cpu --threads 1   # busy machine

References: ``loop``, the inference loop people write (fp32 torch, every text padded to 200 tokens, batches of 32), and
``pipeline``, ``transformers.pipeline(batch_size=32)``. Both get our network behind transformers' interface, so that they
answer with the same probabilities; they are timed on the first ``--reference-texts`` of the same texts, since they are slow.
Ours: the exported fp32 and int8 graphs, from raw text to decision. Each engine runs in a process of its own, for its
peak memory and the time from the start of the process to its first answer.

Flips: decisions that differ when the same texts come in another order and when they come one by one.
F1: decisions of each engine with the model's own thresholds, on the labelled rows that did not train it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _results import save
from numpy.typing import NDArray

import maeum
from maeum.analyzer import Analyzer
from maeum.metrics import decision_metrics
from maeum.models.batching import probabilities

REFERENCES, OURS = ("loop", "pipeline"), ("fp32", "int8")
BARS = {("int8", "loop"): 20.0, ("int8", "pipeline"): 10.0, ("fp32", "pipeline"): 5.0}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
BATCH, LENGTH = 32, 200
F1_LOSS = 0.005


def network_of(analyzer: Analyzer) -> tuple[Any, Any, int]:
    """The network as transformers calls one, its tokenizer, and the most tokens it takes."""
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    predictor: Any = analyzer.predictor
    network, task = predictor.network, analyzer.task

    class Plain(PreTrainedModel):  # type: ignore[no-untyped-call]
        config_class = type(network.backbone.config)
        _supports_sdpa = True

        def __init__(self) -> None:
            super().__init__(network.backbone.config)
            self.inner = network
            self.config.id2label = dict(enumerate(task.keys))
            self.config.label2id = {key: number for number, key in enumerate(task.keys)}

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            return SequenceClassifierOutput(logits=self.inner.window_logits(input_ids, attention_mask))

    plain: Any = Plain()
    return plain.eval(), predictor.tokenizer, predictor.windows.max_length


def loop(analyzer: Analyzer, texts: list[str]) -> NDArray[np.float32]:
    """Everything padded to 200 tokens, batches of 32."""
    import torch

    network, tokenizer, _ = network_of(analyzer)
    rows = []
    with torch.no_grad():
        for start in range(0, len(texts), BATCH):
            coded = tokenizer(
                texts[start : start + BATCH],
                padding="max_length",
                truncation=True,
                max_length=LENGTH,
                return_tensors="pt",
                return_token_type_ids=False,
            )
            rows.append(network(**coded).logits.numpy())
    return probabilities(np.concatenate(rows), analyzer.task.kind)


def pipeline(analyzer: Analyzer, texts: list[str]) -> NDArray[np.float32]:
    """``transformers.pipeline`` as its documentation shows it."""
    import transformers

    network, tokenizer, length = network_of(analyzer)
    ask: Any = transformers.pipeline(
        "text-classification",  # type: ignore[call-overload, unused-ignore]
        model=network,
        tokenizer=tokenizer,
        batch_size=BATCH,
        top_k=None,
        function_to_apply="softmax" if analyzer.task.kind == "multiclass" else "sigmoid",
        truncation=True,
        max_length=length,
        device="cpu",
    )
    keys = {key: column for column, key in enumerate(analyzer.task.keys)}
    out = np.zeros((len(texts), len(keys)), np.float32)
    for row, found in enumerate(ask(texts)):
        for item in found:
            out[row, keys[item["label"]]] = item["score"]
    return out


def answer(engine: str, analyzer: Analyzer, texts: list[str]) -> NDArray[np.float32]:
    """Calibrated probabilities (n, k)."""
    if engine in OURS:
        return analyzer.predict_proba(texts)
    # whoever writes these loops prepares the texts beforehand
    prepared = [analyzer.prep.prepare_input(maeum.Input(text)).text for text in texts]
    raw = (loop if engine == "loop" else pipeline)(analyzer, prepared)
    return analyzer.calibration.apply(raw)


def worker(words: argparse.Namespace) -> None:
    """One engine in a process of its own: probabilities into a file, numbers on stdout."""
    cores = sorted(os.sched_getaffinity(0))[: words.threads]
    os.sched_setaffinity(0, cores)
    warnings.simplefilter("ignore")
    texts: list[str] = json.loads(Path(words.texts_file).read_text(encoding="utf-8"))
    if words.worker in REFERENCES:
        import torch

        torch.set_num_threads(len(cores))
    clock = CLOCKS[words.clock]
    analyzer = maeum.load(words.model)
    first = answer(words.worker, analyzer, texts[:1])
    assert len(first) == 1
    if words.only_start:
        print(json.dumps({"peak_mb": _peak()}))
        return
    answer(words.worker, analyzer, texts[:BATCH])
    start = clock()
    proba = answer(words.worker, analyzer, texts)
    seconds = clock() - start
    found: dict[str, Any] = {"texts": len(texts), "texts_per_second": len(texts) / seconds, "peak_mb": _peak()}
    if words.worker in OURS:
        found["flips"] = _flips(words.worker, analyzer, texts, proba)
    np.save(words.out, proba)
    print(json.dumps(found))


def _flips(engine: str, analyzer: Analyzer, texts: list[str], proba: NDArray[np.float32]) -> dict[str, Any]:
    """Decisions that another order or no mates at all would change."""
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = np.empty_like(proba)
    shuffled[order] = answer(engine, analyzer, [texts[row] for row in order])
    some = order[: min(len(texts), 500)]
    alone = np.concatenate([answer(engine, analyzer, [texts[row]]) for row in some])
    decided = analyzer.decide(proba)
    return {
        "shuffled": int((analyzer.decide(shuffled) != decided).sum()),
        "alone": int((analyzer.decide(alone) != decided[some]).sum()),
        "alone_texts": len(some),
        "largest_difference": float(max(np.abs(shuffled - proba).max(), np.abs(alone - proba[some]).max())),
    }


def _peak() -> float:
    """Peak memory in MB; not ``getrusage``, whose peak is the parent's where that was larger."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024, 1)


def run_set(
    name: str,
    model: str,
    texts: list[str],
    truth: tuple[NDArray[np.uint8], NDArray[np.int64]] | None,
    words: argparse.Namespace,
    work: Path,
) -> dict[str, Any]:
    """All engines on one set of texts."""
    from maeum.exporting import export

    folders = {}
    for precision in OURS:
        folders[precision] = work / f"{name}-{precision}"
        # whatever int8 costs, it is measured here: ε is left wide open, and so is the question of speed
        made = export(
            model,
            folders[precision],
            precision="int8" if precision == "int8" else "fp32",
            epsilon=1.0,
            stopwatch=lambda a, b, c: (1.0, 2.0),
        )
        assert made.facts["precision"] == precision
    analyzer = maeum.load(folders["fp32"])
    rows: dict[str, Any] = {}
    probas: dict[str, NDArray[np.float32]] = {}
    for engine in (*REFERENCES, *OURS):
        own = texts if engine in OURS else texts[: words.reference_texts]
        place = model if engine in REFERENCES else str(folders[engine])
        rows[engine] = _spawn(engine, place, own, words, work)
        probas[engine] = np.load(work / "proba.npy")
        if truth is not None:
            y, known = truth
            here = known[known < len(own)]
            if len(here):
                found = decision_metrics(y[here], analyzer.decide(probas[engine][here]))
                rows[engine] |= {"rows": len(here), "micro_f1": found["micro_f1"], "macro_f1": found["macro_f1"]}
        shown = {key: value for key, value in rows[engine].items() if key != "flips"}
        print(name, engine, json.dumps(shown), flush=True)
    n = len(probas["loop"])
    ratios = {
        f"{ours}/{reference}": rows[ours]["texts_per_second"] / rows[reference]["texts_per_second"]
        for ours in OURS
        for reference in REFERENCES
    }
    return {
        "engines": rows,
        "ratios": ratios,
        "bars": {f"{a}/{b}": {"bar": bar, "met": ratios[f"{a}/{b}"] >= bar} for (a, b), bar in BARS.items()},
        "largest_difference": {
            "fp32 - pipeline": float(np.abs(probas["fp32"][:n] - probas["pipeline"]).max()),
            "int8 - fp32": float(np.abs(probas["int8"] - probas["fp32"]).max()),
        },
        "decisions_changed_by_int8": float((analyzer.decide(probas["int8"]) != analyzer.decide(probas["fp32"])).mean()),
        "f1_loss_of_int8": {
            score: rows["fp32"][score] - rows["int8"][score]
            for score in ("micro_f1", "macro_f1")
            if score in rows["fp32"]
        },
        "flips": {engine: rows[engine]["flips"] for engine in OURS},
    }


def _spawn(engine: str, model: str, texts: list[str], words: argparse.Namespace, work: Path) -> dict[str, Any]:
    (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    command = [sys.executable, __file__, "--worker", engine, "--model", model, "--texts-file", str(work / "texts.json")]
    command += ["--out", str(work / "proba.npy"), "--clock", words.clock, "--threads", str(words.threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(words.threads), "TOKENIZERS_PARALLELISM": "false"}

    def call(*more: str) -> tuple[dict[str, Any], float]:
        start = time.perf_counter()
        ran = subprocess.run([*command, *more], capture_output=True, text=True, env=environment, check=False)
        if ran.returncode:
            raise SystemExit(f"{engine}: {ran.stderr[-2000:]}")
        return json.loads(ran.stdout.strip().splitlines()[-1]), time.perf_counter() - start

    started, seconds = call("--only-start")
    found, _ = call()
    return {**found, "start_seconds": round(seconds, 2), "start_peak_mb": started["peak_mb"]}


def kote(words: argparse.Namespace) -> tuple[list[str], tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Texts of KOTE: first the rows that trained nothing, which have labels to judge by."""
    judge = maeum.read(str(Path(words.data) / "kote" / "dev.tsv"), format="kote")
    more = maeum.read(str(Path(words.data) / "kote" / "train.tsv"), format="kote")
    texts = [*judge.texts, *more.texts][: words.texts]
    known = np.arange(min(len(judge), len(texts)))
    return texts, (judge.y[: len(known)], known)


def nsmc(words: argparse.Namespace) -> tuple[list[str], tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The last rows of NSMC's file (a model trained with ``--valid 0.1`` may have seen some of them)."""
    rows = maeum.read(str(Path(words.data) / "nsmc" / "train.tsv"), format="nsmc")[-words.texts :]
    return rows.texts, (rows.y, np.arange(len(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kote", help="a model folder of task kote, kind encoder")
    parser.add_argument("--nsmc", help="the same of task nsmc; without it the KOTE model reads NSMC's texts")
    parser.add_argument("--data", default=os.environ.get("MAEUM_DATA", "../shared/data"))
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--reference-texts", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--no-save", action="store_true")
    for name in ("--worker", "--model", "--texts-file", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--only-start", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.worker:
        worker(words)
        return
    if not words.kote:
        parser.error("--kote is needed")
    result: dict[str, Any] = {name: getattr(words, name) for name in ("texts", "reference_texts", "threads", "clock")}
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        result["kote"] = run_set("kote", words.kote, *kote(words), words, work)
        texts, truth = nsmc(words)
        own = words.nsmc is not None
        result["nsmc"] = run_set("nsmc", words.nsmc or words.kote, texts, truth if own else None, words, work)
    for name in ("kote", "nsmc"):
        print(f"\n{name}: texts/s {_row(result[name]['engines'], 'texts_per_second', '.1f')}")
        print(f"  ratios {', '.join(f'{pair} {value:.1f}x' for pair, value in result[name]['ratios'].items())}")
        print(f"  flips {json.dumps(result[name]['flips'])}")
        print(f"  F1 loss of int8 {json.dumps(result[name]['f1_loss_of_int8'])} (bar {F1_LOSS})")
        print(f"  peak MB {_row(result[name]['engines'], 'peak_mb', '.0f')}")
        print(f"  start s {_row(result[name]['engines'], 'start_seconds', '.2f')}")
    if not words.no_save:
        print(save("inference", result))


def _row(engines: dict[str, Any], name: str, form: str) -> str:
    return ", ".join(f"{engine} {format(found[name], form)}" for engine, found in engines.items())


if __name__ == "__main__":
    main()
