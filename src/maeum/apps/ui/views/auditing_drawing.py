"""HTML of a suspicious label: what is asked, the text, what the model says, guidelines. All of it escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from maeum._lang import language, say
from maeum._svg import escape
from maeum.apps.ui import marks
from maeum.apps.ui.look import NEUTRAL
from maeum.apps.ui.words import grade_names, label_names
from maeum.auditing.desk_file import Entry, Ruling
from maeum.auditing.findings import ABSENT
from maeum.auditing.worklist import shown_value
from maeum.explaining import Word
from maeum.task import Task

BARS = 7
"""Labels with bars beyond those that are given or in doubt."""
_COLOURS = {"fix": "#0072b2", "keep": "#2a9d7c", "drop": "#c0392b", "unsure": "#8a94a3"}
STYLE = """<style>
.mm-ask{display:flex;flex-wrap:wrap;align-items:center;gap:.35rem .7rem;margin:.3rem 0 .5rem}
.mm-ask b{font-size:1.22rem;letter-spacing:-.01em}.mm-ask span{color:var(--mm-dim);font-size:.88rem;font-variant-numeric:tabular-nums}
.mm-ask .to{display:inline-flex;align-items:center;gap:.45rem;font-size:1rem;color:var(--mm-ink)}
.mm-ask .to s{color:var(--mm-dim);text-decoration-thickness:1.5px}.mm-ask .to i{font-style:normal;color:var(--mm-dim)}
.mm-ask .to strong{border-radius:8px;padding:.1rem .55rem;background:color-mix(in srgb,var(--mm-accent) 16%,var(--mm-page))}
.mm-row{border:1px solid var(--mm-line);border-radius:14px;padding:.7rem 1.15rem .75rem;background:var(--mm-card)}
.mm-row .mm-text{font-size:1.22rem;line-height:2.05;margin:.1rem 0 .35rem}.mm-row .mm-chips{margin:.3rem 0 0}
.mm-row .mm-note{margin:0}
.mm-bars{display:grid;grid-template-columns:minmax(4.5rem,max-content) 1fr max-content;gap:.32rem .7rem;align-items:center;font-size:.9rem;margin:.35rem 0}
.mm-bars span{color:var(--mm-ink)}.mm-bars i{display:block;height:13px;border-radius:0 4px 4px 0;background:var(--c);min-width:2px}
.mm-bars i.off{opacity:.34}.mm-bars em{font-style:normal;color:var(--mm-dim);font-variant-numeric:tabular-nums;font-size:.85rem}
.mm-bars .doubt{font-weight:700;border-bottom:2px solid var(--mm-accent)}
.mm-guide{border-left:3px solid var(--mm-line);padding:.1rem 0 .1rem .8rem;margin:.45rem 0;font-size:.93rem;line-height:1.65;color:var(--mm-ink)}
.mm-guide b{display:block}.mm-guide.none{color:var(--mm-dim)}
.mm-done{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:center;color:var(--mm-dim);font-size:.88rem;font-variant-numeric:tabular-nums}
.mm-done b{color:var(--mm-ink)}
.mm-done span{display:inline-flex;align-items:center;gap:.35rem}.mm-done span::before{content:"";width:.6rem;height:.6rem;border-radius:50%;background:var(--c)}
@media (max-width:640px){.mm-row .mm-text{font-size:1.1rem;line-height:1.9}.mm-ask b{font-size:1.08rem}}
</style>"""


def words() -> dict[str, str]:
    """Decision → its name."""
    return {
        "fix": say("고침", "changed"),
        "keep": say("그대로", "kept"),
        "drop": say("행 뺌", "dropped"),
        "unsure": say("모르겠음", "unsure"),
    }


def kinds() -> dict[str, str]:
    """Kind of finding → its name."""
    return {
        "wrong": say("잘못 달린 라벨", "label given wrongly"),
        "missing": say("빠진 라벨", "label missing"),
        "class": say("다른 라벨", "another label"),
        "grade": say("다른 등급", "another grade"),
    }


def progress(done: Sequence[Ruling | None]) -> str:
    """How far one has come, as a strip."""
    tally: Counter[str] = Counter(ruling.word for ruling in done if ruling is not None)
    total = max(len(done), 1)
    strip = "".join(
        f'<i style="--c:{colour};width:{tally[word] / total:.2%}"></i>'
        for word, colour in _COLOURS.items()
        if tally[word]
    )
    parts = "".join(
        f'<span style="--c:{_COLOURS[word]}">{escape(name)} {tally[word]:,}</span>'
        for word, name in words().items()
        if tally[word]
    )
    made = say(f"{sum(tally.values()):,} / {len(done):,}개 정함", f"{sum(tally.values()):,} of {len(done):,} decided")
    return f'{STYLE}<div class="mm-strip">{strip}</div><div class="mm-done"><b>{escape(made)}</b>{parts}</div>'


def question(entry: Entry, task: Task, place: int, total: int) -> str:
    """What is in doubt, and what is suggested in its place."""
    names, grades = label_names(task), grade_names(task)

    def value(raw: str) -> str:
        return grades.get(raw) or (names.get(raw, raw) if task.kind == "multiclass" else shown_value(raw))

    suggested = value(entry.suggested) if entry.suggested else say("있음(값은 모름)", "yes (value unknown)")
    label = "" if task.kind == "multiclass" else f"<b>{escape(names[entry.label])}</b>"
    score = say(f"틀렸을 가능성 {entry.score:.0%}", f"wrong with a chance of {entry.score:.0%}")
    return (
        f'<div class="mm-ask"><span>{place:,} / {total:,}</span><span>{escape(kinds()[entry.kind])}</span>{label}'
        f'<div class="to"><s>{escape(value(entry.given))}</s><i>→</i><strong>{escape(suggested)}</strong></div>'
        f"<span>{escape(score)}</span></div>"
    )


def text(entry: Entry, palette: Mapping[str, str]) -> str:
    """The text with its words marked, and the labels it has."""
    example, said = entry.example, entry.said
    colour = palette.get(said.about if said else entry.label, NEUTRAL)
    found = [Word(m.begin, m.end, example.text[m.begin : m.end], m.score, 0.0) for m in (said.words if said else ())]
    return (
        f'<div class="mm-row">{marks.marked(example.text, found, colour, example.target)}{_given(entry, palette)}</div>'
    )


def _given(entry: Entry, palette: Mapping[str, str]) -> str:
    example = entry.example
    if example.aspects is not None:
        chips = [marks.Chip(item.aspect, palette.get(item.aspect, NEUTRAL), item.sentiment) for item in example.aspects]
    else:
        chips = [marks.Chip(label, palette.get(label, NEUTRAL)) for label in example.labels or ()]
    shown = marks.chips(chips) if chips else marks.note(say("달린 라벨이 없습니다.", "No label is given."))
    head = say("지금 라벨", "Labels now")
    return marks.note(f"{head} · id {example.id}") + shown


def decided(own: Ruling | None, others: Sequence[tuple[Entry, Ruling | None]], task: Task) -> str:
    """What was decided of this line so far, and of the other doubts about its row."""
    names, lines = label_names(task), []
    if own is not None:
        lines.append(f"{say('지금 결정', 'decided')}: {_ruling(own, task)}")
    for entry, ruling in others:
        state = say("정하지 않음", "undecided") if ruling is None else words()[ruling.word]
        lines.append(
            say(
                f"같은 행의 다른 의심: {names[entry.label]} ({kinds()[entry.kind]}) – {state}",
                f"also in doubt: {names[entry.label]} ({kinds()[entry.kind]}) – {state}",
            )
        )
    return "".join(map(marks.note, lines))


def _ruling(ruling: Ruling, task: Task) -> str:
    value = ""
    if ruling.value:
        value = f" → {label_names(task).get(ruling.value) or shown_value(ruling.value)}"
    at = datetime.fromisoformat(ruling.at).astimezone()
    return f"{words()[ruling.word]}{value} · {ruling.who} · {at:%m-%d %H:%M}"


def model(entry: Entry, task: Task, palette: Mapping[str, str]) -> str:
    """What a model that never saw the row says, as bars, and why the label is in doubt."""
    head = marks.sub(say("모델이 보기에", "What the model says"))
    why = f'<p class="mm-note">{escape(entry.reason)}</p>'
    said = entry.said
    if said is None:
        return head + why
    grading = entry.kind == "grade"
    names = grade_names(task) if grading else label_names(task)
    given = {entry.given} if grading else _labels(entry)
    first = {entry.label, said.about, *given}
    ranked = sorted(said.scores, key=lambda key: -said.scores[key])
    shown = [key for n, key in enumerate(ranked) if n < BARS or key in first]
    bars = "".join(
        f"<span{' class=doubt' if key in (entry.label, said.about) else ''}>{escape(names[key])}</span>"
        f'<i class="{"" if key in given else "off"}" style="--c:{escape(palette.get(key, NEUTRAL))};width:{said.scores[key]:.1%}"></i>'
        f"<em>{said.scores[key]:.0%}{escape(say(' · 지금', ' · given') if key in given else '')}</em>"
        for key in shown
    )
    legend = say(
        "이 행을 보지 않고 배운 모델의 확률. 진한 막대: 지금 달린 라벨.",
        "Probabilities of a model that never saw this row. Full colour: given now.",
    )
    return f'{head}{why}<div class="mm-bars">{bars}</div>{marks.note(legend)}'


def _labels(entry: Entry) -> set[str]:
    example = entry.example
    return {item.aspect for item in example.aspects} if example.aspects is not None else set(example.labels or ())


def guidelines(entry: Entry, task: Task, pairs: Sequence[Mapping[str, Any]]) -> str:
    """When the label in doubt and the one it is taken for are to be given, and the words that both claim."""
    shown = {entry.label: None, **({partner: None} if (partner := counterpart(entry, task)) else {})}
    parts = [marks.sub(say("붙이는 기준", "Guidelines"))]
    for key in shown:
        label = task.labels[task.index(key)]
        told = label.guideline or say("적힌 기준이 없습니다.", "no guideline is written")
        side = "" if label.guideline else " none"
        parts.append(f'<div class="mm-guide{side}"><b>{escape(label.name(language()))}</b>{escape(told)}</div>')
    contested = [word for pair in pairs if set(pair["labels"]) == set(shown) for word in pair["words"]]
    if contested:
        told = say("두 라벨로 갈리는 낱말: ", "Words that both labels claim: ") + ", ".join(contested)
        parts.append(marks.note(told))
    return "".join(parts)


def counterpart(entry: Entry, task: Task) -> str | None:
    """The label that this one is taken for: suggested, seen in its place, or given in its place."""
    if entry.kind == "class":
        return entry.suggested or None
    said = entry.said
    if said is None or entry.kind == "grade":
        return None
    given = _labels(entry)
    if entry.given != ABSENT:
        others = [key for key in said.decided if key not in given and key != entry.label]
        return max(others, key=said.scores.__getitem__, default=None)
    others = [key for key in given if key not in said.decided and key in said.scores]
    return min(others, key=said.scores.__getitem__, default=None)
