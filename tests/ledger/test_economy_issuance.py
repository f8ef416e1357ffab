"""Issuance: each reason to refuse a mint, in the order of the checks, and what passes."""

from __future__ import annotations

import msgspec
import pytest

from ledger.economy.issuance import Lane, burn, check_minter, mint, take_number
from ledger.economy.licence import Licence
from ledger.economy.reserve import Reserve
from ledger.operations import Burn, Mint
from ledger.reasons import Invalid, Reason
from tests.ledger.world import TIME_MS, grant, key

TREASURY = key("val0/treasury").public
GOOD = Mint("val0", TREASURY, 3, 7, 100)
LICENCE = Licence.granted(grant("val0"))
ASSET = bytes(32)
replace = msgspec.structs.replace


def reserve(supply: int, backing: int) -> Reserve:
    return Reserve(ASSET, "val0", supply, backing, backing)


def test_a_licensed_issuer_mints_with_its_treasury_key() -> None:
    """Up to and including the moment of expiry."""
    check_minter(GOOD, LICENCE, TIME_MS)
    check_minter(GOOD, LICENCE, LICENCE.grant.expires_ms)


@pytest.mark.parametrize(
    ("licence", "clock_ms", "operation", "reason"),
    [
        (None, TIME_MS, GOOD, Reason.UNKNOWN_ISSUER),
        (
            replace(LICENCE, grant=replace(LICENCE.grant, issuer=False)),
            TIME_MS,
            GOOD,
            Reason.UNKNOWN_ISSUER,
        ),
        (LICENCE, LICENCE.grant.expires_ms + 1, GOOD, Reason.LICENCE_INACTIVE),
        *(
            (LICENCE, TIME_MS, replace(GOOD, key=key(f"val0/{role}").public), Reason.WRONG_ROLE_KEY)
            for role in ("operations", "metering", "consensus", "link")
        ),
        (
            LICENCE,
            TIME_MS,
            replace(GOOD, key=key("val1/treasury").public),
            Reason.WRONG_ROLE_KEY,
        ),
    ],
)
def test_each_fault_of_a_minter_has_its_reason(
    licence: Licence | None, clock_ms: int, operation: Mint, reason: Reason
) -> None:
    """No licence, none to issue, expired, and every key but the treasury's."""
    with pytest.raises(Invalid) as caught:
        check_minter(operation, licence, clock_ms)
    assert caught.value.reason is reason


def test_numbers_of_a_lane_are_taken_in_order() -> None:
    """The first is 0; a repeated one is a replay, a later one a gap, each with the numbers."""
    lane = take_number(replace(GOOD, number=0), None)
    assert lane == Lane("val0", "treasury", 3, 1)
    assert take_number(replace(GOOD, number=1), lane).next_number == 2
    with pytest.raises(Invalid, match="number 0, next in lane 3 of 'val0' is 1") as caught:
        take_number(replace(GOOD, number=0), lane)
    assert caught.value.reason is Reason.REPLAYED_OPERATION
    with pytest.raises(Invalid, match="number 2, next in lane 3 of 'val0' is 1") as caught:
        take_number(replace(GOOD, number=2), lane)
    assert caught.value.reason is Reason.OPERATION_GAP


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
    before = reserve(700, 1_000)
    assert mint(GOOD, before, 200_000) == reserve(800, 1_000)
    with pytest.raises(Invalid) as caught:
        mint(replace(GOOD, amount=101), before, 200_000)
    assert caught.value.reason is Reason.ABOVE_HEADROOM
    text = "mint of 0.000101 coins would bring outstanding to 0.000801, headroom is 0.000100"
    assert caught.value.detail == text


def test_nothing_is_minted_in_deficit() -> None:
    """Headroom of an issuer with more outstanding than reserve is 0, not negative."""
    with pytest.raises(Invalid, match=r"headroom is 0\.000000"):
        mint(replace(GOOD, amount=1), reserve(1_001, 1_000), 0)


def test_burning_lowers_supply_and_needs_the_asset() -> None:
    """A burn moves supply alone, whatever the issuer's state; an unknown asset is named."""
    assert burn(Burn(ASSET, 5), reserve(1_005, 1_000)) == reserve(1_000, 1_000)
    with pytest.raises(Invalid) as caught:
        burn(Burn(ASSET, 5), None)
    assert caught.value.reason is Reason.UNKNOWN_ASSET
