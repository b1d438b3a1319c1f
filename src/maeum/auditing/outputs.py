"""The folder of an audit: report, work list and summary; whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maeum._files import Kind, atomic_folder, pretty_json, write_text
from maeum._version import __version__
from maeum.auditing.desk_file import DESK, make
from maeum.auditing.findings import Audit
from maeum.auditing.page import page
from maeum.auditing.worklist import write_worklist
from maeum.data import Dataset
from maeum.formats import write as write_rows

SUMMARY = "audit.json"
ROWS = "data.jsonl"
"""All the rows, where they were asked to be kept."""
FOLDER = Kind(
    SUMMARY,
    "maeum audit이 쓴 폴더",
    "was not written by maeum audit",
    "(적어 둔 결정도 지워집니다)",
    " (decisions written there are lost)",
)


def write(audit: Audit, output: str | Path, *, rows: Dataset | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Write ``report.html``, ``worklist.xlsx``, ``decisions.sqlite`` and ``audit.json``; the summary as plain data.

    Args:
        audit: what was found.
        output: the folder.
        rows: all rows, kept beside the list as ``data.jsonl`` for whoever applies the decisions without the file.
        overwrite: whether a folder of another audit is replaced.

    Raises:
        UsageError: as of ``refuse_existing``.
    """
    summary = {"maeum": __version__, **audit.to_dict()}
    with atomic_folder(Path(output), overwrite=overwrite, kind=FOLDER) as folder:
        write_worklist(audit, folder / "worklist.xlsx")
        make(folder / DESK, audit)
        if rows is not None:
            write_rows(rows, folder / ROWS)
        write_text(folder / "report.html", page(audit))
        write_text(folder / SUMMARY, pretty_json(summary))
    return summary
