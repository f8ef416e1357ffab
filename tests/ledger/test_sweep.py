"""Deadlines: what falls due, when exactly, in which order, and how much of it in one block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ledger import sweep as rules
from ledger.draft import Draft
from ledger.economy.attestor import Attestor
from ledger.economy.capacity import CapacityCommitment, CommitmentState, Device
from ledger.economy.challenge import Challenge
from ledger.economy.compliance import Freeze, Order
from ledger.economy.due import (
    DEVICE_CLOCK,
    HEADER_TIME,
    LEDGER_CLOCK,
    Due,
    DueKind,
    due_clock,
)
from ledger.economy.licence import Cause, Licence, LicenceState, Seat
from ledger.economy.regulator import Regulator, RegulatorChange, RegulatorKeys
from ledger.economy.reserve import Reserve, Solvency
from ledger.economy.spot_audit import Opening
from ledger.objects import LedgerClock
from ledger.operations import FreezeOrder
from ledger.registers import (
    CHALLENGES,
    COMMITMENTS,
    DEVICES,
    LICENCES,
    OPENINGS,
    ORDERS,
    REGULATORS,
    RESERVES,
    Register,
)
from ledger.sweep import SWEEP_OBJECTS_MAX, sweep
from tests.ledger.economy_world import EconomyWorld
from tests.ledger.world import DAY_MS, PERIOD_MS, TIME_MS, World, device, grant, key, lock_of, terms

replace = msgspec.structs.replace
WORLD = World()
"""Never changed: every test drafts on it."""
LATE_MS = TIME_MS + 400 * DAY_MS
"""After every deadline of genesis."""


def draft_at(clock_ms: int, time_ms: int | None = None, world: World = WORLD) -> Draft:
    draft = Draft(world.state, world.time_ms if time_ms is None else time_ms)
    draft.put(LedgerClock(clock_ms))
    return draft


def dues(draft: Draft) -> list[Due]:
    return draft.all(Due)


def _licence(state: LicenceState, cause: Cause = Cause.NONE) -> Licence:
    grant_ = replace(grant("new", validator=False), expires_ms=LATE_MS)
    return Licence(grant_, state, 1, Seat.NONE, 0, TIME_MS, cause, (), 0, 0)


def _commitment(state: CommitmentState, name: str = "x", days: int = 30) -> CapacityCommitment:
    made = replace(terms("val0", name=name, days=days), region="us-east")
    return CapacityCommitment(made, state, 0, TIME_MS, 0, 0, (), 0, 0, 0, 0)


def _reserve(**changes: Any) -> Reserve:
    return replace(Reserve.empty(WORLD.asset("new"), "new", TIME_MS), supply=5, **changes)


ECONOMY = WORLD.genesis.parameters.economy
KEYS = RegulatorKeys(1, (key("reg-9").public,))
Row = tuple[str, Register[Any], Any, bytes, int, Callable[[Any], Any], Any, Any]
# What it is, its register and object, its deadline; how it is looked at; before and after.
ROWS: list[Row] = [
    (
        "application",
        LICENCES,
        _licence(LicenceState.APPLIED),
        b"new",
        TIME_MS + 30 * DAY_MS,
        lambda item: item and item.state,
        LicenceState.APPLIED,
        None,
    ),
    (
        "licence",
        LICENCES,
        _licence(LicenceState.ACTIVE),
        b"new",
        LATE_MS,
        lambda item: item.state,
        LicenceState.ACTIVE,
        LicenceState.WINDDOWN,
    ),
    *(
        (
            f"suspension ({cause.name.lower()})",
            LICENCES,
            _licence(LicenceState.SUSPENDED, cause),
            b"new",
            TIME_MS + 180 * DAY_MS,
            lambda item: item.state,
            LicenceState.SUSPENDED,
            after,
        )
        for cause, after in (
            (Cause.REGULATOR, LicenceState.ACTIVE),
            (Cause.VALIDATORS, LicenceState.ACTIVE),
            (Cause.EVIDENCE, LicenceState.REVOKED),
            (Cause.BOND, LicenceState.REVOKED),
        )
    ),
    (
        "regulator",
        REGULATORS,
        Regulator(1, WORLD.genesis.regulator, (RegulatorChange(KEYS, LATE_MS),)),
        b"",
        LATE_MS,
        lambda item: item.keys,
        WORLD.genesis.regulator,
        KEYS,
    ),
    (
        "deficit",
        RESERVES,
        _reserve(solvency=Solvency.DEFICIT),
        WORLD.asset("new"),
        TIME_MS + 7 * DAY_MS,
        lambda item: item.solvency,
        Solvency.DEFICIT,
        Solvency.CAGED,
    ),
    (
        "proposal",
        COMMITMENTS,
        _commitment(CommitmentState.PROPOSED),
        CapacityCommitment.identity("val0", "x"),
        TIME_MS + 7 * DAY_MS,
        lambda item: item is not None,
        True,
        False,
    ),
    (
        "proposal for a day",
        COMMITMENTS,
        _commitment(CommitmentState.PROPOSED, days=1),
        CapacityCommitment.identity("val0", "x"),
        TIME_MS + DAY_MS,
        lambda item: item is not None,
        True,
        False,
    ),
    *(
        (
            f"commitment ({state.name.lower()})",
            COMMITMENTS,
            _commitment(state),
            CapacityCommitment.identity("val0", "x"),
            TIME_MS + 30 * DAY_MS,
            lambda item: item is not None,
            True,
            False,
        )
        for state in (CommitmentState.LIVE, CommitmentState.VOID)
    ),
    (
        "device",
        DEVICES,
        Device(device("x"), "val0", "nothing", 0, LATE_MS, 0, 0),
        device("x"),
        LATE_MS,
        lambda item: item is not None,
        False,
        False,
    ),
    (
        "opening",
        OPENINGS,
        Opening(7, "val0", bytes(32), 1, 0, LATE_MS),
        Opening.identity(7, "val0"),
        LATE_MS,
        lambda item: item is not None,
        True,
        False,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
@pytest.mark.parametrize("late_ms", [0, 1])
def test_a_deadline_is_met_at_its_moment_and_over_right_after(row: Row, late_ms: int) -> None:
    """Read without the sweep, and stored by it: the same, once, and no deadline stays behind."""
    _, register, held, identity, moment, look, before, after = row
    draft = draft_at(moment + late_ms)
    for due in dues(draft):  # of genesis: what is looked at is alone
        draft.remove(Due, due.identity)
    register.put(draft, held)
    assert [due.deadline_ms for due in dues(draft)] == [moment]
    wanted = after if late_ms else before
    assert look(register.get(draft, identity)) == wanted
    sweep(draft)
    assert look(register.get(draft, identity)) == wanted
    if not late_ms:
        assert [due.deadline_ms for due in dues(draft)] == [moment]
        assert draft.load(register.kind, identity) == held
        return
    assert all(due.deadline_ms >= moment for due in dues(draft))
    stored = draft.load(register.kind, identity)
    assert stored == register.get(draft, identity)
    sweep(draft)
    assert draft.load(register.kind, identity) == stored


@pytest.mark.parametrize("late_ms", [0, 1])
def test_orders_follow_the_calendar_and_challenges_the_ledger_clock(late_ms: int) -> None:
    """Each clock moves its own kinds and no other."""
    for clock_late, header_late in ((late_ms, 0), (0, late_ms)):
        draft = draft_at(LATE_MS + clock_late, LATE_MS + header_late)
        for due in dues(draft):
            draft.remove(Due, due.identity)
        lock = lock_of("alice")
        ORDERS.put(draft, Order("case", bytes(32), (lock,), LATE_MS, 1))
        challenge = Challenge(
            issuer="val0",
            commitment="capacity-val0",
            asset=WORLD.asset("val1"),
            deposit=5,
            penalty=5,
            refund_lock=lock,
            since_ms=LATE_MS - ECONOMY.contest_ms,
            panel=(),
            votes=(),
            decided_ms=0,
        )
        CHALLENGES.put(draft, challenge)
        outputs = sweep(draft)
        assert [item.amount for item in outputs] == [5] * clock_late
        assert (draft.load(Order, b"case") is None) == bool(header_late)
        assert len(draft.all(Challenge)) == 1 - clock_late


def test_every_kind_of_deadline_has_a_register_and_a_clock() -> None:
    """None is forgotten by the sweep or by these tests."""
    registers = (
        LICENCES,
        REGULATORS,
        RESERVES,
        COMMITMENTS,
        CHALLENGES,
        DEVICES,
        OPENINGS,
        ORDERS,
    )
    orders = {DueKind.REDEMPTION, DueKind.DISPUTE, DueKind.QUEUE}
    assert {item.due for item in registers} | orders == set(DueKind)
    clocks = {kind: due_clock(kind) for kind in DueKind}
    assert clocks.pop(DueKind.ORDER) == HEADER_TIME
    assert clocks.pop(DueKind.DEVICE) == DEVICE_CLOCK
    assert set(clocks.values()) == {LEDGER_CLOCK}


def test_the_first_deadline_comes_first_then_kind_then_identity() -> None:
    """Keys of deadlines stand in the order in which they are swept."""
    made = [
        Due(moment, kind, name)
        for moment in (1, 255, 256, 1 << 40)
        for kind in DueKind
        if due_clock(kind) == LEDGER_CLOCK
        for name in (b"", b"a", b"b")
    ]
    assert [due.identity for due in made] == sorted(due.identity for due in made)


def test_an_object_has_one_deadline_whatever_it_was_before() -> None:
    """Stored again with another one, or with none, the old one is gone."""
    draft = draft_at(TIME_MS)
    start = len(dues(draft))
    for state, count in (
        (LicenceState.ACTIVE, 1),
        (LicenceState.SUSPENDED, 1),
        (LicenceState.WINDDOWN, 0),
        (LicenceState.APPLIED, 1),
    ):
        LICENCES.put(draft, _licence(state))
        assert len(dues(draft)) == start + count
    LICENCES.remove(draft, b"new")
    assert len(dues(draft)) == start


# How much in one block.


@pytest.mark.parametrize("count", [SWEEP_OBJECTS_MAX - 1, SWEEP_OBJECTS_MAX, SWEEP_OBJECTS_MAX + 1])
def test_so_many_deadlines_a_block_and_the_rest_in_the_next(count: int) -> None:
    """One below, at and above the limit; who waits for the sweep is over all the same."""
    draft = draft_at(LATE_MS + 1)
    for due in dues(draft):
        draft.remove(Due, due.identity)
    for index in range(count):
        opened = Opening(index, "val0", bytes(32), 1, 0, LATE_MS)
        OPENINGS.put(draft, opened)
    assert OPENINGS.all(draft) == []
    sweep(draft)
    left = draft.all(Opening)
    assert len(left) == max(0, count - SWEEP_OBJECTS_MAX)
    assert [item.period for item in left] == list(range(SWEEP_OBJECTS_MAX, count))
    sweep(draft)
    assert draft.all(Opening) == []


def test_devices_take_the_room_that_others_leave() -> None:
    """More of them than two blocks sweep fell due before an opening and an order: those come first,
    and the block is filled up with devices."""
    draft = draft_at(LATE_MS + 1, LATE_MS + 1)
    for due in dues(draft):
        draft.remove(Due, due.identity)
    for index in range(2 * SWEEP_OBJECTS_MAX):
        pledged = Device(device(f"many/{index}"), "val0", "nothing", 0, LATE_MS - 1, 0, 0)
        DEVICES.put(draft, pledged)
    OPENINGS.put(draft, Opening(7, "val0", bytes(32), 1, 0, LATE_MS))
    ORDERS.put(draft, Order("case", bytes(32), (lock_of("alice"),), LATE_MS, 1))
    before = len(draft.all(Device))
    sweep(draft)
    assert draft.all(Opening) == draft.all(Order) == []
    assert before - len(draft.all(Device)) == SWEEP_OBJECTS_MAX - 3


def test_an_order_takes_the_room_of_all_its_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two orders with three targets each in a sweep for five: one a block."""
    monkeypatch.setattr(rules, "SWEEP_OBJECTS_MAX", 4)
    world = EconomyWorld()
    until_ms = world.time_ms + 5_000
    for name in ("a", "b"):
        targets = tuple(sorted(lock_of(f"{name}{index}") for index in range(3)))
        world.run(world.govern(FreezeOrder(f"case-{name}", bytes(32), targets, until_ms)))
    world.run(after_ms=6_000)
    assert [item.id for item in world.draft.all(Order)] == ["case-b"]
    assert len(world.draft.all(Freeze)) == 3
    world.run()
    assert world.draft.all(Order) == world.draft.all(Freeze) == []


