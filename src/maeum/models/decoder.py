"""A language model that answers with label words: ``--model decoder:PATH_OR_HUB_ID``.

A prompt asks what a text shows (``prompts.py``), the answer is a label's word (``verbalizers.py``), and the probability
of that word as the next token is the label's score (``label_scoring.py``). Trained with low-rank adapters on the answers
alone, or asked as it is, with or without examples in the prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum._progress import Line
from maeum.data import Input
from maeum.hf import training
from maeum.models.answers import Pair, pairs
from maeum.models.base import Labels, Proba, check_inputs
from maeum.models.decoder_config import DecoderConfig
from maeum.models.encoder import quick_metrics
from maeum.models.few_shot import Pool, Shot
from maeum.models.label_lists import list_probabilities
from maeum.models.label_scoring import calibrated, label_logprobs, proba_from
from maeum.models.prompt_tokens import Prompt
from maeum.models.prompted import PromptedClassifier, not_fitted, token_budget
from maeum.models.prompting import Weights
from maeum.task import Task

if TYPE_CHECKING:
    from maeum.models._prompted_nets import AnswerModel

Floats = NDArray[np.float64]

MUTE = 0.05
"""Below this share of the next token's probability the label words are lost among all others."""
CONTENT_FREE = ("N/A", "[MASK]", "…")
"""Texts without content, for contextual calibration: Zhao et al. (2021) average over such strings."""


