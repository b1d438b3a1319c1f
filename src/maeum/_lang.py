"""Which language messages are said in: Korean first, English on request.

Every message of the package is written once, at the place that raises or prints it, in both languages
(``say(ko=..., en=...)``), so that nobody has to look a sentence up in a catalogue.
"""

from __future__ import annotations

import locale
import os
from contextvars import ContextVar
from typing import Literal, get_args

Language = Literal["ko", "en"]

_chosen: Language | None = None
_here: ContextVar[Language | None] = ContextVar("maeum_language", default=None)


def set_language(language: Language | None) -> None:
    """Choose the language of messages for this process; ``None`` goes back to the environment."""
    global _chosen
    if language is not None and language not in get_args(Language):
        raise ValueError(f"language must be 'ko' or 'en', got {language!r}")
    _chosen = language


def speak(language: Language | None) -> None:
    """Choose the language for this thread (or task) alone: one process answers people of either language at once."""
    if language is not None and language not in get_args(Language):
        raise ValueError(f"language must be 'ko' or 'en', got {language!r}")
    _here.set(language)


def language() -> Language:
    """The language in force: ``speak``, else ``set_language``, else ``MAEUM_LANG``, else the locale, else Korean."""
    here = _here.get()
    if here is not None:
        return here
    if _chosen is not None:
        return _chosen
    for value in (os.environ.get("MAEUM_LANG"), *_locale_names()):
        if value and value.lower().startswith("ko"):
            return "ko"
        if value and value.lower().startswith("en"):
            return "en"
    return "ko"


def say(ko: str, en: str) -> str:
    """The sentence in the language in force."""
    return ko if language() == "ko" else en


def _locale_names() -> tuple[str | None, ...]:
    names = [os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    if not any(names):
        names.append(locale.getlocale()[0])
    return tuple(names)
