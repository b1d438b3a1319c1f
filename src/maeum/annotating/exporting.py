"""Rows out to annotators, in one of four forms, with what a model says filled in where one is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from maeum._files import pretty_json, write_text
from maeum.analyzer import Analyzer, batched
from maeum.annotating.cells import YES, in_words, shown
from maeum.annotating.desk_file import create_desk
from maeum.annotating.rows_jsonl import write_lines
from maeum.annotating.sheet_out import LABEL, SUGGESTED, write_sheet
from maeum.annotating.studio_out import studio_config, studio_task
from maeum.data import AspectLabel, Example
from maeum.errors import TaskMismatch, UsageError
from maeum.task import Task

To = Literal["xlsx", "jsonl", "label-studio", "sqlite"]
FORMS: tuple[str, ...] = get_args(To)


def export_rows(
    rows: Sequence[Example],
    path: Path,
    task: Task,
    *,
    to: To,
    analyzer: Analyzer | None = None,
    model: str = "",
    share: bool = False,
    overwrite: bool = True,
) -> list[Path]:
    """Write rows for annotators; the files written.

    Args:
        path: the file. For Label Studio the tasks; the interface goes beside it as ``NAME.config.xml``.
        analyzer: fills in its own answers, for people to correct. They see them: say so when you report agreement.
        model: what to call it in Label Studio and in a labelling file.
        share: a labelling file (``sqlite``) hands every row to one annotator only.
        overwrite: whether an existing labelling file may go; never one that holds answers.

    Raises:
        TaskMismatch: the model has other labels.
        UsageError: there is no row, a row asks for one aspect's grade, or a labelling file is in the way.
    """
    _check(rows)
    said = None if analyzer is None else list(_said(analyzer, rows, task))
    if to == "sqlite":
        create_desk(path, task, rows, suggested=said, model=model if said else "", share=share, overwrite=overwrite)
        return [path]
    if to == "jsonl":
        plain = None if said is None else [{k: v for k, v in one.items() if k != "score"} for one in said]
        write_lines(rows, path, task, suggested=plain)
        return [path]
    if to == "xlsx":
        write_sheet(rows, path, task, suggested=None if said is None else [_cells(one, task) for one in said])
        return [path]
    beside = config_path(path)
    tasks = [
        studio_task(task, row, suggested=None if said is None else said[number], model=model)
        for number, row in enumerate(rows)
    ]
    write_text(beside, studio_config(task))
    write_text(path, pretty_json(tasks))
    return [path, beside]


def config_path(path: Path) -> Path:
    """Where the labelling interface of a Label Studio export goes."""
    return path.with_name(f"{path.stem}.config.xml")


def _check(rows: Sequence[Example]) -> None:
    if not rows:
        raise UsageError("내보낼 행이 없습니다.", "there are no rows to export")
    for row in rows:
        if row.aspect is not None:
            raise UsageError(
                f"행 '{row.id}'은(는) 속성 하나의 등급을 묻는 행입니다. 글마다 한 행인 데이터를 주세요.",
                f"row '{row.id}' asks for the grade of one aspect; give data with one row a text",
            )


def _said(analyzer: Analyzer, rows: Sequence[Example], task: Task) -> Iterator[dict[str, Any]]:
    """What the model says of each row: ``{"labels"}`` or ``{"aspects"}``, and ``score``, how sure it is, 0–1."""
    own = analyzer.task
    if (own.kind, own.keys, own.sentiment_keys) != (task.kind, task.keys, task.sentiment_keys):
        raise TaskMismatch(
            f"모델의 과제 '{own.name}'과(와) 라벨을 달 과제 '{task.name}'의 라벨이 다릅니다.",
            f"the model's task '{own.name}' has other labels than '{task.name}', which is to be labelled",
        )
    for batch in batched(rows, 256):
        proba = analyzer.predict_proba(batch)
        on = analyzer.decide(proba)
        graded = analyzer.grade(batch, on, proba)
        for row in range(len(batch)):
            # Label Studio sorts by this: the decision that is least sure counts
            sure = proba[row].max() if task.kind == "multiclass" else np.maximum(proba[row], 1 - proba[row]).min()
            found: dict[str, Any] = {"score": round(float(sure), 4)}
            if graded is None:
                found["labels"] = list(task.decode(on[row]))
            else:
                found["aspects"] = [{"aspect": i["aspect"], "sentiment": i["sentiment"]} for i in graded[row]]
            yield found


def _cells(said: dict[str, Any], task: Task) -> dict[str, str]:
    names = {label.key: shown(label) for label in task.labels}
    if task.kind == "aspect":
        aspects = [AspectLabel(item["aspect"], item["sentiment"]) for item in said["aspects"]]
        return {names[item.aspect]: item.sentiment for item in aspects} | {SUGGESTED: in_words(None, aspects)}
    filled = {SUGGESTED: in_words(said["labels"], None)}
    if task.kind == "multiclass":
        return {LABEL: names[said["labels"][0]], **filled}
    return {names[key]: YES for key in said["labels"]} | filled
