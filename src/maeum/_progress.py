"""How long work tells what it does: a line for each stage, and steps of a bar where somebody is watching.

The library only calls; what is shown, and whether, belongs to the front end that passes the object in.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

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


def steps(progress: Line, name: str, total: int) -> AbstractContextManager[Step]:
    """The bar of a listener that draws one, or a step that does nothing."""
    if isinstance(progress, Progress):
        return progress.bar(name, total)
    return nullcontext(_ignore)


def _ignore(done: int, remark: str) -> None:
    """Nobody is watching."""
