"""Options that mean the same in every command, and the small pieces commands share."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from maeum._lang import say

if TYPE_CHECKING:
    from maeum.analyzer import Analyzer
    from maeum.data import Dataset
    from maeum.task import Task

F = TypeVar("F", bound=Callable[..., Any])


def stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, shown in the order given."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def examples(*lines: str) -> str:
    """An epilog of example commands."""
    return "\b\n" + say("예:", "Examples:") + "\n" + "\n".join(f"  {line}" for line in lines)


output_option = click.option(
    "-o", "--output", required=True, metavar="PATH", help=say("결과를 쓸 곳", "Where to write the result.")
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help=say("이미 있으면 덮어씁니다.", "Replace what is already there.")
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help=say("결과를 JSON 하나로 출력합니다.", "Print one JSON object on stdout.")
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help=say("진행 상황을 보이지 않습니다.", "No progress messages.")
)


def _use_device(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    # models are opened deep inside; the one place that picks a device reads this
    if value is not None:
        os.environ["MAEUM_DEVICE"] = value


device_option = click.option(
    "--device",
    metavar="D",
    expose_value=False,
    callback=_use_device,
    help=say("신경망이 쓸 장치: auto, cpu, cuda, cuda:N", "Device of neural models: auto, cpu, cuda, cuda:N."),
)
task_option = click.option(
    "--task", metavar="TASK", help=say("과제 이름 또는 과제 .toml 파일", "Name of a task, or a task .toml file.")
)
data_options = stack(
    click.option(
        "--format",
        "format",
        metavar="F",
        help=say("데이터 형식(보통은 알아서 압니다)", "Data format, if it cannot be told."),
    ),
    click.option("--text-column", metavar="C", help=say("글이 든 열", "Column of the text.")),
    click.option("--label-column", metavar="C", help=say("라벨이 든 열", "Column of the labels.")),
    click.option("--target-column", metavar="C", help=say("대상이 든 열", "Column of the target.")),
    click.option(
        "--encoding", metavar="E", help=say("글자 인코딩(보통은 알아서 압니다)", "Text encoding, if it cannot be told.")
    ),
    click.option(
        "--on-error",
        type=click.Choice(["stop", "skip"]),
        default="stop",
        show_default=True,
        help=say(
            "잘못된 행을 만나면 멈추거나, 따로 적어 두고 건너뜁니다.",
            "Stop at a bad row, or put it into a rejects file.",
        ),
    ),
    click.option(
        "--rejects",
        metavar="FILE",
        help=say("건너뛴 행을 적을 파일", "Where skipped rows go (default: beside the output)."),
    ),
)


class Say:
    """Progress lines on stderr, with the time since the start; silent when asked to be, or with ``--json``."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.start = time.perf_counter()
        self.drawn: Any = None

    def __call__(self, line: str) -> None:
        if not self.quiet:
            text = f"[{time.perf_counter() - self.start:6.1f}s] {line}"
            if self.drawn is not None:
                self.drawn.write(text, file=sys.stderr)
            else:
                click.echo(text, err=True)

    @contextlib.contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """A bar with the time left, on a terminal; nothing elsewhere."""
        if self.quiet or not is_terminal():
            yield lambda done, remark: None
            return
        from tqdm import tqdm

        with tqdm(total=total, desc=name, file=sys.stderr, dynamic_ncols=True) as drawn:

            def step(done: int, remark: str) -> None:
                drawn.set_postfix_str(remark, refresh=False)
                drawn.update(done - drawn.n)

            self.drawn = drawn
            try:
                yield step
            finally:
                self.drawn = None


def read_data(source: str, *, task: Task | None, rejects_beside: str | None = None, **options: Any) -> Dataset:
    """A data set from a file, ``-`` or ``sample:…``; says how many bad rows were skipped."""
    from maeum.formats import ReadReport, read

    rejects = options.pop("rejects", None)
    if options.get("on_error") == "skip" and rejects is None:
        rejects = f"{rejects_beside or ('stdin' if source == '-' else Path(source).name)}.rejects.jsonl"
        Path(rejects).unlink(missing_ok=True)
    report = ReadReport()
    data = read(source, task=task, rejects=Path(rejects) if rejects else None, report=report, **options)
    if report.rejected:
        click.echo(
            say(
                f"잘못된 {report.rejected}행을 건너뛰어 {rejects}에 적었습니다. 첫 오류: {report.first_error}",
                f"{report.rejected} bad rows were skipped and written to {rejects}; the first: {report.first_error}",
            ),
            err=True,
        )
    if report.conflicts:
        click.echo(
            say(
                f"사람마다 답이 다른 {report.conflicts}행은 절반보다 많은 사람의 답을 따랐고, 그런 답이 없는 {report.undecided}행은 "
                "라벨 없이 두었습니다(meta.conflicts). 규칙을 바꾸려면: maeum annotate import",
                f"annotators differ on {report.conflicts} rows: the majority stands, and {report.undecided} rows without one "
                "stay unlabelled (meta.conflicts); for another rule: maeum annotate import",
            ),
            err=True,
        )
    return data


def task_or_none(name: str | None) -> Task | None:
    """The task of ``--task``, if given."""
    from maeum.task import get_task

    return get_task(name) if name else None


def load_model(path: str, *, task: str | None = None) -> Analyzer:
    """The model of a MODEL argument."""
    import maeum

    return maeum.load(path, task=task)


def is_terminal() -> bool:
    """Whether progress bars would be seen."""
    return sys.stderr.isatty()
