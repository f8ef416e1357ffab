"""Licences in time: applications, suspensions, wind-down, expiry, and keys that change."""

from __future__ import annotations

import msgspec
import pytest

from ledger import membership
from ledger.economy.attestor import AttestorGrant
from ledger.economy.due import Due
from ledger.economy.licence import Cause, Licence, LicenceState, Seat
from ledger.economy.regulator import Regulator, RegulatorKeys
from ledger.economy.reserve import Solvency
from ledger.genesis import GenesisBond
from ledger.membership import LICENCES_MAX
from ledger.operations import (
    Admit,
    AdmitAttestor,
    Apply,
    Burn,
    EndEpoch,
    Reinstate,
    Revoke,
    RotateKey,
    RotateRegulator,
    Suspend,
    WindDown,
)
from ledger.reasons import Invalid, Reason
from ledger.registers import LICENCES, REGULATORS
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import EconomyWorld, lasting, with_economy
from tests.ledger.world import (
    COIN,
    DAY_MS,
    PERIOD_MS,
    TIME_MS,
    grant,
    key,
    make_genesis,
    sign,
)
from tests.ledger.world import (
    REGULATORS as REGULATOR_NAMES,
)

replace = msgspec.structs.replace
GRANT = grant("new", validator=False)
VALIDATORS = [f"val{index}/operations" for index in range(3)]
REGULATOR = list(REGULATOR_NAMES[:2])


def state_of(world: EconomyWorld, name: str) -> LicenceState | None:
    held = LICENCES.get(world.draft, name.encode())
    return None if held is None else held.state


def applies(world: EconomyWorld) -> SignedTransaction:
    return asks(world, "new")


def asks(world: EconomyWorld, name: str) -> SignedTransaction:
    """Whose coin is spent differs, so that two may stand in one block."""
    holder = "bob" if name == "b" else "alice"
    wanted = Apply(grant(name, validator=False))
    return world.spends(holder, wanted, 0, "val0", f"{name}/operations")


def licence_of(name: str, state: LicenceState, since_ms: int = 0) -> Licence:
    return Licence(grant(name), state, 0, Seat.NONE, 0, since_ms, Cause.NONE, (), 0, 0)


# Applications.


def test_an_application_is_public_and_grants_nothing() -> None:
    """It mints nothing, has no seat, and is granted as it was asked for, at its version."""
    world = EconomyWorld()
    world.run(applies(world))
    held = world.licence("new")
    assert (held.state, held.seat, held.version) == (LicenceState.APPLIED, Seat.NONE, 0)
    assert world.reason(world.minting("new", 1)) is Reason.LICENCE_INACTIVE
    other = replace(GRANT, jurisdiction="CH")
    assert world.reason(world.govern(Admit(other, 0))) is Reason.BAD_GRANT
    world.run(world.govern(Admit(GRANT, 0)))
    assert state_of(world, "new") is LicenceState.ACTIVE
    assert world.reason(applies(world)) is Reason.BAD_GRANT


def test_an_application_lapses_after_thirty_days() -> None:
    """At its last moment it stands, a millisecond later it was never there."""
    world = EconomyWorld()
    world.run(applies(world))
    last_ms = world.clock_ms + 30 * DAY_MS
    world.until(last_ms)
    assert state_of(world, "new") is LicenceState.APPLIED
    world.run()
    assert state_of(world, "new") is None
    world.run(applies(world))


def test_a_full_list_of_applications_makes_room_for_the_next() -> None:
    """The oldest goes, by name where two are of one moment, and may ask again or be granted as if
    it had never asked: nobody keeps others from applying for the price of sixteen fees."""
    world = EconomyWorld()
    deadlines = len(world.draft.all(Due))
    names = ["b", "a", *(f"c{index}" for index in range(14))]
    world.run(*(asks(world, name) for name in names[:2]))
    for name in names[2:]:
        world.run(asks(world, name))
    world.run(asks(world, "new"))
    assert [state_of(world, name) for name in ("a", "b")] == [None, LicenceState.APPLIED]
    world.run(asks(world, "newer"))
    assert state_of(world, "b") is None
    waiting = [x for x in world.draft.all(Licence) if x.state is LicenceState.APPLIED]
    assert len(waiting) == 16
    assert len(world.draft.all(Due)) == deadlines + 16
    world.run(world.govern(Admit(grant("a", validator=False), 0)))
    assert state_of(world, "a") is LicenceState.ACTIVE


