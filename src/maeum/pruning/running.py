"""``prune``: a model folder or a base folder, what is taken out of it, what that gained and cost."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from maeum import folder as model_folder
from maeum import measuring
from maeum._files import refuse_existing, sha256_file
from maeum._lang import say
from maeum._optional import require
from maeum._processes import one_process
from maeum._progress import Line
from maeum._version import __version__
from maeum.bases.folder import KIND as BASE_KIND
from maeum.data import Dataset, Input
from maeum.errors import UsageError
from maeum.experiment import has_progress
from maeum.formats import iter_examples, open_source
from maeum.measuring import Gap, Size
from maeum.pruning.bases import prune_base, refuse_for_base
from maeum.pruning.models import ModelPruning, divide, save_model
from maeum.pruning.settings import DEFAULTS, PruneSettings

SAMPLE_TEXTS = 512
"""Texts that speed and agreement are measured on where no labelled rows are given."""


@dataclass(frozen=True)
class Pruned:
    """What pruning left."""

    output: Path
    facts: Mapping[str, Any]
    """The content of ``prune.json``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"output": str(self.output), **self.facts}

    def summary(self) -> str:
        """A few lines for people."""
        facts = self.facts
        sizes = {
            say("전", "before"): Size(**facts["sizes"]["before"]),
            say("후", "after"): Size(**facts["sizes"]["after"]),
        }
        lines = [measuring.table(sizes)]
        if "vocabulary" in facts["cut"]:
            found = facts["cut"]["vocabulary"]
            lines.append(
                say(
                    f"어휘 {found['pieces_before']:,} → {found['pieces_after']:,}조각, 글 {found['texts']:,}건 가운데 "
                    f"{found['same_texts']:.1%}가 전과 똑같이 나뉩니다.",
                    f"{found['pieces_before']:,} → {found['pieces_after']:,} pieces; {found['same_texts']:.1%} of "
                    f"{found['texts']:,} texts are cut as before",
                )
            )
        if (like := facts["agreement"]) is not None:
            lines.append(
                say(
                    f"전 모델과의 일치 (글 {like['rows']:,}건): 같은 답 {like['same_rows']:.1%}, micro-F1 {like['micro_f1']:.4f}, "
                    f"확률 차이 평균 {like['mean_difference']:.4f}",
                    f"agreement with the model as it was ({like['rows']:,} texts): same answers {like['same_rows']:.1%}, "
                    f"micro-F1 {like['micro_f1']:.4f}, mean difference of p {like['mean_difference']:.4f}",
                )
            )
        if (judged := facts["judged"]) is not None:
            same = say(" (기준값을 맞춘 행이라 후하게 나옵니다)", " (thresholds were tuned on them, which flatters)")
            head = say(f"라벨 {judged['rows']:,}건, 전 → 후", f"on {judged['rows']:,} labelled rows, before → after")
            lines.append(head + (same if judged["tuned_on_same_rows"] else "") + ":")
            lines += measuring.gap_lines({name: Gap(**gap) for name, gap in judged["scores"].items()})
        return "\n".join(lines)


