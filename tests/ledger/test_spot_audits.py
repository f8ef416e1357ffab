"""Spot audits: sealed, revealed, drawn, opened; who keeps silent, and what is not drawn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ledger.crypto import ZERO_HASH
from ledger.economy.attestor import Attestor
from ledger.economy.spot_audit import (
    AuditRound,
    Opening,
    Sealed,
    is_drawn,
    nonce_digest,
    seed_of,
    silent,
)
from ledger.objects import load
from ledger.operations import OpenDevices, RemoveAttestor, RevealNonce, SealNonce
from ledger.reasons import Invalid, Reason
from ledger.registers import OPENINGS
from ledger.transaction import SignedTransaction, decode
from tests.ledger.economy_world import EconomyWorld, lasting, with_economy
from tests.ledger.world import PERIOD_MS, TIME_MS, device, key, make_genesis

FIRST = TIME_MS // PERIOD_MS
NONCES = {group: bytes([index]) * 32 for index, group in enumerate(("north", "south", "west"), 1)}


def seals(
    world: EconomyWorld, group: str, period: int, nonce: bytes | None = None
) -> SignedTransaction:
    who, signer = f"att-{group}", f"attestor/att-{group}"
    digest = nonce_digest(who.encode(), nonce or NONCES[group])
    return world.does(SealNonce(who, key(signer).public, period, digest), signer)


def reveals(
    world: EconomyWorld, group: str, period: int, nonce: bytes | None = None
) -> SignedTransaction:
    who, signer = f"att-{group}", f"attestor/att-{group}"
    operation = RevealNonce(who, key(signer).public, period, nonce or NONCES[group])
    return world.does(operation, signer)


def opens(
    world: EconomyWorld, issuer: str, period: int, devices: list[bytes], before: int = 0
) -> SignedTransaction:
    signer = f"{issuer}/operations"
    operation = OpenDevices(issuer, key(signer).public, period, before, tuple(devices))
    return world.does(operation, signer)


def opening(world: EconomyWorld, issuer: str, period: int) -> Opening | None:
    return OPENINGS.get(world.draft, Opening.identity(period, issuer))


def strikes(world: EconomyWorld, group: str) -> int:
    held = load(world.state, Attestor, f"att-{group}".encode())
    assert held is not None
    return held.strikes


def begin(world: EconomyWorld, period: int) -> None:
    world.until(period * PERIOD_MS)


def grows(world: EconomyWorld, *machines: str) -> None:
    """val0 promises five hours a period and pledges these too."""
    held = world.capacity()
    assert held is not None
    world.run(world.amends("val0", "capacity-val0", 5_000_000, held.terms.to_ms))
    world.run(world.pledges("val0", "capacity-val0", *machines))


def drawn(*groups: str, wanted: int = 150, machines: Sequence[str] = ()) -> EconomyWorld:
    """Nonces for the second period, revealed in the third, devices drawn in the fourth; `machines`
    are pledged in the first beside the usual ones."""
    world = EconomyWorld(with_economy(lasting(make_genesis()), audit_devices=wanted))
    if machines:
        grows(world, *machines)
    world.run(*(seals(world, group, FIRST + 1) for group in NONCES))
    begin(world, FIRST + 1)
    begin(world, FIRST + 2)
    world.run(*(reveals(world, group, FIRST + 1) for group in groups))
    begin(world, FIRST + 3)
    return world


# Sealing and revealing.


def test_nonces_are_sealed_for_the_next_period_alone() -> None:
    """Not for the present, a past or a later one; once; by the attestor's key."""
    world = EconomyWorld()
    for period in (FIRST - 1, FIRST, FIRST + 2):
        assert world.reason(seals(world, "north", period)) is Reason.BAD_PERIOD
    world.run(seals(world, "north", FIRST + 1))
    again = seals(world, "north", FIRST + 1, bytes([9]) * 32)
    assert world.reason(again) is Reason.REPLAYED_OPERATION
    signer = "attestor/att-south"
    wrong = SealNonce("att-north", key(signer).public, FIRST + 1, bytes(32))
    assert world.reason(world.does(wrong, signer)) is Reason.WRONG_ROLE_KEY
    late = seals(world, "south", FIRST + 1)
    begin(world, FIRST + 1)
    assert world.reason(late) is Reason.BAD_PERIOD


