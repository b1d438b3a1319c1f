"""HTML of texts with marked words, chips and cards. Whatever comes from people or models goes through ``escape``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from maeum._lang import say
from maeum._svg import escape
from maeum.data import Target
from maeum.explaining import Explanation, Word
from maeum.task import Task

FAINT = 0.02
"""Scores below it are never drawn strongly, however weak the rest is."""
_SEEN = 0.06
"""Share of the strongest score from which a word is marked."""
_TELLING = 0.3
"""Share of an aspect's strongest score from which a word is marked in its colour, where several aspects share a text."""


@dataclass(frozen=True)
class Chip:
    """A label with its number."""

    name: str
    colour: str
    number: str = ""


@dataclass(frozen=True)
class Card:
    """A number with its name; ``change`` may say how it moved."""

    name: str
    value: str
    note: str = ""
    change: float | None = None


@dataclass(frozen=True)
class Aspect:
    """An aspect of a review as it is drawn."""

    key: str
    name: str
    score: float
    colour: str
    grade: str
    grade_colour: str
    shares: Sequence[tuple[str, float, str]]
    """Name, probability and colour of all grades, the worst first."""
    words: tuple[Word, ...]
    """Evidence for aspect and grade, in the order of the text."""


def chips(items: Iterable[Chip]) -> str:
    """Labels as pills."""
    made = "".join(
        f'<span class="mm-chip" style="--c:{_colour(item.colour)}">{escape(item.name)}'
        f"{f'<em>{escape(item.number)}</em>' if item.number else ''}</span>"
        for item in items
    )
    return f'<div class="mm-chips">{made}</div>'


def cards(items: Iterable[Card], *, tight: bool = False) -> str:
    """Numbers side by side; ``tight`` where there is little room."""
    side = " tight" if tight else ""
    return f'<div class="mm-cards{side}">{"".join(_card(item) for item in items)}</div>'


def _card(item: Card) -> str:
    moved = item.change is not None and abs(item.change) >= 0.00005
    side = "" if not moved or item.change is None else ' class="up"' if item.change > 0 else ' class="down"'
    note = f"<small{side}>{escape(item.note)}</small>" if item.note else "<small>&nbsp;</small>"
    return f'<div class="mm-card"><span>{escape(item.name)}</span><b>{escape(item.value)}</b>{note}</div>'


def marked(text: str, words: Sequence[Word], colour: str, target: Target | None = None) -> str:
    """A text whose words are coloured by how much they speak for a label; those against it have a dashed line."""
    scale = max([FAINT, *(abs(word.score) for word in words)])
    spans = [(word.begin, word.end, _word(word, scale, colour)) for word in words]
    return f'<p class="mm-text">{_joined(text, _with_target(spans, target))}</p>'


def _word(word: Word, scale: float, colour: str) -> str:
    strength = min(abs(word.score) / scale, 1.0)
    if strength < _SEEN:
        return escape(word.text)
    side = "" if word.score > 0 else ' class="against"'
    tip = say(f"가리면 확률 {-word.score * 100:+.1f}%p", f"hidden: probability {-word.score * 100:+.1f} points")
    if not word.measured:
        tip += say(" (어림)", " (estimate)")
    return (
        f'<mark{side} tabindex="0" style="--c:{_colour(colour)};--a:{strength:.2f}" data-tip="{escape(tip)}">'
        f"{escape(word.text)}</mark>"
    )


def many_marked(text: str, aspects: Sequence[Aspect]) -> str:
    """A text with the evidence of several aspects: each word in the colour of the aspect it speaks for most.

    Words that speak for several bear the colours of all of them, side by side.
    """
    found: dict[tuple[int, int], list[tuple[float, float, Aspect]]] = {}
    for aspect in aspects:
        scale = max([FAINT, *(word.score for word in aspect.words)])
        for word in aspect.words:
            if word.score / scale >= _TELLING:
                found.setdefault((word.begin, word.end), []).append((word.score / scale, word.score, aspect))
    spans = [
        (begin, end, _shared(text[begin:end], sorted(items, key=lambda item: -item[1])))
        for (begin, end), items in found.items()
    ]
    return f'<p class="mm-text">{_joined(text, spans)}</p>'


