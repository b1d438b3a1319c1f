"""Label words as a tokenizer sees them: the tokens that a language model is asked for.

What a word becomes depends on what stands before it (``감정:`` and ``␣기쁨``, not ``기쁨``), so words are tokenized
behind the prompt, as one string. What would make probabilities of labels meaningless is refused here, before any model
is loaded: two words with the same tokens, a word whose tokens begin another's, characters the tokenizer does not know,
and tokens that reach over the border between prompt and answer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maeum.errors import UsageError
from maeum.models.prompts import Template

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Verbalizer:
    """Ordered words and the tokens of their answers."""

    keys: tuple[str, ...]
    """What each word stands for: label keys, or ``yes`` and ``no``."""
    words: tuple[str, ...]
    ids: tuple[Ids, ...]
    """Tokens of each answer, separator included; none begins another."""
    pieces: tuple[tuple[str, ...], ...]
    """The same as text."""

    @classmethod
    def of(
        cls, keys: Sequence[str], words: Mapping[str, str], tokenizer: Any, prompt_text: str, template: Template
    ) -> Verbalizer:
        """The words of ``keys`` behind a prompt.

        Args:
            keys: in column order.
            words: key → word (``Template.words_for``).
            tokenizer: a fast tokenizer of transformers.
            prompt_text: any prompt of the template (``PromptTokens.reference``).

        Raises:
            UsageError: a word has no tokens of its own in this tokenizer; the message shows the tokenizer's pieces.
        """
        chosen = tuple(words[key] for key in keys)
        ids = tuple(answer_ids(tokenizer, prompt_text, template.answer_text(word), word) for word in chosen)
        found = cls(tuple(keys), chosen, ids, tuple(pieces_of(tokenizer, answer) for answer in ids))
        found._check()
        return found

    @property
    def single(self) -> bool:
        """Whether every word is one token: then one forward pass gives all probabilities."""
        return all(len(ids) == 1 for ids in self.ids)

    def describe(self) -> tuple[tuple[str, tuple[str, ...], Ids], ...]:
        """One row per word: the word, the tokenizer's pieces, their ids."""
        return tuple(zip(self.words, self.pieces, self.ids, strict=True))

    def check_single(self) -> None:
        """Refuse words of several tokens.

        Raises:
            UsageError: naming each such word with its pieces.
        """
        split = [f"{word} = {_shown(pieces)}" for word, pieces, ids in self.describe() if len(ids) > 1]
        if split:
            raise UsageError(
                f"한 토큰이 아닌 낱말이 있습니다: {'; '.join(split)}. 프롬프트의 [words]에서 다른 낱말을 고르세요.",
                f"these words are not one token: {'; '.join(split)}; choose others under [words] of the prompt",
            )

    def _check(self) -> None:
        rows = self.describe()
        for number, (word, pieces, ids) in enumerate(rows):
            for other, other_pieces, other_ids in rows[:number]:
                if ids == other_ids:
                    raise UsageError(
                        f"'{other}'와(과) '{word}'은(는) 이 토크나이저에서 같은 토큰 {_shown(pieces)} {list(ids)}이라 가릴 수 없습니다. "
                        "프롬프트의 [words]에서 다른 낱말을 고르세요.",
                        f"'{other}' and '{word}' are the same tokens {_shown(pieces)} {list(ids)} for this tokenizer and "
                        "cannot be told apart; choose other words under [words] of the prompt",
                    )
                size = min(len(ids), len(other_ids))
                if ids[:size] == other_ids[:size]:
                    raise UsageError(
                        f"'{other}' = {_shown(other_pieces)}, '{word}' = {_shown(pieces)}: 한 낱말이 다른 낱말의 앞부분이라 "
                        "확률이 겹칩니다. 프롬프트의 [words]에서 다른 낱말을 고르세요.",
                        f"'{other}' = {_shown(other_pieces)}, '{word}' = {_shown(pieces)}: one begins the other, so their "
                        "probabilities overlap; choose other words under [words] of the prompt",
                    )


def answer_ids(tokenizer: Any, prompt_text: str, answer: str, word: str | None = None) -> Ids:
    """The tokens of ``answer`` behind ``prompt_text``: what tokenizing both as one string adds to the prompt's own.

    Args:
        word: what the message calls it; the answer if not given.

    Raises:
        UsageError: a token reaches over the border; or a character of the answer is unknown to the tokenizer, dropped
            by it, or read as a special token.
    """
    word = answer.strip() if word is None else word
    before = tuple(_coded(tokenizer, prompt_text)["input_ids"])
    coded = _coded(tokenizer, prompt_text + answer)
    joint = tuple(coded["input_ids"])
    if joint[: len(before)] != before:
        same = next(
            (at for at, (a, b) in enumerate(zip(before, joint, strict=False)) if a != b), min(len(before), len(joint))
        )
        alone, together = (_shown(pieces_of(tokenizer, ids[max(0, same - 1) :])) for ids in (before, joint))
        raise UsageError(
            f"프롬프트의 끝과 답 '{word}'이(가) 한 토큰으로 붙습니다: 따로 {alone}, 함께 {together}. "
            "프롬프트의 끝이나 answer의 구분자를 바꾸세요.",
            f"the end of the prompt and the answer '{word}' merge into one token: apart {alone}, together {together}; "
            "change the end of the prompt or the separator in 'answer'",
        )
    ids = joint[len(before) :]
    lost = not _covered(prompt_text + answer, len(prompt_text), coded["offset_mapping"])
    if lost and (composed := unicodedata.normalize("NFC", answer)) != answer:
        # a tokenizer that composes characters gives only the first of each its place
        again = _coded(tokenizer, prompt_text + composed)
        lost = tuple(again["input_ids"]) != joint
        lost = lost or not _covered(prompt_text + composed, len(prompt_text), again["offset_mapping"])
    if not ids or lost or not set(ids).isdisjoint(tokenizer.all_special_ids):
        raise UsageError(
            f"이 토크나이저는 답 '{word}'을(를) 글자 그대로 나타내지 못합니다: {_shown(pieces_of(tokenizer, ids))}. "
            "프롬프트의 [words]에서 다른 낱말을 고르세요.",
            f"this tokenizer has no tokens for the answer '{word}' as it is written: {_shown(pieces_of(tokenizer, ids))}; "
            "choose another word under [words] of the prompt",
        )
    return ids


def pieces_of(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """The tokenizer's pieces; those of a byte-level vocabulary as the text they stand for, where they are whole characters."""
    tokens: list[str] = tokenizer.convert_ids_to_tokens(list(ids))
    decoder = tokenizer.backend_tokenizer.decoder
    if "ByteLevel" not in repr(decoder):
        return tuple(tokens)
    texts = (decoder.decode([token]) for token in tokens)
    return tuple(token if "\ufffd" in text else text for token, text in zip(tokens, texts, strict=True))


def _covered(text: str, start: int, offsets: Sequence[tuple[int, int]]) -> bool:
    """Whether every character from ``start`` on, white space aside, is part of some token."""
    covered = {at for begin, end in offsets for at in range(begin, end)}
    return all(at in covered or text[at].isspace() for at in range(start, len(text)))


def _coded(tokenizer: Any, text: str) -> Any:
    return tokenizer(
        text,
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )


def _shown(pieces: Sequence[str]) -> str:
    return " + ".join(f"'{piece}'" for piece in pieces) or "''"
