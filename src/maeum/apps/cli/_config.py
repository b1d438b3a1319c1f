"""``--config run.toml``: the same words as the command line, in a file; unknown keys are refused."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maeum.errors import UsageError

if TYPE_CHECKING:
    import click


def merge_config(ctx: click.Context, words: dict[str, Any]) -> dict[str, Any]:
    """Command-line words with those of ``--config`` under them: what was typed wins over the file.

    Keys are option names without dashes in front (``split-seed`` or ``split_seed``); the tables ``[encoder]`` and
    ``[decoder]`` hold what ``--set`` takes, where the command has it, and ``[linear]`` the settings of the linear model.

    Raises:
        UsageError: the file cannot be read, or holds a key that is no option of the command.
    """
    from click.core import ParameterSource

    path = words.pop("config", None)
    if path is None:
        return words
    allowed = {parameter.name: parameter for parameter in ctx.command.params if parameter.name in words}
    for key, value in _read(Path(path)).items():
        name = key.replace("-", "_")
        if name in ("encoder", "decoder") and isinstance(value, dict) and "more" in words:
            words[name] = {word.replace("-", "_"): setting for word, setting in value.items()}
            continue
        if name == "linear" and isinstance(value, dict) and {"model", "more"} <= set(words):
            words["linear"] = value
            continue
        if name not in allowed:
            options = sorted(str(option).replace("_", "-") for option in allowed)
            close = difflib.get_close_matches(key.replace("_", "-"), options, n=1)
            hint_ko = f" '{close[0]}'인가요?" if close else f" 쓸 수 있는 것: {', '.join(options)}"
            hint_en = f" did you mean '{close[0]}'?" if close else f" allowed: {', '.join(options)}"
            raise UsageError(f"{path}: 모르는 설정 '{key}'.{hint_ko}", f"{path}: unknown setting '{key}';{hint_en}")
        if ctx.get_parameter_source(name) in (ParameterSource.DEFAULT, None):
            parameter = allowed[name]
            words[name] = parameter.type_cast_value(ctx, value if isinstance(value, bool) else str(value))
    return words


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"설정 파일이 없습니다: {path}", f"no such settings file: {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: TOML로 읽을 수 없습니다: {error}", f"{path}: not valid TOML: {error}") from error
