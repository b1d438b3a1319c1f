"""Continued masked-language-model training of an encoder on raw text: ``maeum posttrain BASE TEXTS -o DIR``.

An encoder that has read the texts it will judge later (labels not needed) judges them better (Gururangan et al. 2020,
"Don't Stop Pretraining"). Texts are read once, prepared, tokenised and put into flat files; then words are hidden and
guessed (Devlin et al. 2019, BERT), whole eojeols at a time.

Whatever is random is drawn from (seed, pass, row) and nothing else: a text is masked anew in each pass (Liu et al.
2019, RoBERTa), and a run that was killed goes on exactly as it would have.

While it runs everything lies in ``DIR.partial/``::

    run.json        what this run is: settings, files, base     tokens.bin, rows.bin, texts.bin, data.json   the texts
    stages.json     judgements so far, log of the head           head.safetensors                            the new head
    vectors.npy     sentence vectors of the base                 head/, model/                               checkpoints
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from maeum._files import atomic_folder, pretty_json, read_json, refuse_existing, sha256_file, write_text
from maeum._lang import say
from maeum._optional import require
from maeum._processes import process_count
from maeum._progress import Line
from maeum._version import __version__
from maeum.bases.folder import seal_folder
from maeum.errors import DataError, FormatError, UsageError
from maeum.formats import ReadReport, iter_examples, open_source
from maeum.hf import loading, training
from maeum.hf.training import Log, LoopConfig, Precision
from maeum.models.encoder import CPU_TOKENS, GPU_TOKENS, by_token_budget, pad
from maeum.models.windows import Window
from maeum.models.windows import clean as encodable
from maeum.text import TextPrep

if TYPE_CHECKING:
    from maeum.hf.masked_lm import MaskedLM

__all__ = ["Corpus", "PosttrainSettings", "Posttrained", "eojeol_starts", "mask_row", "posttrain"]

Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]

VALID_TEXTS, VALID_SHARE = 1000, 0.05
HEAD_STEPS = (200, 1000)
"""Fewest and most steps that a new head learns alone by default."""
_CHUNK = 1000
_TELL_EVERY = 100_000
_HELD_PASS = 0
"""Pass number of the held-out rows' masks; training passes count from 1."""


@dataclass(frozen=True, kw_only=True)
class PosttrainSettings:
    """Everything that decides the result, beside the base and the texts."""

    epochs: float = 1.0
    """Passes over the texts. All passes are shuffled together: a text comes this often, masked anew each time."""
    max_steps: int | None = None
    """Stop after this many optimiser steps, whatever ``epochs`` says."""
    batch_size: int = 32
    """Texts per optimiser step."""
    accumulation: int = 1
    """Parts a batch is cut into, to save memory."""
    learning_rate: float = 5e-5
    """Peak learning rate of the whole model; it rises over ``warmup`` and falls linearly to 0."""
    warmup: float = 0.06
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """AdamW's, on matrices only."""
    head_warmup_steps: int | None = None
    """Steps in which only the head learns, before all does; None: a tenth of all steps (200 to 1000) if the head is
    new, else 0. The gradients of a head that knows nothing would undo what the encoder has learned."""
    head_learning_rate: float = 1e-3
    """Peak learning rate of those steps."""
    mask: float = 0.15
    """Share of the eojeols (or tokens) to be guessed, in (0, 1); at least one a text."""
    whole_word: bool = True
    """Hide all tokens of an eojeol (what stands between spaces) together; a text of one eojeol: token by token."""
    max_length: int = 128
    """Tokens of a row, special ones included; longer texts become several rows, cut at a space where there is one."""
    clean: str = "default"
    """Text preparation recipe; use the one of the later training."""
    limit: int | None = None
    """Only the first N distinct texts."""
    valid: float | None = None
    """Texts held out to measure perplexity: a number of texts (1 or more) or a share (below 1); 0: none; None: 1000,
    at most 5% of all."""
    seed: int = 42
    precision: Precision = "auto"
    """``auto``: bf16 on a GPU that has it, else fp32."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: slower, less memory."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints that a killed run goes on from (0: every step)."""

    def __post_init__(self) -> None:
        limits: tuple[tuple[str, bool], ...] = (
            ("epochs", self.epochs > 0),
            ("max_steps", self.max_steps is None or self.max_steps > 0),
            ("mask", 0 < self.mask < 1),
            ("max_length", self.max_length >= 8),
            ("limit", self.limit is None or self.limit > 0),
            ("valid", self.valid is None or self.valid >= 0),
            ("learning_rate", self.learning_rate > 0),
            ("head_warmup_steps", self.head_warmup_steps is None or self.head_warmup_steps >= 0),
        )
        for name, fine in limits:
            if not fine:
                value = getattr(self, name)
                raise UsageError(f"{name} 값이 범위를 벗어났습니다: {value}", f"{name} is out of range: {value}")
        self.loop(1)
        TextPrep.named(self.clean)

    def loop(self, steps: int, **changes: Any) -> LoopConfig:
        """Settings of a training loop of so many steps."""
        words: dict[str, Any] = {
            "epochs": 1.0,
            "max_steps": steps,
            "batch_size": self.batch_size,
            "accumulation": self.accumulation,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "warmup": self.warmup,
            "precision": self.precision,
            "gradient_checkpointing": self.gradient_checkpointing,
            "device": self.device,
            "checkpoint_minutes": self.checkpoint_minutes,
        }
        return LoopConfig(**{**words, **changes})

    def identity(self) -> dict[str, Any]:
        """The settings that a run must share with the one it continues."""
        free = ("device", "checkpoint_minutes")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}


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


