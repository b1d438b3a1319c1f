"""The parts of the page that show rows side by side: copies within the data, and leakage into the valid rows."""

from __future__ import annotations

from collections.abc import Sequence

from maeum._lang import say
from maeum._svg import escape
from maeum.auditing.duplicates import Twins
from maeum.auditing.findings import Audit
from maeum.auditing.worklist import labels_text, shown_text
from maeum.data import Example

COPIES = 20
"""Copies of each kind on the page."""
CUT = 280
"""Letters of a text on the page."""


def copies(audit: Audit) -> str:
    """Rows with the same or nearly the same text and other labels."""
    told = say(
        f"글이 같은(글자와 숫자만 볼 때) 행은 {audit.copies:,}개이고, 그 가운데 라벨이 다른 묶음이 {len(audit.same):,}개입니다. 비슷한 글은 "
        f"{len(audit.near) + audit.near_agreeing:,}쌍, 라벨이 다른 것은 {len(audit.near):,}쌍입니다.",
        f"{audit.copies:,} rows share their text (letters and digits) with another; {len(audit.same):,} groups of them differ "
        f"in labels. {len(audit.near) + audit.near_agreeing:,} pairs are nearly the same, {len(audit.near):,} of them with "
        "different labels.",
    )
    rows = []
    for group in audit.same[:COPIES]:
        rows += [_copy(audit.data[row], "1.00" if row == group[0] else "") for row in group[:4]]
    for twins in audit.near[:COPIES]:
        rows += [_copy(audit.data[twins.first], f"{twins.similarity:.2f}"), _copy(audit.data[twins.second], "")]
    heads = [say("비슷함", "alike"), say("글", "text"), say("라벨", "labels")]
    return f'<p class="told">{escape(told)}</p>{table(heads, rows, "au-list") if rows else ""}'


def _copy(example: Example, share: str) -> str:
    return (
        f'<tr><th scope="row">{share}</th><td class="au-text">{escape(cut(shown_text(example)))}'
        f'<small>{escape(example.id)}</small></td><td class="au-why">{escape(labels_text(example))}</td></tr>'
    )


def leakage(audit: Audit) -> str:
    """Valid rows whose text also trains."""
    overlap, valid = audit.overlap, audit.valid
    assert overlap is not None
    assert valid is not None
    agree = sum(twins.agree for twins in overlap.same)
    told = say(
        f"평가 {len(valid):,}행 가운데 {len(overlap.same):,}행은 학습 행과 같은 글이고(라벨도 같은 것 {agree:,}), {len(overlap.near):,}행은 "
        "비슷한 글입니다. 이 행들의 점수는 실제보다 높습니다.",
        f"Of {len(valid):,} valid rows {len(overlap.same):,} are texts of training rows ({agree:,} with the same labels), and "
        f"{len(overlap.near):,} nearly so. Scores on them are too high.",
    )
    rows = [_leaked(audit, twins) for twins in (*overlap.same[:COPIES], *overlap.near[:COPIES])]
    heads = [say("비슷함", "alike"), say("평가 글", "valid text"), say("평가 라벨", "valid labels")]
    heads += [say("학습 글", "training text"), say("학습 라벨", "training labels")]
    return f'<p class="told">{escape(told)}</p>{table(heads, rows, "au-list") if rows else ""}'


def _leaked(audit: Audit, twins: Twins) -> str:
    assert audit.valid is not None
    cells = ""
    for example in (audit.valid[twins.second], audit.data[twins.first]):
        cells += (
            f'<td class="au-text">{escape(cut(shown_text(example)))}<small>{escape(example.id)}</small></td>'
            f'<td class="au-why">{escape(labels_text(example))}</td>'
        )
    return f'<tr><th scope="row">{twins.similarity:.2f}</th>{cells}</tr>'


def table(heads: Sequence[str], rows: Sequence[str], cls: str = "") -> str:
    """A table that scrolls sideways where it must."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        f'<div class="mm-scroll" tabindex="0"><table class="mm-table {cls}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def cut(text: str) -> str:
    """A text no longer than the page shows."""
    return text if len(text) <= CUT else text[:CUT] + "…"
