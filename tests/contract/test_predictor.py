"""Every model kind keeps the contract of ``maeum.models.base``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny

from maeum.analyzer import Analyzer
from maeum.data import Input, Target
from maeum.errors import NotFitted
from maeum.models.base import Classifier, Predictor, load_predictor, make_classifier
from maeum.models.blocks import Blocks
from maeum.models.ensemble import MeanPredictor
from maeum.models.frozen import FrozenClassifier
from maeum.models.head import HeadPredictor, SharedTrunk
from maeum.models.linear import LinearConfig
from maeum.models.onnx import OnnxTrunk, write_settings
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.voting import Vote, VotePredictor

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("긍정")))

WORDS = {0: "기쁘고 행복한 하루", 1: "슬퍼서 눈물이 난다", 2: "화가 나서 못 참겠다"}
FILLER = ["오늘", "회사", "친구", "점심", "날씨", "영화", "버스", "커피", "저녁", "가족", "주말", "전화"]


def rows(task: Task, n: int = 90) -> tuple[list[Input], np.ndarray]:
    rng = np.random.default_rng(5)
    inputs, y = [], np.zeros((n, len(task)), np.uint8)
    for row in range(n):
        label = row % len(task)
        words = [*map(str, rng.choice(FILLER, 3)), WORDS[label]]
        y[row, label] = 1
        if task.kind == "multilabel" and row % 7 == 0:
            other = (label + 1) % len(task)
            words.append(WORDS[other])
            y[row, other] = 1
        text = " ".join(words)
        target = Target(words[0], 0, len(words[0])) if row % 3 == 0 else None
        inputs.append(Input(text, target))
    return inputs, y


def linear(task: Task) -> Classifier:
    return make_classifier("linear", task, seed=1)


def mean(task: Task) -> Predictor:
    inputs, y = rows(task)
    return MeanPredictor(task, [linear(task).fit(inputs[part : part + 60], y[part : part + 60]) for part in (0, 30)])


def fitted_linear(task: Task) -> Predictor:
    inputs, y = rows(task)
    return linear(task).fit(inputs, y)


def vote(how: Vote) -> Callable[[Task], Predictor]:
    def make(task: Task) -> Predictor:
        kinds = ((fitted_linear, "default"), (mean, "raw"))
        members = [Analyzer(make_member(task), prep=TextPrep.named(clean)) for make_member, clean in kinds]
        return VotePredictor(task, members, vote=how, weights=(0.7, 0.3))

    return make


KINDS: dict[str, Callable[[Task], Predictor]] = {
    "linear": fitted_linear,
    "mean": mean,
    "vote-soft": vote("soft"),
    "vote-hard": vote("hard"),
}
ENCODERS = {
    "encoder-cls": ("klue-bert", "cls"),
    "encoder-mean": ("e5", "mean"),
    "encoder-bigru": ("klue-roberta", "bigru"),
}
"""Kind → shape of ``tiny.SHAPES`` and head; every other pair of them is held to the hardest clauses further down."""
DECODERS = {
    "decoder": ("decoder", "gpt-neox", {}),
    "decoder-list": ("decoder", "qwen", {"form": "list"}),
    "decoder-cls": ("decoder-cls", "llama", {"head_learning_rate": 1e-2}),
}
"""Kind, shape of ``tiny_decoders.SHAPES`` and settings; others are held to the hardest clauses further down."""
EXPORTED = {
    "onnx-linear": (None, "fp32"),
    "onnx-mean": (("e5", "mean"), "fp32"),
    "onnx-bigru": (("klue-roberta", "bigru"), "fp32"),
    "onnx-int8": (("klue-bert", "cls"), "int8"),
}
"""Kind → the encoder that is exported (None: the linear model) and the precision of its graph."""
ON_TRUNKS = ("head", "frozen")
"""Kinds that stand on a trunk, here the graph of ``onnx-mean``, mixed with a linear model."""
SAME = {"head": 1e-5, "frozen": 1e-5, "encoder": 1e-5, "onnx": 1e-5, "decoder": 1e-5, "decoder-cls": 1e-5}
"""How far rows and loaded models of a kind may move. Matrix products of another size add up in another order."""


def encoder(base: Path, head: str, task: Task, **settings: object) -> Classifier:
    options = {"head": head, "device": "cpu", "precision": "fp32", "batch_size": 10, "max_length": 64, **settings}
    return make_classifier(f"encoder:{base}", task, seed=1, options=options)


def spread(model: Predictor, inputs: list[Input]) -> None:
    """Larger weights, so that the rows of a tiny random encoder come out far apart and a mistake is seen."""
    import torch

    with torch.no_grad():
        for name, parameter in model._model.named_parameters():
            if parameter.ndim == 2 and "embeddings" not in name:
                parameter.mul_(2 if "weight_hh" in name else 8)
    assert np.ptp(model.predict_proba(inputs), axis=0).min() > 1e-2


def fitted_encoder(base: Path, head: str, task: Task) -> Predictor:
    inputs, y = rows(task)
    more = {"learning_rate": 2e-3, "head_learning_rate": 1e-2, "dense": 128} if head == "bigru" else {}
    settings = {"learning_rate": 3e-3, "head_learning_rate": 5e-3, "warmup": 0.3, "dropout": 0.0, **more}
    return encoder(base, head, task, epochs=10.0, **settings).fit(inputs, y)


def _trained_encoder(tiny_base: Callable[..., Path], shape: str, head: str, task: Task) -> Predictor:
    return fitted_encoder(tiny_base(shape, easy=True), head, task)


def decoder(base: Path, kind: str, task: Task, **settings: object) -> Classifier:
    options = {"device": "cpu", "precision": "fp32", "batch_size": 10, "max_length": 200, **settings}
    return make_classifier(f"{kind}:{base}", task, seed=1, options=options)


def fitted_decoder(base: Path, kind: str, task: Task, settings: dict[str, object]) -> Predictor:
    inputs, y = rows(task)
    return decoder(base, kind, task, epochs=4.0, learning_rate=1e-2, lora_dropout=0.0, **settings).fit(inputs, y)


def exported(model: Predictor, precision: str, work: Path) -> Predictor:
    from maeum.exporting.converting import Exporter

    exporter = Exporter(work, origin="", metadata={})
    full = exporter.full(model)
    return full if precision == "fp32" else exporter.smaller(full, precision)


def on_trunk(kind: str, graph: Predictor, task: Task) -> Predictor:
    settings = dataclasses.replace(graph.trunk.settings, blocks=tuple(Blocks.of([task]).to_list()))
    write_settings(settings, graph.trunk.folder)
    trunk = SharedTrunk(OnnxTrunk.open(graph.trunk.folder))
    if kind == "head":
        return HeadPredictor(task, trunk, linear=fitted_linear(task), weight=0.5)
    return FrozenClassifier(task, trunk, seed=1, linear=LinearConfig()).fit(*rows(task))


@pytest.fixture(
    scope="module",
    params=[(kind, task) for kind in (*KINDS, *ENCODERS, *EXPORTED, *ON_TRUNKS, *DECODERS) for task in (MULTI, SINGLE)],
    ids=lambda p: f"{p[0]}-{p[1].name}",
)
def model(request, tiny_base, tiny_decoder, one_thread, tmp_path_factory) -> Predictor:
    kind, task = request.param
    if kind in KINDS:
        return KINDS[kind](task)
    if kind in DECODERS:
        made, shape, settings = DECODERS[kind]
        return fitted_decoder(tiny_decoder(shape), made, task, settings)
    if kind in EXPORTED:
        source, precision = EXPORTED[kind]
        trained = fitted_linear(task) if source is None else _trained_encoder(tiny_base, *source, task)
        return exported(trained, precision, tmp_path_factory.mktemp("onnx"))
    if kind in ON_TRUNKS:
        graph = exported(_trained_encoder(tiny_base, "e5", "mean", task), "fp32", tmp_path_factory.mktemp("trunk"))
        return on_trunk(kind, graph, task)
    return _trained_encoder(tiny_base, *ENCODERS[kind], task)


WEIRD = [
    "",
    "   ",
    "가" * 5000,
    "😀👍🏽",
    "\x00\ud800 이상한 글자",
    "\ud83d\ude00",
    "[SEP] [PAD] <s> </s>",
    "\u200b\u202e",
]


def test_shape_type_range_and_sums(model):
    inputs, _ = rows(model.task)
    proba = model.predict_proba(inputs)
    assert proba.dtype == np.float32
    assert proba.shape == (len(inputs), len(model.task))
    assert ((proba >= 0) & (proba <= 1)).all()
    if model.task.kind == "multiclass":
        assert proba.sum(1) == pytest.approx(np.ones(len(inputs)), abs=1e-5)


def test_no_inputs_give_no_rows(model):
    assert model.predict_proba([]).shape == (0, len(model.task))


def test_a_bare_string_is_a_type_error(model):
    with pytest.raises(TypeError, match="str"):
        model.predict_proba("기쁘다")
    with pytest.raises(TypeError, match="Input"):
        model.predict_proba(["기쁘다"])


def no_row_depends_on_others(model: Predictor, inputs: list[Input]) -> None:
    inputs = [*inputs, *map(Input, WEIRD)]
    allowed = SAME.get(model.kind, 1e-6)
    whole = model.predict_proba(inputs)
    assert np.isfinite(whole).all()
    single = np.concatenate([model.predict_proba([item]) for item in inputs])
    assert np.abs(whole - single).max() <= allowed
    backwards = model.predict_proba(inputs[::-1])[::-1]
    assert np.abs(whole - backwards).max() <= allowed


def loaded_gives_the_same_numbers(model: Predictor, inputs: list[Input], folder: Path) -> None:
    model.save(folder)
    again = load_predictor(model.kind, folder, model.task)
    found, before = again.predict_proba(inputs), model.predict_proba(inputs)
    if model.kind in SAME:
        # weights that torch reads from a mapped file may lie at other alignments, which changes the last bit
        assert np.abs(found - before).max() <= 1e-6
    else:
        assert np.array_equal(found, before)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        ".json",
        ".jsonl",
        ".safetensors",
        ".txt",
        ".onnx",
    }


def test_neither_batch_nor_mates_nor_order_change_a_row(model):
    no_row_depends_on_others(model, rows(model.task, 40)[0])


def test_saved_and_loaded_gives_the_same_numbers(model, tmp_path: Path):
    loaded_gives_the_same_numbers(model, rows(model.task)[0], tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("head", ["cls", "mean", "bigru"])
@pytest.mark.parametrize("number", range(len(tiny.SHAPES)), ids=list(tiny.SHAPES))
def test_every_shape_of_encoder_with_every_head_keeps_to_itself_and_comes_back(tiny_base, tmp_path, number, head):
    shape = list(tiny.SHAPES)[number]
    target_input = ("pair", "marker", "none")[(number + len(head)) % 3]
    task = (MULTI, SINGLE)[number % 2]
    inputs, y = rows(task, 16)
    made = encoder(tiny_base(shape), head, task, max_steps=1, max_length=24, target_input=target_input)
    spread(made.fit(inputs, y), inputs)
    no_row_depends_on_others(made, inputs[:6])
    loaded_gives_the_same_numbers(made, inputs, tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ("gpt-neox", {"form": "yesno"}),
        ("llama", {"words": {"기쁨": "기뻐요", "부정": "싫어요", "긍정": "좋아요"}}),
        ("llama", {"form": "yesno", "learn": "none"}),
        ("qwen", {"template": "chat", "scores": "labels"}),
        ("qwen", {"learn": "none", "shots": 2, "max_length": 400}),
    ],
    ids=["yesno", "several-tokens", "zero-shot", "chat", "few-shot"],
)
@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=["multi", "single"])
def test_every_way_to_ask_a_decoder_keeps_to_itself_and_comes_back(tiny_decoder, tmp_path, shape, settings, task):
    words = {key: word for key, word in settings.get("words", {}).items() if key in task.keys}
    settings = {**settings, **({"words": words} if words else {})}
    inputs, y = rows(task, 12)
    steps = {} if settings.get("learn") == "none" else {"max_steps": 1, "learning_rate": 1e-3}
    made = decoder(tiny_decoder(shape), "decoder", task, **steps, **settings).fit(inputs, y)
    assert np.ptp(made.predict_proba(inputs), axis=0).max() > 1e-4
    no_row_depends_on_others(made, inputs[:4])
    loaded_gives_the_same_numbers(made, inputs, tmp_path)


def test_it_learns(model):
    inputs, y = rows(model.task)
    top = model.predict_proba(inputs).argmax(1)
    assert y[np.arange(len(y)), top].mean() > 0.9


@pytest.mark.parametrize("task", [MULTI, SINGLE], ids=["multilabel", "multiclass"])
def test_same_seed_same_numbers(task):
    inputs, y = rows(task)
    first, again = linear(task).fit(inputs, y), linear(task).fit(inputs, y)
    assert np.array_equal(first.predict_proba(inputs), again.predict_proba(inputs))


def test_unfitted_says_so():
    with pytest.raises(NotFitted):
        linear(MULTI).predict_proba([Input("기쁘다")])


def test_an_ensemble_of_one_is_its_member():
    member = fitted_linear(MULTI)
    inputs, _ = rows(MULTI)
    assert np.array_equal(MeanPredictor(MULTI, [member]).predict_proba(inputs), member.predict_proba(inputs))


def test_label_order_only_permutes_columns():
    inputs, y = rows(MULTI)
    turned = Task("multi", "multilabel", MULTI.labels[::-1])
    straight = linear(MULTI).fit(inputs, y).predict_proba(inputs)
    reverse = linear(turned).fit(inputs, y[:, ::-1].copy()).predict_proba(inputs)
    assert np.abs(straight - reverse[:, ::-1]).max() < 1e-3
