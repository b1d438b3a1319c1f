"""What can go wrong, as a tree.

::

    MaeumError                 anything this package raises on purpose; carries both languages
    ├── UsageError             an argument makes no sense (also a ValueError)
    ├── DataError              a row or a file is not what it should be; names file and line
    ├── TaskMismatch           a label, a task or a model does not belong to the other (also a ValueError)
    ├── NotFitted              a model is asked before it was trained
    ├── FormatError            a model folder is cut short, edited, or from a newer version
    └── MissingExtra           an optional package is not installed (also an ImportError)

``str(error)`` is one readable sentence in the language of ``maeum._lang``.
"""

from __future__ import annotations

from pathlib import Path

from maeum._lang import say

__all__ = ["DataError", "FormatError", "MaeumError", "MissingExtra", "NotFitted", "TaskMismatch", "UsageError"]


class MaeumError(Exception):
    """Base of all errors of this package.

    Args:
        ko: the sentence in Korean: what was expected, what came, what to do.
        en: the same in English.
    """

    def __init__(self, ko: str, en: str) -> None:
        super().__init__(ko, en)
        self.ko = ko
        self.en = en

    def __str__(self) -> str:
        return say(self.ko, self.en)


class UsageError(MaeumError, ValueError):
    """An argument or a combination of arguments makes no sense."""


class DataError(MaeumError):
    """A row or a file is not what it should be.

    Args:
        ko, en: the sentence without the place.
        path: the file, if the data came from one.
        line: line in the file, counted from 1 (for spreadsheets: the row).
    """

    def __init__(self, ko: str, en: str, *, path: str | Path | None = None, line: int | None = None) -> None:
        super().__init__(ko, en)
        self.path = None if path is None else str(path)
        self.line = line

    def __str__(self) -> str:
        if self.path is None:
            return super().__str__()
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {super().__str__()}"

    def at(self, path: str | Path, line: int | None = None) -> DataError:
        """The same error with its place filled in where it was not known yet."""
        return DataError(
            self.ko,
            self.en,
            path=self.path if self.path is not None else path,
            line=self.line if self.line is not None else line,
        )


class TaskMismatch(MaeumError, ValueError):
    """A label is not in the task, or two things belong to different tasks."""


class NotFitted(MaeumError):
    """A model was asked for probabilities before it was trained."""


class FormatError(MaeumError):
    """A model folder cannot be trusted: cut short, edited, or made by a newer version."""


class MissingExtra(MaeumError, ImportError):
    """An optional package is not installed; the sentence holds the install command."""
