"""Epochs: when one ends, who validates in the next, and who is paid for the last.

The last block of an epoch is the first that has `epoch_blocks` blocks and `epoch_ms` of header time
of its epoch behind it, or that executes END_EPOCH. Its header names the next set, its state
holds it. Who leaves goes first, the oldest wish first; who is ready takes a free seat. So that any
two sets in a row share enough honest members, at most f seats change at once, a swap counting as
one, and there are never fewer than four.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.block import Header
from ledger.codec import Bytes32, UInt, Wire
from ledger.crypto import ZERO_HASH
from ledger.draft import Draft
from ledger.economy.licence import Cause, Licence, LicenceState, Seat
from ledger.locks import Key, lock_hash
from ledger.objects import ObjectReader, load_one
from ledger.parameters import Parameters
from ledger.registers import LICENCES, licences_by_name
from ledger.validators import (
    VALIDATORS_MAX,
    VALIDATORS_MIN,
    Members,
    ValidatorSet,
    fault_limit,
)


class Epoch(Wire, frozen=True):
    """The epoch of the next block. One a state.

    `base_*` are those of the last block of the epoch before (genesis for epoch 0); `base_hash` is
    zero until the epoch's first block writes it, for no block's state can hold its own hash.
    """

    TYPE: ClassVar[int] = 42
    number: UInt
    base_height: UInt
    base_hash: Bytes32
    base_ms: UInt
    is_ending: bool
    """END_EPOCH was executed in this very block, which becomes the last."""
    members: Members
    payees: Annotated[tuple[Bytes32, ...], Meta(max_length=VALIDATORS_MAX)]
    """Locks of the treasuries of the last epoch's members: its fees go to them."""

    @property
    def validators(self) -> ValidatorSet:
        return ValidatorSet(self.number, self.members)


def validators_of(view: ObjectReader) -> ValidatorSet:
    """The set of the block after `view`."""
    return load_one(view, Epoch).validators


def first_epoch(validators: ValidatorSet, time_ms: int) -> Epoch:
    """That of the chain's first blocks, with genesis as its base."""
    return Epoch(0, 0, ZERO_HASH, time_ms, False, validators.members, ())


def ends_with(epoch: Epoch, parameters: Parameters, *, height: int, time_ms: int) -> bool:
    """Whether the block at `height` with this header time is the last of its epoch."""
    blocks_behind = height - epoch.base_height - 1
    time_behind_ms = time_ms - epoch.base_ms
    full = blocks_behind >= parameters.epoch_blocks and time_behind_ms >= parameters.epoch_ms
    return full or epoch.is_ending


def begin(epoch: Epoch, parent_hash: bytes) -> Epoch:
    """The epoch as its first block finds it: now its base has a hash."""
    return msgspec.structs.replace(epoch, base_hash=parent_hash)


def next_epoch(draft: Draft) -> None:
    """What the last block of an epoch leaves: the next epoch and whose seat changed."""
    epoch, clock_ms, height = draft.one(Epoch), draft.clock_ms, draft.height
    before = licences_by_name(draft)
    licences = {name: _judged(item, clock_ms, height) for name, item in before.items()}
    leaving, joining = changed_seats(list(licences.values()), len(epoch.members), clock_ms)
    for item in leaving:
        licences[item.grant.id] = item.with_seat(Seat.NONE, height)
    for item in joining:
        licences[item.grant.id] = item.with_seat(Seat.SEATED, height)
    seated = (Seat.SEATED, Seat.LEAVING)
    members = [item.grant.member for item in licences.values() if item.seat in seated]
    following = Epoch(
        number=epoch.number + 1,
        base_height=height,
        base_hash=ZERO_HASH,
        base_ms=draft.time_ms,
        is_ending=False,
        members=ValidatorSet.of(members).members,
        payees=tuple([_treasury_lock(before[member.licence]) for member in epoch.members]),
    )
    draft.put(following)
    for name, item in licences.items():
        if item != before[name]:
            LICENCES.put(draft, item)


def changed_seats(
    licences: list[Licence], members: int, clock_ms: int
) -> tuple[list[Licence], list[Licence]]:
    """Who leaves and who joins a set of so many at the end of an epoch; the rest wait.

    Nobody joins whose licence was suspended or has expired since its node was ready.
    """
    leaving = _oldest_first(licences, Seat.LEAVING)
    ready = _oldest_first(licences, Seat.READY)
    joining = [item for item in ready if item.is_active(clock_ms)]
    seats = fault_limit(members)
    room = VALIDATORS_MAX - members + min(seats, len(leaving))
    joining = joining[: min(seats, room)]
    leaving = leaving[: min(seats, members + len(joining) - VALIDATORS_MIN)]
    return leaving, joining


def epoch_after(header: Header) -> int:
    """The epoch of the block that follows."""
    return header.epoch + 1 if header.ends_epoch else header.epoch


def _judged(licence: Licence, clock_ms: int, height: int) -> Licence:
    """Evidence suspends at the end of the epoch; what costs a seat costs it now."""
    if licence.state is LicenceState.ACCUSED:
        licence = licence.entered(LicenceState.SUSPENDED, clock_ms, Cause.EVIDENCE)
    return licence.vacated(height) if licence.loses_seat else licence


def _oldest_first(licences: list[Licence], seat: Seat) -> list[Licence]:
    found = [item for item in licences if item.seat is seat]
    return sorted(found, key=lambda item: (item.seat_height, item.grant.id))


def _treasury_lock(licence: Licence) -> bytes:
    return lock_hash(Key(licence.grant.keys.treasury))
