"""Tokenizers and encoders of the BERT family, from a local folder or a hub id.

A ``ref`` is a local folder (``./klue-bert``) or a hub id (``klue/bert-base``). A hub id is fetched into the hub's
own cache once, and everything after that reads the local copy: transformers itself is only ever given folders, so
it has nothing to ask the network, nothing to convert behind our back and nobody's code to run.

Rules that hold for every loader here:

* weights come as safetensors; ``pytorch_model.bin`` is read only by ``torch.load(weights_only=True)``, which
  builds tensors and nothing else (many Korean models have no other file); what we write is safetensors,
* code inside a model repository is never run,
* a checkpoint that lacks encoder weights is refused: transformers would fill them with random numbers,
* a tokenizer that has a ``tokenizer.json`` is that file, not what a tokenizer class rebuilds from its vocabulary.

Errors: ``UsageError`` when the ref is wrong or cannot be reached, ``FormatError`` when the files are,
``MissingExtra`` when the packages are absent.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maeum._optional import require
from maeum.errors import FormatError, UsageError

__all__ = [
    "Frame",
    "frame",
    "load_backbone",
    "load_classifier",
    "load_config",
    "load_masked_lm",
    "load_tokenizer",
    "new_weights",
    "pooling_of",
    "quiet",
    "resolve",
    "save_pretrained",
    "segment_ids",
    "weights_note",
]

ProblemType = Literal["multi_label_classification", "single_label_classification", "regression"]

_SMALL_FILES = ["*.json", "*.txt", "*.model", "1_Pooling/config.json"]
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_BERT_SPECIALS = ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]")
_SPIECE_NAMES = ("tokenizer_78b3253a26.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")

# Positions of these count from pad_token_id + 1, so 514 rows hold 512 tokens.
_POSITIONS_AFTER_PAD = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text"}

# The names that architectures give to the dropout before their classification layer.
_HEAD_DROPOUT = ("classifier_dropout", "classifier_dropout_prob", "cls_dropout", "seq_classif_dropout")


# ---------------------------------------------------------------------------------------------------------- files


def quiet() -> None:
    """Silence the progress bars and reports of transformers and the hub client in this process.

    What matters in those reports (weights that were missing) the loaders check themselves and raise.
    """
    require("transformers")
    logging: Any = require("transformers.utils.logging")
    hub: Any = require("huggingface_hub.utils")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # The client warns when its own environment variable already decided about bars.
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS") is None:
        hub.disable_progress_bars()


def resolve(ref: str | os.PathLike[str], *, revision: str | None = None, weights: bool = False) -> Path:
    """The local folder of a model; a hub id is fetched into the hub's cache first.

    Args:
        ref: folder or hub id.
        revision: branch, tag or commit of a hub id.
        weights: fetch (or insist on) the weights too, safetensors if there are any.

    Raises:
        UsageError: nothing there, no ``config.json``, no usable weights, or the hub cannot be reached.
    """
    folder = Path(ref).expanduser()
    if folder.is_dir():
        _check_folder(folder, str(ref), weights=weights)
        return folder
    name = str(ref)
    if folder.exists():
        raise UsageError(
            f"모델은 폴더여야 하는데 파일입니다: {name}. config.json이 있는 폴더를 주세요.",
            f"a model is a folder, and {name} is a file; give the folder that holds config.json",
        )
    if name.startswith((".", "/", "~")) or "\\" in name or not _HUB_ID.fullmatch(name):
        raise UsageError(
            f"모델 폴더가 없습니다: {name}. 경로를 확인하세요.",
            f"there is no model folder {name}; check the path",
        )
    folder = _fetch(name, revision, _SMALL_FILES)
    if weights and not any(folder.glob("model*.safetensors")):
        folder = _fetch(name, revision, [*_SMALL_FILES, "model*.safetensors"])
        if not any(folder.glob("model*.safetensors")):
            folder = _fetch(name, revision, [*_SMALL_FILES, "pytorch_model*.bin"])
    _check_folder(folder, name, weights=weights)
    return folder


def weights_note(ref: str | os.PathLike[str], *, revision: str | None = None) -> str | None:
    """A sentence for the user when the weights of ``ref`` are not safetensors, else ``None``."""
    from maeum._lang import say

    folder = resolve(ref, revision=revision, weights=True)
    if any(folder.glob("model*.safetensors")):
        return None
    return say(
        f"{ref}에는 safetensors가 없어 pytorch_model.bin을 텐서만 읽는 방식(weights_only)으로 읽습니다.",
        f"{ref} has no safetensors; its pytorch_model.bin is read as tensors only (weights_only)",
    )


def pooling_of(ref: str | os.PathLike[str], *, revision: str | None = None) -> Literal["mean", "cls"] | None:
    """How a sentence-transformers folder pools its tokens, as ``modules.json`` and its pooling module say.

    ``None``: not such a folder, or a way of pooling that is neither.
    """
    folder = resolve(ref, revision=revision)
    modules = _read_json(folder / "modules.json", default=[])
    for module in modules if isinstance(modules, list) else []:
        if not str(module.get("type", "")).endswith(".Pooling"):
            continue
        config = _read_json(folder / str(module.get("path", "")) / "config.json", default={})
        # Newer releases write {"pooling_mode": "mean"}, older ones one switch for each mode.
        mode = config.get("pooling_mode")
        if mode in ("mean", "cls"):
            return mode  # type: ignore[no-any-return]
        on = {name for name, value in config.items() if name.startswith("pooling_mode_") and value is True}
        if on == {"pooling_mode_mean_tokens"}:
            return "mean"
        if on == {"pooling_mode_cls_token"}:
            return "cls"
    return None


def _fetch(name: str, revision: str | None, patterns: list[str]) -> Path:
    require("transformers")
    import huggingface_hub
    from huggingface_hub import errors

    quiet()
    advice_ko = "받아 둔 폴더를 주거나, 허브에 닿는 곳에서 실행하거나, `maeum base e5-small-ko -o 폴더`를 쓰세요."
    advice_en = "give a local folder, run where the hub is reachable, or use `maeum base e5-small-ko -o DIR`"
    offline = _offline()
    try:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=patterns, local_files_only=offline
        )
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise UsageError(
            f"허브에 '{name}' 모델이 없거나 볼 권한이 없고, 그런 폴더도 없습니다. 이름을 확인하세요.",
            f"the hub has no model '{name}' (or it is not open to you), and there is no such folder; check the name",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(
            f"허브의 '{name}'에 '{revision}' 버전이 없습니다.", f"'{name}' on the hub has no revision '{revision}'"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        why_ko = "오프라인 모드(HF_HUB_OFFLINE)입니다" if offline else "허브에 연결할 수 없습니다"
        why_en = "offline mode is on (HF_HUB_OFFLINE)" if offline else "the hub cannot be reached"
        raise UsageError(
            f"'{name}' 폴더가 없고 받아 둔 것도 없는데 {why_ko}. {advice_ko}",
            f"there is no folder '{name}', no downloaded copy, and {why_en}; {advice_en}",
        ) from error
    return Path(found)


def _offline() -> bool:
    """Whether the hub must not be asked; also true when the variable was set after the client was imported."""
    from huggingface_hub import constants

    values = (os.environ.get("HF_HUB_OFFLINE"), os.environ.get("TRANSFORMERS_OFFLINE"))
    return bool(constants.HF_HUB_OFFLINE) or any(
        (value or "").upper() in ("1", "ON", "YES", "TRUE") for value in values
    )


def _check_folder(folder: Path, name: str, *, weights: bool) -> None:
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"{name}에 config.json이 없습니다. Hugging Face 형식의 모델 폴더(config.json, model.safetensors, 토크나이저)를 주세요.",
            f"{name} has no config.json; give a model folder in Hugging Face layout "
            "(config.json, model.safetensors, tokenizer files)",
        )
    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    if weights and not any((folder / file).is_file() for file in names):
        raise UsageError(
            f"{name}에 가중치가 없습니다: model.safetensors도 pytorch_model.bin도 없습니다. "
            "TensorFlow나 Flax 파일이라면 먼저 safetensors로 바꾸세요.",
            f"{name} has no weights: neither model.safetensors nor pytorch_model.bin; "
            "convert TensorFlow or Flax files to safetensors first",
        )


def _read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except (ValueError, OSError) as error:
        raise FormatError(f"JSON으로 읽을 수 없습니다: {path}", f"not readable as JSON: {path}") from error


@contextlib.contextmanager
def _one_sentence(ref: object) -> Iterator[None]:
    """Turn what transformers raises about somebody's files into one sentence; the cause stays attached."""
    import pickle

    from safetensors import SafetensorError

    try:
        yield
    except pickle.UnpicklingError as error:
        raise FormatError(
            f"{ref}의 pytorch_model.bin에 텐서가 아닌 것이 들어 있어 읽지 않았습니다. 믿을 수 있는 파일이면 "
            "torch.load로 읽어 safetensors.torch.save_file로 model.safetensors에 저장하세요.",
            f"pytorch_model.bin of {ref} holds more than tensors and was not read; if you trust it, read it with "
            "torch.load and write model.safetensors with safetensors.torch.save_file",
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        if isinstance(error, (FormatError, UsageError)):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        detail = lines[0][:200] if lines else type(error).__name__
        raise FormatError(f"{ref}을(를) 읽을 수 없습니다: {detail}", f"{ref} cannot be loaded: {detail}") from error


# --------------------------------------------------------------------------------------------------------- models


def load_config(ref: str | os.PathLike[str], *, revision: str | None = None) -> Any:
    """The ``PreTrainedConfig`` of a model.

    Raises:
        UsageError: see ``resolve``.
        FormatError: transformers does not know the architecture (code inside the folder is not run).
    """
    auto: Any = require("transformers").AutoConfig
    folder = resolve(ref, revision=revision)
    quiet()
    with _one_sentence(ref):
        return auto.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def load_backbone(ref: str | os.PathLike[str], *, revision: str | None = None, dtype: Any = None) -> Any:
    """The encoder without any head, in evaluation mode.

    Its ``last_hidden_state`` is (batch, length, hidden); for Funnel too, whose decoder brings the length back.

    Args:
        dtype: a ``torch.dtype``; float32 unless asked, whatever the file holds.

    Raises:
        FormatError: the checkpoint lacks weights of the encoder.
    """
    torch = require("torch")
    auto: Any = require("transformers").AutoModel
    config = load_config(ref, revision=revision)
    with _one_sentence(ref), torch.device("meta"):
        kind = type(auto.from_config(config))
    # Nobody here reads the pooler, and most checkpoints do not even have a trained one.
    extra = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}
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
        settings["model_max_length"] = _positions(tokenizer, model.config)
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
    with _one_sentence(ref):
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


