"""A sample as a file: our JSONL with all reasons, or a table with one column for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maeum._files import refuse_existing
from maeum._lang import say
from maeum.data import Example
from maeum.errors import UsageError
from maeum.formats import write

KINDS = ("jsonl", "csv", "tsv", "xlsx", "parquet")
_WORDS = {
    "threshold": ("기준값에 가까움", "near a threshold"),
    "uncertainty": ("고르기 어려움", "no clear choice"),
    "disagreement": ("모델끼리 다름", "models disagree"),
    "rare": ("드문 낱말", "rare words"),
    "outlier": ("배운 글과 멂", "far from the training text"),
    "random": ("무작위", "by chance"),
}


def write_sample(rows: Sequence[Example], path: Path, *, overwrite: bool = False) -> None:
    """Write the rows; the file appears when it is whole.

    Raises:
        UsageError: the file exists and ``overwrite`` is off, or its suffix is none of ``KINDS``.
    """
    kind = output_kind(path)
    if not overwrite:
        refuse_existing(path, overwrite=False)
    write(rows if kind == "jsonl" else flat_rows(rows), path, kind)


def flat_rows(rows: Sequence[Example]) -> list[Example]:
    """The rows with a column for each of their reasons, as tables have them."""
    return [dataclasses.replace(row, meta=_flat(row.meta)) for row in rows]


def output_kind(path: Path) -> str:
    """What the suffix of an output asks for.

    Raises:
        UsageError: none of ``KINDS``.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UsageError(
            f"'{path}'의 확장자는 {', '.join(KINDS)} 가운데 하나여야 합니다.",
            f"the suffix of '{path}' must be one of {', '.join(KINDS)}",
        )
    return kind


def reason(why: dict[str, Any]) -> str:
    """Why a row was picked, in words: ``기준값에 가까움(기쁨)``."""
    won = str(why["won"])
    words = reason_words(won)
    pointed = why.get("criteria", {}).get(won, {}).get("at")
    return f"{words}({pointed})" if pointed else words


def reason_words(name: str) -> str:
    """What a criterion means for a row that it picked."""
    return say(*_WORDS[name])


def _flat(meta: Any) -> dict[str, Any]:
    rest = {key: value for key, value in meta.items() if key != "sample"}
    why = meta["sample"]
    flat = {"sample_picked": why["picked"], "sample_why": reason(why), "sample_score": why["score"]}
    for name, found in why["criteria"].items():
        flat[f"sample_{name}"] = found["value"]
    return {**rest, **flat}
