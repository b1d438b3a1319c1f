"""``maeum`` as people run it: in this process, which costs no start, or in one of its own where that is what is tested."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from maeum._lang import set_language

_ENV = {"MAEUM_LANG": "en", "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}


def maeum(
    *words: object, cwd: Path, stdin: str | None = None, process: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder.

    Args:
        process: in a process of its own, where every warning is an error. Anything in ``env`` asks for one, too: help
            texts are made in the language that is in force when a command is first imported, and streams keep their
            encoding.
    """
    arguments = list(map(str, words))
    if process or env:
        return _in_a_process(arguments, cwd, stdin, env)
    with contextlib.chdir(cwd), CliRunner().isolation(input=stdin, env=_ENV) as (out, err, _):
        try:
            code = _exit_code(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            set_language(None)
    stdout, stderr = (stream.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err))
    return subprocess.CompletedProcess(arguments, code, stdout, stderr)


def ok(
    *words: object, cwd: Path, stdin: str | None = None, process: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    """The same of a command that must succeed."""
    done = maeum(*words, cwd=cwd, stdin=stdin, process=process, **env)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def failed(code: int, *words: object, cwd: Path) -> str:
    """What a command that must fail with this status says."""
    done = maeum(*words, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def _exit_code(arguments: list[str]) -> int:
    from maeum.__main__ import main

    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert isinstance(exit.value.code, int)
    return exit.value.code


def _in_a_process(
    arguments: list[str], cwd: Path, stdin: str | None, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "maeum", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        input=stdin,
        timeout=300,
        env={**os.environ, **_ENV, **env},
        check=False,
    )
