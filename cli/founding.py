"""What a genesis is put together from, whether its keys are public or secret.

Test networks, whose keys all follow from one nonce (`cli.devnet.blueprint`), and networks of real
hosts (`cli.network_make`) differ in where keys and figures come from, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.crypto import SigningKey
from ledger.economy.capacity import CommitmentTerms
from ledger.economy.licence import LicenceGrant, RoleKeys, certificate_fingerprint
from ledger.economy.parameters import YEAR_MS, EconomyParameters
from ledger.economy.schedule import HORIZON_MS_MAX
from ledger.economy.standard import Factor, Reference
from ledger.genesis import GenesisCommitment, SignedAttestation, attestation_hash
from ledger.parameters import PPM, Parameters
from ledger.times import DAY_MS, HOUR_MS, MINUTE_MS
from p2p.licence_cert import issue_licence_certificate

FACTORS = (
    Factor("h100x8", "training", 8_000_000),
    Factor("h100x8", "fine-tuning", 8_000_000),
    Factor("h100x8", "inference", 10_000_000),
    Factor("l40sx8", "inference", 2_400_000),
)
"""The standard that a chain begins with where nothing else is said: machines of eight cards."""
REFERENCES = (
    Reference("fine-tuning", 40_000),
    Reference("inference", 20_000),
    Reference("training", 30_000),
)
"""Units of the reference jobs that are one standard compute hour; docs/ECONOMY.md says what a unit
of each is."""

PRODUCTION = EconomyParameters(
    deliverability_ppm=50_000,
    mint_cap_ppm=20_000,
    bond_ppm=100_000,
    deposit_ppm=10_000,
    attestation_life_ms=7 * DAY_MS,
    lower_ms=DAY_MS,
    proposal_ms=7 * DAY_MS,
    contest_ms=7 * DAY_MS,
    cure_ms=7 * DAY_MS,
    bond_cure_ms=30 * DAY_MS,
    application_ms=30 * DAY_MS,
    suspension_ms=180 * DAY_MS,
    rotation_ms=DAY_MS,
    regulator_rotation_ms=30 * DAY_MS,
    winddown_ms=5 * YEAR_MS,
    order_ms_max=90 * DAY_MS,
    audit_devices=150,
    accept_ms=10 * MINUTE_MS,
    closing_ms=HOUR_MS,
    tick_ms=MINUTE_MS,
    penalty_ppm=20_000,
    penalty_ppm_max=200_000,
    forgive_ms=30 * DAY_MS,
    step_ppm=150_000,
    step_spacing_ms=30 * DAY_MS,
    notice_ms=90 * DAY_MS,
    trigger_ppm=100_000,
)
"""Where nothing else is said."""


@dataclass(frozen=True, slots=True)
class LicenceAuthority:
    """Who signs licence certificates."""

    key: Ed25519PrivateKey
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who gets a licence, and for what."""

    id: str
    name: str
    jurisdiction: str
    document_hash: bytes
    expires_ms: int
    issuer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Devices of one class that an issuer commits for a year."""

    device_class: str
    devices: int
    region: str
    workloads: tuple[str, ...]


def grant_licence(authority: LicenceAuthority, provider: Provider, keys: RoleKeys) -> LicenceGrant:
    """The licence of a validator, with its certificate; raises Invalid."""
    certificate = issue_licence_certificate(
        authority.key, authority.certificate, keys.link, provider.id
    )
    return LicenceGrant(
        id=provider.id,
        name=provider.name,
        jurisdiction=provider.jurisdiction,
        document_hash=provider.document_hash,
        certificate=certificate,
        certificate_hash=certificate_fingerprint(certificate),
        keys=keys,
        expires_ms=provider.expires_ms,
        validator=True,
        issuer=provider.issuer,
    )


def commitment(
    issuer: str, capacity: Capacity, devices: Iterable[bytes], *, time_ms: int, period_ms: int
) -> GenesisCommitment:
    """From the period that contains `time_ms` on, for a year; nobody vouches for it yet."""
    begins = time_ms - time_ms % period_ms
    horizon = HORIZON_MS_MAX - HORIZON_MS_MAX % period_ms
    terms = CommitmentTerms(
        id=f"{issuer}-{capacity.device_class}",
        issuer=issuer,
        device_class=capacity.device_class,
        region=capacity.region,
        workloads=tuple(sorted(capacity.workloads)),
        from_ms=begins,
        to_ms=begins + horizon,
        microhours=capacity.devices * PPM * period_ms // HOUR_MS,
    )
    return GenesisCommitment(terms, tuple(sorted(devices)), ())


def attested(
    nonce: bytes, bare: GenesisCommitment, attestors: Iterable[tuple[str, SigningKey, int]]
) -> GenesisCommitment:
    """The commitment with the word of each attestor: who, its key, and the per cent it found."""
    found = []
    for name, key, percent in attestors:
        figure = bare.terms.microhours * percent // 100
        message = attestation_hash(nonce, bare, name, figure)
        found.append(SignedAttestation(name, figure, key.sign(message)))
    return msgspec.structs.replace(bare, attestations=tuple(found))


def parameters(
    economy: EconomyParameters,
    *,
    attestation_groups: int,
    period_ms: int,
    epoch_blocks: int,
    epoch_ms: int,
) -> Parameters:
    """What suits four validators and thirty-two, on one machine and on a continent."""
    return Parameters(
        fee_per_byte=1,
        fee_per_signature=50,
        fee_per_new_output=200,
        margin_ppm=200_000,
        period_ms=period_ms,
        attestation_groups=attestation_groups,
        window=4,
        block_interval_ms=5,
        heartbeat_ms=10_000,
        view_timeout_ms=2_000,
        view_timeout_ms_max=60_000,
        epoch_blocks=epoch_blocks,
        epoch_ms=epoch_ms,
        economy=economy,
    )
