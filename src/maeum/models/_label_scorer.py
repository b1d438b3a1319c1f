"""The passes behind ``label_scoring``: what has to be run for a set of answers, batches, the lent cache."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch  # noqa: TID253 - this module is only imported once a language model is there to be asked
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253

from maeum.models.prompt_tokens import shared_prefix

Floats = NDArray[np.float64]
Ids = tuple[int, ...]
Side = Literal["left", "right"]

MIN_PREFIX = 4
"""A shared beginning shorter than this is not worth a pass of its own."""
BUSY = 8
"""A batch of one part in so many of the token budget keeps the machine busy already."""


@dataclass(frozen=True)
class Plan:
    """What has to be run and read for a set of answers."""

    first: Ids
    """First token of each answer: read after the prompt."""
    paths: tuple[tuple[Ids, tuple[tuple[int, int, int], ...]], ...]
    """Tokens to run after the prompt, and what to read there: (answer, tokens run before, token). Answers that begin
    alike read from the same path; the last token of an answer is only read, never run."""

    @property
    def longest(self) -> int:
        """Tokens of the longest path."""
        return max((len(path) for path, _ in self.paths), default=0)


def plan_of(answers: Sequence[Ids]) -> Plan:
    """The fewest tokens that have to be run for these answers."""
    inner = sorted({answer[:-1] for answer in answers if len(answer) > 1})
    paths = [
        path for number, path in enumerate(inner) if number + 1 == len(inner) or inner[number + 1][: len(path)] != path
    ]
    reads: dict[Ids, list[tuple[int, int, int]]] = {path: [] for path in paths}
    for column, answer in enumerate(answers):
        if len(answer) > 1:
            path = next(path for path in paths if path[: len(answer) - 1] == answer[:-1])
            reads[path] += [(column, place, answer[place]) for place in range(1, len(answer))]
    return Plan(tuple(answer[0] for answer in answers), tuple((path, tuple(read)) for path, read in reads.items()))


class Call:
    """A model, called with only those arguments that its ``forward`` knows."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.base = model.get_base_model() if hasattr(model, "get_base_model") else model
        names = inspect.signature(self.base.forward).parameters
        self.positions = "position_ids" in names
        self.keep = "logits_to_keep" in names
        self.device = next(model.parameters()).device

    def __call__(
        self, ids: Tensor, mask: Tensor, positions: Tensor, *, keep: int, cache: Any = None, use_cache: bool = False
    ) -> tuple[Tensor, Any]:
        """Logits (b, keep, V) of the last ``keep`` columns, and the cache."""
        more: dict[str, Any] = {}
        if self.positions:
            more["position_ids"] = positions
        if self.keep:
            more["logits_to_keep"] = keep
        if cache is not None:
            more["past_key_values"] = cache
        out = self.model(input_ids=ids, attention_mask=mask, use_cache=use_cache, **more)
        return out.logits[:, -keep:], getattr(out, "past_key_values", None)

    def cacheable(self, longest: int) -> bool:
        """Whether masked padding between and a copied cache change nothing for rows of up to ``longest`` columns."""
        config = self.base.config.get_text_config(decoder=True)
        if getattr(self.base, "_is_stateful", False):
            return False
        if config.model_type == "mpt":
            return False  # its distances count columns, padding included
        attention = {"full_attention", "sliding_attention", "chunked_attention"}
        if not set(getattr(config, "layer_types", None) or ()) <= attention:
            return False
        # a window counts columns, padding included: it must never bite
        windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size"))
        if any(isinstance(window, int) and window <= longest for window in windows):
            return False
        return not _stretches(config, longest)


