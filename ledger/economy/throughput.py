"""What the receipts of one period tell of how fast devices are: sums by class and workload.

A receipt tells how much was delivered and in how much device time, and nobody but its two sides
knows whether that is so. What it counts for is therefore bounded by itself: for no more work than
the trigger twice over what the standard expects of the time, and for no more time than twice what
the standard expects for the work. So fewer than half of the time of a class, however fast it says
it was, lift the whole by less than the trigger where the rest keeps to the standard; and time that
delivered nothing outweighs nobody.
"""

from __future__ import annotations

from typing import ClassVar

from ledger.codec import UINT_MAX, Slug, UInt, Wire
from ledger.economy.step import PPM

SLOWEST = 2
"""Device time counts up to so many times what the standard expects for the work."""


class Throughput(Wire, frozen=True):
    """Of one period, until the next begins. Identity: class, zero byte, workload."""

    TYPE: ClassVar[int] = 71
    device_class: Slug
    workload: Slug
    amount: UInt
    """In µ of the standard in force: work units over those of its hour."""
    microhours: UInt
    """Of device time, in µh."""

    @property
    def identity(self) -> bytes:
        return f"{self.device_class}\0{self.workload}".encode("ascii")


def counted(delivered: int, microhours: int, factor: int, trigger_ppm: int) -> tuple[int, int]:
    """The (µ, µh) that a receipt counts for, with the factor of its class; rounded down."""
    time = min(microhours, SLOWEST * delivered * PPM // factor)
    most = time * factor * (PPM + 2 * trigger_ppm) // (PPM * PPM)
    return min(delivered, most), time


def added(held: Throughput, amount: int, microhours: int) -> Throughput:
    """With so much more; a sum that is full stays so."""
    return Throughput(
        held.device_class,
        held.workload,
        min(held.amount + amount, UINT_MAX),
        min(held.microhours + microhours, UINT_MAX),
    )
