"""Label Studio: the labelling interface of a task as XML, and rows as its tasks with what a model says already marked.

Labels of emotion tasks are ``<Choices>``; the words that show them are ``<Labels>`` spans. Aspects are spans, each with
its grade as a choice of its own region (``perRegion``): a region over the whole text stands for an aspect that no particular
words show. The wording follows Label Studio's own documentation of its tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from maeum._lang import language, say
from maeum.annotating.marks import row_check
from maeum.data import AspectLabel, Example
from maeum.formats.studio import EVIDENCE, GRADE, LABELS, NOTE, TARGET, TEXT
from maeum.task import Label, Task

_COLOURS = (
    "#4c78a8",
    "#f58518",
    "#54a24b",
    "#e45756",
    "#72b7b2",
    "#b279a2",
    "#ff9da6",
    "#9d755d",
    "#bab0ac",
    "#eeca3b",
)


def studio_config(task: Task) -> str:
    """The labelling interface of a task."""
    parts = ["<View>", f"  <Header value={quoteattr(task.description or task.name)}/>"]
    if task.targeted:
        parts += [
            f'  <Header value={quoteattr(say("대상: ", "Target: ") + "$target")} size="4"/>',
            f'  <Labels name="{TARGET}" toName="{TEXT}">',
            f'    <Label value="{TARGET}" background="#ffd54f" hint={quoteattr(say("감정이 향하는 말", "what it is about"))}/>',
            "  </Labels>",
        ]
    spans = [f'  <Labels name="{EVIDENCE}" toName="{TEXT}">', *_options("Label", task.labels), "  </Labels>"]
    if task.kind == "aspect":
        words = say(
            "속성을 고르고 그것을 말한 부분을 끌어 표시한 뒤, 등급을 고르세요.",
            "Pick an aspect, mark its words, then its grade.",
        )
        parts += [f'  <Header value={quoteattr(words)} size="5"/>', *spans, _text()]
        parts.append(
            f'  <Choices name="{GRADE}" toName="{TEXT}" perRegion="true" choice="single" required="true" showInLine="true">'
        )
        parts += [*_options("Choice", task.sentiments), "  </Choices>"]
    else:
        choice = "single" if task.kind == "multiclass" else "multiple"
        needed = ' required="true"' if task.kind == "multiclass" else ""
        words = say("근거가 되는 말(선택)", "Words that show it (optional)")
        parts += [_text(), f'  <Choices name="{LABELS}" toName="{TEXT}" choice="{choice}"{needed} showInLine="true">']
        parts += [*_options("Choice", task.labels), "  </Choices>"]
        parts += [f'  <Header value={quoteattr(words)} size="5"/>', *spans]
    parts.append(f'  <TextArea name="{NOTE}" toName="{TEXT}" placeholder={quoteattr(say("메모", "note"))} rows="1"/>')
    return "\n".join([*parts, "</View>"]) + "\n"


def studio_task(
    task: Task, row: Example, *, suggested: Mapping[str, Any] | None = None, model: str = ""
) -> dict[str, Any]:
    """One row as a Label Studio task.

    Args:
        suggested: what a model says, ``{"labels": …}`` or ``{"aspects": …}``, with ``"score"`` 0–1.
        model: what to call it.
    """
    data: dict[str, Any] = {"id": row.id, TEXT: row.text, "check": row_check(task, row)}
    if task.targeted:
        data |= {TARGET: row.target.form if row.target else "-"}
        data |= {"target_begin": row.target.begin, "target_end": row.target.end} if row.target else {}
    result: list[dict[str, Any]] = []
    if row.target is not None and task.targeted:
        result.append(region("t0", TARGET, "labels", [TARGET], row.text, row.target.begin, row.target.end))
    if suggested is not None:
        result += _suggestion(task, row, suggested)
    if not result:
        return {"data": data}
    score = None if suggested is None else suggested.get("score")
    prediction = {"model_version": model or "maeum", "result": result, **({} if score is None else {"score": score})}
    return {"data": data, "predictions": [prediction]}


def region(name: str, tag: str, kind: str, values: Sequence[str], text: str, begin: int, end: int) -> dict[str, Any]:
    """A marked span of the text in Label Studio's form; offsets in, code points of the raw text."""
    value = {"start": begin, "end": end, "text": text[begin:end], kind: list(values)}
    return {"id": name, "from_name": tag, "to_name": TEXT, "type": kind, "value": value}


def choices(tag: str, values: Sequence[str]) -> dict[str, Any]:
    """Choices about the whole text."""
    return {"from_name": tag, "to_name": TEXT, "type": "choices", "value": {"choices": list(values)}}


def _suggestion(task: Task, row: Example, suggested: Mapping[str, Any]) -> list[dict[str, Any]]:
    if task.kind != "aspect":
        return [choices(LABELS, suggested["labels"])] if suggested["labels"] else []
    result = []
    for number, item in enumerate(suggested["aspects"]):
        aspect = item if isinstance(item, AspectLabel) else AspectLabel(item["aspect"], item["sentiment"])
        begin, end = (0, len(row.text)) if aspect.begin is None or aspect.end is None else (aspect.begin, aspect.end)
        name = f"a{number}"
        result.append(region(name, EVIDENCE, "labels", [aspect.aspect], row.text, begin, end))
        graded = region(name, GRADE, "choices", [aspect.sentiment], row.text, begin, end)
        result.append(graded)
    return result


def _text() -> str:
    return f'  <Text name="{TEXT}" value="${TEXT}" granularity="word"/>'


def _options(tag: str, labels: Sequence[Label]) -> list[str]:
    lines = []
    for number, label in enumerate(labels):
        shown = label.name(language())
        alias = "" if shown == label.key else f" alias={quoteattr(label.key)}"
        colour = f' background="{_COLOURS[number % len(_COLOURS)]}"' if tag == "Label" else ""
        hint = f" hint={quoteattr(label.guideline)}" if label.guideline else ""
        lines.append(f"    <{tag} value={quoteattr(shown)}{alias}{colour}{hint}/>")
    return lines
