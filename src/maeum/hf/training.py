"""The training loop: transformers' ``Trainer`` with the few things changed that our models need.

What is ours: batches of similar length, the loss given from outside and averaged over examples (so that accumulation
and several processes give the gradient of the whole batch), judging with our own fast prediction, layer-wise learning
rates, checkpoints that a killed run continues from exactly, and errors that say what to do.

Several processes: ``accelerate launch --num_processes 2 -m maeum train …`` on GPUs, on a CPU
``python -m torch.distributed.run --nproc_per_node 2 -m maeum train …``. A batch is then shared between the
processes, so that the batch size, the steps and the result stay what they are with one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from maeum._lang import say
from maeum._optional import require, require_installed
from maeum._processes import is_main_process, process_count
from maeum._progress import Line, Step, report_scores, steps
from maeum.errors import UsageError
from maeum.hf import tracking
from maeum.hf.length_groups import length_grouped_sampler
from maeum.hf.loop_errors import not_finite, readable_errors
from maeum.hf.memory import peak_memory
from maeum.history import table, write_csv

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Schedule = Literal["linear", "cosine", "constant"]
Optimizer = Literal["auto", "adamw", "paged-adamw", "paged-adamw-8bit"]
Log = list[dict[str, Any]]
"""The Trainer's log: one dictionary per logged step, with ``step``, ``epoch`` and what was measured."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Settings of the training loop."""

    epochs: float = 4.0
    """Passes over the training rows."""
    max_steps: int | None = None
    """Stop after this many optimiser steps, whatever ``epochs`` says."""
    batch_size: int = 16
    """Rows per optimiser step, over all processes together."""
    accumulation: int = 1
    """Parts a batch is cut into, one after the other, to save memory; the result stays the same."""
    learning_rate: float | None = None
    """Peak learning rate of the encoder; None: 7e-5 for encoders up to 512 wide, 3e-5 for wider ones."""
    head_learning_rate: float | None = None
    """Peak learning rate of the new head; None: the encoder's for a standard head, 2e-3 for ``mean`` and ``bigru``."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay (Loshchilov & Hutter 2019), on matrices only."""
    layer_decay: float = 1.0
    """Learning rate of each layer relative to the one above it; 1 = all the same (Howard & Ruder 2018)."""
    freeze: int = 0
    """How many of the lowest layers stay as they are; the embeddings count as the first."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises."""
    schedule: Schedule = "linear"
    """How the learning rate falls after that."""
    max_grad_norm: float = 1.0
    """The gradient is scaled down to this norm where it is larger."""
    patience: int | None = None
    """Stop after this many evaluations without a better ``metric`` and keep the best; None: train to the end."""
    metric: str | None = None
    """What ``patience`` watches on the held-out rows: loss, micro-f1, macro-f1, accuracy."""
    eval_steps: int | None = None
    """Evaluate every N steps; None: once an epoch."""
    log_steps: int | None = None
    """Log the training loss every N steps; None: about fifty times a run."""
    optimizer: Optimizer = "auto"
    """AdamW with its state on the device; or bitsandbytes' paged ones (CUDA only), whose state moves to main memory
    when the GPU is full (Dettmers et al. 2023). ``auto``: paged for a base in 4 bits on a GPU, else adamw."""
    precision: Precision = "auto"
    """Of training; prediction is in fp32 (a language model on a GPU: in bf16). ``auto``: bf16 where the GPU or CPU computes it natively, else fp32."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: about a third slower, much less memory."""
    group_by_length: bool = True
    """Batches of texts of similar length, so that little is padded."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints that a killed run continues from (0: every step); one is written each epoch anyway."""
    report_to: str = ""
    """Also send the log to mlflow, wandb or tensorboard (comma-separated)."""

    def __post_init__(self) -> None:
        for name, low in (("batch_size", 1), ("accumulation", 1), ("epochs", 0), ("max_grad_norm", 0), ("warmup", 0)):
            value = getattr(self, name)
            if value < low or (name == "epochs" and value == 0):
                raise UsageError(f"{name}이(가) 너무 작습니다: {value}", f"{name} is too small: {value}")
        for name, choices in (
            ("precision", ("auto", "fp32", "bf16", "fp16")),
            ("schedule", SCHEDULES),
            ("optimizer", OPTIMIZERS),
        ):
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        if self.metric is not None and self.metric not in METRICS:
            raise unknown("metric", self.metric, METRICS)


