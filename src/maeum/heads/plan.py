"""Which data teach which heads: a TOML file of ``[[sources]]``, given to ``maeum train`` where DATA stands.

::

    [[sources]]
    data = "kote/train.tsv"        # below the folder of --root, else below the plan's own
    format = "kote"
    heads = ["kote", "nikl-ea"]    # the data's own task, or one that a taxonomy leads to; default: its own
    passes = 4                     # how often its rows are seen in one epoch; 0.5: every other row
    valid = "kote/dev.tsv"         # a file or a share, for the report
    held = 0.1                     # share left out of training, for calibration and thresholds

    [weights]                      # of the tasks' losses
    kote = 6.0
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.data import Dataset
from maeum.errors import UsageError
from maeum.experiment import HELD_SHARE
from maeum.formats import read
from maeum.hf.training import unknown
from maeum.models.blocks import ABSENT
from maeum.task import Task, get_task
from maeum.taxonomy import find_map

_KEYS = ("data", "format", "task", "heads", "passes", "valid", "held", "text_column", "label_column")


@dataclass(frozen=True)
class Source:
    """One data set and what it teaches."""

    rows: Dataset
    """Labelled rows."""
    heads: tuple[Task, ...]
    passes: float = 1.0
    """How often its rows are seen in an epoch."""
    valid: Dataset | float | None = None
    """Rows that only judge, or the share (0–1) of ``rows`` to hold out for that."""
    held: float = HELD_SHARE
    """Share (0–1) of the other rows left out of training, for calibration and thresholds."""

    def teaches(self, head: Task) -> bool:
        """Whether its rows are labelled for a head, by people or through a taxonomy."""
        return head.name in {own.name for own in self.heads}

    def is_native(self, head: Task) -> bool:
        """Whether its labels for a head are the very ones that people gave, not what a taxonomy makes of them."""
        return head.fingerprint == self.rows.task.fingerprint

    def labels(self, rows: Dataset, head: Task) -> NDArray[np.float32]:
        """(n, k) labels of rows of this source for one of its heads; ``ABSENT`` where nothing maps."""
        if self.is_native(head):
            return rows.y.astype(np.float32)
        y = find_map(rows.task, head).map_decisions(rows.y).astype(np.float32)
        if head.kind == "multiclass":
            y[y.sum(1) == 0] = ABSENT
        return y


@dataclass(frozen=True)
class Plan:
    """Sources, and the heads they teach in column order."""

    sources: tuple[Source, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    """Of the tasks' losses, where not the default."""

    @property
    def heads(self) -> tuple[Task, ...]:
        """The tasks in the order they are first named."""
        found: dict[str, Task] = {}
        for source in self.sources:
            for head in source.heads:
                found.setdefault(head.name, head)
        return tuple(found.values())

    @property
    def fingerprint(self) -> list[dict[str, Any]]:
        """What decides the rows and labels."""
        return [
            {
                "rows": source.rows.fingerprint,
                "source": source.rows.source,
                "count": len(source.rows),
                "task": source.rows.task.fingerprint,
                "heads": [head.fingerprint for head in source.heads],
                "passes": source.passes,
                "held": source.held,
                "valid": source.valid.fingerprint if isinstance(source.valid, Dataset) else source.valid,
            }
            for source in self.sources
        ]


def read_plan(path: str | Path, *, root: str | Path | None = None) -> Plan:
    """Read a plan and the data it names.

    Args:
        root: where the data files lie; the plan's own folder if not given.

    Raises:
        UsageError: the file is not TOML, a key is unknown or missing, or a value does not fit.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"계획 파일이 없습니다: {path}", f"no such plan: {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: TOML이 아닙니다: {error}", f"{path}: not TOML: {error}") from error
    _refuse_unknown(data, ("sources", "weights"), path)
    items = data.get("sources")
    if not isinstance(items, list) or not items or not all(isinstance(item, Mapping) for item in items):
        raise UsageError(f"{path}: [[sources]]가 하나도 없습니다.", f"{path}: it has no [[sources]]")
    place = path.parent if root is None else Path(root)
    plan = Plan(tuple(_source(item, place, path) for item in items), _weights(data.get("weights", {}), path))
    names = [head.name for head in plan.heads]
    for name in plan.weights:
        if name not in names:
            raise unknown(say("머리", "head"), name, names)
    return plan


def _source(item: Mapping[str, Any], place: Path, path: Path) -> Source:
    _refuse_unknown(item, _KEYS, path)
    if not isinstance(item.get("data"), str):
        raise UsageError(f'{path}: 소스마다 data = "파일"이 있어야 합니다.', f'{path}: a source needs data = "FILE"')
    for name in ("task", "format", "text_column", "label_column"):
        if not isinstance(item.get(name, ""), str):
            raise _wrong(path, name, say("낱말", "a word"), item[name])
    names = item.get("heads")
    if names is not None and not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise _wrong(path, "heads", say('과제 이름의 목록(["kote"])', 'a list of names of tasks (["kote"])'), names)
    task = get_task(item["task"]) if "task" in item else None
    words = {name: item.get(name) for name in ("format", "text_column", "label_column")}
    rows = read(_placed(item["data"], place), task=task, **words).labelled()
    valid, held, passes = item.get("valid"), item.get("held", HELD_SHARE), item.get("passes", 1.0)
    if isinstance(valid, str):
        valid = read(_placed(valid, place), task=rows.task, **words).labelled()
    elif valid is not None and not (_is_number(valid) and 0 < valid < 1):
        raise UsageError(
            f"{path}: valid는 파일이거나 0과 1 사이의 비율입니다: {valid}",
            f"{path}: valid is a file or a share between 0 and 1, got {valid}",
        )
    if not (_is_number(held) and 0 < held < 1):
        raise UsageError(
            f"{path}: held는 0과 1 사이의 비율입니다: {held}", f"{path}: held is a share between 0 and 1, got {held}"
        )
    if not _is_number(passes) or passes <= 0:
        raise UsageError(f"{path}: passes는 0보다 커야 합니다: {passes}", f"{path}: passes must be above 0: {passes}")
    heads = tuple(
        rows.task if name == rows.task.name else find_map(rows.task, get_task(name)).target
        for name in names or [rows.task.name]
    )
    return Source(rows, heads, float(passes), valid, float(held))


def _placed(name: str, place: Path) -> str:
    return name if name.startswith("sample:") else str(place / name)


def _is_number(value: Any) -> bool:
    """A finite one; TOML has inf and nan, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(path: Path, name: str, expected: str, value: Any) -> UsageError:
    return UsageError(
        f"{path}: {name}에는 {expected}이(가) 와야 합니다: {value!r}",
        f"{path}: {name} must be {expected}, got {value!r}",
    )


def _weights(data: Any, path: Path) -> dict[str, float]:
    if not isinstance(data, Mapping):
        raise _wrong(path, "weights", say("표([weights])", "a table ([weights])"), data)
    for name, value in data.items():
        if not _is_number(value) or value <= 0:
            raise UsageError(
                f"{path}: 가중치 {name}은(는) 0보다 큰 수여야 합니다: {value}",
                f"{path}: the weight of {name} must be a number above 0, got {value}",
            )
    return {name: float(value) for name, value in data.items()}


def _refuse_unknown(item: Mapping[str, Any], known: Sequence[str], path: Path) -> None:
    for name in item:
        if name not in known:
            error = unknown(say("항목", "key"), name, list(known))
            raise UsageError(f"{path}: {error.ko}", f"{path}: {error.en}")
