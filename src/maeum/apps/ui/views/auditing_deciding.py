"""One suspicious label at a time, with all that helps to decide, and a key for every decision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import marks, pieces
from maeum.apps.ui.audits import Listed
from maeum.apps.ui.look import label_colours
from maeum.apps.ui.views import auditing_drawing as drawing
from maeum.apps.ui.views.auditing_editing import edit_labels
from maeum.apps.ui.words import label_names
from maeum.auditing.desk import Desk, Overtaken, settled
from maeum.auditing.desk_file import Entry, Ruling, Word
from maeum.errors import UsageError

LEFT, ALL, DONE, UNSURE = "left", "all", "done", "unsure"


def show(audit: Listed) -> None:
    """Draw the line in hand, and what can be done with it."""
    with Desk(audit.path) as desk:
        rulings, versions = desk.now()
    done = settled(audit.entries, rulings)
    pieces.show(drawing.progress(done))
    who, numbers = _asked(audit, done)
    entry = _current(audit, numbers)
    _told()
    if entry is None:
        _nothing(audit, done)
        return
    version = versions[entry.example.id]
    place = numbers.index(entry.number)
    after = numbers[(place + 1) % len(numbers)]
    pieces.show(drawing.question(entry, audit.task, place + 1, len(numbers)))
    pieces.show(drawing.text(entry, label_colours(audit.task)))
    if st.session_state.get("auditing_edit") == (audit.made, entry.number):
        edit_labels(audit, entry, rulings, who=who, seen=version, write=_write)
    else:
        _buttons(audit, entry, version, who, numbers[place - 1], after)
    others = [e for e in audit.entries if e.example.id == entry.example.id and e.number != entry.number]
    notes = drawing.decided(done[entry.number - 1], [(e, done[e.number - 1]) for e in others], audit.task)
    if notes:
        pieces.show(notes)
    left, right = st.columns([1, 1], gap="large")
    with left:
        pieces.show(drawing.model(entry, audit.task, label_colours(audit.task)))
    with right:
        pieces.show(drawing.guidelines(entry, audit.task, audit.about["pairs"]))


def _asked(audit: Listed, done: Sequence[Ruling | None]) -> tuple[str, list[int]]:
    """Who decides, and the numbers of the lines that fit the filters; the one that was pinned is among them."""
    with st.container(horizontal=True, vertical_alignment="bottom" if not _person() else "center"):
        who = _who()
        which, label, kind = _filters(audit)
    pinned = st.session_state.get(f"auditing_pin_{audit.made}")
    numbers = [
        entry.number
        for entry, ruling in zip(audit.entries, done, strict=True)
        if entry.number == pinned
        or (_fits(which, ruling) and (not label or entry.label == label) and (not kind or entry.kind == kind))
    ]
    return who, numbers


def _person() -> str:
    return str(st.session_state.get("auditing_person") or "")


def _who() -> str:
    """Who decides; asked once, so that the keyboard is free for decisions afterwards."""

    def named() -> None:
        st.session_state["auditing_person"] = str(st.session_state["auditing_who"] or "").strip()

    who = _person()
    if who:
        st.button(
            who,
            key="auditing_other",
            icon=":material/person:",
            type="tertiary",
            help=say("다른 사람이 정합니다", "somebody else decides"),
            on_click=lambda: st.session_state.pop("auditing_person", None),
        )
        return who
    st.text_input(
        say("누가 정하나요?", "Who decides?"),
        key="auditing_who",
        max_chars=40,
        placeholder=say("이름을 쓰고 Enter", "your name, then Enter"),
        on_change=named,
        width=240,
    )
    st.button(say("시작", "Start"), key="auditing_start", type="primary", on_click=named)
    return ""


def _filters(audit: Listed) -> tuple[str, str, str]:
    """State, label and kind of the lines to go through."""
    names, kinds = label_names(audit.task), drawing.kinds()
    states = {
        LEFT: say("남은 것", "Left"),
        ALL: say("모두", "All"),
        DONE: say("정한 것", "Done"),
        UNSURE: say("모르겠음", "Unsure"),
    }
    keys = [pieces.spoken(f"auditing_{name}_{audit.made}") for name in ("state", "label", "kind")]
    which, label, kind = (st.session_state.get(key) for key in keys)
    shown = [states[which or LEFT], *([names[label]] if label else []), *([kinds[kind]] if kind else [])]
    with st.popover(" · ".join(shown), icon=":material/filter_list:"):
        which = st.segmented_control(
            say("상태", "State"), list(states), format_func=states.__getitem__, default=LEFT, required=True, key=keys[0],
            persist_state="session",
        )  # fmt: skip
        label = st.selectbox(
            say("라벨", "Label"),
            ["", *(key for key in audit.task.keys if any(e.label == key for e in audit.entries))],
            format_func=lambda key: names[key] if key else say("모든 라벨", "all labels"),
            key=keys[1],
            persist_state="session",
        )
        kind = st.selectbox(
            say("종류", "Kind"),
            ["", *dict.fromkeys(e.kind for e in audit.entries)],
            format_func=lambda name: kinds[name] if name else say("모든 종류", "all kinds"),
            key=keys[2],
            persist_state="session",
        )
    return str(which), str(label), str(kind)


def _fits(state: str, ruling: Ruling | None) -> bool:
    unsure = ruling is not None and ruling.word == "unsure"
    return {LEFT: ruling is None, ALL: True, DONE: ruling is not None and not unsure, UNSURE: unsure}[state]


def _current(audit: Listed, numbers: Sequence[int]) -> Entry | None:
    """The line in hand: where one was, else the next that fits."""
    if not numbers:
        return None
    at = st.session_state.get(f"auditing_at_{audit.made}", 1)
    number = next((n for n in numbers if n >= at), numbers[0])
    st.session_state[f"auditing_at_{audit.made}"] = number
    return audit.entries[number - 1]


def _buttons(audit: Listed, entry: Entry, version: int, who: str, before: int, after: int) -> None:
    # the keys are digits: letters depend on whether a Korean input method is on
    words: list[tuple[Word, str, str, str]] = [
        ("keep", "1", say("그대로", "Keep"), ":material/check:"),
        ("fix", "2", say("제안대로", "As suggested"), ":material/auto_fix_high:"),
        ("drop", "4", say("행 빼기", "Drop the row"), ":material/delete:"),
        ("unsure", "5", say("모르겠음", "Don't know"), ":material/help:"),
    ]
    with st.container(horizontal=True):
        for word, key, name, icon in words:
            st.button(
                name,
                key=f"auditing_{word}_{audit.made}_{entry.number}",
                icon=icon,
                shortcut=key,
                type="primary" if word == "fix" else "secondary",
                disabled=not who or (word == "fix" and not entry.suggested),
                on_click=_decide,
                args=(audit, entry, word, who, version, after),
            )
            if word == "fix":
                st.button(
                    say("라벨 고치기", "Edit the labels"),
                    key=f"auditing_edit_{audit.made}_{entry.number}",
                    icon=":material/edit:",
                    shortcut="3",
                    disabled=not who,
                    on_click=lambda: st.session_state.update(auditing_edit=(audit.made, entry.number)),
                )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            say("앞", "Back"), key="auditing_back", icon=":material/arrow_back:", shortcut="Left", type="tertiary",
            on_click=_go, args=(audit, before),
        )  # fmt: skip
        st.button(
            say("다음", "Next"), key="auditing_next", icon=":material/arrow_forward:", shortcut="Right", type="tertiary",
            on_click=_go, args=(audit, after),
        )  # fmt: skip
        last = st.session_state.get(f"auditing_last_{audit.made}") or []
        st.button(
            say("되돌리기", "Undo"), key="auditing_undo", icon=":material/undo:", shortcut="Backspace", type="tertiary",
            disabled=not last or not who, on_click=_undo, args=(audit, who),
        )  # fmt: skip
    if not who:
        pieces.show(marks.note(say("위에 이름을 쓰면 정할 수 있습니다.", "Write your name above to decide.")))


# -- what the keys do -------------------------------------------------------------------------------------------


def _go(audit: Listed, number: int) -> None:
    st.session_state[f"auditing_at_{audit.made}"] = number
    st.session_state.pop(f"auditing_pin_{audit.made}", None)


def _decide(audit: Listed, entry: Entry, word: Word, who: str, seen: int, after: int) -> None:
    with Desk(audit.path) as desk:
        _write(audit, entry, lambda: desk.decide(entry.number, word, who=who, seen=seen), seen, after)


def _write(audit: Listed, entry: Entry, decide: Callable[[], int], seen: int, after: int | None) -> bool:
    """Decide, go on to the next line, and remember what can be taken back; False where it was refused."""
    try:
        version = decide()
    except UsageError as error:
        _refused(audit, entry.number, error)
        return False
    if version != seen:
        st.session_state.setdefault(f"auditing_last_{audit.made}", []).append((entry.number, entry.example.id, version))
    _go(audit, entry.number if after is None else after)
    return True


def _undo(audit: Listed, who: str) -> None:
    number, row, version = st.session_state[f"auditing_last_{audit.made}"].pop()
    with Desk(audit.path) as desk, contextlib.suppress(KeyError):
        try:
            desk.undo(row, who=who, seen=version)
        except UsageError as error:
            _refused(audit, number, error)
            return
    _pin(audit, number)


def _refused(audit: Listed, number: int, error: UsageError) -> None:
    """Show the row that was not written, with what it has by now."""
    st.session_state["auditing_told"] = str(error), isinstance(error, Overtaken)
    _pin(audit, number)


def _pin(audit: Listed, number: int) -> None:
    """Show a line even if the filters would not."""
    st.session_state[f"auditing_at_{audit.made}"] = st.session_state[f"auditing_pin_{audit.made}"] = number


def _told() -> None:
    told = st.session_state.pop("auditing_told", None)
    if told is not None:
        st.warning(told[0], icon=":material/group:" if told[1] else ":material/warning:")


def _nothing(audit: Listed, done: Sequence[Ruling | None]) -> None:
    if not audit.entries:
        title = say("틀린 것으로 보이는 라벨이 없습니다", "No label looks wrong")
    elif all(done):
        title = say("모두 정했습니다", "All are decided")
    else:
        title = say("맞는 항목이 없습니다", "No line fits")
    told = say(
        "'결과'에서 내려받거나, 위에서 거르는 조건을 바꾸세요.", "Take the results away, or change the filters above."
    )
    pieces.show(marks.empty(title, told))
