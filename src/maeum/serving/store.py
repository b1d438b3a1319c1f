"""Models by name: opened before they are needed, replaced while they work.

A folder is looked at now and then. When another one stands in its place, that is opened beside the old model and takes
over between two batches; one that cannot be opened is left alone, and the old model goes on.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from maeum.analyzer import Analyzer
from maeum.data import Input
from maeum.errors import MaeumError, UsageError
from maeum.folder import embedded, fingerprint, load_heads
from maeum.models.base import Grades
from maeum.serving.answers import Answer, answers
from maeum.serving.batcher import Batcher, Budget
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.refusals import Refusal, unknown_model, unknown_task
from maeum.serving.settings import ServeSettings

R = TypeVar("R")
Heads = tuple[str, ...]
Asked = Callable[["LoadedModel", Input], Any]
"""What is asked of a model about one text, other than its labels."""
Signature = tuple[int, ...]
_NAME = re.compile(r"[\w가-힣][\w가-힣.\-]{0,99}")
_WARM = "준비됐나요?"


@dataclass(frozen=True)
class LoadedModel:
    """One opened model folder."""

    heads: Mapping[str, Analyzer]
    version: str
    """The first digits of the checksum of its manifest, which holds those of all files."""

    @classmethod
    def open(cls, folder: Path) -> LoadedModel:
        """Open a folder and ask it something, so that nothing is read from it later.

        Raises:
            MaeumError: see ``maeum.folder.load``.
        """
        heads = load_heads(folder)
        version = fingerprint(folder)[:12]
        model = cls(heads, version)
        model.answer(tuple(model.heads), [Input(_WARM)])
        for head in model.heads.values():
            if isinstance(head.predictor, Grades):  # a text may speak of no aspect, and then no grade is asked for
                head.predictor.grade([head.prep.prepare_input(Input(_WARM))], _all_on(head))
        return model

    def head(self, task: str | None) -> Analyzer:
        """A head by name; the first if none is named.

        Raises:
            Refusal: 404.
        """
        if task is None:
            return next(iter(self.heads.values()))
        if task not in self.heads:
            raise unknown_task(tuple(self.heads))
        return self.heads[task]

    def answer(self, names: Heads, inputs: Sequence[Input]) -> list[Answer]:
        """What some heads say of texts.

        Raises:
            Refusal: 404.
        """
        return answers({name: self.head(name) for name in names}, inputs)


class Results(list[R]):
    """What a model said of texts, and which version of it."""

    def __init__(self, items: Iterable[R], version: str) -> None:
        super().__init__(items)
        self.version = version


class Served:
    """A model under a name: the folder, what is loaded of it, and the queue in front."""

    def __init__(self, name: str, source: str, settings: ServeSettings, metrics: Metrics) -> None:
        self.name = name
        self.source = source
        self.seen = signature(source)  # before it is opened: what changes meanwhile is seen at the next look
        self.current = LoadedModel.open(Path(source))
        budget = Budget(
            texts=settings.batch_texts,
            chars=settings.batch_chars,
            queue=settings.max_queue,
            delay=settings.max_delay,
            target=settings.target_delay,
            wait=settings.batch_wait_ms / 1000,
        )
        self.batcher = Batcher(self._answer, budget, watch=metrics.watch_batches(name), name=f"maeum-batches-{name}")
        metrics.queue.labels(name).set_function(lambda: self.batcher.waiting)
        metrics.loads.labels(name, "ok").inc()

    async def labels(
        self, inputs: Sequence[Input], *, task: str | None, seconds: float, patient: bool = False
    ) -> Results[Answer]:
        """What the model says of texts: all heads, or one.

        Raises:
            Refusal: 404 for a task it does not have, and those of ``Batcher.ask``.
        """
        if task is not None:
            self.current.head(task)
        key: Heads = () if task is None else (task,)
        return await self._asked(key, inputs, seconds, patient=patient)

    async def ask(self, asked: Asked, inputs: Sequence[Input], *, seconds: float) -> Results[Any]:
        """Something else of every text, one text at a time."""
        return await self._asked(_Once(asked), inputs, seconds, alone=True)

    async def _asked(
        self, key: Hashable, inputs: Sequence[Input], seconds: float, *, alone: bool = False, patient: bool = False
    ) -> Results[Any]:
        sizes = [len(item.text) for item in inputs]
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            found = await self.batcher.ask(key, inputs, sizes, seconds=left, alone=alone, patient=patient)
            versions = {version for version, _ in found}
            # replaced between two batches of one request: two models would speak in one answer, so it is asked again
            if patient or len(versions) <= 1:
                return Results((item for _, item in found), found[0][0] if found else self.current.version)

    def _answer(self, key: Hashable, items: Sequence[Any]) -> Sequence[tuple[str, Any]]:
        model = self.current  # one assignment elsewhere: a batch is answered by one model, the old or the new
        if isinstance(key, _Once):
            return [(model.version, key.asked(model, item)) for item in items]
        assert isinstance(key, tuple)
        return [(model.version, answer) for answer in model.answer(key or tuple(model.heads), items)]


class _Once:
    """A key that equals no other."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked


