"""Texts and targets as token windows: what an encoder is given.

``none``    [CLS] text [SEP]
``pair``    [CLS] text [SEP] target [SEP]: the word, wherever it stands; an aspect is always told this way
``marker``  [CLS] before ⟦ target ⟧ after [SEP]: the very span, so that the same word twice is told apart

A text too long for one window becomes several that overlap; the encoder scores each and joins the scores label by
label. The target is never cut off: a pair stands in every window, and a marked span gets one window around it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from maeum.data import Input, Target
from maeum.hf.frame import Frame

TargetInput = Literal["none", "pair", "marker"]
TARGET_INPUTS = ("none", "pair", "marker")
MARKERS = ("<target>", "</target>")
"""Tokens put around a marked span; added to the tokenizer of a model that uses ``marker``."""

Ids = tuple[int, ...]
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Window:
    """One input sequence of the encoder."""

    ids: Ids
    types: Ids
    """Segment of each token; empty where the model has none."""


@dataclass(frozen=True)
class Windows:
    """How inputs become windows.

    Args:
        tokenizer: a fast tokenizer of transformers (gives offsets).
        frame: its special tokens (``maeum.hf.frame.Frame``).
        max_length: tokens of a window, special ones included.
        overlap: share of a window's text that the next one repeats.
    """

    tokenizer: Any
    frame: Frame
    target_input: TargetInput
    max_length: int
    overlap: float = 0.25
    markers: Ids = ()
    """Ids of ``MARKERS``, for ``marker``."""

    def __call__(self, inputs: Sequence[Input]) -> list[tuple[Window, ...]]:
        """The windows of each input, at least one."""
        if not inputs:
            return []
        texts = [clean(item.text) for item in inputs]
        pieces = self._pieces(texts)
        seconds = [self._second(item) for item in inputs]
        forms = sorted({form for form in seconds if form is not None})
        words = dict(zip(forms, (ids for ids, _ in self._pieces(forms)), strict=True))
        result: list[tuple[Window, ...]] = []
        for item, text, second, (ids, offsets) in zip(inputs, texts, seconds, pieces, strict=True):
            if self.target_input == "marker" and item.target is not None and second is None:
                result.append((self._marked(text, item.target, ids, offsets),))
            else:
                result.append(self._cut(ids, None if second is None else words[second]))
        return result

    def _second(self, item: Input) -> str | None:
        """The second text of a pair: the aspect asked about, else the target where it is told that way."""
        if item.aspect is not None:
            return clean(item.aspect)
        return clean(item.target.form) if self.target_input == "pair" and item.target is not None else None

    def _pieces(self, texts: Sequence[str]) -> list[tuple[Ids, list[tuple[int, int]]]]:
        if not texts:
            return []
        coded = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        words, unknown = self.special_tokens
        return [
            (
                # a text that happens to hold "[SEP]" or "</s>" must not end there
                tuple(unknown if number in words.values() else number for number in ids)
                if any(word in text for word in words)
                else tuple(ids),
                offsets,
            )
            for text, ids, offsets in zip(texts, coded["input_ids"], coded["offset_mapping"], strict=True)
        ]

    @functools.cached_property
    def special_tokens(self) -> tuple[dict[str, int], int]:
        """Special tokens that no text may bring along, by their spelling, and what they become."""
        tokenizer = self.tokenizer
        words = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        unknown = tokenizer.unk_token_id
        return {word: number for word, number in words.items() if number != unknown}, int(unknown)

    def _cut(self, ids: Ids, pair: Ids | None) -> tuple[Window, ...]:
        if pair is not None:
            # a target as long as the window must still leave half of it to the text
            pair = pair[: self.max_length // 2]
        room = max(1, self.max_length - self.frame.overhead(pair=pair is not None) - len(pair or ()))
        if len(ids) <= room:
            return (self._framed(ids, pair),)
        step = max(1, room - int(room * self.overlap))
        starts = [*range(0, len(ids) - room, step), len(ids) - room]
        return tuple(self._framed(ids[start : start + room], pair) for start in starts)

    def _framed(self, ids: Ids, pair: Ids | None) -> Window:
        whole, types = self.frame.encode(ids, pair)
        return Window(tuple(whole), tuple(types or ()))

    def _marked(self, text: str, target: Target, ids: Ids, offsets: list[tuple[int, int]]) -> Window:
        before, inside, after = _split(text, target, ids, offsets) or self._split_text(text, target)
        opening, closing = self.markers
        room = self.max_length - self.frame.overhead(pair=False) - len(self.markers)
        inside = inside[: max(1, room)]
        left = max(0, room - len(inside))
        # both sides get half of what is left, and what one side does not need goes to the other
        keep_before = min(len(before), max(left // 2, left - len(after)))
        keep_after = min(len(after), left - keep_before)
        ids = (*before[len(before) - keep_before :], opening, *inside, closing, *after[:keep_after])
        return self._framed(ids, None)

    def _split_text(self, text: str, target: Target) -> tuple[Ids, Ids, Ids]:
        """The three parts tokenized on their own: the span begins or ends in the middle of a token."""
        parts = (text[: target.begin], text[target.begin : target.end], text[target.end :])
        before, inside, after = (ids for ids, _ in self._pieces(parts))
        return before, inside, after


def _split(text: str, target: Target, ids: Ids, offsets: list[tuple[int, int]]) -> tuple[Ids, Ids, Ids] | None:
    """The text's own tokens before, in and after the span, or None where a token crosses its border."""
    first = last = None
    for number, (begin, end) in enumerate(offsets):
        # some tokenizers count the space before a word as part of its first token
        while begin < end and text[begin].isspace():
            begin += 1
        if end <= target.begin or (begin >= target.end):
            continue
        if begin < target.begin or end > target.end:
            return None
        first, last = (number if first is None else first), number
    if first is None or last is None:
        return None
    return ids[:first], ids[first : last + 1], ids[last + 1 :]


def clean(text: str) -> str:
    """The text as tokenizers take it: half a surrogate pair cannot be encoded and becomes U+FFFD.

    Each half for itself, also where two would make a character: offsets must not move.
    """
    return _SURROGATE.sub("\ufffd", text)
