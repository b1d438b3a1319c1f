"""A Label Studio export (JSON) that came back: choices, spans with raw offsets, who and when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum.annotating.marks import Annotation, Span
from maeum.annotating.problems import Problems, Rows
from maeum.annotating.studio_out import EVIDENCE, GRADE, LABELS, NOTE, TARGET
from maeum.data import AspectLabel, Example, Target
from maeum.errors import DataError, TaskMismatch
from maeum.task import Task


def read_studio(path: Path, rows: Rows, problems: Problems, *, when: str) -> list[Annotation]:
    """The annotations of an export; what is wrong with it goes into ``problems``, with the number of the task in the file.

    Args:
        when: for annotations that do not say.
    """
    name = str(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, ValueError) as error:
        problems.add(f"JSON으로 읽을 수 없습니다: {error}", f"cannot be read as JSON: {error}", path=name)
        return []
    if not isinstance(content, list) or not all(isinstance(item, dict) and "data" in item for item in content):
        problems.add(
            "Label Studio의 내보내기에서 'JSON' 형식을 고르세요(JSON-MIN, CSV는 위치와 사람이 빠집니다).",
            "choose the format 'JSON' in Label Studio's export (JSON-MIN and CSV leave out places or people)",
            path=name,
        )
        return []
    found: list[Annotation] = []
    for number, item in enumerate(content, start=1):
        data = item["data"] if isinstance(item["data"], dict) else {}
        example = rows.find(str(data.get("id", "")), str(data.get("check", "")), problems, path=name, line=number)
        if example is None:
            continue
        for annotation in _finished(item):
            try:
                found.append(_annotation(annotation, example, rows.task, when))
            except (DataError, TaskMismatch) as error:
                problems.add(
                    f"행 '{example.id}': {error.ko}", f"row '{example.id}': {error.en}", path=name, line=number
                )
    return found


def _finished(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for annotation in item.get("annotations") or ():
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            yield annotation


def _annotation(annotation: Mapping[str, Any], example: Example, task: Task, when: str) -> Annotation:
    result = [item for item in annotation.get("result") or () if isinstance(item, dict)]
    spans = [_span(item, example) for item in result if item.get("from_name") == EVIDENCE]
    saved = annotation.get("updated_at") or annotation.get("created_at")
    answer: dict[str, Any] = {}
    if task.kind == "aspect":
        aspects = _aspects(spans, result, example, task)
        answer["aspects"] = tuple(sorted(aspects, key=lambda item: task.keys.index(item.aspect)))
    else:
        words = [w for item in result if item.get("from_name") == LABELS for w in item["value"].get("choices", ())]
        answer["labels"] = task.order(words)
    notes = [w for item in result if item.get("from_name") == NOTE for w in item["value"].get("text", ())]
    evidence = tuple(Span(task.resolve(word), begin, end) for _, word, begin, end in spans)
    return Annotation(
        example.id,
        _who(annotation.get("completed_by")),
        _utc(str(saved)) if saved else when,
        target=_target(result, example),
        evidence=tuple(sorted(set(evidence), key=lambda span: (span.begin, span.end, span.label))),
        note=" ".join(" ".join(map(str, notes)).split()),
        **answer,
    )


def _span(item: Mapping[str, Any], example: Example) -> tuple[str, str, int, int]:
    """Id, label, begin and end (code points of the raw text) of a marked region.

    Raises:
        DataError: the region does not lie in the text.
    """
    value = item["value"]
    begin, end = offsets(example.text, value.get("start"), value.get("end"), value.get("text"))
    words: Sequence[str] = value.get("labels") or ()
    if len(words) != 1:
        raise DataError(
            f"표시한 부분의 라벨이 {len(words)}개입니다. 하나만 다세요.",
            f"a region has {len(words)} labels; give it one",
        )
    return str(item.get("id", "")), words[0], begin, end


def offsets(text: str, start: Any, end: Any, marked: Any) -> tuple[int, int]:
    """Begin and end in code points of what was marked.

    Offsets may count code points or UTF-16 units (browsers do, so an emoji counts two): the marked words, which
    the export repeats, say which.

    Raises:
        DataError: neither gives the marked words.
    """
    if isinstance(start, int) and isinstance(end, int):
        wide = text.encode("utf-16-le", "surrogatepass")
        candidates = [(start, end)]
        if len(wide) != 2 * len(text):
            units = (len(wide[: 2 * place].decode("utf-16-le", "ignore")) for place in (start, end))
            candidates.append((next(units), next(units)))
        for begin, stop in candidates:
            if 0 <= begin < stop <= len(text) and (marked is None or _same(text[begin:stop], str(marked))):
                return begin, stop
    raise DataError(
        f"표시한 부분 [{start}, {end}) '{str(marked)[:30]}'이(가) 글에 없습니다.",
        f"the region [{start}, {end}) '{str(marked)[:30]}' is not in the text",
    )


def _same(found: str, marked: str) -> bool:
    # line ends are shown as "\\n" by some versions
    return found == marked or "".join(found.split()) == "".join(marked.replace("\\n", "\n").split())


def _aspects(
    spans: Sequence[tuple[str, str, int, int]], result: Sequence[Mapping[str, Any]], example: Example, task: Task
) -> list[AspectLabel]:
    grades = {
        str(item.get("id", "")): item["value"].get("choices", ()) for item in result if item.get("from_name") == GRADE
    }
    found: dict[str, AspectLabel] = {}
    for name, word, begin, end in sorted(spans, key=lambda span: span[2]):
        aspect, given = task.resolve(word), grades.get(name, ())
        if len(given) != 1:
            raise DataError(
                f"속성 '{aspect}'의 등급이 {len(given)}개입니다. 하나를 고르세요.",
                f"aspect '{aspect}' has {len(given)} grades; choose one",
            )
        grade = _grade(str(given[0]), task)
        whole = (begin, end) == (0, len(example.text))
        if aspect in found and found[aspect].sentiment != grade:
            raise DataError(
                f"속성 '{aspect}'에 등급 {found[aspect].sentiment}와(과) {grade}가 함께 있습니다. 하나로 정하세요.",
                f"aspect '{aspect}' has both {found[aspect].sentiment} and {grade}; settle on one",
            )
        if aspect not in found or found[aspect].begin is None:
            found[aspect] = AspectLabel(aspect, grade, None if whole else begin, None if whole else end)
    return list(found.values())


def _grade(word: str, task: Task) -> str:
    for label in task.sentiments:
        if word in (label.key, label.ko, label.en, *label.aliases):
            return label.key
    keys = ", ".join(task.sentiment_keys)
    raise DataError(
        f"등급 '{word[:30]}'이(가) 과제에 없습니다. 있는 것: {keys}", f"no grade '{word[:30]}'; there are: {keys}"
    )


def _target(result: Sequence[Mapping[str, Any]], example: Example) -> Target | None:
    """The target the annotator marked; None where it is the row's own, or nothing was marked."""
    marked = {
        offsets(example.text, item["value"].get("start"), item["value"].get("end"), item["value"].get("text"))
        for item in result
        if item.get("from_name") == TARGET
    }
    if not marked:
        return None
    if len(marked) > 1:
        raise DataError("대상이 둘 이상 표시되었습니다. 하나만 남기세요.", "more than one target is marked; keep one")
    begin, end = marked.pop()
    if example.target is not None and (begin, end) != (example.target.begin, example.target.end):
        raise DataError(
            f"이 행의 대상은 '{example.target.form}'인데 다른 곳이 표시되었습니다. 대상을 바꾸려면 행을 새로 만드세요.",
            f"the target of this row is '{example.target.form}', but other words are marked; for another target make a new row",
        )
    return None if example.target is not None else Target(example.text[begin:end], begin, end)


def _who(value: Any) -> str:
    """``completed_by``: a number, or a person with an address, as versions and settings have it."""
    if isinstance(value, dict):
        return str(value.get("email") or value.get("username") or value.get("id"))
    return "label-studio" if value is None else f"label-studio:{value}"


def _utc(stamp: str) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromisoformat(stamp)
    return moment.astimezone(UTC).isoformat(timespec="seconds")
