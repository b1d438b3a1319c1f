"""What is answered: the words of a text, ranked for every label that was asked about."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args, overload

from maeum.data import Target
from maeum.errors import UsageError
from maeum.explaining.faithfulness import Faithfulness, mean
from maeum.explaining.masking import MaskKind
from maeum.explaining.units import UnitKind
from maeum.task import Task

Method = Literal["mask", "exact", "ig"]
METHODS: tuple[str, ...] = get_args(Method)


class Word(NamedTuple):
    """One unit of a text and what it does for one label."""

    begin: int
    end: int
    text: str
    """Quoted: ``raw[begin:end]``."""
    score: float
    """How much the probability drops without it, −1 … 1: positive speaks for the label, negative against it. Where nothing
    was masked (``Explanation.method``) what it adds to the logit."""
    logit_score: float
    """The same on the scale of log-odds, where words of very sure decisions still differ."""
    measured: bool = True
    """False: only a share of what its stretch was worth (quick mode)."""
    contribution: float | None = None
    """What it adds to the log-odds of a linear model; see ``exact``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = {
            "begin": self.begin,
            "end": self.end,
            "text": self.text,
            "score": self.score,
            "logit_score": self.logit_score,
        }
        if not self.measured:
            data["measured"] = False
        if self.contribution is not None:
            data["contribution"] = self.contribution
        return data


@dataclass(frozen=True, slots=True)
class Group:
    """Several units hidden at once."""

    words: tuple[int, ...]
    """Places in ``LabelEvidence.words``."""
    score: float
    logit_score: float
    together: float
    """``logit_score`` beyond the sum of the units' own: what they do only together (안 + 좋다)."""


def _ranked(words: Sequence[Word]) -> tuple[Word, ...]:
    return tuple(sorted((word for word in words if word.measured), key=lambda word: -word.score))


