"""The folder of an audit: report, work list and summary; whole or not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from maeum._files import atomic_folder, pretty_json, write_text
from maeum._version import __version__
from maeum.auditing.findings import Audit
from maeum.auditing.page import page
from maeum.auditing.worklist import write_worklist
from maeum.errors import UsageError

SUMMARY = "audit.json"


def refuse(output: Path, *, overwrite: bool) -> None:
    """Say early that the output is in the way.

    Raises:
        UsageError: it exists and may not be replaced, or holds what no audit wrote.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise UsageError(
            f"'{output}'이(가) 이미 있습니다. 다른 이름을 쓰거나 --overwrite를 붙이세요(적어 둔 결정도 지워집니다).",
            f"'{output}' already exists; choose another name or add --overwrite (decisions written there are lost)",
        )
    if not (output / SUMMARY).is_file():
        raise UsageError(
            f"'{output}'은(는) maeum audit이 쓴 폴더가 아니어서 덮어쓰지 않습니다.",
            f"'{output}' was not written by maeum audit, so it is not overwritten",
        )


def write(audit: Audit, output: str | Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write ``report.html``, ``worklist.xlsx`` and ``audit.json``; the summary as plain data.

    Raises:
        UsageError: as of ``refuse``.
    """
    place = Path(output)
    refuse(place, overwrite=overwrite)
    summary = {"maeum": __version__, **audit.to_dict()}
    new = place.with_name(f".{place.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    with atomic_folder(new) as folder:
        write_worklist(audit, folder / "worklist.xlsx")
        write_text(folder / "report.html", page(audit))
        write_text(folder / SUMMARY, pretty_json(summary))
    if place.exists():
        old = place.with_name(f".{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
        new.rename(place)
        shutil.rmtree(old)
    else:
        new.rename(place)
    return summary
