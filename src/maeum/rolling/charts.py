"""Charts of a roll-up as inline SVG: a bar of shares, a bar with its interval, shares over time above their counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maeum._svg import _n, _rect, _svg, _text, escape

_HIGHS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True)
class Point:
    """A period of a chart over time."""

    place: int
    """Grows by one from a period to the next."""
    name: str
    of: int
    """How many texts the shares are of."""
    shares: tuple[tuple[float, float, float], ...]
    """(share, low, high) of every line."""
    thin: bool
    """Too few texts to look at closely."""


def grade_style(grade: int, grades: int) -> tuple[str, float]:
    """Class and opacity of a grade: grades below the middle in one colour, above it in another, stronger further out."""
    middle = (grades - 1) / 2
    if grades < 2 or grade > middle:
        away = 1.0 if grades < 2 else (grade - middle) / middle
        return "f1", 0.3 + 0.7 * away
    if grade < middle:
        return "f2", 0.3 + 0.7 * (middle - grade) / middle
    return "self", 0.3


def stacked_bar(shares: Sequence[float], names: Sequence[str], *, title: str) -> str:
    """Shares that add up to one, side by side; stretched to the width it is given."""
    parts, left = [], 0.0
    for grade, (share, name) in enumerate(zip(shares, names, strict=True)):
        cls, opacity = grade_style(grade, len(shares))
        if share > 0:
            parts.append(
                f'<rect class="{cls}" style="fill-opacity:{_n(opacity, 2)}" x="{_n(left * 100, 2)}" y="0" '
                f'width="{_n(share * 100, 2)}" height="10"><title>{escape(f"{name} {share:.0%}")}</title></rect>'
            )
        left += share
    return _stretched(parts, title)


def interval_bar(share: float, low: float, high: float, full: float, *, title: str) -> str:
    """One share as a bar that ends at ``full``, with its interval as a pale band over the end."""
    bar = _rect(0, 1.5, 100 * share / full, 7, "f1")
    band = _rect(100 * low / full, 3.5, 100 * (min(high, full) - low) / full, 3, "rl-band")
    return _stretched([bar, band], title)


def timeline(points: Sequence[Point], *, title: str, desc: str, marks: tuple[str, str]) -> str:
    """Shares over time, and below them how many texts each period has.

    Args:
        points: periods that have texts, in order; a period that is missing breaks the lines.
        marks: what stands under the first and the last period.
    """
    width, height, left, right, top, base, foot, floor = 320.0, 150.0, 30.0, 6.0, 8.0, 94.0, 104.0, 132.0
    first, last = points[0].place, points[-1].place
    step = (width - left - right) / (last - first + 1)
    most = max(point.of for point in points)
    peak = max((share for point in points if not point.thin for share, _, _ in point.shares), default=1.0)
    high = next((value for value in _HIGHS if value >= peak), 1.0) if len(points[0].shares) == 1 else 1.0

    def x(point: Point) -> float:
        return left + step * (point.place - first + 0.5)

    def y(share: float) -> float:
        return base - (base - top) * min(share / high, 1.0)

    parts = []
    for value in (0.0, high / 2, high):
        parts.append(f'<path class="grid" d="M{_n(left)} {_n(y(value))}H{_n(width - right)}"/>')
        digits = 1 if high < 0.1 else 0
        parts.append(_text(left - 4, y(value) + 3.4, f"{value * 100:.{digits}f}%", anchor="end", cls="sm"))
    for point in points:
        tall = (floor - foot) * point.of / most
        bar = max(min(step * 0.8, 14), 0.4)
        parts.append(_rect(x(point) - bar / 2, floor - max(tall, 0.6), bar, max(tall, 0.6), "self"))
    for line in range(len(points[0].shares)):
        # the line above the middle is the first colour, the one below it the second, dashed to be told apart
        color, stroke = (1, "") if line == len(points[0].shares) - 1 else (2, "dash")
        if len(points[0].shares) == 1:
            parts += [_band(run, x, y) for run in _runs(points)]
        # pale where a period is thin, so that nobody reads a swing of two texts as news
        for run, pale in [(run, " rl-thin") for run in _runs(points)] + [
            (run, "") for run in _runs([point for point in points if not point.thin])
        ]:
            way = " ".join(f"{_n(x(point))},{_n(y(point.shares[line][0]))}" for point in run)
            parts.append(f'<polyline class="l{color} {stroke}{pale}" points="{way}"/>')
        for point in points:
            tip = f"{point.name}: {point.shares[line][0]:.0%} / {point.of:,}"
            size = 1.6 if len(points) > 60 else 2.6
            pale = " rl-thin" if point.thin else ""
            parts.append(
                f'<circle class="f{color}{pale}" cx="{_n(x(point))}" cy="{_n(y(point.shares[line][0]))}" r="{size}">'
                f"<title>{escape(tip)}</title></circle>"
            )
    parts.append(_text(left - 4, floor, f"{most:,}" if most < 100_000 else f"{most // 1000:,}k", "end", "sm"))
    parts.append(_text(left, height - 4, marks[0], cls="sm"))
    if last > first:
        parts.append(_text(width - right, height - 4, marks[1], anchor="end", cls="sm"))
    return _svg(width, height, title, desc, parts)


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """Periods without a gap between them."""
    runs: list[list[Point]] = []
    for point in points:
        if runs and point.place == runs[-1][-1].place + 1:
            runs[-1].append(point)
        else:
            runs.append([point])
    return [run for run in runs if len(run) > 1]


def _band(run: Sequence[Point], x: Callable[[Point], float], y: Callable[[float], float]) -> str:
    upper = [f"{_n(x(point))},{_n(y(point.shares[0][2]))}" for point in run]
    lower = [f"{_n(x(point))},{_n(y(point.shares[0][1]))}" for point in reversed(run)]
    return f'<polygon class="f1 rl-pale" points="{" ".join(upper + lower)}"/>'


def _stretched(parts: Sequence[str], title: str) -> str:
    return (
        f'<svg class="rl-bar" role="img" viewBox="0 0 100 10" preserveAspectRatio="none"><title>{escape(title)}</title>'
        f"{''.join(parts)}</svg>"
    )
