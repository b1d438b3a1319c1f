"""Review analysis: which aspects a review speaks of, and a sentiment grade for each.

::

    stages      an aspect task as two ordinary ones, and its rows as theirs; the joint task, for comparison
    predictor   two analyzers as one model: aspects first, then the grade of those found
    scoring     how good each stage is, and both together
    card        what a review model is, in words for its card and for ``info``
    training    a run for each stage, one model folder
    voting      several review models as one, each stage a vote
"""

from __future__ import annotations

from maeum.reviews.predictor import ReviewPredictor
from maeum.reviews.scoring import ReviewScores, score_reviews, with_predicted_scores, with_review_scores
from maeum.reviews.stages import aspect_rows, aspect_task, joint_rows, joint_task, sentiment_rows, sentiment_task
from maeum.reviews.training import train
from maeum.reviews.voting import ReviewVote, ensemble, is_review_folder, open_reviews, save_ensemble

__all__ = [
    "ReviewPredictor",
    "ReviewScores",
    "ReviewVote",
    "aspect_rows",
    "aspect_task",
    "ensemble",
    "is_review_folder",
    "joint_rows",
    "joint_task",
    "open_reviews",
    "save_ensemble",
    "score_reviews",
    "sentiment_rows",
    "sentiment_task",
    "train",
    "with_predicted_scores",
    "with_review_scores",
]
