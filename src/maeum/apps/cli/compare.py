"""``maeum compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    data_options,
    device_option,
    examples,
    json_option,
    overwrite_option,
    quiet_option,
    read_data,
    task_option,
    task_or_none,
)


@click.command(
    help=say(
        "모델 A와 B(모델 폴더나 예측 파일)를 같은 라벨 데이터에서 견줍니다: 점수 차이와 구간, 라벨별 차이, 달라진 행. "
        "--loop를 주면 개선의 차례로 기록하고, 고정한 평가 데이터가 바뀌면 거절합니다.",
        "Compare A and B (model folders or predictions files) on the same labelled rows: gaps with intervals, per label, rows "
        "that changed. With --loop the comparison is recorded as a turn; a changed frozen test set is refused.",
    ),
    epilog=examples(
        "maeum compare runs/first runs/second --data 고정.jsonl",
        "maeum compare runs/first runs/second --data 고정.jsonl -o 비교",
        "maeum compare 어제.jsonl 오늘.jsonl --data 고정.jsonl --json",
        "maeum compare runs/1 runs/2 --data 고정.jsonl --loop 개선 --decisions fixed.changes.jsonl --note '신축성 기준을 다시 세움'",
    ),
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--data", required=True, metavar="FILE", help=say("고정한 평가 데이터", "The frozen labelled rows."))
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help=say("보고서와 달라진 행을 쓸 폴더", "Folder for the report and the changed rows."),
)
@click.option(
    "--loop", metavar="DIR", help=say("차례를 기록할 폴더", "Record this as a turn of a loop in this folder.")
)
@click.option("--note", default="", metavar="TEXT", help=say("--loop: 무엇을 했는지", "With --loop: what was done."))
@click.option(
    "--decisions",
    metavar="FILE",
    help=say("--loop: audit --apply의 변경 기록", "With --loop: a changelog of audit --apply."),
)
@click.option(
    "--labelled",
    type=click.IntRange(1),
    metavar="N",
    help=say("--loop: B가 배운 라벨 행 수(모르면)", "With --loop: rows B learnt from, where it does not say."),
)
@click.option(
    "--resamples",
    type=click.IntRange(100),
    default=4000,
    show_default=True,
    metavar="N",
    help=say("부트스트랩 횟수", "Resamples."),
)
@click.option("--seed", type=int, default=0, show_default=True, help=say("씨앗", "Seed."))
@task_option
@data_options
@overwrite_option
@device_option
@json_option
@quiet_option
def compare(a: str, b: str, data: str, output: str | None, loop: str | None, **words: Any) -> None:
    """Parse, call ``maeum.comparing``, print the tables."""
    from maeum._files import refuse_existing
    from maeum.apps.cli._models import head_for
    from maeum.comparing import compare as run
    from maeum.comparing import record, write
    from maeum.comparing.outputs import FOLDER
    from maeum.errors import UsageError
    from maeum.folder import load
    from maeum.formats import open_source

    if loop is None and (words["note"] or words["decisions"] or words["labelled"]):
        raise UsageError(
            "--note, --decisions, --labelled는 --loop와 함께 씁니다.",
            "--note, --decisions and --labelled go with --loop",
        )
    if output is not None:
        refuse_existing(Path(output), overwrite=words["overwrite"], kind=FOLDER)
    reading = {name: words[name] for name in _READING}
    task = task_or_none(words["task"]) or open_source(data, format=reading["format"]).task
    if task is None:
        model = next((path for path in (a, b) if not Path(path).is_file()), None)
        task = None if model is None else load(model, task=head_for(model, None)).task
    rows = read_data(data, task=task, **reading)
    found = run(a, b, rows, resamples=words["resamples"], seed=words["seed"])
    if output is not None:
        write(found, output, overwrite=words["overwrite"])
    turn = None
    if loop is not None:
        turn = record(loop, found, note=words["note"], decisions=words["decisions"], labelled=words["labelled"])
    if words["as_json"]:
        more = {} if turn is None else {"loop": {"folder": str(turn.folder), "turn": turn.number, "added": turn.added}}
        emit(found.to_dict() | more)
        return
    for note in (*found.notes, *(turn.notes if turn else ())):
        click.echo(say(f"알림: {note}", f"note: {note}"), err=True)
    click.echo(found.summary())
    if output is not None:
        click.echo(
            say(
                f"\n보고서: {output}/report.html   달라진 행: {output}/changes.csv",
                f"\nreport: {output}/report.html   changed rows: {output}/changes.csv",
            )
        )
    if turn is not None:
        click.echo(
            say(
                f"\n{turn.number}번째 차례: {turn.folder}/turns.jsonl   그림: {turn.folder}/quality.svg",
                f"\nturn {turn.number}: {turn.folder}/turns.jsonl   chart: {turn.folder}/quality.svg",
            )
        )


_READING = ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")
