"""``maeum train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    Say,
    data_options,
    examples,
    json_option,
    output_option,
    overwrite_option,
    quiet_option,
    read_data,
    stack,
    task_option,
    task_or_none,
)

training_options = stack(
    click.option("--model", default="linear", show_default=True, metavar="SPEC", help=say("모델 종류", "Model spec.")),
    click.option(
        "--valid",
        metavar="FILE|0.1",
        help=say("평가에만 쓸 파일, 또는 떼어 둘 비율", "Rows that only judge: a file, or the share to hold out."),
    ),
    click.option(
        "--folds",
        type=click.IntRange(2, 100),
        metavar="K",
        help=say("K겹 교차 검증 모델들이 함께 답합니다.", "K fold models answer together (mean)."),
    ),
    click.option(
        "--keep",
        type=click.Choice(["mean", "best", "refit"]),
        help=say(
            "겹 모델의 평균·최고·전체 재학습 가운데 무엇으로 답할지",
            "Answer with the folds' mean, the best, or a refit.",
        ),
    ),
    click.option(
        "--objective",
        metavar="O",
        help=say(
            "기준값의 목표: micro-f1, macro-f1, accuracy, precision>=0.9",
            "Thresholds: micro-f1, macro-f1, accuracy, precision>=0.9.",
        ),
    ),
    click.option(
        "--empty",
        type=click.Choice(["auto", "none", "argmax"]),
        default="auto",
        show_default=True,
        help=say(
            "아무 라벨도 넘지 못하면: 없음으로 두거나 가장 높은 것", "When no label passes: none, or the most probable."
        ),
    ),
    click.option(
        "--shrinkage",
        type=click.FloatRange(0),
        metavar="N",
        help=say("드문 라벨의 기준값을 공통값 쪽으로 당기는 세기", "Pulls rare labels' thresholds to the common one."),
    ),
    click.option(
        "--clean",
        default="default",
        show_default=True,
        metavar="RECIPE",
        help=say("글 준비 방식", "Text preparation recipe."),
    ),
    click.option(
        "--no-calibration", is_flag=True, help=say("확률 보정을 하지 않습니다.", "Leave probabilities uncalibrated.")
    ),
    click.option("--seed", type=int, default=42, show_default=True, help=say("난수 씨앗", "Random seed.")),
    click.option(
        "--split-seed",
        type=int,
        default=42,
        show_default=True,
        help=say("데이터를 나누는 씨앗", "Seed of hold-out and folds."),
    ),
)


@click.command(
    help=say(
        "라벨이 달린 DATA로 학습하고, 교차 검증 확률로 기준값을 맞추고, --valid로 평가해 모델 폴더를 씁니다.",
        "Train on labelled DATA, tune thresholds on out-of-fold probabilities, judge on --valid, write a model folder.",
    ),
    epilog=examples(
        "maeum train sample:nikl-ea --valid 0.2 -o runs/first",
        "maeum train train.csv --text-column 발화문 --label-column 상황 --task aihub-7 --valid dev.csv -o runs/a",
        "maeum train nsmc/train.tsv --format nsmc --valid 0.1 --model linear -o runs/nsmc",
    ),
)
@click.argument("data", metavar="DATA")
@output_option
@task_option
@data_options
@training_options
@click.option(
    "--config", metavar="run.toml", help=say("설정 파일(명령행이 이깁니다)", "Settings file; the command line wins.")
)
@overwrite_option
@json_option
@quiet_option
@click.pass_context
def train(ctx: click.Context, /, data: str, output: str, **words: Any) -> None:
    """Parse, call ``maeum.experiment.train``, print the report's summary."""
    from maeum._files import refuse_existing
    from maeum.apps.cli._config import merge_config
    from maeum.experiment import TrainSettings
    from maeum.experiment import train as run

    words = merge_config(ctx, words)
    progress = Say(quiet=words["quiet"] or words["as_json"])
    refuse_existing(Path(output), overwrite=words["overwrite"])
    settings = _settings(words, TrainSettings)
    reading = {
        name: words[name]
        for name in ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")
    }
    progress(say(f"읽는 중: {data}", f"reading {data}"))
    rows = read_data(data, task=task_or_none(words["task"]), rejects_beside=output, **reading)
    valid = _valid(words["valid"], rows, reading, output)
    result = run(rows, valid=valid, settings=settings, output=output, overwrite=words["overwrite"], progress=progress)
    if words["as_json"]:
        emit({"model": output, "report": result.report.to_dict(), "seconds": dict(result.seconds)})
        return
    for note in result.report.notes:
        click.echo(say("알림: ", "note: ") + note, err=True)
    click.echo(result.report.summary())
    click.echo(
        say(
            f"\n모델 폴더: {output}   보고서: {output}/report.html",
            f"\nmodel folder: {output}   report: {output}/report.html",
        )
    )


def _settings(words: dict[str, Any], cls: Any) -> Any:
    names = ("model", "folds", "keep", "seed", "split_seed", "clean", "objective", "empty")
    values = {name: words[name] for name in names}
    if words["shrinkage"] is not None:
        values["shrinkage"] = words["shrinkage"]
    return cls(calibrate=not words["no_calibration"], **values)


def _valid(word: str | None, rows: Any, reading: dict[str, Any], output: str) -> Any:
    if word is None:
        return None
    try:
        return float(word)
    except ValueError:
        return read_data(word, task=rows.task, rejects_beside=output + ".valid", **reading)
