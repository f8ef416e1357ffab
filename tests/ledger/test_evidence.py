"""Evidence: two votes that no honest member signs both, and what they cost their signer."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger import membership
from ledger.economy.licence import Cause, Licence, LicenceState, Seat
from ledger.epochs import Epoch
from ledger.execution import FREE_PER_IDENTITY_MAX
from ledger.genesis import GenesisBond
from ledger.membership import EVIDENCE_EPOCHS
from ledger.operations import Admit, EndEpoch, Evidence, Reinstate, Suspend, WindDown
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import EconomyWorld, lasting
from tests.ledger.faults import judge
from tests.ledger.world import COIN, DAY_MS, TIME_MS, World, grant, key, make_genesis, sign

replace = msgspec.structs.replace
HEIGHT = 9
CLOCK_MS = TIME_MS + 5
GRANT = grant("new")


def refused(world: World, tx: SignedTransaction) -> Invalid:
    with pytest.raises(Invalid) as caught:
        judge(world, tx.raw)
    return caught.value


def reason_of(run: Callable[[], object]) -> Reason:
    with pytest.raises(Invalid) as caught:
        run()
    return caught.value.reason


def licence(state: LicenceState = LicenceState.ACTIVE, seat: Seat = Seat.NONE) -> Licence:
    return Licence(GRANT, state, 3, seat, 5, TIME_MS, Cause.NONE, (), 0, 0)


def epoch(number: int = 20) -> Epoch:
    return Epoch(number, 70, b"\7" * 32, TIME_MS, False, (), ())


def accused(item: Evidence, held: Licence) -> Licence:
    return membership.accuse(item, held, epoch(), clock_ms=CLOCK_MS, height=HEIGHT)


@pytest.mark.parametrize("seat", Seat)
@pytest.mark.parametrize("state", LicenceState)
def test_evidence_against_every_state_and_seat(state: LicenceState, seat: Seat) -> None:
    """An active one is accused until the boundary; one that is suspended or winds down is
    suspended for this at once, and loses seat or wish; the others are judged already."""
    item, held = World().evidence("new", epoch=20), licence(state, seat)

    def run() -> Licence:
        return accused(item, held)

    losing = {Seat.WAITING: Seat.NONE, Seat.READY: Seat.NONE, Seat.SEATED: Seat.LEAVING}
    if state is LicenceState.ACTIVE:
        assert run() == replace(held, state=LicenceState.ACCUSED, evidence_from=21)
    elif state in (LicenceState.SUSPENDED, LicenceState.WINDDOWN):
        after = run()
        assert (after.state, after.cause) == (LicenceState.SUSPENDED, Cause.EVIDENCE)
        assert (after.since_ms, after.version) == (CLOCK_MS, held.version)
        wound_ms = held.since_ms if state is LicenceState.WINDDOWN else 0
        assert (after.evidence_from, after.winding_since_ms) == (21, wound_ms)
        assert after.seat is losing.get(seat, seat)
        assert after.seat_height == (HEIGHT if seat in losing else held.seat_height)
        assert reason_of(lambda: accused(item, after)) is Reason.LICENCE_INACTIVE
    else:
        assert reason_of(run) is Reason.LICENCE_INACTIVE


@pytest.mark.parametrize("voted", [9, 10, 20, 21])
def test_votes_count_for_ten_epochs(voted: int) -> None:
    """In epoch 20 those of 10 to 20, and none of 9 or 21."""
    item = World().evidence("new", epoch=voted)
    if voted in (10, 20):
        accused(item, licence())
    else:
        found = reason_of(lambda: accused(item, licence()))
        assert found is Reason.WRONG_EPOCH
    assert EVIDENCE_EPOCHS == 10


def test_an_offender_is_suspended_and_leaves_at_the_boundary() -> None:
    """Accused it approves on and mints nothing; from the boundary it does neither."""
    world = World(make_genesis(7))
    world.advance([world.accuse("val2")])
    assert world.licence("val2").state is LicenceState.ACCUSED
    members = [f"val{index}/operations" for index in (3, 0, 1, 2, 4)]
    assert refused(world, world.mint("val2")).reason is Reason.LICENCE_INACTIVE
    last = world.advance([world.govern(EndEpoch(0), approvers=members)]).header.height
    held = world.licence("val2")
    assert (held.state, held.cause, held.seat) == (
        LicenceState.SUSPENDED,
        Cause.EVIDENCE,
        Seat.NONE,
    )
    assert (held.version, held.seat_height) == (1, last)
    assert "val2" not in world.seats
    assert len(world.seats) == 6
    assert refused(world, world.mint("val2")).reason is Reason.LICENCE_INACTIVE


def test_an_offender_waits_for_its_turn_to_leave() -> None:
    """Of four nobody can leave: it is suspended, its seat waits for somebody to join."""
    world = World()
    world.advance([world.accuse("val3")])
    world.end_epoch()
    held = world.licence("val3")
    assert (held.state, held.seat) == (LicenceState.SUSPENDED, Seat.LEAVING)
    assert "val3" in world.seats
    assert refused(world, world.accuse("val3")).reason is Reason.LICENCE_INACTIVE


def test_who_winds_down_does_not_escape_its_evidence() -> None:
    """Suspended for it at once: not closed though none of its coins is left, its bond stays, and
    its seat goes with the epoch."""
    good = lasting(make_genesis(5))
    bond = GenesisBond("val3", "val0", COIN)
    world = EconomyWorld(replace(good, bonds=(*good.bonds, bond)))
    signer = "val3/operations"
    world.run(world.does(WindDown("val3", key(signer).public, 0), signer))
    world.run(world.accuse("val3"))
    held = world.licence("val3")
    assert (held.state, held.cause) == (LicenceState.SUSPENDED, Cause.EVIDENCE)
    assert (held.since_ms, held.seat) == (world.clock_ms, Seat.LEAVING)
    assert world.reason(world.withdraws("val3", "val0")) is Reason.LICENCE_INACTIVE
    world.next_period()
    assert world.licence("val3").state is LicenceState.SUSPENDED
    world.end_epoch()
    assert "val3" not in world.seats


def test_a_suspension_by_an_authority_becomes_one_for_evidence() -> None:
    """Its time runs anew, and nobody ended it: revoked instead of active again."""
    world = EconomyWorld()
    world.run(world.govern(Suspend("val0", 0)))
    world.until(world.clock_ms + 100 * DAY_MS, world.accuse("val0"))
    since_ms = world.licence("val0").since_ms
    assert since_ms == world.clock_ms
    assert world.reason(world.accuse("val0", view=3)) is Reason.LICENCE_INACTIVE
    world.until(since_ms + 180 * DAY_MS)
    assert world.licence("val0").state is LicenceState.SUSPENDED
    world.run()
    assert world.licence("val0").state is LicenceState.REVOKED


def test_evidence_does_not_prolong_a_suspension_for_a_bond() -> None:
    """It ends the licence when it would have: nobody gains time by accusing itself."""
    held = replace(licence(LicenceState.SUSPENDED), cause=Cause.BOND)
    after = accused(World().evidence("new", epoch=20), held)
    assert (after.state, after.cause) == (LicenceState.SUSPENDED, Cause.EVIDENCE)
    assert after.since_ms == held.since_ms < CLOCK_MS


def test_a_reinstatement_signed_before_an_accusation_does_not_forgive_it() -> None:
    """Evidence is another version: what was signed for another suspension says nothing of it."""
    world = EconomyWorld()
    world.run(world.govern(Suspend("val1", 0)))
    old = world.govern(Reinstate("val1", 1))
    world.run(world.accuse("val1"))
    assert world.licence("val1").version == 2
    world.end_epoch()
    assert world.reason(old) is Reason.WRONG_VERSION
    world.run(world.govern(Reinstate("val1", 2)))
    assert world.licence("val1").state is LicenceState.ACTIVE


def test_who_was_reinstated_answers_for_later_epochs_only() -> None:
    """Votes need no signature but their own, so anybody can carry them again in other bytes: what
    was judged is done with, a renewed licence included; what it does from now on is not."""
    world = EconomyWorld()
    judged = world.evidence("val1")
    world.run(world.does(judged))
    world.end_epoch()
    world.run(world.govern(Reinstate("val1", 1)))
    assert world.licence("val1").state is LicenceState.ACTIVE
    assert world.reason(world.does(judged)) is Reason.WRONG_EPOCH
    assert world.reason(world.accuse("val1", epoch=0, view=5)) is Reason.WRONG_EPOCH
    world.run(world.govern(Admit(grant("val1"), 2)))
    assert world.reason(world.does(judged)) is Reason.WRONG_EPOCH
    world.run(world.accuse("val1", epoch=1))
    assert world.licence("val1").state is LicenceState.ACCUSED


def test_nobody_is_reinstated_in_the_epoch_of_the_accusation() -> None:
    """Its seat votes until the end of it: nothing is forgiven in advance. What it does with a seat
    that is not free yet, in the epoch in which it is reinstated, is not forgiven either."""
    world = EconomyWorld()
    world.run(world.govern(Suspend("val1", 0)))
    world.run(world.accuse("val1"))
    assert world.licence("val1").seat is Seat.LEAVING
    assert world.reason(world.govern(Reinstate("val1", 2))) is Reason.WRONG_EPOCH
    world.end_epoch()
    later = world.accuse("val1", epoch=1)
    world.end_epoch()
    assert world.licence("val1").seat is Seat.LEAVING
    world.run(world.govern(Reinstate("val1", 2)))
    assert world.reason(world.accuse("val1", epoch=0)) is Reason.WRONG_EPOCH
    assert world.reason(later) is Reason.WRONG_EPOCH
    world.run(world.accuse("val1", epoch=2))
    assert world.licence("val1").state is LicenceState.ACCUSED


def test_who_wound_down_goes_on_with_it_once_reinstated() -> None:
    """As of when it began; it is closed as before, and mints nothing in between."""
    world = EconomyWorld(lasting(make_genesis(5)))
    signer = "val3/operations"
    world.run(world.does(WindDown("val3", key(signer).public, 0), signer))
    since_ms = world.clock_ms
    world.run(world.accuse("val3"))
    world.end_epoch()
    world.run(world.govern(Reinstate("val3", 2)))
    held = world.licence("val3")
    assert (held.state, held.since_ms) == (LicenceState.WINDDOWN, since_ms)
    world.next_period()
    assert world.licence("val3").state is LicenceState.CLOSED


def test_anybody_may_send_evidence_beside_a_payment() -> None:
    """It needs no signature of its own; the one of the coin's owner is the only one."""
    world = World()
    paid = world.transfer("alice", "bob").body
    tx = sign(replace(paid, operations=(world.evidence("val1"),)), ["alice"])
    world.advance([tx])
    assert world.licence("val1").state is LicenceState.ACCUSED


def test_an_offender_cannot_crowd_out_the_evidence_against_it() -> None:
    """Its own free transactions fill its quota; evidence and others' mints pass."""
    world = World()
    execution = world.execution()
    for number in range(FREE_PER_IDENTITY_MAX):
        execution.add(world.mint("val0", 1, number=number))
    late = world.mint("val0", 1, number=FREE_PER_IDENTITY_MAX)
    with pytest.raises(Invalid) as caught:
        execution.add(late)
    assert caught.value.reason is Reason.FREE_QUOTA
    for tx in (world.accuse("val0"), world.mint("val1", COIN)):
        execution.add(tx)
