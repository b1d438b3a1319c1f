"""A Korean stress suite: perturb texts in ways that keep their meaning, and count how often labels and grades flip.

Each perturbation leaves the target span as it is, so that a flip is never due to a lost target. What a model with
honest text preparation should shrug off entirely (NFD, invisible characters) is listed beside what it can only try to.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.data import Dataset, Input, Target
from maeum.metrics import decision_metrics
from maeum.models.base import Proba
from maeum.report import row_name

Perturb = Callable[[str, np.random.Generator], str]


def no_spaces(text: str, rng: np.random.Generator) -> str:
    """All spaces gone, as in hasty typing."""
    return text.replace(" ", "")


def typos(text: str, rng: np.random.Generator) -> str:
    """About one Hangul syllable in ten with a neighbouring vowel (ㅐ/ㅔ, ㅏ/ㅑ, …)."""
    return "".join(_slip(char) if rng.random() < 0.1 else char for char in text)


def laughter(text: str, rng: np.random.Generator) -> str:
    """ㅋㅋ at the end, which Korean writers add to almost anything."""
    return text + " ㅋㅋ"


def emoji(text: str, rng: np.random.Generator) -> str:
    """An emoji of no clear sentiment at the end."""
    return text + " ✨"


def punctuation(text: str, rng: np.random.Generator) -> str:
    """Two dots at the end, and full stops gone elsewhere."""
    return text.replace(".", "") + ".."


def nfd(text: str, rng: np.random.Generator) -> str:
    """Decomposed Hangul, as macOS writes file names."""
    return unicodedata.normalize("NFD", text)


def invisible(text: str, rng: np.random.Generator) -> str:
    """A zero-width space in every tenth place, as copied web text has."""
    return "".join(char + "\u200b" if place % 10 == 4 else char for place, char in enumerate(text))


PERTURBATIONS: dict[str, Perturb] = {
    "no_spaces": no_spaces,
    "typos": typos,
    "laughter": laughter,
    "emoji": emoji,
    "punctuation": punctuation,
    "nfd": nfd,
    "invisible": invisible,
}


@dataclass(frozen=True)
class StressReport:
    """Flip rates by perturbation."""

    rows: int
    """Rows perturbed."""
    results: Mapping[str, Mapping[str, float]]
    """Perturbation → ``row_flips`` (share of rows whose label set changed), ``cell_flips`` (share of row–label
    decisions that changed), ``mean_shift`` (mean absolute change of probability), and, for labelled rows,
    ``macro_f1`` and ``micro_f1`` after it. Models of an aspect task also ``grade_flips``, the share of (row, aspect)
    pairs found both before and after whose grade changed, and ``graded_pairs``, how many such pairs there are; without any
    there is no ``grade_flips``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"rows": self.rows, "results": {name: dict(values) for name, values in self.results.items()}}

    def summary(self) -> str:
        """A text table."""
        from maeum._tables import text_table

        heads = [say("흔들기", "perturbation"), say("바뀐 행", "rows flipped"), say("바뀐 판정", "decisions flipped")]
        graded = any("graded_pairs" in values for values in self.results.values())
        heads += [say("바뀐 등급", "grades flipped")] if graded else []
        heads += [say("확률 변화", "mean shift"), "micro-F1", "macro-F1"]
        rows = []
        for name, values in self.results.items():
            cells = [f"{values['row_flips']:.1%}", f"{values['cell_flips']:.2%}"]
            cells += [f"{values['grade_flips']:.1%}" if "grade_flips" in values else "–"] if graded else []
            cells += [f"{values['mean_shift']:.4f}"]
            cells += [f"{values[metric]:.4f}" if metric in values else "–" for metric in ("micro_f1", "macro_f1")]
            rows.append([row_name(name), *cells])
        return text_table(heads, rows)


def stress_test(analyzer: Analyzer, data: Dataset, *, rows: int = 2000, seed: int = 0) -> StressReport:
    """Perturb up to ``rows`` rows of ``data`` (drawn at random) and compare with the unperturbed answers."""
    rng = np.random.default_rng(seed)
    picked = np.sort(rng.permutation(len(data))[:rows])
    sample = data.select(picked)
    inputs = sample.inputs
    before = analyzer.predict_proba(inputs)
    decided = analyzer.decide(before)
    grades = _grades(analyzer, inputs, decided, before)
    labelled = sample.is_labelled and sample.task.keys == analyzer.task.keys
    results: dict[str, dict[str, float]] = {}
    for name, change in {"none": _same, **PERTURBATIONS}.items():
        changed = [perturbed(item, change, rng) for item in inputs]
        after = analyzer.predict_proba(changed)
        now = analyzer.decide(after)
        results[name] = {
            "row_flips": float((now != decided).any(1).mean()),
            "cell_flips": float((now != decided).mean()),
            "mean_shift": float(np.abs(after - before).mean()),
        }
        if grades is not None:
            results[name] |= grade_flips(grades, _grades(analyzer, changed, now, after) or [])
        if labelled:
            found = decision_metrics(sample.y, now)
            results[name] |= {metric: found[metric] for metric in ("micro_f1", "macro_f1")}
    return StressReport(len(sample), results)


def grade_flips(before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """``graded_pairs``, the (row, aspect) pairs found both before and after, and ``grade_flips``, the share whose grade changed.

    Args:
        before, after: for each row aspect → grade.
    """
    both = [
        (mine[aspect], theirs[aspect])
        for mine, theirs in zip(before, after, strict=True)
        for aspect in mine
        if aspect in theirs
    ]
    flips = {"grade_flips": sum(old != new for old, new in both) / len(both)} if both else {}
    return {**flips, "graded_pairs": float(len(both))}


def _grades(
    analyzer: Analyzer, inputs: Sequence[Input], on: NDArray[np.uint8], proba: Proba
) -> list[dict[str, str]] | None:
    """Aspect → grade of every row; None for models that give none."""
    graded = analyzer.grade(inputs, on, proba)
    return None if graded is None else [{item["aspect"]: item["sentiment"] for item in row} for row in graded]


def perturbed(item: Input, change: Perturb, rng: np.random.Generator) -> Input:
    """The input with its text changed outside the target, whose offsets follow."""
    target = item.target
    if target is None:
        return Input(change(item.text, rng), None, item.aspect)
    before, after = item.text[: target.begin], item.text[target.end :]
    head = change(before, rng) if before else ""
    text = head + target.form + change(after, rng)
    return Input(text, Target(target.form, len(head), len(head) + len(target.form)), item.aspect)


def _same(text: str, rng: np.random.Generator) -> str:
    return text


_VOWEL_SLIPS = {0: 2, 2: 0, 1: 5, 5: 1, 4: 6, 6: 4, 8: 12, 12: 8, 13: 17, 17: 13, 10: 11, 11: 10, 18: 20, 20: 18}
"""Vowel index (order of Unicode Hangul syllables) → the one it is mistyped for: ㅏ/ㅑ, ㅐ/ㅔ, ㅓ/ㅕ, ㅗ/ㅛ, ㅜ/ㅠ, …"""


def _slip(char: str) -> str:
    code = ord(char) - 0xAC00
    if not 0 <= code < 11172:
        return char
    initial, vowel, final = code // 588, code // 28 % 21, code % 28
    return chr(0xAC00 + (initial * 21 + _VOWEL_SLIPS.get(vowel, vowel)) * 28 + final)
