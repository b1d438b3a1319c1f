"""``maeum convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._models import parse_values, thresholds_file
from maeum.apps.cli._options import (
    data_options,
    examples,
    json_option,
    output_option,
    overwrite_option,
    quiet_option,
    read_data,
    task_option,
    task_or_none,
)


@click.command(
    help=say(
        "INPUT을 다른 형식으로 바꿉니다. INPUT이 예측 파일이고 --to nikl-ea(nikl-sa)이면 --source의 행에 답만 채운 제출 파일이 "
        "됩니다.",
        "INPUT in another format. With a predictions file and --to nikl-ea (nikl-sa), the rows of --source with the answers "
        "filled in.",
    ),
    epilog=examples(
        "maeum convert train.jsonl --from nikl-ea --to csv -o train.csv",
        "maeum convert test_predict.json --to nikl-ea --source test.jsonl --thresholds thresholds.json -o submission.jsonl",
        "maeum convert 결과.jsonl --to nikl-sa --source nikluge-sa-2022-test.jsonl -o submission.jsonl",
        "maeum convert 결과.csv --to completion --task review-fashion -o 결과.md",
    ),
)
@click.argument("input", metavar="INPUT")
@output_option
@click.option(
    "--from",
    "from_",
    metavar="F",
    help=say("입력 형식(보통은 알아서 압니다)", "Format of INPUT, if it cannot be told."),
)
@click.option("--to", required=True, metavar="F", help=say("출력 형식", "Format of the output."))
@click.option(
    "--source",
    metavar="FILE",
    help=say("제출 파일의 바탕이 될 말뭉치 파일", "The corpus file a submission is made from."),
)
@click.option(
    "--thresholds",
    "thresholds_path",
    metavar="FILE",
    help=say("예측 확률에 쓸 기준값 파일", "Thresholds for the predictions' scores."),
)
@click.option("--set", "values", metavar="joy=0.331,…", help=say("예측 확률에 쓸 기준값", "Thresholds, by hand."))
@task_option
@data_options
@overwrite_option
@json_option
@quiet_option
def convert(input: str, output: str, from_: str | None, to: str, **words: Any) -> None:
    """Parse, then convert a data set or a predictions file."""
    from maeum._files import refuse_input
    from maeum.errors import UsageError
    from maeum.formats import is_predictions_file

    path = Path(output)
    if output != "-":
        refuse_input(path, *filter(None, (input, words["source"])))
    if output != "-" and path.exists() and not words["overwrite"]:
        raise UsageError(
            f"'{output}'이(가) 이미 있습니다. --overwrite를 붙이거나 다른 이름을 쓰세요.",
            f"'{output}' already exists; add --overwrite or choose another name",
        )
    if from_ == "predictions" or (from_ is None and Path(input).is_file() and is_predictions_file(input)):
        rows = _predictions(input, path, to, words)
    else:
        rows = _data(input, path, from_ or words["format"], to, words)
    if words["as_json"]:
        emit({"output": output, "rows": rows, "format": to})
    elif not words["quiet"]:
        click.echo(say(f"{output}: {rows}행 ({to})", f"{output}: {rows} rows ({to})"), err=True)


def _data(source: str, path: Path, from_: str | None, to: str, words: dict[str, Any]) -> int:
    from maeum.formats import write

    reading = {
        name: words[name]
        for name in ("text_column", "label_column", "target_column", "encoding", "on_error", "rejects")
    }
    data = read_data(source, task=task_or_none(words["task"]), rejects_beside=str(path), format=from_, **reading)
    write(data, path, format=to)
    return len(data)


def _predictions(source: str, path: Path, to: str, words: dict[str, Any]) -> int:
    """Predictions with their own labels, or labels decided anew by thresholds given here."""
    from maeum.evaluation import predictions_task
    from maeum.predicting import convert_predictions
    from maeum.thresholds import Thresholds

    task = task_or_none(words["task"]) or predictions_task(source)
    rule = thresholds_file(words["thresholds_path"])
    if words["values"]:
        rule = (rule or Thresholds.default(task)).replaced(parse_values(words["values"]), task)
    return convert_predictions(Path(source), path, task, to=to, source=words["source"], thresholds=rule)
