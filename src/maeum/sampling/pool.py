"""The pool, read as often as needed: rows with the group they belong to, the same in every pass."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.data import Example
from maeum.errors import DataError, UsageError
from maeum.formats.columns import plain
from maeum.formats.ids import SeenIds
from maeum.formats.lines import Row
from maeum.formats.options import ReadReport, Rejects
from maeum.formats.reading import STDIN, examples_of, open_source
from maeum.formats.records import Context
from maeum.splits import duplicate_key
from maeum.task import Task

_GROUP = "sample group"
U64 = NDArray[np.uint64]


class Pool:
    """Unlabelled rows of a file.

    Args:
        source: a file or ``sample:NAME``; not standard input, which can be read only once.
        task: of the model; only its name may shape how a corpus is read, labels are left alone.
        stratify: columns whose values together name a row's group.
        reading: options of reading, as for ``maeum.read``; with ``rejects`` the first pass writes them.

    Raises:
        UsageError: standard input.
    """

    def __init__(self, source: str, task: Task, stratify: tuple[str, ...] = (), **reading: Any) -> None:
        if source == STDIN:
            raise UsageError(
                "후보 글은 두 번 읽으므로 표준 입력(-)으로는 받을 수 없습니다. 파일로 저장해서 주세요.",
                "the pool is read twice, so it cannot be standard input (-); save it to a file",
            )
        self.source = source
        self.report = ReadReport()
        self._stratify = stratify
        self._rejects: Path | None = reading.pop("rejects", None)
        self._opened = open_source(source, task=task, **reading)

    def rows(self, *, first: bool) -> Iterator[tuple[Example, tuple[str, ...]]]:
        """Rows and their groups in file order.

        Args:
            first: whether this pass counts rows and writes the rejected ones down.

        Raises:
            DataError: as reading does; or a column to stratify by is in no row.
        """
        report = self.report if first else ReadReport()
        parse = self._opened.format.parse

        def tagged(row: Row, context: Context) -> Example | None:
            # the format may take a column such as "category" for a label, so the row itself is asked as well
            example = parse(row, context)
            if example is None:
                return None
            fields = {**(row.value if isinstance(row.value, dict) else {}), **example.meta}
            return dataclasses.replace(example, meta={**example.meta, _GROUP: self._group(fields)})

        format = dataclasses.replace(self._opened.format, parse=tagged) if self._stratify else self._opened.format
        opened = dataclasses.replace(self._opened, format=format)
        found = [False] * len(self._stratify)
        rejects = Rejects(self._rejects if first else None, report)
        with contextlib.closing(rejects):
            for example in examples_of(opened, report, rejects, SeenIds()):
                meta = dict(example.meta)
                group = meta.pop(_GROUP, ())
                found = [seen or value is not None for seen, value in zip(found, group, strict=True)]
                yield dataclasses.replace(example, meta=meta), tuple(value or "" for value in group)
        self._check(report, found)

    def _check(self, report: ReadReport, found: Sequence[bool]) -> None:
        """Refuse a pool without rows, or a column to stratify by that no row has (``found`` one for each)."""
        if not report.rows:
            raise DataError("후보 글이 없습니다.", "the pool has no usable row", path=self.source)
        for name, seen in zip(self._stratify, found, strict=True):
            if not seen:
                raise DataError(
                    f"어느 행에도 '{name}' 열이 없습니다. --stratify의 열 이름을 확인하세요.",
                    f"no row has a column '{name}'; check the names given to --stratify",
                    path=self.source,
                )

    def _group(self, fields: Mapping[str, Any]) -> tuple[str | None, ...]:
        named = {plain(str(name)): value for name, value in fields.items()}
        inner = fields.get("meta")
        if isinstance(inner, dict):
            named = {**{plain(str(name)): value for name, value in inner.items()}, **named}
        cells = (named.get(plain(name)) for name in self._stratify)
        return tuple(None if cell is None else str(cell).strip() for cell in cells)


class HeldPool(Pool):
    """Unlabelled rows that are in memory already.

    Args:
        examples: the rows.
        stratify: as for ``Pool``.
        fields: what each row's columns hold; None: its ``meta``.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        stratify: tuple[str, ...] = (),
        *,
        fields: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.source = "rows"
        self.report = ReadReport(source=self.source, rows=len(examples))
        self._stratify = stratify
        self._examples = examples
        self._fields = [example.meta for example in examples] if fields is None else fields

    def rows(self, *, first: bool) -> Iterator[tuple[Example, tuple[str, ...]]]:
        """Rows and their groups in order."""
        found = [False] * len(self._stratify)
        for example, fields in zip(self._examples, self._fields, strict=True):
            group = self._group(fields)
            found = [seen or value is not None for seen, value in zip(found, group, strict=True)]
            yield example, tuple(value or "" for value in group)
        self._check(self.report, found)


def row_key(example: Example) -> int:
    """64 bits that two rows share when an annotator would label the same thing: the text as ``duplicate_key``, and the target."""
    target = example.target
    about = "" if target is None else f"\0{target.form}\0{example.text[: target.begin].count(target.form)}"
    aspect = "" if example.aspect is None else f"\0{example.aspect}"
    raw = (duplicate_key(example.text) + about + aspect).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


def chances(keys: U64, seed: int) -> U64:
    """A random number (n,) for each key, the same for equal keys: whoever has the smallest ones is a random sample.

    splitmix64's finaliser (Steele, Lea & Flood 2014) of key and seed. The sample depends neither on the order of
    the rows nor on how often a text occurs (bottom-k sampling, Cohen & Kaplan 2007).
    """
    salt = np.frombuffer(hashlib.blake2b(f"chance {seed}".encode(), digest_size=8).digest(), np.uint64)[0]
    x = keys ^ salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(x ^ (x >> np.uint64(31)))
