"""Files to distinct texts, texts to rows of tokens, rows to flat files on disk."""

from __future__ import annotations

import hashlib
import math
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from maeum._files import pretty_json, sha256_file, write_text
from maeum._lang import say
from maeum._progress import Line
from maeum.errors import DataError, UsageError
from maeum.formats import ReadReport, iter_examples, open_source
from maeum.models.windows import clean as encodable
from maeum.posttraining.settings import PosttrainSettings
from maeum.text import TextPrep

Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]

VALID_TEXTS, VALID_SHARE = 1000, 0.05
_CHUNK = 1000
_TELL_EVERY = 100_000


@dataclass(frozen=True)
class Reading:
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
        """The text column of a file."""
        columns = self.text_column
        if columns is None or isinstance(columns, str):
            return columns
        return columns[number] if len(columns) > 1 else columns[0]

    def words(self, number: int) -> dict[str, Any]:
        """How ``iter_examples`` is to read a file."""
        given: dict[str, Any] = {"encoding": self.encoding, "on_error": self.on_error}
        opened = open_source(self.sources[number], format=self.format, text_column=self.column(number), **given)
        if opened.format.name != "txt":
            given["text_column"] = self.column(number)
        return {"format": opened.format.name, **given}

    def path(self, number: int) -> Path:
        """Where a file lies."""
        path = open_source(self.sources[number], format=self.format, text_column=self.column(number)).source.path
        assert path is not None
        return path

    def identity(self) -> list[dict[str, Any]]:
        """The files by content, and how they are read: what a run must share with the one it continues."""
        found = []
        for number in range(len(self.sources)):
            path = self.path(number)
            found.append({"file": path.name, "sha256": sha256_file(path), **self.words(number)})
        return found


def _texts(reading: Reading, reports: list[ReadReport]) -> Iterator[str]:
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
        """What ``write_corpus`` wrote."""
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


def _chunks(texts: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def write_corpus(
    folder: Path, reading: Reading, tokenizer: Any, room: int, settings: PosttrainSettings, progress: Line
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


def held_out(text: Ids, valid: float | None, seed: int) -> tuple[Ids, Ids]:
    """Numbers of the held-out rows and of the others; all rows of a text are on one side.

    Args:
        text: (n,) number of the text each row is from.
        valid: as in ``PosttrainSettings``.
    """
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