SCHEDULES = ("linear", "cosine", "constant")
OPTIMIZERS = ("auto", "adamw", "paged-adamw", "paged-adamw-8bit")
METRICS = ("loss", "micro-f1", "macro-f1", "accuracy")


def unknown(what: str, given: object, choices: Sequence[str]) -> UsageError:
    """An error for a word that is none of the choices, with the nearest one as a suggestion."""
    import difflib

    close = difflib.get_close_matches(str(given), choices, n=1)
    listed = ", ".join(choices)
    return UsageError(
        f"모르는 {what}: '{given}'." + (f" '{close[0]}'인가요?" if close else "") + f" 쓸 수 있는 것: {listed}",
        f"unknown {what} '{given}'" + (f"; did you mean '{close[0]}'?" if close else "") + f" (known: {listed})",
    )


@dataclass(frozen=True)
class Job:
    """What is trained, on what."""

    model: torch.nn.Module
    """Called with the tensors of a batch (without ``labels`` and ``rows``)."""
    rows: Sequence[Any]
    """Training rows, as ``collate`` takes them."""
    lengths: Sequence[int]
    """(n,) tokens of each row, for batches of similar length."""
    collate: Callable[[list[Any]], dict[str, Any]]
    """Rows to tensors; ``labels`` holds one row of numbers per example, ``rows`` the row numbers."""
    loss: Callable[[Any, Any], Any]
    """(outputs, labels) -> (n,) loss of each item: of each row, or with ``per_token`` of each label that is not -100."""
    groups: list[dict[str, Any]]
    """Parameter groups with their learning rates, for AdamW."""
    evaluate: Callable[[], dict[str, float]] | None = None
    """Metrics on the held-out rows, by name, among them what ``metric`` names."""
    per_token: bool = False
    """Losses are averaged over the labels that are not -100 instead of over rows."""
    name: str = ""
    """What the progress bar says."""


