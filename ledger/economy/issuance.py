"""Issuance: an issuer mints against headroom, any holder burns. One predicate for all callers.

Operations are judged in their order, each on the state that the one before left. A lane's number
counts its operations from 0: each is single-use, and a late one is told from a repeated one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.amounts import format_amount
from ledger.codec import Slug, UInt, Wire
from ledger.economy import bond
from ledger.economy.reserve import Reserve, Solvency, is_thin
from ledger.parameters import PPM, Parameters
from ledger.reasons import Invalid, Reason


class Lane(Wire, frozen=True):
    """The next number of one lane of (identity, role). Identity: those three."""

    TYPE: ClassVar[int] = 40
    owner: Slug
    role: Slug
    lane: Annotated[int, Meta(ge=0, le=255)]
    next_number: UInt

    @staticmethod
    def identity(owner: str, role: str, lane: int) -> bytes:
        return b"\0".join((owner.encode("ascii"), role.encode("ascii"), bytes((lane,))))


def take_number(held: Lane | None, owner: str, role: str, lane: int, number: int) -> Lane:
    """The lane after an operation that carries exactly its next number; raises Invalid."""
    expected = 0 if held is None else held.next_number
    if number != expected:
        is_replay = number < expected
        reason = Reason.REPLAYED_OPERATION if is_replay else Reason.OPERATION_GAP
        where = f"{role} lane {lane} of '{owner}'"
        raise Invalid(reason, f"number {number}, next in {where} is {expected}")
    return Lane(owner, role, lane, expected + 1)


@dataclass(frozen=True, slots=True)
class Backing:
    """Everything that minting depends on beside the licence, as of one moment.

    `minted` is what was minted in the present period, `bond_worth` maps what would be required
    to what the bond counts for.
    """

    reserve: Reserve
    minted: int
    bonds: tuple[bond.Bond, ...]
    sound: frozenset[bytes]

    def bond_worth(self, needed: int) -> int:
        return bond.worth(self.bonds, self.sound, needed)


def mint_cap(reserve: Reserve, supply: int, parameters: Parameters) -> int:
    """The most that may be minted in a period when `supply` is outstanding: a share of R, less of
    it while deliverability lies between lambda and twice that."""
    economy = parameters.economy
    cap = reserve.reserve * economy.mint_cap_ppm // PPM
    least = supply * economy.deliverability_ppm
    spare = reserve.deliverable * PPM - least
    return cap if spare >= least else max(0, cap * spare // least)


def check_mint(amount: int, backing: Backing, parameters: Parameters) -> None:
    """Whether the reserve, its deliverability, the cap and the bond allow it; raises Invalid with
    the figures. The whole of what `quote`, admission and execution ask."""
    reserve, economy = backing.reserve, parameters.economy
    after = reserve.supply + amount
    who = f"'{reserve.issuer}'"
    if reserve.solvency is not Solvency.HEALTHY:
        raise Invalid(Reason.NOT_HEALTHY, f"{who} is in {reserve.solvency.name.lower()}")
    if reserve.is_frozen:
        raise Invalid(Reason.MINT_FROZEN, f"attestations of {who} contradict each other")
    headroom = reserve.headroom(parameters.margin_ppm)
    if amount > headroom:
        detail = f"mint of {format_amount(amount)} coins would bring outstanding to"
        detail = f"{detail} {format_amount(after)}, headroom is {format_amount(headroom)}"
        raise Invalid(Reason.ABOVE_HEADROOM, detail)
    if is_thin(after, reserve.deliverable, economy.deliverability_ppm):
        detail = f"{format_amount(reserve.deliverable)} can be delivered in 7 days, at least"
        share = after * economy.deliverability_ppm // PPM
        raise Invalid(Reason.LOW_DELIVERABILITY, f"{detail} {format_amount(share)} must be")
    cap = mint_cap(reserve, after, parameters)
    if backing.minted + amount > cap:
        detail = f"{format_amount(backing.minted)} minted in this period, at most"
        raise Invalid(Reason.ABOVE_MINT_CAP, f"{detail} {format_amount(cap)} may be")
    needed = bond.required(after, economy.bond_ppm)
    worth = backing.bond_worth(needed)
    if worth < needed:
        detail = f"the bond of {who} counts for {format_amount(worth)}"
        raise Invalid(Reason.SHORT_BOND, f"{detail}, {format_amount(needed)} are required")


def minted(backing: Backing, amount: int, period: int) -> Reserve:
    """The reserve after a mint that was checked."""
    reserve = backing.reserve
    return msgspec.structs.replace(
        reserve, supply=reserve.supply + amount, period=period, minted=backing.minted + amount
    )


def burned(reserve: Reserve | None, asset: bytes, amount: int) -> Reserve:
    """The reserve after a burn; conservation binds the amount to the spent inputs."""
    if reserve is None or amount > reserve.supply:
        raise Invalid(Reason.UNKNOWN_ASSET, f"so much of {asset.hex()} does not exist")
    return msgspec.structs.replace(reserve, supply=reserve.supply - amount)
