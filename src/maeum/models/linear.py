"""The linear model: hashed n-grams, one ridge for all labels and folds, a small stage over label scores, calibration.

It needs no download and no GPU, trains in seconds, and is the baseline in every table.

1. n-grams of characters across word boundaries, and of jamo, with the target's own where the task has one (``ngrams``).
2. (1 + log tf) · idf, rows of length 1; ridge regression of all labels (``solvers``). With few labels, logistic
   regression instead, on plain and on naive-Bayes-scaled features, averaged.
3. With three labels or more, a second ridge over the out-of-fold scores of all labels; probabilities (``stacking``).

Leakage, stated: vocabulary and document frequencies (label-free) come from all training rows and are shared by the folds.
Everything that sees a label is fitted without the held-out fold, but for what ``stacking`` says.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit, softmax

from maeum._files import pretty_json, read_json, write_text
from maeum.data import Input
from maeum.engine import cores
from maeum.errors import NotFitted, UsageError
from maeum.models.base import Labels, Proba, check_inputs
from maeum.models.ngrams import NgramConfig, chunks, count_ngrams
from maeum.models.solvers import FirstStage, SolverConfig, solve_logistic, solve_ridge
from maeum.models.stacking import StackConfig, State, fit_second, fit_sigmoids, fit_temperature, fourier_features
from maeum.task import Task

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class LinearConfig:
    """Settings of the linear model."""

    ngrams: NgramConfig = field(default_factory=NgramConfig)
    """N-grams with many labels, where every feature costs a weight per label."""
    few_ngrams: NgramConfig = field(default_factory=lambda: NgramConfig(orders=(1, 2, 3, 4), jamo_orders=(4, 6)))
    """N-grams with at most ``few_labels`` labels."""
    min_df: int = 2
    """Texts an n-gram must occur in to count."""
    solver: SolverConfig = field(default_factory=SolverConfig)
    few_labels: int = 8
    """With at most so many labels, logistic regression on plain and on naive-Bayes-scaled features, averaged; with more, ridge."""
    stack: StackConfig = field(default_factory=StackConfig)
    folds: int = 5
    """Folds of ``fit``, for the second stage and the calibration."""
    weight_bits: int = 16
    """Width of the stored weights, 16 (fp16) or 8 (int8); the model answers with the rounded ones from the start."""

    def __post_init__(self) -> None:
        if self.weight_bits not in (8, 16):
            raise UsageError(
                f"weight_bits는 8이나 16입니다: {self.weight_bits}", f"weight_bits is 8 or 16, got {self.weight_bits}"
            )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LinearConfig:
        """The configuration of an ``asdict`` that went through JSON."""
        parts = {
            "ngrams": NgramConfig.from_json(data["ngrams"]),
            "few_ngrams": NgramConfig.from_json(data["few_ngrams"]),
            "solver": SolverConfig(**data["solver"]),
            "stack": StackConfig(**data["stack"]),
        }
        return cls(**{**data, **parts})

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> LinearConfig:
        """Settings from options by name; those of a part stand in a mapping of their own: ``{"solver": {"penalty": 1}}``.

        Raises:
            UsageError: an option that does not exist.
        """
        changed: LinearConfig = _changed(cls(), options, "")
        return changed


class LinearClassifier:
    """A ``Classifier`` for multilabel and multiclass tasks.

    Args:
        task: whose labels it learns.
        seed: of the folds of ``fit`` and of the random features.
        config: everything else.
        threads: workers; the result does not depend on their number. None: the cores this process may use.
    """

    kind = "linear"

    def __init__(
        self, task: Task, *, seed: int = 42, config: LinearConfig | None = None, threads: int | None = None
    ) -> None:
        self.task = task
        self.seed = seed
        self.config = config or LinearConfig()
        few = len(task) <= self.config.few_labels
        self._ngrams = self.config.few_ngrams if few else self.config.ngrams
        self.threads = threads or cores()
        self._state: State = {}
        self._table: I32 | None = None
        self._weights: F32 = np.zeros((0, 0), dtype=np.float32)

    @classmethod
    def of(cls, argument: str, task: Task, *, seed: int, options: Mapping[str, Any]) -> Self:
        """An untrained model from options by name; the spec ``linear`` takes no argument."""
        del argument
        return cls(task, seed=seed, config=LinearConfig.of(options))

    # -- training -------------------------------------------------------------------------------------------

    def fit(self, inputs: Sequence[Input], y: Labels) -> Self:
        """Train on inputs (n) and labels (n, k), with seeded folds of its own for the later stages."""
        count = max(min(self.config.folds, len(inputs)), 1)
        fold = np.random.default_rng(self.seed).permutation(len(inputs)) % count
        self.fit_folds(inputs, y, fold.astype(np.int64))
        return self

    def fit_folds(self, inputs: Sequence[Input], y: Labels | Proba, fold: npt.NDArray[np.int64]) -> Proba:
        """Train on all rows and return out-of-fold probabilities (n, k) for the fold numbers ``fold`` (n,).

        Args:
            y: (n, k) zeros and ones, or probabilities to imitate: every loss here takes them as they are.
        """
        check_inputs(inputs)
        if len(inputs) == 0 or y.shape != (len(inputs), len(self.task)):
            raise UsageError(
                f"입력 {len(inputs)}개에 라벨 모양 {y.shape}은(는) 맞지 않습니다(기대: ({len(inputs)}, {len(self.task)})).",
                f"{len(inputs)} inputs need labels of shape ({len(inputs)}, {len(self.task)}), got {y.shape}",
            )
        folds = fold.astype(np.int32)
        x = self._fit_features(inputs)
        solved = self._solved(y)
        with ThreadPoolExecutor(self.threads) as pool:
            views = self._first(x, solved, folds, pool)
        self._keep_weights(views)
        raw = np.concatenate([view.scores for view in views], axis=1)
        return self._fit_top(raw, solved, y, folds)

    def _solved(self, y: Labels | Proba) -> F32:
        """The columns to solve for: two exclusive classes are one column, the second class."""
        return (y[:, 1:] if self._binary else y).astype(np.float32)

    @property
    def _binary(self) -> bool:
        return self.task.kind == "multiclass" and len(self.task) == 2

    def _fit_features(self, inputs: Sequence[Input]) -> sparse.csr_matrix:
        """Vocabulary and idf from all rows; the weighted features (n, d)."""
        config = self.config
        counts = count_ngrams(inputs, self._ngrams, threads=self.threads)
        df = np.bincount(counts.indices, minlength=counts.shape[1])
        n = counts.shape[0]
        used = np.flatnonzero(df >= min(config.min_df, max(1, n // 20)))  # tiny data: keep what occurs once
        used = used[np.argsort(-df[used], kind="stable")]  # frequent first: their weights lie together in memory
        if len(used) == 0:
            used = np.zeros(1, dtype=np.int64)  # no text at all: one dummy column
        self._state = {
            "buckets": used.astype(np.uint32),
            "idf": (np.log((1 + n) / (1 + df[used])) + 1).astype(np.float32),
        }
        self._table = bucket_table(self._state["buckets"], self._ngrams.bits)
        return weigh(_select(counts, self._table, len(used)), self._state["idf"])

    def _first(self, x: sparse.csr_matrix, y: F32, folds: I32, pool: ThreadPoolExecutor) -> list[FirstStage]:
        config = self.config
        if len(self.task) <= config.few_labels:
            return [solve_logistic(x, y, folds, config.solver, nb, pool) for nb in (False, True)]
        return [solve_ridge(x, y, folds, config.solver, pool)]

    def _keep_weights(self, views: list[FirstStage]) -> None:
        """Weights rounded, times a scale per column; prediction uses the same rounded numbers before and after saving."""
        weights = np.concatenate([view.weights for view in views], axis=1)
        scale = np.maximum(np.abs(weights).max(0), 1e-12).astype(np.float32)
        if self.config.weight_bits == 8:
            scale /= 127
            self._state["weights"] = np.rint(weights / scale).astype(np.int8)
        else:
            self._state["weights"] = (weights / scale).astype(np.float16)
        self._state["scale"] = scale
        self._state["bias"] = np.concatenate([view.bias for view in views]).astype(np.float32)
        self._unpack()

    def _fit_top(self, raw: F32, solved: F32, y: Labels | Proba, folds: I32) -> Proba:
        """Standardisation, second stage, calibration; out-of-fold probabilities."""
        state, config = self._state, self.config.stack
        state["mean"], state["sd"] = raw.mean(0), _spread(raw)
        z: F32 = ((raw - state["mean"]) / state["sd"]).astype(np.float32)
        k = solved.shape[1]
        if k >= 3 and len(y) >= config.min_rows and len(np.unique(folds)) > 1:
            rng = np.random.default_rng(self.seed)
            width = np.sqrt(2 * config.gamma / z.shape[1])
            state["rff_w"] = (rng.normal(size=(z.shape[1], config.features)) * width).astype(np.float32)
            state["rff_b"] = rng.uniform(0, 2 * np.pi, config.features).astype(np.float32)
            top = fit_second(z, solved, folds, config, state)
        else:
            top = _average(z, k)
        state["top_mean"], state["top_sd"] = top.mean(0), _spread(top)
        unit = ((top - state["top_mean"]) / state["top_sd"]).astype(np.float64)
        a, b = fit_sigmoids(unit, solved.astype(np.float64))
        if self.task.kind == "multiclass" and k >= 3:
            # a class whose few out-of-fold scores happen to run against it must still be able to win
            a = np.maximum(a, 0.5 * np.median(a)) if np.median(a) > 0 else np.ones(k)
            t, bias = fit_temperature(a * unit + b, y.astype(np.float64))
            a, b = t * a, t * b + bias
        state["platt_a"], state["platt_b"] = a.astype(np.float32), b.astype(np.float32)
        return self._calibrated(top)

    # -- prediction -----------------------------------------------------------------------------------------

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k) in ``task.keys`` order."""
        check_inputs(inputs)
        if not self._state:
            raise NotFitted(
                "아직 학습하지 않은 모델입니다. fit을 먼저 부르세요.", "this model is not trained yet; call fit first"
            )
        if not len(inputs):
            return np.zeros((0, len(self.task)), np.float32)
        ranges = chunks(inputs, self._ngrams.chunk_chars)
        if len(ranges) == 1 or self.threads == 1:
            parts = [self._scores(inputs[begin:end]) for begin, end in ranges]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                parts = list(pool.map(lambda span: self._scores(inputs[span[0] : span[1]]), ranges))
        return self._calibrated(np.concatenate(parts))

    def _scores(self, inputs: Sequence[Input]) -> F32:
        """Scores before calibration of one chunk (n, k)."""
        state = self._state
        counts = count_ngrams(inputs, self._ngrams, self._table, len(state["buckets"]), threads=1)
        return self._stacked(weigh(counts, state["idf"]) @ self._weights + state["bias"])

    def _stacked(self, raw: F32) -> F32:
        """Scores before calibration (n, k) from those of the first stage (n, views · k)."""
        state = self._state
        z: F32 = np.asarray((raw - state["mean"]) / state["sd"], dtype=np.float32)
        if "beta" in state:
            return np.concatenate([_second(part, state) for part in _blocks(z)])[: len(z)]
        return _average(z, len(state["platt_a"]))

    def _calibrated(self, top: F32) -> Proba:
        state = self._state
        z = (top - state["top_mean"]) / state["top_sd"] * state["platt_a"] + state["platt_b"]
        if self.task.kind != "multiclass":
            return np.asarray(expit(z), dtype=np.float32)
        if self._binary:  # softmax of (0, z)
            z = np.concatenate([np.zeros_like(z), z], axis=1)
        return np.asarray(softmax(z, axis=1), dtype=np.float32)

    # -- saving ---------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """``model.safetensors`` and ``config.json``."""
        from safetensors.numpy import save_file

        if not self._state:
            raise NotFitted("학습하지 않은 모델은 저장할 수 없습니다.", "a model that was not trained cannot be saved")
        # safetensors writes the buffer as it lies: an array that is not C-contiguous would come back scrambled
        arrays = {name: np.ascontiguousarray(array) for name, array in self._state.items()}
        save_file(arrays, folder / "model.safetensors")
        write_text(folder / "config.json", pretty_json({"seed": self.seed, **asdict(self.config)}))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote; probabilities are bit-identical."""
        from safetensors.numpy import load_file

        config = read_json(folder / "config.json")
        model = cls(task, seed=config.pop("seed"), config=LinearConfig.from_dict(config))
        model._state = load_file(folder / "model.safetensors")
        model._unpack()
        return model

    def _unpack(self) -> None:
        state = self._state
        self._weights = state["weights"].astype(np.float32) * state["scale"]
        if self._table is None:
            self._table = bucket_table(state["buckets"], self._ngrams.bits)


def _changed(config: Any, options: Mapping[str, Any], outer: str) -> Any:
    """A settings dataclass with some values changed, also inside the dataclasses it holds."""
    known = [item.name for item in fields(config)]
    values: dict[str, Any] = {}
    for word, value in options.items():
        name = word.replace("-", "_")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            listed = ", ".join(known)
            raise UsageError(
                f"linear 모델에 없는 설정: '{outer}{word}'. "
                + (f"'{close[0]}'인가요? " if close else "")
                + f"있는 것: {listed}",
                f"the linear model has no setting '{outer}{word}'"
                + (f"; did you mean '{close[0]}'?" if close else "")
                + f" (known: {listed})",
            )
        old = getattr(config, name)
        if is_dataclass(old):
            if not isinstance(value, Mapping):
                raise UsageError(f"'{outer}{word}'은(는) 설정의 묶음입니다.", f"'{outer}{word}' is a table of settings")
            value = _changed(old, value, f"{outer}{word}.")
        values[name] = tuple(value) if isinstance(old, tuple) else value
    return replace(config, **values)


def weigh(counts: sparse.csr_matrix, idf: F32) -> sparse.csr_matrix:
    """(1 + log tf) · idf, every row scaled to length 1 (sums in float64, row by row); changes ``counts``."""
    data = counts.data
    np.log(data, out=data)
    data += 1
    data *= idf[counts.indices]
    if len(data):
        full = np.diff(counts.indptr) > 0
        squares = np.add.reduceat(np.square(data, dtype=np.float64), counts.indptr[:-1][full])
        inverse = np.ones(counts.shape[0], dtype=np.float32)
        inverse[full] = 1 / np.sqrt(np.maximum(squares, 1e-30))
        data *= np.repeat(inverse, np.diff(counts.indptr))
    return counts


def bucket_table(buckets: npt.NDArray[np.uint32], bits: int) -> I32:
    """Bucket → column, −1 where the bucket is not in the vocabulary."""
    table = np.full(1 << bits, -1, dtype=np.int32)
    table[buckets] = np.arange(len(buckets), dtype=np.int32)
    return table


def _select(counts: sparse.csr_matrix, table: I32, width: int) -> sparse.csr_matrix:
    """Buckets → columns, dropping buckets outside the vocabulary."""
    column = table[counts.indices]
    keep = column >= 0
    ends = np.concatenate([[0], np.cumsum(keep)])[counts.indptr].astype(np.int32)
    out = sparse.csr_matrix((counts.shape[0], width), dtype=np.float32)
    out.data, out.indices, out.indptr = counts.data[keep], column[keep], ends
    return out


_ROWS = 16
"""Rows of a matrix product. Larger ones OpenBLAS spreads over threads, which then wait for each other longer than they
compute, most of all where other threads want the cores too; and their last bits depend on how many rows there are."""


def _blocks(z: F32) -> list[F32]:
    """Blocks of exactly ``_ROWS`` rows, the last one filled up with zeros: so a row never depends on how many there are."""
    missing = -len(z) % _ROWS
    padded = np.concatenate([z, np.zeros((missing, z.shape[1]), z.dtype)]) if missing else z
    return [padded[start : start + _ROWS] for start in range(0, len(padded), _ROWS)]


def _second(z: F32, state: State) -> F32:
    """The second stage (n, k) of standardised scores (n, views · k)."""
    scores: F32 = fourier_features(z, state) @ state["beta"] + state["beta0"]
    return scores


def _average(z: F32, k: int) -> F32:
    """Mean over the views, (n, views · k) → (n, k)."""
    mean: F32 = z.reshape(len(z), -1, k).mean(1, dtype=np.float32)
    return mean


def _spread(values: F32) -> F32:
    """Standard deviation of columns (k,), 1 where a column is constant."""
    sd = values.std(0)
    return np.where(sd > 1e-6, sd, 1).astype(np.float32)
