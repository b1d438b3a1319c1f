"""Answers: the pairs of prompt and answer that a language model learns from, and lists it wrote read back.

Three forms. ``label`` (seed 000): a row with two labels is two pairs, each with one label's word. ``yesno``: every row is
asked about every label. ``list``: a row is one pair, its answer all words at once (seed 004's first design).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from maeum.data import Input
from maeum.errors import UsageError
from maeum.models.base import Labels
from maeum.models.label_lists import ListWords
from maeum.models.prompt_tokens import Prompt, PromptTokens
from maeum.models.verbalizers import Ids, Verbalizer
from maeum.task import Task

Form = Literal["label", "yesno", "list"]
Unlabelled = Literal["skip", "none"]


@dataclass(frozen=True, slots=True)
class Pair:
    """What is learnt from: the model sees prompt and answer on one line and learns the answer's tokens only."""

    row: int
    """Number of the input it came from, from 0."""
    prompt: Prompt
    answer: Ids


def pairs(
    form: Form,
    inputs: Sequence[Input],
    y: Labels,
    task: Task,
    verbalizer: Verbalizer,
    tokens: PromptTokens,
    unlabelled: Unlabelled = "skip",
    *,
    words: Mapping[str, str] | None = None,
    choices: Sequence[str] | None = None,
    lists: ListWords | None = None,
) -> list[Pair]:
    """Training pairs in the order of the rows, and of a row in the order of the labels.

    ``label``: one pair per row and true label. ``yesno``: one pair per row and label, answered yes or no. ``list``: one
    pair per row, the words of its true labels in the task's order.

    A row without any label is, under ``label`` and ``list``, left out with ``unlabelled="skip"`` (it teaches nothing), or
    answered with the template's ``none`` word with ``"none"``. Under ``yesno`` it is a no to every label either way.

    Args:
        y: (n, k) zeros and ones.
        verbalizer: for ``label`` and ``list`` the words of the task's labels, followed with ``unlabelled="none"`` by the
            template's ``none`` word; for ``yesno`` those of ``yes`` and ``no``, in this order.
        tokens: makes the prompts; it keeps at least as much room as the longest answer here takes.
        words: label key → word, named in prompts that ask about a label; the template's if not given.
        choices: what prompts that name the choices name, the same as will be asked with; the words if not given.
        lists: the pieces of lists; for ``list`` only.

    Raises:
        UsageError: no such form or ``unlabelled``; a prompt cannot be made or does not fit; nothing is left to learn.
        ValueError: ``y``, ``verbalizer`` or ``lists`` do not fit the form and the task.
    """
    for name, value, known in (("form", form, get_args(Form)), ("unlabelled", unlabelled, get_args(Unlabelled))):
        if value not in known:
            raise UsageError(
                f"{name}은(는) {', '.join(known)} 가운데 하나여야 합니다: {value!r}",
                f"{name} is one of {', '.join(known)}, got {value!r}",
            )
    _check(form, inputs, y, task, verbalizer, unlabelled, lists)
    words = tokens.template.words_for(task) if words is None else words
    choices = tuple(words.values()) if choices is None else choices
    if form == "yesno":
        return _yesno(inputs, y, verbalizer, tokens, [words[key] for key in task.keys], choices)
    answers = [_answers(form, np.flatnonzero(row).tolist(), verbalizer, lists, empty=unlabelled == "none") for row in y]
    rows = [row for row, found in enumerate(answers) if found]
    if inputs and not rows:
        raise UsageError(
            '라벨이 하나라도 있는 행이 없어 배울 것이 없습니다. 라벨이 없는 행도 가르치려면 unlabelled="none"을 쓰세요.',
            'no row has a label, so there is nothing to learn; to teach rows without labels too, use unlabelled="none"',
        )
    tokens = _with_room(tokens, max((len(answer) for found in answers for answer in found), default=0))
    prompts = tokens.encode([inputs[row] for row in rows], choices=choices, rows=rows)
    return [Pair(row, prompt, answer) for row, prompt in zip(rows, prompts, strict=True) for answer in answers[row]]


def _answers(
    form: Form, columns: list[int], verbalizer: Verbalizer, lists: ListWords | None, *, empty: bool
) -> list[Ids]:
    """The answers of one row."""
    if not columns and not empty:
        return []
    if lists is not None and form == "list":
        return [lists.answer(columns)]
    return [verbalizer.ids[column] for column in columns] if columns else [verbalizer.ids[-1]]


def _yesno(
    inputs: Sequence[Input],
    y: Labels,
    verbalizer: Verbalizer,
    tokens: PromptTokens,
    words: Sequence[str],
    choices: Sequence[str],
) -> list[Pair]:
    yes, no = verbalizer.ids
    tokens = _with_room(tokens, max(len(yes), len(no)))
    asked = [tokens.encode(inputs, label=word, choices=choices) for word in words]
    return [
        Pair(row, prompts[row], yes if on else no)
        for row, found in enumerate(y)
        for prompts, on in zip(asked, found.tolist(), strict=True)
    ]


def _with_room(tokens: PromptTokens, longest: int) -> PromptTokens:
    return tokens if tokens.reserve >= longest else replace(tokens, reserve=longest)