def run(job: Job, config: LoopConfig, *, seed: int, work: Path | None, progress: Line) -> Log:
    """Train a model in place.

    Args:
        work: folder for checkpoints; a run that finds one of its own there goes on from it. None: a temporary folder,
            and nothing to continue from.

    Returns:
        The log of the whole run, also of the part before a kill.

    Raises:
        NotFinite: the loss is no number any more; names the rows of the batch.
        UsageError: out of memory, with the settings to lower.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if work is None else work
        bar = stack.enter_context(steps(progress, job.name, total_steps(len(job.rows), config)))
        stack.enter_context(readable_errors(config.batch_size, folder))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=".*'pin_memory' argument is set as true.*")
        trainer = _trainer(
            job, config, seed=seed, folder=folder, resumable=work is not None, bar=bar, progress=progress
        )
        last = last_checkpoint(folder) if work is not None else None
        if last is not None:
            progress(say(f"{last.name}부터 이어서 학습", f"resuming from {last.name}"))
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        job.model.eval()
        return [dict(entry) for entry in trainer.state.log_history]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in a work folder; ones cut short are removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            step = int(json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])
        except (OSError, ValueError, KeyError):
            # the state is the last file a checkpoint gets: without it the others may be cut short
            if is_main_process():
                shutil.rmtree(path, ignore_errors=True)
            continue
        complete.append((step, path))
    return max(complete)[1] if complete else None


def pick_device(name: str) -> torch.device:
    """The device of ``--device``.

    Raises:
        UsageError: a GPU is asked for and there is none.
    """
    import torch

    name = os.environ.get("MAEUM_DEVICE", "auto") if name == "auto" else name
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise unknown("device", name, ("auto", "cpu", "cuda", "cuda:0")) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "GPU(cuda)를 찾을 수 없습니다. --device cpu로 실행하거나, GPU용 torch를 설치했는지 확인하세요.",
            "no GPU (cuda) was found; use --device cpu, or check that a torch built for your GPU is installed",
        )
    return device


def _trainer(
    job: Job, config: LoopConfig, *, seed: int, folder: Path, resumable: bool, bar: Step, progress: Line
) -> Any:
    from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments

    if config.gradient_checkpointing:
        enable_checkpointing(job.model)
    if config.batch_size % (process_count() * config.accumulation):
        raise UsageError(
            f"batch-size({config.batch_size})는 프로세스 수({process_count()}) × accumulation({config.accumulation})으로 "
            "나누어떨어져야 합니다.",
            f"batch-size ({config.batch_size}) must be divisible by the number of processes ({process_count()}) times "
            f"accumulation ({config.accumulation})",
        )
    name = tracking.run_name(folder, job.name)
    device = pick_device(config.device)
    half = _half(config.precision, device.type)
    watch = job.evaluate is not None
    keep_best = watch and config.patience is not None
    by_steps = config.eval_steps is not None
    total = total_steps(len(job.rows), config)
    trackers = _trackers(config)
    tracking.prepare(trackers, name)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=config.batch_size // config.accumulation,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=max(group["lr"] for group in job.groups),
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup,
        lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else config.schedule,
        max_grad_norm=config.max_grad_norm,
        eval_strategy=("steps" if by_steps else "epoch") if watch else "no",
        eval_steps=config.eval_steps,
        save_strategy=("steps" if by_steps else "epoch") if keep_best or resumable else "no",
        save_steps=config.eval_steps or 500,
        save_total_limit=2 if keep_best else 1,
        load_best_model_at_end=keep_best,
        metric_for_best_model=f"eval_{(config.metric or 'loss').replace('-', '_')}" if keep_best else None,
        greater_is_better=(config.metric or "loss") != "loss" if keep_best else None,
        logging_steps=config.log_steps or max(1, total // 50),
        bf16=half == "bf16",
        fp16=half == "fp16",
        use_cpu=device.type == "cpu",
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=trackers,
        run_name=name,
        dataloader_pin_memory=device.type == "cuda",
        accelerator_config={"split_batches": True},
        average_tokens_across_devices=True,
        optim="adamw_torch",
    )

    # one process uses one GPU; several share the work as several processes, each with its own
    arguments._n_gpu = min(arguments.n_gpu, 1)

    class GroupedTrainer(Trainer):
        """``Trainer`` with our sampler, optimiser groups and evaluation."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return length_grouped_sampler(job.lengths, config.batch_size, seed=seed, grouped=config.group_by_length)

        def create_optimizer(self, model: Any = None) -> Any:
            if self.optimizer is None:
                self.optimizer = _optimizer(job.groups, config.optimizer)
            return self.optimizer

        def evaluate(
            self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
        ) -> dict[str, float]:
            assert job.evaluate is not None
            job.model.eval()
            metrics = {f"{metric_key_prefix}_{name.replace('-', '_')}": v for name, v in job.evaluate().items()}
            self.log(metrics)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

    def loss(outputs: dict[str, Any], labels: Any, num_items_in_batch: Any = None) -> Any:
        each = job.loss(outputs, labels)
        if not bool(each.isfinite().all()):
            # batches are fetched ahead, so the last one fetched need not be this one
            here = labels.cpu()
            rows = next((r for seen, r in fetched if seen.shape == here.shape and bool((seen == here).all())), [])
            raise not_finite(rows, each)
        labels_of_item = 1 if job.per_token else labels[0].numel()
        count = each.shape[0] if num_items_in_batch is None else num_items_in_batch / labels_of_item
        return each.sum() / count

    fetched: deque[tuple[Any, list[Any]]] = deque(maxlen=4)
    speed = Speed()

    def collate(rows: list[Any]) -> dict[str, Any]:
        batch = job.collate(rows)
        fetched.append((batch["labels"], batch.pop("rows")))
        speed.tokens += int(batch["attention_mask"].sum())
        return batch

    callbacks: list[Any] = [
        _watch_callback(bar, progress, folder, speed),
        _clock_callback(config.checkpoint_minutes, resumable=resumable),
    ]
    if keep_best:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=config.patience or 1))
    trainer = GroupedTrainer(
        model=job.model,
        args=arguments,
        train_dataset=_Rows(job.rows),
        eval_dataset=_Rows(job.rows[:1]) if watch else None,
        data_collator=collate,
        compute_loss_func=loss,
        callbacks=callbacks,
    )
    # with its own bars off, the Trainer prints every log entry on stdout
    trainer.remove_callback(PrinterCallback)
    return trainer


