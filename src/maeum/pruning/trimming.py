"""A corpus decides which pieces of a vocabulary stay; what that changes is counted on the same corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maeum._lang import say
from maeum._progress import Line
from maeum.analyzer import batched
from maeum.data import Input
from maeum.errors import DataError
from maeum.formats import iter_examples
from maeum.text import TextPrep

if TYPE_CHECKING:
    from maeum.hf.vocabulary import Trim

_CHUNK = 2048
_TELL_EVERY = 200_000


def read_texts(source: str, reading: Mapping[str, Any], prep: TextPrep | None) -> Iterator[str]:
    """The texts of a file, prepared as the model's are, and the words that a model is told beside them."""
    for example in iter_examples(source, with_labels=False, **reading):
        item: Input = example.input if prep is None else prep.prepare_input(example.input)
        yield item.text
        if item.target is not None:
            yield item.target.form
        if item.aspect is not None:
            yield item.aspect


def choose(
    tokenizer: Any, config: Any, texts: Iterable[str], rows: int, *, min_count: int, progress: Line
) -> tuple[Trim, dict[str, Any]]:
    """Which pieces to keep, and what was counted: texts, tokens, and how many of them are cut as before.

    Args:
        rows: rows of the embeddings.

    Raises:
        DataError: no text.
    """
    from maeum.hf.vocabulary import choose_pieces
    from maeum.models.windows import clean

    counts = np.zeros(rows, np.int64)
    distinct: dict[tuple[int, ...], int] = {}
    seen = 0
    for chunk in batched((clean(text) for text in texts), _CHUNK):
        for ids in _ids(tokenizer, chunk):
            np.add.at(counts, ids, 1)
            rare = tuple(sorted({number for number in ids if counts[number] <= min_count}))
            distinct[rare] = distinct.get(rare, 0) + 1
        seen += len(chunk)
        if seen % _TELL_EVERY < _CHUNK and seen >= _TELL_EVERY:
            progress(say(f"글 {seen:,}건", f"{seen:,} texts"))
    if not seen:
        raise DataError("어휘를 셀 글이 없습니다.", "there is no text to count pieces in")
    trim = choose_pieces(tokenizer, config, counts, min_count=min_count)
    kept = np.zeros(rows, bool)
    kept[trim.kept] = True
    # what a text used more often than min_count stays anyway: only its rare pieces tell whether it is cut as before
    same = sum(times for rare, times in distinct.items() if kept[list(rare)].all())
    return trim, {
        "texts": seen,
        "tokens": int(counts.sum()),
        "pieces_before": rows,
        "pieces_after": len(trim.kept),
        "same_texts": same / seen,
        "tokens_kept": float(counts[kept].sum() / max(1, counts.sum())),
    }


def changed(before: Any, after: Any, trim: Trim, texts: Sequence[str]) -> dict[str, float]:
    """How other texts fare: the share cut as before, how much longer they get, unknown tokens before and after."""
    first, second = _ids(before, texts), _ids(after, texts)
    tokens = (max(1, sum(map(len, found))) for found in (first, second))
    same = sum([int(trim.kept[number]) for number in b] == list(a) for a, b in zip(first, second, strict=True))
    old, new = tokens
    return {
        "rows": len(texts),
        "same_texts": same / max(1, len(texts)),
        "longer": new / old - 1,
        "unknown_before": sum(ids.count(before.unk_token_id) for ids in first) / old,
        "unknown_after": sum(ids.count(after.unk_token_id) for ids in second) / new,
    }


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    coded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    found: list[list[int]] = coded["input_ids"]
    return found
