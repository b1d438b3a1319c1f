"""Two models side by side: on one sentence, and on a labelled file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import charts, labelled, marks, pieces, state
from maeum.apps.ui.labelled import Compared
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.words import label_names, short_names, task_name
from maeum.measuring import Gap

Side = tuple[state.Model, str]
DRAWN = 20
LISTED = 1_000


def show() -> None:
    """Draw the page."""
    pieces.show(
        marks.head(
            say("비교", "Compare"),
            say(
                "두 모델에게 같은 문장과 같은 파일을 주고, 어디서 답이 갈리는지 봅니다.",
                "Give two models the same sentence and the same file, and see where they part.",
            ),
        )
    )
    names = Settings.current().models
    if len(names) < 2:
        pieces.show(
            marks.empty(
                say("견줄 모델이 하나뿐입니다", "There is only one model"),
                say("모델 폴더를 둘 이상 주고 다시 여세요.", "Start again with two model folders or more."),
                "maeum ui runs/first runs/second",
            )
        )
        return
    left, right = st.columns(2)
    with left:
        first = _side("A", names, 0)
    with right:
        second = _side("B", names, 1)
    labels = (_title("A", first), _title("B", second))
    sentence, file = st.tabs(
        [say("한 문장", "One sentence"), say("라벨 달린 파일", "A labelled file")],
        key=pieces.spoken("compare_tab"),
        on_change="rerun",
    )
    if sentence.open:
        with sentence:
            _sentence(first, second, labels)
    if file.open:
        with file:
            _file(first, second, labels)


def _side(letter: str, names: tuple[str, ...], start: int) -> Side:
    name = st.selectbox(
        say(f"모델 {letter}", f"Model {letter}"),
        names,
        index=start,
        format_func=short_names(names).__getitem__,
        key=f"compare_{letter}",
        persist_state="session",
    )
    model = state.open_model(str(name))
    return model, pieces.pick_head(
        model, f"compare_head_{letter}_{name}", label=say(f"{letter}의 과제", f"Task of {letter}")
    )


def _title(letter: str, side: Side) -> str:
    return f"{letter} · {short_names(Settings.current().models)[side[0].name]}"


def _sentence(first: Side, second: Side, titles: tuple[str, str]) -> None:
    text = st.text_input(
        say("문장", "Sentence"),
        key="compare_text",
        max_chars=Settings.current().max_chars,
        placeholder=say("쓰고 Enter를 누르세요", "type and press Enter"),
        persist_state="session",
    ).strip()
    if not text:
        pieces.show(
            marks.empty(say("아직 문장이 없습니다", "No sentence yet"), say("위에 하나 쓰세요.", "Type one above."))
        )
        return
    sides = (first, second)
    found = [state.analyses(model, head, (text,))[0] for model, head in sides]
    tasks = [model.heads[head].task for model, head in sides]
    if tasks[0].keys == tasks[1].keys:
        names = label_names(tasks[0])
        differ = [key for key in tasks[0].keys if (key in found[0].labels) != (key in found[1].labels)]
        pieces.show(
            marks.note(
                say(
                    f"답이 갈린 라벨: {', '.join(names[key] for key in differ)}",
                    f"They part on: {', '.join(names[key] for key in differ)}",
                )
                if differ
                else say("두 모델이 같은 라벨을 주었습니다.", "Both give the same labels.")
            )
        )
        order = sorted(tasks[0].keys, key=lambda key: -max(item.scores[key] for item in found))[:DRAWN]
        rows = [{"name": names[key], "first": found[0].scores[key], "second": found[1].scores[key]} for key in order]
        pieces.draw(
            charts.pairs(rows, titles, pieces.colours(), title=say("확률", "probability")),
            key="compare_pairs",
            told=", ".join(f"{row['name']} {row['first']:.2f} / {row['second']:.2f}" for row in rows),
        )
    for place, title, (model, head), item in zip(st.columns(2, gap="large"), titles, sides, found, strict=True):
        with place:
            pieces.show(marks.sub(title))
            pieces.answer(model.heads[head], item, f"compare_{title[0]}")


def _file(first: Side, second: Side, titles: tuple[str, str]) -> None:
    task = first[0].heads[first[1]].task
    samples = labelled.samples_for(task)
    limit = Settings.current().max_rows
    upload = pieces.uploader("compare_upload", what=say("라벨이 달린 파일", "A file with labels"))
    if upload is not None:
        seen, columns = pieces.columns_of(upload, f"compare_{upload.id}", labelled=True)
        asked = (upload.id, str(columns))
        ready = not seen.columns or columns.get("text_column") is not None
        pressed = st.button(say("두 모델 재기", "Measure both"), type="primary", key="compare_go", disabled=not ready)
        if not pressed and st.session_state.get("compare_measured") != asked:
            return
        st.session_state["compare_measured"] = asked
        data, rows = labelled.rows_of_upload(upload, task, limit, columns)
        pieces.refused(rows.report, rows.cut)
    elif samples:
        sample = st.selectbox(
            say("또는 예제 데이터", "Or sample data"),
            samples,
            index=None,
            key="compare_sample",
            placeholder=say("고르세요", "choose one"),
        )
        if sample is None:
            _nothing()
            return
        data = labelled.rows_of_sample(str(sample), limit)
    else:
        _nothing()
        return

    def measure() -> Compared:
        scored = [labelled.score(model, head, data) for model, head in (first, second)]
        return labelled.compare(scored[0], scored[1])

    key = ("compare", data.fingerprint, first[0].stamp, first[1], second[0].stamp, second[1])
    with st.spinner(say(f"{len(data):,}행을 두 모델로 재는 중…", f"Measuring both on {len(data):,} rows…")):
        found = state.remember(key, measure)
    _measured(found, titles)


def _nothing() -> None:
    pieces.show(
        marks.empty(
            say("아직 데이터가 없습니다", "No data yet"),
            say(
                "정답 라벨이 든 파일을 올리면 라벨마다 F1을 견줍니다.",
                "Upload a file with gold labels to compare F1 by label.",
            ),
        )
    )


def _measured(found: Compared, titles: tuple[str, str]) -> None:
    task, names = found.data.task, label_names(found.data.task)
    pieces.show(
        marks.sub(
            f"{found.data.source} · {task_name(task)} · {say(f'{len(found.data):,}행', f'{len(found.data):,} rows')}"
        )
    )
    for title, mapped in zip(titles, found.mapped, strict=True):
        if mapped:
            told = say(
                "라벨이 달라, 데이터의 라벨로 옮겨 쟀습니다.",
                "its labels differ and were carried over to those of the data.",
            )
            pieces.show(marks.note(f"{title}: {told}"))
    if task.kind == "aspect":
        pieces.show(
            marks.note(
                say("속성을 찾았는지만 견줍니다(등급은 빼고).", "Only the aspects are compared, not their grades.")
            )
        )
    pieces.show(marks.cards(_cards(found.gaps, found)))
    order = np.argsort(-found.data.y.sum(0), kind="stable")
    shown = [int(n) for n in order if found.data.y[:, n].any()][:DRAWN]
    rows = [
        {"name": names[task.keys[n]], "first": float(found.f1[0][n]), "second": float(found.f1[1][n])} for n in shown
    ]
    pieces.show(marks.sub(say("라벨마다 F1 (정답이 많은 것부터)", "F1 by label (the most frequent first)")))
    pieces.draw(
        charts.pairs(rows, titles, pieces.colours(), title="F1", shape=".2f"),
        key="compare_f1",
        told=", ".join(f"{row['name']} {row['first']:.2f} / {row['second']:.2f}" for row in rows),
    )
    _differing(found, titles)


def _cards(gaps: Mapping[str, Gap], found: Compared) -> list[marks.Card]:
    shown = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "accuracy": say("정확도", "accuracy")}
    cards = []
    for name, gap in gaps.items():
        change = gap.after - gap.before
        cards.append(
            marks.Card(
                shown.get(name, name),
                f"{gap.before:.3f} → {gap.after:.3f}",
                f"{change:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
                change if gap.low > 0 or gap.high < 0 else None,
            )
        )
    right = found.right
    cards.append(marks.Card(say("A만 맞은 행", "only A right"), f"{int((right[0] & ~right[1]).sum()):,}"))
    cards.append(marks.Card(say("B만 맞은 행", "only B right"), f"{int((right[1] & ~right[0]).sum()):,}"))
    return cards


def _differing(found: Compared, titles: tuple[str, str]) -> None:
    task, names = found.data.task, label_names(found.data.task)
    right = found.right
    choices = {
        "differ": say("답이 다른 행", "They differ"),
        "first": say("A만 맞음", "Only A right"),
        "second": say("B만 맞음", "Only B right"),
        "neither": say("둘 다 틀림", "Neither right"),
    }
    kinds = {
        "differ": (found.decided[0] != found.decided[1]).any(1),
        "first": right[0] & ~right[1],
        "second": right[1] & ~right[0],
        "neither": ~right[0] & ~right[1],
    }
    kind = st.segmented_control(
        say("행", "Rows"),
        list(choices),
        format_func=lambda name: f"{choices[name]} {int(kinds[name].sum()):,}",
        default="differ",
        required=True,
        key=pieces.spoken("compare_kind"),
    )
    picked = np.flatnonzero(kinds[str(kind)])[:LISTED]

    def words(row: np.ndarray) -> list[str]:
        return [names[key] for key in task.decode(row)]

    rows = [
        {
            say("글", "text"): found.data[int(n)].text,
            say("정답", "gold"): words(found.data.y[n]),
            titles[0]: words(found.decided[0][n]),
            titles[1]: words(found.decided[1][n]),
        }
        for n in picked
    ]
    if not rows:
        pieces.show(marks.empty(say("그런 행이 없습니다", "No such row"), ""))
        return
    config = {say("글", "text"): st.column_config.TextColumn(width="medium")}
    config |= {name: st.column_config.ListColumn(width="medium") for name in (say("정답", "gold"), *titles)}
    st.dataframe(
        rows, hide_index=True, column_config=config, key="compare_rows", height=420 if len(rows) > 10 else "content"
    )
