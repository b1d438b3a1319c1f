"""Low-rank adapters (LoRA, Hu et al. 2022) on a decoder, by peft: new ones, to a folder and back, merged.

A folder holds peft's own two files, ``adapter_config.json`` and ``adapter_model.safetensors``, and opens with
``PeftModel.from_pretrained`` too. They are written and read here, because peft's own functions note down where the
base lay on this machine, may ask the hub about it, and fill in random numbers for what a file lacks.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maeum._files import pretty_json, write_text
from maeum._optional import require
from maeum.errors import FormatError, UsageError
from maeum.hf.files import one_sentence, quiet, read_json

__all__ = ["FIRST", "LoraSettings", "activate", "add_lora", "load_adapter", "merged", "save_adapter"]

FIRST = "default"
"""Name of the only adapters of a base, as peft calls them."""
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_LAYERS = {"Linear", "Linear4bit", "Conv1D"}
_NEOX = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")


@dataclass(frozen=True)
class LoraSettings:
    """Which layers get adapters, and how large; the defaults are those of seed 000."""

    r: int = 16
    """Rank: an adapter of a layer from n to m numbers has r·(n + m)."""
    alpha: int = 32
    """What an adapter says is scaled by alpha/r."""
    dropout: float = 0.01
    """Dropout before each adapter while training."""
    targets: tuple[str, ...] | Literal["auto"] = "auto"
    """Last part of the names of layers, such as ``q_proj``. auto: for GPT-NeoX ``query_key_value``, ``dense``,
    ``dense_h_to_4h`` and ``dense_4h_to_h``, else every linear layer; never the output layer."""

    def __post_init__(self) -> None:
        if self.r < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise UsageError(
                f"어댑터의 r은 1 이상, alpha는 0보다 크고, dropout은 0 이상 1 미만이어야 합니다: "
                f"r={self.r}, alpha={self.alpha}, dropout={self.dropout}",
                f"adapters need r of at least 1, alpha above 0 and dropout from 0 to below 1; "
                f"got r={self.r}, alpha={self.alpha}, dropout={self.dropout}",
            )
        if not self.targets:
            raise UsageError("어댑터를 붙일 층이 없습니다.", "no layers are named for the adapters")


def add_lora(model: Any, settings: LoraSettings, *, seed: int) -> Any:
    """New adapters on a model of ``causal``; only they are trainable, and the model still says what it said.

    Args:
        model: changed in place.
        seed: decides the first weights, whatever the device and whatever was drawn before.

    Returns:
        A ``peft.PeftModel``. Adapters are float32, also on a base of fewer bits.

    Raises:
        UsageError: a target that the model does not have; the sentence lists those it has.
        MissingExtra: peft is absent.
    """
    with _peft() as peft:
        config = peft.LoraConfig(
            r=settings.r,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=_targets(model, settings.targets),
            task_type="CAUSAL_LM" if model.get_output_embeddings() is not None else "FEATURE_EXTRACTION",
        )
        adapted = _wrapped(peft, model, config)
    _draw(adapted, seed)
    return adapted


def save_adapter(model: Any, folder: str | os.PathLike[str], *, name: str = FIRST) -> None:
    """Write the adapters of ``add_lora`` or ``load_adapter``: two files, nothing of the base."""
    from safetensors.torch import save_file

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with _peft() as peft:
        config = copy.deepcopy(model.peft_config[name])
        config.inference_mode = True
        # a hub id helps whoever opens the folder elsewhere, a path of this machine does not
        config.base_model_name_or_path = getattr(model.get_base_model(), "_maeum_hub_id", None)
        config.save_pretrained(str(target))
        tensors = _tensors(peft, model, name)
    content = read_json(target / _CONFIG, default={})
    # a set, whose order would differ from run to run
    content["target_modules"] = sorted(content["target_modules"])
    write_text(target / _CONFIG, pretty_json(content))
    whole = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    save_file(whole, target / _WEIGHTS, metadata={"format": "pt"})


def load_adapter(model: Any, folder: str | os.PathLike[str], *, trainable: bool = False, name: str = FIRST) -> Any:
    """The adapters of a folder on a model of ``causal``, in evaluation mode.

    Args:
        model: the base, changed in place; or what this function gave before, to put further adapters beside those that
            are there. The ones loaded last are active, see ``activate``.
        trainable: to go on training them.
        name: what tells these adapters from others on the same base.

    Raises:
        FormatError: a file is missing, damaged, not LoRA, or made for another architecture.
        MissingExtra: peft is absent.
    """
    place = Path(folder)
    for file in (_CONFIG, _WEIGHTS):
        if not (place / file).is_file():
            raise FormatError(
                f"{folder}에 어댑터 파일 {file}이 없습니다. 저장된 폴더를 통째로 옮겼는지 확인하세요.",
                f"{folder} has no adapter file {file}; check that the saved folder was copied whole",
            )
    from safetensors.torch import load_file

    torch = require("torch")
    with one_sentence(folder), _peft() as peft:
        saved = load_file(place / _WEIGHTS)
        config = peft.LoraConfig(**_read_config(peft, place))
        config.inference_mode = not trainable
        if hasattr(model, "peft_config"):
            config.fan_in_fan_out = next(iter(model.peft_config.values())).fan_in_fan_out
            with torch.random.fork_rng(devices=[]):
                model.add_adapter(name, config)
            adapted = model
        else:
            adapted = _wrapped(peft, model, config, name)
        wanted = _tensors(peft, adapted, name)
        _check_fit(folder, saved, wanted)
        activate(adapted, name)
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(saved[key])
    for parameter_name, parameter in adapted.named_parameters():
        parameter.requires_grad_(trainable and f".{name}." in parameter_name and "lora_" in parameter_name)
    return adapted.eval()


def activate(model: Any, name: str) -> None:
    """Let these of the adapters that share a base speak."""
    if model.active_adapter != name:
        model.set_adapter(name, inference_mode=True)


def merged(model: Any) -> Any:
    """The base with the adapters added into its weights: a plain model of transformers, and what ``model`` was, is gone.

    In float32 it says the same to rounding; weights in 16 bits round what the adapters add.

    Raises:
        UsageError: the base is in 4 bits, where adding would lose most of what was learnt.
        FormatError: an adapter holds numbers that are not finite.
    """
    if getattr(model.get_base_model(), "is_loaded_in_4bit", False):
        raise UsageError(
            "4비트 모델에는 어댑터를 합칠 수 없습니다. 바탕 모델을 quantize=none으로 읽어 어댑터를 얹은 뒤 합치세요.",
            "adapters cannot be merged into 4-bit weights; load the base with quantize=none, then the adapters, "
            "and merge those",
        )
    with one_sentence("adapter"), _peft():
        plain = model.merge_and_unload(safe_merge=True)
    return plain.requires_grad_(False).eval()


def _targets(model: Any, targets: tuple[str, ...] | Literal["auto"]) -> list[str]:
    output = model.get_output_embeddings()
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if type(module).__name__ in _LAYERS and module is not output
    }
    if targets == "auto":
        return list(_NEOX) if model.config.model_type == "gpt_neox" else sorted(names)
    for target in targets:
        if target not in names:
            raise UsageError(
                f"이 모델에는 '{target}' 층이 없습니다. 어댑터를 붙일 수 있는 층: {', '.join(sorted(names))}",
                f"this model has no layer '{target}'; adapters go on: {', '.join(sorted(names))}",
            )
    return sorted(set(targets))


def _wrapped(peft: Any, model: Any, config: Any, name: str = FIRST) -> Any:
    """``get_peft_model`` that leaves torch's random numbers and the configuration of GPT-2's layers right."""
    torch = require("torch")
    kinds = {
        type(module).__name__ for name, module in model.named_modules() if name.split(".")[-1] in config.target_modules
    }
    config.fan_in_fan_out = "Conv1D" in kinds  # GPT-2 keeps its matrices transposed
    config.base_model_name_or_path = None
    with torch.random.fork_rng(devices=[]):  # peft draws on the CPU, then moves
        return peft.get_peft_model(model, config, adapter_name=name)


def _draw(model: Any, seed: int) -> None:
    """peft's own first weights (A: Kaiming uniform with a = √5, B: zero), from a generator of our own."""
    torch = require("torch")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_A." in name:
                drawn = torch.empty(parameter.shape, dtype=torch.float32)
                torch.nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
                parameter.copy_(drawn)


