"""An exported linear model: n-grams are hashed here, as in training; the rest is an ONNX graph.

::

    model.onnx               columns, values, rows, count in; probabilities (n, k) out
    vocabulary.safetensors   hash buckets of the columns, and their idf
    onnx.json                settings of the n-grams
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from maeum._files import read_json
from maeum.data import Input
from maeum.errors import FormatError
from maeum.models._sessions import open_session
from maeum.models.base import Proba, check_inputs
from maeum.models.linear import bucket_table, weigh
from maeum.models.ngrams import NgramConfig, chunks, count_ngrams
from maeum.task import Task

FILES = ("model.onnx", "vocabulary.safetensors", "onnx.json")
FORMAT = 1
_FEATURES = 1 << 15
"""Features of a call: the graph holds one row of weights for each."""


class OnnxLinear:
    """An exported linear model as a predictor.

    Args:
        folder: holds ``FILES``.
        buckets, idf: (d,) hash bucket and weight of each column.
    """

    kind = "onnx-linear"

    def __init__(
        self,
        task: Task,
        folder: Path,
        ngrams: NgramConfig,
        buckets: NDArray[np.uint32],
        idf: NDArray[np.float32],
    ) -> None:
        self.task = task
        self.folder = folder
        self.ngrams = ngrams
        self._idf = idf
        self._table = bucket_table(buckets, ngrams.bits)
        self._session: Any = None

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k)."""
        check_inputs(inputs)
        if not len(inputs):
            return np.zeros((0, len(self.task)), np.float32)
        if self._session is None:
            self._session = open_session(self.folder / "model.onnx")
        parts = [self._chunk(inputs[begin:end]) for begin, end in chunks(inputs, self.ngrams.chunk_chars)]
        return np.concatenate(parts)

    def _chunk(self, inputs: Sequence[Input]) -> Proba:
        counts = count_ngrams(inputs, self.ngrams, self._table, len(self._idf), threads=1)
        features = weigh(counts, self._idf)
        return np.concatenate([self._call(features[begin:end]) for begin, end in _spans(features.indptr)])

    def _call(self, features: sparse.csr_matrix) -> Proba:
        n = features.shape[0]
        feed = {
            "columns": features.indices.astype(np.int64),
            "values": features.data.astype(np.float32),
            "rows": np.repeat(np.arange(n), np.diff(features.indptr)),
            "count": np.array([n], np.int64),
        }
        proba: Proba = self._session.run(["probabilities"], feed)[0]
        return proba

    def save(self, folder: Path) -> None:
        """Copy its files."""
        for name in FILES:
            shutil.copyfile(self.folder / name, folder / name)

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote.

        Raises:
            FormatError: a file is from a newer version, or not what it should be.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        about = read_json(folder / "onnx.json")
        if int(about["format"]) > FORMAT:
            raise FormatError(
                "onnx.json을 더 새로운 maeum이 만들었습니다. maeum을 올려 주세요.",
                "onnx.json was made by a newer maeum; upgrade maeum",
            )
        ngrams, path = NgramConfig.from_json(about["ngrams"]), folder / "vocabulary.safetensors"
        try:
            arrays = load_file(path)
            return cls(task, folder, ngrams, arrays["buckets"], arrays["idf"])
        except (SafetensorError, KeyError, IndexError) as error:
            raise FormatError(
                f"'{path}'은(는) 어휘 파일이 아니거나 잘렸습니다. 다시 내보내세요(maeum export).",
                f"'{path}' is not a vocabulary file, or cut short; export it again (maeum export)",
            ) from error


def _spans(indptr: NDArray[Any]) -> list[tuple[int, int]]:
    """Ranges of rows with at most about ``_FEATURES`` features, at least one row each."""
    spans, start = [], 0
    for row in range(1, len(indptr)):
        if row - start > 1 and indptr[row] - indptr[start] > _FEATURES:
            spans.append((start, row - 1))
            start = row - 1
    spans.append((start, len(indptr) - 1))
    return spans
