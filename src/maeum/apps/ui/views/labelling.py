"""Labelling: choose a file, say who you are, then one text after another by keyboard."""

from __future__ import annotations

from pathlib import Path

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum._svg import escape
from maeum.annotating.desk import NAME_CHARS, annotator_name
from maeum.apps.ui import marks, pieces
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.views import labelling_board, labelling_files, labelling_result

FILE, NAME = "desk", "annotator"
"""In the address and in the session: a reload, a bookmark and a restarted app go on where one was."""


def show() -> None:
    """Draw the page."""
    folder = Settings.current().folder
    if folder is None:
        _head()
        pieces.show(
            marks.empty(
                say("라벨 파일을 둘 폴더가 없습니다", "There is no folder for labelling files"),
                say(
                    "앱을 폴더와 함께 여세요. 라벨은 그 안의 파일에만 저장합니다.",
                    "Open the app with a folder; labels are saved to files in it and nowhere else.",
                ),
                "maeum ui --folder 작업",
            )
        )
        return
    files = labelling_files.desks(Path(folder))
    file, name = _asked(FILE), _asked(NAME)
    if file not in files or not name:
        _head()
        _choose(Path(folder), files, file, name)
        return
    st.session_state[FILE], st.session_state[NAME] = file, name
    st.query_params.update({FILE: file, NAME: name})
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(f'<div class="mm-note"><b>{escape(name)}</b> · {escape(file)}</div>', width="content")
        st.button(say("바꾸기", "Change"), on_click=_leave, type="tertiary", icon=":material/logout:")
    labelling_board.show(files[file], name)
    labelling_result.show(files[file])


def _head() -> None:
    pieces.show(
        marks.head(
            say("라벨 달기", "Labelling"),
            say(
                "글을 하나씩 보며 숫자로 라벨을 고르고 Enter로 저장합니다. 여럿이 함께 달아도, 도중에 꺼도 잃는 것이 없습니다.",
                "One text at a time: number keys choose labels, Enter saves. Several people may label at once, and nothing that "
                "was saved is lost.",
            ),
        )
    )


def _asked(key: str) -> str:
    return str(st.query_params.get(key) or st.session_state.get(key) or "")


def _choose(folder: Path, files: dict[str, Path], file: str, name: str) -> None:
    labelling_files.told()
    if not files:
        pieces.show(
            marks.empty(
                say("아직 라벨 파일이 없습니다", "No labelling file yet"),
                say(
                    "아래에서 글이 든 파일을 올려 만들거나, 명령줄에서 이 폴더에 만드세요.",
                    "Make one of an uploaded file below, or on the command line in this folder.",
                ),
                f"maeum annotate export ROWS -o {folder.name}/라벨.sqlite --task TASK",
            )
        )
    else:
        with st.form("labelling_start", border=False):
            left, middle, right = st.columns([3, 3, 1], vertical_alignment="bottom")
            with left:
                st.selectbox(
                    say("라벨 파일", "Labelling file"),
                    list(files),
                    index=list(files).index(file) if file in files else 0,
                    key="labelling_file",
                )
            with middle:
                st.text_input(
                    say("누구신가요?", "Who are you?"),
                    value=name,
                    key="labelling_name",
                    max_chars=NAME_CHARS,
                    placeholder=say("이름이나 별명. 다음에도 같은 이름으로", "a name; the same one next time"),
                )
            with right:
                start = st.form_submit_button(say("시작", "Start"), type="primary", width="stretch")
        if start:
            chosen = annotator_name(str(st.session_state["labelling_name"]))
            st.session_state[FILE], st.session_state[NAME] = st.session_state["labelling_file"], chosen
            st.query_params.update({FILE: st.session_state[FILE], NAME: chosen})
            st.rerun()
    made = labelling_files.make(folder, opened=not files)
    if made is not None:
        st.session_state[FILE] = made
        st.query_params[FILE] = made
        st.rerun()


def _leave() -> None:
    for key in (FILE, NAME):
        st.session_state.pop(key, None)
        st.query_params.pop(key, None)
