"""Licences: who may validate, issue, and with which keys; every edge of their life.

One key per role, so that losing one costs one power only. The certificate is opaque here: nodes
compare its hash and the link key, links parse it.

    (none) -> APPLIED -> ACTIVE <-> SUSPENDED -> REVOKED
    ACTIVE -> ACCUSED -> SUSPENDED (evidence, at the end of the epoch)
    ACTIVE -> WINDDOWN -> CLOSED

Every state but the last two has a deadline on the ledger clock (`deadline`): an application lapses,
a licence expires, a suspension ends. What is past it is over, swept or not: `matured` says how a
licence stands now. The holder of coins never pays for the issuer's fault: suspended, winding down
or revoked, coins move and hours stay counted; only minting stops.

A licence and its seat are two things: seats change at the end of an epoch only (`ledger.epochs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.codec import Bytes32, Slug, UInt, Wire
from ledger.economy.parameters import EconomyParameters
from ledger.reasons import Invalid, Reason
from ledger.validators import Member, ValidatorSet

CERTIFICATE_BYTES_MAX = 2 * 1024

Certificate = Annotated[bytes, Meta(min_length=1, max_length=CERTIFICATE_BYTES_MAX)]
Name = Annotated[str, Meta(pattern=r"^[!-~](?:[ -~]{0,62}[!-~])?\Z", max_length=64)]
"""What people read: printable ASCII, because two names must never look alike."""


class LicenceState(IntEnum):
    """Where a licence stands. ACCUSED counts as active until the epoch ends, then SUSPENDED."""

    ACTIVE = 1
    ACCUSED = 2
    SUSPENDED = 3
    REVOKED = 4
    APPLIED = 5
    WINDDOWN = 6
    CLOSED = 7


class Cause(IntEnum):
    """Why a licence is suspended: who may end it, and what it becomes when nobody does."""

    NONE = 0
    REGULATOR = 1
    VALIDATORS = 2
    EVIDENCE = 3
    BOND = 4


class Seat(IntEnum):
    """Where a licence stands towards the set of validators."""

    NONE = 0
    WAITING = 1  # admitted; its node has not said that it holds the chain
    READY = 2  # joins at the end of an epoch, when there is room
    SEATED = 3
    LEAVING = 4  # seated until the end of an epoch


class RoleKeys(Wire, frozen=True):
    """One Ed25519 key for each role of a provider."""

    operations: Bytes32
    treasury: Bytes32
    metering: Bytes32
    consensus: Bytes32
    link: Bytes32


ROTATING_ROLES = ("operations", "treasury", "metering")
"""Keys that sign transactions. Consensus and link key are bound to seat and certificate: a licence
without a seat is granted anew with others."""


class Rotation(Wire, frozen=True):
    """A role's next key and the moment after which it counts."""

    role: Slug
    key: Bytes32
    after_ms: UInt


class LicenceGrant(Wire, frozen=True):
    """What the authority granted to whom."""

    id: Slug
    name: Name
    jurisdiction: Name
    document_hash: Bytes32
    certificate: Certificate
    certificate_hash: Bytes32
    keys: RoleKeys
    expires_ms: UInt
    validator: bool
    issuer: bool

    @property
    def member(self) -> Member:
        """As it would stand in a set."""
        return Member(self.keys.consensus, self.id)


class Licence(Wire, frozen=True):
    """A grant and its state. Identity: the slug.

    `version` counts the operations on it: each names the version that it acts on, so that none
    acts on another licence than was seen. `seat_height` is that of the block in which `seat` last
    changed. `since_ms` is when `state` began, on the ledger clock.
    """

    TYPE: ClassVar[int] = 36
    grant: LicenceGrant
    state: LicenceState
    version: UInt
    seat: Seat
    seat_height: UInt
    since_ms: UInt
    cause: Cause
    rotations: Annotated[tuple[Rotation, ...], Meta(max_length=len(ROTATING_ROLES))]
    evidence_from: UInt
    """The first epoch whose votes accuse it: what it did before was judged."""
    winding_since_ms: UInt
    """When it began to wind down, while evidence has it suspended instead; else 0."""

    @classmethod
    def granted(cls, grant: LicenceGrant, clock_ms: int) -> Licence:
        """As genesis grants it: whoever may validate has a seat."""
        seat = Seat.SEATED if grant.validator else Seat.NONE
        return cls(grant, LicenceState.ACTIVE, 0, seat, 0, clock_ms, Cause.NONE, (), 0, 0)

    def is_active(self, clock_ms: int) -> bool:
        """A deadline is met when time <= deadline."""
        active = self.state in (LicenceState.ACTIVE, LicenceState.ACCUSED)
        return active and clock_ms <= self.grant.expires_ms

    @property
    def stands(self) -> bool:
        """Revoked or closed it never comes back."""
        return self.state not in (LicenceState.REVOKED, LicenceState.CLOSED)

    @property
    def loses_seat(self) -> bool:
        """Only these cost a seat; whoever is suspended otherwise, or winds down, votes on."""
        punished = self.state is LicenceState.SUSPENDED and self.cause is Cause.EVIDENCE
        return punished or not self.stands

    def vacated(self, height: int) -> Licence:
        """The licence once it is to have no seat: one that votes does so until the epoch ends."""
        if self.seat is Seat.SEATED:
            return self.with_seat(Seat.LEAVING, height)
        if self.seat in (Seat.WAITING, Seat.READY):
            return self.with_seat(Seat.NONE, height)
        return self

    def with_seat(self, seat: Seat, height: int) -> Licence:
        """The licence after its seat changed."""
        return msgspec.structs.replace(self, seat=seat, seat_height=height)

    def entered(self, state: LicenceState, since_ms: int, cause: Cause = Cause.NONE) -> Licence:
        """The licence in another state."""
        return msgspec.structs.replace(
            self, state=state, since_ms=since_ms, cause=cause, winding_since_ms=0
        )


