"""The labels of a row as a person wants them: a digit for each of the likeliest, 0 saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import marks, pieces
from maeum.apps.ui.audits import Listed
from maeum.apps.ui.words import grade_names, label_names
from maeum.auditing.desk import Desk
from maeum.auditing.desk_file import Entry, Ruling
from maeum.auditing.findings import ABSENT, PRESENT
from maeum.auditing.worklist import value_of

Write = Callable[[Listed, Entry, Callable[[], int], int, int | None], bool]
DIGITS = 9
"""Labels that have a key."""


def edit_labels(
    audit: Listed, entry: Entry, rulings: Mapping[tuple[str, str], Ruling], *, who: str, seen: int, write: Write
) -> None:
    """Draw the labels to choose among, and save them all at once."""
    key = f"auditing_values_{audit.made}_{entry.number}_{seen}"
    single = audit.task.kind == "multiclass"
    given = (entry.example.labels or ("",))[0] if single else ""
    now = {label: _value(audit, entry, label, rulings) for label in audit.task.keys}
    first = [_value(audit, entry, given, rulings)] if single else [k for k, v in now.items() if v != ABSENT]
    on: list[str] = st.session_state.setdefault(key, first)

    def toggle(label: str) -> None:
        rest = [] if single else [other for other in on if other != label]
        st.session_state[key] = rest if label in on and not single else [*rest, label]

    head = say("맞는 라벨", "The right label") if single else say("맞는 라벨을 모두", "All labels that are right")
    pieces.show(marks.sub(head))
    _labels(audit, entry, on, key, toggle)
    if single:
        values = {given: on[0]}
    else:
        values = {label: PRESENT if label in on else ABSENT for label in audit.task.keys}
        if audit.task.kind == "aspect":
            values |= {label: _grade(audit, entry, label, now[label], key) for label in on}

    def save() -> None:
        with Desk(audit.path) as desk:
            if write(audit, entry, lambda: desk.edit(entry.number, values, who=who, seen=seen), seen, entry.number + 1):
                _close(key)

    with st.container(horizontal=True):
        st.button(
            say("이대로 저장", "Save these"), key=f"{key}_save", icon=":material/save:", shortcut="0", type="primary",
            on_click=save,
        )  # fmt: skip
        st.button(
            say("그만두기", "Cancel"), key=f"{key}_cancel", icon=":material/close:", shortcut="Escape",
            on_click=_close, args=(key,),
        )  # fmt: skip


def _close(key: str) -> None:
    st.session_state.pop("auditing_edit", None)
    st.session_state.pop(key, None)


def _labels(audit: Listed, entry: Entry, on: list[str], key: str, toggle: Callable[[str], None]) -> None:
    """A button for each label, the likeliest with a digit; those chosen are filled."""
    names = label_names(audit.task)
    scores = entry.said.scores if entry.said is not None and entry.kind != "grade" else {}
    doubted = (entry.label, entry.suggested, *(entry.example.labels or ()))
    likely = sorted(audit.task.keys, key=lambda label: (label not in doubted, -scores.get(label, 0.0)))[:DIGITS]
    keyed = [label for label in audit.task.keys if label in likely]
    rest = [label for label in audit.task.keys if label not in likely]
    for labels, digits in ((keyed, True), (rest, False)):
        if not labels:
            continue
        with st.container(horizontal=True, gap="small"):
            for number, label in enumerate(labels, start=1):
                st.button(
                    names[label],
                    key=f"{key}_on_{label}",
                    icon=":material/check:" if label in on else None,
                    type="primary" if label in on else "secondary",
                    shortcut=str(number) if digits else None,
                    on_click=toggle,
                    args=(label,),
                )


def _value(audit: Listed, entry: Entry, label: str, rulings: Mapping[tuple[str, str], Ruling]) -> str:
    """What a label has by the decisions so far."""
    ruling = rulings.get((entry.example.id, label))
    given = value_of(entry.example, label, audit.task)
    return ruling.value if ruling is not None and ruling.word == "fix" else given


def _grade(audit: Listed, entry: Entry, label: str, now: str, key: str) -> str:
    grades = grade_names(audit.task)
    suggested = entry.suggested if entry.label == label and entry.suggested in grades else next(iter(grades))
    picked = st.segmented_control(
        label_names(audit.task)[label], list(grades), format_func=grades.__getitem__, required=True,
        default=now if now in grades else suggested, key=f"{key}_{label}",
    )  # fmt: skip
    return str(picked)
