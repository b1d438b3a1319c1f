"""What a distillation leaves: the model folder with its report and card, and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum import folder as model_folder
from maeum import measuring
from maeum._files import atomic_folder, pretty_json, write_text
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.distilling.words import likeness, size_table
from maeum.experiment import model_card
from maeum.history import table, write_chart, write_csv
from maeum.report import Report


@dataclass(frozen=True)
class Distilled:
    """What a distillation left."""

    output: Path
    analyzer: Analyzer
    report: Report
    facts: Mapping[str, Any]
    """The content of ``distill.json``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"model": str(self.output), **self.facts}

    def summary(self) -> str:
        """A few lines for people."""
        return "\n".join([size_table(self.facts["sizes"]), *likeness(self.facts)])


def save(
    analyzer: Analyzer,
    report: Report,
    oof: OutOfFold | None,
    history: list[dict[str, Any]],
    facts: dict[str, Any],
    output: Path,
    *,
    overwrite: bool,
) -> None:
    """Write the folder in one step, and into ``facts`` how large the student is.

    Args:
        oof: probabilities for labelled rows; None where the teacher's decisions stood in for labels.
    """
    with atomic_folder(output, overwrite=overwrite) as target:
        model_folder.write_analyzer(analyzer, target)
        facts["sizes"]["student"]["megabytes"] = measuring.folder_megabytes(target)
        if oof is not None:
            oof.save(target)
        if history:
            rows = table(history)
            write_csv(target / "history.csv", rows)
            write_chart(target / "history.svg", rows)
        write_text(target / "report.json", report.to_json())
        write_text(target / "report.html", report.to_html())
        write_text(target / "distill.json", pretty_json(facts))
        write_text(target / "README.md", model_card(analyzer, report))
        model_folder.seal(target, analyzer.predictor.kind, analyzer.task)
