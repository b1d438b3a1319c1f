"""What surrounds every page: style, navigation, model and language, and errors as sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import language, say, speak
from maeum._svg import escape
from maeum.apps.ui import pieces, state
from maeum.apps.ui.look import LIGHT, icon, logo, style
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.views import PAGES, Page
from maeum.apps.ui.words import model_kind, short_names, task_name
from maeum.errors import MaeumError

log = logging.getLogger("maeum.ui")
LANGUAGES = {"ko": "한국어", "en": "English"}


def main() -> None:
    """Draw the page that is open."""
    st.set_page_config(page_title="maeum", page_icon=icon(LIGHT), layout="wide")
    _speak()
    scheme = pieces.colours()
    pieces.show(style(scheme))
    st.logo(logo(scheme), size="large", icon_image=icon(scheme))
    pages = {
        page.name: st.Page(
            _guarded(page.show),
            title=say(page.ko, page.en),
            icon=page.icon,
            url_path=page.name,
            default=place == 0,
        )
        for place, page in enumerate(PAGES)
    }
    st.session_state["pages"] = pages
    opened = st.navigation(list(pages.values()))
    with st.sidebar:
        _sidebar()
    opened.run()


def one(page: Page) -> None:
    """Draw one page without the navigation, for tests."""
    _speak()
    pieces.show(style(pieces.colours()))
    with st.sidebar:
        _sidebar()
    _guarded(page.show)()


def _speak() -> None:
    """The language of this session: Streamlit runs every session in a thread of its own."""
    speak(None)
    chosen = st.session_state.get("language") or Settings.current().language or language()
    speak("en" if chosen == "en" else "ko")


def _sidebar() -> None:
    """Which model answers, and in which language the app speaks."""
    settings = Settings.current()
    if len(settings.models) > 1:
        st.selectbox(
            say("모델", "Model"),
            settings.models,
            format_func=short_names(settings.models).__getitem__,
            key="model",
            persist_state="session",
        )
    try:
        with st.spinner(say("모델을 여는 중…", "Opening the model…")):
            model = state.chosen()
    except MaeumError as error:
        st.error(str(error))
    else:
        what = model_kind(next(iter(model.heads.values())).predictor.kind)
        if len(model.heads) > 1:
            what = say(f"과제 {len(model.heads)}개", f"{len(model.heads)} tasks")
        tasks = "<br>".join(escape(task_name(head.task)) for head in model.heads.values())
        pieces.show(f'<div class="mm-model"><b>{escape(model.title)}</b>{escape(what)}<br>{tasks}</div>')
    st.segmented_control(
        "언어 · Language",
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        default=language(),
        key="language",
        required=True,
        persist_state="session",
    )


def _guarded(draw: Callable[[], None]) -> Callable[[], None]:
    """A page whose errors are sentences: our own as they are, any other without the texts that it may quote."""

    def page() -> None:
        try:
            draw()
        except MaeumError as error:
            st.error(str(error), icon=":material/error:")
        except Exception as error:
            log.error("a page failed: %s", type(error).__name__, exc_info=log.isEnabledFor(logging.DEBUG))
            st.error(
                say(
                    f"예상하지 못한 오류입니다({type(error).__name__}). 'maeum ui --debug'로 다시 열면 추적 정보가 나옵니다.",
                    f"An unexpected error ({type(error).__name__}); 'maeum ui --debug' shows the traceback.",
                ),
                icon=":material/error:",
            )

    return page
