"""Distillation: the loss of soft labels, the teacher's pass that goes on after a kill, students of every kind."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest
import tiny

import maeum
from maeum import folder as model_folder
from maeum import measuring
from maeum.analyzer import Analyzer
from maeum.calibration import platt
from maeum.data import Dataset, Example, Input
from maeum.distilling import DistillSettings, distill
from maeum.distilling.pool import Pool, gather, split
from maeum.distilling.softening import SoftLabels
from maeum.errors import DataError, FormatError, TaskMismatch, UsageError
from maeum.models.linear import LinearClassifier
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

TWO = Task("two", "multilabel", (Label("좋음"), Label("나쁨")))
PICK = Task("pick", "multiclass", (Label("나쁨"), Label("보통"), Label("좋음")))
RNG = np.random.default_rng(5)


class Oracle:
    """A teacher that knows: the words of a text say what it feels."""

    kind = "linear"

    def __init__(self, task: Task = TWO, *, dies_after: int | None = None) -> None:
        self.task = task
        self.asked: list[str] = []
        self.dies_after = dies_after

    def predict_proba(self, inputs):
        if self.dies_after is not None and len(self.asked) + len(inputs) > self.dies_after:
            raise KeyboardInterrupt
        self.asked += [item.text for item in inputs]
        good = np.array(["마음에" in i.text or "좋" in i.text or "추천" in i.text for i in inputs], bool)
        bad = np.array(["별로" in i.text or "최악" in i.text or "환불" in i.text for i in inputs], bool)
        return np.stack([np.where(good, 0.9, 0.1), np.where(bad, 0.8, 0.05)], 1).astype(np.float32)[:, : len(self.task)]


def oracle(**words) -> Analyzer:
    return Analyzer(Oracle(**words), prep=TextPrep.named("default"), thresholds=Thresholds.default(TWO))


def linear_teacher(place, task=TWO):
    """A saved teacher that learnt what the oracle says."""
    texts = [Input(text) for text in tiny.sentences()]
    y = (Oracle(task).predict_proba(texts) >= 0.5).astype(np.uint8)
    model = LinearClassifier(task, seed=1).fit(texts, y)
    analyzer = Analyzer(model, prep=TextPrep.named("default"), thresholds=Thresholds.default(task))
    return model_folder.save(analyzer, place)


def written(place, texts):
    place.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return place


# ---------------------------------------------------------------------------------------------------------- the loss


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_of_many_labels_is_the_formula(temperature, alpha):
    torch = pytest.importorskip("torch")
    from maeum.models.soft_losses import aims, soft_loss

    z, teacher = RNG.normal(size=(4, 3)), RNG.uniform(0.02, 0.98, (4, 3)).astype(np.float32)
    hard = np.array([[1, 0, 1], [-1, -1, -1], [0, 0, 0], [-1, -1, -1]], np.int8)
    t = sigmoid((np.log(teacher) - np.log1p(-teacher)) / temperature)
    p = sigmoid(z / temperature)
    want = temperature**2 * -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(1)
    plain = -(hard * np.log(sigmoid(z)) + (1 - hard) * np.log(1 - sigmoid(z))).mean(1)
    labelled = hard[:, 0] >= 0
    want[labelled] = (1 - alpha) * want[labelled] + alpha * plain[labelled]
    loss = soft_loss("multilabel", temperature=temperature, alpha=alpha)
    got = loss(torch.from_numpy(z), torch.from_numpy(aims(teacher, hard))).numpy()
    assert got == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_of_one_label_is_the_formula(temperature):
    torch = pytest.importorskip("torch")
    from maeum.models.soft_losses import aims, soft_loss

    z, teacher = RNG.normal(size=(4, 3)), softmax(RNG.normal(size=(4, 3))).astype(np.float32)
    t, p = softmax(np.log(teacher) / temperature), softmax(z / temperature)
    want = temperature**2 * -(t * np.log(p)).sum(1)
    got = soft_loss("multiclass", temperature=temperature)(torch.from_numpy(z), torch.from_numpy(aims(teacher, None)))
    assert got.numpy() == pytest.approx(want, rel=1e-5)


def test_the_distance_of_states_is_the_formula_and_padding_does_not_count():
    torch = pytest.importorskip("torch")
    from maeum.models.soft_losses import state_distance

    student, teacher = (RNG.normal(size=(3, 4, 5)) for _ in range(2))
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    owner = [0, 0, 1]
    unit = [s / np.linalg.norm(s, axis=-1, keepdims=True) for s in (student, teacher)]
    each = ((unit[0] - unit[1]) ** 2).sum(-1)
    want = [(each[0, :3].sum() + each[1, 0]) / 4, each[2].mean()]
    pair = tuple(torch.from_numpy(s) for s in (student, teacher))
    got = state_distance([pair, pair], torch.from_numpy(mask), torch.tensor(owner))
    assert got.numpy() == pytest.approx(want, rel=1e-5)
    same = state_distance([(pair[0], pair[0])], torch.from_numpy(mask), torch.tensor(owner))
    assert same.numpy() == pytest.approx([0, 0], abs=1e-6)


def test_platt_takes_probabilities_and_zeros_and_ones_as_before():
    score = RNG.normal(size=400)
    soft = sigmoid(1.7 * score - 0.4)
    slope, offset = platt(score, soft)
    assert (slope, offset) == pytest.approx((1.7, -0.4), abs=0.05)


# ------------------------------------------------------------------------------------------------------ texts, a pass


def test_texts_are_read_once_and_those_that_judge_are_left_out(tmp_path):
    texts = written(tmp_path / "t.txt", ["좋아요", " 좋아요", "별로예요", "평가 글!", *tiny.sentences()[:20]])
    data = Dataset(TWO, [Example("a", "별로예요", labels=("나쁨",)), Example("b", "평가글", labels=())])
    valid = Dataset(TWO, [Example("v", "평가 글", labels=())])
    pool = gather(str(texts), {}, TextPrep.named("default"), data=data, valid=valid, limit=None)
    assert [item.text for item in pool.inputs[:2]] == ["별로예요", "좋아요"]
    assert pool.labelled.tolist() == [True] + [False] * 21
    assert pool.hard(2)[:2].tolist() == [[0, 1], [-1, -1]]
    assert pool.counts["duplicates"] == 2
    assert pool.counts["judging"] == 2
    assert pool.counts["texts"] == 21


def test_too_few_texts_are_refused_with_their_file(tmp_path):
    with pytest.raises(DataError, match=r"t\.txt: there are only 2 texts"):
        gather(
            str(written(tmp_path / "t.txt", ["하나", "둘"])), {}, TextPrep.named("default"),
            data=None, valid=None, limit=None,
        )  # fmt: skip


def pool_of(n: int, labelled: int) -> Pool:
    pool = Pool()
    for row in range(n):
        pool.inputs.append(Input(f"글 {row // 2 * 2 if row >= n - 4 else row}번"))
        pool.labels.append(np.array([row % 2, 0], np.uint8) if row < labelled else None)
        pool.ids.append(f"id-{row}")
    return pool


def test_labels_hold_out_a_tenth_of_their_rows_or_all_of_them():
    decided = np.zeros((60, 2), np.uint8)
    decided[::3, 0] = 1
    some = split(pool_of(60, 30), decided, alpha=0.5, seed=1)
    assert some.by_labels
    assert len(some.held) == 3
    assert set(some.held) <= set(range(30))
    assert len(some.train) == 57
    every = split(pool_of(60, 30), decided, alpha=0.0, seed=1)
    assert every.held.tolist() == list(range(30))
    assert every.train.tolist() == list(range(30, 60))
    none = split(pool_of(60, 0), decided, alpha=0.5, seed=1)
    assert not none.by_labels
    texts = [item.text for item in pool_of(60, 0).inputs]
    assert not {texts[row] for row in none.train} & {texts[row] for row in none.held}


def test_the_teachers_pass_goes_on_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("maeum.distilling.softening.SAVE_EVERY_SEC", 0.0)
    monkeypatch.setattr("maeum.distilling.softening._BATCH", 16)
    inputs = [Input(text) for text in tiny.sentences()[:100]]
    whole = oracle()
    want = whole.predict_proba(inputs)
    dying = oracle(dies_after=50)
    with pytest.raises(KeyboardInterrupt):
        SoftLabels(tmp_path / "soft", {"of": 1}, kept=False).fill(dying, inputs, lambda _: None)
    said: list[str] = []
    again = oracle()
    got = SoftLabels(tmp_path / "soft", {"of": 1}, kept=False).fill(again, inputs, said.append)
    assert np.array_equal(got, want)
    assert len(again.predictor.asked) == 52
    assert any("48 of the teacher's rows are there already" in line for line in said)
    assert np.array_equal(
        SoftLabels(tmp_path / "soft", {"of": 1}, kept=False).fill(oracle(dies_after=0), inputs, said.append), want
    )


def test_parts_of_another_teacher_are_thrown_away_or_refused(tmp_path):
    inputs = [Input(text) for text in tiny.sentences()[:20]]
    SoftLabels(tmp_path / "soft", {"of": 1}, kept=False).fill(oracle(), inputs, lambda _: None)
    with pytest.raises(UsageError, match="another teacher or of other texts"):
        SoftLabels(tmp_path / "soft", {"of": 2}, kept=True)
    other = oracle()
    SoftLabels(tmp_path / "soft", {"of": 2}, kept=False).fill(other, inputs, lambda _: None)
    assert len(other.predictor.asked) == 20
    with pytest.raises(FormatError, match="do not fit the texts"):
        SoftLabels(tmp_path / "soft", {"of": 2}, kept=False).fill(oracle(), inputs[:5], lambda _: None)
    part = tmp_path / "soft" / "part-000000000.safetensors"
    part.write_bytes(part.read_bytes()[:20])
    with pytest.raises(FormatError, match="do not fit the texts"):
        SoftLabels(tmp_path / "soft", {"of": 2}, kept=False).fill(oracle(), inputs, lambda _: None)


# ------------------------------------------------------------------------------------------------------------ students


def test_a_linear_student_learns_its_teacher(tmp_path):
    teacher = linear_teacher(tmp_path / "teacher")
    texts = written(tmp_path / "t.txt", tiny.sentences())
    settings = DistillSettings(student="linear")
    result = distill(teacher, texts, tmp_path / "student", settings, soft_labels=tmp_path / "soft")
    like = result.facts["agreement"]
    assert like["rows"] == 200
    assert like["micro_f1"] > 0.9
    assert like["mean_difference"] < 0.1
    assert "teacher's decisions on 200 texts (out-of-fold)" in result.analyzer.thresholds.tuned_on
    student = maeum.load(tmp_path / "student")
    assert student.calibration.is_identity
    assert json.loads((tmp_path / "student" / "distill.json").read_text())["sizes"]["student"]["megabytes"] > 0
    assert not (tmp_path / "student" / "oof.safetensors").exists()  # decisions of a teacher are no labels
    assert not (tmp_path / "student.partial").exists()
    assert "imitated" in (tmp_path / "student" / "report.json").read_text()
    # the teacher's rows are there for the next student
    said: list[str] = []
    distill(teacher, texts, tmp_path / "two", settings, soft_labels=tmp_path / "soft", progress=said.append)
    assert any("200 of the teacher's rows" in line for line in said)


def test_true_labels_move_the_student_and_tune_its_thresholds(tmp_path):
    teacher = linear_teacher(tmp_path / "teacher")
    texts = written(tmp_path / "t.txt", tiny.sentences()[:150])
    # labels that say the contrary of what the teacher thinks
    y = 1 - (Oracle().predict_proba([Input(t) for t in tiny.sentences()]) >= 0.5)
    rows = [Example(f"r{n}", t, labels=TWO.decode(y[n])) for n, t in enumerate(tiny.sentences()[:150])]
    data, valid = Dataset(TWO, rows[:120], source="data"), Dataset(TWO, rows[120:], source="valid")
    found = {}
    for alpha in (0.0, 1.0):
        settings = DistillSettings(student="linear", alpha=alpha)
        found[alpha] = distill(teacher, texts, tmp_path / f"a{alpha:g}", settings, data=data, valid=valid)
    scores = [found[alpha].facts["valid"]["scores"]["micro_f1"] for alpha in (0.0, 1.0)]
    assert scores[0]["before"] == scores[1]["before"]
    wrong = [np.abs(found[alpha].analyzer.predictor.predict_proba(valid.inputs) - valid.y).mean() for alpha in (0, 1)]
    assert wrong[0] > 0.6
    assert wrong[1] < 0.4
    assert found[1.0].facts["counts"] == {
        "duplicates": 120, "blank": 0, "rejected": 0, "judging": 30, "texts": 0, "labelled": 120,
    }  # fmt: skip
    assert "labels of 120 rows" in found[1.0].analyzer.thresholds.tuned_on
    assert (tmp_path / "a1" / "oof.safetensors").exists()
    assert found[1.0].report.metrics["micro_f1"] == pytest.approx(scores[1]["after"])


@pytest.fixture(scope="module")
def encoder_teacher(tiny_base, tmp_path_factory):
    """A tiny encoder that knows by heart what the oracle says, as a model folder."""
    pytest.importorskip("torch")
    from maeum.models.encoder import EncoderClassifier

    place = tmp_path_factory.mktemp("teacher") / "teacher"
    texts = [Input(text) for text in tiny.sentences()[:60]]
    y = (Oracle().predict_proba(texts) >= 0.5).astype(np.uint8)
    options = {"head": "mean", "device": "cpu", "precision": "fp32", "max_length": 32, "epochs": 8.0}
    options |= {"learning_rate": 3e-3, "head_learning_rate": 1e-2, "dropout": 0.0}
    base = str(tiny_base("klue-bert", easy=True))
    model = EncoderClassifier.of(base, TWO, seed=1, options=options).fit(texts, y)
    analyzer = Analyzer(model, prep=TextPrep.named("raw"), thresholds=Thresholds.default(TWO))
    return model_folder.save(analyzer, place)


FAST = {"max_length": 32, "epochs": 6.0, "learning_rate": 3e-3, "device": "cpu", "precision": "fp32"}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_a_student_of_half_the_layers_learns_its_teacher(encoder_teacher, tmp_path, hidden):
    texts = written(tmp_path / "t.txt", tiny.sentences()[:60])
    settings = DistillSettings(student="layers:1,", hidden=hidden, temperature=2.0, model_options=FAST)
    result = distill(encoder_teacher, texts, tmp_path / "student", settings)
    student, teacher = maeum.load(tmp_path / "student"), maeum.load(encoder_teacher)
    assert student.predictor.network.backbone.config.num_hidden_layers == 1
    assert result.facts["sizes"]["student"]["parameters"] < result.facts["sizes"]["teacher"]["parameters"]
    assert student.prep == teacher.prep
    cut = copy.deepcopy(teacher.predictor.network)
    cut.cut_layers([1])
    from maeum.models.encoder import EncoderClassifier

    untaught = EncoderClassifier.around(TWO, teacher.predictor.config, cut, teacher.predictor.tokenizer)
    inputs = [Input(text) for text in tiny.sentences()[:60]]
    want = teacher.predict_proba(inputs)
    before = np.abs(untaught.predict_proba(inputs) - want).mean()
    after = np.abs(student.predict_proba(inputs) - want).mean()
    assert after < 0.5 * before


@pytest.mark.usefixtures("one_thread")
def test_the_guide_is_not_trained_and_pulls_the_states(encoder_teacher):
    torch = pytest.importorskip("torch")
    from maeum.models.encoder import Aim, collate
    from maeum.models.going_on import going_on
    from maeum.models.soft_losses import Guided, aims, guided_loss, soft_loss

    teacher = maeum.load(encoder_teacher).predictor
    inputs = [Input(text) for text in tiny.sentences()[:24]]
    soft = teacher.predict_proba(inputs)
    frozen = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    distances = {}
    for weight in (0.0, 3.0):
        network = copy.deepcopy(teacher.network)
        network.cut_layers([0])
        student = going_on(teacher, network, {**FAST, "epochs": 12.0}, seed=1)
        loss = guided_loss(soft_loss("multilabel"), weight)
        student.fit_to(inputs, aims(soft, None), Aim(loss, lambda m: Guided(m, teacher.network.backbone, [1])))
        windows = student.windows
        rows = [(n, pieces, aims(soft, None)[n]) for n, pieces in enumerate(windows(inputs))]
        batch = collate(rows, pad_id=windows.frame.pad_id)
        guided = Guided(student.network, teacher.network.backbone, [1]).eval()
        with torch.no_grad():
            words = {name: value for name, value in batch.items() if name not in ("labels", "rows")}
            distances[weight] = float(guided(**words)["distance"].mean())
        assert not any("teacher" in name for name in guided.state_dict())
    assert distances[3.0] < 0.7 * distances[0.0]
    assert all(torch.equal(value, frozen[name]) for name, value in teacher.network.state_dict().items())


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_run_killed_in_training_ends_as_an_unbroken_one(encoder_teacher, tmp_path):
    texts = written(tmp_path / "t.txt", tiny.sentences()[:40])
    settings = DistillSettings(student="layers:1", model_options={**FAST, "epochs": 3.0})
    distill(encoder_teacher, texts, tmp_path / "whole", settings)

    def dies(line: str) -> None:
        if line.startswith("epoch 2.00"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(encoder_teacher, texts, tmp_path / "student", settings, progress=dies)
    with pytest.raises(UsageError, match="unfinished run with other data or settings"):
        distill(encoder_teacher, texts, tmp_path / "student", dataclasses.replace(settings, seed=7))
    said: list[str] = []
    distill(encoder_teacher, texts, tmp_path / "student", settings, progress=said.append)
    assert any("40 of the teacher's rows are there already" in line for line in said)
    assert any("resuming from checkpoint" in line for line in said)
    both = [maeum.load(tmp_path / name).predict_proba(tiny.sentences()[:40]) for name in ("whole", "student")]
    np.testing.assert_allclose(*both, atol=1e-6)


# -------------------------------------------------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"student": "layer:6"}, "unknown student 'layer:6'"),
        ({"student": "linear:x"}, "unknown student"),
        ({"student": "linear", "temperature": 2.0}, "--temperature is for students of kind encoder, layers, model"),
        ({"student": "encoder:x", "hidden": 1.0}, "--hidden is for students of kind layers"),
        ({"alpha": 1.5}, "alpha is out of range: 1.5"),
        ({"temperature": 0.0}, "temperature is out of range"),
        ({"seed": -1}, "seed is out of range: -1"),
        ({"model_options": {"loss": "asl"}}, "the loss of a distillation is fixed"),
        ({"model_options": {"steepness": 3.0}}, "the loss of a distillation is fixed"),
        ({"student": "linear", "model_options": {"epochs": 2}}, "a linear student has no such setting: epochs"),
    ],
)
def test_settings_that_do_not_fit_are_refused(words, said):
    with pytest.raises(UsageError, match=said):
        DistillSettings(**words)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_training_does_not_go_on_under_another_teacher_or_other_labels(encoder_teacher, tmp_path):
    texts = written(tmp_path / "t.txt", tiny.sentences()[:40])
    start = str(encoder_teacher)
    settings = DistillSettings(student="layers:1", start=start, model_options={**FAST, "max_steps": 4})

    def dies(line: str) -> None:
        if line.startswith("calibration"):
            raise KeyboardInterrupt

    def run(teacher, out, **words):
        return distill(teacher, texts, tmp_path / out, settings, **words)

    with pytest.raises(KeyboardInterrupt):
        run(encoder_teacher, "student", progress=dies)
    with pytest.raises(UsageError, match="unfinished run with other data or settings"):
        run(linear_teacher(tmp_path / "other"), "student")
    rows = [Example(f"r{n}", text, labels=("좋음",)) for n, text in enumerate(tiny.sentences()[:40])]
    with pytest.raises(KeyboardInterrupt):
        run(encoder_teacher, "labelled", data=Dataset(TWO, rows), progress=dies)
    rows[3] = Example("r3", rows[3].text, labels=("나쁨",))
    with pytest.raises(UsageError, match="unfinished run with other data or settings"):
        run(encoder_teacher, "labelled", data=Dataset(TWO, rows))


def test_labelled_rows_that_all_judge_are_refused(tmp_path):
    teacher = linear_teacher(tmp_path / "teacher")
    texts = written(tmp_path / "t.txt", tiny.sentences())
    data = Dataset(TWO, [Example(f"r{n}", f"평가 글 {n}번", labels=()) for n in range(20)], source="dev")
    with pytest.raises(UsageError, match="every labelled row of 'dev' is blank or also in --valid"):
        distill(teacher, texts, tmp_path / "student", DistillSettings(student="linear"), data=data, valid=data)


def test_an_unfinished_training_of_another_command_is_left_alone(tmp_path):
    teacher = linear_teacher(tmp_path / "teacher")
    texts = written(tmp_path / "t.txt", tiny.sentences())
    other = tmp_path / "student.partial" / "fold-0" / "checkpoint-9"
    other.mkdir(parents=True)
    distill(teacher, texts, tmp_path / "student", DistillSettings(student="linear"))
    assert [path.name for path in (tmp_path / "student.partial").iterdir()] == ["fold-0"]
    assert other.exists()


def test_layers_of_a_teacher_that_has_none_are_refused_before_its_pass(tmp_path):
    pytest.importorskip("torch")
    teacher = linear_teacher(tmp_path / "teacher")
    texts = written(tmp_path / "t.txt", tiny.sentences())
    with pytest.raises(UsageError, match="the teacher is none"):
        distill(teacher, texts, tmp_path / "student", DistillSettings(student="layers:1"))
    assert not (tmp_path / "student.partial").exists()


def test_grades_of_aspects_are_refused_because_texts_name_none(tmp_path):
    labels = (Label("-1"), Label("1"))
    teacher = linear_teacher(tmp_path / "teacher", Task("review/sentiment", "multiclass", labels))
    texts = written(tmp_path / "t.txt", tiny.sentences())
    with pytest.raises(UsageError, match="unlabelled texts name none"):
        distill(teacher, texts, tmp_path / "student", DistillSettings(student="linear"))


def test_rows_of_another_task_are_refused(tmp_path):
    teacher = linear_teacher(tmp_path / "teacher")
    texts = written(tmp_path / "t.txt", tiny.sentences())
    data = Dataset(PICK, [Example("a", "글", labels=("좋음",))])
    with pytest.raises(TaskMismatch, match="of task 'pick', the model of 'two'"):
        distill(teacher, texts, tmp_path / "student", DistillSettings(student="linear"), data=data)


# ------------------------------------------------------------------------------------------------------------ measuring


def test_the_gap_between_two_models_is_resampled_in_pairs():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (400, 2)).astype(np.uint8)
    good, bad = y.copy(), y.copy()
    bad[:200, 0] = 1 - bad[:200, 0]
    same = measuring.gaps(TWO, y, bad, bad)["micro_f1"]
    assert (same.low, same.high) == (0, 0)
    found = measuring.gaps(TWO, y, bad, good)
    from maeum.metrics import decision_metrics

    assert found["macro_f1"].before == pytest.approx(decision_metrics(y, bad)["macro_f1"])
    assert found["macro_f1"].after == 1.0
    assert 0 < found["macro_f1"].low < found["macro_f1"].after - found["macro_f1"].before < found["macro_f1"].high
    assert dataclasses.asdict(found["macro_f1"])["low"] == found["macro_f1"].low


def test_speed_is_not_that_of_a_remembered_answer():
    asked: list[tuple[Input, ...]] = []

    class Remembers(Oracle):
        def predict_proba(self, inputs):
            asked.append(tuple(inputs))
            return super().predict_proba(inputs)

    measuring.speed(
        Analyzer(Remembers(), prep=TextPrep.named("raw"), thresholds=Thresholds.default(TWO)), [Input("글")]
    )
    assert len(set(asked)) == len(asked) == 2
