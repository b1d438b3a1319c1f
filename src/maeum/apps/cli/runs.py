"""``maeum runs``."""

from __future__ import annotations

from pathlib import Path

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import examples, json_option


@click.command(
    help=say(
        "DIR 아래의 모든 모델 폴더를 점수순 표 하나로 봅니다.", "All model folders under DIR as one table, best first."
    ),
    epilog=examples("maeum runs runs", "maeum runs runs --sort macro_f1 --csv runs.csv"),
)
@click.argument("folder", metavar="DIR")
@click.option(
    "--sort", default="micro_f1", show_default=True, metavar="METRIC", help=say("정렬할 점수", "Metric to sort by.")
)
@click.option("--csv", "csv_path", metavar="FILE", help=say("CSV로도 씁니다.", "Also write a CSV."))
@click.option("--markdown", is_flag=True, help=say("Markdown 표로 출력합니다.", "Print a Markdown table."))
@json_option
def runs(folder: str, sort: str, csv_path: str | None, markdown: bool, as_json: bool) -> None:
    """Parse, call ``maeum.runs.collect``, print the table."""
    from maeum._tables import text_table
    from maeum.runs import collect, columns, markdown_table, write_csv

    found = collect(Path(folder), sort=sort)
    if csv_path:
        write_csv(found, Path(csv_path))
    if as_json:
        emit({"runs": found})
    elif markdown:
        click.echo(markdown_table(found))
    else:
        click.echo(text_table(columns(found), [[str(run.get(name, "")) for name in columns(found)] for run in found]))
