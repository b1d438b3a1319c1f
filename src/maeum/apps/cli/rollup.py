"""``maeum rollup``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    Say,
    data_options,
    device_option,
    examples,
    json_option,
    output_option,
    overwrite_option,
    quiet_option,
    task_option,
)

if TYPE_CHECKING:
    from maeum.rolling import Rollup


@click.command(
    help=say(
        "INPUT의 많은 글을 모델 MODEL로 분석해 라벨·속성별, 기간별, 묶음별 표와 한 장의 보고서를 폴더에 씁니다. MODEL 자리에는 "
        "maeum predict가 쓴 파일(JSONL, 표)도 됩니다. 도중에 멈춰도 같은 명령으로 이어서 합니다.",
        "Tables and one page out of many texts: by label or aspect, over time, by group. A file of maeum predict (JSONL or table) "
        "may stand where MODEL stands. An interrupted run goes on where it stopped.",
    ),
    epilog=examples(
        "maeum rollup runs/review 리뷰.csv -o 보고서 --date-column 작성일 --group-column 상품명",
        "maeum rollup 결과.jsonl 리뷰.csv -o 보고서 --date-column 작성일 --period week",
        "maeum rollup runs/nsmc reviews.parquet -o 영화 --date-column date --date-format %y.%m.%d --group-column movie_id",
    ),
)
@click.argument("model", metavar="MODEL")
@click.argument("input", metavar="[INPUT]", required=False)
@output_option
@click.option("--date-column", metavar="C", help=say("날짜가 든 열", "Column of the date."))
@click.option(
    "--date-format",
    metavar="F",
    help=say(
        "날짜를 쓴 방식. 예: %y.%m.%d(기본: 2015-08-24, 2015.08.24, 20150824처럼 분명한 것만)",
        "How dates are written, such as %y.%m.%d (default: only what leaves no doubt, 2015-08-24, 2015.08.24, 20150824).",
    ),
)
@click.option("--group-column", metavar="C", help=say("묶음(상품, 가게 …)이 든 열", "Column of the group."))
@click.option(
    "--period",
    type=click.Choice(["day", "week", "month", "year"]),
    default="month",
    show_default=True,
    help=say("기간의 길이", "Length of a step of time."),
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help=say("따로 셀 묶음 수. 나머지는 '그 밖'입니다.", "Groups that count by name; the rest counts together."),
)
@click.option(
    "--examples",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    metavar="N",
    help=say("숫자마다 보일 문장 수", "Sentences for each number."),
)
@click.option(
    "--min-count",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="N",
    help=say(
        "글이 이보다 적은 비율은 옅게 보이고, 낱말은 이만큼의 글에 나와야 합니다.",
        "Shares of fewer texts are shown pale; a word must be in so many.",
    ),
)
@task_option
@data_options
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help=say("한 번에 처리할 글 수", "Texts per step."),
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help=say("문장을 뽑는 씨앗", "Which sentences chance picks.")
)
@overwrite_option
@device_option
@json_option
@quiet_option
def rollup(model: str, input: str | None, output: str, **words: Any) -> None:
    """Parse, call ``maeum.rollup``, say where the page is."""
    import maeum

    reading = {name: words[name] for name in _READING}
    if words["on_error"] == "skip":
        reading["rejects"] = Path(words["rejects"] or f"{output}.rejects.jsonl")
    done = maeum.rollup(
        model,
        input,
        output,
        **{name: words[name] for name in _ASKED},
        **reading,
        progress=Say(quiet=words["quiet"] or words["as_json"]),
    )
    if words["as_json"]:
        emit(done.to_dict())
    elif not words["quiet"]:
        for note in done.notes:
            click.echo(say(f"알림: {note}", f"note: {note}"), err=True)
        click.echo(_sentence(done), err=True)


def _sentence(done: Rollup) -> str:
    line = say(
        f"{done.output / 'report.html'}: {done.rows:,}행, {done.seconds:.1f}초",
        f"{done.output / 'report.html'}: {done.rows:,} rows in {done.seconds:.1f} s",
    )
    if done.resumed:
        line += say(f", 앞서 예측한 {done.resumed:,}행에 이어서 했습니다", f", resumed after {done.resumed:,} rows")
    return line


_READING = ("format", "text_column", "label_column", "target_column", "encoding", "on_error")
_ASKED = (
    "date_column",
    "date_format",
    "group_column",
    "period",
    "top",
    "examples",
    "min_count",
    "seed",
    "task",
    "batch_size",
    "overwrite",
)
