"""Exporting: graphs that say what the model says, smaller graphs, the verdict, refusals, whole folders."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny
import torch

import maeum
from maeum import folder as model_folder
from maeum.analyzer import Analyzer
from maeum.bases.exported import convert_trunk
from maeum.data import Dataset, Example, Input, Target
from maeum.errors import FormatError, TaskMismatch, UsageError
from maeum.exporting import export, quantizing
from maeum.exporting.converting import Exporter
from maeum.exporting.parity import ParityError, encoder_parity
from maeum.exporting.quantizing import to_int8
from maeum.exporting.verdict import Measured, judge, measure, race
from maeum.hf.files import pooling_of
from maeum.models._sessions import Engine
from maeum.models.base import make_classifier
from maeum.models.ensemble import MeanPredictor
from maeum.models.onnx import OnnxPredictor, OnnxSettings, OnnxTrunk
from maeum.models.windows import Window
from maeum.task import Label, Task
from maeum.text import TextPrep

pytestmark = pytest.mark.usefixtures("one_thread")

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("중립"), Label("긍정")))
TEXTS = [
    "오늘은 정말 기쁘고 행복한 하루였어요 ㅋㅋㅋ",
    "배송이 늦어서 속상했습니다 ㅠㅠ",
    "",
    "화가 나서 환불했어요",
    "그냥 그래요",
    "가격은 10000원인데 품질이 별로예요 [SEP] 다시는 안 사요",
] * 4 + ["맛있고 친절한 가게였습니다. " * 12]
INPUTS = [Input(text, Target(text[:2], 0, 2) if len(text) > 9 else None) for text in TEXTS]


def untrained(base: Path, head: str, task: Task, **settings: object):
    """An encoder after one step, with weights as large as those of a trained one: its rows lie far apart."""
    import torch

    y = np.zeros((len(INPUTS), len(task)), np.uint8)
    y[np.arange(len(y)), np.arange(len(y)) % len(task)] = 1
    options = {"head": head, "device": "cpu", "precision": "fp32", "max_steps": 1, "max_length": 24, **settings}
    model = make_classifier(f"encoder:{base}", task, seed=1, options=options).fit(INPUTS, y)
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if parameter.ndim == 2 and "embeddings" not in name:
                parameter.mul_(2 if "weight_hh" in name else 8)
    assert np.ptp(model.predict_proba(INPUTS), axis=0).min() > 1e-2
    return model


@pytest.fixture(scope="module")
def encoder(tiny_base):
    return untrained(tiny_base("e5"), "mean", MULTI)


@pytest.fixture(scope="module")
def trunk(encoder, tmp_path_factory) -> OnnxTrunk:
    return Exporter(tmp_path_factory.mktemp("graphs"), "", {}).full(encoder).trunk


def exported(model, work: Path) -> OnnxPredictor:
    return Exporter(work, origin="", metadata={}).full(model)


SHAPES = [name for name in tiny.SHAPES if name != "funnel"]


@pytest.mark.parametrize(
    ("shape", "head"),
    [
        pytest.param(shape, head, marks=() if (shape, head) in {("kcelectra", "cls")} else pytest.mark.slow)
        for shape in SHAPES
        for head in ("cls", "mean", "bigru")
    ],
)
def test_every_head_on_every_architecture_says_the_same_as_torch(tiny_base, tmp_path, shape, head):
    number = SHAPES.index(shape)
    task, target_input = (MULTI, SINGLE)[number % 2], ("pair", "marker", "none")[(number + len(head)) % 3]
    model = untrained(tiny_base(shape), head, task, target_input=target_input)
    found = exported(model, tmp_path)
    want = model.predict_proba(INPUTS)
    assert np.abs(found.predict_proba(INPUTS) - want).max() <= 1e-5
    alone = np.concatenate([found.predict_proba([item]) for item in INPUTS])
    assert np.abs(alone - want).max() <= 1e-5


def test_a_tokenizer_gives_the_same_windows_without_transformers(encoder, trunk):
    odd = [
        *INPUTS,
        Input("<s> </s> 기분 <mask>"),
        Input("\x00\ud800 이상한"),
        Input("가" * 300),
        Input("  앞뒤 공백  "),
    ]
    assert trunk.windows(odd) == encoder.windows(odd)


def test_padding_left_on_in_the_tokenizer_file_is_turned_off(trunk, tmp_path):
    trunk.save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert content["padding"] is None
    content["padding"] = {
        "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    content["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert OnnxTrunk.open(tmp_path).windows(INPUTS) == trunk.windows(INPUTS)


def test_sentence_vectors_are_the_pooled_states(encoder, trunk):
    import torch

    vectors = trunk.vectors(INPUTS[:5])
    assert vectors.shape == (5, trunk.settings.width)
    out = encoder.network.head.out(torch.from_numpy(vectors)).detach().numpy()
    assert np.abs(out - trunk.logits(INPUTS[:5])).max() < 1e-4


def test_heads_without_a_vector_say_so(tiny_base, tmp_path):
    found = exported(untrained(tiny_base("klue-bert"), "cls", MULTI), tmp_path)
    with pytest.raises(FormatError, match="mean"):
        found.trunk.vectors(INPUTS)


# -- the engine -------------------------------------------------------------------------------------------


def windows(lengths: list[int]) -> list[Window]:
    rng = np.random.default_rng(3)
    return [Window(tuple(int(n) for n in rng.integers(5, 200, length)), ()) for length in lengths]


@pytest.mark.parametrize("rows", ["same-length", "alone"])
@pytest.mark.parametrize("threads", [1, 3])
def test_neither_threads_nor_mates_nor_order_move_a_row(trunk, rows, threads):
    asked = windows([3, 7, 7, 20, 3, 7, 1, 20, 24] * 5)
    engine = Engine(trunk.engine.path, rows=rows, threads=threads, tokens=40)
    found = engine.run(iter(asked))
    single = [engine.run([window]) for window in asked]
    for name in ("logits", "vector"):
        assert np.abs(found[name] - np.concatenate([each[name] for each in single])).max() < 1e-5
        backwards = engine.run(reversed(asked))[name][::-1]
        assert np.abs(found[name] - backwards).max() < 1e-5
    if rows == "alone":
        assert np.array_equal(found["logits"], np.concatenate([each["logits"] for each in single]))


def test_windows_are_taken_as_they_come_and_never_all_at_once(trunk):
    """Batches start before the last window is made, so that tokenisation and inference overlap in little memory."""
    taken: list[int] = []
    started: list[int] = []
    engine = Engine(trunk.engine.path, rows="same-length", threads=2, tokens=20)
    call = engine._call

    def watched(*words):
        started.append(len(taken))
        return call(*words)

    engine._call = watched

    def stream():
        for number, window in enumerate(windows([10] * 400)):
            taken.append(number)
            yield window

    assert engine.run(stream())["logits"].shape == (400, 3)
    assert started[0] < 50


def test_nothing_in_nothing_out(trunk):
    assert trunk.run([])["logits"].shape == (0, 3)


# -- smaller graphs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "allowed"), [("int8", 0.15), ("fp16", 0.01)])
def test_smaller_graphs_are_smaller_close_and_still_independent_of_mates(encoder, trunk, tmp_path, precision, allowed):
    found = Exporter(tmp_path, "", {}).smaller_trunk(trunk, precision)
    sizes = [(place.folder / "model.onnx").stat().st_size for place in (trunk, found)]
    assert sizes[1] < 0.8 * sizes[0]
    model, want = OnnxPredictor(MULTI, found), encoder.predict_proba(INPUTS)
    together = model.predict_proba(INPUTS)
    assert 0 < np.abs(together - want).max() < allowed
    alone = np.concatenate([model.predict_proba([item]) for item in INPUTS])
    assert np.abs(together - alone).max() <= 1e-5
    assert found.settings.precision == precision


def test_int8_is_within_rounding_of_the_exact_product():
    onnx = pytest.importorskip("onnx")
    from maeum._onnxruntime import onnxruntime

    ort = onnxruntime()
    from onnx import TensorProto, helper, numpy_helper

    from maeum.exporting.quantizing import to_int8

    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(96, 64)) * rng.uniform(0.1, 10, 64)).astype(np.float32)
    x = rng.normal(size=(2, 5, 96)).astype(np.float32)
    x[0, 1] *= 1000  # an outlier row moves itself only
    x[1, 4] = 0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b", 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = ort.InferenceSession(to_int8(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found, want = session.run(None, {"x": x})[0], x @ weight
    # rows are rounded to within half a step of 1/127 of their largest magnitude, columns of 1/63
    row, column = np.abs(x).max(2)[..., None] / 127, np.abs(weight).max(0) / 63
    bound = 0.5 * (row * np.abs(weight).sum(0) + column * np.abs(x).sum(2)[..., None]) * 1.01 + 1e-6
    assert (np.abs(found - want) <= bound).all()
    assert not found[1, 4].any()


def test_products_of_two_pairs_fit_into_sixteen_bits():
    """Processors without VNNI add u8 · s8 products in pairs, saturating at 32767: no weight may let them."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).normal(size=(96, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    small = to_int8(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    kept = {item.name: onnx.numpy_helper.to_array(item).astype(int) for item in small.graph.initializer}
    assert 2 * 255 * np.abs(kept["w.int8"]).max() <= 32767
    assert np.abs(kept["w.int8"]).max() >= 63  # and as many bits as that leaves are used


