"""``mini`` as the model of a benchmark that trains over and over: its vectors are made once, and what it has read is known."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import maeum
from maeum.data import Dataset, Input
from maeum.models import frozen
from maeum.splits import duplicate_groups, holdout

F32 = NDArray[np.float32]
_AT_ONCE = 1024


class Remembering:
    """A trunk that makes the vector of a text once; with ``file``, once for all runs to come.

    Its vectors do not depend on the texts beside, so what is remembered is what would be made anew.
    """

    def __init__(self, trunk: Any, file: Path | None = None) -> None:
        self.trunk = self  # frozen models ask ``shared.trunk.vectors``
        self._inner = trunk.trunk
        self._file = file
        self._known: dict[str, F32] = {}
        if file is not None and file.exists():
            with np.load(file) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    def vectors(self, inputs: Sequence[Input]) -> F32:
        """(n, h) as the trunk makes them."""
        keys = [hashlib.sha256(repr(item).encode("utf-8", "surrogatepass")).hexdigest()[:32] for item in inputs]
        missing = {key: item for key, item in zip(keys, inputs, strict=True) if key not in self._known}
        names = sorted(missing, key=lambda key: len(missing[key].text))
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            made = np.asarray(self._inner.vectors([missing[key] for key in part]), np.float32)
            self._known.update(zip(part, made, strict=True))
            self._save()
        return np.stack([self._known[key] for key in keys])

    def _save(self) -> None:
        if self._file is None:
            return
        part = self._file.with_suffix(".part.npz")
        np.savez(part, keys=np.array(list(self._known)), vectors=np.stack(list(self._known.values())))
        part.replace(self._file)


@contextmanager
def remembered(file: Path | None = None) -> Iterator[None]:
    """Meanwhile every trunk that a frozen model looks for remembers its vectors."""
    find = frozen.find_trunk
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with mock.patch.object(frozen, "find_trunk", functools.cache(lambda folder: Remembering(find(folder), file))):
        yield


def nsmc_unseen(data: Path) -> Dataset:
    """The rows of NSMC that ``mini`` was only judged on (``recipes/mini/heads.toml``), each text once."""
    rows = maeum.read(data / "nsmc" / "train.tsv", format="nsmc")
    _, out = holdout(rows.y, duplicate_groups(rows.texts), fraction=0.1, seed=42)
    rows = rows.select(out)
    return rows.select(np.unique(duplicate_groups(rows.texts), return_index=True)[1])
