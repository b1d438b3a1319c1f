"""The application: routes behind the gate, described for machines and for people."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI  # noqa: TID253 -- the extra serve; only imported where a service is made
from fastapi.exceptions import RequestValidationError  # noqa: TID253 -- the same
from fastapi.routing import APIRoute  # noqa: TID253 -- the same
from pydantic.json_schema import models_json_schema  # noqa: TID253 -- the same
from starlette.exceptions import HTTPException  # noqa: TID253 -- the same
from starlette.middleware.cors import CORSMiddleware  # noqa: TID253 -- the same
from starlette.requests import Request  # noqa: TID253 -- the same
from starlette.responses import HTMLResponse, Response  # noqa: TID253 -- the same

from maeum._version import __version__
from maeum.serving import docs_page
from maeum.serving.limits import App, Gate, Receive, Scope, Send
from maeum.serving.refusals import Refusal, body_of, internal, not_found, timed_out
from maeum.serving.routes import batch, infer, operations, predict, v1
from maeum.serving.routes._described import ERROR_SCHEMAS
from maeum.serving.schemas import REQUESTS
from maeum.serving.service import Service, invalid, reply
from maeum.serving.settings import ServeSettings


def make_app(service: Service, keys: Sequence[bytes] = ()) -> App:
    """The ASGI application of a service.

    Args:
        service: its models must have been started before requests come.
        keys: API keys; none: the door stands open.
    """
    app: App = Gate(
        _routes(service),
        settings=service.settings,
        keys=keys,
        lifecycle=service.lifecycle,
        metrics=service.metrics,
        log=service.log,
    )
    origins = service.settings.cors_origin
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-api-key", "x-request-id"],
            expose_headers=["x-request-id", "x-model-version", "retry-after"],
        )
    return app


Handler = Callable[[Request, Exception], Awaitable[Response]]


class _Straight:
    """Takes requests for one fixed address straight to the function that answers them.

    Past the router and what lies around it, which cost more than all else that is done for a short text. Functions that
    want more of FastAPI than the request, other methods and other addresses go through it.
    """

    def __init__(self, app: FastAPI, routes: Sequence[Any], late: Handler) -> None:
        self.app = app
        self.late = late
        self.known: dict[str, APIRoute] = {
            route.path: route
            for route in routes
            if isinstance(route, APIRoute)
            and route.methods == {"POST"}
            and "{" not in route.path
            and list(inspect.signature(route.endpoint).parameters) == ["request"]
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        route = self.known.get(_path(request)) if scope["method"] == "POST" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response: Response = await route.endpoint(request)
        except Refusal as error:
            response = await _refused(request, error)
        except TimeoutError as error:
            response = await self.late(request, error)
        # any other error is our mistake: the gate logs it, and says so
        await response(scope, receive, send)


def _routes(service: Service) -> _Straight:
    app = FastAPI(
        title="maeum",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # the path in front itself comes with each request, from the HTTP server
        servers=[{"url": service.settings.root_path}] if service.settings.root_path else None,
    )
    routers = [module.router(service) for module in (v1, batch, predict, infer, operations)]
    for router in routers:
        app.include_router(router)
    described = _describe(app, service.settings)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return reply(described)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        page = docs_page.page(described, service.settings.root_path)
        return HTMLResponse(page, headers={"content-security-policy": _POLICY})

    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _wrong_query)
    app.add_exception_handler(Exception, _failed)  # Starlette raises it again, and the gate logs it

    async def late(request: Request, error: Exception) -> Response:
        return await _refused(request, timed_out(service.settings.timeout))

    app.add_exception_handler(TimeoutError, late)  # of the queue: it was not its turn in time
    return _Straight(app, [route for router in routers for route in router.routes], late)


_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'"
)


def _describe(app: FastAPI, settings: ServeSettings) -> dict[str, Any]:
    described = app.openapi()
    _, found = models_json_schema(
        [(model, "validation") for model in REQUESTS], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = {**found["$defs"], **ERROR_SCHEMAS}
    for name in ("EmotionsRequest", "ReviewsRequest"):
        schemas[name]["properties"]["texts"]["maxItems"] = settings.max_texts
    schemas["ExplainRequest"]["properties"]["texts"]["maxItems"] = settings.max_explain_texts
    components = described.setdefault("components", {})
    components["schemas"] = schemas  # in place of FastAPI's own of validation errors, which are not ours
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    described["security"] = [{}, {"bearer": []}, {"header": []}]
    return described


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    request.state.log["code"] = error.code
    response = reply(body_of(error, _path(request)), status=error.status)
    response.headers.update(error.headers)
    return response


async def _failed(request: Request, error: Exception) -> Response:
    return await _refused(request, internal())


_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return await _refused(request, not_found())
    refusal = Refusal(
        error.status_code,
        _CODES.get(error.status_code, "bad_request"),
        "이 주소는 그런 요청을 받지 않습니다. GET /docs를 보세요.",
        "this address takes no such request; see GET /docs",
        error.headers,
    )
    return await _refused(request, refusal)


async def _wrong_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    name = str(error.errors()[0]["loc"][-1])  # of a parameter: bodies are not read by FastAPI
    return await _refused(request, invalid(f"{name}: 쓸 수 없는 값입니다.", f"{name} cannot have that value"))


def _path(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    path: str = request.scope["path"]
    return path.removeprefix(root) if root else path
