"""Licences and seats: every edge that an operation may take, every refusal with its reason."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger import membership
from ledger.codec import decode, encode
from ledger.crypto import ZERO_HASH
from ledger.economy.licence import Cause, Licence, LicenceState, Seat, keys_of
from ledger.economy.regulator import Carriers
from ledger.economy.reserve import Reserve
from ledger.epochs import Epoch
from ledger.execution import FREE_PER_IDENTITY_MAX
from ledger.handlers import licences
from ledger.invariants import recount
from ledger.objects import key_of, load, load_all
from ledger.operations import (
    GOVERNORS,
    Admit,
    Burn,
    EndEpoch,
    Mint,
    Operation,
    Reinstate,
    Remove,
    Revoke,
    Suspend,
    ValidatorReady,
    identities,
    identity_of,
)
from ledger.reasons import Invalid, Reason
from ledger.registers import LICENCES
from ledger.transaction import SignedTransaction, seal
from ledger.validators import quorum_size
from tests.ledger.faults import judge
from tests.ledger.faults_membership import all_faults, membership_faults
from tests.ledger.world import DAY_MS, TIME_MS, World, grant, key, make_genesis, sign

replace = msgspec.structs.replace
HEIGHT = 9
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


WORLD = World()


def admitted(operation: Admit, held: dict[str, Licence], clock_ms: int = 0) -> Licence:
    """Among licences whose keys nobody else may have."""
    taken = {key: item.grant.id for item in held.values() for key in keys_of(item)}
    return membership.admit(operation, held, taken, clock_ms=clock_ms, height=1)


def operators(*names: str) -> list[str]:
    """Keys by which validators approve."""
    return [f"{name}/operations" for name in names]


def epoch(number: int = 20) -> Epoch:
    return Epoch(number, 70, b"\7" * 32, TIME_MS, False, (), ())


def test_every_fault_of_membership_is_refused_with_its_reason() -> None:
    """Bytes made for one reason each get that and no other; each new reason occurs."""
    world = World()
    faults = membership_faults(world)
    for fault in faults:
        with pytest.raises(Invalid) as caught:
            judge(world, fault.raw)
        assert caught.value.reason is fault.reason, fault.name
        assert caught.value.detail, fault.name
    names = [fault.name for fault in all_faults(world)]
    assert len(set(names)) == len(names)


# Approvals.


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_exactly_a_quorum_approves(n: int) -> None:
    """One fewer and one more are refused, with the numbers; which members sign does not count."""
    world = World(make_genesis(n))
    names, quorum = [f"val{index}/operations" for index in range(n)], quorum_size(n)
    for count in (quorum - 1, quorum + 1):
        if count > n:
            continue
        found = refused(world, world.govern(EndEpoch(0), approvers=names[:count]))
        assert found.reason is Reason.NEEDS_QUORUM
        assert found.detail == f"{count} of {n} validators signed, exactly {quorum} must"
    for first in range(n - quorum + 1):
        judge(world, world.govern(EndEpoch(0), approvers=names[first : first + quorum]).raw)


def test_only_present_members_approve() -> None:
    """One that is admitted, ready, or has left is a stranger; one that leaves or is suspended
    approves until it is gone."""
    world = World()
    world.advance([world.govern(Admit(grant("new"), 0))])
    world.advance([world.govern(Remove("val0", 0), Suspend("val1", 0)), world.ready("new")])
    end = EndEpoch(0)
    strange = world.govern(end, approvers=operators("val1", "val2", "new"))
    assert refused(world, strange).reason is Reason.WRONG_ROLE_KEY
    world.advance([world.govern(end, approvers=operators("val0", "val1", "val2"))])
    end = EndEpoch(1)
    strange = world.govern(end, approvers=operators("val0", "val1", "val2"))
    assert refused(world, strange).reason is Reason.WRONG_ROLE_KEY
    judge(world, world.govern(end, approvers=operators("new", "val1", "val2")).raw)


def test_approvals_are_for_one_body() -> None:
    """Signatures under one transaction are worth nothing under another one."""
    world = World()
    good = world.govern(Remove("val0", 0))
    other = world.body(operations=[Remove("val1", 0)])
    moved = sign(other, [], ["val0/operations"])
    witness = replace(moved.witness, signatures=good.witness.signatures)
    assert refused(world, seal(moved.body, witness)).reason is Reason.BAD_SIGNATURE


# Admission.


def test_admission_grants_a_licence_and_a_wish_for_a_seat() -> None:
    """A validator waits for its node, one that only issues has no seat; an issuer begins with a
    reserve of nothing, and what adds up before adds up after."""
    world = World()
    issuer = grant("issuer", validator=False)
    voter = grant("voter", issuer=False)
    supply_root = world.state.head.commitments.supply_root
    height = world.advance([world.govern(Admit(issuer, 0), Admit(voter, 0))]).header.height
    clock_ms = world.draft.clock_ms
    for grant_, seat in ((issuer, Seat.NONE), (voter, Seat.WAITING)):
        assert world.licence(grant_.id) == Licence(
            grant_, LicenceState.ACTIVE, 1, seat, height, clock_ms, Cause.NONE, (), 0, 0
        )
    reserve = load(world.state, Reserve, world.asset("issuer"))
    assert reserve == Reserve.empty(world.asset("issuer"), "issuer", clock_ms)
    assert load(world.state, Reserve, world.asset("voter")) is None
    assert world.state.head.commitments.supply_root != supply_root
    assert refused(world, world.mint("issuer", 1)).reason is Reason.ABOVE_HEADROOM
    assert refused(world, world.mint("voter", 1)).reason is Reason.UNKNOWN_ISSUER
    recount(world.state, world.state.outputs.items())


def test_a_licence_without_a_seat_is_granted_anew() -> None:
    """Other keys and another name at the version it has; its reserve and its state stay."""
    world = World()
    world.advance([world.govern(Admit(grant("new", validator=False), 0), Suspend("new", 1))])
    before = load(world.state, Reserve, world.asset("new"))
    keys = replace(GRANT.keys, treasury=key("new/second treasury").public)
    again = replace(GRANT, name="Cloud renewed", keys=keys)
    for version in (0, 1, 3):
        late = refused(world, world.govern(Admit(again, version)))
        assert (late.reason, late.detail) == (
            Reason.WRONG_VERSION,
            f"version {version} of 'new', it is 2",
        )
    world.advance([world.govern(Admit(again, 2))])
    held = world.licence("new")
    assert (held.grant, held.state, held.version) == (again, LicenceState.SUSPENDED, 3)
    assert held.seat is Seat.WAITING
    assert load(world.state, Reserve, world.asset("new")) == before


def test_an_issuer_that_returns_keeps_its_supply_and_its_hours() -> None:
    """One of five gives up its seat, is granted anew with another treasury, and mints on."""
    world = World(make_genesis(5))
    world.end_epoch([world.govern(Remove("val0", 0))])
    before = load(world.state, Reserve, world.asset("val0"))
    assert before is not None
    assert before.supply > 0
    keys = replace(grant("val0").keys, treasury=key("val0/second treasury").public)
    world.advance([world.govern(Admit(replace(grant("val0"), keys=keys), 1))])
    assert load(world.state, Reserve, world.asset("val0")) == before
    assert refused(world, world.mint("val0")).reason is Reason.WRONG_ROLE_KEY
    recount(world.state, world.state.outputs.items())


@pytest.mark.parametrize(("clock_ms", "passes"), [(99, True), (100, False), (101, False)])
def test_a_grant_outlives_the_block_that_gives_it(clock_ms: int, passes: bool) -> None:
    """The ledger clock must be before the expiry."""
    operation = Admit(replace(GRANT, expires_ms=100), 0)
    if passes:
        admitted(operation, {}, clock_ms)
    else:
        found = reason_of(lambda: admitted(operation, {}, clock_ms))
        assert found is Reason.BAD_GRANT


@pytest.mark.parametrize("role", ["operations", "treasury", "metering", "consensus", "link"])
def test_no_key_stands_in_two_licences_or_two_roles(role: str) -> None:
    """Each role's key against every key of another licence, whatever that one's state."""
    other = replace(Licence.granted(grant("val0"), 0), state=LicenceState.REVOKED)
    for taken in ("operations", "treasury", "metering", "consensus", "link"):
        keys = replace(GRANT.keys, **{role: getattr(other.grant.keys, taken)})
        operation = Admit(replace(GRANT, keys=keys), 0)
        with pytest.raises(Invalid, match="is a key of 'val0'") as caught:
            admitted(operation, {"val0": other})
        assert caught.value.reason is Reason.BAD_GRANT


# Removal, suspension, revocation: from every state and seat.

Kind = type[Remove | Suspend | Revoke | Reinstate]
CHANGES: list[tuple[Kind, LicenceState, Seat, object]] = [
    *(
        (Remove, state, seat, after)
        for state in LicenceState
        for seat, after in (
            (Seat.NONE, Reason.NO_SEAT),
            (Seat.WAITING, (state, Seat.NONE)),
            (Seat.READY, (state, Seat.NONE)),
            (Seat.SEATED, (state, Seat.LEAVING)),
            (Seat.LEAVING, Reason.NO_SEAT),
        )
    ),
    *(
        (
            Suspend,
            state,
            seat,
            (LicenceState.SUSPENDED, seat)
            if state is LicenceState.ACTIVE
            else Reason.LICENCE_INACTIVE,
        )
        for state in LicenceState
        for seat in Seat
    ),
    *(
        (
            Revoke,
            state,
            seat,
            Reason.LICENCE_INACTIVE
            if state in (LicenceState.REVOKED, LicenceState.CLOSED)
            else None
            if state is LicenceState.APPLIED
            else (LicenceState.REVOKED, after),
        )
        for state in LicenceState
        for seat, after in (
            (Seat.NONE, Seat.NONE),
            (Seat.WAITING, Seat.NONE),
            (Seat.READY, Seat.NONE),
            (Seat.SEATED, Seat.LEAVING),
            (Seat.LEAVING, Seat.LEAVING),
        )
    ),
    *(
        (
            Reinstate,
            state,
            seat,
            (LicenceState.ACTIVE, seat)
            if state is LicenceState.SUSPENDED
            else Reason.LICENCE_INACTIVE,
        )
        for state in LicenceState
        for seat in Seat
    ),
]


@pytest.mark.parametrize(("kind", "state", "seat", "after"), CHANGES)
def test_each_edge_of_licence_and_seat(
    kind: Kind, state: LicenceState, seat: Seat, after: object
) -> None:
    """Each from each state and seat: what follows (None: it is gone), or the reason; the version
    counts, and the height of the seat moves with the seat alone."""
    held, draft = licence(state, seat), WORLD.draft
    LICENCES.put(draft, held)

    def change(version: int) -> None:
        licences.change(draft, kind("new", version), Carriers(validators=True, regulator=True))

    if isinstance(after, Reason):
        assert reason_of(lambda: change(3)) is after
        return
    for late in (2, 4):
        assert reason_of(lambda late=late: change(late)) is Reason.WRONG_VERSION
    change(3)
    changed = LICENCES.get(draft, b"new")
    if after is None:
        assert changed is None
        return
    assert changed is not None
    assert (changed.state, changed.seat) == after
    assert changed.version == 4
    assert changed.seat_height == (draft.height if changed.seat is not seat else 5)


def test_a_suspended_member_keeps_its_seat_and_mints_nothing() -> None:
    """Its coins move on; a revoked one gives up its seat at the boundary, if four remain."""
    world = World()
    world.advance([world.mint("val0")])
    world.advance([world.govern(Suspend("val0", 0))])
    assert refused(world, world.mint("val0", number=1)).reason is Reason.LICENCE_INACTIVE
    world.advance([world.transfer("alice", "bob")])
    world.end_epoch()
    assert "val0" in world.seats
    world.advance([world.govern(Revoke("val0", 1), Admit(grant("new"), 0))])
    world.advance([world.ready("new")])
    world.end_epoch()
    assert "val0" not in world.seats
    assert world.licence("val0").seat is Seat.NONE


# Readiness.


@pytest.mark.parametrize("seat", Seat)
@pytest.mark.parametrize("state", LicenceState)
def test_who_waits_and_is_active_becomes_ready(state: LicenceState, seat: Seat) -> None:
    """Any other seat is no wait, any other state no licence to join."""
    operation = ValidatorReady("new", GRANT.keys.consensus, 70, b"\7" * 32)
    held = licence(state, seat)

    def run() -> Licence:
        return membership.ready(operation, held, epoch(), clock_ms=TIME_MS, height=HEIGHT)

    if seat is not Seat.WAITING:
        assert reason_of(run) is Reason.NO_SEAT
    elif state not in (LicenceState.ACTIVE, LicenceState.ACCUSED):
        assert reason_of(run) is Reason.LICENCE_INACTIVE
    else:
        assert run() == replace(held, seat=Seat.READY, seat_height=HEIGHT)


def test_readiness_names_the_base_of_its_epoch() -> None:
    """Another height, another hash, the base of the epoch before, another key, an expired
    licence: each with its reason."""
    good = ValidatorReady("new", GRANT.keys.consensus, 70, b"\7" * 32)
    held = licence(seat=Seat.WAITING)
    late_ms = GRANT.expires_ms + 1
    rows = (
        (replace(good, height=69), held, TIME_MS, Reason.WRONG_EPOCH),
        (replace(good, block_hash=ZERO_HASH), held, TIME_MS, Reason.WRONG_EPOCH),
        (replace(good, key=GRANT.keys.operations), held, TIME_MS, Reason.WRONG_ROLE_KEY),
        (good, held, late_ms, Reason.LICENCE_INACTIVE),
    )
    for operation, found, clock_ms, reason in rows:
        with pytest.raises(Invalid) as caught:
            membership.ready(operation, found, epoch(), clock_ms=clock_ms, height=HEIGHT)
        assert caught.value.reason is reason
    membership.ready(good, held, epoch(), clock_ms=GRANT.expires_ms, height=HEIGHT)


def test_readiness_holds_for_one_epoch() -> None:
    """What was signed for the epoch before says nothing about the base of this one."""
    world = World()
    world.advance([world.govern(Admit(grant("new"), 0))])
    old = world.ready("new")
    world.end_epoch()
    assert refused(world, old).reason is Reason.WRONG_EPOCH
    world.advance([world.ready("new")])
    assert world.licence("new").seat is Seat.READY


# Once and never again.


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("admit", Reason.WRONG_VERSION),
        ("remove", Reason.WRONG_VERSION),
        ("suspend", Reason.WRONG_VERSION),
        ("revoke", Reason.WRONG_VERSION),
        ("end", Reason.WRONG_EPOCH),
        ("ready", Reason.NO_SEAT),
        ("evidence", Reason.LICENCE_INACTIVE),
    ],
)
def test_no_operation_holds_twice(name: str, reason: Reason) -> None:
    """The same bytes are refused in the same block, in the next one, and after the boundary; the
    same wish in other bytes means nothing any more."""
    world = World()
    world.advance([world.govern(Admit(grant("waits"), 0))])
    make = {
        "admit": lambda: world.govern(Admit(GRANT, 0)),
        "remove": lambda: world.govern(Remove("val0", 0)),
        "suspend": lambda: world.govern(Suspend("val0", 0)),
        "revoke": lambda: world.govern(Revoke("val0", 0)),
        "end": lambda: world.govern(EndEpoch(0)),
        "ready": lambda: world.ready("waits"),
        "evidence": lambda: world.accuse("val0"),
    }[name]
    tx, execution = make(), world.execution()
    judge(world, tx.raw, execution)
    with pytest.raises(Invalid) as caught:
        judge(world, tx.raw, execution)
    assert caught.value.reason is Reason.ALREADY_FINAL
    world.advance([tx])
    for _ in range(2):
        assert refused(world, tx).reason is Reason.ALREADY_FINAL
        assert refused(world, make()).reason is reason
        world.end_epoch()


def test_operations_of_one_transaction_stand_on_each_other_and_fall_together() -> None:
    """An admission, a removal and a suspension of the same licence; a fourth that fails leaves
    nothing of the three."""
    world = World()
    operations: list[Operation] = [Admit(GRANT, 0), Remove("new", 1), Suspend("new", 2)]
    before = dict(world.state.stored)
    failing = world.govern(*operations, Remove("new", 3))
    assert refused(world, failing).reason is Reason.NO_SEAT
    assert world.state.stored == before
    world.advance([world.govern(*operations)])
    held = world.licence("new")
    assert (held.state, held.version, held.seat) == (LicenceState.SUSPENDED, 3, Seat.NONE)


# Quotas.


def test_each_operation_uses_the_quota_of_whom_it_concerns() -> None:
    """No licence can be named so that it fills the room of governance, or of evidence."""
    evidence = World().evidence("val0")
    consensus = GRANT.keys.consensus
    rows: list[tuple[Operation, str | None]] = [
        (Mint("val0", consensus, 0, 0, 1), "val0"),
        (Burn(bytes(32), 1), None),
        (Admit(GRANT, 0), GOVERNORS),
        (Remove("val0", 0), GOVERNORS),
        (Suspend("val0", 0), GOVERNORS),
        (Revoke("val0", 0), GOVERNORS),
        (EndEpoch(0), GOVERNORS),
        (ValidatorReady("val0", consensus, 0, bytes(32)), "val0"),
        (evidence, "(evidence against val0)"),
    ]
    assert [identity_of(operation) for operation, _ in rows] == [name for _, name in rows]
    assert identities([operation for operation, _ in rows]) == [
        "(evidence against val0)",
        GOVERNORS,
        "val0",
    ]
    for name in (GOVERNORS, "(evidence against val0)"):
        named = encode(Licence.granted(replace(GRANT, id=name), 0))
        with pytest.raises(Invalid) as caught:
            decode(named, Licence, size_max=len(named))
        assert caught.value.reason is Reason.MALFORMED


def test_governance_has_a_quota_of_its_own() -> None:
    """Sixteen a block for all of it together; the next one has to wait."""
    world = World()
    execution = world.execution()
    for number in range(FREE_PER_IDENTITY_MAX):
        execution.add(world.govern(Admit(grant(f"new{number}"), 0)))
    with pytest.raises(Invalid) as caught:
        execution.add(world.govern(Remove("val0", 0)))
    assert caught.value.reason is Reason.FREE_QUOTA
    execution.add(world.accuse("val0"))


def test_licences_end_with_time_alone_and_seats_do_not() -> None:
    """An expired member votes on, for expiry is no removal; nothing else is left to it."""
    world = World()
    held = world.licence("val0")
    soon = replace(held, grant=replace(held.grant, expires_ms=TIME_MS + 1))
    world.state.stored[key_of(Licence, b"val0")] = encode(soon)
    world.advance(after_ms=DAY_MS)
    assert refused(world, world.mint("val0")).reason is Reason.LICENCE_INACTIVE
    world.advance([world.govern(EndEpoch(0), approvers=operators("val0", "val1", "val2"))])
    assert "val0" in world.seats
    assert len(load_all(world.state, Licence)) == 4
