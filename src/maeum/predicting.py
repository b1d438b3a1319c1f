"""Predictions for a whole file: streamed in constant memory, and resumed after a kill with no row lost or doubled.

While it runs, rows go to ``OUT.partial`` (our predictions JSONL) and ``OUT.progress.json`` records how many rows and
bytes of it are safe. A later run with the same model, input and options cuts the file back to the safe bytes and goes
on; any other run is refused. At the end the rows are renamed or converted to the format asked for, and the record
becomes ``OUT.done.json``: where the file came from.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from maeum._files import canonical_json, pretty_json, refuse_input, sha256_file, sha256_text, write_text
from maeum._version import __version__
from maeum.analyzer import Analyzer, batched
from maeum.data import AspectLabel, Dataset, Example, Target
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.formats import (
    PredictionRow,
    align,
    iter_examples,
    open_source,
    prediction_line,
    read_predictions,
    write,
    write_predictions,
)
from maeum.task import Task, builtin_task
from maeum.thresholds import Thresholds

SAVE_EVERY_SEC = 1.0
"""How much work a kill can cost."""


@dataclass(frozen=True)
class Prediction:
    """What a run of ``predict_file`` did."""

    rows: int
    """Rows in the output."""
    resumed: int
    """Rows an earlier, interrupted run had already done."""
    seconds: float
    """Wall-clock seconds of this run."""
    complete_before: bool = False
    """Whether an earlier run had already finished, so that nothing was done."""


NO_WORDS: Mapping[str, Any] = {"evidence": [], "sentiment_evidence": []}
Evidence = Callable[[Sequence[Example]], list[Mapping[str, Any]]]
"""For each row, aspect → ``{"evidence", "sentiment_evidence"}``, the words that made it and its grade."""


def prediction_rows(
    analyzer: Analyzer, examples: Iterable[Example], *, batch_size: int, evidence: Evidence | None = None
) -> Iterator[PredictionRow]:
    """Predictions one by one; ``batch_size`` texts go through the model at a time.

    Args:
        evidence: for review models: finds the words behind each aspect and its grade.
    """
    for batch in batched(examples, batch_size):
        proba = analyzer.predict_proba(batch)
        decided = analyzer.decide(proba)
        graded = analyzer.grade(batch, decided, proba)
        words = evidence(batch) if evidence is not None and graded is not None else None
        for row, (example, scores, on) in enumerate(zip(batch, proba, decided, strict=True)):
            labels = analyzer.task.decode(on)
            aspects = None if graded is None else graded[row]
            if aspects is not None and words is not None:
                aspects = tuple({**item, **words[row].get(item["aspect"], NO_WORDS)} for item in aspects)
            by_key = _by_key(analyzer.task, scores)
            yield PredictionRow(example.id, example.text, example.target, labels, by_key, aspects)


def _by_key(task: Task, scores: NDArray[np.float32]) -> dict[str, float]:
    """One row of probabilities by label key, as they are; a ``PredictionRow`` shortens them when it is written."""
    return dict(zip(task.keys, scores.tolist(), strict=True))


def predict_file(
    analyzer: Analyzer,
    source: str,
    output: Path,
    *,
    model_fingerprint: str,
    read: Callable[[], Iterator[Example]],
    finish: Callable[[Path, Path], None] | None = None,
    options: Mapping[str, Any],
    batch_size: int = 256,
    overwrite: bool = False,
    tick: Callable[[int], None] = lambda _: None,
    evidence: Evidence | None = None,
) -> Prediction:
    """Predict every row of ``source`` into ``output``.

    Args:
        analyzer: the model.
        source: the input file, for its fingerprint.
        output: the file to write; it appears only when it is complete.
        model_fingerprint: what tells this model from another.
        read: a fresh iterator over the input's rows, always in the same order.
        finish: turns the finished JSONL (first path) into ``output`` (second path); None: the JSONL is the output.
        options: everything else that shapes the output.
        batch_size: texts per model call.
        overwrite: start anew whatever is there.
        tick: called with the number of rows done so far.
        evidence: as in ``prediction_rows``; whatever shapes it belongs into ``options``.

    Raises:
        UsageError: ``output`` exists or is ``source``, or another model, input or set of options was half-way into it.
    """
    refuse_input(output, source)
    identity = {
        "model": model_fingerprint,
        "input": sha256_file(Path(source)),
        "options": sha256_text(canonical_json({**options, "maeum": __version__})),
    }
    files = _Files(output)
    try:
        return _predict(analyzer, files, identity, source, read, finish, batch_size, overwrite, tick, evidence)
    except DataError:
        files.clear()  # the same input will fail again, so there is nothing to resume
        raise


def _predict(
    analyzer: Analyzer,
    files: _Files,
    identity: Mapping[str, str],
    source: str,
    read: Callable[[], Iterator[Example]],
    finish: Callable[[Path, Path], None] | None,
    batch_size: int,
    overwrite: bool,
    tick: Callable[[int], None],
    evidence: Evidence | None,
) -> Prediction:
    start = time.perf_counter()
    if overwrite:
        files.clear()
    done = None if overwrite else files.finished(identity)
    if done is not None:
        return Prediction(done, done, time.perf_counter() - start, complete_before=True)
    state = files.state(identity)
    resumed = int(state["rows"])
    rows = resumed
    files.output.parent.mkdir(parents=True, exist_ok=True)
    with files.partial.open("r+" if resumed else "w", encoding="utf-8", newline="\n") as file:
        file.truncate(int(state["bytes"]))
        file.seek(0, os.SEEK_END)
        saved = time.perf_counter()
        tick(rows)
        rest = islice(read(), resumed, None)
        for row in prediction_rows(analyzer, rest, batch_size=batch_size, evidence=evidence):
            file.write(prediction_line(row) + "\n")
            rows += 1
            if rows % batch_size == 0 and time.perf_counter() - saved > SAVE_EVERY_SEC:
                files.record(file, identity, rows)
                saved = time.perf_counter()
            if rows % batch_size == 0:
                tick(rows)
        files.record(file, identity, rows)
    tick(rows)
    files.finish(identity, rows, source, finish)
    return Prediction(rows, resumed, time.perf_counter() - start)


class _Files:
    """The output and the three files beside it that make it safe."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.partial = output.with_name(output.name + ".partial")
        self.progress = output.with_name(output.name + ".progress.json")
        self.done = output.with_name(output.name + ".done.json")

    def clear(self) -> None:
        for path in (self.done, self.progress, self.partial):
            path.unlink(missing_ok=True)

    def finished(self, identity: Mapping[str, str]) -> int | None:
        """Rows of the finished output if it is this very job's; None if there is none."""
        if not self.output.exists():
            self.done.unlink(missing_ok=True)
            return None
        record = _read_record(self.done)
        if (
            record is not None
            and record.get("identity") == identity
            and record.get("output") == sha256_file(self.output)
        ):
            return int(record["rows"])
        if self._killed_while_finishing(identity):
            return None
        raise UsageError(
            f"'{self.output}'이(가) 이미 있습니다. 다른 이름을 쓰거나 --overwrite를 붙이세요.",
            f"'{self.output}' already exists; choose another name or add --overwrite",
        )

    def _killed_while_finishing(self, identity: Mapping[str, str]) -> bool:
        """Whether the output is this job's own, put in place just before a kill; the rows are then finished again."""
        record = _read_record(self.progress)
        if record is None or record.get("identity") != identity:
            return False
        if not self.partial.exists() and self.output.stat().st_size == record["bytes"]:
            self.output.replace(self.partial)
        return self.partial.exists()

    def state(self, identity: Mapping[str, str]) -> Mapping[str, Any]:
        record = _read_record(self.progress)
        if record is None:
            return {"rows": 0, "bytes": 0}
        if record.get("identity") != identity:
            other = [name for name, value in identity.items() if record.get("identity", {}).get(name) != value]
            named_ko = {"model": "모델", "input": "입력 파일", "options": "옵션"}
            raise UsageError(
                f"'{self.output}'에 쓰다 만 작업이 있는데 {'·'.join(named_ko[name] for name in other)}이(가) 지금과 다릅니다. "
                "처음부터 다시 하려면 --overwrite를 붙이세요.",
                f"an interrupted run was writing '{self.output}' with another {' and '.join(other)}; "
                "add --overwrite to start anew",
            )
        if not self.partial.exists() or self.partial.stat().st_size < record["bytes"]:
            return {"rows": 0, "bytes": 0}
        return record

    def record(self, file: TextIO, identity: Mapping[str, str], rows: int) -> None:
        """Make the rows so far safe: first the rows, then the note that they are."""
        file.flush()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
        write_text(self.progress, pretty_json({"identity": dict(identity), "rows": rows, "bytes": size}))

    def finish(
        self, identity: Mapping[str, str], rows: int, source: str, convert: Callable[[Path, Path], None] | None
    ) -> None:
        if convert is None:
            self.partial.replace(self.output)
        else:
            convert(self.partial, self.output)
        record = {
            "identity": dict(identity),
            "rows": rows,
            "output": sha256_file(self.output),
            "input": Path(source).name,
            "maeum": __version__,
        }
        write_text(self.done, pretty_json(record))
        self.progress.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return record if isinstance(record, dict) else None


