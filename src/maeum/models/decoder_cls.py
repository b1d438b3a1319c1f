"""A language model with a classification head: ``--model decoder-cls:PATH_OR_HUB_ID`` (seed 004's second attempt).

The same prompt as for ``decoder``, without an answer: a linear head on the state of its last token gives the logits.
Adapters and head are trained together.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from maeum._progress import Line
from maeum.data import Input
from maeum.errors import FormatError
from maeum.hf import adapters, training
from maeum.models.base import Labels, Proba, check_inputs
from maeum.models.batching import by_token_budget, probabilities
from maeum.models.decoder_config import DecoderClsConfig
from maeum.models.encoder import quick_metrics
from maeum.models.prompted import PromptedClassifier, not_fitted, token_budget
from maeum.models.prompting import Weights
from maeum.task import Task

if TYPE_CHECKING:
    from maeum.models._prompted_nets import LastTokenModel

Floats = NDArray[np.float32]


class DecoderClsClassifier(PromptedClassifier[DecoderClsConfig]):
    """A language model with a linear head on its last token."""

    kind = "decoder-cls"
    settings = DecoderClsConfig

    def __init__(self, task: Task, config: DecoderClsConfig, *, seed: int = 42) -> None:
        super().__init__(task, config, seed=seed)
        self._model: LastTokenModel | None = None
        self._adapters = adapters.FIRST

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
                learning_rate=self._learning_rate,
                head_learning_rate=config.head_learning_rate,
                weight_decay=config.weight_decay,
            ),
            evaluate=None if held is None else functools.partial(self._judge, *held, loss),
            name=name,
        )
        self._run(job, work=work, progress=progress)
        return self

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k)."""
        check_inputs(inputs)
        return probabilities(self._logits(inputs), self.task.kind)

    def save(self, folder: Path) -> None:
        """Adapters, head and prompt; the base is named, not copied (unless ``merge``)."""
        if self._model is None:
            raise not_fitted()
        from safetensors.torch import save_file

        weights = Weights(self._model.backbone, self._adapters)
        weights.save(self.prompting, folder)
        self._model.backbone = weights.model
        head = {name: value.contiguous().cpu() for name, value in self._model.head.state_dict().items()}
        save_file(head, folder / "head.safetensors")
        self._write(folder)

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote; the base is looked for where it was, and must be the one trained on."""
        from safetensors.torch import load_file

        from maeum.models._prompted_nets import LastTokenModel

        self, _ = cls._read(folder, task)
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
            raise not_fitted()
        Weights(self._model.backbone, self._adapters).ready()
        model, prompts = self._model.eval(), self.prompting.encode(inputs)
        device = model.head.weight.device
        budget = token_budget(device.type)
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
