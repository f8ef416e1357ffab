"""Genesis: the file that a chain begins with, every rule that it must obey, and the chain's id.

The id hashes the canonical encoding of what was parsed, so that white space and the order of keys
do not count. A chain that could not work, or that would promise more than its attested hours
cover, is refused here with the figures, before anything is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from ledger import codec, json_form
from ledger.address import HRP_BY_NETWORK, decode_address, encode_address
from ledger.codec import Amount, Bytes32, Signature, Slug, UInt, Wire
from ledger.crypto import is_licensed_key, tagged_hash, verify
from ledger.economy import bond, capacity
from ledger.economy.attestor import ATTESTORS_MAX, AttestorGrant
from ledger.economy.bond import Bond
from ledger.economy.capacity import (
    ATTESTATIONS_MAX,
    COMMITMENTS_MAX,
    DEVICES_OF_ISSUER_MAX,
    Attestation,
    CapacityCommitment,
    CommitmentState,
    CommitmentTerms,
    Measure,
    MicroHours,
)
from ledger.economy.licence import (
    Certificate,
    LicenceGrant,
    certificate_fingerprint,
    validator_set,
)
from ledger.economy.regulator import RegulatorKeys, check_keys
from ledger.economy.reserve import Hours, hours_of, is_thin, margin_limit
from ledger.economy.standard import (
    Factors,
    References,
    Standard,
    check_standard,
    factor_table,
)
from ledger.membership import LICENCES_MAX
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.validators import ValidatorSet

GENESIS_BYTES_MAX = 4 * 1024 * 1024
"""Room for some 60,000 devices: a year of theirs at the largest factor is an amount still."""
BONDS_MAX = 4_096
ALLOCATIONS_MAX = 4_096
ISSUERS_MIN = 3
TIME_MS_MAX = 253_402_300_799_000
"""The end of the year 9999: microseconds given for milliseconds would stop the clock for ever."""

_chain_id = tagged_hash("genesis")
_statement_hash = tagged_hash("attestation")
_devices_hash = tagged_hash("attestation/devices")


class Authority(Wire, frozen=True):
    """Who signs licence certificates: its own certificate, opaque here, and its key."""

    certificate: Certificate
    key: Bytes32


class Allocation(Wire, frozen=True):
    """Coins of `issuer` that exist from the beginning."""

    issuer: Slug
    amount: Amount
    address: Annotated[str, Meta(max_length=90)]


class SignedAttestation(Wire, frozen=True):
    """`attestor` vouches for so many µh a period of one commitment of genesis."""

    attestor: Slug
    microhours: MicroHours
    signature: Signature


class GenesisCommitment(Wire, frozen=True):
    """Capacity that is live from the beginning, its devices in ascending order."""

    terms: CommitmentTerms
    devices: Annotated[tuple[Bytes32, ...], Meta(max_length=DEVICES_OF_ISSUER_MAX)]
    attestations: Annotated[tuple[SignedAttestation, ...], Meta(max_length=ATTESTATIONS_MAX)]


class GenesisBond(Wire, frozen=True):
    """What `issuer` puts up in coins of `coin`, another issuer; it is part of their supply."""

    issuer: Slug
    coin: Slug
    amount: Amount


class AttestationStatement(Wire, frozen=True):
    """What an attestor signs: terms, devices, and its own figure."""

    attestor: Slug
    microhours: MicroHours
    terms: CommitmentTerms
    devices: Bytes32


class Genesis(Wire, frozen=True):
    """Everything that nodes of a chain must agree on before its first block."""

    TYPE: ClassVar[int] = 41
    format: Literal[1]
    network: Literal["main", "test", "devnet"]
    nonce: Bytes32
    """Sets apart chains that are otherwise equal."""
    time_ms: UInt
    authority: Authority
    parameters: Parameters
    standard: Factors
    references: References
    """One a workload of the standard, ascending."""
    regulator: RegulatorKeys
    attestors: Annotated[tuple[AttestorGrant, ...], Meta(max_length=ATTESTORS_MAX)]
    licences: Annotated[tuple[LicenceGrant, ...], Meta(max_length=LICENCES_MAX)]
    commitments: Annotated[tuple[GenesisCommitment, ...], Meta(max_length=COMMITMENTS_MAX)]
    bonds: Annotated[tuple[GenesisBond, ...], Meta(max_length=BONDS_MAX)]
    allocations: Annotated[tuple[Allocation, ...], Meta(max_length=ALLOCATIONS_MAX)]

    @property
    def hrp(self) -> str:
        """The beginning of this network's addresses."""
        return HRP_BY_NETWORK[self.network]

    @property
    def issuers(self) -> list[LicenceGrant]:
        return [grant for grant in self.licences if grant.issuer]

    @property
    def validators(self) -> ValidatorSet:
        """The set that votes first; raises Invalid where there can be none."""
        return validator_set(self.licences)

    @property
    def first_standard(self) -> Standard:
        return Standard(1, self.standard, self.references, self.time_ms)

    @property
    def period(self) -> int:
        """The number of the first period."""
        return self.time_ms // self.parameters.period_ms

    @property
    def measure(self) -> Measure:
        """What hours are measured by at the beginning."""
        return Measure(
            groups={item.id: item.group for item in self.attestors},
            needed=self.parameters.attestation_groups,
            period_ms=self.parameters.period_ms,
            life_ms=self.parameters.economy.attestation_life_ms,
            clock_ms=self.time_ms,
        )

    def hours(self, issuer: str) -> Hours:
        """The worth of an issuer's hours at the beginning."""
        commitments = [live(self, item) for item in self.commitments if item.terms.issuer == issuer]
        return hours_of(commitments, factor_table(self.standard), self.measure)


