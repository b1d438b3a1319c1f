"""``maeum predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    data_options,
    device_option,
    examples,
    is_terminal,
    json_option,
    load_model,
    output_option,
    overwrite_option,
    quiet_option,
    task_option,
)

if TYPE_CHECKING:
    from maeum.analyzer import Analyzer
    from maeum.data import Example

OUTPUT_FORMATS = ("jsonl", "csv", "tsv", "xlsx", "parquet", "nikl-ea", "nikl-sa", "completion")


@click.command(
    help=say(
        "INPUT의 모든 글에 라벨과 확률을 답니다. 도중에 멈춰도 같은 명령으로 이어서 합니다.",
        "Labels and scores for every text of INPUT. An interrupted run goes on where it stopped.",
    ),
    epilog=examples(
        "maeum predict runs/first 리뷰.csv -o 결과.csv",
        "maeum predict runs/first test.jsonl -o submission.jsonl --output-format nikl-ea",
        "maeum predict runs/fashion 리뷰.csv -o 결과.md --output-format completion",
        "cat texts.txt | maeum predict runs/first - --format txt -o - > out.jsonl",
    ),
)
@click.argument("model", metavar="MODEL")
@click.argument("input", metavar="INPUT")
@output_option
@click.option(
    "--output-format",
    type=click.Choice(OUTPUT_FORMATS),
    help=say("출력 형식(기본: 파일 이름의 확장자, 아니면 jsonl)", "Output format (default: by file name, else jsonl)."),
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
    "--evidence",
    type=click.IntRange(1),
    metavar="N",
    help=say(
        "속성마다, 그리고 그 감성마다 그것을 보여 주는 낱말 N개와 위치도 씁니다(후기 모델).",
        "Also the N words that show each aspect, and those that show its grade, with their places (review models).",
    ),
)
@overwrite_option
@device_option
@json_option
@quiet_option
def predict(model: str, input: str, output: str, output_format: str | None, **words: Any) -> None:
    """Parse, call ``maeum.predicting``, say what was done."""
    from maeum.errors import UsageError
    from maeum.folder import fingerprint
    from maeum.predicting import finish_predictions, predict_file, refuse_form

    analyzer = load_model(model, task=words["task"])
    output_format = output_format or _format_of(output)
    refuse_form(analyzer.task, output_format)
    evidence = _evidence(analyzer, words["evidence"], output_format)
    reading = {
        name: words[name] for name in ("format", "text_column", "label_column", "target_column", "encoding", "on_error")
    }
    if output == "-" or input == "-":
        if output_format != "jsonl":
            raise UsageError(
                "표준 입출력(-)으로는 jsonl만 쓸 수 있습니다.", "standard input and output (-) work with jsonl only"
            )
        rows = _stream(analyzer, input, output, reading, words, evidence)
        click.echo(say(f"{rows}행", f"{rows} rows"), err=True) if not words["quiet"] else None
        return
    path = Path(output)
    rejects = Path(words["rejects"] or f"{output}.rejects.jsonl") if words["on_error"] == "skip" else None

    def read() -> Iterator[Example]:
        if rejects is not None:
            rejects.unlink(missing_ok=True)
        return _examples(input, analyzer, reading, rejects)

    def finish(rows: Path, target: Path) -> None:
        finish_predictions(rows, target, analyzer.task, to=output_format, source=input, format=words["format"])

    with _bar(words) as tick:
        result = predict_file(
            analyzer,
            _file_of(input),
            path,
            model_fingerprint=fingerprint(model),
            read=read,
            finish=None if output_format == "jsonl" else finish,
            options={**reading, "output_format": output_format, "task": words["task"], "evidence": words["evidence"]},
            batch_size=words["batch_size"],
            overwrite=words["overwrite"],
            tick=tick,
            evidence=evidence,
        )
    skipped = rejects.read_bytes().count(b"\n") if rejects is not None and rejects.exists() else 0
    if words["as_json"]:
        emit(
            {
                "output": output,
                "rows": result.rows,
                "resumed": result.resumed,
                "skipped": skipped,
                "seconds": result.seconds,
            }
        )
    elif not words["quiet"]:
        click.echo(_sentence(result, output, skipped, rejects), err=True)


def _sentence(result: Any, output: str, skipped: int, rejects: Path | None) -> str:
    if result.complete_before:
        return say(
            f"{output}: 이미 끝난 작업입니다({result.rows}행).", f"{output}: already complete ({result.rows} rows)"
        )
    rate = (result.rows - result.resumed) / max(result.seconds, 1e-9)
    line = say(
        f"{output}: {result.rows}행, {result.seconds:.1f}초(초당 {rate:,.0f}행)",
        f"{output}: {result.rows} rows in {result.seconds:.1f} s ({rate:,.0f} rows/s)",
    )
    if result.resumed:
        line += say(f", 앞서 끝난 {result.resumed}행에 이어서 했습니다", f", resumed after {result.resumed} rows")
    if skipped:
        line += say(f", 잘못된 {skipped}행은 {rejects}에 있습니다", f"; {skipped} bad rows are in {rejects}")
    return line


def _evidence(analyzer: Analyzer, most: int | None, output_format: str) -> Any:
    """What finds the words behind the aspects of rows, or None."""
    from maeum.errors import UsageError
    from maeum.explaining import aspect_words

    if most is None:
        return None
    if analyzer.task.kind != "aspect":
        raise UsageError(
            "--evidence는 후기(속성) 모델에만 있습니다. 다른 모델은 'maeum explain'을 쓰세요.",
            "--evidence is for review (aspect) models; for others use 'maeum explain'",
        )
    if output_format != "jsonl":
        raise UsageError(
            "--evidence는 jsonl로만 씁니다(표에는 칸이 없습니다). -o 결과.jsonl로 하세요.",
            "--evidence is written as jsonl only, a table has no place for it; use -o out.jsonl",
        )
    return lambda rows: aspect_words(analyzer, rows, most)


def _stream(
    analyzer: Analyzer, source: str, output: str, reading: dict[str, Any], words: dict[str, Any], evidence: Any
) -> int:
    from maeum._files import atomic_text, refuse_existing
    from maeum.formats import prediction_line
    from maeum.predicting import prediction_rows

    rejects = Path(words["rejects"]) if words["rejects"] else None
    examples = _examples(source, analyzer, reading, rejects)
    rows = prediction_rows(analyzer, examples, batch_size=words["batch_size"], evidence=evidence)
    count = 0
    if output == "-":
        for row in rows:
            sys.stdout.write(prediction_line(row) + "\n")
            count += 1
        return count
    if Path(output).exists() and not words["overwrite"]:
        refuse_existing(Path(output), overwrite=False)
    with atomic_text(Path(output)) as file:
        for row in rows:
            file.write(prediction_line(row) + "\n")
            count += 1
    return count


def _examples(source: str, analyzer: Analyzer, reading: dict[str, Any], rejects: Path | None) -> Iterator[Example]:
    from maeum.formats import iter_examples

    return iter_examples(source, task=analyzer.task, with_labels=False, rejects=rejects, **reading)


def _file_of(source: str) -> str:
    from maeum.formats import sample_path

    return str(sample_path(source)) if source.startswith("sample:") else source


def _format_of(output: str) -> str:
    suffix = Path(output).suffix.lower().removeprefix(".")
    return suffix if suffix in OUTPUT_FORMATS else "jsonl"


class _bar:  # noqa: N801 - used like a function
    """A progress counter on stderr while rows are done; silent where nobody would see it."""

    def __init__(self, words: dict[str, Any]) -> None:
        self.shown = is_terminal() and not words["quiet"] and not words["as_json"]
        self.bar: Any = None

    def __enter__(self) -> Any:
        if self.shown:
            from tqdm import tqdm

            self.bar = tqdm(unit=say("행", "rows"), file=sys.stderr)
        return self.tick

    def tick(self, done: int) -> None:
        """Show that ``done`` rows are done."""
        if self.bar is not None:
            self.bar.update(done - self.bar.n)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