def _check(
    form: Form,
    inputs: Sequence[Input],
    y: Labels,
    task: Task,
    verbalizer: Verbalizer,
    unlabelled: Unlabelled,
    lists: ListWords | None,
) -> None:
    if y.shape != (len(inputs), len(task)):
        raise ValueError(f"y must have the shape {(len(inputs), len(task))}, got {y.shape}")
    if form == "yesno":
        if verbalizer.keys != ("yes", "no"):
            raise ValueError(f"yesno needs the words of ('yes', 'no'), got those of {verbalizer.keys}")
        return
    extra = int(unlabelled == "none")
    if verbalizer.keys[: len(task)] != task.keys or len(verbalizer.keys) < len(task) + extra:
        raise ValueError(f"{form} needs the words of the task's labels{extra * ' and one for none'}")
    if form == "list" and lists is None:
        raise ValueError("list needs the pieces of lists")


# -- lists written by a model -------------------------------------------------------------------------------------------

_SIGNS = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | dict.fromkeys("、·・", ","))
_QUOTES = "*\"'`‘’“”"
_GRADE = re.compile(rf"[ \t{_QUOTES}]*+[:=(\[]?[ \t{_QUOTES}]*+([+-]?)[ \t]*+(\d{{1,3}})(?!\d|\.\d)점?")
_TAIL = re.compile(r"(?:입니다|이다|이에요|예요|이고|이며|이랑|랑|하고|과|와)(?![가-힣])")
_BREAKS = rf"\s,;:|/。!~(){{}}\[\]<>{_QUOTES}"
_GAP = re.compile(rf"(?:[{_BREAKS}]|\.(?!\d)|[-•](?=\s|$)|(?:및|그리고)(?=\s))+")
_NUMBER = re.compile(r"(?m)^[ \t]*(?:\d{1,3}[.)]|[-*•])[ \t]+")
_STRETCH = re.compile(rf"[^{_BREAKS}.\d]*+(?:[\d.]*\d)?")
"""What is passed over where nothing known begins: up to a break, or to the end of a number."""


def parse_list(
    text: str, words: Mapping[str, str], *, none: str = ""
) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Labels, with their grades where they have some, in a list that a model wrote: ``디자인1, 배송-1``.

    Forgiving where the meaning is plain: spaces or none, missing commas, full-width signs and digits, any dash as a
    minus, numbered lines, quotation marks, ``디자인: 2``, ``디자인(+2)``, ``2점``, a full stop, ``기쁨과 슬픔``, ``기쁨입니다``. A word
    inside a longer unknown one (``기대`` in ``기대감``) is not taken for it. A label that comes twice counts once; with
    another grade, the first counts. (``formats.labels.parse_completion`` reads people's tables and refuses what it does
    not know; a model's answer must be read to its end.)

    Args:
        words: label key → word; keys are read too.
        none: the word for "no label", which is passed over.

    Returns:
        (key, grade) in the order of the text; the grade is written as sentiment keys are (``"-1"``, ``"2"``), None
        without one. And the rest: what is no label, and labels that came again with another grade.
    """
    spellings = {_folded(key): key for key in words} | {_folded(word): key for key, word in words.items()}
    if none:
        spellings.setdefault(_folded(none), "")
    known = sorted((word for word in spellings if word), key=len, reverse=True)
    found: dict[str, str | None] = {}
    rest: list[str] = []
    for word, grade, piece in _items(_NUMBER.sub("", _folded(text)), known):
        key = spellings.get(word)
        if key is None or (key in found and grade not in (None, found[key])):
            rest.append(piece)
        elif key:
            found.setdefault(key, grade)
    return list(found.items()), rest


def _items(text: str, known: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """(word, grade, how it stands there) one after the other; the word is empty for a stretch that is no label."""
    at = 0
    lost: list[str] = []
    while at < len(text):
        gap = _GAP.match(text, at)
        hit = None if gap else _item(text, at, known)
        if lost and (hit or (gap and gap.group().strip(" "))):
            yield "", None, "".join(lost).strip()
            lost = []
        if hit is not None:
            word, grade, end = hit
            yield word, grade, text[at:end].strip()
            at = end
            continue
        # unknown words with nothing but spaces between them are one stretch
        stretch = gap or _STRETCH.match(text, at)
        end = max(at + 1, stretch.end() if stretch else 0)
        if lost or not gap:
            lost.append(text[at:end])
        at = end
    if lost:
        yield "", None, "".join(lost).strip()


def _item(text: str, at: int, known: Sequence[str]) -> tuple[str, str | None, int] | None:
    """The longest known word that begins here and also ends where a word may end, its grade, and the end of both."""
    for word in known:
        if not text.startswith(word, at):
            continue
        end = at + len(word)
        grade = _GRADE.match(text, end)
        if grade is not None:
            tail = _TAIL.match(text, grade.end())
            return word, str(int(grade[1] + grade[2])), tail.end() if tail else grade.end()
        tail = _TAIL.match(text, end)
        if tail is not None:
            return word, None, tail.end()
        if end == len(text) or _GAP.match(text, end) or any(text.startswith(other, end) for other in known):
            return word, None, end
    return None


def _folded(text: str) -> str:
    """Half and full width alike, one kind of minus and of comma, small letters."""
    return unicodedata.normalize("NFKC", text).translate(_SIGNS).lower()
