"""Fine-tuned encoders: learning, windows joined, parameter groups, checkpoints, and errors that say what to do."""

from __future__ import annotations

import csv
import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest

import maeum
from maeum.crossval import cross_fit
from maeum.data import Input
from maeum.errors import MaeumError, UsageError
from maeum.experiment import TrainSettings
from maeum.experiment import train as train_run
from maeum.hf import loading, training
from maeum.hf.length_groups import length_grouped_sampler
from maeum.hf.loop_errors import NotFinite
from maeum.models.base import load_predictor
from maeum.models.encoder import EncoderClassifier, EncoderConfig, by_token_budget, spare_columns
from maeum.task import Label, Task

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

TWO = Task("two", "multilabel", (Label("좋음"), Label("나쁨")))
PICK = Task("pick", "multiclass", (Label("나쁨"), Label("좋음")))
WHAT = ["배송", "가격", "품질", "포장", "상담", "화면", "소리", "디자인"]
TEXTS = [f"{what} {how}" for what in WHAT for how in ("정말 마음에 들어요", "생각보다 별로라서 속상했어요")]
LEARNS = {"learning_rate": 3e-3, "head_learning_rate": 1e-2, "warmup": 0.3, "dropout": 0.0, "max_length": 32}


def good_or_bad(n: int = 16) -> tuple[list[Input], np.ndarray]:
    inputs = [Input(TEXTS[row % len(TEXTS)] + " " + "오늘" * (row // len(TEXTS))) for row in range(n)]
    y = np.zeros((n, 2), np.uint8)
    y[np.arange(n), np.arange(n) % 2] = 1
    return inputs, y


def made(base: Path, task: Task = TWO, seed: int = 1, **settings: object) -> EncoderClassifier:
    options = {"head": "mean", "device": "cpu", "precision": "fp32", "batch_size": 8, "max_length": 32, **settings}
    return EncoderClassifier.of(str(base), task, seed=seed, options=options)


def weights(model: EncoderClassifier) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in model._model.state_dict().items()}


# -------------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize(
    ("head", "sentences", "epochs"),
    [("mean", 8, 60.0), *(pytest.param(head, 32, 180.0, marks=pytest.mark.slow) for head in ("cls", "mean", "bigru"))],
)
def test_every_head_learns_sentences_by_heart(tiny_base, head, sentences, epochs):
    data = maeum.read("sample:nikl-ea")
    first = {example.text: row for row, example in reversed(list(enumerate(data)))}
    rows = sorted(row for row in first.values() if data.y[row].any())[:sentences]
    inputs, y = [data[row].input for row in rows], data.y[rows]
    settings = LEARNS | {"head_learning_rate": 2e-2, "warmup": 0.4, "weight_decay": 0.0, "max_length": 48}
    if head == "bigru":
        settings |= {"dense": 128, "learning_rate": 2e-3, "head_learning_rate": 1e-2}
    base = tiny_base("klue-roberta", easy=True)
    model = made(base, data.task, head=head, epochs=epochs, batch_size=16, log_steps=1000, **settings).fit(inputs, y)
    assert np.array_equal(model.predict_proba(inputs) >= 0.5, y == 1)


def test_the_same_seed_gives_the_same_numbers_and_another_others(tiny_base):
    inputs, y = good_or_bad()
    base = tiny_base("klue-bert")
    first, again, other = (
        made(base, seed=seed, max_steps=3).fit(inputs, y).predict_proba(inputs) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("task", "problem"), [(TWO, "multi_label_classification"), (PICK, "single_label_classification")]
)
def test_the_standard_head_opens_in_plain_transformers(tiny_base, tmp_path, task, problem):
    import transformers

    inputs, y = good_or_bad()
    model = made(tiny_base("kcelectra"), task, head="cls", max_steps=3, learning_rate=1e-2).fit(inputs, y)
    model.save(tmp_path)
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert plain.config.id2label == dict(enumerate(task.keys))
    assert plain.config.label2id == {key: number for number, key in enumerate(task.keys)}
    assert plain.config.problem_type == problem
    with torch.no_grad():
        logits = plain(**tokenizer([item.text for item in inputs], padding=True, return_tensors="pt")).logits.numpy()
    assert logits == pytest.approx(model._logits(model._windows(inputs)), abs=1e-5)
    assert not (tmp_path / "head.safetensors").exists()


def test_what_is_loaded_goes_on_with_the_history_and_the_markers(tiny_base, tmp_path):
    inputs, y = good_or_bad()
    model = made(tiny_base("kobert"), target_input="marker", max_steps=2).fit(inputs, y)
    model.save(tmp_path)
    again = load_predictor("encoder", tmp_path, TWO)
    assert again.history == model.history
    assert again._windows.markers == model._windows.markers
    assert again.config == model.config


# --------------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize(("task", "aggregate"), [(TWO, "auto"), (TWO, "mean"), (PICK, "auto")])
def test_a_word_at_the_very_end_of_a_long_text_is_found(tiny_base, task, aggregate):
    filler = "오늘은 하늘도 맑고 바람도 시원하다. "
    texts = [filler * (row % 5) + TEXTS[row % 16] for row in range(40)]
    y = np.zeros((40, 2), np.uint8)
    y[np.arange(40), np.arange(40) % 2] = 1
    model = made(tiny_base("klue-bert", easy=True), task, epochs=25.0, aggregate=aggregate, **LEARNS)
    model.fit([Input(text) for text in texts], y)
    long = [Input(filler * 9 + text) for text in TEXTS]
    assert min(len(windows) for windows in model._windows(long)) > 3
    proba = model.predict_proba(long)
    if model._aggregate == "max":
        assert np.array_equal(proba.argmax(1), np.arange(16) % 2)
    else:
        # a mean over many windows is carried by the filler; the telling word still decides who stands above whom
        assert proba[::2, 0].min() > proba[1::2, 0].max()
        assert proba[::2, 1].max() < proba[1::2, 1].min()


@pytest.mark.parametrize("aggregate", ["max", "mean"])
def test_the_logits_of_a_text_are_those_of_its_windows_joined(tiny_base, aggregate):
    inputs, y = good_or_bad()
    model = made(tiny_base("klue-bert"), max_steps=2, aggregate=aggregate, max_length=12).fit(inputs, y)
    long = Input(" ".join(TEXTS[:4]))
    windows = model._windows([long])[0]
    each = model._logits([(window,) for window in windows])
    assert len(windows) > 3
    joined = each.max(0) if aggregate == "max" else each.mean(0)
    assert model._logits([windows, windows[:1]])[0] == pytest.approx(joined, abs=1e-6)
    # and the training side joins them the same way
    from maeum.models.encoder import collate

    batch = collate([(0, windows, y[0]), (1, windows[:1], y[1])], pad_id=model._windows.frame.pad_id)
    with torch.no_grad():
        found = model._model(**{name: batch[name] for name in batch if name not in ("labels", "rows")})["logits"]
    assert found.numpy()[0] == pytest.approx(joined, abs=1e-6)
    assert found.numpy()[1] == pytest.approx(each[0], abs=1e-6)


@pytest.mark.parametrize("budget", [1, 40, 10**6])
def test_prediction_batches_hold_every_row_once_and_keep_to_the_budget(budget):
    lengths = np.random.default_rng(0).integers(1, 60, 200).tolist()
    batches = by_token_budget(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    assert all(len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= budget for batch in batches)
    assert by_token_budget([], budget) == []


def test_training_batches_hold_every_row_once_in_an_order_of_the_seed_and_the_epoch():
    lengths = np.random.default_rng(0).integers(1, 60, 333).tolist()
    sampler = length_grouped_sampler(lengths, 8, seed=3)
    first, again = list(sampler), list(length_grouped_sampler(lengths, 8, seed=3))
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(333))
    assert first == again != second
    assert max(lengths) in [lengths[row] for row in first[:8]]
    widths = [np.ptp([lengths[row] for row in first[i : i + 8]]) for i in range(0, 320, 8)]
    assert np.mean(widths) < 5 < np.ptp(lengths)


def test_funnel_reads_the_end_of_the_longest_text_of_a_batch(tiny_base):
    config = loading.load_config(tiny_base("funnel"))
    assert spare_columns(config) == 8
    assert spare_columns(loading.load_config(tiny_base("klue-bert"))) == 0
    inputs, y = good_or_bad()
    model = made(tiny_base("funnel"), max_steps=1, head="bigru").fit(inputs, y)
    assert model.predict_proba([Input("")]).shape == (1, 2)
    one, other = model._logits(model._windows([Input("맛이 좋다"), Input("맛이 좋네")]))
    assert not np.array_equal(one, other)


# ------------------------------------------------------------------------------------------------------- the loop


@pytest.mark.parametrize("task", [TWO, PICK])
def test_accumulated_parts_give_the_weights_of_one_big_batch(tiny_base, task):
    inputs, y = good_or_bad(20)  # the last batch of an epoch is a short one
    base = tiny_base("klue-bert", easy=True)
    settings = {"dropout": 0.0, "epochs": 2.0, "learning_rate": 1e-3, "head_learning_rate": 1e-3}
    whole = weights(made(base, task, **settings).fit(inputs, y))
    parts = weights(made(base, task, accumulation=4, **settings).fit(inputs, y))
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, abs=2e-5), name


