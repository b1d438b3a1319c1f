"""How much memory work on a model took."""

from __future__ import annotations

import sys
from typing import Any

from maeum._optional import require


def peak_memory() -> dict[str, Any]:
    """``{"device": "cuda" | "cpu", "peak_bytes": …}``: the most that was used so far.

    On CUDA what torch allocated on the current device, else the process's resident memory (None where the system
    does not tell).
    """
    torch = require("torch")
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return {"device": "cuda", "peak_bytes": int(torch.cuda.max_memory_allocated())}
    try:
        import resource
    except ImportError:  # Windows
        return {"device": "cpu", "peak_bytes": None}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"device": "cpu", "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
