"""The folder of a roll-up: whole or not there, and never in place of what somebody else wrote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maeum._files import atomic_folder, pretty_json, sha256_file, write_text
from maeum._version import __version__
from maeum.errors import UsageError
from maeum.formats import ReadReport
from maeum.rolling.counting import ALL
from maeum.rolling.page import page
from maeum.rolling.rollup import Result, notes
from maeum.rolling.stored import Stored
from maeum.rolling.tables import write_tables


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
    done = partial / "done"
    shutil.rmtree(done, ignore_errors=True)
    with atomic_folder(done) as folder:
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
        write_text(folder / "rollup.json", pretty_json(summary))
    if output.exists():
        old = partial / "old"
        shutil.rmtree(old, ignore_errors=True)
        output.rename(old)
    done.rename(output)
    shutil.rmtree(partial, ignore_errors=True)


def refuse(output: Path, *, overwrite: bool) -> None:
    """Say early that the output is in the way.

    Raises:
        UsageError: it exists and may not be replaced.
    """
    partial = output.with_name(output.name + ".partial")
    ours = ("predictions.jsonl", "rows-", "table-", "done", "old", ".done")
    if partial.exists() and not (partial.is_dir() and all(p.name.startswith(ours) for p in partial.iterdir())):
        raise UsageError(
            f"'{partial}'에 다른 작업의 것이 있습니다. 그 작업을 끝내거나 다른 이름을 쓰세요.",
            f"'{partial}' belongs to another job; finish that one, or choose another name",
        )
    if output.is_dir() and not any(output.iterdir()):
        output.rmdir()
    if not output.exists():
        return
    if not overwrite:
        raise UsageError(
            f"'{output}'이(가) 이미 있습니다. 다른 이름을 쓰거나 --overwrite를 붙이세요.",
            f"'{output}' already exists; choose another name or add --overwrite",
        )
    if not (output / "rollup.json").is_file():
        raise UsageError(
            f"'{output}'은(는) maeum rollup이 만든 폴더가 아니어서 덮어쓰지 않습니다. 직접 지우거나 다른 이름을 쓰세요.",
            f"'{output}' was not written by maeum rollup, so it is not overwritten; remove it yourself or choose another name",
        )


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
