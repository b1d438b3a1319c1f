"""What can go wrong when a service is asked."""

from __future__ import annotations

from maeum.errors import MaeumError


class ServiceError(MaeumError):
    """The service refused, or could not be asked.

    Args:
        ko, en: the sentence.
        status: HTTP status; None where there was no answer.
        code: the service's word for the reason (``text_too_long``, ``overloaded`` …), or ours: ``unreachable`` (no
            connection, or it broke), ``cut`` (an answer without its end), ``no_maeum`` (an answer that is not of maeum).
        request_id: to find the request in the service's log.
        retry_after: seconds the service asked to wait.
    """

    def __init__(
        self,
        ko: str,
        en: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str | None = None,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(ko, en)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class CutShort(ServiceError):
    """A batch ended before its last row, and trying again did not help; go on with ``batch(rows, start=error.done)``.

    Args:
        done: rows that were answered, from the first of the iterable on.
        cause: what kept the next one from being answered.
    """

    def __init__(self, done: int, cause: ServiceError) -> None:
        super().__init__(
            f"{done}행까지 답을 받고 멈췄습니다. 원인: {cause.ko} batch(rows, start={done})로 이어 갈 수 있습니다.",
            f"stopped after {done} rows: {cause.en}; go on with batch(rows, start={done})",
            status=cause.status,
            code=cause.code,
            request_id=cause.request_id,
            retry_after=cause.retry_after,
        )
        self.done = done


def no_maeum(said: str) -> ServiceError:
    """The error for an answer that ``maeum serve`` does not give."""
    return ServiceError(
        f"maeum 서비스의 답이 아닙니다({said}). 주소와 앞에 있는 프록시를 확인하세요.",
        f"this is no answer of a maeum service ({said}); check the address, and proxies before it",
        code="no_maeum",
    )
