"""``maeum batch``."""

from __future__ import annotations

from typing import Any, get_args

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    Say,
    device_option,
    examples,
    json_option,
    overwrite_option,
    quiet_option,
)
from maeum.bulk.settings import BATCH_SIZE, PART_ROWS, BatchSettings, Crew, EngineName, OutputFormat


@click.command(
    help=say(
        "INPUT(Parquet·JSONL·CSV·TSV 파일, 또는 그런 파일의 폴더)을 여러 부분으로 나누어 예측하고 폴더 OUT에 씁니다. "
        "도중에 멈춰도 같은 명령으로 이어서 합니다.",
        "Predict INPUT (a Parquet, JSONL, CSV or TSV file, or a folder of such) in parts into the folder OUT. "
        "An interrupted run goes on where it stopped.",
    ),
    epilog=examples(
        "maeum batch mini 리뷰.parquet 예측",
        "maeum batch runs/kote 리뷰/ 예측 --format jsonl --id-column 번호 --keep-columns 상품,작성일",
        "maeum batch mini 리뷰.csv 예측 --workers 8 --on-error skip",
        "maeum batch mini /shared/리뷰 /shared/예측 --engine ray --address 10.0.0.1:6379",
    ),
)
@click.argument("model", metavar="MODEL")
@click.argument("input", metavar="INPUT")
@click.argument("output", metavar="OUT")
@click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    default="local",
    show_default=True,
    help=say("이 컴퓨터의 프로세스들, 또는 Ray 클러스터(extra ray)", "Processes of this machine, or Ray (extra ray)."),
)
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help=say("작업자 수(기본: 코어 수)", "Workers (default: cores).")
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help=say(
        "ray: 이미 있는 클러스터(없으면 이 컴퓨터에 띄웁니다)",
        "ray: an existing cluster (default: one on this machine).",
    ),
)
@click.option(
    "--gpus", type=float, default=0.0, metavar="G", help=say("ray: 작업자마다 GPU 수", "ray: GPUs per worker.")
)
@click.option(
    "--task", metavar="TASK", help=say("여러 과제 가운데 하나만(기본: 모두)", "One head only (default: all).")
)
@click.option(
    "--format",
    "format",
    type=click.Choice(get_args(OutputFormat)),
    default="parquet",
    show_default=True,
    help=say("부분 파일의 형식", "Format of the parts."),
)
@click.option(
    "--part-rows",
    type=click.IntRange(1),
    default=PART_ROWS,
    show_default=True,
    help=say("부분 하나의 행 수", "Rows per part."),
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=BATCH_SIZE,
    show_default=True,
    help=say("한 번에 모델에 넣을 글 수", "Texts per step."),
)
@click.option("--text-column", metavar="C", help=say("글이 든 열", "Column of the text."))
@click.option("--id-column", metavar="C", help=say("id가 든 열", "Column of the ids."))
@click.option("--target-column", metavar="C", help=say("대상이 든 열", "Column of the target."))
@click.option("--keep-columns", metavar="C,C…", help=say("결과에 그대로 옮길 열", "Columns to copy into the output."))
@click.option(
    "--encoding", metavar="E", help=say("글자 인코딩(보통은 알아서 압니다)", "Text encoding, if it cannot be told.")
)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help=say(
        "잘못된 행을 만나면 멈추거나, OUT/rejects에 적고 건너뜁니다.", "Stop at a bad row, or put it into OUT/rejects."
    ),
)
@overwrite_option
@device_option
@json_option
@quiet_option
def batch(model: str, input: str, output: str, **words: Any) -> None:
    """Parse, call ``maeum.bulk.run_batch``, say what was done."""
    from maeum.bulk import run_batch

    settings = BatchSettings(
        keep_columns=tuple(filter(None, (name.strip() for name in (words["keep_columns"] or "").split(",")))),
        **{
            name: words[name]
            for name in (
                "task", "format", "part_rows", "batch_size", "text_column", "id_column", "target_column", "encoding",
                "on_error",
            )
        },
    )  # fmt: skip
    crew = Crew(words["engine"], words["workers"], words["address"], words["gpus"])
    progress = Say(quiet=words["quiet"] or words["as_json"])
    try:
        result = run_batch(
            model, input, output, settings=settings, crew=crew, overwrite=words["overwrite"], progress=progress
        )
    except KeyboardInterrupt:
        click.echo(
            say(
                "\n끝난 부분은 남아 있습니다. 같은 명령으로 이어서 합니다.",
                "\nwhat is done stays done; the same command goes on",
            ),
            err=True,
        )
        raise
    if words["as_json"]:
        emit(result.to_dict())
    elif not words["quiet"]:
        click.echo(_sentence(result), err=True)


def _sentence(result: Any) -> str:
    place = f"{result.output.name}/"
    if result.complete_before:
        return say(
            f"{place}: 이미 끝난 작업입니다({result.rows:,}행).", f"{place}: already complete ({result.rows:,} rows)"
        )
    line = say(
        f"{place}: {result.rows:,}행, 부분 {result.parts}개, {result.seconds:.1f}초",
        f"{place}: {result.rows:,} rows in {result.parts} part(s), {result.seconds:.1f} s",
    )
    if result.resumed:
        line += say(
            f", 앞서 끝난 부분 {result.resumed}개에 이어서 했습니다", f", resumed after {result.resumed} part(s)"
        )
    if result.rejected:
        line += say(
            f", 잘못된 {result.rejected}행은 {place}rejects에 있습니다",
            f"; {result.rejected} bad rows are in {place}rejects",
        )
    return line
