"""Training losses of fine-tuned encoders: logits and labels in, one loss per example out.

No loss here averages over the batch. The training loop does, over all examples of a step, so that accumulated
gradients, several processes and a short last batch give the gradient of the same objective.

``bce``, ``focal``, ``asl`` and ``asl-seed001`` treat labels as independent (multilabel); ``ce``, ``ordinal`` and the
softmax form of ``focal`` pick one (multiclass); ``ordinal`` believes that the labels stand in an order, as grades do.
Weights, focusing and soft labels bend probabilities; calibrate and tune thresholds afterwards.

Shapes: n examples, k labels. z: logits; p: their sigmoid or softmax; s: label smoothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch  # noqa: TID253  only the encoder imports this module, and it needs torch anyway
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from maeum.errors import UsageError
from maeum.task import Kind

Balance = Literal["none", "balanced"]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (n, k) and labels (n, k), zeros and ones in a float type, to losses (n,)."""
Support = Sequence[float] | NDArray[Any]

LOSSES: Mapping[str, tuple[Kind, ...]] = {
    "bce": ("multilabel",),
    "focal": ("multilabel", "multiclass"),
    "asl": ("multilabel",),
    "asl-seed001": ("multilabel",),
    "ce": ("multiclass",),
    "ordinal": ("multiclass",),
}
"""Every loss and the kinds of task it fits."""

POS_WEIGHT_RANGE = (0.05, 20.0)
"""Where ``pos_weight = "balanced"`` is cut off: beyond it one rare label would drown all the others."""

_OWN: Mapping[str, Mapping[str, Any]] = {
    "bce": {"pos_weight": "none"},
    "focal": {"gamma": 2.0, "alpha": None, "class_weight": "none"},
    "asl": {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05, "focus_gradient": False},
    "asl-seed001": {"gamma_neg": 4.0, "gamma_pos": 0.0, "eps": 0.1},
    "ce": {"class_weight": "none"},
    "ordinal": {"class_weight": "none", "steepness": 2.0},
}
"""The settings each loss has beside label smoothing, with their defaults."""


@dataclass(frozen=True)
class LossConfig:
    """Which loss, and its settings. A setting left at its default takes the value the loss was published with.

    A setting that the named loss does not have is refused, not ignored.
    """

    name: str = "bce"
    """One of ``LOSSES``."""
    label_smoothing: float = 0.0
    """s: labels become y(1 - s) + s/2, or y(1 - s) + s/k where exactly one is right."""
    pos_weight: Balance = "none"
    """bce: ``balanced`` weighs the positives of a label by negatives / positives, cut to ``POS_WEIGHT_RANGE``."""
    class_weight: Balance = "none"
    """ce, ordinal, and focal on multiclass: ``balanced`` weighs a class by n / (k · its rows); no cut-off."""
    gamma: float | None = None
    """focal: how strongly easy labels are ignored; 2."""
    alpha: float | None = None
    """focal on multilabel: weight of positives, 1 - alpha that of negatives; none. (The paper's 0.25 is for boxes.)"""
    gamma_neg: float | None = None
    """asl, asl-seed001: focusing of negatives; 4."""
    gamma_pos: float | None = None
    """asl, asl-seed001: focusing of positives; 1, or 0 for asl-seed001."""
    clip: float | None = None
    """asl: negatives below this probability cost nothing; 0.05."""
    eps: float | None = None
    """asl-seed001: added to probabilities inside the logarithm; 0.1."""
    focus_gradient: bool | None = None
    """asl: whether the gradient passes through the focusing weight too; no."""
    steepness: float | None = None
    """ordinal: how fast a class matters less the more classes it lies from the right one; 2. Large is ce."""

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise _unknown("손실", "loss", self.name, LOSSES)
        for name in ("pos_weight", "class_weight"):
            if getattr(self, name) not in get_args(Balance):
                raise _unknown(name, name, getattr(self, name), get_args(Balance))
        for field in dataclasses.fields(self):
            own = field.name in ("name", "label_smoothing", *_OWN[self.name])
            if not own and getattr(self, field.name) != field.default:
                allowed = ", ".join(("label_smoothing", *_OWN[self.name]))
                raise UsageError(
                    f"손실 '{self.name}'에는 설정 '{field.name}'이(가) 없습니다. 쓸 수 있는 설정: {allowed}",
                    f"loss '{self.name}' has no setting '{field.name}'; it has: {allowed}",
                )
        self._between("label_smoothing", 0, 1)
        for name in ("gamma", "gamma_neg", "gamma_pos"):
            self._between(name, 0, math.inf)
        self._between("alpha", 0, 1, open_low=True)
        self._between("clip", 0, 1)
        self._between("eps", 0, 1, open_low=True)
        self._between("steepness", 0, math.inf, open_low=True)
        if self.focus_gradient not in (None, False, True):
            raise UsageError(
                f"focus_gradient는 참 또는 거짓입니다: {self.focus_gradient!r}",
                f"focus_gradient must be true or false, got {self.focus_gradient!r}",
            )

    def settings(self) -> dict[str, Any]:
        """The settings that act in this loss, defaults filled in: what a run records."""
        found: dict[str, Any] = {"name": self.name, "label_smoothing": self.label_smoothing}
        for name, default in _OWN[self.name].items():
            value = getattr(self, name)
            found[name] = default if value is None else value
        return found

    def _between(self, name: str, low: float, high: float, *, open_low: bool = False) -> None:
        value = getattr(self, name)
        if value is None:
            return
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= value < high or (open_low and value == low):
            left, right = ("(" if open_low else "["), ("∞" if high == math.inf else f"{high:g}")
            raise UsageError(
                f"{name}은(는) {left}{low:g}, {right}) 안의 수여야 합니다: {value!r}",
                f"{name} must be a number in {left}{low:g}, {right}), got {value!r}",
            )


