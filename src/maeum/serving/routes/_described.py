"""What OpenAPI is told of a route: which body it takes, and what it may answer."""

from __future__ import annotations

from typing import Any

from maeum.serving.schemas import Strict

Responses = dict[int | str, dict[str, Any]]

_ERRORS = {
    400: "Not JSON as it should be",
    401: "No API key, or a wrong one",
    404: "No such model or task",
    408: "The body did not arrive in time",
    413: "Too many texts, one too long, or too many bytes",
    415: "Not JSON by its content type",
    422: "JSON of another form",
    429: "Too many requests: see Retry-After",
    503: "Shutting down, or no answer in time: see Retry-After",
}


def takes(model: type[Strict], example: Any) -> dict[str, Any]:
    """``openapi_extra`` of a route with a JSON body."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def gives(description: str, schema: dict[str, Any] | None = None, error: str = "Error") -> Responses:
    """``responses`` of a route: what it gives, and all that can be refused.

    Args:
        error: name of the schema of errors in its dialect.
    """
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    found: Responses = {status: {"description": text, "content": content} for status, text in _ERRORS.items()}
    found[200] = {"description": description, "content": {"application/json": {"schema": schema or {"type": "object"}}}}
    return found


ERROR_SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            }
        },
    },
    "PredictError": {
        "type": "object",
        "required": ["error", "error_type"],
        "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
    },
    "InferError": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
}
