"""The board of the labelling page: what the browser is given, and what becomes of what it sends.

Keys act in the browser (``labelling_board.js``); only saves come here, in an outbox that the browser sends again until it
has been told what became of every item, so one that comes twice must count once (``Desk.save`` knows it by its token).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone
from streamlit.components import v2  # noqa: TID253 - as above

from maeum._files import sha256_text
from maeum._lang import Language, language, say, speak
from maeum.annotating.desk import Desk, DeskRow, Standing
from maeum.apps.ui.look import NEUTRAL, grade_colours, label_colours
from maeum.apps.ui.words import grade_names, label_names
from maeum.errors import MaeumError, UsageError
from maeum.sampling.writing import reason

AHEAD, AHEAD_SHARED = 20, 5
"""Rows the browser has before it needs them; where rows are shared out, each of them is held for this annotator."""
BEHIND = 12
"""Answered rows to go back to."""

_HERE = Path(__file__).parent
_mount = v2.component(
    "maeum.labelling_board",
    js="\n".join((_HERE / f"labelling_{part}.js").read_text(encoding="utf-8") for part in ("drawing", "board")),
    css=(_HERE / "labelling_board.css").read_text(encoding="utf-8"),
)


def show(path: Path, annotator: str) -> None:
    """Draw the board; a save draws nothing else anew."""
    _show(path, annotator, language())


@st.fragment
def _show(path: Path, annotator: str, spoken: Language) -> None:
    speak(spoken)  # a fragment may run in a thread of its own
    try:
        with Desk(path) as desk:
            key = f"labelling_{sha256_text(desk.mark + annotator)[:16]}"
            data = board_data(desk, annotator, (st.session_state.get(key) or {}).get("outbox"))
    except MaeumError as error:
        st.error(str(error), icon=":material/error:")
    except sqlite3.OperationalError:
        st.error(
            say(
                "라벨 파일이 잠겨 있거나 쓸 수 없습니다. 단 라벨은 이 창이 들고 있다가 다시 보냅니다. 잠시 뒤 새로 고치세요.",
                "The labelling file is locked or cannot be written. This window keeps what you saved and sends it again; "
                "reload in a moment.",
            ),
            icon=":material/lock:",
        )
    else:
        _mount(key=key, data=data, on_outbox_change=lambda: None)


def board_data(desk: Desk, annotator: str, outbox: Mapping[str, Any] | None) -> dict[str, Any]:
    """Do what an outbox asks, then say what became of it, which rows come next and how far everybody is."""
    items = (outbox or {}).get("items") or []
    results = [_done(desk, annotator, item) for item in items]
    task = desk.task
    names, colours = label_names(task), label_colours(task)
    grades, shades = grade_names(task), grade_colours(task.sentiment_keys)
    progress = desk.progress(annotator)
    recent = desk.recent(annotator, BEHIND)
    return {
        "mark": desk.mark,
        "name": annotator,
        "kind": task.kind,
        "labels": [
            {
                "key": label.key,
                "name": names[label.key],
                "other": label.name("en" if language() == "ko" else "ko"),
                "note": label.guideline or label.description,
                "colour": colours.get(label.key, NEUTRAL),
            }
            for label in task.labels
        ],
        "grades": [
            {"key": label.key, "name": grades[label.key], "colour": shades[label.key], "note": label.guideline}
            for label in task.sentiments
        ],
        "queue": [_row(row) for row in desk.upcoming(annotator, AHEAD_SHARED if desk.share else AHEAD)],
        "recent": [
            _row(row) | {"others": [_said(item) for item in desk.others(annotator, row.position)]} for row in recent
        ],
        "results": results,
        "answered": int((outbox or {}).get("turn") or 0),
        "progress": {
            "total": progress.total,
            "done": progress.done,
            "left": progress.left,
            "others": dict(progress.others),
            "shared": {who: list(pair) for who, pair in progress.shared.items()},
        },
        "words": _words(),
    }


def _done(desk: Desk, annotator: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """One item of an outbox, done; what was done before is only said again."""
    token = str(item["token"])
    try:
        position = int(item["at"])
        if item["kind"] == "skip":
            desk.skip(annotator, position, token=token)
            return {"token": token, "kept": True}
        saved = desk.save(
            annotator, position, item["answer"], seen=str(item["seen"]), token=token, note=str(item["note"])
        )
        return {"token": token, "kept": saved.kept} | (
            {} if saved.kept else {"row": _row(desk.row(annotator, position))}
        )
    except UsageError as error:
        return {"token": token, "kept": False, "error": say(error.ko, error.en)}


def _row(row: DeskRow) -> dict[str, Any]:
    example, target = row.example, row.example.target
    begin, end = (target.begin, target.end) if target else (len(example.text), len(example.text))
    return {
        "at": row.position,
        "id": example.id,
        "before": example.text[:begin],
        "target": example.text[begin:end],
        "after": example.text[end:],
        "why": _why(example.meta.get("sample")),
        "suggested": row.suggested,
        "own": row.own and _said(row.own),
    }


def _said(said: Standing) -> dict[str, Any]:
    return {"who": said.annotator, "token": said.token, "answer": said.answer, "note": said.note}


def _why(sample: Any) -> str:
    """Why a row was sampled; nothing where it was not, or by something else."""
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        return reason(sample)
    return ""


def _words() -> dict[str, str]:
    return {
        "of": say("/ {total}행", "of {total}"),
        "left": say("남은 것 {left}", "{left} left"),
        "speed": say("분당 {speed}행", "{speed} a minute"),
        "kept": say("모두 저장됨", "all saved"),
        "saving": say("저장 중 {waiting}", "saving {waiting}"),
        "lost": say(
            "연결이 끊겼습니다. {waiting}개를 이 창이 들고 있습니다", "no connection; this window keeps {waiting}"
        ),
        "save": say("저장하고 다음", "save, next"),
        "none": say("없음", "none fits"),
        "none_yet": say("답 없음", "no answer"),
        "skip": say("넘기기", "skip"),
        "back": say("뒤로", "back"),
        "undo": say("되돌리기", "undo"),
        "fill": say("제안 채우기", "take suggestion"),
        "note_key": say("메모", "note"),
        "find": say("찾기", "find"),
        "guide": say("기준", "guide"),
        "note": say("메모 (Enter로 닫기)", "note (Enter closes)"),
        "filter": say("라벨 찾기: 기쁨, ㄱㅃ …", "find a label"),
        "remove": say("지우기", "remove"),
        "model": say("제안", "suggested"),
        "lately": say("방금 단 것", "lately"),
        "same": say("같음", "same"),
        "both": say("{who} {count}행, 함께 단 {both}행의 {share}%가 같음", "{who} {count} rows; {share}% of {both} alike"),
        "alone": say("{who} {count}행", "{who} {count} rows"),
        "again": say("이미 단 행을 고치는 중", "changing a row you answered"),
        "refused": say(
            "이 글은 같은 이름의 다른 창에서 먼저 저장되어, 방금 것은 저장하지 않았습니다.",
            "Another window under your name saved this text first, so your answer was not saved.",
        ),
        "stands": say("저장된 답:", "In the file:"),
        "yours": say("방금 고른 답:", "yours:"),
        "look": say("그 글 보기", "show it"),
        "close": say("닫기", "close"),
        "empty": say(
            "고른 라벨이 없습니다. 맞는 것이 없으면 U, 넘기려면 S를 누르세요.",
            "No label is chosen. Press U if none fits, S to skip.",
        ),
        "grade_first": say("이 속성의 등급을 숫자로 고르세요(0: 지우기).", "Choose a grade by its number (0 removes it)."),
        "nothing_suggested": say("이 글에는 제안이 없습니다.", "There is no suggestion for this text."),
        "nothing_done": say("되돌릴 것이 없습니다.", "There is nothing to undo."),
        "undone": say("되돌렸습니다.", "Undone."),
        "first": say("처음입니다.", "This is the first."),
        "waiting": say("다음 글을 가져오는 중…", "Getting the next text…"),
        "held": say(
            "남은 글은 다른 사람이 보고 있습니다. 놓으면 여기 나옵니다.",
            "Others have the texts that are left; they come here when given up.",
        ),
        "finished": say("모두 달았습니다", "All done"),
        "finished_more": say(
            "←로 돌아가 고칠 수 있습니다. 아래에서 라벨을 모아 내려받으세요.",
            "Go back with ← to change answers; collect the labels below.",
        ),
    }  # fmt: skip
