"""How much the members of an ensemble disagree about a text.

Soft members: the Jensen–Shannon divergence of their probabilities (Lin 1991; McCallum & Nigam 1998 for sampling). A hard
vote: the entropy of the votes (Dagan & Engelson 1995). Both in bits per label, 0 where all agree. The members run once:
the ensemble's own answer is made from what they said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer, as_inputs
from maeum.data import Example, Input
from maeum.models.base import Proba

Floats = NDArray[np.float64]


def has_committee(analyzer: Analyzer) -> bool:
    """Whether several members stand behind a model's answers."""
    predictor: Any = analyzer.predictor
    if predictor.kind == "review":
        return has_committee(predictor.aspects)
    return predictor.kind in ("mean", "vote") and len(predictor.members) > 1


def ask(analyzer: Analyzer, items: Sequence[Input | Example]) -> tuple[Proba, Floats | None]:
    """The model's probabilities (n, k), as ``predict_proba`` gives them, and (n, k) how its members disagree (or None)."""
    if not has_committee(analyzer):
        return analyzer.predict_proba(items), None
    inputs = [analyzer.prep.prepare_input(item) for item in as_inputs(items)]
    predictor: Any = analyzer.predictor
    if predictor.kind == "review":
        joint, apart = ask(predictor.aspects, inputs)
    elif predictor.kind == "vote":
        said = [member.predict_proba(inputs) for member in predictor.members]
        joint = predictor.scores(said)
        if predictor.vote == "hard":
            votes = np.stack([member.decide(p) for member, p in zip(predictor.members, said, strict=True)])
            apart = vote_entropy(votes)
        else:
            apart = divergence(np.stack(said), exclusive=analyzer.task.kind == "multiclass")
    else:
        said = [member.predict_proba(inputs) for member in predictor.members]
        joint = np.asarray(np.stack(said).mean(0, dtype=np.float64), np.float32)
        apart = divergence(np.stack(said), exclusive=analyzer.task.kind == "multiclass")
    return analyzer.calibration.apply(joint), apart


def divergence(proba: NDArray[Any], *, exclusive: bool) -> Floats:
    """Jensen–Shannon divergence (n, k) in bits of members' probabilities (m, n, k).

    Args:
        exclusive: the labels of a row are one distribution; its divergence is split into the share of each label
            (they add up to it and may be slightly below 0). Otherwise each label is a distribution of its own: it is given or not.
    """
    p = np.clip(np.asarray(proba, np.float64), 1e-12, 1 - 1e-12)
    mean = p.mean(0)
    apart = _plogp(p).mean(0) - _plogp(mean)
    if not exclusive:
        apart = apart + _plogp(1 - p).mean(0) - _plogp(1 - mean)
    return np.asarray(apart)


def vote_entropy(votes: NDArray[Any]) -> Floats:
    """Entropy (n, k) in bits of zeros and ones (m, n, k)."""
    share = np.clip(np.asarray(votes, np.float64).mean(0), 1e-12, 1 - 1e-12)
    return np.asarray(np.abs(_plogp(share) + _plogp(1 - share)).round(9))


def _plogp(p: Floats) -> Floats:
    return np.asarray(p * np.log2(p))