def posttrain(
    base: str | os.PathLike[str],
    sources: Sequence[str | Path],
    output: str | Path,
    settings: PosttrainSettings = PosttrainSettings(),
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
    if process_count() > 1:
        raise UsageError(
            "posttrain은 프로세스 하나로만 됩니다. accelerate launch 없이 실행하세요.",
            "posttrain runs in one process; start it without accelerate launch",
        )
    run = _Run(str(base), settings, Path(output), overwrite, progress)
    reading = _Reading([str(source) for source in sources], format, text_column, encoding, on_error)
    return run(reading)


# -- texts to rows ------------------------------------------------------------------------------------------


def eojeol_starts(text: str, offsets: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each token is the first of its eojeol: whether there is a space between it and the token before.

    Args:
        offsets: (begin, end) of each token in ``text``. Some tokenizers count the space before a word as part of its
            first token, and some make a token of that space alone; both begin the eojeol that follows.
    """
    starts: list[bool] = []
    seen = 0
    for begin, end in offsets:
        gap = text[seen:begin] if begin > seen else ""
        starts.append(
            not starts or any(map(str.isspace, gap)) or (begin >= seen and begin < end and text[begin].isspace())
        )
        seen = max(seen, end)
    return starts


def cut(starts: Sequence[bool], room: int) -> list[tuple[int, int]]:
    """Consecutive parts of at most ``room`` tokens, cut before an eojeol if one begins in the part's second half."""
    parts = []
    begin = 0
    while len(starts) - begin > room:
        whole = begin + room
        stop = next((place for place in range(whole, begin + room // 2, -1) if starts[place]), whole)
        parts.append((begin, stop))
        begin = stop
    return [*parts, (begin, len(starts))]


@dataclass(frozen=True)
class Corpus:
    """Tokenised rows in flat files; only positions are held in memory."""

    tokens: NDArray[np.int32]
    """(t,) memory-mapped: token id × 2, plus 1 where an eojeol begins."""
    bounds: Ids
    """(n + 1,) row i is ``tokens[bounds[i]:bounds[i + 1]]``."""
    text: Ids
    """(n,) number of the text a row is from."""

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """What ``_write_corpus`` wrote."""
        return cls(
            np.memmap(folder / "tokens.bin", np.int32, "r"),
            np.concatenate([np.zeros(1, np.int64), np.fromfile(folder / "rows.bin", np.int64)]),
            np.fromfile(folder / "texts.bin", np.int64),
        )

    def __len__(self) -> int:
        return len(self.text)

    def row(self, number: int) -> tuple[Ids, Bools]:
        """Token ids of a row, and where eojeols begin."""
        part = np.asarray(self.tokens[self.bounds[number] : self.bounds[number + 1]], np.int64)
        return part >> 1, (part & 1).astype(bool)

    @property
    def lengths(self) -> Ids:
        """(n,) tokens of each row, without special ones."""
        return np.diff(self.bounds)

    def counts(self, size: int) -> Ids:
        """(size,) how often each token id occurs."""
        total = np.zeros(size, np.int64)
        for begin in range(0, len(self.tokens), 1 << 22):
            total += np.bincount(np.asarray(self.tokens[begin : begin + (1 << 22)]) >> 1, minlength=size)[:size]
        return total


@dataclass(frozen=True)
class _Reading:
    """The files, and how they are read."""

    sources: list[str]
    format: str | None
    text_column: str | Sequence[str] | None
    encoding: str | None
    on_error: str

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("글이 든 파일을 하나 이상 주세요.", "give at least one file of texts")
        if "-" in self.sources:
            raise UsageError(
                "표준 입력(-)은 이어서 할 수 없으므로 받지 않습니다. 파일로 저장해 주세요.",
                "standard input (-) cannot be continued from; save it as a file",
            )
        columns = self.text_column
        if columns is not None and not isinstance(columns, str) and len(columns) not in (1, len(self.sources)):
            raise UsageError(
                f"--text-column은 하나이거나 파일 수({len(self.sources)})만큼이어야 합니다: {len(columns)}개",
                f"--text-column is given once or once a file ({len(self.sources)}), not {len(columns)} times",
            )

    def column(self, number: int) -> str | None:
        columns = self.text_column
        if columns is None or isinstance(columns, str):
            return columns
        return columns[number] if len(columns) > 1 else columns[0]

    def words(self, number: int) -> dict[str, Any]:
        given: dict[str, Any] = {"encoding": self.encoding, "on_error": self.on_error}
        opened = open_source(self.sources[number], format=self.format, text_column=self.column(number), **given)
        if opened.format.name != "txt":
            given["text_column"] = self.column(number)
        return {"format": opened.format.name, **given}

    def path(self, number: int) -> Path:
        path = open_source(self.sources[number], format=self.format, text_column=self.column(number)).source.path
        assert path is not None
        return path

    def identity(self) -> list[dict[str, Any]]:
        found = []
        for number in range(len(self.sources)):
            path = self.path(number)
            found.append({"file": path.name, "sha256": sha256_file(path), **self.words(number)})
        return found


def _texts(reading: _Reading, reports: list[ReadReport]) -> Iterator[str]:
    for number, source in enumerate(reading.sources):
        reports.append(ReadReport())
        for example in iter_examples(source, with_labels=False, report=reports[-1], **reading.words(number)):
            yield example.text


class _Distinct:
    """Texts prepared, without the blank ones and those that came before; counts what it leaves out.

    Remembers 8 bytes of a hash a text, so that memory grows by some 60 MB per million texts and no more.
    """

    def __init__(self, texts: Iterator[str], prep: TextPrep, limit: int | None) -> None:
        self.blank = self.duplicates = self.texts = 0
        self._source = texts
        self._prep = prep
        self._limit = limit
        self._seen: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        for raw in self._source:
            text = encodable(self._prep(raw)).strip()
            if not text:
                self.blank += 1
                continue
            key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
            if key in self._seen:
                self.duplicates += 1
                continue
            self._seen.add(key)
            self.texts += 1
            yield text
            if self.texts == self._limit:
                return


def _chunks(texts: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _write_corpus(
    folder: Path, reading: _Reading, tokenizer: Any, room: int, settings: PosttrainSettings, progress: Line
) -> dict[str, Any]:
    """Tokenise all texts into flat files; ``data.json``, written last, says that they are complete."""
    reports: list[ReadReport] = []
    distinct = _Distinct(_texts(reading, reports), TextPrep.named(settings.clean), settings.limit)
    at = number = rows = short = pieces = 0
    with (
        (folder / "tokens.bin").open("wb") as tokens,
        (folder / "rows.bin").open("wb") as bounds,
        (folder / "texts.bin").open("wb") as owners,
    ):
        for chunk in _chunks(iter(distinct)):
            coded = tokenizer(
                chunk,
                add_special_tokens=False,
                return_offsets_mapping=True,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            flat, ends, texts = array("i"), array("q"), array("q")
            for text, ids, offsets in zip(chunk, coded["input_ids"], coded["offset_mapping"], strict=True):
                starts = eojeol_starts(text, offsets)
                parts = cut(starts, room)
                pieces += len(parts) > 1
                for begin, end in parts:
                    if end - begin < 2:
                        short += 1  # a row whose only token is hidden teaches nothing
                        continue
                    flat.extend([ids[i] * 2 + starts[i] for i in range(begin, end)])
                    at += end - begin
                    ends.append(at)
                    texts.append(number)
                number += 1
            rows += len(texts)
            for part, file in ((flat, tokens), (ends, bounds), (texts, owners)):
                part.tofile(file)
            if number % _TELL_EVERY < len(chunk) and number >= _TELL_EVERY:
                progress(say(f"글 {number:,}건, 토큰 {at:,}개", f"{number:,} texts, {at:,} tokens"))
        for file in (tokens, bounds, owners):
            _sync(file)
    counts = {
        "texts": distinct.texts,
        "duplicates": distinct.duplicates,
        "blank": distinct.blank,
        "rejected": sum(report.rejected for report in reports),
        "first_error": next((report.first_error for report in reports if report.first_error), None),
        "files": [{"file": Path(r.source).name, "format": r.format, "rows": r.rows} for r in reports],
        "rows": rows,
        "cut": pieces,
        "too_short": short,
        "tokens": at,
    }
    if rows < 2:
        raise DataError(
            f"배울 글이 없습니다: 토큰이 둘 이상인 글이 {rows}건입니다(빈 글 {counts['blank']}건, 짧은 글 {short}건).",
            f"there is nothing to learn from: {rows} rows have two tokens or more "
            f"({counts['blank']} blank, {short} too short)",
        )
    write_text(folder / "data.json", pretty_json(counts))
    return counts


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


# -- masking ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Masking:
    """What is hidden and how: 80% become the mask token, 10% random tokens, 10% stay (Devlin et al. 2019, §3.1).

    The three fates fall on whole units, eojeols or tokens.
    """

    share: float
    whole_word: bool
    mask_id: int
    ordinary: Ids
    """Ids that a random token is drawn from: the vocabulary without special tokens."""
    seed: int

    def __call__(self, ids: Ids, starts: Bools, *, times: int, row: int) -> tuple[Ids, Bools]:
        """The row as the model sees it, and where it has to guess; decided by (seed, times, row) alone."""
        random = np.random.default_rng((self.seed, times, row))
        return mask_row(ids, starts, self, random)


def mask_row(ids: Ids, starts: Bools, how: Masking, random: np.random.Generator) -> tuple[Ids, Bools]:
    """Hide a share of the units of one row.

    The number of units is the share of them, rounded up or down at random so that it is right on average, and at least
    one. A row of a single eojeol is hidden token by token, as nothing would be left to guess it from.

    Args:
        ids: (L,) tokens without special ones, L ≥ 1.
        starts: (L,) where units begin.

    Returns:
        New ids (L,) and where there is something to guess (L,).
    """
    unit = np.arange(len(ids))
    if how.whole_word and starts[1:].any():
        unit = np.cumsum(starts) - int(starts[0])
    n = int(unit[-1]) + 1
    k = min(n, max(1, int(how.share * n + random.random())))
    chosen = np.argsort(random.random(n), kind="stable")[:k]
    fate = np.full(n, 1.0)
    fate[chosen] = random.random(k)
    of_token = fate[unit]
    masked = of_token < 1
    given = ids.copy()
    given[of_token < 0.8] = how.mask_id
    swapped = (of_token >= 0.8) & (of_token < 0.9)
    if swapped.any():
        drawn = random.random(int(swapped.sum())) * len(how.ordinary)
        given[swapped] = how.ordinary[drawn.astype(np.int64)]
    return given, masked


Item = tuple[int, int]
"""(pass, row)"""


class _Passes(Sequence[Item]):
    """Rows × passes as one long list: that the loop knows no passes is what makes each draw a function of its place."""

    def __init__(self, rows: Ids, passes: int) -> None:
        self.rows = rows
        self.passes = passes

    def __len__(self) -> int:
        return len(self.rows) * self.passes

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        times, place = divmod(index, len(self.rows))
        return times + 1, int(self.rows[place])


@dataclass(frozen=True)
class _Batches:
    """(pass, row) pairs to tensors."""

    corpus: Corpus
    masking: Masking
    frame: loading.Frame

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        """``input_ids``, ``attention_mask``, ``masked``, ``labels`` (n, L), the labels −100 where nothing is asked."""
        import torch

        windows, labels, masks = [], [], []
        for times, row in items:
            ids, starts = self.corpus.row(row)
            given, masked = self.masking(ids, starts, times=times, row=row)
            windows.append(self._framed(given))
            labels.append(ids)
            masks.append(masked)
        tensors = pad(windows, self.frame.pad_id)
        wanted = np.full(tensors["input_ids"].shape, -100, np.int64)
        before = len(self.frame.begin)
        for number, (ids, masked) in enumerate(zip(labels, masks, strict=True)):
            wanted[number, before : before + len(ids)][masked] = ids[masked]
        tensors["labels"] = torch.from_numpy(wanted)
        tensors["masked"] = tensors["labels"] != -100
        tensors["rows"] = [row for _, row in items]
        return tensors

    def plain(self, rows: Sequence[int]) -> dict[str, Any]:
        """Rows as they are."""
        return pad([self._framed(self.corpus.row(row)[0]) for row in rows], self.frame.pad_id)

    def _framed(self, ids: Ids) -> Window:
        whole, types = self.frame.encode(ids.tolist())
        return Window(tuple(whole), tuple(types or ()))


# -- the run ------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """The stages of a run, each of which finds out whether an earlier process has done it."""

    base: str
    settings: PosttrainSettings
    output: Path
    overwrite: bool
    progress: Line
    stages: dict[str, Any] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.output.with_name(self.output.name + ".partial")

    def __call__(self, reading: _Reading) -> Posttrained:
        start = time.perf_counter()
        training.pick_device(self.settings.device)
        folder = loading.resolve(self.base, weights=True)
        identity = {
            "settings": self.settings.identity(),
            "base": _base_identity(folder),
            "sources": reading.identity(),
        }
        if not self.overwrite and (done := self._finished(identity)) is not None:
            shutil.rmtree(self.work, ignore_errors=True)
            return Posttrained(self.output, done, complete_before=True)
        _refuse(self.output, overwrite=self.overwrite)
        self._claim(identity)
        tokenizer, frame = self._tokenizer()
        counts = self._corpus(reading, tokenizer, frame)
        train = _Training(self, tokenizer, frame, Corpus.open(self.work))
        facts = train(counts)
        facts = {
            "base": Path(self.base).name if Path(self.base).exists() else self.base,
            "identity": identity,
            "settings": dataclasses.asdict(self.settings),
            "counts": counts,
            **facts,
            "seconds": round(time.perf_counter() - start, 1),
            "versions": _versions(),
        }
        self.progress(say("저장", "saving"))
        train.save(folder, facts)
        shutil.rmtree(self.work, ignore_errors=True)
        return Posttrained(self.output, facts)

    def _finished(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            facts: dict[str, Any] = read_json(self.output / "posttrain.json")
            complete = (self.output / "manifest.json").exists() and facts["identity"] == identity
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return facts if complete else None

    def _claim(self, identity: Mapping[str, Any]) -> None:
        """Make the work folder this run's own: go on with one of the same identity, refuse or clear another."""
        work = self.work
        if work.exists():
            before = _read_or_none(work / "run.json")
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
        self.stages = _read_or_none(work / "stages.json") or {}

    def _has_trained(self) -> bool:
        return (self.work / "head.safetensors").exists() or any(
            training.last_checkpoint(self.work / name) for name in ("head", "model")
        )

    def stage(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of a stage: as an earlier process wrote it down, or computed and written down."""
        if name not in self.stages:
            self.stages[name] = work()
            write_text(self.work / "stages.json", pretty_json(self.stages))
        return self.stages[name]

    def _tokenizer(self) -> tuple[Any, loading.Frame]:
        tokenizer = loading.load_tokenizer(self.base)
        frame = loading.frame(tokenizer, loading.load_config(self.base))
        if frame.mask_id is None:
            raise FormatError(
                f"{self.base}의 토크나이저에 가림(mask) 토큰이 없어 이어서 학습할 수 없습니다.",
                f"the tokenizer of {self.base} has no mask token, so it cannot be trained further",
            )
        return tokenizer, frame

    def _corpus(self, reading: _Reading, tokenizer: Any, frame: loading.Frame) -> dict[str, Any]:
        counts = _read_or_none(self.work / "data.json")
        if counts is None:
            shown = ", ".join(Path(source).name for source in reading.sources)
            self.progress(say(f"읽고 토큰으로 나누는 중: {shown}", f"reading and tokenising {shown}"))
            room = min(self.settings.max_length, frame.max_positions) - frame.overhead(pair=False)
            try:
                counts = _write_corpus(self.work, reading, tokenizer, room, self.settings, self.progress)
            except (DataError, UsageError):
                shutil.rmtree(self.work, ignore_errors=True)  # the same files will fail again
                raise
        self.progress(
            say(
                f"글 {counts['texts']:,}건 → 행 {counts['rows']:,}개, 토큰 {counts['tokens']:,}개"
                f" (중복 {counts['duplicates']:,}, 제외 {counts['blank'] + counts['rejected']:,})",
                f"{counts['texts']:,} texts → {counts['rows']:,} rows, {counts['tokens']:,} tokens "
                f"({counts['duplicates']:,} duplicates, {counts['blank'] + counts['rejected']:,} left out)",
            )
        )
        return counts


class _Training:
    """The model on the tokenised rows."""

    def __init__(self, run: _Run, tokenizer: Any, frame: loading.Frame, corpus: Corpus) -> None:
        import torch

        from maeum.hf import masked_lm

        assert frame.mask_id is not None
        self.run = run
        self.settings = run.settings
        self.tokenizer = tokenizer
        self.corpus = corpus
        torch.manual_seed(self.settings.seed)
        self.model: MaskedLM
        self.model, self.new_head = masked_lm.load(run.base)
        size = min(len(tokenizer), self.model.backbone.get_input_embeddings().weight.shape[0])
        special = set(tokenizer.all_special_ids)
        ordinary = np.array([index for index in range(size) if index not in special], np.int64)
        s = self.settings
        masking = Masking(s.mask, s.whole_word, frame.mask_id, ordinary, s.seed)
        self.batches = _Batches(corpus, masking, frame)
        self.lengths = corpus.lengths + frame.overhead(pair=False)
        self.held, self.rows = _held_out(corpus.text, s.valid, s.seed)
        self.pooling = loading.pooling_of(run.base) or "mean"
        self.notes: list[str] = []
        if self.new_head:
            self.model.begin_head(corpus.counts(size))
            self.notes.append(
                say(
                    "바탕 모델에 언어 모델 머리가 없어 새로 만들었습니다. 학습 전 혼란도는 배우지 않은 머리의 것입니다.",
                    "the base has no language model head, so it is new: perplexity before training is that of an untrained head",
                )
            )
        if not self.model.sparse:
            self.notes.append(
                say(
                    f"{type(self.model.backbone).__name__}은(는) 모든 자리의 로짓을 계산합니다(조금 느림).",
                    f"{type(self.model.backbone).__name__} computes the logits of all positions (somewhat slower)",
                )
            )
        if not len(self.held):
            self.notes.append(
                say(
                    "떼어 둔 글이 없어 혼란도를 재지 않았습니다.",
                    "no texts were held out, so no perplexity was measured",
                )
            )

    def __call__(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """Train; what happened, for ``posttrain.json``."""
        run, s = self.run, self.settings
        self.model.to(training.pick_device(s.device))
        for note in self.notes:
            run.progress(note)
        steps = s.max_steps or max(1, math.ceil(len(self.rows) * s.epochs / s.batch_size))
        alone = s.head_warmup_steps
        if alone is None:
            alone = min(max(HEAD_STEPS[0], steps // 10), HEAD_STEPS[1]) if self.new_head else 0
        if len(self.held):
            run.progress(say("학습 전 혼란도", "perplexity before training"))
        before = run.stage("before", self._begin)
        head_log = self._learn_head(alone) if alone else []
        head = run.stage("head", self.judge) if alone else None
        log, rate = self._learn(steps)
        after = self.judge()
        return {
            "new_head": self.new_head,
            "sparse_logits": self.model.sparse,
            "notes": self.notes,
            "steps": steps,
            "head_steps": alone,
            "held_out_rows": len(self.held),
            "train_rows": len(self.rows),
            "judged": {"before": before, "head": head, "after": after},
            "vectors": self._drift(),
            "tokens_per_second": rate,
            "log": {"head": head_log, "model": log},
        }

    def _begin(self) -> dict[str, float] | None:
        if len(self.held):
            np.save(self.run.work / "vectors.npy", self._vectors())
        return self.judge()

    def _learn_head(self, steps: int) -> Log:
        from safetensors.torch import load_file, save_file

        path = self.run.work / "head.safetensors"
        if path.exists():
            self.model.load_state_dict(load_file(path), strict=False)
            return list(self.run.stages.get("head_log", []))
        self.run.progress(say(f"머리만 학습: {steps:,}걸음", f"training the head alone: {steps:,} steps"))
        self.model.freeze(True)
        groups = self.model.groups(self.settings.head_learning_rate, self.settings.weight_decay)
        # another seed: the head should not see the very batches that the model begins with
        job = self._job(groups, steps, say("머리", "head"))
        loop = self.settings.loop(steps, gradient_checkpointing=False)
        log = training.run(
            job, loop, seed=self.settings.seed + 1, work=self.run.work / "head", progress=self.run.progress
        )
        self.model.freeze(False)
        self.run.stage("head_log", lambda: log)
        temporary = path.with_suffix(".tmp")
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in self.model.head_parameters().items()}, temporary
        )
        temporary.replace(path)
        return log

    def _learn(self, steps: int) -> tuple[Log, float]:
        import torch

        s, work = self.settings, self.run.work / "model"
        self.model.freeze(False)
        self.run.progress(say(f"학습: {steps:,}걸음", f"training: {steps:,} steps"))
        last = training.last_checkpoint(work)
        done = int(read_json(last / "trainer_state.json")["global_step"]) if last else 0
        a_pass = math.ceil(len(self.rows) / s.batch_size)
        watch = len(self.held) > 0 and steps > a_pass
        job = self._job(self.model.groups(s.learning_rate, s.weight_decay), steps, say("학습", "training"), watch=watch)
        loop = s.loop(steps, eval_steps=a_pass if watch else None)
        # dropout must not depend on whether the stages before ran in this process
        torch.manual_seed(s.seed)
        start = time.perf_counter()
        log = training.run(job, loop, seed=s.seed, work=work, progress=self.run.progress)
        # to the loop all passes are one
        log = [{**entry, "epoch": round(entry["epoch"] * self._passes(steps), 4)} for entry in log]
        seconds = time.perf_counter() - start
        tokens = (steps - done) * min(s.batch_size, len(self.rows)) * float(self.lengths[self.rows].mean())
        return log, round(tokens / seconds, 1)

    def _job(self, groups: list[dict[str, Any]], steps: int, name: str, *, watch: bool = False) -> training.Job:
        import torch

        def loss(outputs: Any, labels: Any) -> Any:
            return torch.nn.functional.cross_entropy(outputs["logits"], labels[labels != -100], reduction="none")

        passes = self._passes(steps)
        return training.Job(
            model=self.model,
            rows=_Passes(self.rows, passes),
            lengths=np.tile(self.lengths[self.rows], passes).tolist(),
            collate=self.batches,
            loss=loss,
            groups=groups,
            evaluate=self._watched if watch else None,
            per_token=True,
            name=name,
        )

    def _passes(self, steps: int) -> int:
        """Whole passes that so many steps need."""
        return max(1, math.ceil(steps * self.settings.batch_size / len(self.rows)))

    def _watched(self) -> dict[str, float]:
        return self.judge() or {}

    def judge(self) -> dict[str, float] | None:
        """Loss, perplexity and accuracy on the held-out rows, masked the same way every time."""
        import torch

        if not len(self.held):
            return None
        self.model.eval()
        total, right, count = 0.0, 0, 0
        with torch.inference_mode():
            for rows in self._held_batches():
                batch = self._moved(self.batches([(_HELD_PASS, row) for row in rows]))
                labels = batch.pop("labels")
                labels = labels[labels != -100]
                logits = self.model(**batch)["logits"]
                total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
                right += int((logits.argmax(-1) == labels).sum())
                count += len(labels)
        loss = total / count
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": right / count, "guessed": count}

    def _vectors(self) -> NDArray[np.float32]:
        """(held-out rows, hidden) unit sentence vectors."""
        import torch

        self.model.eval()
        out: NDArray[np.float32] | None = None
        place = {int(row): number for number, row in enumerate(self.held)}
        with torch.inference_mode():
            for rows in self._held_batches():
                batch = self._moved(self.batches.plain(rows))
                found = self.model.vectors(**batch, pooling=self.pooling).float().cpu().numpy()
                if out is None:
                    out = np.zeros((len(self.held), found.shape[1]), np.float32)
                out[[place[row] for row in rows]] = found
        assert out is not None
        lengths: NDArray[np.float32] = np.linalg.norm(out, axis=1, keepdims=True).clip(1e-12)
        return out / lengths

    def _drift(self) -> dict[str, float] | None:
        """How far sentence vectors moved: mean cosine with those of the base, and the correlation between the cosines
        of all pairs of texts before and after, which a shift common to all texts does not lower.
        """
        if len(self.held) < 3:
            return None if not len(self.held) else {"cosine": 1.0, "similarity_correlation": 1.0}
        old, new = np.load(self.run.work / "vectors.npy"), self._vectors()
        pairs = np.triu_indices(min(len(old), 2000), 1)
        similar = [(v[:2000] @ v[:2000].T)[pairs] for v in (old, new)]
        return {
            "cosine": float((old * new).sum(1).mean()),
            "similarity_correlation": float(np.corrcoef(similar[0], similar[1])[0, 1]),
        }

    def _held_batches(self) -> Iterator[list[int]]:
        device = next(self.model.parameters()).device
        budget = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
        for places in by_token_budget(self.lengths[self.held].tolist(), budget):
            yield [int(self.held[place]) for place in places]

    def _moved(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch.pop("rows", None)
        device = next(self.model.parameters()).device
        return {name: tensor.to(device) for name, tensor in batch.items()}

    def save(self, base: Path, facts: Mapping[str, Any]) -> None:
        """Write the folder, in one step."""
        from maeum.hf import masked_lm

        pooler = masked_lm.pooler_of(self.run.base)
        self.model.cpu()
        with atomic_folder(self.run.output, overwrite=self.run.overwrite) as folder:
            loading.save_pretrained(self.model.backbone, self.tokenizer, folder)
            masked_lm.add_tensors(folder, pooler)
            _copy_beside(base, folder)
            write_text(folder / "posttrain.json", pretty_json(dict(facts)))
            write_text(folder / "README.md", _card(facts))
            seal_folder(folder, {"base": facts["base"], "posttrained": True})


def _held_out(text: Ids, valid: float | None, seed: int) -> tuple[Ids, Ids]:
    """Numbers of the held-out rows and of the others; all rows of a text are on one side."""
    n = int(text[-1]) + 1
    if valid is None:
        wanted = min(VALID_TEXTS, int(VALID_SHARE * n))
    else:
        wanted = int(valid) if valid >= 1 else math.ceil(valid * n)
    if wanted >= n:
        raise UsageError(
            f"떼어 둘 글({wanted:,}건)이 모든 글({n:,}건)만큼 많습니다. --valid를 줄이세요.",
            f"{wanted:,} texts to hold out of {n:,} leave none to learn from; lower --valid",
        )
    chosen = np.zeros(n, bool)
    # 2**32 - 1 is no row: the draw is apart from all masks
    order = np.random.default_rng((seed, 2**32 - 1)).random(n)
    chosen[np.argsort(order, kind="stable")[:wanted]] = True
    held = chosen[text]
    if held.all():
        held[:] = False
    return np.flatnonzero(held).astype(np.int64), np.flatnonzero(~held).astype(np.int64)


def _base_identity(folder: Path) -> dict[str, str]:
    names = ("config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json")
    weights = sorted([*folder.glob("model*.safetensors"), *folder.glob("pytorch_model*.bin")])
    return {path.name: sha256_file(path) for path in [*(folder / name for name in names), *weights] if path.is_file()}


def _refuse(output: Path, *, overwrite: bool) -> None:
    if output.suffix == ".partial":
        raise UsageError(
            f"'{output}': .partial로 끝나는 이름은 쓸 수 없습니다.", f"'{output}' must not end in .partial"
        )
    refuse_existing(output, overwrite=overwrite)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [f"{name} {before.get(name)} → {value}" for name, value in now.items() if before.get(name) != value]
    return f" ({', '.join(changed[:4])})" if changed else ""


def _read_or_none(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path)
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "safetensors")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"maeum": __version__, "python": platform.python_version(), **found}


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
