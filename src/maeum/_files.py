"""Files on disk: atomic writes, canonical JSON, checksums.

A writer killed at any moment leaves the old state or the new, never a mixture: files are written to a
temporary sibling, flushed to disk and renamed; folders likewise.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from maeum.errors import UsageError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, so it can be hashed."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def pretty_json(value: object) -> str:
    """JSON for people: indented, Hangul readable, newline at the end."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def read_json(path: Path) -> Any:
    """Parse a UTF-8 JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256_text(text: str) -> str:
    """Hex SHA-256 of the UTF-8 bytes (lone surrogates pass)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_text(path: Path, *, encoding: str = "utf-8", newline: str | None = "\n") -> Iterator[TextIO]:
    """A text file that appears under its name only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding=encoding, newline=newline, errors="surrogatepass") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically."""
    with atomic_text(path) as file:
        file.write(text)


@dataclass(frozen=True)
class Kind:
    """What tells a folder of ours, which may be replaced, from anybody else's."""

    mark: str
    """A file that every such folder has."""
    ko: str
    """What another folder is not, to end in ``…가 아니어서``."""
    en: str
    """The same as a predicate."""
    lost_ko: str = ""
    lost_en: str = ""
    """What ``--overwrite`` would lose, in brackets."""


MODEL_FOLDER = Kind("manifest.json", "maeum이 만든 모델 폴더", "is not a model folder written by maeum")


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False, kind: Kind = MODEL_FOLDER) -> Iterator[Path]:
    """A folder that appears under its name only when the block ends without an error.

    Yields a temporary sibling to write into. An existing folder is refused unless ``overwrite``, and then
    swapped in one step where the system can (Linux ``renameat2``), else in two renames.
    """
    refuse_existing(path, overwrite=overwrite, kind=kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _sync_tree(temporary)
        if not path.exists():
            temporary.rename(path)
        elif not _exchange(temporary, path):
            aside = temporary.with_suffix(".old")
            path.rename(aside)
            temporary.rename(path)
            temporary = aside
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(path: Path, *, overwrite: bool, kind: Kind = MODEL_FOLDER) -> None:
    """Say early that an output is in the way, before any long work starts.

    Raises:
        UsageError: ``path`` is a file, or exists and ``overwrite`` is off, or is a folder of another kind.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        if path.is_dir():
            path.rmdir()
        return
    if not overwrite:
        raise UsageError(
            f"'{path}'이(가) 이미 있습니다. 다른 이름을 쓰거나 --overwrite를 붙이세요{kind.lost_ko}.",
            f"'{path}' already exists; choose another name or add --overwrite{kind.lost_en}",
        )
    if not path.is_dir() or not (path / kind.mark).exists():
        raise UsageError(
            f"'{path}'은(는) {kind.ko}가 아니어서 덮어쓰지 않습니다. 직접 지우거나 다른 이름을 쓰세요.",
            f"'{path}' {kind.en}, so it is not overwritten; remove it yourself or choose another name",
        )


def refuse_input(output: Path, *inputs: str | Path) -> None:
    """Refuse to write over a file that is read, where what is written holds less than it (``--overwrite`` or not).

    Raises:
        UsageError: ``output`` is one of ``inputs``.
    """
    for path in inputs:
        if output.exists() and Path(path).exists() and output.samefile(path):
            raise UsageError(
                f"'{output}'은(는) 읽을 파일이라 덮어쓰지 않습니다. 다른 이름을 쓰세요.",
                f"'{output}' is a file that is read, so it is not overwritten; choose another name",
            )


def _sync_tree(folder: Path) -> None:
    mode = 0o666 & ~_umask()
    for path in folder.rglob("*"):
        if path.is_file():
            if path.stat().st_nlink == 1:  # some libraries write files only their owner may read
                path.chmod(mode)
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where the system has no such call."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)
