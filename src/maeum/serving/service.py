"""What every route needs: the models and the limits, a request as what it means, an answer as bytes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError  # noqa: TID253 -- comes with the extra serve
from starlette.requests import Request  # noqa: TID253 -- the same
from starlette.responses import Response  # noqa: TID253 -- the same

from maeum.analyzer import find_target
from maeum.data import Input, Target, check_target
from maeum.errors import MaeumError
from maeum.serving.lifecycle import Lifecycle
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.refusals import Refusal
from maeum.serving.schemas import Strict, TargetSpan, TextWithTarget, refusal_of
from maeum.serving.settings import ServeSettings
from maeum.serving.store import ModelStore, Results, Served
from maeum.serving.strictjson import dumps, loads

if TYPE_CHECKING:
    from maeum.serving.answers import Answer

M = TypeVar("M", bound=Strict)
_JSON = "application/json"


@dataclass(frozen=True)
class Service:
    """One service: what its routes share."""

    store: ModelStore
    settings: ServeSettings
    lifecycle: Lifecycle
    metrics: Metrics
    log: Log

    async def parse(self, request: Request, model: type[M]) -> M:
        """The body of a request.

        Raises:
            Refusal: 400, 415 or 422.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
            raise Refusal(
                415,
                "wrong_content_type",
                "본문은 content-type: application/json이어야 합니다.",
                "the body should come with content-type: application/json",
            )
        try:
            return model.model_validate(loads(await request.body()))
        except ValidationError as error:
            raise refusal_of(error) from None

    def inputs(self, request: Request, items: Sequence[str | TextWithTarget], name: str = "texts") -> list[Input]:
        """What a model is asked.

        Raises:
            Refusal: 413: too many texts, or one too long; 422: a text without words, or a target that is not in it.
        """
        self.bound(len(items), self.settings.max_texts)
        found = []
        for place, item in enumerate(items):
            text, target = (item, None) if isinstance(item, str) else (item.text, item.target)
            found.append(self.input(text, target, f"{name}[{place}]"))
        if self.settings.log_texts:
            request.state.log["texts"] = [item.text for item in found]
        else:
            request.state.log["texts"] = len(found)
        return found

    def input(self, text: str, target: str | TargetSpan | None, where: str) -> Input:
        """One text and its target; errors as of ``inputs``."""
        if len(text) > self.settings.max_chars:
            raise Refusal(
                413,
                "text_too_long",
                f"{where}: 글이 {self.settings.max_chars}자보다 깁니다({len(text)}자).",
                f"{where} is longer than {self.settings.max_chars} characters ({len(text)})",
            )
        if not text.strip():
            raise invalid(f"{where}: 글이 비어 있습니다.", f"{where} is empty")
        try:
            if isinstance(target, TargetSpan):
                place = Target(target.form, target.begin, target.end)
                check_target(text, place)
                return Input(text, place)
            return Input(text, find_target(text, target) if target else None)
        except MaeumError as error:
            raise invalid(f"{where}: {error.ko}", f"{where}: {error.en}") from None

    def bound(self, count: int, most: int) -> None:
        """Refuse too many texts.

        Raises:
            Refusal: 413.
        """
        if count > most:
            raise Refusal(
                413,
                "too_many_texts",
                f"글이 {count}개입니다. 한 요청에 {most}개까지 보내세요.",
                f"there are {count} texts; send {most} a request at most",
            )

    def bound_evidence(self, inputs: Sequence[Input]) -> None:
        """Refuse what would take too long where the model is asked about every word.

        Raises:
            Refusal: 413.
        """
        self.bound(len(inputs), self.settings.max_explain_texts)
        longest = max(len(item.text) for item in inputs)
        if longest > self.settings.max_explain_chars:
            raise Refusal(
                413,
                "text_too_long",
                f"근거를 물을 때 글은 {self.settings.max_explain_chars}자까지입니다({longest}자).",
                f"a text to find evidence in has {self.settings.max_explain_chars} characters at most ({longest})",
            )

    async def labels(
        self, request: Request, model: Served, inputs: Sequence[Input], task: str | None = None
    ) -> Results[Answer]:
        """What a model says of texts: all heads, or one."""
        with _library_errors():
            return await model.labels(inputs, task=task, seconds=seconds_left(request))

    async def ask(self, request: Request, model: Served, asked: Any, inputs: Sequence[Input]) -> Results[Any]:
        """Something else of every text."""
        with _library_errors():
            return await model.ask(asked, inputs, seconds=seconds_left(request))


class _library_errors:  # noqa: N801 -- reads as the block it opens
    """Errors of the library are mistakes of the request, in the library's sentence."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MaeumError):
            raise invalid(error.ko, error.en) from None


def invalid(ko: str, en: str) -> Refusal:
    """A request that makes no sense."""
    return Refusal(422, "invalid", ko, en)


def seconds_left(request: Request) -> float:
    """Until the request's time is over."""
    return float(request.state.deadline) - time.monotonic()


def reply(value: Any, *, status: int = 200, version: str | None = None) -> Response:
    """JSON; and which version of a model made it."""
    headers = {"x-model-version": version} if version is not None else None
    return Response(dumps(value), status_code=status, headers=headers, media_type=_JSON)
