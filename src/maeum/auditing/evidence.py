"""What the model says of the rows on the list, and by which words: for whoever decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maeum import explaining
from maeum.auditing.findings import Mark, Said, Suspect
from maeum.auditing.probing import Probed
from maeum.data import Dataset
from maeum.reviews.stages import grades

_LEAST = 0.001
"""Change of a probability below which a word is not kept."""


def said_of(data: Dataset, suspects: Sequence[Suspect], probed: Mapping[str, Probed]) -> tuple[Said, ...]:
    """Held-out probabilities of each suspect's row, and the words for the label in doubt."""
    asked = (grades(example.aspects or ()) for example in data)
    pairs = ((row, aspect) for row, found in enumerate(asked) for aspect in found)
    places = {pair: place for place, pair in enumerate(pairs)} if "sentiment" in probed else {}
    questions = []
    for item in suspects:
        graded = item.kind == "grade"
        name = "sentiment" if graded else next(iter(probed))
        row = places[item.row, item.label] if graded else item.row
        # of two labels that exclude each other the words for the one suggested say why the other is in doubt
        questions.append((name, row, item.suggested if item.kind in ("class", "grade") else item.label))
    words = _words(questions, probed)
    return tuple(_said(probed[name], row, about, words.get((name, row, about), ())) for name, row, about in questions)


def _said(part: Probed, row: int, about: str, words: tuple[Mark, ...]) -> Said:
    keys = part.rows.task.keys
    scores = {key: round(float(p), 4) for key, p in zip(keys, part.proba[row], strict=True)}
    return Said(scores, tuple(key for key, on in zip(keys, part.decided[row], strict=True) if on), about, words)


def _words(
    questions: Sequence[tuple[str, int, str]], probed: Mapping[str, Probed]
) -> dict[tuple[str, int, str], tuple[Mark, ...]]:
    """Words of each question, asked together where the model and the label are the same."""
    together: dict[tuple[str, str], list[int]] = {}
    for name, row, about in dict.fromkeys(questions):
        analyzer = probed[name].analyzer
        if analyzer is not None and analyzer.predictor.kind == "linear":
            together.setdefault((name, about), []).append(row)
    found = {}
    for (name, about), rows in together.items():
        part = probed[name]
        assert part.analyzer is not None
        told = explaining.explain(part.analyzer, [part.rows[row] for row in rows], labels=[about], faithfulness=False)
        for row, item in zip(rows, told, strict=True):
            marks = (Mark(w.begin, w.end, round(w.score, 4)) for w in item.evidence[0].words)
            found[name, row, about] = tuple(mark for mark in marks if abs(mark.score) >= _LEAST)
    return found
