"""What goes out and comes in, as JSON: rows in parts that a service takes, refusals, lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from maeum.client.answers import row_id
from maeum.client.errors import ServiceError, no_maeum
from maeum.errors import DataError

if TYPE_CHECKING:
    import httpx

    from maeum.data import Example, Input

    Text = str | Mapping[str, Any] | Input | Example

LINES = 256
"""Rows a batch request carries at most."""
LINE_BYTES = 1 << 18
"""Bytes of them: an answer is read after everything was sent, so it has to fit into the buffers in between."""

PASSING = ("overloaded", "draining", "timeout")
"""Reasons that may be gone soon, though the answer as a whole began well."""


def no_str(texts: Iterable[Text]) -> Iterable[Text]:
    """Refuse what would be taken for a list of letters."""
    if isinstance(texts, str):
        raise TypeError("a list of texts is expected, got one str; wrap it: [text]")
    return texts


def question(text: Text, target: str | None = None) -> dict[str, Any]:
    """One of the ``texts`` of a request: ``{"text"}`` and, where there is one, ``{"target"}``."""
    if isinstance(text, str):
        about: Any = target
        words: Any = text
    elif isinstance(text, Mapping):
        words, about = text.get("text"), text.get("target", target)
    else:
        words, about = text.text, text.target.to_dict() if text.target is not None else target
    return {"text": words} if about is None else {"text": words, "target": about}


def parts(rows: Iterable[dict[str, Any]], size: int, most: int) -> Iterator[list[dict[str, Any]]]:
    """Lists of up to ``size`` rows and about ``most`` bytes; a row that is larger goes alone, to be refused by the service."""
    part: list[dict[str, Any]] = []
    total = 0
    for row in rows:
        length = len(dumps(row)) + 2
        if part and (len(part) >= size or total + length > most):
            yield part
            part, total = [], 0
        part.append(row)
        total += length
    if part:
        yield part


def line_parts(rows: Iterable[tuple[int, Text]]) -> Iterator[list[tuple[int, bytes]]]:
    """The same for the lines of a batch: number and bytes of each."""
    part: list[tuple[int, bytes]] = []
    total = 0
    for number, row in rows:
        line = _line_of(number, row)
        if part and (len(part) >= LINES or total + len(line) > LINE_BYTES):
            yield part
            part, total = [], 0
        part.append((number, line))
        total += len(line)
    if part:
        yield part


def _line_of(number: int, row: Text) -> bytes:
    """A row as a line; without an id of its own it gets that of its place, which the service would count by request."""
    own = row.get("id") if isinstance(row, Mapping) else getattr(row, "id", None)
    try:
        return dumps({"id": row_id(number) if own in (None, "") else own, **question(row)}) + b"\n"
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{number}행을 JSON으로 쓸 수 없습니다: {error}", f"row {number} is no JSON: {error}"
        ) from error


def dumps(value: Any) -> bytes:
    """JSON of a request; half surrogate pairs, which UTF-8 cannot hold, are escaped for the service to judge.

    Raises:
        DataError: JSON cannot hold it: NaN where a data frame has no text, an object.
    """
    try:
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        shown = str(value)[:80]
        raise DataError(
            f"JSON으로 보낼 수 없는 값입니다({error}): {shown}", f"JSON cannot hold this ({error}): {shown}"
        ) from error


def loads(answer: httpx.Response) -> Any:
    """The JSON object of an answer.

    Raises:
        ServiceError: it is none.
    """
    try:
        value = answer.json()
    except ValueError as error:
        raise no_maeum(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise no_maeum("no JSON object")
    return value


def line(text: str) -> dict[str, Any]:
    """One line of a batch's answer.

    Raises:
        ServiceError: half of one; the connection was cut.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise cut() from error
    if not isinstance(value, dict):
        raise no_maeum("a line that is no JSON object")
    return value


def refuse_line(found: Mapping[str, Any]) -> None:
    """Raise what ended the stream, or what keeps a row from being answered only now; the row's own faults stay answers."""
    error = found.get("error")
    if error is None:
        return
    if not isinstance(error, dict) or not {"code", "message"} <= set(error):
        raise no_maeum("an error without its reason")
    if "line" not in found or error["code"] in PASSING:
        raise ServiceError(
            f"서비스가 흐름을 멈췄습니다({error['code']}): {error['message']}",
            f"the service stopped the stream ({error['code']}): {error['message']}",
            code=str(error["code"]),
        )


def cut() -> ServiceError:
    """The error for an answer without its last line."""
    return ServiceError("답이 끝나기 전에 끊겼습니다.", "the answer was cut before its end", code="cut")


def refuse(answer: httpx.Response) -> None:
    """Raise what an answer other than 200 means."""
    if answer.status_code == 200:
        return
    code, message = f"http_{answer.status_code}", answer.reason_phrase
    try:
        said = answer.json()["error"]
        code, message = str(said["code"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        pass  # a proxy's page, say: the status is all there is
    try:
        retry_after = float(answer.headers.get("retry-after", "0"))
    except ValueError:
        retry_after = 0.0  # a date, which maeum does not send
    raise ServiceError(
        f"서비스가 거절했습니다({answer.status_code} {code}): {message}",
        f"the service refused ({answer.status_code} {code}): {message}",
        status=answer.status_code,
        code=code,
        request_id=answer.headers.get("x-request-id"),
        retry_after=retry_after if 0 <= retry_after < float("inf") else 0.0,
    )
