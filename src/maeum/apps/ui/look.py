"""Colours and the style sheet. A feeling keeps its colour on every page and in every label set."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

from maeum._lang import say
from maeum.errors import TaskMismatch
from maeum.task import Task, builtin_task
from maeum.taxonomy import find_map


@dataclass(frozen=True)
class Colours:
    """One scheme, light or dark; the light one is that of the HTML reports."""

    page: str
    soft: str
    """Behind inputs."""
    side: str
    """Behind the sidebar."""
    card: str
    ink: str
    dim: str
    line: str
    accent: str
    second: str
    """Beside ``accent`` where two things are compared."""
    third: str
    """A third thing; also what got better."""
    button: str
    """Behind white words."""
    worse: str


LIGHT = Colours(
    page="#ffffff", soft="#f5f7fa", side="#f6f8fb", card="#ffffff", ink="#1c2430", dim="#5b6675", line="#dfe4ea",
    accent="#0072b2", second="#d55e00", third="#007d5c", button="#0072b2", worse="#c0392b",
)  # fmt: skip
DARK = Colours(
    page="#12161c", soft="#1c222b", side="#171c23", card="#1a2029", ink="#e8ecf1", dim="#9aa6b4", line="#313a46",
    accent="#56b4e9", second="#ff9a56", third="#3fc49b", button="#2f86c4", worse="#f0756b",
)  # fmt: skip

FAMILIES: dict[str, str] = {
    "joy": "#e0a100",
    "anticipation": "#e8743b",
    "trust": "#4f9d4a",
    "surprise": "#17a2b8",
    "disgust": "#9a5fb5",
    "fear": "#5c6bc0",
    "anger": "#d64545",
    "sadness": "#3b82c4",
    "긍정": "#2a9d7c",
    "부정": "#cf4f4a",
    "중립": "#8a94a3",
}
"""Plutchik's eight and the three sentiments → colour, readable on both schemes."""
NEUTRAL = FAMILIES["중립"]
GRADES = ("#c0392b", "#e08a79", "#8f98a5", "#5fae98", "#12806a")
"""From the worst grade of an aspect to the best."""
_ASPECTS = (
    "#0072b2", "#d55e00", "#009e73", "#b5179e", "#8c6d1f", "#5c6bc0", "#c2185b", "#00838f", "#7b8a1d", "#6d4c41",
    "#3f51b5", "#e64a19", "#2e7d32", "#8e24aa", "#546e7a",
)  # fmt: skip


def label_colours(task: Task) -> dict[str, str]:
    """Label key → colour: that of the feeling it maps to, where the taxonomy knows one; else one of its own."""
    if task.kind == "aspect":
        return aspect_colours(task)
    known: dict[str, str] = {}
    for name in ("sentiment", "nikl-ea"):  # the finer one wins
        try:
            found = find_map(task, builtin_task(name))
        except TaskMismatch:
            continue
        known |= {entry.source: FAMILIES[entry.to[0]] for entry in found.entries if entry.to}
        known |= {entry.source: NEUTRAL for entry in found.entries if not entry.to and entry.kind == "exact"}
    return known or aspect_colours(task)


def aspect_colours(task: Task) -> dict[str, str]:
    """Label key → a colour of its own: the first fifteen by hand, the rest around the colour circle by the golden angle."""
    return {key: _ASPECTS[n] if n < len(_ASPECTS) else _turned(n) for n, key in enumerate(task.keys)}


def grade_colours(keys: Sequence[str]) -> dict[str, str]:
    """Grade key → colour, from red to green with the order of the grades."""
    last = max(len(keys) - 1, 1)
    return {key: GRADES[round(place * (len(GRADES) - 1) / last)] for place, key in enumerate(keys)}


def _turned(n: int) -> str:
    red, green, blue = colorsys.hls_to_rgb((n * 0.618034) % 1, 0.42, 0.55)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def icon(colours: Colours) -> str:
    """The sign of the app as SVG; an icon of Streamlit's own would be fetched from elsewhere."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="34" height="34" viewBox="0 0 34 34">{_sign(colours)}</svg>'


def logo(colours: Colours) -> str:
    """Sign and name as SVG."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="132" height="34" viewBox="0 0 132 34">{_sign(colours)}'
        f'<text x="45" y="24" font-family="Pretendard,Noto Sans CJK KR,Malgun Gothic,sans-serif" font-size="20" '
        f'font-weight="700" letter-spacing="-.5" fill="{colours.ink}">maeum</text></svg>'
    )


