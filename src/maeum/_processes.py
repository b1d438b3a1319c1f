"""Several processes training one model together (``accelerate launch``): who writes, and who waits."""

from __future__ import annotations

import os
import sys


def is_main_process() -> bool:
    """Whether this process writes files and speaks: the only one, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def process_count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def wait_for_all() -> None:
    """Wait until every process has come this far."""
    if process_count() > 1 and "torch" in sys.modules:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.barrier()
