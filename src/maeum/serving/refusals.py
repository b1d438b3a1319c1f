"""What a request is told when it is not answered: a status, a code for programs, a sentence for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from maeum._lang import say


class Refusal(Exception):
    """A request that is refused.

    Args:
        status: HTTP status.
        code: a word that programs can look at.
        ko, en: the sentence.
        headers: to send along.
    """

    def __init__(self, status: int, code: str, ko: str, en: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)  # never the sentence: it may quote the request, and exceptions end up in logs
        self.status = status
        self.code = code
        self.ko = ko
        self.en = en
        self.headers = dict(headers or {})

    @property
    def message(self) -> str:
        """The sentence in the language in force."""
        return say(self.ko, self.en)


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to come again: whole seconds, at least one."""
    return {"Retry-After": str(max(1, min(60, math.ceil(seconds))))}


def overloaded(seconds: float = 1.0) -> Refusal:
    """More comes in than can be done."""
    return Refusal(
        429,
        "overloaded",
        "지금은 요청이 너무 많습니다. Retry-After만큼 기다렸다가 다시 보내세요.",
        "too many requests right now; wait for Retry-After and send it again",
        retry_after(seconds),
    )


def draining() -> Refusal:
    """The service is going down."""
    return Refusal(
        503,
        "draining",
        "서비스가 끝나는 중이라 새 요청을 받지 않습니다.",
        "the service is shutting down and takes no new requests",
        retry_after(5),
    )


def timed_out(seconds: float) -> Refusal:
    """A request took too long."""
    return Refusal(
        503,
        "timeout",
        f"{seconds:g}초 안에 답하지 못했습니다. 글을 줄이거나 다시 보내세요.",
        f"there was no answer within {seconds:g} seconds; send fewer texts, or try again",
        retry_after(1),
    )


def too_large(limit: int) -> Refusal:
    """A body is too long."""
    return Refusal(
        413, "too_large", f"본문이 {limit}바이트보다 큽니다.", f"the body is larger than {limit} bytes", _CLOSE
    )


def slow_body(seconds: float) -> Refusal:
    """A body does not come."""
    return Refusal(
        408,
        "slow_body",
        f"본문이 {seconds:g}초 안에 오지 않았습니다.",
        f"the body did not arrive within {seconds:g} seconds",
        _CLOSE,
    )


def unauthorized() -> Refusal:
    """No key, or a wrong one."""
    return Refusal(
        401,
        "unauthorized",
        "API 키가 없거나 틀립니다. 'Authorization: Bearer 키' 또는 'X-API-Key: 키'로 보내세요.",
        "the API key is missing or wrong; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
        {"WWW-Authenticate": "Bearer"},
    )


def unknown(code: str, ko: str, en: str, known: tuple[str, ...]) -> Refusal:
    """Something was named that is not there; the sentence lists what is."""
    listed = ", ".join(known)
    return Refusal(404, code, f"{ko} 있는 것: {listed}", f"{en} There is: {listed}")


def unknown_model(known: tuple[str, ...]) -> Refusal:
    """No model of that name."""
    return unknown("unknown_model", "그런 이름의 모델이 없습니다.", "There is no model of that name.", known)


def unknown_task(known: tuple[str, ...]) -> Refusal:
    """No task of that name in the model."""
    return unknown("unknown_task", "모델에 그런 과제가 없습니다.", "The model has no such task.", known)


def not_found() -> Refusal:
    """No such address."""
    return Refusal(
        404, "not_found", "그런 주소가 없습니다. GET /docs를 보세요.", "there is no such address; see GET /docs"
    )


def internal() -> Refusal:
    """Our own mistake."""
    return Refusal(
        500,
        "internal",
        "서비스 안에서 오류가 났습니다. 요청 번호(X-Request-ID)와 함께 알려 주세요.",
        "something went wrong inside the service; report it with the request id (X-Request-ID)",
    )


_CLOSE = {"Connection": "close"}
"""What is left of the body is not waited for."""

_TEI = {401: "Unauthorized", 404: "NotFound", 405: "NotAllowed", 429: "Overloaded", 500: "Backend", 503: "Unhealthy"}
"""``error_type`` of text-embeddings-inference; others are "Validation"."""


def body_of(refusal: Refusal, path: str) -> dict[str, Any]:
    """The error object in the dialect of the address."""
    if path in ("/predict", "/"):
        return {"error": refusal.message, "error_type": _TEI.get(refusal.status, "Validation")}
    if path == "/v2" or path.startswith("/v2/"):
        return {"error": refusal.message}
    return {"error": {"code": refusal.code, "message": refusal.message}}
