"""What to sample and how: the numbers a person sets, and the criteria there are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from maeum.errors import UsageError

CRITERIA = ("threshold", "uncertainty", "disagreement", "rare", "outlier")
"""What a text is ranked by; ``maeum.sampling`` says what each measures."""
DIVERSITY = "diversity"
"""Weight of the distance to what is picked already; no criterion of its own."""
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"threshold": 1.0, "uncertainty": 1.0, "disagreement": 0.5, "rare": 0.25, "outlier": 0.25, DIVERSITY: 0.25}
)
"""The mix (benchmarks/active.py compares it with each criterion alone and with chance)."""


def full_weights(given: Mapping[str, float]) -> dict[str, float]:
    """The default mix with some weights changed.

    Raises:
        UsageError: a name that is no criterion, a negative weight, or no criterion left.
    """
    for name, weight in given.items():
        if name not in WEIGHTS:
            close = difflib.get_close_matches(name, WEIGHTS, n=1)
            hint = close[0] if close else ", ".join(WEIGHTS)
            raise UsageError(
                f"'{name}'이라는 기준은 없습니다. 혹시: {hint}",
                f"there is no criterion '{name}'; did you mean: {hint}?",
            )
        if not 0 <= weight < float("inf"):
            raise UsageError(
                f"가중치는 0 이상의 수여야 합니다: {name}={weight}",
                f"a weight is a number from 0 up, got {name}={weight}",
            )
    weights = {**WEIGHTS, **given}
    if not any(weights[name] for name in CRITERIA):
        raise UsageError(
            f"가중치가 모두 0입니다. {', '.join(CRITERIA)} 가운데 하나는 0보다 커야 합니다.",
            f"all weights are 0; one of {', '.join(CRITERIA)} must be above 0",
        )
    return weights


@dataclass(frozen=True)
class SampleSettings:
    """How many rows, from where, by what."""

    n: int
    """Rows to pick, those picked by chance among them."""
    random_share: float = 0.1
    """Share of ``n`` that is picked by chance and marked so, for estimates that hold for the whole pool."""
    stratify: tuple[str, ...] = ()
    """Columns whose combinations get rows in proportion to their size in the pool."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weights that differ from ``WEIGHTS``."""
    vectors: str = "auto"
    """``auto``, ``ngrams``, ``mini``, or a model folder with a trunk."""
    candidates: int = 5
    """Best rows per row to pick that diversity chooses among."""
    batch_size: int = 512
    """Texts that go through the model at a time."""
    seed: int = 42

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"뽑을 행 수는 1 이상이어야 합니다: {self.n}", f"pick at least one row, got {self.n}")
        if not 0 <= self.random_share <= 1:
            raise UsageError(
                f"무작위로 뽑을 비율은 0과 1 사이여야 합니다: {self.random_share}",
                f"the share picked by chance lies in 0–1, got {self.random_share}",
            )
        if self.candidates < 1 or self.batch_size < 1:
            raise UsageError("candidates와 batch_size는 1 이상이어야 합니다.", "candidates and batch_size start at 1")
        full_weights(self.weights)
