"""What goes wrong in a training loop, said so that one knows what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maeum.errors import MaeumError, UsageError


class NotFinite(MaeumError):
    """The loss stopped being a number."""


def not_finite(rows: Sequence[Any], each: Any) -> NotFinite:
    """The error for losses (n,) of the batch of these rows, some of which are no number."""
    return NotFinite(_nan_ko(rows, each), _nan_en(rows, each))


@contextlib.contextmanager
def readable_errors(batch_size: int, folder: Path) -> Iterator[None]:
    """Turn what goes wrong in a training loop into errors that say what to do."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(batch_size) from error
    except RuntimeError as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise _out_of_memory(batch_size) from error
        if "No space left" in str(error) or isinstance(error.__cause__, OSError):
            raise _disk_full(folder) from error
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(folder) from error
        raise
    except Exception as error:
        # safetensors reports a full disk as an error of its own
        if "No space left" in str(error) or "os error 28" in str(error):
            raise _disk_full(folder) from error
        raise


def _out_of_memory(batch_size: int) -> UsageError:
    return UsageError(
        f"메모리가 모자랍니다. --batch-size(지금 {batch_size})나 --max-length를 줄이거나, "
        "--set accumulation=4, --set gradient_checkpointing=true, (GPU라면) --set precision=bf16을 써 보세요.",
        f"out of memory: lower --batch-size (now {batch_size}) or --max-length, or try --set accumulation=4, "
        "--set gradient_checkpointing=true or, on a GPU, --set precision=bf16",
    )


def _disk_full(folder: Path) -> MaeumError:
    return MaeumError(
        f"디스크가 가득 찼습니다({folder}). 마지막으로 다 저장된 지점은 남아 있으니, 자리를 만든 뒤 같은 명령을 다시 실행하면 이어집니다.",
        f"the disk is full ({folder}); the last complete checkpoint is still there: make room and run the same "
        "command again to go on from it",
    )


def _nan_ko(rows: Sequence[Any], each: Any) -> str:
    return (
        f"손실이 숫자가 아닙니다(NaN/inf). 묶음의 행 번호: {_bad_rows(rows, each)}. "
        "학습률을 낮추거나 --set precision=fp32로 다시 해 보세요."
    )


def _nan_en(rows: Sequence[Any], each: Any) -> str:
    return (
        f"the loss is not a number (NaN or infinite) in the batch of rows {_bad_rows(rows, each)}; "
        "lower the learning rate or use --set precision=fp32"
    )


def _bad_rows(rows: Sequence[Any], each: Any) -> str:
    bad = [row for row, fine in zip(rows, each.isfinite().tolist(), strict=False) if not fine] or list(rows)
    return ", ".join(map(str, bad[:20])) + (" …" if len(bad) > 20 else "")
