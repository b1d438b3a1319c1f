"""A whole file: upload, progress, charts, filters, tables to take away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import charts, marks, pieces, state
from maeum.apps.ui.look import NEUTRAL, grade_colours, label_colours
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.uploads import Predicted, Rows, Upload, csv_bytes, predict, read_rows, xlsx_bytes
from maeum.apps.ui.words import grade_names, label_names, task_name

DRAWN = 20
"""Labels in a chart."""
LISTED = 2_000
"""Rows in the table on the page; downloads have all."""


def show() -> None:
    """Draw the page."""
    pieces.show(
        marks.head(
            say("파일", "Files"),
            say(
                "글이 든 파일을 올리면 행마다 라벨을 달고, 차트와 표로 보여 주고, 내려받게 해 줍니다.",
                "Upload a file of texts: labels for every row, charts, a table with filters, and downloads.",
            ),
        )
    )
    model = state.chosen()
    head = pieces.pick_head(model, "files_head")
    upload = pieces.uploader("files_upload", what=say("글이 든 파일", "A file of texts"))
    if upload is None:
        st.session_state.pop("files_result", None)
        pieces.show(
            marks.empty(
                say("아직 파일이 없습니다", "No file yet"),
                say(
                    "'text', '리뷰', '내용' 같은 열을 알아서 찾고, 아니면 열을 고르게 해 줍니다.",
                    "A column such as 'text', '리뷰' or '내용' is found by itself; otherwise you choose one.",
                ),
            )
        )
        return
    seen, columns = pieces.columns_of(upload, f"files_{upload.id}")
    ready = not seen.columns or columns.get("text_column") is not None
    key = (upload.id, model.stamp, head, tuple(sorted(columns.items(), key=str)))
    if st.button(
        say("이 파일 분석", "Analyze this file"),
        type="primary",
        disabled=not ready,
        icon=":material/play_arrow:",
        key="files_go",
    ):
        rows = read_rows(upload, seen, limit=Settings.current().max_rows, columns=columns)
        st.session_state["files_result"] = (key, rows, _predicted(model, head, rows))
    made = st.session_state.get("files_result")
    if made is None or made[0] != key:
        return
    _result(upload, made[1], made[2])


def _predicted(model: state.Model, head: str, rows: Rows) -> Predicted:
    total = len(rows.examples)
    bar = st.progress(0.0, text=say(f"{total:,}행 분석 중…", f"Analyzing {total:,} rows…"))
    found = predict(
        model,
        head,
        rows.examples,
        lambda done: bar.progress(
            done / max(total, 1), text=say(f"{done:,} / {total:,}행", f"{done:,} / {total:,} rows")
        ),
    )
    bar.empty()
    return found


def _result(upload: Upload, rows: Rows, found: Predicted) -> None:
    task, names = found.task, label_names(found.task)
    pieces.refused(rows.report, rows.cut)
    bare = int((~found.on.any(1)).sum())
    total = len(found.examples)
    pieces.show(
        marks.cards(
            [
                marks.Card(say("글", "texts"), f"{total:,}", task_name(task)),
                marks.Card(
                    say("찾은 라벨", "labels found"),
                    f"{int(found.on.sum()):,}",
                    say(
                        f"글마다 {found.on.sum() / max(total, 1):.2f}개", f"{found.on.sum() / max(total, 1):.2f} a text"
                    ),
                ),
                marks.Card(say("라벨 없는 글", "texts with none"), f"{bare:,}", f"{bare / max(total, 1):.0%}"),
                marks.Card(say("읽지 못한 행", "bad rows"), f"{rows.report.rejected:,}", ""),
            ]
        )
    )
    _charts(found)
    pieces.show(marks.sub(say("행", "Rows")))
    left, right = st.columns([1, 1])
    with left:
        labels = st.multiselect(
            say("라벨로 거르기", "Filter by label"),
            list(task.keys),
            format_func=names.__getitem__,
            key=pieces.spoken("files_labels"),
            placeholder=say("모든 라벨", "all labels"),
        )
    with right:
        words = st.text_input(
            say("글에서 찾기", "Search the texts"),
            key="files_search",
            placeholder=say("찾을 말", "words"),
            max_chars=100,
        )
    picked = _picked(found, labels, words)
    _table(found, picked)
    _downloads(upload, found, picked)


def _picked(found: Predicted, labels: Sequence[str], words: str) -> list[int]:
    """Rows that have all the labels and hold the words."""
    mask = np.ones(len(found.examples), bool)
    for label in labels:
        mask &= found.on[:, found.task.index(label)] == 1
    rows = np.flatnonzero(mask).tolist()
    needle = words.strip().casefold()
    return [n for n in rows if needle in found.examples[n].text.casefold()] if needle else rows


def _charts(found: Predicted) -> None:
    task, names, palette = found.task, label_names(found.task), label_colours(found.task)
    totals = found.on.sum(0)
    order = [int(n) for n in np.argsort(-totals, kind="stable") if totals[n]][:DRAWN]
    if not order:
        return
    title = say("글 수", "texts")
    pieces.show(marks.sub(say("라벨마다 글 수", "Texts by label")))
    if found.aspects is not None:
        grades, colours = grade_names(task), grade_colours(task.sentiment_keys)
        tally = {(names[task.keys[n]], key): 0 for n in order for key in task.sentiment_keys}
        for row in found.aspects:
            for item in row:
                tally[names[item["aspect"]], item["sentiment"]] = (
                    tally.get((names[item["aspect"]], item["sentiment"]), 0) + 1
                )
        rows = [
            {"name": name, "grade": grades[key], "count": count, "place": task.sentiment_keys.index(key)}
            for (name, key), count in tally.items()
            if count
        ]
        order_names = [grades[key] for key in task.sentiment_keys]
        chart: Any = charts.grades(rows, order_names, {grades[k]: colours[k] for k in task.sentiment_keys}, title=title)
    else:
        total = max(len(found.examples), 1)
        rows = [
            {
                "name": names[task.keys[n]],
                "count": int(totals[n]),
                "share": float(totals[n] / total),
                "shown": f"{int(totals[n]):,} ({totals[n] / total:.0%})",
                "colour": palette.get(task.keys[n], NEUTRAL),
            }
            for n in order
        ]
        chart = charts.counts(rows, pieces.colours(), title=title)
    told = ", ".join(f"{names[task.keys[n]]} {int(totals[n])}" for n in order)
    pieces.draw(chart, key="files_chart", told=told)


def _table(found: Predicted, picked: Sequence[int]) -> None:
    task, names = found.task, label_names(found.task)
    grades = grade_names(task)
    rows = []
    for n in picked[:LISTED]:
        on = np.flatnonzero(found.on[n])
        if found.aspects is not None:
            labels = [f"{names[item['aspect']]} {grades[item['sentiment']]}" for item in found.aspects[n]]
        else:
            labels = [names[task.keys[k]] for k in on]
        rows.append(
            {
                say("글", "text"): found.examples[n].text,
                say("라벨", "labels"): labels,
                say("가장 높은 확률 (%)", "top probability (%)"): float(found.proba[n].max() * 100),
            }
        )
    if not rows:
        pieces.show(
            marks.empty(
                say("맞는 행이 없습니다", "No row fits"), say("거르는 조건을 바꿔 보세요.", "Change the filters.")
            )
        )
        return
    st.dataframe(
        rows,
        hide_index=True,
        height=420 if len(rows) > 10 else "content",
        key="files_table",
        column_config={
            say("글", "text"): st.column_config.TextColumn(width="medium"),
            say("라벨", "labels"): st.column_config.ListColumn(width="large"),
            say("가장 높은 확률 (%)", "top probability (%)"): st.column_config.ProgressColumn(
                min_value=0, max_value=100, format="%.0f%%", width="small"
            ),
        },
    )
    shown = say(f"{len(picked):,} / {len(found.examples):,}행", f"{len(picked):,} / {len(found.examples):,} rows")
    if len(picked) > LISTED:
        shown += say(f" (표에는 {LISTED:,}행까지, 내려받으면 모두)", f" (the table has {LISTED:,}, downloads have all)")
    pieces.show(marks.note(shown))


def _downloads(upload: Upload, found: Predicted, picked: Sequence[int]) -> None:
    if not picked:
        return
    stem = upload.name.rsplit(".", 1)[0]
    with st.container(horizontal=True):
        pieces.download(
            say(f"CSV 내려받기 ({len(picked):,}행)", f"Download CSV ({len(picked):,} rows)"),
            lambda: csv_bytes(found.rows(picked), found.task),
            f"{stem}.maeum.csv",
            key="files_csv",
        )
        pieces.download(
            say("엑셀 내려받기", "Download xlsx"),
            lambda: xlsx_bytes(found.rows(picked), found.task),
            f"{stem}.maeum.xlsx",
            key="files_xlsx",
        )
