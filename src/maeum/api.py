"""The Python surface that takes what people have at hand: paths, data sets, lists or data frames.

The command line is a thin shell over the same calls.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from maeum import experiment, explaining, folder, reviews, rolling, voting
from maeum._files import refuse_existing
from maeum.analyzer import Analyzer
from maeum.data import Dataset, Example, Input
from maeum.errors import UsageError
from maeum.evaluation import judge, retune, score_model, score_predictions
from maeum.experiment import RunResult, TrainSettings
from maeum.report import Report
from maeum.task import Task, get_task
from maeum.thresholds import Thresholds

_Settings = TypeVar("_Settings")
Rows = Dataset | str | Path | Iterable[Mapping[str, Any]]
"""A data set, a file or ``sample:…``, or rows: dictionaries with ``text`` and ``labels`` (or a pandas data frame)."""


def train(
    data: Rows,
    *,
    task: Task | str | None = None,
    valid: Rows | float | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> RunResult:
    """Train, tune and judge a model; save it as a folder if ``output`` is given.

    Args:
        data, valid: see ``Rows``; ``valid`` may also be the share (0–1) of ``data`` to hold out.
        task: a task or its name; needed where the rows do not tell.
        settings: fields of ``TrainSettings``: ``model``, ``folds``, ``keep``, ``seed``, ``objective``, …

    Example:
        >>> train("sample:nikl-ea", valid=0.2, objective="micro-f1").report.metrics["micro_f1"] > 0.2
        True
    """
    rows = dataset(data, task)
    judge_rows = valid if valid is None or isinstance(valid, float) else dataset(valid, rows.task)
    run = reviews.train if rows.task.kind == "aspect" else experiment.train
    return run(
        rows,
        valid=judge_rows,
        settings=_settings(settings),
        output=output,
        overwrite=overwrite,
        progress=progress,
    )


def evaluate(model: Analyzer | str | Path, data: Rows, *, task: Task | str | None = None) -> Report:
    """Metrics of a model (or model folder, or predictions file) on labelled rows; label sets are mapped where they differ."""
    analyzer = _model(model)
    if analyzer is None:
        scored = score_predictions(str(model), dataset(data, task))
        return reviews.with_predicted_scores(judge(scored), scored)
    rows = dataset(data, task, fallback=analyzer.task)
    return reviews.with_review_scores(judge(score_model(analyzer, rows, name=_name(model))), analyzer, rows)


def tune_thresholds(
    model: Analyzer | str | Path,
    data: Rows,
    *,
    objective: str = "macro-f1",
    shrinkage: float = 0.0,
    empty: str = "auto",
    task: Task | str | None = None,
) -> Thresholds:
    """Thresholds of a model (or model folder, or predictions file) that are best on labelled rows; nothing is changed.

    Put them to use with ``Analyzer(..., thresholds=...)``, or on disk with ``maeum thresholds``.
    """
    analyzer = _model(model)
    if analyzer is None:
        scored = score_predictions(str(model), dataset(data, task))
    else:
        scored = score_model(analyzer, dataset(data, task, fallback=analyzer.task), name=_name(model))
    return retune(scored, objective=objective, shrinkage=shrinkage, empty=empty)


def ensemble(
    models: Iterable[str | Path],
    *,
    data: Rows | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> voting.EnsembleResult | reviews.ReviewVote:
    """A model that votes, from model folders of one task; saved as a folder if ``output`` is given.

    Review models vote stage by stage, and what comes of it is a review model again (``maeum.reviews.voting``).

    Args:
        models: the folders.
        data: labelled rows to fit weights and thresholds on, unseen by the models; see ``Rows``. None: the rows all
            models have out-of-fold probabilities for.
        options: ``vote`` (``soft`` or ``hard``), ``weights``, ``equal``, ``objective``, ``empty``; see
            ``maeum.voting.ensemble``.
    """
    if output is not None:
        refuse_existing(Path(output), overwrite=overwrite)
    models = list(models)
    if any(reviews.is_review_folder(model) for model in models):
        return _review_vote(models, data, output, overwrite=overwrite, progress=progress, **options)
    members = voting.open_members(models)
    rows = None if data is None else dataset(data, fallback=members[0].analyzer.task if members else None)
    result = voting.ensemble(members, data=rows, progress=progress, **options)
    if output is not None:
        voting.save_ensemble(result, output, overwrite=overwrite)
    return result


def _review_vote(
    models: Iterable[str | Path], data: Rows | None, output: str | Path | None, *, overwrite: bool, **options: Any
) -> reviews.ReviewVote:
    members = reviews.open_reviews(models)
    rows = None if data is None else dataset(data, fallback=members[0][1].task)
    result = reviews.ensemble(members, data=rows, **options)
    if output is not None:
        reviews.save_ensemble(result, output, overwrite=overwrite)
    return result


def explain(
    model: Analyzer | str | Path,
    texts: Iterable[str | Input | Example],
    *,
    name: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> explaining.Explanations:
    """Which words made the labels that a model gives to texts.

    Args:
        model: a model, or its folder.
        texts: raw texts, inputs or examples; wrap a single one: ``[text]``.
        name: what the answer calls the model.
        options: ``labels``, ``aspect``, ``target``, ``unit`` (``eojeol``, ``morpheme``, ``token``), ``mask``, ``method``
            (``mask``, ``exact``, ``ig``), ``leave_out``, ``quick``, ``mask_target``, ``faithfulness``, ``steps``; see ``maeum.explaining.explain``.
    """
    analyzer = model if isinstance(model, Analyzer) else folder.load(model)
    return explaining.explain(analyzer, texts, model=name or _name(model), progress=progress, **options)


def rollup(
    model: Analyzer | str | Path,
    source: str | Path | None,
    output: str | Path,
    *,
    task: Task | str | None = None,
    batch_size: int = 512,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> rolling.Rollup:
    """Tables and one page out of many texts: by label or aspect, over time, by group.

    Args:
        model: a model, its folder, or a file of predictions in our JSONL.
        source: a file of texts; beside predictions it gives dates and groups by id, and may be None.
        output: the folder to write.
        options: fields of ``maeum.rolling.Settings`` (``date_column``, ``group_column``, ``period``, …), ``format``, and
            those of reading (``text_column``, ``on_error``, …).
    """
    from maeum.formats import ReadOptions

    settings = taken(options, rolling.Settings)
    format = options.pop("format", None)
    return rolling.rollup(
        model,
        source,
        output,
        settings=settings,
        task=task,
        format=format,
        reading=ReadOptions().updated(options),
        batch_size=batch_size,
        overwrite=overwrite,
        progress=progress,
    )


def dataset(rows: Rows, task: Task | str | None = None, *, fallback: Task | None = None) -> Dataset:
    """A data set from what people have at hand.

    Args:
        rows: see ``Rows``.
        task: wins over what the rows say.
        fallback: the task of rows that do not tell.

    Raises:
        UsageError: the rows do not tell their task and none was given.
    """
    from maeum.formats import open_source, read

    chosen = get_task(task) if isinstance(task, str) else task
    if isinstance(rows, Dataset):
        return (
            rows
            if chosen is None or chosen.keys == rows.task.keys
            else Dataset(chosen, rows.examples, source=rows.source)
        )
    if isinstance(rows, str | Path):
        return read(str(rows), task=chosen or open_source(str(rows)).task or fallback)
    chosen = chosen or fallback
    if chosen is None:
        raise UsageError(
            "행만으로는 과제를 알 수 없습니다. task=를 주세요(예: task='nikl-ea').",
            "rows alone do not tell their task; give task= (for example task='nikl-ea')",
        )
    return Dataset(
        chosen, [_example(row, number, chosen) for number, row in enumerate(records_of(rows), 1)], source="rows"
    )


def records_of(rows: Any) -> Sequence[Mapping[str, Any]]:
    """Dictionaries, also out of a data frame, whose missing cells (NaN, NaT, NA) are None."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        rows = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return list(rows)


