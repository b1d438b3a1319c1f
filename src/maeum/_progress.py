"""How long work tells what it does: a line for each stage, and steps of a bar where somebody is watching.

The library only calls; what is shown, and whether, belongs to the front end that passes the object in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

Line = Callable[[str], None]
"""The simplest listener: a function called with a line before each stage."""
Step = Callable[[int, str], None]
"""Called with how many steps are done and a short remark (the loss, say)."""


@runtime_checkable
class Progress(Protocol):
    """A listener that can also draw a bar."""

    def __call__(self, line: str) -> None:
        """A stage begins."""
        ...

    def bar(self, name: str, total: int) -> AbstractContextManager[Step]:
        """A bar of ``total`` steps for as long as the block runs."""
        ...


@runtime_checkable
class ScoreListener(Protocol):
    """A listener that also looks at the scores on the way. It may end the run by raising from either call."""

    def __call__(self, line: str) -> None:
        """A stage begins."""
        ...

    def evaluated(self, epoch: float, scores: Mapping[str, float]) -> None:
        """The model in training was judged on held-out rows after so many epochs."""
        ...

    def folds_done(self, folds: int, y: NDArray[Any], proba: NDArray[Any]) -> None:
        """So many folds are done and more will follow; labels and probabilities (n, k) of the rows they held out."""
        ...


def report_scores(progress: Line, epoch: float, scores: Mapping[str, float]) -> None:
    """Tell a listener that wants to know what an evaluation found."""
    if isinstance(progress, ScoreListener):
        progress.evaluated(epoch, scores)


def report_folds(progress: Line, folds: int, y: NDArray[Any], proba: NDArray[Any]) -> None:
    """Tell a listener that wants to know what the folds so far gave."""
    if isinstance(progress, ScoreListener):
        progress.folds_done(folds, y, proba)


def steps(progress: Line, name: str, total: int) -> AbstractContextManager[Step]:
    """The bar of a listener that draws one, or a step that does nothing."""
    if isinstance(progress, Progress):
        return progress.bar(name, total)
    return nullcontext(_ignore)


def _ignore(done: int, remark: str) -> None:
    """Nobody is watching."""