# -- parity and the verdict -------------------------------------------------------------------------------


def test_a_graph_that_says_something_else_is_refused(encoder, trunk, tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import numpy_helper

    trunk.save(tmp_path)
    graph = onnx.load(tmp_path / "model.onnx")
    bias = next(item for item in graph.graph.initializer if item.name.endswith("head.out.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.001), bias.name))
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(ParityError, match="nothing was written"):
        encoder_parity(encoder, OnnxPredictor(MULTI, OnnxTrunk.open(tmp_path)), tmp_path / "model.onnx")


def measured(**changes) -> Measured:
    base = Measured(
        keys=("a", "b"),
        texts=100,
        labelled=True,
        source="rows",
        before=(0.8, 0.6),
        after=(0.799, 0.6),
        certain=(-0.01, -0.02),
        largest=0.02,
        mean=0.001,
        changed=0.01,
        speed_before=100.0,
        speed_after=200.0,
    )
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "precision", "why"),
    [
        ({}, "int8", None),
        ({"after": (0.77, 0.6)}, "int8", "on average"),
        ({"before": (0.8, 0.6), "after": (0.77, 0.625), "certain": (0.01, -0.1)}, "int8", "worst: a 0.0300"),
        ({"speed_after": 100.0}, "int8", "not faster"),
        ({"speed_after": 50.0}, "fp16", None),
        ({"after": (0.7, 0.6)}, "fp16", "on average"),
        ({"before": (float("nan"), 0.6), "after": (float("nan"), 0.6)}, "int8", None),
        ({"before": (float("nan"),) * 2, "after": (float("nan"),) * 2}, "fp16", "no label has a positive row"),
    ],
)
def test_the_verdict_follows_the_measurement(changes, precision, why):
    verdict = judge(measured(**changes), precision, 0.005)
    assert verdict.kept == (why is None)
    assert len(verdict.reasons) == 1
    if why:
        assert why in verdict.reasons[0]


class Fixed:
    """Probabilities given beforehand."""

    kind = "fixed"

    def __init__(self, task: Task, proba: np.ndarray) -> None:
        self.task, self.proba = task, proba.astype(np.float32)

    def predict_proba(self, inputs):
        return self.proba[: len(inputs)]


def test_what_is_measured():
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]] * 25, np.uint8)
    good, bad = truth * 0.8 + 0.1, truth * 0.8 + 0.1
    bad[::4, 0] = 0.2  # every other positive of the first label is lost
    full = Analyzer(Fixed(MULTI, good), prep=TextPrep.named("raw"))
    found = measure(
        full, Fixed(MULTI, bad), [Input("글")] * 100, truth, source="rows", stopwatch=lambda a, b, c: (1.0, 2.0)
    )
    assert found.before[:2] == (1.0, 1.0)
    assert found.after[0] == pytest.approx(2 / 3)
    assert found.drops[1] == 0
    assert np.isnan(found.before[2])  # no positives: cannot be judged
    assert 0.15 < found.certain[0] < 1 / 3
    assert found.largest == pytest.approx(0.7)
    assert found.changed == pytest.approx(25 / 300)
    assert not judge(found, "int8", 0.005).kept
    unlabelled = measure(
        full, Fixed(MULTI, bad), [Input("글")] * 100, None, source="texts", stopwatch=lambda a, b, c: (1.0, 2.0)
    )
    assert np.array_equal(unlabelled.after, found.after, equal_nan=True)
    assert not unlabelled.labelled