@pytest.mark.parametrize(("shape", "layers"), [("klue-bert", 2), ("kcelectra", 2), ("funnel", 3)])
def test_rates_fall_with_depth_and_frozen_layers_do_not_learn(tiny_base, shape, layers):
    inputs, y = good_or_bad(8)
    for head in ("cls", "mean"):
        model = made(tiny_base(shape), head=head, max_steps=1).fit(inputs, y)
        network = model._model
        words = {"learning_rate": 1.0, "head_learning_rate": 9.0, "weight_decay": 0.1}
        groups = network.parameter_groups(**words, layer_decay=0.5, freeze=0)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        rate = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
        assert set(rate) == set(names.values())
        deepest = min(rate.values())
        top = layers + (shape == "funnel" and head == "mean")  # a classifier of Funnel has no decoder
        for name, found in rate.items():
            number = re.search(r"\.layer\.(\d+)\.|blocks\.(\d+)\.", name)
            if name.startswith("head.") or "classifier." in name or "pooler." in name:
                assert found == 9.0, name
            elif "decoder." in name:
                assert found == 1.0, name
            elif number is not None:
                assert found == 0.5 ** (top - 1 - int(number.group(1) or number.group(2))), name
            else:
                assert found == deepest, name
        assert deepest == 0.5**top
        assert all(group["weight_decay"] == (0.1 if p.ndim > 1 else 0.0) for group in groups for p in group["params"])
        for freeze in (1, 2):
            some = network.parameter_groups(**words, layer_decay=0.5, freeze=freeze)
            assert min(group["lr"] for group in some) == 0.5 ** (top - freeze)
            assert sum(p.requires_grad for p in network.parameters()) == sum(len(g["params"]) for g in some)


