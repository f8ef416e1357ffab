"""Objects with deadlines, by name: read as of now, and written together with their deadline.

A `Register` is the only way to such an object, so that no rule sees one that is past its deadline,
and none is stored whose deadline would be missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ledger.codec import Wire
from ledger.draft import Draft
from ledger.economy import (
    book,
    capacity,
    licence,
    panel,
    redemption,
    regulator,
    reserve,
)
from ledger.economy.book import Book
from ledger.economy.capacity import CapacityCommitment, CommitmentState, Device
from ledger.economy.challenge import Challenge
from ledger.economy.compliance import Order
from ledger.economy.dispute import Dispute
from ledger.economy.due import Due, DueKind
from ledger.economy.licence import Licence
from ledger.economy.redemption import Redemption
from ledger.economy.regulator import Regulator
from ledger.economy.reserve import Reserve
from ledger.economy.spot_audit import Opening

T = TypeVar("T", bound=Wire)


@dataclass(frozen=True, slots=True)
class Register(Generic[T]):
    """One kind of objects."""

    kind: type[T]
    due: DueKind
    identity: Callable[[T], bytes]
    as_of_now: Callable[[Draft, T], T | None]
    """How it stands now; None when it is gone."""
    deadline: Callable[[Draft, T], int | None]

    def get(self, draft: Draft, identity: bytes = b"") -> T | None:
        """The object as of now."""
        held = draft.load(self.kind, identity)
        return None if held is None else self.as_of_now(draft, held)

    def all(self, draft: Draft, prefix: bytes = b"") -> list[T]:
        """Those that are there now, in ascending order of identity."""
        found = (self.as_of_now(draft, held) for held in draft.all(self.kind, prefix))
        return [item for item in found if item is not None]

    def put(self, draft: Draft, value: T) -> None:
        """Store it, and its deadline in place of the last."""
        identity = self.identity(value)
        self._drop_due(draft, identity)
        draft.put(value, identity)
        moment = self.deadline(draft, value)
        if moment is not None:
            due = Due(moment, self.due, identity)
            draft.put(due, due.identity)

    def remove(self, draft: Draft, identity: bytes) -> None:
        self._drop_due(draft, identity)
        draft.remove(self.kind, identity)

    def _drop_due(self, draft: Draft, identity: bytes) -> None:
        held = draft.load(self.kind, identity)
        moment = None if held is None else self.deadline(draft, held)
        if moment is not None:
            draft.remove(Due, Due(moment, self.due, identity).identity)


def name(text: str) -> bytes:
    """The identity of what is known by a slug."""
    return text.encode("ascii")


def _device_as_of_now(draft: Draft, held: Device) -> Device | None:
    """Pledged as long as its very commitment stands, whose schedule may have become longer."""
    pledged = COMMITMENTS.get(draft, CapacityCommitment.identity(held.issuer, held.commitment))
    if pledged is None or pledged.born != held.born or pledged.state is CommitmentState.VOID:
        return None
    return held


LICENCES: Register[Licence] = Register(
    Licence,
    DueKind.LICENCE,
    lambda held: name(held.grant.id),
    lambda draft, held: licence.matured(held, draft.clock_ms, draft.economy),
    lambda draft, held: licence.deadline(held, draft.economy),
)
REGULATORS: Register[Regulator] = Register(
    Regulator,
    DueKind.REGULATOR,
    lambda _: b"",
    lambda draft, held: regulator.matured(held, draft.clock_ms),
    lambda _, held: regulator.deadline(held),
)
COMMITMENTS: Register[CapacityCommitment] = Register(
    CapacityCommitment,
    DueKind.COMMITMENT,
    lambda held: held.key,
    lambda draft, held: capacity.matured(held, draft.clock_ms, draft.economy),
    lambda draft, held: capacity.deadline(held, draft.economy),
)
DEVICES: Register[Device] = Register(
    Device,
    DueKind.DEVICE,
    lambda held: held.id,
    _device_as_of_now,
    lambda _, held: held.until_ms,
)
CHALLENGES: Register[Challenge] = Register(
    Challenge,
    DueKind.CHALLENGE,
    lambda held: CapacityCommitment.identity(held.issuer, held.commitment),
    lambda _, held: held,
    lambda draft, held: panel.deadline(held, draft.economy),
)
RESERVES: Register[Reserve] = Register(
    Reserve,
    DueKind.RESERVE,
    lambda held: held.asset,
    lambda draft, held: reserve.matured(held, draft.clock_ms, draft.economy),
    lambda draft, held: reserve.deadline(held, draft.economy),
)
OPENINGS: Register[Opening] = Register(
    Opening,
    DueKind.OPENING,
    lambda held: Opening.identity(held.period, held.issuer),
    lambda draft, held: held if draft.clock_ms <= held.until_ms else None,
    lambda _, held: held.until_ms,
)
ORDERS: Register[Order] = Register(
    Order,
    DueKind.ORDER,
    lambda held: name(held.id),
    lambda draft, held: held if draft.time_ms <= held.until_ms else None,
    lambda _, held: held.until_ms,
)
REDEMPTIONS: Register[Redemption] = Register(
    Redemption,
    DueKind.REDEMPTION,
    lambda held: held.id,
    lambda draft, held: redemption.matured(held, draft.clock_ms),
    lambda draft, held: redemption.deadline(held, draft.economy),
)
DISPUTES: Register[Dispute] = Register(
    Dispute,
    DueKind.DISPUTE,
    lambda held: held.order,
    lambda _, held: held,
    lambda draft, held: panel.deadline(held, draft.economy),
)
BOOKS: Register[Book] = Register(
    Book,
    DueKind.QUEUE,
    lambda held: held.key,
    lambda _, held: held,
    lambda _, held: book.deadline(held),
)

REGISTERS: tuple[Register[Any], ...] = (
    REGULATORS,
    LICENCES,
    RESERVES,
    COMMITMENTS,
    CHALLENGES,
    DEVICES,
    OPENINGS,
    ORDERS,
    REDEMPTIONS,
    DISPUTES,
    BOOKS,
)
"""All kinds of objects with deadlines, as `DueKind` numbers them."""


def pledged_until(draft: Draft, held: CapacityCommitment) -> int:
    """When it is to be asked whether a device of the commitment is free: at the end of what the
    commitment is now. A proposal may lapse long before its schedule ends."""
    moment = COMMITMENTS.deadline(draft, held)
    return held.terms.to_ms if moment is None else moment


def licences_by_name(draft: Draft) -> dict[str, Licence]:
    """All as of now."""
    return {item.grant.id: item for item in LICENCES.all(draft)}
