"""What the two kinds of language-model classifiers share: how they are made, trained, saved and found again.

``decoder`` asks for label words, ``decoder-cls`` puts a head on the last token. Both put the same prompt to a base with
adapters (``prompting.py``).
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from maeum._files import pretty_json, read_json, write_text
from maeum._optional import require_installed
from maeum._progress import Line
from maeum.data import Input
from maeum.errors import NotFitted
from maeum.hf import training
from maeum.hf.training import Log
from maeum.models import prompting
from maeum.models.base import Labels
from maeum.models.decoder_config import PromptedConfig
from maeum.models.encoder import watched_metric
from maeum.models.prompting import CPU_TOKENS, GPU_TOKENS, Prompting
from maeum.task import Task

ConfigT = TypeVar("ConfigT", bound=PromptedConfig)


class PromptedClassifier(ABC, Generic[ConfigT]):
    """A language model that is shown a prompt.

    Args:
        seed: fixes the first weights of what is learnt, the order of rows and dropout; on a CPU with the same number of
            threads the same seed gives the same model.
    """

    kind: str
    kept_on_disk = True
    """Finished folds are read back from disk, where they share their base, and not kept beside the next."""
    settings: ClassVar[type[PromptedConfig]]
    """What ``config`` is."""

    def __init__(self, task: Task, config: ConfigT, *, seed: int = 42) -> None:
        for module in ("torch", "transformers", *(("peft",) if config.adapted else ())):
            require_installed(module)
        self.task = task
        self.config = config
        self.seed = seed
        self.history: Log = []
        """What the training loop logged."""
        self.prompting = Prompting.of(task, config)

    @classmethod
    def of(cls, base: str, task: Task, *, seed: int, options: Mapping[str, Any]) -> Self:
        """An untrained model from ``KIND:BASE`` and options by name."""
        config: Any = cls.settings.of(base, options)
        training.check(config)
        prompting.check_quantize(config)
        return cls(task, prompting.settled(config), seed=seed)

    def fit(self, inputs: Sequence[Input], y: Labels) -> Self:
        """Train on inputs and labels (n, k)."""
        return self.fit_watched(inputs, y)

    @abstractmethod
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

    def _run(self, job: training.Job, *, work: Path | None, progress: Line) -> None:
        config = self.config
        loop = dataclasses.replace(
            config, metric=config.metric or watched_metric(self.task), optimizer=prompting.optimizer(config)
        )
        self.history = training.run(job, loop, seed=self.seed, work=work, progress=progress)

    @property
    def _learning_rate(self) -> float:
        return self.config.learning_rate or prompting.LEARNING_RATE

    def _write(self, folder: Path, **more: Any) -> None:
        """``decoder.json`` and ``history.json``: everything but the weights."""
        about = {"seed": self.seed, "config": dataclasses.asdict(self.config), **more} | self.prompting.to_dict()
        write_text(folder / "decoder.json", pretty_json(about))
        write_text(folder / "history.json", pretty_json({"log": self.history}))

    @classmethod
    def _read(cls, folder: Path, task: Task) -> tuple[Self, dict[str, Any]]:
        """A model without its weights, and ``decoder.json``; the base is looked for and must be the one trained on."""
        about = read_json(folder / "decoder.json")
        options = dict(about["config"])
        self = cls.__new__(cls)
        self.task, self.seed = task, int(about["seed"])
        config: Any = prompting.opened(cls.settings.of(options.pop("base"), options))
        self.config = config
        self.history = read_json(folder / "history.json")["log"]
        self.prompting = Prompting.saved(task, self.config, about, folder)
        return self, about


def not_fitted() -> NotFitted:
    """The error of a model that is asked before it was trained."""
    return NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")


def token_budget(device_type: str) -> int:
    """Tokens of a prediction batch on a device."""
    return CPU_TOKENS if device_type == "cpu" else GPU_TOKENS
