"""``posttrain``: the stages of a run, each of which finds out whether an earlier process has done it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maeum._files import sha256_file
from maeum._lang import say
from maeum._optional import require
from maeum._processes import one_process
from maeum._progress import Line
from maeum._version import __version__
from maeum.errors import DataError, FormatError, UsageError
from maeum.hf import training
from maeum.hf.files import resolve
from maeum.hf.frame import Frame, frame_of
from maeum.hf.loading import load_config
from maeum.hf.tokenizers import load_tokenizer
from maeum.posttraining.corpus import Corpus, Reading, write_corpus
from maeum.posttraining.learning import Learning
from maeum.posttraining.saving import Posttrained, save
from maeum.posttraining.settings import DEFAULTS, PosttrainSettings
from maeum.posttraining.work import Work, read_or_none


def posttrain(
    base: str | os.PathLike[str],
    sources: Sequence[str | Path],
    output: str | Path,
    settings: PosttrainSettings = DEFAULTS,
    *,
    format: str | None = None,
    text_column: str | Sequence[str] | None = None,
    encoding: str | None = None,
    on_error: str = "skip",
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> Posttrained:
    """Train ``base`` further on raw texts and write it as a Hugging Face folder.

    The same call again goes on from where a killed one stopped.

    Args:
        base: folder or hub id of an encoder.
        sources: files in any format of ``maeum.formats``; ``.txt`` holds a text a line. Labels are never read.
        output: the folder to write; it appears in one step when all is done. ``output.partial`` is used meanwhile.
        format, encoding, on_error: as for ``maeum.read``; bad and blank rows are skipped and counted unless "stop".
        text_column: column of the texts, for all files or one for each; not used for ``.txt``.
        overwrite: replace an existing folder, and throw away an interrupted run with other settings.
        progress: called with a line before each stage; its bar shows the steps.

    Raises:
        UsageError: the output is in the way, or an interrupted run there is another one.
        DataError: a file cannot be read, or no text is left.
    """
    require("torch")
    one_process("posttrain")
    work = Work(Path(output), overwrite)
    reading = Reading([str(source) for source in sources], format, text_column, encoding, on_error)
    return _run(str(base), reading, settings, work, progress)


def _run(base: str, reading: Reading, settings: PosttrainSettings, work: Work, progress: Line) -> Posttrained:
    start = time.perf_counter()
    training.pick_device(settings.device)
    folder = resolve(base, weights=True)
    identity = {
        "settings": settings.identity(),
        "base": _base_identity(folder),
        "sources": reading.identity(),
    }
    if not work.overwrite and (done := work.finished(identity)) is not None:
        work.clear()
        return Posttrained(work.output, done, complete_before=True)
    work.refuse()
    work.claim(identity)
    tokenizer, frame = _tokenizer(base)
    counts = _corpus(reading, tokenizer, frame, settings, work, progress)
    learning = Learning(base, settings, work, progress, tokenizer, frame, Corpus.open(work.folder))
    facts = learning()
    facts = {
        "base": Path(base).name if Path(base).exists() else base,
        "identity": identity,
        "settings": dataclasses.asdict(settings),
        "counts": counts,
        **facts,
        "seconds": round(time.perf_counter() - start, 1),
        "versions": _versions(),
    }
    progress(say("저장", "saving"))
    save(learning.model, tokenizer, folder, work.output, facts, overwrite=work.overwrite)
    work.clear()
    return Posttrained(work.output, facts)


def _tokenizer(base: str) -> tuple[Any, Frame]:
    tokenizer = load_tokenizer(base)
    frame = frame_of(tokenizer, load_config(base))
    if frame.mask_id is None:
        raise FormatError(
            f"{base}의 토크나이저에 가림(mask) 토큰이 없어 이어서 학습할 수 없습니다.",
            f"the tokenizer of {base} has no mask token, so it cannot be trained further",
        )
    return tokenizer, frame


def _corpus(
    reading: Reading, tokenizer: Any, frame: Frame, settings: PosttrainSettings, work: Work, progress: Line
) -> dict[str, Any]:
    counts = read_or_none(work.folder / "data.json")
    if counts is None:
        shown = ", ".join(Path(source).name for source in reading.sources)
        progress(say(f"읽고 토큰으로 나누는 중: {shown}", f"reading and tokenising {shown}"))
        room = min(settings.max_length, frame.max_positions) - frame.overhead(pair=False)
        try:
            counts = write_corpus(work.folder, reading, tokenizer, room, settings, progress)
        except (DataError, UsageError):
            work.clear()  # the same files will fail again
            raise
    progress(
        say(
            f"글 {counts['texts']:,}건 → 행 {counts['rows']:,}개, 토큰 {counts['tokens']:,}개"
            f" (중복 {counts['duplicates']:,}, 제외 {counts['blank'] + counts['rejected']:,})",
            f"{counts['texts']:,} texts → {counts['rows']:,} rows, {counts['tokens']:,} tokens "
            f"({counts['duplicates']:,} duplicates, {counts['blank'] + counts['rejected']:,} left out)",
        )
    )
    return counts


def _base_identity(folder: Path) -> dict[str, str]:
    names = ("config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json")
    weights = sorted([*folder.glob("model*.safetensors"), *folder.glob("pytorch_model*.bin")])
    return {path.name: sha256_file(path) for path in [*(folder / name for name in names), *weights] if path.is_file()}


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "safetensors")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"maeum": __version__, "python": platform.python_version(), **found}
