"""Label words after a prompt: against one-row forwards of the whole sequence, whatever the batch looks like."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maeum.errors import UsageError
from maeum.models.label_scoring import calibrated, label_logprobs, proba_from

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = ("gpt-neox", "llama", "qwen")
TOKENS = 97
HEAD = (11, 12, 13, 14, 15, 16, 17)
ANSWERS = ((5,), (6,), (7, 8), (7, 9, 10), (7, 8, 11), (12, 13))
SINGLE = ((5,), (6,), (40,))
CLOSE = {"rtol": 2e-6, "atol": 1e-5}
"""Of sums of log-probabilities: as many digits as fp32 keeps on processors that add in another order."""

Opened = Callable[[str], Any]


@pytest.fixture(scope="module")
def opened(tiny_decoder: Callable[[str], Path]) -> Opened:
    """The tiny decoders as models, opened once."""
    models: dict[str, Any] = {}

    def model(name: str) -> Any:
        if name not in models:
            from maeum.hf.files import quiet

            quiet()
            models[name] = transformers.AutoModelForCausalLM.from_pretrained(tiny_decoder(name)).eval()
        return models[name]

    return model


def some_prompts(count: int = 9, seed: int = 0) -> list[tuple[int, ...]]:
    """Prompts that begin alike, of different lengths; one of them is nothing but the shared beginning."""
    draw = random.Random(seed)
    rows = [HEAD + tuple(draw.randrange(2, TOKENS) for _ in range(draw.randrange(1, 16))) for _ in range(count)]
    return [*rows, HEAD]


def plain(model: Any, prompts: Any, answers: Any) -> np.ndarray:
    """Prompt and answer in one sequence, one row at a time, softmax over all words by hand, token by token."""
    out = np.zeros((len(prompts), len(answers)))
    with torch.no_grad():
        for row, prompt in enumerate(prompts):
            for column, answer in enumerate(answers):
                logits = model(torch.tensor([[*prompt, *answer]])).logits[0].double().numpy()
                for place, token in enumerate(answer, len(prompt) - 1):
                    e = np.exp(logits[place] - logits[place].max())
                    out[row, column] += np.log(e[token] / e.sum())
    return out


def scored(model: Any, prompts: Any, answers: Any = ANSWERS, **changes: Any) -> np.ndarray:
    return label_logprobs(model, prompts, answers, **{"pad_id": 0, "token_budget": 120} | changes)


class Calls:
    """What a model is asked: (rows, columns, whether a cache was given) of each forward."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[int, int, bool]] = []
        self.columns_of_logits: list[int] = []
        real = model.forward

        # the signature is what label_logprobs looks at
        import functools

        @functools.wraps(real)
        def forward(*args: Any, **words: Any) -> Any:
            out = real(*args, **words)
            self.seen.append((*words["input_ids"].shape, words.get("past_key_values") is not None))
            self.columns_of_logits.append(out.logits.shape[1])
            return out

        monkeypatch.setattr(model, "forward", forward)


@pytest.mark.parametrize("name", SHAPES)
def test_probabilities_of_single_tokens_are_the_softmax_of_a_plain_forward(opened: Opened, name: str):
    model, prompts = opened(name), some_prompts()
    found = proba_from(scored(model, prompts, SINGLE), "vocab")
    with torch.no_grad():
        for row, prompt in enumerate(prompts):
            logits = model(torch.tensor([prompt])).logits[0, -1].double().numpy()
            e = np.exp(logits - logits.max())
            assert found[row] == pytest.approx([e[token] / e.sum() for (token,) in SINGLE], rel=1e-5)
    assert np.log(found).std(0).min() > 0.1, "the prompts all got the same answer, so nothing was tested"


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("prefix", [-1, 0, 5])
@pytest.mark.parametrize("budget", [1, 120, 10_000])
def test_long_answers_equal_the_whole_sequence(opened: Opened, name: str, side: str, prefix: int, budget: int):
    model, prompts = opened(name), some_prompts()
    found = scored(model, prompts, side=side, prefix=prefix, token_budget=budget)
    assert found.shape == (len(prompts), len(ANSWERS))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, plain(model, prompts, ANSWERS), **CLOSE)


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_does_not_depend_on_its_neighbours(opened: Opened, name: str):
    model, prompts = opened(name), some_prompts()
    together = scored(model, prompts)
    order = np.random.default_rng(1).permutation(len(prompts))
    np.testing.assert_allclose(scored(model, [prompts[row] for row in order]), together[order], **CLOSE)
    strangers = [*prompts[:3], tuple(range(20, 60)), (3,)]
    np.testing.assert_allclose(scored(model, strangers)[:3], together[:3], **CLOSE)
    for row, prompt in enumerate(prompts):
        np.testing.assert_allclose(scored(model, [prompt])[0], together[row], **CLOSE)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("pad_id", [0, 50])
