"""The reserve: what an issuer's attested hours are worth against what it has outstanding.

R = floor(sum over commitments and current and future periods of µh x factor / 10^6), floored once
on the sum: a floor for each commitment would let a rise of the standard break coverage that held
before. Minting needs O <= floor((1 - h) R) afterwards; O <= R, else DEFICIT.

    HEALTHY <-> WARN <-> DEFICIT -> CAGED

WARN: above the margin, or less deliverable in the next 7 days than lambda of what is outstanding;
no minting. DEFICIT that is not cured in time is CAGED, which has no way back before default
resolution exists. Solvency follows from the figures in whatever state the licence is.

The supply root in the state lets a header with its certificate prove supply and backing alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

import msgspec

from ledger import codec
from ledger.codec import AMOUNT_LIMIT, AmountOrZero, Bytes32, Slug, UInt, Wire
from ledger.crypto import tagged_hash
from ledger.economy.capacity import (
    CapacityCommitment,
    Measure,
    contested,
    is_frozen,
    stretches,
)
from ledger.economy.parameters import EconomyParameters
from ledger.economy.standard import FactorTable, least_factor
from ledger.merkle import merkle_root
from ledger.parameters import PPM, Parameters

DELIVERABLE_MS = 7 * 24 * 3_600_000
RATIO_PPM_MAX = 1_000_000_000
"""A thousandfold. Ratios end here, also where nothing is outstanding."""

_supply_leaf = tagged_hash("supply")


class Solvency(IntEnum):
    """How an issuer's coin stands."""

    HEALTHY = 1
    WARN = 2
    DEFICIT = 3
    CAGED = 4


class Reserve(Wire, frozen=True):
    """One issuer's coin: outstanding, reserve and what of it falls due in 7 days, in µ.

    Identity: the asset. Judged anew at each period's start and after each block that touches it.
    """

    TYPE: ClassVar[int] = 39
    asset: Bytes32
    issuer: Slug
    supply: AmountOrZero
    reserve: AmountOrZero
    deliverable: AmountOrZero
    solvency: Solvency
    since_ms: UInt
    """When `solvency` began, on the ledger clock."""
    is_frozen: bool
    """Attestations of its capacity contradict each other: no minting meanwhile."""
    period: UInt
    """The number of the period to which `minted` belongs."""
    minted: AmountOrZero
    short_since_ms: UInt
    """Since when the bond is short; 0 while it is not."""
    residual: AmountOrZero
    """Claims for the uncovered part of coins that were redeemed; no part of `supply`."""
    batch_reserve: AmountOrZero
    """R as a period in deficit began, or as coins became covered by less within it: orders of the
    period are served by this share alone. Zero, as the next, once a period began with all coins
    covered."""
    batch_supply: AmountOrZero

    @classmethod
    def empty(cls, asset: bytes, issuer: str, clock_ms: int) -> Reserve:
        """Of a coin that nobody has minted."""
        return cls(asset, issuer, 0, 0, 0, Solvency.HEALTHY, clock_ms, False, 0, 0, 0, 0, 0, 0)

    @property
    def coverage_ppm(self) -> int:
        return ratio_ppm(self.reserve, self.supply)

    @property
    def deliverability_ppm(self) -> int:
        return ratio_ppm(self.deliverable, self.supply)

    def headroom(self, margin_ppm: int) -> int:
        """How much more may be minted: floor((1 - h) R) - O, never below 0; residual claims want to
        be coins again first."""
        return max(0, margin_limit(self.reserve, margin_ppm) - self.supply - self.residual)


def margin_limit(reserve: int, margin_ppm: int) -> int:
    """The most that may be outstanding after minting: floor((1 - h) R)."""
    return reserve * (PPM - margin_ppm) // PPM


def deadline(held: Reserve, parameters: EconomyParameters) -> int | None:
    """The end of the time to cure a deficit or a short bond."""
    moments = []
    if held.solvency is Solvency.DEFICIT:
        moments.append(held.since_ms + parameters.cure_ms)
    if held.short_since_ms:
        moments.append(held.short_since_ms + parameters.bond_cure_ms)
    return min(moments, default=None)


def matured(held: Reserve, clock_ms: int, parameters: EconomyParameters) -> Reserve:
    """As of the clock: a deficit past its cure is caged."""
    ends_ms = held.since_ms + parameters.cure_ms
    if held.solvency is Solvency.DEFICIT and clock_ms > ends_ms:
        return msgspec.structs.replace(held, solvency=Solvency.CAGED, since_ms=ends_ms)
    return held


def begun(held: Reserve) -> Reserve:
    """As a period begins: what a coin of an issuer in deficit brings is read once for all."""
    is_bad = held.solvency in (Solvency.DEFICIT, Solvency.CAGED) and held.supply > held.reserve
    covered, outstanding = (held.reserve, held.supply) if is_bad else (0, 0)
    if (covered, outstanding) == (held.batch_reserve, held.batch_supply):
        return held
    return msgspec.structs.replace(held, batch_reserve=covered, batch_supply=outstanding)


def caged(held: Reserve, clock_ms: int) -> Reserve:
    """Ended for good, whatever the figures."""
    if held.solvency is Solvency.CAGED:
        return held
    return msgspec.structs.replace(held, solvency=Solvency.CAGED, since_ms=clock_ms)


