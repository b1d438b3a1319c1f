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
from maeum.errors import UsageError

training_options = stack(
    click.option(
        "--model",
        default="linear",
        show_default=True,
        metavar="SPEC",
        help=say(
            "모델: linear, mini(내장 모델의 문장 벡터), encoder:폴더_또는_허브_id, decoder:…(언어 모델), decoder-cls:…",
            "Model: linear, mini (the embedded model's vectors), encoder:FOLDER_OR_HUB_ID, decoder:…, decoder-cls:…",
        ),
    ),
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
        help=say(
            "드문 라벨의 기준값을 공통값 쪽으로 당기는 세기(기본: 교차 검증으로 고름)",
            "Pulls rare labels' thresholds to the common one (default: chosen by cross-validation).",
        ),
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

fine_tuning_options = stack(
    click.option("--epochs", type=float, metavar="N", help=say("학습 행을 도는 횟수(4)", "Passes over the rows (4).")),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        metavar="N",
        help=say("묶음 크기(16, 디코더 8)", "Rows a step (16; decoders 8)."),
    ),
    click.option(
        "--learning-rate",
        type=float,
        metavar="R",
        help=say("인코더나 어댑터의 학습률", "Of the encoder or the adapters."),
    ),
    click.option(
        "--weight-decay",
        type=float,
        metavar="W",
        help=say("가중치 감쇠(0.01, 디코더 0)", "Weight decay (0.01; decoders 0)."),
    ),
    click.option(
        "--max-length",
        type=int,
        metavar="N",
        help=say(
            "창 하나의 토큰 수(256; 긴 글은 여러 창으로. 디코더는 1024에서 자름)",
            "Tokens of a window (256; decoders: cut at 1024).",
        ),
    ),
    click.option(
        "--patience",
        type=click.IntRange(1),
        metavar="N",
        help=say("N번 나아지지 않으면 멈추고 가장 좋은 것을", "Stop after N evaluations without gain; keep the best."),
    ),
    click.option("--metric", metavar="M", help=say("--patience가 보는 점수", "What --patience watches.")),
    click.option(
        "--loss",
        metavar="L",
        help=say("bce, focal, asl, asl-seed001, ce, ordinal", "bce, focal, asl, asl-seed001, ce, ordinal."),
    ),
    click.option("--head", metavar="H", help=say("cls, mean, bigru(기본: 베이스에 맞게)", "cls, mean, bigru.")),
    click.option(
        "--target-input",
        metavar="T",
        help=say("대상을 알려 주는 법: none, pair, marker", "How the target is told: none, pair, marker."),
    ),
    click.option("--device", metavar="D", help="auto, cpu, cuda, cuda:N"),
    click.option(
        "--set",
        "more",
        multiple=True,
        metavar="KEY=VALUE",
        help=say(
            "그 밖의 인코더·디코더 설정(warmup=0.1, layer_decay=0.9, template=seed000, learn=none, shots=4 …)",
            "Any other setting of encoders or decoders (warmup=0.1, layer_decay=0.9, template=seed000, learn=none …).",
        ),
    ),
)
FINE_TUNING_WORDS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "max_length",
    "patience",
    "metric",
    "loss",
    "head",
    "target_input",
    "device",
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
        "maeum train train.jsonl --model encoder:klue/roberta-base --target-input marker --folds 5 -o runs/encoder",
        "maeum train train.jsonl --model decoder:beomi/llama-2-ko-7b --set template=seed000 -o runs/decoder",
    ),
)
@click.argument("data", metavar="DATA")
@output_option
@task_option
@data_options
@training_options
@fine_tuning_options
@click.option(
    "--config", metavar="run.toml", help=say("설정 파일(명령행이 이깁니다)", "Settings file; the command line wins.")
)
@click.option(
    "--root",
    metavar="DIR",
    help=say(
        "DATA가 머리 여럿의 계획(.toml)일 때, 데이터가 있는 폴더",
        "Where the data lie, if DATA is a plan (.toml) of several heads.",
    ),
)
@overwrite_option
@json_option
@quiet_option
@click.pass_context
def train(ctx: click.Context, /, data: str, output: str, **words: Any) -> None:
    """Parse, call ``maeum.experiment.train``, print the report's summary."""
    from maeum._files import refuse_existing
    from maeum._processes import is_main_process
    from maeum.apps.cli._config import merge_config
    from maeum.experiment import TrainSettings
    from maeum.experiment import train as run
    from maeum.reviews import train as run_review

    words = merge_config(ctx, words)
    progress = Say(quiet=words["quiet"] or words["as_json"] or not is_main_process())
    refuse_existing(Path(output), overwrite=words["overwrite"])
    if data.endswith(".toml"):
        train_plan(data, output, words, progress)
        return
    if words["root"] is not None:
        raise UsageError(
            f"--root는 DATA가 계획(.toml)일 때 씁니다: {data}", f"--root goes with a plan (.toml) as DATA, got {data}"
        )
    settings = _settings(words, TrainSettings)
    reading = {
        name: words[name]
        for name in ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")
    }
    progress(say(f"읽는 중: {data}", f"reading {data}"))
    rows = read_data(data, task=task_or_none(words["task"]), rejects_beside=output, **reading)
    valid = _valid(words["valid"], rows, reading, output)
    run = run_review if rows.task.kind == "aspect" else run
    result = run(rows, valid=valid, settings=settings, output=output, overwrite=words["overwrite"], progress=progress)
    if not is_main_process():
        return
    if words["as_json"]:
        emit({"model": output, "report": result.report.to_dict(), "seconds": dict(result.seconds)})
        return
    for note in result.report.notes:
        click.echo(say("알림: ", "note: ") + note, err=True)
    click.echo(result.report.summary())
    if "review" in result.report.extra:
        from maeum.reviews import ReviewScores

        click.echo("\n" + ReviewScores.from_dict(rows.task, result.report.extra["review"]).summary())
    click.echo(
        say(
            f"\n모델 폴더: {output}   보고서: {output}/report.html",
            f"\nmodel folder: {output}   report: {output}/report.html",
        )
    )


