"""How much each feed-forward neuron and each attention head of an encoder matters.

With labelled rows: the first-order Taylor estimate of how the loss changes without it, |Σ a·∂L/∂a| over what it adds to
the residual stream (Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference";
for heads Michel et al. 2019, "Are Sixteen Heads Really Better than One?"), averaged over small batches. The sum of
activation times gradient equals the sum of weight times gradient over the columns of the output layer that it feeds, so
nothing but the gradients of the weights is needed. Without rows: the size of its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maeum.data import Input
from maeum.models.base import Labels

if TYPE_CHECKING:
    from maeum.models.encoder import EncoderClassifier

Floats = NDArray[np.float64]
ROWS = 2048
"""Labelled rows that are looked at, at most."""
_BATCH = 8


@dataclass(frozen=True)
class Importance:
    """One number for each neuron (layers, width) and each head (layers, heads)."""

    neurons: Floats
    heads: Floats

    def best_neurons(self, share: float) -> list[NDArray[np.int64]]:
        """The most important ones of each layer, ascending."""
        return _best(self.neurons, share)

    def best_heads(self, share: float) -> list[NDArray[np.int64]]:
        """Likewise of the heads."""
        return _best(self.heads, share)


def by_size(backbone: Any) -> Importance:
    """The size of what goes into a neuron or head times that of what comes out of it (Frobenius norms)."""
    from maeum.hf.cutting import layers_of

    neurons, heads = [], []
    for layer in layers_of(backbone):
        into, out = layer.intermediate.dense.weight.detach(), layer.output.dense.weight.detach()
        neurons.append((into.norm(dim=1) * out.norm(dim=0)).cpu().numpy())
        inner = layer.attention.self
        value = inner.value.weight.detach().reshape(inner.num_attention_heads, -1)
        joined = layer.attention.output.dense.weight.detach().T.reshape(inner.num_attention_heads, -1)
        heads.append((value.norm(dim=1) * joined.norm(dim=1)).cpu().numpy())
    return Importance(np.stack(neurons).astype(np.float64), np.stack(heads).astype(np.float64))


def by_loss(model: EncoderClassifier, inputs: Sequence[Input], y: Labels) -> Importance:
    """The Taylor estimate on prepared inputs and their labels (n, k), in batches of few rows, dropout off."""
    import torch

    from maeum.hf.cutting import layers_of
    from maeum.models.encoder import collate, spare_columns
    from maeum.models.losses import default_loss, make_loss

    network = model.network.eval()
    windows = model.windows
    loss = make_loss(default_loss(model.task.kind), model.task.kind)
    device = next(network.parameters()).device
    layers = layers_of(network.backbone)
    spare = spare_columns(network.backbone.config)
    rows = [(number, pieces, y[number]) for number, pieces in enumerate(windows(inputs))]
    neurons: list[Floats] = [np.zeros(layer.intermediate.dense.out_features) for layer in layers]
    heads: list[Floats] = [np.zeros(layer.attention.self.num_attention_heads) for layer in layers]
    for begin in range(0, len(rows), _BATCH):
        batch = collate(rows[begin : begin + _BATCH], pad_id=windows.frame.pad_id, spare=spare)
        batch.pop("rows")
        tensors = {name: tensor.to(device) for name, tensor in batch.items()}
        labels = tensors.pop("labels")
        network.zero_grad(set_to_none=True)
        with torch.enable_grad():
            total: Any = loss(network(**tensors)["logits"], labels).mean()
            total.backward()
        for number, layer in enumerate(layers):
            neurons[number] += _flow(layer.output.dense).abs().cpu().numpy()
            flow = _flow(layer.attention.output.dense).reshape(len(heads[number]), -1)
            heads[number] += flow.sum(1).abs().cpu().numpy()
    network.zero_grad(set_to_none=True)
    return Importance(np.stack(neurons), np.stack(heads))


def _flow(linear: Any) -> Any:
    """(inputs,) Σ weight · gradient over the outputs: how the loss changes with each input, to first order."""
    return (linear.weight.detach() * linear.weight.grad).sum(0).double()


def _best(scores: Floats, share: float) -> list[NDArray[np.int64]]:
    count = max(1, round(share * scores.shape[1]))
    return [np.sort(np.argsort(-row, kind="stable")[:count]) for row in scores]
