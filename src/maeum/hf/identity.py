"""What identifies a base model, so that adapters are never put on another one than they were trained on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maeum._files import sha256_file
from maeum.errors import FormatError, UsageError
from maeum.hf.files import read_json, resolve

__all__ = ["base_fingerprint", "check_base", "find_base", "weight_files"]

Ref = str | os.PathLike[str]

_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")
_SAMPLES, _SAMPLE = 64, 65_536  # pieces of a weight file that are read, and bytes of each


def base_fingerprint(ref: Ref, revision: str | None = None) -> dict[str, Any]:
    """What identifies a base model, as plain JSON data.

    ``id``, ``folder`` (of a local one), ``revision`` (the commit, of a hub id), ``model_type``, ``config`` (SHA-256 of
    ``config.json``), ``tokenizer`` (of its files) and ``weights``: name, bytes and SHA-256 of each weight file; of a file above 4 MiB only 64 pieces
    spread over it are hashed, so that a change to a few numbers of a large file goes unseen, and another training run
    does not.

    Raises:
        UsageError: see ``resolve``.
        FormatError: ``config.json`` cannot be read.
    """
    folder = resolve(ref, revision=revision, weights=True)
    local = Path(ref).expanduser().is_dir()
    config = read_json(folder / "config.json", default={})
    commit = folder.name if folder.parent.name == "snapshots" else revision
    return {
        "tokenizer": {name: sha256_file(folder / name) for name in _TOKENIZER if (folder / name).is_file()},
        "id": os.fspath(ref),
        "folder": folder.resolve().as_posix() if local else None,
        "revision": None if local else commit,
        "model_type": str(config.get("model_type", "")),
        "config": sha256_file(folder / "config.json"),
        "weights": [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": _sampled(path)} for path in weight_files(folder)
        ],
    }


def find_base(saved: Mapping[str, Any]) -> str:
    """Where the base of a saved model is now: the ``ref`` for the loaders here.

    Args:
        saved: a ``base_fingerprint``.

    Raises:
        UsageError: it was a folder, and the folder is gone.
    """
    name, folder = str(saved.get("id", "")), saved.get("folder")
    if folder is None:
        return name
    # the very folder first: one of the same name may lie in the working directory by chance
    for place in (str(folder), name):
        if Path(place).expanduser().is_dir():
            return place
    raise UsageError(
        f"이 모델의 바탕 모델 폴더가 없습니다: {folder}. 그 자리로 되돌려 놓으세요.",
        f"the base of this model was the folder {folder}, which is gone; put it back there",
    )


def check_base(saved: Mapping[str, Any], ref: Ref, *, revision: str | None = None) -> None:
    """Refuse a base that is not the one that was trained on; where it lies and what it is called do not matter.

    Args:
        saved: a ``base_fingerprint`` from then.
        ref: the base now.
        revision: of a hub id; None: the commit of then.

    Raises:
        FormatError: configuration or weights differ.
        UsageError: see ``resolve``.
    """
    now = base_fingerprint(ref, revision or saved.get("revision"))
    then_files = {file["name"]: file for file in saved.get("weights", ())}
    now_files = {file["name"]: file for file in now["weights"]}
    changed = sorted(
        name for name in then_files.keys() | now_files.keys() if then_files.get(name) != now_files.get(name)
    )
    if now["config"] != saved.get("config"):
        changed.insert(0, "config.json")
    tokens = saved.get("tokenizer", now["tokenizer"])
    changed += sorted(n for n in tokens.keys() | now["tokenizer"].keys() if tokens.get(n) != now["tokenizer"].get(n))
    if not changed:
        return
    raise FormatError(
        f"{ref}은(는) 이 모델을 학습할 때의 바탕 모델({saved.get('id')})과 다릅니다: {', '.join(changed[:3])}. "
        "그때의 파일을 되돌려 놓거나 다시 학습하세요.",
        f"{ref} is not the base this model was trained on ({saved.get('id')}): {', '.join(changed[:3])} differs; "
        "bring back the files of then, or train again",
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, by name.

    Raises:
        UsageError: there are none.
    """
    found = sorted(folder.glob("model*.safetensors"))
    if found:
        return found
    raise UsageError(
        f"{folder}에 safetensors 가중치가 없습니다. 디코더는 safetensors만 읽습니다. 믿을 수 있는 pytorch_model.bin이면 "
        "torch.load(weights_only=True)로 읽어 safetensors로 저장하세요.",
        f"{folder} has no safetensors weights, and decoders are read from nothing else; convert a pytorch_model.bin "
        "that you trust with torch.load(weights_only=True) and safetensors.torch.save_file",
    )


def _sampled(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256()
    last = max(size, _SAMPLES * _SAMPLE) - _SAMPLE  # where the last piece begins: it ends with a large file
    with path.open("rb") as file:
        for piece in range(_SAMPLES):
            file.seek(piece * last // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()
