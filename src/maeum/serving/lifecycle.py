"""Whether a service takes requests: from the first to the signal that ends it, and a little after."""

from __future__ import annotations

import time


class Lifecycle:
    """The state of one service; touched by its event loop only.

    Args:
        drain_seconds: how long requests that have begun may take after the end was asked for.
        linger_seconds: how long new ones are still taken.
    """

    def __init__(self, drain_seconds: float, linger_seconds: float) -> None:
        self.drain_seconds = drain_seconds
        self.linger_seconds = linger_seconds
        self.in_flight = 0
        """Requests that count against ``max_concurrency``."""
        self.streams = 0
        """Those of them that are batch streams."""
        self._draining_since: float | None = None

    def drain(self) -> None:
        """Ask for the end."""
        if self._draining_since is None:
            self._draining_since = time.monotonic()

    @property
    def ready(self) -> bool:
        """Whether a balancer should send requests here."""
        return self._draining_since is None

    @property
    def accepting(self) -> bool:
        """Whether requests that come all the same are answered."""
        return self._draining_since is None or self._since(self._draining_since) < self.linger_seconds

    @property
    def over(self) -> bool:
        """Whether nothing is left to wait for, or the time for it is over."""
        begun = self._draining_since
        if begun is None or self.accepting:
            return False
        return not self.in_flight or self._since(begun) >= self.drain_seconds

    def _since(self, begun: float) -> float:
        return time.monotonic() - begun
