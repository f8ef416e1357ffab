"""Random walks over all that may happen to orders; after each block everything adds up.

Each order has a refund lock of its own, so that its coins can be followed: what moved in was
burned, is claimed, was paid back, or lies in it still. It ends once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from ledger.economy.dispute import Dispute
from ledger.economy.redemption import Redemption
from ledger.economy.residual import ResidualClaim
from ledger.objects import load, load_all
from ledger.operations import Burn
from ledger.reasons import Invalid
from ledger.times import HOUR_MS
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import lasting, short_lived, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.world import COIN, PERIOD_MS, lock_of, make_genesis

STEPS = 150
LONG = 240
"""Steps of a walk until all orders have ended, at most."""


@dataclass
class Followed:
    """An order that the walk asked for, as it was seen last."""

    number: int
    id: bytes
    amount: int
    seen: Redemption | None = None
    receipts: int = 0

    @property
    def session(self) -> str:
        return f"session {self.number}"

    @property
    def lock(self) -> bytes:
        return lock_of(f"refund {self.number}")


@dataclass
class Walk:
    """Acts drawn by a seed, and the coins of each order."""

    world: RedemptionWorld
    random: Random
    orders: list[Followed] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """What was carried and what was refused, by name."""

    # Acts.

    def step(self) -> None:
        name = self.random.choice(list(ACTS))
        tx = ACTS[name](self)
        if tx is None:
            return
        try:
            self.world.execution(1).add(tx)
        except Invalid as refused:
            self.done[refused.reason.value] += 1
            return
        self.world.run(tx)
        self.done[name] += 1
        self.check()

    def asks(self) -> SignedTransaction:
        number = len(self.orders)
        begins = self.world.clock_ms // PERIOD_MS * PERIOD_MS
        start = self.random.randint(13, 40)
        asked = self.world.asks(
            self.random.choice([10_000, self.random.randint(10_000, 15 * COIN), 9 * COIN]),
            f"session {number}",
            workload=self.random.choice(["training", "inference"]),
            refund_lock=lock_of(f"refund {number}"),
            start_by_ms=begins + start * PERIOD_MS,
            end_ms=begins + (start + self.random.randint(1, 9)) * PERIOD_MS,
            queue_until_ms=self.random.choice([0, begins + PERIOD_MS, begins + 2 * PERIOD_MS]),
        )
        tx = self.world.redeems(asked)
        try:
            self.world.execution(1).add(tx)
        except Invalid:
            return tx
        self.orders.append(Followed(number, self.world.id_of(asked), asked.amount))
        return tx

    def one(self) -> tuple[Followed, Redemption] | None:
        """Any order that is not forgotten; mostly one that is open."""
        there = [item for item in self.orders if load(self.world.state, Redemption, item.id)]
        is_open = [item for item in there if not self.world.order(item.id).has_ended]
        if not there:
            return None
        item = self.random.choice(is_open if is_open and self.random.random() < 0.9 else there)
        return item, self.world.order(item.id)

    def cancels(self) -> SignedTransaction | None:
        found = self.one()
        return found and self.world.cancels(found[0].id, found[0].session)

    def accepts(self) -> SignedTransaction | None:
        found = self.one()
        return found and self.world.accepts(found[0].id)

    def readies(self) -> SignedTransaction | None:
        found = self.one()
        return found and self.world.readies(found[0].id)

    def posts(self) -> SignedTransaction | None:
        """A little, much, all, or nothing new."""
        found = self.one()
        if found is None:
            return None
        item, held = found
        item.receipts += 1
        most = max(1, held.remaining)
        more = self.random.choice([1, self.random.randint(1, most), most, most // 2 + 1, 0])
        delivered = max(1, held.burned + more)
        return self.world.posts(self.world.receipt(item.id, item.receipts, delivered), item.session)

    def closes(self) -> SignedTransaction | None:
        found = self.one()
        return found and self.world.closes(
            found[0].id, self.random.choice([found[0].session, "val0/metering"])
        )

    def disputes(self) -> SignedTransaction | None:
        found = self.one()
        if found is None:
            return None
        item, held = found
        if self.random.random() < 0.5:
            return self.world.disputes(item.id, COIN, signer=item.session, claimed=held.burned)
        claimed = self.random.randint(held.burned, held.amount)
        return self.world.disputes(item.id, COIN, signer="val0/metering", claimed=claimed)

    def rules(self) -> SignedTransaction | None:
        opened = load_all(self.world.state, Dispute)
        if not opened:
            return None
        held = self.random.choice(opened)
        upheld = held.order[0] % 2 == 0
        return self.world.rules(held.order, self.random.choice(held.panel), upheld=upheld)

    def burns(self) -> SignedTransaction:
        amount = self.random.randint(1, 40 * COIN)
        return self.world.spends("alice", Burn(self.world.asset(), amount), amount)

    def waits(self) -> None:
        """A few seconds, to the next period, or to a moment round a deadline."""
        clock_ms = self.world.clock_ms
        ahead = [clock_ms + self.random.randint(2, 9_000), clock_ms + 20 * PERIOD_MS]
        ahead.append((clock_ms // PERIOD_MS + 1) * PERIOD_MS)
        self.world.until(self.random.choice(ahead))
        self.check()

    # What holds after each block.

    def check(self) -> None:
        for item in self.orders:
            now = load(self.world.state, Redemption, item.id)
            if item.seen is not None and item.seen.has_ended:
                self.has_ended_once(item.seen, now)
            if now is None:
                assert item.seen is None or item.seen.is_paid
                continue
            item.seen = now
            assert now.amount == item.amount
        for item in self.orders:
            if item.seen is not None:
                burned, held = item.seen.burned, item.seen.held
                found = self.claim_of(item) + self.paid_to(item)
                assert burned + held + found == item.amount, item

    def has_ended_once(self, before: Redemption, now: Redemption | None) -> None:
        assert now is None or (now.state, now.since_ms) == (before.state, before.since_ms)
        assert now is None or (now.burned, now.residual) == (before.burned, before.residual)
        assert now is None or now.is_paid >= before.is_paid

    def claim_of(self, item: Followed) -> int:
        held = load(self.world.state, ResidualClaim, ResidualClaim.identity("val0", item.lock))
        return 0 if held is None else held.amount

    def paid_to(self, item: Followed) -> int:
        return self.world.amount_of(f"refund {item.number}")


Act = Callable[[Walk], SignedTransaction | None]
ACTS: dict[str, Act] = {
    "asks": Walk.asks,
    "asks more": Walk.asks,
    "cancels": Walk.cancels,
    "accepts": Walk.accepts,
    "accepts more": Walk.accepts,
    "readies": Walk.readies,
    "readies more": Walk.readies,
    "posts": Walk.posts,
    "posts more": Walk.posts,
    "closes": Walk.closes,
    "disputes": Walk.disputes,
    "disputes more": Walk.disputes,
    "rules": Walk.rules,
    "rules more": Walk.rules,
    "burns": Walk.burns,
    "waits": Walk.waits,
}


def covered() -> RedemptionWorld:
    return RedemptionWorld(with_economy(lasting(make_genesis(), 30), contest_ms=HOUR_MS))


def in_deficit() -> RedemptionWorld:
    """By three per cent: burning cures it, hours that pass bring it back."""
    return RedemptionWorld(with_economy(short_lived().genesis, contest_ms=HOUR_MS))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [covered, in_deficit])
def test_no_coin_of_an_order_is_lost_or_made(
    make: Callable[[], RedemptionWorld], seed: int
) -> None:
    """All acts in any order; then time alone ends every order, and pays each back once."""
    walk = Walk(make(), Random(f"orders {seed}"))
    for _ in range(STEPS):
        walk.step()
    for _ in range(LONG):
        if not any(not held.is_paid for held in load_all(walk.world.state, Redemption)):
            break
        walk.world.until(walk.world.clock_ms + 10 * PERIOD_MS)
        walk.check()
    assert all(item.seen is not None and item.seen.is_paid for item in walk.orders)
    assert walk.world.book() is None
    assert load_all(walk.world.state, Dispute) == []
