"""Everything between an ``Input`` and a language model: base, tokenizer, prompt, words. What both decoder kinds share."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from maeum._files import canonical_json
from maeum._lang import say
from maeum._progress import Line
from maeum.data import Input, Target
from maeum.errors import UsageError
from maeum.hf import adapters, causal
from maeum.hf.loading import save_pretrained
from maeum.hf.training import Optimizer, pick_device
from maeum.models.decoder_config import DecoderConfig, PromptedConfig
from maeum.models.label_lists import ListWords
from maeum.models.prompt_tokens import Prompt, PromptTokens, Worked
from maeum.models.prompts import Template, load_template, template_for
from maeum.models.verbalizers import Verbalizer, answer_ids
from maeum.task import Task

CPU_TOKENS, GPU_TOKENS = 4096, 16384
"""Tokens of a prediction batch, padding included."""
ConfigT = TypeVar("ConfigT", bound=PromptedConfig)
LEARNING_RATE = 2e-4
"""Adapters take larger steps than whole models; as seed 000 and the QLoRA paper do for most sizes."""
NONE = ""
"""Key of the word for "no label" among those of the labels."""


@dataclass(frozen=True)
class Prompting:
    """The question put to a language model, and how its answers are read."""

    task: Task
    config: PromptedConfig
    template: Template
    tokenizer: Any
    tokens: PromptTokens
    words: Mapping[str, str]
    """Label key → word."""
    base: Mapping[str, Any]
    """What identifies the base (``hf.causal.base_fingerprint``)."""
    source: str
    """Where the base is now: folder or hub id."""

    @classmethod
    def of(cls, task: Task, config: PromptedConfig) -> Self:
        """For a new model. Prompt and words are checked against the tokenizer here, before any long work.

        Raises:
            UsageError: no such template or decoder; words that split into each other, collide or are unknown to the tokenizer.
        """
        causal.check_decoder(config.base, revision=config.revision)
        template = load_template(config.template if config.template != "auto" else template_for(task))
        words = _words(task, template, getattr(config, "words", {}))
        base = causal.base_fingerprint(config.base, config.revision)
        return cls._made(task, config, template, words, base, config.base)

    @classmethod
    def saved(cls, task: Task, config: PromptedConfig, about: Mapping[str, Any], folder: Path) -> Self:
        """For a saved model.

        Raises:
            UsageError: the base is not where it was.
            FormatError: the base is another one now.
        """
        base = about["base"]
        source = str(folder / "hf") if config.merge else causal.find_base(base)
        if not config.merge:
            causal.check_base(base, source)
        return cls._made(task, config, Template.from_dict(about["template"]), about["words"], base, source)

    @classmethod
    def _made(
        cls,
        task: Task,
        config: PromptedConfig,
        template: Template,
        words: Mapping[str, str],
        base: Mapping[str, Any],
        source: str,
    ) -> Self:
        tokenizer = causal.load_decoder_tokenizer(source, revision=base.get("revision"))
        limit = min(config.max_length, causal.context_length(source, revision=base.get("revision")))
        made = cls(task, config, template, tokenizer, PromptTokens(tokenizer, template, limit), words, base, source)
        return dataclasses.replace(made, tokens=dataclasses.replace(made.tokens, reserve=made.longest_answer()))

    def longest_answer(self) -> int:
        """Tokens of the longest answer that the words allow; finds out too whether the tokenizer can tell them apart."""
        if not isinstance(self.config, DecoderConfig):
            return 0
        if self.config.form == "list":
            return len(self.lists.answer(range(len(self.task)))) + len(self.lists.none)
        return max(len(ids) for ids in (self.yesno if self.config.form == "yesno" else self.verbalizer).ids)

    def to_dict(self) -> dict[str, Any]:
        """What ``saved`` needs."""
        return {"template": self.template.to_dict(), "words": dict(self.words), "base": dict(self.base)}

    @property
    def pad_id(self) -> int:
        """Fills the left of shorter prompts; masked, so that any token will do."""
        return int(self.tokenizer.pad_token_id)

    @functools.cached_property
    def verbalizer(self) -> Verbalizer:
        """The labels' words, and last the word for none of them where texts without labels teach it."""
        words = dict(self.words)
        if self.teaches_none:
            words[NONE] = self.template.none
        prompt = self.tokens.reference(choices=self.choices)
        return Verbalizer.of(tuple(words), words, self.tokenizer, prompt, self.template)

    @functools.cached_property
    def yesno(self) -> Verbalizer:
        """The words yes and no."""
        words = {"yes": self.template.yes, "no": self.template.no}
        prompt = self.tokens.reference(label=next(iter(self.words.values())), choices=self.choices)
        return Verbalizer.of(tuple(words), words, self.tokenizer, prompt, self.template)

    @functools.cached_property
    def lists(self) -> ListWords:
        """The pieces of answers that list labels."""
        first = self.verbalizer
        prompt = self.tokens.reference(choices=self.choices) + self.template.answer_text(first.words[0])
        later = tuple(answer_ids(self.tokenizer, prompt, f", {word}", word) for word in self.words.values())
        end = self.tokenizer.eos_token_id
        closing = (int(end),) if end is not None else answer_ids(self.tokenizer, prompt, "\n")
        return ListWords(first.ids[: len(self.task)], later, first.ids[-1] if self.teaches_none else (), closing)

    @property
    def teaches_none(self) -> bool:
        """Whether there is an answer for texts without any label."""
        return self.task.kind != "multiclass" and getattr(self.config, "unlabelled", "skip") == "none"

    @property
    def choices(self) -> tuple[str, ...]:
        """What a prompt that names the choices names: in alphabetical order, lest the order of labels be an answer."""
        return tuple(sorted(self.words.values()))

    def encode(
        self,
        inputs: Sequence[Input],
        *,
        label: str | None = None,
        shots: Sequence[Sequence[Worked]] = (),
        progress: Line = lambda _: None,
    ) -> list[Prompt]:
        """Prompts of inputs; says once how many texts were too long."""
        prompts = self.tokens.encode(inputs, label=label, choices=self.choices, shots=shots)
        self.tell_cut({row for row, prompt in enumerate(prompts) if prompt.cut}, progress)
        return prompts

    def encode_with(self, item: Input, shots: Sequence[Sequence[Worked]]) -> Prompt:
        """The prompt of an input after worked examples, each with one or several labels; the least similar, which stand
        first, are left out where all do not fit.
        """
        for first in range(len(shots) + 1):
            worked = [example for shot in shots[first:] for example in shot]
            try:
                return self.encode([item], shots=[worked])[0]
            except UsageError:
                if first == len(shots):
                    raise
        raise AssertionError  # the loop ends by returning or raising

    def tell_cut(self, cut: Collection[int], progress: Line) -> None:
        """Say which rows, counted from 0 here and from 1 there, lost a part of their text."""
        if not cut:
            return
        rows = ", ".join(str(row + 1) for row in sorted(cut)[:5]) + (", …" if len(cut) > 5 else "")
        limit = self.tokens.max_length
        progress(
            say(
                f"글 {len(cut)}개는 {limit}토큰을 넘어 잘라서 씁니다(행 {rows}). --max-length로 늘릴 수 있습니다.",
                f"{len(cut)} texts are longer than {limit} tokens and are cut (rows {rows}); --max-length allows more",
            )
        )

    def content_free(self, text: str) -> Input:
        """An input that says nothing, with a target where the task has one."""
        return Input(text, Target(text, 0, len(text)) if self.task.targeted else None)

    def worked(self, item: Input, keys: Sequence[str]) -> list[Worked]:
        """A labelled input as examples for a prompt: one per label, as in training."""
        if not keys and self.teaches_none:
            return [(item, self.template.none)]
        return [(item, self.words[key]) for key in keys]

    def load_base(self, *, adapters_seed: int | None = None) -> Any:
        """The causal language model, with new adapters if a seed for them is given."""
        model = causal.load_causal(self.source, **self.how())
        return model if adapters_seed is None else adapters.add_lora(model, self.config.lora, seed=adapters_seed)

    def load_decoder(self, *, adapters_seed: int | None = None) -> Any:
        """The same without its language-model head."""
        model = causal.load_decoder(self.source, **self.how())
        return model if adapters_seed is None else adapters.add_lora(model, self.config.lora, seed=adapters_seed)

    def describe(self, model: Any) -> str:
        """One line: prompt, words, how the base is held, what learns."""
        parts = [say(f"프롬프트 {self.template.name}", f"prompt {self.template.name}")]
        if isinstance(self.config, DecoderConfig):
            asked = self.yesno if self.config.form == "yesno" else self.verbalizer
            split = [word for word, ids in zip(asked.words, asked.ids, strict=True) if len(ids) > 1]
            shown = ", ".join(split[:5]) + (", …" if len(split) > 5 else "")
            parts.append(
                say(f"여러 토큰인 낱말 {len(split)}개({shown})", f"{len(split)} words of several tokens ({shown})")
                if split
                else say(f"낱말 {len(asked.words)}개 모두 한 토큰", f"all {len(asked.words)} words one token")
            )
        device = next(model.parameters()).device
        parts.append(f"{device.type}, {resolved_quantize(self.config)}".removesuffix(", none"))
        learnt, whole = causal.parameter_counts(model)
        parts.append(say(f"매개변수 {whole:,} 가운데 {learnt:,} 학습", f"{learnt:,} of {whole:,} parameters learn"))
        return ", ".join(parts)

    def how(self) -> dict[str, Any]:
        """Where and in what the base is loaded."""
        device = pick_device(self.config.device)
        return {
            "revision": self.base.get("revision"),
            "quantize": resolved_quantize(self.config),
            "device": device,
        }


