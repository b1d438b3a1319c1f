"""The command line: each command parses its words, makes one call of the Python surface, and prints the answer."""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from maeum._lang import say
from maeum._version import __version__
from maeum.errors import MaeumError

COMMANDS: dict[str, tuple[str, str, str]] = {
    "analyze": ("analyze", "글의 감정을 바로 봅니다", "emotions of the texts given"),
    "train": ("train", "라벨이 달린 데이터로 모델 폴더를 만듭니다", "labelled data in, a model folder out"),
    "evaluate": ("evaluate", "모델이나 예측 파일을 데이터로 평가합니다", "metrics overall and per label"),
    "predict": ("predict", "파일 전체에 라벨과 확률을 답니다", "labels and scores for a whole file"),
    "explain": ("explain", "어느 낱말이 라벨을 만들었는지 봅니다", "which words made the labels"),
    "rollup": ("rollup", "많은 리뷰를 표와 보고서로 모아 봅니다", "aspect × sentiment × time × product report"),
    "thresholds": ("thresholds", "라벨별 기준값을 다시 찾거나 정합니다", "tune or set the per-label thresholds"),
    "convert": ("convert", "말뭉치·예측 형식을 서로 바꿉니다", "between corpus and prediction formats"),
    "base": ("base", "바탕 모델을 Hugging Face 폴더로 바꿉니다", "a base encoder as a Hugging Face folder"),
    "posttrain": ("posttrain", "바탕 모델을 라벨 없는 글로 이어서 학습합니다", "train a base further on raw text"),
    "tune": ("tune", "여러 설정을 시도해 가장 좋은 것을 찾습니다", "hyper-parameter search"),
    "ensemble": ("ensemble", "여러 모델이 함께 답하는 모델 폴더를 만듭니다", "a model folder that votes"),
    "distill": ("distill", "큰 모델을 작은 모델에게 가르칩니다", "a small model that learns from a large one"),
    "prune": ("prune", "모델에서 어휘·층·뉴런을 덜어 냅니다", "a model with fewer pieces, layers, neurons"),
    "export": ("export", "모델을 torch 없이 도는 ONNX로 내보냅니다", "an ONNX model that runs without torch"),
    "sample": ("sample", "다음에 라벨을 달 글을 고릅니다", "which texts to label next"),
    "annotate": ("annotate", "라벨 달 파일을 만들고 되읽습니다", "files for annotators, out and in"),
    "audit": ("audit", "틀린 라벨로 보이는 행을 찾습니다", "which labels look wrong"),
    "compare": ("compare", "두 모델을 같은 행에서 견줍니다", "two models on the same rows"),
    "batch": ("batch", "한 프로세스에 벅찬 파일을 나누어 예측합니다", "files too big for one process, in parts"),
    "serve": ("serve", "모델을 REST 서비스로 엽니다", "models as a REST service"),
    "ui": ("ui", "모델을 웹 앱으로 엽니다", "the web app"),
    "chat": ("chat", "한 문장씩 입력하며 감정을 봅니다", "a prompt: one sentence at a time"),
    "runs": ("runs", "학습한 폴더들을 한 표로 봅니다", "all run folders as one table"),
    "demo": ("inspect", "예제 데이터를 폴더에 풉니다", "copy the sample data out"),
    "info": ("inspect", "모델 폴더를 설명합니다", "what a model folder is"),
    "doctor": ("inspect", "이 컴퓨터가 준비되었는지 봅니다", "whether this machine is ready"),
}
"""Command → module that holds it, and its one-line help in Korean and English."""