def test_an_application_lays_hold_of_no_key() -> None:
    """Nobody proved that the keys in it are its own: of other applications they keep others out,
    not their owner. What was granted meanwhile keeps out the application."""
    world = EconomyWorld()
    signer = "thief/operations"
    for taken in ("fresh", "honest/link", "lab", "state"):
        keys = replace(grant("thief").keys, metering=key(taken).public)
        squat = Apply(replace(grant("thief", validator=False), keys=keys))
        world.run(world.spends("alice", squat, 0, "val0", signer))
        lab = AttestorGrant("lab", "Lab", "lab", key("lab").public)
        state = RegulatorKeys(1, (key("state").public,))
        owned = {
            "fresh": rotates(world, "treasury", "fresh"),
            "honest/link": world.govern(Admit(grant("honest", validator=False), 0)),
            "lab": world.govern(AdmitAttestor(lab, 0)),
            "state": world.govern(RotateRegulator(0, state)),
        }
        if taken == "honest/link":
            assert world.reason(asks(world, "honest")) is Reason.BAD_GRANT
        world.run(owned[taken])
        assert world.reason(world.govern(Admit(squat.grant, 0))) is Reason.BAD_GRANT
        world.run(world.govern(Revoke("thief", 0)))
        again = world.spends("alice", squat, 0, "val0", signer)
        assert world.reason(again) is Reason.BAD_GRANT


def test_an_application_lays_hold_of_no_display_name() -> None:
    """It keeps it from other applications, not from who is granted a licence: anew, or one that
    it has already. What was granted meanwhile keeps out the application."""
    world = EconomyWorld()
    squat = Apply(replace(grant("thief", validator=False), name="CLOUD honest"))
    renamed = Admit(replace(world.licence("val1").grant, name="Cloud thief"), 0)
    world.run(world.spends("alice", squat, 0, "val0", "thief/operations"))
    assert world.reason(asks(world, "honest")) is Reason.BAD_GRANT
    world.run(world.govern(Admit(grant("honest", validator=False), 0)))
    assert world.reason(world.govern(Admit(squat.grant, 0))) is Reason.BAD_GRANT
    world.run(world.govern(Revoke("thief", 0)))
    again = world.spends("alice", squat, 0, "val0", "thief/operations")
    assert world.reason(again) is Reason.BAD_GRANT
    world.run(world.spends("alice", Apply(grant("thief")), 0, "val0", "thief/operations"))
    world.run(world.govern(renamed))


def test_a_name_that_was_applied_for_with_another_grant_is_revoked_first() -> None:
    """In the same transaction if one likes."""
    world = EconomyWorld()
    world.run(applies(world))
    other = Admit(replace(GRANT, jurisdiction="CH"), 0)
    assert world.reason(world.govern(other)) is Reason.BAD_GRANT
    world.run(world.govern(Revoke("new", 0), other))
    assert state_of(world, "new") is LicenceState.ACTIVE


@pytest.mark.parametrize("granted", [48, 64])
def test_applications_make_room_where_licences_fill_the_rest(granted: int) -> None:
    """Of 64 in all; where each of them is granted there is no room to make."""
    held = {f"x{index}": licence_of(f"x{index}", LicenceState.ACTIVE) for index in range(granted)}
    held |= {
        f"y{index}": licence_of(f"y{index}", LicenceState.APPLIED, since_ms=index)
        for index in range(64 - granted)
    }
    if granted == 48:
        assert membership.displaced(held, applies=True) == "y0"
        del held["y0"]
        assert membership.displaced(held, applies=True) is None
    else:
        with pytest.raises(Invalid) as caught:
            membership.displaced(held, applies=True)
        assert caught.value.reason is Reason.BAD_GRANT


@pytest.mark.parametrize("over", [LicenceState.REVOKED, LicenceState.CLOSED])
def test_licences_that_are_over_make_room_until_there_were_many(over: LicenceState) -> None:
    """Beside 63 that stand and 192 that do not there is room for one; in its place two more that
    are over leave none, as one more that stands; an application gives way in either case."""
    held = {f"x{index}": licence_of(f"x{index}", LicenceState.WINDDOWN) for index in range(63)}
    held |= {f"y{index}": licence_of(f"y{index}", over) for index in range(192)}
    assert membership.displaced(held, applies=False) is None
    for name, state in (("z", over), ("z", LicenceState.SUSPENDED)):
        full = {**held, name: licence_of(name, state)}
        with pytest.raises(Invalid) as caught:
            membership.displaced(full, applies=False)
        assert caught.value.reason is Reason.BAD_GRANT
        del full["x0"], full[name]
        full |= {"y": licence_of("y", over), "a": licence_of("a", LicenceState.APPLIED)}
        assert membership.displaced(full, applies=True) == "a"
    few = {f"x{index}": licence_of(f"x{index}", LicenceState.ACTIVE) for index in range(64)}
    with pytest.raises(Invalid):
        membership.displaced(few, applies=False)
    assert membership.displaced({**few, "x0": licence_of("x0", over)}, applies=False) is None


