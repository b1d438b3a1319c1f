"""The threshold workbench: move a threshold, see what precision, recall and F1 do, and take the result away."""

from __future__ import annotations

import shlex
from typing import Any

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._files import pretty_json
from maeum._lang import say
from maeum.apps.ui import charts, labelled, marks, pieces, state
from maeum.apps.ui.labelled import Bench
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.words import label_names
from maeum.evaluation import retune
from maeum.thresholds import Thresholds

OBJECTIVES = ("macro-f1", "micro-f1", "accuracy")
OUT_OF_FOLD, UPLOAD = "oof", "upload"
STEP = 0.005


def show() -> None:
    """Draw the page."""
    pieces.show(
        marks.head(
            say("기준값", "Thresholds"),
            say(
                "라벨마다 기준값을 움직이면 정밀도·재현율·F1이 바로 바뀝니다. 마음에 들면 파일로 내려받으세요.",
                "Move the threshold of a label and watch precision, recall and F1; then take the result away.",
            ),
        )
    )
    model = state.chosen()
    head = pieces.pick_head(model, "thresholds_head")
    if model.heads[head].thresholds.is_argmax:
        pieces.show(
            marks.empty(
                say("이 과제에는 기준값이 없습니다", "This task has no thresholds"),
                say(
                    "라벨 하나를 고르는 과제라 확률이 가장 높은 라벨을 줍니다.",
                    "Exactly one label is given: the most probable one.",
                ),
            )
        )
        return
    bench = _bench(model, head)
    if bench is not None:
        _work(model, head, bench)


def _bench(model: state.Model, head: str) -> Bench | None:
    """The rows to look at: those of training, of a sample, or of an upload."""
    task = model.heads[head].task
    choices: dict[str, str] = {}
    if labelled.has_out_of_fold(model, head):
        choices[OUT_OF_FOLD] = say("학습 때의 교차 검증", "Training rows, cross-validated")
    choices |= {name: name for name in labelled.samples_for(task)}
    choices[UPLOAD] = say("파일 올리기", "Upload a file")
    picked = st.segmented_control(
        say("어느 데이터로 볼까요?", "On which rows?"),
        list(choices),
        format_func=choices.__getitem__,
        default=next(iter(choices)),
        required=True,
        key=pieces.spoken(f"thresholds_rows_{head}"),
    )
    limit = Settings.current().max_rows
    if picked == OUT_OF_FOLD:
        return state.remember(
            ("bench", model.stamp, head, OUT_OF_FOLD), lambda: Bench.on(labelled.out_of_fold(model, head))
        )
    if picked == UPLOAD:
        upload = pieces.uploader("thresholds_upload", what=say("정답 라벨이 든 파일", "A file with gold labels"))
        if upload is None:
            pieces.show(
                marks.empty(
                    say("아직 데이터가 없습니다", "No data yet"),
                    say(
                        "모델이 처음 보는, 정답이 달린 파일이 좋습니다.",
                        "Best a labelled file that the model has not seen.",
                    ),
                )
            )
            return None
        seen, columns = pieces.columns_of(upload, f"thresholds_{upload.id}", labelled=True)
        if seen.columns and columns.get("text_column") is None:
            return None
        data, rows = labelled.rows_of_upload(upload, task, limit, columns)
        pieces.refused(rows.report, rows.cut)
    else:
        data = labelled.rows_of_sample(str(picked), limit)
        pieces.show(
            marks.note(
                say(
                    "이 예제로 배운 모델이라면 점수가 실제보다 높게 나옵니다.",
                    "If the model was trained on this sample, the scores are too high.",
                )
            )
        )
    with st.spinner(say(f"{len(data):,}행의 확률을 구하는 중…", f"Probabilities of {len(data):,} rows…")):
        key = ("bench", model.stamp, head, data.fingerprint)
        return state.remember(key, lambda: Bench.on(labelled.score(model, head, data)))


def _work(model: state.Model, head: str, bench: Bench) -> None:
    task, own = model.heads[head].task, model.heads[head].thresholds
    names = label_names(task)
    place = f"thresholds_set_{model.name}_{head}"
    rule: Thresholds = st.session_state.get(place) or own
    if rule.keys != own.keys:
        rule = own
    before, after = bench.metrics(own), bench.metrics(rule)
    cards = [
        marks.Card(title, f"{after[name]:.4f}", f"{after[name] - before[name]:+.4f}", after[name] - before[name])
        for name, title in (
            ("macro_f1", "macro-F1"),
            ("micro_f1", "micro-F1"),
            ("micro_precision", say("정밀도 (micro)", "precision (micro)")),
            ("micro_recall", say("재현율 (micro)", "recall (micro)")),
        )
    ]
    pieces.show(marks.cards(cards))
    left, right = st.columns([2, 3], gap="large")
    with left:
        label = str(
            st.selectbox(
                say("라벨", "Label"),
                task.keys,
                format_func=names.__getitem__,
                key=pieces.spoken(f"thresholds_label_{head}"),
            )
        )
        column = task.index(label)
        rule = _moved(place, rule, bench, task.keys[column], column)
        row = bench.table(rule)[column]
        pieces.show(
            marks.cards(
                [
                    marks.Card(say("정밀도", "precision"), f"{row['precision']:.3f}"),
                    marks.Card(say("재현율", "recall"), f"{row['recall']:.3f}"),
                    marks.Card("F1", f"{row['f1']:.3f}", say(f"정답 {row['support']:,}개", f"{row['support']:,} gold")),
                ],
                tight=True,
            )
        )
    with right:
        scheme = pieces.colours()
        best = bench.best(column)
        chart = charts.curve(
            bench.points(column), now=rule.values[column], own=own.values[column], best=best, colours=scheme
        )
        told = f"{names[label]}: F1 {row['f1']:.3f} @ {rule.values[column]:.3f}; {best[1]:.3f} @ {best[0]:.3f}"
        pieces.draw(chart, key=f"thresholds_curve_{head}", told=told)
        pieces.show(
            marks.legend(
                [
                    ("tick", scheme.ink, say("지금 기준값", "threshold now")),
                    ("dash", scheme.dim, say("모델의 기준값", "the model's own")),
                    ("", scheme.third, say("F1이 가장 높은 곳", "where F1 is best")),
                ]
            )
        )
    _all(place, rule, own, bench, names)
    _save(model, head, place, rule, own)


