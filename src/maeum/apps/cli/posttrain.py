"""``maeum posttrain``."""

from __future__ import annotations

from typing import Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import Say, examples, json_option, output_option, overwrite_option, quiet_option, stack

_reading_options = stack(
    click.option(
        "--format",
        "format",
        metavar="F",
        help=say("데이터 형식(보통은 알아서 압니다)", "Data format, if it cannot be told."),
    ),
    click.option(
        "--text-column",
        metavar="C[,C…]",
        help=say(
            "글이 든 열. 파일마다 다르면 쉼표로 나눠 차례대로",
            "Column of the text; comma-separated, one for each file.",
        ),
    ),
    click.option(
        "--encoding", metavar="E", help=say("글자 인코딩(보통은 알아서 압니다)", "Text encoding, if it cannot be told.")
    ),
    click.option(
        "--on-error",
        type=click.Choice(["stop", "skip"]),
        default="skip",
        show_default=True,
        help=say("잘못된 행(빈 글 포함)을 세고 건너뛰거나, 멈춥니다.", "Count and skip bad and blank rows, or stop."),
    ),
)

_training_options = stack(
    click.option("--epochs", type=float, default=1.0, show_default=True, help=say("글을 훑는 횟수", "Passes.")),
    click.option("--max-steps", type=click.IntRange(1), metavar="N", help=say("최대 걸음 수", "Most optimiser steps.")),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        default=32,
        show_default=True,
        help=say("한 걸음의 글 수", "Texts per step."),
    ),
    click.option(
        "--accumulation",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help=say("메모리를 아끼려 묶음을 나눌 조각 수", "Parts a batch is cut into, to save memory."),
    ),
    click.option(
        "--learning-rate", type=float, default=5e-5, show_default=True, help=say("최대 학습률", "Peak learning rate.")
    ),
    click.option(
        "--head-warmup-steps",
        type=click.IntRange(0),
        metavar="N",
        help=say(
            "머리만 먼저 배울 걸음 수(기본: 새 머리면 전체의 1/10, 200~1000)",
            "Steps for the head alone first (default: a tenth, 200 to 1000, if the head is new).",
        ),
    ),
    click.option(
        "--max-length",
        type=click.IntRange(8),
        default=128,
        show_default=True,
        help=say("한 행의 토큰 수. 긴 글은 나눕니다.", "Tokens of a row; longer texts are cut."),
    ),
    click.option("--mask", type=float, default=0.15, show_default=True, help=say("가릴 비율", "Share to hide.")),
    click.option(
        "--no-whole-word", is_flag=True, help=say("어절이 아니라 토큰을 가립니다.", "Hide tokens, not whole eojeols.")
    ),
    click.option(
        "--clean", default="default", show_default=True, metavar="RECIPE", help=say("글 준비 방식", "Text preparation.")
    ),
    click.option("--limit", type=click.IntRange(1), metavar="N", help=say("앞의 글 N건만", "Only the first N texts.")),
    click.option(
        "--valid",
        type=click.FloatRange(0),
        metavar="N|0.05",
        help=say(
            "혼란도를 잴 글의 수나 비율(기본: 1000건, 많아야 5%)",
            "Texts held out for perplexity: number or share (default: 1000, at most 5%).",
        ),
    ),
    click.option("--seed", type=int, default=42, show_default=True, help=say("난수 씨앗", "Random seed.")),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
        default="auto",
        show_default=True,
        help=say("계산 정밀도", "Precision."),
    ),
    click.option(
        "--gradient-checkpointing",
        is_flag=True,
        help=say("느려지는 대신 메모리를 아낍니다.", "Slower, less memory."),
    ),
    click.option(
        "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help=say("장치", "Device.")
    ),
    click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(0),
        default=5.0,
        show_default=True,
        help=say("중간 저장 간격(분)", "Minutes between checkpoints."),
    ),
)


@click.command(
    help=say(
        "바탕 인코더 BASE를 라벨 없는 글 TEXTS로 이어서 학습해 Hugging Face 폴더로 씁니다. 여기서 maeum train --model "
        "encoder:폴더로 미세조정합니다. 도중에 멈춰도 같은 명령으로 이어서 합니다.",
        "Train the encoder BASE further on unlabelled TEXTS (masked language modelling) and write a Hugging Face folder, "
        "to be fine-tuned with maeum train --model encoder:DIR. An interrupted run goes on where it stopped.",
    ),
    epilog=examples(
        "maeum posttrain bases/e5-small-ko 리뷰.parquet --text-column review -o bases/e5-reviews",
        "maeum posttrain klue/roberta-base train.jsonl test.jsonl 글.txt --epochs 3 -o bases/roberta-mine",
    ),
)
@click.argument("base", metavar="BASE")
@click.argument("texts", metavar="TEXTS…", nargs=-1, required=True)
@output_option
@_reading_options
@_training_options
@click.option(
    "--config", metavar="run.toml", help=say("설정 파일(명령행이 이깁니다)", "Settings file; the command line wins.")
)
@overwrite_option
@json_option
@quiet_option
@click.pass_context
def posttrain(ctx: click.Context, /, base: str, texts: tuple[str, ...], output: str, **words: Any) -> None:
    """Parse, call ``maeum.posttraining.posttrain``, print the summary."""
    from maeum.apps.cli._config import merge_config
    from maeum.posttraining import PosttrainSettings
    from maeum.posttraining import posttrain as run

    words = merge_config(ctx, words)
    quiet, as_json = words.pop("quiet"), words.pop("as_json")
    reading = {name: words.pop(name) for name in ("format", "encoding", "on_error", "overwrite")}
    column = words.pop("text_column")
    columns = column.split(",") if column and len(texts) > 1 else column
    settings = PosttrainSettings(whole_word=not words.pop("no_whole_word"), **words)
    result = run(base, texts, output, settings, text_column=columns, progress=Say(quiet=quiet or as_json), **reading)
    if as_json:
        emit(result.to_dict())
        return
    if result.complete_before:
        click.echo(say(f"{output}: 이미 끝난 작업입니다.", f"{output}: already complete"))
    for note in result.facts["notes"]:
        click.echo(say("알림: ", "note: ") + note, err=True)
    click.echo(result.summary())
    click.echo(
        say(
            f"\n모델 폴더: {output}   다음: maeum train 데이터 --model encoder:{output} -o 폴더",
            f"\nmodel folder: {output}   next: maeum train DATA --model encoder:{output} -o DIR",
        )
    )