def test_nonces_are_revealed_once_in_the_period_after_and_as_sealed() -> None:
    """Neither during the period nor later; no other nonce, nobody else's."""
    world = EconomyWorld()
    world.run(*(seals(world, group, FIRST + 1) for group in ("north", "south")))
    assert world.reason(reveals(world, "north", FIRST + 1)) is Reason.BAD_PERIOD
    begin(world, FIRST + 1)
    assert world.reason(reveals(world, "north", FIRST + 1)) is Reason.BAD_PERIOD
    begin(world, FIRST + 2)
    other = reveals(world, "north", FIRST + 1, bytes([9]) * 32)
    assert world.reason(other) is Reason.BAD_NONCE
    assert world.reason(reveals(world, "north", FIRST + 1, ZERO_HASH)) is Reason.BAD_NONCE
    copied = reveals(world, "south", FIRST + 1, NONCES["north"])
    assert world.reason(copied) is Reason.BAD_NONCE
    assert world.reason(reveals(world, "west", FIRST + 1)) is Reason.BAD_PERIOD
    world.run(reveals(world, "north", FIRST + 1))
    assert world.reason(reveals(world, "north", FIRST + 1)) is Reason.REPLAYED_OPERATION
    last = (FIRST + 3) * PERIOD_MS - 1
    world.until(last - 1)
    south = reveals(world, "south", FIRST + 1)
    world.execution(1).add(south)
    assert world.reason(south, after_ms=2) is Reason.BAD_PERIOD


def test_who_seals_and_keeps_silent_gets_a_strike() -> None:
    """One for each period; who revealed, or sealed nothing, gets none."""
    world = drawn("north", "west")
    assert [strikes(world, group) for group in ("north", "south", "west", "east")] == [0, 1, 0, 0]
    assert load(world.state, AuditRound, AuditRound.identity(FIRST + 1)) is None
    world.next_period()
    assert strikes(world, "south") == 1


def test_a_removed_attestor_is_struck_all_the_same() -> None:
    """What it sealed it owes; it can neither seal nor reveal any more."""
    world = EconomyWorld()
    world.run(seals(world, "north", FIRST + 1))
    world.run(world.govern(RemoveAttestor("att-north", 1)))
    assert world.reason(seals(world, "north", FIRST + 1)) is Reason.UNKNOWN_ATTESTOR
    for period in range(FIRST + 1, FIRST + 4):
        begin(world, period)
    assert strikes(world, "north") == 1


# The draw.


def test_the_seed_hangs_on_every_nonce_that_was_revealed() -> None:
    """Another nonce, one more, one fewer: another seed; none at all draws nothing."""
    items = tuple(Sealed(f"a{i}", bytes(32), bytes([i]) * 32) for i in (1, 2, 3))
    hidden = Sealed("a4", bytes(32), ZERO_HASH)
    rounds = (items, items[:2], items[1:], (*items[:2], Sealed("a3", bytes(32), bytes([9]) * 32)))
    seeds = {seed_of(AuditRound(7, entries)) for entries in rounds}
    assert len(seeds) == 4
    assert seed_of(AuditRound(7, (*items, hidden))) == seed_of(AuditRound(7, items))
    assert silent(AuditRound(7, (*items, hidden))) == ["a4"]
    nothing = seed_of(AuditRound(7, (hidden,)))
    assert nothing == ZERO_HASH
    assert not is_drawn(nothing, device("x"), devices=1, wanted=150)


def test_so_many_devices_are_drawn_in_the_mean() -> None:
    """Of 3,000 with 150 wanted near 150 under each seed; of fewer than wanted all."""
    devices = [device(f"d{index}") for index in range(3_000)]
    counts = [
        sum(is_drawn(bytes([seed]) * 32, item, devices=3_000, wanted=150) for item in devices)
        for seed in range(1, 9)
    ]
    assert all(90 < count < 210 for count in counts)
    assert len(set(counts)) > 1
    for count in (1, 150):
        assert all(
            is_drawn(bytes([5]) * 32, item, devices=count, wanted=150) for item in devices[:count]
        )


def test_devices_pledged_when_the_draw_may_be_known_are_not_drawn() -> None:
    """Nonces of the second period are revealed in the third. What is pledged in the second counts
    and is opened; what is pledged in the third, with ids of one's choice, does neither, and makes
    the share of the others no smaller. For the next period it counts."""
    world = EconomyWorld(lasting(make_genesis()))
    world.run(*(seals(world, group, FIRST + 1) for group in NONCES))
    begin(world, FIRST + 1)
    grows(world, "second/1", "second/2")
    world.run(*(seals(world, group, FIRST + 2) for group in NONCES))
    begin(world, FIRST + 2)
    world.run(*(reveals(world, group, FIRST + 1) for group in NONCES))
    for names in (("third/1",), tuple(f"third/{index}" for index in range(2, 200))):
        world.run(world.pledges("val0", "capacity-val0", *names))
    begin(world, FIRST + 3)
    held = opening(world, "val0", FIRST + 1)
    assert held is not None
    assert held.devices == 62
    late = opens(world, "val0", FIRST + 1, [device("third/1")])
    assert world.reason(late) is Reason.NOT_DRAWN
    world.run(opens(world, "val0", FIRST + 1, sorted(map(device, ("second/1", "second/2")))))
    world.run(*(reveals(world, group, FIRST + 2) for group in NONCES))
    begin(world, FIRST + 4)
    after = opening(world, "val0", FIRST + 2)
    assert after is not None
    assert after.devices == 62 + 199


