"""``maeum thresholds``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._models import parse_values, score, thresholds_file
from maeum.apps.cli._options import (
    data_options,
    device_option,
    examples,
    json_option,
    load_model,
    quiet_option,
    task_option,
)

if TYPE_CHECKING:
    from maeum.evaluation import Scored
    from maeum.thresholds import Thresholds


@click.command(
    help=say(
        "라벨별 기준값을 DATA로 다시 찾거나(--objective), 직접 정하거나(--set), 시뮬레이션 표를 씁니다(--table). "
        "DATA가 없으면 학습 때의 교차 검증 확률을 씁니다. MODEL은 모델 폴더나 예측 파일입니다.",
        "Re-tune the thresholds on DATA (--objective), set them (--set), or write the simulation table (--table). "
        "Without DATA the training run's out-of-fold rows are used. MODEL is a model folder or a predictions file.",
    ),
    epilog=examples(
        "maeum thresholds runs/first dev.jsonl --objective micro-f1",
        "maeum thresholds dev_predict.json dev.jsonl --objective accuracy --table table.csv -o thresholds.json",
        "maeum thresholds runs/first --set joy=0.331,anticipation=0.184",
        "maeum thresholds runs/first --from thresholds.json",
    ),
)
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="[DATA]", required=False)
@click.option(
    "--objective",
    metavar="O",
    help=say(
        "micro-f1, macro-f1, accuracy(TP+TN), precision>=0.9", "micro-f1, macro-f1, accuracy (TP+TN), precision>=0.9."
    ),
)
@click.option(
    "--from",
    "source",
    metavar="FILE",
    help=say("기준값 JSON(-o나 maeum ui가 쓴 것)을 그대로 씁니다.", "Take a JSON of thresholds (of -o or maeum ui)."),
)
@click.option("--set", "values", metavar="joy=0.331,…", help=say("기준값을 직접 정합니다.", "Set thresholds by hand."))
@click.option(
    "--table", metavar="FILE", help=say("0.0%~99.9%의 TP+TN 표를 CSV로 씁니다.", "Write TP+TN at 0.0%–99.9% as CSV.")
)
@click.option(
    "--shrinkage",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help=say("드문 라벨을 공통 기준값 쪽으로 당기는 세기", "Pulls rare labels to the common threshold."),
)
@click.option(
    "--empty",
    type=click.Choice(["auto", "none", "argmax"]),
    default="auto",
    show_default=True,
    help=say("아무 라벨도 넘지 못하면", "When no label passes."),
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help=say("기준값을 쓸 JSON(예측 파일일 때)", "Write the thresholds here (for predictions files)."),
)
@task_option
@data_options
@device_option
@json_option
@quiet_option
def thresholds(model: str, data: str | None, **words: Any) -> None:
    """Parse, call ``maeum.evaluation.retune``, save and print the thresholds."""
    from maeum._files import pretty_json, write_text
    from maeum.errors import UsageError
    from maeum.folder import head_folder, replace_files

    in_folder = Path(model).is_dir()
    if words["source"] and (words["values"] or words["objective"]):
        raise UsageError(
            "--from은 --set, --objective와 함께 쓰지 않습니다.", "--from goes neither with --set nor with --objective"
        )
    if words["source"]:
        rule, scored = _from_file(words["source"], *_current(model, words["task"])), None
    elif words["values"]:
        before, task = _current(model, words["task"])
        rule = before.replaced(parse_values(words["values"]), task)
        scored = None
    else:
        scored = _scored(model, data, words)
        rule = scored.thresholds
    if words["table"] and scored is not None:
        _write_table(scored, Path(words["table"]))
    if words["objective"] and scored is not None:
        from maeum.evaluation import retune

        rule = retune(scored, objective=words["objective"], shrinkage=words["shrinkage"], empty=words["empty"])
    changed = bool(words["source"] or words["values"] or words["objective"])
    if changed and words["output"] is None:
        if not in_folder:
            raise UsageError(
                "예측 파일이나 내장 모델에는 기준값을 저장할 수 없습니다. -o thresholds.json을 붙이세요.",
                "neither a predictions file nor the embedded model can hold thresholds; add -o thresholds.json",
            )
        # with DATA the head is the one of its task, whether or not --task says so
        place = head_folder(model, words["task"] if scored is None else scored.task.name)
        replace_files(Path(model), {f"{place}thresholds.json": pretty_json(rule.to_dict())})
    elif words["output"] is not None:
        write_text(Path(words["output"]), pretty_json(rule.to_dict()))
    if words["as_json"]:
        emit(rule.to_dict() | _judged(rule, scored))
        return
    _show(rule, scored)
    if words["table"]:
        click.echo(say(f"표: {words['table']}", f"table: {words['table']}"), err=True)


def _scored(model: str, data: str | None, words: dict[str, Any]) -> Scored:
    from maeum.errors import UsageError
    from maeum.evaluation import score_out_of_fold

    if data is not None:
        found = score(model, data, words)[0]
        if found.data.task.keys != found.task.keys:
            raise UsageError(
                f"기준값은 같은 과제의 데이터로 찾아야 합니다(모델 '{found.task.name}', 데이터 '{found.data.task.name}').",
                f"thresholds need rows of the model's own task ('{found.task.name}'), got '{found.data.task.name}'",
            )
        return found
    if Path(model).is_file():
        raise UsageError(
            "예측 파일에는 정답이 든 DATA가 필요합니다.", "a predictions file needs DATA with the gold labels"
        )
    return score_out_of_fold(model, task=words["task"])


def _from_file(path: str, before: Thresholds, task: Any) -> Thresholds:
    """The thresholds of a file, if they are for the labels of the model.

    Raises:
        TaskMismatch: they are for others.
    """
    from maeum.errors import TaskMismatch

    rule = thresholds_file(path)
    assert rule is not None
    if rule.keys != before.keys or rule.is_argmax != before.is_argmax:
        raise TaskMismatch(
            f"{path}: 과제 '{task.name}'의 라벨에 대한 기준값이 아닙니다.",
            f"{path}: these thresholds are not for the labels of task '{task.name}'",
        )
    return rule


def _current(model: str, head: str | None) -> tuple[Thresholds, Any]:
    from maeum.errors import UsageError

    if Path(model).is_file():
        raise UsageError(
            "--set은 모델 폴더에 씁니다. 예측 파일은 'maeum convert --set'을 쓰세요.",
            "--set needs a model folder; for a predictions file use 'maeum convert --set'",
        )
    analyzer = load_model(model, task=head)
    return analyzer.thresholds, analyzer.task


def _write_table(scored: Scored, path: Path) -> None:
    """One line per cut-off, TP+TN of every label: seed 000's simulation, in a form a spreadsheet opens."""
    from maeum._files import atomic_text
    from maeum.thresholds import simulation_table

    grid, table = simulation_table(scored.data.y, scored.proba)
    with atomic_text(path, encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["threshold", *scored.task.keys])
        writer.writerows([f"{cut * 100:.1f}%", *map(int, row)] for cut, row in zip(grid, table, strict=True))


