"""What everybody answered in a labelling file, for an import."""

from __future__ import annotations

from pathlib import Path

from maeum.annotating.desk import Desk
from maeum.annotating.marks import Annotation, row_check
from maeum.annotating.problems import Problems, Rows
from maeum.data import AspectLabel


def read_desk(path: Path, rows: Rows, problems: Problems) -> list[Annotation]:
    """The last word of every annotator; rows and the task are told by the checks, as of every other form.

    "No label fits" is an answer, except where one must be chosen: there it is only noticed.
    """
    found: list[Annotation] = []
    with Desk(path) as desk:
        for position, example, said in desk.everything():
            own = rows.find(example.id, row_check(desk.task, example), problems, path=path.name, line=position + 1)
            if own is None or said.answer is None:
                continue
            labels = said.answer.get("labels")
            aspects = said.answer.get("aspects")
            if rows.task.kind == "multiclass" and not labels:
                problems.notice(
                    f"행 '{own.id}'에 {said.annotator}이(가) 맞는 라벨이 없다고 했습니다. 하나를 골라야 하는 과제라 읽지 않았습니다.",
                    f"row '{own.id}' was not read: {said.annotator} says that no label fits, and the task needs one",
                    path=path.name,
                    line=position + 1,
                )
                continue
            found.append(
                Annotation(
                    own.id,
                    said.annotator,
                    said.saved,
                    None if labels is None else tuple(labels),
                    None if aspects is None else tuple(AspectLabel(a["aspect"], a["sentiment"]) for a in aspects),
                    note=said.note,
                )
            )
    return found
