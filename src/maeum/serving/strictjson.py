"""JSON as requests may hold it: what two readers could read in two ways is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum.serving.refusals import Refusal

_TROUBLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_TROUBLE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_DEEPEST = 32
"""Nothing that is asked for here is nested deeper."""


def loads(body: bytes) -> Any:
    """The value of a body.

    Raises:
        Refusal: 400: not UTF-8, not JSON, NaN or Infinity, a key given twice, NUL or half of a surrogate pair, nested too
            deep, or a number too long. The sentence says which and where, and quotes nothing.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(
            f"본문이 UTF-8이 아닙니다({error.start}번째 바이트).", f"the body is not UTF-8 (byte {error.start})"
        ) from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _bad(
            f"JSON이 아닙니다({error.lineno}번째 줄 {error.colno}번째 글자).",
            f"not JSON (line {error.lineno}, column {error.colno})",
        ) from None
    except (RecursionError, ValueError):
        # ValueError: integers of more than some thousand digits
        raise _bad(
            "JSON을 읽을 수 없습니다(너무 깊거나 수가 너무 깁니다).",
            "the JSON is nested too deep, or a number is too long",
        ) from None
    if _ESCAPED_TROUBLE.search(text) and _has_trouble(value):
        raise _bad(
            "글에 NUL(U+0000)이나 짝 없는 서로게이트가 있습니다. 지우고 다시 보내세요.",
            "a string holds NUL (U+0000) or an unpaired surrogate; remove it and send it again",
        )
    if text.count("[") + text.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise _bad(f"JSON이 {_DEEPEST}겹보다 깊습니다.", f"the JSON is nested deeper than {_DEEPEST} levels")
    return value


def _bad(ko: str, en: str) -> Refusal:
    return Refusal(400, "bad_json", ko, en)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _bad("같은 키가 한 객체에 두 번 있습니다.", "a key is given twice in one object")
    return found


def _constant(name: str) -> Any:
    raise _bad("NaN과 Infinity는 JSON의 수가 아닙니다.", "NaN and Infinity are no JSON numbers")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_constant)


def _has_trouble(value: Any) -> bool:
    if isinstance(value, str):
        return _TROUBLE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_trouble(key) or _has_trouble(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_trouble, value))


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
    return depth


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def dumps(value: Any) -> bytes:
    """JSON for a response."""
    return _ENCODER.encode(value).encode()


def short(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """For float32 numbers in [0, 1] the shortest decimals that read back as the same float32, all at once.

    As ``float(str(score))`` one by one, which takes longer than a small model's answer. The nearest number with p
    decimals is ``rint(x·10^p) / 10^p``, correctly rounded as both parts are exact; the least p that reads back wins.
    """
    exact = scores.astype(np.float64)
    found = np.full_like(exact, np.nan)
    for places in range(_MOST_PLACES, 0, -1):  # fewer decimals overwrite more
        scale = 10.0**places
        rounded = np.rint(exact * scale) / scale
        np.copyto(found, rounded, where=rounded.astype(np.float32) == scores)
    for place in zip(*np.nonzero(np.isnan(found)), strict=True):
        found[place] = float(str(scores[place]))
    return found


_MOST_PLACES = 13
"""Enough for what is not below 0.0001; the few numbers that need more go one by one."""