def deadline(held: Licence, parameters: EconomyParameters) -> int | None:
    """The last moment of the present state, or of a key that is to be replaced."""
    moments = [item.after_ms for item in held.rotations]
    match held.state:
        case LicenceState.APPLIED:
            moments.append(held.since_ms + parameters.application_ms)
        case LicenceState.ACTIVE:
            moments.append(held.grant.expires_ms)
        case LicenceState.SUSPENDED:
            moments.append(held.since_ms + parameters.suspension_ms)
    return min(moments, default=None)


def matured(held: Licence, clock_ms: int, parameters: EconomyParameters) -> Licence | None:
    """As of the clock; None for an application that lapsed.

    A suspension that nobody ended is over after its longest time, as a freeze is; one for evidence
    or for a bond that stayed short ends the licence.
    """
    held = _rotated(held, clock_ms)
    if held.state is LicenceState.APPLIED:
        return held if clock_ms <= held.since_ms + parameters.application_ms else None
    ends_ms = held.since_ms + parameters.suspension_ms
    if held.state is LicenceState.SUSPENDED and clock_ms > ends_ms:
        is_final = held.cause in (Cause.EVIDENCE, Cause.BOND)
        held = held.entered(LicenceState.REVOKED if is_final else LicenceState.ACTIVE, ends_ms)
    if held.state is LicenceState.ACTIVE and clock_ms > held.grant.expires_ms:
        held = held.entered(LicenceState.WINDDOWN, held.grant.expires_ms)
    return held


def suspended(held: Licence, cause: Cause, clock_ms: int) -> Licence:
    """Minting stops; raises Invalid. ACCUSED waits for its own suspension."""
    if held.state is not LicenceState.ACTIVE:
        raise not_in_state(held, LicenceState.ACTIVE)
    return held.entered(LicenceState.SUSPENDED, clock_ms, cause)


def reinstated(held: Licence, clock_ms: int, epoch: int) -> Licence:
    """A suspension ends early; raises Invalid.

    After evidence it judges what was done until the present epoch began: not before that in which
    it was accused is over, to the end of which its seat votes. Who wound down goes on with it.
    """
    if held.state is not LicenceState.SUSPENDED:
        raise not_in_state(held, LicenceState.SUSPENDED)
    if held.cause is not Cause.EVIDENCE:
        return held.entered(LicenceState.ACTIVE, clock_ms)
    if epoch < held.evidence_from:
        detail = f"'{held.grant.id}' was accused in epoch {epoch}, which is not over"
        raise Invalid(Reason.WRONG_EPOCH, detail)
    winding_ms = held.winding_since_ms
    state = LicenceState.WINDDOWN if winding_ms else LicenceState.ACTIVE
    after = held.entered(state, winding_ms or clock_ms)
    return msgspec.structs.replace(after, evidence_from=epoch)


def revoked(held: Licence, clock_ms: int, height: int) -> Licence:
    """The end of a licence, from any state but the last ones; raises Invalid."""
    if not held.stands:
        raise not_in_state(held, LicenceState.ACTIVE)
    return held.entered(LicenceState.REVOKED, clock_ms).vacated(height)


def wound_down(held: Licence, clock_ms: int) -> Licence:
    """The issuer stops for good; its coins are honoured until none is left. Raises Invalid."""
    if held.state is not LicenceState.ACTIVE:
        raise not_in_state(held, LicenceState.ACTIVE)
    return held.entered(LicenceState.WINDDOWN, clock_ms)


def rotated(
    held: Licence, role: str, key: bytes, clock_ms: int, parameters: EconomyParameters
) -> Licence:
    """A role's next key, which counts after the delay; raises Invalid."""
    if role not in ROTATING_ROLES:
        raise Invalid(Reason.BAD_ROLE, f"'{role}' is none of {', '.join(ROTATING_ROLES)}")
    if any(item.role == role for item in held.rotations):
        raise Invalid(Reason.BAD_ROLE, f"a key for '{role}' of '{held.grant.id}' is on its way")
    change = Rotation(role, key, clock_ms + parameters.rotation_ms)
    return msgspec.structs.replace(held, rotations=(*held.rotations, change))


def not_in_state(held: Licence, wanted: LicenceState) -> Invalid:
    """The refusal of an edge that does not begin here."""
    detail = f"'{held.grant.id}' is {held.state.name.lower()}, not {wanted.name.lower()}"
    return Invalid(Reason.LICENCE_INACTIVE, detail)


def keys_of(held: Licence) -> Iterator[bytes]:
    """Every key that is or will be one of the licence."""
    for role in held.grant.keys.__struct_fields__:
        yield getattr(held.grant.keys, role)
    for item in held.rotations:
        yield item.key


def _rotated(held: Licence, clock_ms: int) -> Licence:
    due = {item.role: item.key for item in held.rotations if clock_ms > item.after_ms}
    if not due:
        return held
    keys = msgspec.structs.replace(held.grant.keys, **due)
    grant = msgspec.structs.replace(held.grant, keys=keys)
    waiting = tuple([item for item in held.rotations if item.role not in due])
    return msgspec.structs.replace(held, grant=grant, rotations=waiting)


def certificate_fingerprint(certificate: bytes) -> bytes:
    """Plain SHA-256 of the DER bytes, the fingerprint that every TLS tool shows."""
    return sha256(certificate).digest()


def validator_set(grants: Iterable[LicenceGrant]) -> ValidatorSet:
    """The first set: the licences that carry a seat; raises Invalid for an impossible one."""
    return ValidatorSet.of([grant.member for grant in grants if grant.validator])
