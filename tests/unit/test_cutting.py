"""Layers, neurons, heads and vocabulary taken out of encoders: exact where nothing of use was taken."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maeum.errors import UsageError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from maeum.hf import cutting, loading, vocabulary  # noqa: E402
from maeum.hf.tokenizers import load_tokenizer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
LIKE_BERT = ("klue-bert", "klue-roberta", "kcelectra", "kobert", "e5")
TEXTS = tiny.sentences()[:40]


def deep(base: Path, layers: int = 6):
    """An encoder of that many different layers."""
    config = loading.load_config(base)
    config.num_hidden_layers = layers
    torch.manual_seed(3)
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def states(model, tokenizer, texts=TEXTS[:8]):
    batch = tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        return model(**batch).last_hidden_state * batch["attention_mask"][..., None]


# ---------------------------------------------------------------------------------------------------------- layers


def test_six_of_twelve_layers_are_those_of_distilbert():
    assert cutting.spread(12, 6) == [0, 2, 4, 7, 9, 11]
    assert cutting.spread(12, 12) == list(range(12))
    assert cutting.spread(3, 1) == [0]
    with pytest.raises(UsageError, match="keep 1 to 12 layers, not 13"):
        cutting.spread(12, 13)


@pytest.mark.parametrize("shape", LIKE_BERT)
def test_the_layers_kept_are_those_named(tiny_base, shape, tmp_path):
    model = deep(tiny_base(shape))
    before = [copy.deepcopy(layer.state_dict()) for layer in cutting.layers_of(model)]
    cutting.keep_layers(model, [1, 4])
    assert model.config.num_hidden_layers == 2
    for number, layer in zip((1, 4), cutting.layers_of(model), strict=True):
        assert all(torch.equal(value, before[number][name]) for name, value in layer.state_dict().items())
    tokenizer = load_tokenizer(tiny_base(shape))
    loading.save_pretrained(model, tokenizer, tmp_path)
    again = transformers.AutoModel.from_pretrained(tmp_path)
    assert torch.equal(states(model, tokenizer), states(again, tokenizer))


@pytest.mark.parametrize("numbers", [[], [3, 1], [0, 0], [0, 6], [-1]])
def test_layers_that_are_not_there_are_refused(tiny_base, numbers):
    with pytest.raises(UsageError, match="numbers from 0 to 5"):
        cutting.keep_layers(deep(tiny_base("klue-bert")), numbers)


def test_funnel_is_refused_by_name(tiny_base):
    with pytest.raises(UsageError, match="'funnel' cannot be cut"):
        cutting.keep_layers(loading.load_backbone(tiny_base("funnel")), [0])


# ------------------------------------------------------------------------------------------------- neurons and heads


@pytest.mark.parametrize("shape", LIKE_BERT)
def test_neurons_that_nothing_listens_to_are_cut_without_a_trace(tiny_base, shape, tmp_path):
    model, tokenizer = deep(tiny_base(shape), 3), load_tokenizer(tiny_base(shape))
    width = cutting.ffn_width(model)
    rng = np.random.default_rng(0)
    kept = [np.sort(rng.permutation(width)[:23]) for _ in range(3)]
    with torch.no_grad():
        for layer, numbers in zip(cutting.layers_of(model), kept, strict=True):
            silent = np.setdiff1d(np.arange(width), numbers)
            layer.output.dense.weight[:, silent] = 0
    before = states(model, tokenizer)
    cutting.keep_neurons(model, kept)
    assert cutting.layers_of(model)[0].intermediate.dense.weight.shape == (23, 32)
    torch.testing.assert_close(states(model, tokenizer), before, atol=1e-6, rtol=0)
    loading.save_pretrained(model, tokenizer, tmp_path)
    again = transformers.AutoModel.from_pretrained(tmp_path)
    assert again.config.intermediate_size == 23
    assert torch.equal(states(again, tokenizer), states(model, tokenizer))


def test_layers_must_keep_equally_many_neurons(tiny_base):
    with pytest.raises(UsageError, match="equally many"):
        cutting.keep_neurons(deep(tiny_base("klue-bert"), 2), [[0, 1], [0]])


@pytest.mark.parametrize("shape", LIKE_BERT)
def test_a_model_without_a_head_equals_one_whose_head_is_zero(tiny_base, shape, tmp_path):
    model, tokenizer = deep(tiny_base(shape), 3), load_tokenizer(tiny_base(shape))
    kept = [[1], [0], [1]]
    muted = copy.deepcopy(model)
    with torch.no_grad():
        for layer, (number,) in zip(cutting.layers_of(muted), kept, strict=True):
            gone = slice(16 * (1 - number), 16 * (2 - number))
            layer.attention.output.dense.weight[:, gone] = 0
    cutting.keep_heads(model, kept)
    assert cutting.head_count(model) == 1
    assert cutting.layers_of(model)[0].attention.self.query.weight.shape == (16, 32)
    torch.testing.assert_close(states(model, tokenizer), states(muted, tokenizer), atol=1e-6, rtol=0)
    whole = cutting.with_empty_heads(model, kept)
    loading.save_pretrained(whole, tokenizer, tmp_path)
    again = transformers.AutoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(states(again, tokenizer), states(model, tokenizer), atol=1e-6, rtol=0)
    cutting.keep_heads(again, kept)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


# ------------------------------------------------------------------------------------------------------- vocabulary


def used(tokenizer, texts, rows):
    counts = np.zeros(rows, np.int64)
    for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]:
        np.add.at(counts, ids, 1)
    return counts


def trimmed(base: Path, texts, *, min_count: int = 1):
    model, tokenizer = loading.load_backbone(base), load_tokenizer(base)
    counts = used(tokenizer, texts, model.config.vocab_size)
    trim = vocabulary.choose_pieces(tokenizer, model.config, counts, min_count=min_count)
    small = copy.deepcopy(model)
    vocabulary.cut_embeddings(small, trim)
    return model, tokenizer, small, vocabulary.cut_tokenizer(tokenizer, trim), trim


def byte_level_bpe(base: Path, folder: Path) -> Path:
    """klue/roberta's model with a byte-level BPE tokenizer as that of the first RoBERTa."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(tiny.sentences(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), specials, strict=True)),
    )
    config = loading.load_config(base)
    config.vocab_size = len(fast)
    torch.manual_seed(0)
    loading.save_pretrained(transformers.RobertaModel(config), fast, folder)
    return folder


