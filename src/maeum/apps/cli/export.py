"""``maeum export``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    task_option,
    task_or_none,
)

if TYPE_CHECKING:
    from maeum.data import Dataset

_READING = ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")


@click.command(
    help=say(
        "MODEL을 torch 없이 onnxruntime만으로 도는 모델 폴더로 내보냅니다. 원래 모델과 확률이 같은지 검사하고, int8과 fp16은 "
        "F1이 EPSILON보다 떨어지지 않을 때(int8은 더 빠르기도 할 때)만 쓰고 아니면 fp32로 쓰며 까닭을 적습니다.",
        "Write MODEL as a model folder that runs on onnxruntime, without torch. Its probabilities are compared with the "
        "original's; int8 and fp16 are kept only if F1 falls by no more than EPSILON (and int8 is faster), else fp32 is "
        "written and the report says why.",
    ),
    epilog=examples(
        "maeum export runs/encoder -o runs/onnx",
        "maeum export runs/encoder -o runs/int8 --precision int8 --data dev.jsonl",
        "maeum predict runs/int8 reviews.csv -o out.csv",
    ),
)
@click.argument("model", metavar="MODEL")
@output_option
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help=say("그래프의 정밀도", "Precision of the graph."),
)
@click.option(
    "--data",
    metavar="FILE",
    help=say(
        "int8·fp16을 잴, 모델이 처음 보는 라벨 데이터. 없으면 예제 글에서 fp32와 판정을 비교합니다.",
        "Labelled rows unseen by the model to judge int8 or fp16 by; without it, agreement with fp32 on sample texts.",
    ),
)
@click.option(
    "--epsilon",
    type=click.FloatRange(0, 1),
    default=0.005,
    show_default=True,
    help=say("F1이 떨어져도 되는 만큼", "F1 that may be lost."),
)
@task_option
@data_options
@overwrite_option
@json_option
@quiet_option
def export(model: str, output: str, **words: Any) -> None:
    """Parse, call ``maeum.exporting``, print the verdict."""
    from maeum._optional import require_installed

    require_installed("onnx")
    from maeum.exporting import export as run

    result = run(
        model,
        output,
        precision=words["precision"],
        data=_data(model, words, output),
        epsilon=words["epsilon"],
        overwrite=words["overwrite"],
        progress=Say(quiet=words["quiet"] or words["as_json"]),
    )
    if words["as_json"]:
        emit(result.to_dict())
        return
    click.echo(result.summary())
    click.echo(say(f"모델 폴더: {output}", f"model folder: {output}"))


def _data(model: str, words: dict[str, Any], output: str) -> Dataset | None:
    """The rows of ``--data``, read as the task given, else as their format's own, else as the model's first."""
    from maeum.folder import load
    from maeum.formats import open_source

    if words["data"] is None:
        return None
    task = task_or_none(words["task"]) or open_source(words["data"], format=words["format"]).task or load(model).task
    return read_data(words["data"], task=task, rejects_beside=output, **{name: words[name] for name in _READING})