# ----------------------------------------------------------------------------------------------------- tokenizers


def load_tokenizer(ref: str | os.PathLike[str], *, revision: str | None = None) -> Any:
    """The tokenizer of a model, always one that knows offsets (``PreTrainedTokenizerFast``).

    ``tokenizer.json`` is taken as it is. Without one, KoBERT's layouts (a sentencepiece model with BERT's special
    tokens, with or without ``vocab.txt``) are built by ``_from_sentencepiece``, everything else by transformers.

    Raises:
        UsageError: see ``resolve``.
        FormatError: no tokenizer files, or files that do not fit each other.
    """
    transformers: Any = require("transformers")
    folder = resolve(ref, revision=revision)
    quiet()
    local = {"local_files_only": True, "trust_remote_code": False}
    if not (folder / "tokenizer.json").is_file():
        spiece = next((folder / name for name in _SPIECE_NAMES if (folder / name).is_file()), None)
        if spiece is not None and (found := _from_sentencepiece(spiece, folder)) is not None:
            return found
        if spiece is None and not (folder / "vocab.txt").is_file() and not (folder / "vocab.json").is_file():
            raise FormatError(
                f"{ref}에 토크나이저 파일이 없습니다 (tokenizer.json, vocab.txt, *.model 중 하나가 필요).",
                f"{ref} has no tokenizer files (tokenizer.json, vocab.txt or *.model)",
            )
        with _one_sentence(ref):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        if not tokenizer.is_fast:
            raise FormatError(
                f"{ref}의 토크나이저는 글자 위치를 알려 주지 않아 쓸 수 없습니다. tokenizer.json이 있는 모델을 주세요.",
                f"the tokenizer of {ref} gives no character positions; use a model that has a tokenizer.json",
            )
        return _within_table(tokenizer, folder)
    with _one_sentence(ref):
        # Not AutoTokenizer: a class such as BertTokenizer would keep the vocabulary of the file and put its own
        # normaliser (lower-casing by default) in place of the one that is written there.
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, **local)
        roles = ("unk_token", "pad_token", "cls_token", "sep_token", "mask_token")
        if any(getattr(tokenizer, role) is None for role in roles):
            # The file lists special tokens but not their roles, and old folders leave those to the class.
            named = transformers.AutoTokenizer.from_pretrained(folder, **local)
            vocabulary = tokenizer.get_vocab()
            for role in roles:
                token = getattr(named, role, None)
                if getattr(tokenizer, role) is None and token in vocabulary:
                    setattr(tokenizer, role, token)
    return _within_table(tokenizer, folder)


