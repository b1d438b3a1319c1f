"""``maeum annotate export`` and ``maeum annotate import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    data_options,
    device_option,
    examples,
    json_option,
    load_model,
    output_option,
    overwrite_option,
    quiet_option,
    task_option,
    task_or_none,
)

if TYPE_CHECKING:
    from maeum.annotating import Imported
    from maeum.data import Dataset
    from maeum.task import Task

_MOST = 20
"""Problems that are printed; ``--json`` holds all."""


@click.group(
    help=say(
        "사람에게 라벨을 맡길 파일을 만들고(export), 돌아온 파일을 읽어 합칩니다(import).",
        "Files for annotators (export), and what they send back merged into labelled rows (import).",
    ),
    epilog=examples(
        "maeum annotate export 라벨할글.jsonl -o 라벨.xlsx --to xlsx --task review-fashion",
        "maeum annotate import 라벨.지은.xlsx 라벨.민호.xlsx --rows 라벨할글.jsonl --task review-fashion -o 라벨된글.jsonl",
    ),
)
def annotate() -> None:
    """Two commands around what people label."""


@annotate.command(
    "export",
    help=say(
        "ROWS를 라벨 달 파일로 씁니다. xlsx: 라벨마다 고르는 칸과 기준 시트. label-studio: 과제 JSON과 화면 설정(FILE.config.xml). "
        "sqlite: 웹 앱(maeum ui --folder)에서 여럿이 함께 다는 라벨 파일. --model을 주면 모델의 답을 미리 채웁니다.",
        "ROWS as files to label. xlsx: drop-downs and a sheet of guidelines. label-studio: tasks as JSON, and the interface beside "
        "it (FILE.config.xml). sqlite: a labelling file for the web app (maeum ui --folder), several people at once. With --model its answers are filled in.",
    ),
    epilog=examples(
        "maeum annotate export 라벨할글.jsonl -o 라벨.xlsx --to xlsx --task kote",
        "maeum annotate export 라벨할글.jsonl -o tasks.json --to label-studio --model runs/review",
        "maeum annotate export 라벨할글.jsonl -o 작업/7월.sqlite --task kote --share",
    ),
)
@click.argument("rows", metavar="ROWS")
@output_option
@click.option(
    "--to",
    type=click.Choice(["xlsx", "jsonl", "label-studio", "sqlite"]),
    help=say("형식(기본: 확장자, .json은 label-studio)", "Form (default: by suffix; .json is label-studio)."),
)
@click.option(
    "--model",
    metavar="M",
    help=say("답을 미리 채울 모델(과제도 정합니다)", "Model whose answers are filled in (gives the task too)."),
)
@click.option(
    "--share",
    is_flag=True,
    help=say(
        "sqlite: 행마다 한 사람에게만 줍니다(기본: 모두가 모든 행에 답니다).",
        "sqlite: every row goes to one annotator only (default: everybody labels all).",
    ),
)
@task_option
@data_options
@overwrite_option
@device_option
@json_option
@quiet_option
def export(rows: str, output: str, to: Any, model: str | None, share: bool, **words: Any) -> None:
    """Parse, call ``maeum.annotating``, say what was written."""
    from maeum._files import refuse_existing, refuse_input
    from maeum.annotating import config_path, export_rows
    from maeum.errors import UsageError

    path = Path(output)
    refuse_input(path, rows)
    to = to or _form(path)
    if share and to != "sqlite":
        raise UsageError("--share는 --to sqlite와 함께 씁니다.", "--share goes with --to sqlite")
    for file in (path, config_path(path)) if to == "label-studio" else (path,):
        if not words["overwrite"]:
            refuse_existing(file, overwrite=False)
    named = task_or_none(words["task"])
    analyzer = None if model is None else load_model(model, task=_head(model, named))
    data = _rows(rows, named or (analyzer.task if analyzer else None), output, words)
    written = export_rows(
        data.examples,
        path,
        data.task,
        to=to,
        analyzer=analyzer,
        model=Path(model or "").name,
        share=share,
        overwrite=words["overwrite"],
    )
    files = [str(file) for file in written]
    if words["as_json"]:
        emit({"files": files, "rows": len(data), "task": data.task.name})
    elif not words["quiet"]:
        click.echo(say(f"{len(data)}행: {', '.join(files)}", f"{len(data)} rows: {', '.join(files)}"), err=True)


@annotate.command(
    "import",
    help=say(
        "라벨이 달려 돌아온 FILE들을 읽어 ROWS에 합칩니다. 누가 언제 무엇을 달았는지 meta.annotations에 남고, 같은 파일을 두 번 "
        "넣어도 아무것도 달라지지 않습니다. 문제가 하나라도 있으면 어느 파일 몇째 행인지 모두 알리고 멈춥니다(--on-error skip: "
        "그 행만 빼고 계속).",
        "Merge annotated FILEs into ROWS. Who labelled what and when stays in meta.annotations; the same file twice changes "
        "nothing. Any problem is told with file and row, and nothing is written (--on-error skip leaves out those rows only).",
    ),
    epilog=examples(
        "maeum annotate import 라벨.지은.xlsx 라벨.민호.csv --rows 라벨할글.jsonl --task kote -o 라벨된글.jsonl",
        "maeum annotate import export.json --rows 라벨할글.jsonl --task nikl-ea --consensus all -o 라벨된글.jsonl",
        "maeum annotate import 작업/7월.sqlite --rows 라벨할글.jsonl --task kote -o 라벨된글.jsonl",
    ),
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--rows", required=True, metavar="ROWS", help=say("내보낼 때 쓴 행", "The rows that were exported."))
@output_option
@click.option(
    "--consensus",
    type=click.Choice(["majority", "all", "any", "first"]),
    default="majority",
    show_default=True,
    help=say(
        "여럿의 라벨을 하나로: majority 절반 초과, all 모두, any 한 사람이라도, first 먼저 단 사람",
        "One answer of several: more than half, all, anybody, or whoever was first.",
    ),
)
@click.option(
    "--annotator",
    metavar="NAME",
    help=say(
        "라벨을 단 사람(기본: annotator 열, 없으면 파일 이름)",
        "Who labelled (default: column annotator, else the file name).",
    ),
)
@click.option(
    "--conflicts",
    metavar="FILE",
    help=say("갈린 라벨을 적을 CSV", "CSV of disagreements (default: beside the output)."),
)
@task_option
@data_options
@overwrite_option
@json_option
@quiet_option
def import_(files: tuple[str, ...], rows: str, output: str, consensus: Any, **words: Any) -> None:
    """Parse, call ``maeum.annotating``, say what came in."""
    from maeum._files import refuse_input
    from maeum.annotating import import_files, read_labelled, write_conflicts, write_labelled
    from maeum.errors import DataError

    path = Path(output)
    refuse_input(path, rows, *files)
    data = _rows(rows, task_or_none(words["task"]), output, {**words, "on_error": "stop"})
    before = [] if words["overwrite"] else read_labelled(path, data.task)
    done = import_files(
        [Path(file) for file in files],
        data.examples,
        data.task,
        rule=consensus,
        before=before,
        annotator=words["annotator"],
        encoding=words["encoding"],
    )
    errors = done.problems.errors
    for error in (*errors[:_MOST], *(() if words["quiet"] else done.problems.notices[:_MOST])):
        click.echo(str(error), err=True)
    if errors and words["on_error"] == "stop":
        more_ko, more_en = (
            ("", "") if len(errors) <= _MOST else (f"(위는 처음 {_MOST}개)", f" (the first {_MOST} are above)")
        )
        raise DataError(
            f"문제가 {len(errors)}개라{more_ko} 아무것도 쓰지 않았습니다. 고치거나 --on-error skip으로 그 행만 빼세요.",
            f"{len(errors)} problems{more_en}; nothing was written. Mend them, or leave those rows out with --on-error skip",
        )
    written = write_labelled(done, path, data.task)
    beside = Path(words["conflicts"] or path.with_name(f"{path.stem}.conflicts.csv"))
    write_conflicts(done.conflicts, done.rows, beside)
    if words["as_json"]:
        emit({"output": output, "written": written, "consensus": consensus, **done.counts()})
    elif not words["quiet"]:
        for line in _lines(done, output, written, consensus, beside):
            click.echo(line, err=True)


def _rows(source: str, task: Task | None, output: str, words: dict[str, Any]) -> Dataset:
    """The rows to label, and their task; labels they may have are left alone by what comes after."""
    from maeum.data import Dataset
    from maeum.errors import UsageError
    from maeum.formats import iter_examples, open_source

    names = ("format", "text_column", "label_column", "target_column", "encoding", "on_error")
    reading = {name: words[name] for name in names}
    task = task or open_source(source, format=reading["format"]).task
    if task is None:
        raise UsageError(
            "어느 과제의 라벨인지 --task로 알려 주세요(이름이나 .toml 파일).",
            "say with --task whose labels these are (a name or a .toml file)",
        )
    rejects = Path(words["rejects"] or f"{output}.rejects.jsonl") if reading["on_error"] == "skip" else None
    return Dataset(task, iter_examples(source, task=task, with_labels=False, rejects=rejects, **reading), source=source)


def _head(model: str, task: Task | None) -> str | None:
    from maeum.apps.cli._models import head_for

    return head_for(model, task)


def _form(path: Path) -> str:
    from maeum.errors import UsageError

    found = {".xlsx": "xlsx", ".jsonl": "jsonl", ".json": "label-studio", ".sqlite": "sqlite"}.get(path.suffix.lower())
    if found is None:
        raise UsageError(
            f"'{path}'로는 형식을 알 수 없습니다. --to xlsx, jsonl, label-studio, sqlite 가운데 하나를 쓰세요.",
            f"'{path}' does not tell the form; add --to xlsx, jsonl, label-studio or sqlite",
        )
    return found


def _lines(done: Imported, output: str, written: bool, rule: str, conflicts: Path) -> list[str]:
    from maeum._tables import text_table
    from maeum.annotating import RULES

    told = done.counts()
    if not written:
        lines = [say(f"{output}: 새로운 것이 없어 그대로 두었습니다.", f"{output}: nothing new, left as it is")]
    else:
        lines = [
            say(
                f"{output}: {told['rows']}행 가운데 {told['labelled']}행에 라벨이 있습니다(미정 {told['open']}, 아직 {told['unlabelled']}). "
                f"새 답 {told['new']}개, 그 가운데 고친 것 {told['changed']}개.",
                f"{output}: {told['labelled']} of {told['rows']} rows have labels ({told['open']} open, {told['unlabelled']} not "
                f"yet). {told['new']} new answers, {told['changed']} of them corrections.",
            )
        ]
    people = ", ".join(f"{name} {count}" for name, count in told["annotators"].items())
    lines.append(
        say(
            f"라벨을 단 사람: {people}. 합의: {rule}({RULES[rule][0]})",
            f"annotators: {people}. Rule: {rule} ({RULES[rule][1]})",
        )
    )
    if told["conflicts"]:
        lines.append(
            say(
                f"갈린 라벨 {told['conflicts']}개는 {conflicts}에 있습니다.",
                f"{told['conflicts']} disagreements are in {conflicts}",
            )
        )
    if done.agreement:
        heads = [
            say("라벨", "label"),
            "",
            say("행", "rows"),
            say("일치", "observed"),
            "Cohen κ",
            "Fleiss κ",
            "Krippendorff α",
        ]
        shown = [
            [
                row["label"] or "-",
                row["what"],
                str(row["rows"]),
                *(_number(row[name]) for name in ("observed", "cohen", "fleiss", "alpha")),
            ]
            for row in done.agreement
            if row["rows"]
        ]
        lines.append(text_table(heads, shown))
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
