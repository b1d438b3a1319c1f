"""The teacher's pass over all texts, kept in parts, so that a kill costs seconds of it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from maeum._files import pretty_json, read_json, write_text
from maeum._lang import say
from maeum._progress import Line, steps
from maeum.data import Input
from maeum.errors import FormatError, UsageError
from maeum.models.base import Proba
from maeum.task import Task

SAVE_EVERY_SEC = 10.0
"""How much of the teacher's work a kill can cost."""
_BATCH = 256


class Teacher(Protocol):
    """Whoever says how probable each label of a text is: a model, or several heads side by side."""

    @property
    def task(self) -> Task:
        """The labels in column order."""
        ...

    def predict_proba(self, data: Sequence[Input], /) -> Proba:
        """Probabilities (n, k) of raw inputs."""
        ...


class SoftLabels:
    """The probabilities of one teacher for one list of texts, in a folder.

    Args:
        folder: where the parts are; made if needed.
        identity: of teacher and texts.
        kept: whether the folder is the user's own; then parts of something else are refused instead of thrown away.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, kept: bool) -> None:
        self.folder = folder
        about = folder / "about.json"
        before = _read(about)
        if folder.exists() and before != dict(identity):
            if kept and any(folder.iterdir()):
                raise UsageError(
                    f"'{folder}'에 다른 교사나 다른 글의 확률이 있습니다. 다른 폴더를 쓰거나 그 폴더를 지우세요.",
                    f"'{folder}' holds probabilities of another teacher or of other texts; choose another folder or "
                    "remove that one",
                )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(about, pretty_json(dict(identity)))

    def fill(self, teacher: Teacher, inputs: Sequence[Input], progress: Line) -> Proba:
        """The teacher's probabilities (n, k): those that are there already, and the others."""
        parts, done = self._parts(len(teacher.task))
        found = [part[:] for part in parts]
        if done > len(inputs):
            raise _broken(self.folder)
        if done:
            progress(
                say(f"교사의 확률 {done:,}건은 이미 있습니다.", f"{done:,} of the teacher's rows are there already")
            )
        name = say("교사의 확률", "the teacher's probabilities")
        with steps(progress, name, len(inputs)) as bar:
            waiting: list[Proba] = []
            start, begin = time.monotonic(), done
            for at in range(done, len(inputs), _BATCH):
                waiting.append(teacher.predict_proba(inputs[at : at + _BATCH]))
                end = at + len(waiting[-1])
                bar(end, "")
                if end == len(inputs) or time.monotonic() - start > SAVE_EVERY_SEC:
                    part = np.concatenate(waiting)
                    self._write(part, begin)
                    found.append(part)
                    waiting, start, begin = [], time.monotonic(), end
        return np.concatenate(found)

    def _parts(self, k: int) -> tuple[list[Proba], int]:
        """The parts that follow each other from the first row on, and how many rows they have."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        parts: list[Proba] = []
        done = 0
        for path in sorted(self.folder.glob("part-*.safetensors")):
            try:
                if int(path.stem.removeprefix("part-")) != done:
                    break
                part = load_file(path)["proba"]
            except (SafetensorError, KeyError, ValueError) as error:
                raise _broken(self.folder) from error
            if part.ndim != 2 or part.shape[1] != k:
                raise _broken(self.folder)
            parts.append(part)
            done += len(part)
        return parts, done

    def _write(self, part: Proba, begin: int) -> None:
        from safetensors.numpy import save_file

        path = self.folder / f"part-{begin:09d}.safetensors"
        temporary = path.with_suffix(".tmp")
        save_file({"proba": np.ascontiguousarray(part)}, temporary)
        temporary.replace(path)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def _broken(folder: Path) -> FormatError:
    return FormatError(
        f"'{folder}'의 교사 확률이 글과 맞지 않습니다. 그 폴더를 지우고 다시 실행하세요.",
        f"the teacher's probabilities in '{folder}' do not fit the texts; remove that folder and run again",
    )