def live(genesis: Genesis, item: GenesisCommitment) -> CapacityCommitment:
    """A commitment as the first state holds it."""
    attestations = sorted(item.attestations, key=lambda entry: entry.attestor)
    return CapacityCommitment(
        terms=item.terms,
        state=CommitmentState.LIVE,
        version=0,
        since_ms=genesis.time_ms,
        born=0,
        devices=len(item.devices),
        attestations=tuple(
            [
                Attestation(entry.attestor, entry.microhours, genesis.time_ms, item.terms.to_ms, ())
                for entry in attestations
            ]
        ),
        pledged_in=genesis.period,
        devices_before=0,
        delivered_in=0,
        delivered=0,
    )


def attestation_hash(
    nonce: bytes, item: GenesisCommitment, attestor: str, microhours: int
) -> bytes:
    """The 32 bytes that an attestor signs for genesis.

    They are bound to genesis by its nonce: the chain id is a hash over these signatures.
    """
    devices = _devices_hash(*item.devices)
    statement = AttestationStatement(attestor, microhours, item.terms, devices)
    return _statement_hash(nonce, codec.encode_payload(statement))


def load(data: bytes) -> Genesis:
    """Read genesis.json; raises Invalid(BAD_GENESIS) that names the first fault."""
    try:
        genesis = json_form.loads(data, Genesis, size_max=GENESIS_BYTES_MAX)
    except Invalid as error:
        raise Invalid(Reason.BAD_GENESIS, error.detail) from None
    check(genesis)
    return genesis


def dump(genesis: Genesis) -> bytes:
    """genesis.json: the same value gives the same bytes."""
    return json_form.dumps(genesis)


def chain_id(genesis: Genesis) -> bytes:
    """The identity of the chain."""
    return _chain_id(codec.encode_payload(genesis))


def check(genesis: Genesis) -> None:
    """Every rule beyond the shape, one line each; raises Invalid(BAD_GENESIS)."""
    _check_parameters(genesis)
    _check_keys(genesis)
    _check_licences(genesis)
    _check_standard(genesis)
    for commitment in genesis.commitments:
        _check_commitment(genesis, commitment)
        _check_attestations(genesis, commitment)
    _check_ladder(genesis)
    _check_allocations(genesis)
    _check_bonds(genesis)
    _check_backing(genesis)


def _check_parameters(genesis: Genesis) -> None:
    values = genesis.parameters
    least, most = values.view_timeout_ms, values.view_timeout_ms_max
    groups = {attestor.group for attestor in genesis.attestors}
    needed = values.attestation_groups
    begins = genesis.time_ms
    _need(begins <= TIME_MS_MAX, f"time_ms {begins} is after the year 9999")
    _need(least <= most, f"view_timeout_ms {least} is above view_timeout_ms_max {most}")
    life, period = values.economy.attestation_life_ms, values.period_ms
    _need(
        life >= 2 * period,
        f"attestation_life_ms {life} is below two periods of {period} ms: no word would count",
    )
    step, margin = values.economy.step_ppm, values.margin_ppm
    _need(step <= margin, f"step_ppm {step} is above margin_ppm {margin}: a step would break coins")
    _need(len(groups) >= needed, f"{len(groups)} groups of attestors, {needed} must attest")


