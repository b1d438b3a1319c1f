"""The labelling files of the folder the app was opened with, and a new one made of an upload."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePath

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.annotating import export_rows
from maeum.annotating.desk_file import is_desk
from maeum.apps.ui import marks, pieces, state
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.uploads import Rows, read_rows
from maeum.apps.ui.words import label_names, task_name
from maeum.data import Dataset
from maeum.errors import UsageError
from maeum.task import Task, builtin_task, builtin_task_names

SUFFIX = ".sqlite"
_NAME_CHARS = 80
_MADE = "labelling_made"


def desks(folder: Path) -> dict[str, Path]:
    """Name → path of the labelling files that lie in a folder itself. What a visitor asks for is looked up here."""
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() == SUFFIX and is_desk(path)}


def file_name(typed: str) -> str:
    """The name of a new file, which cannot lead out of the folder.

    Raises:
        UsageError: nothing is left of it.
    """
    name = unicodedata.normalize("NFC", PurePath(typed.replace("\\", "/")).name).removesuffix(SUFFIX)
    name = re.sub(r"[^\w\-. ()]+", "_", name).strip(" ._")[:_NAME_CHARS]
    if not name:
        raise UsageError("파일 이름을 쓰세요.", "give the file a name")
    return name + SUFFIX


def make(folder: Path, *, opened: bool) -> str | None:
    """A form that makes a labelling file of an upload; its name once it is made."""
    with st.expander(say("새 라벨 파일 만들기", "Make a new labelling file"), expanded=opened, icon=":material/add:"):
        upload = pieces.uploader(
            "labelling_upload",
            what=say("라벨을 달 글이 든 파일", "A file of texts to label"),
            becomes=say(
                f"만들면 글이 '{folder.name}' 폴더의 라벨 파일에 담깁니다.",
                f"Its texts go into a labelling file in the folder '{folder.name}' when you make it.",
            ),
        )
        if upload is None:
            return None
        seen, columns = pieces.columns_of(upload, f"labelling_{upload.id}")
        task, head = _task(seen.task)
        left, right = st.columns(2)
        with left:
            share = st.segmented_control(
                say("나누기", "Who labels what"),
                [False, True],
                format_func={
                    False: say("모두가 모든 글에", "Everybody, every text"),
                    True: say("글마다 한 사람", "Each text once"),
                }.__getitem__,
                default=False,
                required=True,
                key=pieces.spoken("labelling_share"),
            )
        with right:
            typed = st.text_input(
                say("파일 이름", "File name"), value=PurePath(upload.name).stem, key=f"labelling_as_{upload.id}"
            )
        suggest = head is not None and st.toggle(
            say("모델의 제안을 흐리게 보여 주기 (F로 채움)", "Show what the model suggests, faintly (F takes it)"),
            key="labelling_suggest",
            help=say(
                "사람은 제안을 따라가기 쉽습니다. 평가에 쓸 글에는 켜지 마세요.",
                "People tend to follow suggestions; leave it off for texts that will be used to evaluate.",
            ),
        )
        ready = not seen.columns or columns.get("text_column") is not None
        if not st.button(say("만들기", "Make it"), type="primary", disabled=not ready, key="labelling_make"):
            return None
        name = file_name(typed)
        rows = read_rows(upload, seen, limit=Settings.current().max_rows, columns=columns)
        _write(folder / name, task, Dataset(task, rows.examples, source=upload.name), bool(share), head, bool(suggest))
        st.session_state[_MADE] = (name, rows)
        return name


def told() -> None:
    """What became of the upload that a file was just made of: said once."""
    made: tuple[str, Rows] | None = st.session_state.pop(_MADE, None)
    if made is None:
        return
    name, rows = made
    count = len(rows.examples)
    st.success(
        say(f"'{name}'을(를) 만들었습니다: {count:,}행.", f"Made '{name}': {count:,} rows."), icon=":material/check:"
    )
    pieces.refused(rows.report, rows.cut)


def _task(of_file: Task | None) -> tuple[Task, str | None]:
    """The task to label for, and the head of the model that has it."""
    model = state.chosen()
    heads = {head.task.name: name for name, head in model.heads.items()}
    tasks = {head.task.name: head.task for head in model.heads.values()}
    tasks |= {name: builtin_task(name) for name in builtin_task_names() if name not in tasks}
    if of_file is not None:
        tasks = {of_file.name: of_file, **tasks}
    picked = st.selectbox(
        say("과제", "Task"),
        list(tasks),
        format_func=lambda name: task_name(tasks[name]),
        key=pieces.spoken("labelling_task"),
    )
    task = tasks[picked]
    head = heads.get(picked)
    pieces.show(marks.note(", ".join(label_names(task).values())[:300]))
    return task, head


def _write(path: Path, task: Task, rows: Dataset, share: bool, head: str | None, suggest: bool) -> None:
    model = state.chosen()
    with model.lock, st.spinner(say("만드는 중…", "Making it…")):
        analyzer = model.heads[head] if suggest and head is not None else None
        export_rows(
            rows.examples, path, task, to="sqlite", analyzer=analyzer, model=model.title, share=share, overwrite=False
        )