class _Lazy(click.Group):
    """Loads a command's module only when that command runs, so that ``--help`` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"maeum.apps.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(say("명령", "Commands")):
            formatter.write_dl([(name, say(ko, en)) for name, (_, ko, en) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = say(f" '{close[0]}'인가요?", f" did you mean '{close[0]}'?") if close else ""
            raise click.UsageError(
                say(f"'{args[0]}' 명령이 없습니다.{hint}", f"there is no command '{args[0]}';{hint}"), ctx
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help=say(
        "마음(maeum): 한국어 감정·리뷰 분석 도구.\n\n라벨이 달린 문장을 넣으면 기준값까지 맞춘 모델과 예측, 보고서가 나옵니다.",
        "maeum: Korean emotion and review analysis. Labelled sentences in; a thresholded model, predictions and reports out.",
    ),
    epilog=say(
        "\b\n예:\n  maeum train sample:nikl-ea --valid 0.2 -o runs/first\n"
        "  maeum analyze --model runs/first '드디어 표를 구했다!!'\n  maeum predict runs/first 글.csv -o 결과.csv",
        "\b\nExamples:\n  maeum train sample:nikl-ea --valid 0.2 -o runs/first\n"
        "  maeum analyze --model runs/first '드디어 표를 구했다!!'\n  maeum predict runs/first texts.csv -o out.csv",
    ),
    invoke_without_command=False,
)
@click.version_option(
    __version__, prog_name="maeum", message="%(prog)s %(version)s", help=say("버전", "Show the version.")
)
@click.option("--debug", is_flag=True, help=say("오류가 나면 추적 정보까지 보입니다.", "Show tracebacks."))
@click.option("--lang", metavar="ko|en", help=say("메시지 언어", "Language of messages."))
def cli(debug: bool, lang: str | None) -> None:
    """Root of all commands; ``--debug`` and ``--lang`` are read before parsing (see ``run``)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line with these words; the exit status."""
    words = list(arguments)
    options = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in options
    if debug:
        words.remove("--debug")
    logging.getLogger("maeum").addHandler(logging.NullHandler())  # the commands say themselves what was skipped
    try:
        result = cli.main(args=words, prog_name="maeum", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        return _complain_usage(error)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(say("\n멈췄습니다.", "\nstopped"), err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        return _complain(error, words)


def _complain_usage(error: click.UsageError) -> int:
    if error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
    click.echo(say("사용법 오류: ", "usage error: ") + _usage_sentence(error), err=True)
    if error.ctx is not None:
        click.echo(say(f"도움말: {error.ctx.command_path} --help", f"help: {error.ctx.command_path} --help"), err=True)
    return 2


def _usage_sentence(error: click.UsageError) -> str:
    """Click's complaints in Korean where they are of a known kind."""
    if isinstance(error, click.NoSuchOption):
        hint = ", ".join(error.possibilities or ())
        near = say(f" 혹시 {hint}인가요?", f" Did you mean {hint}?") if hint else ""
        return say(f"'{error.option_name}' 옵션이 없습니다.{near}", f"there is no option '{error.option_name}'.{near}")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name = error.param.make_metavar(error.ctx) if error.ctx and error.param.param_type_name == "argument" else ""
        name = name or "/".join(error.param.opts)
        return say(f"{name}이(가) 빠졌습니다.", f"{name} is missing.")
    return error.format_message()


def _complain(error: Exception, words: Sequence[str]) -> int:
    if isinstance(error, MaeumError):
        sentence = str(error)
    elif isinstance(error, FileNotFoundError):
        sentence = say(f"파일이 없습니다: {error.filename}", f"no such file: {error.filename}")
    elif isinstance(error, IsADirectoryError):
        sentence = say(f"파일이 아니라 폴더입니다: {error.filename}", f"this is a folder, not a file: {error.filename}")
    elif isinstance(error, PermissionError):
        sentence = say(f"쓰거나 읽을 권한이 없습니다: {error.filename}", f"permission denied: {error.filename}")
    elif isinstance(error, OSError):
        sentence = say(f"파일을 다루지 못했습니다: {error}", f"a file operation failed: {error}")
    elif isinstance(error, MemoryError):
        sentence = say("메모리가 모자랍니다. --batch-size를 줄여 보세요.", "out of memory; try a smaller --batch-size")
    else:
        sentence = say(
            f"예상하지 못한 오류입니다({type(error).__name__}: {error}). --debug를 붙여 다시 실행하고 그 출력을 알려 주세요.",
            f"an unexpected error ({type(error).__name__}: {error}); run again with --debug and report its output",
        )
    click.echo(say("오류: ", "error: ") + " ".join(sentence.split()), err=True)
    if "--json" in words:
        click.echo(json.dumps({"error": sentence}, ensure_ascii=False))
    return 1


def emit(value: Any) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
