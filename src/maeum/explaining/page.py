"""The evidence as HTML: every text beside its labels, words marked by what they do, in the look of the report.

Green with a solid line speaks for a label, red with a dashed line against it, so that the two are told apart without
colour too. A page holds no script and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maeum import _svg
from maeum._lang import language, say
from maeum._svg import escape
from maeum.explaining.faithfulness import Faithfulness
from maeum.explaining.masking import mask_name
from maeum.explaining.units import unit_name
from maeum.report_html import _TABLE_STYLE, head

if TYPE_CHECKING:
    from maeum.explaining.explanation import Explanation, Explanations, LabelEvidence, Word

TOP = 5
"""Words listed under a text."""
_NOTHING = 0.0005
"""Drops below this would be listed as 0.000."""
_FAINT = 0.05
"""A drop of this much or more may have the full colour; a text in which nothing matters stays pale."""


def page(found: Explanations) -> str:
    """A whole page."""
    title = f"{found.model or say('모델', 'model')} · {say('근거', 'evidence')}"
    first = found.items[0] if found.items else None
    facts = [say(f"글 {len(found.items):,}개", f"{len(found.items):,} texts")]
    if first is not None:
        facts += [first.task.name, unit_name(first.unit), mask_name(first.mask)]
    line = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    name = say("근거: 어느 낱말이 라벨을 만들었나", "Evidence: which words made the labels")
    sections = "".join(f"<section>{_text(item)}</section>" for item in found.items)
    return (
        f'{head(title, _STYLE)}<body class="mm"><main><header class="mm-head"><p class="mm-brow">maeum {escape(name)}</p>'
        f'<h1 class="mm-title">{escape(found.model or say("근거", "Evidence"))}</h1><p class="mm-meta">{line}</p></header>'
        f"{_cards(found.faithfulness)}{_legend(found.items)}{sections}</main>\n</body>\n</html>\n"
    )


def fragment(items: Sequence[Explanation]) -> str:
    """Some texts, styled without touching the page around them."""
    body = "".join(_text(item) for item in items)
    return (
        f'<div class="mm mm-box" lang="{language()}"><style>{_svg.STYLE}\n{_TABLE_STYLE}\n{_STYLE}</style>'
        f"{_legend(items)}{body}</div>"
    )


def _legend(items: Sequence[Explanation]) -> str:
    steps = "".join(f'<i class="mm-for" style="--a:{step / 4:.2f}"></i>' for step in range(1, 5))
    against = "".join(f'<i class="mm-against" style="--a:{step / 4:.2f}"></i>' for step in range(4, 0, -1))
    told = say(
        "낱말을 가리고 다시 물었을 때 라벨의 확률이 얼마나 달라지는지입니다. 글과 라벨마다 가장 큰 변화를 가장 진하게 칠하고, 모두 0.05보다 작으면 옅게 둡니다.",
        "How the label's probability changes when a word is hidden. The strongest colour is the largest change in that text "
        "and label; where all are below 0.05, they stay pale.",
    )
    if any(item.method != "mask" for item in items):
        told = say(
            "낱말이 라벨의 로짓에 더한 값입니다. 글과 라벨마다 가장 큰 값을 가장 진하게 칠합니다.",
            "What each word adds to the label's logit. The strongest colour is the largest part in that text and label.",
        )
    return (
        f'<p class="mm-legend"><span>{against}{escape(say("라벨에 반하는 낱말", "against the label"))}</span>'
        f"<span>{steps}{escape(say('라벨을 뒷받침하는 낱말', 'for the label'))}</span>"
        f'<span><u class="mm-target">{escape(say("대상", "target"))}</u>{escape(say("가리지 않음", "never hidden"))}</span>'
        f"<small>{escape(told)}</small></p>"
    )


def _cards(found: Faithfulness | None) -> str:
    if found is None:
        return ""
    shown = [
        (say("포괄성 ↑", "Comprehensiveness ↑"), found.comprehensiveness, found.chance_comprehensiveness),
        (say("충분성 ↓", "Sufficiency ↓"), found.sufficiency, found.chance_sufficiency),
        ("AOPC ↑", found.aopc, found.chance_aopc),
    ]
    cards = "".join(
        f'<div class="mm-card"><span class="mm-name">{escape(name)}</span><span class="mm-value">{value:.3f}</span>'
        f'<span class="mm-note">{escape(say("무작위 낱말", "random words"))} {chance:.3f}</span></div>'
        for name, value, chance in shown
    )
    return f'<div class="mm-cards">{cards}</div>'


def _text(item: Explanation) -> str:
    notes = "".join(f'<p class="mm-note">{escape(note)}</p>' for note in item.notes)
    shown = [(found.name, found) for found in item.evidence]
    shown += [(f"{grade.name} → {grade.evidence.name}", grade.evidence) for grade in item.grades]
    labels = "".join(f'<div class="mm-label">{_label(item, found, name)}</div>' for name, found in shown)
    return f'<div class="mm-text">{notes}<div class="mm-side">{labels}</div></div>'


def _label(item: Explanation, found: LabelEvidence, name: str) -> str:
    mark = "●" if found.decided else "○"
    told = say("모델이 준 라벨", "given by the model") if found.decided else say("주지 않은 라벨", "not given")
    head = (
        f'<h3><span title="{escape(told)}">{mark} {escape(name)}</span>'
        f'<span class="big">{found.probability:.1%}</span></h3>'
    )
    if not found.words:
        empty = say("가릴 낱말이 없습니다.", "There is no word to hide.")
        return f'{head}<p class="mm-words">{escape(item.text)}</p><p class="mm-note">{escape(empty)}</p>'
    gap = "" if found.gap is None else f"{say('완전성 오차', 'completeness gap')} {found.gap:+.4f}"
    note = f'<p class="mm-note">{escape(gap)}</p>' if gap else ""
    return f'{head}<p class="mm-words">{_marked(item, found)}</p>{_bars(found)}{note}{_trust(found.faithfulness)}'


def _marked(item: Explanation, found: LabelEvidence) -> str:
    scale = max([_FAINT, *(abs(word.score) for word in found.words)])
    parts, at = [], 0
    spans: list[tuple[int, int, str]] = [(word.begin, word.end, _mark(word, scale)) for word in found.words]
    target = item.target
    if target is not None and all((begin, end) != (target.begin, target.end) for begin, end, _ in spans):
        spans.append((target.begin, target.end, f'<u class="mm-target">{escape(target.form)}</u>'))
    for begin, end, shown in sorted(spans):
        parts += [escape(item.text[at:begin]), shown]
        at = end
    return "".join(parts) + escape(item.text[at:])


def _mark(word: Word, scale: float) -> str:
    strength = min(abs(word.score) / scale, 1.0)
    if strength < 0.04:
        return escape(word.text)
    side = "mm-for" if word.score > 0 else "mm-against"
    guessed = "" if word.measured else say(" (어림)", " (estimate)")
    return (
        f'<mark class="{side}" style="--a:{strength:.2f}" title="{escape(f"{word.score:+.3f}{guessed}")}">'
        f"{escape(word.text)}</mark>"
    )


def _bars(found: LabelEvidence) -> str:
    ranked = [word for word in found.ranked if abs(word.score) >= _NOTHING]
    against = [word for word in reversed(ranked[TOP:]) if word.score < 0][:2]
    shown = [*ranked[:TOP], *reversed(against)]
    scale = max([_FAINT, *(abs(word.score) for word in shown)])
    rows = "".join(
        f'<tr><th scope="row">{escape(word.text)}</th><td class="mm-track2"><i class="'
        f'{"mm-for" if word.score > 0 else "mm-against"}" style="width:{abs(word.score) / scale:.0%}"></i></td>'
        f"<td>{word.score:+.3f}</td></tr>"
        for word in shown
    )
    together = "".join(
        f'<tr><th scope="row" colspan="2">{" + ".join(escape(found.words[place].text) for place in group.words)}</th>'
        f"<td>{group.score:+.3f}</td></tr>"
        for group in found.groups[:2]
    )
    return f'<table class="mm-rank">{rows}{together}</table>'


def _trust(found: Faithfulness | None) -> str:
    if found is None:
        return ""
    names = (say("포괄성", "comprehensiveness"), say("충분성", "sufficiency"), say("무작위", "random"))
    return (
        f'<p class="mm-note">{names[0]} {found.comprehensiveness:.2f} ({names[2]} {found.chance_comprehensiveness:.2f}) · '
        f"{names[1]} {found.sufficiency:.2f} ({names[2]} {found.chance_sufficiency:.2f}) · "
        f"AOPC {found.aopc:.2f} ({names[2]} {found.chance_aopc:.2f})</p>"
    )


_STYLE = """
.mm{--for:0,130,84;--against:200,40,40}
@media (prefers-color-scheme:dark){.mm{--for:46,190,130;--against:240,96,88}}
.mm .mm-legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:0 0 16px;color:var(--dim);font-size:13px}
.mm .mm-legend span{display:inline-flex;align-items:center;gap:5px}.mm .mm-legend small{flex-basis:100%;font-size:12.5px}
.mm .mm-legend i{display:inline-block;width:20px;height:14px}
.mm .mm-for,.mm .mm-against{color:inherit;border-radius:3px;padding:1px 2px;margin:0 -1px}
.mm .mm-for{background:rgba(var(--for),calc(.06 + .5*var(--a)));border-bottom:2px solid rgba(var(--for),calc(.25 + .75*var(--a)))}
.mm .mm-against{background:rgba(var(--against),calc(.06 + .42*var(--a)));border-bottom:2px dashed rgba(var(--against),calc(.25 + .75*var(--a)))}
.mm .mm-target{text-decoration:none;border:1.5px solid var(--c1);border-radius:4px;padding:0 3px}
.mm .mm-text+.mm-text{margin-top:20px;padding-top:20px;border-top:1px solid var(--line)}
.mm .mm-side{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(280px,100%),1fr));gap:20px 32px;align-items:start}
.mm .mm-label h3{display:flex;justify-content:space-between;margin:0 0 8px;font-size:16px}
.mm .mm-label .big{font-weight:600;font-size:15px;font-variant-numeric:tabular-nums}
.mm .mm-words{margin:0 0 12px;font-size:16.5px;line-height:2;white-space:pre-wrap;text-align:left}
.mm .mm-rank{width:100%;border-collapse:collapse;font-size:13.5px;margin:0 0 8px;color:var(--ink)}
.mm .mm-rank th,.mm .mm-rank td{padding:3px 6px 3px 0;border:0;background:transparent;text-align:left;font-weight:400;vertical-align:middle}
.mm .mm-rank th{width:38%;overflow-wrap:anywhere}.mm .mm-rank td:last-child{width:4em;text-align:right;font-variant-numeric:tabular-nums}
.mm .mm-track2 i{display:block;height:9px;margin:0;padding:0;border:0;border-radius:2px;min-width:2px;--a:.8}
.mm .mm-text p.mm-note{margin:0 0 8px}
""".strip()