def settled(config: ConfigT) -> ConfigT:
    """The settings with ``quantize`` decided: a model must not change its precision with the machine that opens it."""
    return dataclasses.replace(config, quantize=resolved_quantize(config))


def opened(config: ConfigT) -> ConfigT:
    """Saved settings for this machine: the device is the reader's choice, 4 bits stay 4 bits.

    Raises:
        UsageError: they cannot be had here.
    """
    config = dataclasses.replace(config, device="auto")
    causal.check_quantize(resolved_quantize(config), os.environ.get("MAEUM_DEVICE", "auto"))
    return config


def check_quantize(config: PromptedConfig) -> None:
    """Refuse 4 bits where they cannot be had.

    Raises:
        UsageError: no CUDA.
        MissingExtra: no bitsandbytes.
    """
    quantize = resolved_quantize(config)
    causal.check_quantize(quantize, config.device)
    if config.merge and quantize == "nf4":
        raise UsageError(
            "4비트(nf4) 바탕에는 어댑터를 합칠 수 없습니다. merge를 빼거나 quantize=none으로 하세요.",
            "adapters cannot be merged into a base of 4 bits (nf4); leave out merge, or use quantize=none",
        )


def resolved_quantize(config: PromptedConfig) -> Literal["none", "nf4"]:
    """``quantize`` with its default filled in."""
    if config.quantize != "auto":
        return config.quantize
    on_gpu = pick_device(config.device).type == "cuda"
    return "nf4" if on_gpu and importlib.util.find_spec("bitsandbytes") else "none"


