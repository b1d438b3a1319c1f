"""Charts as inline SVG text: lines, bars, heat maps, reliability diagrams. No script, no font file, no request.

Every chart is one ``<svg role="img">`` with a ``<title>`` and a ``<desc>``, drawn in a ``viewBox`` that scales with its
container. Colours are CSS variables set by ``STYLE`` (which a page includes once), so that charts follow the light or
dark scheme; the palette is Okabe & Ito's, told apart by colour-blind readers. All text passes ``escape``.
Lengths are in units of the ``viewBox``, about one CSS pixel at the size each chart is meant for.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from maeum._tables import display_width

FONTS = '"Pretendard","Noto Sans KR","Noto Sans CJK KR","Apple SD Gothic Neo","Malgun Gothic","Nanum Gothic",sans-serif'

STYLE = f"""
.mm{{--ink:#1c2430;--dim:#5b6675;--line:#dfe4ea;--grid:#e9edf2;--surface:#fff;--c1:#0072b2;--c2:#d55e00;--c3:#007d5c;
--c4:#9a6a00;--on1:#fff}}
@media (prefers-color-scheme:dark){{.mm{{--ink:#e8ecf1;--dim:#9aa6b4;--line:#313a46;--grid:#28303a;--surface:#171c23;
--c1:#56b4e9;--c2:#ff9a56;--c3:#3fc49b;--c4:#e6b422;--on1:#0b1620}}}}
.mm svg{{display:block;width:100%;height:auto;overflow:visible;font-family:{FONTS}}}
.mm svg text{{fill:var(--dim);font-size:10px;font-variant-numeric:tabular-nums}}
.mm svg text.ink{{fill:var(--ink)}}.mm svg text.on{{fill:var(--on1)}}.mm svg text.sm{{font-size:9px}}
.mm svg .grid{{stroke:var(--grid);fill:none}}.mm svg .axis{{stroke:var(--line);fill:none}}
.mm svg .frame{{fill:none;stroke:var(--line)}}
.mm svg .ideal{{stroke:var(--dim);stroke-dasharray:3 3;fill:none}}
.mm svg .mark{{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:4 2;fill:none}}
.mm svg .band{{fill:var(--ink);fill-opacity:.08}}
.mm svg polyline{{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}}
.mm svg .dash{{stroke-dasharray:5 3}}.mm svg .dot{{stroke-dasharray:1.5 3}}
.mm svg .l1{{stroke:var(--c1)}}.mm svg .l2{{stroke:var(--c2)}}.mm svg .l3{{stroke:var(--c3)}}.mm svg .l4{{stroke:var(--c4)}}
.mm svg .f1{{fill:var(--c1)}}.mm svg .f2{{fill:var(--c2)}}.mm svg .f3{{fill:var(--c3)}}.mm svg .f4{{fill:var(--c4)}}
.mm svg .point{{stroke:var(--surface);stroke-width:1.5}}
.mm svg .soft{{fill-opacity:.28}}.mm svg .self{{fill:var(--dim);fill-opacity:.16}}
""".strip()
"""Style sheet of all charts; they must stand inside an element of class ``mm``."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def escape(value: object) -> str:
    """Text that is safe in HTML content and in quoted attributes.

    Control characters and lone surrogates, which no HTML file may hold, become U+FFFD.
    """
    return html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True)


def text_width(text: str, size: float = 10) -> float:
    """About how wide a text is drawn at a font size: wide characters are 1 em, others 0.58 em."""
    wide = display_width(text) - len(unicodedata.normalize("NFC", text))
    return size * max(0.58 * display_width(text) - 0.16 * max(wide, 0), 0.0)


def shorten(text: str, width: float, size: float = 10) -> str:
    """The text, cut with an ellipsis if it is drawn wider than ``width``."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text, size) > width - size:
        text = text[:-1]
    return text.rstrip() + "…"


def ticks(high: float, count: int = 4) -> list[float]:
    """Round values for counts, from 0 up to the first one ≥ ``high`` and at least 1, in about ``count`` steps."""
    high = max(high, 1)
    rough = high / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999), 1.0)
    return [step * index for index in range(math.ceil(high / step - 1e-9) + 1)]


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: int = 1
    """1–4, a colour of the palette."""
    stroke: str = ""
    """``dash`` or ``dot``, so that lines are told apart without colour; solid if empty."""


@dataclass(frozen=True)
class _Plane:
    """Maps data in [0, 1] × [0, 1] to the drawing area of a chart."""

    width: float
    height: float
    left: float = 24
    right: float = 6
    top: float = 19
    bottom: float = 28

    def x(self, value: float) -> float:
        return self.left + min(max(value, 0.0), 1.0) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        return self.height - self.bottom - min(max(value, 0.0), 1.0) * (self.height - self.top - self.bottom)

    def frame(self, x_name: str, y_name: str) -> str:
        """Grid, ticks at 0, ½ and 1, and the names of the axes: one above the upright axis, one below the flat one."""
        lines, words = [], []
        for value, shown in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
            x, y = _n(self.x(value)), _n(self.y(value))
            lines.append(f"M{_n(self.left)} {y}H{_n(self.width - self.right)}")
            lines.append(f"M{x} {_n(self.top)}V{_n(self.height - self.bottom)}")
            words.append(_text(self.left - 5, self.y(value) + 3.4, shown, anchor="end"))
            words.append(_text(self.x(value), self.height - self.bottom + 12, shown, anchor="middle"))
        words.append(_text(2, 9, y_name))
        words.append(_text(self.width - self.right, self.height - 3, x_name, anchor="end"))
        return f'<path class="grid" d="{"".join(lines)}"/>{"".join(words)}'


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    desc: str = "",
    x_name: str = "",
    y_name: str = "",
    width: float = 152,
    height: float = 136,
    mark_x: float | None = None,
    band_x: tuple[float, float] | None = None,
    point: tuple[float, float] | None = None,
    legend: bool = False,
) -> str:
    """Lines over [0, 1] × [0, 1].

    Args:
        mark_x: a dashed upright line, such as a threshold in force.
        band_x: a shaded range of x, such as its interval.
        point: a dot at (x, y), such as the point a decision rule works at.
        legend: name the lines above the plot; a page with many small charts has one legend of its own instead.
    """
    plane = _Plane(width, height, top=33 if legend else 19)
    parts = [plane.frame(x_name, y_name)]
    if band_x is not None:
        low, high = plane.x(band_x[0]), plane.x(band_x[1])
        parts.append(_rect(low, plane.top, high - low, height - plane.top - plane.bottom, "band"))
    for item in series:
        points = " ".join(f"{_n(plane.x(x))},{_n(plane.y(y))}" for x, y in zip(item.xs, item.ys, strict=True))
        classes = f"l{item.color} {item.stroke}".strip()
        parts.append(f'<polyline class="{classes}" points="{points}"/>')
    if mark_x is not None:
        x = _n(plane.x(mark_x))
        parts.append(f'<path class="mark" d="M{x} {_n(plane.top)}V{_n(height - plane.bottom)}"/>')
    if point is not None:
        parts.append(f'<circle class="f2 point" cx="{_n(plane.x(point[0]))}" cy="{_n(plane.y(point[1]))}" r="4"/>')
    if legend:
        left = plane.left
        for item in series:
            parts.append(f'<path class="l{item.color} {item.stroke}" stroke-width="2" d="M{_n(left)} 21h14"/>')
            parts.append(_text(left + 18, 24.5, item.name))
            left += 30 + text_width(item.name)
    return _svg(width, height, title, desc, parts)


def reliability_diagram(
    points: Sequence[tuple[float, float, int]],
    *,
    title: str,
    desc: str = "",
    x_name: str = "",
    y_name: str = "",
    width: float = 152,
    height: float = 136,
) -> str:
    """How often a probability comes true.

    Args:
        points: (mean probability, share of positives, rows) per bin. The dashed diagonal is perfect calibration; each
            dot's area grows with the root of its rows, and pale columns show the distance to the diagonal.
    """
    plane = _Plane(width, height)
    parts = [plane.frame(x_name, y_name)]
    parts.append(f'<path class="ideal" d="M{_n(plane.x(0))} {_n(plane.y(0))}L{_n(plane.x(1))} {_n(plane.y(1))}"/>')
    most = max((size for _, _, size in points), default=1)
    bar = (width - plane.left - plane.right) / max(22, 2.2 * len(points))
    for mean, share, _ in points:
        top, bottom = plane.y(max(mean, share)), plane.y(min(mean, share))
        parts.append(_rect(plane.x(mean) - bar / 2, top, bar, bottom - top, "f2 soft"))
    line = " ".join(f"{_n(plane.x(mean))},{_n(plane.y(share))}" for mean, share, _ in points)
    parts.append(f'<polyline class="l1" points="{line}"/>')
    scale = min(width, height) / 150
    for mean, share, size in points:
        radius = scale * (1.8 + 3.0 * (size / most) ** 0.25)
        tip = f"{mean:.3f} → {share:.3f} ({size:,})"
        parts.append(
            f'<circle class="f1 point" cx="{_n(plane.x(mean))}" cy="{_n(plane.y(share))}" r="{_n(radius)}">'
            f"<title>{tip}</title></circle>"
        )
    return _svg(width, height, title, desc, parts)


def bars(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    series: Sequence[str],
    title: str,
    desc: str = "",
    width: float = 420,
    high: float | None = None,
) -> str:
    """Flat bars of counts: for each name one bar per series, with the number at its end.

    Args:
        values: one sequence per name, as long as ``series``.
        high: where the scale ends at least, so that two charts can share one; the largest value if None.
    """
    each, gap, size = 9.0, 8.0, 11.0
    row = each * len(series) + gap
    left = min(max((text_width(name, size) for name in names), default=0), width * 0.34) + 10
    marks = ticks(max((max(numbers) for numbers in values), default=1) if high is None else high)
    right = text_width(f"{int(max(marks)):,}") + 8
    top = 24.0
    height = top + row * len(names) + 18
    span = width - left - right

    parts = []
    cursor = 0.0
    for index, name in enumerate(series, start=1):
        parts.append(_rect(cursor, 3, 10, 10, f"f{index}"))
        parts.append(_text(cursor + 15, 12, name))
        cursor += 32 + text_width(name)
    for mark in marks:
        x = left + span * mark / marks[-1]
        parts.append(f'<path class="grid" d="M{_n(x)} {_n(top)}V{_n(height - 18)}"/>')
        parts.append(_text(x, height - 5, f"{int(mark):,}", anchor="middle"))
    for line, (name, numbers) in enumerate(zip(names, values, strict=True)):
        y = top + row * line + gap / 2
        middle = y + each * len(series) / 2 + 4
        shown = shorten(name, left - 10, size)
        parts.append(_text(left - 8, middle, shown, anchor="end", cls="ink", size=size, tip=name))
        for index, number in enumerate(numbers, start=1):
            length = span * number / marks[-1]
            parts.append(_rect(left, y, max(length, 0.6), each - 1, f"f{index}"))
            parts.append(_text(left + length + 4, y + each - 1, f"{int(number):,}", cls="sm"))
            y += each
    return _svg(width, height, title, desc, parts, style=f"max-width:{_n(width * 1.2)}px")


def heat_map(
    names: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    title: str,
    desc: str = "",
    row_name: str = "",
    column_name: str = "",
    self_grey: bool = False,
) -> str:
    """Counts of pairs, coloured by their share of the row.

    Args:
        counts: (k, k). The colour is the count over the row's base: its sum, or its diagonal cell when ``self_grey``.
        self_grey: the diagonal is a base rather than a result: draw it grey.
    """
    k = len(names)
    cell = 46.0 if k <= 8 else 36.0 if k <= 12 else 21.0 if k <= 30 else 17.0
    size = 12.0 if k <= 12 else 10.5
    numbers = k <= 12
    widest = max((text_width(name, size) for name in names), default=0)
    room_left, room_top = min(widest, 150.0), min(widest, 120.0)
    left = room_left + 12
    upright = widest > cell - 4
    top = (room_top if upright else size) + 28

    parts = [_text(0, 10, f"{row_name} ↓   {column_name} →", size=11)]
    for index, name in enumerate(names):
        y = top + cell * (index + 0.5)
        parts.append(
            _text(left - 6, y + size * 0.36, shorten(name, room_left, size), "end", "ink", size=size, tip=name)
        )
        x = left + cell * (index + 0.5)
        shown = shorten(name, room_top, size) if upright else name
        if upright:
            parts.append(_text(x + size * 0.36, top - 6, shown, "start", "ink", size=size, tip=name, turn=-90))
        else:
            parts.append(_text(x, top - 7, shown, "middle", "ink", size=size, tip=name))
    for i, row in enumerate(counts):
        base = row[i] if self_grey else sum(row)
        for j, count in enumerate(row):
            if not count:
                continue
            own = self_grey and i == j
            share = min(count / base, 1.0) if base else 0.0
            x, y = left + cell * j, top + cell * i
            paint = 'class="self"' if own else f'class="f1" fill-opacity="{_n(0.06 + 0.94 * share, 2)}"'
            tip = f"{names[i]} → {names[j]}: {count:,}" + ("" if own else f" ({share:.0%})")
            parts.append(
                f'<rect {paint} x="{_n(x + 0.5)}" y="{_n(y + 0.5)}" width="{_n(cell - 1)}" height="{_n(cell - 1)}">'
                f"<title>{escape(tip)}</title></rect>"
            )
            if numbers:
                tone = "on" if share > 0.55 and not own else "ink"
                small = 11.0 if text_width(f"{count:,}", 11) < cell - 5 else 9.0
                parts.append(_text(x + cell / 2, y + cell / 2 + 4, f"{count:,}", "middle", tone, size=small))
    side = cell * k
    parts.append(_rect(left, top, side, side, "frame"))
    legend = top + side + 12
    for step in range(6):
        parts.append(
            f'<rect class="f1" fill-opacity="{_n(0.06 + 0.188 * step, 2)}" x="{_n(left + 22 * step)}" '
            f'y="{_n(legend)}" width="22" height="9"/>'
        )
    parts.append(_text(left, legend + 21, "0%", anchor="start"))
    parts.append(_text(left + 132, legend + 21, "100%", anchor="end"))
    width = left + max(side, 150) + 4
    height = legend + 26
    style = f"min-width:{_n(min(width, max(width * 0.85, 300)))}px;max-width:{_n(width * 1.15)}px"
    return _svg(width, height, title, desc, parts, style=style)


def _svg(width: float, height: float, title: str, desc: str, parts: Sequence[str], *, style: str = "") -> str:
    styled = f' style="{style}"' if style else ""
    told = f"<desc>{escape(desc)}</desc>" if desc else ""
    return (
        f'<svg role="img" viewBox="0 0 {_n(width)} {_n(height)}"{styled}><title>{escape(title)}</title>{told}'
        f"{''.join(parts)}</svg>"
    )


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "",
    cls: str = "",
    *,
    size: float | None = None,
    tip: str = "",
    turn: int = 0,
) -> str:
    attributes = f' x="{_n(x)}" y="{_n(y)}"'
    if cls:
        attributes += f' class="{cls}"'
    if anchor and anchor != "start":
        attributes += f' text-anchor="{anchor}"'
    if size is not None:
        attributes += f' style="font-size:{_n(size)}px"'
    if turn:
        attributes += f' transform="rotate({turn} {_n(x)} {_n(y)})"'
    more = f"<title>{escape(tip)}</title>" if tip and tip != text else ""
    return f"<text{attributes}>{escape(text)}{more}</text>"


def _rect(x: float, y: float, width: float, height: float, cls: str) -> str:
    return f'<rect class="{cls}" x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(max(height, 0))}"/>'


def _n(value: float, digits: int = 1) -> str:
    """A coordinate, as short as it can be written."""
    shown = f"{value:.{digits}f}"
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown) or "0"
