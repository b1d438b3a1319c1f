"""The Open Inference Protocol V2 (KServe, Triton, Seldon): texts in as BYTES, probabilities out as FP32."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter  # noqa: TID253 -- the extra serve; only imported where a service is made
from starlette.requests import Request  # noqa: TID253 -- the same
from starlette.responses import Response  # noqa: TID253 -- the same

from maeum._version import __version__
from maeum.serving.answers import tensors
from maeum.serving.refusals import Refusal
from maeum.serving.routes._described import gives, takes
from maeum.serving.schemas import InferRequest, InferTensor, TextWithTarget
from maeum.serving.service import Service, invalid, reply
from maeum.serving.store import Served

_EXAMPLE = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["배송이 너무 늦어서 화가 나요"]}]}


def router(service: Service) -> APIRouter:
    """``/v2``."""
    routes = APIRouter(prefix="/v2")

    @routes.get("", summary="The server", responses=gives("Name, version, extensions", error="InferError"))
    async def server() -> Response:
        return reply({"name": "maeum", "version": __version__, "extensions": []})

    @routes.get("/health/live", summary="Whether the process answers", responses=gives("It does", error="InferError"))
    async def live() -> Response:
        return reply({"live": True})

    @routes.get("/health/ready", summary="Whether requests may be sent", responses=gives("Yes", error="InferError"))
    async def ready() -> Response:
        yes = service.lifecycle.ready
        return reply({"ready": yes}, status=200 if yes else 503)

    async def metadata(name: str, version: str | None = None) -> Response:
        model = _model(service, name, version)
        return reply(_metadata(model), version=model.current.version)

    async def model_ready(name: str, version: str | None = None) -> Response:
        model, yes = _model(service, name, version), service.lifecycle.ready
        return reply({"name": model.name, "ready": yes}, status=200 if yes else 503)

    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        model = _model(service, name, version)
        asked = await service.parse(request, InferRequest)
        inputs = service.inputs(request, _texts(asked), "inputs.text")
        found = await service.labels(request, model, inputs, _task(asked, model))
        wanted = None if asked.outputs is None else [output.name for output in asked.outputs]
        head: dict[str, Any] = {"model_name": model.name, "model_version": found.version}
        if asked.id is not None:
            head["id"] = asked.id
        return reply({**head, "outputs": tensors(found, wanted)}, version=found.version)

    for prefix, shown in (("/models/{name}", True), ("/models/{name}/versions/{version}", False)):
        about: dict[str, Any] = {"include_in_schema": shown, "response_model": None}
        answer = gives("Tensors", error="InferError")
        routes.add_api_route(prefix, metadata, methods=["GET"], summary="A model", responses=answer, **about)
        routes.add_api_route(
            f"{prefix}/ready", model_ready, methods=["GET"], summary="Whether it is ready", responses=answer, **about
        )
        routes.add_api_route(
            f"{prefix}/infer",
            infer,
            methods=["POST"],
            summary="Probabilities of texts",
            openapi_extra=takes(InferRequest, _EXAMPLE),
            responses=answer,
            **about,
        )
    return routes


def _model(service: Service, name: str, version: str | None) -> Served:
    model = service.store.get(name)
    if version not in (None, "1", model.current.version):
        raise Refusal(
            404,
            "unknown_model",
            f"모델 '{model.name}'에 그런 버전이 없습니다.",
            f"the model '{model.name}' has no such version",
        )
    return model


def _metadata(model: Served) -> dict[str, Any]:
    heads = model.current.heads
    k = len(model.current.head(None).task)
    return {
        "name": model.name,
        "versions": [model.current.version],
        "platform": f"maeum_{model.current.head(None).predictor.kind}",
        "inputs": [
            {"name": "text", "datatype": "BYTES", "shape": [-1]},
            {"name": "target", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "scores", "datatype": "FP32", "shape": [-1, k]},
            {"name": "label_names", "datatype": "BYTES", "shape": [k]},
            {"name": "labels", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {"tasks": list(heads), "default_task": next(iter(heads))},
    }


def _task(asked: InferRequest, model: Served) -> str:
    task = (asked.parameters or {}).get("task")
    if task is None:
        return next(iter(model.current.heads))
    if not isinstance(task, str):
        raise invalid("parameters.task: 글자여야 합니다.", "parameters.task should be a string")
    return task


def _texts(asked: InferRequest) -> list[str | TextWithTarget]:
    given = {tensor.name: _flat(tensor) for tensor in asked.inputs}
    if len(given) < len(asked.inputs) or "text" not in given:
        raise invalid(
            "inputs: 'text' 텐서가 하나 필요합니다.", "inputs should hold one tensor 'text', and at most one 'target'"
        )
    texts = given["text"]
    targets = given.get("target", [""] * len(texts))
    if not texts or len(targets) != len(texts):
        raise invalid(
            "inputs: 글이 하나는 있어야 하고 target은 글과 개수가 같아야 합니다.",
            "inputs: there should be at least one text, and as many targets as texts",
        )
    return [
        TextWithTarget(text=text, target=target or None) if text else ""
        for text, target in zip(texts, targets, strict=True)
    ]


def _flat(tensor: InferTensor) -> list[str]:
    """Elements of a tensor of shape [n] or [n, 1], sent flat or nested."""
    found: list[str] = []
    for item in tensor.data:
        found += [item] if isinstance(item, str) else item
    if math.prod(tensor.shape) != len(found) or tensor.shape[0] != len(found):
        raise invalid(
            f"inputs: 텐서 '{tensor.name}'의 shape은 [n]이나 [n, 1]이고 data의 수와 같아야 합니다.",
            f"inputs: the shape of tensor '{tensor.name}' should be [n] or [n, 1], with n the number of its data",
        )
    return found
