"""What to label next: rows of a file picked by what a label would teach, each with its reasons, on to labelling."""

from __future__ import annotations

from typing import Any

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

from maeum._lang import say
from maeum.apps.ui import marks, pieces, sampled, state
from maeum.apps.ui.settings import Settings
from maeum.apps.ui.uploads import Look, Upload
from maeum.apps.ui.views import sampling_result
from maeum.sampling import CRITERIA, WEIGHTS, SampleSettings
from maeum.sampling.settings import DIVERSITY
from maeum.sampling.writing import reason_words


def show() -> None:
    """Draw the page."""
    pieces.show(
        marks.head(
            say("고르기", "Sampling"),
            say(
                "라벨 없는 글 가운데 다음에 라벨을 달 글을 고릅니다. 왜 골랐는지 행마다 말해 줍니다.",
                "Which unlabelled texts to label next, and why, row by row.",
            ),
        )
    )
    model = state.chosen()
    head = pieces.pick_head(model, "sampling_head")
    upload = pieces.uploader("sampling_upload", what=say("라벨 없는 글이 든 파일", "A file of unlabelled texts"))
    if upload is None:
        pieces.show(
            marks.empty(
                say("아직 파일이 없습니다", "No file yet"),
                say(
                    "기준값에 가까운 글, 고르기 어려운 글, 드문 낱말이 든 글, 배운 글과 먼 글을 골라 줍니다.",
                    "Texts near a threshold, without a clear choice, with rare words, or far from what the model learned.",
                ),
            )
        )
        return
    seen, columns = pieces.columns_of(upload, f"sampling_{upload.id}")
    train = _training()
    settings = _settings(seen, columns, sampled.applying(model, head, train=train is not None), upload)
    ready = not seen.columns or columns.get("text_column") is not None
    key = (upload.id, train and train.id, model.stamp, head, str(columns), repr(settings))
    if st.button(
        say("고르기", "Pick"),
        type="primary",
        icon=":material/playlist_add_check:",
        key="sampling_go",
        disabled=not ready,
    ):
        st.session_state["sampling_result"] = (key, _drawn(model, head, upload, seen, columns, settings, train))
    made = st.session_state.get("sampling_result")
    if made is None:
        return
    if made[0] != key:
        pieces.show(
            marks.note(
                say(
                    "설정이 바뀌었습니다. 아래는 앞서 고른 것입니다.",
                    "The settings have changed; below is what was picked before.",
                )
            )
        )
    sampling_result.show(made[1])


def _training() -> Upload | None:
    title = say("학습에 쓴 파일 (있으면)", "What the model learned from (if at hand)")
    with st.expander(title, icon=":material/school:"):
        pieces.show(
            marks.note(
                say(
                    "주면 그 안의 글은 고르지 않고, 드문 낱말과 배운 글과 먼 글도 봅니다.",
                    "Its texts are left out, and rare words and texts far from it can be told.",
                )
            )
        )
        return pieces.uploader("sampling_train", what=say("학습 데이터", "Training data"))


def _settings(seen: Look, columns: dict[str, str | None], applying: dict[str, bool], upload: Upload) -> SampleSettings:
    left, middle, right = st.columns([1, 1, 2])
    with left:
        n = st.number_input(
            say("고를 행 수", "Rows to pick"),
            1,
            Settings.current().max_rows,
            100,
            key="sampling_n",
            persist_state="session",
        )
    with middle:
        share = st.slider(
            say("무작위 몫 (%)", "By plain chance (%)"), 0, 100, 10, step=5, key="sampling_random", persist_state="session",
            help=say(
                "그냥 무작위로 고르는 몫입니다. 성적과 라벨 비율은 이 행들로만 가늠하세요.",
                "Picked by plain chance; estimate scores and shares of labels from these rows only.",
            ),
        )  # fmt: skip
    with right:
        stratify = st.multiselect(
            say("비율을 지킬 열 (층화)", "Columns whose proportions are kept"),
            [name for name in seen.columns if name != columns.get("text_column")],
            key=f"sampling_stratify_{upload.id}",
            placeholder=say("없음", "none"),
            persist_state="session",
        )
    with st.expander(say("기준의 비중", "Weights of the criteria"), icon=":material/tune:"):
        weights = _weights(applying)
        ways = {
            "auto": say("신경망의 벡터 (정확함)", "Those of a network (better)"),
            "ngrams": say("글자 조각 (빠름)", "Pieces of letters (faster)"),
        }
        vectors = st.segmented_control(
            say("글 사이의 거리", "Distances between texts"),
            list(ways),
            format_func=ways.__getitem__,
            default="auto",
            required=True,
            key=pieces.spoken("sampling_vectors"),
            persist_state="session",
        )
    return SampleSettings(
        n=int(n),
        random_share=share / 100,
        stratify=tuple(stratify),
        weights=weights,
        vectors=str(vectors),
        batch_size=sampled.BATCH,
    )


def _weights(applying: dict[str, bool]) -> dict[str, float]:
    """A slider for each criterion; those that cannot be told are shown and do not move."""
    found: dict[str, float] = {}
    places = st.columns(3)
    for number, name in enumerate((*CRITERIA, DIVERSITY)):
        diverse = name == DIVERSITY
        on = diverse or applying[name]
        with places[number % 3]:
            found[name] = st.slider(
                say("서로 다르게", "Unlike one another") if diverse else reason_words(name),
                0.0,
                2.0,
                WEIGHTS[name],
                step=0.05,
                key=f"sampling_weight_{name}",
                disabled=not on,
                persist_state="session",
                help=None if on else _why_not(name),
            )
    return found


def _why_not(name: str) -> str:
    from maeum.sampling.criteria import WHY_NOT

    return say(*WHY_NOT[name]).replace(" --train", "").replace("--train", say("학습 데이터", "the training data"))


def _drawn(
    model: state.Model, head: str, upload: Upload, seen: Look, columns: dict[str, Any], settings: SampleSettings,
    train: Upload | None,
) -> sampling_result.Drawn:  # fmt: skip
    limit = Settings.current().max_rows
    pool = sampled.UploadPool(upload, seen, model.heads[head].task, settings.stratify, columns, limit=limit)
    bar = st.progress(0.0, text=say("읽는 중…", "Reading…"))
    learned = None if train is None else sampled.texts_of(train, columns.get("text_column"))
    total = max(sum(1 for _ in pool.rows(first=False)), 1)
    found = sampled.draw(
        model,
        head,
        pool,
        settings,
        train=learned,
        tick=lambda done: bar.progress(
            min(done / total, 1.0), text=say(f"{done:,} / {total:,}행 재는 중", f"{done:,} of {total:,} rows measured")
        ),
    )
    bar.empty()
    stem = upload.name.rsplit(".", 1)[0]
    return sampling_result.Drawn(found, model.heads[head].task, stem, pool.report, pool.cut, model.name, head)
