"""Ensembles: models of any kind, or predictions files, that answer together.

Members are whole model folders: each prepares texts its own way and calibrates its own probabilities. All have the
same task. An ensemble is a model folder again, so that it can be evaluated, served, or be a member of another one.

``soft``
    The weighted mean of the members' calibrated probabilities; then calibration and thresholds of the ensemble's own.
    The weights, one per member, minimise the log loss of that mean on rows no member was trained on. Log loss and not
    F1: F1 is a step function of the weights and of the thresholds at once, so that its best point on some hundred rows
    is mostly luck, while log loss is convex in the weights (the mean is linear in them), uses every cell, and leaves
    F1 to the thresholds, which are tuned for it afterwards.
``hard``
    Every member decides by its own thresholds. ``score = (m · votes + margin) / (m + 1)`` for m members, where
    ``votes`` is the (weighted) share of members that gave the label and ``margin`` the mean over members of how far
    inside or outside its threshold each was: 0 at probability 0, one half at the threshold, 1 at probability 1.
    A label is given from one half on. With equal weights that is the majority, and a tie goes to the side that is
    surer, measured from each member's threshold and not from 0.5, which a label with a low threshold would never reach.
    Multiclass: most votes, ties by the mean probability; ``margin`` is then the probability itself.
"""

from maeum.voting.building import EnsembleResult, ensemble, save_ensemble
from maeum.voting.files import VotedPredictions, vote_predictions
from maeum.voting.members import Member, common_rows, open_members
from maeum.voting.predictor import VotePredictor
from maeum.voting.rules import Vote, fit_weights, hard_vote, log_loss, simplex, soft_vote
from maeum.voting.weighing import MIN_ROWS, MemberScore, Standing, Weights

__all__ = [
    "MIN_ROWS",
    "EnsembleResult",
    "Member",
    "MemberScore",
    "Standing",
    "Vote",
    "VotePredictor",
    "VotedPredictions",
    "Weights",
    "common_rows",
    "ensemble",
    "fit_weights",
    "hard_vote",
    "log_loss",
    "open_members",
    "save_ensemble",
    "simplex",
    "soft_vote",
    "vote_predictions",
]
