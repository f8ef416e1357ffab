"""Virtual time: what is due next happens next; of equal times, what was planned first."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class Timeline:
    """Milliseconds since the start of the simulation, and everything that is planned."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._planned: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Plan an action; one of the past happens now, after what is due already."""
        self._count += 1
        heappush(self._planned, (max(time_ms, self.now_ms), self._count, action))

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.at(self.now_ms + delay_ms, action)

    def step(self) -> None:
        """The next action; there is always one, because nodes tick."""
        self.now_ms, _, action = heappop(self._planned)
        action()
