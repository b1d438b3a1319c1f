"""What decides the result of a distillation, beside the teacher and the texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from maeum.errors import UsageError
from maeum.text import TextPrep

KINDS = ("linear", "encoder", "layers", "model")
_LOSS = {
    *("loss", "label_smoothing", "pos_weight", "class_weight", "gamma", "alpha"),
    *("gamma_neg", "gamma_pos", "loss_clip", "loss_eps", "steepness"),
}
"""Settings of an encoder's loss, which a distillation has no use for."""


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """Everything that decides the result, beside the teacher and the texts."""

    student: str = "layers:6"
    """``linear``; ``encoder:FOLDER_OR_HUB_ID``, fine-tuned from that base; ``layers:6`` or ``layers:0,2,4``, the
    teacher's own encoder with so many, or these, of its layers; ``model:DIR``, an encoder model folder that goes on."""
    start: str | None = None
    """Encoder model folder that ``layers`` takes its layers from, where the teacher is no encoder itself."""
    temperature: float = 1.0
    """T: the logits of teacher and student are divided by it; encoders only."""
    alpha: float = 0.5
    """Weight of the true labels of ``--data`` in the loss of its rows; with 0 these rows only tune and judge."""
    hidden: float = 0.0
    """Weight of the distance between the states of student and teacher; ``layers`` only."""
    clean: str | None = None
    """Text preparation of a ``linear`` or ``encoder`` student; None: the teacher's (of a vote, whose members prepare
    text themselves: default). The others have that of the model they come from."""
    limit: int | None = None
    """Only the first N distinct texts."""
    objective: str | None = None
    """Of the thresholds; None: as in training."""
    empty: Literal["none", "argmax", "auto"] = "auto"
    """What to do when no label passes."""
    seed: int = 42
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the student's training, as of ``maeum train``."""

    def __post_init__(self) -> None:
        limits = (
            ("temperature", 0 < self.temperature <= 100),
            ("alpha", 0 <= self.alpha <= 1),
            ("hidden", self.hidden >= 0),
            ("limit", self.limit is None or self.limit > 0),
            ("seed", self.seed >= 0),
        )
        for name, fine in limits:
            if not fine:
                value = getattr(self, name)
                raise UsageError(f"{name} 값이 범위를 벗어났습니다: {value}", f"{name} is out of range: {value}")
        if self.kind not in KINDS or (self.argument == "") != (self.kind == "linear"):
            raise UsageError(
                f"모르는 학생 '{self.student}'. 쓸 수 있는 것: linear, encoder:폴더_또는_허브_id, layers:6, layers:0,2,4, model:폴더",
                f"unknown student '{self.student}'; known: linear, encoder:FOLDER_OR_HUB_ID, layers:6, layers:0,2,4, "
                "model:DIR",
            )
        self._check_fit()
        if self.clean is not None:
            TextPrep.named(self.clean)

    @property
    def kind(self) -> str:
        """linear, encoder, layers or model."""
        return self.student.partition(":")[0]

    @property
    def argument(self) -> str:
        """What stands behind the colon."""
        return self.student.partition(":")[2]

    def identity(self) -> dict[str, Any]:
        """What a run must share with the one it continues."""
        free = ("device", "checkpoint_minutes")
        options = {name: value for name, value in self.model_options.items() if name not in free}
        return dataclasses.asdict(self) | {"model_options": options}

    def _check_fit(self) -> None:
        asked = (
            ("temperature", self.temperature != 1.0, ("encoder", "layers", "model")),
            ("hidden", self.hidden > 0, ("layers",)),
            ("start", self.start is not None, ("layers",)),
            ("clean", self.clean is not None, ("linear", "encoder")),
        )
        for name, given, kinds in asked:
            if given and self.kind not in kinds:
                raise UsageError(
                    f"--{name}은(는) 학생이 {', '.join(kinds)}일 때만 씁니다. 지금 학생: {self.student}",
                    f"--{name} is for students of kind {', '.join(kinds)}; the student is {self.student}",
                )
        fixed = _LOSS & set(self.model_options)
        if fixed:
            raise UsageError(
                f"증류의 손실은 정해져 있어 이 설정은 쓸 수 없습니다: {', '.join(sorted(fixed))}. --temperature와 --alpha로 바꿉니다.",
                f"the loss of a distillation is fixed, so these settings do not apply: {', '.join(sorted(fixed))}; "
                "use --temperature and --alpha",
            )
        if self.kind == "linear" and self.model_options:
            names = ", ".join(self.model_options)
            raise UsageError(
                f"linear 학생에는 없는 설정입니다: {names}", f"a linear student has no such setting: {names}"
            )


DEFAULTS = DistillSettings()
