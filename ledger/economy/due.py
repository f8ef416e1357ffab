"""Deadlines as objects: what falls due is found in order, without looking at anything else.

Every object with a deadline has one `Due`. Its key begins with the clock and the deadline, so that
the first keys are the next to fall due, in the order that the protocol wants: time, kind, identity.
A deadline is met while time <= deadline; the transition is due from the first moment after it.

Devices are kept apart: there may be very many, they free what nobody waits for, and so they never
delay the end of a challenge or of hours that still count.

Rules never wait for the sweep: whoever reads an object reads it as of now (`ledger.economy.*`,
`matured`), and the sweep only writes down what that says.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.codec import UInt, Wire

IDENTITY_BYTES_MAX = 128


class DueKind(IntEnum):
    """What falls due; the order of those due at one moment. Append-only."""

    REGULATOR = 1
    LICENCE = 2
    RESERVE = 3
    COMMITMENT = 4
    CHALLENGE = 5
    DEVICE = 6
    OPENING = 7
    ORDER = 8
    REDEMPTION = 9
    DISPUTE = 10
    QUEUE = 20


class Due(Wire, frozen=True):
    """One deadline. Identity: clock, deadline, kind, identity of the object."""

    TYPE: ClassVar[int] = 52
    deadline_ms: UInt
    kind: DueKind
    object: Annotated[bytes, Meta(max_length=IDENTITY_BYTES_MAX)]

    @property
    def identity(self) -> bytes:
        return due_clock(self.kind) + self.deadline_ms.to_bytes(8, "big") + self.place

    @property
    def place(self) -> bytes:
        """Whose deadline it is."""
        return bytes((self.kind,)) + self.object


LEDGER_CLOCK = b"\0"
HEADER_TIME = b"\1"
DEVICE_CLOCK = b"\2"
"""The ledger clock too; swept last."""


def due_clock(kind: DueKind) -> bytes:
    """The clock that a kind's deadlines are measured by: orders follow the calendar."""
    match kind:
        case DueKind.ORDER:
            return HEADER_TIME
        case DueKind.DEVICE:
            return DEVICE_CLOCK
        case _:
            return LEDGER_CLOCK