def _check_keys(genesis: Genesis) -> None:
    owner_by_key: dict[bytes, str] = {}
    for owner, key in _keys(genesis):
        shown = key.hex()
        _need(is_licensed_key(key), f"{owner}: {shown} is no usable Ed25519 public key")
        _need(key not in owner_by_key, f"{owner} has the same key as {owner_by_key.get(key)}")
        owner_by_key[key] = owner
    try:
        check_keys(genesis.regulator)
    except Invalid as error:
        raise Invalid(Reason.BAD_GENESIS, error.detail) from None


def _check_licences(genesis: Genesis) -> None:
    _need_distinct("licence id", (grant.id for grant in genesis.licences))
    _need_distinct("licence name", (grant.name.casefold() for grant in genesis.licences))
    _need_distinct("attestor", (attestor.id for attestor in genesis.attestors))
    for grant in genesis.licences:
        where, expires = f"licence '{grant.id}'", grant.expires_ms
        fingerprint = certificate_fingerprint(grant.certificate)
        _need(fingerprint == grant.certificate_hash, f"{where}: certificate_hash does not match")
        _need(expires > genesis.time_ms, f"{where}: expires at {expires}, not after time_ms")
    found = len(genesis.issuers)
    _need(found >= ISSUERS_MIN, f"{found} issuers, at least {ISSUERS_MIN} are needed")
    validator_set(genesis.licences)  # Four to thirty-two; the set knows its own rules.


def _check_standard(genesis: Genesis) -> None:
    try:
        check_standard(genesis.standard, genesis.references)
    except Invalid as error:
        raise Invalid(Reason.BAD_GENESIS, error.detail) from None


def _check_commitment(genesis: Genesis, item: GenesisCommitment) -> None:
    terms = item.terms
    where = f"commitment '{terms.id}' of '{terms.issuer}'"
    issuers = {grant.id for grant in genesis.issuers}
    pairs = {(factor.device_class, factor.workload) for factor in genesis.standard}
    _need(terms.issuer in issuers, f"{where}: '{terms.issuer}' holds no licence to issue")
    for workload in terms.workloads:
        pair = (terms.device_class, workload)
        _need(pair in pairs, f"{where}: no factor for {terms.device_class}/{workload}")
    try:
        capacity.propose(
            terms, clock_ms=genesis.time_ms, period_ms=genesis.parameters.period_ms, height=0
        )
    except Invalid as error:
        raise Invalid(Reason.BAD_GENESIS, f"{where}: {error.detail}") from None
    is_ordered = list(item.devices) == sorted(set(item.devices))
    _need(is_ordered, f"{where}: devices ascend, each once")
    needed = capacity.devices_needed(terms.microhours, genesis.parameters.period_ms)
    found = len(item.devices)
    _need(found <= needed, f"{where}: {found} devices, its hours need {needed}")


def _check_attestations(genesis: Genesis, item: GenesisCommitment) -> None:
    terms, key_by_id = item.terms, {who.id: who.key for who in genesis.attestors}
    where = f"commitment '{terms.id}' of '{terms.issuer}'"
    _need_distinct(f"{where}: attestation of", (entry.attestor for entry in item.attestations))
    for entry in item.attestations:
        by, figure = f"{where}: attestation of '{entry.attestor}'", entry.microhours
        key = key_by_id.get(entry.attestor, b"")
        message = attestation_hash(genesis.nonce, item, entry.attestor, figure)
        _need(bool(key), f"{by}: no such attestor")
        _need(figure <= terms.microhours, f"{by}: {figure} µh, only {terms.microhours} committed")
        _need(verify(key, message, entry.signature), f"{by}: the signature is wrong")


def _check_allocations(genesis: Genesis) -> None:
    issuers = {grant.id for grant in genesis.issuers}
    for index, item in enumerate(genesis.allocations):
        where = f"allocations[{index}]"
        _need(item.issuer in issuers, f"{where}: '{item.issuer}' holds no licence to issue")
        try:
            lock = decode_address(item.address, genesis.hrp)
        except Invalid as error:
            raise Invalid(Reason.BAD_GENESIS, f"{where}: {error.detail}") from None
        is_lower = encode_address(lock, genesis.hrp) == item.address
        _need(is_lower, f"{where}: addresses are written in lower case here")


