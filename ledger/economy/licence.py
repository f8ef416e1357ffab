"""Licences: who may validate, issue, and with which keys.

One key per role, so that losing one costs one power only. The certificate is opaque here: nodes
compare its hash and the link key, links parse it. Expiry is judged by the ledger clock and needs
no sweep: a licence past its expiry is inactive from that moment on.

A licence and its seat are two things: seats change at the end of an epoch only (`ledger.epochs`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.codec import Bytes32, Slug, UInt, Wire
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
    can be played twice. `seat_height` is that of the block in which `seat` last changed.
    """

    TYPE: ClassVar[int] = 36
    grant: LicenceGrant
    state: LicenceState
    version: UInt
    seat: Seat
    seat_height: UInt

    @classmethod
    def granted(cls, grant: LicenceGrant) -> Licence:
        """As genesis grants it: whoever may validate has a seat."""
        seat = Seat.SEATED if grant.validator else Seat.NONE
        return cls(grant, LicenceState.ACTIVE, 0, seat, 0)

    def is_active(self, clock_ms: int) -> bool:
        """A deadline is met when time <= deadline."""
        active = self.state in (LicenceState.ACTIVE, LicenceState.ACCUSED)
        return active and clock_ms <= self.grant.expires_ms

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


def certificate_fingerprint(certificate: bytes) -> bytes:
    """Plain SHA-256 of the DER bytes, the fingerprint that every TLS tool shows."""
    return sha256(certificate).digest()


def validator_set(grants: Iterable[LicenceGrant]) -> ValidatorSet:
    """The first set: the licences that carry a seat; raises Invalid for an impossible one."""
    return ValidatorSet.of([grant.member for grant in grants if grant.validator])
