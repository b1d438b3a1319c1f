"""What is taken out of a model, and how it recovers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from maeum.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class PruneSettings:
    """Everything that decides the result, beside the model and the data."""

    layers: str | None = None
    """``6``: so many layers, evenly chosen; ``0,2,4``: these. None: all stay."""
    min_count: int = 1
    """Pieces that the corpus uses less often go (single characters, bytes and special tokens stay)."""
    ffn: float | None = None
    """Share of the feed-forward neurons of each layer to keep, in (0, 1]."""
    heads: float | None = None
    """Share of the attention heads of each layer to keep, in (0, 1]."""
    recover: float = 0.0
    """Passes over the labelled rows to learn anew what was lost."""
    objective: str | None = None
    """Of the thresholds; None: as in training."""
    empty: Literal["none", "argmax", "auto"] = "auto"
    """What to do when no label passes."""
    seed: int = 42
    model_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the training with ``recover``."""

    def __post_init__(self) -> None:
        limits = (
            ("ffn", self.ffn is None or 0 < self.ffn <= 1),
            ("heads", self.heads is None or 0 < self.heads <= 1),
            ("min_count", self.min_count >= 1),
            ("recover", self.recover >= 0),
            ("seed", self.seed >= 0),
        )
        for name, fine in limits:
            if not fine:
                value = getattr(self, name)
                raise UsageError(f"{name} 값이 범위를 벗어났습니다: {value}", f"{name} is out of range: {value}")

    @property
    def cuts_weights(self) -> bool:
        """Whether anything goes that answers depend on; a trimmed vocabulary alone changes rare texts only."""
        return self.layers is not None or self.ffn is not None or self.heads is not None


DEFAULTS = PruneSettings()
