"""How an issuer serves its orders: strikes for acts that it missed, and what they cost.

A penalty is a share of the order that doubles with each strike, paid from the bond to the holder.
It is bounded so that nobody gains by driving an issuer out: at most one strike a period, one
forgiven a month, at most a tenth of the bond a day; what is missing goes unpaid.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ledger.codec import AmountOrZero, Slug, UInt, Wire
from ledger.economy.parameters import EconomyParameters
from ledger.times import DAY_MS

BOND_SHARE_A_DAY = 10
"""Penalties of a day take at most this part of the bond."""


class Conduct(Wire, frozen=True):
    """One issuer's. Identity: the slug."""

    TYPE: ClassVar[int] = 56
    issuer: Slug
    strikes: UInt
    struck_in: UInt
    """The last period with a strike."""
    since_ms: UInt
    """Since when the next strike is being forgiven."""
    day: UInt
    """The day of the ledger clock to which `most` and `paid` belong."""
    most: AmountOrZero
    """What penalties may take that day, in µ."""
    paid: AmountOrZero

    @classmethod
    def clean(cls, issuer: str, clock_ms: int) -> Conduct:
        return cls(issuer, 0, 0, clock_ms, 0, 0, 0)


def matured(held: Conduct, clock_ms: int, parameters: EconomyParameters) -> Conduct:
    """As of the clock: strikes that were forgiven meanwhile are gone."""
    forgiven = min(held.strikes, (clock_ms - held.since_ms) // parameters.forgive_ms)
    if not forgiven:
        return held
    return msgspec.structs.replace(
        held,
        strikes=held.strikes - forgiven,
        since_ms=held.since_ms + forgiven * parameters.forgive_ms,
    )


def struck(held: Conduct, *, clock_ms: int, period: int) -> Conduct:
    """With one more strike, unless this period had one."""
    if held.strikes and held.struck_in == period:
        return held
    since_ms = held.since_ms if held.strikes else clock_ms
    return msgspec.structs.replace(
        held, strikes=held.strikes + 1, struck_in=period, since_ms=since_ms
    )


def penalty(held: Conduct, amount: int, parameters: EconomyParameters) -> int:
    """What one missed act costs after the strike for it, in µ: the first a share, each further one
    twice as much, up to the most."""
    doublings = max(0, held.strikes - 1)
    share = min(parameters.penalty_ppm << min(doublings, 32), parameters.penalty_ppm_max)
    return amount * share // 1_000_000


def allowed(held: Conduct, bond: int, clock_ms: int) -> Conduct:
    """With the day's limit: a tenth of the bond as the day's first penalty finds it."""
    day = clock_ms // DAY_MS
    if held.day == day and held.most:
        return held
    return msgspec.structs.replace(held, day=day, most=bond // BOND_SHARE_A_DAY, paid=0)
