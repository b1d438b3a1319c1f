"""``maeum analyze``."""

from __future__ import annotations

import sys
from typing import Any

import click

from maeum._lang import language, say
from maeum.apps.cli import emit
from maeum.apps.cli._options import device_option, examples, json_option, load_model, task_option


@click.command(
    help=say(
        "TEXT의 감정을 바로 봅니다. TEXT가 -이면 표준 입력을 한 줄에 하나씩 읽습니다.",
        "Emotions of the texts given; - reads lines from standard input.",
    ),
    epilog=examples(
        "maeum analyze --model runs/first '배송이 너무 늦어서 화가 나요'",
        "maeum analyze --model runs/first --target 배우 '배우는 좋았는데 결말이 별로' --json",
    ),
)
@click.argument("texts", metavar="TEXT…", nargs=-1, required=True)
@click.option("--model", default="mini", show_default=True, metavar="DIR", help=say("모델 폴더", "Model folder."))
@click.option("--target", metavar="T", help=say("감정의 대상이 되는 말", "What the emotion is about."))
@task_option
@device_option
@json_option
def analyze(texts: tuple[str, ...], model: str, target: str | None, task: str | None, as_json: bool) -> None:
    """Parse, call ``Analyzer.analyze`` of every head (or the one of ``--task``), print labels and bars."""
    from maeum import load_heads

    given = [line.rstrip("\n") for line in sys.stdin] if texts == ("-",) else list(texts)
    heads = load_heads(model) if task is None else {task: load_model(model, task=task)}
    found = {name: head.analyze(given, target=target) for name, head in heads.items()}
    if as_json:
        emit(
            {"model": model, "results": [_result({n: rows[i] for n, rows in found.items()}) for i in range(len(given))]}
        )
        return
    for number, text in enumerate(given):
        click.echo(text)
        for name, rows in found.items():
            click.echo("\n".join(_lines(rows[number], name if len(found) > 1 else "")))


def _result(of_task: dict[str, Any]) -> dict[str, Any]:
    """One text: the labels of the first head, and with several heads those of each."""
    first = next(iter(of_task.values()))
    result = {
        "text": first.text,
        "labels": list(first.labels),
        "scores": {item.task.name: dict(item.scores) for item in of_task.values()},
    }
    if len(of_task) > 1:
        result["labels_by_task"] = {item.task.name: list(item.labels) for item in of_task.values()}
    if first.aspects is not None:
        result["aspects"] = [dict(aspect) for aspect in first.aspects]
    return result


def _lines(item: Any, head: str) -> list[str]:
    """Labels and bars of one head: the ten most probable labels, five where there are several heads."""
    from maeum._tables import display_width

    names = {label.key: label.name(language()) for label in item.task.labels}
    grades = {label.key: label.name(language()) for label in item.task.sentiments}
    graded = {aspect["aspect"]: grades[aspect["sentiment"]] for aspect in item.aspects or ()}
    labels = ", ".join(" ".join(filter(None, (names[key], graded.get(key)))) for key in item.labels) or say(
        "해당 없음", "none"
    )
    shown = sorted(item.scores.items(), key=lambda pair: -pair[1])[: 5 if head else 10]
    width = max(display_width(names[key]) for key, _ in shown)
    lines = [f"  → {head}: {labels}" if head else f"  → {labels}"]
    for key, score in shown:
        mark = "●" if key in item.labels else " "
        pad = " " * (width - display_width(names[key]))
        grade = f" {graded[key]}" if key in graded else ""
        lines.append(f"  {mark} {names[key]}{pad} {score:6.1%} {'█' * round(score * 30)}{grade}")
    return lines
