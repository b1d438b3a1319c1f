"""Settings of a job: what shapes the rows of its output, and who does the work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from maeum.errors import UsageError

OutputFormat = Literal["parquet", "jsonl", "csv"]
EngineName = Literal["local", "ray"]
OnError = Literal["stop", "skip"]

BATCH_SIZE = 512
PART_ROWS = 40 * BATCH_SIZE
"""A multiple of the batch, so that the batches of all parts are those of ``maeum predict`` on the whole file."""


@dataclass(frozen=True)
class BatchSettings:
    """Everything that shapes the output; two jobs with the same model, input and settings write the same rows."""

    task: str | None = None
    """The head to use, where the model has several; all of them if not given."""
    format: OutputFormat = "parquet"
    part_rows: int = PART_ROWS
    """Rows of the input per part."""
    batch_size: int = BATCH_SIZE
    """Texts that go through the model at a time."""
    text_column: str | None = None
    id_column: str | None = None
    target_column: str | None = None
    keep_columns: tuple[str, ...] = ()
    """Columns of the input that are copied into the output."""
    encoding: str | None = None
    """Of CSV, TSV and JSONL; told from the file if not given."""
    on_error: OnError = "stop"
    """``skip``: bad rows go into ``rejects/`` instead of ending the job."""

    def __post_init__(self) -> None:
        for name, least in (("part_rows", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag}는 {least} 이상이어야 합니다.", f"{flag} must be at least {least}")
        _choice("format", self.format, get_args(OutputFormat))
        _choice("on_error", self.on_error, get_args(OnError))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the plan on disk."""
        return {**dataclasses.asdict(self), "keep_columns": list(self.keep_columns)}


@dataclass(frozen=True)
class Crew:
    """Who does the work; it has no influence on the rows."""

    engine: EngineName = "local"
    workers: int | None = None
    """How many; None: the cores of this machine (``local``), the CPUs or GPUs of the cluster (``ray``)."""
    address: str | None = None
    """``ray``: an existing cluster (``HOST:PORT``, ``auto``); None starts one on this machine for the job."""
    gpus: float = 0.0
    """``ray``: GPUs of each worker; a part of one lets several share it."""

    def __post_init__(self) -> None:
        _choice("engine", self.engine, get_args(EngineName))
        if self.workers is not None and self.workers < 1:
            raise UsageError("--workers는 1 이상이어야 합니다.", "--workers must be at least 1")
        if self.gpus < 0:
            raise UsageError("--gpus는 0 이상이어야 합니다.", "--gpus must be 0 or more")
        if self.engine == "local" and (self.address is not None or self.gpus):
            raise UsageError(
                "--address와 --gpus는 --engine ray에만 씁니다.", "--address and --gpus are for --engine ray only"
            )


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(allowed)
        raise UsageError(
            f"{name}은(는) {choices} 가운데 하나여야 합니다: {value!r}", f"{name} is one of {choices}, got {value!r}"
        )
