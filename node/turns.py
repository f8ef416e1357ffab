"""Whose slice of admission is next, and how long clients will have to wait for theirs.

What one validator takes from its clients all others have to take from it. A node that gave its
clients as much time as its peers would fall behind what those push; as primary it would propose
little while the others hold full blocks. So while peers have something, clients have one slice for
one of each peer: the part of the network's load that they bring.

A client's request has a time of its own. How long what is at hand will take says whether another
one would end in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

SLICE_S = 0.002  # Python work between two awaits
START_S = 0.001
"""What a transaction takes, before one was measured."""
MEASURED_S = 1.0
"""Of work; what lies further back counts half, and half again."""

T = TypeVar("T")


class Turns:
    """One a node; everything runs on its event loop. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.peers = 1
        """How many others push what their clients bring."""
        self._clock = clock
        self._locks = {is_own: asyncio.Lock() for is_own in (False, True)}
        self._is_pushed = False
        self._owed = 0
        """Slices of peers before the next one of clients."""
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._at_hand = 0
        self._since_s = 0.0
        self._spent_s = START_S
        self._done = 1.0

    async def each(
        self,
        items: Iterable[T],
        do: Callable[[T], None],
        *,
        is_own: bool,
        after: Callable[[], None],
    ) -> None:
        """In slices, with `after` in each; then the loop and another request have their turn."""
        left = deque(items)
        while left:
            async with self._locks[is_own]:
                if is_own:
                    await self._is_free.wait()
                end_s = self._clock() + SLICE_S
                do(left.popleft())
                while left and self._clock() < end_s:
                    do(left.popleft())
                after()
                if not is_own:
                    self._owe(max(0, self._owed - 1))
                elif self._is_pushed:
                    self._owe(self.peers)
                await asyncio.sleep(0)

    def pushed(self, *, is_pushed: bool) -> None:
        """Whether peers have anything."""
        self._is_pushed = is_pushed
        if not is_pushed:
            self._owe(0)

    def came(self, count: int) -> None:
        """So many transactions in a client's request."""
        if not self._at_hand:
            self._since_s = self._clock()
        self._at_hand += count

    def done(self, count: int) -> None:
        """So many of them were looked at."""
        now_s = self._clock()
        self._spent_s += now_s - self._since_s
        self._since_s = now_s
        self._done += count
        if self._spent_s > MEASURED_S:
            self._spent_s /= 2
            self._done /= 2
        self._at_hand -= count

    def broken_off(self, count: int) -> None:
        """So many never will be."""
        self._at_hand -= count

    def wait_s(self) -> float:
        """How long what clients brought will take, by the pace of late."""
        return self._at_hand * self._spent_s / self._done

    def _owe(self, slices: int) -> None:
        self._owed = slices
        if slices:
            self._is_free.clear()
        else:
            self._is_free.set()