class DecoderClassifier(PromptedClassifier[DecoderConfig]):
    """A language model asked for label words; with ``learn=none`` as it is, with or without examples."""

    kind = "decoder"
    settings = DecoderConfig

    def __init__(self, task: Task, config: DecoderConfig, *, seed: int = 42) -> None:
        super().__init__(task, config, seed=seed)
        self._pool: Pool | None = None
        self._content_free: Floats | None = None
        self._weights: Weights | None = None

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
        check_inputs(inputs)
        config = self.config
        if held is not None:
            self._check(held[0])
        if config.adapted:
            self._train(self._pairs(inputs, y, progress), held, work, name, progress)
        else:
            if config.shots:
                shots = zip(inputs, y, strict=True)
                self._pool = Pool(tuple(Shot(item, self.task.decode(row)) for item, row in shots))
            self._check(inputs, progress)
            self._weights = Weights(self.prompting.load_base())
            progress(self.prompting.describe(self._weights.model))
        if config.contextual_calibration:
            self._content_free = self._ask_content_free()
        self._warn_if_silent(inputs, progress)
        return self

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k); for what they are, see ``DecoderConfig.scores`` and ``form``."""
        check_inputs(inputs)
        if self._weights is None:
            raise not_fitted()
        if not inputs:
            return np.zeros((0, len(self.task)), np.float32)
        return self._probabilities(self._logprobs(inputs))

    def save(self, folder: Path) -> None:
        """Adapters, prompt, words and examples; the base is named, not copied (unless ``merge``)."""
        if self._weights is None:
            raise not_fitted()
        self._weights.save(self.prompting, folder)
        if self._pool is not None:
            self._pool.save(folder / "examples.jsonl")
        self._write(folder, content_free=None if self._content_free is None else self._content_free.tolist())

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote; the base is looked for where it was, and must be the one trained on."""
        self, about = cls._read(folder, task)
        self._pool = Pool.load(folder / "examples.jsonl") if (folder / "examples.jsonl").exists() else None
        content_free = about["content_free"]
        self._content_free = None if content_free is None else np.asarray(content_free, np.float64)
        self._weights = Weights.load(self.prompting, folder)
        return self

    def _check(self, inputs: Sequence[Input], progress: Line = lambda _: None) -> None:
        """Make the prompts that these rows will get: what cannot be asked is refused before any base is loaded."""
        label = next(iter(self.prompting.words.values())) if self.config.form == "yesno" else None
        self.prompting.encode(inputs, label=label, progress=progress)

    def _pairs(self, inputs: Sequence[Input], y: Labels, progress: Line) -> list[Pair]:
        asking, config = self.prompting, self.config
        found = pairs(
            config.form,
            inputs,
            y,
            self.task,
            asking.yesno if config.form == "yesno" else asking.verbalizer,
            asking.tokens,
            "none" if asking.teaches_none else "skip",
            words=asking.words,
            choices=asking.choices,
            lists=asking.lists if config.form == "list" else None,
        )
        asking.tell_cut({pair.row for pair in found if pair.prompt.cut}, progress)
        return found

    def _train(
        self,
        rows: list[Pair],
        held: tuple[Sequence[Input], Labels] | None,
        work: Path | None,
        name: str,
        progress: Line,
    ) -> None:
        import torch

        from maeum.models._prompted_nets import AnswerModel, answer_loss, collate_pairs

        config, asking = self.config, self.prompting
        width = max(len(pair.answer) for pair in rows)
        torch.manual_seed(self.seed)
        model: AnswerModel = AnswerModel(asking.load_base(adapters_seed=self.seed), width)
        self._weights = Weights(model.backbone)
        progress(f"{asking.describe(model.backbone)}, {say(f'예시 {len(rows):,}개', f'{len(rows):,} examples')}")
        watch = None if held is None else functools.partial(self._judge, *held)
        job = training.Job(
            model=model,
            rows=rows,
            lengths=[len(pair.prompt.ids) + len(pair.answer) for pair in rows],
            collate=functools.partial(collate_pairs, pad_id=asking.pad_id, width=width),
            loss=answer_loss,
            groups=model.parameter_groups(
                learning_rate=self._learning_rate,
                head_learning_rate=None,
                weight_decay=config.weight_decay,
            ),
            evaluate=watch,
            per_token=True,
            name=name,
        )
        self._run(job, work=work, progress=progress)

    def _logprobs(self, inputs: Sequence[Input]) -> Floats:
        """(n, c) log-probability of each word for ``form=label``, (n, k, 2) of yes and no, (n, k) for lists."""
        asking, config = self.prompting, self.config
        if config.form == "yesno":
            return np.stack(
                [self._score(asking.encode(inputs, label=word), asking.yesno.ids) for word in asking.words.values()], 1
            )
        if config.form == "list":
            return list_probabilities([prompt.ids for prompt in asking.encode(inputs)], asking.lists, self._score_ids)
        return self._score(self._prompts(inputs), asking.verbalizer.ids)

    def _warn_if_silent(self, inputs: Sequence[Input], progress: Line) -> None:
        """Say so where the model hardly ever answers with a label word: its scores then rank noise."""
        if self.config.form == "list" or not inputs:
            return
        logp = self._logprobs(inputs[:: max(1, len(inputs) // 32)][:32])
        share = float(np.exp(logp).sum(-1).mean())
        if share < MUTE:
            progress(
                say(
                    f"주의: 라벨의 낱말을 다 합쳐도 확률이 {share:.1%}뿐입니다. 이 모델이 프롬프트를 알아듣지 못하거나 낱말을 거의 모릅니다. "
                    "다른 template이나 낱말, 더 높은 학습률을 써 보세요.",
                    f"note: all label words together have a probability of only {share:.1%}: the model does not follow the "
                    "prompt or hardly knows the words; try another template, other words or a higher learning rate",
                )
            )

    def _prompts(self, inputs: Sequence[Input]) -> list[Prompt]:
        pool, asking = self._pool, self.prompting
        if pool is None:
            return asking.encode(inputs)
        return [
            asking.encode_with(
                item, [asking.worked(shot.input, shot.labels) for shot in pool.choose(item, self.config.shots)]
            )
            for item in inputs
        ]

    def _score(self, prompts: Sequence[Prompt], answers: Sequence[tuple[int, ...]]) -> Floats:
        return self._score_ids([prompt.ids for prompt in prompts], answers)

    def _score_ids(self, prompts: Sequence[tuple[int, ...]], answers: Sequence[tuple[int, ...]]) -> Floats:
        assert self._weights is not None
        model = self._weights.ready()
        budget = token_budget(next(model.parameters()).device.type)
        return label_logprobs(model, prompts, answers, pad_id=self.prompting.pad_id, token_budget=budget)

    def _probabilities(self, logp: Floats) -> Proba:
        k = len(self.task)
        if self.config.form == "list":
            proba = np.exp(logp)
        elif self.config.form == "yesno":
            odds = logp[:, :, 0] - logp[:, :, 1]
            proba = 1 / (1 + np.exp(-odds))
        else:
            lengths = np.array([len(ids) for ids in self.prompting.verbalizer.ids])
            how, length = self.config.scores_for(self.task.kind), self.config.length
            if self._content_free is not None:
                # lengths first: what is calibrated must be what was measured for texts without content
                per = lengths if length == "mean" else 1
                logp, length = calibrated(logp / per, self._content_free / per), "sum"
            proba = proba_from(logp, how, length, lengths.tolist())[:, :k].astype(np.float64)
        if self.task.kind == "multiclass":
            proba = proba / np.maximum(proba.sum(1, keepdims=True), 1e-300)
        result: Proba = np.clip(proba, 0, 1).astype(np.float32)
        return result

    def _ask_content_free(self) -> Floats:
        """(c,) log of the mean probability of each word for texts without content."""
        inputs = [self.prompting.content_free(text) for text in CONTENT_FREE]
        logp = self._score(self._prompts(inputs), self.prompting.verbalizer.ids)
        mean: Floats = np.log(np.exp(logp).mean(0))
        return mean

    def _judge(self, inputs: Sequence[Input], y: Labels) -> dict[str, float]:
        logp = self._logprobs(inputs)
        return {"loss": self._loss(logp, y)} | quick_metrics(self.task, y, self._probabilities(logp))

    def _loss(self, logp: Floats, y: Labels) -> float:
        """Mean negative log-likelihood of the right answers of held-out rows."""
        on = y.astype(bool)
        if self.config.form == "yesno":
            right = np.where(on, logp[:, :, 0], logp[:, :, 1])
            return float(-right.mean())
        if self.config.form == "list":
            inside = np.clip(np.exp(logp), 1e-6, 1 - 1e-6)
            return float(-np.where(on, np.log(inside), np.log1p(-inside)).mean())
        right = logp[:, : y.shape[1]][on]
        if logp.shape[1] > y.shape[1]:
            right = np.concatenate([right, logp[~on.any(1), -1]])
        return float(-right.mean()) if len(right) else 0.0
