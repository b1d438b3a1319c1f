"""Prompts as token ids: what a causal language model is given.

A prompt is tokenized as one string, so that its tokens are those of the text a person would write. Three things are
seen to on the way. A special token that a text merely spells (``</s>``, ``<|im_end|>``) stays text. A prompt that is too
long loses part of its text, never its instruction, target, examples or end. And room is kept for the answer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from maeum.data import Input, Target
from maeum.errors import UsageError
from maeum.models.prompts import Segment, Template
from maeum.models.windows import clean

Ids = tuple[int, ...]
Span = tuple[int, int]
Worked = tuple[Input, str]
"""A worked example: an input and the word that answers it."""

_PLACE = re.compile("\ue000([0-9]+)\ue001")
_DATE = "26 Jul 2024"
"""The date that templates which tell the model today's date are given: a prompt must not change from day to day."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt."""

    ids: Ids
    cut: bool = False
    """Whether the text was too long and lost a part."""


@dataclass(frozen=True)
class PromptTokens:
    """How inputs become prompts of token ids.

    Args:
        tokenizer: a fast tokenizer of transformers (gives offsets).
        max_length: tokens of prompt and answer together.
        reserve: how many of these are kept free for the answer.
    """

    tokenizer: Any
    template: Template
    max_length: int
    reserve: int = 0
    _rendered: dict[Any, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def encode(
        self,
        inputs: Sequence[Input],
        *,
        label: str | None = None,
        choices: Sequence[str] = (),
        shots: Sequence[Sequence[Worked]] = (),
        rows: Sequence[int] | None = None,
    ) -> list[Prompt]:
        """The prompt of each input.

        Args:
            label: the word asked about: takes the template's ``yesno`` variant.
            choices: the words to choose from, for ``{choices}``.
            shots: for each input the worked examples that stand before it, in order; empty: none for any.
            rows: numbers of the inputs, from 0, for messages; their positions if not given.

        Raises:
            UsageError: a slot has nothing to fill it, or a prompt does not fit even without its text.
        """
        numbers = range(len(inputs)) if rows is None else rows
        wholes = [
            self._whole(item, label, choices, before, row)
            for item, row, before in zip(inputs, numbers, shots or [()] * len(inputs), strict=True)
        ]
        if not wholes:
            return []
        found: list[Prompt] = []
        for item, row, whole, ids in zip(inputs, numbers, wholes, self._ids(wholes), strict=True):
            over = len(ids) - (self.max_length - self.reserve)
            found.append(Prompt(ids) if over <= 0 else self._cut(whole, item.target, over, row))
        return found

    def text(
        self, item: Input, *, label: str | None = None, choices: Sequence[str] = (), shots: Sequence[Worked] = ()
    ) -> str:
        """The whole prompt as text, uncut, chat template included."""
        return self._whole(item, label, choices, shots, None).text

    def reference(self, *, label: str | None = None, choices: Sequence[str] = ()) -> str:
        """The prompt of a made-up input: it ends as all prompts do, which is all that the tokens of answers depend on."""
        item = Input("글", Target("글", 0, 1), "글")
        return self.text(item, label=label, choices=choices or ("글",))

    # -- text -------------------------------------------------------------------------------------------------

    def _whole(
        self, item: Input, label: str | None, choices: Sequence[str], shots: Sequence[Worked], row: int | None
    ) -> _Whole:
        def asked(one: Input) -> tuple[Segment, ...]:
            return self.template.segments(one, label=label, choices=choices, row=row)

        turns: list[tuple[str, Iterable[Segment]]] = []
        for shot, word in shots:
            turns.append(("user", asked(shot)))
            turns.append(("assistant", (Segment(self.template.answer_text(word), "answer"),)))
        last = asked(item)
        turns.append(("user", last))
        if self.template.chat:
            parts = self._chat(turns)
        else:
            gap = _Part(self.template.separator, value=False)
            parts = []
            for role, segments in turns:
                parts += [_part(segment) for segment in segments]
                parts += [gap] if role == "assistant" else []
        # the question stands last, so its text is the last slot of that kind
        text = max(at for at, part in enumerate(parts) if part.slot == "text")
        return _Whole(tuple(parts), text)

    def _chat(self, turns: Sequence[tuple[str, Iterable[Segment]]]) -> list[_Part]:
        """The tokenizer's chat template around the turns, with what fills the slots told apart from the rest."""
        values: list[_Part] = []
        messages = [{"role": "system", "content": self.template.system}] if self.template.system else []
        for role, segments in turns:
            content = ""
            for segment in segments:
                part = _part(segment)
                if part.value:
                    content += f"\ue000{len(values)}\ue001"
                    values.append(part)
                else:
                    content += part.text
            messages.append({"role": role, "content": content})
        parts: list[_Part] = []
        for at, piece in enumerate(_PLACE.split(self._render(messages))):
            if at % 2:
                parts.append(values[int(piece)])
            elif piece:
                parts.append(_Part(piece, value=False))
        if sum(part.value for part in parts) != len(values):
            raise UsageError(
                "이 토크나이저의 대화 틀은 사용자의 말을 빠뜨리거나 되풀이합니다. emotion 같은 일반 프롬프트를 쓰세요.",
                "the chat template of this tokenizer leaves out or repeats a turn; use a plain prompt such as 'emotion'",
            )
        return parts

    def _render(self, messages: list[dict[str, str]]) -> str:
        key = tuple((message["role"], message["content"]) for message in messages)
        if key not in self._rendered:
            if not self.tokenizer.chat_template:
                raise UsageError(
                    f"프롬프트 '{self.template.name}'은(는) 대화형인데 이 모델의 토크나이저에는 대화 틀이 없습니다. emotion이나 label을 쓰세요.",
                    f"prompt '{self.template.name}' is for chat models, and this model's tokenizer has no chat template; use 'emotion' or 'label'",
                )
            try:
                # the answer has to come at once: templates that know enable_thinking leave reasoning out
                rendered = self.tokenizer.apply_chat_template(
                    messages, add_generation_prompt=True, tokenize=False, enable_thinking=False, date_string=_DATE
                )
            except Exception as error:  # whatever the template itself raises, such as "no system role"
                if isinstance(error, ImportError):
                    raise
                raise UsageError(
                    f"이 토크나이저의 대화 틀을 채우지 못했습니다: {error}",
                    f"the chat template of this tokenizer could not be filled: {error}",
                ) from error
            self._rendered[key] = str(rendered)
        return self._rendered[key]

    # -- tokens -----------------------------------------------------------------------------------------------

    @functools.cached_property
    def _begin(self) -> Ids:
        """What the tokenizer puts before a text by itself; a chat template writes that out."""
        if self.template.chat:
            return ()
        plain, framed = (self.tokenizer("가", add_special_tokens=add)["input_ids"] for add in (False, True))
        starts = range(len(framed) - len(plain) + 1)
        at = next((at for at in starts if framed[at : at + len(plain)] == plain), 0)
        return tuple(framed[:at])

    @functools.cached_property
    def _literal_specials(self) -> bool:
        """Whether special tokens are part of the prompt itself: always in chats, and where a template writes some."""
        template = self.template
        own = (template.prompt, template.untargeted, template.aspected, template.yesno, template.yesno_untargeted)
        text = " ".join((*own, template.separator))
        return template.chat or any(token in text for token in self.tokenizer.all_special_tokens)

    def _ids(self, wholes: Sequence[_Whole]) -> list[Ids]:
        texts = [whole.text for whole in wholes]
        if not self._literal_specials:
            return [(*self._begin, *ids) for ids in self._coded(texts, split=True)["input_ids"]]
        coded = self._coded(texts, split=False, offsets=True)
        return [
            (*self._begin, *self._guarded(whole, ids, offsets))
            for whole, ids, offsets in zip(wholes, coded["input_ids"], coded["offset_mapping"], strict=True)
        ]

    def _coded(self, texts: list[str], *, split: bool, offsets: bool = False) -> Any:
        """``split``: special tokens that the texts spell are ordinary text."""
        return self.tokenizer(
            texts,
            add_special_tokens=False,
            split_special_tokens=split,
            return_offsets_mapping=offsets,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )

    def _guarded(self, whole: _Whole, ids: list[int], offsets: list[Span]) -> list[int]:
        """The same tokens, but a special one that a slot's value spells becomes its spelling."""
        specials = set(self.tokenizer.all_special_ids)
        found: list[int] = []
        for number, (begin, end) in zip(ids, offsets, strict=True):
            if number in specials:
                piece = whole.text[begin:end]
                # some special tokens take the white space beside them along
                begin, end = end - len(piece.lstrip()), begin + len(piece.rstrip())
                unknown = number == self.tokenizer.unk_token_id and piece.strip() != self.tokenizer.unk_token
                if not unknown and any(begin < stop and start < end for start, stop in whole.values):
                    found += self._spelt(piece)
                    continue
            found.append(number)
        return found

    def _spelt(self, piece: str) -> list[int]:
        """A special token's spelling as ordinary tokens; letter by letter where even so it comes out whole."""
        specials = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        ids: list[int] = self._coded([piece], split=True)["input_ids"][0]
        if specials.isdisjoint(ids):
            return ids
        letters = self._coded(list(piece), split=True)["input_ids"]
        return [number for letter in letters for number in letter if number not in specials]

    # -- length -----------------------------------------------------------------------------------------------

    def _cut(self, whole: _Whole, target: Target | None, over: int, row: int) -> Prompt:
        """The prompt with as much of its text as fits: around the target, or from the beginning."""
        limit = self.max_length - self.reserve
        text = whole.parts[whole.at].text
        start = sum(len(part.text) for part in whole.parts[: whole.at])
        coded = self._coded([whole.text], split=not self._literal_specials, offsets=True)
        stop = start + len(text)
        spans: list[Span] = coded["offset_mapping"][0]
        tokens = [(max(b, start) - start, min(e, stop) - start) for b, e in spans if b < stop and e > start]
        room = max(0, len(tokens) - over)
        while True:
            shorter = whole.with_text(_excerpt(text, tokens, target, room))
            (ids,) = self._ids([shorter])
            if len(ids) <= limit:
                return Prompt(ids, cut=True)
            if room == 0:
                raise self._too_long(len(ids), row)
            # the excerpt begins and ends elsewhere than the tokens of the whole did, so it may take some more
            room = max(0, room - (len(ids) - limit))

    def _too_long(self, length: int, row: int) -> UsageError:
        return UsageError(
            f"{row + 1}번째 행: 글을 다 빼도 프롬프트가 {length}토큰이라 최대 {self.max_length}토큰(답에 {self.reserve}토큰)에 들어가지 않습니다. "
            "max_length를 늘리거나 예시를 줄이거나 더 짧은 프롬프트를 쓰세요.",
            f"row {row + 1}: even without its text the prompt has {length} tokens and does not fit into {self.max_length} "
            f"({self.reserve} of them for the answer); raise max_length, give fewer examples or take a shorter prompt",
        )


def shared_prefix(prompts: Sequence[Prompt | Ids]) -> int:
    """The number of leading ids that all prompts share; 0 without prompts."""
    rows = [prompt.ids if isinstance(prompt, Prompt) else prompt for prompt in prompts]
    if not rows:
        return 0
    # what the first and the last in sorted order share, all between them share
    low, high = min(rows), max(rows)
    return next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the whole prompt: written by the template, or by someone else (``value``)."""

    text: str
    value: bool
    slot: str | None = None


@dataclass(frozen=True)
class _Whole:
    """A prompt in parts; ``at`` is the part that may be cut."""

    parts: tuple[_Part, ...]
    at: int

    @functools.cached_property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)

    @functools.cached_property
    def values(self) -> list[Span]:
        """Where the parts stand that the template did not write."""
        found: list[Span] = []
        begin = 0
        for part in self.parts:
            if part.value:
                found.append((begin, begin + len(part.text)))
            begin += len(part.text)
        return found

    def with_text(self, text: str) -> _Whole:
        """The same with another text."""
        parts = list(self.parts)
        parts[self.at] = replace(parts[self.at], text=text)
        return _Whole(tuple(parts), self.at)


def _part(segment: Segment) -> _Part:
    return _Part(clean(segment.text), segment.slot is not None, segment.slot)


def _excerpt(text: str, tokens: Sequence[Span], target: Target | None, room: int) -> str:
    """``room`` tokens of the text, those around the target where there is one, and no white space where it was cut."""
    if room == 0:
        return ""
    first, last = 0, room
    low = high = None
    if target is not None:
        inside = [at for at, (begin, end) in enumerate(tokens) if begin < target.end and end > target.begin]
        if inside:
            size = min(len(inside), room)
            before, after = inside[0], len(tokens) - inside[0] - size
            left = room - size
            # both sides get half of what is left, and what one side does not need goes to the other
            first = inside[0] - min(before, max(left // 2, left - after))
            last = first + room
            low, high = target.begin, target.end
    # up to the next token, not to the end of the last: characters that the tokenizer composed have no place of their own
    begin, end = tokens[first][0], tokens[last][0] if last < len(tokens) else len(text)
    while first > 0 and begin < end and begin != low and text[begin].isspace():
        begin += 1
    while last < len(tokens) and begin < end and end != high and text[end - 1].isspace():
        end -= 1
    return text[begin:end]
