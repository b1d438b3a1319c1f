"""Reading: a source in any format → examples one by one, or a ``Dataset``."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maeum.data import Dataset, Example
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.formats.guess import guess_format
from maeum.formats.ids import SeenIds, row_id
from maeum.formats.jsonrows import refuse_unwritable
from maeum.formats.labels import infer_task
from maeum.formats.lines import Row, Source, too_long
from maeum.formats.options import ReadOptions, ReadReport, Rejects
from maeum.formats.records import Context, Format, Unreadable
from maeum.formats.registry import FORMATS
from maeum.formats.samples import PREFIX, find_sample, sample_path
from maeum.task import Task, builtin_task, get_task

STDIN = "-"


@dataclasses.dataclass(frozen=True)
class Opened:
    """A source whose format and task are settled."""

    source: Source
    format: Format
    task: Task | None


def read(
    source: str | Path,
    *,
    task: Task | str | None = None,
    format: str | None = None,
    options: ReadOptions | None = None,
    report: ReadReport | None = None,
    content: bytes | None = None,
    **settings: Any,
) -> Dataset:
    """Read a file, ``-`` (standard input) or ``sample:NAME`` into a dataset.

    Args:
        source: where the rows are.
        task: a task or its name; without it, the format's own, else one inferred from the labels.
        format: a name of ``FORMATS``; guessed if the file leaves no doubt.
        options: how to read.
        report: filled with counts of rows read and rejected.
        content: what the file holds, where it is not on disk (an upload); ``source`` then is its name.
        settings: single fields of ``ReadOptions``, as in ``read(path, text_column="리뷰")``.

    Raises:
        DataError: a bad row (unless ``on_error="skip"``) or file, with file and line.
        UsageError: the format cannot be told, or an unknown name or option.
    """
    opened = open_source(source, task=task, format=format, options=options, content=content, **settings)
    examples = list(_examples(opened, True, report or ReadReport()))
    name = opened.source.name
    shown = str(source) if str(source).startswith(PREFIX) else name
    if opened.task is not None:
        return Dataset(opened.task, examples, source=shown)
    try:
        inferred = infer_task(examples, Path(name).stem if opened.source.path else "stdin")
    except DataError as error:
        raise error.at(name) from error
    columns = {key: index for index, key in enumerate(inferred.keys)}
    ordered = (_ordered(example, columns) for example in examples)
    return Dataset(inferred, ordered, source=shown)


def iter_examples(
    source: str | Path,
    *,
    task: Task | str | None = None,
    format: str | None = None,
    with_labels: bool = True,
    options: ReadOptions | None = None,
    report: ReadReport | None = None,
    content: bytes | None = None,
    **settings: Any,
) -> Iterator[Example]:
    """Read examples one by one, in file order and in constant memory (xlsx and JSON arrays are read whole).

    Ids and order depend on the file alone, so a broken-off run can go on where it stopped.

    Args:
        source, task, format, options, report, content, settings: as for ``read``; without a task, labels stay plain words.
        with_labels: off to leave labels alone, which a file that is only predicted on may have for another task.

    Raises:
        DataError, UsageError: as for ``read``.
    """
    opened = open_source(source, task=task, format=format, options=options, content=content, **settings)
    return _examples(opened, with_labels, report or ReadReport())


def open_source(
    source: str | Path,
    *,
    task: Task | str | None = None,
    format: str | None = None,
    options: ReadOptions | None = None,
    content: bytes | None = None,
    **settings: Any,
) -> Opened:
    """Settle path, format and task of a source without reading its rows."""
    chosen = (options or ReadOptions()).updated(settings)
    name, default_task = str(source), None
    if name.startswith(PREFIX) and content is None:
        sample = find_sample(name)
        name, format, default_task = str(sample_path(name)), format or sample.format, sample.task
    path = None if name == STDIN and content is None else Path(name)
    origin = Source(path, chosen, content=content)
    if path is not None:
        origin.open().close()
    if format is None:
        format = "jsonl" if path is None else guess_format(path, chosen, content=content)
    found = find_format(format)
    return Opened(origin, found, _task(task, found, path, default_task))


def examples_of(opened: Opened, report: ReadReport, rejects: Rejects, seen: SeenIds) -> Iterator[Example]:
    """Examples of a source opened by other means, such as a part of a file, labels left alone; none is no error.

    Args:
        opened: what to read, and as what.
        report: filled while rows are read.
        rejects: counts bad rows; the caller closes it.
        seen: ids used before.

    Raises:
        DataError, UsageError: as for ``read``.
    """
    context = Context(opened.source, opened.task, False, opened.format.tabular, report)
    report.source, report.format = opened.source.name, opened.format.name
    yield from _parsed(opened, context, report, rejects, seen)


def find_format(name: str) -> Format:
    """A format by name.

    Raises:
        UsageError: no such format.
    """
    if name not in FORMATS:
        names = ", ".join(FORMATS)
        raise UsageError(f"'{name}'이라는 형식은 없습니다. 있는 것: {names}", f"no format '{name}'; there are: {names}")
    return FORMATS[name]


# -- inside -------------------------------------------------------------------------------------------------


def _task(task: Task | str | None, format: Format, path: Path | None, default: str | None) -> Task | None:
    if isinstance(task, Task):
        return task
    if task is not None:
        return get_task(task)
    name = default or format.task
    if name is None and format.task_of is not None and path is not None:
        name = format.task_of(path)
    return None if name is None else builtin_task(name)


def _examples(opened: Opened, with_labels: bool, report: ReadReport) -> Iterator[Example]:
    source, format = opened.source, opened.format
    report.source, report.format = source.name, format.name
    rejects = Rejects(source.options.rejects, report)
    context = Context(source, opened.task, with_labels, format.tabular, report)
    with contextlib.closing(rejects):
        examples = _parsed(opened, context, report, rejects, SeenIds())
        yield from format.merge(examples, opened.task) if format.merge else examples
        if not report.rows:
            raise _nothing(report).at(source.name)


def _parsed(opened: Opened, context: Context, report: ReadReport, rejects: Rejects, seen: SeenIds) -> Iterator[Example]:
    source, format = opened.source, opened.format
    for row in _located(format, source):
        report.encoding = source.encoding
        try:
            example = _example(row, format, context, seen)
        except Unreadable as error:
            raise error.at(source.name, None) from None
        except (DataError, TaskMismatch) as error:
            placed = _placed(error, source.name, row.line)
            if source.options.on_error == "stop":
                raise placed from error
            rejects.add(placed, line=row.line, raw=row.raw)
            continue
        if example is None:
            report.dropped += 1
            continue
        report.rows += 1
        yield example


def _located(format: Format, source: Source) -> Iterator[Row]:
    try:
        yield from format.rows(source)
    except DataError as error:
        raise error.at(source.name) from error


def _example(row: Row, format: Format, context: Context, seen: SeenIds) -> Example | None:
    if row.error is not None:
        raise row.error
    example = format.parse(row, context)
    if example is None:
        return None
    given = bool(example.id.strip())
    if not given:
        example = dataclasses.replace(example, id=row_id(row.number))
    _check(example, format, context.options)
    if format.loose_ids:
        example = _renamed(example, seen)
    line = seen.line(example.id)
    if line is not None:
        where_ko, where_en = (f"{line}번째 줄", f"on line {line}") if line else ("앞", "before")
        raise DataError(
            f"id '{example.id[:60]}'이(가) {where_ko}에 이미 나왔습니다. 하나의 id를 바꾸세요.",
            f"id '{example.id[:60]}' was used {where_en} already; change one of them",
        )
    if given:
        seen.add(example.id, row.line)
    else:
        seen.add_made_up(row.number, row.line)
    return example


def _renamed(example: Example, seen: SeenIds) -> Example:
    name, again = example.id, 1
    while name in seen:
        again += 1
        name = f"{example.id}#{again}"
    return example if again == 1 else dataclasses.replace(example, id=name)


def _check(example: Example, format: Format, options: ReadOptions) -> None:
    text = example.text
    refuse_unwritable(text)
    refuse_unwritable(example.id, "id")
    if not format.blank_ok and not text.strip():
        raise DataError(
            "본문이 비어 있습니다. 행을 지우거나 --on-error skip을 쓰세요.",
            "the text is blank; remove the row or use --on-error skip",
        )
    limit = options.max_line_bytes
    if len(text) > limit // 4 and len(text.encode("utf-8")) > limit:
        raise too_long(limit, "", 0)


def _placed(error: DataError | TaskMismatch, path: str, line: int) -> DataError:
    if isinstance(error, DataError) and error.path:
        return error
    return DataError(error.ko, error.en, path=path, line=line)


def _nothing(report: ReadReport) -> DataError:
    if report.rejected:
        return DataError(
            f"쓸 수 있는 행이 없습니다({report.rejected}행 모두 제외). 첫 문제: {report.first_error}",
            f"no usable row ({report.rejected} rejected); the first: {report.first_error}",
        )
    return DataError(
        f"데이터가 없습니다. '{report.format}' 형식의 행이 하나 이상 있어야 합니다.",
        f"there is no data; at least one row in format '{report.format}' is needed",
    )


def _ordered(example: Example, columns: dict[str, int]) -> Example:
    if example.labels is None:
        return example
    return dataclasses.replace(example, labels=tuple(sorted(example.labels, key=columns.__getitem__)))
