"""What those who run a service look at."""

from __future__ import annotations

from fastapi import APIRouter  # noqa: TID253 -- the extra serve; only imported where a service is made
from starlette.responses import Response  # noqa: TID253 -- the same

from maeum._version import __version__
from maeum.serving.metrics import CONTENT_TYPE
from maeum.serving.routes._described import gives
from maeum.serving.routes.v1 import described
from maeum.serving.service import Service, reply


def router(service: Service) -> APIRouter:
    """``/health``, ``/info``, ``/metrics``."""
    routes = APIRouter()

    @routes.get("/health", summary="Whether requests may be sent", responses=gives("Yes"))
    async def health() -> Response:
        yes = service.lifecycle.ready
        return reply({"status": "ok" if yes else "draining"}, status=200 if yes else 503)

    @routes.get("/info", summary="Models, labels, thresholds, limits", responses=gives("What runs here"))
    async def info() -> Response:
        settings = service.settings
        head = service.store.get(None).current.head(None)
        numbers = {key: place for place, key in enumerate(head.task.keys)}
        shown = settings.to_dict()
        for name in ("host", "port", "root_path", "cors_origin", "log_texts"):
            del shown[name]  # not the business of a client
        return reply(
            {
                "version": __version__,
                # as text-embeddings-inference has it, of the model that answers by default
                "model_id": service.store.names[0],
                "model_sha": service.store.get(None).current.version,
                "model_type": {
                    "classifier": {"id2label": {str(n): key for key, n in numbers.items()}, "label2id": numbers}
                },
                "max_concurrent_requests": settings.max_concurrency,
                "max_client_batch_size": settings.max_texts,
                "max_batch_tokens": settings.batch_chars,
                "models": [described(name, service) for name in service.store.names],
                "limits": shown,
            }
        )

    @routes.get(
        "/metrics",
        summary="Counters, for Prometheus",
        responses={**gives(""), 200: {"description": "Prometheus text", "content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        # the type is set by hand: a media type of text would get a second charset
        return Response(service.metrics.render(), headers={"content-type": CONTENT_TYPE})

    return routes
