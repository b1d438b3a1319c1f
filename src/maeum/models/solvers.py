"""First-stage solvers: every label, every fold and the final model together, one column each.

``solve_ridge``: regularised least squares on 0/1 targets in the dual (Rifkin & Lippert 2007) by block conjugate
gradients. ``solve_logistic``: regularised logistic regression by Newton's method with conjugate gradients inside (Komarek & Moore
2005), which fits few labels and many rows better. The latter may scale features by naive-Bayes log-count ratios (Wang & Manning 2012).

Shapes: n rows, d features, k labels, C columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SolverConfig:
    """How the first stage is solved."""

    penalty: float = 3.0
    """Ridge penalty; rows have length 1, so one value serves all sizes."""
    cg_steps: int = 25
    """Most steps of conjugate gradients for the ridge."""
    cg_tolerance: float = 5e-3
    """Relative residual at which they stop."""
    logistic_penalty: float = 0.2
    """Penalty of the logistic regression: Σ loss + penalty/2 · ‖w‖²."""
    newton_steps: int = 4
    """Newton steps of the logistic regression; few, because stopping early regularises too."""
    newton_cg_steps: int = 8
    """Steps of conjugate gradients inside each."""


class SparseProduct:
    """Sparse matrix times dense matrix on several threads.

    Every output row is one thread's work, so the result does not depend on the number of threads.
    """

    def __init__(self, matrix: sparse.csr_matrix, pool: ThreadPoolExecutor, parts: int = 4) -> None:
        cuts = np.searchsorted(matrix.indptr, np.linspace(0, matrix.nnz, parts + 1))
        cuts[0], cuts[-1] = 0, matrix.shape[0]
        self._parts = [matrix[a:b] for a, b in itertools.pairwise(cuts)]
        self._pool = pool
        self.rows = matrix.shape[0]

    def __call__(self, dense: F32) -> F32:
        """The product (n, C) with a dense (d, C)."""
        return np.concatenate(list(self._pool.map(lambda part: part @ dense, self._parts)))


def _nb_scale(x: sparse.csr_matrix, xt: SparseProduct, y: F32, masks: F32) -> F32:
    """Squared naive-Bayes weights r^2, (d, C), of targets ``y`` (n, C) on the rows of ``masks`` (n, C).

    r = log((p/|p|) / (q/|q|)) with p, q the smoothed weights of a feature in positive and negative rows
    (Wang & Manning 2012, eq. 2). Scaling features by r is scaling them by r^2 inside the kernel. The mean
    row length is kept at 1 so that the same penalty fits.
    """
    p, q = xt(y * masks) + np.float32(0.3), xt((1 - y) * masks) + np.float32(0.3)
    r2: F32 = np.square(np.log(p / p.sum(0)) - np.log(q / q.sum(0)))
    energy = np.bincount(x.indices, weights=np.square(x.data), minlength=x.shape[1]) / max(x.shape[0], 1)
    scaled: F32 = (r2 / np.maximum(energy.astype(np.float32) @ r2, 1e-12)).astype(np.float32)
    return scaled


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


def solve_ridge(x: sparse.csr_matrix, y: F32, folds: I32, c: SolverConfig, pool: ThreadPoolExecutor) -> FirstStage:
    """Ridge regression of ``y`` (n, k) zeros and ones on the rows of ``x`` (n, d); scores are about 0–1."""

    def solve(xp: SparseProduct, xt: SparseProduct, t: F32, mask: F32) -> Solved:
        alpha = _conjugate_gradients(lambda v: xp(xt(v)), t, mask, c.penalty, c.cg_steps, c.cg_tolerance)
        w = xt(alpha)
        f = xp(w)
        bias = ((t - f) * mask).sum(0) / np.maximum(mask.sum(0), 1)
        return w, bias, f + bias

    return _in_blocks(x, y, folds, _RIDGE_COLUMNS, solve, pool)


def solve_logistic(
    x: sparse.csr_matrix, y: F32, folds: I32, c: SolverConfig, nb: bool, pool: ThreadPoolExecutor
) -> FirstStage:
    """Logistic regression; scores are log odds. ``nb``: on features scaled by naive-Bayes ratios."""

    def solve(xp: SparseProduct, xt: SparseProduct, t: F32, mask: F32) -> Solved:
        scale = np.sqrt(_nb_scale(x, xt, t, mask)) if nb else None
        return _newton(xp, xt, t, mask, scale, c)

    return _in_blocks(x, y, folds, _LOGISTIC_COLUMNS, solve, pool)


Solved = tuple[F32, F32, F32]
"""Weights (d, C), intercepts (C,), scores of all rows (n, C)."""
_RIDGE_COLUMNS = 256
"""Columns solved at a time, which bounds memory."""
_LOGISTIC_COLUMNS = 24
"""Fewer, since Newton's method holds several vectors over all features for each."""


