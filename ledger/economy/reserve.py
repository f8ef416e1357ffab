"""The reserve: what an issuer's attested hours are worth against what it has outstanding.

R = floor(sum over commitments and current and future periods of µh x factor / 10^6), floored once
on the sum: a floor for each commitment would let a rise of the standard break coverage that held
before. Minting needs O <= floor((1 - h) R) afterwards; O <= R is health.

The supply root in the state lets a header with its certificate prove supply and backing alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ledger import codec
from ledger.codec import AmountOrZero, Bytes32, Slug, UInt, Wire
from ledger.crypto import tagged_hash
from ledger.economy.capacity import (
    Attestor,
    CapacityCommitment,
    counted_microhours,
    periods_left,
    periods_within,
)
from ledger.economy.standard import FactorTable, Standard, factor_table, least_factor
from ledger.merkle import merkle_root
from ledger.objects import LedgerClock, ObjectReader, load_all, load_one
from ledger.parameters import PPM, Parameters

DELIVERABLE_MS = 7 * 24 * 3_600_000
RATIO_PPM_MAX = 1_000_000_000
"""A thousandfold. Ratios end here, also where nothing is outstanding."""

_supply_leaf = tagged_hash("supply")


class ReserveStatus(StrEnum):
    """Derived, never stored."""

    HEALTHY = "healthy"
    DEFICIT = "deficit"


class Reserve(Wire, frozen=True):
    """One issuer's coin: outstanding, reserve and what of it falls due in 7 days, in µ.

    Identity: the asset. Hours change at a period's start, supply with each mint and burn.
    """

    TYPE: ClassVar[int] = 39
    asset: Bytes32
    issuer: Slug
    supply: AmountOrZero
    reserve: AmountOrZero
    deliverable: AmountOrZero

    @property
    def status(self) -> ReserveStatus:
        is_covered = self.supply <= self.reserve
        return ReserveStatus.HEALTHY if is_covered else ReserveStatus.DEFICIT

    @property
    def coverage_ppm(self) -> int:
        return _ratio_ppm(self.reserve, self.supply)

    @property
    def deliverability_ppm(self) -> int:
        return _ratio_ppm(self.deliverable, self.supply)

    def headroom(self, margin_ppm: int) -> int:
        """How much more may be minted: floor((1 - h) R) - O, never below 0."""
        return max(0, self.reserve * (PPM - margin_ppm) // PPM - self.supply)


class SupplyLine(Wire, frozen=True):
    """What the supply root commits to for one asset."""

    asset: Bytes32
    supply: AmountOrZero
    reserve: AmountOrZero
    coverage_ppm: UInt
    deliverability_ppm: UInt


@dataclass(frozen=True, slots=True)
class Hours:
    """The worth of an issuer's hours, in µ."""

    reserve: int
    deliverable: int


@dataclass(frozen=True, slots=True)
class CapacityBook:
    """Everything that the worth of hours depends on, but for time."""

    parameters: Parameters
    factors: FactorTable
    groups: dict[str, str]
    commitments: dict[str, list[CapacityCommitment]]

    @classmethod
    def of(
        cls,
        parameters: Parameters,
        standard: Standard,
        attestors: Iterable[Attestor],
        commitments: Iterable[CapacityCommitment],
    ) -> CapacityBook:
        by_issuer: dict[str, list[CapacityCommitment]] = {}
        for commitment in commitments:
            by_issuer.setdefault(commitment.issuer, []).append(commitment)
        groups = {attestor.id: attestor.group for attestor in attestors}
        return cls(parameters, factor_table(standard), groups, by_issuer)

    @classmethod
    def load(cls, view: ObjectReader) -> CapacityBook:
        return cls.of(
            load_one(view, Parameters),
            load_one(view, Standard),
            load_all(view, Attestor),
            load_all(view, CapacityCommitment),
        )

    def hours(self, issuer: str, clock_ms: int) -> Hours:
        """R and the part of it that lies in the next 7 days, each floored once."""
        period_ms = self.parameters.period_ms
        soon = (clock_ms + DELIVERABLE_MS) // period_ms
        total = due = 0
        for commitment in self.commitments.get(issuer, ()):
            needed = self.parameters.attestation_groups
            counted = counted_microhours(commitment, self.groups, needed)
            worth = counted * least_factor(
                self.factors, commitment.device_class, commitment.workloads
            )
            total += worth * periods_left(commitment, clock_ms, period_ms)
            due += worth * periods_within(commitment, clock_ms, period_ms, soon)
        return Hours(total // PPM, due // PPM)


def reevaluated(view: ObjectReader, clock: LedgerClock) -> list[Reserve]:
    """Every issuer's reserve with the hours of the period in which `clock` lies."""
    book = CapacityBook.load(view)
    result = []
    for old in load_all(view, Reserve):
        hours = book.hours(old.issuer, clock.time_ms)
        result.append(Reserve(old.asset, old.issuer, old.supply, hours.reserve, hours.deliverable))
    return result


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


def _ratio_ppm(part: int, whole: int) -> int:
    return min(part * PPM // whole, RATIO_PPM_MAX) if whole else RATIO_PPM_MAX
