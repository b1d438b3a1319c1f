"""What comes after the ridge: labels that help each other, and scores that become probabilities.

With three labels or more, a second ridge goes from the out-of-fold scores of all labels to every label ("curds and
whey", Breiman & Friedman 1997) on random Fourier features (Rahimi & Recht 2007), so that interactions count as well. Then a sigmoid per
label (Platt 1999), or for exclusive classes a softmax of these with a temperature and biases (Guo et al. 2017).

Leakage, stated: the second stage's inputs for its training folds come from first-stage models that saw the held-out
fold (ordinary stacking), and the one sigmoid per label is fitted on all out-of-fold scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize
from scipy.special import log_softmax

from maeum.calibration import platt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
State = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class StackConfig:
    """The second stage."""

    min_rows: int = 1000
    """Fewer rows get no second stage."""
    features: int = 512
    """Random Fourier features."""
    penalty: float = 1.0
    """Ridge penalty."""
    gamma: float = 0.13
    """Width of the Gaussian kernel exp(−γ‖z − z'‖²/k) over k standardised scores."""


def fourier_features(z: F32, state: State) -> F32:
    """Random Fourier features (n, D) of standardised scores, and the scores themselves."""
    wave = z @ state["rff_w"]
    wave += state["rff_b"]
    np.cos(wave, out=wave)
    wave *= np.float32(np.sqrt(2 / wave.shape[1]))
    return np.concatenate([wave, z * np.float32(0.1)], axis=1)


def fit_second(z: F32, y: F32, folds: I32, c: StackConfig, state: State) -> F32:
    """Fits the second ridge into ``state``; returns its out-of-fold scores (n, k)."""
    phi = fourier_features(z, state)
    mean, base = phi.mean(0), y.mean(0)
    phi_c, y_c = phi - mean, y - base
    ids = np.unique(folds)
    parts = [np.flatnonzero(folds == f) for f in ids]
    grams = [phi_c[i].T.astype(np.float64) @ phi_c[i] for i in parts]
    rights = [phi_c[i].T.astype(np.float64) @ y_c[i] for i in parts]
    gram, right = sum(grams[1:], grams[0]), sum(rights[1:], rights[0])
    eye = np.eye(len(gram)) * c.penalty
    out = np.empty_like(y)
    for i, g, r in zip(parts, grams, rights, strict=True):
        out[i] = phi_c[i] @ linalg.solve(gram - g + eye, right - r, assume_a="pos").astype(np.float32)
    beta = linalg.solve(gram + eye, right, assume_a="pos").astype(np.float32)
    state["beta"], state["beta0"] = beta, (base - mean @ beta).astype(np.float32)
    scores: F32 = (out + base).astype(np.float32)
    return scores


def fit_sigmoids(scores: F64, y: F64) -> tuple[F64, F64]:
    """Slopes and offsets (k,) of a sigmoid per label (Platt 1999) for scores and labels (n, k).

    A label whose scores run against it (slope below 0) gets its share of positives as a constant probability.
    """
    k = scores.shape[1]
    slope, offset = np.zeros(k), np.zeros(k)
    for column in range(k):
        slope[column], offset[column] = platt(scores[:, column], y[:, column])
    positives = y.sum(0)
    constant = np.log((positives + 1) / (len(y) - positives + 1))
    return np.where(slope > 0, slope, 0.0), np.where(slope > 0, offset, constant)


def fit_temperature(z: F64, y: F64) -> tuple[float, F64]:
    """Temperature factor and biases of softmax(t z + c) by maximum likelihood, biases lightly pulled to 0."""
    k = z.shape[1]

    def loss(v: F64) -> tuple[float, F64]:
        lp = log_softmax(v[0] * z + v[1:], axis=1)
        d = np.exp(lp) - y
        pull = v - np.append(1.0, np.zeros(k))
        value = float(-(lp * y).sum() + 0.5 * pull @ pull)
        return value, np.append((d * z).sum(), d.sum(0)) + pull

    start = np.append(1.0, np.zeros(k))
    best = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.05, 20)] + [(-20, 20)] * k)
    return float(best.x[0]), best.x[1:]
