"""Windows through an ONNX graph, on every core this process may use, with nothing padded.

One session runs on one thread; all workers share it (a session may be run from several threads at once, and
onnxruntime releases the interpreter lock), so the weights are in memory once. Windows are taken from an iterator while
earlier ones are already being worked on: tokenisation and inference overlap, and only a few batches wait at a time.

Two ways to run a graph, chosen when it is exported and kept in ``onnx.json``:

``same-length``  windows of equal length together, up to a budget of tokens: the fastest where rows do not look at
                 each other, which every graph of ours keeps
``alone``        one window a call: for graphs whose activation ranges come from the whole batch (dynamic int8)
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum._onnxruntime import onnxruntime
from maeum.engine import cores
from maeum.errors import FormatError
from maeum.models.windows import Window

Rows = Literal["alone", "same-length"]
ROWS: tuple[Rows, ...] = ("same-length", "alone")
Outputs = dict[str, NDArray[np.float32]]

TOKENS = 512
"""Tokens of a batch: what fits the caches of a core. More is no faster in fp32, slower in int8, and takes more memory."""
_WAITING = 4
"""Batches per worker that may wait for their turn."""


class Engine:
    """A graph and the threads that run it.

    Args:
        path: an ONNX file with inputs ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, (w, L) int64.
        rows: how windows may be put together.
        threads: workers; results do not depend on their number. None: the cores this process may use.
        tokens: budget of a batch.
    """

    def __init__(self, path: Path, *, rows: Rows, threads: int | None = None, tokens: int = TOKENS) -> None:
        self.path = path
        self.rows = rows
        self.threads = threads or cores()
        self.tokens = tokens
        self._session: Any = None
        self._lock = Lock()

    @property
    def session(self) -> Any:
        """The session, made when it is first needed.

        Raises:
            FormatError: onnxruntime cannot read the file.
        """
        with self._lock:
            if self._session is None:
                self._session = open_session(self.path)
            return self._session

    def run(self, windows: Iterable[Window]) -> Outputs:
        """Outputs of all windows (w, …), in their order."""
        session = self.session
        names = [output.name for output in session.get_outputs()]
        found: list[tuple[list[int], list[NDArray[np.float32]]]] = []
        if self.threads == 1:
            found = [(places, self._call(session, names, batch)) for places, batch in self._batches(windows)]
        else:
            found = self._spread(session, names, windows)
        count = sum(len(places) for places, _ in found)
        outputs = {}
        for at, output in enumerate(session.get_outputs()):
            whole = np.zeros((count, int(output.shape[-1])), np.float32)
            for places, arrays in found:
                whole[places] = arrays[at]
            outputs[names[at]] = whole
        return outputs

    def _spread(
        self, session: Any, names: list[str], windows: Iterable[Window]
    ) -> list[tuple[list[int], list[NDArray[np.float32]]]]:
        found = []
        waiting: deque[tuple[list[int], Future[list[NDArray[np.float32]]]]] = deque()
        with ThreadPoolExecutor(self.threads, thread_name_prefix="maeum-onnx") as pool:
            for places, batch in self._batches(windows):
                waiting.append((places, pool.submit(self._call, session, names, batch)))
                if len(waiting) > _WAITING * self.threads:
                    first, future = waiting.popleft()
                    found.append((first, future.result()))
            found += [(places, future.result()) for places, future in waiting]
        return found

    def _batches(self, windows: Iterable[Window]) -> Iterable[tuple[list[int], list[Window]]]:
        """(places, windows) to be worked on together: of equal length, as soon as there are enough of them."""
        groups: dict[int, tuple[list[int], list[Window]]] = {}
        for place, window in enumerate(windows):
            length = len(window.ids)
            places, batch = groups.setdefault(length, ([], []))
            places.append(place)
            batch.append(window)
            if length * (len(batch) + 1) > self.tokens:
                yield groups.pop(length)
        # the longest first: what is left for the end keeps no worker waiting for another
        for length in sorted(groups, reverse=True):
            yield groups[length]

    def _call(self, session: Any, names: list[str], batch: list[Window]) -> list[NDArray[np.float32]]:
        if self.rows == "alone" and len(batch) > 1:
            each = [self._call(session, names, [window]) for window in batch]
            return [np.concatenate(parts) for parts in zip(*each, strict=True)]
        ids = np.array([window.ids for window in batch], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if batch[0].types:
            feed["token_type_ids"] = np.array([window.types for window in batch], np.int64)
        result: list[NDArray[np.float32]] = session.run(names, feed)
        return result


def open_session(path: Path) -> Any:
    """A session on one thread of the processor.

    Raises:
        FormatError: onnxruntime cannot read the file.
    """
    ort = onnxruntime()

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # graphs are optimised when they are exported; what is left to do depends on the processor
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise FormatError(
            f"onnxruntime이 '{path}'을(를) 읽지 못합니다({_first_line(error)}). 다시 내보내세요(maeum export).",
            f"onnxruntime cannot read '{path}' ({_first_line(error)}); export it again (maeum export)",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
