"""Decoders (causal language models): their weights, in full or in 4 bits, their tokenizers, and what identifies them.

The rules of ``loading`` hold here too, and one is stricter: decoder weights are read as safetensors only.

4 bits are NormalFloat4 with double quantisation (Dettmers et al. 2023, "QLoRA") by bitsandbytes: linear layers of the
blocks are stored in 4 bits and computed in the model's dtype; embeddings, norms and the output layer stay as they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from maeum._optional import require
from maeum.errors import FormatError, UsageError
from maeum.hf.adapters import LoraSettings, add_lora, load_adapter, merged, save_adapter
from maeum.hf.files import one_sentence, quiet, read_json, resolve
from maeum.hf.identity import base_fingerprint, check_base, find_base, weight_files
from maeum.hf.loading import load_config
from maeum.hf.tokenizers import load_tokenizer

__all__ = [
    "LoraSettings",
    "add_lora",
    "base_fingerprint",
    "check_base",
    "check_decoder",
    "check_quantize",
    "context_length",
    "find_base",
    "load_adapter",
    "load_causal",
    "load_decoder",
    "load_decoder_tokenizer",
    "merged",
    "parameter_counts",
    "save_adapter",
]

Quantize = Literal["none", "nf4"]
Ref = str | os.PathLike[str]

_BLOCK = 64  # weights per scale of bitsandbytes' nf4
_CONTEXT = 2048  # of models without position table or stated limit (MPT, BLOOM: ALiBi), what most were trained with


def load_causal(
    ref: Ref, *, revision: str | None = None, quantize: Quantize = "none", dtype: Any = None, device: Any
) -> Any:
    """A causal language model in evaluation mode; logits are (batch, length, vocabulary).

    Args:
        ref: folder or hub id, see ``files.resolve``.
        revision: branch, tag or commit of a hub id.
        quantize: ``nf4`` stores the linear layers of the blocks in 4 bits; call ``check_quantize`` first.
        dtype: a ``torch.dtype`` of weights and computation; None: bfloat16 on a GPU that computes it, else float32.
        device: a ``torch.device``; the weights are read straight onto it.

    Raises:
        UsageError: no such model, not a decoder, no safetensors, or layers that 4 bits cannot be used for here.
        FormatError: the checkpoint is damaged, or lacks weights of the architecture.
        MissingExtra: bitsandbytes is absent.
    """
    return _load("AutoModelForCausalLM", ref, revision, quantize, dtype, device)


def load_decoder(
    ref: Ref, *, revision: str | None = None, quantize: Quantize = "none", dtype: Any = None, device: Any
) -> Any:
    """The same without its output layer; ``last_hidden_state`` is (batch, length, hidden)."""
    return _load("AutoModel", ref, revision, quantize, dtype, device)


def load_decoder_tokenizer(ref: Ref, *, revision: str | None = None) -> Any:
    """The tokenizer of a decoder, always with an end-of-text and a padding token.

    An end-of-text token that the tokenizer files leave out is taken from ``config.json``. Where there is no padding
    token (GPT-NeoX, Llama) it is the end-of-text token: so what is padded must be known by the attention mask, never
    by the id, or the model would unlearn to end.

    Raises:
        UsageError: see ``resolve``.
        FormatError: no tokenizer files, files that do not fit, or neither token anywhere.
    """
    tokenizer = load_tokenizer(ref, revision=revision)
    if tokenizer.eos_token_id is None:
        found = read_json(resolve(ref, revision=revision) / "config.json", default={}).get("eos_token_id")
        index = found[0] if isinstance(found, list) and found else found
        if isinstance(index, int) and 0 <= index < len(tokenizer):
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(index)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise FormatError(
                f"{ref}의 토크나이저에 끝 토큰(eos)도 채움 토큰(pad)도 없습니다. tokenizer_config.json에 eos_token을 적으세요.",
                f"the tokenizer of {ref} has neither an end-of-text nor a padding token; "
                "name an eos_token in its tokenizer_config.json",
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def context_length(ref: Ref, *, revision: str | None = None) -> int:
    """Tokens that the model takes at once, prompt and answer together."""
    config = load_config(ref, revision=revision).get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return _CONTEXT


def check_quantize(quantize: str, device_name: str) -> None:
    """Refuse 4 bits where they cannot be had, before anything large is read.

    Args:
        quantize: none or nf4.
        device_name: what the user asked for (auto, cpu, cuda, …). On a CPU 4 bits save memory but are slow, so they
            are only used when a CPU was asked for by name.

    Raises:
        UsageError: an unknown kind, or no CUDA.
        MissingExtra: bitsandbytes is absent.
    """
    if quantize not in ("none", "nf4"):
        raise UsageError(f"quantize는 none 또는 nf4입니다: {quantize}", f"quantize is none or nf4, not {quantize}")
    if quantize == "none":
        return
    torch = require("torch")
    if device_name != "cpu" and not torch.cuda.is_available():
        raise UsageError(
            "4비트(nf4)에는 CUDA GPU가 필요한데 이 컴퓨터에서 찾지 못했습니다. quantize=none으로 하거나, "
            "느려도 괜찮으면 device=cpu를 주세요.",
            "4 bits (nf4) need a CUDA GPU and none was found; use quantize=none, or device=cpu if slow is fine",
        )
    quiet()
    require("bitsandbytes")


def parameter_counts(model: Any) -> tuple[int, int]:
    """(trainable, all) parameters; a tied weight counts once, a byte of 4-bit weights as its two numbers."""
    trainable = total = 0
    for parameter in model.parameters():
        packed = type(parameter).__name__ == "Params4bit" and parameter.element_size() * 2
        count = parameter.numel() * (packed or 1)
        total += count
        trainable += count if parameter.requires_grad else 0
    return trainable, total


def _load(kind: str, ref: Ref, revision: str | None, quantize: str, dtype: Any, device: Any) -> Any:
    torch, transformers = require("torch"), require("transformers")
    folder = resolve(ref, revision=revision, weights=True)
    config = load_config(ref, revision=revision)
    check_decoder(ref, revision=revision)
    weight_files(folder)
    if dtype is None:
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = torch.bfloat16 if native else torch.float32
    how: dict[str, Any] = {}
    if quantize == "nf4":
        how["quantization_config"] = _nf4(ref, config, dtype)
    if quantize == "nf4" or device.type != "cpu":
        how["device_map"] = {"": device}
    quiet()
    with one_sentence(ref):
        model, info = getattr(transformers, kind).from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **how,
        )
    lost = sorted(set(info["missing_keys"]) | {str(entry[0]) for entry in info.get("mismatched_keys", ())})
    if lost:
        raise FormatError(
            f"{ref}의 가중치 파일이 {config.model_type} 구조와 맞지 않습니다: {lost[0]} 등 {len(lost)}개가 없습니다.",
            f"the weights of {ref} do not fit the architecture {config.model_type}: {lost[0]} is missing "
            f"({len(lost)} such)",
        )
    if quantize == "nf4" and device.type == "cpu":
        _steady_on_cpu(ref, model)
    model._maeum_hub_id = None if Path(ref).expanduser().is_dir() else str(ref)
    return model.eval()


def check_decoder(ref: Ref, *, revision: str | None = None) -> None:
    """Refuse what is no decoder: transformers would open BERT as a language model too, one that sees what it predicts.

    Raises:
        UsageError: another kind of model.
    """
    config = load_config(ref, revision=revision)
    names: Any = require("transformers.models.auto.modeling_auto")
    kind = config.model_type
    if kind in names.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in names.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return
    raise UsageError(
        f"{ref}은(는) 디코더 언어 모델이 아닙니다({kind}). polyglot-ko, Llama, Qwen 같은 모델을 주거나 encoder를 쓰세요.",
        f"{ref} is not a decoder language model ({kind}); give one such as polyglot-ko, Llama or Qwen, or use encoder",
    )


def _nf4(ref: Ref, config: Any, dtype: Any) -> Any:
    if getattr(config, "quantization_config", None) is not None:
        raise UsageError(
            f"{ref}은(는) 이미 양자화된 모델이라 nf4로 다시 줄일 수 없습니다. 원래 모델을 주세요.",
            f"{ref} is already quantised and cannot be reduced to nf4 again; give the original model",
        )
    quiet()
    require("bitsandbytes")
    return require("transformers").BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _steady_on_cpu(ref: Ref, model: Any) -> None:
    """Keep the 4-bit layers of bitsandbytes (0.50) to the one CPU path that is right, the same on every CPU.

    On CPUs with AVX512-BF16 the first evaluation repacks each weight for good, with scales rounded to bf16, and what
    was repacked passes no gradient to the layers below: training that is judged in between would learn almost
    nothing. And the kernel that unpacks rows counts blocks by row, so rows that end within a block come out wrong.
    """
    for name, module in model.named_modules():
        if type(module).__name__ != "Linear4bit":
            continue
        if module.in_features % _BLOCK:
            raise UsageError(
                f"CPU에서 nf4는 입력 폭이 {_BLOCK}의 배수인 층에만 쓸 수 있습니다: {ref}의 {name}은 {module.in_features}. "
                "quantize=none을 쓰세요.",
                f"on a CPU nf4 needs layers whose inputs are a multiple of {_BLOCK} wide; {name} of {ref} has "
                f"{module.in_features}; use quantize=none",
            )
        module.support_avx512bf16_for_cpu = False
