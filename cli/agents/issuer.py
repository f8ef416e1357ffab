"""An issuer by itself: keeps its schedules long, and opens the devices that are drawn."""

from __future__ import annotations

from collections.abc import Iterator

from cli.agents.seen import Seen
from ledger.economy.schedule import HORIZON_MS_MAX
from ledger.economy.spot_audit import OPENED_MAX
from ledger.operations import Amend, OpenDevices, Operation

RENEW_MS = 24 * 3_600_000
"""A schedule that lost a day of its 365 is made longer again."""


class IssuerAgent:
    """One issuer of a devnet. `kept` are ids of the commitments that it keeps long."""

    def __init__(self, name: str, public: bytes, kept: frozenset[str]) -> None:
        self.name = name
        self._public = public
        self._kept = kept

    def decide(self, seen: Seen) -> list[Operation]:
        """What it would have on the chain now, each in a transaction of its own."""
        return [*self._amend(seen), *self._open(seen)]

    def _amend(self, seen: Seen) -> Iterator[Operation]:
        """Each in a lane of its own: a lane takes one operation a block."""
        latest = seen.now_ms + HORIZON_MS_MAX
        numbers = seen.numbers.get(self.name, {})
        kept = [x for x in seen.commitments if x.issuer == self.name and x.id in self._kept]
        for lane, item in enumerate(kept):
            to_ms = min(latest, item.from_ms + HORIZON_MS_MAX)
            to_ms -= to_ms % seen.period_ms
            if item.state != "void" and to_ms - item.to_ms >= RENEW_MS:
                yield Amend(
                    self.name,
                    self._public,
                    lane,
                    numbers.get(lane, 0),
                    item.id,
                    item.version,
                    int(item.microhours),
                    to_ms,
                )

    def _open(self, seen: Seen) -> Iterator[Operation]:
        for (period, issuer), item in sorted(seen.drawn.items()):
            if issuer == self.name:
                chosen = sorted(map(bytes.fromhex, item.drawn))[item.opened :][:OPENED_MAX]
                yield OpenDevices(self.name, self._public, period, item.opened, tuple(chosen))