def prune(
    model: str | Path,
    output: str | Path,
    settings: PruneSettings = DEFAULTS,
    *,
    vocabulary: str | Path | None = None,
    data: Dataset | str | Path | None = None,
    valid: Dataset | str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> Pruned:
    """Cut a model and write it as a folder of the same kind.

    Args:
        model: an encoder model folder, or a base: a Hugging Face folder or hub id.
        output: the folder to write; with ``recover``, ``output.partial`` holds checkpoints meanwhile.
        vocabulary: a file of texts; pieces it does not use go.
        data: labelled rows or their file: choose neurons and heads, recover, tune thresholds.
        valid: labelled rows that only judge.
        reading: how ``vocabulary`` is read: ``format``, ``text_column`` …
        labels: how files of labelled rows are read: ``label_column`` …
        overwrite: replace an existing folder.
        progress: called with a line before each stage.

    Raises:
        UsageError: nothing to cut, or something that this model cannot lose.
        TaskMismatch: labelled rows of another task.
        DataError: a file cannot be read.
    """
    require("torch")
    require("transformers")
    output, reading, labels = Path(output), dict(reading or {}), dict(labels or {})
    one_process("prune")
    if vocabulary is None and not settings.cuts_weights:
        raise UsageError(
            "무엇을 덜어 낼지 주세요: --vocabulary, --layers, --ffn, --heads",
            "say what to take out: --vocabulary, --layers, --ffn or --heads",
        )
    refuse_existing(output, overwrite=overwrite)
    corpus = None if vocabulary is None else str(vocabulary)
    if corpus is not None:
        _refuse_stdin(corpus, reading)
    if _is_base(Path(model)):
        refuse_for_base(settings, {"data": data, "valid": valid})
        facts = prune_base(
            str(model),
            output,
            settings,
            corpus=corpus,
            reading=reading,
            sample=[item.text for item in _sample(None, corpus, reading)],
            overwrite=overwrite,
            progress=progress,
        )
        return Pruned(output, facts)
    place = model_folder.embedded(model)
    progress(say(f"여는 중: {model}", f"opening {model}"))
    pruning = ModelPruning(place, settings, progress)
    labelled, judging = (measuring.labelled_rows(given, pruning.before.task, labels) for given in (data, valid))
    rows = divide(labelled, judging, settings)
    work = Path(f"{output}.partial")
    identity = {
        "settings": dataclasses.asdict(settings) | {"model_options": dict(settings.model_options)},
        "model": model_folder.fingerprint(place),
        "data": None if rows.train is None else rows.train.fingerprint,
        "vocabulary": None if corpus is None else _corpus_identity(corpus, reading),
        "maeum": __version__,
    }
    texts = None if corpus is None else pruning.texts(corpus, reading)
    try:
        after = pruning.make(rows, texts, work, overwrite=overwrite, identity=identity)
        progress(say("전 모델과 견주는 중", "measuring beside the model as it was"))
        facts = pruning.facts(after, rows, _sample(rows.judge, corpus, reading))
        report = pruning.report(after, rows)
        progress(say("저장", "saving"))
        save_model(after, report, facts, output, overwrite=overwrite)
        if settings.recover > 0:  # else what lies there is an unfinished run of another command
            shutil.rmtree(work, ignore_errors=True)
    finally:
        if settings.recover > 0 and work.exists() and not has_progress(work):
            shutil.rmtree(work, ignore_errors=True)
    return Pruned(output, facts)


def _refuse_stdin(corpus: str, reading: Mapping[str, Any]) -> None:
    """The corpus is read twice: for its pieces, and for texts to measure on."""
    if open_source(corpus, format=reading.get("format")).source.path is None:
        raise UsageError(
            "표준 입력(-)의 글로는 어휘를 정할 수 없습니다. 파일로 저장해 주세요.",
            "a vocabulary cannot be chosen from standard input (-); save the texts as a file",
        )


def _corpus_identity(corpus: str, reading: Mapping[str, Any]) -> dict[str, Any]:
    path = open_source(corpus, format=reading.get("format")).source.path
    assert path is not None
    return {"sha256": sha256_file(path), "text_column": reading.get("text_column")}


def _is_base(path: Path) -> bool:
    """Whether MODEL is a base: no folder of ours, or one that says so."""
    if not path.is_dir() and str(path) == "mini":
        return False
    if path.is_dir() and (path / "manifest.json").exists():
        return bool(model_folder.read_manifest(path)["model"] == BASE_KIND)
    return not path.is_dir() or (path / "config.json").exists()


def _sample(judge: Dataset | None, corpus: str | None, reading: Mapping[str, Any]) -> list[Input]:
    """Texts to measure on: those that judge, else the first of the corpus, else the sample data."""
    if judge is not None:
        return judge.inputs
    source, how = "sample:nikl-ea", {}
    if corpus is not None:
        # bad rows were written down when the pieces were counted
        source, how = corpus, {name: value for name, value in reading.items() if name != "rejects"}
    examples = iter_examples(source, with_labels=False, **how)
    return [example.input for example in islice(examples, SAMPLE_TEXTS)]