def test_applications_keep_out_nobody_who_is_granted_a_licence() -> None:
    """One below the limit a licence is granted and no application goes; at the limit the oldest
    does, though fewer than sixteen wait. Where all are granted nothing new is, what is there still
    may be."""
    made = lasting(make_genesis())
    others = tuple(grant(f"x{index}", validator=False) for index in range(LICENCES_MAX - 7))
    world = EconomyWorld(replace(made, licences=(*made.licences, *others)))
    deadlines = len(world.draft.all(Due))
    for name in ("old", "a"):
        world.run(asks(world, name))
    world.run(world.govern(Admit(GRANT, 0)))
    assert state_of(world, "old") is LicenceState.APPLIED
    world.run(world.govern(Admit(grant("newer", validator=False), 0)))
    assert [state_of(world, name) for name in ("old", "a")] == [None, LicenceState.APPLIED]
    world.run(world.govern(Admit(grant("a", validator=False), 0)))
    assert len(world.draft.all(Licence)) == LICENCES_MAX
    assert len(world.draft.all(Due)) == deadlines + 3
    old = grant("old", validator=False)
    assert world.reason(world.govern(Admit(old, 0))) is Reason.BAD_GRANT
    assert world.reason(asks(world, "old")) is Reason.BAD_GRANT
    world.run(world.govern(Admit(grant("x0", validator=False), 0)))


@pytest.mark.parametrize("act", [Suspend, Reinstate])
def test_an_application_is_neither_suspended_nor_reinstated(act: type) -> None:
    """It has no power yet that could be stopped."""
    world = EconomyWorld()
    world.run(applies(world))
    assert world.reason(world.govern(act("new", 0))) is Reason.LICENCE_INACTIVE


def test_an_application_is_revoked_by_both_and_its_name_is_free_at_once() -> None:
    """Nobody keeps a name by asking for it: gone without a trace or a deadline, and whoever the
    name belongs to asks anew."""
    world = EconomyWorld()
    deadlines = world.draft.all(Due)
    world.run(applies(world))
    assert world.reason(world.govern(Revoke("new", 1))) is Reason.WRONG_VERSION
    alone = world.govern(Revoke("new", 0), approvers=VALIDATORS)
    assert world.reason(alone) is Reason.NEEDS_QUORUM
    world.run(world.govern(Revoke("new", 0)))
    assert state_of(world, "new") is None
    assert world.draft.all(Due) == deadlines
    assert world.reason(world.govern(Revoke("new", 0))) is Reason.UNKNOWN_LICENCE
    world.run(applies(world))


# Suspension.


@pytest.mark.parametrize(
    ("approvers", "cause"), [(VALIDATORS, Cause.VALIDATORS), (REGULATOR, Cause.REGULATOR)]
)
def test_a_suspension_by_an_authority_ends_by_itself(approvers: list[str], cause: Cause) -> None:
    """For 180 days nothing is minted while coins, hours and bond go on; then it is over."""
    world = EconomyWorld()
    before = world.reserve().reserve
    world.run(world.govern(Suspend("val0", 0), approvers=approvers))
    held = world.licence("val0")
    assert (held.state, held.cause) == (LicenceState.SUSPENDED, cause)
    assert world.reason(world.minting()) is Reason.LICENCE_INACTIVE
    assert world.reserve().reserve == before
    world.run(world.transfer("alice", "bob"), world.attests("north", "val0"))
    ends_ms = held.since_ms + 180 * DAY_MS
    world.until(ends_ms)
    assert state_of(world, "val0") is LicenceState.SUSPENDED
    world.until(ends_ms + 1)
    assert state_of(world, "val0") is LicenceState.ACTIVE
    assert world.licence("val0").since_ms == ends_ms


