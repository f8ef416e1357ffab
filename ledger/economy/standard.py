"""The standard: how many coins an hour of a device class is worth, per workload.

A factor is the share of a standard compute hour that one device hour delivers, in millionths. An
hour that may serve several workloads counts with the least of their factors, because the holder
chooses which one is delivered.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger.codec import Slug, Wire

FACTORS_MAX = 256
FACTOR_MAX = 1_000_000_000
"""A thousand standard hours from one device hour; keeps products within 128 bits."""


class Factor(Wire, frozen=True):
    """What one hour of `device_class` is worth at `workload`, in millionths of a coin."""

    device_class: Slug
    workload: Slug
    factor: Annotated[int, Meta(ge=1, le=FACTOR_MAX)]


Factors = Annotated[tuple[Factor, ...], Meta(min_length=1, max_length=FACTORS_MAX)]


class Standard(Wire, frozen=True):
    """The factors in force. There is one."""

    TYPE: ClassVar[int] = 35
    version: Annotated[int, Meta(ge=1, lt=1 << 32)]
    factors: Factors


FactorTable: TypeAlias = dict[tuple[str, str], int]
"""Factors by (class, workload)."""


def factor_table(standard: Standard) -> FactorTable:
    return {(item.device_class, item.workload): item.factor for item in standard.factors}


def least_factor(table: FactorTable, device_class: str, workloads: tuple[str, ...]) -> int:
    """The factor at which an hour that serves any of `workloads` counts."""
    return min(table[device_class, workload] for workload in workloads)
