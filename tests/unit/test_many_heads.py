"""Several tasks on one encoder: the plan, the loss, the folder, the mixture with linear models."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_kit import failed, maeum

import maeum as library
from maeum.data import Input
from maeum.errors import FormatError, TaskMismatch, UsageError
from maeum.heads import HeadsSettings, own_rows, read_plan, train_heads
from maeum.heads.folder import refuse_names
from maeum.heads.training import pass_counts, split_plan
from maeum.models.blocks import ABSENT, Blocks, joined_task
from maeum.models.head import HeadPredictor, SharedTrunk, fit_platt, fit_weight, mixed
from maeum.runs import collect
from maeum.splits import duplicate_key
from maeum.task import Label, Task, get_task

MULTI = Task("multi", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
SINGLE = Task("single", "multiclass", (Label("부정"), Label("긍정")))
WORDS = {"기쁨": "기쁘고 행복한", "슬픔": "슬퍼서 눈물이", "분노": "화가 나서"}


def write_rows(place: Path) -> Path:
    """Two small corpora and a plan of three heads."""
    for name, task in (("multi", MULTI), ("single", SINGLE)):
        keys = "".join(f'[[labels]]\nkey = "{key}"\n' for key in task.keys)
        (place / f"{name}.toml").write_text(f'name = "{name}"\nkind = "{task.kind}"\n{keys}', encoding="utf-8")
    rows = [
        {"id": f"m{n}", "text": f"{n}번째 날은 {WORDS[key]} 하루", "labels": [key]}
        for n, key in enumerate(list(WORDS) * 20)
    ]
    (place / "multi.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    rows = [
        {
            "id": f"s{n}",
            "text": f"{n}번 표는 {'최고로 좋다' if n % 2 else '최악이라 싫다'}",
            "labels": [SINGLE.keys[n % 2]],
        }
        for n in range(60)
    ]
    # one text of the other corpus, to be kept out of training wherever it is held out
    rows.append({"id": "same", "text": "0번째 날은 기쁘고 행복한 하루", "labels": ["긍정"]})
    (place / "single.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = place / "plan.toml"
    plan.write_text(
        f'[[sources]]\ndata = "multi.jsonl"\ntask = "{place / "multi.toml"}"\nvalid = 0.2\npasses = 1.5\n\n'
        f'[[sources]]\ndata = "single.jsonl"\ntask = "{place / "single.toml"}"\n\n[weights]\nsingle = 2\n',
        encoding="utf-8",
    )
    return plan


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Any) -> Path:
    place = tmp_path_factory.mktemp("heads")
    options = {"epochs": 6.0, "batch_size": 10, "learning_rate": 3e-3, "device": "cpu", "precision": "fp32"}
    settings = HeadsSettings(base=str(tiny_base("e5")), options=options)
    train_heads(read_plan(write_rows(place)), settings, output=place / "out")
    return place / "out"


class Fixed:
    """A trunk that says what it is told, and counts how often it is asked."""

    kind = "fixed"
    blocks = Blocks.of([MULTI, SINGLE])

    def __init__(self, logits: np.ndarray) -> None:
        self.answer = logits.astype(np.float32)
        self.asked = 0

    def logits(self, inputs: Any) -> np.ndarray:
        self.asked += 1
        return self.answer[: len(inputs)]

    def save(self, folder: Path) -> None:
        raise AssertionError


def test_a_plan_names_its_heads_in_order_and_maps_labels(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        '[[sources]]\ndata = "sample:aihub"\nheads = ["aihub-7", "nikl-ea"]\n[[sources]]\ndata = "sample:nikl-ea"\n',
        encoding="utf-8",
    )
    plan = read_plan(tmp_path / "p.toml")
    assert [head.name for head in plan.heads] == ["aihub-7", "nikl-ea"]
    source, native = plan.sources
    head = plan.heads[1]
    assert not source.is_native(head)
    assert native.is_native(head)
    y = source.labels(source.rows, head)
    assert y.shape == (len(source.rows), 8)
    happy = next(n for n, row in enumerate(source.rows) if row.labels == ("행복",))
    assert y[happy, head.index("joy")] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no \\[\\[sources\\]\\]"),
        ("[[sources]]\n", 'needs data = "FILE"'),
        ('[[sources]]\ndata = "x.jsonl"\npases = 2\n', "did you mean 'passes'"),
        ('[[sources]]\ndata = "sample:nikl-ea"\npasses = 0\n', "above 0"),
        ('[[sources]]\ndata = "sample:nikl-ea"\nheld = 1.5\n', "between 0 and 1"),
        ('[[sources]]\ndata = "sample:nikl-ea"\nvalid = 2\n', "between 0 and 1"),
        ('[[sources]]\ndata = "sample:nikl-ea"\n[weights]\nniklea = 2\n', "did you mean 'nikl-ea'"),
        ('[[sources]]\ndata = "sample:nikl-ea"\npasses = "3"\n', "above 0"),
        ('[[sources]]\ndata = "sample:nikl-ea"\npasses = inf\n', "above 0"),
        ('[[sources]]\ndata = "sample:nikl-ea"\nheld = "a tenth"\n', "between 0 and 1"),
        ('[[sources]]\ndata = "sample:nikl-ea"\nvalid = [0.1]\n', "between 0 and 1"),
        ('[[sources]]\ndata = "sample:nikl-ea"\nheads = "nikl-ea"\n', "a list of names"),
        ('[[sources]]\ndata = "sample:nikl-ea"\nheads = []\n', "a list of names"),
        ('[[sources]]\ndata = "sample:nikl-ea"\ntask = 3\n', "task must be a word"),
        ('sources = ["sample:nikl-ea"]\n', "no \\[\\[sources\\]\\]"),
        ('weights = 2\n[[sources]]\ndata = "sample:nikl-ea"\n', "must be a table"),
        ('[[sources]]\ndata = "sample:nikl-ea"\n[weights]\nnikl-ea = nan\n', "above 0"),
        ("sources = [", "not TOML"),
    ],
)
def test_a_bad_plan_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_plan(tmp_path / "p.toml")


def test_aspect_tasks_and_twins_have_no_head() -> None:
    with pytest.raises(UsageError, match="aspect task"):
        Blocks.of([get_task("review-fashion")])
    with pytest.raises(UsageError, match="occurs twice"):
        Blocks.of([MULTI, MULTI])


def test_the_loss_is_that_of_each_task_on_its_own_rows(tiny_base: Any) -> None:
    import torch
    from torch.nn import functional

    from maeum.models.encoder import EncoderConfig
    from maeum.models.many_heads import ManyHeads

    model = ManyHeads([MULTI, SINGLE], EncoderConfig.of(str(tiny_base("e5")), {}), weights={"single": 2.0})
    y = np.array([[1, 0, 1, ABSENT, ABSENT], [ABSENT] * 3 + [0, 1], [0, 1, 0, 1, 0]], np.float32)
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    each = model._loss(y)(z, torch.from_numpy(y))
    bce = functional.binary_cross_entropy_with_logits(z[:, :3], torch.from_numpy(y[:, :3]), reduction="none").mean(1)
    ce = functional.cross_entropy(z[:, 3:], torch.tensor([0, 1, 0]), reduction="none")
    expected = [3**0.5 * bce[0], 2 * ce[1], 3**0.5 * bce[2] + 2 * ce[2]]
    assert torch.allclose(each, torch.stack(expected), atol=1e-6)
    each.sum().backward()
    assert z.grad is not None
    assert z.grad[0, 3:].abs().max() == 0  # a task that a row is not labelled for learns nothing from it
    assert z.grad[1, :3].abs().max() == 0


def test_no_row_is_trained_on_whose_text_is_held_out_elsewhere(tmp_path: Path) -> None:
    parts = split_plan(read_plan(write_rows(tmp_path)), HeadsSettings(base="x"))
    out = {duplicate_key(t) for part in parts for rows in (part.held, part.judge) if rows for t in rows.texts}
    assert not out & {duplicate_key(text) for part in parts for text in part.train.texts}
    assert duplicate_key("0번째 날은 기쁘고 행복한 하루") in out | {
        duplicate_key(text) for part in parts for text in part.train.texts
    }


def test_a_text_that_judges_somewhere_tunes_nowhere(tmp_path: Path) -> None:
    plan = read_plan(write_rows(tmp_path))
    first = plan.sources[0]
    # the same rows twice: what one source holds out for the report, the other must not set thresholds on
    twice = dataclasses.replace(plan, sources=(first, dataclasses.replace(first, valid=None, held=0.5)))
    parts = split_plan(twice, HeadsSettings(base="x"))
    judged = {duplicate_key(text) for part in parts if part.judge for text in part.judge.texts}
    assert judged
    assert all(len(part.held) for part in parts)
    assert not judged & {duplicate_key(text) for part in parts for text in part.held.texts}


def test_a_head_without_rows_is_refused_before_training(
    tmp_path: Path, tiny_base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maeum.models.many_heads import ManyHeads

    monkeypatch.setattr(ManyHeads, "fit_watched", lambda *_, **__: pytest.fail("trained"))
    plan = read_plan(write_rows(tmp_path))
    settings = HeadsSettings(base=str(tiny_base("e5")))
    few = dataclasses.replace(plan.sources[0], rows=plan.sources[0].rows.select(range(4)), valid=None, held=0.4)
    with pytest.raises(UsageError, match="'multi' has only 4 distinct labelled texts"):
        train_heads(dataclasses.replace(plan, sources=(few, plan.sources[1])), settings, output=tmp_path / "out")
    # all of its rows judge another source
    inside = dataclasses.replace(plan.sources[0], rows=plan.sources[1].rows, heads=plan.sources[1].heads, valid=None)
    other = dataclasses.replace(plan.sources[0], valid=plan.sources[1].rows)
    with pytest.raises(UsageError, match="'single' has no rows to learn from"):
        train_heads(dataclasses.replace(plan, sources=(other, inside)), settings, output=tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("name", ["../out", "a/b", "a:b", ".a", "a.", " "])
def test_a_head_is_called_what_a_folder_may_be(name: str) -> None:
    with pytest.raises(UsageError, match="becomes that of a folder"):
        refuse_names(["multi", name])


def test_a_plan_refuses_options_it_would_ignore(tmp_path: Path) -> None:
    plan = write_rows(tmp_path)
    words = ("train", plan, "--model", "encoder:x", "-o", "out")
    for option in (("--objective", "micro-f1"), ("--no-calibration",), ("--shrinkage", 0), ("--empty", "argmax")):
        assert f"do not go with a plan ({plan}): {option[0]};" in failed(1, *words, *option, cwd=tmp_path)
    assert "--root goes with a plan" in failed(1, "train", "sample:aihub", "--root", ".", "-o", "out", cwd=tmp_path)


def test_passes_are_kept_on_average() -> None:
    times = pass_counts(1000, 1.5, np.random.default_rng(0))
    assert times.sum() == 1500
    assert set(times.tolist()) == {1, 2}


def test_heads_learn_and_come_back(trained: Path) -> None:
    heads = library.load_heads(trained)
    assert list(heads) == ["multi", "single"]
    texts = ["오늘은 기쁘고 행복한 하루", "그날은 화가 나서 하루"]
    assert heads["multi"].analyze(texts)[0].labels == ("기쁨",)
    assert heads["multi"].analyze(texts)[1].labels == ("분노",)
    alone = library.load(trained, task="single")
    assert np.array_equal(alone.predict_proba(texts), heads["single"].predict_proba(texts))
    with pytest.raises(TaskMismatch, match="it has: multi, single"):
        library.load(trained, task="kote")


def test_runs_count_each_head_as_a_run(trained: Path, tmp_path: Path) -> None:
    rows = {row["task"]: row for row in collect(trained.parent)}
    assert set(rows) == {"multi", "single"}
    for name, row in rows.items():
        metrics = json.loads((trained / "heads" / name / "report.json").read_text(encoding="utf-8"))["metrics"]
        assert row["micro_f1"] == round(metrics["micro_f1"], 4)
        assert row["model"].startswith("encoder:")
        assert "problem" not in row
    shutil.copytree(trained, tmp_path / "copy")
    heads = tmp_path / "copy" / "heads"
    (heads / "single" / "report.json").unlink()
    measured, unmeasured = collect(tmp_path)
    assert (measured["task"], unmeasured["task"]) == ("multi", "single")
    assert "micro_f1" not in unmeasured
    assert "problem" not in unmeasured
    (heads / "single" / "task.json").unlink()
    assert "task.json" in collect(tmp_path)[1]["problem"]


def test_one_head_can_leave_with_its_trunk(trained: Path, tmp_path: Path) -> None:
    head = library.load(trained, task="single")
    library.save(head, tmp_path / "alone")
    again = library.load(tmp_path / "alone")
    assert np.array_equal(again.predict_proba(["표는 최고로 좋다"]), head.predict_proba(["표는 최고로 좋다"]))


def test_the_command_line_knows_heads(trained: Path, tmp_path: Path) -> None:
    result = maeum("analyze", "--model", trained, "--json", "오늘은 기쁘고 행복한 하루", cwd=tmp_path)
    found = json.loads(result.stdout)["results"][0]
    assert set(found["scores"]) == {"multi", "single"}
    assert found["labels"] == found["labels_by_task"]["multi"] == ["기쁨"]
    shown = maeum("analyze", "--model", trained, "--task", "single", "표는 최고로 좋다", cwd=tmp_path).stdout
    assert "multi" not in shown
    wrong = maeum("analyze", "--model", trained, "--task", "kote", "하루", cwd=tmp_path)
    assert wrong.returncode == 1
    assert "multi, single" in wrong.stderr
    before = library.load(trained, task="multi").thresholds.values
    assert maeum("thresholds", trained, "--task", "multi", "--set", "기쁨=0.9", cwd=tmp_path).returncode == 0
    assert library.load(trained, task="multi").thresholds.values[0] == pytest.approx(0.9)
    assert library.load(trained, task="single").predict_proba(["하루"]).shape == (1, 2)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(f'{{"text": "{WORDS[key]} {n}", "labels": ["{key}"]}}\n' for n, key in enumerate(list(WORDS) * 4))
    )
    tuned = ("thresholds", trained, rows, "--objective", "macro-f1", "--task")
    # the head is not the first, and named by the file of its task
    assert maeum(*tuned, trained.parent / "multi.toml", cwd=tmp_path).returncode == 0
    assert "rows.jsonl" in library.load(trained, task="multi").thresholds.tuned_on
    assert library.load(trained, task="single").thresholds.is_argmax
    back = ",".join(f"{key}={value}" for key, value in zip(MULTI.keys, before, strict=True))
    assert maeum("thresholds", trained, "--task", "multi", "--set", back, cwd=tmp_path).returncode == 0


def test_a_changed_trunk_is_refused(trained: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(trained, tmp_path / "copy")
    path = tmp_path / "copy" / "trunk" / "head.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FormatError, match="was changed after it was saved"):
        library.load(tmp_path / "copy")


def test_a_manifest_cannot_lead_out_of_the_folder(trained: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(trained, tmp_path / "copy")
    path = tmp_path / "copy" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for heads in (["../../somewhere"], [], None):
        manifest["heads"] = heads
        path.write_text(json.dumps(manifest), encoding="utf-8")
        with pytest.raises(FormatError, match="damaged"):
            library.load(tmp_path / "copy")


def test_the_trunk_is_asked_once_for_all_heads() -> None:
    trunk = Fixed(np.array([[2.0, -2.0, 0.0, 1.0, 3.0]]))
    shared = SharedTrunk(trunk)
    heads = [HeadPredictor(task, shared) for task in (MULTI, SINGLE)]
    first, second = (head.predict_proba([Input("하루")]) for head in heads)
    assert trunk.asked == 1
    assert np.allclose(first, 1 / (1 + np.exp(-np.array([[2.0, -2.0, 0.0]]))))
    assert np.allclose(second, np.exp([[1.0, 3.0]]) / np.exp([[1.0, 3.0]]).sum())
    heads[0].predict_proba([Input("다른 글")])
    assert trunk.asked == 2


def test_a_mixture_is_taken_in_log_odds() -> None:
    z = np.array([[2.0, -1.0, 0.5]], np.float32)
    other = np.array([[0.1, 0.5, 0.9]], np.float32)
    log_odds = 0.25 * z + 0.75 * np.log(other / (1 - other))
    assert np.allclose(mixed(z, other, 0.25, MULTI), 1 / (1 + np.exp(-log_odds)), atol=1e-6)
    z, other = np.array([[1.0, 3.0]], np.float32), np.array([[0.9, 0.1]], np.float32)
    p = np.exp(0.5 * (z - np.logaddexp(1.0, 3.0)) + 0.5 * np.log(other))
    assert np.allclose(mixed(z, other, 0.5, SINGLE), p / p.sum(), atol=1e-6)


def test_the_weight_follows_who_is_right() -> None:
    y = np.eye(2, dtype=np.uint8)[np.arange(40) % 2]
    good, noise = (2.0 * y - 1).astype(np.float32), np.full((40, 2), 0.5, np.float32)
    wrong = (0.9 - 0.8 * y).astype(np.float32)
    assert fit_weight(good, wrong, y, SINGLE) == 1
    assert fit_weight(-good, (0.1 + 0.8 * y).astype(np.float32), y, SINGLE) == 0
    assert fit_weight(good, noise, y, SINGLE) == 1


def test_a_finished_trunk_is_not_trained_again(tmp_path: Path, tiny_base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from maeum.heads import training
    from maeum.models.many_heads import ManyHeads

    plan = read_plan(write_rows(tmp_path))
    settings = HeadsSettings(base=str(tiny_base("e5")), options={"max_steps": 2, "batch_size": 10, "device": "cpu"})
    with monkeypatch.context() as patch:
        patch.setattr(training, "_head", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_heads(plan, settings, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(ManyHeads, "fit_watched", lambda *_, **__: pytest.fail("trained again"))
    train_heads(plan, settings, output=tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()
    assert list(library.load_heads(tmp_path / "out")) == ["multi", "single"]


def test_logits_learnt_at_another_density_are_shifted_before_they_are_mixed() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4000, 3)).astype(np.float32)
    y = (rng.random((4000, 3)) < 1 / (1 + np.exp(-(truth - 2)))).astype(np.uint8)
    slopes, shifts = fit_platt(2 * truth, y, MULTI)
    assert np.allclose(slopes, 0.5, atol=0.1)
    assert np.allclose(shifts, -2, atol=0.2)
    against = np.column_stack([-truth[:, 0], truth[:, 1:]])
    kept = fit_platt(against, y, MULTI)
    assert kept[:, 0].tolist() == [1, 0]
    assert fit_platt(truth[:, :2], y[:, :2], SINGLE) is None


def test_what_shifts_the_trunk_is_saved(tmp_path: Path) -> None:
    platt = np.array([[1, 2, 0.5], [0, -1, 1]], np.float32)
    logits = np.array([[1.0, 2, 3, 0, 0]])
    shared = SharedTrunk(Fixed(logits))
    head = HeadPredictor(MULTI, shared, platt=platt)
    wanted = 1 / (1 + np.exp(-np.array([1, 3, 2.5])))
    assert np.allclose(head.predict_proba([Input("글")]), wanted, atol=1e-6)
    head.save_head(tmp_path)
    again = HeadPredictor.load_head(tmp_path, MULTI, shared)
    assert np.array_equal(again.predict_proba([Input("글")]), head.predict_proba([Input("글")]))


def test_a_trunk_that_is_kept_gets_new_linear_models_and_thresholds(trained: Path, tmp_path: Path) -> None:
    plan = read_plan(trained.parent / "plan.toml")
    settings = HeadsSettings(base=str(trained), frozen=True, linear_options={"min_df": 1, "weight_bits": 8})
    train_heads(plan, settings, output=tmp_path / "out")
    old, new = library.load_heads(trained), library.load_heads(tmp_path / "out")
    text = Input("표는 최고로 좋다")
    for name in old:
        before, after = old[name].predictor, new[name].predictor
        assert isinstance(before, HeadPredictor)
        assert isinstance(after, HeadPredictor)
        assert np.array_equal(before.trunk.logits([text]), after.trunk.logits([text]))
        assert after.linear is None or after.linear.config.weight_bits == 8
        assert new[name].about["settings"]["frozen"]
    with pytest.raises(UsageError, match="was trained by another plan"):
        train_heads(plan, dataclasses.replace(settings, split_seed=7), output=tmp_path / "other")
    fewer = dataclasses.replace(plan, sources=plan.sources[:1])
    with pytest.raises(UsageError, match="was trained by another plan"):
        train_heads(fewer, settings, output=tmp_path / "other")
    assert not list(tmp_path.glob("other*"))
    words = ("train", trained.parent / "plan.toml", "--model", f"frozen:{trained}", "-o", "x")
    assert "do not go with a trunk that is kept: epochs" in failed(1, *words, "--epochs", "2", cwd=tmp_path)


def test_the_joined_task_keeps_columns_apart() -> None:
    joined = joined_task([MULTI, SINGLE])
    assert joined.keys == ("multi/기쁨", "multi/슬픔", "multi/분노", "single/부정", "single/긍정")
    blocks = Blocks.of([MULTI, SINGLE])
    assert Blocks.from_list(blocks.to_list()) == blocks
    assert blocks["single"].columns == slice(3, 5)


def test_a_chosen_head_votes(trained: Path, tmp_path: Path) -> None:
    task = tmp_path / "single.toml"
    task.write_text((trained.parent / "single.toml").read_text(encoding="utf-8"), encoding="utf-8")
    done = maeum("ensemble", trained, trained, "--task", task, "--equal", "-o", "vote", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    vote = library.load(tmp_path / "vote")
    assert vote.task.name == "single"
    alone = library.load(trained, task="single").predict_proba(["표는 최고로 좋다"])
    assert np.allclose(vote.predict_proba(["표는 최고로 좋다"]), alone, atol=1e-6)


def test_own_rows_are_those_training_judged_and_tuned_on(trained: Path) -> None:
    plan = read_plan(trained.parent / "plan.toml")
    train, held, judge = (own_rows(plan, which) for which in ("train", "held", "judge"))
    assert set(judge) == {"multi"}
    assert set(train) == set(held) == {"multi", "single"}
    for name, rows in held.items():
        wanted = (trained / "heads" / name / "oof_ids.txt").read_text(encoding="utf-8").split()
        assert [item.split("/", 1)[1] for item in wanted] == list(rows.ids)
        assert not {duplicate_key(text) for text in rows.texts} & {duplicate_key(text) for text in train[name].texts}
