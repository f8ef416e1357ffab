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
from ledger.codec import AMOUNT_LIMIT, Amount, Bytes32, Slug, UInt, Wire
from ledger.crypto import is_licensed_key, tagged_hash, verify
from ledger.economy.capacity import (
    HORIZON_MS_MAX,
    Attestor,
    CapacityCommitment,
    attestation_hash,
)
from ledger.economy.licence import (
    Certificate,
    LicenceGrant,
    certificate_fingerprint,
    validator_set,
)
from ledger.economy.reserve import CapacityBook
from ledger.economy.standard import Factors, Standard
from ledger.membership import LICENCES_MAX
from ledger.parameters import PPM, Parameters
from ledger.reasons import Invalid, Reason
from ledger.validators import ValidatorSet

GENESIS_BYTES_MAX = 4 * 1024 * 1024
ATTESTORS_MAX = 64
COMMITMENTS_MAX = 1_024
ALLOCATIONS_MAX = 4_096
ISSUERS_MIN = 3
TIME_MS_MAX = 253_402_300_799_000
"""The end of the year 9999: microseconds given for milliseconds would stop the clock for ever."""

_chain_id = tagged_hash("genesis")


class Authority(Wire, frozen=True):
    """Who signs licence certificates: its own certificate, opaque here, and its key."""

    certificate: Certificate
    key: Bytes32


class Allocation(Wire, frozen=True):
    """Coins of `issuer` that exist from the beginning."""

    issuer: Slug
    amount: Amount
    address: Annotated[str, Meta(max_length=90)]


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
    attestors: Annotated[tuple[Attestor, ...], Meta(max_length=ATTESTORS_MAX)]
    licences: Annotated[tuple[LicenceGrant, ...], Meta(max_length=LICENCES_MAX)]
    commitments: Annotated[tuple[CapacityCommitment, ...], Meta(max_length=COMMITMENTS_MAX)]
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
    def capacity_book(self) -> CapacityBook:
        standard = Standard(1, self.standard)
        return CapacityBook.of(self.parameters, standard, self.attestors, self.commitments)


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
    _check_allocations(genesis)
    _check_backing(genesis)


def _check_parameters(genesis: Genesis) -> None:
    values = genesis.parameters
    least, most = values.view_timeout_ms, values.view_timeout_ms_max
    groups = {attestor.group for attestor in genesis.attestors}
    needed = values.attestation_groups
    begins = genesis.time_ms
    _need(begins <= TIME_MS_MAX, f"time_ms {begins} is after the year 9999")
    _need(least <= most, f"view_timeout_ms {least} is above view_timeout_ms_max {most}")
    _need(len(groups) >= needed, f"{len(groups)} groups of attestors, {needed} must attest")


def _check_keys(genesis: Genesis) -> None:
    owner_by_key: dict[bytes, str] = {}
    for owner, key in _keys(genesis):
        shown = key.hex()
        _need(is_licensed_key(key), f"{owner}: {shown} is no usable Ed25519 public key")
        _need(key not in owner_by_key, f"{owner} has the same key as {owner_by_key.get(key)}")
        owner_by_key[key] = owner


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
    pairs = (f"{item.device_class}/{item.workload}" for item in genesis.standard)
    _need_distinct("factor", pairs)
    _need_distinct("commitment", (commitment.id for commitment in genesis.commitments))


def _check_commitment(genesis: Genesis, item: CapacityCommitment) -> None:
    where, period_ms = f"commitment '{item.id}'", genesis.parameters.period_ms
    issuers = {grant.id for grant in genesis.issuers}
    pairs = {(factor.device_class, factor.workload) for factor in genesis.standard}
    begins, ends = item.from_ms, item.to_ms
    _need(item.issuer in issuers, f"{where}: '{item.issuer}' holds no licence to issue")
    _need_distinct(f"{where}: workload", item.workloads)
    for workload in item.workloads:
        pair = (item.device_class, workload)
        _need(pair in pairs, f"{where}: no factor for {item.device_class}/{workload}")
    _need(begins < ends, f"{where}: to_ms {ends} is not after from_ms {begins}")
    _need(ends - begins <= HORIZON_MS_MAX, f"{where}: longer than 365 days")
    _need(begins % period_ms == 0, f"{where}: from_ms {begins} is inside a period of {period_ms}")
    _need(ends % period_ms == 0, f"{where}: to_ms {ends} is inside a period of {period_ms}")
    _need(ends > genesis.time_ms, f"{where}: ended before time_ms")


def _check_attestations(genesis: Genesis, item: CapacityCommitment) -> None:
    where, key_by_id = f"commitment '{item.id}'", {who.id: who.key for who in genesis.attestors}
    _need_distinct(f"{where}: attestation of", (entry.attestor for entry in item.attestations))
    for entry in item.attestations:
        by, figure = f"{where}: attestation of '{entry.attestor}'", entry.microhours
        key = key_by_id.get(entry.attestor, b"")
        message = attestation_hash(genesis.nonce, item, entry.attestor, figure)
        _need(bool(key), f"{by}: no such attestor")
        _need(figure <= item.microhours, f"{by}: {figure} µh, only {item.microhours} committed")
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


def _check_backing(genesis: Genesis) -> None:
    """Fully backed from the first block, with the margin; and by at least three issuers."""
    book, margin_ppm = genesis.capacity_book, genesis.parameters.margin_ppm
    supply = supply_by_issuer(genesis)
    live = 0
    for grant in genesis.issuers:
        reserve, issued = book.hours(grant.id, genesis.time_ms).reserve, supply[grant.id]
        limit = reserve * (PPM - margin_ppm) // PPM
        backing = f"may have {limit} µ outstanding (reserve {reserve}, margin {margin_ppm} ppm)"
        _need(reserve < AMOUNT_LIMIT, f"issuer '{grant.id}': a reserve of {reserve} µ is too large")
        _need(issued <= limit, f"issuer '{grant.id}': {issued} µ allocated, {backing}")
        live += reserve > 0
    _need(live >= ISSUERS_MIN, f"{live} issuers have attested hours, {ISSUERS_MIN} are needed")


def supply_by_issuer(genesis: Genesis) -> Counter[str]:
    """What the allocations add up to, in µ."""
    supply: Counter[str] = Counter()
    for item in genesis.allocations:
        supply[item.issuer] += item.amount
    return supply


def _keys(genesis: Genesis) -> Iterator[tuple[str, bytes]]:
    """Every key with its owner's name, for messages."""
    yield "authority", genesis.authority.key
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
