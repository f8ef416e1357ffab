"""Issuance: each reason to refuse a mint, in the order of the checks, and what passes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.economy.bond import Bond
from ledger.economy.issuance import (
    Backing,
    Lane,
    burned,
    check_mint,
    mint_cap,
    minted,
    take_number,
)
from ledger.economy.licence import Cause, Licence, LicenceState
from ledger.economy.reserve import Reserve, Solvency
from ledger.handlers.issuance import need_minting
from ledger.reasons import Invalid, Reason
from tests.ledger.world import TIME_MS, grant, parameters

LICENCE = Licence.granted(grant("val0"), TIME_MS)
ASSET, COINS = bytes(32), (bytes([1]) * 32, bytes([2]) * 32)
SMALL = msgspec.structs.replace(
    parameters(), economy=msgspec.structs.replace(parameters().economy, mint_cap_ppm=20_000)
)
replace = msgspec.structs.replace


def reserve(supply: int, backing: int, **changes: Any) -> Reserve:
    held = replace(Reserve.empty(ASSET, "val0", 0), supply=supply, reserve=backing)
    return replace(held, **{"deliverable": backing, **changes})


def backing_of(held: Reserve, bond: int = 10**9, sound: tuple[bytes, ...] = COINS) -> Backing:
    """With as much bonded in each of two coins."""
    bonds = tuple(Bond("val0", asset, bond) for asset in COINS)
    return Backing(held, held.minted, bonds, frozenset(sound))


def refusal(amount: int, backing: Backing, rules: Any = None) -> Invalid:
    with pytest.raises(Invalid) as caught:
        check_mint(amount, backing, rules or parameters())
    return caught.value


@pytest.mark.parametrize("state", LicenceState)
def test_only_an_active_licence_mints(state: LicenceState) -> None:
    """The accused, who is active until the epoch ends, does not."""
    held = LICENCE.entered(state, TIME_MS, Cause.REGULATOR)
    if state is LicenceState.ACTIVE:
        need_minting(held, TIME_MS)
        return
    with pytest.raises(Invalid) as caught:
        need_minting(held, TIME_MS)
    assert caught.value.reason is Reason.LICENCE_INACTIVE


def test_a_licence_mints_up_to_its_last_moment() -> None:
    """At the moment of expiry still, a millisecond later no more."""
    need_minting(LICENCE, LICENCE.grant.expires_ms)
    with pytest.raises(Invalid) as caught:
        need_minting(LICENCE, LICENCE.grant.expires_ms + 1)
    assert caught.value.reason is Reason.LICENCE_INACTIVE


def test_numbers_of_a_lane_are_taken_in_order() -> None:
    """The first is 0; a repeated one is a replay, a later one a gap, each with the numbers."""
    lane = take_number(None, "val0", "treasury", 3, 0)
    assert lane == Lane("val0", "treasury", 3, 1)
    assert take_number(lane, "val0", "treasury", 3, 1).next_number == 2
    for number, reason in ((0, Reason.REPLAYED_OPERATION), (2, Reason.OPERATION_GAP)):
        text = f"number {number}, next in treasury lane 3 of 'val0' is 1"
        with pytest.raises(Invalid, match=text) as caught:
            take_number(lane, "val0", "treasury", 3, number)
        assert caught.value.reason is reason


def test_identities_of_lanes_never_collide() -> None:
    """Licence, role and lane are told apart."""
    identities = {
        Lane.identity(licence, role, lane)
        for licence in ("a", "a-b", "ab")
        for role in ("treasury", "b-treasury")
        for lane in (0, 45, 255)
    }
    assert len(identities) == 18


def test_headroom_is_usable_to_the_last_unit() -> None:
    """With h = 20 % of 1,000: 800 may be outstanding, 801 not; the refusal has the numbers."""
    before = backing_of(reserve(700, 1_000))
    check_mint(100, before, parameters())
    assert minted(before, 100, 7) == reserve(800, 1_000, minted=100, period=7)
    found = refusal(101, before)
    assert found.reason is Reason.ABOVE_HEADROOM
    text = "mint of 0.000101 coins would bring outstanding to 0.000801, headroom is 0.000100"
    assert found.detail == text


@pytest.mark.parametrize("solvency", [Solvency.WARN, Solvency.DEFICIT, Solvency.CAGED])
def test_nothing_is_minted_unless_healthy(solvency: Solvency) -> None:
    """Whatever the figures: the band is asked first."""
    found = refusal(1, backing_of(reserve(0, 1_000, solvency=solvency)))
    assert (found.reason, found.detail) == (
        Reason.NOT_HEALTHY,
        f"'val0' is in {solvency.name.lower()}",
    )


def test_contradicting_attestations_freeze_minting() -> None:
    """Until the lower figure counts, is dropped or taken back."""
    found = refusal(1, backing_of(reserve(0, 1_000, is_frozen=True)))
    assert found.reason is Reason.MINT_FROZEN


def test_what_is_minted_stays_deliverable() -> None:
    """Lambda = 5 %: with 20 due in 7 days up to 400 may be outstanding."""
    held = backing_of(reserve(0, 1_000, deliverable=20))
    assert refusal(401, held).reason is Reason.LOW_DELIVERABILITY
    assert refusal(400, held).reason is Reason.ABOVE_MINT_CAP  # there it has shrunk to nothing


@pytest.mark.parametrize(
    ("deliverable", "cap"), [(1_000, 200), (100, 200), (99, 196), (75, 100), (51, 4), (50, 0)]
)
def test_the_cap_shrinks_with_deliverability(deliverable: int, cap: int) -> None:
    """2 % of 10,000; of 1,000 outstanding lambda is 50, twice that 100, between them a share."""
    held = reserve(900, 10_000, deliverable=deliverable)
    assert mint_cap(held, 1_000, SMALL) == cap


def test_the_cap_is_of_a_period_and_usable_to_the_last_unit() -> None:
    """200 a period of 10,000, of which 150 are used."""
    held = backing_of(reserve(1_000, 10_000, minted=150))
    check_mint(50, held, SMALL)
    found = refusal(51, held, SMALL)
    assert found.reason is Reason.ABOVE_MINT_CAP
    assert found.detail == "0.000150 minted in this period, at most 0.000200 may be"


def test_the_bond_covers_what_will_be_outstanding() -> None:
    """Beta = 10 %: 800 outstanding want 80, of which one coin fills 40."""
    check_mint(100, backing_of(reserve(700, 1_000), bond=40), parameters())
    assert refusal(100, backing_of(reserve(700, 1_000), bond=39)).reason is Reason.SHORT_BOND
    one = backing_of(reserve(700, 1_000), sound=COINS[:1])
    assert refusal(1, one).reason is Reason.SHORT_BOND


def test_burning_lowers_supply_and_needs_the_asset() -> None:
    """A burn moves supply alone, whatever the issuer's state; an unknown asset is named."""
    for solvency in Solvency:
        held = reserve(1_005, 1_000, solvency=solvency)
        assert burned(held, ASSET, 5) == replace(held, supply=1_000)
    with pytest.raises(Invalid) as caught:
        burned(None, ASSET, 5)
    assert caught.value.reason is Reason.UNKNOWN_ASSET