def _judged(rule: Thresholds, scored: Scored | None) -> dict[str, Any]:
    from maeum.metrics import decision_metrics

    if scored is None:
        return {}
    found = decision_metrics(scored.data.y, rule.decide(scored.proba))
    return {"metrics": found}


def _show(rule: Thresholds, scored: Scored | None) -> None:
    from maeum._tables import text_table

    right = None
    if scored is not None:
        right = (rule.decide(scored.proba) == scored.data.y).sum(0)
    if rule.is_argmax:
        click.echo(
            say("가장 높은 라벨 하나를 고르는 과제라 기준값이 없습니다.", "this task picks the most probable label")
        )
    else:
        heads = [say("라벨", "label"), say("기준값", "threshold"), say("90% 구간", "90% interval"), "TP+TN"]
        rows = [
            [
                key,
                f"{value:.4f}" if value <= 1 else say("주지 않음", "never"),
                f"{rule.low[i]:.3f}–{rule.high[i]:.3f}" if rule.low else "–",
                str(int(right[i])) if right is not None else "–",
            ]
            for i, (key, value) in enumerate(zip(rule.keys, rule.values, strict=True))
        ]
        click.echo(text_table(heads, rows))
    click.echo(
        say(
            f"목표: {rule.objective}   아무것도 넘지 못하면: {rule.empty}   찾은 데이터: {rule.tuned_on or '–'}",
            f"objective: {rule.objective}   when nothing passes: {rule.empty}   tuned on: {rule.tuned_on or '–'}",
        )
    )
    judged = _judged(rule, scored)
    if judged and scored is not None:
        found = judged["metrics"]
        click.echo(f"micro-F1 {found['micro_f1']:.4f}   macro-F1 {found['macro_f1']:.4f}   ({scored.data.source})")
