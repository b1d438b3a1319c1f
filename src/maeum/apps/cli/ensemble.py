"""``maeum ensemble``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
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
    read_data,
    task_option,
    task_or_none,
)

if TYPE_CHECKING:
    from maeum.data import Dataset
    from maeum.task import Task
    from maeum.voting import Standing


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> list[float] | None:
    if value is None:
        return None
    try:
        return [float(part) for part in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(
            say(f"--weights는 0.6,0.4처럼 씁니다: '{value}'", f"--weights takes 0.6,0.4; got '{value}'")
        ) from error


@click.command(
    help=say(
        "여러 MODEL이 함께 답하는 모델 폴더를 만듭니다. 모델 종류와 글 준비 방식은 서로 달라도 되고 과제만 같으면 됩니다. "
        "가중치는 교차 검증 확률이나 --data로 찾습니다. 예측 파일끼리도 합칩니다(-o는 예측 파일).",
        "Make a model folder that votes. The MODELs may be of any kind and prepare text in different ways; only the task "
        "is the same. Weights are fitted on out-of-fold rows, or on --data. Predictions files combine too (-o is one).",
    ),
    epilog=examples(
        "maeum ensemble runs/linear runs/encoder -o runs/both",
        "maeum ensemble runs/a runs/b runs/c --vote hard -o runs/vote",
        "maeum ensemble a_dev.json b_dev.json --data dev.jsonl -o dev_both.jsonl",
        "maeum ensemble a_test.json b_test.json --weights 0.6,0.4 -o test_both.jsonl",
    ),
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@output_option
@click.option(
    "--vote",
    type=click.Choice(["soft", "hard"]),
    default="soft",
    show_default=True,
    help=say("soft: 확률의 가중 평균, hard: 다수결", "soft: weighted mean of probabilities; hard: majority."),
)
@click.option(
    "--data",
    metavar="FILE",
    help=say(
        "가중치와 기준값을 찾을, 멤버들이 처음 보는 라벨 데이터",
        "Labelled rows to fit weights and thresholds on, unseen by the members.",
    ),
)
@click.option(
    "--weights",
    metavar="0.6,0.4",
    callback=_numbers,
    help=say("가중치를 모델 순서대로 직접 정합니다.", "Set the weights by hand, in the order of the models."),
)
@click.option(
    "--pool",
    type=click.Choice(["auto", "mean", "logit"]),
    default="auto",
    show_default=True,
    help=say(
        "soft 투표가 평균 내는 것: 확률(mean), 로그 오즈(logit), 라벨 행에서 나은 쪽(auto)",
        "What a soft vote averages: probabilities, log-odds, or what the labelled rows favour.",
    ),
)
@click.option("--equal", is_flag=True, help=say("가중치를 모두 같게 둡니다.", "Equal weights."))
@click.option(
    "--objective",
    metavar="O",
    help=say(
        "기준값의 목표: micro-f1, macro-f1, accuracy, precision>=0.9",
        "Thresholds: micro-f1, macro-f1, accuracy, precision>=0.9.",
    ),
)
@click.option(
    "--empty",
    type=click.Choice(["auto", "none", "argmax"]),
    default="auto",
    show_default=True,
    help=say("아무 라벨도 넘지 못하면(hard의 auto는 none)", "When no label passes (auto is none for hard)."),
)
@task_option
@data_options
@overwrite_option
@json_option
@quiet_option
def ensemble(models: tuple[str, ...], output: str, **words: Any) -> None:
    """Parse, call ``maeum.voting``, print the members beside the ensemble."""
    if words["weights"] is not None and words["equal"]:
        raise click.UsageError(
            say("--weights와 --equal은 함께 쓸 수 없습니다.", "--weights and --equal exclude each other")
        )
    if len(models) < 2:
        raise click.UsageError(say("MODEL이 둘 이상 필요합니다.", "two MODELs or more are needed"))
    options = {name: words[name] for name in ("vote", "weights", "equal", "pool", "objective", "empty")}
    if any(Path(model).is_file() for model in models):
        _files(models, output, options, words)
    else:
        _folders(models, output, options, words)


def _folders(models: Sequence[str], output: str, options: dict[str, Any], words: dict[str, Any]) -> None:
    from maeum._files import refuse_existing
    from maeum.reviews import is_review_folder
    from maeum.voting import ensemble as run
    from maeum.voting import open_members, save_ensemble

    progress = Say(quiet=words["quiet"] or words["as_json"])
    refuse_existing(Path(output), overwrite=words["overwrite"])
    progress(say(f"모델 {len(models)}개 여는 중", f"opening {len(models)} models"))
    if any(is_review_folder(model) for model in models):
        _reviews(models, output, options, words, progress)
        return
    head = task_or_none(words["task"])
    members = open_members(models, task=head.name if head else None)
    data = _data(words, output, members[0].analyzer.task)
    result = run(members, data=data, progress=progress, **options)
    progress(say("저장", "saving"))
    save_ensemble(result, output, overwrite=words["overwrite"])
    if words["as_json"]:
        more = {"thresholds": result.analyzer.thresholds.to_dict()}
        emit({"model": output, "vote": options["vote"], **result.to_dict(), **more})
        return
    report = say(f"   보고서: {output}/report.html", f"   report: {output}/report.html") if result.report else ""
    _show(result, fixed=options["vote"] == "hard")
    click.echo(say(f"\n모델 폴더: {output}{report}", f"\nmodel folder: {output}{report}"))


def _reviews(models: Sequence[str], output: str, options: dict[str, Any], words: dict[str, Any], progress: Say) -> None:
    """Review models vote stage by stage."""
    from maeum.reviews import ReviewScores, ensemble, open_reviews, save_ensemble

    members = open_reviews(models)
    task = members[0][1].task
    result = ensemble(members, data=_data(words, output, task), progress=progress, **options)
    progress(say("저장", "saving"))
    save_ensemble(result, output, overwrite=words["overwrite"])
    if words["as_json"]:
        more = {"thresholds": result.analyzer.thresholds.to_dict()}
        emit({"model": output, "vote": options["vote"], **result.to_dict(), **more})
        return
    for name, title in (
        ("aspects", say("단계: 속성", "stage: aspects")),
        ("sentiment", say("단계: 감성", "stage: grades")),
    ):
        click.echo(f"\n{title}")
        _show(result.stages[name], fixed=options["vote"] == "hard")
    if result.report is not None:
        click.echo("\n" + ReviewScores.from_dict(task, result.report.extra["review"]).summary())
    click.echo(say(f"\n모델 폴더: {output}", f"\nmodel folder: {output}"))


def _files(models: Sequence[str], output: str, options: dict[str, Any], words: dict[str, Any]) -> None:
    from maeum._files import refuse_existing
    from maeum.errors import UsageError
    from maeum.evaluation import predictions_task
    from maeum.formats import prediction_line, write_predictions
    from maeum.predicting import TABLES
    from maeum.voting import vote_predictions

    folders = [model for model in models if Path(model).is_dir()]
    if folders:
        raise UsageError(
            f"모델 폴더('{folders[0]}')와 예측 파일은 섞을 수 없습니다. 먼저 'maeum predict {folders[0]} INPUT -o OUT'으로 "
            "예측 파일을 만드세요.",
            f"a model folder ('{folders[0]}') does not mix with predictions files; "
            f"run 'maeum predict {folders[0]} INPUT -o OUT' first",
        )
    place = Path(output)
    if output == "-" and words["as_json"]:
        raise click.UsageError(say("-o -와 --json은 함께 쓸 수 없습니다.", "-o - and --json exclude each other"))
    if output != "-" and (place.is_dir() or (place.exists() and not words["overwrite"])):
        refuse_existing(place, overwrite=False)
    data = _data(words, output, None, models[0])
    task = task_or_none(words["task"]) or (data.task if data is not None else predictions_task(models[0]))
    result = vote_predictions(models, task, data=data, **options)
    if output == "-":
        for row in result.rows:
            sys.stdout.write(prediction_line(row) + "\n")
    else:
        suffix = place.suffix.lower().removeprefix(".")
        write_predictions(result.rows, place, task, suffix if suffix in TABLES else "jsonl")
    if words["as_json"]:
        more = {"predictions": len(result.rows), "thresholds": result.thresholds.to_dict()}
        emit({"output": output, "vote": options["vote"], **result.to_dict(), **more})
        return
    _show(result, fixed=options["vote"] == "hard", err=output == "-")
    if output != "-":
        click.echo(say(f"\n{output}: {len(result.rows)}행", f"\n{output}: {len(result.rows)} rows"))


def _data(words: dict[str, Any], output: str, task: Task | None, file: str = "") -> Dataset | None:
    """The rows of ``--data``, read as the task given, else as their format's own, else as the models'."""
    from maeum.evaluation import predictions_task
    from maeum.formats import open_source

    if words["data"] is None:
        return None
    reading = {
        name: words[name]
        for name in ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")
    }
    chosen = task_or_none(words["task"]) or open_source(words["data"], format=words["format"]).task or task
    return read_data(words["data"], task=chosen or predictions_task(file), rejects_beside=output, **reading)


def _show(result: Standing, *, fixed: bool, err: bool = False) -> None:
    from maeum._tables import text_table

    for note in result.notes:
        click.echo(say("알림: ", "note: ") + note, err=True)
    shown = ("micro_f1", "macro_f1", "subset_accuracy", "log_loss")
    heads = [say("모델", "model"), say("종류", "kind"), say("가중치", "weight")]
    heads += [
        say("마이크로 F1", "micro F1"),
        say("매크로 F1", "macro F1"),
        say("완전 일치", "exact"),
        say("로그 손실 ↓", "log loss ↓"),
    ]
    lines = [
        [member.name, member.kind, f"{member.weight:.4f}", *_cells(member.metrics, shown)] for member in result.members
    ]
    lines.append([say("투표", "vote"), "", "", *_cells(result.score, shown)])
    click.echo(text_table(heads, lines), err=err)
    click.echo(result.weights.sentence(), err=err)
    if result.measured_on:
        tuned = say(
            ". 기준값과 가중치를 찾은 행이므로 점수가 조금 높습니다. 처음 보는 행은 'maeum evaluate'로 재세요.",
            "; thresholds and weights were found on them, so judge on new rows with 'maeum evaluate'",
        )
        line = say(f"잰 행: {result.measured_on}", f"measured on: {result.measured_on}") + ("" if fixed else tuned)
        click.echo(line, err=err)


def _cells(metrics: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [f"{metrics[name]:.4f}" if name in metrics else "–" for name in names]