def test_either_authority_suspends_and_half_of_each_does_not() -> None:
    """Two of the regulator's keys or three validators; both together are one too many."""
    world = EconomyWorld()
    act = Suspend("val0", 0)
    for approvers in ([*VALIDATORS, *REGULATOR], VALIDATORS[:2], REGULATOR[:1]):
        tx = world.govern(act, approvers=approvers)
        assert world.reason(tx) is Reason.NEEDS_QUORUM


def test_both_end_a_suspension_early() -> None:
    """Then it mints; a second time there is nothing to end."""
    world = EconomyWorld()
    world.run(world.govern(Suspend("val0", 0)))
    world.run(world.govern(Reinstate("val0", 1)))
    world.run(world.minting())
    assert world.reason(world.govern(Reinstate("val0", 2))) is Reason.LICENCE_INACTIVE
    alone = world.govern(Reinstate("val0", 2), approvers=VALIDATORS)
    assert world.reason(alone) is Reason.NEEDS_QUORUM


def test_a_suspension_for_evidence_that_nobody_ends_ends_the_licence() -> None:
    """Accused it mints nothing from then on; after 180 days it is revoked."""
    world = EconomyWorld()
    world.run(world.accuse("val0"))
    assert world.reason(world.minting()) is Reason.LICENCE_INACTIVE
    world.end_epoch()
    held = world.licence("val0")
    assert (held.state, held.cause) == (LicenceState.SUSPENDED, Cause.EVIDENCE)
    world.until(held.since_ms + 180 * DAY_MS)
    assert state_of(world, "val0") is LicenceState.SUSPENDED
    world.until(held.since_ms + 180 * DAY_MS + 1)
    assert state_of(world, "val0") is LicenceState.REVOKED


def test_a_suspended_issuer_adds_hours_and_keeps_its_bond() -> None:
    """It goes on standing by its coins; what holders may be owed stays."""
    world = EconomyWorld()
    world.run(world.govern(Suspend("val0", 0)))
    held = world.capacity()
    assert held is not None
    world.run(world.amends("val0", "capacity-val0", 2_000_000, held.terms.to_ms))
    world.run(world.pledges("val0", "capacity-val0", "one more"))


# Revocation.


def test_revocation_and_mint_in_one_block() -> None:
    """After it the mint is refused; before it there is no place for a mint."""
    world = EconomyWorld()
    revoke, mint = world.govern(Revoke("val0", 0)), world.minting()
    assert world.reason(revoke, mint) is Reason.LICENCE_INACTIVE
    assert world.reason(mint, revoke) is Reason.NOT_FIRST
    world.run(revoke)
    assert world.reason(mint) is Reason.LICENCE_INACTIVE
    for act in (Suspend("val0", 1), Reinstate("val0", 1), Revoke("val0", 1)):
        assert world.reason(world.govern(act)) is Reason.LICENCE_INACTIVE


def test_the_revoked_has_no_power_left_and_its_holders_lose_none() -> None:
    """Its hours still count, it adds none; coins move and burn."""
    world = EconomyWorld()
    before = world.reserve().reserve
    world.run(world.govern(Revoke("val0", 0)))
    assert world.reserve().reserve == before
    pledge = world.pledges("val0", "capacity-val0", "one more")
    assert world.reason(pledge) is Reason.LICENCE_INACTIVE
    world.run(world.transfer("alice", "bob"), world.attests("north", "val0"))
    world.run(world.spends("bob", Burn(world.asset(), COIN), COIN))


# Wind-down and closing.


def winds_down(world: EconomyWorld, name: str, version: int = 0) -> SignedTransaction:
    signer = f"{name}/operations"
    return world.does(WindDown(name, key(signer).public, version), signer)


def test_an_issuer_winds_down_by_its_own_will_alone() -> None:
    """Nobody else's key; it mints no more, and cannot stop twice."""
    world = EconomyWorld()
    signer = "val1/operations"
    stranger = world.does(WindDown("val0", key(signer).public, 0), signer)
    assert world.reason(stranger) is Reason.WRONG_ROLE_KEY
    assert world.reason(winds_down(world, "val0", 1)) is Reason.WRONG_VERSION
    world.run(winds_down(world, "val0"))
    assert world.reason(world.minting()) is Reason.LICENCE_INACTIVE
    assert world.reason(winds_down(world, "val0", 1)) is Reason.LICENCE_INACTIVE
    world.end_epoch()
    assert "val0" in world.seats


