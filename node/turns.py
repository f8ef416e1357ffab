"""Whose slice of admission is next, and how long clients will have to wait for theirs.

What one validator takes from its clients all others have to take from it. A node that gave its
clients as much time as its peers would fall behind what those push; as primary it would propose
little while the others hold full blocks. So while there is something of peers to look at, clients
have one slice, then peers have as many as there are other validators.

A request has to be answered in time. How long what is at hand will take, and since when more waits
than a block holds, says whether this node should take another one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

SLICE_S = 0.002  # Python work between two awaits
START_S = 0.001
"""What a transaction takes, before one was measured."""
MEASURED_S = 1.0
"""What lies so far back counts half, and half again."""
DONE_MIN = 0.01
"""However long nothing was done."""

T = TypeVar("T")


class Turns:
    """One a node; everything runs on its event loop. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.peers = 1
        """How many others push what their clients bring."""
        self._clock = clock
        self._locks = {is_own: asyncio.Lock() for is_own in (False, True)}
        self._pushing = 0
        """Readers of what peers pushed that have something to look at."""
        self._owed = 0
        """Slices of peers before the next one of clients."""
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._at_hand = 0
        self._since_s = 0.0
        self._spent_s = START_S
        self._done = 1.0
        self._new = 0
        self._full_since_s: float | None = None

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
                elif self._pushing:
                    self._owe(self.peers)
                await asyncio.sleep(0)

    @contextmanager
    def pushing(self) -> Iterator[None]:
        """While a reader has something of peers to look at."""
        self._push(1)
        try:
            yield
        finally:
            self._push(-1)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Within `pushing`: while something else than this loop looks at it."""
        self._push(-1)
        try:
            yield
        finally:
            self._push(1)

    @contextmanager
    def request(self, count: int) -> Iterator[Callable[[], None]]:
        """A client's, of so many transactions: to be called with each that was looked at."""
        left = count
        if not self._at_hand and not self._new:  # else a request that ends has not noted its time
            self._since_s = self._clock()
        self._at_hand += count

        def looked_at() -> None:
            nonlocal left
            left -= 1
            self._at_hand -= 1
            self._new += 1

        try:
            yield looked_at
        finally:
            self._note_pace(self._clock())
            self._at_hand -= left

    def look(self, *, full_block_waits: bool) -> None:
        """To be called after each block and before `wait_s`."""
        if not full_block_waits:
            self._full_since_s = None
        elif self._full_since_s is None:
            self._full_since_s = self._clock()

    def wait_s(self) -> float:
        """How long what clients brought will take, by the pace of late; or since when more waits
        than a block holds, if that is longer."""
        now_s = self._clock()
        full_s = 0.0 if self._full_since_s is None else now_s - self._full_since_s
        if not self._at_hand:
            return full_s
        self._note_pace(now_s)
        return max(full_s, self._at_hand * self._spent_s / self._done)

    def _note_pace(self, now_s: float) -> None:
        """What was looked at in the time since the last note, in which something was at hand."""
        passed_s, self._since_s = now_s - self._since_s, now_s
        kept = 0.5 ** (passed_s / MEASURED_S)
        self._spent_s = self._spent_s * kept + passed_s
        self._done = max(self._done * kept + self._new, DONE_MIN)
        self._new = 0

    def _push(self, change: int) -> None:
        self._pushing += change
        if not self._pushing:
            self._owe(0)

    def _owe(self, slices: int) -> None:
        self._owed = slices
        if slices:
            self._is_free.clear()
        else:
            self._is_free.set()
