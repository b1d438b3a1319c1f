"""``python -m maeum`` and the ``maeum`` command: language and error handling around the command line."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _never_fail_to_print()
    problem = _take_language(arguments)
    from maeum.apps.cli import run

    sys.exit(run(arguments) if problem is None else _usage(problem))


def _take_language(arguments: list[str]) -> str | None:
    """Take ``--lang`` out wherever it stands, before help texts are made; return what is wrong with it, if anything."""
    from maeum._lang import set_language

    for position, word in enumerate(arguments):
        if word == "--":
            break
        if word == "--lang" or word.startswith("--lang="):
            value = word.partition("=")[2] if "=" in word else "".join(arguments[position + 1 : position + 2])
            if value not in ("ko", "en"):
                return f"--lang: ko | en (got {value!r})"
            del arguments[position : position + (1 if "=" in word else 2)]
            set_language("ko" if value == "ko" else "en")
            break
    return None


def _usage(problem: str) -> int:
    sys.stderr.write(problem + "\n")
    return 2


def _never_fail_to_print() -> None:
    r"""Print what a cp949 console cannot show as ``\uXXXX``, which inside JSON is still the same text."""
    codecs.register_error("maeum", _escape)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="maeum")


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
    return escaped, error.end


if __name__ == "__main__":
    main()
