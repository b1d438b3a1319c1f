"""Models opened once for all sessions, and what a session remembers. Nothing typed or uploaded is written to disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import streamlit as st  # noqa: TID253 - the pages are imported by Streamlit alone

import maeum
from maeum import explaining
from maeum._lang import language
from maeum.analyzer import Analysis, Analyzer
from maeum.apps.ui.settings import Settings
from maeum.folder import embedded, load_heads

T = TypeVar("T")
SAMPLE_REVIEWS = "sample:fashion"
_MOST = 24
"""Answers that a session remembers; the oldest is forgotten first."""


@dataclass(frozen=True)
class Model:
    """A model folder that is open: all its heads, and a lock, because sessions run side by side."""

    name: str
    """As given on the command line."""
    heads: Mapping[str, Analyzer]
    stamp: tuple[Hashable, ...]
    """What tells this state of the folder from a later one."""
    path: Path | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, compare=False)

    @property
    def title(self) -> str:
        """The last part of its path."""
        return Path(self.name).name or self.name

    def analyze(self, head: str, texts: list[str], target: str | None = None) -> list[Analysis]:
        """Labels and probabilities, by one session at a time."""
        with self.lock:
            return self.heads[head].analyze(texts, target=target)


def open_model(name: str) -> Model:
    """A model of the command line, opened once; opened anew when its folder was replaced.

    Raises:
        UsageError, FormatError: as of ``maeum.load_heads``.
    """
    folder = embedded(name)
    manifest = folder / "manifest.json"
    stat = manifest.stat() if manifest.exists() else None
    return _opened(name, str(folder), stat and (stat.st_mtime_ns, stat.st_ino))


@st.cache_resource(show_spinner=False, max_entries=8)
def _opened(name: str, folder: str, stamp: tuple[int, int] | None) -> Model:
    return Model(name, load_heads(folder), (folder, stamp), Path(folder))


def chosen() -> Model:
    """The model picked in the sidebar."""
    return open_model(str(st.session_state.get("model") or Settings.current().models[0]))


@st.cache_resource(show_spinner=False)
def sample_reviews() -> Model:
    """A small review model of the sample data, trained when first asked for."""
    result = maeum.train(SAMPLE_REVIEWS, valid=0.2)
    return Model(SAMPLE_REVIEWS, {result.analyzer.task.name: result.analyzer}, (SAMPLE_REVIEWS,))


def remember(key: Hashable, make: Callable[[], T]) -> T:
    """What ``make`` gives, kept for this session under ``key``; only the last few are."""
    memory: OrderedDict[Hashable, Any] = st.session_state.setdefault("memory", OrderedDict())
    if key not in memory:
        memory[key] = make()
        while len(memory) > _MOST:
            memory.popitem(last=False)
    memory.move_to_end(key)
    return cast("T", memory[key])


def analyses(model: Model, head: str, texts: tuple[str, ...], target: str | None = None) -> list[Analysis]:
    """``Model.analyze``, remembered."""
    key = ("analyses", model.stamp, head, texts, target)
    return remember(key, lambda: model.analyze(head, list(texts), target))


def evidence(
    model: Model, head: str, texts: tuple[str, ...], *, labels: tuple[str, ...] = (), target: str | None = None
) -> explaining.Explanations:
    """Which words made the labels (by default those decided on), remembered."""

    def ask() -> explaining.Explanations:
        with model.lock:
            return explaining.explain(
                model.heads[head], texts, labels=labels or None, target=target, faithfulness=False
            )

    return remember(("evidence", model.stamp, head, texts, labels, target, language()), ask)
