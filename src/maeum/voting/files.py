"""Predictions files to one: the same votes on what models said, without the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.data import Dataset, Example, Input
from maeum.experiment import TrainSettings
from maeum.formats import PredictionRow, Predictions, align, read_predictions
from maeum.models.base import Labels, Proba
from maeum.task import Task
from maeum.thresholds import Thresholds, tune_thresholds
from maeum.voting.predictor import check_task
from maeum.voting.rules import Pool, Vote, hard_vote, soft_vote
from maeum.voting.weighing import (
    Empty,
    Standing,
    Table,
    check_options,
    fixed_rule,
    labelled,
    member_scores,
    metrics,
    votes_rule,
    weigh,
    words,
)


@dataclass(frozen=True)
class VotedPredictions(Standing):
    """Predictions files as one."""

    task: Task
    rows: tuple[PredictionRow, ...]
    """In the order of the first file that has texts."""
    thresholds: Thresholds
    """What the labels were decided by."""


def vote_predictions(
    paths: Sequence[str | Path],
    task: Task,
    *,
    vote: Vote = "soft",
    data: Dataset | None = None,
    weights: Sequence[float] | None = None,
    equal: bool = False,
    pool: Pool | Literal["auto"] = "auto",
    objective: str | None = None,
    empty: Empty = "auto",
) -> VotedPredictions:
    """Combine predictions files (ours, or seed 000's ``*_predict.json``) row by row.

    Scores are combined as they stand: a file does not say whether they are calibrated. A hard vote takes the labels in
    the file where it has them, and decides by the default rule where it has none.

    Args:
        paths: the files; rows are matched by id, by text and target, or by order, as ``align`` does.
        task: whose labels they score.
        data: labelled rows of these files, all or some, to fit weights and thresholds on. Without them weights are
            equal and the default rule decides.
        vote, weights, equal, pool, objective, empty: as in ``ensemble``.

    Raises:
        UsageError, DataError, TaskMismatch: contradicting options, files that do not belong together, other labels.
    """
    check_options(len(paths), vote, weights, equal=equal, objective=objective, pool=pool)
    check_task(task, task)
    files = [read_predictions(path, task) for path in paths]
    ballots = [_ballots(file) for file in files]
    rows, names = _as_rows(files), [str(path) for path in paths]
    places = [align(file, rows).rows for file in files]
    notes: list[str] = []
    table = None if data is None else _gold_table(files, ballots, labelled(data, task), notes)
    why = say(
        "라벨이 달린 행이 없습니다. --data로 주면 맞출 수 있습니다.",
        "there are no labelled rows; --data would give them",
    )
    chosen = weigh(task, vote, len(files), table, why, given=weights, equal=equal, pool=pool)
    notes.extend(chosen.idle(names))

    def combined(probas: Sequence[NDArray[Any]], decided: Sequence[Labels]) -> Proba:
        if vote == "soft":
            return soft_vote(probas, chosen.values, chosen.pool, multiclass=task.kind == "multiclass")
        return hard_vote(probas, decided, [Thresholds.default(task)] * len(files), chosen.values)

    own: dict[str, float] = {}
    thresholds = votes_rule(task, empty) if vote == "hard" else fixed_rule(task, empty)
    if table is not None:
        found = combined(table.probas, table.ballots)
        if vote == "soft":
            goal = TrainSettings(objective=objective).objective_for(task)
            thresholds = tune_thresholds(
                table.y, found, task, objective=goal, empty=empty, tuned_on=table.tuned_on, resamples=100
            )
        own = metrics(task, table.y, found, thresholds.decide(found))
    elif vote == "soft" and not thresholds.is_argmax:
        notes.append(
            say(
                "라벨은 기본 기준값(0.5)으로 정했습니다. 'maeum thresholds'나 --data로 맞추세요.",
                "labels were decided at the default threshold (0.5); tune it with 'maeum thresholds' or --data",
            )
        )
    scores = combined(
        [file.scores[place] for file, place in zip(files, places, strict=True)],
        [on[place] for on, place in zip(ballots, places, strict=True)],
    )
    voted = tuple(
        PredictionRow(e.id, e.text, e.target, task.decode(on), dict(zip(task.keys, row.tolist(), strict=True)))
        for e, row, on in zip(rows, scores, thresholds.decide(scores), strict=True)
    )
    members = member_scores(task, table, chosen, names, ["predictions"] * len(files))
    return VotedPredictions(chosen, members, own, table.words if table else "", tuple(notes), task, voted, thresholds)


def _ballots(file: Predictions) -> Labels:
    """The decisions of a file: its own labels where every row has them, else the default rule."""
    rule = Thresholds.default(file.task)
    # a multiclass file may leave rows unlabelled, and then its scores still name one class
    if file.labels is None or rule.is_argmax:
        return rule.decide(file.scores)
    return np.stack([file.task.encode(labels) for labels in file.labels])


def _gold_table(files: Sequence[Predictions], ballots: Sequence[Labels], gold: Dataset, notes: list[str]) -> Table:
    found = [align(file, gold) for file in files]
    rules = ", ".join(dict.fromkeys(match.rule for match in found))
    notes.append(say(f"예측과 데이터를 {rules} 기준으로 맞췄습니다.", f"predictions were matched to rows by {rules}"))
    probas = tuple(file.scores[match.rows] for file, match in zip(files, found, strict=True))
    decided = tuple(on[match.rows] for on, match in zip(ballots, found, strict=True))
    return Table(tuple(gold.ids), gold.y, probas, decided, np.zeros(len(gold), np.int64), *words(gold))


def _as_rows(files: Sequence[Predictions]) -> Dataset:
    """The rows of the file that says most about them, which the others are matched to."""
    base = max(files, key=_says)
    rows = []
    for number, row in enumerate(base.order, 1):
        item = base.inputs[row] if base.inputs else Input("")
        row_id = base.ids[row] if base.ids else f"row-{number:06d}"
        rows.append(Example(row_id, item.text, item.target))
    return Dataset(base.task, rows, source=base.source)


def _says(file: Predictions) -> tuple[bool, bool, bool]:
    inputs = file.inputs or ()
    return file.inputs is not None, any(item.target is not None for item in inputs), file.ids is not None