def test_what_padding_is_made_of_does_not_matter(opened: Opened, name: str, pad_id: int):
    model, prompts = opened(name), some_prompts()
    np.testing.assert_allclose(scored(model, prompts, pad_id=pad_id), plain(model, prompts, ANSWERS), **CLOSE)


def test_no_prompts_and_no_answers(opened: Opened):
    assert scored(opened("llama"), []).shape == (0, len(ANSWERS))
    assert scored(opened("llama"), some_prompts(), ()).shape == (10, 0)


def test_identical_prompts_run_once(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    model, done = opened("qwen"), []
    expected = plain(model, [HEAD], ANSWERS)
    calls = Calls(model, monkeypatch)
    found = scored(model, [HEAD] * 4, SINGLE, progress=lambda rows, _: done.append(rows))
    assert calls.seen == [(1, len(HEAD), False)]
    assert done == [4]
    np.testing.assert_allclose(found[:, :2], np.repeat(expected[:, :2], 4, 0), **CLOSE)


def test_prompts_that_are_their_own_beginnings(opened: Opened):
    """No prompt may be used up by the shared beginning: its last token gives the first answer."""
    model = opened("gpt-neox")
    prompts = [HEAD[:5], HEAD[:6], HEAD]
    np.testing.assert_allclose(scored(model, prompts), plain(model, prompts, ANSWERS), **CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
def test_single_tokens_need_one_pass_and_the_beginning_one(opened: Opened, monkeypatch: pytest.MonkeyPatch, side: str):
    model, prompts = opened("llama"), some_prompts()[:-1]
    calls = Calls(model, monkeypatch)
    scored(model, prompts, SINGLE, token_budget=10_000, side=side)
    widest = max(map(len, prompts)) - len(HEAD)
    assert calls.seen == [(1, len(HEAD), False), (len(prompts), widest, True)]
    if side == "left":
        assert calls.columns_of_logits == [1, 1], "the output layer ran on more than the last column"


def test_long_answers_run_only_what_comes_after_the_prompt(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    model, prompts = opened("llama"), some_prompts()[:-1]
    calls = Calls(model, monkeypatch)
    scored(model, prompts, token_budget=10_000)
    widest = max(map(len, prompts)) - len(HEAD)
    # (7, 8) serves (7, 8) and (7, 8, 11); then (7, 9) and (12,)
    rest = [(len(prompts), columns, True) for columns in (2, 2, 1)]
    assert calls.seen == [(1, len(HEAD), False), (len(prompts), widest, True), *rest]


def test_batches_keep_to_the_budget_and_to_similar_lengths(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    model = opened("llama")
    prompts = [(*range(2, 2 + size), size) for size in [30] * 5 + [4] * 5]
    prompts = [(*prompt, number) for number, prompt in enumerate(prompts)]
    calls = Calls(model, monkeypatch)
    scored(model, prompts, SINGLE, prefix=0, token_budget=200)
    assert calls.seen == [(5, 32, False), (5, 6, False)]
    calls.seen.clear()
    scored(model, prompts, SINGLE, prefix=0, token_budget=70)
    assert [rows for rows, _, _ in calls.seen] == [2, 2, 1, 5]


def test_progress_counts_rows(opened: Opened):
    done: list[int] = []
    prompts = [*some_prompts(), HEAD]
    scored(opened("llama"), prompts, token_budget=1, progress=lambda rows, _: done.append(rows))
    assert done == sorted(done)
    assert done[-1] == len(prompts)


KW: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}


def other(kind: str) -> Any:
    """Models whose cache, positions or ``forward`` are not Llama's."""
    made = {
        "window": lambda: transformers.MistralForCausalLM(transformers.MistralConfig(**KW, sliding_window=8)),
        "wide window": lambda: transformers.MistralForCausalLM(transformers.MistralConfig(**KW, sliding_window=128)),
        "recurrent": lambda: transformers.Lfm2ForCausalLM(
            transformers.Lfm2Config(**KW, layer_types=["conv", "full_attention"])
        ),
        "learned positions": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=TOKENS, n_embd=32, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1)
        ),
        "no positions": lambda: transformers.BloomForCausalLM(
            transformers.BloomConfig(vocab_size=TOKENS, hidden_size=32, n_layer=2, n_head=4)
        ),
        "long positions": lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                **KW,
                max_position_embeddings=64,
                rope_parameters={
                    "rope_type": "longrope",
                    "rope_theta": 10_000.0,
                    "factor": 4.0,
                    "original_max_position_embeddings": 16,
                    "short_factor": [1.0] * 4,
                    "long_factor": [4.0] * 4,
                },
            )
        ),
    }
    torch.manual_seed(0)
    model = made[kind]()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data *= 5
    return model.eval()


