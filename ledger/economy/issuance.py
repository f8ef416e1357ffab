"""Issuance: an issuer mints against headroom, any holder burns. One predicate for all callers.

Operations are judged in their order, each on the state that the one before left. A lane's number
counts its operations from 0: each is single-use, and a late one is told from a repeated one.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.amounts import format_amount
from ledger.codec import Slug, UInt, Wire
from ledger.economy.licence import Licence
from ledger.economy.reserve import Reserve
from ledger.operations import Burn, Mint
from ledger.reasons import Invalid, Reason

TREASURY = "treasury"


class Lane(Wire, frozen=True):
    """The next number of one lane of (licence, role). Identity: licence, role, lane."""

    TYPE: ClassVar[int] = 40
    licence: Slug
    role: Slug
    lane: Annotated[int, Meta(ge=0, le=255)]
    next_number: UInt

    @staticmethod
    def identity(licence: str, role: str, lane: int) -> bytes:
        return b"\0".join((licence.encode("ascii"), role.encode("ascii"), bytes((lane,))))


def check_minter(operation: Mint, licence: Licence | None, clock_ms: int) -> None:
    """The issuer is licensed to issue, active, and its treasury key asks; raises Invalid."""
    issuer = operation.issuer
    if licence is None or not licence.grant.issuer:
        raise Invalid(Reason.UNKNOWN_ISSUER, f"'{issuer}' holds no licence to issue")
    if not licence.is_active(clock_ms):
        detail = f"'{issuer}': expired at {licence.grant.expires_ms}, ledger clock {clock_ms}"
        raise Invalid(Reason.LICENCE_INACTIVE, detail)
    if operation.key != licence.grant.keys.treasury:
        detail = f"{operation.key.hex()} is not the treasury key of '{issuer}'"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)


def take_number(operation: Mint, lane: Lane | None) -> Lane:
    """The lane after an operation that carries exactly its next number; raises Invalid."""
    expected = 0 if lane is None else lane.next_number
    if operation.number != expected:
        is_replay = operation.number < expected
        reason = Reason.REPLAYED_OPERATION if is_replay else Reason.OPERATION_GAP
        where = f"lane {operation.lane} of '{operation.issuer}'"
        raise Invalid(reason, f"number {operation.number}, next in {where} is {expected}")
    return Lane(operation.issuer, TREASURY, operation.lane, expected + 1)


def mint(operation: Mint, reserve: Reserve, margin_ppm: int) -> Reserve:
    """The reserve after minting within headroom; raises Invalid with the numbers."""
    headroom = reserve.headroom(margin_ppm)
    after = reserve.supply + operation.amount
    if operation.amount > headroom:
        minted, outstanding = format_amount(operation.amount), format_amount(after)
        detail = f"mint of {minted} coins would bring outstanding to {outstanding}"
        raise Invalid(Reason.ABOVE_HEADROOM, f"{detail}, headroom is {format_amount(headroom)}")
    return _with_supply(reserve, after)


def burn(operation: Burn, reserve: Reserve | None) -> Reserve:
    """The reserve after a burn; conservation binds the amount to the spent inputs."""
    if reserve is None or operation.amount > reserve.supply:
        raise Invalid(Reason.UNKNOWN_ASSET, f"so much of {operation.asset.hex()} does not exist")
    return _with_supply(reserve, reserve.supply - operation.amount)


def _with_supply(reserve: Reserve, supply: int) -> Reserve:
    return Reserve(reserve.asset, reserve.issuer, supply, reserve.reserve, reserve.deliverable)
