"""``explain``: texts in, evidence out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maeum._lang import language
from maeum._progress import Line
from maeum.analyzer import Analyzer, as_inputs
from maeum.data import Example, Input, check_target
from maeum.errors import TaskMismatch, UsageError
from maeum.explaining import faithfulness as faith
from maeum.explaining import gradients, scoring
from maeum.explaining.answering import Attributed, Decide, How, attributed_answers, masked_answers, pair_words
from maeum.explaining.exact import contributions
from maeum.explaining.explanation import (
    METHODS,
    Explanation,
    Explanations,
    GradeEvidence,
    Method,
    Word,
)
from maeum.explaining.masking import BEST_MASK, MASK_KINDS, Masker, MaskKind
from maeum.explaining.searching import Found, Plan, rank, search
from maeum.explaining.units import UNIT_KINDS, Unit, UnitKind, cut, morphemes, reader_of, tokens
from maeum.task import Task
from maeum.text import TextPrep

Floats = NDArray[np.float64]
Pick = Callable[[Floats], list[int]]


@runtime_checkable
class Staged(Protocol):
    """A predictor of an aspect task in two stages: aspects, and the grade of each."""

    aspects: Analyzer
    sentiment: Analyzer

    def asked(self, item: Input, aspect: str) -> Input:
        """What the second stage is asked about an aspect (by key) of a text."""
        ...


def explain(
    analyzer: Analyzer,
    items: Iterable[str | Input | Example],
    *,
    labels: Sequence[str] | None = None,
    aspect: str | Sequence[str] | None = None,
    target: str | None = None,
    unit: UnitKind = "eojeol",
    mask: MaskKind | None = None,
    method: Method = "mask",
    leave_out: int = 1,
    quick: bool | None = None,
    mask_target: bool = False,
    faithfulness: bool = True,
    steps: int = 50,
    model: str = "",
    progress: Line = lambda _: None,
) -> Explanations:
    """Which words made the labels of texts; of review models, also the grade of each aspect looked at.

    Args:
        items: raw texts, inputs or examples; anything iterable but a bare string.
        labels: keys or names of the labels to explain. None: those the model decides on, or the most probable one.
        aspect: the same for review models: one aspect or several, whose grades are explained too.
        target: what the emotion is about, for all the texts given as strings; its first occurrence is meant.
        unit: what is hidden at a time. ``morpheme`` needs the extra ``ko``, ``token`` a model with a tokenizer.
        mask: how it is hidden; see ``masking``. None: what points best for the unit.
        method: ``mask``; ``exact``: what each word adds to the log-odds of a linear model; ``ig``: integrated gradients
            of an encoder (extra ``ig``). The words of the last two are ranked by parts of the logit, and masks are only
            used to measure faithfulness.
        leave_out: also hide groups of up to so many units.
        quick: look closely only where it matters. None: only in texts of 200 units or more.
        mask_target: hide the target, too (by ``○``), as a unit of its own.
        faithfulness: measure it; asks the model about as often again as finding the words does.
        steps: points on the path of integrated gradients.
        model: what the answer calls the model.

    Raises:
        UsageError: an unknown unit, mask or method, one that does not fit the model, a group size or number of steps
            below 1, or a target that does not occur.
        TaskMismatch: an unknown label (the nearest is suggested), or an aspect for a model without aspects.
        DataError: a target whose offsets do not give its form.
        MissingExtra: ``morpheme`` without kiwipiepy, ``ig`` without captum.
    """
    _check(unit, mask, method, leave_out, steps)
    how = How(unit, mask or BEST_MASK[unit], method, quick, leave_out, mask_target, faithfulness, steps)
    inputs = as_inputs(items, target=target)
    for item in inputs:
        if item.target is not None:
            check_target(item.text, item.target)
    decide = functools.partial(_decide, analyzer)
    limits = np.array(analyzer.thresholds.values, dtype=np.float32)
    pick = functools.partial(_pick, limits, _wanted(analyzer.task, labels, aspect))
    first, stages = _stages(analyzer)
    explained = _explained(first, analyzer.task, inputs, pick, decide, how, progress)
    if stages is not None:
        explained = _graded(stages, analyzer.task, inputs, explained, how, progress)
    return Explanations(tuple(explained), model)


def aspect_words(
    analyzer: Analyzer, items: Iterable[str | Input | Example], most: int
) -> list[Mapping[str, dict[str, list[dict[str, Any]]]]]:
    """For each review, aspect it speaks of → the words that speak for it, and for its grade: at most so many, best first.

    Returns:
        ``{"evidence": […], "sentiment_evidence": […]}`` of ``{"begin", "end", "text", "score"}``; the score is how much
        the probability drops without the word: of the aspect, and of aspect and grade together, which points to what
        people mark as evidence far better than the grade alone (benchmarks/explain.py).
    """
    found = explain(analyzer, items, faithfulness=False)
    return [
        {
            item.key: {
                "evidence": _best(item.ranked, most),
                "sentiment_evidence": _best(pairs[item.key].ranked or pairs[item.key].evidence.ranked, most),
            }
            for item in explanation.evidence
            if item.decided
        }
        for explanation in found
        for pairs in [{grade.aspect: grade for grade in explanation.grades}]
    ]


def _best(ranked: Sequence[Word], most: int) -> list[dict[str, Any]]:
    return [
        {"begin": word.begin, "end": word.end, "text": word.text, "score": round(word.score, 6)}
        for word in ranked[:most]
        if round(word.score, 6) > 0
    ]


def _check(unit: str, mask: str | None, method: str, leave_out: int, steps: int) -> None:
    given = (("unit", unit, UNIT_KINDS), ("mask", mask or MASK_KINDS[0], MASK_KINDS), ("method", method, METHODS))
    for name, value, known in given:
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
    if steps < 1:
        raise UsageError(f"steps는 1 이상이어야 합니다: {steps}", f"steps is at least 1, got {steps}")
    if leave_out > 1 and method != "mask":
        raise UsageError(
            f"낱말을 함께 가리는 것은 method mask에만 있습니다(지금: {method}).",
            f"groups are hidden by method mask only, not by {method}",
        )


def _wanted(task: Task, labels: Sequence[str] | None, aspect: str | Sequence[str] | None) -> list[int]:
    """Columns of the labels asked for."""
    if aspect is None:
        return sorted({task.index(label) for label in labels or ()})
    if task.kind != "aspect":
        raise TaskMismatch(
            f"과제 '{task.name}'의 모델에는 속성이 없습니다. 라벨은 --label로 고르세요.",
            f"the model of task '{task.name}' has no aspects; choose labels with --label",
        )
    names = [aspect] if isinstance(aspect, str) else aspect
    return sorted({task.index(label) for label in (*(labels or ()), *names)})


def _pick(limits: NDArray[np.float32], wanted: Sequence[int], row: Floats) -> list[int]:
    """The labels to explain, the most probable first: those wanted, else those above their thresholds, else the best.

    ``Thresholds.decide`` gives the same where it gives any; it is not called because it is made for many rows at a time.
    """
    chosen = wanted or (np.flatnonzero(row.astype(np.float32) >= limits).tolist() if len(limits) else [])
    chosen = chosen or [int(row.argmax())]
    return sorted(chosen, key=lambda column: -row[column])


def _decide(analyzer: Analyzer, rows: Sequence[Floats]) -> NDArray[np.uint8]:
    """Labels (n, k) of rows of probabilities."""
    return analyzer.decide(np.array(rows, dtype=np.float32).reshape(len(rows), len(analyzer.task)))


def _most_probable(rows: Sequence[Floats]) -> NDArray[np.uint8]:
    """One label (n, k) a row: grades are given so, whatever the thresholds."""
    decided = np.zeros((len(rows), len(rows[0]) if rows else 0), np.uint8)
    for number, row in enumerate(rows):
        decided[number, row.argmax()] = 1
    return decided


def _stages(analyzer: Analyzer) -> tuple[Analyzer, Staged | None]:
    """What gives the labels, and of a review model its stages: the first is asked directly, without the shell around it."""
    model = analyzer.predictor
    if not isinstance(model, Staged):
        return analyzer, None
    bare = analyzer.prep == TextPrep.named("raw") and analyzer.calibration.is_identity
    return (model.aspects if bare else analyzer), model


def _graded(
    stages: Staged,
    task: Task,
    inputs: Sequence[Input],
    explained: Sequence[Explanation],
    how: How,
    progress: Line,
) -> list[Explanation]:
    """The explanations with the evidence for the grades of their aspects, all of them in one stream."""
    pairs = [(row, item.key) for row, found in enumerate(explained) for item in found.evidence]
    asked = [stages.asked(inputs[row], key) for row, key in pairs]
    pick = functools.partial(_pick, np.zeros(0, np.float32), ())
    sentiment = stages.sentiment
    answers = _explained(sentiment, sentiment.task, asked, pick, _most_probable, how, progress)
    grades: list[list[GradeEvidence]] = [[] for _ in explained]
    for (row, key), answer in zip(pairs, answers, strict=True):
        name = task.labels[task.index(key)].name(language())
        grade = answer.evidence[0]
        pair = pair_words(explained[row][key], grade) if how.method == "mask" else ()
        grades[row].append(GradeEvidence(key, name, grade, pair))
    return [replace(found, grades=tuple(own)) for found, own in zip(explained, grades, strict=True)]


def _explained(
    analyzer: Analyzer, task: Task, inputs: Sequence[Input], pick: Pick, decide: Decide, how: How, progress: Line
) -> list[Explanation]:
    """The evidence in texts for the labels of one model."""
    reader = reader_of(analyzer.predictor, analyzer.prep) if how.unit == "token" else None
    texts = [(item, _units(item, how, reader)) for item in inputs]
    if how.method != "mask":
        attributed = _attributed(analyzer, texts, pick, how, progress)
        return attributed_answers(task, texts, attributed, decide, how)
    plan = Plan(pick, how.quick, how.leave_out, how.faithfulness)

    def jobs() -> Iterator[tuple[Masker, scoring.Work[Found]]]:
        for item, units in texts:
            yield Masker(item, units, how.mask), search(len(units), plan)

    found = list(scoring.run(analyzer, jobs(), progress=progress))
    return masked_answers(analyzer, task, texts, found, decide, how)


def _units(item: Input, how: How, reader: tuple[Any, TextPrep] | None) -> tuple[Unit, ...]:
    spans: list[tuple[int, int]] = []
    if how.unit == "morpheme":
        spans = morphemes(item.text)
    elif reader is not None:
        spans = tokens(item.text, *reader)
    return cut(item.text, spans, item.target, with_target=how.mask_target)


def _attributed(
    analyzer: Analyzer, texts: Sequence[tuple[Input, tuple[Unit, ...]]], pick: Pick, how: How, progress: Line
) -> list[Attributed]:
    """The parts that words have in the logits, and how faithful the order they give is."""
    if how.method == "ig":
        gradients.refuse_other_models(analyzer.predictor)
    base = analyzer.predict_proba([item for item, _ in texts]).astype(np.float64)
    found = []
    for row, (item, units) in zip(base, texts, strict=True):
        columns = tuple(pick(row))
        parts, constant, gap = _parts(analyzer, item, units, columns, how)
        found.append(Attributed(row, columns, parts, constant, gap, (None,) * len(columns)))
    if not how.faithfulness:
        return found

    def jobs() -> Iterator[tuple[Masker, scoring.Work[Any]]]:
        for (item, units), one in zip(texts, found, strict=True):
            every = np.ones(len(units), dtype=bool)
            orders = [rank(-part, every) for part in one.units.T]
            yield Masker(item, units, how.mask), faith.judge(scoring.Asked(), orders, one.columns)

    judged = scoring.run(analyzer, jobs(), progress=progress)
    return [replace(one, faithfulness=tuple(faithful)) for one, faithful in zip(found, judged, strict=True)]


def _parts(
    analyzer: Analyzer, item: Input, units: Sequence[Unit], columns: Sequence[int], how: How
) -> tuple[Floats, Floats, Floats | None]:
    """Parts (n, L) of the logits, what belongs to no unit (L,), and the gap (L,)."""
    if how.method == "ig":
        found = gradients.integrated(analyzer, item, units, columns, how.steps)
        return found.units, found.rest + found.constant, found.gap
    exact = contributions(analyzer, item, units, columns)
    if exact is None:
        raise UsageError(
            "정확한 몫(exact)은 둘째 단이 없는 선형 모델에서, 라벨이 서로 독립이거나 둘이고 속성이 없을 때만 있습니다. "
            "--method mask를 쓰세요.",
            "exact parts exist only for linear models without a second stage, with independent labels or two, and without "
            "an aspect; use --method mask",
        )
    return exact.units, exact.target + exact.constant, None
