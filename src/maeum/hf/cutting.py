"""Smaller encoders out of larger ones: layers, feed-forward neurons and attention heads taken out for good.

The matrices themselves get smaller. All layers keep the same number of neurons, because ``config.json`` has one number
for all. It has none at all for attention heads (the heads of a layer always add up to its width), so an encoder whose
heads were cut is written with zeros in their place: transformers opens it and gives the same numbers, and whoever knows
which heads are left (``keep_heads``) computes without them.

For encoders whose layers are built like BERT's: BERT, RoBERTa, XLM-R, ELECTRA, CamemBERT and the like.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # noqa: TID253  only what holds a network imports this module
from numpy.typing import NDArray
from torch import nn  # noqa: TID253

from maeum._lang import say
from maeum.errors import UsageError

__all__ = [
    "ffn_width",
    "head_count",
    "keep_heads",
    "keep_layers",
    "keep_neurons",
    "layer_numbers",
    "layers_of",
    "spread",
    "with_empty_heads",
]

Numbers = Sequence[int] | NDArray[np.int64]


def layers_of(model: Any) -> Any:
    """The layers of an encoder, lowest first (an ``nn.ModuleList``).

    Raises:
        UsageError: an architecture whose layers are not like BERT's.
    """
    found = getattr(getattr(model.base_model, "encoder", None), "layer", None)
    if isinstance(found, nn.ModuleList) and all(_like_bert(layer) for layer in found):
        return found
    kind = model.config.model_type
    raise UsageError(
        f"'{kind}' 구조의 인코더는 줄일 수 없습니다. BERT, RoBERTa, XLM-R, ELECTRA처럼 층이 BERT와 같은 것만 됩니다.",
        f"encoders of the architecture '{kind}' cannot be cut; only those with layers like BERT's can (BERT, RoBERTa, "
        "XLM-R, ELECTRA)",
    )


def spread(layers: int, keep: int) -> list[int]:
    """``keep`` of so many layers, evenly chosen, with the first and the last: of 12, six are 0 2 4 7 9 11.

    The choice of DistilBERT (Sanh et al. 2019).

    Raises:
        UsageError: more layers than there are, or none.
    """
    if not 1 <= keep <= layers:
        raise UsageError(f"남길 층은 1개에서 {layers}개까지입니다: {keep}", f"keep 1 to {layers} layers, not {keep}")
    return [int(number) for number in np.round(np.linspace(0, layers - 1, keep)).astype(int)]


def layer_numbers(words: str, there: int) -> list[int]:
    """Which layers: ``6`` so many, evenly chosen; ``0,2,4`` these; ``4,`` this one.

    Raises:
        UsageError: no numbers, or more layers than there are.
    """
    try:
        numbers = [int(word) for word in words.split(",") if word.strip()]
        chosen = numbers if "," in words else spread(there, numbers[0])
    except (ValueError, IndexError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"층은 6 또는 0,2,4처럼 적습니다: '{words}'", f"layers are given as 6 or as 0,2,4, not '{words}'"
        ) from None
    _check_numbers(chosen, there, say("층", "layers"))
    return chosen


def keep_layers(model: Any, numbers: Numbers) -> None:
    """Leave only these layers, in this order.

    Raises:
        UsageError: a layer that is not there, named twice, or out of order.
    """
    layers = layers_of(model)
    wanted = [int(number) for number in numbers]
    _check_numbers(wanted, len(layers), say("층", "layers"))
    model.base_model.encoder.layer = nn.ModuleList(layers[number] for number in wanted)
    for number, layer in enumerate(model.base_model.encoder.layer):
        if hasattr(layer.attention.self, "layer_idx"):
            layer.attention.self.layer_idx = number
    for config in (model.config, model.base_model.config):
        config.num_hidden_layers = len(wanted)


def keep_neurons(model: Any, kept: Sequence[Numbers]) -> None:
    """Leave only these feed-forward neurons of each layer; the same number in all layers.

    Raises:
        UsageError: numbers that are not there, or not equally many.
    """
    layers = layers_of(model)
    for layer, numbers in zip(layers, _even(kept, len(layers)), strict=True):
        _check_numbers(numbers, layer.intermediate.dense.out_features, say("뉴런", "neurons"))
        layer.intermediate.dense = _with_rows(layer.intermediate.dense, numbers)
        layer.output.dense = _with_columns(layer.output.dense, numbers)
    for config in (model.config, model.base_model.config):
        config.intermediate_size = len(kept[0])


def keep_heads(model: Any, kept: Sequence[Numbers]) -> None:
    """Leave only these attention heads of each layer, by their numbers among those that are there.

    Raises:
        UsageError: numbers that are not there, or not equally many.
    """
    layers = layers_of(model)
    for layer, numbers in zip(layers, _even(kept, len(layers)), strict=True):
        inner = layer.attention.self
        _check_numbers(numbers, inner.num_attention_heads, say("어텐션 머리", "attention heads"))
        units = _units(numbers, inner.attention_head_size)
        for name in ("query", "key", "value"):
            setattr(inner, name, _with_rows(getattr(inner, name), units))
        layer.attention.output.dense = _with_columns(layer.attention.output.dense, units)
        inner.num_attention_heads = len(numbers)
        inner.all_head_size = len(units)


def with_empty_heads(model: Any, kept: Sequence[Numbers]) -> Any:
    """A copy with all heads that ``config.json`` speaks of; those that were cut are zeros and add nothing.

    Args:
        kept: for each layer, the numbers in the whole encoder of the heads that are there.
    """
    whole = copy.deepcopy(model)
    heads = whole.config.num_attention_heads
    for layer, numbers in zip(layers_of(whole), kept, strict=True):
        inner, size = layer.attention.self, layer.attention.self.attention_head_size
        units = _units(list(numbers), size)
        for name in ("query", "key", "value"):
            setattr(inner, name, _into_rows(getattr(inner, name), units, heads * size))
        layer.attention.output.dense = _into_columns(layer.attention.output.dense, units, heads * size)
        inner.num_attention_heads, inner.all_head_size = heads, heads * size
    return whole


def ffn_width(model: Any) -> int:
    """Feed-forward neurons of a layer."""
    return int(layers_of(model)[0].intermediate.dense.out_features)


def head_count(model: Any) -> int:
    """Attention heads of a layer that are there."""
    return int(layers_of(model)[0].attention.self.num_attention_heads)


def _like_bert(layer: Any) -> bool:
    attention = getattr(layer, "attention", None)
    parts = [getattr(getattr(attention, "self", None), name, None) for name in ("query", "key", "value")]
    parts += [getattr(getattr(place, "dense", None), "weight", None) is not None or None for place in _dense(layer)]
    return all(part is not None for part in parts)


def _dense(layer: Any) -> list[Any]:
    attention = getattr(layer, "attention", None)
    return [getattr(attention, "output", None), getattr(layer, "intermediate", None), getattr(layer, "output", None)]


def _check_numbers(numbers: Sequence[int], there: int, what: str) -> None:
    if numbers and list(numbers) == sorted(set(numbers)) and numbers[0] >= 0 and numbers[-1] < there:
        return
    shown = ",".join(map(str, list(numbers)[:12]))
    raise UsageError(
        f"남길 {what}은(는) 0에서 {there - 1}까지의 번호를 작은 것부터 한 번씩 적습니다: {shown}",
        f"the {what} to keep are numbers from 0 to {there - 1}, each once and in order, not {shown}",
    )


def _even(kept: Sequence[Numbers], layers: int) -> list[list[int]]:
    lists = [[int(number) for number in numbers] for numbers in kept]
    if len(lists) != layers or len({len(numbers) for numbers in lists}) != 1:
        raise UsageError(
            f"층 {layers}개에서 똑같은 수를 남겨야 합니다.", f"keep equally many in each of the {layers} layers"
        )
    return lists


def _units(heads: Sequence[int], size: int) -> list[int]:
    return [head * size + unit for head in heads for unit in range(size)]


def _linear(weight: Any, bias: Any) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made


def _with_rows(linear: Any, rows: list[int]) -> nn.Linear:
    bias = None if linear.bias is None else linear.bias.detach()[rows]
    return _linear(linear.weight.detach()[rows], bias)


def _with_columns(linear: Any, columns: list[int]) -> nn.Linear:
    return _linear(linear.weight.detach()[:, columns], None if linear.bias is None else linear.bias.detach())


def _into_rows(linear: Any, rows: list[int], size: int) -> nn.Linear:
    weight = linear.weight.new_zeros(size, linear.in_features)
    weight[rows] = linear.weight.detach()
    bias = None if linear.bias is None else linear.bias.new_zeros(size)
    if bias is not None:
        bias[rows] = linear.bias.detach()
    return _linear(weight, bias)


def _into_columns(linear: Any, columns: list[int], size: int) -> nn.Linear:
    weight = linear.weight.new_zeros(linear.out_features, size)
    weight[:, columns] = linear.weight.detach()
    return _linear(weight, None if linear.bias is None else linear.bias.detach())
