"""One annotation of Label Studio: choices about the text, marked regions with raw offsets, who and when.

Read here for data that is only to be learnt from (``label_studio``) and for rows that come back with who said what
(``maeum.annotating``). Labels of emotion tasks are ``<Choices>``, the words that show them ``<Labels>`` spans; aspects are
spans, each with its grade as a choice of its own region (``perRegion``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from maeum.data import AspectLabel, Example, Target
from maeum.errors import DataError
from maeum.formats.labels import LabelReader

TEXT, LABELS, EVIDENCE, TARGET, GRADE, NOTE = "text", "labels", "evidence", "target", "grade", "note"
"""Names of the tags in the labelling interface that ``maeum annotate export`` writes; results are found by them."""

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Region:
    """Words that were marked; ``end`` is exclusive, both count code points of the raw text."""

    id: str
    """What other results about the same region carry, too."""
    label: str
    begin: int
    end: int


@dataclass(frozen=True)
class Answer:
    """What one annotator said of one text."""

    annotator: str
    when: str
    """ISO 8601 in UTC; empty where the export does not say."""
    labels: tuple[str, ...] | None = None
    aspects: tuple[AspectLabel, ...] | None = None
    target: Target | None = None
    """Where it was marked; None where the row's own stays."""
    regions: tuple[Region, ...] = ()
    note: str = ""


def finished(item: Found) -> list[Found]:
    """The annotations of a task that were submitted, not skipped."""
    listed = item.get("annotations")
    return [
        one
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict) and not one.get("was_cancelled")
    ]


def results(annotation: Found) -> list[Found]:
    """The results of an annotation that hold a value (relations between regions hold none)."""
    listed = annotation.get("result")
    found = [item for item in (listed if isinstance(listed, list) else []) if isinstance(item, dict)]
    return [item for item in found if isinstance(item.get("value"), dict)]


def choices(found: Sequence[Found], tag: str | None = None) -> list[tuple[str, tuple[str, ...]]]:
    """(name of the tag, words) of choices about the whole text; of one tag, or of all."""
    whole = [item for item in found if "choices" in item["value"] and "start" not in item["value"]]
    return [
        (str(item.get("from_name")), _words(item, "choices"))
        for item in whole
        if tag is None or item.get("from_name") == tag
    ]


def grades(found: Sequence[Found]) -> dict[str, tuple[str, ...]]:
    """Choices that belong to a region: id of the region → words."""
    own = [item for item in found if "choices" in item["value"] and "start" in item["value"]]
    return {str(item.get("id", "")): _words(item, "choices") for item in own}


def regions(found: Sequence[Found], text: str, *, tag: str | None = None) -> list[Region]:
    """The regions with a label, in order of the text; of one tag, or of all but ``TARGET``.

    Raises:
        DataError: a region does not lie in the text, or has not one label.
    """
    marked = []
    for item in found:
        name, value = item.get("from_name"), item["value"]
        if "labels" not in value or (name == TARGET if tag is None else name != tag):
            continue
        begin, end = offsets(text, value.get("start"), value.get("end"), value.get("text"))
        words = _words(item, "labels")
        if len(words) != 1:
            raise DataError(
                f"표시한 부분의 라벨이 {len(words)}개입니다. 하나만 다세요.",
                f"a region has {len(words)} labels; give it one",
            )
        marked.append(Region(str(item.get("id", "")), words[0], begin, end))
    return sorted(marked, key=lambda region: (region.begin, region.end, region.label))


