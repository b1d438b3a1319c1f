"""``maeum distill``."""

from __future__ import annotations

from pathlib import Path
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
    stack,
)
from maeum.errors import UsageError

if TYPE_CHECKING:
    from maeum.distilling import DistillSettings

training_of_students = stack(
    click.option("--epochs", type=float, metavar="N", help=say("글을 훑는 횟수(4)", "Passes over the texts (4).")),
    click.option(
        "--batch-size", type=click.IntRange(1), metavar="N", help=say("한 걸음의 글 수(16)", "Texts a step (16).")
    ),
    click.option("--learning-rate", type=float, metavar="R", help=say("최대 학습률", "Peak learning rate.")),
    click.option("--max-length", type=int, metavar="N", help=say("창 하나의 토큰 수", "Tokens of a window.")),
    click.option("--device", metavar="D", help="auto, cpu, cuda, cuda:N"),
    click.option(
        "--set",
        "more",
        multiple=True,
        metavar="KEY=VALUE",
        help=say("그 밖의 인코더 설정(warmup=0.1, max_steps=1000 …)", "Any other setting of encoders (warmup=0.1 …)."),
    ),
)
STUDENT_WORDS = ("epochs", "batch_size", "learning_rate", "max_length", "device")


def encoder_options(words: dict[str, Any]) -> dict[str, Any]:
    """Settings of an encoder's training from the options above."""
    from maeum.apps.cli.train import FINE_TUNING_WORDS, fine_tuning_settings

    given = {name: words[name] for name in (*STUDENT_WORDS, "more")}
    return fine_tuning_settings({**dict.fromkeys(FINE_TUNING_WORDS), **given, "model": "encoder"})


def reading_words(words: dict[str, Any], output: str) -> dict[str, Any]:
    """How TEXTS is read; bad rows that are skipped are put beside the output."""
    names = ("format", "text_column", "target_column", "encoding", "on_error")
    reading = {name: words[name] for name in names}
    if words["on_error"] == "skip":
        rejects = Path(words["rejects"] or f"{output}.rejects.jsonl")
        rejects.unlink(missing_ok=True)
        reading["rejects"] = rejects
    return reading


