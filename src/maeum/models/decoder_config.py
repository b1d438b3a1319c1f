"""Settings of language models as classifiers: ``decoder`` (label words) and ``decoder-cls`` (a classification head)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from maeum._lang import say
from maeum.errors import UsageError
from maeum.hf.training import LoopConfig, unknown
from maeum.task import Kind

if TYPE_CHECKING:
    from maeum.hf.causal import LoraSettings
    from maeum.models.losses import LossConfig

Learn = Literal["lora", "none"]
Quantize = Literal["auto", "none", "nf4"]
Form = Literal["label", "yesno", "list"]
Unlabelled = Literal["none", "skip"]
Scores = Literal["auto", "vocab", "labels"]
Length = Literal["sum", "mean"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "learn": ("lora", "none"),
    "quantize": ("auto", "none", "nf4"),
    "form": ("label", "yesno", "list"),
    "unlabelled": ("none", "skip"),
    "scores": ("auto", "vocab", "labels"),
    "length": ("sum", "mean"),
}


@dataclass(frozen=True, kw_only=True)
class PromptedConfig(LoopConfig):
    """What both kinds share: the base, the prompt, and low-rank adapters instead of all its weights."""

    base: str
    """Folder or hub id of the language model."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    template: str = "auto"
    """Prompt template: the name of a built-in one or a ``.toml`` file; auto: ``emotion`` or ``label``, by the task."""
    quantize: Quantize = "auto"
    """Base weights in 4 bits (``nf4``, with double quantisation; Dettmers et al. 2023) or as they are; auto: nf4 on a
    GPU where bitsandbytes is installed."""
    max_length: int = 1024
    """Tokens of a prompt with its answer, at most what the model takes; of longer texts the end is cut, or both ends
    around the target."""
    lora_r: int = 16
    """Rank of the adapters (Hu et al. 2022)."""
    lora_alpha: int = 32
    """Their scale is lora_alpha / lora_r."""
    lora_dropout: float = 0.01
    """Dropout before each adapter while training."""
    lora_targets: str = "auto"
    """Names of the layers that get adapters, comma-separated; auto: all linear layers of the blocks."""
    merge: bool = False
    """Save the base with the adapters added into its weights, as a folder of its own, instead of the adapters only."""
    epochs: float = 4.0
    batch_size: int = 8
    """Examples per optimiser step, over all processes together."""
    learning_rate: float | None = None
    """Peak learning rate of the adapters; None: 2e-4."""
    weight_decay: float = 0.0
    warmup: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in _CHOICES.items():
            if hasattr(self, name) and getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        if self.max_length < 16:
            raise UsageError(
                f"max-length는 16 이상이어야 합니다: {self.max_length}",
                f"max-length must be at least 16, got {self.max_length}",
            )
        if self.lora_r < 1 or not 0 <= self.lora_dropout < 1:
            raise UsageError(
                f"lora_r은 1 이상, lora_dropout은 0 이상 1 미만이어야 합니다: {self.lora_r}, {self.lora_dropout}",
                f"lora_r must be at least 1 and lora_dropout in [0, 1), got {self.lora_r} and {self.lora_dropout}",
            )
        if self.freeze or self.layer_decay != 1.0:
            raise UsageError(
                "freeze와 layer_decay는 인코더의 설정입니다. 디코더는 어댑터만 학습합니다.",
                "freeze and layer_decay are settings of encoders; a decoder learns adapters only",
            )

    @classmethod
    def of(cls, base: str, options: Mapping[str, Any]) -> Self:
        """Settings from options by name.

        Raises:
            UsageError: an option that does not exist, or a value that does not fit.
        """
        known = {entry.name for entry in dataclasses.fields(cls)} - {"base"}
        for name in options:
            if name not in known:
                raise unknown(say("설정", "setting"), name, sorted(known))
        return cls(base=base, **options)

    @property
    def adapted(self) -> bool:
        """Whether adapters are learnt."""
        return True

    @property
    def lora(self) -> LoraSettings:
        """The adapters' settings."""
        from maeum.hf.causal import LoraSettings

        names = tuple(word.strip() for word in self.lora_targets.split(",") if word.strip())
        return LoraSettings(
            r=self.lora_r,
            alpha=self.lora_alpha,
            dropout=self.lora_dropout,
            targets="auto" if names == ("auto",) else names,
        )


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(PromptedConfig):
    """Everything that decides a language model that answers with label words, beside the data and the seed."""

    words: Mapping[str, str] = field(default_factory=dict)
    """Label key → the word the model answers with; others come from the template, else they are the label's name."""
    learn: Learn = "lora"
    """``lora``: train adapters. ``none``: ask the model as it is (zero-shot, or few-shot with ``shots``)."""
    shots: int = 0
    """Training examples shown in each prompt, the most similar ones; only where nothing is learnt."""
    form: Form = "label"
    """``label``: one question, the answer is a label's word (a text with two labels is two examples). ``yesno``: one
    question per label. ``list``: the answer lists all labels."""
    unlabelled: Unlabelled = "none"
    """What a text without any label teaches: the template's word for it, or nothing."""
    scores: Scores = "auto"
    """``vocab``: the label word's probability among all tokens. ``labels``: among the label words alone, so that they
    sum to 1. auto: vocab for multilabel tasks that are learnt, else labels: a model that was taught nothing gives other
    tokens nearly everything."""
    length: Length = "sum"
    """Words of several tokens: ``sum`` takes the probability of the whole word, which favours short words; ``mean`` its
    geometric mean per token, which favours long words with a predictable end."""
    contextual_calibration: bool = False
    """Divide by the probabilities for a text without content (Zhao et al. 2021); needs ``scores=labels``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.words, Mapping):
            raise UsageError(
                f'words는 라벨 = "낱말"의 표입니다: --config 파일의 [decoder.words]에 적으세요. 지금 값: {self.words!r}',
                f'words is a table of label = "word"; put it under [decoder.words] of a --config file, got {self.words!r}',
            )
        if self.shots < 0:
            raise UsageError(f"shots는 0 이상입니다: {self.shots}", f"shots must be 0 or more, got {self.shots}")
        if self.shots and self.learn != "none":
            raise UsageError(
                "shots는 학습하지 않을 때만 씁니다: --set learn=none을 함께 주세요.",
                "shots are for a model that is not trained: give --set learn=none as well",
            )
        if self.form != "label" and (self.shots or self.contextual_calibration):
            raise UsageError(
                "shots와 contextual_calibration은 form=label에서만 됩니다.",
                "shots and contextual_calibration need form=label",
            )
        if self.contextual_calibration and self.scores == "vocab":
            raise UsageError(
                "contextual_calibration은 scores=labels에서만 됩니다.", "contextual_calibration needs scores=labels"
            )

    @property
    def adapted(self) -> bool:
        """Whether adapters are learnt."""
        return self.learn == "lora"

    def scores_for(self, kind: Kind) -> Literal["vocab", "labels"]:
        """``scores`` with its default filled in."""
        if self.contextual_calibration:
            return "labels"
        if self.scores == "auto":
            return "labels" if kind == "multiclass" or self.learn == "none" else "vocab"
        return self.scores


@dataclass(frozen=True, kw_only=True)
class DecoderClsConfig(PromptedConfig):
    """Everything that decides a language model with a classification head, beside the data and the seed."""

    dropout: float = 0.1
    """Dropout before the head."""
    loss: str | None = None
    """bce, focal, asl, asl-seed001 (multilabel); ce, focal, ordinal (multiclass)."""
    label_smoothing: float = 0.0
    pos_weight: Literal["none", "balanced"] = "none"
    class_weight: Literal["none", "balanced"] = "none"

    def loss_config(self, kind: Kind) -> LossConfig:
        """The loss these settings ask for."""
        from maeum.models.losses import LossConfig, default_loss

        return LossConfig(
            name=self.loss or default_loss(kind).name,
            label_smoothing=self.label_smoothing,
            pos_weight=self.pos_weight,
            class_weight=self.class_weight,
        )
