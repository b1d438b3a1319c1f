"""Line plots with axes of their own range, as an SVG file that stands alone: in a slide, a document or a browser.

Programs that import SVG know little CSS. So colours, which ``_svg.STYLE`` keeps as variables, are written out here as
plain attributes for light surroundings; a style sheet only changes them in a dark scheme, where one is followed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from maeum._svg import FONTS, STYLE, Series, _n, _Plane, _rect, _text, escape, text_width

WIDTH, HEIGHT, GAP = 440.0, 300.0, 28.0
"""Size of a panel and the space between two."""
_MARKED = 40
"""A line of at most this many points shows each of them, so that even a single one is seen."""


@dataclass(frozen=True)
class Line(Series):
    """A line of a plot; one without a name is not in the legend."""

    thin: bool = False
    """One of several that a bold line sums up."""


@dataclass(frozen=True)
class Panel:
    """One plot of a sheet."""

    title: str
    lines: Sequence[Line]
    x_name: str


def round_ticks(low: float, high: float, *, count: int = 5, least: float = 0.0) -> list[float]:
    """Round values in even steps from the last one ≤ ``low`` to the first one ≥ ``high``.

    Args:
        count: about how many.
        least: the smallest step; 1 for whole numbers.
    """
    if high - low < 1e-9:
        room = max(abs(low) * 0.1, 0.05, least)
        low, high = low - room, high + room
    rough = max((high - low) / count, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * index for index in range(first, last + 1)]


def sheet(panels: Sequence[Panel], *, title: str, desc: str = "") -> str:
    """Panels side by side, as a whole SVG file."""
    width, height = len(panels) * (WIDTH + GAP) + GAP, HEIGHT + 2 * GAP
    places = [GAP + number * (WIDTH + GAP) for number in range(len(panels))]
    body = "".join(
        f'<g transform="translate({_n(place)} {_n(GAP)})">{"".join(_panel(panel))}</g>'
        for place, panel in zip(places, panels, strict=True)
    )
    told = f"<desc>{escape(desc)}</desc>" if desc else ""
    family = FONTS.replace('"', "'")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mm-sheet" role="img" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{family}"><title>{escape(title)}</title>{told}'
        f"<style>{_dark()}</style>{_plain(_rect(0, 0, width, height, 'paper') + body)}</svg>\n"
    )


def _panel(panel: Panel) -> list[str]:
    xs = [x for line in panel.lines for x in line.xs] or [0.0]
    ys = [y for line in panel.lines for y in line.ys] or [0.0, 1.0]
    across, up = round_ticks(min(0.0, *xs), max(xs), least=1), round_ticks(min(ys), max(ys))
    digits = max(0, -math.floor(math.log10(up[1] - up[0]) + 1e-9))
    shown = [f"{value:.{digits}f}" for value in up]
    plane = _Plane(WIDTH, HEIGHT, left=max(text_width(word, 11) for word in shown) + 10, right=10, top=46, bottom=34)

    def x(value: float) -> float:
        # the last tick may lie far beyond the last step
        return plane.x((value - across[0]) / (max(*xs, 1.0) - across[0]))

    def y(value: float) -> float:
        return plane.y((value - up[0]) / (up[-1] - up[0]))

    floor = HEIGHT - plane.bottom
    parts = [_text(0, 11, panel.title, cls="ink", size=13)]
    for value, word in zip(up, shown, strict=True):
        parts.append(f'<path class="grid" d="M{_n(plane.left)} {_n(y(value))}H{_n(WIDTH - plane.right)}"/>')
        parts.append(_text(plane.left - 6, y(value) + 4, word, "end", size=11))
    for value in across:
        if value <= max(*xs, 1.0):
            parts.append(f'<path class="axis" d="M{_n(x(value))} {_n(floor)}v4"/>')
            parts.append(_text(x(value), floor + 16, f"{value:,.0f}", "middle", size=11))
    parts.append(f'<path class="axis" d="M{_n(plane.left)} {_n(floor)}H{_n(WIDTH - plane.right)}"/>')
    parts.append(_text(WIDTH - plane.right, HEIGHT - 2, panel.x_name, "end", size=11))
    cursor = plane.left
    for line in panel.lines:
        points = [(x(a), y(b)) for a, b in zip(line.xs, line.ys, strict=True)]
        classes = " ".join(word for word in (f"l{line.color}", line.stroke, "thin" if line.thin else "") if word)
        path = " ".join(f"{_n(a)},{_n(b)}" for a, b in points)
        parts.append(f'<polyline class="{classes}" points="{path}"/>')
        if len(points) <= _MARKED and not line.thin:
            parts += [f'<circle class="f{line.color}" cx="{_n(a)}" cy="{_n(b)}" r="3"/>' for a, b in points]
        if line.name:
            parts.append(f'<polyline class="{classes}" points="{_n(cursor)},29 {_n(cursor + 22)},29"/>')
            parts.append(_text(cursor + 28, 33, line.name, cls="ink", size=11))
            cursor += 46 + text_width(line.name, 11)
    return parts


# -- colours written out ------------------------------------------------------------------------------------

_LIGHT, _DARK = (
    dict(re.findall(r"--(\w+):(#\w+)", part)) for part in STYLE.replace("\n", "").split(".mm svg{")[0].split("@media")
)
_RULES: list[tuple[str, str, str]] = [
    *re.findall(r"\.mm svg (\w*)\.?(\w*)\{([^}]*)\}", STYLE),
    ("", "thin", "stroke-width:1;stroke-opacity:.4"),
    ("", "paper", "fill:var(--surface)"),
]
"""(element, class, declarations) of every rule for what is inside a chart."""


def _plain(markup: str) -> str:
    """The elements with what the rules say about them as attributes, in the colours of the light scheme."""

    def write(match: re.Match[str]) -> str:
        element, classes = match[1], (match[2] or "").split()
        found: dict[str, str] = {}
        for name, cls, declarations in _RULES:
            if name in ("", element) and (not cls or cls in classes):
                found |= dict(part.split(":", 1) for part in declarations.split(";") if part)
        found.pop("font-variant-numeric", None)  # no attribute
        colours = {name: re.sub(r"var\(--(\w+)\)", lambda use: _LIGHT[use[1]], value) for name, value in found.items()}
        return match[0] + "".join(f' {name}="{value}"' for name, value in colours.items())

    return re.sub(
        r'<(text|polyline|path|rect|circle)(?: class="([^"]*)"| [xyd]="[^"]*"| transform="[^"]*")*', write, markup
    )


def _dark() -> str:
    """The rules that a dark scheme changes."""
    rules = []
    for element, cls, declarations in _RULES:
        changed = [part for part in declarations.split(";") if "var(" in part]
        if changed:
            written = re.sub(r"var\(--(\w+)\)", lambda use: _DARK[use[1]], ";".join(changed))
            rules.append(f".mm-sheet {element}{cls and '.' + cls}{{{written}}}")
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"
