"""The work folder of a run, ``DIR.partial``: whose it is, and which stages an earlier process has done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maeum._files import pretty_json, read_json, refuse_existing, write_text
from maeum.errors import UsageError
from maeum.hf import training


@dataclass
class Work:
    """The output that is to be, and the folder where everything lies until then."""

    output: Path
    overwrite: bool
    stages: dict[str, Any] = field(default_factory=dict)
    """Results of the stages that are done, as in ``stages.json``."""

    @property
    def folder(self) -> Path:
        """``DIR.partial``."""
        return self.output.with_name(self.output.name + ".partial")

    def finished(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """What ``posttrain.json`` says, if this very run is complete."""
        try:
            facts: dict[str, Any] = read_json(self.output / "posttrain.json")
            complete = (self.output / "manifest.json").exists() and facts["identity"] == identity
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return facts if complete else None

    def refuse(self) -> None:
        """Refuse an output that is in the way.

        Raises:
            UsageError: it exists, or its name is that of a work folder.
        """
        output = self.output
        if output.suffix == ".partial":
            raise UsageError(
                f"'{output}': .partial로 끝나는 이름은 쓸 수 없습니다.", f"'{output}' must not end in .partial"
            )
        refuse_existing(output, overwrite=self.overwrite)

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Make the work folder this run's own: go on with one of the same identity, refuse or clear another."""
        work = self.folder
        if work.exists():
            before = read_or_none(work / "run.json")
            if before is None and any(work.iterdir()):
                raise UsageError(
                    f"'{work}'은(는) posttrain이 만든 폴더가 아닙니다. 옮기거나 다른 이름을 쓰세요.",
                    f"'{work}' was not made by posttrain; move it or choose another name",
                )
            other = [name for name in identity if (before or {}).get(name) != identity[name]]
            # without a checkpoint nothing is lost but the tokenised texts
            if other and before is not None and self._has_trained() and not self.overwrite:
                named_ko = {"settings": "설정", "base": "바탕 모델", "sources": "글 파일이나 읽는 방법"}
                named_en = {"settings": "settings", "base": "base", "sources": "files or ways to read them"}
                what = _differing(before.get("settings", {}), identity["settings"])
                raise UsageError(
                    f"'{work}'에 하다 만 학습이 있는데 {'·'.join(named_ko[name] for name in other)}이(가) 지금과 다릅니다{what}. "
                    "처음부터 다시 하려면 --overwrite를 붙이세요.",
                    f"an interrupted run in '{work}' has other {' and '.join(named_en[name] for name in other)}{what}; "
                    "add --overwrite to start anew",
                )
            if other:
                shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        if not (work / "run.json").exists():
            write_text(work / "run.json", pretty_json(dict(identity)))
        self.stages = read_or_none(work / "stages.json") or {}

    def _has_trained(self) -> bool:
        return (self.folder / "head.safetensors").exists() or any(
            training.last_checkpoint(self.folder / name) for name in ("head", "model")
        )

    def stage(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of a stage: as an earlier process wrote it down, or computed and written down."""
        if name not in self.stages:
            self.stages[name] = work()
            write_text(self.folder / "stages.json", pretty_json(self.stages))
        return self.stages[name]

    def clear(self) -> None:
        """Throw the folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_or_none(path: Path) -> dict[str, Any] | None:
    """A JSON object, or nothing where a killed process left no whole one."""
    try:
        found = read_json(path)
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [f"{name} {before.get(name)} → {value}" for name, value in now.items() if before.get(name) != value]
    return f" ({', '.join(changed[:4])})" if changed else ""
