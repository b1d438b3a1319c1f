"""What may stand where a command says MODEL: a model folder, or a file of predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maeum.apps.cli._options import load_model, read_data, task_or_none

if TYPE_CHECKING:
    from maeum.analyzer import Analyzer
    from maeum.evaluation import Scored
    from maeum.task import Task
    from maeum.thresholds import Thresholds


def score(
    model: str, data: str, words: dict[str, Any], *, thresholds: Thresholds | None = None
) -> tuple[Scored, Analyzer | None]:
    """Probabilities of MODEL for the rows of DATA, and the model itself unless it is a predictions file.

    DATA is read as the task given, else as its format's own task, else as the model's.
    """
    from maeum.errors import UsageError
    from maeum.evaluation import score_model, score_predictions
    from maeum.formats import open_source

    reading = {name: words[name] for name in _READING}
    task = task_or_none(words.get("task"))
    if Path(model).is_file():
        rows = read_data(data, task=task, **reading)
        return score_predictions(model, rows, thresholds=thresholds), None
    if thresholds is not None:
        raise UsageError(
            "--thresholds는 예측 파일에만 씁니다. 모델의 기준값은 'maeum thresholds'로 바꿉니다.",
            "--thresholds is for predictions files; a model's own are changed with 'maeum thresholds'",
        )
    task = task or open_source(data, format=reading["format"]).task
    analyzer = load_model(model, task=head_for(model, task))
    rows = read_data(data, task=task or analyzer.task, **reading)
    return score_model(analyzer, rows, name=model), analyzer


def head_for(model: str, task: Task | None) -> str | None:
    """The head that was trained for a task, if the folder has one; else its first (None)."""
    from maeum.folder import head_names

    return task.name if task is not None and task.name in head_names(model) else None


def thresholds_file(path: str | None) -> Thresholds | None:
    """Thresholds from a JSON file: one that ``maeum thresholds -o`` wrote, or a model folder's.

    Raises:
        UsageError: there is no such file, or it is not JSON.
    """
    from maeum.errors import UsageError
    from maeum.thresholds import Thresholds

    if path is None:
        return None
    file = Path(path) / "thresholds.json" if Path(path).is_dir() else Path(path)
    try:
        return Thresholds.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UsageError(f"기준값 파일이 없습니다: {file}", f"no such thresholds file: {file}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: 기준값 JSON이 아닙니다: {error}", f"{file}: not a JSON of thresholds: {error}"
        ) from error


def parse_values(words: str, usage: str = "--set joy=0.331,sadness=0.508") -> dict[str, float]:
    """``joy=0.331,sadness=0.508`` as numbers by name; ``usage`` shows an option that takes them."""
    from maeum.errors import UsageError

    values = {}
    for part in words.split(","):
        name, sign, value = part.partition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise UsageError(
                f"{usage}처럼 씁니다: '{part}'",
                f"write it as in {usage}; got '{part}'",
            )
    return values


_READING = ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")
