"""What masking or attribution found in texts, as answers: words, groups, labels, notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maeum._lang import language, say
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.explaining.exact import contributions
from maeum.explaining.explanation import Explanation, Group, LabelEvidence, Method, Word
from maeum.explaining.faithfulness import Faithfulness
from maeum.explaining.masking import MaskKind
from maeum.explaining.searching import LONG, MOST_GROUPS, Found
from maeum.explaining.units import Unit, UnitKind
from maeum.task import Task

Floats = NDArray[np.float64]
Decide = Callable[[Sequence[Floats]], NDArray[np.uint8]]
"""Rows of probabilities → labels (n, k)."""
_EPS = 1e-7


@dataclass(frozen=True)
class How:
    """What was asked for."""

    unit: UnitKind
    mask: MaskKind
    method: Method = "mask"
    quick: bool | None = None
    leave_out: int = 1
    mask_target: bool = False
    faithfulness: bool = True
    steps: int = 50
    """Of integrated gradients."""


@dataclass(frozen=True)
class Attributed:
    """What a method that masks nothing says of a text with n units and L labels."""

    base: Floats
    """(k,) probabilities of the text, all labels."""
    columns: tuple[int, ...]
    """(L,) labels looked at."""
    units: Floats
    """(n, L) what each unit adds to the logit."""
    constant: Floats
    """(L,) what of the logit belongs to no unit."""
    gap: Floats | None
    """(L,) by how much the parts miss the whole (integrated gradients)."""
    faithfulness: tuple[Faithfulness | None, ...]
    """(L,)"""


def masked_answers(
    analyzer: Analyzer,
    task: Task,
    texts: Sequence[tuple[Input, tuple[Unit, ...]]],
    found: Sequence[Found],
    decide: Decide,
    how: How,
) -> list[Explanation]:
    """The answers of masking."""
    decided, spoken = decide([result.base for result in found]), language()
    return [
        _masked(analyzer, task, item, units, result, odds, on, spoken, how)
        for (item, units), result, odds, on in zip(texts, found, _odds(found), decided, strict=True)
    ]


def attributed_answers(
    task: Task,
    texts: Sequence[tuple[Input, tuple[Unit, ...]]],
    found: Sequence[Attributed],
    decide: Decide,
    how: How,
) -> list[Explanation]:
    """The answers of methods that mask nothing: their scores are parts of the logit."""
    decided = decide([result.base for result in found])
    answers = []
    for (item, units), result, on in zip(texts, found, decided, strict=True):
        evidence = tuple(
            LabelEvidence(
                task.keys[column],
                task.labels[column].name(language()),
                float(str(np.float32(result.base[column]))),
                bool(on[column]),
                tuple(
                    Word(unit.begin, unit.end, unit.text, part, part, True, part)
                    for unit, part in zip(units, result.units[:, place].tolist(), strict=True)
                ),
                (),
                result.faithfulness[place],
                float(result.constant[place]),
                None if result.gap is None else float(result.gap[place]),
            )
            for place, column in enumerate(result.columns)
        )
        labels = task.decode(on.tolist())
        answers.append(
            Explanation(item.text, labels, evidence, task, how.unit, how.mask, False, item.target, (), how.method)
        )
    return answers


def _masked(
    analyzer: Analyzer,
    task: Task,
    item: Input,
    units: Sequence[Unit],
    found: Found,
    logits: Floats,
    decided: NDArray[np.uint8],
    spoken: str,
    how: How,
) -> Explanation:
    exact = contributions(analyzer, item, units, found.columns)
    base = found.base[list(found.columns)]
    evidence = tuple(
        LabelEvidence(
            task.keys[column],
            task.labels[column].name(spoken),
            float(str(np.float32(base[place]))),
            bool(decided[column]),
            _words(units, found, logits, place, None if exact is None else exact.units[:, place]),
            _groups(found, logits, place) if found.groups else (),
            found.faithfulness[place],
            None if exact is None else float(exact.target[place] + exact.constant[place]),
        )
        for place, column in enumerate(found.columns)
    )
    notes = tuple(_notes(found, how.quick))
    labels = task.decode(decided.tolist())
    return Explanation(item.text, labels, evidence, task, how.unit, how.mask, found.quick, item.target, notes)


def _words(units: Sequence[Unit], found: Found, logits: Floats, place: int, exact: Floats | None) -> tuple[Word, ...]:
    drops = (found.base[found.columns[place]] - found.without[:, place]).tolist()
    parts: list[float | None] = [None] * len(units) if exact is None else exact.tolist()
    columns = zip(units, drops, logits[:, place].tolist(), found.measured.tolist(), parts, strict=True)
    return tuple(
        Word(unit.begin, unit.end, unit.text, drop, odds, measured, part)
        for unit, drop, odds, measured, part in columns
    )


def pair_words(aspect: LabelEvidence, grade: LabelEvidence) -> tuple[Word, ...]:
    """What each word does for an aspect and its grade at once: drops of the product of their probabilities.

    The probability of the pair is p(aspect) · p(grade | aspect), as in the two passes that found it. Nothing is asked
    again: what is left of either factor without a word is known.
    """
    if [(word.begin, word.end) for word in aspect.words] != [(word.begin, word.end) for word in grade.words]:
        return ()
    words = []
    for one, other in zip(aspect.words, grade.words, strict=True):
        both = aspect.probability * grade.probability
        left = (aspect.probability - one.score) * (grade.probability - other.score)
        odds = float(logit(both) - logit(left))
        words.append(Word(one.begin, one.end, one.text, both - left, odds, one.measured and other.measured))
    return tuple(words)


def _groups(found: Found, logits: Floats, place: int) -> tuple[Group, ...]:
    base, alone = found.base[found.columns[place]], logits[:, place]
    groups = []
    for mask, row in found.groups:
        drop = float(logit(base) - logit(row[place]))
        groups.append(Group(mask, float(base - row[place]), drop, drop - float(alone[list(mask)].sum())))
    return tuple(sorted(groups, key=lambda group: -group.score))


def _notes(found: Found, quick: bool | None) -> Iterator[str]:
    n, measured = len(found.measured), int(found.measured.sum())
    if found.quick:
        why = say(f"{LONG}개 이상이어서 ", f"it has {LONG} or more, so ") if quick is None else ""
        yield say(
            f"낱말이 {n:,}개입니다. {why}빠른 방식으로 {measured:,}개만 하나씩 가려 보았고, 나머지의 값은 어림입니다.",
            f"the text has {n:,} units; {why}only {measured:,} were hidden one by one (quick mode), the rest is estimated",
        )
    if not found.all_groups:
        yield say(
            f"함께 가릴 조합이 {MOST_GROUPS:,}개보다 많아, 중요한 낱말끼리와 이웃한 낱말끼리만 보았습니다.",
            f"there are more than {MOST_GROUPS:,} groups, so only those of the best words and of neighbours were hidden",
        )


def _odds(found: Sequence[Found]) -> list[Floats]:
    """Of each text, what the log-odds (n, L) of its labels lose without each unit."""
    rows = [np.concatenate([item.base[None, list(item.columns)], item.without]) for item in found]
    flat = logit(np.concatenate([np.zeros(0), *(row.ravel() for row in rows)]))
    ends = np.cumsum([row.size for row in rows], dtype=np.int64)[:-1]
    parts = (part.reshape(row.shape) for part, row in zip(np.split(flat, ends), rows, strict=False))
    return [part[0] - part[1:] for part in parts]


def logit(p: Floats | np.float64 | float) -> Floats:
    """Log-odds; probabilities of 0 and 1 are taken as 1e-7 from there."""
    q = np.minimum(np.maximum(np.asarray(p, dtype=np.float64), _EPS), 1 - _EPS)
    return np.asarray(np.log(q) - np.log1p(-q))
