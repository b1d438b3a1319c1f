"""Reads a Dockerfile: the instructions that ``deploy/Dockerfile`` uses and no others, so that nothing is half understood.

Follows the Dockerfile reference for these: comments, continued lines, ``ARG`` before ``FROM``, named stages, variables in
``FROM``, ``ENV``, ``COPY``, ``WORKDIR`` and ``USER``, the shell and the exec form, flags such as ``--mount`` and ``--from``.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = frozenset(
    ("ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")
)
FLAGS = {
    "COPY": {"from", "chmod", "chown"},
    "RUN": {"mount"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"},
}


class DockerfileError(ValueError):
    """An instruction that this reader does not know, or that is written wrongly."""


@dataclass(frozen=True)
class Step:
    """One instruction."""

    line: int
    word: str
    flags: Mapping[str, tuple[str, ...]]
    rest: str
    """What follows the flags, variables not yet filled in."""

    def words(self) -> list[str]:
        """The exec form as it stands; the shell form as ``/bin/sh -c``."""
        if self.rest.startswith("["):
            found = json.loads(self.rest)
            if not (isinstance(found, list) and all(isinstance(item, str) for item in found)):
                raise DockerfileError(f"line {self.line}: a list of strings is expected")
            return found
        return ["/bin/sh", "-c", self.rest]


@dataclass
class Stage:
    """What stands between one ``FROM`` and the next."""

    name: str
    base: str
    """Another stage's name, or an image."""
    steps: list[Step] = field(default_factory=list)


@dataclass
class Image:
    """What the instructions leave behind beside files."""

    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: Step | None = None
    stopsignal: str = "SIGTERM"
    exposed: list[str] = field(default_factory=list)

    def apply(self, step: Step) -> None:
        """Take over one instruction that touches no files."""
        if step.word == "ENV":
            self.env |= dict(pair.split("=", 1) for pair in shlex.split(fill(step.rest, self.env)))
        elif step.word == "WORKDIR":
            self.workdir = str(Path(self.workdir) / fill(step.rest, self.env))
        elif step.word == "USER":
            self.user = fill(step.rest, self.env)
        elif step.word == "EXPOSE":
            self.exposed += step.rest.split()
        elif step.word == "STOPSIGNAL":
            self.stopsignal = step.rest
        elif step.word == "ENTRYPOINT":
            # the reference: a new ENTRYPOINT empties the CMD that came from the base
            self.entrypoint, self.command = step.words(), []
        elif step.word == "CMD":
            self.command = step.words()
        elif step.word == "HEALTHCHECK":
            self.healthcheck = step

    def copy(self) -> Image:
        """The starting point of a stage that builds on this one."""
        return Image(
            dict(self.env),
            self.workdir,
            self.user,
            list(self.entrypoint),
            list(self.command),
            self.healthcheck,
            self.stopsignal,
            list(self.exposed),
        )


@dataclass
class Dockerfile:
    """All stages by name, in order; the last is the default target."""

    stages: dict[str, Stage]
    arguments: dict[str, str]

    @property
    def default(self) -> str:
        """The target of a build that names none."""
        return list(self.stages)[-1]

    def needed(self, target: str) -> list[str]:
        """The stages that a target is made of, in order; others are not run, as BuildKit does it."""
        wanted, waiting = set(), [target]
        while waiting:
            name = waiting.pop()
            if name in wanted or name not in self.stages:
                continue
            wanted.add(name)
            stage = self.stages[name]
            waiting += [stage.base, *(source for step in stage.steps for source in step.flags.get("from", ()))]
        if target not in wanted:
            raise DockerfileError(f"there is no stage '{target}'; there are: {', '.join(self.stages)}")
        return [name for name in self.stages if name in wanted]

    def image(self, target: str) -> Image:
        """What the image of a target is told to do, without running anything."""
        stage = self.stages[target]
        image = self.image(stage.base) if stage.base in self.stages else Image()
        for step in stage.steps:
            image.apply(step)
        return image

    def steps(self, target: str) -> list[Step]:
        """All instructions that a target's own filesystem comes from: its stage's and its bases'."""
        stage = self.stages[target]
        return [*(self.steps(stage.base) if stage.base in self.stages else []), *stage.steps]