def default_loss(kind: Kind) -> LossConfig:
    """``bce`` for multilabel tasks, ``ce`` for multiclass ones."""
    names = {"multilabel": "bce", "multiclass": "ce"}
    if kind not in names:
        raise _no_loss(kind)
    return LossConfig(names[kind])


def make_loss(config: LossConfig, kind: Kind, support: Support | None = None, rows: int = 0) -> Loss:
    """The loss as a function of logits (n, k) and labels (n, k), giving one value per example, (n,).

    Half-precision logits are computed in float32; float64 stays float64. Labels of multiclass tasks are one-hot.

    Args:
        config: which loss.
        kind: how the labels combine.
        support: training rows per label, (k,); needed by ``balanced`` weights only.
        rows: training rows in all; likewise.

    Raises:
        UsageError: the loss does not fit this kind of task, or balanced weights lack their counts.
    """
    if kind not in LOSSES[config.name]:
        fitting = [name for name, kinds in LOSSES.items() if kind in kinds]
        if not fitting:
            raise _no_loss(kind)
        names = ", ".join(fitting)
        raise UsageError(
            f"손실 '{config.name}'은(는) {kind} 과제에 맞지 않습니다. 쓸 수 있는 것: {names}",
            f"loss '{config.name}' does not fit a {kind} task; use one of: {names}",
        )
    own = config.settings()
    s = config.label_smoothing
    weight = None
    if own.get("pos_weight") == "balanced":
        weight = _pos_weights(*_counts(support, rows))
    if own.get("class_weight") == "balanced":
        if kind != "multiclass":
            raise _misplaced("class_weight", kind, "alpha")
        weight = _class_weights(*_counts(support, rows))

    if config.name == "bce":
        return _prepared(lambda z, y: _bce(z, _soft(y, s), weight))
    if config.name == "ce":
        return _prepared(lambda z, y: _ce(z, y, s, weight))
    if config.name == "ordinal":
        return _prepared(lambda z, y: _ordinal(z, y, s, own["steepness"], weight))
    if config.name == "focal" and kind == "multiclass":
        if own["alpha"] is not None:
            # one alpha for all classes would only scale the loss
            raise _misplaced("alpha", kind, "class_weight")
        return _prepared(lambda z, y: _focal_softmax(z, y, s, own["gamma"], weight))
    if config.name == "focal":
        return _prepared(lambda z, y: _focal_sigmoid(z, _soft(y, s), own["gamma"], own["alpha"]))
    if config.name == "asl":
        gammas = own["gamma_neg"], own["gamma_pos"]
        return _prepared(lambda z, y: _asl(z, _soft(y, s), *gammas, own["clip"], own["focus_gradient"]))
    return _prepared(lambda z, y: _asl_seed001(z, _soft(y, s), own["gamma_neg"], own["gamma_pos"], own["eps"]))


# -- the formulas -------------------------------------------------------------------------------------------------------


def _bce(z: Tensor, y: Tensor, pos_weight: Tensor | None) -> Tensor:
    """Binary cross-entropy, mean over labels: -[w y log p + (1 - y) log(1 - p)], w the weight of positives."""
    positive = y * functional.logsigmoid(z)
    if pos_weight is not None:
        positive = positive * pos_weight.to(z)
    return -(positive + (1 - y) * functional.logsigmoid(-z)).mean(1)