def optimizer(config: PromptedConfig) -> Optimizer:
    """``optimizer`` with its default filled in."""
    if config.optimizer != "auto":
        return config.optimizer
    return (
        "paged-adamw" if resolved_quantize(config) == "nf4" and pick_device(config.device).type == "cuda" else "adamw"
    )


@dataclass
class Weights:
    """A language model and which of the adapters on it are meant; saved models of one base share it."""

    model: Any
    name: str = adapters.FIRST

    def ready(self) -> Any:
        """The model with the right adapters active, in evaluation mode."""
        if hasattr(self.model, "peft_config"):
            adapters.activate(self.model, self.name)
        return self.model.eval()

    def save(self, asking: Prompting, folder: Path) -> None:
        """``adapter/``, or with ``merge`` the whole model as ``hf/``, which plain transformers opens."""
        adapted = hasattr(self.model, "peft_config")
        if asking.config.merge:
            self.model = adapters.merged(self.model) if adapted else self.model
            save_pretrained(self.model, asking.tokenizer, folder / "hf")
        elif adapted:
            adapters.save_adapter(self.model, folder / "adapter", name=self.name)

    @classmethod
    def load(cls, asking: Prompting, folder: Path, *, head: bool = True) -> Self:
        """What ``save`` wrote, with its language-model head or without.

        The folds of a run, or the members of an ensemble, stand on one base: it is in memory once, with the adapters of
        all of them.
        """
        make = asking.load_base if head else asking.load_decoder
        if asking.config.merge:
            return cls(make())
        bare = not asking.config.adapted
        key = canonical_json([dict(asking.base), asking.source, str(asking.how()), head, bare])
        base = _shared.get(key)
        if bare:
            _shared[key] = model = make() if base is None else base
            return cls(model)
        name = f"a{len(base.peft_config)}" if base is not None else adapters.FIRST
        model = adapters.load_adapter(make() if base is None else base, folder / "adapter", name=name)
        _shared[key] = model
        return cls(model, name)


_shared: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
"""Bases in memory, for as long as some model stands on them."""


def _words(task: Task, template: Template, own: Mapping[str, str]) -> dict[str, str]:
    words = template.words_for(task)
    for key, word in own.items():
        words[task.resolve(key)] = str(word)
    empty = [key for key, word in words.items() if not word.strip()]
    if empty:
        raise UsageError(
            f"라벨 {', '.join(empty)}의 낱말이 비어 있습니다. [decoder.words]에 적어 주세요.",
            f"the word of label {', '.join(empty)} is empty; give one in [decoder.words]",
        )
    return words