def _sign(colours: Colours) -> str:
    return (
        f'<rect width="34" height="34" rx="10" fill="{colours.accent}"/><rect x="8" y="11" width="18" height="4.5" rx="2.2" '
        'fill="#fff"/><rect x="8" y="19" width="11" height="4.5" rx="2.2" fill="#fff" opacity=".75"/>'
    )


def style(colours: Colours) -> str:
    """The style sheet of a page, with the variables that ``marks`` and ``pieces`` draw with."""
    variables = (
        f":root{{--mm-ink:{colours.ink};--mm-dim:{colours.dim};--mm-line:{colours.line};--mm-card:{colours.card};"
        f"--mm-soft:{colours.soft};--mm-accent:{colours.accent};--mm-better:{colours.third};--mm-worse:{colours.worse};--mm-page:{colours.page}}}"
    )
    spoken = f":root{{--mm-upload:'{say('파일 고르기', 'Choose a file')}'}}"
    return f"<style>{variables}{spoken}{_SHEET}</style>"


_SHEET = """
[data-testid="stMainBlockContainer"]{max-width:1180px;padding:2.6rem 2rem 5rem}
[data-testid="stHeader"]{background:transparent}
[data-testid="stSidebarNav"]{padding-top:.25rem}
h1,h2,h3{letter-spacing:-.02em}
.mm-head{margin:0 0 .9rem}.mm-head h1{font-size:1.75rem;font-weight:700;margin:0;padding:0;color:var(--mm-ink)}
.mm-head p{color:var(--mm-dim);margin:.25rem 0 0;font-size:.98rem;line-height:1.6;max-width:46rem}
.mm-sub{font-weight:650;font-size:1rem;margin:.6rem 0 .1rem;color:var(--mm-ink)}
.mm-note{color:var(--mm-dim);font-size:.86rem;line-height:1.6;margin:.15rem 0}
.mm-chips{display:flex;flex-wrap:wrap;gap:.4rem;margin:.25rem 0 .5rem}
.mm-chip{--c:var(--mm-dim);display:inline-flex;align-items:center;gap:.45rem;border-radius:99px;padding:.28rem .8rem;font-size:.95rem;
font-weight:600;color:var(--mm-ink);background:color-mix(in srgb,var(--c) 15%,var(--mm-page));border:1px solid color-mix(in srgb,var(--c) 45%,var(--mm-page))}
.mm-chip::before{content:"";width:.6rem;height:.6rem;border-radius:50%;background:var(--c)}
.mm-chip em{font-style:normal;font-weight:500;color:var(--mm-dim);font-variant-numeric:tabular-nums;font-size:.88em}
.mm-text{font-size:1.12rem;line-height:2.25;white-space:pre-wrap;overflow-wrap:anywhere;word-break:keep-all;margin:.2rem 0 .2rem;color:var(--mm-ink)}
.mm-text mark{position:relative;color:inherit;border-radius:5px;padding:.16em .18em;margin:0 -.05em;cursor:help;
background:color-mix(in srgb,var(--c) calc(8% + 42%*var(--a)),transparent);box-shadow:inset 0 -2px 0 color-mix(in srgb,var(--c) calc(30% + 70%*var(--a)),transparent)}
.mm-text mark.against{box-shadow:none;border-bottom:2px dashed color-mix(in srgb,var(--c) calc(30% + 70%*var(--a)),transparent)}
.mm-text mark[data-tip]:hover::after,.mm-text mark[data-tip]:focus::after{content:attr(data-tip);position:absolute;left:0;bottom:calc(100% + 6px);
z-index:9;white-space:pre;background:var(--mm-ink);color:var(--mm-page);font-size:.78rem;line-height:1.5;padding:.3rem .6rem;border-radius:7px;pointer-events:none}
.mm-text u{text-decoration:none;border:1.5px solid var(--mm-accent);border-radius:5px;padding:0 .12em;margin:0 .1em}
.mm-text mark sup{font-size:.62em;font-weight:700;line-height:0;margin-left:.15em;color:color-mix(in srgb,var(--c) 80%,var(--mm-ink))}
.mm-box{border:1px solid var(--mm-line);border-radius:14px;padding:1rem 1.15rem;background:var(--mm-card)}
.mm-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(270px,100%),1fr));gap:.9rem;margin:.4rem 0 .6rem}
.mm-aspect{border:1px solid var(--mm-line);border-top:4px solid var(--c);border-radius:12px;padding:.8rem 1rem;background:var(--mm-card)}
.mm-aspect header{display:flex;justify-content:space-between;align-items:center;gap:.6rem;margin-bottom:.15rem}
.mm-aspect header b{font-size:1.05rem}.mm-aspect .mm-text{font-size:.97rem;line-height:2.05;margin:.5rem 0 0}
.mm-grade{border-radius:99px;padding:.1rem .65rem;font-size:.85rem;font-weight:650;color:#fff;background:var(--c);white-space:nowrap}
.mm-strip{display:flex;height:8px;border-radius:99px;overflow:hidden;background:var(--mm-soft);margin:.5rem 0 .2rem}
.mm-strip i{display:block;height:100%;background:var(--c)}
.mm-cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:.3rem 0 .9rem}
.mm-card{border:1px solid var(--mm-line);border-radius:14px;padding:.8rem 1rem;background:var(--mm-card)}
.mm-card span{display:block;color:var(--mm-dim);font-size:.82rem}.mm-card b{display:block;font-size:1.5rem;letter-spacing:-.02em;line-height:1.35;
font-variant-numeric:tabular-nums;color:var(--mm-ink)}.mm-card small{color:var(--mm-dim);font-size:.8rem;font-variant-numeric:tabular-nums}
.mm-card small.up{color:var(--mm-better)}.mm-card small.down{color:var(--mm-worse)}
.mm-empty{border:1.5px dashed var(--mm-line);border-radius:16px;padding:2.4rem 1.4rem;text-align:center;color:var(--mm-dim);line-height:1.7;margin:.6rem 0}
.mm-empty b{display:block;color:var(--mm-ink);font-size:1.08rem;margin-bottom:.2rem}
.mm-empty code{background:var(--mm-soft);border-radius:6px;padding:.15rem .45rem;color:var(--mm-ink);font-size:.88em;overflow-wrap:anywhere}
.mm-model{border:1px solid var(--mm-line);border-radius:12px;padding:.65rem .85rem;background:var(--mm-card);font-size:.86rem;color:var(--mm-dim);line-height:1.55}
.mm-model b{display:block;color:var(--mm-ink);font-size:.95rem;overflow-wrap:anywhere}
.mm-legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;color:var(--mm-dim);font-size:.84rem;margin:.1rem 0 .4rem}
.mm-legend span{display:inline-flex;align-items:center;gap:.4rem}.mm-legend i{width:.75rem;height:.75rem;border-radius:3px;background:var(--c)}
.mm-legend i.tick{width:3px;height:1rem;border-radius:1px}.mm-legend i.dash{height:0;width:1.1rem;border-radius:0;background:none;border-top:2px dashed var(--c)}
[data-testid="stFileUploaderDropzoneInstructions"],[data-testid="InputInstructions"]{display:none}
[data-testid="stFileUploaderDropzone"] button[data-testid="stBaseButton-secondary"] [data-testid="stMarkdownContainer"]{font-size:0}
[data-testid="stFileUploaderDropzone"] button[data-testid="stBaseButton-secondary"] [data-testid="stMarkdownContainer"]::after{content:var(--mm-upload);font-size:.92rem}
.mm-cards.tight{grid-template-columns:repeat(auto-fit,minmax(84px,1fr));gap:.5rem}.mm-cards.tight .mm-card{padding:.6rem .75rem}.mm-cards.tight b{font-size:1.2rem}
@media (max-width:640px){.mm-card b{font-size:clamp(1rem,4.1vw,1.5rem)}[data-testid="stMainBlockContainer"]{padding:3.2rem 1rem 4rem}.mm-head h1{font-size:1.45rem}
.mm-text{font-size:1.04rem}.mm-box{padding:.85rem .9rem}.mm-cards{grid-template-columns:repeat(auto-fit,minmax(130px,1fr))}}
"""