class ModelStore:
    """All models of a service.

    Args:
        sources: ``mini``, folders, or ``NAME=FOLDER``.

    Raises:
        UsageError: two models of one name, a name that cannot stand in an address, or no model at all.
        MaeumError: a folder cannot be opened.
    """

    def __init__(self, sources: Sequence[str], settings: ServeSettings, metrics: Metrics, log: Log) -> None:
        self.settings = settings
        self.metrics = metrics
        self.log = log
        self.models: dict[str, Served] = {}
        self._refused: dict[str, Signature] = {}
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="maeum-models", daemon=True)
        for name, source in named(sources).items():
            self.models[name] = Served(name, source, settings, metrics)
            log("model_loaded", model=name, version=self.models[name].current.version)

    def start(self) -> None:
        """Begin to answer, and to look after the folders."""
        for model in self.models.values():
            model.batcher.start()
        if self.settings.reload_seconds:
            self._watcher.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        for model in self.models.values():
            model.batcher.stop()
        if self._watcher.is_alive():
            self._watcher.join(5)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, the one that is asked by default first."""
        return tuple(self.models)

    def get(self, name: str | None) -> Served:
        """A model by name; the first if none is named.

        Raises:
            Refusal: 404.
        """
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise unknown_model(self.names)
        return self.models[name]

    def look(self) -> None:
        """Look at all folders once, and open those that were replaced."""
        for model in self.models.values():
            self._look(model)

    def _watch(self) -> None:
        while not self._stopped.wait(self.settings.reload_seconds):
            self.look()

    def _look(self, model: Served) -> None:
        found = signature(model.source)
        if found is None or found == model.seen or found == self._refused.get(model.name):
            return
        try:
            new = LoadedModel.open(Path(model.source))
        except Exception as error:  # whatever is wrong with the new folder, the old model answers
            if signature(model.source) == found:
                self._refused[model.name] = found
                self.metrics.loads.labels(model.name, "refused").inc()
                reason = str(error) if isinstance(error, MaeumError) else type(error).__name__
                self.log("model_refused", level="error", model=model.name, reason=reason)
            return
        if signature(model.source) != found:
            return  # replaced again in the meantime: the next look opens what is there then
        old, model.seen = model.current, found
        self._refused.pop(model.name, None)
        if new.version != old.version:
            model.current = new
            self.metrics.loads.labels(model.name, "ok").inc()
            self.log("model_replaced", model=model.name, version=new.version, before=old.version)


def named(sources: Sequence[str]) -> dict[str, str]:
    """Name → folder.

    Raises:
        UsageError: see ``ModelStore``.
    """
    found: dict[str, str] = {}
    for source in sources:
        name, given, folder = source.partition("=")
        if not given or Path(source).exists():  # a folder may have "=" in its name
            name, folder = Path(source).resolve().name if source != "mini" else "mini", source
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"모델 이름 '{name}'은(는) 주소에 쓸 수 없습니다. 글자, 숫자, '.', '_', '-'로 '이름=폴더'처럼 지어 주세요.",
                f"the model name '{name}' cannot stand in an address; give one of letters, digits, '.', '_' and '-', "
                "as in NAME=FOLDER",
            )
        if name in found:
            raise UsageError(
                f"모델 이름 '{name}'이(가) 두 번 나옵니다. '이름=폴더'로 다르게 지어 주세요.",
                f"two models are named '{name}'; tell them apart with NAME=FOLDER",
            )
        found[name] = folder
    if not found:
        raise UsageError("서비스할 모델이 없습니다.", "there is no model to serve")
    return found


def signature(source: str) -> Signature | None:
    """What changes when another folder takes a folder's place; None while there is none."""
    with contextlib.suppress(OSError, MaeumError):
        folder = embedded(source)
        manifest = (folder / "manifest.json").stat()
        return (folder.stat().st_ino, manifest.st_ino, manifest.st_mtime_ns, manifest.st_size)
    return None


def _all_on(head: Analyzer) -> NDArray[np.uint8]:
    return np.ones((1, len(head.task)), np.uint8)


def refused(error: Exception) -> Refusal | None:
    """What a request is told of an error of the library: a mistake of the request, in the library's sentence."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, MaeumError):
        return Refusal(422, "invalid", error.ko, error.en)
    return None
