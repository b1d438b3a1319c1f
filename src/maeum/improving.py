"""The improvement loop from Python: what to label next, which labels look wrong, and whether the new model is better.

What may stand for rows is as in ``maeum.api``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum import auditing, comparing, folder, sampling
from maeum._files import refuse_existing, refuse_input
from maeum.analyzer import Analyzer
from maeum.api import Rows, dataset, none_left, records_of, taken, texts_of
from maeum.auditing.outputs import FOLDER as AUDIT
from maeum.comparing.outputs import FOLDER as COMPARISON
from maeum.data import Dataset, Example
from maeum.formats import iter_examples
from maeum.task import Task


def sample(
    model: Analyzer | str | Path,
    pool: Rows,
    n: int,
    *,
    task: str | None = None,
    train: Rows | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    tick: Callable[[int], None] = lambda _: None,
    **options: Any,
) -> sampling.Sample:
    """Which unlabelled rows to label next, each with its reasons in ``meta["sample"]``; written if ``output`` is given.

    Args:
        model: a model, or its folder.
        pool: see ``Rows``; labels in it are left alone. A file is read twice and not held.
        n: rows to pick.
        task: which head of a model that has several.
        train: what the model learnt from: not picked again, and what is rare or far is told from it.
        tick: called with the number of rows measured so far.
        options: fields of ``maeum.sampling.SampleSettings`` (``random_share``, ``stratify``, ``weights``, …), and of
            reading a file (``format``, ``text_column``, …).
    """
    reading = {"n": n, **options}
    settings = taken(reading, sampling.SampleSettings)
    if output is not None:
        sampling.output_kind(Path(output))
        refuse_input(Path(output), *(rows for rows in (pool, train) if isinstance(rows, str | Path)))
        if not overwrite:
            refuse_existing(Path(output), overwrite=False)
    analyzer = model if isinstance(model, Analyzer) else folder.load(model, task=task)
    rows = _pool(pool, analyzer.task, settings.stratify, reading)
    known = None if train is None else _learnt(train, analyzer.task)
    place = None if isinstance(model, Analyzer) else folder.embedded(model)
    found = sampling.sample(analyzer, rows, settings, train=known, model=place, tick=tick)
    if output is not None:
        sampling.write_sample(found.rows, Path(output), overwrite=overwrite)
    return found


def _pool(pool: Rows, task: Task, stratify: tuple[str, ...], reading: dict[str, Any]) -> sampling.Pool:
    if isinstance(pool, str | Path):
        return sampling.Pool(str(pool), task, stratify, **reading)
    none_left(reading)
    if isinstance(pool, Dataset):
        return sampling.HeldPool(pool.examples, stratify)
    records = records_of(pool)
    return sampling.HeldPool(texts_of(records, task), stratify, fields=records)


def _learnt(train: Rows, task: Task) -> Sequence[Example]:
    if isinstance(train, str | Path):
        return list(iter_examples(str(train), with_labels=False))
    return train.examples if isinstance(train, Dataset) else texts_of(records_of(train), task)


def audit(
    data: Rows,
    *,
    task: Task | str | None = None,
    valid: Rows | None = None,
    model: str = "linear",
    oof: str | Path | None = None,
    folds: int | None = None,
    model_options: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> auditing.Audit:
    """Which labels look wrong, are confused, differ between copies or are too rare; a report and a work list if ``output``.

    Args:
        data, valid: see ``Rows``; in ``valid`` texts that also train are looked for.
        model: what is cross-validated, as for ``train``.
        oof: a model folder trained on these rows, whose out-of-fold probabilities are used instead.
        folds, model_options: of the cross-validation.
        settings: fields of ``maeum.auditing.Settings``: ``expected_errors``, ``method``, ``top``, ``near``, ``pairs``, ``seed``.
    """
    asked = taken(settings, auditing.Settings)
    none_left(settings)
    if output is not None:
        refuse_existing(Path(output), overwrite=overwrite, kind=AUDIT)
    work = None if output is None else Path(f"{output}.partial")
    rows = dataset(data, task)
    found = auditing.audit(
        rows,
        valid=None if valid is None else dataset(valid, rows.task),
        model=model,
        oof=oof,
        folds=folds,
        settings=asked,
        model_options=model_options,
        work=work,
        progress=progress,
    )
    if output is not None:
        auditing.write(found, output, overwrite=overwrite)
    if work is not None:
        shutil.rmtree(work, ignore_errors=True)
    return found


def compare(
    a: str | Path,
    b: str | Path,
    data: Rows,
    *,
    task: Task | str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> comparing.Comparison:
    """How model ``b`` differs from ``a`` on labelled rows that neither learnt from; a report if ``output`` is given.

    Args:
        a, b: model folders, or files of their predictions.
        data: see ``Rows``.
        options: ``resamples`` and ``seed`` of the bootstrap.
    """
    if output is not None:
        refuse_existing(Path(output), overwrite=overwrite, kind=COMPARISON)
    first = next((path for path in (a, b) if not Path(path).is_file()), None)
    rows = dataset(data, task, fallback=None if first is None or task is not None else folder.load(first).task)
    found = comparing.compare(a, b, rows, **options)
    if output is not None:
        comparing.write(found, output, overwrite=overwrite)
    return found
