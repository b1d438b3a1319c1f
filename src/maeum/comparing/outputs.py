"""The folder of a comparison: page, changed rows, summary."""

from __future__ import annotations

import shutil
from pathlib import Path

from maeum._files import atomic_folder, pretty_json, write_text
from maeum._version import __version__
from maeum.comparing.page import page
from maeum.comparing.running import Comparison
from maeum.errors import UsageError
from maeum.formats.tables_out import open_table

SUMMARY = "compare.json"
HEADER = ("id", "text", "kind", "given", "a", "b", "gained", "lost")


def refuse(output: Path, *, overwrite: bool) -> None:
    """Say early that the output is in the way.

    Raises:
        UsageError: it exists and may not be replaced, or holds what no comparison wrote.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise UsageError(
            f"'{output}'이(가) 이미 있습니다. 다른 이름을 쓰거나 --overwrite를 붙이세요.",
            f"'{output}' already exists; choose another name or add --overwrite",
        )
    if not (output / SUMMARY).is_file():
        raise UsageError(
            f"'{output}'은(는) maeum compare가 쓴 폴더가 아니어서 덮어쓰지 않습니다.",
            f"'{output}' was not written by maeum compare, so it is not overwritten",
        )


def write(found: Comparison, output: str | Path, *, overwrite: bool = False) -> None:
    """Write ``report.html``, ``changes.csv`` and ``compare.json``.

    Raises:
        UsageError: as of ``refuse``.
    """
    place = Path(output)
    refuse(place, overwrite=overwrite)
    new = place.with_name(f".{place.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    with atomic_folder(new) as folder:
        write_changes(found, folder / "changes.csv")
        write_text(folder / "report.html", page(found))
        write_text(folder / SUMMARY, pretty_json({"maeum": __version__, **found.to_dict()}))
    if place.exists():
        old = place.with_name(f".{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
        new.rename(place)
        shutil.rmtree(old)
    else:
        new.rename(place)


def write_changes(found: Comparison, path: Path) -> None:
    """The rows whose decisions differ, as a CSV that Excel opens and computes nothing of."""
    with open_table(path, "csv", HEADER) as row:
        for change in found.changes.rows:
            example = found.data[change.row]
            on = (found.y[change.row], found.before[change.row], found.after[change.row])
            labels = [found.named(each.nonzero()[0]) for each in on]
            cells = [
                example.id,
                example.text,
                change.kind,
                *labels,
                found.named(change.gained),
                found.named(change.lost),
            ]
            row([_quoted(cell) for cell in cells])


def _quoted(cell: str) -> str:
    """A text that a spreadsheet would compute, with an apostrophe in front."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
