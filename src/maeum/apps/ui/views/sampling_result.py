"""The rows that were picked: why, how surely, and where they go from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.annotating import export_rows
from maeum.apps.ui import charts, marks, pieces, sampled, state
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.views import labelling
from maeum.apps.ui.views.labelling_files import file_name
from maeum.apps.ui.words import label_names
from maeum.errors import UsageError
from maeum.formats import ReadReport
from maeum.sampling import Sample
from maeum.sampling.writing import reason_words
from maeum.task import Task

COLOURS = {
    "threshold": "#0072b2",
    "uncertainty": "#009e73",
    "disagreement": "#b5179e",
    "rare": "#d55e00",
    "outlier": "#8c6d1f",
    "random": "#8a94a3",
}


@dataclass(frozen=True)
class Drawn:
    """A sample and what it was drawn from."""

    sample: Sample
    task: Task
    stem: str
    report: ReadReport
    cut: bool
    model: str
    head: str


def show(drawn: Drawn) -> None:
    """Draw numbers, charts, the table and the ways on."""
    told = drawn.sample.report
    pieces.refused(drawn.report, drawn.cut)
    pieces.show(
        marks.cards(
            [
                marks.Card(
                    say("고른 글", "picked"),
                    f"{told['picked']:,}",
                    say(f"무작위 {told['random']:,}", f"{told['random']:,} by chance"),
                ),
                marks.Card(
                    say("후보", "pool"),
                    f"{told['pool']:,}",
                    say(f"고를 수 있는 글 {told['choosable']:,}", f"{told['choosable']:,} to choose from"),
                ),
                marks.Card(
                    say("이미 배운 글", "learned already"), f"{told['in_train']:,}", say("뺐습니다", "left out")
                ),
                marks.Card(say("되풀이되는 글", "repeated"), f"{told['repeated']:,}", say("뺐습니다", "left out")),
            ]
        )
    )
    _charts(drawn)
    pieces.show(marks.sub(say("고른 행 (라벨을 달 순서)", "Rows picked, in the order to label them")))
    _table(drawn)
    _ways(drawn)
    _remarks(drawn)


def _charts(drawn: Drawn) -> None:
    rows, told = drawn.sample.rows, drawn.sample.report
    won = told["won"]
    names = {name: reason_words(name) for name in won}
    total = max(len(rows), 1)
    bars = [
        {
            "name": names[name],
            "count": n,
            "share": n / total,
            "shown": f"{n:,} ({n / total:.0%})",
            "colour": COLOURS[name],
        }
        for name, n in won.items()
    ]
    left, right = st.columns(2, gap="large")
    with left:
        pieces.show(marks.sub(say("가장 큰 까닭", "What counted most")))
        chart = charts.counts(bars, pieces.colours(), title=say("글 수", "texts"))
        pieces.draw(chart, key="sampling_won", told=", ".join(f"{names[name]} {n}" for name, n in won.items()))
    with right:
        pieces.show(marks.sub(say("점수 (기준들의 순위를 섞은 값)", "Scores (ranks by all criteria, mixed)")))
        points = [{"name": names[_won(row.meta["sample"])], "value": row.meta["sample"]["score"]} for row in rows]
        palette = {names[name]: COLOURS[name] for name in won}
        chart = charts.histogram(points, list(palette), palette, title=say("점수", "score"))
        values = [point["value"] for point in points]
        pieces.draw(chart, key="sampling_scores", told=f"{min(values):.2f} – {max(values):.2f}")


def _won(why: dict[str, str]) -> str:
    return "random" if why["picked"] == "random" else why["won"]


def _table(drawn: Drawn) -> None:
    names = label_names(drawn.task)
    text, why, score = say("글", "text"), say("까닭", "why"), say("점수", "score")
    rows = [
        {
            say("순서", "no."): number,
            text: row.text,
            why: sampled.reasons(row.meta["sample"], names),
            score: row.meta["sample"]["score"],
        }
        for number, row in enumerate(drawn.sample.rows, start=1)
    ]
    st.dataframe(
        rows,
        hide_index=True,
        height=460 if len(rows) > 11 else "content",
        key="sampling_table",
        column_config={
            say("순서", "no."): st.column_config.NumberColumn(width=60),
            text: st.column_config.TextColumn(width="medium"),
            why: st.column_config.ListColumn(width="large"),
            score: st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.2f", width="small"),
        },
    )


def _ways(drawn: Drawn) -> None:
    """Downloads, and a labelling file in the folder of the app."""
    rows = drawn.sample.rows
    with st.container(horizontal=True, vertical_alignment="bottom"):
        pieces.download(
            say("JSONL 내려받기", "Download JSONL"),
            lambda: sampled.jsonl(rows),
            f"{drawn.stem}.sample.jsonl",
            key="sampling_jsonl",
        )
        pieces.download(
            say("엑셀 내려받기", "Download xlsx"),
            lambda: sampled.xlsx(rows),
            f"{drawn.stem}.sample.xlsx",
            key="sampling_xlsx",
        )
    folder = Settings.current().folder
    pieces.show(marks.sub(say("라벨 달기로 넘기기", "On to labelling")))
    if folder is None:
        pieces.show(
            marks.note(
                say(
                    "'maeum ui --folder 작업'으로 열면 여기서 바로 라벨 파일을 만들 수 있습니다. 지금은 JSONL을 내려받아 "
                    "'maeum annotate export'에 주세요.",
                    "Start the app with 'maeum ui --folder DIR' to make a labelling file here; or give the JSONL to "
                    "'maeum annotate export'.",
                )
            )
        )
        return
    _hand_over(drawn, Path(folder))


def _hand_over(drawn: Drawn, folder: Path) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input(
            say("라벨 파일 이름", "Name of the labelling file"),
            value=drawn.stem,
            key=f"sampling_as_{drawn.stem}",
            width=280,
        )
        suggest = st.toggle(
            say("모델의 답을 제안으로", "With the model's answers as suggestions"),
            key="sampling_suggest",
            persist_state="session",
        )
        pressed = st.button(
            say("라벨 달기로 넘기기", "Hand over"), type="primary", icon=":material/keyboard:", key="sampling_over"
        )
    if not pressed:
        return
    name = file_name(typed)
    if (folder / name).exists():
        raise UsageError(
            f"'{name}'이(가) 이미 있습니다. 다른 이름을 쓰세요.", f"there is '{name}' already; choose another name"
        )
    model = state.open_model(drawn.model)
    with model.lock, st.spinner(say("만드는 중…", "Making it…")):
        analyzer = model.heads[drawn.head] if suggest else None
        export_rows(
            drawn.sample.rows,
            folder / name,
            drawn.task,
            to="sqlite",
            analyzer=analyzer,
            model=model.title,
            overwrite=False,
        )
    st.session_state[labelling.FILE] = name
    page = st.session_state.get("pages", {}).get("labelling")
    if page is None:
        st.success(say(f"'{name}'을(를) 만들었습니다.", f"'{name}' is made."), icon=":material/check_circle:")
    else:
        st.switch_page(page)


def _remarks(drawn: Drawn) -> None:
    """What was not used and how distances were measured."""
    told = drawn.sample.report
    lines = [
        say(
            f"쓰지 않은 기준: {reason_words(name)} – {why}",
            f"Not used: {reason_words(name)} – {why}",
        )
        for name, why in told["not_used"].items()
    ]
    lines.append(say(f"문장 벡터: {told['vectors']}", f"Sentence vectors: {told['vectors']}"))
    if told["groups"]:
        groups = ", ".join(f"{name} {count:,}" for name, count in list(told["groups"].items())[:12])
        lines.append(say(f"층마다 고른 수: {groups}", f"By group: {groups}"))
    for line in lines:
        pieces.show(marks.note(line))
