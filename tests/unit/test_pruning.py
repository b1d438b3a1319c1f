"""Pruning of model folders and base folders: exact where it can be, measured, refused where it makes no sense."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest
import tiny

import maeum
from maeum import folder as model_folder
from maeum.analyzer import Analyzer
from maeum.data import Dataset, Example, Input
from maeum.errors import UsageError
from maeum.models.linear import LinearClassifier
from maeum.pruning import PruneSettings, prune
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from maeum.hf import cutting  # noqa: E402
from maeum.models.encoder import EncoderClassifier  # noqa: E402
from maeum.pruning.importance import by_loss, by_size  # noqa: E402
from maeum.pruning.models import ModelPruning  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TWO = Task("two", "multilabel", (Label("좋음"), Label("나쁨")))
TEXTS = tiny.sentences()
OPTIONS = {"device": "cpu", "precision": "fp32", "max_length": 32}


def labels(texts) -> np.ndarray:
    good = [any(word in text for word in ("마음에", "좋", "추천")) for text in texts]
    bad = [any(word in text for word in ("별로", "최악", "환불")) for text in texts]
    return np.array([good, bad], np.uint8).T


def rows(texts, name: str) -> Dataset:
    y = labels(texts)
    return Dataset(TWO, [Example(f"{name}{n}", t, labels=TWO.decode(y[n])) for n, t in enumerate(texts)], source=name)


@pytest.fixture(scope="module", params=["cls", "mean"])
def model(request, tiny_base, tmp_path_factory):
    """A folder with a tiny encoder that learnt a little, and the analyzer in it."""
    place = tmp_path_factory.mktemp("pruning") / "model"
    options = {**OPTIONS, "head": request.param, "epochs": 4.0, "learning_rate": 3e-3, "dropout": 0.0}
    base = str(tiny_base("klue-roberta", easy=True))
    fitted = EncoderClassifier.of(base, TWO, seed=1, options=options).fit(
        [Input(t) for t in TEXTS[:60]], labels(TEXTS[:60])
    )
    analyzer = Analyzer(fitted, prep=TextPrep.named("raw"), thresholds=Thresholds.default(TWO))
    model_folder.save(analyzer, place)
    return place, analyzer


def written(place, texts):
    place.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return place


def test_texts_of_the_corpus_get_the_very_same_probabilities(model, tmp_path):
    place, before = model
    corpus = written(tmp_path / "t.txt", TEXTS[:8])
    result = prune(place, tmp_path / "out", vocabulary=corpus)
    after = maeum.load(tmp_path / "out")
    assert np.array_equal(after.predict_proba(TEXTS[:8]), before.predict_proba(TEXTS[:8]))
    found = result.facts["cut"]["vocabulary"]
    assert found["pieces_after"] < found["pieces_before"]
    assert found["same_texts"] == 1.0
    assert result.facts["sizes"]["after"]["parameters"] < result.facts["sizes"]["before"]["parameters"]
    assert result.facts["agreement"]["same_rows"] == 1.0
    assert after.thresholds == before.thresholds


def test_what_a_trimmed_vocabulary_changes_is_counted(model, tmp_path):
    place, before = model
    corpus = written(tmp_path / "t.txt", TEXTS[:8])
    result = prune(
        place, tmp_path / "out", PruneSettings(min_count=4), vocabulary=corpus, valid=rows(TEXTS[50:80], "v")
    )
    after = maeum.load(tmp_path / "out")
    same = [
        before.predictor.tokenizer.tokenize(text) == after.predictor.tokenizer.tokenize(text) for text in TEXTS[50:80]
    ]
    judging = result.facts["cut"]["vocabulary"]["judging"]
    assert judging["same_texts"] == np.mean(same)
    assert 0 < judging["same_texts"] < 1
    assert judging["longer"] > 0
    corpus_same = [
        before.predictor.tokenizer.tokenize(text) == after.predictor.tokenizer.tokenize(text) for text in TEXTS[:8]
    ]
    assert result.facts["cut"]["vocabulary"]["same_texts"] == np.mean(corpus_same)


def silenced(place, kept_neurons, kept_head):
    """The model with neurons and one head of each layer that nothing listens to."""
    analyzer = maeum.load(place)
    with torch.no_grad():
        for layer in cutting.layers_of(analyzer.predictor.network.backbone):
            silent = np.setdiff1d(np.arange(cutting.ffn_width(analyzer.predictor.network.backbone)), kept_neurons)
            layer.output.dense.weight[:, silent] = 0
            gone = slice(16 * (1 - kept_head), 16 * (2 - kept_head))
            layer.attention.output.dense.weight[:, gone] = 0
    return analyzer


@pytest.mark.parametrize("how", ["loss", "size"])
def test_neurons_and_heads_that_do_not_matter_go_first(model, how):
    kept = np.arange(1, 63, 3)
    analyzer = silenced(model[0], kept, 1)
    inputs = [Input(text) for text in TEXTS[:20]]
    if how == "size":
        found = by_size(analyzer.predictor.network.backbone)
    else:
        found = by_loss(analyzer.predictor, inputs, labels(TEXTS[:20]))
    for numbers in found.best_neurons(len(kept) / 64):
        assert numbers.tolist() == kept.tolist()
    assert [numbers.tolist() for numbers in found.best_heads(0.5)] == [[1], [1]]
    assert np.all(found.neurons[:, kept] > 0)


def test_importance_is_activation_times_gradient(model):
    """One batch: the sum over tokens of what a neuron says times the gradient of what it says."""
    analyzer = maeum.load(model[0])
    predictor, texts = analyzer.predictor, TEXTS[:5]
    layer = cutting.layers_of(predictor.network.backbone)[1]
    seen = []
    hook = layer.intermediate.register_forward_hook(lambda _, __, out: (out.retain_grad(), seen.append(out))[1])
    found = by_loss(predictor, [Input(text) for text in texts], labels(texts))
    hook.remove()
    want = (seen[0] * seen[0].grad).sum((0, 1)).abs().detach().numpy()
    assert found.neurons[1] == pytest.approx(want, abs=1e-7, rel=1e-4)


def test_a_thinner_model_answers_the_same_where_nothing_mattered(model, tmp_path):
    kept = np.arange(0, 64, 2)
    model_folder.save(silenced(model[0], kept, 0), tmp_path / "silent")
    before = maeum.load(tmp_path / "silent")
    result = prune(tmp_path / "silent", tmp_path / "out", PruneSettings(ffn=0.5, heads=0.5))
    after = maeum.load(tmp_path / "out")
    np.testing.assert_allclose(after.predict_proba(TEXTS[:40]), before.predict_proba(TEXTS[:40]), atol=1e-6)
    network = after.predictor.network
    assert cutting.ffn_width(network.backbone) == 32
    assert cutting.head_count(network.backbone) == 1
    assert network.heads == [[0], [0]]
    assert result.facts["cut"]["ffn"] == {"before": 64, "kept": 32, "by": "size"}
    assert any("size of their weights" in note for note in result.facts["notes"])
    assert any("thresholds are those of the model as it was" in note for note in result.facts["notes"])
    # transformers opens it, with zeros for the heads that are gone, and says the same
    plain = transformers.AutoModel.from_pretrained(tmp_path / "out" / "model" / "hf")
    assert plain.config.intermediate_size == 32
    batch = after.predictor.tokenizer(TEXTS[:4], padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        states = [
            m(**batch).last_hidden_state * batch["attention_mask"][..., None]
            for m in (plain, network.backbone.base_model)
        ]
    torch.testing.assert_close(*states, atol=1e-6, rtol=0)
    # saved and cut again
    model_folder.save(after, tmp_path / "again")
    again = maeum.load(tmp_path / "again")
    assert np.array_equal(again.predict_proba(TEXTS[:9]), after.predict_proba(TEXTS[:9]))
    prune(tmp_path / "again", tmp_path / "less", PruneSettings(layers="1,"))
    assert maeum.load(tmp_path / "less").predictor.network.heads == [[0]]


def test_recovery_learns_and_thresholds_are_tuned_on_rows_left_out(model, tmp_path):
    place, _ = model
    settings = PruneSettings(layers="1", ffn=0.25, recover=15, model_options={**OPTIONS, "learning_rate": 3e-3})
    data, valid = rows(TEXTS[:140], "d"), rows(TEXTS[140:], "v")
    plain = prune(place, tmp_path / "plain", PruneSettings(layers="1", ffn=0.25), data=data, valid=valid)
    result = prune(place, tmp_path / "out", settings, data=data, valid=valid)
    scores = [facts["judged"]["scores"]["micro_f1"]["after"] for facts in (plain.facts, result.facts)]
    assert scores[1] > scores[0] + 0.1
    after = maeum.load(tmp_path / "out")
    assert after.predictor.network.backbone.config.num_hidden_layers == 1
    assert "14 rows, fingerprint" in after.thresholds.tuned_on
    assert not result.facts["judged"]["tuned_on_same_rows"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["metrics"]["micro_f1"] == pytest.approx(scores[1])
    assert not (tmp_path / "out.partial").exists()
    assert result.facts["cut"]["ffn"]["by"] == "loss"


def test_rows_that_judge_neither_recover_nor_tune(model, tmp_path):
    place, _ = model
    data, valid = rows(TEXTS[:60], "d"), rows(TEXTS[40:80], "v")
    result = prune(place, tmp_path / "out", PruneSettings(layers="1"), data=data, valid=valid)
    apart = len([text for text in TEXTS[:60] if text not in TEXTS[40:80]])
    assert f"{apart} rows, fingerprint" in result.facts["thresholds"]
    assert any(f"{60 - apart} rows of --data were left out" in note for note in result.facts["notes"])
    with pytest.raises(UsageError, match="every text of 'v' is also in --valid"):
        prune(place, tmp_path / "none", PruneSettings(layers="1"), data=valid, valid=valid)


def test_an_unfinished_run_of_another_command_is_left_alone(model, tmp_path):
    other = tmp_path / "out.partial" / "checkpoint-9"
    other.mkdir(parents=True)
    prune(model[0], tmp_path / "out", PruneSettings(layers="1"))
    assert other.exists()


def test_recovery_has_the_loss_of_the_training(model):
    place, before = model
    pruning = ModelPruning(place, PruneSettings(layers="1"), lambda _: None)
    pruning.start.config = dataclasses.replace(before.predictor.config, loss="ordinal", steepness=3.5, loss_eps=1e-4)
    config = pruning._around(copy.deepcopy(pruning.start.network), pruning.start.tokenizer).config
    assert (config.loss, config.steepness, config.loss_eps) == ("ordinal", 3.5, 1e-4)


def test_bad_rows_of_the_corpus_are_written_down_once(model, tmp_path):
    place, _ = model
    corpus = tmp_path / "t.jsonl"
    corpus.write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS[:8]) + "no json\n", encoding="utf-8")
    rejects = tmp_path / "rejects.jsonl"
    reading = {"format": "jsonl", "on_error": "skip", "rejects": rejects}
    prune(place, tmp_path / "out", vocabulary=corpus, reading=reading)
    assert len(rejects.read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize("shape", ["e5", "klue-bert"])
def test_a_base_becomes_a_smaller_base(tiny_base, tmp_path, shape):
    corpus = written(tmp_path / "t.txt", TEXTS[:8])
    base = tiny_base(shape)
    result = prune(base, tmp_path / "out", PruneSettings(layers="0,"), vocabulary=corpus)
    assert result.facts["kind"] == "base"
    assert result.facts["sizes"]["after"]["parameters"] < result.facts["sizes"]["before"]["parameters"]
    plain = transformers.AutoModel.from_pretrained(tmp_path / "out")
    assert plain.config.num_hidden_layers == 1
    assert plain.config.vocab_size == result.facts["cut"]["vocabulary"]["pieces_after"]
    assert (tmp_path / "out" / "modules.json").exists() == (shape == "e5")
    assert bool(result.facts["notes"]) == (shape == "klue-bert")  # its masked language model is gone
    model = EncoderClassifier.of(str(tmp_path / "out"), TWO, seed=1, options={**OPTIONS, "max_steps": 2})
    proba = model.fit([Input(t) for t in TEXTS[:16]], labels(TEXTS[:16])).predict_proba([Input("배송이 좋아요")])
    assert proba.shape == (1, 2)
    with pytest.raises(UsageError, match="is a base encoder that nothing was trained on"):
        maeum.load(tmp_path / "out")
    prune(tmp_path / "out", tmp_path / "again", vocabulary=written(tmp_path / "u.txt", TEXTS[:2]))


def test_what_cannot_be_cut_is_refused_in_one_sentence(model, tiny_base, tmp_path):
    place, _ = model
    with pytest.raises(UsageError, match="say what to take out"):
        prune(place, tmp_path / "out")
    with pytest.raises(UsageError, match="--recover needs labelled rows"):
        prune(place, tmp_path / "out", PruneSettings(layers="1", recover=1))
    for one in (place, tiny_base("e5")):  # a corpus is read twice
        with pytest.raises(UsageError, match="cannot be chosen from standard input"):
            prune(one, tmp_path / "out", vocabulary="-")
    with pytest.raises(UsageError, match="layers are given as 6 or as 0,2,4, not 'six'"):
        prune(place, tmp_path / "out", PruneSettings(layers="six"))
    with pytest.raises(UsageError, match="keep 1 to 2 layers, not 6"):
        prune(place, tmp_path / "out", PruneSettings(layers="6"))
    with pytest.raises(UsageError, match=r"ffn is out of range: 1\.5"):
        PruneSettings(ffn=1.5)
    with pytest.raises(UsageError, match="--ffn, --data: for model folders trained for a task"):
        prune(tiny_base("e5"), tmp_path / "out", PruneSettings(ffn=0.5), data=rows(TEXTS[:20], "d"))
    fitted = LinearClassifier(TWO, seed=1).fit([Input(t) for t in TEXTS], labels(TEXTS))
    analyzer = Analyzer(fitted, prep=TextPrep.named("raw"), thresholds=Thresholds.default(TWO))
    model_folder.save(analyzer, tmp_path / "linear")
    with pytest.raises(UsageError, match="'linear'; of a folder with folds give folds/0"):
        prune(tmp_path / "linear", tmp_path / "out", PruneSettings(layers="1"))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()
