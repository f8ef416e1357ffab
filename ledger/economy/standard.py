"""The standard: how many coins an hour of a device class is worth, per workload.

One coin is one standard compute hour: of each workload, so many units of its reference job. A
factor is the share of it that one device hour delivers, in millionths. An hour that may serve
several workloads counts with the least of their factors, because the holder chooses which one is
delivered. How the standard rises is in `ledger.economy.step`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger.codec import Slug, UInt, Wire
from ledger.reasons import Invalid, Reason

FACTORS_MAX = 256
FACTOR_MAX = 1_000_000_000
"""A thousand standard hours from one device hour; keeps products within 128 bits."""
WORKLOADS_MAX = 64
UNITS_MAX = 1 << 40

Version = Annotated[int, Meta(ge=1, lt=1 << 32)]


class Factor(Wire, frozen=True):
    """What one hour of `device_class` is worth at `workload`, in millionths of a coin."""

    device_class: Slug
    workload: Slug
    factor: Annotated[int, Meta(ge=1, le=FACTOR_MAX)]


class Reference(Wire, frozen=True):
    """The throughput of the standard: so many units of the workload's reference job are one
    standard compute hour."""

    workload: Slug
    units: Annotated[int, Meta(ge=1, le=UNITS_MAX)]


Factors = Annotated[tuple[Factor, ...], Meta(min_length=1, max_length=FACTORS_MAX)]
References = Annotated[tuple[Reference, ...], Meta(min_length=1, max_length=WORKLOADS_MAX)]


class Standard(Wire, frozen=True):
    """What is in force. There is one; past ones are kept beside it."""

    TYPE: ClassVar[int] = 35
    version: Version
    factors: Factors
    references: References
    """One a workload that a factor names, ascending."""
    since_ms: UInt
    """When it came into force, on the ledger clock."""


class PastStandard(Wire, frozen=True):
    """One that was in force, until a moment of the ledger clock. Identity: the version."""

    TYPE: ClassVar[int] = 68
    standard: Standard
    until_ms: UInt

    @property
    def identity(self) -> bytes:
        """Older ones come first in the order of keys."""
        return self.standard.version.to_bytes(4, "big")


FactorTable: TypeAlias = dict[tuple[str, str], int]
"""Factors by (class, workload)."""


def factor_table(factors: Iterable[Factor]) -> FactorTable:
    return {(item.device_class, item.workload): item.factor for item in factors}


def units_table(references: Iterable[Reference]) -> dict[str, int]:
    """Units of one standard hour by workload."""
    return {item.workload: item.units for item in references}


def least_factor(table: FactorTable, device_class: str, workloads: tuple[str, ...]) -> int:
    """The factor at which an hour that serves any of `workloads` counts."""
    return min(table[device_class, workload] for workload in workloads)


def check_standard(factors: Iterable[Factor], references: Iterable[Reference]) -> None:
    """Each pair once, and exactly one reference for each workload of a factor, in ascending order;
    raises Invalid(BAD_STANDARD)."""
    known: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for item in factors:
        pair = (item.device_class, item.workload)
        if pair in pairs:
            raise Invalid(Reason.BAD_STANDARD, f"factor '{'/'.join(pair)}' is given 2 times")
        pairs.add(pair)
        known.add(item.workload)
    names = [item.workload for item in references]
    if not all(a < b for a, b in pairwise(names)):
        raise Invalid(Reason.BAD_STANDARD, "references ascend by workload, each once")
    for workload in sorted(known.symmetric_difference(names)):
        detail = "has no reference" if workload in known else "is of no factor"
        raise Invalid(Reason.BAD_STANDARD, f"workload '{workload}' {detail}")
