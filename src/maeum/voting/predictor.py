"""The model that votes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from maeum import folder as model_folder
from maeum._files import pretty_json, read_json, write_text
from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.errors import TaskMismatch, UsageError
from maeum.models.base import Proba, check_inputs
from maeum.models.ensemble import whole
from maeum.task import Task
from maeum.voting.rules import Pool, Vote, hard_vote, simplex, soft_vote


class VotePredictor:
    """Several models that vote; itself a predictor, which gets raw texts and hands them on (recipe ``raw``).

    Args:
        task: of all members.
        members: whole models: each prepares, calibrates and, for ``hard``, decides for itself.
        vote: ``soft`` or ``hard``; the package says what each does.
        weights: one per member, zero or more; brought to sum 1. None: equal. A soft member of weight 0 is not run.
        pool: how a soft vote joins probabilities, see ``rules.soft_vote``.

    Raises:
        UsageError: no members, or weights that do not fit them.
        TaskMismatch: a member has another task.
    """

    kind = "vote"

    def __init__(
        self,
        task: Task,
        members: Sequence[Analyzer],
        *,
        vote: Vote = "soft",
        weights: Sequence[float] | None = None,
        pool: Pool = "mean",
    ) -> None:
        if vote not in ("soft", "hard"):
            raise UsageError(f"투표 방식은 soft 또는 hard입니다: {vote}", f"a vote is soft or hard, got {vote}")
        for member in members:
            check_task(task, member.task)
        self.task = task
        self.members = tuple(members)
        self.vote: Vote = vote
        self.weights = simplex(weights, len(members))
        self.pool: Pool = pool

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Scores (n, k) of the vote for raw inputs: probabilities if soft, shares of votes if hard."""
        check_inputs(inputs)
        nothing = np.zeros((len(inputs), len(self.task)), np.float32)
        return self.scores(
            [
                member.predict_proba(inputs) if weight else nothing
                for member, weight in zip(self.members, self.weights, strict=True)
            ]
        )

    def scores(self, probas: Sequence[Proba]) -> Proba:
        """The vote (n, k) from the members' calibrated probabilities, each (n, k)."""
        if self.vote == "soft":
            return soft_vote(probas, self.weights, self.pool, multiclass=self.task.kind == "multiclass")
        ballots = [member.decide(p) for member, p in zip(self.members, probas, strict=True)]
        return hard_vote(probas, ballots, [member.thresholds for member in self.members], self.weights)

    def save(self, folder: Path) -> None:
        """``config.json``, and ``members/0 …``, each a sealed model folder."""
        for number, member in enumerate(self.members):
            place = folder / "members" / str(number)
            place.mkdir(parents=True)
            model_folder.write_analyzer(member.with_predictor(whole(member.predictor)), place)
            model_folder.seal(place, member.predictor.kind, member.task)
        config = {"vote": self.vote, "pool": self.pool, "weights": self.weights, "members": len(self.members)}
        write_text(folder / "config.json", pretty_json(config))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote; every member is verified like any model folder."""
        config = read_json(folder / "config.json")
        members = [model_folder.load(folder / "members" / str(number)) for number in range(config["members"])]
        return cls(task, members, vote=config["vote"], weights=config["weights"], pool=config.get("pool", "mean"))


def check_task(task: Task, other: Task) -> None:
    """Whether models of two tasks can vote together.

    Raises:
        TaskMismatch: they cannot.
    """
    if task.kind == "aspect":
        raise TaskMismatch(
            "리뷰 모델의 예측 파일끼리는 투표할 수 없습니다. 모델 폴더끼리는 단계마다 투표합니다: 'maeum ensemble 폴더 폴더 -o DIR'",
            "predictions of review models cannot vote; their folders can, stage by stage: 'maeum ensemble DIR DIR -o OUT'",
        )
    if other.fingerprint != task.fingerprint:
        raise TaskMismatch(
            f"함께 투표하려면 과제가 같아야 합니다: '{task.name}'({len(task)}개 라벨)과 '{other.name}'({len(other)}개 라벨)",
            f"models that vote must have the same task: '{task.name}' ({len(task)} labels) and "
            f"'{other.name}' ({len(other)} labels)",
        )
