"""The very same bytes again: what the state has undone meanwhile is not done by its old order."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger import sweep
from ledger.economy.compliance import Order
from ledger.objects import Used, load_all
from ledger.operations import Amend, Apply, LiftOrder, Reinstate, Revoke, Suspend
from ledger.reasons import Reason
from ledger.transaction import LIFETIME_MS_MAX, SignedTransaction
from tests.ledger.economy_world import EconomyWorld
from tests.ledger.test_compliance import frozen, order
from tests.ledger.world import PERIOD_MS, grant, key, sign, terms

Undone = Callable[[EconomyWorld], SignedTransaction]


def a_lifted_freeze(world: EconomyWorld) -> SignedTransaction:
    freeze = order(world)
    world.run(freeze)
    world.run(world.govern(LiftOrder("case-1", 1)))
    return freeze


def a_lift_before_another_order(world: EconomyWorld) -> SignedTransaction:
    world.run(order(world))
    lift = world.govern(LiftOrder("case-1", 1))
    world.run(lift)
    world.run(order(world, days=31))
    return lift


def a_revoked_application(world: EconomyWorld) -> SignedTransaction:
    """Applied for anew by somebody who is not to lose it."""
    world.run(world.spends("alice", Apply(grant("newco")), 0, "val0", "newco/operations"))
    revoke = world.govern(Revoke("newco", 0))
    world.run(revoke)
    world.run(world.spends("alice", Apply(grant("newco")), 0, "val0", "newco/operations"))
    return revoke


def evidence_of_which_the_accused_was_cleared(world: EconomyWorld) -> SignedTransaction:
    accuse = world.accuse("val1")
    world.run(accuse)
    world.end_epoch()
    world.run(world.govern(Reinstate("val1", 1)))
    return accuse


def on_a_promise_made_anew(
    world: EconomyWorld, make: Callable[[], SignedTransaction]
) -> SignedTransaction:
    begin_ms = world.clock_ms // PERIOD_MS * PERIOD_MS
    short = msgspec.structs.replace(
        terms("val0", name="short"),
        region="us-east",
        from_ms=begin_ms,
        to_ms=begin_ms + 2 * PERIOD_MS,
    )
    world.run(world.commits(short))
    made = make()
    world.run(made)
    world.until(short.to_ms + 1)
    later = msgspec.structs.replace(short, to_ms=begin_ms + 8 * PERIOD_MS)
    world.run(world.commits(later))
    return made


def an_amendment(world: EconomyWorld) -> SignedTransaction:
    def make() -> SignedTransaction:
        end_ms = world.clock_ms // PERIOD_MS * PERIOD_MS + 2 * PERIOD_MS
        signer = "val0/operations"
        wish = Amend("val0", key(signer).public, 0, 1, "short", 0, 2_000_000, end_ms)
        return world.does(wish, signer)

    return on_a_promise_made_anew(world, make)


def a_pledge(world: EconomyWorld) -> SignedTransaction:
    return on_a_promise_made_anew(world, lambda: world.pledges("val0", "short", "fresh", version=0))


@pytest.mark.parametrize(
    "undone",
    [
        a_lifted_freeze,
        a_lift_before_another_order,
        a_revoked_application,
        evidence_of_which_the_accused_was_cleared,
    ],
)
def test_what_was_undone_is_not_done_again_by_the_same_bytes(undone: Undone) -> None:
    """Until its last moment it is known, from the next on it is expired."""
    world = EconomyWorld()
    tx = undone(world)
    assert world.reason(tx) is Reason.ALREADY_FINAL
    left_ms = tx.body.expires_at_ms - world.time_ms
    assert world.reason(tx, after_ms=left_ms) is Reason.ALREADY_FINAL
    assert world.reason(tx, after_ms=left_ms + 1) is Reason.EXPIRED


def test_the_same_wish_in_other_bytes_is_another() -> None:
    """Who wants to freeze again signs again."""
    world = EconomyWorld()
    a_lifted_freeze(world)
    assert not frozen(world, "alice")
    world.run(order(world))
    assert frozen(world, "alice")


def test_one_block_takes_it_once() -> None:
    """Frozen, lifted, and the freeze again, all in one block."""
    world = EconomyWorld()
    freeze = order(world)
    lift = world.govern(LiftOrder("case-1", 1))
    assert world.reason(freeze, lift, freeze) is Reason.ALREADY_FINAL


def test_only_what_nothing_else_keeps_from_coming_again_is_remembered() -> None:
    """Not what spends, and not what takes a number of a lane."""
    world = EconomyWorld()
    suspend = world.govern(Suspend("val1", 0))
    world.run(world.minting(), world.transfer("alice", "bob"))
    world.run(suspend)
    assert remembered(world) == [Used(suspend.body.expires_at_ms, suspend.txid)]


@pytest.mark.parametrize("undone", [an_amendment, a_pledge])
def test_a_number_keeps_what_issuers_say_for_nothing_from_coming_again(undone: Undone) -> None:
    """Without a word in the state: whoever says it in each block makes the state no larger."""
    world = EconomyWorld()
    assert world.reason(undone(world)) is Reason.REPLAYED_OPERATION
    assert remembered(world) == []


def toggled(world: EconomyWorld, *lives_ms: int) -> list[Used]:
    """What is remembered of suspensions and their ends, by how long after now they live."""
    begin_ms, known = world.time_ms, []
    for version, life_ms in enumerate(lives_ms):
        wish = (Suspend, Reinstate)[version % 2]("val1", version)
        body = world.body(operations=[wish], life_ms=begin_ms + life_ms - world.time_ms)
        tx = sign(body, [], world.approvers(wish))
        world.run(tx)
        known.append(Used(body.expires_at_ms, tx.txid))
    return known


def remembered(world: EconomyWorld) -> list[Used]:
    return load_all(world.state, Used)


def test_what_is_expired_is_forgotten() -> None:
    """In the first block after its last moment, whatever was carried first."""
    world = EconomyWorld()
    late, soon, last = toggled(world, 50_000, 40_000, LIFETIME_MS_MAX)
    assert remembered(world) == [soon, late, last]
    world.run(after_ms=soon.expires_at_ms - world.time_ms)
    assert remembered(world) == [soon, late, last]
    world.run()
    assert remembered(world) == [late, last]
    world.run(after_ms=last.expires_at_ms - world.time_ms)
    assert remembered(world) == [last]


def test_deadlines_come_before_what_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block sweeps so many of both together; what is left over waits for the next."""
    monkeypatch.setattr(sweep, "SWEEP_OBJECTS_MAX", 3)
    world = EconomyWorld()
    known = toggled(world, 2_000, 3_000, 4_000)
    world.run(order(world, until_ms=world.time_ms + 100))  # counts for two, with its target
    world.run(after_ms=5_000)
    assert load_all(world.state, Order) == []
    assert remembered(world)[:-1] == known[1:]
    world.run()
    assert len(remembered(world)) == 1
