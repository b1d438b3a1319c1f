"""The network of a fine-tuned encoder: backbone, head, and window logits joined to those of their text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch  # noqa: TID253 - this module is only imported once an encoder is built or opened
from torch import Tensor, nn  # noqa: TID253

from maeum.hf import cutting, loading
from maeum.models.heads import make_head
from maeum.task import Task

if TYPE_CHECKING:
    from maeum.models.encoder import EncoderConfig

HEAD_LEARNING_RATE = 2e-3
"""A new ``mean`` or ``bigru`` head starts from noise on top of features that are already good: it has to move faster."""

_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|block)\.(\d+)\.")
_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.(\d+)\.")


class LabelModel(nn.Module):
    """Token windows in, logits (n, k) of their texts out.

    Args:
        backbone: an encoder, or with ``head=None`` a sequence classifier of transformers with its own head.
        head_name: cls, mean or bigru.
        aggregate: how the logits of several windows of a text are joined.
    """

    def __init__(
        self, backbone: Any, head: nn.Module | None, head_name: str, aggregate: Literal["max", "mean"]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.head_name = head_name
        self.aggregate = aggregate
        self.heads: list[list[int]] | None = None
        """Attention heads of each layer that are left, by their numbers in the whole encoder; None: all."""

    @classmethod
    def new(cls, head: str, task: Task, aggregate: Literal["max", "mean"], config: EncoderConfig) -> Self:
        """A pretrained backbone with a new head."""
        if head == "cls":
            names = dict(enumerate(task.keys))
            backbone = loading.load_classifier(
                config.base,
                len(task),
                names,
                {key: number for number, key in names.items()},
                "single_label_classification" if task.kind == "multiclass" else "multi_label_classification",
                config.dropout,
                revision=config.revision,
            )
            return cls(backbone, None, head, aggregate)
        backbone = loading.load_backbone(config.base, revision=config.revision)
        return cls(backbone, _head(head, backbone, len(task), config), head, aggregate)

    @classmethod
    def open(cls, folder: Path, head: str, k: int, aggregate: Literal["max", "mean"], config: EncoderConfig) -> Self:
        """What ``EncoderClassifier.save`` wrote; the weights of a head of ours come after."""
        if head == "cls":
            return cls(loading.load_classifier(folder), None, head, aggregate)
        backbone = loading.load_backbone(folder)
        return cls(backbone, _head(head, backbone, k, config), head, aggregate)

    @property
    def width(self) -> int:
        """Width of the encoder's states."""
        return _width(self.backbone.config)

    def make_room(self, tokenizer: Any) -> None:
        """Embeddings for the tokens just added to the tokenizer: random ones with the mean and spread of the others.

        Equal beginnings would leave the opening and the closing marker indistinguishable to the encoder at first.
        """
        old = self.backbone.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > old:
            self.backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        weight = self.backbone.get_input_embeddings().weight
        with torch.no_grad():
            scale = weight[:old].std(0)
            for number in range(old, weight.shape[0]):
                weight[number] = weight[:old].mean(0) + torch.randn_like(scale) * scale

    def window_logits(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(w, k) logits of windows (w, L)."""
        words: dict[str, Tensor] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            words["token_type_ids"] = token_type_ids
        return self.logits_of(self.backbone(**words), attention_mask)

    def logits_of(self, out: Any, attention_mask: Tensor) -> Tensor:
        """(w, k) logits from what the backbone gave for windows (w, L)."""
        logits: Tensor = out.logits if self.head is None else self.head(out.last_hidden_state, attention_mask)
        return logits

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, owner: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``{"logits": (n, k)}`` of the texts whose numbers, 0 … n-1, ``owner`` (w,) gives for each window."""
        return {"logits": self.join(self.window_logits(input_ids, attention_mask, token_type_ids), owner)}

    def join(self, logits: Tensor, owner: Tensor) -> Tensor:
        """Logits (w, k) of windows to those (n, k) of their texts."""
        logits = logits.float()
        n = int(owner[-1]) + 1
        if n < len(logits):
            index = owner[:, None].expand_as(logits)
            how = "amax" if self.aggregate == "max" else "mean"
            start = logits.new_zeros((n, logits.shape[1]))
            logits = start.scatter_reduce(0, index, logits, how, include_self=False)
        return logits

    def cut_layers(self, numbers: Sequence[int]) -> None:
        """Keep these layers of the encoder, counted from 0."""
        cutting.keep_layers(self.backbone, numbers)
        if self.heads is not None:
            self.heads = [self.heads[number] for number in numbers]

    def cut_heads(self, kept: Sequence[Sequence[int]]) -> None:
        """Keep these attention heads of each layer, by their numbers among those that are there now."""
        before = self.heads or [list(range(cutting.head_count(self.backbone))) for _ in kept]
        cutting.keep_heads(self.backbone, kept)
        self.heads = [[old[number] for number in numbers] for old, numbers in zip(before, kept, strict=True)]

    def whole_backbone(self) -> Any:
        """The backbone as transformers can open it: heads that were cut out are there again, as zeros."""
        return self.backbone if self.heads is None else cutting.with_empty_heads(self.backbone, self.heads)

    def parameter_groups(
        self,
        *,
        learning_rate: float,
        head_learning_rate: float | None,
        weight_decay: float,
        layer_decay: float,
        freeze: int,
    ) -> list[dict[str, Any]]:
        """Parameters grouped by learning rate and decay.

        The head learns at its own rate, the top layer at ``learning_rate``, each layer below at ``layer_decay`` times
        the rate of the one above it, the embeddings lowest of all. The ``freeze`` lowest of these do not learn.
        """
        if head_learning_rate is None:
            head_learning_rate = learning_rate if self.head is None else HEAD_LEARNING_RATE
        depths = {name: _depth(name, self.backbone.config) for name, _ in self.named_parameters()}
        top = max((depth for depth in depths.values() if depth is not None), default=0)
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            depth = depths[name]
            if depth is not None and depth < freeze:
                parameter.requires_grad_(False)
                continue
            rate = head_learning_rate if depth is None else learning_rate * layer_decay ** (top - depth)
            decay = 0.0 if parameter.ndim < 2 else weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
        return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()]


def _depth(name: str, config: Any) -> int | None:
    """0 for embeddings, i + 1 for layer i, None for a head."""
    if not name.startswith("backbone.") or re.search(r"\.(classifier|pooler|pre_classifier)\.", "." + name):
        return None
    if found := _BLOCK.search(name):
        block, layer = map(int, found.groups())
        return 1 + int(sum(config.block_sizes[:block])) + layer
    if found := _LAYER.search(name):
        # the decoder of Funnel stands on top of its blocks
        below = int(sum(getattr(config, "block_sizes", ()))) if "decoder." in name else 0
        return 1 + below + int(found.group(1))
    return 0


def _head(name: str, backbone: Any, k: int, config: EncoderConfig) -> nn.Module:
    dropout = config.dropout
    if dropout is None:
        dropout = float(getattr(backbone.config, "hidden_dropout_prob", 0.1))
    return make_head(name, _width(backbone.config), k, dropout=dropout, dense=config.dense)


def _width(config: Any) -> int:
    return int(getattr(config, "hidden_size", None) or config.d_model)