def _within_table(tokenizer: Any, folder: Path) -> Any:
    """The same tokenizer without tokens that the embedding table has no row for.

    A tokenizer class adds its default special tokens to whatever vocabulary it is given (Funnel's ``<s>`` and
    ``</s>`` to BERT's, say); a text that happens to hold one would then index past the end of the table.
    """
    rows = _read_json(folder / "config.json", default={}).get("vocab_size")
    if not isinstance(rows, int) or len(tokenizer) <= rows:
        return tokenizer
    transformers: Any = require("transformers")
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if any(index >= rows for index in tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False).values()):
        raise FormatError(
            f"{folder}의 토크나이저 어휘({len(tokenizer)})가 모델의 임베딩({rows})보다 큽니다.",
            f"the tokenizer in {folder} has {len(tokenizer)} tokens and the model embeds only {rows}",
        )
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < rows]
    kept = Tokenizer.from_str(json.dumps(content))
    roles = {}
    for role in ("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"):
        token = getattr(tokenizer, role)
        if token is not None and kept.token_to_id(str(token)) is not None:
            roles[role] = str(token)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=kept,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        **roles,
    )


@dataclass(frozen=True)
class _Spiece:
    """What a sentencepiece model file says."""

    pieces: list[tuple[str, float, int]]
    """Piece, score, type (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte)."""
    model_type: int
    """1 unigram, 2 BPE."""
    rule: str
    """Name of the normalisation that ``charsmap`` holds, such as nmt_nfkc."""
    charsmap: bytes
    dummy_prefix: bool
    squeeze_spaces: bool


