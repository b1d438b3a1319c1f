"""maeum (마음): Korean emotion and review analysis.

>>> import maeum
>>> data = maeum.read("sample:nikl-ea")
>>> result = maeum.train(data, valid=0.2)
>>> analysis = result.analyzer.analyze(["드디어 표를 구했다!!"])[0]
>>> analysis.labels, analysis.scores  # doctest: +SKIP
(('joy', 'anticipation'), {'joy': 0.71, 'anticipation': 0.56, ...})

Names are loaded when first used, so that ``import maeum`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from maeum._version import __version__

if TYPE_CHECKING:
    from maeum.analyzer import Analysis, Analyzer
    from maeum.api import ensemble, evaluate, explain, rollup, train, tune_thresholds
    from maeum.data import AspectLabel, Dataset, Example, Input, Target
    from maeum.errors import MaeumError
    from maeum.experiment import RunResult, TrainSettings
    from maeum.folder import load, load_heads, save
    from maeum.formats import read, write
    from maeum.improving import audit, compare, sample
    from maeum.report import Report
    from maeum.task import Label, Task, get_task
    from maeum.text import TextPrep
    from maeum.thresholds import Thresholds

_HOME = {
    "Analysis": "analyzer",
    "Analyzer": "analyzer",
    "AspectLabel": "data",
    "Dataset": "data",
    "Example": "data",
    "Input": "data",
    "Label": "task",
    "MaeumError": "errors",
    "Report": "report",
    "RunResult": "experiment",
    "Target": "data",
    "Task": "task",
    "TextPrep": "text",
    "Thresholds": "thresholds",
    "TrainSettings": "experiment",
    "audit": "improving",
    "compare": "improving",
    "ensemble": "api",
    "evaluate": "api",
    "explain": "api",
    "get_task": "task",
    "load": "folder",
    "load_heads": "folder",
    "read": "formats",
    "rollup": "api",
    "sample": "improving",
    "save": "folder",
    "train": "api",
    "tune_thresholds": "api",
    "write": "formats",
}

__all__ = [
    "Analysis",
    "Analyzer",
    "AspectLabel",
    "Dataset",
    "Example",
    "Input",
    "Label",
    "MaeumError",
    "Report",
    "RunResult",
    "Target",
    "Task",
    "TextPrep",
    "Thresholds",
    "TrainSettings",
    "__version__",
    "audit",
    "compare",
    "ensemble",
    "evaluate",
    "explain",
    "get_task",
    "load",
    "load_heads",
    "read",
    "rollup",
    "sample",
    "save",
    "train",
    "tune_thresholds",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'maeum' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"maeum.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
