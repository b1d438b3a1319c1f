"""Our own form: one object a line, ``{"id", "text", "target", "labels" | "aspects", "meta"}``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from maeum._files import atomic_text
from maeum.data import Example
from maeum.task import Task


def json_line(example: Example) -> str:
    """An example as one line of our JSONL, without the line end."""
    return json.dumps(example.to_dict(), ensure_ascii=False, default=str)


def write_jsonl(examples: Iterable[Example], path: Path, task: Task | None, source: Path | None) -> None:
    """Write examples in our JSONL."""
    with atomic_text(path) as file:
        for example in examples:
            file.write(json_line(example) + "\n")
