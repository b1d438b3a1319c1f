"""What runs the models here: which library, how many threads, which int8 instructions of the processor."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import Any

from maeum._lang import say
from maeum.errors import UsageError

INT8_FLAGS = ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""Flags of /proc/cpuinfo that mean dot products of bytes in one instruction, best first; the last two are ARM's."""
WIDE_FLAGS = ("avx512bw", "avx2", "asimd")


def cores() -> int:
    """Cores this process may use: ``MAEUM_THREADS`` where one of several processes is told its share."""
    told = os.environ.get("MAEUM_THREADS", "")
    if told:
        if not told.isdecimal() or not int(told):
            raise UsageError(
                f"MAEUM_THREADS는 1 이상의 정수여야 합니다: {told!r}",
                f"MAEUM_THREADS must be a whole number of 1 or more, got {told!r}",
            )
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def int8_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The best int8 instruction set of the processor; ``""`` if it has none, None if that cannot be told here."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    if not lines:
        return None
    flags = set(lines[0].partition(":")[2].split())
    return next((flag for flag in INT8_FLAGS if flag in flags), "")


def engine_facts() -> dict[str, Any]:
    """Plain facts: libraries and their versions, threads, processor."""
    return {
        "onnxruntime": _version("onnxruntime"),
        "torch": _version("torch"),
        "threads": cores(),
        "processor": platform.machine(),
        "int8": int8_instructions(),
    }


def engine_of(folder: Path) -> str:
    """What runs the model in a folder, in words."""
    graphs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("onnx.json"))]
    if graphs:
        how = ", ".join(sorted({str(graph.get("precision", "fp32")) for graph in graphs}))
        return f"onnxruntime {_version('onnxruntime') or '–'}, {how}, {say('스레드', 'threads')} {cores()}"
    if any(any(folder.rglob(name)) for name in ("encoder.json", "decoder.json")):
        return f"torch {_version('torch') or say('없음', 'absent')}, {say('스레드', 'threads')} {cores()}"
    return f"numpy/scipy, {say('스레드', 'threads')} {cores()}"


def int8_shown(found: str | None) -> str:
    """The result of ``int8_instructions`` in words."""
    if found is None:
        return say("알 수 없음", "unknown")
    return found or say("없음(int8이 fp32보다 느릴 수 있음)", "none (int8 may be slower than fp32)")


def _version(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
