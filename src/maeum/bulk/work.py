"""The callable of a worker: it holds an analyzer, and turns one part of the input into one file of predictions.

Both engines run this very class, so that their rows are the same.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from maeum import folder as model_folder
from maeum._files import sha256_file
from maeum.analyzer import Analyzer, batched
from maeum.bulk.plan import InputFile, Part, refuse_changed
from maeum.bulk.reading import part_examples
from maeum.bulk.settings import BatchSettings
from maeum.bulk.writing import Answered, HeadAnswer, Layout, kept_types, open_part
from maeum.data import Example
from maeum.errors import DataError, MaeumError, UsageError
from maeum.formats import ReadReport

REJECTS = "rejects"
"""Folder of the bad rows, one file a part."""


@dataclass(frozen=True)
class Assignment:
    """What a worker must know to do any part; paths are those of a file system that all workers see."""

    model: str
    fingerprint: str
    """Of the model folder, so that no worker answers with another."""
    root: str
    output: str
    settings: BatchSettings


@dataclass(frozen=True)
class Done:
    """What a part came to."""

    part: int
    rows: int
    """Rows in the output."""
    rejected: int
    bytes: int
    sha256: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Failed:
    """Why a part could not be done: the same will happen again."""

    ko: str
    en: str
    path: str | None = None
    line: int | None = None

    def error(self) -> DataError:
        """As an error that can be raised."""
        return DataError(self.ko, self.en, path=self.path, line=self.line)

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """An error as plain data, which any process can read."""
        if isinstance(error, DataError):
            return cls(error.ko, error.en, error.path, error.line)
        if isinstance(error, MaeumError):
            return cls(error.ko, error.en)
        sentence = f"{type(error).__name__}: {error}"
        return cls(sentence, sentence)


class Worker:
    """One analyzer (all heads of the model, or one), loaded once.

    Raises:
        UsageError: the model is not the one the job began with.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        folder = Path(assignment.model)
        model_folder.read_manifest(folder)  # where it is not there, this says so
        if model_folder.fingerprint(folder) != assignment.fingerprint:
            raise UsageError(
                f"작업을 시작한 뒤에 모델 '{folder}'이(가) 바뀌었습니다.",
                f"the model '{folder}' changed after the job began",
            )
        self.heads = open_heads(folder, assignment.settings.task)

    def __call__(self, file: InputFile, part: Part) -> Done:
        """Read, predict and write a part.

        Raises:
            DataError: a bad row (unless skipped), or the file changed.
        """
        start = time.perf_counter()
        settings, output = self.assignment.settings, Path(self.assignment.output)
        path = Path(self.assignment.root) / file.name
        refuse_changed(path, file.stamp)
        tasks = tuple(head.task for head in self.heads)
        report = ReadReport()
        rejects = output / REJECTS / part.name("jsonl") if settings.on_error == "skip" else None
        if rejects is not None:
            rejects.unlink(missing_ok=True)
        examples = part_examples(path, file, part, settings, tasks[0], report, rejects)
        target = output / part.name(settings.format)
        layout = Layout(tasks, kept_types(path, settings.keep_columns))
        with open_part(target, settings.format, layout) as write:
            for answered in answers(self.heads, examples, settings.batch_size):
                write(answered)
            _refuse_lost(part, report, path)
        seconds = time.perf_counter() - start
        return Done(
            part.number, report.rows, report.rejected, target.stat().st_size, sha256_file(target), round(seconds, 3)
        )


class Station:
    """A worker as another process sees it: what goes wrong, in loading the model too, comes back as plain data."""

    def __init__(self, assignment: Assignment) -> None:
        self._failed: Failed | None = None
        try:
            self._worker = Worker(assignment)
        except Exception as error:
            self._failed = Failed.of(error)

    def do(self, file: InputFile, part: Part) -> Done | Failed:
        """Do a part."""
        if self._failed is not None:
            return self._failed
        try:
            return self._worker(file, part)
        except Exception as error:
            return Failed.of(error)


@dataclass(frozen=True)
class Died:
    """A worker that ended in the middle of a part."""

    part: int
    ko: str
    en: str
    """How it ended."""


Outcome = tuple[int, Done | Failed | Died]
"""(number of the part, what came of it)."""


class Pool(Protocol):
    """Workers somewhere: each has one part at a time, and one that dies is replaced."""

    def __enter__(self) -> Self:
        """Start them."""
        ...

    def __exit__(self, *_: object) -> None:
        """End them, whatever they are doing."""
        ...

    @property
    def free(self) -> int:
        """How many have nothing to do."""
        ...

    def give(self, file: InputFile, part: Part) -> None:
        """Give a part to one of the free ones."""
        ...

    def wait(self) -> list[Outcome]:
        """What came of the parts that ended; waits for at least one."""
        ...


def open_heads(folder: Path, task: str | None) -> list[Analyzer]:
    """The analyzers of a model folder: all heads, or the one of a task."""
    return list(model_folder.load_heads(folder).values()) if task is None else [model_folder.load(folder, task=task)]


def answers(heads: list[Analyzer], examples: Iterator[Example], batch_size: int) -> Iterator[Answered]:
    """The answers of all heads, a batch at a time."""
    for batch in batched(examples, batch_size):
        yield Answered(batch, [_answer(head, batch) for head in heads])


def _answer(head: Analyzer, batch: tuple[Example, ...]) -> HeadAnswer:
    proba = head.predict_proba(batch)
    on = head.decide(proba)
    return HeadAnswer(head.task, proba, on, head.grade(batch, on, proba))


def _refuse_lost(part: Part, report: ReadReport, path: Path) -> None:
    """Every row of the plan must have become a row of the output or of the rejects."""
    if report.rows + report.rejected != part.rows:
        raise DataError(
            f"{part.number}번 부분에 {part.rows}행이 있어야 하는데 {report.rows + report.rejected}행을 읽었습니다. 파일이 바뀌었습니다.",
            f"part {part.number} should have {part.rows} rows but {report.rows + report.rejected} were read; the file changed",
            path=path,
        )
