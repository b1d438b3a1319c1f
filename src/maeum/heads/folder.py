"""The folder of a model with several heads: one trunk, and for each head all that a model folder has but the trunk.

::

    manifest.json            model kind "heads", names of the heads, checksums; written last
    README.md                model card
    trunk/                   the encoder they share
    heads/NAME/              task, text preparation, calibration, thresholds, settings, report, model/head.json, model/linear/

``maeum.folder.load`` opens one head, ``load_heads`` all of them around one trunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum import folder as model_folder
from maeum._files import atomic_folder, write_text
from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.errors import UsageError
from maeum.history import write_chart, write_csv
from maeum.models.head import SharedTrunk, save_trunk
from maeum.report import Report


@dataclass(frozen=True)
class HeadResult:
    """What training leaves of one head."""

    analyzer: Analyzer
    report: Report
    oof: OutOfFold
    """The held-out rows that set its thresholds."""


def save_heads(
    results: Mapping[str, HeadResult],
    trunk: SharedTrunk,
    output: Path,
    *,
    history: Sequence[dict[str, Any]] = (),
    also: Callable[[Path], None] = lambda _: None,
    overwrite: bool = False,
) -> None:
    """Write the folder: all of it or nothing.

    Args:
        also: writes other files into it, before its checksums are taken.
    """
    with atomic_folder(output, overwrite=overwrite) as target:
        (target / "trunk").mkdir()
        save_trunk(trunk, target / "trunk")
        for name, result in results.items():
            place = target / "heads" / name
            place.mkdir(parents=True)
            model_folder.write_head(result.analyzer, place)
            result.oof.save(place)
            write_text(place / "report.json", result.report.to_json())
            write_text(place / "report.html", result.report.to_html())
        if history:
            write_csv(target / "history.csv", history)
            write_chart(target / "history.svg", history)
        write_text(target / "README.md", model_card(results))
        also(target)
        first = next(iter(results.values())).analyzer
        model_folder.seal(target, model_folder.HEADS_KIND, first.task, heads=tuple(results))


def refuse_names(names: Sequence[str]) -> None:
    """Say before training that a head's name cannot be that of a folder on every system.

    Raises:
        UsageError: it cannot.
    """
    for name in names:
        if not name.strip() or name[0] == "." or name[-1] in ". " or set(name) & set('<>:"/\\|?*') or min(name) < " ":
            raise UsageError(
                f"머리의 이름은 폴더 이름이 되므로 {name!r}은(는) 쓸 수 없습니다. 과제 파일의 name을 바꾸세요.",
                f"a head's name becomes that of a folder, so {name!r} will not do; change the name in the task file",
            )


def model_card(results: Mapping[str, HeadResult]) -> str:
    """A model card in Markdown with Hugging Face front matter."""
    lines = [
        "---\nlanguage: ko\nlibrary_name: maeum\npipeline_tag: text-classification\ntags: [korean, "
        + ", ".join(results)
        + "]\n---\n",
        f"# {' + '.join(results)}",
        "",
        say(
            "몸통 하나에 머리 여럿이 달린 한국어 글 분류 모델입니다. `--task`로 머리를 고릅니다.",
            "A Korean text classifier with several heads on one trunk; `--task` chooses the head.",
        ),
    ]
    for name, result in results.items():
        settings = result.analyzer.about["settings"]
        lines += [
            "",
            f"## {name}",
            "",
            f"- {result.analyzer.task.kind}, {len(result.analyzer.task)} labels",
            f"- train: {result.analyzer.about['train']['rows']} rows",
            f"- trunk weight against the linear model: {settings['trunk_weight']:g}",
            f"- thresholds: {result.analyzer.thresholds.objective}; {result.analyzer.thresholds.tuned_on}",
            "",
            result.report.to_markdown(),
        ]
    return "\n".join(lines) + "\n"
