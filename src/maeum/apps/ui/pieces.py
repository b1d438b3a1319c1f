"""What several pages are put together from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import language, say
from maeum.analyzer import Analysis, Analyzer
from maeum.apps.ui import charts, marks
from maeum.apps.ui.look import DARK, LIGHT, NEUTRAL, Colours, label_colours
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.state import Model
from maeum.apps.ui.uploads import SUFFIXES, Look, Upload, look, received
from maeum.apps.ui.words import label_names, task_name
from maeum.formats import ReadReport

CHIPS = 12
"""Labels in full; more are only counted."""
TOP = 10
"""Bars that are drawn before a person asks for all."""


def colours() -> Colours:
    """Those of the scheme in force."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def spoken(key: str) -> str:
    """The key of a widget whose options are words: in the other language it is another widget, or it would keep the old."""
    return f"{key}_{language()}"


def show(html: str) -> None:
    """HTML of ``marks``."""
    st.html(html)


def draw(chart: Any, *, key: str, told: str) -> None:
    """A chart as wide as its place; ``told`` says in words what it shows, for those who cannot see it."""
    st.altair_chart(chart, width="stretch", key=key, alt=told)


def heads(model: Model, key: str) -> list[tuple[str, Any]]:
    """The heads of a model as tabs; only that of the open tab comes back, with its container."""
    names = list(model.heads)
    if len(names) == 1:
        return [(names[0], st.container())]
    tabs = st.tabs([task_name(model.heads[name].task) for name in names], key=spoken(key), on_change="rerun")
    return [(name, tab) for name, tab in zip(names, tabs, strict=True) if tab.open]


def pick_head(model: Model, key: str, *, label: str | None = None) -> str:
    """A head by a select box, which is not drawn where there is no choice."""
    names = list(model.heads)
    if len(names) == 1:
        return names[0]
    picked = st.selectbox(
        label or say("과제", "Task"), names, format_func=lambda name: task_name(model.heads[name].task), key=spoken(key)
    )
    return str(picked)


def limits(analyzer: Analyzer) -> Mapping[str, float | None]:
    """Label → threshold; None where there is none."""
    rule = analyzer.thresholds
    return dict(zip(rule.keys, rule.values if rule.values else [None] * len(rule.keys), strict=True))


def answer(analyzer: Analyzer, found: Analysis, key: str) -> None:
    """Labels as chips and probabilities as bars."""
    palette, names = label_colours(analyzer.task), label_names(analyzer.task)
    ordered = sorted(found.scores.items(), key=lambda pair: -pair[1])
    given = [(label, score) for label, score in ordered if label in found.labels]
    if given:
        show(
            marks.chips(
                marks.Chip(names[label], palette.get(label, NEUTRAL), f"{score:.0%}") for label, score in given[:CHIPS]
            )
        )
        if len(given) > CHIPS:
            show(marks.note(say(f"그 밖에 {len(given) - CHIPS}개", f"and {len(given) - CHIPS} more")))
    else:
        show(marks.note(say("기준값을 넘은 라벨이 없습니다.", "No label passes its threshold.")))
    bounds = limits(analyzer)
    every = len(ordered) > TOP and st.session_state.get(f"{key}_all", False)
    shown = ordered if every else ordered[: max(TOP, len(given))]
    bars = [
        charts.Bar(names[label], score, bounds[label], label in found.labels, palette.get(label, NEUTRAL))
        for label, score in shown
    ]
    scheme = colours()
    signs = [("", scheme.dim, say("진한 막대: 모델이 준 라벨", "full colour: given by the model"))]
    if bounds[ordered[0][0]] is not None:
        signs.append(("tick", scheme.ink, say("라벨마다의 기준값", "threshold of the label")))
    show(marks.legend(signs))
    told = ", ".join(f"{names[label]} {score:.0%}" for label, score in ordered[:TOP])
    draw(charts.scores(bars, scheme), key=f"{key}_chart", told=told)
    if len(ordered) > TOP:
        st.toggle(say(f"라벨 {len(ordered)}개 모두 보기", f"Show all {len(ordered)} labels"), key=f"{key}_all")


def download(told: str, data: bytes | str | Callable[[], bytes | str], name: str, *, key: str, **more: Any) -> None:
    """A button that hands out a file; what it is follows from its name, and the page is not run again for it."""
    options = {"mime": _TYPES[PurePath(name).suffix], "icon": ":material/download:", "on_click": "ignore"}
    st.download_button(told, data=data, file_name=name, key=key, **{**options, **more})