def train_plan(plan: str, output: str, words: dict[str, Any], progress: Say) -> None:
    """Several heads on one encoder: parse, call ``maeum.heads.train_heads``, print a summary of each head."""
    from maeum.experiment import resolved
    from maeum.heads import HeadsSettings, read_plan, train_heads

    kind, _, base = str(words["model"]).partition(":")
    if kind not in ("encoder", "frozen") or not base:
        raise UsageError(
            "머리 여럿은 인코더로 배웁니다: --model encoder:폴더_또는_허브_id "
            "(이 계획으로 이미 배운 몸통을 두고 나머지만 새로: --model frozen:폴더)",
            "several heads are learnt by an encoder: --model encoder:FOLDER_OR_HUB_ID "
            "(or keep a trunk that this plan trained, and renew the rest: --model frozen:FOLDER)",
        )
    if unused := [name for name, default in _NOT_OF_PLANS.items() if _is_given(words.get(name), default)]:
        listed = ", ".join("--" + name.replace("_", "-") for name in unused)
        raise UsageError(
            f"계획({plan})으로 학습할 때는 쓰지 않는 옵션입니다: {listed}. 데이터에 관한 것은 소스의 항목으로 적습니다({_KEYS}).",
            f"these options do not go with a plan ({plan}): {listed}; what concerns the data is written as keys of its "
            f"sources ({_KEYS})",
        )
    settings = HeadsSettings(
        base=resolved(f"encoder:{base}").partition(":")[2] if kind == "encoder" else base,
        frozen=kind == "frozen",
        seed=words["seed"],
        split_seed=words["split_seed"],
        clean=words["clean"],
        linear_options=words.get("linear") or {},
        options=fine_tuning_settings({**words, "linear": None}),
    )
    if settings.frozen and settings.options:
        listed = ", ".join(settings.options)
        raise UsageError(
            f"몸통을 그대로 둘 때는 학습 설정을 쓰지 않습니다: {listed}",
            f"settings of training do not go with a trunk that is kept: {listed}",
        )
    progress(say(f"읽는 중: {plan}", f"reading {plan}"))
    results = train_heads(
        read_plan(plan, root=words["root"]), settings, output=output, overwrite=words["overwrite"], progress=progress
    )
    if words["as_json"]:
        emit({"model": output, "heads": {name: result.report.to_dict() for name, result in results.items()}})
        return
    for name, result in results.items():
        click.echo(f"\n[{name}]\n{result.report.summary()}")
    click.echo(say(f"\n모델 폴더: {output}", f"\nmodel folder: {output}"))


