"""Ridge regression of all labels, all folds and the final model in one solve.

The dual of regularised least squares on 0/1 targets (Rifkin & Lippert 2007): through the kernel matrix and Cholesky
when there are few rows, else by block conjugate gradients with one column per (fold, label). With few labels, features
may be scaled by naive-Bayes log-count ratios (Wang & Manning 2012).

Shapes: n rows, d features, k labels, C columns.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class RidgeConfig:
    """How the first stage is solved."""

    penalty: float = 3.0
    """Ridge penalty; rows have length 1, so one value serves all sizes."""
    dense_rows: int = 8000
    """At most so many rows are solved through the kernel matrix (4·n² bytes)."""
    cg_steps: int = 25
    """Most steps of conjugate gradients."""
    cg_tolerance: float = 5e-3
    """Relative residual at which they stop."""


class SparseProduct:
    """Sparse matrix times dense matrix on several threads.

    Every output row is one thread's work, so the result does not depend on the number of threads.
    """

    def __init__(self, matrix: sparse.csr_matrix, pool: ThreadPoolExecutor, parts: int = 4) -> None:
        cuts = np.searchsorted(matrix.indptr, np.linspace(0, matrix.nnz, parts + 1))
        cuts[0], cuts[-1] = 0, matrix.shape[0]
        self._parts = [matrix[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
        self._pool = pool

    def __call__(self, dense: F32) -> F32:
        return np.concatenate(list(self._pool.map(lambda part: part @ dense, self._parts)))


def _nb_scale(x: sparse.csr_matrix, xt: SparseProduct, y: F32, masks: F32) -> F32:
    """Squared naive-Bayes weights r^2, (d, C), of targets ``y`` (n, C) on the rows of ``masks`` (n, C).

    r = log((p/|p|) / (q/|q|)) with p, q the smoothed weights of a feature in positive and negative rows
    (Wang & Manning 2012, eq. 2). Scaling features by r is scaling them by r^2 inside the kernel. The mean
    row length is kept at 1 so that the same penalty fits.
    """
    p, q = xt(y * masks) + np.float32(0.3), xt((1 - y) * masks) + np.float32(0.3)
    r2 = np.square(np.log(p / p.sum(0)) - np.log(q / q.sum(0)))
    energy = np.bincount(x.indices, weights=np.square(x.data), minlength=x.shape[1]) / max(x.shape[0], 1)
    return (r2 / np.maximum(energy.astype(np.float32) @ r2, 1e-12)).astype(np.float32)


def _conjugate_gradients(kernel: Callable[[F32], F32], y: F32, mask: F32, ridge: float, steps: int, tol: float) -> F32:
    """Dual coefficients (n, C) of ridge with an unpenalised intercept, one system per column.

    Column c is restricted to the rows of mask[:, c]; centring inside that set removes the intercept and with
    it the large first eigenvalue of non-negative features, which is why few steps suffice.
    """
    rows = np.maximum(mask.sum(0), 1)

    def centre(v: F32) -> F32:
        v = v * mask
        v -= mask * (v.sum(0) / rows)
        return v

    residual = centre(y)
    alpha = np.zeros_like(residual)
    p = residual.copy()
    rs = np.einsum("ij,ij->j", residual, residual)
    goal = tol**2 * np.maximum(rs, 1e-20)
    for _ in range(steps):
        q = centre(kernel(p)) + np.float32(ridge) * p
        step = rs / np.maximum(np.einsum("ij,ij->j", p, q), 1e-30)
        alpha += step * p
        residual -= step * q
        new = np.einsum("ij,ij->j", residual, residual)
        if np.all(new <= goal):
            break
        p = residual + (new / np.maximum(rs, 1e-30)) * p
        rs = new
    return alpha


@dataclass
class FirstStage:
    """First stage: weights (d, C), intercepts (C,), out-of-fold scores (n, C)."""

    weights: F32
    bias: F32
    scores: F32


def solve_iterative(
    x: sparse.csr_matrix, y: F32, folds: I32, c: RidgeConfig, nb: bool, pool: ThreadPoolExecutor
) -> FirstStage:
    """All folds and the final model as one block system; columns are (fold, label), the final model last."""
    n, k = y.shape
    ids = [int(f) for f in np.unique(folds)] if len(np.unique(folds)) > 1 else []
    train = np.stack([folds != f for f in ids] + [np.ones(n, dtype=bool)], 1)
    xp, xt = SparseProduct(x, pool), SparseProduct(x.T.tocsr(), pool)
    out = FirstStage(np.empty((x.shape[1], k), np.float32), np.empty(k, np.float32), np.empty((n, k), np.float32))
    width = max(1, 256 // train.shape[1])
    for lo in range(0, k, width):
        part = slice(lo, min(lo + width, k))
        m = part.stop - lo
        mask = np.repeat(train, m, axis=1).astype(np.float32)
        t = np.tile(y[:, part], (1, train.shape[1]))
        scale = _nb_scale(x, xt, t, mask) if nb else None

        def primal(v: F32, scale: F32 | None = scale) -> F32:
            w = xt(v)
            return w if scale is None else w * scale

        alpha = _conjugate_gradients(lambda v: xp(primal(v)), t, mask, c.penalty, c.cg_steps, c.cg_tolerance)
        w = primal(alpha)
        f = xp(w)
        bias = ((t - f) * mask).sum(0) / np.maximum(mask.sum(0), 1)
        f += bias
        out.weights[:, part], out.bias[part] = w[:, -m:], bias[-m:]
        out.scores[:, part] = f[:, -m:]
        for i, fold in enumerate(ids):
            out.scores[folds == fold, part] = f[folds == fold, i * m : (i + 1) * m]
    return out


def _solve_dense(kernel: F32, y: F32, ridge: float) -> tuple[F32, F32]:
    """Centred dual ridge by Cholesky; destroys ``kernel``. Returns alpha (n, k) and the mean row of the kernel."""
    mean = kernel.mean(0)
    kernel -= mean
    kernel -= mean[:, None]
    kernel += mean.mean()
    kernel.flat[:: len(kernel) + 1] += np.float32(ridge)
    factor = linalg.cho_factor(kernel.T, lower=True, overwrite_a=True, check_finite=False)
    alpha = linalg.cho_solve(factor, y - y.mean(0), check_finite=False)
    return (alpha - alpha.mean(0)).astype(np.float32), mean


def solve_dense(x: sparse.csr_matrix, y: F32, folds: I32, c: RidgeConfig, pool: ThreadPoolExecutor) -> FirstStage:
    """The same through the kernel matrix, computed once; a fold is a sub-matrix of it."""
    n = len(y)
    xt = x.T.tocsr()
    cuts = np.linspace(0, n, 9).astype(int)
    rows = pool.map(lambda ab: (x[ab[0] : ab[1]] @ xt).toarray(), zip(cuts[:-1], cuts[1:], strict=True))
    kernel = np.concatenate(list(rows))
    scores = np.empty_like(y)
    ids = np.unique(folds) if len(np.unique(folds)) > 1 else np.zeros(0, np.int32)
    for f in ids:
        tr, te = np.flatnonzero(folds != f), np.flatnonzero(folds == f)
        a, mean = _solve_dense(kernel[np.ix_(tr, tr)], y[tr], c.penalty)
        scores[te] = kernel[np.ix_(te, tr)] @ a + (y[tr].mean(0) - mean @ a)
    a, mean = _solve_dense(kernel.copy() if len(ids) == 0 else kernel, y, c.penalty)
    w = SparseProduct(xt, pool)(a)
    bias = y.mean(0) - mean @ a
    if len(ids) == 0:
        scores = kernel @ a + bias
    return FirstStage(w, bias, scores)