def _ce(z: Tensor, y: Tensor, smoothing: float, weight: Tensor | None) -> Tensor:
    """Cross-entropy: -Σ w_c q_c log p_c with q = y(1 - s) + s/k (Szegedy et al. 2016, arXiv:1512.00567).

    Equal to torch's ``cross_entropy(reduction="none")``. torch's mean then divides by the weights of the batch, so
    that an example's share depends on its batch mates; dividing by the number of examples does not.
    """
    q = y * (1 - smoothing) + smoothing / z.shape[1]
    if weight is not None:
        q = q * weight.to(z)
    return -(q * functional.log_softmax(z, 1)).sum(1)


def _ordinal(z: Tensor, y: Tensor, smoothing: float, steepness: float, weight: Tensor | None) -> Tensor:
    """Cross-entropy with soft ordinal labels: -w Σ q_c log p_c, q_c = exp(-β |c - t|) / Σ_j exp(-β |j - t|).

    Díaz & Marathe 2019, "Soft Labels for Ordinal Regression" (CVPR), eqs. 1-2, with the absolute difference of ranks
    times β (``steepness``) as the metric φ. A neighbour of the right class t costs less than a class far away, and the
    outputs stay those of a softmax. w is the weight of the class t: weighing every c, as ``ce`` does under smoothing,
    would pull the soft labels themselves towards rare classes. β → ∞ is ``ce``.
    """
    k = z.shape[1]
    rank = torch.arange(k, device=z.device, dtype=z.dtype)
    near = torch.softmax(-steepness * (rank[:, None] - rank[None, :]).abs(), 1)
    q = (y @ near) * (1 - smoothing) + smoothing / k
    loss = -(q * functional.log_softmax(z, 1)).sum(1)
    return loss if weight is None else loss * (y * weight.to(z)).sum(1)


