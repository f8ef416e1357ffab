"""Capacity: hours that an issuer commits, and those that independent attestors vouch for.

Compute is a flow, an unused hour is gone: a commitment is a schedule of µh (millionths of a
device hour) per period over whole periods of the ledger clock. What counts is the k-th highest
figure among attestations of distinct groups: no k - 1 groups together can raise it, and no
single attestor that overstates can either.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from ledger import codec
from ledger.codec import Bytes32, Signature, Slug, UInt, Wire
from ledger.crypto import tagged_hash
from ledger.economy.licence import Name

HORIZON_MS_MAX = 365 * 24 * 3_600_000
MICROHOURS_MAX = 1 << 40
"""Per period: a million devices for an hour."""
WORKLOADS_MAX = 8
ATTESTATIONS_MAX = 16

MicroHours = Annotated[int, Meta(ge=0, le=MICROHOURS_MAX)]
Workloads = Annotated[tuple[Slug, ...], Meta(min_length=1, max_length=WORKLOADS_MAX)]

_statement_hash = tagged_hash("attestation")


class Attestor(Wire, frozen=True):
    """Vouches for capacity; attestors of one group count as one. Identity: the slug."""

    TYPE: ClassVar[int] = 37
    id: Slug
    name: Name
    group: Slug
    key: Bytes32


class Attestation(Wire, frozen=True):
    """`attestor` vouches for so many µh a period of one commitment."""

    attestor: Slug
    microhours: MicroHours
    signature: Signature


class CapacityCommitment(Wire, frozen=True):
    """`microhours` a period of one device class over [from_ms, to_ms). Identity: the slug."""

    TYPE: ClassVar[int] = 38
    id: Slug
    issuer: Slug
    device_class: Slug
    region: Slug
    workloads: Workloads
    from_ms: UInt
    to_ms: UInt
    microhours: MicroHours
    attestations: Annotated[tuple[Attestation, ...], Meta(max_length=ATTESTATIONS_MAX)]


class AttestationStatement(Wire, frozen=True):
    """What an attestor signs: the whole commitment but for attestations, and its own figure."""

    attestor: Slug
    attested: MicroHours
    id: Slug
    issuer: Slug
    device_class: Slug
    region: Slug
    workloads: Workloads
    from_ms: UInt
    to_ms: UInt
    microhours: MicroHours


def attestation_hash(
    nonce: bytes, commitment: CapacityCommitment, attestor: str, microhours: int
) -> bytes:
    """The 32 bytes that an attestor signs for genesis.

    They are bound to genesis by its nonce: the chain id is a hash over these signatures.
    """
    statement = AttestationStatement(
        attestor=attestor,
        attested=microhours,
        id=commitment.id,
        issuer=commitment.issuer,
        device_class=commitment.device_class,
        region=commitment.region,
        workloads=commitment.workloads,
        from_ms=commitment.from_ms,
        to_ms=commitment.to_ms,
        microhours=commitment.microhours,
    )
    return _statement_hash(nonce, codec.encode_payload(statement))


def counted_microhours(commitment: CapacityCommitment, groups: dict[str, str], needed: int) -> int:
    """The `needed`-th highest figure among groups, 0 where fewer attest.

    `groups` maps attestors to their groups. A group stands behind its highest figure once.
    """
    best: dict[str, int] = {}
    for item in commitment.attestations:
        group = groups[item.attestor]
        best[group] = max(item.microhours, best.get(group, 0))
    figures = sorted(best.values(), reverse=True)
    return figures[needed - 1] if len(figures) >= needed else 0


def periods_left(commitment: CapacityCommitment, clock_ms: int, period_ms: int) -> int:
    """Current and future periods of the schedule; the current one counts as a whole."""
    return periods_within(commitment, clock_ms, period_ms, commitment.to_ms // period_ms)


def periods_within(commitment: CapacityCommitment, clock_ms: int, period_ms: int, end: int) -> int:
    """As `periods_left`, and before the period number `end`."""
    first = max(commitment.from_ms, clock_ms) // period_ms
    return max(0, min(commitment.to_ms // period_ms, end) - first)