class SupplyLine(Wire, frozen=True):
    """What the supply root commits to for one asset."""

    asset: Bytes32
    supply: AmountOrZero
    reserve: AmountOrZero
    coverage_ppm: UInt
    deliverability_ppm: UInt


@dataclass(frozen=True, slots=True)
class Hours:
    """The worth of an issuer's hours, in µ; whether attestations contradict each other."""

    reserve: int
    deliverable: int
    is_frozen: bool


def hours_of(
    commitments: Iterable[CapacityCommitment], factors: FactorTable, measure: Measure
) -> Hours:
    """R and the part of it that lies in the next 7 days, each floored once. What is worth more than
    any amount counts for the largest: state and header hold amounts."""
    period_ms = measure.period_ms
    now = measure.clock_ms // period_ms
    soon = now + DELIVERABLE_MS // period_ms
    total = due = 0
    frozen = False
    for item in commitments:
        if not item.counts:
            continue
        terms = item.terms
        factor = least_factor(factors, terms.device_class, terms.workloads)
        gone = item.delivered_of(now)
        for figure, first, end in stretches(item, measure):
            total += figure * factor * (end - first)
            due += figure * factor * max(0, min(end, soon) - first)
            if gone and first <= now < end:
                less = min(gone, figure) * factor
                total, due = total - less, due - less
        frozen = frozen or is_frozen(item, measure)
    most = AMOUNT_LIMIT - 1
    return Hours(min(total // PPM, most), min(due // PPM, most), frozen)


def at_stake(held: CapacityCommitment, factors: FactorTable, measure: Measure) -> int:
    """The contested value, in µ: of the present and future periods of the whole schedule, also of
    those that nobody has attested since it became longer. Floored."""
    return _worth_left(held, contested(held, measure), factors, measure)


def promised(held: CapacityCommitment, factors: FactorTable, measure: Measure) -> int:
    """What the issuer alone says of those same periods, in µ, no more than an amount can say.
    Floored."""
    return min(_worth_left(held, held.terms.microhours, factors, measure), AMOUNT_LIMIT - 1)


def _worth_left(
    held: CapacityCommitment, microhours: int, factors: FactorTable, measure: Measure
) -> int:
    terms, period_ms = held.terms, measure.period_ms
    first = max(terms.from_ms, measure.clock_ms) // period_ms
    periods = max(0, terms.to_ms // period_ms - first)
    factor = least_factor(factors, terms.device_class, terms.workloads)
    return microhours * factor * periods // PPM


def judged(
    held: Reserve,
    hours: Hours,
    *,
    is_short: bool,
    clock_ms: int,
    parameters: Parameters,
) -> Reserve:
    """The reserve with fresh figures and what follows from them; `is_short` of its bond."""
    held = _less_covered(matured(held, clock_ms, parameters.economy), hours.reserve)
    solvency = solvency_of(held.supply, hours, parameters)
    if held.solvency is Solvency.CAGED:
        solvency = Solvency.CAGED
    short_since_ms = (held.short_since_ms or clock_ms) if is_short else 0
    return msgspec.structs.replace(
        held,
        reserve=hours.reserve,
        deliverable=hours.deliverable,
        is_frozen=hours.is_frozen,
        solvency=solvency,
        since_ms=held.since_ms if solvency is held.solvency else clock_ms,
        short_since_ms=short_since_ms,
    )


def _less_covered(held: Reserve, covered: int) -> Reserve:
    """A new batch where coins are covered by less than the last one found: deliveries never do
    that, so hours were lost, and whoever comes first is not to be served at the old share."""
    outstanding = held.supply
    if covered >= outstanding:
        return held
    if held.batch_supply and covered * held.batch_supply >= held.batch_reserve * outstanding:
        return held
    return msgspec.structs.replace(held, batch_reserve=covered, batch_supply=outstanding)


def solvency_of(supply: int, hours: Hours, parameters: Parameters) -> Solvency:
    """What the figures say; that a coin is caged they do not."""
    if supply > hours.reserve:
        return Solvency.DEFICIT
    above_margin = supply > margin_limit(hours.reserve, parameters.margin_ppm)
    if above_margin or is_thin(supply, hours.deliverable, parameters.economy.deliverability_ppm):
        return Solvency.WARN
    return Solvency.HEALTHY


def is_thin(supply: int, deliverable: int, least_ppm: int) -> bool:
    """Whether too little of what is outstanding can be delivered in the next 7 days."""
    return deliverable * PPM < supply * least_ppm


def supply_line(reserve: Reserve) -> SupplyLine:
    """What a header says about one asset."""
    return SupplyLine(
        asset=reserve.asset,
        supply=reserve.supply,
        reserve=reserve.reserve,
        coverage_ppm=reserve.coverage_ppm,
        deliverability_ppm=reserve.deliverability_ppm,
    )


def supply_leaf(line: SupplyLine) -> bytes:
    """The leaf of one asset under the supply root."""
    return _supply_leaf(codec.encode_payload(line))


def supply_root(reserves: Iterable[Reserve]) -> bytes:
    """The commitment to supply and backing of all assets, in ascending order of asset."""
    ordered = sorted(reserves, key=lambda reserve: reserve.asset)
    return merkle_root([supply_leaf(supply_line(reserve)) for reserve in ordered])


def ratio_ppm(part: int, whole: int) -> int:
    return min(part * PPM // whole, RATIO_PPM_MAX) if whole else RATIO_PPM_MAX