def test_frozen_weights_stay_and_the_others_move(tiny_base):
    inputs, y = good_or_bad()
    base = tiny_base("klue-bert")
    model = made(base, freeze=1, max_steps=2, learning_rate=1e-2).fit(inputs, y)
    before = {name: value.numpy() for name, value in loading.load_backbone(base).state_dict().items()}
    for name, value in weights(model).items():
        name = name.removeprefix("backbone.")
        if name in before and not name.endswith("key.bias"):
            assert np.array_equal(before[name], value) == name.startswith("embeddings."), name


def test_early_stopping_keeps_the_best_and_stops(tiny_base, monkeypatch):
    inputs, y = good_or_bad()
    seen: list[dict[str, np.ndarray]] = []
    scores = iter([0.2, 0.9, 0.5, 0.4, 1.0])

    def judge(self, pieces, labels, loss):
        seen.append(weights(self))
        return {"loss": 1.0, "macro-f1": next(scores)}

    monkeypatch.setattr(EncoderClassifier, "_judge", judge)
    model = made(tiny_base("klue-bert"), epochs=5.0, patience=2, learning_rate=1e-3)
    model.fit_watched(inputs, y, held=(inputs, y))
    assert len(seen) == 4
    found = weights(model)
    assert all(np.array_equal(value, seen[1][name]) for name, value in found.items())
    assert not all(np.array_equal(value, seen[3][name]) for name, value in found.items())