@pytest.fixture(scope="module")
def bases(tiny_base, tmp_path_factory):
    found = {shape: tiny_base(shape) for shape in (*LIKE_BERT, "kobert-skt", "funnel")}
    found["byte-bpe"] = byte_level_bpe(tiny_base("klue-roberta"), tmp_path_factory.mktemp("bpe"))
    return found


ALL = (*LIKE_BERT, "kobert-skt", "funnel", "byte-bpe")
MADE: dict[str, tuple] = {}
"""Trimmed models of the property test, made once."""


@pytest.mark.parametrize("shape", ALL)
def test_texts_of_the_corpus_are_read_as_before(bases, shape):
    model, tokenizer, small, cut, trim = trimmed(bases[shape], TEXTS[:5])
    assert len(cut) == small.config.vocab_size == len(trim.kept) < trim.before
    for text in TEXTS[:5]:
        assert cut.tokenize(text) == tokenizer.tokenize(text)
        assert [int(trim.kept[number]) for number in cut(text)["input_ids"]] == tokenizer(text)["input_ids"]
        pair = cut(text, TEXTS[0])["input_ids"]
        assert [int(trim.kept[number]) for number in pair] == tokenizer(text, TEXTS[0])["input_ids"]
    assert torch.equal(states(model, tokenizer, TEXTS[:5]), states(small, cut, TEXTS[:5]))


@pytest.mark.parametrize("shape", ALL)
def test_special_tokens_keep_their_roles_and_ways(bases, shape, tmp_path):
    _, tokenizer, small, cut, trim = trimmed(bases[shape], TEXTS[:5])
    for role in ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token"):
        assert str(getattr(cut, role)) == str(getattr(tokenizer, role))
        assert trim.kept[getattr(cut, f"{role}_id")] == getattr(tokenizer, f"{role}_id")
    flags = [
        {token["content"]: {**token, "id": 0} for token in json.loads(each.backend_tokenizer.to_str())["added_tokens"]}
        for each in (tokenizer, cut)
    ]
    assert flags[0] == flags[1]
    loading.save_pretrained(small, cut, tmp_path)
    again = load_tokenizer(tmp_path)
    assert [again(text)["input_ids"] for text in TEXTS] == [cut(text)["input_ids"] for text in TEXTS]
    plain = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert [plain(text)["input_ids"] for text in TEXTS] == [cut(text)["input_ids"] for text in TEXTS]


@pytest.mark.parametrize("shape", ALL)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_text_of_kept_pieces_is_cut_alike(bases, shape, data):
    if shape not in MADE:
        MADE[shape] = trimmed(bases[shape], TEXTS[:12], min_count=2)
    _, tokenizer, _, cut, trim = MADE[shape]
    words = sorted({word for text in tiny.sentences() for word in text.split()})
    text = " ".join(data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=6)))
    text += data.draw(st.text("가나다 ㅋㅠ!?abc12뷁漢", max_size=6))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if set(ids) <= set(trim.kept.tolist()):
        assert [int(trim.kept[number]) for number in cut(text, add_special_tokens=False)["input_ids"]] == ids


def test_a_piece_that_is_not_used_falls_apart_into_characters_that_are(bases):
    _, tokenizer, _, cut, _ = trimmed(bases["e5"], ["맛이"])
    assert tokenizer.tokenize("마음에 들어요") != cut.tokenize("마음에 들어요")
    assert "<unk>" not in cut.tokenize("마음에 들어요")
    assert "".join(cut.tokenize("마음에 들어요")).replace("▁", " ").strip() == "마음에 들어요"
