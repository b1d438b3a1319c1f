"""``maeum evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._models import score, thresholds_file
from maeum.apps.cli._options import data_options, device_option, examples, json_option, quiet_option, task_option


@click.command(
    help=say(
        "MODEL(모델 폴더 또는 예측 파일)을 라벨이 달린 DATA로 평가합니다. 과제가 다르면 라벨 대응표로 옮겨 잽니다.",
        "Judge MODEL (a model folder or a predictions file) on labelled DATA; label sets are mapped where they differ.",
    ),
    epilog=examples(
        "maeum evaluate runs/first dev.jsonl --html report.html",
        "maeum evaluate runs/kote sample:nikl-ea",
        "maeum evaluate dev_predict.json dev.jsonl --thresholds thresholds.json",
        "maeum evaluate 결과.csv dev.jsonl --task review-fashion",
        "maeum evaluate runs/fashion dev.jsonl --stress",
    ),
)
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="DATA")
@click.option("--html", metavar="FILE", help=say("HTML 보고서를 쓸 파일", "Write the HTML report here."))
@click.option("--markdown", metavar="FILE", help=say("Markdown 보고서를 쓸 파일", "Write the Markdown report here."))
@click.option(
    "--thresholds",
    "thresholds_path",
    metavar="FILE",
    help=say(
        "예측 파일에 쓸 기준값 파일(기본: 파일에 적힌 라벨, 없으면 0.5)",
        "Thresholds for a predictions file (default: the labels it holds, else 0.5).",
    ),
)
@click.option(
    "--stress",
    is_flag=True,
    help=say(
        "띄어쓰기·오타·ㅋㅋ·이모지·NFD를 흔들어 라벨이 얼마나 바뀌는지, 반어·부정 같은 어려운 문장은 맞히는지도 잽니다.",
        "Also perturb texts and report how often labels flip, and ask about hard sentences (sarcasm, negation, …).",
    ),
)
@task_option
@data_options
@device_option
@json_option
@quiet_option
def evaluate(
    model: str,
    data: str,
    html: str | None,
    markdown: str | None,
    stress: bool,
    as_json: bool,
    quiet: bool,
    **words: Any,
) -> None:
    """Parse, call ``maeum.evaluation``, print the report."""
    from maeum._files import write_text
    from maeum.evaluation import judge

    rule = thresholds_file(words.pop("thresholds_path"))
    scored, analyzer = score(model, data, words, thresholds=rule)
    report = judge(scored)
    if scored.task.kind == "aspect":
        from maeum.reviews import with_predicted_scores, with_review_scores

        if analyzer is None:
            report = with_predicted_scores(report, scored)
        else:
            report = with_review_scores(report, analyzer, scored.data)
    stressed = hard = None
    if stress:
        from maeum.errors import UsageError
        from maeum.phenomena import phenomena_test
        from maeum.stress import stress_test

        if analyzer is None:
            raise UsageError(
                "--stress는 예측 파일이 아니라 모델 폴더에만 쓸 수 있습니다.",
                "--stress needs a model folder, not a predictions file",
            )
        stressed = stress_test(analyzer, scored.data)
        report = report.with_extra(stress=stressed.to_dict())
        hard = phenomena_test(analyzer)
        if hard is not None:
            report = report.with_extra(phenomena=hard.to_dict())
    if html:
        write_text(Path(html), report.to_html())
    if markdown:
        write_text(Path(markdown), report.to_markdown())
    if as_json:
        emit(report.to_dict())
        return
    click.echo(report.summary())
    if "review" in report.extra:
        from maeum.reviews import ReviewScores

        click.echo("\n" + ReviewScores.from_dict(scored.data.task, report.extra["review"]).summary())
    if "taxonomy" in report.extra:
        click.echo("\n" + _taxonomy(report))
    if stressed is not None:
        click.echo("\n" + stressed.summary())
    if hard is not None:
        click.echo("\n" + hard.summary())


def _taxonomy(report: Any) -> str:
    from maeum._tables import text_table

    f1 = {label.key: label.f1 for label in report.labels}
    rows = [
        [row["source"], row["kind"], ", ".join(f"{key} ({f1[key]:.3f})" for key in row["targets"]) or "–", row["note"]]
        for row in report.extra["taxonomy"]["rows"]
    ]
    heads = [
        say("모델 라벨", "model label"),
        say("대응", "mapping"),
        say("데이터 라벨 (F1)", "data labels (F1)"),
        say("설명", "note"),
    ]
    return text_table(heads, rows)
