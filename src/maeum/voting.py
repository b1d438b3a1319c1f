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

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from maeum import folder as model_folder
from maeum._files import atomic_folder, pretty_json, read_json, write_text
from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.calibration import Calibration
from maeum.crossval import OutOfFold
from maeum.data import Dataset, Example, Input
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.experiment import TrainSettings, library_versions, model_card, tune
from maeum.formats import PredictionRow, Predictions, align, read_predictions
from maeum.metrics import decision_metrics
from maeum.models.base import Labels, Predictor, Proba, check_inputs
from maeum.models.ensemble import MeanPredictor
from maeum.report import Report, make_report
from maeum.splits import duplicate_groups, fold_numbers
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds, tune_thresholds

Vote = Literal["soft", "hard"]
Empty = Literal["none", "argmax", "auto"]
Floats = NDArray[np.float64]

MIN_ROWS = 50
"""Fewer labelled rows than this fit no weights."""
PULL = 5.0
"""Pull of the weights towards equal ones, in nats for all rows together: it decides only where the rows do not."""
_FLOOR = 1e-6
"""Least likelihood a member can give a cell, so that one overconfident cell does not cost a member its weight."""
_DROP = 1e-3
"""Weights below this are 0: such a member changes nothing and need not be run."""
_FOLDS = 5
_SAME_ROWS = 0.95
"""Ids like row-000001 occur in every file: they mean the same rows where at least this share of the labels agree."""
_BELOW_HALF = float(np.nextafter(0.5, 0.0))


# -- the rules: arrays in, scores out -----------------------------------------------------------------------


def soft_vote(probas: Sequence[NDArray[Any]], weights: Sequence[float]) -> Proba:
    """Weighted mean (n, k) of the members' probabilities, each (n, k); ``weights`` sum to 1."""
    return np.clip(_weighted(probas, weights), 0.0, 1.0).astype(np.float32)


def hard_vote(
    probas: Sequence[NDArray[Any]],
    ballots: Sequence[NDArray[Any]],
    rules: Sequence[Thresholds],
    weights: Sequence[float],
) -> Proba:
    """Scores (n, k) in [0, 1] that are at least one half where the vote is won; multiclass rows sum to 1.

    Args:
        probas: each member's probabilities (n, k).
        ballots: each member's decisions (n, k), zeros and ones.
        rules: what they were decided by; gives the margins.
        weights: one per member, sum 1. Unequal ones count votes and margins alike, and a vote that is lost or won by
            less than the margins' own weight, 1 / (m + 1), may be turned by them.
    """
    m = len(probas)
    margins = [_margin(p, ballot, rule) for p, ballot, rule in zip(probas, ballots, rules, strict=True)]
    return ((m * _weighted(ballots, weights) + _weighted(margins, weights)) / (m + 1)).clip(0, 1).astype(np.float32)


