"""The roll-up as one HTML page: works offline and on a phone, and every number opens the sentences behind it."""

from __future__ import annotations

from maeum._lang import say
from maeum._svg import escape
from maeum.report_html import head
from maeum.rolling.charts import Point, grade_style, interval_bar, stacked_bar, timeline
from maeum.rolling.counting import ALL, Slice, Tally, sides, wilson
from maeum.rolling.gathering import SHOWN_PERIODS
from maeum.rolling.page_words import how, sentences, words
from maeum.rolling.periods import place_of
from maeum.rolling.rollup import Cell, Result, notes, slice_name
from maeum.rolling.sheet import SCRIPT, STYLE, Sentences, dialog, policy

PANELS = 12
"""Labels with a chart over time, the most frequent ones."""
COLUMNS = 16
"""Labels in the table of groups."""
_OPENED = 3
"""Labels whose sentences the size of a group opens."""


def page(result: Result) -> str:
    """A whole page."""
    texts = Sentences(result)
    facts = result.facts
    what = say("속성", "aspects") if result.graded else say("라벨", "labels")
    sections = [("labels", what, _labels(result, texts))]
    if result.settings.date_column is not None:
        sections.append(("time", say("시간에 따라", "Over time"), _time(result, texts)))
    if result.settings.group_column is not None:
        sections.append(("groups", say("묶음별", "By group"), _groups(result, texts)))
    sections.append(("words", say("두드러진 낱말", "Telling words"), words(result, texts)))
    sections.append(("sentences", say("대표 문장", "Sentences"), sentences(result)))
    sections.append(("made", say("어떻게 만들었나", "How this was made"), how(result)))
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in sections)
    bodies = "".join(
        f'<section id="{anchor}"><h2>{escape(name)}</h2>{body}</section>' for anchor, name, body in sections
    )
    title = f"{facts.input} · {say('리뷰 모아 보기', 'review roll-up')}"
    line = [facts.model, say(f"{facts.rows:,}행", f"{facts.rows:,} rows")]
    line += [f"{facts.first_day} – {facts.last_day}"] if facts.first_day else []
    meta = "".join(f"<span>{escape(part)}</span>" for part in line)
    name = say("리뷰 모아 보기", "Review roll-up")
    return (
        head(title, STYLE, policy=policy())
        + f'<body class="mm"><main><header class="mm-head"><p class="mm-brow">maeum {name} · {escape(result.task.name)}</p>'
        f'<h1 class="mm-title">{escape(facts.input)}</h1><p class="mm-meta">{meta}</p></header>{_notes(result)}'
        f'{_cards(result)}<nav aria-label="{say("차례", "contents")}">{links}</nav>{bodies}</main>\n{dialog()}\n'
        f"{texts.data()}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _notes(result: Result) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes(result))
    head = say("읽기 전에", "Before you read on")
    return f'<aside class="mm-warn"><strong>{head}</strong><ul>{items}</ul></aside>' if items else ""


def _cards(result: Result) -> str:
    tally, facts = result.counts[ALL], result.facts
    found = int(tally.cells.sum())
    cards = [
        (say("글", "texts"), f"{tally.rows:,}", ""),
        (
            say("찾은 속성", "aspects found") if result.graded else say("찾은 라벨", "labels found"),
            f"{found:,}",
            say(f"글마다 {found / max(tally.rows, 1):.2f}개", f"{found / max(tally.rows, 1):.2f} a text"),
        ),
        (
            say("아무것도 없는 글", "texts with none"),
            f"{tally.empty / max(tally.rows, 1):.0%}",
            say(f"{tally.empty:,}개", f"{tally.empty:,}"),
        ),
    ]
    if result.graded and len(sides(result.task)) == 2:
        low, high = (sum(result.part_count(tally, label, part) for label in range(len(result.task))) for part in (0, 1))
        # shares, as counts of many reviews do not fit in a card
        both = max(high + low, 1)
        name = say("속성마다 긍정 : 부정", "positive : negative by aspect")
        cards.append((name, f"{high / both:.0%} : {low / both:.0%}", f"{high:,} : {low:,}"))
    if result.settings.date_column is not None:
        cards.append((say("날짜 없음", "no date"), f"{facts.undated:,}", ""))
    if result.settings.group_column is not None:
        cards.append((say("묶음", "groups"), f"{facts.groups:,}", escape(result.settings.group_column)))
    items = "".join(
        f'<div class="mm-card"><span class="mm-name">{name}</span><span class="mm-value">{value}</span>'
        f'<span class="mm-note">{note or "&nbsp;"}</span></div>'
        for name, value, note in cards
    )
    return f'<div class="mm-cards">{items}</div>'


# -- labels -----------------------------------------------------------------------------------------------------------


def _labels(result: Result, texts: Sentences) -> str:
    tally = result.counts[ALL]
    grades = range(len(result.task.sentiments))
    full = max((int(tally.cells[label].sum()) / max(tally.rows, 1) for label in result.labels()), default=1.0) or 1.0
    heads = [say("속성", "aspect") if result.graded else say("라벨", "label"), "", say("글", "texts")]
    heads += [result.grade_name(grade) for grade in grades] or [say("몫", "share"), say("95% 구간", "95% interval")]
    rows = []
    for label in result.labels():
        name, counts = result.label_name(label), tally.cells[label].tolist()
        cells = [Cell(ALL, label, grade) for grade in range(len(counts))]
        total = sum(counts)
        low, high = wilson(total, tally.rows)
        share = total / max(tally.rows, 1)
        opens = texts.button(f"{total:,}", cells, f"{name} ({total:,})")
        if result.graded:
            chart = stacked_bar(
                [count / max(total, 1) for count in counts], [result.grade_name(grade) for grade in grades], title=name
            )
            numbers = "".join(_grade(result, texts, label, grade, counts[grade], total) for grade in grades)
        else:
            chart = interval_bar(share, low, high, full, title=name)
            numbers = f"<td>{share:.1%}</td><td>{low:.1%}–{high:.1%}</td>"
        few = ' class="rl-few"' if total < result.settings.min_count else ""
        rows.append(
            f'<tr{few}><th scope="row">{escape(name)}</th><td class="rl-chart">{chart}</td><td>{opens}</td>{numbers}</tr>'
        )
    told = say(
        "숫자를 누르면 그 숫자에 든 문장 몇 개가 열립니다.", "Click a number to see some of the sentences in it."
    )
    return f'<p class="told">{told}</p>{_key(result) if result.graded else ""}{_table(heads, rows)}'


def _grade(result: Result, texts: Sentences, label: int, grade: int, count: int, of: int) -> str:
    if not count:
        return "<td>–</td>"
    name = f"{result.label_name(label)} · {result.grade_name(grade)} ({count:,})"
    opens = texts.button(f"{count:,}", [Cell(ALL, label, grade)], name)
    share = "&lt;1%" if count < 0.005 * of else f"{count / of:.0%}"
    return f"<td>{opens}<small>{share}</small></td>"


def _key(result: Result) -> str:
    grades = len(result.task.sentiments)
    items = []
    for grade in range(grades):
        cls, opacity = grade_style(grade, grades)
        box = f'<svg viewBox="0 0 10 10" aria-hidden="true"><rect class="{cls}" style="fill-opacity:{opacity:.2f}" width="10" height="10"/></svg>'
        items.append(f"<span>{box}{escape(result.grade_name(grade))}</span>")
    return f'<p class="rl-key">{"".join(items)}</p>'


# -- time -------------------------------------------------------------------------------------------------------------


def _time(result: Result, texts: Sentences) -> str:
    periods = list(result.counts.periods())
    dated = [(slice, tally) for slice, tally in periods if slice.name]
    if not dated:
        return f'<p class="told">{say("날짜를 알 수 있는 행이 없습니다.", "No row has a date that can be told.")}</p>'
    told = say(
        f"회색 막대는 그 기간의 글 수입니다. {result.settings.min_count}개보다 적은 기간은 점이 옅습니다.",
        f"Grey bars are how many texts a period has; dots of periods with fewer than {result.settings.min_count} are pale.",
    )
    if len(result.task) > PANELS:
        told += " " + say(
            f"가장 많은 {PANELS}개만 그렸고 모두 time.csv에 있습니다.",
            f"Only the {PANELS} most frequent are drawn; time.csv has all.",
        )
    cards = []
    for label in result.labels()[:PANELS]:
        points = [_point(result, slice, tally, label) for slice, tally in dated if tally.of(label)]
        if not points:
            continue
        name = result.label_name(label)
        chart = timeline(
            points,
            title=f"{name}: {say('시간에 따른 몫', 'shares over time')}",
            desc=say("아래 표에 같은 수치가 있습니다.", "The table below has the same numbers."),
            marks=(points[0].name, points[-1].name),
        )
        shown = [pair for pair in reversed(dated) if pair[1].of(label)][:SHOWN_PERIODS]
        shown += [pair for pair in periods if not pair[0].name and pair[1].of(label)]
        total = int(result.counts[ALL].cells[label].sum())
        cards.append(
            f'<article><h3><span>{escape(name)}</span><span class="big">{total:,}</span></h3>{chart}'
            f"<details><summary>{say('기간별 수치와 문장', 'numbers and sentences')}</summary>"
            f"{_period_table(result, texts, shown, label)}</details></article>"
        )
    return f'<p class="told">{told}</p>{_line_key(result)}<div class="cards">{"".join(cards)}</div>'


def _point(result: Result, slice: Slice, tally: Tally, label: int) -> Point:
    of = tally.of(label)
    shares = []
    for part in range(len(sides(result.task))):
        count = result.part_count(tally, label, part)
        shares.append((count / of, *wilson(count, of)))
    place = place_of(slice.name, result.settings.period)
    return Point(place, slice.name, of, tuple(shares), of < result.settings.min_count)


def _line_key(result: Result) -> str:
    if not result.graded:
        return ""
    items = ""
    for color, stroke, name in ((2, "dash", _side_names()[0]), (1, "", _side_names()[1])):
        items += (
            f'<span><svg class="rl-line" viewBox="0 0 26 10" aria-hidden="true"><path class="l{color} {stroke}" stroke-width="2" '
            f'd="M1 5h24"/></svg>{escape(name)}</span>'
        )
    return f'<p class="rl-key">{items}</p>'


def _side_names() -> tuple[str, str]:
    return say("부정 비율", "share negative"), say("긍정 비율", "share positive")


def _period_table(result: Result, texts: Sentences, shown: list[tuple[Slice, Tally]], label: int) -> str:
    parts = range(len(sides(result.task)))
    heads = [say("기간", "period"), say("글", "texts")]
    heads += list(_side_names()) if result.graded else [say("몫", "share")]
    rows = []
    for slice, tally in shown:
        of, called = tally.of(label), slice_name(slice)
        every = [Cell(slice, label, part) for part in parts]
        cells = [f"<td>{texts.button(f'{of:,}', every, f'{result.label_name(label)} · {called} ({of:,})')}</td>"]
        for part in parts:
            count = result.part_count(tally, label, part)
            side = f" · {_side_names()[part]}" if result.graded else ""
            title = f"{result.label_name(label)} · {called}{side} ({count:,} / {of:,})"
            cells.append(f"<td>{texts.button(f'{count / of:.0%}', [Cell(slice, label, part)], title)}</td>")
        few = ' class="rl-few"' if of < result.settings.min_count else ""
        rows.append(f'<tr{few}><th scope="row">{escape(called)}</th>{"".join(cells)}</tr>')
    return _table(heads, rows)


# -- groups -----------------------------------------------------------------------------------------------------------


def _groups(result: Result, texts: Sentences) -> str:
    labels = result.labels()[:COLUMNS]
    heads = [result.settings.group_column or "", say("글", "texts"), *(result.label_name(label) for label in labels)]
    pairs = list(result.counts.groups())
    strongest = 1.0
    if not result.graded:
        cells = [tally.cells[label].sum() / tally.rows for _, tally in pairs for label in labels]
        strongest = float(max(cells, default=1.0)) or 1.0
    rows = []
    for slice, tally in pairs:
        called = slice_name(slice)
        numbers = "".join(_heat(result, texts, slice, tally, label, strongest) for label in labels)
        common = sorted(labels, key=lambda label: -int(tally.cells[label].sum()))[:_OPENED]
        every = [Cell(slice, label, part) for label in common for part in range(len(sides(result.task)))]
        size = texts.button(f"{tally.rows:,}", every, f"{called} ({tally.rows:,})")
        rows.append(f'<tr><th scope="row">{escape(called)}</th><td>{size}</td>{numbers}</tr>')
    if result.graded:
        told = say(
            "칸은 그 속성을 말한 글 가운데 부정의 비율입니다. 작은 글씨는 95% 구간(Wilson)과 글 수이고, "
            "누르면 부정과 긍정 문장이 열립니다.",
            "A cell is the share of negative among texts with the aspect; small print is its 95% interval (Wilson) and how many "
            "texts. Click for sentences of both sides.",
        )
    else:
        told = say(
            "칸은 그 라벨이 붙은 글의 비율입니다. 작은 글씨는 95% 구간(Wilson)과 글 수입니다.",
            "A cell is the share of texts with the label; small print is its 95% interval (Wilson) and how many texts.",
        )
    if len(result.task) > COLUMNS:
        told += " " + say(
            f"가장 많은 {COLUMNS}개만 보이고 모두 groups.csv에 있습니다.",
            f"Only the {COLUMNS} most frequent are shown; groups.csv has all.",
        )
    return f'<p class="told">{told}</p>{_table(heads, rows)}'


def _heat(result: Result, texts: Sentences, slice: Slice, tally: Tally, label: int, strongest: float) -> str:
    of = tally.of(label)
    if not of:
        return "<td>–</td>"
    count = result.part_count(tally, label, 0)
    low, high = wilson(count, of)
    title = f"{slice_name(slice)} · {result.label_name(label)} ({count:,} / {of:,})"
    opens = texts.button(
        f"{count / of:.0%}", [Cell(slice, label, part) for part in range(len(sides(result.task)))], title
    )
    small = f"<small>{low:.0%}–{high:.0%}<br>n {of if result.graded else count:,}</small>"
    if of < result.settings.min_count:
        return f'<td class="rl-few">{opens}{small}</td>'
    tone = "neg" if result.graded else "pos"
    value = count / of / strongest
    return f'<td class="rl-heat" style="--tone:var(--{tone});--v:{value:.2f}">{opens}{small}</td>'


def _table(heads: list[str], rows: list[str]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        '<div class="mm-scroll" tabindex="0"><table class="mm-table"><thead>'
        f"<tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
