"""A service in a process: models opened, a socket, signals, and an orderly end."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn  # noqa: TID253 -- the extra serve; only imported where a service is run

from maeum._version import __version__
from maeum.errors import UsageError
from maeum.serving.app import make_app
from maeum.serving.connections import guarded
from maeum.serving.door import Door
from maeum.serving.lifecycle import Lifecycle
from maeum.serving.limits import HEADER_BYTES
from maeum.serving.logs import Log
from maeum.serving.metrics import Metrics
from maeum.serving.service import Service
from maeum.serving.settings import ServeSettings
from maeum.serving.store import ModelStore

_BACKLOG = 2048
_SWITCH_SECONDS = 0.001
_CLOSING_SECONDS = 1
"""What connections get to close after the last request is answered or given up."""


def make_service(models: Sequence[str], settings: ServeSettings, log: Log) -> Service:
    """Open models, and what serves them; ``service.store.start()`` begins.

    Raises:
        MaeumError: a model cannot be opened.
    """
    metrics = Metrics()
    store = ModelStore(models, settings, metrics, log)
    return Service(store, settings, Lifecycle(settings.drain_seconds, settings.linger_seconds), metrics, log)


def serve(
    models: Sequence[str], settings: ServeSettings, keys: Sequence[bytes] = (), *, log: Log | None = None
) -> None:
    """Serve until a signal ends it: SIGTERM or SIGINT finish what has begun, a second one does not wait.

    Raises:
        UsageError: the address cannot be listened on.
        MaeumError: a model cannot be opened.
    """
    log = log or Log()
    log.take_over()
    listener = listen(settings.host, settings.port)  # before the models: a port in use is told at once
    with listener:
        service = make_service(models, settings, log)
        service.store.start()
        # the thread that answers HTTP waits at most so long for one that prepares texts in Python
        sys.setswitchinterval(_SWITCH_SECONDS)
        with log.behind():
            try:
                make_server(service, keys).run(sockets=[listener])
            finally:
                service.store.stop()
                log("stopped")


def make_server(service: Service, keys: Sequence[bytes] = ()) -> uvicorn.Server:
    """The HTTP server of a service whose models were started; ``run(sockets=[listener])`` serves."""
    settings = service.settings
    door = Door(settings, service.lifecycle, service.metrics, service.log)
    config = uvicorn.Config(
        make_app(service, keys),
        http=guarded(settings, door),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        root_path=settings.root_path,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=_CLOSING_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return _Server(config, service)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address.

    Raises:
        UsageError: it is taken, or not one of this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # with its protocol named, or asyncio leaves Nagle's algorithm on and every answer waits for a delayed ACK
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise UsageError(
            f"{host}:{port}에서 들을 수 없습니다({error.strerror}). 다른 --port나 --host를 쓰세요.",
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --port or --host",
        ) from error
    return bound


def url_of(listener: socket.socket) -> str:
    """The address of a service."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, which goes on answering while it drains."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self._told = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; the second signal ends at once."""
        if not self.service.lifecycle.ready:
            self.should_exit = self.force_exit = True
        self.service.lifecycle.drain()  # nothing is logged here: a signal may come while the log is being written

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        names = list(self.service.store.names)
        for listener in sockets or ():
            self.service.log("listening", url=url_of(listener), models=names, version=__version__)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether the end has come."""
        lifecycle = self.service.lifecycle
        if not lifecycle.ready and not self._told:
            self._told = True
            self.service.log("draining", in_flight=lifecycle.in_flight)
        if lifecycle.over:
            self.should_exit = True
        return await super().on_tick(counter)
