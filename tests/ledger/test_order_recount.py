"""The recount of orders finds what the rules would never do: each claim, falsified once."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cache

import msgspec
import pytest

from ledger.codec import Wire, encode
from ledger.economy.book import Book, Kept, Place
from ledger.economy.dispute import Dispute
from ledger.economy.redemption import Redemption, RedemptionState
from ledger.economy.reserve import Reserve
from ledger.economy.residual import ResidualClaim
from ledger.economy.throughput import Throughput
from ledger.errors import InvariantBroken
from ledger.invariants import recount
from ledger.objects import key_of, load_all
from tests.ledger.economy_world import short_lived
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.world import COIN, PERIOD_MS, MemoryState, lock_of

replace = msgspec.structs.replace
S = RedemptionState


@cache
def built() -> RedemptionWorld:
    """In deficit: an order that is disputed and left a claim, one that waits, one that ended."""
    world = RedemptionWorld(short_lived(1).genesis)
    order = world.active_order(COIN, COIN // 10)
    world.run(world.closes(order))
    world.run(world.disputes(order, COIN))
    cancelled = world.requested(COIN, "cancelled")
    world.run(world.cancels(cancelled, "cancelled"))
    world.run()
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    world.requested(14 * COIN, "waits", queue_until_ms=begins + PERIOD_MS)
    return world


def worked() -> RedemptionWorld:
    world = copy(built())
    world.state = world.state.copy()
    return world


def test_a_worked_state_recounts() -> None:
    world = worked()
    found = sorted(held.state for held in load_all(world.state, Redemption))
    assert found == [S.QUEUED, S.DISPUTED, S.CANCELLED]
    assert world.reserve().residual > 0
    recount(world.state, world.state.outputs.items())


def change(stored: MemoryState, kind: type[Wire], identity: bytes, /, **changes: object) -> None:
    """The object of that identity, changed behind the rules' back."""
    where = key_of(kind, identity)
    held = next(item for item in load_all(stored, kind) if encode(item) == stored.stored[where])
    stored.stored[where] = encode(replace(held, **changes))


def change_order(stored: MemoryState, of: RedemptionState, /, **changes: object) -> None:
    held = next(item for item in load_all(stored, Redemption) if item.state is of)
    change(stored, Redemption, held.id, **changes)


def change_book(state: MemoryState, **changes: object) -> None:
    change(state, Book, load_all(state, Book)[0].key, **changes)


def drop_first(state: MemoryState, kind: type[Wire]) -> None:
    del state.stored[min(key for key in state.stored if key.startswith(key_of(kind)))]


def burned_beyond(state: MemoryState) -> None:
    """More is gone of an order than was in it; what it lacks an ended one seems to hold."""
    change_order(state, S.QUEUED, burned=14 * COIN, residual=COIN)
    change_order(state, S.CANCELLED, amount=15 * COIN, is_paid=False)


def kept_too_many(state: MemoryState) -> None:
    book = load_all(state, Book)[0]
    first = book.kept[0]
    change_book(state, kept=(Kept(first.period, first.microhours + 1), *book.kept[1:]))


def kept_elsewhere(state: MemoryState) -> None:
    first = load_all(state, Book)[0].kept[0]
    change_book(state, kept=(Kept(first.period + 1, first.microhours),))


def kept_nothing(state: MemoryState) -> None:
    """Without the hours of the book's orders; those of past periods do not matter."""
    change_book(state, kept=(Kept(1, 1),))


def strange_book(state: MemoryState) -> None:
    made = Book.empty("val1", "capacity-val1")
    state.stored[key_of(Book, made.key)] = encode(made)


def strange_place(state: MemoryState) -> None:
    key = load_all(state, Book)[0].key
    state.stored[key_of(Place, Place.identity(key, 7))] = encode(Place(bytes(32)))


def swapped_place(state: MemoryState) -> None:
    """The place is there, and another order's."""
    drop_first(state, Place)
    key = load_all(state, Book)[0].key
    state.stored[key_of(Place, Place.identity(key, 0))] = encode(Place(bytes(32)))


def orphaned_claim(state: MemoryState) -> None:
    """On an issuer that there is not."""
    made = ResidualClaim("nobody", lock_of("bob"), 1)
    state.stored[key_of(ResidualClaim, ResidualClaim.identity("nobody", made.lock))] = encode(made)


