"""Several processes training one model together (``accelerate launch``): who writes, and who waits."""

from __future__ import annotations

import os
import sys

from maeum.errors import UsageError


def is_main_process() -> bool:
    """Whether this process writes files and speaks: the only one, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def process_count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def one_process(command: str) -> None:
    """Refuse to be one of several.

    Raises:
        UsageError: ``command`` was started by ``accelerate launch`` with more than one process.
    """
    if process_count() > 1:
        raise UsageError(
            f"{command}은 프로세스 하나로만 됩니다. accelerate launch 없이 실행하세요.",
            f"{command} runs in one process; start it without accelerate launch",
        )


def wait_for_all() -> None:
    """Wait until every process has come this far."""
    if process_count() > 1 and "torch" in sys.modules:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.barrier()