def texts_of(records: Sequence[Mapping[str, Any]], task: Task) -> Sequence[Example]:
    """Dictionaries as rows whose labels, if there are any, do not matter."""
    rows = (_example(row, number, task, with_labels=False) for number, row in enumerate(records, 1))
    return Dataset(task, rows, source="rows").examples


def taken(options: dict[str, Any], settings: type[_Settings]) -> _Settings:
    """Settings out of keyword arguments; those that are none of its fields stay behind."""
    names = {field.name for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    return settings(**{name: options.pop(name) for name in names & set(options)})


def none_left(options: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that nobody took.

    Raises:
        UsageError: with their names.
    """
    if options:
        names = ", ".join(f"'{name}'" for name in options)
        raise UsageError(f"여기에 없는 설정: {names}", f"no such settings here: {names}")


def _example(row: Mapping[str, Any], number: int, task: Task, *, with_labels: bool = True) -> Example:
    """A dictionary in the form of our JSONL, or with the columns of a table (``text``, ``label`` …)."""
    from maeum.formats.lines import Row, Source
    from maeum.formats.records import Context, parse_record, row_id

    plain = {str(key): value for key, value in row.items()}
    example = parse_record(Row(number, number, plain, plain), Context(Source(None), task, with_labels))
    return example if example.id else dataclasses.replace(example, id=row_id(number))


def _model(model: Analyzer | str | Path) -> Analyzer | None:
    if isinstance(model, Analyzer):
        return model
    return None if Path(model).is_file() else folder.load(model)


def _name(model: Analyzer | str | Path) -> str:
    return model.predictor.kind if isinstance(model, Analyzer) else str(model)


def _settings(words: Mapping[str, Any]) -> TrainSettings:
    import difflib

    names = [field.name for field in dataclasses.fields(TrainSettings)]
    for word in words:
        if word not in names:
            close = difflib.get_close_matches(word, names, n=1)
            hint = f"'{close[0]}'" if close else ", ".join(names)
            raise UsageError(f"모르는 설정 '{word}'. 혹시: {hint}", f"unknown setting '{word}'; did you mean: {hint}?")
    return TrainSettings(**words)
