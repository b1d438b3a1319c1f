"""What a run leaves: the folder with its card, and the summary."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maeum._files import atomic_folder, pretty_json, read_json, write_text
from maeum._lang import say
from maeum._version import __version__
from maeum.bases.folder import seal_folder
from maeum.hf.loading import save_pretrained

if TYPE_CHECKING:
    from maeum.hf.masked_lm import MaskedLM


@dataclass(frozen=True)
class Posttrained:
    """What a run left."""

    output: Path
    facts: Mapping[str, Any]
    """The content of ``posttrain.json``."""
    complete_before: bool = False
    """Whether an earlier run had already finished, so that nothing was done."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``, without the log."""
        facts = {name: value for name, value in self.facts.items() if name != "log"}
        return {"output": str(self.output), "complete_before": self.complete_before, **facts}

    def summary(self) -> str:
        """A few lines for people."""
        facts = self.facts
        counts, judged = facts["counts"], facts["judged"]
        lines = [
            say(
                f"글 {counts['texts']:,}건(중복 {counts['duplicates']:,}건 제외), 토큰 {counts['tokens']:,}개, {facts['steps']:,}걸음",
                f"{counts['texts']:,} texts ({counts['duplicates']:,} duplicates left out), {counts['tokens']:,} tokens, "
                f"{facts['steps']:,} steps",
            )
        ]
        if judged["after"] is not None:
            untrained = say(" (새 머리, 배우기 전)", " (new head, untrained)") if facts["new_head"] else ""
            parts = [f"{judged['before']['perplexity']:.1f}{untrained}"]
            if judged["head"] is not None:
                parts.append(f"{judged['head']['perplexity']:.1f}" + say(" (머리만 배움)", " (head trained alone)"))
            parts.append(f"{judged['after']['perplexity']:.1f}")
            lines.append(say("떼어 둔 글의 혼란도(perplexity): ", "perplexity on held-out texts: ") + " → ".join(parts))
            drift = facts["vectors"]
            lines.append(
                say(
                    f"문장 벡터: 바탕과의 코사인 {drift['cosine']:.3f}, 글 사이 유사도의 상관 {drift['similarity_correlation']:.3f}",
                    f"sentence vectors: cosine with the base {drift['cosine']:.3f}, "
                    f"correlation of the similarities between texts {drift['similarity_correlation']:.3f}",
                )
            )
        return "\n".join(lines)


def save(
    model: MaskedLM, tokenizer: Any, base: Path, output: Path, facts: Mapping[str, Any], *, overwrite: bool
) -> None:
    """Write the folder, in one step.

    Args:
        base: folder of the encoder that was trained further; its licence, pooling and pooler go along.
    """
    from maeum.hf import masked_lm

    pooler = masked_lm.pooler_of(base)
    model.cpu()
    with atomic_folder(output, overwrite=overwrite) as folder:
        save_pretrained(model.backbone, tokenizer, folder)
        masked_lm.add_tensors(folder, pooler)
        _copy_beside(base, folder)
        write_text(folder / "posttrain.json", pretty_json(dict(facts)))
        write_text(folder / "README.md", _card(facts))
        seal_folder(folder, {"base": facts["base"], "posttrained": True})


def _copy_beside(base: Path, folder: Path) -> None:
    """What sentence-transformers and lawyers look for: pooling modules and licences."""
    for pattern in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "LICENSE*"):
        for path in base.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    modules = _modules(base)
    for name in modules:
        source = base / name
        if (source / "config.json").is_file():
            (folder / name).mkdir(exist_ok=True)
            for path in (source / "config.json", source / "model.safetensors"):
                if path.is_file():
                    shutil.copyfile(path, folder / name / path.name)


def _modules(base: Path) -> list[str]:
    try:
        modules = read_json(base / "modules.json")
    except (OSError, ValueError):
        return []
    names = [str(module.get("path", "")) for module in modules if isinstance(module, dict)]
    # the path is somebody else's word: only plain names below the folder
    return [name for name in names if name and Path(name).name == name and name not in (".", "..")]


def _card(facts: Mapping[str, Any]) -> str:
    counts, judged, settings = facts["counts"], facts["judged"], facts["settings"]
    rows = [
        ("학습 전 / before", judged["before"]),
        ("머리만 / head alone", judged["head"]),
        ("학습 후 / after", judged["after"]),
    ]
    table = "\n".join(
        f"| {name} | {found['perplexity']:.2f} | {found['accuracy']:.3f} |" for name, found in rows if found is not None
    )
    measured = (
        f"| | perplexity | accuracy |\n|---|---|---|\n{table}" if table else "(held-out 글 없음 / no held-out texts)"
    )
    files = ", ".join(f"{entry['file']} ({entry['rows']:,})" for entry in counts["files"])
    unit = "어절 통째로 / whole eojeols" if settings["whole_word"] else "토큰 / tokens"
    notes = "".join(f"- {note}\n" for note in facts["notes"])
    drift = facts["vectors"]
    moved = (
        ""
        if drift is None
        else f"\n문장 벡터와 바탕의 코사인 / cosine of sentence vectors with the base: {drift['cosine']:.3f}; "
        f"유사도의 상관 / correlation of similarities: {drift['similarity_correlation']:.3f}.\n"
    )
    return f"""---
language: ko
library_name: transformers
pipeline_tag: fill-mask
---

# {facts["base"]} + posttrain

`{facts["base"]}`을(를) 원문 글로 이어서 학습한(masked language modelling) 인코더입니다. `maeum train --model encoder:폴더`로 미세조정하세요. 바탕 모델의 이용 조건을 따릅니다.

English: `{facts["base"]}`, trained further on raw text. Fine-tune it with `maeum train --model encoder:DIR`. The terms of the base apply.

- 글 / texts: {counts["texts"]:,} ({counts["tokens"]:,} tokens; {counts["duplicates"]:,} duplicates left out), files: {files}
- {facts["steps"]:,} steps × {settings["batch_size"]} texts, learning rate {settings["learning_rate"]}, mask {settings["mask"]} ({unit}), seed {settings["seed"]}
{notes}
떼어 둔 글 {facts["held_out_rows"]:,}행, 고정된 가림 / {facts["held_out_rows"]:,} held-out rows, fixed masks:

{measured}
{moved}
설정과 기록 전체 / all settings and the log: `posttrain.json`. Made by maeum {__version__}.
"""
