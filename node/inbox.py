"""Transactions that peers sent and that wait for a look: bounded, and fair between three kinds.

What a validator pushes for the first time shares one room. What a member sends again, because it
saw it passed over, has a room a member. What a follower forwards for its clients has a small room a
follower. The kinds take turns: whoever floods the one cannot drown the others.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ledger.mempool import RESENT_BYTES_MAX, RESENT_MAX
from p2p.gossip import read_batch

INBOX_BYTES_MAX = 8 << 20  # pushed for the first time; more is dropped
INBOX_ITEM_BYTES = 64  # what holding one costs beside its bytes, or tiny ones would fill the memory
RESENT_INBOX_BYTES_MAX = RESENT_BYTES_MAX + RESENT_MAX * INBOX_ITEM_BYTES  # a member, one round
FOLLOWER_INBOX_BYTES_MAX = 512 << 10
"""A follower: two of the largest batches. With 32 of them no more than twice the first room."""


class Kind(IntEnum):
    """Whose turn it is, in this order."""

    FIRST = 0
    AGAIN = 1
    FOLLOWER = 2


@dataclass(frozen=True, slots=True)
class Pushed:
    """One batch. `resent_by` is the key of the member that sends it again."""

    source: str
    raws: Sequence[bytes]
    resent_by: bytes | None = None
    from_follower: bool = False

    @property
    def kind(self) -> Kind:
        if self.from_follower:
            return Kind.FOLLOWER
        return Kind.FIRST if self.resent_by is None else Kind.AGAIN

    @property
    def room(self) -> tuple[Kind, str | bytes]:
        """What is bounded together."""
        if self.from_follower:
            return Kind.FOLLOWER, self.source
        return self.kind, b"" if self.resent_by is None else self.resent_by


class Inbox:
    """All queues; `dropped_bytes` counts what found no room: the sender sends it again."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        self._queues: tuple[deque[Pushed], ...] = tuple(deque() for _ in Kind)
        self._held_bytes: Counter[tuple[Kind, str | bytes]] = Counter()
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def put(
        self,
        source: str,
        payload: bytes,
        resent_by: bytes | None,
        *,
        from_follower: bool = False,
    ) -> None:
        """Keep a batch or drop it; raises Invalid when it is none."""
        pushed = Pushed(source, read_batch(payload), resent_by, from_follower)
        cost = _cost(pushed.raws)
        if self._held_bytes[pushed.room] + cost > _room_bytes_max(pushed.kind):
            self.dropped_bytes += len(payload)
            return
        self._queues[pushed.kind].append(pushed)
        self._held_bytes[pushed.room] += cost

    def take(self) -> Pushed | None:
        """The next batch, of all kinds in turn."""
        for _ in Kind:
            self._turn = (self._turn + 1) % len(Kind)
            queue = self._queues[self._turn]
            if queue:
                pushed = queue.popleft()
                self._held_bytes[pushed.room] -= _cost(pushed.raws)
                if not self._held_bytes[pushed.room]:
                    del self._held_bytes[pushed.room]  # followers come and go
                return pushed
        return None


def _room_bytes_max(kind: Kind) -> int:
    match kind:
        case Kind.FIRST:
            return INBOX_BYTES_MAX
        case Kind.AGAIN:
            return RESENT_INBOX_BYTES_MAX
        case Kind.FOLLOWER:
            return FOLLOWER_INBOX_BYTES_MAX


def _cost(raws: Sequence[bytes]) -> int:
    return sum(map(len, raws)) + INBOX_ITEM_BYTES * len(raws)
