"""The comparison as one HTML page: no script, no request."""

from __future__ import annotations

from collections.abc import Sequence

from maeum._lang import language, say
from maeum._svg import escape
from maeum.comparing.changes import KINDS, Change, Kind
from maeum.comparing.paired import Gap, LabelGap
from maeum.comparing.running import Comparison
from maeum.report_html import head

SHOWN = 25
"""Changed rows of a kind on the page."""
_CUT = 280


def page(found: Comparison) -> str:
    """A whole page."""
    sections = [
        ("labels", say("라벨별", "By label"), _labels(found)),
        ("rows", say("달라진 행", "Rows that changed"), _rows(found)),
        ("made", say("어떻게 쟀나", "How this was measured"), _made(found)),
    ]
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in sections)
    bodies = "".join(
        f'<section id="{anchor}"><h2>{escape(name)}</h2>{body}</section>' for anchor, name, body in sections
    )
    name = say("두 모델 견주기", "Two models compared")
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    warn = say("읽기 전에", "Before you read on")
    aside = f'<aside class="mm-warn"><strong>{warn}</strong><ul>{notes}</ul></aside>' if notes else ""
    line = [found.data.source, say(f"{len(found.data):,}행", f"{len(found.data):,} rows")]
    meta = "".join(f"<span>{escape(part)}</span>" for part in line)
    return (
        head(f"{found.a.name} · {found.b.name}", _STYLE)
        + f'<body class="mm"><main><header class="mm-head"><p class="mm-brow">maeum {escape(name)} · {escape(found.task.name)}'
        f'</p><h1 class="mm-title">A {escape(found.a.name)} → B {escape(found.b.name)}</h1><p class="mm-meta">{meta}</p>'
        f'</header>{aside}{_cards(found)}<nav aria-label="{say("차례", "contents")}">{links}</nav>{bodies}</main>\n</body>\n'
        "</html>\n"
    )


def _cards(found: Comparison) -> str:
    cards = [
        (name, f"{gap.gap:+.4f}", f"{gap.before:.4f} → {gap.after:.4f}", gap) for name, gap in found.scores.items()
    ]
    items = "".join(
        f'<div class="mm-card"><span class="mm-name">{escape(name)}</span><span class="mm-value {_side(gap)}">{value}</span>'
        f'<span class="mm-note">{note}<br>95% {gap.low:+.4f} … {gap.high:+.4f}</span></div>'
        for name, value, note, gap in cards
    )
    counts = found.changes.counts
    items += (
        f'<div class="mm-card"><span class="mm-name">{escape(say("고쳐짐 : 나빠짐", "fixed : broken"))}</span>'
        f'<span class="mm-value">{counts["fixed"]:,} : {counts["broken"]:,}</span>'
        f'<span class="mm-note">McNemar p = {found.changes.p:.3g}</span></div>'
    )
    return f'<div class="mm-cards">{items}</div>'


def _labels(found: Comparison) -> str:
    reach = max([0.01, *(max(abs(item.f1.low), abs(item.f1.high)) for item in found.labels)])
    heads = [say("라벨", "label"), say("행", "rows"), "F1 A", "F1 B", "B − A", say("95% 구간", "95% interval"), ""]
    heads.append(say("보정 p", "Holm p"))
    ranked = sorted(found.labels, key=lambda item: -item.f1.gap)
    names = {label.key: label.name(language()) for label in found.task.labels}
    rows = [_label(names[item.label], item, reach) for item in ranked]
    return f'<p class="told">{escape(found.honesty())}</p>{_table(heads, rows)}'


def _label(name: str, item: LabelGap, reach: float) -> str:
    gap = item.f1
    mark = " ●" if item.stands else ""
    return (
        f'<tr><th scope="row">{escape(name)}{mark}</th><td>{item.support:,}</td><td>{gap.before:.3f}</td>'
        f'<td>{gap.after:.3f}</td><td class="{_side(gap)}">{gap.gap:+.3f}</td><td class="co-chart">{_bar(gap, reach)}</td>'
        f"<td>{gap.low:+.3f} … {gap.high:+.3f}</td><td>{item.adjusted:.3f}</td></tr>"
    )


