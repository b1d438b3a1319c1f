"""What a student is trained towards: its teacher's probabilities, true labels where there are any, its teacher's states.

An aim is one row of numbers: the teacher's probabilities (k), then the labels (k), ``NOT_LABELLED`` where there are none.

Shapes: n texts, w windows, L tokens, k labels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch  # noqa: TID253  only the training of an encoder imports this module
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from maeum.models._label_model import LabelModel
from maeum.models.blocks import Blocks
from maeum.models.losses import default_loss, make_loss
from maeum.task import Kind

NOT_LABELLED = -1.0
EPS = 1e-6
"""Probabilities are kept this far from 0 and 1 before a temperature is put on their logits."""


def aims(soft: NDArray[np.float32], hard: NDArray[Any] | None) -> NDArray[np.float32]:
    """Rows of aims (n, 2k) from probabilities (n, k) and labels (n, k), ``NOT_LABELLED`` in rows without any."""
    labels = np.full_like(soft, NOT_LABELLED) if hard is None else hard.astype(np.float32)
    return np.concatenate([soft, labels], 1)


def soft_loss(kind: Kind, *, temperature: float = 1.0, alpha: float = 0.0) -> Callable[[Tensor, Tensor], Tensor]:
    """(1 - α) T² H(t_T, p_T) + α H(y, p) for each text; a text without labels has α = 0 (Hinton et al. 2015).

    H is the cross-entropy: over the classes of a multiclass task, the mean of the binary ones over the labels of a
    multilabel task. t_T and p_T are the probabilities of teacher and student after their logits were divided by T; T²
    keeps the gradient's size. The teacher's logits are those of its (calibrated) probabilities, log t or log t/(1 - t).

    Returns:
        (logits (n, k), aims (n, 2k)) -> (n,).
    """
    plain = make_loss(default_loss(kind), kind)

    def loss(logits: Tensor, aim: Tensor) -> Tensor:
        z = logits.float()
        teacher, labels = aim.to(z).chunk(2, 1)
        if temperature != 1.0:
            teacher = _softened(teacher, temperature, kind)
        soft = temperature**2 * plain(z / temperature, teacher)
        if alpha == 0:
            return soft
        labelled = (labels != NOT_LABELLED).all(1)
        hard = plain(z, torch.where(labelled[:, None], labels, torch.zeros_like(labels)))
        return torch.where(labelled, (1 - alpha) * soft + alpha * hard, soft)

    return loss


def many_soft_loss(
    blocks: Blocks, weights: Mapping[str, float], *, temperature: float = 1.0, alpha: float = 0.0
) -> Callable[[Tensor, Tensor], Tensor]:
    """The sum of each task's ``soft_loss`` times its weight; a text counts for α only where it has a task's labels.

    Args:
        blocks: whose columns are which of the K.
        weights: by the tasks' names.

    Returns:
        (logits (n, K), aims (n, 2K)) -> (n,).
    """
    parts = [
        (block.columns, weights[block.name], soft_loss(block.kind, temperature=temperature, alpha=alpha))
        for block in blocks.blocks
    ]

    def loss(logits: Tensor, aim: Tensor) -> Tensor:
        teacher, labels = aim.chunk(2, 1)
        total = logits.new_zeros(len(logits), dtype=torch.float32)
        for columns, weight, own in parts:
            total = total + weight * own(logits[:, columns], torch.cat([teacher[:, columns], labels[:, columns]], 1))
        return total

    return loss


def _softened(p: Tensor, temperature: float, kind: Kind) -> Tensor:
    p = p.clamp(EPS, 1 - EPS)
    if kind == "multiclass":
        return torch.softmax(p.log() / temperature, 1)
    return torch.sigmoid((p.log() - torch.log1p(-p)) / temperature)


class Guided(nn.Module):
    """A student that also says how far its states are from those of the layers of its teacher that it stands for.

    Args:
        student: the model that is trained.
        teacher: the teacher's backbone, of which a copy is asked; it does not learn.
        layers: for each layer of the student, the number of the teacher's layer whose states it should have.
    """

    def __init__(self, student: LabelModel, teacher: Any, layers: Sequence[int]) -> None:
        super().__init__()
        self.student = student
        guide = copy.deepcopy(teacher).to(next(student.parameters()).device).eval().requires_grad_(False)
        # in a tuple it is no part of this module: not trained, not in checkpoints
        self._teacher = (guide,)
        self._layers = tuple(layers)

    @property
    def backbone(self) -> Any:
        """The student's."""
        return self.student.backbone

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, owner: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``{"logits": (n, k), "distance": (n,)}``; the distance as in ``state_distance``."""
        words = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            words["token_type_ids"] = token_type_ids
        out = self.student.backbone(**words, output_hidden_states=True)
        with torch.no_grad():
            wanted = self._teacher[0](**words, output_hidden_states=True).hidden_states
        pairs = [(out.hidden_states[at + 1], wanted[layer + 1]) for at, layer in enumerate(self._layers)]
        logits = self.student.logits_of(out, attention_mask)
        return {
            "logits": self.student.join(logits, owner),
            "distance": state_distance(pairs, attention_mask, owner),
        }


def state_distance(pairs: Sequence[tuple[Tensor, Tensor]], mask: Tensor, owner: Tensor) -> Tensor:
    """(n,) squared distance of states, each token's scaled to length 1: the mean over layers and a text's real tokens.

    Sun et al. 2019, "Patient Knowledge Distillation", eq. 7, on all tokens as in TinyBERT (Jiao et al. 2020) instead of
    the first alone. Between 0 (the same direction) and 4.

    Args:
        pairs: for each layer the states (w, L, h) of student and teacher.
        mask: (w, L) ones for real tokens.
        owner: (w,) the text of each window.
    """
    total = mask.new_zeros(mask.shape, dtype=torch.float32)
    for student, teacher in pairs:
        difference = functional.normalize(student.float(), dim=-1) - functional.normalize(teacher.float(), dim=-1)
        total = total + difference.square().sum(-1) / len(pairs)
    real = mask.to(total)
    n = int(owner[-1]) + 1
    sums = total.new_zeros(n).index_add(0, owner, (total * real).sum(1))
    return sums / total.new_zeros(n).index_add(0, owner, real.sum(1))


def guided_loss(
    plain: Callable[[Tensor, Tensor], Tensor], weight: float
) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    """The loss of outputs by name: that of the logits, and ``weight`` times the distance where there is one."""

    def loss(outputs: dict[str, Tensor], aim: Tensor) -> Tensor:
        each = plain(outputs["logits"], aim)
        return each if "distance" not in outputs else each + weight * outputs["distance"]

    return loss
