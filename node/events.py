"""Who listens to what becomes final, and when each gets a turn; what changed of late.

There is no queue. A listener has a height up to which it was told; what lies above it is read from
the store, or from the changes of the last blocks that are held here, which no store keeps. So a
slow listener costs no memory: it falls behind, and whoever is too far behind is told of a gap.

One service gives the turns, some at a time, and rests between them for a multiple of what they
took: a thousand listeners take a bounded share of the event loop. A block that comes alone is told
at once; of blocks that come fast some are told together, for to write costs more than what is
written. Without listeners a block costs a note of the keys that it changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from ledger.economy.redemption import Redemption

REPLAY_BLOCKS_MAX = 512
"""So far back a listener is told of single events, and so far it may fall behind: ten seconds of
full blocks, an hour and more of an idle chain."""
RECENT_BYTES_MAX = 8 * 1024 * 1024
"""Of the changes that are held."""
RECENT_KEY_BYTES = 96
"""What holding a change costs beside its bytes."""
BLOCKS_A_TURN = 32
"""Told to one listener before others have their turn."""
ROUND_S = 0.1
"""From the beginning of one round of turns to the next: no eye sees less, and 25 blocks a second
cost ten writes."""
TURNS_AT_ONCE = 32
"""Between two looks at other work: about 1 ms."""
REST_FACTOR = 3
"""After some turns others have the loop for so many times as long: listeners take a quarter."""


class Final(Protocol):
    """The part of a final block that is held."""

    @property
    def objects(self) -> Mapping[bytes, bytes | None]: ...


class Tip(Protocol):
    """The part of a chain that is asked."""

    @property
    def height(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Change:
    """An object that a block made, changed or removed. `value` is held of orders alone."""

    key: bytes
    is_removed: bool
    value: bytes | None


class Listener:
    """One stream. `height`: everything up to it was told, or was said to be a gap."""

    __slots__ = ("_turn", "height", "is_gone")

    def __init__(self, height: int) -> None:
        self.height = height
        self.is_gone = False
        self._turn: asyncio.Future[None] | None = None

    @property
    def waits(self) -> bool:
        return self._turn is not None

    def leave(self) -> None:
        """Its connection ended."""
        self.is_gone = True
        self.wake()

    def wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Until somebody wakes it; at most so long."""
        loop = asyncio.get_running_loop()
        self._turn = loop.create_future()
        alarm = loop.call_later(seconds, self.wake)  # a tenth of what asyncio.timeout costs
        try:
            await self._turn
        finally:
            alarm.cancel()
            self._turn = None


class Events:
    """All listeners of one node. Belongs to the event loop."""

    def __init__(self, chain: Tip) -> None:
        self.is_closed = False
        self.gaps = 0
        """Told since the start."""
        self._chain = chain
        self._listeners: set[Listener] = set()
        self._news = asyncio.Event()
        self._may_go_on = asyncio.Event()
        """With the next round: some time after the last, or at once for who lacks more than a turn
        tells."""
        self._recent: deque[tuple[Change, ...]] = deque()
        """Of the last blocks up to the tip."""
        self._recent_bytes = 0

    def __len__(self) -> int:
        return len(self._listeners)

    # What became final.

    def publish(self, blocks: Iterable[Final]) -> None:
        """These are the last blocks of the chain now, in their order."""
        for block in blocks:
            changes = tuple([_change(key, value) for key, value in block.objects.items()])
            self._recent.append(changes)
            self._recent_bytes += _cost(changes)
        while self._recent and (
            len(self._recent) > REPLAY_BLOCKS_MAX or self._recent_bytes > RECENT_BYTES_MAX
        ):
            self._recent_bytes -= _cost(self._recent.popleft())
        if self._listeners:
            self._news.set()

    @property
    def first_recent(self) -> int:
        """The lowest height whose changes are held; above the tip where none is."""
        return self._chain.height + 1 - len(self._recent)

    def changes(self, height: int) -> tuple[Change, ...] | None:
        """Of one block, by key; None where they are not held."""
        place = height - self.first_recent
        return self._recent[place] if 0 <= place < len(self._recent) else None

    # Who listens.

    def join(self, height: int) -> Listener:
        listener = Listener(height)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def turn(self, listener: Listener, seconds: float) -> None:
        """Wait until it is this listener's turn, or the end; at most so long."""
        if self.is_closed or listener.is_gone:
            return
        lacks = self._chain.height - listener.height
        if lacks:
            self._news.set()
        if lacks > BLOCKS_A_TURN:
            self._may_go_on.set()
        await listener.sleep(seconds)

    async def run(self) -> None:
        """Give turns to all who wait and have not been told everything."""
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            self._may_go_on.clear()
            next_round = loop.call_later(ROUND_S, self._may_go_on.set)
            for some in self._due():
                begun_s = time.thread_time()
                for listener in some:
                    listener.wake()
                await asyncio.sleep(0)
                await asyncio.sleep(REST_FACTOR * (time.thread_time() - begun_s))
            await self._may_go_on.wait()
            next_round.cancel()

    def close(self) -> None:
        """Let all end what they send."""
        self.is_closed = True
        for listener in self._listeners:
            listener.wake()

    def _due(self) -> Iterator[list[Listener]]:
        due = [item for item in self._listeners if item.waits]
        for start in range(0, len(due), TURNS_AT_ONCE):
            some = due[start : start + TURNS_AT_ONCE]
            yield [item for item in some if item.height != self._chain.height]


def _change(key: bytes, value: bytes | None) -> Change:
    return Change(key, value is None, value if key[0] == Redemption.TYPE else None)


def _cost(changes: tuple[Change, ...]) -> int:
    return sum([RECENT_KEY_BYTES + len(item.key) + len(item.value or b"") for item in changes])