def test_the_race_times_both():
    rates = race(Fixed(MULTI, np.zeros((8, 3))), Fixed(MULTI, np.zeros((8, 3))), [Input("글")] * 8)
    assert min(rates) > 0


def test_the_race_times_work_and_no_memory_of_it():
    """Heads on a shared trunk answer the same texts again without reading them."""
    from maeum.models.blocks import Blocks
    from maeum.models.head import HeadPredictor, SharedTrunk

    class Counting:
        kind, blocks = "counting", Blocks.of((MULTI,))

        def __init__(self):
            self.read = 0

        def logits(self, inputs):
            self.read += len(inputs)
            return np.zeros((len(inputs), 3), np.float32)

    trunks = Counting(), Counting()
    heads = [HeadPredictor(MULTI, SharedTrunk(trunk)) for trunk in trunks]
    inputs = [Input(f"글 {number}") for number in range(40)]
    heads[1].predict_proba(inputs)  # as the measurement before the race leaves it
    race(*heads, inputs)
    assert min(trunk.read for trunk in trunks) > 3 * len(inputs)


# -- folders ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(encoder, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("models") / "encoder"
    analyzer = Analyzer(encoder, prep=TextPrep.named("default"), about={"train": {"rows": 25}})
    return model_folder.save(analyzer, place)


