"""Base folders: fewer pieces and fewer layers, still a folder that ``encoder:`` and transformers take."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum import measuring
from maeum._files import atomic_folder, pretty_json, read_json, write_text
from maeum._lang import say
from maeum._progress import Line
from maeum._version import __version__
from maeum.bases.folder import seal_folder
from maeum.errors import UsageError
from maeum.measuring import Size
from maeum.pruning.settings import PruneSettings
from maeum.pruning.trimming import choose, read_texts
from maeum.text import TextPrep

_BATCH = 32


def refuse_for_base(settings: PruneSettings, given: Mapping[str, Any]) -> None:
    """Say what only makes sense for a model that was trained for a task.

    Raises:
        UsageError: such an option was given.
    """
    asked = [name for name in ("ffn", "heads") if getattr(settings, name) is not None]
    asked += [name for name, value in given.items() if value is not None]
    if settings.recover:
        asked.append("recover")
    if asked:
        named = ", ".join(f"--{name}" for name in asked)
        raise UsageError(
            f"{named}은(는) 과제를 학습한 모델 폴더에만 씁니다. 바탕 폴더는 --vocabulary와 --layers로만 줄입니다.",
            f"{named}: for model folders trained for a task; a base folder is cut by --vocabulary and --layers alone",
        )


def prune_base(
    base: str,
    output: Path,
    settings: PruneSettings,
    *,
    corpus: str | None,
    reading: Mapping[str, Any],
    sample: Sequence[str],
    overwrite: bool,
    progress: Line,
) -> dict[str, Any]:
    """Cut a base encoder and write it; returns what was gained."""
    from maeum.hf import cutting, loading, vocabulary
    from maeum.hf.files import resolve
    from maeum.hf.tokenizers import load_tokenizer

    folder = resolve(base, weights=True)
    progress(say(f"여는 중: {base}", f"opening {base}"))
    tokenizer = load_tokenizer(folder)
    model = loading.load_backbone(folder, pooler=True)
    if any("pooler" in name for name in loading.new_weights(model)):
        model = loading.load_backbone(folder)
    sizes = {"before": _size(model, tokenizer, sample, measuring.folder_megabytes(folder))}
    cut: dict[str, Any] = {}
    notes = _notes(folder)
    if corpus is not None:
        progress(say("어휘 세는 중", "counting pieces"))
        texts: Iterator[str] = read_texts(corpus, reading, TextPrep.named("default"))
        rows = model.get_input_embeddings().weight.shape[0]
        trim, cut["vocabulary"] = choose(
            tokenizer, model.config, texts, rows, min_count=settings.min_count, progress=progress
        )
        tokenizer = vocabulary.cut_tokenizer(tokenizer, trim)
        vocabulary.cut_embeddings(model, trim)
    if settings.layers is not None:
        there = len(cutting.layers_of(model))
        numbers = cutting.layer_numbers(settings.layers, there)
        cutting.keep_layers(model, numbers)
        cut["layers"] = {"before": there, "kept": numbers}
    sizes["after"] = _size(model, tokenizer, sample, 0.0)
    facts: dict[str, Any] = {
        "model": folder.name if Path(base).exists() else base,
        "kind": "base",
        "settings": dataclasses.asdict(settings) | {"model_options": {}},
        "cut": cut,
        "sizes": {name: size.to_dict() for name, size in sizes.items()},
        "agreement": None,
        "judged": None,
        "notes": notes,
    }
    progress(say("저장", "saving"))
    with atomic_folder(output, overwrite=overwrite) as target:
        loading.save_pretrained(model, tokenizer, target)
        _copy_beside(folder, target)
        facts["sizes"]["after"]["megabytes"] = measuring.folder_megabytes(target)
        write_text(target / "prune.json", pretty_json(facts))
        write_text(target / "README.md", _card(folder, facts))
        seal_folder(target, {"base": facts["model"], "pruned": True})
    return facts


def _notes(folder: Path) -> list[str]:
    kinds = read_json(folder / "config.json").get("architectures") or []
    if not any("MaskedLM" in kind or "PreTraining" in kind for kind in kinds):
        return []
    return [
        say(
            "가린 낱말을 맞히는 머리는 남지 않습니다. maeum posttrain은 새 머리로 시작합니다.",
            "the head that guesses hidden words is not kept; maeum posttrain begins with a new one",
        )
    ]


def _size(model: Any, tokenizer: Any, texts: Sequence[str], megabytes: float) -> Size:
    import torch

    def run(part: Sequence[str]) -> None:
        batch = tokenizer(list(part), padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.inference_mode():
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])

    count = sum(parameter.numel() for parameter in model.parameters())
    run(texts[:_BATCH])
    done, start = 0, time.perf_counter()
    for begin in range(0, len(texts), _BATCH):
        run(texts[begin : begin + _BATCH])
        done += len(texts[begin : begin + _BATCH])
        if time.perf_counter() - start > measuring.SPEED_SECONDS:
            break
    return Size(megabytes, count, round(done / (time.perf_counter() - start), 1))


def _copy_beside(base: Path, folder: Path) -> None:
    """What sentence-transformers and lawyers look for: pooling modules and licences."""
    for pattern in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "LICENSE*"):
        for path in base.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    for path in base.glob("[0-9]_*/config.json"):
        (folder / path.parent.name).mkdir()
        shutil.copyfile(path, folder / path.parent.name / "config.json")


def _card(base: Path, facts: Mapping[str, Any]) -> str:
    name, cut = facts["model"], facts["cut"]
    lines = []
    if "vocabulary" in cut:
        found = cut["vocabulary"]
        lines.append(f"- vocabulary: {found['pieces_before']:,} → {found['pieces_after']:,} pieces")
    if "layers" in cut:
        lines.append(f"- layers kept: {cut['layers']['kept']} of {cut['layers']['before']}")
    size = facts["sizes"]["after"]["parameters"] / 1e6
    return (
        f"---\nlanguage: ko\nlibrary_name: transformers\n---\n\n# {name} (pruned)\n\n"
        + say(
            f"`{name}`에서 덜어 낸 인코더입니다. {size:.1f}M 파라미터. 이용 조건은 원본을 따릅니다.",
            f"An encoder cut out of `{name}`, {size:.1f}M parameters. The licence is that of the original.",
        )
        + "\n\n"
        + "\n".join(lines)
        + f"\n\nMade by maeum {__version__}.\n"
    )