@click.command(
    help=say(
        "큰 모델 TEACHER가 라벨 없는 글 TEXTS에 매긴 확률을 작은 모델이 배웁니다. 교사는 어떤 모델 폴더든 되고(앙상블, 겹, 언어 모델), "
        "학생은 보통의 모델 폴더가 됩니다. 도중에 멈춰도 같은 명령으로 이어서 합니다.",
        "A small model learns the probabilities that TEACHER gives to the unlabelled TEXTS. The teacher may be any model "
        "folder (a vote, folds, a language model); the student is an ordinary one. An interrupted run goes on where it "
        "stopped.",
    ),
    epilog=examples(
        "maeum distill runs/encoder 리뷰.parquet --text-column review --student layers:6 -o runs/small",
        "maeum distill runs/encoder texts.txt --student layers:6 --hidden 1 --data train.jsonl --valid dev.jsonl -o runs/small",
        "maeum distill runs/vote texts.txt --student encoder:bases/e5-small-ko --temperature 2 -o runs/one",
        "maeum distill runs/llm texts.csv --student linear -o runs/fast",
        "maeum distill runs/heads texts.txt --student layers:6 --data heads.toml -o runs/heads6",
    ),
)
@click.argument("teacher", metavar="TEACHER")
@click.argument("texts", metavar="TEXTS")
@output_option
@click.option(
    "--student",
    default="layers:6",
    show_default=True,
    metavar="SPEC",
    help=say(
        "학생: layers:6(교사 인코더의 층 6개), layers:0,2,4, encoder:폴더_또는_허브_id, model:폴더(이어서), linear",
        "layers:6 (so many of the teacher's layers), layers:0,2,4, encoder:FOLDER_OR_HUB_ID, model:DIR (goes on), linear.",
    ),
)
@click.option(
    "--start",
    metavar="DIR",
    help=say(
        "교사가 인코더가 아닐 때 층을 가져올 인코더 모델 폴더",
        "Encoder model folder to take the layers from, where the teacher is none.",
    ),
)
@click.option(
    "--data",
    metavar="FILE",
    help=say(
        "라벨이 있는 글: 함께 배우고, 일부는 기준값을 맞추는 데 씁니다. 교사의 모든 머리라면 계획(.toml)입니다.",
        "Labelled rows: learnt from too; a part tunes the thresholds. For all heads of a teacher: a plan (.toml).",
    ),
)
@click.option("--valid", metavar="FILE", help=say("평가에만 쓸 라벨 데이터", "Labelled rows that only judge."))
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    metavar="T",
    help=say("교사와 학생의 로짓을 나눌 온도", "Logits of teacher and student are divided by it."),
)
@click.option(
    "--alpha",
    type=float,
    default=0.5,
    show_default=True,
    metavar="A",
    help=say(
        "--data 행에서 정답 라벨의 몫(0이면 기준값에만 씀)",
        "Share of true labels in rows of --data (0: thresholds only).",
    ),
)
@click.option(
    "--hidden",
    type=float,
    default=0.0,
    show_default=True,
    metavar="W",
    help=say("교사 층의 상태를 따라 하는 손실의 무게(layers)", "Weight of matching the teacher's states (layers)."),
)
@click.option(
    "--clean", metavar="RECIPE", help=say("학생의 글 준비 방식(기본: 교사와 같게)", "The student's text preparation.")
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help=say("앞의 글 N건만", "Only the first N texts."))
@click.option(
    "--soft-labels",
    metavar="DIR",
    help=say(
        "교사의 확률을 남겨 다른 학생에게 또 쓸 폴더", "Keep the teacher's probabilities here, for other students too."
    ),
)
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
@click.option(
    "--task",
    metavar="TASK",
    help=say("머리가 여럿인 교사에서 이 머리만(기본: 모두)", "Only this head of a teacher that has several (all)."),
)
@click.option(
    "--root",
    metavar="DIR",
    help=say("계획(--data heads.toml)의 데이터가 있는 폴더", "Where the data of a plan (--data heads.toml) lie."),
)
@training_of_students
@data_options
@overwrite_option
@json_option
@quiet_option
def distill(teacher: str, texts: str, output: str, **words: Any) -> None:
    """Parse, call ``maeum.distilling.distill``, print the summary."""
    from maeum import folder as model_folder
    from maeum.distilling import DistillSettings
    from maeum.distilling import distill as run

    names = ("student", "start", "temperature", "alpha", "hidden", "clean", "limit", "objective", "empty", "seed")
    settings = DistillSettings(model_options=encoder_options(words), **{name: words[name] for name in names})
    if words["task"] is None and model_folder.head_names(teacher):
        _show(_all_heads(teacher, texts, output, settings, words), output, words)
        return
    if words["root"] is not None:
        raise UsageError(
            "--root는 교사의 모든 머리를 증류하며 --data가 계획(.toml)일 때 씁니다.",
            "--root goes with a plan (.toml) as --data, for a teacher of several heads",
        )
    result = run(
        teacher,
        texts,
        output,
        settings,
        task=words["task"],
        data=words["data"],
        valid=words["valid"],
        reading=reading_words(words, output),
        labels={"label_column": words["label_column"], "encoding": words["encoding"]},
        soft_labels=words["soft_labels"],
        overwrite=words["overwrite"],
        progress=Say(quiet=words["quiet"] or words["as_json"]),
    )
    _show(result, output, words)


def _all_heads(teacher: str, texts: str, output: str, settings: DistillSettings, words: dict[str, Any]) -> Any:
    """Distil every head of a folder of several; labels, if any, come from a plan."""
    from maeum.distilling import distill_heads
    from maeum.heads import read_plan

    data = words["data"]
    if data is not None and Path(data).suffix != ".toml":
        raise UsageError(
            f"'{teacher}'에는 머리가 여럿이라 --data는 계획(.toml)이어야 합니다: {data}. 머리 하나만 증류하려면 --task를 주세요.",
            f"'{teacher}' has several heads, so --data must be a plan (.toml), got {data}; give --task to distil one head",
        )
    if words["valid"] is not None:
        raise UsageError(
            "머리가 여럿이면 평가할 행은 계획의 valid에 적습니다. --valid는 --task와 함께 씁니다.",
            "with several heads the rows that judge are named by the plan (valid); --valid goes with --task",
        )
    if words["root"] is not None and data is None:
        raise UsageError("--root는 --data가 계획일 때 씁니다.", "--root goes with a plan as --data")
    return distill_heads(
        teacher,
        texts,
        output,
        settings,
        plan=None if data is None else read_plan(data, root=words["root"]),
        reading=reading_words(words, output),
        soft_labels=words["soft_labels"],
        overwrite=words["overwrite"],
        progress=Say(quiet=words["quiet"] or words["as_json"]),
    )


def _show(result: Any, output: str, words: dict[str, Any]) -> None:
    if words["as_json"]:
        emit(result.to_dict())
        return
    for note in result.facts["notes"]:
        click.echo(say("알림: ", "note: ") + note, err=True)
    click.echo(result.summary())
    report = f"{output}/report.html" if "heads" not in result.facts else f"{output}/heads/*/report.html"
    click.echo(say(f"\n모델 폴더: {output}   보고서: {report}", f"\nmodel folder: {output}   report: {report}"))