def _focal_sigmoid(z: Tensor, y: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """Focal loss, mean over labels: -α_t (1 - p_t)^γ log p_t (Lin et al. 2017, arXiv:1708.02002, eq. 5).

    p_t is p for positives and 1 - p for negatives, α_t likewise α and 1 - α. γ = 0 without α is ``bce``.
    """
    log_p, log_q = functional.logsigmoid(z), functional.logsigmoid(-z)
    positive = y * _power(log_q, gamma) * log_p
    negative = (1 - y) * _power(log_p, gamma) * log_q
    if alpha is not None:
        positive, negative = alpha * positive, (1 - alpha) * negative
    return -(positive + negative).mean(1)


def _focal_softmax(z: Tensor, y: Tensor, smoothing: float, gamma: float, weight: Tensor | None) -> Tensor:
    """Focal loss over softmax: (1 - p_t)^γ times ``ce``, p_t the probability of the right class (Lin et al. 2017).

    γ = 0 is ``ce``.
    """
    # 1 - p_t summed from the other classes: subtracting p_t from 1 would lose the small ones
    log_others = torch.logsumexp(functional.log_softmax(z, 1) + torch.log1p(-y), 1)
    return _power(log_others, gamma) * _ce(z, y, smoothing, weight)


def _asl(z: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, clip: float, focus_gradient: bool) -> Tensor:
    """Asymmetric loss, *sum* over labels (Ridnik et al. 2021, arXiv:2009.14119, eqs. 4-7).

    -[y (1 - p)^γ+ log p + (1 - y) m^γ- log(1 - m)], m = max(p - clip, 0).

    The authors' code (github.com/Alibaba-MIIL/ASL) sums over the batch as well; ours is averaged over it, so their
    learning rates mean something else. Whether the gradient passes through the focusing weights differs between
    their two classes: ``AsymmetricLoss`` and their training script stop it (``disable_torch_grad_focal_loss``) and
    so do we by default; ``AsymmetricLossOptimized`` and the paper's gradient analysis do not (``focus_gradient``).
    Their floor of 1e-8 inside the logarithm is not needed in log space; it would end learning on positives below it.
    """
    log_p, log_q = functional.logsigmoid(z), functional.logsigmoid(-z)
    if clip == 0:
        log_negative, weight_negative = log_q, _power(log_p, gamma_neg)
    else:
        m = (log_p.exp() - clip).clamp(min=0)
        log_negative = torch.log1p(-m)
        # 0^γ has no finite slope for γ < 1; where m is 0 so is its logarithm, and any weight will do
        weight_negative = torch.where(m > 0, m, 1.0).pow(gamma_neg)
    weight_positive = _power(log_q, gamma_pos)
    if not focus_gradient:
        weight_positive, weight_negative = weight_positive.detach(), weight_negative.detach()
    return -(y * weight_positive * log_p + (1 - y) * weight_negative * log_negative).sum(1)


def _asl_seed001(z: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, eps: float) -> Tensor:
    """What seed 001 (github.com/oneonlee/KR-Emotional-Analysis) trains as "ASL"; not the published loss.

    -[y (1 - p)^γ+ log(p + ε) + (1 - y) p^γ- log(1 - p + ε)], mean over labels: it flattens (n, k) before dividing by
    the first dimension, hence by n·k. There is no clip, the gradient passes through the weights, and a large ε bounds
    the loss of a missed positive at log(1/ε) and lets the loss fall below 0.
    """
    log_p, log_q = functional.logsigmoid(z), functional.logsigmoid(-z)
    positive = y * _power(log_q, gamma_pos) * torch.log(log_p.exp() + eps)
    negative = (1 - y) * _power(log_p, gamma_neg) * torch.log(log_q.exp() + eps)
    return -(positive + negative).mean(1)


def _power(log_p: Tensor, gamma: float) -> Tensor:
    """p^γ from log p; its slope stays finite at p = 0 for every γ."""
    return torch.exp(gamma * log_p)


def _soft(y: Tensor, smoothing: float) -> Tensor:
    return y * (1 - smoothing) + smoothing / 2


# -- weights and checks -------------------------------------------------------------------------------------------------


def _prepared(formula: Loss) -> Loss:
    def loss(logits: Tensor, y: Tensor) -> Tensor:
        if logits.ndim != 2 or logits.shape != y.shape:  # broadcasting would hide the mistake
            raise UsageError(
                f"로짓과 라벨의 모양이 같은 (n, k)여야 합니다: {tuple(logits.shape)}, {tuple(y.shape)}",
                f"logits and labels must both be (n, k), got {tuple(logits.shape)} and {tuple(y.shape)}",
            )
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return formula(wide, y.to(wide))

    return loss


def _counts(support: Support | None, rows: int) -> tuple[NDArray[np.float64], int]:
    if support is None or rows < 1:
        raise UsageError(
            "balanced 가중치에는 라벨별 학습 행 수(support)와 전체 행 수(rows)가 필요합니다.",
            "balanced weights need the training rows per label (support) and in all (rows)",
        )
    counts = np.asarray(support, dtype=np.float64)
    if counts.ndim != 1 or not np.all((counts >= 0) & (counts <= rows)):
        raise UsageError(
            f"support는 라벨마다 0과 {rows} 사이의 수 하나여야 합니다.",
            f"support must be one number per label between 0 and {rows}",
        )
    return counts, rows


def _pos_weights(support: NDArray[np.float64], rows: int) -> Tensor:
    """Negatives / positives (k,), cut to ``POS_WEIGHT_RANGE``; a label without positives has no use for its weight."""
    return torch.from_numpy(np.clip((rows - support) / np.maximum(support, 1), *POS_WEIGHT_RANGE))


def _class_weights(support: NDArray[np.float64], rows: int) -> Tensor:
    """n / (k · rows of the class) (k,), with k the classes that occur, so that the weights of all rows average 1.

    A class that never occurs meets label smoothing only, with weight 1.
    """
    if support.sum() != rows:
        raise UsageError(
            f"multiclass에서는 support의 합({support.sum():g})이 rows({rows})와 같아야 합니다.",
            f"in a multiclass task support must sum to rows: {support.sum():g} and {rows}",
        )
    share = support * np.count_nonzero(support) / rows
    return torch.from_numpy(np.divide(1, share, out=np.ones_like(share), where=share > 0))


def _unknown(ko: str, en: str, value: object, allowed: Sequence[str] | Mapping[str, Any]) -> UsageError:
    close = difflib.get_close_matches(str(value), allowed, n=1)
    shown = ", ".join(allowed)
    hint_ko = f" '{close[0]}'인가요?" if close else ""
    hint_en = f" did you mean '{close[0]}'?" if close else ""
    return UsageError(
        f"{ko}에 {value!r}은(는) 없습니다.{hint_ko} 쓸 수 있는 것: {shown}",
        f"unknown {en} {value!r};{hint_en} known: {shown}",
    )


def _misplaced(name: str, kind: str, instead: str) -> UsageError:
    return UsageError(
        f"{name}은(는) {kind} 과제의 focal에 쓸 수 없습니다. {instead}을(를) 쓰세요.",
        f"{name} does not apply to focal on a {kind} task; use {instead}",
    )


def _no_loss(kind: str) -> UsageError:
    return UsageError(f"{kind} 과제에 맞는 손실이 없습니다.", f"no loss fits a task of kind {kind}")
