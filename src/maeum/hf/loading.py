"""Encoders of the BERT family, with or without a head, from the files of a model, and back into a folder.

Rules that hold for every loader here:

* weights come as safetensors; ``pytorch_model.bin`` is read only by ``torch.load(weights_only=True)``, which
  builds tensors and nothing else (many Korean models have no other file); what we write is safetensors,
* code inside a model repository is never run,
* a checkpoint that lacks encoder weights is refused: transformers would fill them with random numbers.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from maeum._optional import require
from maeum.errors import FormatError, UsageError
from maeum.hf.files import one_sentence, quiet, resolve
from maeum.hf.frame import positions

__all__ = ["load_backbone", "load_classifier", "load_config", "load_masked_lm", "new_weights", "save_pretrained"]

ProblemType = Literal["multi_label_classification", "single_label_classification", "regression"]

# The names that architectures give to the dropout before their classification layer.
_HEAD_DROPOUT = ("classifier_dropout", "classifier_dropout_prob", "cls_dropout", "seq_classif_dropout")


def load_config(ref: str | os.PathLike[str], *, revision: str | None = None) -> Any:
    """The ``PreTrainedConfig`` of a model.

    Raises:
        UsageError: see ``resolve``.
        FormatError: transformers does not know the architecture (code inside the folder is not run).
    """
    auto: Any = require("transformers").AutoConfig
    folder = resolve(ref, revision=revision)
    quiet()
    with one_sentence(ref):
        return auto.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def load_backbone(
    ref: str | os.PathLike[str], *, revision: str | None = None, dtype: Any = None, pooler: bool = False
) -> Any:
    """The encoder without any head, in evaluation mode.

    Its ``last_hidden_state`` is (batch, length, hidden); for Funnel too, whose decoder brings the length back.

    Args:
        dtype: a ``torch.dtype``; float32 unless asked, whatever the file holds.
        pooler: with the pooler of an architecture that has one; ``new_weights`` names it if the checkpoint has none.

    Raises:
        FormatError: the checkpoint lacks weights of the encoder.
    """
    torch = require("torch")
    auto: Any = require("transformers").AutoModel
    config = load_config(ref, revision=revision)
    with one_sentence(ref), torch.device("meta"):
        kind = type(auto.from_config(config))
    # No head of ours reads the pooler, and most checkpoints do not even have a trained one.
    extra = {"add_pooling_layer": pooler} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}
    return _load(kind, ref, revision=revision, dtype=dtype, config=config, **extra)


def load_classifier(
    ref: str | os.PathLike[str],
    k: int | None = None,
    id2label: Mapping[int, str] | None = None,
    label2id: Mapping[str, int] | None = None,
    problem_type: ProblemType | None = None,
    dropout: float | None = None,
    *,
    revision: str | None = None,
    dtype: Any = None,
) -> Any:
    """An encoder with the architecture's own classification head; logits are (batch, k).

    With ``k``: for training. A head that is in the checkpoint is kept only when its labels are exactly the wanted
    ones; any other head is replaced by a new one drawn from torch's generator (seed it first), because two labels
    of one task say nothing about two labels of another. Without ``k``: a saved model as it is.

    Args:
        id2label, label2id: names of the outputs; ``label2id`` is derived when left out.
        problem_type: kept in ``config.json`` for whoever opens the folder elsewhere.
        dropout: before the classification layer only. Where an architecture has no such setting (Funnel: its
            ``hidden_dropout`` reaches the whole encoder), the head's own dropout modules are set.

    Raises:
        FormatError: encoder weights are missing, or (without ``k``) the head is.
    """
    auto: Any = require("transformers").AutoModelForSequenceClassification
    config = load_config(ref, revision=revision)
    labels = {int(i): name for i, name in (id2label or {}).items()}
    if k is not None:
        labels = labels or {i: f"LABEL_{i}" for i in range(k)}
        if sorted(labels) != list(range(k)):
            raise UsageError(f"라벨은 0부터 {k - 1}까지여야 합니다.", f"label ids must be 0 to {k - 1}")
    elif labels or label2id or problem_type:
        raise UsageError("라벨을 바꾸려면 k도 주세요.", "give k as well to set labels or the problem type")
    same_head = k is None or {int(i): str(name) for i, name in config.id2label.items()} == labels
    if k is not None:
        config.id2label = labels
        config.label2id = dict(label2id or {name: i for i, name in labels.items()})
        config.num_labels = k
        config.problem_type = problem_type
    if dropout is not None:
        for name in _HEAD_DROPOUT:
            if hasattr(config, name):
                setattr(config, name, dropout)
    model = _load(
        auto,
        ref,
        revision=revision,
        dtype=dtype,
        config=config,
        head=k is not None,
        ignore_mismatched_sizes=k is not None,
    )
    if not same_head:
        _renew_head(model)
    if dropout is not None:
        for module in _head_modules(model):
            if type(module).__name__ == "Dropout":
                module.p = dropout
    return model


def load_masked_lm(ref: str | os.PathLike[str], *, revision: str | None = None, dtype: Any = None) -> Any:
    """The encoder with its masked-language-model head, for further pre-training.

    A checkpoint without such a head (an ELECTRA discriminator) gets a new one; ``new_weights`` says so.
    """
    auto: Any = require("transformers").AutoModelForMaskedLM
    config = load_config(ref, revision=revision)
    return _load(auto, ref, revision=revision, dtype=dtype, config=config, head=True)


def new_weights(model: Any) -> tuple[str, ...]:
    """Names of the parameters that the checkpoint did not have, as the loaders above noted them."""
    return tuple(getattr(model, "_maeum_new_weights", ()))


def save_pretrained(model: Any, tokenizer: Any, folder: str | os.PathLike[str]) -> None:
    """Write what any user of transformers can open: one ``model.safetensors``, ``config.json``, tokenizer files.

    Nothing in the folder is a pickle, and no file tells where the base model lay on this machine.
    """
    target = Path(folder)
    quiet()
    # One file: exporters and other runtimes expect it, and these encoders are far below any shard limit.
    model.save_pretrained(target, max_shard_size="1TB")
    tokenizer.save_pretrained(target)
    path = target / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    # Folders that never said it hold 10**30 here; whoever truncates by it would run past the position table.
    if settings.get("model_max_length", 10**30) >= 100_000:
        settings["model_max_length"] = positions(tokenizer, model.config)
    # The file format stands for itself; this is the class name that older releases know as well.
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    for private in ("name_or_path", "tokenizer_file", "vocab_file", "is_local", "local_files_only", "auto_map"):
        settings.pop(private, None)
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _load(
    kind: Any,
    ref: str | os.PathLike[str],
    *,
    revision: str | None,
    dtype: Any,
    config: Any,
    head: bool = False,
    **extra: Any,
) -> Any:
    torch = require("torch")
    folder = resolve(ref, revision=revision, weights=True)
    quiet()
    safe = (folder / "model.safetensors").is_file() or (folder / "model.safetensors.index.json").is_file()
    with one_sentence(ref):
        model, info = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32 if dtype is None else dtype,
            use_safetensors=safe,
            weights_only=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **extra,
        )
    missing = sorted(set(info["missing_keys"]) | {str(entry[0]) for entry in info.get("mismatched_keys", ())})
    prefix = f"{model.base_model_prefix}."
    inside = model.base_model is not model
    lost = [
        name
        for name in missing
        if "pooler." not in name
        and not name.endswith("position_ids")
        and (not head or not inside or name.startswith(prefix))
    ]
    if lost and inside and not any(name.startswith(prefix) for name in lost):
        raise FormatError(
            f"{ref}에 학습된 분류 머리가 없습니다 (미세조정하기 전의 모델).",
            f"{ref} has no trained classification head (it was not fine-tuned yet)",
        )
    if lost:
        raise FormatError(
            f"{ref}의 가중치 파일이 {config.model_type} 구조와 맞지 않습니다: {lost[0]} 등 {len(lost)}개가 없습니다.",
            f"the weights of {ref} do not fit the architecture {config.model_type}: {lost[0]} is missing "
            f"({len(lost)} such)",
        )
    model._maeum_new_weights = tuple(missing)
    return model.eval()


def _renew_head(model: Any) -> None:
    """Replace everything outside the encoder by freshly drawn modules."""
    fresh = type(model)(model.config).to(next(model.parameters()).dtype)
    prefix = model.base_model_prefix
    names = []
    for name, module in fresh.named_children():
        if name != prefix:
            setattr(model, name, module)
            names += [f"{name}.{parameter}" for parameter, _ in module.named_parameters()]
    model._maeum_new_weights = tuple(sorted(names))
    model.eval()


def _head_modules(model: Any) -> Iterator[Any]:
    for name, module in model.named_modules():
        if name and name.split(".")[0] != model.base_model_prefix:
            yield module
