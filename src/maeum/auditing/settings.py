"""What an audit is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from maeum.errors import UsageError

Method = Literal["posterior", "cleanlab"]

RARE = 20
"""A label given to fewer rows than this is called too rare: of five folds, four learn it from less than 16."""
SUSPICIOUS = 0.2
"""From this score on a label counts as suspicious in the table of labels: four times the share of errors that is assumed.
Where a model has learnt from many wrong labels, it is not surer than this of any."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides what an audit lists, beside the data and the model."""

    expected_errors: float = 0.05
    """Share (0–1) of the labels given that are assumed to be wrong. It says how sure a model must be before its word
    counts more than the annotator's, and is the lowest score that is listed."""
    method: Method = "posterior"
    """``posterior``: our score. ``cleanlab``: the self-confidence of cleanlab (extra ``audit``), to compare."""
    top: int = 500
    """Entries of the work list at most."""
    near: float = 0.7
    """Two texts are near-duplicates from this share of common letter triples on (Jaccard)."""
    pairs: int = 20
    """Confusable pairs shown at most."""
    seed: int = 42
    """Seed of training and folds."""

    def __post_init__(self) -> None:
        if not 0 < self.expected_errors < 0.5:
            raise UsageError(
                f"--expected-errors는 0과 0.5 사이여야 합니다: {self.expected_errors:g}",
                f"--expected-errors lies between 0 and 0.5, got {self.expected_errors:g}",
            )
        if self.method not in get_args(Method):
            names = ", ".join(get_args(Method))
            raise UsageError(
                f"--method는 {names} 가운데 하나입니다: {self.method}", f"--method is one of {names}, got {self.method}"
            )
        if not 0.5 <= self.near <= 1:
            raise UsageError(
                f"--near는 0.5와 1 사이여야 합니다: {self.near:g}", f"--near lies between 0.5 and 1, got {self.near:g}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
