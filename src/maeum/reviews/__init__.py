"""Review analysis: which aspects a review speaks of, and a sentiment grade for each.

::

    stages      an aspect task as two ordinary ones, and its rows as theirs; the joint task, for comparison
    predictor   two analyzers as one model: aspects first, then the grade of those found
    scoring     how good each stage is, and both together
    training    a run for each stage, one model folder
"""

from __future__ import annotations

from maeum.reviews.predictor import ReviewPredictor
from maeum.reviews.scoring import ReviewScores, score_reviews, with_review_scores
from maeum.reviews.stages import aspect_rows, aspect_task, joint_rows, joint_task, sentiment_rows, sentiment_task
from maeum.reviews.training import train

__all__ = [
    "ReviewPredictor",
    "ReviewScores",
    "aspect_rows",
    "aspect_task",
    "joint_rows",
    "joint_task",
    "score_reviews",
    "sentiment_rows",
    "sentiment_task",
    "train",
    "with_review_scores",
]
