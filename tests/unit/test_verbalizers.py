"""Label words as tokens: found behind the prompt, and refused where they could not be told apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
import tiny_decoders

from maeum.data import Input, Target
from maeum.errors import UsageError
from maeum.hf.causal import load_decoder_tokenizer
from maeum.models.prompt_tokens import PromptTokens
from maeum.models.prompts import Template, load_template
from maeum.models.verbalizers import Verbalizer, answer_ids, pieces_of
from maeum.task import builtin_task

pytest.importorskip("transformers")

SHAPES = tuple(tiny_decoders.SHAPES)
TASK = builtin_task("nikl-ea")
ITEMS = (
    Input("배송이 정말 마음에 들어요 ㅋㅋㅋ", Target("배송", 0, 2)),
    Input("엄마 생각이 나서 눈물이 났어요:", Target("엄마", 0, 2)),
    Input("뷁쒟 (!!) 👍\n", Target("뷁쒟", 0, 2)),
)


@pytest.fixture(scope="module")
def tokenizer(tiny_decoder) -> Callable[[str], Any]:
    loaded: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in loaded:
            loaded[name] = load_decoder_tokenizer(tiny_decoder(name))
        return loaded[name]

    return load


def of(tokenizer: Any, words: dict[str, str], template: Template | None = None) -> Verbalizer:
    template = template or load_template("seed000")
    prompt = PromptTokens(tokenizer, template, 500).reference(choices=("가",))
    return Verbalizer.of(tuple(words), words, tokenizer, prompt, template)


def backend(model: Any, split: Any, decoder: Any = None) -> Any:
    """A transformers tokenizer around a bare one, trained on a prompt and its answers."""
    from tokenizers import Tokenizer, trainers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(model)
    bare.pre_tokenizer = split
    if decoder is not None:
        bare.decoder = decoder
    special = [model.unk_token] if model.unk_token else []
    bare.train_from_iterator(
        ["### 감정: 기쁨", "### 감정: 기대"] * 50,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False),
    )
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token=model.unk_token)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["seed000", "emotion", "label", "seed004"])
def test_prompt_and_answer_are_the_tokens_of_both_as_one_string(shape, name, tokenizer):
    made, template = tokenizer(shape), load_template(name)
    words = template.words_for(TASK) | {"long": "마음이 복잡하고 놀라움", "odd": "뷁 & 쒟"}
    choices = tuple(words.values())
    tokens = PromptTokens(made, template, 500)
    found = Verbalizer.of(tuple(words), words, made, tokens.reference(choices=choices), template)
    assert found.keys == tuple(words)
    prompts = tokens.encode(ITEMS, choices=choices)
    for item, prompt in zip(ITEMS, prompts, strict=True):
        for word, ids in zip(found.words, found.ids, strict=True):
            text = template.render(item, choices=choices) + template.answer_text(word)
            assert list(prompt.ids + ids) == made(text)["input_ids"]


def test_answers_of_a_chat_are_the_tokens_of_the_whole_conversation(tokenizer):
    made, template = tokenizer("qwen"), load_template("chat")
    words = template.words_for(TASK)
    choices = tuple(words.values())
    tokens = PromptTokens(made, template, 500)
    found = Verbalizer.of(tuple(words), words, made, tokens.reference(choices=choices), template)
    for item, prompt in zip(ITEMS, tokens.encode(ITEMS, choices=choices), strict=True):
        turns = [
            {"role": "system", "content": template.system},
            {"role": "user", "content": template.render(item, choices=choices)},
        ]
        said = made.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        assert "<|im_start|>assistant\n" in said
        for word, ids in zip(found.words, found.ids, strict=True):
            assert list(prompt.ids + ids) == made(said + word, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("shape", SHAPES)
def test_words_that_are_one_token_are_single_and_others_are_listed(shape, tokenizer):
    made = tokenizer(shape)
    short = of(made, load_template("seed000").words_for(TASK))
    assert short.single
    assert all(len(ids) == 1 for ids in short.ids)
    short.check_single()
    word = "슬픔 없음"
    mixed = of(made, {"a": "기쁨", "b": word})
    assert not mixed.single
    row = mixed.describe()[1]
    assert row == (word, mixed.pieces[1], mixed.ids[1])
    assert "".join(row[1]).replace("▁", " ") == f" {word}"
    with pytest.raises(UsageError) as caught:
        mixed.check_single()
    assert f"{word} = " in str(caught.value)
    assert " + ".join(f"'{piece}'" for piece in row[1]) in str(caught.value)
    assert "기쁨" not in str(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
def test_two_words_with_the_same_tokens_are_refused(shape, tokenizer):
    made = tokenizer(shape)
    found = of(made, {"a": "기쁨"})
    with pytest.raises(UsageError) as caught:
        of(made, {"a": "기쁨", "b": "기대", "c": "기쁨"})
    assert "'기쁨' and '기쁨' are the same tokens" in str(caught.value)
    assert f"'{found.pieces[0][0]}' {list(found.ids[0])}" in str(caught.value)


def test_words_that_the_tokenizer_makes_equal_are_refused(tokenizer):
    apart = unicodedata.normalize("NFD", "기쁨")
    with pytest.raises(UsageError, match="are the same tokens"):  # Qwen's tokenizer composes syllables
        of(tokenizer("qwen"), {"a": "기쁨", "b": apart})
    assert len(set(of(tokenizer("gpt-neox"), {"a": "기쁨", "b": apart}).ids)) == 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", [("기대", "기대 이상"), ("기대 이상", "기대")])
def test_a_word_that_begins_another_is_refused(shape, order, tokenizer):
    made = tokenizer(shape)
    longer = of(made, {"b": "기대 이상"})
    assert longer.ids[0][:1] == of(made, {"a": "기대"}).ids[0]
    with pytest.raises(UsageError) as caught:
        of(made, dict(zip("ab", order, strict=True)))
    assert "one begins the other" in str(caught.value)
    assert " + ".join(f"'{piece}'" for piece in longer.pieces[0]) in str(caught.value)


def test_words_that_share_a_beginning_and_then_differ_are_fine(tokenizer):
    found = of(tokenizer("llama"), {"a": "기대 이상", "b": "기대 이하"})
    assert found.ids[0][0] == found.ids[1][0]
    assert not found.single


def test_a_word_with_characters_that_the_tokenizer_does_not_know_is_refused():
    from tokenizers import models, pre_tokenizers

    words = pre_tokenizers.Metaspace(prepend_scheme="never")
    known = backend(models.BPE(unk_token="<unk>"), words)
    assert of(known, {"a": "기쁨"}).words == ("기쁨",)
    with pytest.raises(UsageError, match=r"no tokens for the answer '분노' as it is written: .*'<unk>'"):
        of(known, {"a": "기쁨", "b": "분노"})
    # without an unknown token a BPE model says nothing and leaves the characters out
    silent = backend(models.BPE(), words)
    assert of(silent, {"a": "기쁨"}).words == ("기쁨",)
    with pytest.raises(UsageError, match="no tokens for the answer '기노' as it is written"):
        of(silent, {"a": "기쁨", "b": "기노"})


@pytest.mark.parametrize(
    ("shape", "word"), [("llama", "</s>"), ("gpt-neox", "<|endoftext|>"), ("qwen", "기<|im_end|>")]
)
def test_a_word_that_is_a_special_token_is_refused(shape, word, tokenizer):
    with pytest.raises(UsageError, match="no tokens for the answer"):
        of(tokenizer(shape), {"a": word, "b": "기쁨"})


def test_a_token_over_the_border_of_prompt_and_answer_is_refused_and_shown():
    from tokenizers import decoders, models, pre_tokenizers

    # nothing keeps words apart here, so the most frequent pieces reach over the colon
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made = backend(models.BPE(), split, decoders.ByteLevel())
    joint = pieces_of(made, made("### 감정: 기쁨")["input_ids"])
    assert any(":" in piece and not piece.endswith(":") for piece in joint)
    with pytest.raises(UsageError) as caught:
        answer_ids(made, "### 감정:", " 기쁨")
    said = str(caught.value)
    assert "the end of the prompt and the answer '기쁨' merge into one token" in said
    assert f"together '{joint[-1]}'" in said or f"'{joint[-1]}';" in said
    assert ":" in joint[-1]
    with pytest.raises(UsageError, match="merge"):
        of(made, {"a": "기쁨", "b": "기대"})


def test_pieces_are_readable_where_they_are_whole_characters(tokenizer):
    made = tokenizer("gpt-neox")
    ids = made(" 기쁨 뷁")["input_ids"]
    pieces = pieces_of(made, ids)
    assert pieces[0] == " 기쁨"
    # the bytes of a rare syllable are shown as the tokenizer names them
    assert "\ufffd" not in "".join(pieces)
    assert made.convert_ids_to_tokens(ids[-1]) == pieces[-1]
