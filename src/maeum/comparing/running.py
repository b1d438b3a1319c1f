"""``compare``: two models, one frozen data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._lang import language, say
from maeum._tables import text_table
from maeum.comparing.changes import Changes, changes
from maeum.comparing.paired import Gap, LabelGap, gaps
from maeum.comparing.sides import Side, open_side
from maeum.data import Dataset
from maeum.errors import UsageError
from maeum.reviews.stages import JOINT, grades, joint_task
from maeum.splits import duplicate_groups
from maeum.task import Task

RESAMPLES = 4000


@dataclass(frozen=True)
class Comparison:
    """How B differs from A."""

    data: Dataset
    a: Side
    b: Side
    scores: Mapping[str, Gap]
    """``micro_f1``, ``macro_f1``, ``accuracy``; of an aspect task also ``pairs_micro_f1``, where grades are known."""
    labels: tuple[LabelGap, ...]
    changes: Changes
    columns: tuple[str, ...]
    """What the changes' columns are: labels, or aspects with grades."""
    y: NDArray[np.uint8]
    """(n, columns) what people gave, and what was decided."""
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    resamples: int
    seed: int
    notes: tuple[str, ...]

    @property
    def task(self) -> Task:
        """The task of the data."""
        return self.data.task

    def named(self, columns: Any) -> str:
        """Labels of some columns in one line."""
        return ", ".join(self.columns[at] for at in columns) or "–"

    def to_dict(self) -> dict[str, Any]:
        """Plain data without texts."""
        return {
            "data": {"source": self.data.source, "rows": len(self.data), "fingerprint": self.data.fingerprint},
            "task": self.task.name,
            "a": _side_dict(self.a),
            "b": _side_dict(self.b),
            "scores": {name: gap.to_dict() for name, gap in self.scores.items()},
            "labels": [
                {
                    "label": item.label,
                    "support": item.support,
                    **item.f1.to_dict(),
                    "p_holm": round(item.adjusted, 6),
                    "stands": item.stands,
                }
                for item in self.labels
            ],
            "rows": {
                "changed": len(self.changes.rows),
                **self.changes.counts,
                "both_right": self.changes.both_right,
                "both_wrong": self.changes.both_wrong,
                "mcnemar_p": round(self.changes.p, 6),
            },
            "resamples": self.resamples,
            "seed": self.seed,
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """Tables for a terminal."""
        heads = ["", "A", "B", "B − A", say("95% 구간", "95% interval")]
        rows = [[name, *_gap_cells(gap)] for name, gap in self.scores.items()]
        names = {label.key: label.name(language()) for label in self.task.labels}
        moved = sorted(self.labels, key=lambda item: (item.adjusted, -abs(item.f1.gap)))[:12]
        label_heads = [say("라벨 F1", "label F1"), say("행", "rows"), *heads[1:], say("보정 p", "Holm p")]
        label_rows = [
            [names[item.label], f"{item.support}", *_gap_cells(item.f1), f"{item.adjusted:.3f}"] for item in moved
        ]
        return "\n\n".join(
            [
                f"A  {self.a.name}\nB  {self.b.name}",
                text_table(heads, rows),
                text_table(label_heads, label_rows) + "\n" + self.honesty(),
                self.rows_line(),
            ]
        )

    def honesty(self) -> str:
        """What to make of the labels' intervals."""
        outside = sum(item.f1.low > 0 or item.f1.high < 0 for item in self.labels)
        stands = [item for item in self.labels if item.stands]
        chance = 0.05 * len(self.labels)
        return say(
            f"라벨 {len(self.labels)}개 가운데 구간이 0을 벗어난 것 {outside}개. 두 모델이 같아도 {chance:.1f}개쯤은 벗어납니다. 여럿을 한꺼번에 "
            f"본 것을 감안해도(Holm) 남는 것: {len(stands)}개.",
            f"of {len(self.labels)} labels {outside} have intervals beyond 0; about {chance:.1f} would if the models were "
            f"equal. Left when all are looked at together (Holm): {len(stands)}.",
        )

    def rows_line(self) -> str:
        """How the rows changed, in a sentence."""
        counts = self.changes.counts
        return say(
            f"판정이 달라진 행 {len(self.changes.rows):,}/{len(self.data):,}: 고쳐짐 {counts['fixed']:,}, 나빠짐 {counts['broken']:,} "
            f"(McNemar p = {self.changes.p:.3g}); 둘 다 틀린 채 나아짐 {counts['better']:,}, 더 틀림 {counts['worse']:,}, 다르게 틀림 "
            f"{counts['other']:,}. 둘 다 맞음 {self.changes.both_right:,}, 둘 다 틀림 {self.changes.both_wrong:,}.",
            f"{len(self.changes.rows):,} of {len(self.data):,} rows changed: {counts['fixed']:,} fixed, {counts['broken']:,} broken "
            f"(McNemar p = {self.changes.p:.3g}); wrong in both but better {counts['better']:,}, worse {counts['worse']:,}, "
            f"otherwise {counts['other']:,}. Both right {self.changes.both_right:,}, both wrong {self.changes.both_wrong:,}.",
        )


def compare(a: str | Path, b: str | Path, data: Dataset, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compare two models, or files of their predictions, on labelled rows.

    Args:
        a, b: model folders or predictions files; ``b`` is the newer.
        data: rows that neither was trained or tuned on.
        resamples: of the bootstrap.

    Raises:
        UsageError: rows without labels, or too few.
        TaskMismatch: a model is of another task.
    """
    if not data.is_labelled:
        raise UsageError(
            "견주려면 모든 행에 라벨이 있어야 합니다.", "every row must be labelled for models to be compared on them"
        )
    if resamples < 100:
        raise UsageError(
            f"--resamples는 100 이상이어야 합니다: {resamples}", f"--resamples must be at least 100, got {resamples}"
        )
    first, second = open_side(a, data), open_side(b, data)
    notes = [*first.notes, *(note for note in second.notes if note not in first.notes)]
    if first.fingerprint == second.fingerprint:
        notes.append(say("A와 B가 같은 것입니다.", "A and B are the same"))
    groups = duplicate_groups(data.texts)
    scores, labels = gaps(data.y, first.decided, second.decided, groups, data.task.keys, resamples=resamples, seed=seed)
    y, before, after = data.y, first.decided, second.decided
    columns = tuple(label.name(language()) for label in data.task.labels)
    if first.grades is not None and second.grades is not None:
        y, before, after = (_joint(data.task, rows) for rows in (_given(data), first.grades, second.grades))
        columns = tuple(key.replace(JOINT, " ") for key in joint_task(data.task).keys)
        both, _ = gaps(y, before, after, groups, columns, resamples=resamples, seed=seed)
        scores = {**scores, "pairs_micro_f1": both["micro_f1"], "pairs_accuracy": both["accuracy"]}
    elif data.task.kind == "aspect":
        notes.append(
            say("감성이 없는 쪽이 있어 속성만 견주었습니다.", "one side has no grades: only aspects were compared")
        )
    found = changes(y, before, after)
    return Comparison(
        data, first, second, scores, labels, found, columns, y, before, after, resamples, seed, tuple(notes)
    )


def _given(data: Dataset) -> tuple[Mapping[str, str], ...]:
    return tuple(grades(example.aspects or ()) for example in data)


def _joint(task: Task, rows: tuple[Mapping[str, str], ...]) -> NDArray[np.uint8]:
    """(n, aspects · grades) of rows of aspect → grade."""
    joint = joint_task(task)
    return np.array(
        [joint.encode(f"{aspect}{JOINT}{grade}" for aspect, grade in row.items()) for row in rows], np.uint8
    )


def _gap_cells(gap: Gap) -> list[str]:
    return [f"{gap.before:.4f}", f"{gap.after:.4f}", f"{gap.gap:+.4f}", f"{gap.low:+.4f} … {gap.high:+.4f}"]


def _side_dict(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "fingerprint": side.fingerprint,
        "labelled": side.labelled,
        "trained_on": side.trained_on or None,
    }
