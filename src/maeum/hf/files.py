"""The files of a model: from a local folder or a hub id to a folder on this machine, and what lies in it.

A ``ref`` is a local folder (``./klue-bert``) or a hub id (``klue/bert-base``). A hub id is fetched into the hub's
own cache once, and everything after that reads the local copy: transformers itself is only ever given folders, so
it has nothing to ask the network, nothing to convert behind our back and nobody's code to run.

Errors here and in the modules that read these files: ``UsageError`` when the ref is wrong or cannot be reached,
``FormatError`` when the files are, ``MissingExtra`` when the packages are absent.
"""

from __future__ import annotations

import contextlib
import json
import logging as stdlib_logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from maeum._lang import say
from maeum._optional import require
from maeum.errors import FormatError, UsageError

__all__ = ["one_sentence", "pooling_of", "quiet", "read_json", "resolve", "weights_note"]

_SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "1_Pooling/config.json"]
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


def quiet() -> None:
    """Silence the progress bars and reports of transformers and the hub client in this process.

    What matters in those reports (weights that were missing) the loaders check themselves and raise.
    """
    require("transformers")
    logging: Any = require("transformers.utils.logging")
    hub: Any = require("huggingface_hub.utils")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # it is imported by accelerate wherever it is installed, and tells which optional kernels it did not find
    stdlib_logging.getLogger("bitsandbytes").setLevel(stdlib_logging.ERROR)
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
    modules = read_json(folder / "modules.json", default=[])
    for module in modules if isinstance(modules, list) else []:
        if not str(module.get("type", "")).endswith(".Pooling"):
            continue
        config = read_json(folder / str(module.get("path", "")) / "config.json", default={})
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


def read_json(path: Path, default: Any) -> Any:
    """The content of a JSON file of a model, or ``default`` where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except (ValueError, OSError) as error:
        raise FormatError(f"JSON으로 읽을 수 없습니다: {path}", f"not readable as JSON: {path}") from error


@contextlib.contextmanager
def one_sentence(ref: object) -> Iterator[None]:
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