@pytest.mark.parametrize(
    ("kind", "cached"),
    [
        ("window", False),
        ("wide window", True),
        ("recurrent", False),
        ("learned positions", True),
        ("no positions", True),
        ("long positions", False),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_other_caches_and_positions_stay_exact(kind: str, cached: bool, side: str, monkeypatch: pytest.MonkeyPatch):
    model, prompts = other(kind), some_prompts(20)
    if kind == "long positions":
        # where an answer crosses the length at which all positions change, its tokens have no one probability
        prompts = [prompt for prompt in prompts if not 16 - 3 < len(prompt) <= 16]
    expected = plain(model, prompts, ANSWERS)
    calls = Calls(model, monkeypatch)
    np.testing.assert_allclose(scored(model, prompts, side=side), expected, **CLOSE)
    assert any(given for _, _, given in calls.seen) is cached


def test_an_unknown_cache_is_not_used(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    model, prompts = opened("llama"), some_prompts()
    expected = plain(model, prompts, ANSWERS)
    monkeypatch.setattr("maeum.models._label_scorer._plain", lambda cache, length: False)
    for prefix in (-1, 0):
        np.testing.assert_allclose(scored(model, prompts, prefix=prefix), expected, **CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_model_without_logits_to_keep(opened: Opened, side: str):
    inner = opened("gpt-neox")

    class Old(torch.nn.Module):
        """A forward of the old days: all logits, always."""

        config = inner.config

        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(
            self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None, past_key_values: Any = None,
            use_cache: Any = None,
        ) -> Any:  # fmt: skip
            return self.inner(
                input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                use_cache=use_cache,
            )

    prompts = some_prompts()
    np.testing.assert_allclose(scored(Old(), prompts, side=side), plain(inner, prompts, ANSWERS), **CLOSE)


def test_a_model_in_training_is_asked_without_dropout_and_goes_back(opened: Opened):
    model, prompts = other("learned positions"), some_prompts()
    expected = plain(model, prompts, ANSWERS)
    model.train()
    np.testing.assert_allclose(scored(model, prompts), expected, **CLOSE)
    assert model.training


def test_nonsense_is_refused(opened: Opened):
    model = opened("llama")
    with pytest.raises(UsageError, match=r"prompt 1 .* holds no tokens"):
        scored(model, [HEAD, ()])
    with pytest.raises(UsageError, match=r"answer 0 .* holds no tokens"):
        scored(model, [HEAD], [()])
    with pytest.raises(UsageError, match="share their first 1 tokens, but prefix=3"):
        scored(model, [(1, 2, 3, 4), (1, 9, 9, 9)], prefix=3)


def test_nan_is_not_passed_on():
    model = other("learned positions")
    model.transformer.wte.weight.data[5] = float("nan")
    with pytest.raises(UsageError, match="bf16 or fp32"):
        scored(model, [(5, 6)])


LOGP = np.log([[0.5, 0.1, 0.04], [0.02, 0.2, 0.08]])


def test_probabilities_of_the_vocabulary_and_of_the_labels():
    vocab, labels = proba_from(LOGP, "vocab"), proba_from(LOGP, "labels")
    assert vocab.dtype == labels.dtype == np.float32
    np.testing.assert_allclose(vocab, [[0.5, 0.1, 0.04], [0.02, 0.2, 0.08]], rtol=1e-6)
    np.testing.assert_allclose(labels, np.array([[50, 10, 4], [2, 20, 8]]) / [[64], [30]], rtol=1e-6)
    assert proba_from(np.zeros((0, 3)), "labels").shape == (0, 3)


def test_mean_is_the_geometric_mean_per_token():
    found = proba_from(LOGP, "vocab", "mean", (1, 2, 2))
    np.testing.assert_allclose(found, np.array([[0.5, 0.1**0.5, 0.2], [0.02, 0.2**0.5, 0.08**0.5]]), rtol=1e-6)
    shared = proba_from(LOGP, "labels", "mean", (1, 2, 2))
    np.testing.assert_allclose(shared, found / found.sum(1, keepdims=True), rtol=1e-6)
    for lengths in (None, (1, 2)):
        with pytest.raises(UsageError, match="each of the 3 answers"):
            proba_from(LOGP, "vocab", "mean", lengths)


def test_contextual_calibration_by_hand():
    # rows over what a text without content gets: (.5, .1, .04) / (.5, .2, .1) = (1, .5, .4) of 1.9
    free = np.log([0.5, 0.2, 0.1])
    expected = np.array([[1 / 1.9, 0.5 / 1.9, 0.4 / 1.9], [0.04 / 1.84, 1 / 1.84, 0.8 / 1.84]])
    np.testing.assert_allclose(np.exp(calibrated(LOGP, free)), expected, rtol=1e-9)
    np.testing.assert_allclose(proba_from(calibrated(LOGP, free), "vocab"), expected, rtol=1e-6)
    # several such texts: their probabilities, not their logarithms, are averaged
    several = np.log([[0.6, 0.3, 0.15], [0.4, 0.1, 0.05]])
    np.testing.assert_allclose(np.exp(calibrated(LOGP, several)), expected, rtol=1e-9)
    with pytest.raises(UsageError, match=r"shape \(m, 3\)"):
        calibrated(LOGP, np.zeros((1, 2)))