def read(path: Path) -> Dockerfile:
    """Parse a file.

    Raises:
        DockerfileError: something in it is not known here.
    """
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for step in _steps(path.read_text(encoding="utf-8").splitlines()):
        if step.word == "ARG":
            if current is not None:
                raise DockerfileError(f"line {step.line}: ARG is only known before the first FROM")
            name, _, value = step.rest.partition("=")
            arguments[name] = value
        elif step.word == "FROM":
            found = re.fullmatch(r"(\S+)\s+[aA][sS]\s+(\S+)", fill(step.rest, arguments))
            if found is None:
                raise DockerfileError(f"line {step.line}: 'FROM image AS name' is expected")
            current = stages[found[2]] = Stage(found[2], found[1])
        elif current is None:
            raise DockerfileError(f"line {step.line}: {step.word} before the first FROM")
        else:
            current.steps.append(step)
    return Dockerfile(stages, arguments)


def _steps(lines: Iterable[str]) -> Iterable[Step]:
    text, start = "", 0
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#") or (not text and not line.strip()):
            continue
        start = start if text else number
        text += line.strip()
        if text.endswith("\\"):
            text = text[:-1].rstrip() + " "
            continue
        yield _step(text, start)
        text = ""
    if text:
        raise DockerfileError(f"line {start}: the last line goes on")


def _step(text: str, line: int) -> Step:
    word, _, rest = text.partition(" ")
    word, rest = word.upper(), rest.strip()
    if word not in KNOWN:
        raise DockerfileError(f"line {line}: {word} is not known here; known: {', '.join(sorted(KNOWN))}")
    flags: dict[str, tuple[str, ...]] = {}
    while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
        if found[1] not in FLAGS.get(word, ()):
            raise DockerfileError(f"line {line}: {word} --{found[1]} is not known here")
        flags[found[1]] = (*flags.get(found[1], ()), found[2])
        rest = rest[found.end() :]
    if word == "HEALTHCHECK":
        if not rest.startswith("CMD "):
            raise DockerfileError(f"line {line}: HEALTHCHECK … CMD is expected")
        rest = rest[4:].strip()
    if "<<" in rest:
        raise DockerfileError(f"line {line}: here-documents are not known here")
    return Step(line, word, flags, rest)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in for ``$NAME`` and ``${NAME}``; an unknown name is an error, not an empty string."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            raise DockerfileError(f"variable {name} has no value")
        return values[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, text)


def seconds(text: str) -> float:
    """``1m30s`` as seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if "".join(number + unit for number, unit in parts) != text:
        raise DockerfileError(f"a duration such as 30s is expected, got {text!r}")
    return sum(float(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit] for number, unit in parts)


def context_files(root: Path) -> list[Path]:
    """What a build may read of a checkout: every file that ``.dockerignore`` leaves, relative to the root."""
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    # only what a rule lets in again is looked at: the checkout may hold large folders beside it
    let_in = [root / rule[1:] for rule in rules if rule.startswith("!")]
    files = [file for place in let_in for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    return sorted({file.relative_to(root) for file in files if not ignored(file.relative_to(root), rules)})


def ignored(path: Path, rules: Iterable[str]) -> bool:
    """Whether the last rule that fits a path (or a folder above it) shuts it out."""
    shut = False
    for rule in rules:
        pattern = rule.removeprefix("!").strip("/")
        parents = [*(str(parent) for parent in path.parents if str(parent) != "."), str(path)]
        if any(_fits(name, pattern) for name in parents):
            shut = not rule.startswith("!")
    return shut


def _fits(name: str, pattern: str) -> bool:
    """``*`` stays within one part of a path, ``**/`` stands for any number of folders."""
    if pattern.startswith("**/"):
        tail = pattern[3:]
        return any(_fits("/".join(name.split("/")[start:]), tail) for start in range(len(name.split("/"))))
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))
