"""What is counted, for Prometheus: in a registry of its own, so that services do not mix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (  # noqa: TID253 -- the extra serve; only imported where a service is made
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: TID253 -- the same

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "maeum_requests", "Requests answered, by route and status.", ("method", "route", "status"), registry=own
        )
        self.seconds = Histogram(
            "maeum_request_seconds",
            "Seconds from headers to the end of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        self.in_flight = Gauge("maeum_requests_in_flight", "Requests being answered.", registry=own)
        self.refused = Counter("maeum_requests_refused", "Requests refused, by code.", ("code",), registry=own)
        self.texts = Counter("maeum_texts", "Texts that went through a model.", ("model",), registry=own)
        self.queue = Gauge("maeum_queue_texts", "Texts that wait for a model.", ("model",), registry=own)
        self.batch_texts = Histogram("maeum_batch_texts", "Texts of a batch.", ("model",), buckets=_TEXTS, registry=own)
        self.batch_seconds = Histogram(
            "maeum_batch_seconds", "Seconds of a batch.", ("model",), buckets=_SECONDS, registry=own
        )
        self.loads = Counter(
            "maeum_model_loads", "Model folders opened, by outcome.", ("model", "outcome"), registry=own
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def watch_batches(self, model: str) -> Callable[[int, float], None]:
        """What a batcher calls after each batch."""
        count = self.texts.labels(model)
        sizes, times = self.batch_texts.labels(model), self.batch_seconds.labels(model)

        def watch(texts: int, seconds: float) -> None:
            count.inc(texts)
            sizes.observe(texts)
            times.observe(seconds)

        return watch

    def render(self) -> bytes:
        """The text of ``/metrics``."""
        return generate_latest(self.registry)
