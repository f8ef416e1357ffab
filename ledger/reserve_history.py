"""How issuers stood in the past, as this node saw it: samples for charts, on which nothing rests.

The state holds the present alone, and no header says what backed a coin. So whoever runs a node
writes a line about all issuers from time to time, beside the chain: a quarter of a period apart or
more, the newest `SAMPLES_MAX`. A node that took a snapshot has none from before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from msgspec import Meta

from ledger import codec, schema
from ledger.codec import AmountOrZero, Slug, UInt, Wire
from ledger.economy.reserve import Reserve, Solvency, ratio_ppm
from ledger.kv import KeyValue
from ledger.membership import LICENCES_EVER_MAX
from ledger.objects import load_all, load_one
from ledger.parameters import Parameters
from ledger.schema import DamagedChain
from ledger.view import View

SAMPLES_MAX = 10_000
"""A hundred days of periods of an hour; of an issuer each takes some 50 bytes."""
SAMPLES_A_PERIOD = 4
SPACING_MS_MIN = 10_000
"""However short a period is."""
SAMPLE_BYTES_MAX = 64 + LICENCES_EVER_MAX * 80


class IssuerSample(Wire, frozen=True):
    """One issuer's coin: outstanding, reserve and what of it falls due in 7 days, in µ."""

    issuer: Slug
    supply: AmountOrZero
    reserve: AmountOrZero
    deliverable: AmountOrZero
    solvency: Solvency

    @property
    def coverage_ppm(self) -> int:
        return ratio_ppm(self.reserve, self.supply)

    @property
    def deliverability_ppm(self) -> int:
        return ratio_ppm(self.deliverable, self.supply)


class ReserveSample(Wire, frozen=True):
    """All issuers after a block, by issuer."""

    height: UInt
    time_ms: UInt
    """Of its header."""
    issuers: Annotated[tuple[IssuerSample, ...], Meta(max_length=LICENCES_EVER_MAX)]

    @classmethod
    def of(cls, view: View) -> ReserveSample:
        """As things are after the last block of a view."""
        header = view.head.header
        held = sorted(load_all(view, Reserve), key=lambda item: item.issuer)
        lines = [
            IssuerSample(x.issuer, x.supply, x.reserve, x.deliverable, x.solvency) for x in held
        ]
        return cls(header.height, header.time_ms, tuple(lines))


class ReserveHistory:
    """The samples of one store. One owner: whoever appends blocks."""

    __slots__ = ("_kv", "_times")

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv
        rows = kv.scan(schema.SAMPLE, limit=SAMPLES_MAX + 1)
        self._times = deque([int.from_bytes(key[1:], "big") for key, _ in rows])

    def __len__(self) -> int:
        return len(self._times)

    def is_due(self, view: View) -> bool:
        """Whether the last sample is old enough for another, by header time."""
        every_ms = load_one(view, Parameters).period_ms // SAMPLES_A_PERIOD
        time_ms = view.head.header.time_ms
        return not self._times or time_ms - self._times[-1] >= max(every_ms, SPACING_MS_MIN)

    def keep(self, view: View) -> None:
        """Write a sample of now, which is due; the oldest goes for it where there are enough."""
        made = ReserveSample.of(view)
        assert not self._times or made.time_ms > self._times[-1]
        full = len(self._times) - SAMPLES_MAX + 1
        dropped = list(islice(self._times, max(full, 0)))
        key = schema.sample_key(made.time_ms)
        self._kv.write({key: codec.encode_payload(made)}, map(schema.sample_key, dropped))
        for _ in dropped:
            self._times.popleft()
        self._times.append(made.time_ms)

    def between(self, since_ms: int, until_ms: int, points: int) -> Iterator[ReserveSample]:
        """At most so many samples from one moment to another, evenly spread over what there is."""
        times = list(self._times)
        chosen = times[bisect_left(times, since_ms) : bisect_left(times, until_ms + 1)]
        count = min(points, len(chosen))
        for number in range(count):
            place = number * (len(chosen) - 1) // max(count - 1, 1)
            yield self._read(chosen[place])

    def _read(self, time_ms: int) -> ReserveSample:
        data = self._kv.get(schema.sample_key(time_ms))
        if data is None:
            raise DamagedChain(f"the sample of the reserve at {time_ms} is missing")
        what = f"the sample of the reserve at {time_ms}"
        return schema.read_payload(data, ReserveSample, size_max=SAMPLE_BYTES_MAX, what=what)
