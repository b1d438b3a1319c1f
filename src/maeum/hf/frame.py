"""The special tokens that a model wants around one text or two, and how long its inputs may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maeum.errors import FormatError

__all__ = ["Frame", "frame_of", "positions", "segment_ids"]

# Positions of these count from pad_token_id + 1, so 514 rows hold 512 tokens.
_POSITIONS_AFTER_PAD = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text"}


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens that a model wants around one text or two, and its limits.

    ``begin A end`` for one text, ``begin A between B end`` for two. Segment ids: ``begin`` has ``begin_type``, A and
    ``between`` have ``first_type``, B has ``second_type``, ``end`` that of the text before it. All three are
    ``None`` where the model must not or need not be given ``token_type_ids``.
    """

    begin: tuple[int, ...]
    between: tuple[int, ...]
    end: tuple[int, ...]
    begin_type: int | None
    first_type: int | None
    second_type: int | None
    pad_id: int
    mask_id: int | None
    max_positions: int
    """Most tokens of one input, special tokens included."""

    def overhead(self, *, pair: bool) -> int:
        """How many special tokens are added."""
        return len(self.begin) + len(self.end) + (len(self.between) if pair else 0)

    def encode(self, first: Sequence[int], second: Sequence[int] | None = None) -> tuple[list[int], list[int] | None]:
        """(ids, segment ids or ``None``) of one text or two; nothing is cut."""
        ids = [*self.begin, *first]
        if second is not None:
            ids += [*self.between, *second]
        ids += self.end
        if self.begin_type is None or self.first_type is None or self.second_type is None:
            return ids, None
        types = [self.begin_type] * len(self.begin) + [self.first_type] * len(first)
        if second is None:
            return ids, types + [self.first_type] * len(self.end)
        types += [self.first_type] * len(self.between) + [self.second_type] * (len(second) + len(self.end))
        return ids, types


def segment_ids(config: Any, tokenizer: Any = None) -> bool:
    """Whether the model may be given segment ids other than zero.

    klue/roberta is the trap: its BERT tokenizer numbers the second text 1, and the model has one segment embedding
    only. The model decides, not the tokenizer; ``tokenizer`` is accepted for symmetry and not asked.
    """
    return _segments(config) > 1


def _segments(config: Any) -> int:
    # Funnel compares segment ids for equality instead of looking them up, with 2 set apart for [CLS]; its config
    # class has no such field, whatever older config.json files say.
    if config.model_type == "funnel":
        return 3
    return int(getattr(config, "type_vocab_size", 0) or 0)


def frame_of(tokenizer: Any, config: Any) -> Frame:
    """The frame that the tokenizer itself puts around texts, read off a probe and checked.

    Raises:
        FormatError: the tokenizer frames texts in a way that ``Frame`` cannot say, or has no padding token.
    """
    first, second = "기분이 좋다", "값 1"
    single = tokenizer(first, return_token_type_ids=True)
    pair = tokenizer(first, second, return_token_type_ids=True)
    ids: list[int] = pair["input_ids"]
    owner = pair.sequence_ids(0)
    if 0 not in owner or 1 not in owner or tokenizer.pad_token_id is None:
        raise FormatError(
            "토크나이저에 특수 토큰이나 어휘가 모자랍니다.", "the tokenizer lacks special tokens or a vocabulary"
        )
    start, middle = owner.index(0), owner.index(1)
    stop_first = len(owner) - 1 - owner[::-1].index(0) + 1
    stop = len(owner) - 1 - owner[::-1].index(1) + 1
    types: list[int] | None = pair["token_type_ids"]
    if types is not None and (not segment_ids(config) or max(types) >= _segments(config) or not any(types)):
        types = None
    found = Frame(
        begin=tuple(ids[:start]),
        between=tuple(ids[stop_first:middle]),
        end=tuple(ids[stop:]),
        begin_type=None if types is None else types[0],
        first_type=None if types is None else types[start],
        second_type=None if types is None else types[middle],
        pad_id=int(tokenizer.pad_token_id),
        mask_id=None if tokenizer.mask_token_id is None else int(tokenizer.mask_token_id),
        max_positions=positions(tokenizer, config),
    )
    a = tokenizer(first, add_special_tokens=False)["input_ids"]
    b = tokenizer(second, add_special_tokens=False)["input_ids"]
    want = [
        (single["input_ids"], None if types is None else single["token_type_ids"]),
        (ids, types),
    ]
    if [found.encode(a), found.encode(a, b)] != want:
        raise FormatError(
            "토크나이저가 두 글을 잇는 방식을 지원하지 않습니다.",
            "the way this tokenizer frames one text and two is not supported",
        )
    return found


def positions(tokenizer: Any, config: Any) -> int:
    """Most tokens of one input, special tokens included."""
    rows = getattr(config, "max_position_embeddings", None)
    if rows:
        # model_max_length of the tokenizer is a habit of whoever saved it; the embedding table is the limit.
        if config.model_type in _POSITIONS_AFTER_PAD:
            rows -= (config.pad_token_id or 0) + 1
        return int(rows)
    length = tokenizer.model_max_length
    return int(length) if length < 100_000 else 512