def aspects(
    marked: Sequence[Region], graded: Mapping[str, tuple[str, ...]], text: str, labels: LabelReader
) -> tuple[AspectLabel, ...]:
    """Aspects with their grades, each once; a region over the whole text stands for one that no words show.

    Raises:
        DataError: a region without a grade or with several, or one aspect with two grades.
        TaskMismatch: a word that the task does not have.
    """
    found: dict[str, AspectLabel] = {}
    for region in marked:
        given = graded.get(region.id, ())
        if len(given) != 1:
            raise DataError(
                f"속성 '{region.label}'의 등급이 {len(given)}개입니다. 하나를 고르세요.",
                f"aspect '{region.label}' has {len(given)} grades; choose one",
            )
        whole = (region.begin, region.end) == (0, len(text))
        item = labels.aspect(region.label, given[0], None if whole else region.begin, None if whole else region.end)
        known = found.get(item.aspect)
        if known is not None and known.sentiment != item.sentiment:
            raise DataError(
                f"속성 '{item.aspect}'에 등급 {known.sentiment}와(과) {item.sentiment}가 함께 있습니다. 하나로 정하세요.",
                f"aspect '{item.aspect}' has both {known.sentiment} and {item.sentiment}; settle on one",
            )
        if known is None or known.begin is None:
            found[item.aspect] = item
    task = labels.task
    return (
        tuple(found.values())
        if task is None
        else tuple(sorted(found.values(), key=lambda i: task.keys.index(i.aspect)))
    )


def target(found: Sequence[Found], example: Example) -> Target | None:
    """The target the annotator marked; None where it is the row's own, or nothing was marked.

    Raises:
        DataError: several are marked, or other words than the row's own target.
    """
    values = [item["value"] for item in found if item.get("from_name") == TARGET]
    marked = {offsets(example.text, value.get("start"), value.get("end"), value.get("text")) for value in values}
    if not marked:
        return None
    if len(marked) > 1:
        raise DataError("대상이 둘 이상 표시되었습니다. 하나만 남기세요.", "more than one target is marked; keep one")
    begin, end = marked.pop()
    own = example.target
    if own is not None and (begin, end) != (own.begin, own.end):
        raise DataError(
            f"이 행의 대상은 '{own.form}'인데 다른 곳이 표시되었습니다. 대상을 바꾸려면 행을 새로 만드세요.",
            f"the target of this row is '{own.form}', but other words are marked; for another target make a new row",
        )
    return None if own is not None else Target(example.text[begin:end], begin, end)


def notes(found: Sequence[Found]) -> str:
    """What was written into the text area ``NOTE``, in one line."""
    given = [item["value"].get("text") for item in found if item.get("from_name") == NOTE]
    words = [word for one in given for word in (one if isinstance(one, list) else [one]) if word is not None]
    return " ".join(" ".join(map(str, words)).split())


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


def who(annotation: Found) -> str:
    """``completed_by``: a number, or a person with an address, as versions and settings have it."""
    value = annotation.get("completed_by")
    if isinstance(value, dict):
        return str(value.get("email") or value.get("username") or f"label-studio:{value.get('id')}")
    return "label-studio" if value is None else f"label-studio:{value}"


def when(annotation: Found) -> str:
    """When it was saved last, ISO 8601 in UTC; empty where the export does not say.

    Raises:
        DataError: it is no time.
    """
    saved = annotation.get("updated_at") or annotation.get("created_at")
    if not saved:
        return ""
    try:
        moment = datetime.fromisoformat(str(saved))
    except ValueError as error:
        raise DataError(
            f"저장한 때가 시각이 아닙니다: '{str(saved)[:40]}'", f"the time of saving is no time: '{str(saved)[:40]}'"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")


def _same(found: str, marked: str) -> bool:
    # line ends are shown as "\\n" by some versions
    return found == marked or "".join(found.split()) == "".join(marked.replace("\\n", "\n").split())


def _words(item: Found, kind: str) -> tuple[str, ...]:
    listed = item["value"].get(kind)
    if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        raise DataError(
            f"'{item.get('from_name')}'의 {kind}는 낱말의 목록이어야 합니다: {str(listed)[:60]}",
            f"{kind} of '{item.get('from_name')}' is a list of words, got {str(listed)[:60]}",
        )
    return tuple(listed)