def _read_spiece(path: Path) -> _Spiece:
    """Read the fields of sentencepiece_model.proto that decide how text becomes pieces.

    By hand, because the generated protobuf module asks for the protobuf package, which nothing else here needs.
    """
    import struct

    pieces: list[tuple[str, float, int]] = []
    model_type, rule, charsmap, dummy_prefix, squeeze = 1, "", b"", True, True
    try:
        for number, value in _fields(path.read_bytes()):
            if number == 1 and isinstance(value, bytes):
                entry = dict(_fields(value))
                text, score, kind = entry.get(1, b""), entry.get(2, bytes(4)), entry.get(3, 1)
                if not (isinstance(text, bytes) and isinstance(score, bytes) and isinstance(kind, int)):
                    raise ValueError("piece")
                pieces.append((text.decode("utf-8"), float(struct.unpack("<f", score)[0]), kind))
            elif number == 2 and isinstance(value, bytes):
                model_type = int(dict(_fields(value)).get(3, 1))
            elif number == 3 and isinstance(value, bytes):
                spec = dict(_fields(value))
                rule = bytes(spec.get(1, b"")).decode("utf-8")
                charsmap = bytes(spec.get(2, b""))
                dummy_prefix, squeeze = bool(spec.get(3, 1)), bool(spec.get(4, 1))
    except (ValueError, IndexError, struct.error, TypeError) as error:
        raise FormatError(
            f"sentencepiece 모델 파일이 아니거나 잘렸습니다: {path}", f"not a sentencepiece model, or cut short: {path}"
        ) from error
    return _Spiece(pieces, model_type, rule, charsmap, dummy_prefix, squeeze)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of one protobuf message: numbers for varints, bytes for everything else."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(wire, -1)
        if wire == 2:
            size = varint()
        if size < 0 or at + size > len(data):
            raise ValueError("wire format")
        yield key >> 3, data[at : at + size]
        at += size


