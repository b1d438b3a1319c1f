"""What is said of a student: its size, how like the teacher it is, and what its scores were judged on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maeum import measuring
from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.measuring import Gap, Size
from maeum.report import Report, make_report


def size_table(sizes: Mapping[str, Any]) -> str:
    """Teacher and student, of the facts in ``distill.json``."""
    return measuring.table(
        {say("교사", "teacher"): Size(**sizes["teacher"]), say("학생", "student"): Size(**sizes["student"])}
    )


def likeness(facts: Mapping[str, Any]) -> list[str]:
    """Agreement with the teacher and, where rows judged, both scores; ``facts`` has ``agreement`` and ``valid``."""
    like, valid = facts["agreement"], facts["valid"]
    lines = [
        say(
            f"교사와의 일치 (배우지 않은 글 {like['rows']:,}건): micro-F1 {like['micro_f1']:.4f}, macro-F1 {like['macro_f1']:.4f}, "
            f"같은 답 {like['same_rows']:.1%}, 확률 차이 평균 {like['mean_difference']:.4f}",
            f"agreement with the teacher ({like['rows']:,} texts not learnt from): micro-F1 {like['micro_f1']:.4f}, "
            f"macro-F1 {like['macro_f1']:.4f}, same answers {like['same_rows']:.1%}, mean difference of p "
            f"{like['mean_difference']:.4f}",
        )
    ]
    if valid is not None:
        lines.append(
            say(f"평가 {valid['rows']:,}건, 교사 → 학생:", f"on {valid['rows']:,} valid rows, teacher → student:")
        )
        lines += measuring.gap_lines({name: Gap(**gap) for name, gap in valid["scores"].items()})
    return lines


def report_on_held(student: Analyzer, oof: OutOfFold, *, labelled: bool, notes: Sequence[str], **words: Any) -> Report:
    """Scores on the rows that set the thresholds, for want of rows that only judge.

    Args:
        labelled: whether these rows have true labels, or the teacher's decisions in their place.
        words: as of ``make_report``.
    """
    return make_report(
        student.task,
        oof.y,
        student.calibration.apply(oof.proba),
        student.thresholds,
        data=judged_on(len(oof.ids), labelled=labelled),
        notes=list(notes) if labelled else [*notes, _imitation_note()],
        tuned_on_same_rows=student.task.kind != "multiclass",
        **words,
    )


def judged_on(rows: int, *, labelled: bool) -> str:
    """Where the scores of a report are from when no valid rows were given."""
    if labelled:
        return say(f"배우지 않은 라벨 {rows}건", f"{rows} labelled rows not learnt from")
    return say(f"교사의 결정 {rows}건", f"the teacher's decisions on {rows} texts")


def _imitation_note() -> str:
    """What scores against the teacher's own decisions mean."""
    return say(
        "정답 라벨이 없어 교사의 결정과 견준 점수입니다. 정확도가 아니라 교사를 얼마나 따라 하는지입니다.",
        "there were no true labels: these scores are against the teacher's decisions and say how well it is imitated, not "
        "how often it is right",
    )