def misplaced(state: MemoryState) -> None:
    """Who waits says another place than it has."""
    change_order(state, S.QUEUED, place=3)


def out_of_dispute(state: MemoryState) -> None:
    change_order(state, S.DISPUTED, state=S.CLOSING)


def richer_claim(state: MemoryState) -> None:
    claim = load_all(state, ResidualClaim)[0]
    identity = ResidualClaim.identity(claim.issuer, claim.lock)
    change(state, ResidualClaim, identity, amount=claim.amount + 1)


def strange_claim(state: MemoryState) -> None:
    made = ResidualClaim("val1", lock_of("bob"), 1)
    state.stored[key_of(ResidualClaim, ResidualClaim.identity("val1", made.lock))] = encode(made)


def told(state: MemoryState, device_class: str, amount: int, at: str = "") -> None:
    """Of training, under its own name or another one."""
    made = Throughput(device_class, "training", amount, COIN)
    where = at.encode() if at else made.identity
    state.stored[key_of(Throughput, where)] = encode(made)


def richer_reserve(state: MemoryState) -> None:
    held = next(item for item in load_all(state, Reserve) if item.issuer == "val0")
    change(state, Reserve, held.asset, residual=held.residual + 1)


@pytest.mark.parametrize(
    ("falsify", "says"),
    [
        (burned_beyond, "^order "),
        (lambda state: change_order(state, S.QUEUED, is_paid=True), "supply equation"),
        (lambda state: change_order(state, S.CANCELLED, is_paid=False), "supply equation"),
        (lambda state: change_order(state, S.DISPUTED, burned=1), "supply equation"),
        (kept_too_many, "keeps {"),
        (kept_elsewhere, "keeps {"),
        (kept_nothing, "keeps {"),
        (lambda state: change_order(state, S.DISPUTED, microhours=COIN + 1), "keeps {"),
        (lambda state: change_book(state, orders=3), "counts 3 orders, 2 are"),
        (lambda state: drop_first(state, Book), "orders without a book"),
        (strange_book, "without orders"),
        (lambda state: drop_first(state, Place), "waits without it"),
        (strange_place, "is nobody's"),
        (misplaced, "is nobody's"),
        (swapped_place, "is nobody's"),
        (lambda state: change_book(state, places=0), "given twice"),
        (lambda state: change_book(state, queued=2), "2 wait for"),
        (out_of_dispute, "in dispute without one"),
        (lambda state: drop_first(state, ResidualClaim), "0 are held"),
        (richer_claim, "of claims"),
        (strange_claim, "reserve of 'val1': 0 of claims, 1 are held"),
        (orphaned_claim, "reserve of 'nobody': 0 of claims, 1 are held"),
        (richer_reserve, "of claims"),
        (lambda state: told(state, "gpu-24g", COIN), "what receipts told"),
        (lambda state: told(state, "gpu-80g", 0), "what receipts told"),
        (lambda state: told(state, "gpu-80g", COIN, "gpu-80g\0video"), "what receipts told"),
    ],
)
def test_each_falsified_claim_is_found(falsify: Callable[[MemoryState], None], says: str) -> None:
    """One claim of a good state is changed behind the rules' back."""
    world = worked()
    falsify(world.state)
    with pytest.raises(InvariantBroken, match=says):
        recount(world.state, world.state.outputs.items())


def test_a_lost_dispute_is_found() -> None:
    """With its deposit, which the supply equation would miss first, paid out elsewhere."""
    world = worked()
    held = load_all(world.state, Dispute)[0]
    drop_first(world.state, Dispute)
    outpoint, entry = next(
        (point, item) for point, item in world.state.outputs.items() if item.asset == held.asset
    )
    world.state.outputs[outpoint] = replace(entry, amount=entry.amount + held.deposit)
    with pytest.raises(InvariantBroken, match="in dispute without one"):
        recount(world.state, world.state.outputs.items())


def test_an_order_that_is_paid_and_goes_on_is_found() -> None:
    """Nothing is left in it: the supply equation holds."""
    world = worked()
    change_order(world.state, S.CANCELLED, state=S.CLOSING)
    with pytest.raises(InvariantBroken, match="is_paid=True"):
        recount(world.state, world.state.outputs.items())