@dataclass(frozen=True)
class LabelEvidence:
    """What speaks for and against one label."""

    key: str
    name: str
    probability: float
    decided: bool
    """Whether the model gives the label, by its thresholds."""
    words: tuple[Word, ...]
    """All units, in the order of the text."""
    groups: tuple[Group, ...] = ()
    """Of ``leave_out``: strongest first."""
    faithfulness: Faithfulness | None = None
    constant: float | None = None
    """Log-odds that belong to no word: constant and target. Contributions and this add up to the log-odds."""
    gap: float | None = None
    """Integrated gradients: by how much contributions and constant miss the logit (completeness)."""

    @functools.cached_property
    def ranked(self) -> tuple[Word, ...]:
        """The words that were measured, best evidence first; equal ones in the order of the text."""
        return _ranked(self.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; words best first, then those that were not measured."""
        data: dict[str, Any] = {
            "label": self.key,
            "probability": self.probability,
            "decided": self.decided,
            "words": [word.to_dict() for word in (*self.ranked, *(word for word in self.words if not word.measured))],
            "faithfulness": self.faithfulness and self.faithfulness.to_dict(),
        }
        if self.constant is not None:
            data["constant"] = self.constant
        if self.gap is not None:
            data["completeness_gap"] = self.gap
        if self.groups:
            data["groups"] = [
                {
                    "words": [self.words[place].text for place in group.words],
                    "begins": [self.words[place].begin for place in group.words],
                    "score": group.score,
                    "logit_score": group.logit_score,
                    "together": group.together,
                }
                for group in self.groups
            ]
        return data


@dataclass(frozen=True)
class GradeEvidence:
    """What speaks for the grade that an aspect of a review gets."""

    aspect: str
    """Key of the aspect."""
    name: str
    """What the aspect is called."""
    evidence: LabelEvidence
    """Its label is the grade."""
    pair: tuple[Word, ...] = ()
    """For aspect and grade together: how much the product of both probabilities drops without each word, in the order of
    the text. Empty where nothing was masked, or where the two stages have different units."""

    @functools.cached_property
    def ranked(self) -> tuple[Word, ...]:
        """The words of ``pair`` that were measured, best evidence first."""
        return _ranked(self.pair)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        data = self.evidence.to_dict()
        pair = {"pair": [word.to_dict() for word in self.ranked]} if self.pair else {}
        return {"aspect": self.aspect, "sentiment": data.pop("label"), **data, **pair}


@dataclass(frozen=True)
class Explanation:
    """The evidence in one text."""

    text: str
    """The raw text."""
    labels: tuple[str, ...]
    """What the model decided."""
    evidence: tuple[LabelEvidence, ...]
    """Label by label, the most probable first."""
    task: Task = field(repr=False)
    unit: UnitKind = "eojeol"
    mask: MaskKind = "delete"
    quick: bool = False
    target: Target | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know: words that were not measured, groups that were left out."""
    method: Method = "mask"
    """``mask``: scores are drops of the probability; ``exact``, ``ig``: parts of the logit."""
    grades: tuple[GradeEvidence, ...] = ()
    """Of review models: the evidence for the grade of each aspect in ``evidence``."""

    def __post_init__(self) -> None:
        for item in (*self.evidence, *(grade.evidence for grade in self.grades)):
            for word in item.words:
                if self.text[word.begin : word.end] != word.text:
                    raise ValueError(f"[{word.begin}, {word.end}) of the text does not read {word.text!r}")

    def __getitem__(self, label: str) -> LabelEvidence:
        """The evidence for a label, by key, name or alias.

        Raises:
            TaskMismatch: no label is spelt so.
            UsageError: the label was not looked at.
        """
        key = self.task.resolve(label)
        for item in self.evidence:
            if item.key == key:
                return item
        shown = ", ".join(item.key for item in self.evidence)
        raise UsageError(
            f"라벨 '{key}'의 근거는 찾지 않았습니다. labels=['{key}']를 주세요. 있는 것: {shown}",
            f"there is no evidence for label '{key}' here; ask with labels=['{key}']. There is: {shown}",
        )

    def grade(self, aspect: str) -> LabelEvidence:
        """The evidence for the grade of an aspect, by key, name or alias.

        Raises:
            TaskMismatch: no aspect is spelt so.
            UsageError: the aspect was not looked at, or the model gives no grades.
        """
        key = self.task.resolve(aspect)
        for item in self.grades:
            if item.aspect == key:
                return item.evidence
        shown = ", ".join(item.aspect for item in self.grades)
        raise UsageError(
            f"속성 '{key}'의 감성 근거는 찾지 않았습니다. 후기 모델에 aspect='{key}'를 주세요. 있는 것: {shown}",
            f"there is no evidence for the grade of '{key}' here; ask a review model with aspect='{key}'. There is: "
            f"{shown}",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        grades = {"grades": [grade.to_dict() for grade in self.grades]} if self.grades else {}
        return {
            "text": self.text,
            "target": self.target and self.target.to_dict(),
            "labels": list(self.labels),
            "unit": self.unit,
            "mask": self.mask,
            "quick": self.quick,
            "method": self.method,
            "evidence": [item.to_dict() for item in self.evidence],
            **grades,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        from maeum.explaining.page import fragment

        return fragment([self])

    def to_html(self) -> str:
        """A page of its own."""
        return Explanations((self,)).to_html()


@dataclass(frozen=True)
class Explanations(Sequence[Explanation]):
    """The evidence in several texts, in their order."""

    items: tuple[Explanation, ...]
    model: str = ""
    """What the page calls the model."""

    @overload
    def __getitem__(self, item: int) -> Explanation: ...
    @overload
    def __getitem__(self, item: slice) -> Explanations: ...
    def __getitem__(self, item: int | slice) -> Explanation | Explanations:
        if isinstance(item, slice):
            return Explanations(self.items[item], self.model)
        return self.items[item]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.items)

    @functools.cached_property
    def faithfulness(self) -> Faithfulness | None:
        """Mean over all texts and labels looked at, grades included."""
        grades = (grade.evidence for text in self.items for grade in text.grades)
        labels = (item for text in self.items for item in text.evidence)
        return mean(item.faithfulness for item in itertools.chain(labels, grades))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "model": self.model,
            "faithfulness": self.faithfulness and self.faithfulness.to_dict(),
            "results": [item.to_dict() for item in self.items],
        }

    def to_html(self) -> str:
        """One self-contained page."""
        from maeum.explaining.page import page

        return page(self)

    def _repr_html_(self) -> str:
        from maeum.explaining.page import fragment

        return fragment(self.items)