def _from_sentencepiece(path: Path, folder: Path) -> Any | None:
    """KoBERT's tokenizer: sentencepiece's own segmentation, ids by ``vocab.txt``, BERT's frame around it.

    ``None`` when the model file has no BERT special tokens: then it is not KoBERT's layout.

    The ids equal those of the sentencepiece library, which is what the model was pre-trained with; the digit-comma
    rule and the accent stripping that the XLNet and KoBERT tokenizer classes add on top are not copied.
    """
    transformers: Any = require("transformers")
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    spiece = _read_spiece(path)
    scores = {piece: score for piece, score, _ in spiece.pieces}
    order = [piece for piece, _, _ in spiece.pieces]
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        order = [line.strip(" \t\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    if not {"[CLS]", "[SEP]"} <= set(order):
        return None
    unknown = next((piece for piece, _, kind in spiece.pieces if kind == 2), None)
    lost = [piece for piece, _, kind in spiece.pieces if kind in (1, 4) and piece not in set(order)]
    extra = [piece for piece in order if piece not in scores and piece not in _BERT_SPECIALS]
    if spiece.model_type != 1 or unknown is None or len(set(order)) != len(order) or lost or extra:
        what = (lost or extra or [path.name])[0]
        raise FormatError(
            f"{folder}의 vocab.txt와 {path.name}이 서로 맞지 않습니다 ({what}).",
            f"vocab.txt and {path.name} in {folder} do not fit each other ({what})",
        )
    if unknown not in order:
        # vocab.txt may call it [UNK] where the model says <unk>.
        scores["[UNK]"], unknown = scores[unknown], "[UNK]"
    # A piece that sentencepiece never emits must not change the lowest score: unknown characters cost 10 below it.
    normal = [score for _, score, kind in spiece.pieces if kind == 1]
    vocabulary = [(piece, scores.get(piece, 0.0) if piece in scores else max(normal)) for piece in order]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=order.index(unknown), byte_fallback=False))

    # sentencepiece applies its table to the longest match, so that ㅋㅠ is one syllable (큐) to it, as NFKC has it;
    # Precompiled looks at one grapheme at a time, so everything that spans several is composed before.
    steps: list[Any] = []
    if spiece.charsmap:
        compose = normalizers.NFKC() if "nfkc" in spiece.rule else normalizers.NFC()
        steps = [compose, normalizers.Precompiled(spiece.charsmap)]
    if spiece.squeeze_spaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=True, right=True)]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    # "first" would look at the raw text and give no prefix where the normaliser removed its first character.
    scheme = "always" if spiece.dummy_prefix else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    ids = {piece: index for index, piece in enumerate(order)}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens([token for token in _BERT_SPECIALS if token in ids])
    tokenizer.add_tokens(
        [
            AddedToken(piece, normalized=False)
            for piece, _, kind in spiece.pieces
            if kind == 4 and piece not in _BERT_SPECIALS
        ]
    )
    settings = _read_json(folder / "tokenizer_config.json", default={})
    length = settings.get("model_max_length", settings.get("max_len", 512))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]" if "[MASK]" in ids else None,
        model_max_length=length if isinstance(length, int) and length < 100_000 else 512,
        padding_side="right",
    )


