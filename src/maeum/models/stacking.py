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
from scipy.special import expit, log_softmax, logit

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
State = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class StackConfig:
    """The second stage."""

    min_rows: int = 200
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
    return out + base


def platt(s: F64, y: F64, steps: int = 50) -> tuple[F64, F64]:
    """Slopes and offsets (k,) of sigmoid(a s + b), Newton's method with Platt's smoothed targets (Platt 1999).

    The slope is never negative, and it is pulled a little to 0, so a label with one example stays finite.
    """
    pos = y.sum(0)
    neg = len(y) - pos
    t = np.where(y > 0, (pos + 1) / (pos + 2), 1 / (neg + 2))
    prior = t.mean(0)
    a, b = np.zeros(s.shape[1]), logit(prior)
    pull = 0.1
    for _ in range(steps):
        p = expit(a * s + b)
        w = np.maximum(p * (1 - p), 1e-9)
        ga, gb = ((p - t) * s).sum(0) + pull * a, (p - t).sum(0)
        haa, hab, hbb = (w * s * s).sum(0) + pull, (w * s).sum(0), w.sum(0) + 1e-9
        det = np.maximum(haa * hbb - hab * hab, 1e-12)
        da, db = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
        size = np.maximum(1, np.maximum(np.abs(da), np.abs(db)) / 2)  # a damped step cannot run away
        a, b = a - da / size, b - db / size
        if max(np.abs(da).max(initial=0), np.abs(db).max(initial=0)) < 1e-7:
            break
    flat = a < 0
    return np.where(flat, 0.0, a), np.where(flat, logit(prior), b)


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
