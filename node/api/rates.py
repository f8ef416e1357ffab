"""How much one address may ask for: a bucket of tokens each, filled at a steady rate.

A route costs tokens by its weight, of which one is about half a millisecond of the event loop.
What submits transactions costs none: there are limits of its own for bodies, requests at once, the
pool and each sender in it. This machine's own addresses share one wide bucket: its clients are its
owner's, or a reverse proxy that counts by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

RATE = 400
"""Tokens a second of one address: a fifth of the loop."""
BURST_S = 5
"""A bucket holds what comes in so many seconds: an explorer that opens, a client that pages."""
LOOPBACK_RATE = 10_000
"""Of all that comes over loopback: more than a node can answer, so it only shields from a loop that
went wild after it has run for seconds."""
ADDRESSES_MAX = 4_096
"""Of which the buckets are kept; the one that asked longest ago is forgotten, and so forgiven."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Rates:
    """The buckets of one listener. `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float], rate: int = RATE) -> None:
        self.refused = 0
        self._clock = clock
        self._rate = rate
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, weight: int) -> float:
        """Pay for a request; 0, or after how many seconds it may come again. Nothing is paid then.

        `address` is empty for this machine itself.
        """
        if not weight:
            return 0.0
        rate = self._rate if address else LOOPBACK_RATE
        now_s, bucket = self._clock(), self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(rate * BURST_S, now_s)
            if len(self._buckets) > ADDRESSES_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(address)
        filled = min(rate * BURST_S, bucket.tokens + (now_s - bucket.at_s) * rate)
        bucket.at_s = now_s
        if filled < weight:
            bucket.tokens = filled
            self.refused += 1
            return (weight - filled) / rate
        bucket.tokens = filled - weight
        return 0.0
