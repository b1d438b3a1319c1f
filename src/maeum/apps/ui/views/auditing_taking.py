"""What was decided, as a table, as a list to take away, and applied to the rows."""

from __future__ import annotations

import shlex

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import audits, marks, pieces
from maeum.apps.ui.audits import Corrected, Listed
from maeum.apps.ui.views import auditing_drawing as drawing
from maeum.apps.ui.words import label_names
from maeum.auditing.desk import Desk, settled
from maeum.auditing.worklist import shown_value
from maeum.formats import ReadReport


def show(audit: Listed) -> None:
    """Draw the tables and the downloads."""
    with Desk(audit.path) as desk:
        rulings, versions = desk.now()
    done = settled(audit.entries, rulings)
    pieces.show(drawing.progress(done))
    name = audit.path.parent.name
    _table(audit)
    with st.container(horizontal=True):
        pieces.download(
            say("결정 내려받기 (엑셀)", "Download decisions (xlsx)"),
            lambda: audits.workbook(audit.path),
            f"{name}.worklist.xlsx",
            key="auditing_xlsx",
        )
    pieces.show(marks.sub(say("데이터에 적용", "Apply to the data")))
    if not any(ruling.word != "unsure" for ruling in rulings.values()):
        pieces.show(
            marks.note(say("정한 것이 없어 바꿀 것도 없습니다.", "Nothing is decided, so nothing would change."))
        )
        return
    _apply(audit, name, sum(versions.values()))
    command = f"maeum audit {shlex.quote(str(audit.about['source']))} --apply {shlex.quote('/'.join(audit.path.parts[-3:]))} -o fixed.jsonl"
    pieces.show(marks.note(say("명령줄에서는:", "On the command line:")))
    st.code(command, language="bash")


def _table(audit: Listed) -> None:
    """Everything that was decided, the latest first."""
    names, words = label_names(audit.task), drawing.words()
    with Desk(audit.path) as desk:
        rulings = sorted(desk.rulings().values(), key=lambda ruling: ruling.at, reverse=True)
    if not rulings:
        pieces.show(marks.empty(say("아직 정한 것이 없습니다", "Nothing is decided yet"), ""))
        return
    rows = [
        {
            say("번호", "no."): ruling.entry,
            say("글", "text"): audit.entries[ruling.entry - 1].example.text,
            say("라벨", "label"): names[ruling.label],
            say("결정", "decision"): words[ruling.word],
            say("새 값", "new value"): names.get(ruling.value) or shown_value(ruling.value),
            say("누가", "who"): ruling.who,
            say("언제", "when"): ruling.at,
        }
        for ruling in rulings
    ]
    st.dataframe(
        rows,
        hide_index=True,
        height=380 if len(rows) > 9 else "content",
        key="auditing_table",
        column_config={
            say("글", "text"): st.column_config.TextColumn(width="large"),
            say("언제", "when"): st.column_config.DatetimeColumn(format="MM-DD HH:mm"),
        },
    )


def _apply(audit: Listed, name: str, state: int) -> None:
    """The corrected rows and the changelog, from the rows kept with the audit or from the file that was audited.

    Args:
        state: changes with every decision; what was made before the last one is not shown any more.
    """
    made = f"auditing_corrected_{audit.made}"
    upload = None
    if not audit.rows.is_file():
        upload = pieces.uploader(
            "auditing_rows",
            what=say(f"점검한 데이터 ({audit.about['source']})", f"The audited data ({audit.about['source']})"),
        )
    if st.button(
        say("고친 데이터 만들기", "Make the corrected data"),
        type="primary",
        icon=":material/build:",
        key="auditing_apply",
        disabled=upload is None and not audit.rows.is_file(),
    ):
        data = audits.kept_rows(audit)
        if data is None:
            assert upload is not None
            data, _ = audits.labelled_rows(upload, audit.task, {}, ReadReport())
        st.session_state[made] = state, audits.correct(audit.path, data)
    kept: tuple[int, Corrected] | None = st.session_state.get(made)
    if kept is None or kept[0] != state:
        return
    found = kept[1]
    about = found.applied.to_dict()
    counts = about["decisions"]
    pieces.show(
        marks.cards(
            [
                marks.Card(
                    say("행", "rows"),
                    f"{about['rows']:,}",
                    say(f"바뀐 행 {about['changed_rows']:,}", f"{about['changed_rows']:,} changed"),
                ),
                marks.Card(say("고친 결정", "changed"), f"{counts['fix']:,}"),
                marks.Card(say("뺀 행", "dropped"), f"{counts['drop']:,}"),
                marks.Card(say("그대로", "kept"), f"{counts['keep']:,}"),
                marks.Card(say("정하지 않음", "undecided"), f"{found.undecided:,}"),
            ],
            tight=True,
        )
    )
    with st.container(horizontal=True):
        pieces.download(
            say("고친 데이터 (JSONL)", "Corrected data (JSONL)"),
            found.rows,
            f"{name}.fixed.jsonl",
            key="auditing_fixed",
        )
        pieces.download(
            say("변경 기록", "Changelog"),
            found.changes,
            f"{name}.fixed.changes.jsonl",
            key="auditing_changes",
            icon=":material/history:",
        )
