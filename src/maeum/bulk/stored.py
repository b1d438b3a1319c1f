"""The output folder: the plan while the job runs, a journal of finished parts, and the manifest when it is complete.

::

    part-00000.parquet …     predictions, each there when it is complete
    rejects/part-00000.jsonl bad rows of that part, with on_error="skip"
    plan.json, parts.jsonl   while the job runs: what is to be done, and a line for each part that is
    manifest.json            written last: what the parts are and what they were made from
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from maeum._files import canonical_json, pretty_json, read_json, sha256_file, sha256_text, write_text
from maeum._version import __version__
from maeum.bulk.plan import Plan
from maeum.bulk.settings import BatchSettings
from maeum.bulk.work import REJECTS, Done
from maeum.errors import UsageError

KIND, FORMAT = "maeum-batch", 1
MANIFEST, PLAN, JOURNAL, LOCK = "manifest.json", "plan.json", "parts.jsonl", ".lock"
_LEAVINGS = (".part-*.tmp*", *(f".{name}.*.tmp" for name in (MANIFEST, PLAN, JOURNAL)))
"""What a kill leaves of a file that was being written."""
_OURS = ("part-*.parquet", "part-*.jsonl", "part-*.csv", *_LEAVINGS)
_NAMED = {"model": ("모델", "model"), "input": ("입력", "input"), "options": ("옵션", "options")}

Identity = Mapping[str, Any]


def identity_of(model: str, files: Mapping[str, Any], settings: BatchSettings) -> dict[str, Any]:
    """What must be the same for a job to go on: the model, every input file's state, the settings and this version."""
    options = {**settings.to_dict(), "maeum": __version__}
    return {
        "model": model,
        "input": sha256_text(canonical_json(files)),
        "options": sha256_text(canonical_json(options)),
    }