def _check_ladder(genesis: Genesis) -> None:
    """Every name, line and device stands once."""
    found = [item.terms for item in genesis.commitments]
    _need_distinct("commitment", (f"{item.issuer}/{item.id}" for item in found))
    devices = (device.hex() for item in genesis.commitments for device in item.devices)
    _need_distinct("device", devices)
    pledged: Counter[str] = Counter()
    for item in genesis.commitments:
        pledged[item.terms.issuer] += len(item.devices)
    for issuer, count in sorted(pledged.items()):
        most = f"at most {DEVICES_OF_ISSUER_MAX} may be pledged"
        _need(count <= DEVICES_OF_ISSUER_MAX, f"issuer '{issuer}': {count} devices, {most}")
    for index, terms in enumerate(found):
        for other in found[:index]:
            where = f"commitments '{other.id}' and '{terms.id}' of '{terms.issuer}'"
            _need(not capacity.overlaps(other, terms), f"{where}: their schedules overlap")


def _check_bonds(genesis: Genesis) -> None:
    issuers = {grant.id for grant in genesis.issuers}
    _need_distinct("bond", (f"{item.issuer}/{item.coin}" for item in genesis.bonds))
    for index, item in enumerate(genesis.bonds):
        where = f"bonds[{index}]"
        for name in (item.issuer, item.coin):
            _need(name in issuers, f"{where}: '{name}' holds no licence to issue")
        _need(item.issuer != item.coin, f"{where}: '{item.issuer}' in its own coin")


def _check_backing(genesis: Genesis) -> None:
    """Healthy from the first block: within the margin, deliverable, bonded; and by at least three
    issuers."""
    margin_ppm, economy = genesis.parameters.margin_ppm, genesis.parameters.economy
    supply = supply_by_issuer(genesis)
    coins = {grant.id.encode("ascii") for grant in genesis.issuers}
    live_issuers = 0
    for grant in genesis.issuers:
        hours, issued = genesis.hours(grant.id), supply[grant.id]
        reserve, who = hours.reserve, f"issuer '{grant.id}'"
        limit = margin_limit(reserve, margin_ppm)
        backing = f"may have {limit} µ outstanding (reserve {reserve}, margin {margin_ppm} ppm)"
        _need(issued <= limit, f"{who}: {issued} µ allocated, {backing}")
        thin = is_thin(issued, hours.deliverable, economy.deliverability_ppm)
        _need(not thin, f"{who}: {hours.deliverable} µ due in 7 days, {issued} allocated")
        needed = bond.required(issued, economy.bond_ppm)
        bonds = [
            Bond(item.issuer, item.coin.encode("ascii"), item.amount)
            for item in genesis.bonds
            if item.issuer == grant.id
        ]
        worth = bond.worth(bonds, coins, needed)
        _need(worth >= needed, f"{who}: bonds count for {worth} µ, {needed} are required")
        live_issuers += reserve > 0
    _need(
        live_issuers >= ISSUERS_MIN,
        f"{live_issuers} issuers have attested hours, {ISSUERS_MIN} are needed",
    )


def supply_by_issuer(genesis: Genesis) -> Counter[str]:
    """What allocations and bonds add up to, in µ."""
    supply: Counter[str] = Counter()
    for item in genesis.allocations:
        supply[item.issuer] += item.amount
    for put_up in genesis.bonds:
        supply[put_up.coin] += put_up.amount
    return supply


def _keys(genesis: Genesis) -> Iterator[tuple[str, bytes]]:
    """Every key with its owner's name, for messages."""
    yield "authority", genesis.authority.key
    for key in genesis.regulator.keys:
        yield "the regulator", key
    for attestor in genesis.attestors:
        yield f"attestor '{attestor.id}'", attestor.key
    for grant in genesis.licences:
        for role in grant.keys.__struct_fields__:
            yield f"licence '{grant.id}', role {role}", getattr(grant.keys, role)


def _need(condition: bool, detail: str) -> None:
    if not condition:
        raise Invalid(Reason.BAD_GENESIS, detail)


def _need_distinct(what: str, names: Iterable[str]) -> None:
    for name, count in sorted(Counter(names).items()):
        _need(count == 1, f"{what} '{name}' is given {count} times")
