"""The folder of a roll-up: whole or not there, and never in place of what somebody else wrote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maeum._files import Kind, atomic_folder, pretty_json, refuse_existing, sha256_file, write_text
from maeum._version import __version__
from maeum.errors import UsageError
from maeum.formats import ReadReport
from maeum.rolling.counting import ALL
from maeum.rolling.page import page
from maeum.rolling.rollup import Result, notes
from maeum.rolling.stored import Stored
from maeum.rolling.tables import write_tables

FOLDER = Kind("rollup.json", "maeum rollup이 만든 폴더", "was not written by maeum rollup")


def write(
    result: Result, stored: Stored, about: Mapping[str, Any], report: ReadReport, output: Path, partial: Path
) -> None:
    """Write everything beside the folder, put it in place, and drop what only a killed run would need.

    Args:
        stored: the predictions, to quote whole texts from.
        about: what the model and the input are.
        report: what reading the input came to.
        partial: the folder of work in progress.
    """
    with atomic_folder(output, overwrite=True, kind=FOLDER) as folder:  # ``refuse`` was asked at the start
        write_tables(result, folder, lambda place: stored.at(place)[1])
        write_text(folder / "report.html", page(result))
        summary = {
            "maeum": __version__,
            **about,
            "task": {"name": result.task.name, "kind": result.task.kind, "fingerprint": result.task.fingerprint},
            "settings": result.settings.to_dict(),
            "counts": _counts(result),
            "rejects": {"rows": report.rejected, "dropped": report.dropped, "first": _first(report)},
            "notes": list(notes(result)),
            "files": {path.name: sha256_file(path) for path in sorted(folder.iterdir())},
        }
        write_text(folder / FOLDER.mark, pretty_json(summary))
    shutil.rmtree(partial, ignore_errors=True)


def refuse(output: Path, *, overwrite: bool) -> None:
    """Say early that the output is in the way.

    Raises:
        UsageError: it exists and may not be replaced.
    """
    partial = output.with_name(output.name + ".partial")
    ours = ("predictions.jsonl", "rows-", "table-")
    if partial.exists() and not (partial.is_dir() and all(p.name.startswith(ours) for p in partial.iterdir())):
        raise UsageError(
            f"'{partial}'에 다른 작업의 것이 있습니다. 그 작업을 끝내거나 다른 이름을 쓰세요.",
            f"'{partial}' belongs to another job; finish that one, or choose another name",
        )
    refuse_existing(output, overwrite=overwrite, kind=FOLDER)


def _counts(result: Result) -> dict[str, Any]:
    facts = result.facts
    cells = result.counts[ALL]
    return {
        "rows": facts.rows,
        "rows_without_label": cells.empty,
        "labels": int(cells.cells.sum()),
        "undated": facts.undated if result.settings.date_column is not None else None,
        "first_day": facts.first_day or None,
        "last_day": facts.last_day or None,
        "groups": facts.groups if result.settings.group_column is not None else None,
        "unmatched": facts.unmatched,
        "vocabulary": facts.vocabulary,
        "unlisted_words_in_at_most": facts.unlisted,
        "sentences": sum(map(len, result.sentences.values())),
    }


def _first(report: ReadReport) -> str | None:
    """The first bad row, without the folder it lies in: a report is handed on."""
    first = report.first_error
    return None if first is None else first.replace(report.source, Path(report.source).name)
