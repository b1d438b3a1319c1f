"""``maeum serve``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from maeum._lang import say
from maeum.apps.cli._options import device_option, examples
from maeum.serving.settings import KEYS_VARIABLE, MODELS_VARIABLE, ServeSettings, api_keys, flag, variable

_TYPES: dict[type, Any] = {int: click.INT, float: click.FLOAT, str: click.STRING}


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A flag for every setting; what is not given is left to the environment and the settings themselves."""
    for item in reversed(dataclasses.fields(ServeSettings)):
        kind, help = type(item.default), say(item.metadata["ko"], item.metadata["en"])
        shown = "" if kind is tuple or item.default == "" else f" [{item.default}]"
        words: dict[str, Any] = {"default": None, "help": f"{help}{shown} ({variable(item.name)})"}
        if kind is bool:
            name, words["default"] = f"{flag(item.name)}/--no-{flag(item.name)[2:]}", None
        else:
            name = flag(item.name)
            words |= {"metavar": "N" if kind in (int, float) else "WORD"}
            words |= {"multiple": True, "type": str} if kind is tuple else {"type": _TYPES[kind]}
        function = click.option(name, item.name, **words)(function)
    return function


@click.command(
    help=say(
        "모델을 REST 서비스로 엽니다. MODEL은 모델 폴더, '이름=폴더', 또는 mini(기본)이고 여러 개를 적을 수 있습니다. "
        f"API 키는 환경 변수 {KEYS_VARIABLE}로만 줍니다.",
        "Models as a REST service. MODEL is a model folder, NAME=FOLDER, or mini (the default); there may be several. "
        f"API keys come from the environment variable {KEYS_VARIABLE} only.",
    ),
    epilog=examples(
        "maeum serve",
        "maeum serve mini 후기=runs/reviews --port 9000",
        f"{KEYS_VARIABLE}=비밀 {variable('host')}=0.0.0.0 maeum serve runs/first",
    ),
)
@click.argument("models", metavar="[MODEL…]", nargs=-1, envvar=MODELS_VARIABLE)
@_options
@device_option
def serve(models: tuple[str, ...], **words: Any) -> None:
    """Parse, call ``maeum.serving.running.serve``."""
    from maeum._optional import require

    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module)
    from maeum.serving.running import serve as run

    given = {name: value for name, value in words.items() if value not in (None, ())}
    run(models or ("mini",), ServeSettings.from_env(**given), api_keys())
