"""Licences: who may validate, issue, and with which keys.

One key per role, so that losing one costs one power only. The certificate is opaque here: nodes
compare its hash and the link key, links parse it. Expiry is judged by the ledger clock and needs
no sweep: a licence past its expiry is inactive from that moment on.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.codec import Bytes32, Slug, UInt, Wire
from ledger.validators import Member, ValidatorSet

CERTIFICATE_BYTES_MAX = 2 * 1024

Certificate = Annotated[bytes, Meta(min_length=1, max_length=CERTIFICATE_BYTES_MAX)]
Name = Annotated[str, Meta(pattern=r"^[!-~](?:[ -~]{0,62}[!-~])?\Z", max_length=64)]
"""What people read: printable ASCII, because two names must never look alike."""


class LicenceState(IntEnum):
    """Where a licence stands."""

    ACTIVE = 1


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


class Licence(Wire, frozen=True):
    """A grant and its state. Identity: the slug."""

    TYPE: ClassVar[int] = 36
    grant: LicenceGrant
    state: LicenceState

    def is_active(self, clock_ms: int) -> bool:
        """A deadline is met when time <= deadline."""
        return self.state is LicenceState.ACTIVE and clock_ms <= self.grant.expires_ms


def certificate_fingerprint(certificate: bytes) -> bytes:
    """Plain SHA-256 of the DER bytes, the fingerprint that every TLS tool shows."""
    return sha256(certificate).digest()


def validator_set(grants: Iterable[LicenceGrant]) -> ValidatorSet:
    """The members whose licences carry a seat; raises Invalid for an impossible set."""
    return ValidatorSet.of(
        [Member(grant.keys.consensus, grant.id) for grant in grants if grant.validator]
    )
