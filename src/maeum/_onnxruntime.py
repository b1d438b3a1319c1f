"""onnxruntime, kept from reporting to its maker."""

from __future__ import annotations

import os
from typing import Any


def onnxruntime() -> Any:
    """The module ``onnxruntime``; the only way it is imported here.

    Its Linux and macOS wheels keep an identifier of the machine in ``~/.cache`` and send facts about the process, the
    models and the runs to Microsoft, unless this variable is set before the first import (onnxruntime's pull request
    27379; seen with 1.31). Set it to ``0`` to allow that. A program that imported onnxruntime before has begun already:
    what can still be switched off is.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    if os.environ["ORT_DISABLE_TELEMETRY"] == "1":
        onnxruntime.disable_telemetry_events()
    return onnxruntime
