"""The folder of a comparison: page, changed rows, summary."""

from __future__ import annotations

from pathlib import Path

from maeum._files import Kind, atomic_folder, pretty_json, write_text
from maeum._version import __version__
from maeum.comparing.page import page
from maeum.comparing.running import Comparison
from maeum.formats.tables_out import open_table, safe_cell

SUMMARY = "compare.json"
HEADER = ("id", "text", "kind", "given", "a", "b", "gained", "lost")
FOLDER = Kind(SUMMARY, "maeum compare가 쓴 폴더", "was not written by maeum compare")


def write(found: Comparison, output: str | Path, *, overwrite: bool = False) -> None:
    """Write ``report.html``, ``changes.csv`` and ``compare.json``.

    Raises:
        UsageError: as of ``refuse_existing``.
    """
    with atomic_folder(Path(output), overwrite=overwrite, kind=FOLDER) as folder:
        write_changes(found, folder / "changes.csv")
        write_text(folder / "report.html", page(found))
        write_text(folder / SUMMARY, pretty_json({"maeum": __version__, **found.to_dict()}))


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
            row([safe_cell(cell) for cell in cells])
