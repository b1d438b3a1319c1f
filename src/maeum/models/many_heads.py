"""One encoder that learns several tasks at once: a trunk and, on its sentence vector, the labels of every task.

What the tasks share (the language, the register) is learnt from the rows of all of them. A row counts for the tasks it
is labelled for; the loss of a task is averaged over its labels, times a weight: √k for k independent labels, so that a
task of 44 labels is not drowned by one of two, else 1 (both can be changed).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maeum._files import pretty_json, read_json, write_text
from maeum._progress import Line
from maeum.data import Input
from maeum.models.base import Labels
from maeum.models.batching import Floats, probabilities
from maeum.models.blocks import ABSENT, Block, Blocks, joined_task
from maeum.models.encoder import Aim, EncoderClassifier, EncoderConfig, quick_metrics
from maeum.models.windows import Window
from maeum.task import Task


class ManyHeads(EncoderClassifier):
    """An encoder with the labels of several tasks.

    Args:
        tasks: in column order.
        weights: of the tasks' losses, by name; those left out have their default.
    """

    kind = "many-heads"

    def __init__(
        self,
        tasks: Sequence[Task],
        config: EncoderConfig,
        *,
        seed: int = 42,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(joined_task(tasks), config, seed=seed)
        self.tasks = tuple(tasks)
        self.blocks = Blocks.of(tasks)
        self.weights = {block.name: default_weight(block) for block in self.blocks.blocks} | dict(weights or {})

    def fit_to(
        self,
        inputs: Sequence[Input],
        aims: Floats,
        aim: Aim,
        *,
        held: tuple[Sequence[Input], NDArray[Any]] | None = None,
        work: Path | None = None,
        name: str = "",
        progress: Line = lambda _: None,
    ) -> Self:
        """As of an encoder; held-out rows are judged by the heads they are labelled for."""
        plain = None if held is None else self._loss(held[1])
        return self._learn(inputs, aims, aim, plain, held=held, work=work, name=name, progress=progress)

    def _loss(self, y: Labels | Floats) -> Any:
        from maeum.models.losses import make_loss

        parts = []
        for block in self.blocks.blocks:
            own = y[:, block.columns]
            labelled = own[own[:, 0] != ABSENT]
            config = dataclasses.replace(self.config, loss=self.config.loss if block.kind == "multilabel" else None)
            loss = make_loss(config.loss_config(block.kind), block.kind, labelled.sum(0), len(labelled))
            parts.append((block.columns, self.weights[block.name], loss))

        def total(logits: Any, labels: Any) -> Any:
            """(n,) the weighted losses of each row's tasks."""
            out = logits.new_zeros(len(logits), dtype=logits.dtype)
            for columns, weight, loss in parts:
                here = (labels[:, columns.start] != ABSENT).nonzero()[:, 0]
                if len(here):
                    each = loss(logits[here, columns], labels[here, columns])
                    out = out.index_add(0, here, weight * each.to(out.dtype))
            return out

        return total

    def _judge(self, pieces: Sequence[tuple[Window, ...]], y: Labels | Floats, loss: Any) -> dict[str, float]:
        import torch

        logits = self._logits(pieces)
        each = loss(torch.from_numpy(logits), torch.from_numpy(y.astype(np.float32)))
        found = {"loss": float(each.mean())}
        scores = []
        for block, task in zip(self.blocks.blocks, self.tasks, strict=True):
            here = y[:, block.start] != ABSENT
            if here.any():
                own = y[here][:, block.columns].astype(np.uint8)
                metrics = quick_metrics(task, own, probabilities(logits[here][:, block.columns], block.kind))
                found[f"{block.name} {_shown(block)}"] = metrics[_shown(block)]
                scores.append(metrics)
        for name in ("micro-f1", "macro-f1", "accuracy"):
            found[name] = float(np.mean([metrics[name] for metrics in scores]))
        return found

    def save(self, folder: Path) -> None:
        """As an encoder with one head for all columns, and what they are."""
        super().save(folder)
        about = {"tasks": [task.to_dict() for task in self.tasks], "weights": self.weights}
        write_text(folder / "heads.json", pretty_json(about))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        about, own = read_json(folder / "heads.json"), read_json(folder / "encoder.json")
        options = dict(own["config"])
        config = EncoderConfig.of(options.pop("base"), options)
        tasks = [Task.from_dict(item) for item in about["tasks"]]
        self = cls(tasks, config, seed=int(own["seed"]), weights=about["weights"])
        self._restore(folder, own["head"])
        return self


def default_weight(block: Block) -> float:
    """√k for k independent labels, 1 for labels that exclude each other."""
    return float(np.sqrt(block.stop - block.start)) if block.kind == "multilabel" else 1.0


def _shown(block: Block) -> str:
    return "accuracy" if block.kind == "multiclass" else "macro-f1"
