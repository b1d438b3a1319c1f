"""What has been labelled so far: who did how much, how far they agree, and the rows to take away."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.annotating import RULES, Imported, import_files, labelled_text
from maeum.annotating.consensus import Rule
from maeum.annotating.desk import Desk
from maeum.apps.ui import marks, pieces
from maeum.apps.ui.words import label_names
from maeum.task import Task


def show(path: Path) -> None:
    """Draw it, shut until somebody asks."""
    with st.expander(say("라벨 모으기와 일치도", "Collect labels, agreement"), icon=":material/download:"):
        with Desk(path) as desk:
            task = desk.task
        rules = [rule for rule in RULES if not (rule == "any" and task.kind == "multiclass")]
        rule = st.selectbox(
            say("여럿의 답을 하나로", "One answer of several"),
            rules,
            format_func=lambda name: f"{name}: {say(*RULES[name])}",
            key=pieces.spoken("labelling_rule"),
        )
        if not st.button(say("지금까지의 라벨 모으기", "Collect what there is"), key="labelling_collect"):
            return
        with Desk(path) as desk:
            rows = desk.examples()
        done = import_files([path], rows, task, rule=cast("Rule", rule))
        _counts(done)
        _agreement(done, task)
        pieces.download(
            say("라벨된 글 내려받기 (JSONL)", "Labelled rows (JSONL)"),
            labelled_text(done, task),
            f"{path.stem}.jsonl",
            key="labelling_download",
        )


def _counts(done: Imported) -> None:
    told = done.counts()
    cards = [
        marks.Card(say("라벨된 글", "Labelled"), f"{told['labelled']:,}", f"/ {told['rows']:,}"),
        marks.Card(say("미정", "Open"), f"{told['open']:,}"),
        marks.Card(say("갈린 라벨", "Disagreements"), f"{told['conflicts']:,}"),
    ]
    cards += [marks.Card(name, f"{count:,}") for name, count in told["annotators"].items()]
    pieces.show(marks.cards(cards))
    for notice in told["notices"][:5]:
        pieces.show(marks.note(notice))


def _agreement(done: Imported, task: Task) -> None:
    names = label_names(task)
    rows = [
        {
            say("라벨", "label"): names.get(row["label"], row["label"] or "-"),
            "": row["what"],
            say("행", "rows"): row["rows"],
            say("일치", "observed"): row["observed"],
            "Cohen κ": row["cohen"],
            "Fleiss κ": row["fleiss"],
            "Krippendorff α": row["alpha"],
        }
        for row in done.agreement
        if row["rows"]
    ]
    if rows:
        st.dataframe(rows, hide_index=True, key="labelling_agreement")
    else:
        pieces.show(
            marks.note(
                say(
                    "두 사람 이상이 답한 글이 아직 없어 일치도를 잴 수 없습니다.",
                    "No text has two answers yet, so agreement cannot be told.",
                )
            )
        )
