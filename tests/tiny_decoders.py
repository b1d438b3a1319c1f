"""Tiny random-weight models in the real shapes of the decoders people prompt in Korean.

Like ``tiny``: the same architecture, special tokens, configuration keys and tokenizer files as their namesakes, 64
wide, two heads, two layers, with vocabularies trained here in which the label words are single tokens. What each
comment calls "real" is recalled from the published configurations; "assumed" marks what could not be looked up.

The weights are drawn wide enough that logits differ by several units: a fresh 0.02 would give every token the same
probability whatever the text, and a test of equality could not fail.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny

WIDTH, HEADS, LAYERS = 64, 2, 2
"""64, because the 4-bit kernels of bitsandbytes for CPUs are wrong for inputs that are no multiple of their blocks."""

WORDS = (
    *("기쁨", "기대", "신뢰", "당황", "놀람", "혐오", "공포", "분노", "슬픔"),
    *("긍정", "부정", "중립", "예", "아니오", "없음"),
)
"""Words that are one token in all three tokenizers, after a space and at the beginning of a line."""

_PROMPTS = [
    "아래는 문장에서 대상에 대한 감정을 매우 정확하게 분류한다.",
    "### 문장: 배송이 빠르다",
    "### 대상: 배송",
    "### 감정: 없음",
    "###입력: 배송이 빠르다",
    "###명령어: 리뷰를 분석해줘",
    "###키워드: 배송",
    "###출력: 배송1, 가격-1",
    "문장: 배송이 빠르다",
    "대상: 배송",
    "라벨: 없음",
    "대답: 예",
]

_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def gpt_neox(folder: Path) -> Path:
    """EleutherAI/polyglot-ko-1.3b. Real: GPT-NeoX with rotary positions on half of each head, parallel residuals.

    Byte-level BPE that adds nothing around a text, ``<|endoftext|>`` for everything, and a table with more rows than
    the tokenizer has tokens (30080 for 30003). Assumed: ``<|endoftext|>`` is id 0.
    """
    tokenizer = _byte_level(_GPT2_WORDS, first=["<|endoftext|>"], size=700)
    _write_tokenizer(
        folder,
        tokenizer,
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
        },
    )
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "vocab_size": _rows(tokenizer),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * WIDTH,
        "hidden_act": "gelu",
        "rotary_pct": 0.5,
        "rotary_emb_base": 10000,
        "max_position_embeddings": 2048,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-5,
        "use_cache": True,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return _write_model(folder, config)


def llama(folder: Path) -> Path:
    """beomi/llama-2-ko-7b. Real: Llama 2 with more Korean pieces, ``tokenizer.json`` without a ``tokenizer.model``.

    Sentencepiece's BPE: ``▁`` for spaces and one in front, unknown characters as bytes (a newline is ``<0x0A>``),
    ``<s>`` before every text, ``</s>`` never, no pad token. Grouped KV heads are Llama 2's of 70b.
    """
    from tokenizers import processors

    tokenizer = _sentencepiece_like()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    _write_tokenizer(
        folder,
        tokenizer,
        {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": True,
            "add_eos_token": False,
            "legacy": False,
            "clean_up_tokenization_spaces": False,
            **{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": None},
        },
    )
    return _write_model(folder, _llama_config(_rows(tokenizer)))


def qwen(folder: Path) -> Path:
    """Qwen/Qwen2.5-0.5B-Instruct. Real: output layer tied to the embeddings, grouped KV heads, biases on q, k and v.

    Byte-level BPE after NFC with every digit alone, no BOS at all, special tokens behind the vocabulary, ChatML in
    ``chat_template``, turns end with ``<|im_end|>``, padding is ``<|endoftext|>``.
    """
    tokenizer = _byte_level(_QWEN_WORDS, first=[], size=700)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens(specials)
    ids = {token: tokenizer.token_to_id(token) for token in specials}
    _write_tokenizer(
        folder,
        tokenizer,
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "add_bos_token": False,
            "add_prefix_space": False,
            "additional_special_tokens": specials[1:],
            "chat_template": CHATML,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "model_max_length": 32768,
            "split_special_tokens": False,
            **{"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None},
        },
    )
    config = {
        **_llama_config(_rows(tokenizer)),
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "max_position_embeddings": 32768,
        "max_window_layers": LAYERS,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
    }
    return _write_model(folder, config)


SHAPES: dict[str, Callable[[Path], Path]] = {"gpt-neox": gpt_neox, "llama": llama, "qwen": qwen}
"""Name → function that fills a folder and returns it."""


def build(name: str, folder: Path) -> Path:
    """Write the tiny model ``name`` of ``SHAPES`` into ``folder`` (made if needed) and return it."""
    return SHAPES[name](folder)


def corpus() -> list[str]:
    """What the tokenizers are trained on: the sentences, and the prompts and label words so often that they merge."""
    words = [line for word in WORDS for line in (word, f"감정: {word}", f"감정: {word}, {word}")]
    return [*tiny.sentences(), *40 * _PROMPTS, *100 * words]


def as_sentencepiece(folder: Path) -> Path:
    """Turn a llama folder into one of the first Llama repositories: ``tokenizer.model`` and no ``tokenizer.json``."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=out,
        vocab_size=600,
        model_type="bpe",
        normalization_rule_name="identity",
        byte_fallback=True,
        character_coverage=0.99,
        remove_extra_whitespaces=False,
        split_digits=True,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(out.getvalue())
    (folder / "tokenizer.json").unlink()
    return folder


def _byte_level(words: str, *, first: list[str], size: int) -> Any:
    """GPT-2's and Qwen's kind: words by a pattern, then bytes; special tokens ``first`` get the first ids."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    if not first:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=first,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def _sentencepiece_like() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    specials = ["<unk>", "<s>", "</s>"]
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    # Only while learning: no piece of sentencepiece's crosses a space or joins letters, digits and punctuation.
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation(behavior="contiguous"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=[*specials, *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    learner.train_from_iterator(corpus(), trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(learned["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(specials)
    return tokenizer


def _llama_config(rows: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": rows,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_dropout": 0.0,
        "use_cache": True,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _rows(tokenizer: Any) -> int:
    """Rows of the embedding table: padded to a multiple, as most decoders have it."""
    return -(-tokenizer.get_vocab_size() // 64) * 64


def _write_tokenizer(folder: Path, tokenizer: Any, settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", settings)
    roles = {role: token for role, token in settings.items() if role.endswith("_token") and isinstance(token, str)}
    _write_json(folder / "special_tokens_map.json", roles)


def _write_model(folder: Path, config: dict[str, Any]) -> Path:
    import torch
    import transformers

    from maeum.hf.files import quiet

    quiet()
    _write_json(folder / "config.json", config)
    read = transformers.AutoConfig.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(read)
        for parameter in model.parameters():
            if parameter.ndim == 1:  # biases and norms at 0 and 1 would hide mistakes about them
                parameter.data += 0.1 * torch.randn_like(parameter)
            else:
                gain = 2.5 if parameter.shape[0] == read.vocab_size else 1.5
                torch.nn.init.normal_(parameter, std=gain * parameter.shape[1] ** -0.5)
    model.save_pretrained(folder)
    # What the class writes today is not what lies on the hub.
    (folder / "generation_config.json").unlink(missing_ok=True)
    _write_json(folder / "config.json", config)
    return folder


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