def fit_weights(y: Labels, probas: Sequence[NDArray[Any]], task: Task) -> tuple[float, ...]:
    """Weights on the simplex that minimise the log loss of the weighted mean.

    The loss is summed over labels (multiclass: over the right class alone) and averaged over rows; a small quadratic
    pull towards equal weights (``PULL``) makes the minimum unique and fades as rows grow. Solved by SLSQP (Kraft 1988).

    Args:
        y: (n, k) labels.
        probas: each member's probabilities (n, k), for rows it was not trained on.

    Returns:
        One weight per member, sum 1; those below 0.001 are 0.
    """
    from scipy.optimize import minimize

    m, rows = len(probas), len(y)
    right = np.stack([_likelihoods(y, p, task) for p in probas], axis=1)

    def loss(weights: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(right @ weights, _FLOOR**2)
        off = weights - 1 / m
        value = -np.log(mixed).sum() + PULL * m / 2 * (off @ off)
        slope = -(right.T @ (1 / mixed)) + PULL * m * off
        return float(value / rows), np.asarray(slope / rows)

    found = minimize(
        loss,
        np.full(m, 1 / m),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = np.clip(found.x, 0.0, 1.0)
    weights[weights < _DROP] = 0.0
    return tuple(float(weight) for weight in weights / weights.sum())


def log_loss(y: Labels, proba: NDArray[Any], task: Task) -> float:
    """Mean negative log likelihood of a cell (multiclass: of a row) in nats, with probabilities cut at 1e-6."""
    return float(-np.log(_likelihoods(y, proba, task)).mean())


def _weighted(arrays: Sequence[NDArray[Any]], weights: Sequence[float]) -> Floats:
    total = np.zeros(arrays[0].shape, np.float64)
    for array, weight in zip(arrays, weights, strict=True):
        if weight:
            total += weight * array
    return total


def _margin(proba: NDArray[Any], ballot: NDArray[Any], rule: Thresholds) -> Floats:
    """0 … ½ outside the threshold, ½ … 1 inside; where a ballot differs from the threshold, the ballot holds."""
    p = np.asarray(proba, np.float64)
    if rule.is_argmax:
        return p
    cut = np.asarray(rule.values, np.float32).astype(np.float64)
    tiny = 1e-12
    outside, inside = p / np.maximum(cut, tiny), (p - cut) / np.maximum(1 - cut, tiny)
    margin = np.where(p >= cut, (1 + inside) / 2, outside / 2)
    return np.where(np.asarray(ballot) > 0, np.clip(margin, 0.5, 1.0), np.clip(margin, 0.0, _BELOW_HALF))


def _likelihoods(y: Labels, proba: NDArray[Any], task: Task) -> Floats:
    """The probability given to what is true, per cell (multiclass: per row), flat."""
    p = np.asarray(proba, np.float64)
    right = p[np.arange(len(p)), y.argmax(1)] if task.kind == "multiclass" else np.where(y > 0, p, 1 - p).ravel()
    return np.clip(right, _FLOOR, 1.0)


# -- the predictor ------------------------------------------------------------------------------------------


class VotePredictor:
    """Several models that vote; itself a predictor, which gets raw texts and hands them on (recipe ``raw``).

    Args:
        task: of all members.
        members: whole models: each prepares, calibrates and, for ``hard``, decides for itself.
        vote: ``soft`` or ``hard``; the module says what each does.
        weights: one per member, zero or more; brought to sum 1. None: equal. A soft member of weight 0 is not run.

    Raises:
        UsageError: no members, or weights that do not fit them.
        TaskMismatch: a member has another task.
    """

    kind = "vote"

    def __init__(
        self, task: Task, members: Sequence[Analyzer], *, vote: Vote = "soft", weights: Sequence[float] | None = None
    ) -> None:
        if vote not in ("soft", "hard"):
            raise UsageError(f"투표 방식은 soft 또는 hard입니다: {vote}", f"a vote is soft or hard, got {vote}")
        for member in members:
            _same_task(task, member.task)
        self.task = task
        self.members = tuple(members)
        self.vote: Vote = vote
        self.weights = simplex(weights, len(members)) if weights is not None else equal_weights(len(members))

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
            return soft_vote(probas, self.weights)
        ballots = [member.decide(p) for member, p in zip(self.members, probas, strict=True)]
        return hard_vote(probas, ballots, [member.thresholds for member in self.members], self.weights)

    def save(self, folder: Path) -> None:
        """``config.json``, and ``members/0 …``, each a sealed model folder."""
        for number, member in enumerate(self.members):
            place = folder / "members" / str(number)
            place.mkdir(parents=True)
            model_folder.write_analyzer(_whole(member), place)
            model_folder.seal(place, member.predictor.kind, member.task)
        config = {"vote": self.vote, "weights": self.weights, "members": len(self.members)}
        write_text(folder / "config.json", pretty_json(config))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote; every member is verified like any model folder."""
        config = read_json(folder / "config.json")
        members = [model_folder.load(folder / "members" / str(number)) for number in range(config["members"])]
        return cls(task, members, vote=config["vote"], weights=config["weights"])


def equal_weights(count: int) -> tuple[float, ...]:
    """The same weight for every member.

    Raises:
        UsageError: there are no members.
    """
    if not count:
        raise UsageError("투표할 모델이 없습니다.", "there are no models to vote")
    return (1 / count,) * count


def simplex(weights: Sequence[float], count: int) -> tuple[float, ...]:
    """Weights brought to sum 1.

    Raises:
        UsageError: not one finite number per member, one below 0, or all 0.
    """
    values = [float(weight) for weight in weights]
    if len(values) != count:
        raise UsageError(
            f"가중치는 모델마다 하나씩 {count}개여야 하는데 {len(values)}개입니다.",
            f"there must be one weight for each of {count} models, got {len(values)}",
        )
    total = sum(values)
    if not all(np.isfinite(values)) or total <= 0 or min(values) < 0:
        shown = ", ".join(f"{value:g}" for value in values)
        raise UsageError(
            f"가중치는 0 이상이고 적어도 하나는 0보다 커야 합니다: {shown}",
            f"weights are 0 or more and not all 0, got {shown}",
        )
    # weights that were already brought to sum 1 come back bit for bit, so a loaded ensemble is the saved one
    return tuple(values) if abs(total - 1) < 1e-12 else tuple(value / total for value in values)


def _whole(member: Analyzer) -> Analyzer:
    """The member in a form that can be written anywhere: the mean of a run's folds leans on the run's ``folds/``."""
    model = member.predictor
    if not isinstance(model, MeanPredictor) or not model.in_folds:
        return member
    return _with_predictor(member, MeanPredictor(model.task, model.members))


def _with_predictor(analyzer: Analyzer, predictor: Predictor) -> Analyzer:
    return Analyzer(
        predictor,
        prep=analyzer.prep,
        thresholds=analyzer.thresholds,
        calibration=analyzer.calibration,
        about=analyzer.about,
    )


def _same_task(task: Task, other: Task) -> None:
    if other.fingerprint != task.fingerprint:
        raise TaskMismatch(
            f"함께 투표하려면 과제가 같아야 합니다: '{task.name}'({len(task)}개 라벨)과 '{other.name}'({len(other)}개 라벨)",
            f"models that vote must have the same task: '{task.name}' ({len(task)} labels) and "
            f"'{other.name}' ({len(other)} labels)",
        )


# -- members and the rows they are measured on --------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A model folder as a member."""

    name: str
    """The path as it was given."""
    analyzer: Analyzer
    oof: OutOfFold | None = None
    """Its out-of-fold table, if the folder has one."""


@dataclass(frozen=True)
class Weights:
    """The members' weights and where they come from."""

    values: tuple[float, ...]
    """One per member, sum 1."""
    how: Literal["fitted", "given", "equal"]
    why: str
    """In words."""

    def sentence(self) -> str:
        """How the weights came about."""
        head = {"fitted": ("맞춤", "fitted"), "given": ("직접 정함", "set by hand"), "equal": ("같음", "equal")}
        return say("가중치: ", "weights: ") + say(*head[self.how]) + (f", {self.why}" if self.why else "")


@dataclass(frozen=True)
class MemberScore:
    """What a member is worth on the rows."""

    name: str
    kind: str
    weight: float
    metrics: Mapping[str, float]
    """``decision_metrics`` and ``log_loss``; empty without rows."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "kind": self.kind, "weight": self.weight, "metrics": dict(self.metrics)}


@dataclass(frozen=True)
class EnsembleResult:
    """A voting model and how it did beside its members."""

    analyzer: Analyzer
    weights: Weights
    members: tuple[MemberScore, ...]
    score: Mapping[str, float]
    """The ensemble's own metrics on the same rows; empty without rows."""
    rows: str
    """The rows, in words; empty if there were none."""
    notes: tuple[str, ...]
    report: Report | None = None
    oof: OutOfFold | None = None
    """The ensemble's scores before its own calibration, for the rows it was measured on."""


def open_members(paths: Iterable[str | Path]) -> list[Member]:
    """Model folders as members, with their out-of-fold tables.

    Raises:
        UsageError, FormatError: a folder is not there, damaged, or a predictions file among folders.
        TaskMismatch: they have different tasks.
    """
    members: list[Member] = []
    for path in paths:
        if Path(path).is_file():
            raise UsageError(
                f"'{path}'은(는) 모델 폴더가 아닙니다. 모델 폴더와 예측 파일은 섞을 수 없습니다. "
                "먼저 'maeum predict'로 폴더의 예측 파일을 만들어 예측 파일끼리 합치세요.",
                f"'{path}' is not a model folder, and folders do not mix with predictions files; "
                "run 'maeum predict' first and combine predictions files",
            )
        analyzer = model_folder.load(path)
        if members:
            _same_task(members[0].analyzer.task, analyzer.task)
        members.append(Member(str(path), analyzer, out_of_fold(Path(path), analyzer.task)))
    return members


def out_of_fold(path: Path, task: Task) -> OutOfFold | None:
    """The out-of-fold table of a model folder, or None.

    ``RUN/folds/i`` has the rows of its run's table that fold i held out: those are its own predictions.
    """
    if (path / "oof.safetensors").is_file():
        return OutOfFold.load(path, task)
    place = path.absolute()
    run = place.parent.parent
    if place.parent.name == "folds" and place.name.isdigit() and (run / "oof.safetensors").is_file():
        model_folder.check(run)
        table = OutOfFold.load(run, task)
        return _rows_of(table, np.flatnonzero(table.fold == int(place.name)))
    return None


def common_rows(tables: Sequence[OutOfFold], names: Sequence[str]) -> list[OutOfFold]:
    """The tables cut to the rows that are in all of them, in the same order (that of the sorted ids).

    Raises:
        DataError: two tables give a row different labels, so that its id means different rows.
    """
    shared = set(tables[0].ids).intersection(*(table.ids for table in tables[1:]))
    ids = sorted(shared)  # an order that no member's place in the list can change
    cut = []
    for table in tables:
        place = {row_id: row for row, row_id in enumerate(table.ids)}
        cut.append(_rows_of(table, np.array([place[row_id] for row_id in ids], np.int64)))
    for table, name in zip(cut[1:], names[1:], strict=True):
        differ = np.flatnonzero((table.y != cut[0].y).any(1))
        if len(differ):
            row = int(differ[0])
            first, other = (", ".join(t.task.decode(t.y[row])) or "–" for t in (cut[0], table))
            raise DataError(
                f"id '{ids[row]}'의 라벨이 '{names[0]}'에서는 {first}, '{name}'에서는 {other}입니다({len(differ)}행이 다름). "
                "서로 다른 데이터로 학습했다면 --data로 라벨이 달린 파일을 주세요.",
                f"row '{ids[row]}' has the labels {first} in '{names[0]}' and {other} in '{name}' "
                f"({len(differ)} such rows); if they were trained on different data, give labelled rows with --data",
            )
    return cut


def _rows_of(table: OutOfFold, rows: NDArray[np.int64]) -> OutOfFold:
    ids = tuple(table.ids[row] for row in rows)
    return OutOfFold(table.task, ids, table.y[rows], table.proba[rows], table.fold[rows])


def _joint_folds(folds: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Fold numbers 0 … that keep together what every member's folds kept together (duplicates of a text)."""
    _, first, group = np.unique(np.stack(folds, axis=1), axis=0, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))  # numbered by first row, whatever the members' order
    joint = rank[group.reshape(-1)]
    if len(first) == 1:
        return np.arange(len(joint)) % _FOLDS
    return joint if len(first) <= 2 * _FOLDS else joint % _FOLDS


@dataclass(frozen=True)
class _Table:
    """Labelled rows with every member's calibrated probabilities."""

    ids: tuple[str, ...]
    y: Labels
    probas: tuple[Proba, ...]
    fold: NDArray[np.int64]
    words: str
    """Which rows, for people."""
    tuned_on: str
    """Which rows, for the record in ``thresholds.json``."""


def _oof_table(members: Sequence[Member]) -> tuple[_Table | None, str]:
    """The rows all members have out-of-fold probabilities for, or the reason why there are too few."""
    without = [member.name for member in members if member.oof is None]
    if without:
        return None, say(
            f"교차 검증 확률이 없는 모델이 있습니다({', '.join(without)}). --data로 라벨이 달린 파일을 주면 맞출 수 있습니다.",
            f"no out-of-fold probabilities in {', '.join(without)}; labelled rows given with --data would do",
        )
    tables = common_rows([m.oof for m in members if m.oof is not None], [m.name for m in members])
    rows = len(tables[0].ids)
    if rows < MIN_ROWS:
        return None, say(
            f"멤버들의 교차 검증 행 가운데 겹치는 것이 {rows}개뿐입니다({MIN_ROWS}개 필요). --data로 라벨이 달린 파일을 주면 맞출 수 있습니다.",
            f"the members' out-of-fold tables share only {rows} rows ({MIN_ROWS} are needed); "
            "labelled rows given with --data would do",
        )
    table = _Table(
        tables[0].ids,
        tables[0].y,
        tuple(m.analyzer.calibration.apply(t.proba) for m, t in zip(members, tables, strict=True)),
        _joint_folds([t.fold for t in tables]),
        say(
            f"모든 멤버의 교차 검증 확률이 있는 {rows}행", f"{rows} rows with out-of-fold probabilities of all members"
        ),
        f"out-of-fold probabilities of {rows} rows all members have",
    )
    return table, ""


def _unseen(members: Sequence[Member], data: Dataset, notes: list[str]) -> Dataset:
    """The rows that no member was trained on, as far as can be told."""
    _same_labels(members[0].analyzer.task, data.task)
    for member in members:
        seen = _seen(member, data)
        if not seen.any():
            continue
        if seen.all():
            raise UsageError(
                f"'{member.name}'은(는) 바로 이 행들로 학습했으므로 여기서 가중치나 기준값을 찾을 수 없습니다. "
                "--data를 빼면 교차 검증 확률을 씁니다. 아니면 처음 보는 행을 주세요.",
                f"'{member.name}' was trained on these very rows, so they cannot tell its weight; leave --data out to use "
                "the out-of-fold probabilities, or give rows it has not seen",
            )
        count = int(seen.sum())
        notes.append(
            say(
                f"--data의 {count}행은 '{member.name}'이(가) 학습한 행이라 뺐습니다.",
                f"{count} rows of --data were left out: '{member.name}' was trained on them",
            )
        )
        data = data.select(np.flatnonzero(~seen))
    return data


def _data_table(members: Sequence[Member], data: Dataset) -> _Table:
    probas = tuple(member.analyzer.predict_proba(data) for member in members)
    return _Table(tuple(data.ids), data.y, probas, _data_folds(data), *_words(data))


def _words(rows: Dataset) -> tuple[str, str]:
    """Labelled rows for people, and for the record: with the fingerprint by which ``evaluate`` knows them again."""
    name, count = rows.source or "rows", len(rows)
    people = f"{name} ({say(f'{count}행', f'{count} rows')})"
    return people, f"{name}: {count} rows, fingerprint {rows.fingerprint}"


def _same_labels(task: Task, other: Task) -> None:
    if other.keys != task.keys:
        raise TaskMismatch(
            f"--data의 과제 '{other.name}'은(는) 모델의 과제 '{task.name}'과(와) 라벨이 다릅니다.",
            f"the rows of --data have the labels of task '{other.name}', the models those of '{task.name}'",
        )


def _labelled(data: Dataset) -> Dataset:
    rows = data.labelled()
    if not len(rows):
        raise UsageError("--data에 라벨이 달린 행이 없습니다.", "no row of --data is labelled")
    return rows


def _data_folds(rows: Dataset) -> NDArray[np.int64]:
    groups = duplicate_groups(rows.texts)
    return fold_numbers(rows.y, groups, folds=max(2, min(_FOLDS, len(np.unique(groups)))), seed=42)


def _seen(member: Member, rows: Dataset) -> NDArray[np.bool_]:
    """Which rows (n,) a member was trained on, as far as its folder can tell."""
    about = member.analyzer.about
    if (about.get("train") or {}).get("fingerprint") == rows.fingerprint:
        return np.ones(len(rows), bool)
    none = np.zeros(len(rows), bool)
    if member.oof is None or "fold" in about or member.analyzer.predictor.kind == VotePredictor.kind:
        return none  # its table, if any, is of rows it was not trained on
    place = {row_id: row for row, row_id in enumerate(member.oof.ids)}
    known = np.array([place.get(row_id, -1) for row_id in rows.ids], np.int64)
    shared = np.flatnonzero(known >= 0)
    same = (member.oof.y[known[shared]] == rows.y[shared]).all(1)
    if not len(same) or same.mean() < _SAME_ROWS:
        return none
    none[shared] = True
    return none


# -- making an ensemble -------------------------------------------------------------------------------------


def ensemble(
    members: Sequence[Member],
    *,
    vote: Vote = "soft",
    data: Dataset | None = None,
    weights: Sequence[float] | None = None,
    equal: bool = False,
    objective: str | None = None,
    empty: Empty = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> EnsembleResult:
    """A model that votes, with weights, calibration and thresholds of its own; ``save_ensemble`` writes it.

    Args:
        members: from ``open_members``.
        vote: ``soft`` or ``hard``.
        data: labelled rows to fit on and judge by, which no member was trained on. None: the rows all members have
            out-of-fold probabilities for; without such rows the weights are equal, the thresholds of a soft vote the
            mean of the members', and there is no report.
        weights: set by hand. Hard votes are not fitted: without these they count alike.
        equal: equal weights.
        objective: of the thresholds of a soft vote; None: as in training.
        empty: when no label passes. ``auto``: what is better on the rows for a soft vote, ``none`` for a hard one.

    Raises:
        UsageError: options that contradict each other, or rows that cannot be used.
        TaskMismatch: members or rows of different tasks.
        DataError: out-of-fold tables that give a row different labels.
    """
    _check_options(len(members), vote, weights, equal, objective)
    task = members[0].analyzer.task
    data = None if data is None else _labelled(data)
    notes: list[str] = []
    progress(say("멤버들의 확률 모으기", "gathering the members' probabilities"))
    if data is None:
        table, why = _oof_table(members)
    else:
        data = _unseen(members, data, notes)
        table, why = _data_table(members, data), ""
    chosen = _choose(vote, len(members), weights, equal, table, why, task, fixed_rows=data is not None)
    if table is None:
        notes.append(_unmeasured(vote, "" if why in chosen.why else why))
    notes.extend(_idle(chosen, [member.name for member in members]))
    predictor = VotePredictor(task, [member.analyzer for member in members], vote=vote, weights=chosen.values)
    progress(say("보정과 기준값", "calibration and thresholds"))
    oof = None if table is None else OutOfFold(task, table.ids, table.y, predictor.scores(table.probas), table.fold)
    settings = TrainSettings(model="vote", objective=objective, empty=empty)
    calibration, thresholds = _tuned(predictor, chosen, settings, oof, table)
    analyzer = Analyzer(predictor, prep=TextPrep.named("raw"), thresholds=thresholds, calibration=calibration, about={})
    scores = tuple(
        MemberScore(m.name, m.analyzer.predictor.kind, weight, _measure(task, table, place, m.analyzer.decide))
        for place, (m, weight) in enumerate(zip(members, chosen.values, strict=True))
    )
    analyzer.about.update(_about(members, predictor, chosen, scores, settings, data, notes))
    if table is None or oof is None:
        return EnsembleResult(analyzer, chosen, scores, {}, "", tuple(notes))
    proba = calibration.apply(oof.proba)
    own = _metrics(task, table.y, proba, thresholds.decide(proba))
    progress(say("평가", "evaluating"))
    report = make_report(
        task,
        table.y,
        proba,
        thresholds,
        data=table.words,
        model=f"vote ({vote}): " + ", ".join(f"{s.name} {s.weight:.3f}" for s in scores),
        train_support=_support(analyzer.about["train"], task),
        notes=[*notes, *_weights_note(chosen), *map(_member_note, scores)],
        tuned_on_same_rows=_tuned_here(vote, members, data),
        extra={"vote": vote, "members": [s.to_dict() for s in scores], "train": analyzer.about["train"]},
    )
    return EnsembleResult(analyzer, chosen, scores, own, table.words, tuple(notes), report, oof)


def save_ensemble(result: EnsembleResult, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write the model folder of an ensemble: all of it or nothing."""
    output, analyzer = Path(output), result.analyzer
    with atomic_folder(output, overwrite=overwrite) as target:
        model_folder.write_analyzer(analyzer, target)
        if result.oof is not None:
            result.oof.save(target)
        if result.report is not None:
            write_text(target / "report.json", result.report.to_json())
            write_text(target / "report.html", result.report.to_html())
        write_text(target / "README.md", _card(result))
        model_folder.seal(target, analyzer.predictor.kind, analyzer.task)
    return output


def _check_options(count: int, vote: str, weights: Sequence[float] | None, equal: bool, objective: str | None) -> None:
    if not count:
        raise UsageError("투표할 모델이 없습니다.", "there are no models to vote")
    if weights is not None and equal:
        raise UsageError("--weights와 --equal은 함께 쓸 수 없습니다.", "--weights and --equal exclude each other")
    if vote == "hard" and objective is not None:
        raise UsageError(
            "hard 투표는 멤버들의 기준값으로 정하므로 --objective가 없습니다. soft 투표에 쓰거나 빼세요.",
            "a hard vote is decided by the members' own thresholds, so it takes no --objective; use it with --vote soft",
        )


def _unmeasured(vote: Vote, why: str) -> str:
    if vote == "hard":
        return say(f"잰 점수가 없습니다. {why}".rstrip(), "nothing was measured" + (why and f": {why}"))
    return say(
        f"기준값은 멤버들 기준값의 평균이고, 잰 점수가 없습니다. {why}".rstrip(),
        "the thresholds are the mean of the members' and nothing was measured" + (why and f": {why}"),
    )


def _choose(
    vote: Vote,
    count: int,
    given: Sequence[float] | None,
    equal: bool,
    table: _Table | None,
    why: str,
    task: Task,
    *,
    fixed_rows: bool,
) -> Weights:
    if given is not None:
        return Weights(simplex(given, count), "given", "")
    if equal:
        return Weights(equal_weights(count), "equal", say("그렇게 골랐습니다", "as asked for"))
    if vote == "hard":
        why = say("hard 투표는 한 모델이 한 표입니다", "a hard vote counts every member once")
        return Weights(equal_weights(count), "equal", why)
    if table is None:
        return Weights(equal_weights(count), "equal", say(f"이유: {why}", f"because {why}"))
    if fixed_rows and len(table.y) < MIN_ROWS:
        raise UsageError(
            f"가중치를 맞추려면 라벨이 달린 행이 적어도 {MIN_ROWS}개 필요한데 {len(table.y)}개입니다. --equal이나 --weights를 쓰세요.",
            f"fitting weights needs at least {MIN_ROWS} labelled rows, got {len(table.y)}; use --equal or --weights",
        )
    words = say(f"{table.words}의 로그 손실을 가장 작게", f"least log loss on {table.words}")
    return Weights(fit_weights(table.y, table.probas, task), "fitted", words)


def _idle(chosen: Weights, names: Sequence[str]) -> list[str]:
    idle = [name for name, weight in zip(names, chosen.values, strict=True) if weight == 0]
    if not idle:
        return []
    return [
        say(
            f"가중치가 0인 모델: {', '.join(idle)}. 빼고 만들어도 답이 같고 폴더가 작아집니다.",
            f"of weight 0: {', '.join(idle)}; an ensemble without them answers the same and is smaller",
        )
    ]


def _tuned(
    predictor: VotePredictor, chosen: Weights, settings: TrainSettings, oof: OutOfFold | None, table: _Table | None
) -> tuple[Calibration, Thresholds]:
    """Calibration and thresholds of the ensemble; those of a hard vote are fixed."""
    task, rules = predictor.task, [member.thresholds for member in predictor.members]
    if predictor.vote == "hard":
        return Calibration.identity(task), _votes_rule(task, settings.empty, rules)
    if oof is None or table is None:
        return Calibration.identity(task), _mean_rule(task, rules, predictor.weights, settings.empty)
    calibration, thresholds = tune(oof, settings)
    same = "; the members' weights were fitted on the same rows" if chosen.how == "fitted" else ""
    return calibration, replace(thresholds, tuned_on=table.tuned_on + same)


def _votes_rule(task: Task, empty: Empty, rules: Sequence[Thresholds]) -> Thresholds:
    """The fixed rule of a hard vote; what the members' own thresholds were tuned on stays on record."""
    tuned = "; ".join(dict.fromkeys(rule.tuned_on for rule in rules if rule.tuned_on))
    words = "nothing: the members decide by their own thresholds" + (f", tuned on {tuned}" if tuned else "")
    rule = replace(Thresholds.default(task), objective="votes", tuned_on=words)
    return rule if rule.is_argmax else replace(rule, empty="argmax" if empty == "argmax" else "none")


def _mean_rule(task: Task, rules: Sequence[Thresholds], weights: Sequence[float], empty: Empty) -> Thresholds:
    """Without rows: the mean of the members' thresholds, and what the heavier half of them does when nothing passes."""
    words = "nothing: the mean of the members' thresholds"
    if task.kind == "multiclass":
        return replace(Thresholds.default(task), tuned_on=words)
    values = _weighted([np.asarray(rule.values, np.float64) for rule in rules], weights)
    fills = sum(weight for rule, weight in zip(rules, weights, strict=True) if rule.empty == "argmax")
    chosen: Literal["none", "argmax"] = ("argmax" if fills > 0.5 else "none") if empty == "auto" else empty
    return Thresholds(
        task.keys, tuple(float(np.float32(value)) for value in values), "mean of the members", chosen, words
    )


def _measure(
    task: Task, table: _Table | None, place: int, decide: Callable[[Proba], NDArray[np.uint8]]
) -> dict[str, float]:
    if table is None:
        return {}
    return _metrics(task, table.y, table.probas[place], decide(table.probas[place]))


def _metrics(task: Task, y: Labels, proba: Proba, decided: Labels) -> dict[str, float]:
    return {**decision_metrics(y, decided), "log_loss": log_loss(y, proba, task)}


def _tuned_here(vote: Vote, members: Sequence[Member], data: Dataset | None) -> bool:
    """Whether the thresholds in force were tuned on the rows of the report."""
    if members[0].analyzer.task.kind == "multiclass":
        return False
    if vote == "soft":
        return True
    rows = "out-of-fold" if data is None else data.fingerprint
    return any(rows in member.analyzer.thresholds.tuned_on for member in members)


def _about(
    members: Sequence[Member],
    predictor: VotePredictor,
    chosen: Weights,
    scores: Sequence[MemberScore],
    settings: TrainSettings,
    data: Dataset | None,
    notes: list[str],
) -> dict[str, Any]:
    task = predictor.task
    objective = "votes" if predictor.vote == "hard" else settings.objective_for(task)
    return {
        "settings": {"model": "vote", "vote": predictor.vote, "objective": objective, "empty": settings.empty},
        "members": [
            {**score.to_dict(), "text": member.analyzer.prep.recipe, "train": member.analyzer.about.get("train")}
            for member, score in zip(members, scores, strict=True)
        ],
        "weights": {"values": list(chosen.values), "how": chosen.how, "why": chosen.why},
        "train": _train_info(members),
        "valid": data and {"source": data.source, "rows": len(data), "fingerprint": data.fingerprint},
        "versions": library_versions(),
        "notes": notes,
    }


def _train_info(members: Sequence[Member]) -> dict[str, Any]:
    """The members' training data as one: their own record if they share it, else the sum."""
    known: dict[str, dict[str, Any]] = {}
    for member in members:
        train = member.analyzer.about.get("train") or {}
        known.setdefault(str(train.get("fingerprint") or member.name), dict(train))
    if len(known) == 1:
        return next(iter(known.values()))
    sources = dict.fromkeys(str(train.get("source") or "?") for train in known.values())
    rows = sum(int(train.get("rows") or 0) for train in known.values())
    return {"source": " + ".join(sources), "rows": rows, "fingerprint": "", "support": None}


def _support(train: Mapping[str, Any], task: Task) -> list[int] | None:
    support = train.get("support")
    return [int(support.get(key, 0)) for key in task.keys] if support else None


def _weights_note(chosen: Weights) -> list[str]:
    if chosen.how != "fitted":
        return [chosen.sentence()]
    same = say(". 같은 행에서 재었으므로 조금 유리합니다.", "; judged on the same rows, which favours it a little")
    return [chosen.sentence() + same]


def _member_note(score: MemberScore) -> str:
    found = score.metrics
    return say(
        f"같은 행에서 멤버 '{score.name}'({score.kind}, 가중치 {score.weight:.3f}): 마이크로 F1 {found['micro_f1']:.4f}, "
        f"매크로 F1 {found['macro_f1']:.4f}, 로그 손실 {found['log_loss']:.4f}",
        f"on the same rows, member '{score.name}' ({score.kind}, weight {score.weight:.3f}): micro F1 "
        f"{found['micro_f1']:.4f}, macro F1 {found['macro_f1']:.4f}, log loss {found['log_loss']:.4f}",
    )


def _card(result: EnsembleResult) -> str:
    """The model card: that of a trained model where there is a report, else what is known."""
    if result.report is not None:
        return model_card(result.analyzer, result.report)
    task = result.analyzer.task
    lines = [
        "---\nlanguage: ko\nlibrary_name: maeum\npipeline_tag: text-classification\n---\n",
        f"# {task.name} (vote)",
        "",
        f"- {result.weights.sentence()}",
        *(f"- {score.name}: {score.kind}, {score.weight:.3f}" for score in result.members),
        "",
        say("잰 점수가 없습니다. 자기 데이터로 재세요.", "Nothing was measured; measure it on your own rows."),
        "",
    ]
    return "\n".join(lines)


# -- predictions files --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VotedPredictions:
    """Predictions files as one."""

    task: Task
    rows: tuple[PredictionRow, ...]
    """In the order of the first file that has texts."""
    weights: Weights
    thresholds: Thresholds
    """What the labels were decided by."""
    members: tuple[MemberScore, ...]
    score: Mapping[str, float]
    """The vote's metrics on the labelled rows; empty without."""
    labelled: str
    """The labelled rows, in words; empty if there were none."""
    notes: tuple[str, ...]


def vote_predictions(
    paths: Sequence[str | Path],
    task: Task,
    *,
    vote: Vote = "soft",
    data: Dataset | None = None,
    weights: Sequence[float] | None = None,
    equal: bool = False,
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
        vote, weights, equal, objective, empty: as in ``ensemble``.

    Raises:
        UsageError, DataError, TaskMismatch: contradicting options, files that do not belong together, other labels.
    """
    _check_options(len(paths), vote, weights, equal, objective)
    files = [read_predictions(path, task) for path in paths]
    base = _as_rows(files)
    places = [align(file, base).rows for file in files]
    notes: list[str] = []
    table = None if data is None else _gold_table(files, data, notes)
    why = say(
        "라벨이 달린 행이 없습니다. --data로 주면 맞출 수 있습니다.",
        "there are no labelled rows; --data would give them",
    )
    chosen = _choose(vote, len(files), weights, equal, table, why, task, fixed_rows=True)
    names = [str(path) for path in paths]
    notes.extend(_idle(chosen, names))
    judges = [_Judge(file) for file in files]

    def combined(rows: Sequence[NDArray[np.int64]]) -> Proba:
        scores = [file.scores[row] for file, row in zip(files, rows, strict=True)]
        if vote == "soft":
            return soft_vote(scores, chosen.values)
        ballots = [judge(row) for judge, row in zip(judges, rows, strict=True)]
        return hard_vote(scores, ballots, [judge.rule for judge in judges], chosen.values)

    own: dict[str, float] = {}
    measured: list[dict[str, float]] = [{} for _ in files]
    thresholds = _votes_rule(task, empty, []) if vote == "hard" else _default_rule(task, empty)
    if table is not None:
        rows, found = table.rows, combined(table.rows)
        if vote == "soft":
            goal = TrainSettings(objective=objective).objective_for(task)
            thresholds = tune_thresholds(
                table.y, found, task, objective=goal, empty=empty, tuned_on=table.tuned_on, resamples=100
            )
        own = _metrics(task, table.y, found, thresholds.decide(found))
        measured = [
            _metrics(task, table.y, file.scores[row], judge(row))
            for file, row, judge in zip(files, rows, judges, strict=True)
        ]
    elif vote == "soft" and not thresholds.is_argmax:
        notes.append(
            say(
                "라벨은 기본 기준값(0.5)으로 정했습니다. 'maeum thresholds'나 --data로 맞추세요.",
                "labels were decided at the default threshold (0.5); tune it with 'maeum thresholds' or --data",
            )
        )
    scores = combined(places)
    voted = tuple(
        PredictionRow(e.id, e.text, e.target, task.decode(on), dict(zip(task.keys, row.tolist(), strict=True)))
        for e, row, on in zip(base, scores, thresholds.decide(scores), strict=True)
    )
    members = tuple(
        MemberScore(name, "predictions", weight, metrics)
        for name, weight, metrics in zip(names, chosen.values, measured, strict=True)
    )
    return VotedPredictions(task, voted, chosen, thresholds, members, own, table.words if table else "", tuple(notes))


class _Judge:
    """The decisions of a predictions file: its own labels where every row has them, else the default rule."""

    def __init__(self, file: Predictions) -> None:
        self.rule = Thresholds.default(file.task)
        # a multiclass file may leave rows unlabelled, and then its scores still name one class
        if file.labels is None or self.rule.is_argmax:
            self.decided = self.rule.decide(file.scores)
        else:
            self.decided = np.stack([file.task.encode(labels) for labels in file.labels])

    def __call__(self, rows: NDArray[np.int64]) -> Labels:
        """Decisions for these rows of the file."""
        return self.decided[rows]


@dataclass(frozen=True)
class _GoldTable(_Table):
    rows: tuple[NDArray[np.int64], ...] = ()
    """For each file the row that belongs to each labelled row."""


def _gold_table(files: Sequence[Predictions], data: Dataset, notes: list[str]) -> _GoldTable:
    _same_labels(files[0].task, data.task)
    gold = _labelled(data)
    found = [align(file, gold) for file in files]
    rules = ", ".join(dict.fromkeys(match.rule for match in found))
    notes.append(say(f"예측과 데이터를 {rules} 기준으로 맞췄습니다.", f"predictions were matched to rows by {rules}"))
    scores = tuple(file.scores[match.rows] for file, match in zip(files, found, strict=True))
    places = tuple(match.rows for match in found)
    return _GoldTable(tuple(gold.ids), gold.y, scores, np.zeros(len(gold), np.int64), *_words(gold), places)


def _default_rule(task: Task, empty: Empty) -> Thresholds:
    rule = Thresholds.default(task)
    return replace(rule, empty="argmax") if empty == "argmax" and not rule.is_argmax else rule


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