class Output:
    """The folder of a job."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self.identity = identity

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second run out for as long as the block runs; the lock goes with the process, however it ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":  # no such lock there
            yield
            return
        import fcntl

        with (self.folder / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._busy() from error
            # a run that ended just now has removed the file that we opened: others would lock a new one
            if not _is_still(self.folder / LOCK, file.fileno()):
                raise self._busy()
            try:
                yield
            finally:
                (self.folder / LOCK).unlink(missing_ok=True)

    def refuse_foreign(self) -> None:
        """Leave alone what batch did not write.

        Raises:
            UsageError: the folder holds something, and no job.
        """
        leavings = {path for pattern in _LEAVINGS for path in self.folder.glob(pattern)}
        ours = any((_record(self.folder / name) or {}).get("kind") == KIND for name in (MANIFEST, PLAN))
        if set(self.folder.iterdir()) - leavings - {self.folder / LOCK} and not ours:
            raise self._foreign()

    def clear(self) -> None:
        """Remove what an earlier job wrote, for ``--overwrite``; last what says that the folder is one of ours."""
        self.sweep(*_OURS)
        for name in (JOURNAL, PLAN, MANIFEST):
            (self.folder / name).unlink(missing_ok=True)

    def sweep(self, *patterns: str) -> None:
        """Remove the leavings of killed workers, or the parts of another job."""
        for pattern in patterns or _LEAVINGS:
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        if patterns and (self.folder / REJECTS).is_dir():
            for path in (self.folder / REJECTS).glob("part-*.jsonl"):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (self.folder / REJECTS).rmdir()

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of the finished job, if it is this one; None if there is none.

        Raises:
            UsageError: it is another job's.
        """
        return self._own(MANIFEST)

    def plan(self, root: Path) -> Plan | None:
        """The plan of the interrupted job, if it is this one; None if there is none.

        Raises:
            UsageError: it is another job's.
        """
        found = self._own(PLAN)
        return None if found is None else Plan.from_dict(found, root)

    def begin(self, plan: Plan) -> None:
        """Write the plan down; from now on the job can be gone on with, and what an earlier manifest said is past."""
        record = {"kind": KIND, "format": FORMAT, "identity": dict(self.identity), **plan.to_dict()}
        write_text(self.folder / PLAN, json.dumps(record, ensure_ascii=False) + "\n")
        (self.folder / MANIFEST).unlink(missing_ok=True)

    def journal(self, suffix: str, plan: Plan, tick: Callable[[int], None]) -> dict[int, Done]:
        """The parts that are done and still what they were, byte for byte; the journal then holds these alone."""
        found: dict[int, Done] = {}
        rows = 0
        for line in _lines(self.folder / JOURNAL):
            try:
                done = Done(**json.loads(line))
            except (json.JSONDecodeError, TypeError):  # the last line, cut by a kill
                continue
            if done.part < len(plan.parts) and _intact(self.folder / plan.parts[done.part].name(suffix), done):
                found[done.part] = done
                rows += plan.parts[done.part].rows
                tick(rows)
        text = "".join(canonical_json(done.to_dict()) + "\n" for done in found.values())
        write_text(self.folder / JOURNAL, text)
        return found

    def record(self, done: Done) -> None:
        """Write down that a part is done, and make that safe."""
        with (self.folder / JOURNAL).open("a", encoding="utf-8", newline="\n") as file:
            file.write(canonical_json(done.to_dict()) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self, about: Mapping[str, Any], plan: Plan, done: Mapping[int, Done], suffix: str) -> None:
        """Write the manifest; the plan and the journal are no longer needed."""
        parts = [
            {
                "name": part.name(suffix),
                "file": plan.files[part.file].name,
                "first_row": part.first_row,
                "rows": done[part.number].rows,
                "rejected": done[part.number].rejected,
                "bytes": done[part.number].bytes,
                "sha256": done[part.number].sha256,
            }
            for part in plan.parts
        ]
        record = {
            "kind": KIND,
            "format": FORMAT,
            "maeum": __version__,
            "identity": dict(self.identity),
            **about,
            "files": [dataclasses.asdict(file) for file in plan.files],
            "rows": sum(item.rows for item in done.values()),
            "rejected": sum(item.rejected for item in done.values()),
            "parts": parts,
        }
        write_text(self.folder / MANIFEST, pretty_json(record))
        self.tidy()

    def tidy(self) -> None:
        """Remove what a finished job needs no more."""
        for name in (PLAN, JOURNAL):
            (self.folder / name).unlink(missing_ok=True)
        self.sweep()

    def reopen(self, manifest: Mapping[str, Any]) -> None:
        """A finished job some of whose parts are gone goes on where its manifest says it stood."""
        if (self.folder / PLAN).exists():  # it already does
            return
        done = [
            Done(number, part["rows"], part["rejected"], part["bytes"], part["sha256"], 0.0)
            for number, part in enumerate(manifest["parts"])
        ]
        write_text(self.folder / JOURNAL, "".join(canonical_json(item.to_dict()) + "\n" for item in done))

    def is_whole(self, manifest: Mapping[str, Any]) -> bool:
        """Whether every part of the finished job is still there, by its size."""
        return all(_size(self.folder / part["name"]) == part["bytes"] for part in manifest["parts"])

    # -- inside ---------------------------------------------------------------------------------------------

    def _own(self, name: str) -> dict[str, Any] | None:
        record = _record(self.folder / name)
        if record is None:
            return None
        if record.get("kind") != KIND:
            raise self._foreign()
        theirs = record.get("identity", {})
        if theirs != self.identity:
            other = [key for key, value in self.identity.items() if theirs.get(key) != value]
            ko, en = ("·".join(_NAMED[key][0] for key in other), " and ".join(_NAMED[key][1] for key in other))
            raise UsageError(
                f"'{self.folder}'에는 {ko}이(가) 지금과 다른 작업이 있습니다. 다른 이름을 쓰거나, 처음부터 다시 하려면 --overwrite를 붙이세요.",
                f"'{self.folder}' holds a job with another {en}; choose another name, or add --overwrite to start anew",
            )
        return record

    def _busy(self) -> UsageError:
        return UsageError(
            f"다른 실행이 지금 '{self.folder}'에 쓰고 있습니다.", f"another run is writing '{self.folder}' now"
        )

    def _foreign(self) -> UsageError:
        return UsageError(
            f"'{self.folder}'은(는) batch의 결과 폴더가 아닌데 비어 있지 않습니다. 다른 이름을 쓰세요.",
            f"'{self.folder}' is not empty and not an output folder of batch; choose another name",
        )


def _record(path: Path) -> dict[str, Any] | None:
    try:
        record = read_json(path)
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return record if isinstance(record, dict) else None


def _is_still(path: Path, file: int) -> bool:
    """Whether an open file still has its name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file))
    return False


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
    except FileNotFoundError:
        return


def _intact(path: Path, done: Done) -> bool:
    return _size(path) == done.bytes and sha256_file(path) == done.sha256


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
