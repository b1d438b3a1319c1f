"""A Korean stress suite: perturb texts in ways that keep their meaning, and count how often the labels flip.

Each perturbation leaves the target span as it is, so that a flip is never due to a lost target. What a model with
honest text preparation should shrug off entirely (NFD, invisible characters) is listed beside what it can only try to.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.data import Dataset, Input, Target
from maeum.metrics import decision_metrics

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

_NAMES_KO = {
    "no_spaces": "띄어쓰기 없음",
    "typos": "모음 오타",
    "laughter": "ㅋㅋ 덧붙임",
    "emoji": "이모지 덧붙임",
    "punctuation": "마침표 바꿈",
    "nfd": "NFD 글자",
    "invisible": "보이지 않는 글자",
}


@dataclass(frozen=True)
class StressReport:
    """Flip rates by perturbation."""

    rows: int
    """Rows perturbed."""
    results: Mapping[str, Mapping[str, float]]
    """Perturbation → ``row_flips`` (share of rows whose label set changed), ``cell_flips`` (share of row–label
    decisions that changed), ``mean_shift`` (mean absolute change of probability), and, for labelled rows,
    ``macro_f1`` and ``micro_f1`` after it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"rows": self.rows, "results": {name: dict(values) for name, values in self.results.items()}}

    def summary(self) -> str:
        """A text table."""
        from maeum._tables import text_table

        heads = [say("흔들기", "perturbation"), say("바뀐 행", "rows flipped"), say("바뀐 판정", "decisions flipped")]
        heads += [say("확률 변화", "mean shift"), "micro-F1", "macro-F1"]
        rows = []
        for name, values in self.results.items():
            cells = [f"{values['row_flips']:.1%}", f"{values['cell_flips']:.2%}", f"{values['mean_shift']:.4f}"]
            cells += [f"{values[metric]:.4f}" if metric in values else "–" for metric in ("micro_f1", "macro_f1")]
            rows.append([say(_NAMES_KO.get(name, name), name), *cells])
        return text_table(heads, rows)


def stress_test(analyzer: Analyzer, data: Dataset, *, rows: int = 2000, seed: int = 0) -> StressReport:
    """Perturb up to ``rows`` rows of ``data`` (drawn at random) and compare with the unperturbed answers."""
    rng = np.random.default_rng(seed)
    picked = np.sort(rng.permutation(len(data))[:rows])
    sample = data.select(picked)
    inputs = sample.inputs
    before = analyzer.predict_proba(inputs)
    decided = analyzer.decide(before)
    labelled = sample.is_labelled and sample.task.keys == analyzer.task.keys
    results: dict[str, dict[str, float]] = {}
    for name, change in {"none": _same, **PERTURBATIONS}.items():
        after = analyzer.predict_proba([perturbed(item, change, rng) for item in inputs])
        now = analyzer.decide(after)
        results[name] = {
            "row_flips": float((now != decided).any(1).mean()),
            "cell_flips": float((now != decided).mean()),
            "mean_shift": float(np.abs(after - before).mean()),
        }
        if labelled:
            found = decision_metrics(sample.y, now)
            results[name] |= {metric: found[metric] for metric in ("micro_f1", "macro_f1")}
    return StressReport(len(sample), results)


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
