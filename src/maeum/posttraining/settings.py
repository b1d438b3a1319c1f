"""What decides the result of a run, beside the base and the texts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from maeum.errors import UsageError
from maeum.hf.training import LoopConfig, Precision
from maeum.text import TextPrep


@dataclass(frozen=True, kw_only=True)
class PosttrainSettings:
    """Everything that decides the result, beside the base and the texts."""

    epochs: float = 1.0
    """Passes over the texts. All passes are shuffled together: a text comes this often, masked anew each time."""
    max_steps: int | None = None
    """Stop after this many optimiser steps, whatever ``epochs`` says."""
    batch_size: int = 32
    """Texts per optimiser step."""
    accumulation: int = 1
    """Parts a batch is cut into, to save memory."""
    learning_rate: float = 5e-5
    """Peak learning rate of the whole model; it rises over ``warmup`` and falls linearly to 0."""
    warmup: float = 0.06
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """AdamW's, on matrices only."""
    head_warmup_steps: int | None = None
    """Steps in which only the head learns, before all does; None: a tenth of all steps (200 to 1000) if the head is
    new, else 0. The gradients of a head that knows nothing would undo what the encoder has learned."""
    head_learning_rate: float = 1e-3
    """Peak learning rate of those steps."""
    mask: float = 0.15
    """Share of the eojeols (or tokens) to be guessed, in (0, 1); at least one a text."""
    whole_word: bool = True
    """Hide all tokens of an eojeol (what stands between spaces) together; a text of one eojeol: token by token."""
    max_length: int = 128
    """Tokens of a row, special ones included; longer texts become several rows, cut at a space where there is one."""
    clean: str = "default"
    """Text preparation recipe; use the one of the later training."""
    limit: int | None = None
    """Only the first N distinct texts."""
    valid: float | None = None
    """Texts held out to measure perplexity: a number of texts (1 or more) or a share (below 1); 0: none; None: 1000,
    at most 5% of all."""
    seed: int = 42
    precision: Precision = "auto"
    """``auto``: bf16 on a GPU that has it, else fp32."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: slower, less memory."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints that a killed run goes on from (0: every step)."""

    def __post_init__(self) -> None:
        limits: tuple[tuple[str, bool], ...] = (
            ("epochs", self.epochs > 0),
            ("max_steps", self.max_steps is None or self.max_steps > 0),
            ("mask", 0 < self.mask < 1),
            ("max_length", self.max_length >= 8),
            ("limit", self.limit is None or self.limit > 0),
            ("valid", self.valid is None or self.valid >= 0),
            ("learning_rate", self.learning_rate > 0),
            ("head_warmup_steps", self.head_warmup_steps is None or self.head_warmup_steps >= 0),
        )
        for name, fine in limits:
            if not fine:
                value = getattr(self, name)
                raise UsageError(f"{name} 값이 범위를 벗어났습니다: {value}", f"{name} is out of range: {value}")
        self.loop(1)
        TextPrep.named(self.clean)

    def loop(self, steps: int, **changes: Any) -> LoopConfig:
        """Settings of a training loop of so many steps."""
        words: dict[str, Any] = {
            "epochs": 1.0,
            "max_steps": steps,
            "batch_size": self.batch_size,
            "accumulation": self.accumulation,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "warmup": self.warmup,
            "precision": self.precision,
            "gradient_checkpointing": self.gradient_checkpointing,
            "device": self.device,
            "checkpoint_minutes": self.checkpoint_minutes,
        }
        return LoopConfig(**{**words, **changes})

    def identity(self) -> dict[str, Any]:
        """The settings that a run must share with the one it continues."""
        free = ("device", "checkpoint_minutes")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}


DEFAULTS = PosttrainSettings()