@pytest.fixture(scope="module")
def small(folder, tmp_path_factory) -> Path:
    """The int8 folder, as fast as it pleases."""
    place = tmp_path_factory.mktemp("models") / "small"
    result = export(folder, place, precision="int8", epsilon=1.0, stopwatch=lambda a, b, c: (1.0, 2.0))
    assert result.facts["precision"] == "int8"
    return place


def test_an_exported_folder_is_a_whole_model(folder, tmp_path):
    result = export(folder, tmp_path / "out")
    old, new = maeum.load(folder), maeum.load(tmp_path / "out")
    assert np.abs(old.predict_proba(TEXTS) - new.predict_proba(TEXTS)).max() <= 1e-5
    assert [a.labels for a in old.analyze(TEXTS)] == [a.labels for a in new.analyze(TEXTS)]
    facts = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"))
    assert facts["precision"] == "fp32"
    assert len(facts["parity"][0]["shapes"]) >= 4
    assert new.about["train"] == {"rows": 25}
    assert new.about["export"]["exported_from"] == facts["exported_from"]
    assert "parity" in result.summary()


def test_the_graph_carries_task_calibration_and_thresholds(small):
    onnx = pytest.importorskip("onnx")
    props = {item.key: item.value for item in onnx.load(small / "model" / "model.onnx").metadata_props}
    for name in ("task", "thresholds", "calibration", "text"):
        written = json.loads((small / f"{name}.json").read_text(encoding="utf-8"))
        assert json.loads(props[f"maeum.{name}"]) == written


def test_int8_that_is_not_good_enough_becomes_fp32_and_says_why(folder, tmp_path):
    y = np.zeros((len(TEXTS), 3), np.uint8)
    y[:, 0] = 1
    rows = Dataset(MULTI, [Example(str(n), text, labels=("기쁨",)) for n, text in enumerate(TEXTS)])
    slow = export(folder, tmp_path / "out", precision="int8", data=rows, stopwatch=lambda a, b, c: (2.0, 1.0))
    assert slow.facts["precision"] == "fp32"
    assert any("not faster" in reason for reason in slow.facts["reasons"])
    assert slow.facts["measured"]["multi"]["texts"] == len(TEXTS)
    about = json.loads((tmp_path / "out" / "model" / "onnx.json").read_text(encoding="utf-8"))
    assert about["precision"] == "fp32"
    assert "instead of int8" in slow.summary()