def test_it_is_closed_once_none_of_its_coins_is_left() -> None:
    """val3 has none: from the next period it is closed, and at the boundary without a seat."""
    world = EconomyWorld(lasting(make_genesis(5)))
    world.run(winds_down(world, "val3"))
    assert state_of(world, "val3") is LicenceState.WINDDOWN
    world.next_period()
    assert state_of(world, "val3") is LicenceState.CLOSED
    world.end_epoch()
    assert "val3" not in world.seats
    assert world.reason(world.govern(Admit(grant("val3"), 1))) is Reason.LICENCE_INACTIVE
    assert world.reason(world.govern(Revoke("val3", 1))) is Reason.LICENCE_INACTIVE


def test_a_coin_left_keeps_it_open_until_the_last_is_burned() -> None:
    """One coin: open over a period; burned: closed with the next, and its bond comes back."""
    good = lasting(make_genesis())
    bonds = tuple(GenesisBond("val3", name, 10 * COIN) for name in ("val0", "val1"))
    world = EconomyWorld(replace(good, bonds=(*good.bonds, *bonds)))
    world.run(world.minting("val3", COIN, to="alice"), winds_down(world, "val3"))
    world.next_period()
    assert state_of(world, "val3") is LicenceState.WINDDOWN
    world.run(world.spends("alice", Burn(world.asset("val3"), COIN), COIN, "val3"))
    assert state_of(world, "val3") is LicenceState.WINDDOWN
    world.next_period()
    assert state_of(world, "val3") is LicenceState.CLOSED
    world.run(world.withdraws("val3", "val0", 10 * COIN))


def test_coins_left_after_five_years_are_caged() -> None:
    """At the last moment it only winds down; from the period after it, caged for good."""
    world = EconomyWorld(with_economy(lasting(make_genesis()), winddown_ms=2 * DAY_MS))
    world.run(winds_down(world, "val0"))
    since_ms = world.licence("val0").since_ms
    last = (since_ms + 2 * DAY_MS) // PERIOD_MS * PERIOD_MS
    world.until(last)
    assert world.reserve().solvency is Solvency.HEALTHY
    world.until(last + PERIOD_MS)
    assert world.reserve().solvency is Solvency.CAGED
    assert state_of(world, "val0") is LicenceState.WINDDOWN
    world.next_period()
    assert world.reserve().solvency is Solvency.CAGED
    world.run(world.transfer("alice", "bob"))


# Expiry and renewal.


def test_an_expired_licence_winds_down_until_it_is_renewed() -> None:
    """At its last moment it mints, then it winds down with its seat; granted anew it mints on."""
    good = lasting(make_genesis())
    expires_ms = TIME_MS + 3 * DAY_MS
    first = replace(good.licences[0], expires_ms=expires_ms)
    world = EconomyWorld(replace(good, licences=(first, *good.licences[1:])))
    world.until(expires_ms - 1)
    world.run(world.minting())
    assert world.reason(world.minting()) is Reason.LICENCE_INACTIVE
    world.run()
    held = world.licence("val0")
    assert (held.state, held.since_ms) == (LicenceState.WINDDOWN, expires_ms)
    assert held.seat is Seat.SEATED
    world.run(world.govern(Admit(replace(first, expires_ms=expires_ms + 9 * DAY_MS), 0)))
    assert (state_of(world, "val0"), world.licence("val0").seat) == (
        LicenceState.ACTIVE,
        Seat.SEATED,
    )
    world.run(world.minting())


# Keys of a role.


def rotates(world: EconomyWorld, role: str, to: str, version: int = 0) -> SignedTransaction:
    signer = "val0/operations"
    operation = RotateKey("val0", key(signer).public, version, role, key(to).public)
    return world.does(operation, signer, to)


def test_a_mint_in_flight_by_the_old_key_at_the_very_moment() -> None:
    """At the moment announced the old key still mints and the new one does not; one millisecond
    later it is the other way round."""
    world = EconomyWorld()
    world.run(rotates(world, "treasury", "fresh"))
    moment = world.clock_ms + DAY_MS
    by_old = world.minting()
    (operation,) = by_old.body.operations
    fresh = world.body(
        [], by_old.body.outputs, operations=[replace(operation, key=key("fresh").public)]
    )
    by_new = sign(fresh, [], ["fresh"])
    world.until(moment - 1)
    assert world.reason(by_new) is Reason.WRONG_ROLE_KEY
    assert world.reason(by_old, after_ms=2) is Reason.WRONG_ROLE_KEY
    world.execution(1).add(by_old)
    world.run()
    assert world.reason(by_old) is Reason.WRONG_ROLE_KEY
    world.run(by_new)
    assert world.licence("val0").rotations == ()
    assert world.licence("val0").grant.keys.treasury == key("fresh").public