def check(config: LoopConfig) -> None:
    """Find out before any work begins what this machine cannot do of what the settings ask for.

    Raises:
        UsageError: no such device or tracker.
        MissingExtra: a tracker is not installed.
    """
    device = pick_device(config.device)
    if config.optimizer.startswith("paged") and device.type != "cuda":
        raise UsageError(
            f"optimizer={config.optimizer}은(는) GPU(CUDA)에서만 됩니다. adamw를 쓰세요.",
            f"optimizer={config.optimizer} needs a GPU (CUDA); use adamw",
        )
    if config.optimizer.startswith("paged"):
        require_installed("bitsandbytes")
    tracking.check(_trackers(config))


def _trackers(config: LoopConfig) -> list[str]:
    """The trackers of ``report_to``."""
    words = [word for part in config.report_to.split(",") if (word := part.strip()) not in ("", "none")]
    for word in words:
        if word not in tracking.TRACKERS:
            raise unknown("report_to", word, tracking.TRACKERS)
    return words


class _Rows:
    """A map-style data set over a sequence."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


class Speed:
    """Tokens per second of a run, padding not counted, and the memory it takes."""

    def __init__(self) -> None:
        self.tokens = 0
        self.start = time.monotonic()

    def remark(self) -> str:
        """Such as ``2,310 tok/s 1.4 GB``."""
        rate = self.tokens / max(1e-9, time.monotonic() - self.start)
        peak = peak_memory()["peak_bytes"]
        return f"{rate:,.0f} tok/s" + (f" {peak / 1e9:.1f} GB" if peak else "")


def _optimizer(groups: list[dict[str, Any]], name: Optimizer) -> Any:
    from torch.optim import AdamW

    betas, eps = (0.9, 0.999), 1e-8
    if name in ("paged-adamw", "paged-adamw-8bit"):
        optimizers: Any = require("bitsandbytes").optim
        kind = optimizers.PagedAdamW32bit if name == "paged-adamw" else optimizers.PagedAdamW8bit
        return kind(groups, betas=betas, eps=eps)
    fused = all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
    return AdamW(groups, betas=betas, eps=eps, fused=fused)


def _watch_callback(bar: Step, progress: Line, folder: Path, speed: Speed) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        """The bar, a line for each evaluation, and the history on disk while the run goes on."""

        remark = ""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                bar(state.global_step, self.remark)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any
        ) -> None:
            if not state.is_world_process_zero:
                return
            found = dict(logs or {})
            if "loss" in found:
                self.remark = f"loss {found['loss']:.4f} {speed.remark()}"
            if "eval_loss" in found:
                scores = " ".join(
                    f"{name.removeprefix('eval_')} {v:.4f}" for name, v in found.items() if "eval_" in name
                )
                progress(f"epoch {state.epoch:.2f} step {state.global_step}  {self.remark}  valid: {scores}")
            write_csv(folder / "history.csv", table(state.log_history))
            if "eval_loss" in found:
                measured = {
                    name.removeprefix("eval_").replace("_", "-"): v for name, v in found.items() if "eval_" in name
                }
                report_scores(progress, state.epoch, measured)

    return Watch()


def _clock_callback(minutes: float, *, resumable: bool) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        saved = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if float(state.epoch).is_integer():
                # the epoch's own checkpoint follows: one from before its evaluation would go on without that, and to
                # write the same one twice leaves a moment in which a kill spoils a checkpoint that looks complete
                return
            # several processes have clocks that differ, and a checkpoint is written by all of them together
            if resumable and args.world_size == 1 and time.monotonic() - self.saved >= minutes * 60:
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.saved = time.monotonic()

    return Clock()


def enable_checkpointing(model: Any) -> None:
    """Recompute activations in the backward pass; transformers renames the switch between 5 and 6."""
    inner = getattr(model, "backbone", model)
    new = getattr(inner, "activation_checkpointing_enable", None)
    (new or inner.gradient_checkpointing_enable)({"use_reentrant": False})


def _half(precision: Precision, device: str) -> str:
    import torch

    if precision != "auto":
        if precision == "fp16" and device == "cpu":
            raise UsageError(
                "fp16은 GPU에서만 됩니다. CPU에서는 bf16이나 fp32를 쓰세요.",
                "fp16 needs a GPU; use bf16 or fp32 on a CPU",
            )
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "fp32"


def total_steps(rows: int, config: LoopConfig) -> int:
    """Optimiser steps of a whole run."""
    return config.max_steps or int(-(-rows // config.batch_size) * config.epochs)
