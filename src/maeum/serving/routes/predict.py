"""The dialect of text-embeddings-inference and Hugging Face text-classification.

Unlike there, labels that do not exclude each other keep their own probabilities: no softmax is laid over them.
"""

from __future__ import annotations

from fastapi import APIRouter  # noqa: TID253 -- the extra serve; only imported where a service is made
from starlette.requests import Request  # noqa: TID253 -- the same
from starlette.responses import Response  # noqa: TID253 -- the same

from maeum.serving.answers import Function, ranked
from maeum.serving.routes._described import gives, takes
from maeum.serving.schemas import PredictRequest, TextWithTarget
from maeum.serving.service import Service, invalid, reply

_GIVEN = {"type": "array", "description": "Labels and scores of a text, or a list of these for each text"}


def router(service: Service) -> APIRouter:
    """``/predict``, and ``/`` for clients that know only a server's name."""
    routes = APIRouter()

    async def predict(request: Request) -> Response:
        asked = await service.parse(request, PredictRequest)
        model = service.store.get(asked.model)
        task = asked.task or next(iter(model.current.heads))
        inputs = service.inputs(request, _texts(asked), "inputs")
        found = await service.labels(request, model, inputs, task)
        function, top = _wanted(asked)
        results = [ranked(item, function, top) for item in found]
        # the Inference API, which knows "parameters", answers a list of lists even for one text
        single = isinstance(asked.inputs, str) and asked.parameters is None
        return reply(results[0] if single else results, version=found.version)

    for path, shown in (("/predict", True), ("/", False)):
        routes.add_api_route(
            path,
            predict,
            methods=["POST"],
            include_in_schema=shown,
            summary="Labels and scores, as of text-embeddings-inference",
            openapi_extra=takes(PredictRequest, {"inputs": "배송이 너무 늦어서 화가 나요"}),
            responses=gives("Labels and scores, the highest first", _GIVEN, "PredictError"),
        )
    return routes


def _texts(asked: PredictRequest) -> list[str | TextWithTarget]:
    if isinstance(asked.inputs, str):
        return [asked.inputs]
    return [_text(item) for item in asked.inputs]


def _text(item: str | list[str]) -> str | TextWithTarget:
    if isinstance(item, str):
        return item
    text, target = item if len(item) == 2 else (item[0], None)
    return TextWithTarget(text=text, target=target)


def _wanted(asked: PredictRequest) -> tuple[Function | None, int | None]:
    parameters = asked.parameters
    function = parameters.function_to_apply if parameters else None
    if asked.raw_scores:
        if function not in (None, "none"):
            raise invalid(
                "raw_scores와 function_to_apply가 서로 맞지 않습니다.",
                "raw_scores and function_to_apply contradict each other",
            )
        function = "none"
    return function, (parameters.top_k if parameters and parameters.top_k else asked.top_k)
