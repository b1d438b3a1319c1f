"""A language model with a classification head: ``--model decoder-cls:PATH_OR_HUB_ID`` (seed 004's second attempt).

The same prompt as for ``decoder``, without an answer: a linear head on the state of its last token gives the logits.
Adapters and head are trained together.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from maeum._files import pretty_json, read_json, write_text
from maeum._optional import require_installed
from maeum._progress import Line
from maeum.data import Input
from maeum.errors import FormatError, NotFitted
from maeum.hf import adapters, training
from maeum.hf.training import Log
from maeum.models import prompting
from maeum.models.base import Labels, Proba, check_inputs
from maeum.models.decoder_config import DecoderClsConfig
from maeum.models.encoder import by_token_budget, probabilities, quick_metrics
from maeum.models.prompting import CPU_TOKENS, GPU_TOKENS, Prompting, Weights
from maeum.task import Task

if TYPE_CHECKING:
    from maeum.models._prompted_nets import LastTokenModel

Floats = NDArray[np.float32]


class DecoderClsClassifier:
    """A language model with a linear head on its last token.

    Args:
        seed: fixes the new weights, the order of rows and dropout.
    """

    kind = "decoder-cls"
    kept_on_disk = True
    """As in ``DecoderClassifier``."""

    def __init__(self, task: Task, config: DecoderClsConfig, *, seed: int = 42) -> None:
        for module in ("torch", "transformers", "peft"):
            require_installed(module)
        self.task = task
        self.config = config
        self.seed = seed
        self.history: Log = []
        """What the training loop logged."""
        self.prompting = Prompting.of(task, config)
        self._model: LastTokenModel | None = None
        self._adapters = adapters.FIRST

    @classmethod
    def of(cls, base: str, task: Task, *, seed: int, options: Mapping[str, Any]) -> Self:
        """An untrained model from ``decoder-cls:BASE`` and options by name."""
        config = DecoderClsConfig.of(base, options)
        training.check(config)
        prompting.check_quantize(config)
        return cls(task, prompting.settled(config), seed=seed)

    def fit(self, inputs: Sequence[Input], y: Labels) -> Self:
        """Train adapters and head on inputs and labels (n, k)."""
        return self.fit_watched(inputs, y)

    def fit_watched(
        self,
        inputs: Sequence[Input],
        y: Labels,
        *,
        held: tuple[Sequence[Input], Labels] | None = None,
        work: Path | None = None,
        name: str = "",
        progress: Line = lambda _: None,
    ) -> Self:
        """Train, judged on held-out rows along the way; arguments as in ``EncoderClassifier.fit_watched``."""
        import torch

        from maeum.models._prompted_nets import LastTokenModel, collate_rows
        from maeum.models.losses import make_loss

        check_inputs(inputs)
        config, asking = self.config, self.prompting
        loss = make_loss(config.loss_config(self.task.kind), self.task.kind, y.sum(0), len(y))
        prompts = asking.encode(inputs, progress=progress)
        if held is not None:
            asking.encode(held[0])  # rows that no prompt can be made of are refused now, not after an epoch
        torch.manual_seed(self.seed)
        model = LastTokenModel(asking.load_decoder(adapters_seed=self.seed), len(self.task), config.dropout)
        model.to(training.pick_device(config.device))
        self._model = model
        progress(asking.describe(model))
        job = training.Job(
            model=model,
            rows=[(row, prompt.ids, y[row]) for row, prompt in enumerate(prompts)],
            lengths=[len(prompt.ids) for prompt in prompts],
            collate=functools.partial(collate_rows, pad_id=asking.pad_id),
            loss=lambda outputs, labels: loss(outputs["logits"], labels),
            groups=model.parameter_groups(
                learning_rate=config.learning_rate or prompting.default_learning_rate(),
                head_learning_rate=config.head_learning_rate,
                weight_decay=config.weight_decay,
            ),
            evaluate=None if held is None else functools.partial(self._judge, *held, loss),
            name=name,
        )
        loop = dataclasses.replace(
            config, metric=config.metric or prompting.quick_metric(self.task), optimizer=prompting.optimizer(config)
        )
        self.history = training.run(job, loop, seed=self.seed, work=work, progress=progress)
        return self

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k)."""
        check_inputs(inputs)
        return probabilities(self._logits(inputs), self.task.kind)

    def save(self, folder: Path) -> None:
        """Adapters, head and prompt; the base is named, not copied (unless ``merge``)."""
        if self._model is None:
            raise NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")
        from safetensors.torch import save_file

        about = {"seed": self.seed, "config": dataclasses.asdict(self.config)} | self.prompting.to_dict()
        weights = Weights(self._model.backbone, self._adapters)
        weights.save(self.prompting, folder)
        self._model.backbone = weights.model
        head = {name: value.contiguous().cpu() for name, value in self._model.head.state_dict().items()}
        save_file(head, folder / "head.safetensors")
        write_text(folder / "decoder.json", pretty_json(about))
        write_text(folder / "history.json", pretty_json({"log": self.history}))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote; the base is looked for where it was, and must be the one trained on."""
        from safetensors.torch import load_file

        from maeum.models._prompted_nets import LastTokenModel

        about = read_json(folder / "decoder.json")
        options = dict(about["config"])
        self = cls.__new__(cls)
        self.task, self.seed = task, int(about["seed"])
        self.config = prompting.opened(DecoderClsConfig.of(options.pop("base"), options))
        self.history = read_json(folder / "history.json")["log"]
        self.prompting = Prompting.saved(task, self.config, about, folder)
        weights = Weights.load(self.prompting, folder, head=False)
        model, self._adapters = LastTokenModel(weights.model, len(task), self.config.dropout), weights.name
        try:
            model.head.load_state_dict(load_file(folder / "head.safetensors"))
        except RuntimeError as error:
            raise FormatError(
                f"'{folder}'의 머리(head) 가중치가 설정과 맞지 않습니다.",
                f"the head weights in '{folder}' do not fit its settings",
            ) from error
        model.head.to(training.pick_device(self.config.device))
        self._model = model
        return self

    def _logits(self, inputs: Sequence[Input]) -> Floats:
        """(n, k): prompts of similar length together."""
        import torch

        from maeum.models._prompted_nets import pad_left

        if self._model is None:
            raise NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")
        Weights(self._model.backbone, self._adapters).ready()
        model, prompts = self._model.eval(), self.prompting.encode(inputs)
        device = model.head.weight.device
        budget = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
        out = np.zeros((len(prompts), len(self.task)), np.float32)
        with torch.inference_mode():
            for batch in by_token_budget([len(prompt.ids) for prompt in prompts], budget):
                tensors = pad_left([prompts[row].ids for row in batch], self.prompting.pad_id)
                found = model(**{name: tensor.to(device) for name, tensor in tensors.items()})
                out[batch] = found["logits"].float().cpu().numpy()
        return out

    def _judge(self, inputs: Sequence[Input], y: Labels, loss: Any) -> dict[str, float]:
        import torch

        logits = self._logits(inputs)
        each = loss(torch.from_numpy(logits), torch.from_numpy(y.astype(np.float32)))
        return {"loss": float(each.mean())} | quick_metrics(self.task, y, probabilities(logits, self.task.kind))