def _stretches(config: Any, longest: int) -> bool:
    """Whether the positions of all tokens change once a text is longer than the model was trained for, and one is."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    # one set of parameters, or one for each kind of layer
    for each in (rope, *(value for value in rope.values() if isinstance(value, dict))):
        if each.get("rope_type", each.get("type")) in ("dynamic", "longrope"):
            trained = each.get("original_max_position_embeddings") or config.max_position_embeddings
            return bool(longest > trained)
    return False


class Scorer:
    """One call of ``label_logprobs``: the model, the answers, and how rows are padded."""

    def __init__(self, call: Call, plan: Plan, pad_id: int, side: Side) -> None:
        self.call = call
        self.plan = plan
        self.pad_id = pad_id
        self.side = side

    def run(self, prompts: Sequence[Ids], budget: int, prefix: int) -> Iterator[tuple[list[Ids], Floats]]:
        """Batches of prompts with their log-probabilities (b, k). Prompts are all different."""
        longest = max(len(prompt) for prompt in prompts)
        if not self.call.cacheable(longest + self.plan.longest):
            yield from self._whole(prompts, budget)
            return
        shared = self._shared(prompts, prefix)
        cache = None
        if shared:
            ids = self._tensor([prompts[0][:shared]])
            _, cache = self.call(ids, ids.new_ones(ids.shape), self._places(shared), keep=1, use_cache=True)
            if not _plain(cache, shared):
                yield from self._whole(prompts, budget)
                return
        for batch in _batches(prompts, self.plan.longest, budget, shared=shared):
            scores = self._batch(batch, shared, cache)
            if scores is None:
                # no cache to go on from: the rows once more, from their beginning
                yield from self._whole(batch, budget)
            else:
                yield batch, scores

    def _shared(self, prompts: Sequence[Ids], prefix: int) -> int:
        """Length of the beginning that is run once; every prompt keeps at least one token of its own."""
        if len(prompts) < 2 or prefix == 0:
            return 0
        shared = min(shared_prefix(prompts) if prefix < 0 else prefix, min(map(len, prompts)) - 1)
        return shared if shared >= MIN_PREFIX else 0

    def _batch(self, batch: list[Ids], shared: int, cache: Any) -> Floats | None:
        """(b, k) with one pass over the prompts, or nothing if the model's cache cannot be gone on from."""
        more = bool(self.plan.paths)
        ids, mask = self._padded([prompt[shared:] for prompt in batch])
        sizes = mask.sum(1)
        positions = (mask.cumsum(1) - 1).clamp(min=0) + shared
        if shared:
            mask = torch.cat([mask.new_ones(len(batch), shared), mask], 1)
            cache = _lent(cache, len(batch), keep=more)
        keep = 1 if self.side == "left" else int(ids.shape[1] - sizes.min()) + 1
        logits, cache = self.call(ids, mask, positions, keep=keep, cache=cache, use_cache=more or bool(shared))
        if more and not _plain(cache, mask.shape[1]):
            return None
        if self.side == "right":
            rows = torch.arange(len(batch), device=ids.device)
            logits = logits[rows, sizes - 1 - (ids.shape[1] - keep)][:, None]
        scores = np.zeros((len(batch), len(self.plan.first)))
        _add(scores, logits, [(column, 0, token) for column, token in enumerate(self.plan.first)])
        for path, reads in self.plan.paths:
            places = (sizes + shared)[:, None] + torch.arange(len(path), device=ids.device)
            longer = torch.cat([mask, mask.new_ones(len(batch), len(path))], 1)
            tokens = self._tensor([path]).expand(len(batch), -1)
            lent = _lent(cache, len(batch), keep=False)
            logits, _ = self.call(tokens, longer, places, keep=len(path), cache=lent, use_cache=True)
            _add(scores, logits, [(column, place - 1, token) for column, place, token in reads])
        return scores

    def _whole(self, prompts: Sequence[Ids], budget: int) -> Iterator[tuple[list[Ids], Floats]]:
        """Rows of equal length only, no padding, no cache: prompt and answer from the beginning for every path."""
        firsts = tuple((column, 0, token) for column, token in enumerate(self.plan.first))
        paths: list[tuple[Ids, tuple[tuple[int, int, int], ...]]] = [((), firsts), *self.plan.paths]
        for batch in _batches(prompts, self.plan.longest, budget, equal=True):
            scores = np.zeros((len(batch), len(self.plan.first)))
            for path, reads in paths:
                ids = self._tensor([prompt + path for prompt in batch])
                mask = ids.new_ones(ids.shape)
                logits, _ = self.call(ids, mask, self._places(ids.shape[1]), keep=len(path) + 1)
                _add(scores, logits, reads)
            yield batch, scores

    def _padded(self, rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
        """Ids and mask (b, L)."""
        width = max(len(row) for row in rows)
        ids = np.full((len(rows), width), self.pad_id, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for number, row in enumerate(rows):
            where = slice(width - len(row), None) if self.side == "left" else slice(len(row))
            ids[number, where] = row
            mask[number, where] = 1
        return self._tensor(ids), self._tensor(mask)

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.int64), device=self.call.device)

    def _places(self, length: int) -> Tensor:
        return self._tensor([range(length)])


def _add(scores: Floats, logits: Tensor, reads: Sequence[tuple[int, int, int]]) -> None:
    """Add to scores (b, k) the log-probabilities read from logits (b, t, V) as (column, place, token).

    Only the sums over the vocabulary and the logits that are read leave the model's precision.
    """
    total = logits.float().logsumexp(-1)
    columns, places, tokens = (list(each) for each in zip(*reads, strict=True))
    found = logits[:, places, tokens].double() - total[:, places].double()
    np.add.at(scores.T, columns, found.cpu().numpy().T)


def _plain(cache: Any, length: int) -> bool:
    """Whether a cache is nothing but keys and values (b, heads, length, width) of every layer."""
    layers = getattr(cache, "layers", ())
    return bool(layers) and all(
        type(layer).__name__ in ("DynamicLayer", "DynamicSlidingWindowLayer")
        and layer.keys is not None
        and layer.keys.shape[-2] == length
        for layer in layers
    )


def _lent(cache: Any, rows: int, *, keep: bool) -> Any:
    """A cache that begins like ``cache`` for ``rows`` rows and leaves it as it is.

    Args:
        keep: whether it is to hold the new keys and values too, for calls that go on from it. Otherwise those of a
            layer are gone once the layer is through, which is what keeps large batches small.
    """
    lent = copy.copy(cache)
    lent.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in lent.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
        if not keep:
            layer.update = functools.partial(_joined, layer.keys, layer.values)
    return lent


def _joined(keys: Tensor, values: Tensor, new_keys: Tensor, new_values: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """What a cache layer's ``update`` answers, without holding it."""
    return torch.cat([keys, new_keys], -2), torch.cat([values, new_values], -2)


def _batches(
    prompts: Sequence[Ids], extra: int, budget: int, *, shared: int = 0, equal: bool = False
) -> Iterator[list[Ids]]:
    """Prompts of similar (or equal) length together, longest first, within ``budget`` tokens with ``extra`` a row.

    A batch that is large enough to keep the machine busy is closed rather than filled with rows that would be an
    eighth padding: on a CPU that is worth more than any size beyond some hundred tokens.
    """
    batch: list[Ids] = []
    for prompt in sorted(prompts, key=len, reverse=True):
        if batch:
            width = len(batch[0]) - shared
            full = (len(batch[0]) + extra) * (len(batch) + 1) > budget
            loose = width * len(batch) * BUSY > budget and (len(batch[0]) - len(prompt)) * 8 > width
            if full or loose or (equal and len(prompt) != len(batch[0])):
                yield batch
                batch = []
        batch.append(prompt)
    if batch:
        yield batch
