"""The model on the rows: the head alone, the whole model, and what held-out rows say before and after."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maeum._files import read_json
from maeum._lang import say
from maeum._progress import Line
from maeum.hf import training
from maeum.hf.files import pooling_of
from maeum.hf.frame import Frame
from maeum.hf.training import Log
from maeum.models.batching import by_token_budget
from maeum.models.encoder import CPU_TOKENS, GPU_TOKENS
from maeum.posttraining.corpus import Corpus, held_out
from maeum.posttraining.masking import HELD_PASS, Batches, Masking, Passes
from maeum.posttraining.settings import PosttrainSettings
from maeum.posttraining.work import Work

if TYPE_CHECKING:
    from maeum.hf.masked_lm import MaskedLM

HEAD_STEPS = (200, 1000)
"""Fewest and most steps that a new head learns alone by default."""


class Learning:
    """The model on the tokenised rows."""

    def __init__(
        self,
        base: str,
        settings: PosttrainSettings,
        work: Work,
        progress: Line,
        tokenizer: Any,
        frame: Frame,
        corpus: Corpus,
    ) -> None:
        import torch

        from maeum.hf import masked_lm

        assert frame.mask_id is not None
        self.settings = settings
        self.work = work
        self.progress = progress
        torch.manual_seed(settings.seed)
        self.model: MaskedLM
        self.model, self.new_head = masked_lm.load(base)
        size = min(len(tokenizer), self.model.backbone.get_input_embeddings().weight.shape[0])
        special = set(tokenizer.all_special_ids)
        ordinary = np.array([index for index in range(size) if index not in special], np.int64)
        s = settings
        masking = Masking(s.mask, s.whole_word, frame.mask_id, ordinary, s.seed)
        self.batches = Batches(corpus, masking, frame)
        self.lengths = corpus.lengths + frame.overhead(pair=False)
        self.held, self.rows = held_out(corpus.text, s.valid, s.seed)
        self.pooling = pooling_of(base) or "mean"
        self.notes: list[str] = []
        if self.new_head:
            self.model.begin_head(corpus.counts(size))
            self.notes.append(
                say(
                    "바탕 모델에 언어 모델 머리가 없어 새로 만들었습니다. 학습 전 혼란도는 배우지 않은 머리의 것입니다.",
                    "the base has no language model head, so it is new: perplexity before training is that of an untrained head",
                )
            )
        if not self.model.sparse:
            self.notes.append(
                say(
                    f"{type(self.model.backbone).__name__}은(는) 모든 자리의 로짓을 계산합니다(조금 느림).",
                    f"{type(self.model.backbone).__name__} computes the logits of all positions (somewhat slower)",
                )
            )
        if not len(self.held):
            self.notes.append(
                say(
                    "떼어 둔 글이 없어 혼란도를 재지 않았습니다.",
                    "no texts were held out, so no perplexity was measured",
                )
            )

    def __call__(self) -> dict[str, Any]:
        """Train; what happened, for ``posttrain.json``."""
        s = self.settings
        self.model.to(training.pick_device(s.device))
        for note in self.notes:
            self.progress(note)
        steps = s.max_steps or max(1, math.ceil(len(self.rows) * s.epochs / s.batch_size))
        alone = s.head_warmup_steps
        if alone is None:
            alone = min(max(HEAD_STEPS[0], steps // 10), HEAD_STEPS[1]) if self.new_head else 0
        if len(self.held):
            self.progress(say("학습 전 혼란도", "perplexity before training"))
        before = self.work.stage("before", self._begin)
        head_log = self._learn_head(alone) if alone else []
        head = self.work.stage("head", self.judge) if alone else None
        log, rate = self._learn(steps)
        after = self.judge()
        return {
            "new_head": self.new_head,
            "sparse_logits": self.model.sparse,
            "notes": self.notes,
            "steps": steps,
            "head_steps": alone,
            "held_out_rows": len(self.held),
            "train_rows": len(self.rows),
            "judged": {"before": before, "head": head, "after": after},
            "vectors": self._drift(),
            "tokens_per_second": rate,
            "log": {"head": head_log, "model": log},
        }

    def _begin(self) -> dict[str, float] | None:
        if len(self.held):
            np.save(self.work.folder / "vectors.npy", self._vectors())
        return self.judge()

    def _learn_head(self, steps: int) -> Log:
        from safetensors.torch import load_file, save_file

        path = self.work.folder / "head.safetensors"
        if path.exists():
            self.model.load_state_dict(load_file(path), strict=False)
            return list(self.work.stages.get("head_log", []))
        self.progress(say(f"머리만 학습: {steps:,}걸음", f"training the head alone: {steps:,} steps"))
        self.model.freeze(True)
        groups = self.model.groups(self.settings.head_learning_rate, self.settings.weight_decay)
        # another seed: the head should not see the very batches that the model begins with
        job = self._job(groups, steps, say("머리", "head"))
        loop = self.settings.loop(steps, gradient_checkpointing=False)
        log = training.run(
            job, loop, seed=self.settings.seed + 1, work=self.work.folder / "head", progress=self.progress
        )
        self.model.freeze(False)
        self.work.stage("head_log", lambda: log)
        temporary = path.with_suffix(".tmp")
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in self.model.head_parameters().items()}, temporary
        )
        temporary.replace(path)
        return log

    def _learn(self, steps: int) -> tuple[Log, float]:
        import torch

        s, folder = self.settings, self.work.folder / "model"
        self.model.freeze(False)
        self.progress(say(f"학습: {steps:,}걸음", f"training: {steps:,} steps"))
        last = training.last_checkpoint(folder)
        done = int(read_json(last / "trainer_state.json")["global_step"]) if last else 0
        a_pass = math.ceil(len(self.rows) / s.batch_size)
        watch = len(self.held) > 0 and steps > a_pass
        job = self._job(self.model.groups(s.learning_rate, s.weight_decay), steps, say("학습", "training"), watch=watch)
        loop = s.loop(steps, eval_steps=a_pass if watch else None)
        # dropout must not depend on whether the stages before ran in this process
        torch.manual_seed(s.seed)
        start = time.perf_counter()
        log = training.run(job, loop, seed=s.seed, work=folder, progress=self.progress)
        # to the loop all passes are one
        log = [{**entry, "epoch": round(entry["epoch"] * self._passes(steps), 4)} for entry in log]
        seconds = time.perf_counter() - start
        tokens = (steps - done) * min(s.batch_size, len(self.rows)) * float(self.lengths[self.rows].mean())
        return log, round(tokens / seconds, 1)

    def _job(self, groups: list[dict[str, Any]], steps: int, name: str, *, watch: bool = False) -> training.Job:
        import torch

        def loss(outputs: Any, labels: Any) -> Any:
            return torch.nn.functional.cross_entropy(outputs["logits"], labels[labels != -100], reduction="none")

        passes = self._passes(steps)
        return training.Job(
            model=self.model,
            rows=Passes(self.rows, passes),
            lengths=np.tile(self.lengths[self.rows], passes).tolist(),
            collate=self.batches,
            loss=loss,
            groups=groups,
            evaluate=self._watched if watch else None,
            per_token=True,
            name=name,
        )

    def _passes(self, steps: int) -> int:
        """Whole passes that so many steps need."""
        return max(1, math.ceil(steps * self.settings.batch_size / len(self.rows)))

    def _watched(self) -> dict[str, float]:
        return self.judge() or {}

    def judge(self) -> dict[str, float] | None:
        """Loss, perplexity and accuracy on the held-out rows, masked the same way every time."""
        import torch

        if not len(self.held):
            return None
        self.model.eval()
        total, right, count = 0.0, 0, 0
        with torch.inference_mode():
            for rows in self._held_batches():
                batch = self._moved(self.batches([(HELD_PASS, row) for row in rows]))
                labels = batch.pop("labels")
                labels = labels[labels != -100]
                logits = self.model(**batch)["logits"]
                total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
                right += int((logits.argmax(-1) == labels).sum())
                count += len(labels)
        loss = total / count
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": right / count, "guessed": count}

    def _vectors(self) -> NDArray[np.float32]:
        """(held-out rows, hidden) unit sentence vectors."""
        import torch

        self.model.eval()
        out: NDArray[np.float32] | None = None
        place = {int(row): number for number, row in enumerate(self.held)}
        with torch.inference_mode():
            for rows in self._held_batches():
                batch = self._moved(self.batches.plain(rows))
                found = self.model.vectors(**batch, pooling=self.pooling).float().cpu().numpy()
                if out is None:
                    out = np.zeros((len(self.held), found.shape[1]), np.float32)
                out[[place[row] for row in rows]] = found
        assert out is not None
        lengths: NDArray[np.float32] = np.linalg.norm(out, axis=1, keepdims=True).clip(1e-12)
        return out / lengths

    def _drift(self) -> dict[str, float] | None:
        """How far sentence vectors moved: mean cosine with those of the base, and the correlation between the cosines
        of all pairs of texts before and after, which a shift common to all texts does not lower.
        """
        if len(self.held) < 3:
            return None if not len(self.held) else {"cosine": 1.0, "similarity_correlation": 1.0}
        old, new = np.load(self.work.folder / "vectors.npy"), self._vectors()
        pairs = np.triu_indices(min(len(old), 2000), 1)
        similar = [(v[:2000] @ v[:2000].T)[pairs] for v in (old, new)]
        return {
            "cosine": float((old * new).sum(1).mean()),
            "similarity_correlation": float(np.corrcoef(similar[0], similar[1])[0, 1]),
        }

    def _held_batches(self) -> Iterator[list[int]]:
        device = next(self.model.parameters()).device
        budget = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
        for places in by_token_budget(self.lengths[self.held].tolist(), budget):
            yield [int(self.held[place]) for place in places]

    def _moved(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch.pop("rows", None)
        device = next(self.model.parameters()).device
        return {name: tensor.to(device) for name, tensor in batch.items()}