# Many at one moment.


def test_what_falls_due_at_one_moment_is_one_story_in_every_block() -> None:
    """A commitment, its devices and its issuer's licence end together: the next block writes all
    of it, and a recount agrees."""
    world = EconomyWorld()
    held = world.capacity()
    assert held is not None
    world.until(held.terms.to_ms)
    assert len(world.draft.all(CapacityCommitment)) == 4
    world.run()
    assert world.draft.all(CapacityCommitment) == []
    for _ in range(2):
        world.run()
    assert world.draft.all(Device) == []
    assert world.reserve("val0").solvency in (Solvency.DEFICIT, Solvency.CAGED)
    assert world.reserve("val3").solvency is Solvency.HEALTHY
    world.run(world.transfer("alice", "bob"))


def test_a_quiet_block_touches_clock_and_epoch_alone() -> None:
    """No deadline, no period: nothing is judged or written."""
    world = EconomyWorld()
    world.run()
    _, changes = world.make_block()
    assert len(changes.objects) == 1


def test_an_outage_lets_no_deadline_of_the_ledger_clock_pass() -> None:
    """After a week in one block an application, a challenge's panel, a rotation all stand."""
    world = EconomyWorld()
    before = world.draft.all(Due)
    world.run(after_ms=7 * DAY_MS)
    assert world.draft.all(Due) == before
    assert world.clock_ms - TIME_MS < PERIOD_MS
    assert all(item.is_active for item in world.draft.all(Attestor))