def _tensors(peft: Any, model: Any, name: str = FIRST) -> dict[str, Any]:
    """Name in the file → tensor, of these adapters only."""
    own = {key: parameter for key, parameter in model.named_parameters() if "lora_" in key}
    found: dict[str, Any] = peft.get_peft_model_state_dict(
        model, state_dict=own, adapter_name=name, save_embedding_layers=False
    )
    return found


def _read_config(peft: Any, folder: Path) -> dict[str, Any]:
    content = read_json(folder / _CONFIG, default=None)
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise FormatError(
            f"{folder / _CONFIG}은(는) LoRA 어댑터의 설정이 아닙니다.",
            f"{folder / _CONFIG} does not describe LoRA adapters",
        )
    known = {field.name for field in dataclasses.fields(peft.LoraConfig)}
    strange = sorted(name for name, value in content.items() if name not in known and value)
    if strange or not isinstance(content.get("target_modules"), list):
        what = strange[0] if strange else "target_modules"
        raise FormatError(
            f"{folder / _CONFIG}의 {what}을(를) 이해하지 못합니다. 더 새로운 peft로 만든 어댑터인지 확인하세요.",
            f"{what} in {folder / _CONFIG} is not understood; the adapters may be from a newer peft",
        )
    kept = {name: value for name, value in content.items() if name in known - {"peft_type", "runtime_config"}}
    # Everything is read from the file; some kinds of first weights would change the base instead.
    return {**kept, "init_lora_weights": True, "auto_mapping": None}


def _check_fit(folder: object, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    odd = sorted(
        name
        for name in saved.keys() | wanted.keys()
        if name not in saved or name not in wanted or saved[name].shape != wanted[name].shape
    )
    if odd:
        raise FormatError(
            f"{folder}의 어댑터가 이 바탕 모델과 맞지 않습니다: {odd[0]} 등 {len(odd)}개.",
            f"the adapters in {folder} do not fit this base: {odd[0]} ({len(odd)} such)",
        )


@contextlib.contextmanager
def _peft() -> Iterator[Any]:
    """peft, without what it and the packages it imports say about themselves."""
    quiet()
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a property by its old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield require("peft")
