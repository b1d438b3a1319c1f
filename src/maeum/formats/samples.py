"""The sample data that comes with the package: ``sample:nikl-ea``, ``sample:aihub``, ``sample:fashion``,
``sample:contradictions``.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from maeum.errors import DataError, UsageError

PREFIX = "sample:"


class Sample(NamedTuple):
    """A sample file, how it lies and what it is labelled for."""

    file: str
    format: str
    task: str


SAMPLES = {
    "nikl-ea": Sample("nikl-ea.jsonl", "nikl-ea", "nikl-ea"),
    "aihub": Sample("aihub.csv", "aihub-speech", "aihub-7"),
    "fashion": Sample("fashion.jsonl", "jsonl", "review-fashion"),
    "contradictions": Sample("contradictions.jsonl", "jsonl", "review-fashion"),
}


def find_sample(name: str) -> Sample:
    """A sample by name, with or without ``sample:``.

    Raises:
        UsageError: no sample of that name.
    """
    sample = SAMPLES.get(name.removeprefix(PREFIX))
    if sample is None:
        names = ", ".join(PREFIX + key for key in SAMPLES)
        raise UsageError(
            f"'{name}'이라는 예제 데이터는 없습니다. 있는 것: {names}", f"no sample '{name}'; there are: {names}"
        )
    return sample


def sample_path(name: str) -> Path:
    """The file of a sample.

    Raises:
        UsageError: no sample of that name.
        DataError: the file is missing from this installation.
    """
    path = Path(str(resources.files("maeum") / "samples" / find_sample(name).file))
    if not path.is_file():
        raise DataError(
            "예제 데이터가 설치본에 없습니다. maeum을 다시 설치하세요.",
            "the sample data is missing from this installation; install maeum again",
            path=path,
        )
    return path
