"""How long to wait before dialling again. Pure; chance comes from outside."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Doubling waits with a cap, each shortened by up to half at random.

    Without the jitter all peers of a node that restarts would dial it at the same moments.
    """

    def __init__(self, min_s: float, max_s: float, jitter: Callable[[], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._jitter = jitter
        self._next_s = min_s

    def reset(self) -> None:
        """The link was good: the next failure is a new story."""
        self._next_s = self._min_s

    def wait_s(self) -> float:
        """The wait before the next attempt; the one after is up to twice as long."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._max_s)
        return wait_s * (1 - self._jitter() / 2)
