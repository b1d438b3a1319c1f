"""``rollup``: many reviews in, a folder of tables, sentences and one page out.

Predictions go to ``DIR.partial/predictions.jsonl`` through ``predict_file``, so a run that was killed goes on where it
stopped, and everything is counted from there. ``DIR`` appears when it is complete.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from maeum._files import sha256_file
from maeum._lang import say
from maeum._progress import Line, steps
from maeum.analyzer import Analyzer
from maeum.errors import DataError, UsageError
from maeum.evaluation import predictions_task
from maeum.folder import embedded, fingerprint, load
from maeum.formats import (
    ReadOptions,
    ReadReport,
    iter_table_predictions,
    open_source,
    sample_path,
    write_predictions,
)
from maeum.formats.reading import Opened
from maeum.predicting import TABLES, predict_file
from maeum.rolling.columns import Seen, check_columns, check_names, examples, keys_of, keys_of_meta
from maeum.rolling.counting import ALL, UNDATED
from maeum.rolling.gathering import gather
from maeum.rolling.index import RowIndex
from maeum.rolling.outputs import refuse, write
from maeum.rolling.periods import day_name
from maeum.rolling.rollup import Facts, Result, notes
from maeum.rolling.settings import Settings
from maeum.rolling.stored import Predicted, Stored
from maeum.task import Task, get_task
from maeum.thresholds import Thresholds

_META_LOOKED_AT = 1000
_EVERY = 1024


@dataclass(frozen=True)
class Rollup:
    """What a run did; the numbers are in its folder."""

    output: Path
    rows: int
    """Rows that were counted."""
    resumed: int
    """Rows an earlier, interrupted run had already predicted."""
    rejected: int
    """Rows that could not be read and were skipped."""
    undated: int
    """Rows whose date is missing or could not be told."""
    groups: int
    """Groups in the data."""
    seconds: float
    notes: tuple[str, ...] = ()
    """What to know before reading on."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **{name: getattr(self, name) for name in ("rows", "resumed", "rejected", "undated", "groups", "seconds")},
            "output": str(self.output),
            "notes": list(self.notes),
        }