_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def uploader(key: str, *, what: str, becomes: str | None = None) -> Upload | None:
    """A file, once one was sent; what may be sent is said beside it. It stays for the session, until it is taken away.

    Args:
        becomes: what the page writes of it, where it writes anything.
    """
    settings = Settings.current()
    kept = f"{key}_kept"

    def changed() -> None:
        # Streamlit forgets the file when another page is opened, without calling this: only a person's hand does
        sent = st.session_state[key]
        st.session_state[kept] = None if sent is None else (sent.name, sent.getvalue(), sent.file_id)

    st.file_uploader(what, type=list(SUFFIXES), key=key, max_upload_size=settings.max_mb, on_change=changed)
    told = say(
        f"CSV, TSV, xlsx, JSONL, Parquet, txt · {settings.max_mb} MB까지 · 앞의 {settings.max_rows:,}행까지 · UTF-8과 cp949 모두 됩니다.",
        f"CSV, TSV, xlsx, JSONL, Parquet, txt · up to {settings.max_mb} MB · the first {settings.max_rows:,} rows · UTF-8 or cp949.",
    )
    where = becomes or say("파일은 메모리에서만 읽고 저장하지 않습니다.", "Files are read in memory and never stored.")
    show(marks.note(f"{told} {where}"))
    sent = st.session_state.get(kept)
    if sent is None:
        return None
    if st.session_state.get(key) is None:
        with st.container(horizontal=True, vertical_alignment="center"):
            show(marks.note(say(f"앞서 올린 파일: {sent[0]}", f"Uploaded before: {sent[0]}")))
            st.button(
                say("치우기", "Remove"),
                key=f"{key}_forget",
                icon=":material/close:",
                type="tertiary",
                on_click=lambda: st.session_state.pop(kept, None),
            )
    return received(*sent)


def columns_of(upload: Upload, key: str, *, labelled: bool = False) -> tuple[Look, dict[str, str | None]]:
    """What is in an upload, a preview, and the columns as a person chooses them."""
    seen = look(upload)
    encoding = f" · {seen.encoding}" if seen.encoding else ""
    st.html(marks.sub(f"{upload.name} · {seen.format}{encoding}"))
    if seen.rows:
        rows = [{str(name): _cell(value) for name, value in row.items()} for row in seen.rows]
        st.dataframe(rows, hide_index=True, key=f"{key}_preview", height="content")
    if not seen.columns:
        return seen, {}
    none = say("(없음)", "(none)")
    names = list(seen.columns)
    places = st.columns(2)
    with places[0]:
        guess = names.index(seen.text) if seen.text in names else None
        text = st.selectbox(
            say("글이 든 열", "Column of the text"),
            names,
            index=guess,
            key=f"{key}_text",
            placeholder=say("고르세요", "choose one"),
            persist_state="session",
        )
    chosen: dict[str, str | None] = {"text_column": text}
    rest = [none, *(name for name in names if name != text)]
    with places[1]:
        if labelled:
            auto = say("(알아서 찾기)", "(find it)")
            label = st.selectbox(
                say("라벨이 든 열", "Column of the labels"),
                [auto, *rest[1:]],
                key=f"{key}_label",
                persist_state="session",
            )
            chosen["label_column"] = None if label == auto else label
        else:
            guess = rest.index(seen.target) if seen.target in rest else 0
            target = st.selectbox(
                say("대상이 든 열", "Column of the target"),
                rest,
                index=guess,
                key=f"{key}_target",
                persist_state="session",
            )
            chosen["target_column"] = None if target == none else target
    return seen, chosen


def _cell(value: object) -> str:
    shown = value if isinstance(value, str) else "" if value is None else str(value)
    return shown if len(shown) <= 200 else shown[:200] + "…"


def refused(report: ReadReport, cut: bool) -> None:
    """Which rows were left out, and why."""
    if cut:
        limit = Settings.current().max_rows
        st.warning(
            say(f"행이 많아 앞의 {limit:,}행만 읽었습니다.", f"Only the first {limit:,} rows were read."),
            icon=":material/content_cut:",
        )
    if not report.rejected:
        return
    title = say(f"읽지 못한 행 {report.rejected:,}개", f"{report.rejected:,} rows could not be read")
    with st.expander(title, icon=":material/warning:"):
        rows = [
            {say("줄", "line"): error.line, say("이유", "reason"): say(error.ko, error.en)} for error in report.refused
        ]
        st.dataframe(rows, hide_index=True)
        if report.rejected > len(rows):
            show(marks.note(say(f"처음 {len(rows)}개만 보입니다.", f"Only the first {len(rows)} are shown.")))


def aspect_models(models: Sequence[Model]) -> list[tuple[Model, str]]:
    """Model and head of all that know aspects."""
    return [(model, name) for model in models for name, head in model.heads.items() if head.task.kind == "aspect"]