# ---------------------------------------------------------------------------------------------------------- frame


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens that a model wants around one text or two, and its limits.

    ``begin A end`` for one text, ``begin A between B end`` for two. Segment ids: ``begin`` has ``begin_type``, A and
    ``between`` have ``first_type``, B has ``second_type``, ``end`` that of the text before it. All three are
    ``None`` where the model must not or need not be given ``token_type_ids``.
    """

    begin: tuple[int, ...]
    between: tuple[int, ...]
    end: tuple[int, ...]
    begin_type: int | None
    first_type: int | None
    second_type: int | None
    pad_id: int
    mask_id: int | None
    max_positions: int
    """Most tokens of one input, special tokens included."""

    def overhead(self, *, pair: bool) -> int:
        """How many special tokens are added."""
        return len(self.begin) + len(self.end) + (len(self.between) if pair else 0)

    def encode(self, first: Sequence[int], second: Sequence[int] | None = None) -> tuple[list[int], list[int] | None]:
        """(ids, segment ids or ``None``) of one text or two; nothing is cut."""
        ids = [*self.begin, *first]
        if second is not None:
            ids += [*self.between, *second]
        ids += self.end
        if self.begin_type is None or self.first_type is None or self.second_type is None:
            return ids, None
        types = [self.begin_type] * len(self.begin) + [self.first_type] * len(first)
        if second is None:
            return ids, types + [self.first_type] * len(self.end)
        types += [self.first_type] * len(self.between) + [self.second_type] * (len(second) + len(self.end))
        return ids, types


def segment_ids(config: Any, tokenizer: Any = None) -> bool:
    """Whether the model may be given segment ids other than zero.

    klue/roberta is the trap: its BERT tokenizer numbers the second text 1, and the model has one segment embedding
    only. The model decides, not the tokenizer; ``tokenizer`` is accepted for symmetry and not asked.
    """
    return _segments(config) > 1


def _segments(config: Any) -> int:
    # Funnel compares segment ids for equality instead of looking them up, with 2 set apart for [CLS]; its config
    # class has no such field, whatever older config.json files say.
    if config.model_type == "funnel":
        return 3
    return int(getattr(config, "type_vocab_size", 0) or 0)


def frame(tokenizer: Any, config: Any) -> Frame:
    """The frame that the tokenizer itself puts around texts, read off a probe and checked.

    Raises:
        FormatError: the tokenizer frames texts in a way that ``Frame`` cannot say, or has no padding token.
    """
    first, second = "기분이 좋다", "값 1"
    single = tokenizer(first, return_token_type_ids=True)
    pair = tokenizer(first, second, return_token_type_ids=True)
    ids: list[int] = pair["input_ids"]
    owner = pair.sequence_ids(0)
    if 0 not in owner or 1 not in owner or tokenizer.pad_token_id is None:
        raise FormatError(
            "토크나이저에 특수 토큰이나 어휘가 모자랍니다.", "the tokenizer lacks special tokens or a vocabulary"
        )
    start, middle = owner.index(0), owner.index(1)
    stop_first = len(owner) - 1 - owner[::-1].index(0) + 1
    stop = len(owner) - 1 - owner[::-1].index(1) + 1
    types: list[int] | None = pair["token_type_ids"]
    if types is not None and (not segment_ids(config) or max(types) >= _segments(config) or not any(types)):
        types = None
    found = Frame(
        begin=tuple(ids[:start]),
        between=tuple(ids[stop_first:middle]),
        end=tuple(ids[stop:]),
        begin_type=None if types is None else types[0],
        first_type=None if types is None else types[start],
        second_type=None if types is None else types[middle],
        pad_id=int(tokenizer.pad_token_id),
        mask_id=None if tokenizer.mask_token_id is None else int(tokenizer.mask_token_id),
        max_positions=_positions(tokenizer, config),
    )
    a = tokenizer(first, add_special_tokens=False)["input_ids"]
    b = tokenizer(second, add_special_tokens=False)["input_ids"]
    want = [
        (single["input_ids"], None if types is None else single["token_type_ids"]),
        (ids, types),
    ]
    if [found.encode(a), found.encode(a, b)] != want:
        raise FormatError(
            "토크나이저가 두 글을 잇는 방식을 지원하지 않습니다.",
            "the way this tokenizer frames one text and two is not supported",
        )
    return found


def _positions(tokenizer: Any, config: Any) -> int:
    rows = getattr(config, "max_position_embeddings", None)
    if rows:
        # model_max_length of the tokenizer is a habit of whoever saved it; the embedding table is the limit.
        if config.model_type in _POSITIONS_AFTER_PAD:
            rows -= (config.pad_token_id or 0) + 1
        return int(rows)
    length = tokenizer.model_max_length
    return int(length) if length < 100_000 else 512
