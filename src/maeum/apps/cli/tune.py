"""``maeum tune``."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import language, say
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
    read_data,
    stack,
    task_option,
    task_or_none,
)
from maeum.errors import UsageError

if TYPE_CHECKING:
    from maeum.search import SearchResult
    from maeum.search_space import Space

_READING = ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")

search_options = stack(
    click.option(
        "--trials",
        type=click.IntRange(1),
        default=20,
        show_default=True,
        metavar="N",
        help=say("시도 수(이미 한 것까지 모두)", "Trials in total, those already made included."),
    ),
    click.option(
        "--space",
        metavar="space.toml",
        help=say("탐색 공간(기본: 모델에 맞는 것)", "What to vary (default: built in, by model)."),
    ),
    click.option("--model", metavar="SPEC", help=say("모델: linear, encoder:폴더_또는_허브_id", "Model, as in train.")),
    click.option(
        "--metric",
        metavar="M",
        help=say(
            "높일 점수: micro-f1, macro-f1, accuracy(기본: 과제의 것)",
            "What to maximise: micro-f1, macro-f1, accuracy (default: the task's).",
        ),
    ),
    click.option(
        "--valid",
        metavar="FILE|0.1",
        help=say(
            "어떤 시도도 보지 않고, 끝에 가장 좋은 설정만 재는 행",
            "Rows that no trial sees; they judge the best settings at the end.",
        ),
    ),
    click.option("--folds", type=click.IntRange(2, 100), metavar="K", help=say("시도마다 K겹", "Folds of each trial.")),
    click.option(
        "--set",
        "more",
        multiple=True,
        metavar="KEY=VALUE",
        help=say("고정할 설정(max-length=128, clean=none …)", "A setting to fix (max-length=128, clean=none …)."),
    ),
    click.option(
        "--storage", metavar="FILE", help=say("시도를 적는 SQLite 파일(DIR/study.db)", "SQLite file (DIR/study.db).")
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        metavar="MIN",
        help=say("이만큼(분) 지나면 새 시도를 하지 않습니다.", "Minutes after which no new trial begins."),
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        metavar="K",
        help=say("함께 시도할 프로세스 수", "Processes that share the trials."),
    ),
    click.option(
        "--seed", type=int, default=42, show_default=True, help=say("탐색의 난수 씨앗", "Seed of the search.")
    ),
    click.option("--helper", is_flag=True, hidden=True),
)


@click.command(
    help=say(
        "DATA로 여러 설정을 시도해 가장 좋은 것을 찾습니다. 같은 명령을 다시 주면 이어서 합니다.",
        "Try many settings on DATA and keep the best; the same command again goes on.",
    ),
    epilog=examples(
        "maeum tune sample:nikl-ea --trials 20 --valid 0.2 -o runs/tune",
        "maeum tune train.jsonl --model encoder:klue/roberta-base --trials 30 --timeout 600 -o runs/tune",
        "maeum tune train.jsonl --space space.toml --trials 50 --workers 4 -o runs/tune",
    ),
)
@click.argument("data", metavar="DATA")
@output_option
@task_option
@data_options
@search_options
@device_option
@overwrite_option
@json_option
@quiet_option
def tune(data: str, output: str, **words: Any) -> None:
    """Parse, call ``maeum.search.search``, print what it found."""
    from maeum._optional import require
    from maeum.search import search, train_command

    require("optuna")
    if words["workers"] > 1 and data == "-":
        raise UsageError(
            "--workers로 여러 프로세스를 쓸 때는 DATA가 파일이어야 합니다.", "with --workers, DATA must be a file"
        )
    progress = Say(quiet=words["quiet"] or words["as_json"])
    progress(say(f"읽는 중: {data}", f"reading {data}"))
    reading = {name: words[name] for name in _READING}
    rows = read_data(data, task=task_or_none(words["task"]), rejects_beside=output, **reading)
    told = _data_words(data, words)
    options = {
        "space": _space(words, len(rows.task)),
        "trials": words["trials"],
        "valid": _valid(words["valid"], rows, reading, output),
        "metric": words["metric"],
        "storage": words["storage"],
        "seed": words["seed"],
        "timeout": words["timeout"],
        "command": shlex.join(told),
        "progress": progress,
    }
    if words["helper"]:
        search(rows, output, finish=False, **options)
        return
    if words["workers"] > 1:
        with _Helpers(told, output, words) as helpers:
            search(rows, output, finish=False, on_start=helpers.start, overwrite=words["overwrite"], **options)
            helpers.wait()
        # what is left to do: a trial whose helper died, and the results; nobody begins anew after the time is up
        options["timeout"] = options["timeout"] and 1e-9
        result = search(rows, output, **options)
    else:
        result = search(rows, output, overwrite=words["overwrite"], **options)
    command = train_command(Path(output), options["command"])
    if words["as_json"]:
        emit(result.to_dict() | {"command": command})
    else:
        click.echo(_summary(result, command))


def _space(words: dict[str, Any], labels: int) -> Space:
    from maeum.apps.cli.train import _value
    from maeum.search_space import Space

    fixed: dict[str, Any] = {}
    for word in words["more"]:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--set은 KEY=VALUE 꼴입니다: {word}", f"--set takes KEY=VALUE, got {word}")
        fixed[name.strip()] = _value(value.strip())
    if words["folds"] is not None:
        fixed["folds"] = words["folds"]
    if words["space"] is not None:
        return Space.read(words["space"], model=words["model"], fixed=fixed)
    return Space.default(words["model"] or "linear", labels, fixed=fixed)


def _valid(word: str | None, rows: Any, reading: dict[str, Any], output: str) -> Any:
    if word is None:
        return None
    try:
        return float(word)
    except ValueError:
        return read_data(word, task=rows.task, rejects_beside=output + ".valid", **reading)


def _data_words(data: str, words: dict[str, Any]) -> list[str]:
    """DATA and the options that read it, as typed."""
    told = [data]
    for name in ("task", *_READING, "valid"):
        value = words[name]
        if value is not None and not (name == "on_error" and value == "stop"):
            told += [f"--{name.replace('_', '-')}", str(value)]
    return told


class _Helpers:
    """Further processes of the same command, which only run trials."""

    def __init__(self, told: list[str], output: str, words: dict[str, Any]) -> None:
        from maeum.engine import cores

        self.count = words["workers"] - 1
        self.command = [sys.executable, "-m", "maeum", "tune", *told, "-o", output, "--helper", "--quiet"]
        for name in ("trials", "space", "model", "metric", "folds", "storage", "timeout", "seed"):
            if words[name] is not None:
                self.command += [f"--{name}", str(words[name])]
        for word in words["more"]:
            self.command += ["--set", word]
        if words["on_error"] == "skip":
            self.command += ["--rejects", os.devnull]
        self.running: list[subprocess.Popen[bytes]] = []
        self.threads = str(max(1, cores() // words["workers"]))

    def __enter__(self) -> _Helpers:
        # this process counts too: without a share of the cores each, they would only be in each other's way
        os.environ.setdefault("OMP_NUM_THREADS", self.threads)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._alive():
            process.terminate()
        for process in self.running:
            process.wait()

    def start(self) -> None:
        """Start them, once the study is there."""
        env = {**os.environ, "MAEUM_LANG": language()}
        for _ in range(self.count):
            self.running.append(subprocess.Popen(self.command, env=env, stdout=subprocess.DEVNULL))

    def wait(self) -> None:
        """Until each has made its last trial."""
        for process in self.running:
            if process.wait():
                click.echo(
                    say(
                        f"도우미 프로세스 하나가 실패했습니다(종료 코드 {process.returncode}). 나머지로 계속합니다.",
                        f"a helping process failed (exit status {process.returncode}); going on without it",
                    ),
                    err=True,
                )

    def _alive(self) -> Iterator[subprocess.Popen[bytes]]:
        with contextlib.suppress(ProcessLookupError):
            yield from (process for process in self.running if process.poll() is None)


def _summary(result: SearchResult, command: str) -> str:
    from maeum.search_space import short

    counts = result.counts
    lines = [
        say(
            f"시도 {len(result.trials)}개: 완료 {counts['complete']}, 중단 {counts['pruned']}, 실패 {counts['failed']}",
            f"{len(result.trials)} trials: {counts['complete']} complete, {counts['pruned']} pruned, "
            f"{counts['failed']} failed",
        )
    ]
    if result.unfinished:
        lines.append(
            say(
                f"다른 프로세스가 아직 {result.unfinished}개를 하고 있습니다. 마지막 프로세스가 결과를 다시 씁니다.",
                f"other processes are still at work ({result.unfinished}); the last one writes the final results",
            )
        )
    if result.best is None:
        lines.append(say("끝까지 간 시도가 없습니다.", "no trial came to its end"))
        return "\n".join(lines)
    values = " ".join(f"{name.replace('_', '-')}={short(value)}" for name, value in result.best.values.items())
    number = result.best.number
    lines.append(
        say(f"가장 좋은 시도 {number}: ", f"best trial {number}: ")
        + f"{result.metric} {result.best.value:.4f}  {values}"
    )
    if result.importance:
        order = sorted(result.importance.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name.replace('_', '-')} {share:.0%}" for name, share in order)
        lines.append(say("중요도: ", "importance: ") + listed)
    if result.valid is not None:
        judged = [
            f"{name} {value:.4f}"
            for name in ("accuracy", "micro_f1", "macro_f1")
            if (value := result.valid.get(name)) is not None
        ]
        lines.append(
            say("평가 행: ", "valid rows: ")
            + ", ".join(judged)
            + say("   모델: ", "   model: ")
            + f"{result.output}/best"
        )
    lines.append(say("표와 그림: ", "tables and plots: ") + f"{result.output}/trials.csv, {result.output}/report.html")
    lines.append(say("다시 학습: ", "train it: ") + command)
    return "\n".join(lines)
