"""Settings: flags, environment, ranges; keys."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from maeum.apps.cli.serve import serve
from maeum.errors import MissingExtra, UsageError
from maeum.serving.settings import ServeSettings, api_keys, flag, variable

DOCS = Path(__file__).parents[2] / "docs" / "serve.md"


def test_the_environment_sets_every_field_and_flags_win() -> None:
    environ = {
        "MAEUM_SERVE_PORT": "9000",
        "MAEUM_SERVE_TIMEOUT": "2.5",
        "MAEUM_SERVE_LOG_TEXTS": "true",
        "MAEUM_SERVE_CORS_ORIGIN": "http://a http://b",
        "MAEUM_SERVE_MODELS": "mini",
        "OTHER": "x",
    }
    found = ServeSettings.from_env(environ, port=1)
    assert (found.port, found.timeout, found.log_texts) == (1, 2.5, True)
    assert found.cors_origin == ("http://a", "http://b")
    for item in dataclasses.fields(ServeSettings):
        word = {int: "300", float: "7", bool: "yes", str: "w", tuple: "w"}[type(item.default)]
        if item.name not in ("max_queue", "batch_texts", "max_texts"):
            value = getattr(ServeSettings.from_env({variable(item.name): word}), item.name)
            assert value == {int: 300, float: 7.0, bool: True, str: "w", tuple: ("w",)}[type(item.default)]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"MAEUM_SERVE_PORT": "many"}, "MAEUM_SERVE_PORT"),
        ({"MAEUM_SERVE_PORT": "70000"}, "--port"),
        ({"MAEUM_SERVE_LOG_TEXTS": "maybe"}, "LOG_TEXTS"),
        ({"MAEUM_SERVE_MAX_TEXT": "3"}, "MAX_TEXT"),
        ({"MAEUM_SERVE_MAX_TEXTS": "0"}, "--max-texts"),
        ({"MAEUM_SERVE_TIMEOUT": "nan"}, "--timeout"),
        ({"MAEUM_SERVE_MAX_QUEUE": "3"}, "--max-queue"),
    ],
)
def test_what_cannot_be_is_refused(environ: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ServeSettings.from_env(environ)


def test_keys_come_from_the_environment() -> None:
    assert api_keys({}) == ()
    assert api_keys({"MAEUM_API_KEYS": "one, two\nthree"}) == (b"one", b"two", b"three")
    with pytest.raises(UsageError, match="holds no key"):
        api_keys({"MAEUM_API_KEYS": " , "})


def test_the_command_has_a_flag_for_every_setting() -> None:
    context = click.Context(serve)
    flags = {option for parameter in serve.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {flag(item.name) for item in dataclasses.fields(ServeSettings)} <= flags
    shown = CliRunner().invoke(serve, ["--help"]).output
    assert "MAEUM_SERVE_MAX_QUEUE" in shown.replace("\n", "").replace(" ", "")
    assert context.command.name == "serve"


def test_what_the_command_passes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr("maeum.serving.running.serve", lambda *words: seen.append(words))
    environ = {
        "MAEUM_SERVE_MODELS": "a=x b=y",
        "MAEUM_SERVE_LOG_TEXTS": "1",
        "MAEUM_SERVE_PORT": "7",
        "MAEUM_API_KEYS": "k",
    }
    flags = ["--port", "9", "--cors-origin", "http://a", "--cors-origin", "http://b", "--no-log-texts"]
    for arguments, models, settings in (
        ([], ("a=x", "b=y"), ServeSettings(port=7, log_texts=True)),
        (["z", *flags], ("z",), ServeSettings(port=9, cors_origin=("http://a", "http://b"))),
    ):
        done = CliRunner().invoke(serve, arguments, env=environ)
        assert done.exit_code == 0, done.output
        assert seen.pop() == (models, settings, (b"k",))
    CliRunner().invoke(serve, [], env={})
    assert seen.pop() == (("mini",), ServeSettings(), ())


def test_without_the_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtra, match="serve"):
        CliRunner().invoke(serve, [], catch_exceptions=False)


def test_the_page_lists_every_flag_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(--[a-z-]+)` \|([^|]*)\|", DOCS.read_text(encoding="utf-8"), re.M))
    for item in dataclasses.fields(ServeSettings):
        shown = rows[flag(item.name)].strip().strip("`")
        default = item.default
        if isinstance(default, bool):
            assert shown == "끔"
        elif default in ("", ()):
            assert shown == ""
        else:
            assert shown == f"{default:g}" if isinstance(default, float) else shown == str(default)
    assert set(rows) == {flag(item.name) for item in dataclasses.fields(ServeSettings)} | {"--device"}
