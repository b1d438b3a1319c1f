"""Distilling a folder of several heads: the joined teacher, the loss, the student's folder, rows held out by a plan."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_kit import failed, ok

import maeum
from maeum import folder as model_folder
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.distilling import DistillSettings, distill, distill_heads
from maeum.distilling.heads_lesson import JoinedTeacher, gather_rows
from maeum.errors import TaskMismatch, UsageError
from maeum.models.blocks import Blocks
from maeum.models.head import HeadPredictor, SharedTrunk
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("긍정")))
TASKS = (MULTI, SINGLE)
WORDS = {"기쁨": "기쁘고 행복한", "슬픔": "슬퍼서 눈물이", "분노": "화가 나서"}
FAST = {"max_length": 24, "epochs": 8.0, "learning_rate": 3e-3, "batch_size": 10, "device": "cpu", "precision": "fp32"}


def write_rows(place: Path) -> Path:
    """Two small corpora with labels, texts without, and a plan of two heads."""
    for task in TASKS:
        keys = "".join(f'[[labels]]\nkey = "{key}"\n' for key in task.keys)
        (place / f"{task.name}.toml").write_text(
            f'name = "{task.name}"\nkind = "{task.kind}"\n{keys}', encoding="utf-8"
        )
    rows = [
        {"id": f"m{n}", "text": f"{n}번째 날은 {WORDS[key]} 하루", "labels": [key]}
        for n, key in enumerate(list(WORDS) * 14)
    ]
    lines = {"multi": rows}
    lines["single"] = [
        {
            "id": f"s{n}",
            "text": f"{n}번 표는 {'최고로 좋다' if n % 2 else '최악이라 싫다'}",
            "labels": [SINGLE.keys[n % 2]],
        }
        for n in range(40)
    ]
    for name, found in lines.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (place / f"{name}.jsonl").write_text(text, encoding="utf-8")
    everything = [row["text"] for found in lines.values() for row in found] + [
        f"{n}번째 밤은 {word} {'좋다' if n % 2 else '싫다'}" for n in range(10) for word in WORDS.values()
    ]
    (place / "texts.txt").write_text("\n".join(everything), encoding="utf-8")
    plan = place / "plan.toml"
    plan.write_text(
        f'[[sources]]\ndata = "multi.jsonl"\ntask = "{place / "multi.toml"}"\nvalid = 0.2\nheld = 0.2\npasses = 2\n\n'
        f'[[sources]]\ndata = "single.jsonl"\ntask = "{place / "single.toml"}"\nheld = 0.2\npasses = 0.5\n',
        encoding="utf-8",
    )
    return plan


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_base: Any) -> Path:
    """Rows, a plan, and ``teacher``: two heads on one tiny trunk, a linear model mixed into each."""
    from maeum.heads import HeadsSettings, read_plan, train_heads

    folder = tmp_path_factory.mktemp("heads")
    settings = HeadsSettings(base=str(tiny_base("e5")), options=FAST)
    train_heads(read_plan(write_rows(folder)), settings, output=folder / "teacher")
    return folder


class Told:
    """A trunk that says what the numbers in a text say."""

    kind = "told"
    blocks = Blocks.of(TASKS)

    def logits(self, inputs: Any) -> np.ndarray:
        return np.array([[float(word) for word in item.text.split()] for item in inputs], np.float32)

    def save(self, folder: Path) -> None:
        raise AssertionError


def told_heads() -> dict[str, Analyzer]:
    trunk = SharedTrunk(Told())
    return {
        task.name: Analyzer(HeadPredictor(task, trunk), prep=TextPrep.named("raw"), thresholds=Thresholds.default(task))
        for task in TASKS
    }


def test_a_joined_teacher_says_what_each_head_says() -> None:
    heads = told_heads()
    joined = JoinedTeacher(heads, TASKS[::-1])
    texts = [Input("1 -2 0.5 3 4"), Input("-1 2 -0.5 1 0")]
    p = joined.predict_proba(texts)
    assert p.shape == (2, 5)
    assert p[:, :2] == pytest.approx(heads["single"].predict_proba(texts))
    assert p[:, 2:] == pytest.approx(heads["multi"].predict_proba(texts))
    assert joined.task.keys[0] == "single/부정"
    assert joined.decide(p).tolist() == [[0, 1, 1, 0, 1], [1, 0, 0, 1, 0]]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_loss_is_the_weighted_sum_over_heads_and_labels_count_only_where_they_are(temperature: float) -> None:
    import torch

    from maeum.models.soft_losses import aims, many_soft_loss, soft_loss

    rng = np.random.default_rng(3)
    z = torch.from_numpy(rng.normal(size=(3, 5)).astype(np.float32))
    soft = rng.uniform(0.05, 0.95, (3, 5)).astype(np.float32)
    soft[:, 3:] /= soft[:, 3:].sum(1, keepdims=True)
    hard = np.array([[1, 0, 1, -1, -1], [-1, -1, -1, 0, 1], [-1] * 5], np.int8)
    weights = {"multi": 1.7, "single": 0.5}
    got = many_soft_loss(Blocks.of(TASKS), weights, temperature=temperature, alpha=0.4)(
        z, torch.from_numpy(aims(soft, hard))
    )
    want = torch.zeros(3)
    for task, columns in ((MULTI, slice(0, 3)), (SINGLE, slice(3, 5))):
        own = soft_loss(task.kind, temperature=temperature, alpha=0.4)
        want += weights[task.name] * own(z[:, columns], torch.from_numpy(aims(soft[:, columns], hard[:, columns])))
    assert got.numpy() == pytest.approx(want.numpy(), rel=1e-5)
    # the first row has labels of the one task alone: other labels of the other change nothing
    other = hard.copy()
    other[0, :3] = [0, 1, 0]
    changed = many_soft_loss(Blocks.of(TASKS), weights, alpha=0.4)(z, torch.from_numpy(aims(soft, other)))
    plain = many_soft_loss(Blocks.of(TASKS), weights, alpha=0.4)(z, torch.from_numpy(aims(soft, hard)))
    assert (changed != plain).tolist() == [True, False, False]


@pytest.mark.slow
def test_a_student_of_half_the_layers_has_all_heads(place: Path, tmp_path: Path) -> None:
    settings = DistillSettings(student="layers:1", hidden=1.0, model_options=FAST | {"epochs": 14.0})
    result = distill_heads(place / "teacher", place / "texts.txt", tmp_path / "out", settings)
    student, teacher = model_folder.load_heads(tmp_path / "out"), model_folder.load_heads(place / "teacher")
    assert list(student) == list(teacher) == ["multi", "single"]
    network = student["multi"].predictor.trunk.trunk.network
    assert network.backbone.config.num_hidden_layers == 1
    assert student["multi"].predictor.linear is None
    texts = [Input(text) for text in (place / "texts.txt").read_text(encoding="utf-8").splitlines()]
    for name in student:
        far = np.abs(student[name].predict_proba(texts) - teacher[name].predict_proba(texts)).mean()
        untaught = np.abs(0.5 - teacher[name].predict_proba(texts)).mean()
        assert far < 0.6 * untaught, name
        assert "the teacher's decisions on" in student[name].thresholds.tuned_on
        # against decisions there is nothing to calibrate: the probabilities are the trunk's own
        prepared = [student[name].prep.prepare_input(text) for text in texts]
        raw = student[name].predictor.predict_proba(prepared)
        assert student[name].calibration.apply(raw) == pytest.approx(raw)
    assert set(result.facts["heads"]) == {"multi", "single"}
    assert result.facts["heads"]["multi"]["valid"] is None
    assert result.facts["sizes"]["student"]["parameters"] < result.facts["sizes"]["teacher"]["parameters"]
    assert not (tmp_path / "out.partial").exists()
    # without a plan nobody knows which rows the student has not seen
    assert "plan" not in student["multi"].about
    assert maeum.load(tmp_path / "out", task="single").analyze(["표는 최고로 좋다"])[0].labels == ("긍정",)


def test_a_plan_gives_labels_to_learn_rows_to_tune_on_and_rows_to_judge(place: Path, tmp_path: Path) -> None:
    from maeum.heads import Plan, read_plan
    from maeum.heads.training import kept_trunk

    plan = read_plan(place / "plan.toml")
    settings = DistillSettings(student="layers:1", alpha=0.5, model_options=FAST | {"epochs": 2.0})
    result = distill_heads(place / "teacher", place / "texts.txt", tmp_path / "out", settings, plan=plan)
    student = model_folder.load_heads(tmp_path / "out")
    assert "labels of" in student["multi"].thresholds.tuned_on
    multi = result.facts["heads"]["multi"]["valid"]
    assert 6 <= multi["rows"] <= 10
    assert set(multi["scores"]) == {"micro_f1", "macro_f1"}
    assert result.facts["heads"]["single"]["valid"] is None  # the plan names no rows to judge it by
    assert result.facts["notes"] == []
    report = json.loads((tmp_path / "out/heads/multi/report.json").read_text(encoding="utf-8"))
    assert report["n"] == multi["rows"]
    # the same plan trained the teacher, so what it holds out is new to the student: its trunk may be kept
    assert kept_trunk(tmp_path / "out", plan, 42).trunk.kind == "many-heads"
    more = Plan(tuple(dataclasses.replace(source, passes=7.0) for source in plan.sources))
    assert kept_trunk(tmp_path / "out", more, 42).trunk.kind == "many-heads"
    with pytest.raises(UsageError, match="may have seen the rows held out"):
        kept_trunk(tmp_path / "out", plan, 43)


def test_rows_that_a_plan_holds_out_are_not_learnt_and_the_others_as_often_as_it_says(place: Path) -> None:
    from maeum.heads import read_plan
    from maeum.splits import duplicate_key

    plan = read_plan(place / "plan.toml")
    settings = DistillSettings(student="layers:1")
    rows = gather_rows(str(place / "texts.txt"), {}, TextPrep.named("default"), TASKS, plan, 42, settings)
    assert rows.parts is not None
    out = {duplicate_key(t) for part in rows.parts for t in part.held.texts}
    out |= {duplicate_key(t) for t in rows.parts[0].judge.texts}  # type: ignore[union-attr]
    assert len(out) == 42 + 40 - len(rows.parts[0].train) - len(rows.parts[1].train)
    assert not out & {duplicate_key(item.text) for item in rows.pool.inputs}
    assert rows.pool.counts["judging"] == len(out)
    hard, labelled = rows.pool.hard(5), rows.pool.labelled
    of_multi = labelled & (hard[:, 0] >= 0)
    assert (rows.times[of_multi] == 2).all()
    assert of_multi.sum() == len(rows.parts[0].train)
    assert (hard[of_multi, 3:] == -1).all()
    of_single = labelled & (hard[:, 3] >= 0)
    assert of_single.sum() == round(len(rows.parts[1].train) / 2)
    # what half a pass leaves out is learnt as a text without labels, once
    assert (rows.times[~of_multi] == 1).all()
    assert (~labelled).sum() == 30 + len(rows.parts[1].train) - of_single.sum()


@pytest.mark.slow
def test_an_exported_teacher_needs_a_start_and_the_student_is_exported(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from maeum.exporting.running import export

    export(place / "teacher", tmp_path / "onnx", precision="fp32")
    settings = DistillSettings(student="layers:1", model_options=FAST | {"epochs": 1.0})
    with pytest.raises(UsageError, match="give --start the folder of the same heads"):
        distill_heads(tmp_path / "onnx", place / "texts.txt", tmp_path / "out", settings)
    settings = dataclasses.replace(settings, start=str(place / "teacher"))
    distill_heads(tmp_path / "onnx", place / "texts.txt", tmp_path / "out", settings)
    export(tmp_path / "out", tmp_path / "small", precision="int8", epsilon=1.0)
    small, student = model_folder.load_heads(tmp_path / "small"), model_folder.load_heads(tmp_path / "out")
    assert list(small) == ["multi", "single"]
    text = ["슬퍼서 눈물이 나는 하루"]
    assert small["multi"].predict_proba(text) == pytest.approx(student["multi"].predict_proba(text), abs=0.05)


class Dies(Exception):
    """The plug is pulled."""


def test_a_killed_run_goes_on_and_does_not_ask_the_teacher_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DistillSettings(student="layers:1", model_options=FAST | {"epochs": 1.0})

    def dies(line: str) -> None:
        if "training the student" in line:
            raise Dies

    with pytest.raises(Dies):
        distill_heads(place / "teacher", place / "texts.txt", tmp_path / "out", settings, progress=dies)
    assert list((tmp_path / "out.partial/soft").glob("part-*"))
    asked: list[int] = []
    real = JoinedTeacher.predict_proba

    def counted(self: JoinedTeacher, data: Any) -> Any:
        asked.append(len(data))
        return real(self, data)

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(JoinedTeacher, "predict_proba", counted)
        patch.setattr("maeum.measuring.speed", lambda *_: 1.0)
        distill_heads(place / "teacher", place / "texts.txt", tmp_path / "out", settings, progress=said.append)
    assert asked == []
    assert any("are there already" in line for line in said)
    assert (tmp_path / "out/manifest.json").exists()


def test_what_cannot_be_is_refused_in_one_sentence(place: Path, tmp_path: Path, tiny_base: Any) -> None:
    from maeum.heads import Plan, read_plan

    texts, out = place / "texts.txt", tmp_path / "out"
    with pytest.raises(UsageError, match="cannot be linear"):
        distill_heads(place / "teacher", texts, out, DistillSettings(student="linear"))
    with pytest.raises(UsageError, match="choose one with task"):
        distill(place / "teacher", texts, out)
    plan = read_plan(place / "plan.toml")
    with pytest.raises(TaskMismatch, match="the plan's heads"):
        distill_heads(place / "teacher", texts, out, DistillSettings(student="layers:1"), plan=Plan(plan.sources[:1]))
    assert not (tmp_path / "out.partial").exists()


def test_the_command_distils_all_heads_and_names_what_does_not_fit(place: Path, tmp_path: Path) -> None:
    few = ("--student", "layers:1", "--epochs", 1, "--batch-size", 16, "--device", "cpu", "--max-length", 24)
    words = ("distill", place / "teacher", place / "texts.txt", *few, "-o")
    said = ok(*words, "out", "--data", place / "plan.toml", cwd=tmp_path).stdout
    assert "[multi]\nagreement with the teacher" in said
    assert "valid rows, teacher → student" in said
    ok("predict", "out", place / "texts.txt", "--task", "single", "-o", "p.jsonl", cwd=tmp_path)
    first = json.loads((tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert len(first["labels"]) == 1
    for more, sentence in (
        (("--data", place / "texts.txt"), "--data must be a plan"),
        (("--valid", place / "texts.txt"), "--valid goes with --task"),
        (("--root", place), "--root goes with a plan"),
        (("--task", "single", "--root", place), "--root goes with a plan"),
    ):
        assert sentence in failed(1, *words, "no", *more, cwd=tmp_path)
