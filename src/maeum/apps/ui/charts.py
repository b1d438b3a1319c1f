"""Altair charts that several pages draw. Each takes plain rows, and names and colours that are settled already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui.look import Colours

Rows = Sequence[Mapping[str, Any]]
Drawing = Any
"""An Altair chart: its classes depend on how it was put together."""
ROW = 28
"""Height of a bar with its space."""
_NAMES = 132
"""Widest name beside a bar."""
_NUMBER = 0.2
"""What a number beside a bar takes of the axis on a narrow screen."""


@dataclass(frozen=True)
class Bar:
    """One label of a text."""

    name: str
    score: float
    threshold: float | None
    """None where the most probable label is taken."""
    decided: bool
    colour: str


def _chart(rows: Rows) -> Any:
    """A chart of rows that travel with it."""
    make: Any = alt.Data
    return alt.Chart(make(values=list(rows)))


def _names(**more: Any) -> alt.Y:
    axis = alt.Axis(title=None, labelLimit=_NAMES, labelFontSize=13, ticks=False, domain=False, labelPadding=8)
    return alt.Y("name:N", sort=None, axis=axis, **more)


def _share(field: str, top: float = 1.0, title: str | None = None, shape: str = "%") -> alt.X:
    axis = alt.Axis(title=title, format=shape, values=[0, 0.25, 0.5, 0.75, 1], grid=True, domain=False, ticks=False)
    return alt.X(f"{field}:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=axis)


def scores(bars: Sequence[Bar], colours: Colours) -> Drawing:
    """A bar per label, the decided ones in full colour, with a tick at each label's threshold."""
    rows = [
        {
            "name": bar.name,
            "score": bar.score,
            "shown": f"{bar.score:.0%}" if bar.score >= 0.1 else f"{bar.score:.1%}",
            "threshold": bar.threshold,
            "end": _beside(bar),
            "given": say("예", "yes") if bar.decided else say("아니요", "no"),
            "colour": bar.colour,
            "strength": 1.0 if bar.decided else 0.32,
        }
        for bar in bars
    ]
    told = [
        alt.Tooltip("name:N", title=say("라벨", "label")),
        alt.Tooltip("score:Q", title=say("확률", "probability"), format=".1%"),
        alt.Tooltip("threshold:Q", title=say("기준값", "threshold"), format=".3f"),
        alt.Tooltip("given:N", title=say("판정", "given")),
    ]
    base = _chart(rows).encode(y=_names())
    bar = base.mark_bar(height=15, cornerRadiusEnd=4).encode(
        x=_share("score", 1.12),
        color=alt.Color("colour:N", scale=None),
        opacity=alt.Opacity("strength:Q", scale=None),
        tooltip=told,
    )
    text = base.mark_text(align="left", dx=7, fontSize=12, fontWeight=600, color=colours.dim).encode(
        x="end:Q", text="shown:N"
    )
    layers = [bar, text]
    if any(row["threshold"] is not None for row in rows):
        tick = base.transform_filter("isValid(datum.threshold) && datum.threshold <= 1").mark_tick(
            thickness=2.5, size=22, color=colours.ink, opacity=0.85
        )
        layers.insert(1, tick.encode(x="threshold:Q", tooltip=told))
    return alt.layer(*layers).properties(height=alt.Step(ROW))


def _beside(bar: Bar) -> float:
    """Where the number stands: at the end of the bar, or right of a threshold tick that would cross it."""
    tick = bar.threshold
    return tick if tick is not None and bar.score - 0.01 < tick < bar.score + _NUMBER and tick <= 1 else bar.score


def counts(rows: Rows, colours: Colours, *, title: str) -> Drawing:
    """Rows of ``name``, ``count``, ``share``, ``colour`` as bars."""
    most = max((float(row["count"]) for row in rows), default=1.0) or 1.0
    base = _chart(rows).encode(y=_names())
    axis = alt.Axis(title=title, tickMinStep=1, tickCount=6, format="d", domain=False, ticks=False)
    bar = base.mark_bar(height=16, cornerRadiusEnd=4).encode(
        x=alt.X("count:Q", scale=alt.Scale(domain=[0, most * 1.22]), axis=axis),
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            alt.Tooltip("name:N", title=say("라벨", "label")),
            alt.Tooltip("count:Q", title=say("글", "texts")),
            alt.Tooltip("share:Q", title=say("비율", "share"), format=".1%"),
        ],
    )
    text = base.mark_text(align="left", dx=6, fontSize=12, color=colours.dim).encode(x="count:Q", text="shown:N")
    return alt.layer(bar, text).properties(height=alt.Step(ROW))


def grades(rows: Rows, order: Sequence[str], palette: Mapping[str, str], *, title: str) -> Drawing:
    """Rows of ``name`` (aspect), ``grade``, ``count`` as stacked bars; ``order`` from the worst grade to the best."""
    scale = alt.Scale(domain=list(order), range=[palette[name] for name in order])
    legend = alt.Legend(title=None, orient="top", symbolType="square", columns=3)
    axis = alt.Axis(title=title, tickMinStep=1, tickCount=6, format="d", domain=False, ticks=False)
    return (
        _chart(rows)
        .mark_bar(height=16)
        .encode(
            y=_names(),
            x=alt.X("count:Q", stack="zero", axis=axis),
            color=alt.Color("grade:N", scale=scale, legend=legend),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("name:N", title=say("속성", "aspect")),
                alt.Tooltip("grade:N", title=say("감성", "grade")),
                alt.Tooltip("count:Q", title=say("글", "texts")),
            ],
        )
        .properties(height=alt.Step(ROW))
    )


