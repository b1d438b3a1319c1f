"""Model folders as members, and the rows that tell what they are worth: rows none of them was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maeum import folder as model_folder
from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset
from maeum.errors import DataError, UsageError
from maeum.models.base import Proba
from maeum.splits import duplicate_groups, fold_numbers
from maeum.task import Task
from maeum.voting.predictor import VotePredictor, check_task
from maeum.voting.weighing import MIN_ROWS, Table, labelled, words

_FOLDS = 5
_SAME_ROWS = 0.95
"""Ids like row-000001 occur in every file: they mean the same rows where at least this share of the labels agree."""


@dataclass(frozen=True)
class Member:
    """A model folder as a member."""

    name: str
    """The path as it was given."""
    analyzer: Analyzer
    oof: OutOfFold | None = None
    """Its out-of-fold table, if the folder has one."""


def open_members(paths: Iterable[str | Path], *, task: str | None = None) -> list[Member]:
    """Model folders as members, with their out-of-fold tables.

    Args:
        task: which head votes, of folders with several; None: the one for the first member's task, else the first.

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
        head = task or (members[0].analyzer.task.name if members else None)
        if head not in model_folder.head_names(path):
            head = None
        analyzer = model_folder.load(path, task=head)
        if members:
            check_task(members[0].analyzer.task, analyzer.task)
        place = Path(path) / model_folder.head_folder(path, head)
        members.append(Member(str(path), analyzer, _out_of_fold(place, analyzer.task)))
    return members


def _out_of_fold(path: Path, task: Task) -> OutOfFold | None:
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
    # sorted: an order that no member's place in the list can change
    ids = sorted(set(tables[0].ids).intersection(*(table.ids for table in tables[1:])))
    cut = [_rows_of(table, _places(table, ids)) for table in tables]
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


def _places(table: OutOfFold, ids: Sequence[str]) -> NDArray[np.int64]:
    """(n,) where each id stands in the table; -1: nowhere."""
    place = {row_id: row for row, row_id in enumerate(table.ids)}
    return np.array([place.get(row_id, -1) for row_id in ids], np.int64)


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


def oof_table(members: Sequence[Member]) -> tuple[Table | None, str]:
    """The rows all members have out-of-fold probabilities for, or the reason why there are too few."""
    without = ", ".join(member.name for member in members if member.oof is None)
    if without:
        return None, say(
            f"교차 검증 확률이 없는 모델이 있습니다({without}). --data로 라벨이 달린 파일을 주면 맞출 수 있습니다.",
            f"no out-of-fold probabilities in {without}; labelled rows given with --data would do",
        )
    tables = common_rows([m.oof for m in members if m.oof is not None], [m.name for m in members])
    rows = len(tables[0].ids)
    if rows < MIN_ROWS:
        return None, say(
            f"멤버들의 교차 검증 행 가운데 겹치는 것이 {rows}개뿐입니다({MIN_ROWS}개 필요). --data로 라벨이 달린 파일을 주면 맞출 수 있습니다.",
            f"the members' out-of-fold tables share only {rows} rows ({MIN_ROWS} are needed); "
            "labelled rows given with --data would do",
        )
    probas = [m.analyzer.calibration.apply(t.proba) for m, t in zip(members, tables, strict=True)]
    people = say(
        f"모든 멤버의 교차 검증 확률이 있는 {rows}행", f"{rows} rows with out-of-fold probabilities of all members"
    )
    record = f"out-of-fold probabilities of {rows} rows all members have"
    fold = _joint_folds([t.fold for t in tables])
    return _table(members, tables[0].ids, tables[0].y, probas, fold, (people, record)), ""


def data_table(members: Sequence[Member], rows: Dataset) -> Table:
    """Labelled rows that no member was trained on."""
    groups = duplicate_groups(rows.texts)
    fold = fold_numbers(rows.y, groups, folds=max(2, min(_FOLDS, len(np.unique(groups)))), seed=42)
    probas = [member.analyzer.predict_proba(rows) for member in members]
    return _table(members, rows.ids, rows.y, probas, fold, words(rows))


def _table(
    members: Sequence[Member],
    ids: Sequence[str],
    y: NDArray[np.uint8],
    probas: Sequence[Proba],
    fold: NDArray[np.int64],
    named: tuple[str, str],
) -> Table:
    ballots = tuple(member.analyzer.decide(p) for member, p in zip(members, probas, strict=True))
    return Table(tuple(ids), y, tuple(probas), ballots, fold, *named)


def unseen(members: Sequence[Member], data: Dataset, notes: list[str]) -> Dataset:
    """The labelled rows that no member was trained on, as far as can be told; ``notes`` gets what was left out.

    Raises:
        UsageError: a member was trained on all of them, or none is labelled.
    """
    data = labelled(data, members[0].analyzer.task)
    for member in members:
        seen = _seen(member, data)
        if seen.all():
            raise UsageError(
                f"'{member.name}'은(는) 바로 이 행들로 학습했으므로 여기서 가중치나 기준값을 찾을 수 없습니다. "
                "--data를 빼면 교차 검증 확률을 씁니다. 아니면 처음 보는 행을 주세요.",
                f"'{member.name}' was trained on these very rows, so they cannot tell its weight; leave --data out to use "
                "the out-of-fold probabilities, or give rows it has not seen",
            )
        if seen.any():
            count = int(seen.sum())
            notes.append(
                say(
                    f"--data의 {count}행은 '{member.name}'이(가) 학습한 행이라 뺐습니다.",
                    f"{count} rows of --data were left out: '{member.name}' was trained on them",
                )
            )
            data = data.select(np.flatnonzero(~seen))
    return data


def _seen(member: Member, rows: Dataset) -> NDArray[np.bool_]:
    """Which rows (n,) a member was trained on, as far as its folder can tell."""
    train = member.analyzer.about.get("train") or {}
    if train.get("fingerprint") == rows.fingerprint:
        return np.ones(len(rows), bool)
    seen = np.zeros(len(rows), bool)
    if member.oof is None or member.analyzer.predictor.kind == VotePredictor.kind:
        return seen
    if len(member.oof.ids) < int(train.get("rows") or 0):
        return seen  # a fold, or trained once: its table is of the rows it was not trained on
    known = _places(member.oof, rows.ids)
    shared = np.flatnonzero(known >= 0)
    same = (member.oof.y[known[shared]] == rows.y[shared]).all(1)
    seen[shared] = len(same) > 0 and same.mean() >= _SAME_ROWS
    return seen
