"""``explain``: texts in, evidence out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._lang import language, say
from maeum._progress import Line
from maeum.analyzer import Analyzer, as_inputs
from maeum.data import Example, Input, check_target
from maeum.errors import UsageError
from maeum.explaining import scoring
from maeum.explaining.exact import Contributions, contributions
from maeum.explaining.explanation import Explanation, Explanations, Group, LabelEvidence, Word
from maeum.explaining.masking import BEST_MASK, MASK_KINDS, Masker, MaskKind
from maeum.explaining.searching import LONG, MOST_GROUPS, Found, Plan, search
from maeum.explaining.units import UNIT_KINDS, Unit, UnitKind, cut, morphemes, tokenizer_of, tokens
from maeum.task import Task

Floats = NDArray[np.float64]
_EPS = 1e-7


def explain(
    analyzer: Analyzer,
    items: Iterable[str | Input | Example],
    *,
    labels: Sequence[str] | None = None,
    target: str | None = None,
    unit: UnitKind = "eojeol",
    mask: MaskKind | None = None,
    leave_out: int = 1,
    quick: bool | None = None,
    mask_target: bool = False,
    faithfulness: bool = True,
    model: str = "",
    progress: Line = lambda _: None,
) -> Explanations:
    """Which words made the labels of texts.

    Args:
        items: raw texts, inputs or examples; anything iterable but a bare string.
        labels: keys or names of the labels to explain. None: those the model decides on, or the most probable one.
        target: what the emotion is about, for all the texts given as strings; its first occurrence is meant.
        unit: what is hidden at a time. ``morpheme`` needs the extra ``ko``, ``token`` a model with a tokenizer.
        mask: how it is hidden; see ``masking``. None: what points best for the unit.
        leave_out: also hide groups of up to so many units.
        quick: look closely only where it matters. None: only in texts of 200 units or more.
        mask_target: hide the target, too (by ``○``), as a unit of its own.
        faithfulness: measure it; asks the model about as often again as finding the words does.
        model: what the answer calls the model.

    Raises:
        UsageError: an unknown unit or mask, a group size below 1, or a target that does not occur.
        TaskMismatch: an unknown label; the nearest is suggested.
        DataError: a target whose offsets do not give its form.
        MissingExtra: ``morpheme`` without kiwipiepy.
    """
    _check(unit, mask, leave_out)
    hidden = mask or BEST_MASK[unit]
    inputs = as_inputs(items, target=target)
    for item in inputs:
        if item.target is not None:
            check_target(item.text, item.target)
    wanted = None if labels is None else sorted({analyzer.task.index(label) for label in labels})
    tokenizer = tokenizer_of(analyzer.predictor) if unit == "token" else None

    def pick(row: Floats) -> list[int]:
        chosen = wanted if wanted else [int(column) for column in np.flatnonzero(_decide(analyzer, row))]
        return sorted(chosen or [int(row.argmax())], key=lambda column: -row[column])

    plan = Plan(pick, quick, leave_out, faithfulness)
    texts = [(item, _units(item, unit, analyzer, tokenizer, mask_target)) for item in inputs]

    def jobs() -> Iterator[tuple[Masker, scoring.Work[Found]]]:
        for item, units in texts:
            yield Masker(item, units, hidden), search(len(units), plan)

    found = scoring.run(analyzer, jobs(), progress=progress)
    explained = tuple(
        _explanation(analyzer, item, units, result, unit, hidden, quick)
        for (item, units), result in zip(texts, found, strict=True)
    )
    return Explanations(explained, model)


def best_words(
    analyzer: Analyzer, items: Iterable[str | Input | Example], most: int
) -> list[Mapping[str, list[dict[str, Any]]]]:
    """For each text, label it gets → the words that speak for it: at most so many, best first.

    Returns:
        ``{"begin", "end", "text", "score"}`` of each word; the score is how much the probability drops without it.
    """
    found = explain(analyzer, items, faithfulness=False)
    return [
        {
            item.key: [
                {"begin": word.begin, "end": word.end, "text": word.text, "score": round(word.score, 6)}
                for word in item.ranked[:most]
                if round(word.score, 6) > 0
            ]
            for item in explanation.evidence
            if item.decided
        }
        for explanation in found
    ]


def _check(unit: str, mask: str | None, leave_out: int) -> None:
    for name, value, known in (("unit", unit, UNIT_KINDS), ("mask", mask or MASK_KINDS[0], MASK_KINDS)):
        if value not in known:
            raise UsageError(
                f"{name}에 '{value}'은(는) 없습니다. 쓸 수 있는 것: {', '.join(known)}",
                f"{name} '{value}' is unknown; known: {', '.join(known)}",
            )
    if leave_out < 1:
        raise UsageError(
            f"함께 가릴 낱말 수는 1 이상이어야 합니다: {leave_out}",
            f"the number of words hidden together is at least 1, got {leave_out}",
        )


def _decide(analyzer: Analyzer, row: Floats) -> NDArray[np.uint8]:
    decided: NDArray[np.uint8] = analyzer.decide(row[None].astype(np.float32))[0]
    return decided


def _units(item: Input, kind: UnitKind, analyzer: Analyzer, tokenizer: object, mask_target: bool) -> tuple[Unit, ...]:
    spans: list[tuple[int, int]] = []
    if kind == "morpheme":
        spans = morphemes(item.text)
    elif kind == "token":
        spans = tokens(item.text, tokenizer, analyzer.prep)
    return cut(item.text, spans, item.target, with_target=mask_target)


def _explanation(
    analyzer: Analyzer,
    item: Input,
    units: Sequence[Unit],
    found: Found,
    kind: UnitKind,
    mask: MaskKind,
    quick: bool | None,
) -> Explanation:
    task = analyzer.task
    decided = _decide(analyzer, found.base)
    exact = contributions(analyzer, item, units, found.columns)
    base = found.base[list(found.columns)]
    evidence = tuple(
        LabelEvidence(
            task.keys[column],
            _label_name(task, task.keys[column]),
            float(str(np.float32(base[place]))),
            bool(decided[column]),
            _words(units, found, place, exact),
            _groups(found, place),
            found.faithfulness[place],
            None if exact is None else float(exact.target[place] + exact.constant[place]),
        )
        for place, column in enumerate(found.columns)
    )
    notes = tuple(_notes(found, quick))
    return Explanation(item.text, task.decode(decided), evidence, task, kind, mask, found.quick, item.target, notes)


def _words(units: Sequence[Unit], found: Found, place: int, exact: Contributions | None) -> tuple[Word, ...]:
    base, without = found.base[found.columns[place]], found.without[:, place]
    drops, logits = base - without, logit(base) - logit(without)
    return tuple(
        Word(
            unit.begin,
            unit.end,
            unit.text,
            float(drops[number]),
            float(logits[number]),
            bool(found.measured[number]),
            None if exact is None else float(exact.units[number, place]),
        )
        for number, unit in enumerate(units)
    )


def _groups(found: Found, place: int) -> tuple[Group, ...]:
    base, without = found.base[found.columns[place]], found.without[:, place]
    alone = logit(base) - logit(without)
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


def logit(p: Floats | np.float64 | float) -> Floats:
    """Log-odds; probabilities of 0 and 1 are taken as 1e-7 from there."""
    q = np.clip(np.asarray(p, dtype=np.float64), _EPS, 1 - _EPS)
    return np.asarray(np.log(q) - np.log1p(-q))


def _label_name(task: Task, key: str) -> str:
    """The display name of a label."""
    return next(label.name(language()) for label in task.labels if label.key == key)
