"""Reviews: aspects, their grades, and the words behind each in the colour of the aspect."""

from __future__ import annotations

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import marks, pieces, state
from maeum.apps.ui.look import grade_colours, label_colours
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.words import grade_names, label_names

MOST = 6
"""Reviews that are looked at together."""
EXAMPLES = (
    "배송은 빨랐는데 실밥이 너무 많이 풀려 있어요",
    "색감이 사진이랑 똑같고 핏도 예뻐요. 그런데 소재가 얇아서 아쉽네요",
    "사이즈가 작게 나와서 교환했어요. 가격 생각하면 만족합니다",
)


def show() -> None:
    """Draw the page."""
    pieces.show(
        marks.head(
            say("리뷰", "Reviews"),
            say(
                "리뷰가 어떤 속성을 말하는지, 속성마다 평가가 어떤지, 그리고 어느 말이 근거인지 보입니다.",
                "Which aspects a review speaks of, how it judges each, and the words that say so.",
            ),
        )
    )
    found = _model()
    if found is None:
        return
    model, head = found
    _form()
    asked: tuple[str, ...] = st.session_state.get("reviews_asked") or ()
    if not asked:
        pieces.show(
            marks.empty(
                say("아직 리뷰가 없습니다", "No review yet"),
                say(
                    f"한 줄에 하나씩 {MOST}개까지 쓰거나 예를 눌러 보세요.",
                    f"Type up to {MOST}, one a line, or press the examples.",
                ),
            )
        )
        return
    with st.spinner(say("속성과 근거를 찾는 중…", "Looking for aspects and evidence…")):
        analyses = state.analyses(model, head, asked)
        explanations = state.evidence(model, head, asked)
    task = model.heads[head].task
    names, grades = label_names(task), grade_names(task)
    palette, grade_palette = label_colours(task), grade_colours(task.sentiment_keys)
    pieces.show(marks.legend(("", grade_palette[key], grades[key]) for key in task.sentiment_keys))
    for number, (analysis, explanation) in enumerate(zip(analyses, explanations, strict=True), start=1):
        aspects = marks.aspects_of(explanation, analysis.aspects or (), task, names, grades, palette, grade_palette)
        with st.container(border=True, key=f"review_{number}"):
            if not aspects:
                pieces.show(marks.many_marked(analysis.text, ()))
                best = max(analysis.scores, key=lambda key: analysis.scores[key])
                pieces.show(
                    marks.note(
                        say(
                            f"기준값을 넘은 속성이 없습니다. 가장 가까운 속성은 {names[best]}({analysis.scores[best]:.0%})입니다.",
                            f"No aspect passes its threshold; the nearest is {names[best]} ({analysis.scores[best]:.0%}).",
                        )
                    )
                )
                continue
            pieces.show(marks.many_marked(analysis.text, aspects))
            pieces.show(marks.legend(("", item.colour, item.name) for item in aspects))
            pieces.show(marks.aspect_cards(analysis.text, aspects))


def _model() -> tuple[state.Model, str] | None:
    """An aspect head: of the model in the sidebar, of another on the command line, or one trained here."""
    chosen = state.chosen()
    found = pieces.aspect_models([chosen])
    if not found:
        others = [name for name in Settings.current().models if name != chosen.name]
        found = pieces.aspect_models([state.open_model(name) for name in others])
    if found:
        if len(found) == 1:
            return found[0]
        picked = st.selectbox(
            say("리뷰 모델", "Review model"),
            range(len(found)),
            format_func=lambda n: f"{found[n][0].title} · {found[n][1]}",
            key="reviews_model",
        )
        return found[int(picked)]
    if st.session_state.get("reviews_sample"):
        with st.spinner(
            say("예제 후기 271개로 배우는 중… 몇 초 걸립니다.", "Learning from the sample reviews… a few seconds.")
        ):
            model = state.sample_reviews()
        pieces.show(
            marks.note(
                say(
                    "예제 데이터로 방금 배운 작은 모델입니다. 맛보기일 뿐이니 점수를 믿지 마세요.",
                    "A small model, just trained on the sample data: a taste, not to be relied on.",
                )
            )
        )
        return model, next(iter(model.heads))
    pieces.show(
        marks.empty(
            say("이 모델은 속성을 모릅니다", "This model knows no aspects"),
            say(
                "리뷰 모델을 함께 열거나, 예제 데이터로 지금 여기서 배울 수 있습니다.",
                "Open a review model as well, or train one here on the sample data.",
            ),
            "maeum train sample:fashion -o runs/fashion && maeum ui runs/fashion",
        )
    )
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.button(
            say("예제 후기로 지금 배우기 (몇 초)", "Train on the sample reviews now (seconds)"),
            type="primary",
            width="stretch",
            icon=":material/school:",
            key="reviews_train",
            on_click=lambda: st.session_state.update(reviews_sample=True),
        )
    return None


def _form() -> None:
    limit = Settings.current().max_chars * MOST
    with st.form("reviews_form", border=False):
        st.text_area(
            say(f"리뷰 (한 줄에 하나, {MOST}개까지)", f"Reviews (one a line, up to {MOST})"),
            key="reviews_text",
            max_chars=limit,
            height=120,
            placeholder=EXAMPLES[0],
            persist_state="session",
        )
        with st.container(horizontal=True):
            st.form_submit_button(say("분석", "Analyze"), type="primary", on_click=_ask, icon=":material/search:")
            st.form_submit_button(say("예로 채우기", "Fill in examples"), on_click=_fill)


def _ask() -> None:
    lines = [line.strip() for line in str(st.session_state.get("reviews_text") or "").splitlines()]
    st.session_state["reviews_asked"] = tuple([line for line in lines if line][:MOST])


def _fill() -> None:
    st.session_state["reviews_text"] = "\n".join(EXAMPLES)
    st.session_state["reviews_asked"] = EXAMPLES
