"""Models by name; replaced while they work."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_kit import TEXTS, feelings, polar

from maeum.data import Input
from maeum.errors import FormatError, UsageError
from maeum.folder import save
from maeum.serving.answers import answers, emotions, ranked
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.refusals import Refusal
from maeum.serving.settings import ServeSettings
from maeum.serving.store import LoadedModel, ModelStore, named
from maeum.text import TextPrep


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    save(feelings(1), place / "one")
    save(feelings(2).with_predictor(feelings(1).predictor), place / "same")
    save(polar(), place / "polar")
    return place


@pytest.fixture
def store(folders: Path, tmp_path: Path) -> Iterator[tuple[ModelStore, io.StringIO, Path]]:
    shutil.copytree(folders / "one", tmp_path / "m")
    stream = io.StringIO()
    store = ModelStore([f"모델={tmp_path / 'm'}"], ServeSettings(reload_seconds=0), Metrics(), Log(stream))
    store.start()
    yield store, stream, tmp_path / "m"
    store.stop()


def replace(folder: Path, new: Path) -> None:
    """Put a copy of another folder into a folder's place, as ``atomic_folder`` does where it cannot swap."""
    copied = folder.with_name("new")
    shutil.copytree(new, copied)
    folder.rename(folder.with_name("old"))
    copied.rename(folder)
    shutil.rmtree(folder.with_name("old"))


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def labels(store: ModelStore, texts: list[str]) -> list[Any]:
    return asyncio.run(store.get(None).labels([Input(text) for text in texts], task=None, seconds=20))


def test_answers_are_those_of_the_library_whatever_the_company(store: Any, folders: Path) -> None:
    served = store[0].get("모델")
    library = feelings(1)
    texts = [*TEXTS[:17], "아무 말", "ㅋㅋㅋ 😀", "화가 나고 슬퍼서 " * 40]

    async def ask() -> list[Any]:
        inputs = [Input(text) for text in texts]
        apart = [served.labels([item], task=None, seconds=20) for item in inputs]
        together = [
            served.labels(inputs, task=None, seconds=20),
            served.labels(inputs[::-1], task="feelings", seconds=20),
        ]
        return list(await asyncio.gather(*apart, *together))

    *apart, whole, back = asyncio.run(ask())
    wanted = [
        {"text": a.text, "labels": list(a.labels), "scores": {"feelings": dict(a.scores)}}
        for a in library.analyze(texts)
    ]
    assert [emotions(found[0]) for found in apart] == wanted
    assert [emotions(item) for item in whole] == wanted
    assert [emotions(item) for item in back] == wanted[::-1]


def test_texts_are_prepared_once_for_heads_of_one_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []
    real = TextPrep.prepare_input

    def noted(self: TextPrep, item: Input) -> Input:
        prepared.append(self.recipe)
        return real(self, item)

    monkeypatch.setattr(TextPrep, "prepare_input", noted)
    raw = polar()
    raw.prep = TextPrep.named("raw")
    heads = {"feelings": feelings(), "polar": polar(), "raw": raw}
    found = answers(heads, [Input("기쁘고   행복한"), Input("화가 나고ㅋㅋㅋㅋㅋㅋ")])
    assert sorted(prepared) == ["default", "default", "raw", "raw"]
    for place, head in enumerate(heads.values()):
        alone = head.predict_proba([item.input for item in found])
        assert [list(map(np.float32, item.parts[place].scores)) for item in found] == alone.tolist()


def test_raw_scores_give_the_probabilities_back() -> None:
    for model in (feelings(), polar()):
        answer = LoadedModel({model.task.name: model}, "v").answer((model.task.name,), [Input(TEXTS[0])])[0]
        plain = {item["label"]: item["score"] for item in ranked(answer, None, None)}
        assert plain == dict(model.analyze([TEXTS[0]])[0].scores)
        raw = {item["label"]: item["score"] for item in ranked(answer, "none", None)}
        z = np.array([raw[key] for key in model.task.keys])
        again = 1 / (1 + np.exp(-z)) if model.task.kind == "multilabel" else np.exp(z) / np.exp(z).sum()
        assert np.allclose(again, [plain[key] for key in model.task.keys], atol=1e-6)
        own = "sigmoid" if model.task.kind == "multilabel" else "softmax"
        same = {item["label"]: item["score"] for item in ranked(answer, own, None)}
        assert all(abs(same[key] - plain[key]) < 2e-6 for key in plain)
        assert len(ranked(answer, None, 1)) == 1
        shown = [item["score"] for item in ranked(answer, None, None)]
        assert shown == sorted(shown, reverse=True)