def _bar(gap: Gap, reach: float) -> str:
    """The interval around 0; the middle line is no difference."""

    def x(value: float) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / reach))

    low, high, at = x(gap.low), x(gap.high), x(gap.gap)
    return (
        f'<svg viewBox="0 0 100 14" role="img" preserveAspectRatio="none"><title>{gap.low:+.3f} … {gap.high:+.3f}</title>'
        f'<path class="axis" d="M50 0V14"/><rect class="f1 soft" x="{low:.1f}" y="4" width="{max(high - low, 0.5):.1f}" '
        f'height="6"/><rect class="f1" x="{at - 0.8:.1f}" y="2" width="1.6" height="10"/></svg>'
    )


def _rows(found: Comparison) -> str:
    parts = [f'<p class="told">{escape(found.rows_line())}</p>']
    for kind in KINDS:
        rows = [change for change in found.changes.rows if change.kind == kind]
        if rows:
            opened = " open" if kind in ("fixed", "broken") else ""
            heads = [say("글", "text"), say("정답", "given"), "A", "B"]
            body = _table(heads, [_change(found, change) for change in rows[:SHOWN]], "co-rows")
            title = f"{_kind_name(kind)} {len(rows):,}"
            title += say(f" ({SHOWN}개만 보임)", f" ({SHOWN} shown)") if len(rows) > SHOWN else ""
            parts.append(f"<details{opened}><summary>{escape(title)}</summary>{body}</details>")
    return "".join(parts)


def _change(found: Comparison, change: Change) -> str:
    example = found.data[change.row]
    text = example.text if len(example.text) <= _CUT else example.text[:_CUT] + "…"
    y, a, b = (found.named(each[change.row].nonzero()[0]) for each in (found.y, found.before, found.after))
    return (
        f'<tr><td class="co-text">{escape(text)}<small>{escape(example.id)}</small></td><td>{escape(y)}</td>'
        f"<td>{escape(a)}</td><td>{escape(b)}</td></tr>"
    )


def _kind_name(kind: Kind) -> str:
    return {
        "fixed": say("고쳐진 행", "fixed"),
        "broken": say("나빠진 행", "broken"),
        "better": say("둘 다 틀리나 나아진 행", "wrong in both, but better"),
        "worse": say("둘 다 틀리나 더 틀린 행", "wrong in both, and worse"),
        "other": say("둘 다 틀리나 다르게 틀린 행", "wrong in both, otherwise"),
    }[kind]


def _made(found: Comparison) -> str:
    rows = [
        ("A", f"{found.a.name} · {found.a.fingerprint}"),
        ("B", f"{found.b.name} · {found.b.fingerprint}"),
        (say("데이터", "data"), f"{found.data.source} · {found.data.fingerprint}"),
        (
            say("구간", "intervals"),
            say(
                f"두 모델을 같은 재표집에서 재는 짝지은 부트스트랩 {found.resamples:,}번(씨앗 {found.seed}). 같은 글은 함께 뽑습니다.",
                f"paired bootstrap, {found.resamples:,} resamples (seed {found.seed}); rows of one text are drawn together",
            ),
        ),
        (
            say("여럿을 볼 때", "many labels"),
            say("● 표시는 Holm 보정 뒤에도 남는 라벨입니다.", "● marks labels that are left after Holm's correction"),
        ),
    ]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="facts">{items}</dl>'


def _side(gap: Gap) -> str:
    """The class of a gap whose interval lies on one side of 0."""
    return "co-up" if gap.low > 0 else "co-down" if gap.high < 0 else ""


def _table(heads: Sequence[str], rows: Sequence[str], cls: str = "") -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        f'<div class="mm-scroll" tabindex="0"><table class="mm-table {cls}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


_STYLE = """
.mm .co-up{color:var(--c3)}.mm .co-down{color:var(--c2)}
.mm .mm-table td.co-chart{min-width:140px;width:26%}.mm .co-chart svg{height:14px}
.mm .co-rows td,.mm .co-rows thead th{text-align:left;white-space:normal;vertical-align:top;min-width:8em}
.mm .mm-table td.co-text{min-width:18em;max-width:36em;overflow-wrap:anywhere}.mm .co-text small{display:block;margin:2px 0 0}
details{margin:0 0 10px}summary{cursor:pointer;font-weight:600;margin:0 0 6px}
""".strip()