def _in_blocks(
    x: sparse.csr_matrix,
    y: F32,
    folds: I32,
    columns: int,
    solve: Callable[[SparseProduct, SparseProduct, F32, F32], Solved],
    pool: ThreadPoolExecutor,
) -> FirstStage:
    """All folds and the final model together, a block of labels at a time.

    ``solve(x, x.T, targets, mask)`` gets a column per (fold, label), the final model's last, and the rows each may see.
    """
    n, k = y.shape
    ids, train = _systems(folds)
    xp, xt = SparseProduct(x, pool), SparseProduct(x.T.tocsr(), pool)
    out = FirstStage(np.empty((x.shape[1], k), np.float32), np.empty(k, np.float32), np.empty((n, k), np.float32))
    width = max(1, columns // train.shape[1])
    for low in range(0, k, width):
        part = slice(low, min(low + width, k))
        m = part.stop - low
        mask = np.repeat(train, m, axis=1).astype(np.float32)
        w, bias, f = solve(xp, xt, np.tile(y[:, part], (1, train.shape[1])), mask)
        out.weights[:, part], out.bias[part] = w[:, -m:], bias[-m:]
        out.scores[:, part] = f[:, -m:]
        for i, fold in enumerate(ids):
            out.scores[folds == fold, part] = f[folds == fold, i * m : (i + 1) * m]
    return out


def _newton(xp: SparseProduct, xt: SparseProduct, y: F32, mask: F32, scale: F32 | None, c: SolverConfig) -> Solved:
    """Weights (d, C), intercepts (C,) and log odds (n, C), one logistic regression per column on the rows of its mask.

    The intercept is eliminated from each Newton system, which takes away the large first eigenvalue of non-negative
    features. A column's step is halved while its loss rises, and given up if it still does.
    """
    penalty = np.float32(c.logistic_penalty)

    def forward(v: F32) -> F32:
        return xp(v if scale is None else v * scale)

    def back(v: F32) -> F32:
        g = xt(v)
        return g if scale is None else g * scale

    def losses(margin: F32, w: F32) -> F32:
        total: F32 = (mask * (np.logaddexp(0, margin) - y * margin)).sum(0) + penalty / 2 * np.square(w).sum(0)
        return total

    w = np.zeros((xt.rows, y.shape[1]), np.float32)
    bias = np.zeros(y.shape[1], np.float32)
    margin = np.zeros_like(y)
    loss = losses(margin, w)
    for _ in range(c.newton_steps):
        p = np.float32(1) / (np.float32(1) + np.exp(-np.clip(margin, -30, 30)))
        curve = mask * np.maximum(p * (1 - p), np.float32(1e-3))
        total = curve.sum(0)
        g = mask * (p - y)
        lift = g.sum(0) / total
        residual: F32 = (-back((g - curve * lift).astype(np.float32)) - penalty * w).astype(np.float32)
        step, step_margin = np.zeros_like(w), np.zeros_like(y)
        direction = residual.copy()
        rs = np.einsum("ij,ij->j", residual, residual)
        for _ in range(c.newton_cg_steps):
            u = forward(direction)
            h = curve * u
            h -= curve * (h.sum(0) / total)
            q = back(h) + penalty * direction
            a = rs / np.maximum(np.einsum("ij,ij->j", direction, q), 1e-30)
            step += a * direction
            step_margin += a * u
            residual -= a * q
            new = np.einsum("ij,ij->j", residual, residual)
            direction = residual + (new / np.maximum(rs, 1e-30)) * direction
            rs = new
        step_bias = -lift - (curve * step_margin).sum(0) / total
        size = np.ones(y.shape[1], np.float32)
        for _ in range(5):
            trial = losses(margin + size * (step_margin + step_bias), w + size * step)
            worse = trial > loss
            if not worse.any():
                break
            size = np.where(worse, size / 2, size).astype(np.float32)
        size = np.where(losses(margin + size * (step_margin + step_bias), w + size * step) > loss, 0, size).astype(
            np.float32
        )
        w, margin, bias = w + size * step, margin + size * (step_margin + step_bias), bias + size * step_bias
        loss = losses(margin, w)
    return (w if scale is None else w * scale), bias, margin


def _systems(folds: I32) -> tuple[list[int], npt.NDArray[np.bool_]]:
    """Fold numbers, and which rows train which system (n, folds + 1): each fold's, then the final model's."""
    numbers = np.unique(folds)
    ids = [int(number) for number in numbers] if len(numbers) > 1 else []
    return ids, np.stack([folds != number for number in ids] + [np.ones(len(folds), dtype=bool)], 1)
