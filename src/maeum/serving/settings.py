"""What a service is told: one table of fields, from which flags, environment variables and ``/info`` are made."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from maeum.errors import UsageError

PREFIX = "MAEUM_SERVE_"
KEYS_VARIABLE = "MAEUM_API_KEYS"
"""API keys come from here only: a flag would show them to everyone who may list processes."""
MODELS_VARIABLE = f"{PREFIX}MODELS"

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def _setting(default: Any, ko: str, en: str, *, least: float | None = None, most: float | None = None) -> Any:
    return field(default=default, metadata={"ko": ko, "en": en, "least": least, "most": most})


@dataclass(frozen=True)
class ServeSettings:
    """Settings of a service. Sizes are counts unless the name says bytes, times are seconds unless it says ms.

    Raises:
        UsageError: a value is out of its range, or two do not fit together.
    """

    host: str = _setting("127.0.0.1", "듣는 주소", "Address to listen on.")
    port: int = _setting(8000, "포트(0: 빈 포트)", "Port; 0 picks a free one.", least=0, most=65535)
    root_path: str = _setting("", "프록시가 앞에 붙이는 경로", "Path that a proxy puts in front.")
    cors_origin: tuple[str, ...] = _setting(
        (), "브라우저에서 부를 수 있는 출처", "Origin that browsers may call from; repeatable."
    )
    max_texts: int = _setting(256, "요청 하나의 글 수", "Texts a request.", least=1)
    max_chars: int = _setting(10_000, "글 하나의 글자 수", "Characters a text.", least=1)
    max_payload_bytes: int = _setting(4 << 20, "본문의 바이트 수", "Bytes of a request's body.", least=64)
    max_explain_texts: int = _setting(8, "근거를 묻는 요청의 글 수", "Texts of a request for evidence.", least=1)
    max_explain_chars: int = _setting(2_000, "그 글의 글자 수", "Characters of such a text.", least=1)
    max_concurrency: int = _setting(512, "동시에 받는 요청 수", "Requests at a time; more get 429.", least=1)
    max_streams: int = _setting(4, "동시에 받는 /v1/batch 수", "Batch streams at a time; more get 429.", least=1)
    max_queue: int = _setting(2048, "모델마다 기다리는 글 수", "Texts that wait for a model; more get 429.", least=1)
    max_delay: float = _setting(
        5.0,
        "차례를 기다릴 수 있는 초(잰 속도로 어림)",
        "Seconds to wait for a turn, at the rate measured; more get 429.",
        least=0.001,
    )
    target_delay: float = _setting(
        0.5,
        "그 가운데 계속되어도 되는 초(한때 몰린 것은 괜찮음)",
        "Seconds of that which may last, other than in a burst; more get 429.",
        least=0.001,
    )
    timeout: float = _setting(30.0, "요청 하나의 초", "Seconds of a request; then 503.", least=0.001)
    body_timeout: float = _setting(10.0, "본문을 보내야 하는 초", "Seconds to send a body; then 408.", least=0.001)
    keep_alive: int = _setting(30, "쉬는 연결의 초", "Seconds an idle connection stays open.", least=0)
    batch_texts: int = _setting(256, "모델에 한 번에 넣는 글 수", "Texts a model is given at a time.", least=1)
    batch_chars: int = _setting(
        16_384, "모델에 한 번에 넣는 글자 수", "Characters it is given at a time: a bound of its tokens.", least=1
    )
    batch_wait_ms: float = _setting(0.0, "배치를 더 모으는 밀리초", "Milliseconds to wait for more texts.", least=0)
    drain_seconds: float = _setting(
        30.0, "SIGTERM 뒤에 하던 요청을 기다리는 초", "Seconds to finish requests after SIGTERM.", least=0
    )
    linger_seconds: float = _setting(
        0.0, "SIGTERM 뒤에도 새 요청을 받는 초", "Seconds after SIGTERM in which new requests are still taken.", least=0
    )
    reload_seconds: float = _setting(
        2.0, "모델 폴더를 다시 보는 간격(0: 안 봄)", "Seconds between looks at model folders; 0: never.", least=0
    )
    log_texts: bool = _setting(False, "로그에 글을 적습니다", "Write texts into the log.")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value, least, most = getattr(self, item.name), item.metadata["least"], item.metadata["most"]
            # written so that NaN is refused as well
            if least is not None and not (value >= least and (most is None or value <= most)):
                span = f"{least}–{most}" if most is not None else f"≥ {least}"
                raise UsageError(
                    f"{flag(item.name)}: {span}여야 합니다: {value}", f"{flag(item.name)}: {span}, got {value}"
                )
        if self.max_queue < max(self.max_texts, self.batch_texts):
            raise UsageError(
                f"--max-queue({self.max_queue})는 --max-texts와 --batch-texts보다 작을 수 없습니다.",
                f"--max-queue ({self.max_queue}) cannot be below --max-texts or --batch-texts",
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> ServeSettings:
        """Settings from the environment; ``given`` wins.

        Raises:
            UsageError: a value cannot be read, or a variable with our prefix names no setting.
        """
        environ = os.environ if environ is None else environ
        known = {variable(item.name): item for item in dataclasses.fields(cls)}
        for name in environ:
            if name.startswith(PREFIX) and name not in known and name not in _ELSEWHERE:
                raise UsageError(
                    f"환경 변수 {name}에 해당하는 설정이 없습니다. 'maeum serve --help'를 보세요.",
                    f"the environment variable {name} is no setting; see 'maeum serve --help'",
                )
        found = {item.name: read(item, environ[name]) for name, item in known.items() if name in environ}
        return cls(**{**found, **given})

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)


_ELSEWHERE = (MODELS_VARIABLE, f"{PREFIX}DEVICE")
"""Variables of ``maeum serve`` that are no settings of the service itself."""


def flag(name: str) -> str:
    """The flag of a field: ``--max-texts``."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of a field: ``MAEUM_SERVE_MAX_TEXTS``."""
    return PREFIX + name.upper()


def read(item: dataclasses.Field[Any], word: str) -> Any:
    """The value of a field from the environment.

    Raises:
        UsageError: the word is not of the field's kind.
    """
    kind = type(item.default)
    try:
        return _READ[kind](word)
    except ValueError as error:
        name = variable(item.name)
        raise UsageError(
            f"환경 변수 {name}을(를) 읽을 수 없습니다({kind.__name__}이어야 합니다): {word!r}",
            f"the environment variable {name} should be {kind.__name__}, got {word!r}",
        ) from error


def _bool(word: str) -> bool:
    lowered = word.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(word)


_READ: Mapping[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: _bool,
    tuple: lambda word: tuple(word.split()),
}


def api_keys(environ: Mapping[str, str] | None = None) -> tuple[bytes, ...]:
    """The API keys in the environment; empty: none are asked for.

    Raises:
        UsageError: the variable is set, but holds no key: nobody means an open door by that.
    """
    word = (os.environ if environ is None else environ).get(KEYS_VARIABLE)
    if word is None:
        return ()
    keys = tuple(key.encode() for key in word.replace(",", " ").split())
    if not keys:
        raise UsageError(
            f"{KEYS_VARIABLE}가 비어 있습니다. 키를 적거나, 키 없이 열려면 변수를 지우세요.",
            f"{KEYS_VARIABLE} is set but holds no key; give one, or unset it to serve without keys",
        )
    return keys