def rollup(
    model: Analyzer | str | Path,
    source: str | Path | None,
    output: str | Path,
    *,
    settings: Settings | None = None,
    task: Task | str | None = None,
    format: str | None = None,
    reading: ReadOptions | None = None,
    batch_size: int = 512,
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> Rollup:
    """Count what a model says of many texts, by label, time and group.

    Args:
        model: a model, its folder, or a file of predictions as ``maeum predict`` writes them: JSONL, or a table.
        source: the texts, a file of any format. With predictions it only gives dates and groups by id, and None takes
            those from the predictions' own ``meta``.
        output: the folder to write.
        task: the head of a model folder that has several; the task of predictions that do not show it.
        format, reading: how to read ``source``.
        batch_size: texts through the model at a time; the result does not depend on it.
        overwrite: replace an earlier roll-up and start predictions anew.

    Raises:
        UsageError: ``output`` is in the way, a column does not exist, or another job was half-way into ``output``.
        DataError: a row or file that cannot be read.
    """
    start = time.perf_counter()
    chosen = settings or Settings()
    place = Path(output)
    refuse(place, overwrite=overwrite)
    job = _Run(chosen, reading or ReadOptions(), format, batch_size, overwrite, progress, place)
    if not isinstance(model, Analyzer) and Path(model).is_file():
        return job.of_predictions(Path(model), None if source is None else str(source), task, start)
    if source is None:
        if not isinstance(model, Analyzer) and not Path(model).exists():
            raise UsageError(
                f"모델 폴더도 예측 파일도 없습니다: '{model}'",
                f"there is no model folder or predictions file '{model}'",
            )
        raise UsageError("INPUT(글이 든 파일)이 필요합니다.", "INPUT, a file of texts, is needed")
    if str(source) == "-":
        raise UsageError(
            "이어서 하고 두 번 읽어야 하므로 표준 입력(-)은 쓸 수 없습니다. 파일로 저장해 주세요.",
            "standard input (-) cannot be read twice; save it as a file",
        )
    name = task.name if isinstance(task, Task) else task
    analyzer = model if isinstance(model, Analyzer) else load(model, task=name)
    return job.of_model(analyzer, None if isinstance(model, Analyzer) else embedded(model), str(source), start)


class _Run:
    def __init__(
        self,
        settings: Settings,
        reading: ReadOptions,
        format: str | None,
        batch_size: int,
        overwrite: bool,
        progress: Line,
        output: Path,
    ) -> None:
        self.settings, self.reading, self.format = settings, reading, format
        self.batch_size, self.overwrite, self.progress, self.output = batch_size, overwrite, progress, output
        self.partial = output.with_name(output.name + ".partial")
        self.report, self.seen = ReadReport(), Seen()
        self.unmatched = 0

    # -- the two ways in ------------------------------------------------------------------------------------------

    def of_model(self, analyzer: Analyzer, folder: Path | None, source: str, start: float) -> Rollup:
        opened = self._open(source, analyzer.task)
        with self._index() as index:
            self.progress(say("날짜와 묶음 읽기", "reading dates and groups"))
            index.fill(self._keys(opened))
            file = _file_of(source)
            fingerprint = _fingerprint(folder)
            path = self.partial / "predictions.jsonl"
            self.progress(say(f"예측: {self.report.rows:,}행", f"predicting {self.report.rows:,} rows"))
            silent = ReadOptions(**{**vars(self.reading), "rejects": None})
            again = open_source(source, task=analyzer.task, format=self.format, options=silent)
            with steps(self.progress, say("예측", "predicting"), self.report.rows) as step:
                done = predict_file(
                    analyzer,
                    file,
                    path,
                    model_fingerprint=fingerprint,
                    read=lambda: examples(again),
                    options=_identity(silent, self.format, analyzer.task),
                    batch_size=self.batch_size,
                    overwrite=self.overwrite or folder is None,
                    tick=lambda rows: step(rows, ""),
                )
            about = {
                "model": {"name": _name(folder, analyzer), "fingerprint": fingerprint, "kind": analyzer.predictor.kind},
                "input": {"name": _shown(source), "sha256": sha256_file(Path(file))},
            }
            return self._finish(Stored(path, analyzer.task), index, about, done.resumed, start)

    def of_predictions(self, path: Path, source: str | None, task: Task | str | None, start: float) -> Rollup:
        about: dict[str, Any] = {
            "model": {"name": path.name, "fingerprint": sha256_file(path), "kind": "predictions"},
            "input": None,
        }
        with self._index() as index, self._stored(path, task) as stored:
            self.progress(say("날짜와 묶음 읽기", "reading dates and groups"))
            if source is None or (Path(source).exists() and Path(source).samefile(path)):
                self._of_meta(stored, index, path.name)
            else:
                opened = self._open(source, stored.task)
                index.fill(self._keys(opened))
                have, self.unmatched = index.keep(row.id for row in stored.rows())
                if not have:
                    raise DataError(
                        "예측의 id가 INPUT에 하나도 없습니다. 예측을 만든 그 파일인지 보세요.",
                        "no id of the predictions is in INPUT; is it the file the predictions were made of?",
                        path=source,
                    )
                about["input"] = {"name": _shown(source), "sha256": sha256_file(Path(_file_of(source)))}
            return self._finish(stored, index, about, 0, start)

    @contextlib.contextmanager
    def _stored(self, path: Path, task: Task | str | None) -> Iterator[Stored]:
        """The predictions of a file; those of a table as JSONL beside the rest of the work, for as long as the block lasts."""
        if path.suffix.lower().removeprefix(".") not in TABLES:
            yield Stored(path, task)
            return
        given = get_task(task) if isinstance(task, str) else task
        named = given or predictions_task(path)
        with tempfile.TemporaryDirectory(prefix="table-", dir=self.partial) as folder:
            rows = Path(folder) / "predictions.jsonl"
            decide = Thresholds.default(named).decide
            write_predictions(iter_table_predictions(path, named, decide), rows, named)
            yield Stored(rows, named)

    def _of_meta(self, stored: Stored, index: RowIndex, name: str) -> None:
        first = (dict(row.fields) for row in islice(stored.rows(), _META_LOOKED_AT))
        check_names(first, self.settings, name)
        rows = ((row.id, row.fields) for row in stored.rows())
        index.fill(key for key, _ in keys_of_meta(rows, self.settings, self.seen))

    # -- reading --------------------------------------------------------------------------------------------------

    def _open(self, source: str, task: Task) -> Opened:
        opened = open_source(source, task=task, format=self.format, options=self.reading)
        check_columns(opened, self.settings)
        if self.reading.rejects is not None:
            self.reading.rejects.unlink(missing_ok=True)
        return opened

    def _keys(self, opened: Opened) -> Iterator[Any]:
        return keys_of(opened, self.settings, self.report, self.seen)

    @contextlib.contextmanager
    def _index(self) -> Iterator[RowIndex]:
        """A table of keys beside the predictions, gone when the block ends; the predictions stay, to go on from."""
        self.partial.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(prefix="rows-", dir=self.partial) as folder:
                index = RowIndex(Path(folder) / "rows.sqlite")
                try:
                    yield index
                finally:
                    index.close()
        finally:
            with contextlib.suppress(OSError):
                self.partial.rmdir()  # where nothing is left to go on from

    # -- counting and writing -------------------------------------------------------------------------------------

    def _finish(self, stored: Stored, index: RowIndex, about: dict[str, Any], resumed: int, start: float) -> Rollup:
        settings = self.settings
        self.progress(say("세기", "counting"))
        total = self.report.rows or sum(1 for _ in stored.rows())
        asked = settings.date_column is not None or settings.group_column is not None
        gathered = gather(
            stored,
            index if asked else None,
            settings,
            index.top_groups(settings.top),
            self._passes(stored, total),
        )
        days = index.days()
        rows, undated = gathered.counts[ALL].rows, gathered.counts[UNDATED].rows
        input_name = about["input"]["name"] if about["input"] else about["model"]["name"]
        facts = Facts(
            model=about["model"]["name"],
            input=input_name,
            rows=rows,
            rejected=self.report.rejected,
            undated=undated,
            unmatched=self.unmatched,
            groups=index.groups(),
            first_day=day_name(days[0]) if days else "",
            last_day=day_name(days[-1]) if days else "",
            short_year=self.seen.short_year,
            bad_date=self.seen.example,
            vocabulary=gathered.vocabulary,
            unlisted=gathered.unlisted,
        )
        result = Result(stored.task, settings, gathered.counts, gathered.words, gathered.sentences, facts)
        self.progress(say("쓰기", "writing"))
        write(result, stored, about, self.report, self.output, self.partial)
        return Rollup(
            output=self.output,
            rows=rows,
            resumed=resumed,
            rejected=facts.rejected,
            undated=undated,
            groups=facts.groups,
            seconds=time.perf_counter() - start,
            notes=tuple(notes(result)),
        )

    def _passes(self, stored: Stored, total: int) -> Callable[[str], Iterator[Predicted]]:
        names = {
            "counting": say("세기", "counting"),
            "words": say("낱말", "words"),
            "sentences": say("문장", "sentences"),
        }

        def rows(name: str) -> Iterator[Predicted]:
            with steps(self.progress, names[name], total) as step:
                for number, row in enumerate(stored.rows(), start=1):
                    yield row
                    if number % _EVERY == 0 or number == total:
                        step(number, "")

        return rows


def _fingerprint(folder: Path | None) -> str:
    if folder is None:
        return uuid.uuid4().hex  # a model in memory has no file to tell it by, so nothing of it is resumed
    return fingerprint(folder)


def _identity(reading: ReadOptions, format: str | None, task: Task) -> dict[str, Any]:
    return {**vars(reading), "format": format, "task": task.fingerprint}


def _name(folder: Path | None, analyzer: Analyzer) -> str:
    return analyzer.predictor.kind if folder is None else folder.resolve().name


def _file_of(source: str) -> str:
    return str(sample_path(source)) if source.startswith("sample:") else source


def _shown(source: str) -> str:
    return source if source.startswith("sample:") else Path(source).name