def _moved(place: str, rule: Thresholds, bench: Bench, label: str, column: int) -> Thresholds:
    """The slider of a label, and the rule that follows from where it stands."""
    task = bench.scored.task
    key = f"{place}_{label}"
    value = min(rule.values[column], 1.0)
    # the slider's own steps are coarser than thresholds: only a move of a person's hand changes one
    st.session_state[key] = round(value / STEP) * STEP

    def move() -> None:
        st.session_state[place] = rule.replaced({label: float(st.session_state[key])}, task)

    def jump() -> None:
        st.session_state[place] = rule.replaced({label: bench.best(column)[0]}, task)

    st.slider(
        say("기준값", "Threshold"), 0.0, 1.0, step=STEP, format="%.3f", key=key, on_change=move,
    )  # fmt: skip
    st.button(
        say("이 라벨의 F1이 가장 높은 곳으로", "To the best F1 of this label"),
        key=f"{place}_best",
        on_click=jump,
        icon=":material/my_location:",
        width="stretch",
    )
    return rule


def _all(place: str, rule: Thresholds, own: Thresholds, bench: Bench, names: Any) -> None:
    """All labels at once: tune them together, put them back, and a table."""
    pieces.show(marks.sub(say("모든 라벨", "All labels")))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        objective = st.selectbox(say("목표", "Objective"), OBJECTIVES, key="thresholds_objective", width=180)

        def tune() -> None:
            st.session_state[place] = retune(
                bench.scored, objective=str(st.session_state["thresholds_objective"]), shrinkage=0.0
            )

        st.button(
            say(f"모두 {objective}가 가장 높게", f"Tune all for {objective}"),
            key="thresholds_tune",
            on_click=tune,
            icon=":material/auto_fix_high:",
        )
        st.button(
            say("모델의 값으로 되돌리기", "Back to the model's own"),
            key="thresholds_back",
            on_click=lambda: st.session_state.pop(place, None),
            icon=":material/undo:",
            disabled=rule == own,
        )
    rows = [
        {
            say("라벨", "label"): names[key],
            say("정답 수", "gold"): row["support"],
            say("기준값", "threshold"): row["threshold"],
            say("변화", "change"): row["threshold"] - own.values[n],
            say("정밀도", "precision"): row["precision"],
            say("재현율", "recall"): row["recall"],
            "F1": row["f1"],
        }
        for n, (key, row) in enumerate(zip(rule.keys, bench.table(rule), strict=True))
    ]
    number = st.column_config.NumberColumn(format="%.3f")
    change = st.column_config.NumberColumn(format="%+.3f")
    config: dict[str, Any] = dict.fromkeys(
        (say("기준값", "threshold"), say("정밀도", "precision"), say("재현율", "recall")), number
    )
    config[say("변화", "change")] = change
    config["F1"] = st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.3f")
    st.dataframe(
        rows, hide_index=True, column_config=config, key="thresholds_table", height=400 if len(rows) > 10 else "content"
    )


def _save(model: state.Model, head: str, place: str, rule: Thresholds, own: Thresholds) -> None:
    pieces.show(marks.sub(say("저장", "Save")))
    command = f"maeum thresholds {shlex.quote(model.name)} --from thresholds.json"
    if len(model.heads) > 1:
        command += f" --task {shlex.quote(head)}"
    with st.container(horizontal=True):
        pieces.download(
            say("thresholds.json 내려받기", "Download thresholds.json"),
            pretty_json(rule.to_dict()),
            "thresholds.json",
            key="thresholds_download",
            type="primary",
        )
        writable = Settings.current().allow_save and labelled.can_hold(model)
        if writable and st.button(
            say("모델 폴더에 저장", "Save into the model folder"),
            key="thresholds_save",
            icon=":material/save:",
            disabled=rule == own,
        ):
            labelled.save_thresholds(model, head, rule)
            st.session_state.pop(place, None)
            st.session_state["thresholds_saved"] = True
            st.rerun()
    if st.session_state.pop("thresholds_saved", False):
        st.success(say("모델 폴더에 저장했습니다.", "Saved into the model folder."), icon=":material/check_circle:")
    if labelled.can_hold(model):
        pieces.show(marks.note(say("내려받은 파일을 모델에 넣으려면:", "To put the downloaded file into the model:")))
        st.code(command, language="bash")
