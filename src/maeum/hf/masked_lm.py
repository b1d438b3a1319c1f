"""A masked language model whose logits are computed only where something was masked, and the state of its head.

The vocabulary projection is the dearest part of a small encoder (384 × 13,297 against 12 layers of 384), and 85% of
what it computes is thrown away. Here the hidden states of the masked positions are picked first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this module is only imported once a model is loaded
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253

from maeum.errors import FormatError
from maeum.hf import loading

_HEADS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "BertForMaskedLM": lambda model, states: model.cls(states),
    "RobertaForMaskedLM": lambda model, states: model.lm_head(states),
    "XLMRobertaForMaskedLM": lambda model, states: model.lm_head(states),
    "CamembertForMaskedLM": lambda model, states: model.lm_head(states),
    "ElectraForMaskedLM": lambda model, states: model.generator_lm_head(model.generator_predictions(states)),
}
"""Class → its head as a function of states (m, hidden) to logits (m, vocabulary); each works position by position."""


class MaskedLM(nn.Module):
    """Token windows and a mask in, logits of the masked positions out.

    Args:
        backbone: a model of ``loading.load_masked_lm``.
        sparse: pick the masked positions before the head. Off, or where the architecture is not known (Funnel), the
            logits of all positions are computed and then picked: the same numbers, more work.
    """

    def __init__(self, backbone: Any, *, sparse: bool = True) -> None:
        super().__init__()
        self.backbone = backbone
        self._head = _HEADS.get(type(backbone).__name__) if sparse else None
        self.frozen = False
        """Whether only the head learns; set by ``freeze``."""

    @property
    def sparse(self) -> bool:
        """Whether only masked positions go through the head."""
        return self._head is not None

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, masked: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``{"logits": (m, vocabulary)}`` in float32 of the m positions where ``masked`` (n, L) is true, row by row."""
        words = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            words["token_type_ids"] = token_type_ids
        if self._head is None:
            logits = self.backbone(**words).logits[masked]
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                states = self.backbone.base_model(**words).last_hidden_state
            logits = self._head(self.backbone, states[masked])
        return {"logits": logits.float()}

    def vectors(
        self, input_ids: Tensor, attention_mask: Tensor, pooling: str, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(n, hidden) sentence vectors: the mean of the tokens, or the first one (``cls``)."""
        words = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            words["token_type_ids"] = token_type_ids
        states: Tensor = self.backbone.base_model(**words).last_hidden_state
        if pooling == "cls":
            return states[:, 0]
        weight = attention_mask[..., None].to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1)

    # A tied weight has two names and one storage. safetensors refuses to write that, and the Trainer writes the state
    # of a module it does not know as it is: so one name is saved, and both are filled when it is read.

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The state without the second names of tied weights."""
        whole = super().state_dict(*args, **kwargs)
        for name in self._second_names():
            whole.pop(name, None)
        return whole

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load what ``state_dict`` gave."""
        whole = dict(state_dict)
        for name, first in self._second_names().items():
            if first in whole:
                whole.setdefault(name, whole[first])
        return super().load_state_dict(whole, strict=strict, assign=assign)

    def _second_names(self) -> dict[str, str]:
        first: dict[int, str] = {}
        second = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            if id(parameter) in first:
                second[name] = first[id(parameter)]
            else:
                first[id(parameter)] = name
        return second

    def head_parameters(self) -> dict[str, nn.Parameter]:
        """The head's own parameters by name: neither the encoder's nor what is tied to its embeddings."""
        inside = {id(parameter) for parameter in self.backbone.base_model.parameters()}
        return {name: parameter for name, parameter in self.named_parameters() if id(parameter) not in inside}

    def freeze(self, on: bool) -> None:
        """Let only the head learn, or everything."""
        self.frozen = on
        for parameter in self.backbone.base_model.parameters():
            parameter.requires_grad_(not on)

    def groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups for AdamW of all that learns; vectors (biases, norms) do not decay."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        sorts = [([p for p in learning if p.ndim >= 2], weight_decay), ([p for p in learning if p.ndim < 2], 0.0)]
        return [{"params": found, "lr": learning_rate, "weight_decay": decay} for found, decay in sorts if found]

    def begin_head(self, counts: NDArray[np.int64]) -> None:
        """A better start for a head that the checkpoint did not have.

        The decoder is tied to the input embeddings where their shapes agree, its bias becomes the log frequency of each
        token, the dense layer the identity, and the norm's scale 0.1: the head begins as the unigram model with a hint
        of what the state itself says, instead of having to unlearn noise. Measured on multilingual-e5-small, frozen,
        2,700 reviews to learn from and 300 to judge: loss 6.95 at the start and 6.76 after 120 steps of 128 tokens,
        against 7.98 and 7.37 (7.02 on the way) from a random dense layer and a scale of 1.

        Args:
            counts: (v,) how often each token id occurs in the training texts; v may be below the size of the table.
        """
        model = self.backbone
        decoder, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        if decoder is None:
            return
        if decoder.weight is not embeddings.weight and decoder.weight.shape == embeddings.weight.shape:
            decoder.weight = embeddings.weight
            model.config.tie_word_embeddings = True
        for name, parameter in self.head_parameters().items():
            with torch.no_grad():
                if name.endswith("dense.weight") and parameter.shape[0] == parameter.shape[1]:
                    parameter.copy_(torch.eye(len(parameter)))
                elif name.endswith("dense.bias"):
                    parameter.zero_()
                elif name.lower().endswith(("layernorm.weight", "layer_norm.weight")):
                    parameter.fill_(0.1)
        if decoder.bias is None:
            return
        smoothed = np.ones(decoder.bias.shape[0], np.float64)
        smoothed[: len(counts)] += counts[: len(smoothed)]
        with torch.no_grad():
            decoder.bias.copy_(torch.from_numpy(np.log(smoothed / smoothed.sum()).astype(np.float32)))


def load(ref: str | os.PathLike[str], *, revision: str | None = None) -> tuple[MaskedLM, bool]:
    """The model, and whether its head is new because the checkpoint has none (or not all of it)."""
    model = loading.load_masked_lm(ref, revision=revision)
    prefix = f"{model.base_model_prefix}."
    new = any(not name.startswith(prefix) for name in loading.new_weights(model))
    return MaskedLM(model), new


def pooler_of(ref: str | os.PathLike[str], *, revision: str | None = None) -> dict[str, Tensor]:
    """The trained pooler of a BERT checkpoint, which its masked language model does not hold; else nothing.

    BERT's own classification head stands on the pooler: a folder without it would give that head a random one.
    """
    if loading.load_config(ref, revision=revision).model_type != "bert":
        return {}
    try:
        model = loading.load_backbone(ref, revision=revision, pooler=True)
    except FormatError:
        return {}
    new = set(loading.new_weights(model))
    return {
        f"{model.base_model_prefix}.{name}": tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if name.startswith("pooler.") and name not in new
    }


def add_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Put more tensors into the ``model.safetensors`` of a folder."""
    from safetensors.torch import load_file, save_file

    if tensors:
        path = folder / "model.safetensors"
        whole = {name: tensor.clone() for name, tensor in load_file(path).items()}
        save_file({**whole, **tensors}, path, metadata={"format": "pt"})