# -- predictions in other forms -----------------------------------------------------------------------------


def convert_predictions(
    rows: str | Path,
    output: Path,
    task: Task,
    *,
    to: str,
    source: str | None = None,
    thresholds: Thresholds | None = None,
) -> int:
    """Write a predictions file in another form and return the number of rows.

    Args:
        rows: predictions, ours or seed 000's ``*_predict.json``.
        output: the file to write, atomically.
        task: whose labels they are.
        to: ``jsonl``, ``csv``, ``tsv``, ``xlsx``, ``parquet``, or a corpus format such as ``nikl-ea``.
        source: the corpus file the predictions are about; its rows give ids and texts, and a submission (``nikl-ea``,
            ``nikl-sa``) is that file with only its answers replaced.
        thresholds: decide the labels anew from the scores; without it the file's own labels hold, or 0.5.

    Raises:
        TaskMismatch: a submission of another task's labels.
        DataError: predictions and source do not belong together.
    """
    refuse_form(task, to)
    decided = _decided(rows, task, source, thresholds)
    if to in ("jsonl", *TABLES):
        write_predictions(decided, output, task, to)
    else:
        examples = [Example(row.id, row.text, row.target, row.labels, _aspect_labels(row)) for row in decided]
        write(examples, output, to, task=task, source=_corpus_file(source, to))
    return len(decided)


