"""Orders for compute in the model: what happens to them, and what they do to hours and coins.

As in `model`, nothing is shared with the rules. An order is kept under its id because deadlines of
one moment fall due in that order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.economy.model import Model
from tests.economy.model_pace import hear
from tests.economy.model_values import (
    DAY_MS,
    HOUR_MS,
    OPEN,
    PPM,
    Ask,
    Conduct,
    Place,
    Quarrel,
)

MISSED = {"requested": "lapsed", "accepted": "failed"}
"""What becomes of an order that its issuer let down."""
ENDS = {"queued": "cancelled", "ready": "settled", "closing": "settled", **MISSED}
ASKED_MAX = 64
"""Of a queue, in one block."""
OPEN_MAX = 4_096
DOUBLED_BY = 256
"""Of one commitment."""
LEAST = 10_000
"""The smallest order and the smallest deposit."""
HOURS_MAX = 2**40
"""µh of one order."""


class Orders(Model):
    """A model in which orders fall due."""

    # What is free.

    def fits(self, place: Place, hours: int, end: int) -> bool:
        """Each later window, and this one, is served as well, whoever ends first goes first."""
        held, period = self.commitments[place], self.times.period
        windows = [
            (item.end // period, item.kept)
            for item in self.asks.values()
            if item.place == place and item.kept and item.end // period > self.now
        ]
        windows.append((end // period, hours))
        for last in {last for last, _ in windows if last >= end // period}:
            wanted = sum(kept for window, kept in windows if window <= last)
            there = sum(self.figure(held, at) for at in range(self.now, last))
            gone = min(held.served.get(self.now, 0), self.figure(held, self.now))
            if wanted > there - gone:
                return False
        return True

    def is_promised(self, place: Place) -> bool:
        """Whether a commitment counts now, the end of its schedule looked at."""
        held = self.commitments.get(place)
        if held is None or held.state not in ("live", "contested"):
            return False
        return held.state == "contested" or self.clock <= held.end

    def better(self, item: Ask) -> None:
        """At what a coin brings now, where that is more."""
        held = self.commitments.get(item.place)
        if held is None:
            return
        factor = min(item.factor, self.factors[held.line[1], item.work])
        if item.amount * PPM <= HOURS_MAX * factor:
            item.factor, item.units = factor, max(item.units, self.units[item.work])

    # What orders do to coins.

    def deliver(self, item: Ask, total: int) -> int:
        """Up to so many µ in all; how many are delivered by it: as many as its coins can pay."""
        name, coin = item.place[0], self.coins[item.place[0]]
        covered, outstanding = coin.share if coin.share[1] else (1, 1)
        fresh = max(0, min(total - item.burned, item.left * covered // outstanding))
        if not fresh:
            return 0
        cost = -(-fresh * outstanding // covered)
        coin.supply -= cost
        coin.claims += cost - fresh
        if cost > fresh:
            place = (name, item.refund)
            self.claims[place] = self.claims.get(place, 0) + cost - fresh
        item.claimed += cost - fresh
        item.burned += fresh
        held = self.commitments.get(item.place)
        if held is not None:
            gone = held.served.get(self.now, 0) + fresh * PPM // item.factor
            held.served = {self.now: gone}
        self.touched.add(name)
        return fresh

    # Deadlines.

    def moment(self, item: Ask) -> int | None:
        """When it goes on by itself."""
        if item.state not in OPEN:
            return max(item.since + HOUR_MS, item.start) if item.paid else item.since
        return {
            "queued": item.queue,
            "requested": item.since + self.times.accept,
            "accepted": item.start,
            "ready": item.end,
            "active": item.end,
            "closing": item.since + self.times.closing,
            "disputed": None,
        }[item.state]

    def further_ends(self) -> list[tuple[int, int, bytes, Callable[[], None]]]:
        ends: list[tuple[int, int, bytes, Callable[[], None]]] = []
        for order, item in self.asks.items():
            moment = self.moment(item)
            if moment is not None:
                ends.append((moment, 9, order, partial(self._order_is_due, order)))
        for order, quarrel in self.quarrels.items():
            moment = quarrel.decided or quarrel.since + self.times.contest
            ends.append((moment, 10, order, partial(self._quarrel_is_due, order)))
        for place in {item.place for item in self.asks.values() if item.state == "queued"}:
            asked = partial(self._ask_queue, place)
            ends.append((self.asked[place], 20, "\0".join(place).encode(), asked))
        return ends

    def _order_is_due(self, order: bytes) -> None:
        item = self.asks[order]
        if item.paid:
            del self.asks[order]
        elif item.state not in OPEN:
            item.paid = True
        elif item.state == "active":
            item.state, item.since = "closing", item.end
        else:
            self._end_order(item, ENDS[item.state], missed=item.state in MISSED)

    def _end_order(self, item: Ask, state: str, *, missed: bool) -> None:
        item.state, item.since, item.paid = state, self.clock, True
        if missed:
            self._strike(item)

    def _strike(self, item: Ask) -> None:
        name, clock = item.place[0], self.clock
        held = self.conduct.setdefault(name, Conduct(0, 0, clock, 0, 0, 0))
        forgiven = min(held.strikes, (clock - held.since) // self.times.forgive)
        held.strikes -= forgiven
        held.since += forgiven * self.times.forgive
        if not held.strikes:
            held.since = clock
        if not held.strikes or held.period != self.now:
            held.strikes, held.period = held.strikes + 1, self.now
        bond = self.coins[name].bond
        if held.day != clock // DAY_MS or not held.most:
            held.day, held.most, held.paid = clock // DAY_MS, sum(bond.values()) // 10, 0
        share = min(self.times.penalty * 2 ** (held.strikes - 1), self.times.penalty_max)
        held.paid += self.slash(name, min(item.amount * share // PPM, held.most - held.paid))

    def _quarrel_is_due(self, order: bytes) -> None:
        item, quarrel = self.asks[order], self.quarrels.pop(order)
        upheld = sum(quarrel.votes.values()) >= 3
        if upheld and quarrel.by_issuer:
            self.deliver(item, quarrel.claimed)
        dismissed = len(quarrel.votes) - sum(quarrel.votes.values()) >= 3
        missed = dismissed if quarrel.by_issuer else upheld
        self._end_order(item, "ruled", missed=missed)

    def _ask_queue(self, place: Place) -> None:
        """First come, first served; who does not fit lets others pass. Where more wait than are
        asked at once, the next block goes on."""
        turn = self.turns.get(place, 0)
        waiting = [x for x in self.asks.values() if x.place == place and x.state == "queued"]
        due = [item for item in waiting if item.turn >= turn]
        for item in due[:ASKED_MAX]:
            in_time = self.clock <= item.queue and self.is_promised(place)
            if not in_time:
                continue
            before = item.factor, item.units
            self.better(item)
            if self.fits(place, item.hours, item.end):
                item.state, item.since = "requested", self.clock
            else:
                item.factor, item.units = before
        if due[ASKED_MAX:]:
            self.turns[place] = due[ASKED_MAX].turn
        else:
            self.turns[place], self.asked[place] = 0, self.period_end

    @property
    def period_end(self) -> int:
        return (self.now + 1) * self.times.period - 1

    def begin_batch(self) -> None:
        """Claims on whom all is covered of return; what a coin of the others brings is read."""
        for name, coin in self.coins.items():
            is_bad = coin.solvency in ("deficit", "caged")
            if coin.claims and not is_bad and coin.supply + coin.claims <= coin.reserve:
                coin.supply, coin.claims = coin.supply + coin.claims, 0
                self.claims = {at: due for at, due in self.claims.items() if at[0] != name}
                self.touched.add(name)
            is_short = is_bad and coin.supply > coin.reserve
            coin.share = (coin.reserve, coin.supply) if is_short else (0, 0)


class OrderActions(Orders):
    """What holders, issuers and panels do with orders: each says whether it may, and does it."""

    def redeem(
        self, order: bytes, owner: str, place: Place, work: str, amount: int,
        session: str, start: int, end: int, queue: int,
    ) -> bool:  # fmt: skip
        held, lead = self.commitments.get(place), self.times.accept + self.times.period
        if held is None or not self.is_promised(place) or work not in held.workloads:
            return False
        if not self.clock + lead <= start < end <= self.clock + 168 * self.times.period:
            return False
        mine = [x for x in self.asks.values() if x.place == place and x.state in OPEN]
        least = LEAST * 2 ** (len(mine) // DOUBLED_BY)
        if end % self.times.period or amount < least or order in self.asks:
            return False
        if queue and not self.clock <= queue <= start - lead:
            return False
        factor = self.factors[held.line[1], work]
        units = self.units[work]
        item = Ask(
            *(place, work, amount, session, owner, factor, units, start, end, queue),
            *("requested", self.clock),
        )
        waiting = [x for x in mine if x.state == "queued"]
        if item.hours > HOURS_MAX:
            return False
        if waiting or not self.fits(place, item.hours, end):
            item.state = "queued"
            if not queue:
                return False
        if len(mine) >= OPEN_MAX or not self.spend(owner):
            return False
        item.turn = max((x.turn for x in waiting), default=self.turns.get(place, 0)) + 1
        if item.state == "queued" and not waiting:
            self.asked[place] = self.period_end
        self.asks[order] = item
        return True

    def found(self, order: bytes, issuer: str, *states: str) -> Ask | None:
        """An order of this issuer in one of these states and in time."""
        item = self.asks.get(order)
        if item is None or item.place[0] != issuer or item.state not in states:
            return None
        moment = self.moment(item)
        if order in self.quarrels:
            quarrel = self.quarrels[order]
            moment = quarrel.decided or quarrel.since + self.times.contest
        return item if moment is None or self.clock <= moment else None

    def has_role(self, issuer: str, role: str, key: str) -> bool:
        item = self.licences.get(issuer)
        return item is not None and item.keys[role] == key

    def cancel(self, order: bytes, issuer: str, key: str) -> bool:
        item = self.found(order, issuer, "queued", "requested")
        if item is None or key != item.session:
            return False
        item.state, item.since = "cancelled", self.clock
        return True

    def accept(self, order: bytes, issuer: str, key: str) -> bool:
        return self._serve(self.found(order, issuer, "requested"), "accepted", key)

    def get_ready(self, order: bytes, issuer: str, key: str, endpoint: str) -> bool:
        item = self.found(order, issuer, "accepted")
        return bool(endpoint) and self._serve(item, "ready", key)

    def _serve(self, item: Ask | None, state: str, key: str) -> bool:
        if item is None or not self.has_role(item.place[0], "operations", key):
            return False
        self.better(item)
        item.state, item.since = state, self.clock
        return True

    def post(
        self, order: bytes, issuer: str, key: str, session: str, said: tuple[int, int, int]
    ) -> bool:
        item = self.found(order, issuer, "ready", "active", "closing", "disputed")
        if item is None or session != item.session:
            return False
        number, delivered, used = said
        if number <= item.number or delivered <= item.burned or used < item.used:
            return False
        if delivered > item.amount or not self.has_role(issuer, "metering", key):
            return False
        wanted, before = delivered - item.burned, (item.factor, item.units)
        if item.state == "ready":
            self.better(item)
        fresh = self.deliver(item, delivered)
        if not fresh:
            item.factor, item.units = before
            return False
        time = (used - item.used) * fresh // wanted
        hear(self, item, fresh, time)
        item.number, item.used = number, item.used + time
        if item.state == "ready":
            item.state, item.since = "active", self.clock
        return True

    def close(self, order: bytes, issuer: str, key: str) -> bool:
        item = self.found(order, issuer, "ready", "active")
        if item is None:
            return False
        by_issuer = item.state == "active" and self.has_role(issuer, "metering", key)
        if key != item.session and not by_issuer:
            return False
        item.state, item.since = "closing", self.clock
        return True

    def dispute(
        self, order: bytes, issuer: str, key: str, claimed: int,
        owner: str, coin: str, deposit: int, panel: tuple[str, ...],
    ) -> bool:  # fmt: skip
        item = self.found(order, issuer, "closing")
        if item is None:
            return False
        by_issuer = key != item.session
        if by_issuer and not self.has_role(issuer, "metering", key):
            return False
        if by_issuer and not item.burned < claimed <= item.burned + item.left:
            return False
        if not by_issuer and claimed > item.burned:
            return False
        about = claimed - item.burned if by_issuer else item.amount
        needed = max(LEAST, (about * self.times.deposit + PPM - 1) // PPM)
        if not self.is_sound(coin) or deposit < needed or len(panel) < 3:
            return False
        if not self.spend(owner):
            return False
        self.quarrels[order] = Quarrel(by_issuer, claimed, coin, deposit, self.clock, panel)
        item.state, item.since = "disputed", self.clock
        return True

    def rule_order(self, name: str, order: bytes, *, upheld: bool) -> bool:
        item = self.quarrels.get(order)
        if item is None or name not in self.attestors or name not in item.panel:
            return False
        if self.clock > (item.decided or item.since + self.times.contest):
            return False
        others = {self.groups[other] for other in item.votes.keys() & self.attestors}
        if item.decided or name in item.votes or self.groups[name] in others:
            return False
        item.votes[name] = upheld
        yes = sum(item.votes.values())
        if max(yes, len(item.votes) - yes) >= 3:
            item.decided = self.clock
        return True

    def spend(self, owner: str) -> bool:
        """Whether no order of the authorities holds an owner's coins."""
        return all(owner not in item.targets for item in self.orders.values())
