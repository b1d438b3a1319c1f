"""One sentence: probabilities of every label, and the words that made one of them."""

from __future__ import annotations

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.analyzer import Analysis
from maeum.apps.ui import marks, pieces, state
from maeum.apps.ui.look import label_colours
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.words import label_names

EXAMPLES = (
    ("주말에 다 같이 먹은 국밥이 아직도 생각나요", ""),
    ("배우는 좋았는데 결말이 너무 허무해서 화가 났다", "결말"),
    ("상담원이 끝까지 도와줘서 정말 고마웠어요", ""),
    ("내일 발표인데 손이 떨리고 잠이 안 와", ""),
)
"""Sentence and target."""
SCORES = 6
"""Words that are listed with their score."""


def show() -> None:
    """Draw the page."""
    pieces.show(
        marks.head(
            say("한 문장", "One sentence"),
            say(
                "문장을 쓰면 라벨마다 확률과 기준값, 그리고 그 라벨을 만든 낱말이 보입니다.",
                "Type a sentence: the probability of every label, its threshold, and the words that made it.",
            ),
        )
    )
    model = state.chosen()
    _form()
    asked = st.session_state.get("sentence_asked")
    if not asked:
        pieces.show(
            marks.empty(
                say("아직 문장이 없습니다", "No sentence yet"),
                say("위에 문장을 쓰거나 예를 하나 눌러 보세요.", "Type one above, or press one of the examples."),
            )
        )
        return
    text, target = asked
    for head, place in pieces.heads(model, "sentence_head"):
        with place:
            found = state.analyses(model, head, (text,), target or None)[0]
            left, right = st.columns([1, 1], gap="large")
            with left:
                pieces.show(marks.sub(say("라벨", "Labels")))
                pieces.answer(model.heads[head], found, f"sentence_{head}")
            with right:
                pieces.show(marks.sub(say("근거", "Evidence")))
                _evidence(model, head, found, target)


def _form() -> None:
    with st.form("sentence_form", border=False):
        st.text_area(
            say("문장", "Sentence"),
            key="sentence_text",
            max_chars=Settings.current().max_chars,
            height=96,
            placeholder=say(
                "예: 배송은 빨랐는데 포장이 엉망이라 속상했어요", "e.g. 배송은 빨랐는데 포장이 엉망이라 속상했어요"
            ),
            persist_state="session",
        )
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        with left:
            st.text_input(
                say("대상 (없어도 됩니다)", "Target (optional)"),
                key="sentence_target",
                max_chars=100,
                placeholder=say(
                    "감정이 무엇에 대한 것인지. 문장에 있는 말로", "what the emotion is about, as in the sentence"
                ),
                persist_state="session",
            )
        with right:
            st.form_submit_button(
                say("분석", "Analyze"), type="primary", width="stretch", on_click=_ask, icon=":material/search:"
            )
    with st.container(horizontal=True, gap="small"):
        for number, (text, target) in enumerate(EXAMPLES):
            st.button(text, key=f"sentence_example_{number}", on_click=_take, args=(text, target))


def _ask() -> None:
    text = str(st.session_state.get("sentence_text") or "").strip()
    target = str(st.session_state.get("sentence_target") or "").strip()
    st.session_state["sentence_asked"] = (text, target) if text else None


def _take(text: str, target: str) -> None:
    st.session_state["sentence_text"], st.session_state["sentence_target"] = text, target
    st.session_state["sentence_asked"] = (text, target)


def _evidence(model: state.Model, head: str, found: Analysis, target: str) -> None:
    task = model.heads[head].task
    names = label_names(task)
    order = sorted(task.keys, key=lambda key: (key not in found.labels, -found.scores[key]))
    label = st.selectbox(
        say("어느 라벨의 근거를 볼까요?", "Evidence for which label?"),
        order,
        format_func=lambda key: f"{'● ' if key in found.labels else '○ '}{names[key]} {found.scores[key]:.0%}",
        # another sentence starts with its own first label
        key=pieces.spoken(f"sentence_label_{head}_{hash((found.text, target))}"),
    )
    with st.spinner(say("낱말을 하나씩 가려 보는 중…", "Hiding the words one by one…")):
        explanation = state.evidence(model, head, (found.text,), labels=(label,), target=target or None)[0]
    item = explanation[label]
    colour = label_colours(task).get(label, pieces.colours().accent)
    if not item.words:
        pieces.show(marks.note(say("가릴 낱말이 없습니다.", "There is no word to hide.")))
        return
    pieces.show(f'<div class="mm-box">{marks.marked(found.text, item.words, colour, explanation.target)}</div>')
    ranked = [word for word in item.ranked if abs(word.score) >= 0.005]
    pieces.show(marks.chips(marks.Chip(word.text, colour, f"{word.score * 100:+.1f}%p") for word in ranked[:SCORES]))
    for told in explanation.notes:
        pieces.show(marks.note(told))
    pieces.show(
        marks.note(
            say(
                "낱말을 가렸을 때 확률이 줄어든 만큼 진하게 칠했습니다. 점선은 라벨에 반하는 낱말이고, 대면 값이 보입니다.",
                "The darker a word, the more the probability drops without it; a dashed line speaks against the label. Hover for numbers.",
            )
        )
    )
