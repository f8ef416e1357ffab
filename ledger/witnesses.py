"""NEW-VIEWs that this node entered a view with, kept beside the first block of the view.

Blocks and certificates show that a chain forked, never who lied over a change of views: that takes
the NEW-VIEW behind the first vote that contradicts. Every honest member that votes in a view keeps
the one that it entered with before it votes, so whenever a fork has an honest signer on each side
it can be explained. What a node keeps is bytes to this module; `consensus` reads them.

Bounds: `WITNESSES_MAX` messages and `WITNESSES_BYTES_MAX` bytes; the oldest go first. The new and
what goes for it are one synced batch.
"""

from __future__ import annotations

from hashlib import sha256

from ledger import schema
from ledger.kv import KeyValue
from ledger.schema import DamagedChain

WITNESSES_MAX = 1_024
"""Changes of view. A chain that works has few; one that was stuck for a night changes once a
minute."""
WITNESSES_BYTES_MAX = 64 * 1024 * 1024
"""Of all messages together: with four validators one has about 8 KiB, with 32 about 200 KiB."""
WITNESS_BYTES_MAX = 1024 * 1024
"""Of one, as a link takes it."""


class Witnesses:
    """The table and what it holds in all. One owner: whoever votes."""

    __slots__ = ("_kv", "_sizes")

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv
        self._sizes: dict[bytes, int] = {}  # by key, ascending
        for key, value in kv.scan(schema.WITNESS, limit=WITNESSES_MAX + 1):
            self._sizes[key] = schema.read_number(value, 4, "the size of a kept NEW-VIEW")

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        """Of all kept messages."""
        return sum(self._sizes.values())

    def keep(self, height: int, view: int, message: bytes) -> None:
        """Before the first vote in `view`, which begins at `height`. Durable on return.

        A primary may have shown two messages for one view, before and after a restart: both stay.
        """
        assert 0 < len(message) <= WITNESS_BYTES_MAX
        digest = sha256(message).digest()
        key = schema.witness_key(height, view, digest)
        if key in self._sizes:
            return
        sizes = dict(sorted([*self._sizes.items(), (key, len(message))]))
        dropped = []
        while len(sizes) > WITNESSES_MAX or sum(sizes.values()) > WITNESSES_BYTES_MAX:
            oldest = next(iter(sizes))
            del sizes[oldest]
            dropped += [oldest, schema.new_view_key(oldest[-len(digest) :])]
        size = len(message).to_bytes(4, "big")
        puts = {key: size, schema.new_view_key(digest): message} if key in sizes else {}
        self._kv.write(puts, dropped)
        self._sizes = sizes

    def between(self, low: int, high: int) -> list[bytes]:
        """The messages whose view begins at a height from `low` to `high`, ascending."""
        found = []
        for key in self._sizes:
            height = int.from_bytes(key[1:9], "big")
            if low <= height <= high:
                message = self._kv.get(schema.new_view_key(key[17:]))
                if message is None:
                    raise DamagedChain(f"a NEW-VIEW kept for height {height} is missing")
                found.append(message)
        return found
