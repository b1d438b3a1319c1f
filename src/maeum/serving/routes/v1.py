"""Our own dialect: labels, reviews, evidence."""

from __future__ import annotations

import functools
from typing import Any

from fastapi import APIRouter  # noqa: TID253 -- the extra serve; only imported where a service is made
from starlette.requests import Request  # noqa: TID253 -- the same
from starlette.responses import Response  # noqa: TID253 -- the same

from maeum.data import Input
from maeum.explaining import Explanation, Explanations, aspect_words, explain
from maeum.serving.answers import answers, emotions, review
from maeum.serving.refusals import Refusal
from maeum.serving.routes._described import gives, takes
from maeum.serving.schemas import EmotionsRequest, ExplainRequest, ReviewsRequest
from maeum.serving.service import Service, reply
from maeum.serving.store import LoadedModel, Results

_WORDS = 3
"""Words behind an aspect where ``evidence`` is ``true``."""
_RESULTS = {"type": "object", "required": ["model", "results"]}


def router(service: Service) -> APIRouter:
    """``/v1``, without the streams."""
    routes = APIRouter(prefix="/v1")

    @routes.post(
        "/emotions",
        summary="Labels and probabilities of texts",
        openapi_extra=takes(EmotionsRequest, {"texts": ["배송이 너무 늦어서 화가 나요"]}),
        responses=gives("As of maeum analyze --json", _RESULTS),
    )
    async def emotions_route(request: Request) -> Response:
        asked = await service.parse(request, EmotionsRequest)
        model = service.store.get(asked.model)
        inputs = service.inputs(request, asked.texts)
        found = await service.labels(request, model, inputs, asked.task)
        return reply({"model": model.name, "results": [emotions(item) for item in found]}, version=found.version)

    @routes.post(
        "/reviews",
        summary="Aspects and grades of reviews",
        openapi_extra=takes(ReviewsRequest, {"texts": ["옷은 예쁜데 배송이 늦어요"], "evidence": True}),
        responses=gives("Aspects, their grades, and the words behind them", _RESULTS),
    )
    async def reviews_route(request: Request) -> Response:
        asked = await service.parse(request, ReviewsRequest)
        model = service.store.get(asked.model)
        _need_aspects(model.current, model.name)
        inputs = service.inputs(request, asked.texts)
        if asked.evidence is False:
            said = await service.labels(request, model, inputs)
            found = Results(map(review, said), said.version)
        else:
            service.bound_evidence(inputs)
            most = _WORDS if asked.evidence is True else int(asked.evidence)
            found = await service.ask(request, model, functools.partial(_reviewed, most=most), inputs)
        return reply({"model": model.name, "results": found}, version=found.version)

    @routes.post(
        "/explain",
        summary="The words that made the labels",
        openapi_extra=takes(ExplainRequest, {"texts": ["배송이 너무 늦어서 화가 나요"], "top": 5}),
        responses=gives("As of maeum explain --json", _RESULTS),
    )
    async def explain_route(request: Request) -> Response:
        asked = await service.parse(request, ExplainRequest)
        model = service.store.get(asked.model)
        model.current.head(asked.task)
        inputs = service.inputs(request, asked.texts)
        service.bound_evidence(inputs)
        found = await service.ask(request, model, functools.partial(_explained, asked=asked), inputs)
        return reply(_cut(Explanations(tuple(found), model.name).to_dict(), asked.top), version=found.version)

    @routes.get("/models", summary="Models and their tasks", responses=gives("Names, the default first"))
    async def models_route() -> Response:
        return reply({"models": [described(name, service) for name in service.store.names]})

    return routes


def described(name: str, service: Service) -> dict[str, Any]:
    """A model in ``/v1/models`` and ``/info``."""
    model = service.store.get(name).current
    tasks = [
        {
            "name": head.task.name,
            "kind": head.task.kind,
            "targeted": head.task.targeted,
            "labels": [
                {"key": label.key, "ko": label.name("ko"), "en": label.name("en")} for label in head.task.labels
            ],
            "sentiments": [
                {"key": label.key, "ko": label.name("ko"), "en": label.name("en")} for label in head.task.sentiments
            ],
            "thresholds": dict(zip(head.task.keys, head.thresholds.values, strict=False)),
            "model": head.predictor.kind,
        }
        for head in model.heads.values()
    ]
    return {"name": name, "version": model.version, "tasks": tasks}


def _need_aspects(model: LoadedModel, name: str) -> None:
    if model.head(None).task.kind != "aspect":
        raise Refusal(
            422,
            "wrong_task",
            f"모델 '{name}'은(는) 후기 모델이 아닙니다. /v1/emotions를 쓰거나 속성 모델을 model로 고르세요.",
            f"the model '{name}' finds no aspects; use /v1/emotions, or choose a review model with 'model'",
        )


def _reviewed(model: LoadedModel, item: Input, *, most: int) -> dict[str, Any]:
    head = model.head(None)
    _need_aspects(model, head.task.name)
    words = aspect_words(head, [item], most)[0]
    return review(answers({head.task.name: head}, [item])[0], words)


def _explained(model: LoadedModel, item: Input, *, asked: ExplainRequest) -> Explanation:
    return explain(
        model.head(asked.task),
        [item],
        labels=asked.labels,
        aspect=asked.aspects,
        unit=asked.unit,
        mask=asked.mask,
        method=asked.method,
        leave_out=asked.leave_out,
        quick=asked.quick,
        mask_target=asked.mask_target,
        faithfulness=asked.faithfulness,
    )[0]


def _cut(data: dict[str, Any], top: int | None) -> dict[str, Any]:
    """The best words only, as ``maeum explain --top`` cuts them."""
    if top is not None:
        for result in data["results"]:
            for evidence in (*result["evidence"], *result.get("grades", ())):
                for name in ("words", "pair", "groups"):
                    if name in evidence:
                        evidence[name] = evidence[name][:top]
    return data