def refuse_form(task: Task, to: str) -> None:
    """Say so where predictions of a task have no place in a form.

    Raises:
        TaskMismatch: a submission of another task's labels, or a completion without grades that are numbers.
    """
    own = builtin_task(to) if to in SUBMISSIONS else task
    if (task.keys, task.sentiment_keys) != (own.keys, own.sentiment_keys):
        raise TaskMismatch(
            f"{to} 제출 파일은 과제 {to}의 예측으로만 만들 수 있습니다(예측의 과제: '{task.name}').",
            f"a {to} submission needs predictions of task {to}, these are of '{task.name}'",
        )
    numbers = bool(task.sentiments) and all(re.fullmatch(r"-?\d+", grade) for grade in task.sentiment_keys)
    if to == "completion" and not numbers:
        raise TaskMismatch(
            f"completion은 감성이 숫자인 속성 과제의 예측으로만 만들 수 있습니다(예측의 과제: '{task.name}').",
            f"a completion needs predictions of an aspect task whose grades are numbers, these are of '{task.name}'",
        )


def stream_predictions(path: Path) -> Iterator[PredictionRow]:
    """The rows of a file in our own predictions JSONL, one by one."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            target = row["target"] and Target(**row["target"])
            aspects = tuple(row["aspects"]) if "aspects" in row else None
            labels = tuple(row["labels"] if aspects is None else (item["aspect"] for item in aspects))
            yield PredictionRow(row["id"], row["text"], target, labels, row["scores"], aspects)


def finish_predictions(
    rows: Path, output: Path, task: Task, *, to: str, source: str, format: str | None = None
) -> None:
    """Turn the finished rows of ``predict_file`` into the format asked for; tables in constant memory.

    Args:
        format: of ``source``; told from the file if not given. Where it is that of ``to``, the corpus file is copied.
    """
    if to in TABLES:
        write_predictions(stream_predictions(rows), output, task, to)
    else:
        corpus = _corpus_file(source, to, format) is not None
        convert_predictions(rows, output, task, to=to, source=source if corpus else None)


TABLES = ("csv", "tsv", "xlsx", "parquet")
SUBMISSIONS = ("nikl-ea", "nikl-sa")
"""Corpora whose own files are copied with the answers filled in."""


def _corpus_file(source: str | None, to: str, format: str | None = None) -> Path | None:
    """The file to fill the answers in: the source, if it is of the very corpus that is written; else rows are new."""
    opened = None if source is None else open_source(source, format=format)
    return opened.source.path if opened is not None and opened.format.name == to else None


def _decided(rows: str | Path, task: Task, source: str | None, thresholds: Thresholds | None) -> list[PredictionRow]:
    predictions = read_predictions(rows, task)
    rule = thresholds or Thresholds.default(task)
    labels = predictions.labels
    if thresholds is not None or labels is None:
        labels = tuple(task.decode(on) for on in rule.decide(predictions.scores))
    graded = predictions.graded(labels) or (None,) * len(labels)
    if source is not None:
        # a file that is only predicted on may be labelled for another task
        data = Dataset(task, iter_examples(source, task=task, with_labels=False), source=source)
        order = align(predictions, data).rows
        return [
            PredictionRow(e.id, e.text, e.target, labels[row], _by_key(task, predictions.scores[row]), graded[row])
            for e, row in zip(data, order, strict=True)
        ]
    ids = predictions.ids or tuple(f"row-{number:06d}" for number in range(1, len(predictions) + 1))
    inputs = predictions.inputs
    return [
        PredictionRow(
            ids[row],
            inputs[row].text if inputs else "",
            inputs[row].target if inputs else None,
            labels[row],
            _by_key(task, predictions.scores[row]),
            graded[row],
        )
        for row in predictions.order
    ]


def _aspect_labels(row: PredictionRow) -> tuple[AspectLabel, ...] | None:
    if row.aspects is None:
        return None
    return tuple(
        AspectLabel(item["aspect"], item["sentiment"], item.get("begin"), item.get("end")) for item in row.aspects
    )
