"""A base encoder out of an exported trunk: what ``encoder:mini`` starts from.

The graph keeps its weights under the names they have in torch (``maeum.exporting.graphs``), so the way back is one of
names: bytes times their scales, turned where torch has them the other way round. What rounding to int8 lost stays lost.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maeum._files import atomic_folder, pretty_json, read_json, refuse_existing, sha256_file, write_text
from maeum._lang import say
from maeum._optional import require
from maeum.bases.folder import pooling_files, seal_folder
from maeum.errors import FormatError

F32 = npt.NDArray[np.float32]

SMALL_FILES = "hf"
"""Folder of an exported trunk with ``config.json`` and ``tokenizer_config.json`` as transformers reads them."""
TRANSPOSED = ".transposed"
"""Ends the name of a weight that the graph keeps as (inputs, outputs), torch as (outputs, inputs)."""
TWINS = "maeum.twins"
"""Property of the graph: names of weights that it keeps only once, under the name of an equal one."""
SMOOTHED = "maeum.smoothed"
"""Property of an int8 graph: names of weights whose rows were multiplied → the vector that undoes it."""
_BACKBONE = "network.backbone."


def convert_trunk(
    trunk: Path, output: Path, *, name: str, overwrite: bool = False, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Write an exported trunk as a Hugging Face folder in fp32 and return what the card says of it.

    Args:
        trunk: holds ``model.onnx``, ``onnx.json``, ``tokenizer.json`` and ``hf/``.
        name: what the base is called.

    Raises:
        UsageError: ``output`` is there already.
        FormatError: the trunk was exported without the files or the names that the way back needs.
    """
    from safetensors.numpy import save_file

    refuse_existing(output, overwrite=overwrite)
    about = read_json(trunk / "onnx.json")
    small = trunk / SMALL_FILES
    if not (small / "config.json").is_file():
        raise _no_way_back(trunk)
    progress(say("그래프의 가중치를 되돌리는 중", "turning the graph's weights back"))
    weights = backbone_weights(trunk / "model.onnx")
    config = read_json(small / "config.json")
    facts = {
        "base": name,
        "source": "model.onnx",
        "source_sha256": sha256_file(trunk / "model.onnx"),
        "precision": about["precision"],
        "pieces": int(config["vocab_size"]),
        "parameters": int(sum(value.size for value in weights.values())),
    }
    with atomic_folder(output, overwrite=overwrite) as folder:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        for file in sorted(small.iterdir()):
            shutil.copyfile(file, folder / file.name)
        shutil.copyfile(trunk / "tokenizer.json", folder / "tokenizer.json")
        for place, content in pooling_files(int(config["hidden_size"]), about["head"]).items():
            (folder / place).parent.mkdir(exist_ok=True)
            write_text(folder / place, pretty_json(content))
        write_text(folder / "README.md", _card(facts))
        seal_folder(folder, facts)
    facts["bytes"] = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return facts


def backbone_weights(graph: Path) -> dict[str, F32]:
    """The encoder's weights by their names in transformers, in fp32.

    Raises:
        FormatError: the graph does not name them.
    """
    onnx = require("onnx")
    model = onnx.load(graph)
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    properties = {item.key: item.value for item in model.metadata_props}
    if TWINS not in properties:
        raise _no_way_back(graph.parent)
    smoothed: dict[str, str] = json.loads(properties.get(SMOOTHED, "{}"))
    whole = {}
    for name, array in arrays.items():
        # an int8 matrix comes with its scales beside it; what was kept in fp16 or fp32 stands alone
        plain, _, kind = name.rpartition(".")
        if kind != "scale":
            scale = arrays[f"{plain}.scale"] if kind == "int8" else np.float32(1)
            inverse = arrays[smoothed[plain]][:, None] if kind == "int8" and plain in smoothed else np.float32(1)
            whole[plain if kind in ("int8", "fp16") else name] = array.astype(np.float32) * scale * inverse
    twins = json.loads(properties[TWINS])
    if not whole.keys() >= set(twins.values()):
        raise _no_way_back(graph.parent)
    whole |= {twin: whole[name] for twin, name in twins.items()}
    found = {}
    for name, weight in whole.items():
        if name.startswith(_BACKBONE) and weight.ndim:
            turned = name.endswith(TRANSPOSED)
            key = name.removeprefix(_BACKBONE).removesuffix(TRANSPOSED)
            found[key] = np.ascontiguousarray(weight.T if turned else weight)
    if not found:
        raise _no_way_back(graph.parent)
    return found


def _no_way_back(trunk: Path) -> FormatError:
    return FormatError(
        f"'{trunk}'은(는) 되돌릴 수 없게 내보낸 모델입니다. 지금의 'maeum export'로 다시 내보내세요.",
        f"'{trunk}' was exported without the names of its weights; export it again with this version of 'maeum export'",
    )


def _card(facts: Mapping[str, Any]) -> str:
    return f"""---
license: mit
language: ko
library_name: transformers
pipeline_tag: feature-extraction
---

# {facts["base"]}

내보낸 ONNX 모델의 몸통을 Hugging Face 폴더로 되돌린 것입니다. {facts["parameters"] / 1e6:.1f}M 파라미터.

- **가중치는 {facts["precision"]}에서 되돌린 값입니다.** 학습이 끝났을 때의 fp32 가중치와 같지 않습니다(원본 SHA-256 {facts["source_sha256"]}).
- `maeum train DATA --model encoder:이폴더`로 이어서 학습합니다.

English: the trunk of an exported ONNX model as a Hugging Face folder. **The weights are those of its {facts["precision"]}
graph**, not the fp32 ones that training ended with.
"""