def test_a_rotation_is_asked_by_operations_and_signed_by_the_new_key() -> None:
    """Another role's key, a taken one, a second one for the role, a role without rotation."""
    world = EconomyWorld()
    treasury = key("val0/treasury").public
    other = RotateKey("val0", treasury, 0, "metering", key("fresh").public)
    assert world.reason(world.does(other, "val0/treasury", "fresh")) is Reason.WRONG_ROLE_KEY
    assert world.reason(rotates(world, "treasury", "val1/link")) is Reason.BAD_GRANT
    assert world.reason(rotates(world, "treasury", "reg-0")) is Reason.BAD_GRANT
    assert world.reason(rotates(world, "treasury", "attestor/att-east")) is Reason.BAD_GRANT
    for role in ("consensus", "link", "janitor"):
        assert world.reason(rotates(world, role, "fresh")) is Reason.BAD_ROLE
    world.run(rotates(world, "treasury", "fresh"))
    assert world.reason(rotates(world, "treasury", "second", 1)) is Reason.BAD_ROLE
    assert world.reason(rotates(world, "metering", "fresh", 1)) is Reason.BAD_GRANT
    assert world.reason(rotates(world, "metering", "second", 0)) is Reason.WRONG_VERSION
    world.run(rotates(world, "metering", "second", 1))


def test_operations_keys_change_who_approves() -> None:
    """From the moment on the new key stands for the validator in government."""
    world = EconomyWorld()
    world.run(rotates(world, "operations", "fresh"))
    world.until(world.clock_ms + DAY_MS + 1)
    by_old = world.govern(EndEpoch(0), approvers=VALIDATORS)
    assert world.reason(by_old) is Reason.WRONG_ROLE_KEY
    world.run(world.govern(EndEpoch(0), approvers=["fresh", *VALIDATORS[1:]]))


# The regulator.


def test_the_regulator_changes_after_thirty_days_and_by_both() -> None:
    """Until then the old keys count; announced again, the first announcement is gone."""
    world = EconomyWorld()
    new = RegulatorKeys(1, (key("reg-9").public,))
    alone = world.govern(RotateRegulator(0, new), approvers=REGULATOR)
    assert world.reason(alone) is Reason.NEEDS_QUORUM
    late = RegulatorKeys(1, (key("reg-8").public,))
    world.run(world.govern(RotateRegulator(0, late)))
    assert world.reason(world.govern(RotateRegulator(0, new))) is Reason.WRONG_VERSION
    world.run(world.govern(RotateRegulator(1, new)))
    moment = world.clock_ms + 30 * DAY_MS
    act = Suspend("val0", 0)
    world.until(moment - 1)
    by_old = world.govern(act, approvers=REGULATOR)
    by_new = world.govern(act, approvers=["reg-9"])
    assert world.reason(by_new) is Reason.WRONG_ROLE_KEY
    assert world.reason(by_old, after_ms=2) is Reason.WRONG_ROLE_KEY
    world.execution(1).add(by_old)
    world.run()
    world.run(by_new)
    held = REGULATORS.get(world.draft)
    assert held == Regulator(2, new, ())


@pytest.mark.parametrize(
    ("needed", "names", "reason"),
    [
        (3, ("reg-8", "reg-9"), Reason.BAD_KEY),
        (1, ("val0/operations",), Reason.BAD_GRANT),
        (1, ("attestor/att-east",), Reason.BAD_GRANT),
    ],
)
def test_keys_of_the_regulator_are_its_own(
    needed: int, names: tuple[str, ...], reason: Reason
) -> None:
    """More needed than there are, or one that somebody has."""
    world = EconomyWorld()
    keys = RegulatorKeys(needed, tuple(sorted(key(name).public for name in names)))
    assert world.reason(world.govern(RotateRegulator(0, keys))) is reason
    backwards = RegulatorKeys(1, tuple(sorted((key("a").public, key("b").public)))[::-1])
    assert world.reason(world.govern(RotateRegulator(0, backwards))) is Reason.BAD_KEY


def test_keys_that_stay_with_the_regulator_may_stay() -> None:
    """One of three replaced."""
    world = EconomyWorld()
    names = (*REGULATOR_NAMES[:2], "reg-9")
    keys = RegulatorKeys(2, tuple(sorted(key(name).public for name in names)))
    world.run(world.govern(RotateRegulator(0, keys)))
