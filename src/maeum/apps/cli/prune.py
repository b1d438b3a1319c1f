"""``maeum prune``."""

from __future__ import annotations

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
)
from maeum.apps.cli.distill import encoder_options, reading_words, training_of_students


@click.command(
    help=say(
        "인코더 모델 폴더(또는 바탕 폴더)에서 어휘, 층, 뉴런, 어텐션 머리를 덜어 냅니다. 행렬이 실제로 작아지고, 얻은 것과 잃은 것을 같은 "
        "자리에서 재어 말합니다. --data가 있으면 중요도를 재고, --recover로 다시 배우고, 기준값도 다시 맞춥니다.",
        "Take vocabulary, layers, neurons and attention heads out of an encoder model folder (or a base folder). The "
        "matrices get smaller, and what that gains and costs is measured. With --data importance is measured, --recover "
        "trains again, and thresholds are tuned anew.",
    ),
    epilog=examples(
        "maeum prune runs/encoder --vocabulary 리뷰.parquet --text-column review -o runs/fewer-words",
        "maeum prune runs/encoder --layers 6 --ffn 0.5 --data train.jsonl --recover 2 --valid dev.jsonl -o runs/small",
        "maeum prune bases/e5-full --vocabulary texts.txt --min-count 3 --layers 6 -o bases/e5-mine",
    ),
)
@click.argument("model", metavar="MODEL")
@output_option
@click.option(
    "--layers",
    metavar="N|0,2,4",
    help=say("남길 층의 수(고르게 고름) 또는 번호", "Layers to keep: how many (evenly chosen), or which."),
)
@click.option("--keep-layers", metavar="0,2,4", help=say("남길 층의 번호", "The layers to keep."))
@click.option(
    "--vocabulary",
    metavar="TEXTS",
    help=say("이 글들이 쓰는 조각만 남깁니다.", "Keep the pieces that these texts use."),
)
@click.option(
    "--min-count",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help=say("N번 이상 쓰인 조각만", "Only pieces used N times or more."),
)
@click.option(
    "--ffn", type=float, metavar="SHARE", help=say("층마다 남길 뉴런의 비율", "Share of each layer's neurons to keep.")
)
@click.option(
    "--heads",
    type=float,
    metavar="SHARE",
    help=say("층마다 남길 어텐션 머리의 비율", "Share of each layer's attention heads to keep."),
)
@click.option(
    "--data",
    metavar="FILE",
    help=say("라벨이 있는 글: 중요도, 다시 배우기, 기준값", "Labelled rows: importance, recovery, thresholds."),
)
@click.option(
    "--recover",
    type=float,
    default=0.0,
    show_default=True,
    metavar="EPOCHS",
    help=say("덜어 낸 뒤 --data를 도는 횟수", "Passes over --data after the cut."),
)
@click.option("--valid", metavar="FILE", help=say("평가에만 쓸 라벨 데이터", "Labelled rows that only judge."))
@click.option(
    "--objective",
    metavar="O",
    help=say("기준값의 목표: micro-f1, macro-f1, precision>=0.9 …", "Thresholds: micro-f1, macro-f1, precision>=0.9 …"),
)
@click.option(
    "--empty",
    type=click.Choice(["auto", "none", "argmax"]),
    default="auto",
    show_default=True,
    help=say("아무 라벨도 넘지 못하면", "When no label passes."),
)
@click.option("--seed", type=int, default=42, show_default=True, help=say("난수 씨앗", "Random seed."))
@training_of_students
@data_options
@overwrite_option
@json_option
@quiet_option
def prune(model: str, output: str, **words: Any) -> None:
    """Parse, call ``maeum.pruning.prune``, print what it gained and cost."""
    from maeum.pruning import PruneSettings
    from maeum.pruning import prune as run

    if words["layers"] is not None and words["keep_layers"] is not None:
        raise click.UsageError(
            say("--layers와 --keep-layers는 함께 쓸 수 없습니다.", "--layers and --keep-layers exclude each other")
        )
    options = encoder_options({**words, "epochs": None})
    if words["epochs"] is not None:
        raise click.UsageError(say("--epochs 대신 --recover를 쓰세요.", "use --recover instead of --epochs"))
    layers = words["layers"]
    if words["keep_layers"] is not None:
        layers = words["keep_layers"] if "," in words["keep_layers"] else f"{words['keep_layers']},"
    names = ("min_count", "ffn", "heads", "recover", "objective", "empty", "seed")
    settings = PruneSettings(layers=layers, model_options=options, **{name: words[name] for name in names})
    result = run(
        model,
        output,
        settings,
        vocabulary=words["vocabulary"],
        data=words["data"],
        valid=words["valid"],
        reading=reading_words(words, output),
        labels={"label_column": words["label_column"], "encoding": words["encoding"]},
        overwrite=words["overwrite"],
        progress=Say(quiet=words["quiet"] or words["as_json"]),
    )
    if words["as_json"]:
        emit(result.to_dict())
        return
    for note in result.facts["notes"]:
        click.echo(say("알림: ", "note: ") + note, err=True)
    click.echo(result.summary())
    click.echo(say(f"\n폴더: {output}", f"\nfolder: {output}"))