_KEYS = "task, heads, format, text_column, label_column, valid, held, passes"
_NOT_OF_PLANS: dict[str, Any] = {
    **dict.fromkeys(("task", "format", "text_column", "label_column", "target_column", "encoding", "rejects")),
    **dict.fromkeys(("valid", "folds", "keep", "objective", "shrinkage", "no_calibration")),
    "on_error": "stop",
    "empty": "auto",
}
"""Options that a plan has no use for, and what they are when nobody gave them."""


def _is_given(value: Any, default: Any) -> bool:
    return value is not None and value is not False and value != default


def _settings(words: dict[str, Any], cls: Any) -> Any:
    names = ("model", "folds", "keep", "seed", "split_seed", "clean", "objective", "empty")
    values = {name: words[name] for name in names}
    if words["shrinkage"] is not None:
        values["shrinkage"] = words["shrinkage"]
    options = fine_tuning_settings(words)
    quick = cls(model=words["model"]).is_quick
    if options and quick:
        raise UsageError(
            f"{words['model']} 모델에는 없는 설정입니다: {', '.join(options)}. 인코더는 --model encoder:폴더로 고릅니다.",
            f"the {words['model']} model has no such setting: {', '.join(options)}; an encoder is chosen with --model encoder:FOLDER",
        )
    linear = words.get("linear") or {}
    if linear and not quick:
        raise UsageError(
            f"[linear] 설정은 linear 모델의 것입니다. 지금 모델: {words['model']}",
            f"the table [linear] is for the linear model; the model is {words['model']}",
        )
    return cls(calibrate=not words["no_calibration"], model_options=options or linear, **values)


def fine_tuning_settings(words: dict[str, Any]) -> dict[str, Any]:
    """Settings of the model from options of their own, ``--set`` and the model's table in a settings file."""
    kind = str(words["model"]).partition(":")[0]
    table = "decoder" if kind.startswith("decoder") else "encoder"
    for other in {"encoder", "decoder"} - {table}:
        if words.get(other):
            raise UsageError(
                f"[{other}] 설정은 {other} 모델의 것입니다. 지금 모델: {words['model']}",
                f"the table [{other}] is for {other} models; the model is {words['model']}",
            )
    options: dict[str, Any] = dict(words.get(table) or {})
    for word in words["more"]:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--set은 KEY=VALUE 꼴입니다: {word}", f"--set takes KEY=VALUE, got {word}")
        options[name.strip().replace("-", "_")] = _value(value.strip())
    options |= {name: words[name] for name in FINE_TUNING_WORDS if words[name] is not None}
    return options


def _value(word: str) -> Any:
    """A number, a truth value or a word, as TOML would read it."""
    import tomllib

    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word


def _valid(word: str | None, rows: Any, reading: dict[str, Any], output: str) -> Any:
    if word is None:
        return None
    try:
        return float(word)
    except ValueError:
        return read_data(word, task=rows.task, rejects_beside=output + ".valid", **reading)