# Opening.


def test_an_issuer_opens_what_is_drawn_each_once() -> None:
    """All of sixty; the count goes up, the same device does not count twice."""
    world = drawn(*NONCES)
    held = opening(world, "val0", FIRST + 1)
    assert held is not None
    assert (held.devices, held.opened) == (60, 0)
    devices = sorted(device(f"val0//{index}") for index in range(60))
    world.run(opens(world, "val0", FIRST + 1, devices[:10]))
    after = opening(world, "val0", FIRST + 1)
    assert after is not None
    assert after.opened == 10
    again = opens(world, "val0", FIRST + 1, devices[:10], before=0)
    assert world.reason(again) is Reason.REPLAYED_OPERATION
    stale = opens(world, "val0", FIRST + 1, devices[10:], before=0)
    assert world.reason(stale) is Reason.WRONG_VERSION
    world.run(opens(world, "val0", FIRST + 1, devices[10:], before=10))


def test_what_cannot_be_opened() -> None:
    """Another issuer's, nobody's, another period's, twice in one, in the wrong order."""
    world = drawn(*NONCES)
    mine = sorted(device(f"val0//{index}") for index in range(2))
    rows = (
        ("val0", FIRST + 1, [device("val1//1")], Reason.UNKNOWN_DEVICE),
        ("val0", FIRST + 1, [device("nobody's")], Reason.UNKNOWN_DEVICE),
        ("val0", FIRST, mine, Reason.BAD_PERIOD),
        ("val0", FIRST + 1, mine[::-1], Reason.NOT_DRAWN),
        ("val0", FIRST + 1, [mine[0], mine[0]], Reason.NOT_DRAWN),
        ("nobody", FIRST + 1, mine, Reason.UNKNOWN_ISSUER),
    )
    for issuer, period, devices, reason in rows:
        assert world.reason(opens(world, issuer, period, devices)) is reason
    many = sorted(device(f"y{index}") for index in range(257))
    with pytest.raises(Invalid) as caught:
        decode(opens(world, "val0", FIRST + 1, many).raw)
    assert caught.value.reason is Reason.MALFORMED


def test_a_device_that_is_not_drawn_is_not_opened() -> None:
    """With 59 of 260 wanted most are left out: those are refused, the others are not."""
    names = [f"z{index}" for index in range(200)]
    world = drawn(*NONCES, wanted=59, machines=names)
    held = opening(world, "val0", FIRST + 1)
    assert held is not None
    assert held.devices == 260
    mine = sorted([device(f"val0//{index}") for index in range(60)] + [device(n) for n in names])
    out = [item for item in mine if not is_drawn(held.seed, item, devices=260, wanted=59)]
    drawn_ones = [item for item in mine if item not in out]
    assert 30 < len(drawn_ones) < 100
    assert world.reason(opens(world, "val0", FIRST + 1, out[:1])) is Reason.NOT_DRAWN
    world.run(opens(world, "val0", FIRST + 1, drawn_ones))


def test_an_opening_ends_with_its_period() -> None:
    """At the last moment of the period of the draw, and not a millisecond later."""
    world = drawn(*NONCES)
    devices = sorted(device(f"val0//{index}") for index in range(2))
    last_ms = (FIRST + 4) * PERIOD_MS - 1
    world.until(last_ms - 1)
    tx = opens(world, "val0", FIRST + 1, devices)
    world.execution(1).add(tx)
    assert world.reason(tx, after_ms=2) is Reason.BAD_PERIOD
    world.run(after_ms=2)
    assert load(world.state, Opening, Opening.identity(FIRST + 1, "val0")) is None


def test_without_a_reveal_nothing_is_drawn() -> None:
    """Openings stand, and no device is one of them."""
    world = drawn()
    devices = sorted(device(f"val0//{index}") for index in range(2))
    assert world.reason(opens(world, "val0", FIRST + 1, devices)) is Reason.NOT_DRAWN
    assert [strikes(world, group) for group in NONCES] == [1, 1, 1]
