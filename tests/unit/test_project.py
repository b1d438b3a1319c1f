"""The project's own papers agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from maeum import __version__

ROOT = Path(__file__).parents[2]


def test_changelog_names_the_version():
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None
    assert first.group(1) == __version__


def test_base_dependencies_are_few_and_pinned_for_development():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[<>=\[]", item)[0] for item in project["dependencies"]]
    assert len(names) <= 12
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {name.lower() for name in names} <= pinned


def test_papers_name_no_machine_and_no_registry():
    papers = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "Makefile", ROOT / "constraints.txt"]
    for path in [*papers, *ROOT.glob("benchmarks/*.md"), *ROOT.glob("benchmarks/results/*.json")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pypi\.org|/root/|/work/|/opt/|/tmp/", text), path


def test_links_in_the_papers_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