def test_a_replaced_folder_takes_over(store: Any, folders: Path) -> None:
    models, stream, folder = store
    before = models.get(None).current
    assert "feelings" in emotions(labels(models, ["기쁘고 행복한 하루"])[0])["scores"]
    models.look()
    assert models.get(None).current is before
    replace(folder, folders / "polar")
    models.look()
    assert "polar" in emotions(labels(models, ["기쁘고 행복한 하루"])[0])["scores"]
    told = [event for event in events(stream) if event["event"] == "model_replaced"]
    assert [event["model"] for event in told] == ["모델"]
    assert told[0]["before"] == before.version != told[0]["version"] == models.get(None).current.version
    with pytest.raises(Refusal) as refused:
        asyncio.run(models.get(None).labels([Input("글")], task="feelings", seconds=20))
    assert (refused.value.status, refused.value.code) == (404, "unknown_task")


def test_a_broken_folder_is_refused_once_and_the_old_model_goes_on(store: Any, folders: Path) -> None:
    models, stream, folder = store
    before = models.get(None).current
    broken = folder.with_name("broken")
    shutil.copytree(folders / "polar", broken)
    task = broken / "task.json"
    task.write_text(task.read_text(encoding="utf-8") + " ", encoding="utf-8")
    replace(folder, broken)
    for _ in range(3):
        models.look()
    assert models.get(None).current is before
    assert emotions(labels(models, ["기쁘고 행복한 하루"])[0])["labels"] == ["기쁨"]
    refused = [event for event in events(stream) if event["event"] == "model_refused"]
    assert len(refused) == 1
    assert "task.json" in refused[0]["reason"]
    replace(folder, folders / "polar")
    models.look()
    assert models.get(None).current is not before


def test_a_folder_that_is_gone_or_only_touched_changes_nothing(store: Any) -> None:
    models, stream, folder = store
    before = models.get(None).current
    os.utime(folder / "manifest.json", (1, 1))
    models.look()
    assert models.get(None).current is before
    aside = folder.with_name("aside")
    folder.rename(aside)
    models.look()
    assert emotions(labels(models, ["글"])[0])["text"] == "글"
    aside.rename(folder)
    models.look()
    assert [event["event"] for event in events(stream)] == ["model_loaded"]


def test_the_watcher_looks_by_itself(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "one", tmp_path / "m")
    store = ModelStore([str(tmp_path / "m")], ServeSettings(reload_seconds=0.02), Metrics(), Log(io.StringIO()))
    store.start()
    try:
        replace(tmp_path / "m", folders / "polar")

        async def wait() -> None:
            async with asyncio.timeout(15):
                while "polar" not in store.get("m").current.heads:
                    await asyncio.sleep(0.02)

        asyncio.run(wait())
    finally:
        store.stop()


def test_names(tmp_path: Path) -> None:
    inside = tmp_path / "runs" / "first"
    assert named(["mini", str(inside), f"후기={inside}", f"a={tmp_path}=b"]) == {
        "mini": "mini",
        "first": str(inside),
        "후기": str(inside),
        "a": f"{tmp_path}=b",
    }
    for sources, says in (
        ([str(inside), f"first={tmp_path}"], "two models"),
        (["a/b=c"], "cannot stand"),
        (["..=c"], "cannot stand"),
        (["=c"], "cannot stand"),
        ([], "no model"),
    ):
        with pytest.raises(UsageError, match=says):
            named(sources)


def test_a_model_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FormatError):
        ModelStore([str(tmp_path / "m")], ServeSettings(), Metrics(), Log(io.StringIO()))
    with pytest.raises(UsageError, match="no model folder"):
        ModelStore([str(tmp_path / "n")], ServeSettings(), Metrics(), Log(io.StringIO()))


def test_one_answer_comes_from_one_model(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "one", tmp_path / "m")
    settings = ServeSettings(reload_seconds=0, batch_texts=2)
    store = ModelStore([str(tmp_path / "m")], settings, Metrics(), Log(io.StringIO()))
    served = store.get(None)
    batches: list[int] = []
    before, answer = served.current, served.batcher.answer

    def replaced_after_the_first(key: Any, items: Any) -> Any:
        found = answer(key, items)
        if not batches:
            served.current = LoadedModel({"polar": polar()}, "new")
        batches.append(len(items))
        return found

    served.batcher.answer = replaced_after_the_first
    store.start()
    try:
        found = asyncio.run(served.labels([Input(text) for text in TEXTS[:4]], task=None, seconds=20))
    finally:
        store.stop()
    assert {item.parts[0].task.name for item in found} == {"polar"}
    assert (found.version, before.version != "new", batches) == ("new", True, [2, 2, 2, 2])
