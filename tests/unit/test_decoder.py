"""Language models as classifiers: training on answers alone, checkpoints, zero- and few-shot, settings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maeum.data import Input, Target
from maeum.errors import FormatError, MaeumError, MissingExtra, UsageError
from maeum.models.base import load_predictor, make_classifier
from maeum.models.label_lists import ListWords, list_probabilities
from maeum.task import Label, Task, builtin_task

pytestmark = pytest.mark.usefixtures("one_thread")

TASK = Task("moods", "multilabel", (Label("기쁨"), Label("슬픔"), Label("분노")))
TEXTS = ["배송이 빨라서 기쁘다", "고장 나서 슬프다", "상담이 없어서 화가 난다", "그냥 그렇다"] * 4
Y = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]] * 4, np.uint8)
INPUTS = [Input(text) for text in TEXTS]


@pytest.fixture
def make(tiny_decoder):
    def made(shape="gpt-neox", *, kind="decoder", task=TASK, seed=1, **options):
        settings = {"device": "cpu", "precision": "fp32", "max_length": 160, "learning_rate": 5e-3, **options}
        return make_classifier(f"{kind}:{tiny_decoder(shape)}", task, seed=seed, options=settings)

    return made


def test_only_answers_are_learnt_and_prompts_get_no_gradient(make):
    import torch

    from maeum.models._prompted_nets import AnswerModel, answer_loss, collate_pairs

    model = make()
    rows = model._pairs(INPUTS[:4], Y[:4], print)
    # two labels are two examples, no label is one more
    assert [pair.row for pair in rows] == [0, 1, 2, 2, 3]
    width = max(len(pair.answer) for pair in rows)
    net = AnswerModel(model.prompting.load_base(), width).eval()
    batch = collate_pairs(rows, pad_id=model.prompting.pad_id, width=width)
    labels, _ = batch.pop("labels"), batch.pop("rows")
    found = answer_loss(net(**batch), labels)

    by_hand = []
    for pair in rows:
        ids = torch.tensor([[*pair.prompt.ids, *pair.answer]])
        masked = torch.tensor([[-100] * len(pair.prompt.ids) + list(pair.answer)])
        logits = net.backbone(input_ids=ids).logits[:, :-1]
        wanted = masked[:, 1:] != -100
        by_hand.append(torch.nn.functional.cross_entropy(logits[wanted], masked[:, 1:][wanted], reduction="none"))
    assert torch.allclose(found, torch.cat(by_hand), atol=1e-5)

    seen = []
    net.backbone.get_output_embeddings().register_full_backward_hook(lambda _, __, grads: seen.append(grads[0]))
    answer_loss(net(**batch), labels).mean().backward()
    (gradient,) = seen
    # of all positions kept, only those right before an answer token have a gradient
    touched = gradient.abs().sum(-1) > 0
    assert touched[:, -(width + 1) : -1].equal(labels != -100)
    assert not touched[:, -1].any()


def test_the_base_stays_and_checkpoints_hold_adapters_only(make, tmp_path):
    import torch
    from safetensors.torch import load_file

    model = make(epochs=1.0, batch_size=8)
    model.fit_watched(INPUTS, Y, work=tmp_path)
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    saved = load_file(checkpoint / "model.safetensors")
    assert saved
    assert all("lora_" in name for name in saved)
    fresh = model.prompting.load_base()
    kept = {
        name.replace(".base_layer", ""): value
        for name, value in model._weights.model.get_base_model().named_parameters()
    }
    for name, value in fresh.named_parameters():
        assert torch.equal(value, kept[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decoder", "decoder-cls"])
def test_a_killed_run_goes_on_exactly(make, tmp_path, kind):
    class Stop(Exception):
        pass

    def stopping(line: str) -> None:
        if "epoch 2.00" in line:
            raise Stop

    settings = {"epochs": 3.0, "batch_size": 4, "checkpoint_minutes": 0.0}
    held = (INPUTS[:4], Y[:4])
    whole = make(kind=kind, **settings)
    whole.fit_watched(INPUTS, Y, held=held)
    with pytest.raises(Stop):
        make(kind=kind, **settings).fit_watched(INPUTS, Y, held=held, work=tmp_path, progress=stopping)
    again = make(kind=kind, **settings)
    lines: list[str] = []
    again.fit_watched(INPUTS, Y, held=held, work=tmp_path, progress=lines.append)
    assert any("resuming" in line for line in lines)
    assert np.abs(whole.predict_proba(INPUTS) - again.predict_proba(INPUTS)).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decoder", "decoder-cls"])
def test_saved_models_of_one_base_share_it_and_keep_apart(make, tmp_path, kind):
    found, expected = [], []
    for number in range(3):
        model = make(kind=kind, seed=number, max_steps=2, learning_rate=2e-2).fit(INPUTS, Y)
        expected.append(model.predict_proba(INPUTS))
        (tmp_path / str(number)).mkdir()
        model.save(tmp_path / str(number))
        found.append(load_predictor(kind, tmp_path / str(number), TASK))
    bases = {id(model._weights.model if kind == "decoder" else model._model.backbone) for model in found}
    assert len(bases) == 1
    assert np.abs(expected[0] - expected[1]).max() > 1e-4
    for turn in (found, found[::-1]):
        for number, model in zip((0, 1, 2) if turn is found else (2, 1, 0), turn, strict=True):
            assert np.abs(model.predict_proba(INPUTS) - expected[number]).max() < 1e-6
    (tmp_path / "again").mkdir()
    found[1].save(tmp_path / "again")
    again = load_predictor(kind, tmp_path / "again", TASK)
    assert np.abs(again.predict_proba(INPUTS) - expected[1]).max() < 1e-6


@pytest.mark.slow
def test_folds_answer_together_from_one_base(make, tiny_decoder, tmp_path):
    from maeum.data import Dataset, Example
    from maeum.experiment import TrainSettings, train
    from maeum.folder import load

    rows = Dataset(TASK, [Example(str(n), f"{n} {text}", labels=TASK.decode(Y[n])) for n, text in enumerate(TEXTS)])
    options = {"device": "cpu", "precision": "fp32", "max_length": 160, "max_steps": 2}
    settings = TrainSettings(f"decoder:{tiny_decoder('llama')}", folds=2, model_options=options)
    result = train(rows, settings=settings, output=tmp_path / "run")
    loaded = load(tmp_path / "run")
    assert np.abs(result.analyzer.predict_proba(rows) - loaded.predict_proba(rows)).max() < 1e-6
    for analyzer in (result.analyzer, loaded):
        assert len({id(model._weights.model) for model in analyzer.predictor.members}) == 1


def test_zero_shot_learns_nothing_and_few_shot_shows_the_most_similar(make):
    zero = make(learn="none").fit(INPUTS, Y)
    assert zero.history == []
    few = make(learn="none", shots=2, max_length=400).fit(INPUTS[:4], Y[:4])
    assert np.abs(zero.predict_proba(INPUTS[:2]) - few.predict_proba(INPUTS[:2])).max() > 1e-6
    (prompt,) = few._prompts([Input("상담이 없어서 화가 났다")])
    text = few.prompting.tokenizer.decode(prompt.ids)
    # the most similar example stands last, once for each of its labels
    assert text.index("상담이 없어서 화가 난다") > text.index("그렇다") if "그렇다" in text else True
    assert text.count("상담이 없어서 화가 난다") == 2
    assert text.rstrip().endswith(":")


def test_words_are_the_order_of_labels_and_nothing_else(make):
    turned = Task("moods", "multilabel", TASK.labels[::-1])
    straight = make(learn="none").fit(INPUTS, Y).predict_proba(INPUTS)
    reverse = make(learn="none", task=turned).fit(INPUTS, Y[:, ::-1]).predict_proba(INPUTS)
    assert np.abs(straight - reverse[:, ::-1]).max() < 1e-6


def test_scores_among_the_words_sum_to_one_and_those_among_all_tokens_do_not(make):
    multi = make(learn="none", scores="labels", unlabelled="skip").fit(INPUTS, Y).predict_proba(INPUTS)
    assert multi.sum(1) == pytest.approx(np.ones(len(INPUTS)), abs=1e-5)
    assert make(learn="none").fit(INPUTS, Y).predict_proba(INPUTS).sum(1).max() < 0.999


def test_contextual_calibration_evens_out_what_an_empty_text_gets(make, tmp_path):
    model = make(learn="none", contextual_calibration=True, unlabelled="skip").fit(INPUTS, Y)
    logp = model._logprobs([model.prompting.content_free("N/A")])
    prior = np.exp(model._content_free)
    expected = np.exp(logp[0]) / prior
    found = model.predict_proba([Input("N/A")])[0]
    assert found == pytest.approx(expected / expected.sum(), abs=1e-5)
    model.save(tmp_path)
    assert load_predictor("decoder", tmp_path, TASK).predict_proba([Input("N/A")])[0] == pytest.approx(found, abs=1e-6)


def test_a_merged_folder_opens_with_plain_transformers_and_needs_no_base(make, tmp_path):
    from transformers import AutoModelForCausalLM

    model = make(epochs=1.0, merge=True).fit(INPUTS, Y)
    before = model.predict_proba(INPUTS)
    model.save(tmp_path)
    AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    about = json.loads((tmp_path / "decoder.json").read_text(encoding="utf-8"))
    about["base"]["id"] = about["config"]["base"] = "./gone"
    (tmp_path / "decoder.json").write_text(json.dumps(about), encoding="utf-8")
    assert np.abs(load_predictor("decoder", tmp_path, TASK).predict_proba(INPUTS) - before).max() < 1e-5


def test_lists_longer_than_a_batch_of_short_prompts_train(make):
    import torch

    from maeum.models._prompted_nets import answer_loss

    labels = torch.full((2, 9), -100)
    labels[:, -2:] = 3
    logits = torch.zeros(2, 4, 7)
    assert answer_loss({"logits": logits}, labels).tolist() == pytest.approx([np.log(7)] * 4)


def test_examples_that_do_not_fit_are_left_out_least_similar_first(make):
    long = Input("상담이 없어서 화가 난다 " + "아주 긴 이야기 " * 60)
    near = Input("상담이 없어서 화가 난다")
    model = make(learn="none", shots=2, max_length=200).fit([long, near], np.array([[0, 0, 1], [0, 0, 1]], np.uint8))
    (prompt,) = model._prompts([Input("상담이 없어서 화가 났다")])
    text = model.prompting.tokenizer.decode(prompt.ids)
    assert "화가 난다" in text
    assert "아주 긴 이야기" not in text


def test_a_saved_model_opens_on_the_device_of_the_reader_and_keeps_its_precision(make, tmp_path):
    model = make(learn="none", device="cpu").fit(INPUTS, Y)
    assert model.config.quantize == "none"
    model.save(tmp_path)
    again = load_predictor("decoder", tmp_path, TASK)
    assert (again.config.device, again.config.quantize) == ("auto", "none")


def test_a_base_that_is_gone_or_changed_is_refused(make, tmp_path, tiny_decoder):
    import shutil

    base, saved = tmp_path / "base", tmp_path / "saved"
    shutil.copytree(tiny_decoder("gpt-neox"), base)
    saved.mkdir()
    options = {"device": "cpu", "learn": "none"}
    make_classifier(f"decoder:{base}", TASK, seed=1, options=options).fit(INPUTS, Y).save(saved)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config["rotary_emb_base"] = 12345
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(FormatError, match="base"):
        load_predictor("decoder", saved, TASK)
    shutil.rmtree(base)
    with pytest.raises(UsageError, match="base"):
        load_predictor("decoder", saved, TASK)


def test_the_targets_of_a_targeted_task_are_asked_for(make):
    task = builtin_task("nikl-ea")
    model = make(task=task, template="seed000", learn="none")
    y = np.zeros((1, 8), np.uint8)
    with pytest.raises(UsageError, match="target"):
        model.fit([Input("배송이 빠르다")], y)
    item = Input("배송이 빠르다", Target("배송", 0, 2))
    text = model.prompting.tokenizer.decode(model.prompting.encode([item])[0].ids)
    assert text == (
        "아래는 문장에서 대상에 대한 감정을 매우 정확하게 분류한다.\n### 문장: 배송이 빠르다\n### 대상: 배송\n### 감정:"
    )
    assert model.prompting.words["surprise"] == "당황"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learn": "loar"}, "did you mean 'lora'"),
        ({"form": "lst"}, "did you mean 'list'"),
        ({"template": "emotoin"}, "did you mean 'emotion'"),
        ({"words": {"기쁨": "슬픔"}}, "same tokens"),
        ({"words": {"행복": "행복"}}, "not in task"),
        ({"words": {"기쁨": " "}}, "empty"),
        ({"words": "기쁨"}, r"decoder\.words"),
        ({"shots": 2}, "learn=none"),
        ({"form": "list", "learn": "none", "shots": 2}, "form=label"),
        ({"contextual_calibration": True, "scores": "vocab"}, "scores=labels"),
        ({"quantize": "nf4", "device": "auto"}, "CUDA"),
        ({"optimizer": "paged-adamw"}, "CUDA"),
        ({"freeze": 2}, "adapters only"),
        ({"max_length": 8}, "at least 16"),
        ({"head": "cls"}, "unknown"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_any_model_is_loaded(make, options, message, monkeypatch):
    from maeum.hf import causal

    monkeypatch.setattr(causal, "load_causal", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(MaeumError, match=message):
        make(**options)


def test_an_encoder_is_no_decoder(tiny_base):
    with pytest.raises(UsageError, match="not a decoder"):
        make_classifier(f"decoder:{tiny_base('klue-bert')}", TASK, seed=1)


def test_a_prompt_that_cannot_fit_is_refused_before_any_model_is_loaded(make, monkeypatch):
    from maeum.hf import causal

    monkeypatch.setattr(causal, "load_causal", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(UsageError, match="does not fit"):
        make(max_length=16).fit(INPUTS, Y)


def test_texts_that_are_too_long_are_cut_and_counted(make):
    lines: list[str] = []
    make(learn="none", max_length=64).fit_watched(
        [Input("배송 " * 300), *INPUTS], np.vstack([Y[:1], Y]), progress=lines.append
    )
    assert any("1 texts are longer than 64 tokens" in line and "rows 1" in line for line in lines)


def test_without_peft_the_sentence_says_what_to_install(make, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match="llm"):
        make()


def test_list_probabilities_follow_the_likeliest_course():
    words = ListWords(first=((1,), (2,), (3,)), later=((11,), (12,), (13,)), none=(9,), end=(0,))
    assert words.answer([]) == (9, 0)
    assert words.answer([0, 2]) == (1, 13, 0)
    table = {
        (): [0.6, 0.3, 0.0, 0.1],  # 1, 2, 3, none
        (1,): [None, 0.2, 0.5, 0.3],  # after 1: 2, 3, end
        (1, 13): [None, None, None, 1.0],
    }

    def score(prompts, answers):
        rows = []
        for prompt in prompts:
            shares = table[tuple(prompt[1:])]
            # what may not come again is offered all the same, and must be ignored
            rows.append([np.log(max(share, 1e-300)) if share is not None else 0.0 for share in shares])
            assert len(answers) == 4
        return np.array(rows)

    found = np.exp(list_probabilities([(7,)], words, score))[0]
    assert found == pytest.approx([0.6, 0.3 + 0.6 * 0.2, 0.6 * 0.5])
