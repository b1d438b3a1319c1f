"""What a roll-up is asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from maeum.errors import UsageError

PeriodKind = Literal["day", "week", "month", "year"]


@dataclass(frozen=True)
class Settings:
    """How to group, count and sample."""

    date_column: str | None = None
    """Column (or key, also of ``meta``) of the date; None: no counts over time."""
    date_format: str | None = None
    """How dates are written, in ``strptime`` letters (``%y.%m.%d``); None: the forms that leave no doubt."""
    group_column: str | None = None
    """Column of the group: product, shop, movie; None: no counts by group."""
    period: PeriodKind = "month"
    """How long a step of time is."""
    top: int = 20
    """Groups that are counted by name, those with the most rows; the rest is counted together."""
    examples: int = 6
    """Sentences kept for each number: half the most confident, half drawn at random."""
    min_count: int = 5
    """Shares of fewer texts are shown pale, and a word must be in this many texts to be listed."""
    seed: int = 0
    """Which sentences chance picks."""

    def __post_init__(self) -> None:
        if self.period not in get_args(PeriodKind):
            names = ", ".join(get_args(PeriodKind))
            raise UsageError(
                f"기간은 {names} 가운데 하나여야 합니다: {self.period!r}",
                f"the period is one of {names}, got {self.period!r}",
            )
        for name, least in (("top", 1), ("examples", 1), ("min_count", 1)):
            value = getattr(self, name)
            if value < least:
                raise UsageError(
                    f"{name}은(는) {least} 이상이어야 합니다: {value}", f"{name} is at least {least}, got {value}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)
