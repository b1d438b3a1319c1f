"""Labels that look wrong, decided one by one by keyboard, by several people at once; nothing changes without a decision."""

from __future__ import annotations

from pathlib import Path

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import audits, marks, pieces, state
from maeum.apps.ui.views import auditing_deciding, auditing_taking
from maeum.apps.ui.words import task_name
from maeum.auditing.desk_file import DESK
from maeum.formats import ReadReport
from maeum.task import builtin_task, builtin_task_names

NEW = ""
"""Stands for an audit that is to be made."""
TOP = (100, 300, 500, 1000, 3000)


def show() -> None:
    """Draw the page."""
    pieces.show(
        marks.head(
            say("라벨 점검", "Audit"),
            say(
                "틀린 것으로 보이는 라벨을 하나씩 보고 정합니다. 결정은 그때그때 저장되고, 정하지 않은 것은 바뀌지 않습니다.",
                "Labels that look wrong, one by one. Every decision is saved at once; what is not decided does not change.",
            ),
        )
    )
    place = audits.folder()
    if place is None:
        pieces.show(
            marks.empty(
                say("점검을 둘 폴더가 없습니다", "There is no folder for audits"),
                say(
                    "결정을 저장할 폴더를 주고 앱을 다시 여세요. maeum audit이 쓴 폴더가 그 안에 있으면 바로 열립니다.",
                    "Start the app again with a folder in which decisions are kept. Audits that lie in it can be opened.",
                ),
                "maeum ui --folder 작업",
            )
        )
        return
    known = audits.names(place)
    name = _picked(known)
    if name == NEW:
        _new(place)
        return
    path = place / name / DESK
    key = ("audit", str(path), audits.made(path))
    audit = state.remember(key, lambda: audits.opened(path))
    source = f"{audit.about['source']} · {task_name(audit.task)} · {audit.about['model']}"
    rows = say(f"{audit.about['rows']:,}행", f"{audit.about['rows']:,} rows")
    pieces.show(marks.note(f"{source} · {rows} · {audit.made[:10]}"))
    decide, take = st.tabs(
        [say("정하기", "Decide"), say("결과", "Results")], key=pieces.spoken("auditing_tab"), on_change="rerun"
    )
    if decide.open:
        with decide:
            auditing_deciding.show(audit)
    if take.open:
        with take:
            auditing_taking.show(audit)


def _picked(known: list[str]) -> str:
    """The audit to open: the one chosen, the latest, or a new one."""
    new = st.session_state.pop("auditing_new", None)
    choices = [*known, NEW]
    if new in choices:
        st.session_state["auditing_name"] = new
    elif st.session_state.get("auditing_name") not in choices:
        st.session_state.pop("auditing_name", None)
    return str(
        st.selectbox(
            say("점검", "Audit"),
            choices,
            format_func=lambda name: name or say("＋ 새 점검 만들기", "＋ A new audit"),
            key="auditing_name",
            persist_state="session",
        )
    )


def _new(place: Path) -> None:
    upload = pieces.uploader(
        "auditing_upload",
        what=say("라벨이 달린 파일", "A file with labels"),
        becomes=say(
            f"결정을 적용할 수 있게, 점검하면 올린 행도 '{place.name}' 폴더 안에 저장합니다.",
            f"Once audited, the rows are kept in the folder '{place.name}' too, so that decisions can be applied.",
        ),
    )
    if upload is None:
        pieces.show(
            marks.empty(
                say("라벨이 달린 파일을 올리세요", "Upload a file with labels"),
                say(
                    "선형 모델로 교차 검증해 틀린 것으로 보이는 라벨을 찾습니다. 수천 행이면 몇 초에서 몇십 초 걸립니다.",
                    "A linear model is cross-validated to find labels that look wrong: seconds for thousands of rows.",
                ),
            )
        )
        return
    seen, columns = pieces.columns_of(upload, f"auditing_{upload.id}", labelled=True)
    models = [model.heads for model in map(state.open_model, _models())]
    tasks = {head.task.name: head.task for heads in models for head in heads.values()}
    tasks |= {name: builtin_task(name) for name in builtin_task_names() if name not in tasks}
    left, middle, right = st.columns([2, 2, 1])
    guess = say("(라벨에서 알아내기)", "(tell from the labels)")
    with left:
        task = st.selectbox(
            say("과제", "Task"),
            ["", *tasks],
            format_func=lambda name: task_name(tasks[name]) if name else guess,
            key="auditing_task",
            persist_state="session",
            disabled=seen.task is not None,
        )
    with middle:
        name = st.text_input(
            say("점검의 이름", "Name of the audit"),
            value=upload.name.rsplit(".", 1)[0][:50],
            key=f"auditing_as_{upload.id}",
            max_chars=60,
        )
    with right:
        top = st.selectbox(say("목록의 길이", "Length of the list"), TOP, index=2, key="auditing_top")
    ready = not seen.columns or columns.get("text_column") is not None
    if not st.button(
        say("점검하기", "Audit"), type="primary", icon=":material/search:", key="auditing_go", disabled=not ready
    ):
        return
    report = ReadReport(keep=200)
    target = place / audits.safe_name(name)
    with st.status(say("점검하는 중…", "Auditing…"), expanded=True) as status:
        st.write(say("읽는 중", "reading"))
        data, cut = audits.labelled_rows(upload, tasks.get(str(task)), columns, report)
        audits.make(data, target, top=int(top), progress=lambda line: st.write(line))
        status.update(label=say("다 했습니다", "Done"), state="complete")
    st.session_state["auditing_new"] = target.name
    st.session_state["auditing_read"] = (target.name, report, cut)
    st.rerun()


def _models() -> tuple[str, ...]:
    from maeum.apps.ui.settings import Settings

    return Settings.current().models