def _shared(text: str, items: list[tuple[float, float, Aspect]]) -> str:
    first = items[0]
    tip = "\n".join(f"{item.name} {item.grade}: {-score * 100:+.1f}%p" for _, score, item in items)
    style = f"--c:{_colour(first[2].colour)};--a:{first[0]:.2f}"
    if len(items) > 1:
        step = 100 / len(items)
        stops = ",".join(
            f"color-mix(in srgb,{_colour(item.colour)} {8 + 42 * share:.0f}%,transparent) {n * step:.0f}% {(n + 1) * step:.0f}%"
            for n, (share, _, item) in enumerate(items)
        )
        style += f";background:linear-gradient(90deg,{stops})"
    return f'<mark tabindex="0" style="{style}" data-tip="{escape(tip)}">{escape(text)}</mark>'


def _with_target(spans: list[tuple[int, int, str]], target: Target | None) -> list[tuple[int, int, str]]:
    if target is None or any(begin < target.end and target.begin < end for begin, end, _ in spans):
        return spans
    return [*spans, (target.begin, target.end, f"<u>{escape(target.form)}</u>")]


def _joined(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    parts, at = [], 0
    for begin, end, shown in sorted(spans):
        parts += [escape(text[at:begin]), shown]
        at = end
    return "".join(parts) + escape(text[at:])


def aspect_cards(text: str, aspects: Sequence[Aspect]) -> str:
    """A card per aspect: its grade, how sure it is, and its own evidence."""
    return f'<div class="mm-grid">{"".join(_aspect(text, item) for item in aspects)}</div>'


def _aspect(text: str, item: Aspect) -> str:
    strip = "".join(
        f'<i style="--c:{_colour(colour)};width:{share:.1%}" title="{escape(f"{name} {share:.0%}")}"></i>'
        for name, share, colour in item.shares
    )
    sure = say(f"속성 {item.score:.0%}", f"aspect {item.score:.0%}")
    likely = max((share for _, share, _ in item.shares), default=0.0)
    graded = say(f"등급 {likely:.0%}", f"grade {likely:.0%}")
    return (
        f'<article class="mm-aspect" style="--c:{_colour(item.colour)}"><header><b>{escape(item.name)}</b>'
        f'<span class="mm-grade" style="--c:{_colour(item.grade_colour)}">{escape(item.grade)}</span></header>'
        f'<div class="mm-note">{escape(sure)} · {escape(graded)}</div><div class="mm-strip">{strip}</div>'
        f"{marked(text, item.words, item.colour)}</article>"
    )


def aspects_of(
    explanation: Explanation, found: Sequence[Mapping[str, object]], task: Task, names: Mapping[str, str],
    grades: Mapping[str, str], colours: Mapping[str, str], grade_colours: Mapping[str, str],
) -> list[Aspect]:  # fmt: skip
    """The aspects of an analysis with their evidence, the surest first."""
    pairs = {grade.aspect: grade for grade in explanation.grades}
    evidence = {item.key: item for item in explanation.evidence}
    made = []
    for item in found:
        key, sentiment = str(item["aspect"]), str(item["sentiment"])
        shares = item["sentiment_scores"]
        assert isinstance(shares, Mapping)
        words = (pairs[key].pair if key in pairs else ()) or (evidence[key].words if key in evidence else ())
        made.append(
            Aspect(
                key,
                names[key],
                float(str(item["score"])),
                colours[key],
                grades[sentiment],
                grade_colours[sentiment],
                [(grades[name], float(shares[name]), grade_colours[name]) for name in task.sentiment_keys],
                words,
            )
        )
    return sorted(made, key=lambda item: -item.score)


def empty(title: str, told: str, code: str = "") -> str:
    """What stands where there is nothing yet."""
    shown = f"<br><code>{escape(code)}</code>" if code else ""
    return f'<div class="mm-empty"><b>{escape(title)}</b>{escape(told)}{shown}</div>'


def legend(items: Iterable[tuple[str, str, str]]) -> str:
    """Small signs and their meaning: (class of the sign, colour, words)."""
    made = "".join(
        f'<span><i class="{escape(kind)}" style="--c:{_colour(colour)}"></i>{escape(words)}</span>'
        for kind, colour, words in items
    )
    return f'<div class="mm-legend">{made}</div>'


def note(words: str) -> str:
    """A small grey sentence."""
    return f'<p class="mm-note">{escape(words)}</p>'


def sub(words: str) -> str:
    """A small heading."""
    return f'<div class="mm-sub">{escape(words)}</div>'


def head(title: str, lead: str) -> str:
    """The heading of a page."""
    return f'<div class="mm-head"><h1>{escape(title)}</h1><p>{escape(lead)}</p></div>'


def _colour(value: str) -> str:
    """A colour of ours, safe inside a style attribute."""
    return escape(value)