def test_the_history_has_a_row_a_step_and_the_judgement_of_each_epoch(tiny_base, tmp_path):
    inputs, y = good_or_bad()
    model = made(tiny_base("klue-bert"), epochs=2.0)
    model.fit_watched(inputs, y, held=(inputs[:4], y[:4]), work=tmp_path)
    with (tmp_path / "history.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row["train_loss"]) > 0 for row in rows)
    assert [bool(row["valid_loss"]) for row in rows] == [False, True, False, True]
    assert {"valid_micro_f1", "valid_macro_f1", "valid_accuracy", "learning_rate"} <= set(rows[0])


def test_nothing_is_printed(tiny_base, tmp_path, capfd):
    inputs, y = good_or_bad()
    model = made(tiny_base("klue-bert"), epochs=1.0, patience=1)
    model.fit_watched(inputs, y, held=(inputs[:4], y[:4]), work=tmp_path)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")


# --------------------------------------------------------------------------------------------------- going on


def test_a_checkpoint_cut_short_is_ignored_and_removed(tmp_path):
    for step, text in ((5, '{"global_step": 5}'), (10, '{"global_step": 10}'), (12, '{"glob'), (15, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").touch()
        if text is not None:
            (folder / "trainer_state.json").write_text(text)
    assert training.last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-5"]


@pytest.mark.parametrize("cut", [False, True], ids=["at a checkpoint", "in the middle of one"])
def test_a_run_goes_on_from_a_checkpoint_to_the_same_weights(tiny_base, tmp_path, monkeypatch, cut):
    inputs, y = good_or_bad(20)
    settings = {"epochs": 3.0, "checkpoint_minutes": 0.0, "learning_rate": 1e-3}
    base = tiny_base("klue-bert")  # with dropout: the random state has to come back too
    whole = made(base, **settings).fit_watched(inputs, y, held=(inputs, y), work=tmp_path / "whole")
    with monkeypatch.context() as patch:
        killed_in_step(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            made(base, **settings).fit_watched(inputs, y, held=(inputs, y), work=tmp_path / "work")
    (last,) = (tmp_path / "work").glob("checkpoint-*")
    assert last.name == "checkpoint-3"  # the end of the first epoch; the loader is one batch ahead of the steps
    if cut:
        newer = tmp_path / "work" / "checkpoint-4"
        newer.mkdir()
        (newer / "model.safetensors").write_bytes(b"cut")
    said: list[str] = []
    again = made(base, **settings)
    again.fit_watched(inputs, y, held=(inputs, y), work=tmp_path / "work", progress=said.append)
    assert any("resuming from checkpoint-3" in line for line in said)
    assert all(np.array_equal(value, weights(again)[name]) for name, value in weights(whole).items())
    assert training.table(again.history) == training.table(whole.history)


def killed_in_step(patch: pytest.MonkeyPatch, step: int) -> None:
    """Make the ``step``-th batch the last: the process is gone before it is learnt from."""
    from maeum.models import encoder

    real, count = encoder.collate, iter(range(1, 10**6))

    def collate(*args, **words):
        if next(count) == step:
            raise KeyboardInterrupt
        return real(*args, **words)

    patch.setattr(encoder, "collate", collate)


@pytest.mark.slow
def test_a_fold_killed_between_its_model_and_its_mark_is_done_again(tiny_base, tmp_path):
    inputs, y = good_or_bad()
    fold = np.arange(16) % 2
    words = {"keep_folds": True, "refit": False, "work": tmp_path}
    first = cross_fit(lambda: made(tiny_base("klue-bert"), max_steps=2), inputs, y, fold, **words)
    (tmp_path / "fold_1" / "done.json").unlink()
    again = cross_fit(lambda: made(tiny_base("klue-bert"), max_steps=2), inputs, y, fold, **words)
    assert np.array_equal(first.proba, again.proba)


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"head": "bigur"}, "did you mean 'bigru'"),
        ({"metric": "macro_f1"}, "did you mean 'macro-f1'"),
        ({"target_input": "markr"}, "did you mean 'marker'"),
        ({"learning_rat": 1}, "unknown setting 'learning_rat'; did you mean 'learning_rate'"),
        ({"precision": "fp61"}, "did you mean 'fp16'"),
        ({"schedule": "liner"}, "did you mean 'linear'"),
        ({"aggregate": "mena"}, "did you mean 'mean'"),
        ({"max_length": 7}, "max-length must be at least 8"),
        ({"batch_size": 0}, "batch_size is too small"),
        ({"epochs": 0}, "epochs is too small"),
    ],
)
def test_wrong_settings_are_one_sentence_with_a_suggestion(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        EncoderConfig.of("base", settings)


def test_what_only_shows_in_training_is_said_before_any_step(tiny_base):
    inputs, y = good_or_bad()
    base = tiny_base("klue-bert")
    with pytest.raises(UsageError, match="did you mean 'focal'"):
        made(base, loss="focla").fit(inputs, y)
    with pytest.raises(UsageError, match="does not fit a multilabel task"):
        made(base, loss="ce").fit(inputs, y)
    with pytest.raises(UsageError, match=r"batch-size \(8\) must be divisible"):
        made(base, accumulation=3).fit(inputs, y)
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        made(base, precision="fp16").fit(inputs, y)
    with pytest.raises(UsageError, match="unknown device"):
        made(base, device="gpu").fit(inputs, y)


def test_a_loss_that_is_no_number_names_the_rows(tiny_base, monkeypatch):
    from maeum.models import losses

    inputs, y = good_or_bad()

    def broken(*args: object):
        return lambda logits, labels: torch.where(torch.arange(len(labels)) == 2, torch.nan, logits.sum(1))

    with monkeypatch.context() as patch:
        patch.setattr(losses, "make_loss", broken)
        with pytest.raises(NotFinite, match=r"not a number .* in the batch of rows \d+; lower the learning rate"):
            made(tiny_base("klue-bert")).fit(inputs, y)
    with pytest.raises(NotFinite, match="not a number"):
        made(tiny_base("klue-bert"), learning_rate=1e38, max_grad_norm=1e30, warmup=0.0).fit(inputs, y)


def test_too_little_memory_says_what_to_lower(tiny_base, monkeypatch):
    from maeum.models._label_model import LabelModel

    inputs, y = good_or_bad()

    def full(*args: object, **words: object):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(LabelModel, "forward", full)
    with pytest.raises(UsageError, match=r"out of memory: lower --batch-size \(now 8\).*accumulation"):
        made(tiny_base("klue-bert")).fit(inputs, y)


@pytest.mark.parametrize("how", ["weights", "state"])
def test_a_full_disk_leaves_the_last_good_checkpoint(tiny_base, tmp_path, monkeypatch, how):
    import safetensors.torch
    import transformers

    inputs, y = good_or_bad()
    settings = {"epochs": 4.0, "checkpoint_minutes": 0.0, "learning_rate": 1e-3}
    base = tiny_base("klue-bert")
    count = iter(range(1, 10**6))

    def fills_up(real):
        def save(*args: object, **words: object):
            if next(count) == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **words)

        return save

    with monkeypatch.context() as patch:
        if how == "weights":
            patch.setattr(safetensors.torch, "save_file", fills_up(safetensors.torch.save_file))
        else:
            state = transformers.TrainerState
            patch.setattr(state, "save_to_json", fills_up(state.save_to_json))
        with pytest.raises(MaeumError, match=r"the disk is full.*run the same command again"):
            made(base, **settings).fit_watched(inputs, y, work=tmp_path / "work")
    assert training.last_checkpoint(tmp_path / "work") == tmp_path / "work" / "checkpoint-3"
    again = made(base, **settings).fit_watched(inputs, y, work=tmp_path / "work")
    whole = made(base, **settings).fit(inputs, y)
    assert all(np.array_equal(value, weights(again)[name]) for name, value in weights(whole).items())


@pytest.mark.slow
def test_labels_that_a_fold_never_sees_are_noted_once(tiny_base):
    task = Task("rare", "multilabel", (Label("좋음"), Label("나쁨"), Label("드묾")))
    examples = [
        maeum.Example(str(row), TEXTS[row], labels=(task.keys[row % 2], *(["드묾"] if row == 3 else [])))
        for row in range(16)
    ]
    settings = TrainSettings(
        model=f"encoder:{tiny_base('klue-bert')}", folds=2, model_options={"max_steps": 1, "device": "cpu"}
    )
    result = train_run(maeum.Dataset(task, examples), settings=settings)
    notes = [note for note in result.report.notes if "without ever seeing" in note]
    assert notes == ["labels so rare that some fold trains without ever seeing them: 드묾"]


def test_the_folder_says_nothing_of_where_the_base_lay(tiny_base, tmp_path):
    inputs, y = good_or_bad()
    made(tiny_base("klue-bert"), head="cls", max_steps=1).fit(inputs, y).save(tmp_path)
    for path in (tmp_path / "hf").glob("*.json"):
        assert str(tiny_base("klue-bert")) not in path.read_text(encoding="utf-8"), path
        json.loads(path.read_text(encoding="utf-8"))