def test_data_of_another_task_is_refused(folder, tmp_path):
    rows = Dataset(SINGLE, [Example("1", "글", labels=("긍정",))])
    with pytest.raises(TaskMismatch, match="single"):
        export(folder, tmp_path / "out", precision="int8", data=rows)
    turned = Dataset(dataclasses.replace(MULTI, labels=MULTI.labels[::-1]), [Example("1", "글", labels=("기쁨",))])
    with pytest.raises(TaskMismatch, match="another order"):
        export(folder, tmp_path / "out", precision="int8", data=turned)


def test_rows_the_model_was_trained_on_are_called_that(encoder, tmp_path):
    rows = Dataset(MULTI, [Example(str(n), text, labels=("기쁨",)) for n, text in enumerate(TEXTS)])
    about = {"train": {"fingerprint": rows.fingerprint}}
    model_folder.save(Analyzer(encoder, prep=TextPrep.named("raw"), about=about), tmp_path / "model")
    result = export(tmp_path / "model", tmp_path / "out", precision="int8", data=rows)
    assert "trained on these very rows" in result.summary()


@pytest.mark.parametrize("name", ["model/model.onnx", "model/tokenizer.json", "model/onnx.json"])
def test_a_truncated_or_edited_file_is_refused_by_its_checksum(small, tmp_path, name):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    content = (copy / name).read_bytes()
    for broken in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1])):
        (copy / name).write_bytes(broken)
        with pytest.raises(FormatError, match="was changed after it was saved"):
            maeum.load(copy)
    (copy / name).unlink()
    with pytest.raises(FormatError, match="damaged"):
        maeum.load(copy)