def histogram(rows: Rows, order: Sequence[str], palette: Mapping[str, str], *, title: str) -> Drawing:
    """Rows of ``name`` and ``value`` (0–1) as bars of how many there are, stacked by name."""
    scale = alt.Scale(domain=list(order), range=[palette[name] for name in order])
    counted = alt.Axis(title=None, tickMinStep=1, tickCount=5, format="d", domain=False, ticks=False)
    return (
        _chart(rows)
        .mark_bar()
        .encode(
            x=alt.X(
                "value:Q", bin=alt.Bin(step=0.05, extent=[0, 1]), axis=alt.Axis(title=title, format=".1f", tickCount=6)
            ),
            y=alt.Y("count():Q", axis=counted),
            color=alt.Color("name:N", scale=scale, legend=None),
            tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("count():Q", title=say("글", "texts"))],
        )
        .properties(height=max(ROW * len(order) + 30, 150))
    )


def pairs(rows: Rows, names: tuple[str, str], colours: Colours, *, title: str, shape: str = "%") -> Drawing:
    """Rows of ``name``, ``first``, ``second`` (0–1) as two dots on a line: which of two models has more of it."""
    base = _chart(rows).encode(y=_names())
    line = base.mark_rule(strokeWidth=3, opacity=0.35, color=colours.dim).encode(
        x=_share("first", 1.02, title, shape), x2="second:Q"
    )
    scale = alt.Scale(domain=list(names), range=[colours.accent, colours.second])
    shapes = alt.Scale(domain=list(names), range=["circle", "diamond"])
    legend = alt.Legend(title=None, orient="top", labelLimit=220)
    dots = (
        base.transform_fold(["first", "second"], as_=["side", "value"])
        .transform_calculate(model=f"datum.side === 'first' ? {_quoted(names[0])} : {_quoted(names[1])}")
        .mark_point(filled=True, size=110, opacity=1)
        .encode(
            x="value:Q",
            color=alt.Color("model:N", scale=scale, legend=legend),
            shape=alt.Shape("model:N", scale=shapes, legend=legend),
            tooltip=[
                alt.Tooltip("name:N", title=say("라벨", "label")),
                alt.Tooltip("model:N", title=say("모델", "model")),
                alt.Tooltip("value:Q", title=title, format=".3f"),
            ],
        )
    )
    return alt.layer(line, dots).properties(height=alt.Step(ROW))


def curve(
    points: Rows, *, now: float, own: float | None, best: tuple[float, float] | None, colours: Colours
) -> Drawing:
    """Precision, recall and F1 along the threshold, where it is now (line), where it was (dashes), and the best F1 (dot)."""
    layers: list[Any] = [_curves(points, colours), _rule(now, colours.ink, [1, 0], say("지금", "now"))]
    if own is not None and own <= 1:
        layers.append(_rule(own, colours.dim, [4, 4], say("모델", "model")))
    if best is not None:
        layers.append(_best(best, colours))
    return alt.layer(*layers).properties(height=380)


def _curves(points: Rows, colours: Colours) -> Drawing:
    """Precision, recall and F1 as lines."""
    names = {
        "precision": say("정밀도", "precision"),
        "recall": say("재현율", "recall"),
        "f1": "F1",
    }
    long = [
        {"threshold": row["threshold"], "what": name, "value": row[key]}
        for key, name in names.items()
        for row in points
    ]
    order = list(names.values())
    kept = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolSize=500)
    return (
        _chart(long)
        .mark_line(strokeWidth=2.4, interpolate="step-before")
        .encode(
            x=alt.X(
                "threshold:Q",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(title=say("기준값", "threshold"), tickCount=6, domain=False, ticks=False, grid=False),
            ),
            y=alt.Y(
                "value:Q",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(title=None, tickCount=5, domain=False, ticks=False),
            ),
            color=alt.Color(
                "what:N",
                scale=alt.Scale(domain=order, range=[colours.accent, colours.second, colours.third]),
                legend=kept,
            ),
            strokeDash=alt.StrokeDash(
                "what:N", scale=alt.Scale(domain=order, range=[[6, 3], [2, 3], [1, 0]]), legend=kept
            ),
            tooltip=[
                alt.Tooltip("what:N", title=say("지표", "metric")),
                alt.Tooltip("threshold:Q", title=say("기준값", "threshold"), format=".3f"),
                alt.Tooltip("value:Q", title=say("값", "value"), format=".3f"),
            ],
        )
    )


def _best(best: tuple[float, float], colours: Colours) -> Drawing:
    """A dot at (threshold, F1)."""
    point = _chart([{"x": best[0], "y": best[1], "what": say("가장 높은 F1", "best F1")}])
    tip = [
        alt.Tooltip("what:N", title=" "),
        alt.Tooltip("x:Q", title=say("기준값", "threshold"), format=".3f"),
        alt.Tooltip("y:Q", title="F1", format=".3f"),
    ]
    mark = point.mark_point(filled=True, size=130, color=colours.third, stroke=colours.page, strokeWidth=2, opacity=1)
    return mark.encode(x="x:Q", y="y:Q", tooltip=tip)


def _rule(at: float, colour: str, dash: list[int], name: str) -> Drawing:
    data = _chart([{"x": at, "name": name}])
    tip = [alt.Tooltip("name:N", title=" "), alt.Tooltip("x:Q", title=say("기준값", "threshold"), format=".3f")]
    return data.mark_rule(color=colour, strokeDash=dash, strokeWidth=2).encode(x="x:Q", tooltip=tip)


def _quoted(name: str) -> str:
    """A name as a string of a Vega expression."""
    escaped = name.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ")
    return f"'{escaped}'"
