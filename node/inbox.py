"""Transactions that peers sent and that wait for a look: bounded, and fair between two kinds.

What is pushed for the first time shares one room. What a member sends again, because it saw it
passed over, has a room a member, and every second turn: whoever floods the one cannot drown the
other.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.mempool import RESENT_BYTES_MAX, RESENT_MAX
from p2p.gossip import read_batch

INBOX_BYTES_MAX = 8 << 20  # pushed for the first time; more is dropped
INBOX_ITEM_BYTES = 64  # what holding one costs beside its bytes, or tiny ones would fill the memory
RESENT_INBOX_BYTES_MAX = RESENT_BYTES_MAX + RESENT_MAX * INBOX_ITEM_BYTES  # a member, one round


@dataclass(frozen=True, slots=True)
class Pushed:
    """One batch. `resent_by` is the key of the member that sends it again."""

    source: str
    raws: Sequence[bytes]
    resent_by: bytes | None


class Inbox:
    """Both queues; `dropped_bytes` counts what found no room: the sender sends it again."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        self._first: deque[Pushed] = deque()
        self._first_bytes = 0
        self._again: deque[Pushed] = deque()
        self._again_bytes: Counter[bytes] = Counter()
        self._turn_of_again = False

    def __len__(self) -> int:
        return len(self._first) + len(self._again)

    def put(self, source: str, payload: bytes, resent_by: bytes | None) -> None:
        """Keep a batch or drop it; raises Invalid when it is none."""
        pushed = Pushed(source, read_batch(payload), resent_by)
        cost = _cost(pushed.raws)
        if resent_by is None:
            held, limit = self._first_bytes, INBOX_BYTES_MAX
        else:
            held, limit = self._again_bytes[resent_by], RESENT_INBOX_BYTES_MAX
        if held + cost > limit:
            self.dropped_bytes += len(payload)
        elif resent_by is None:
            self._first.append(pushed)
            self._first_bytes += cost
        else:
            self._again.append(pushed)
            self._again_bytes[resent_by] += cost

    def take(self) -> Pushed | None:
        """The next batch, of both kinds in turn."""
        self._turn_of_again = not self._turn_of_again
        if self._again and (self._turn_of_again or not self._first):
            pushed = self._again.popleft()
            assert pushed.resent_by is not None
            self._again_bytes[pushed.resent_by] -= _cost(pushed.raws)
            return pushed
        if not self._first:
            return None
        pushed = self._first.popleft()
        self._first_bytes -= _cost(pushed.raws)
        return pushed


def _cost(raws: Sequence[bytes]) -> int:
    return sum(map(len, raws)) + INBOX_ITEM_BYTES * len(raws)