def test_files_that_nothing_can_read_are_named(trunk, tmp_path):
    trunk.save(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(FormatError, match="onnxruntime cannot read"):
        OnnxPredictor(MULTI, OnnxTrunk.open(tmp_path)).predict_proba([Input("글")])
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(FormatError, match="not a tokenizer file"):
        OnnxTrunk.open(tmp_path)
    newer = {**trunk.settings.to_dict(), "format": 99}
    with pytest.raises(FormatError, match="newer"):
        OnnxSettings.from_dict(newer)
    with pytest.raises(FormatError, match="cannot read"):
        OnnxSettings.from_dict({**trunk.settings.to_dict(), "rows": "sideways"})


def test_settings_come_back(trunk):
    again = OnnxSettings.from_dict(json.loads(json.dumps(trunk.settings.to_dict())))
    assert again == trunk.settings


@pytest.mark.parametrize("task", [MULTI, SINGLE, Task("two", "multiclass", (Label("부정"), Label("긍정")))])
@pytest.mark.parametrize(("rows", "bits"), [(60, 16), (1200, 16), (1200, 8)])
def test_the_linear_model_exports_exactly(tmp_path, task, rows, bits):
    rng = np.random.default_rng(0)
    words = ["기쁘다", "슬프다", "화난다", "오늘", "배송", "가격", "친구"]
    texts = [" ".join(rng.choice(words, 4)) for _ in range(rows)]
    y = np.zeros((rows, len(task)), np.uint8)
    y[np.arange(rows), [words.index(text.split()[0]) % len(task) for text in texts]] = 1
    options = {"folds": 2, "stack": {"features": 16, "min_rows": 500}, "weight_bits": bits}
    model = make_classifier("linear", task, seed=1, options=options).fit([Input(text) for text in texts], y)
    assert ("beta" in model._state) == (rows == 1200 and len(task) == 3)
    assert model._state["weights"].dtype.itemsize == bits // 8
    found = exported(model, tmp_path)
    assert np.abs(found.predict_proba(INPUTS) - model.predict_proba(INPUTS)).max() <= 1e-5


def test_a_linear_model_stays_as_it_is_whatever_precision_is_asked(three, tmp_path):
    y = np.eye(3, dtype=np.uint8)[np.arange(len(TEXTS)) % 3]
    model = make_classifier("linear", three, seed=1).fit([Input(text) for text in TEXTS], y)
    model_folder.save(Analyzer(model, prep=TextPrep.named("raw")), tmp_path / "linear")
    result = export(tmp_path / "linear", tmp_path / "out", precision="int8")
    assert result.facts["precision"] == "fp32"
    assert "16 bits" in result.facts["reasons"][0]


def test_a_mean_of_linear_models_has_no_smaller_form_either(three, tmp_path):
    y = np.eye(3, dtype=np.uint8)[np.arange(len(TEXTS)) % 3]
    model = make_classifier("linear", three, seed=1).fit([Input(text) for text in TEXTS], y)
    model_folder.save(Analyzer(MeanPredictor(three, [model, model]), prep=TextPrep.named("raw")), tmp_path / "mean")
    result = export(tmp_path / "mean", tmp_path / "out", precision="fp16")
    assert result.facts["precision"] == "fp32"
    assert "16 bits" in result.facts["reasons"][0]


def test_damaged_files_of_a_linear_model_are_one_sentence(three, tmp_path):
    y = np.eye(3, dtype=np.uint8)[np.arange(len(TEXTS)) % 3]
    model = make_classifier("linear", three, seed=1).fit([Input(text) for text in TEXTS], y)
    found = exported(model, tmp_path)
    whole = (found.folder / "vocabulary.safetensors").read_bytes()
    for broken in (b"", whole[:5], whole[: len(whole) // 2]):
        (found.folder / "vocabulary.safetensors").write_bytes(broken)
        with pytest.raises(FormatError, match="not a vocabulary file"):
            type(found).load(found.folder, three)
    about = json.loads((found.folder / "onnx.json").read_text(encoding="utf-8"))
    (found.folder / "onnx.json").write_text(json.dumps({**about, "format": 99}), encoding="utf-8")
    with pytest.raises(FormatError, match="newer maeum"):
        type(found).load(found.folder, three)


@pytest.mark.parametrize("where", [".", "..", "onnx", "model/onnx"])
def test_the_original_is_never_replaced_nor_written_into(folder, tmp_path, where):
    import shutil

    source = tmp_path / "runs" / "model"
    shutil.copytree(folder, source)
    before = sorted(source.rglob("*"))
    with pytest.raises(UsageError, match="overlaps the model"):
        export(source, source / where, overwrite=True)
    assert sorted(source.rglob("*")) == before


def test_an_encoder_too_large_for_one_file_is_refused_before_it_is_traced(encoder, tmp_path, monkeypatch):
    from maeum.exporting import converting

    monkeypatch.setattr(converting, "LARGEST", 1000)
    with pytest.raises(UsageError, match="more than one ONNX file holds"):
        exported(encoder, tmp_path)


def test_a_mean_of_encoders_exports_member_by_member(encoder, tmp_path):
    both = MeanPredictor(MULTI, [encoder, encoder])
    model_folder.save(Analyzer(both, prep=TextPrep.named("raw")), tmp_path / "mean")
    export(tmp_path / "mean", tmp_path / "out")
    found = maeum.load(tmp_path / "out")
    assert np.abs(found.predict_proba(TEXTS) - maeum.load(tmp_path / "mean").predict_proba(TEXTS)).max() <= 1e-5


def test_what_cannot_be_kept_exact_is_refused_by_name(tiny_base, small, tmp_path):
    funnel = untrained(tiny_base("funnel"), "mean", MULTI)
    with pytest.raises(UsageError, match=r"funnel.*maeum distill"):
        exported(funnel, tmp_path)
    with pytest.raises(UsageError, match="exported model already"):
        export(small, tmp_path / "again")

    class Vote:
        kind = "vote"

    for kind, instead in (("vote", "maeum ensemble"), ("decoder", "maeum distill"), ("review", "model/aspects")):
        model = type("Other", (), {"kind": kind})()
        with pytest.raises(UsageError, match=f"'{kind}' model cannot be exported.*{instead}"):
            Exporter(tmp_path, "", {}).full(model)
    assert not (tmp_path / "again").exists()


def goes_back(tmp_path, monkeypatch, model, trunk):
    """The exported trunk becomes the encoder it was: exactly out of fp32, within rounding out of int8."""
    from maeum.hf.loading import load_backbone

    want = model.network.backbone.state_dict()
    facts = convert_trunk(trunk.folder, tmp_path / "fp32", name="mini")
    found = load_backbone(tmp_path / "fp32").state_dict()
    assert {name for name in want if not name.startswith("pooler")} == set(found)
    assert all(torch.equal(found[name], want[name]) for name in found)
    assert facts["precision"] == "fp32"
    assert pooling_of(tmp_path / "fp32") == "mean"
    small = tmp_path / "small"
    shutil.copytree(trunk.folder, small)
    monkeypatch.setattr(quantizing, "MIN_WEIGHTS", 64)
    graph = to_int8(onnx.load(trunk.folder / "model.onnx"))
    onnx.save(graph, small / "model.onnx")
    assert any(item.name.endswith(".transposed.int8") for item in graph.graph.initializer)
    convert_trunk(small, tmp_path / "int8", name="mini")
    near = load_backbone(tmp_path / "int8").state_dict()
    assert set(near) == set(found)
    for name, value in near.items():
        assert (value - want[name]).abs().max() <= want[name].abs().max() / 63
    assert any(not torch.equal(near[name], want[name]) for name in near)
    with pytest.raises(UsageError, match="already exists"):
        convert_trunk(small, tmp_path / "int8", name="mini")
    for item in graph.graph.initializer:
        item.name = item.name.replace("network.", "net.")
    onnx.save(graph, small / "model.onnx")
    with pytest.raises(FormatError, match="without the names of its weights"):
        convert_trunk(small, tmp_path / "none", name="mini")
    assert not (tmp_path / "none").exists()


def test_several_heads_share_one_exported_trunk(tiny_base, tmp_path, monkeypatch):
    from maeum.models.encoder import EncoderConfig
    from maeum.models.head import HeadPredictor, SharedTrunk, save_trunk
    from maeum.models.many_heads import ManyHeads

    options = {"head": "mean", "device": "cpu", "precision": "fp32", "max_steps": 1, "max_length": 24}
    model = ManyHeads((MULTI, SINGLE), EncoderConfig.of(str(tiny_base("e5")), options), seed=1)
    y = np.zeros((len(INPUTS), 6), np.uint8)
    y[:, 0] = y[:, 4] = 1
    trunk = SharedTrunk(model.fit(INPUTS, y))
    linear = make_classifier("linear", SINGLE, seed=1).fit(INPUTS, y[:, 3:])
    heads = {
        "multi": HeadPredictor(MULTI, trunk),
        "single": HeadPredictor(SINGLE, trunk, linear=linear, weight=0.5),
    }
    source = tmp_path / "heads"
    (source / "trunk").mkdir(parents=True)
    save_trunk(trunk, source / "trunk")
    for name, head in heads.items():
        (source / "heads" / name).mkdir(parents=True)
        model_folder.write_head(Analyzer(head, prep=TextPrep.named("default")), source / "heads" / name)
    model_folder.seal(source, model_folder.HEADS_KIND, MULTI, heads=tuple(heads))

    result = export(source, tmp_path / "out", precision="int8", epsilon=0.0, stopwatch=lambda a, b, c: (2.0, 1.0))
    assert result.facts["precision"] == "fp32"
    assert {reason.partition(":")[0] for reason in result.facts["reasons"]} == {"multi", "single"}
    old, new = model_folder.load_heads(source), model_folder.load_heads(tmp_path / "out")
    assert list(new) == ["multi", "single"]
    for name in new:
        assert np.abs(old[name].predict_proba(TEXTS) - new[name].predict_proba(TEXTS)).max() <= 1e-5
        assert new[name].about["export"]["precision"] == "fp32"
    inner = [analyzer.predictor.trunk for analyzer in new.values()]
    assert inner[0] is inner[1]
    goes_back(tmp_path, monkeypatch, model, inner[0].trunk)
    assert inner[0].trunk.kind == "onnx"
    assert inner[0].trunk.blocks == model.blocks
    with pytest.raises(UsageError, match="exported model already"):
        export(tmp_path / "out", tmp_path / "again")
