"""A devnet's genesis with every key in it, all derived from 32 bytes: the nonce.

The same nonce, number of validators and of accounts give the same bytes of genesis.json, so that
an example can be checked in and a fault found with one seed can be replayed. Every key that comes
from here is public by design: whoever reads the genesis can derive it.

Each validator is a licensed provider; they are in the order of their consensus keys, so that the
first is the primary of view 0. The first four issue coins, backed by hours of three device classes
that three independent attestors vouch for; five more are there to rule on challenges. Far less is
outstanding than may be: minting has room. Times that last days elsewhere last minutes here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli import founding
from cli.founding import FACTORS, REFERENCES, Capacity, LicenceAuthority, Provider
from ledger import codec
from ledger.address import HRP_BY_NETWORK, encode_address
from ledger.crypto import SigningKey, tagged_hash
from ledger.economy.attestor import AttestorGrant
from ledger.economy.licence import LicenceGrant, RoleKeys
from ledger.economy.parameters import EconomyParameters
from ledger.economy.regulator import RegulatorKeys
from ledger.economy.schedule import HORIZON_MS_MAX
from ledger.economy.standard import Factor, Reference
from ledger.genesis import Allocation, Authority, Genesis, GenesisBond, GenesisCommitment, check
from ledger.locks import Key, lock_hash
from ledger.times import DAY_MS, MINUTE_MS
from p2p.licence_cert import issue_authority_certificate

NETWORK: Final = "devnet"
_PROVIDERS = (
    "acme bolt coral delta ember flint grove harbor indigo jade kite lumen maple nimbus onyx pearl"
    " quartz ridge sable tidal umber vega willow xenon yarrow zephyr atlas beacon cedar drift echo"
    " fjord"
)
_NAMES = "alice bob carol dave erin frank grace heidi ivan judy"
PROVIDERS = tuple(_PROVIDERS.split())
"""One a validator; as many as a set may have."""
ISSUERS_MAX = 4
NAMES = tuple(_NAMES.split())
FAUCET = "faucet"
SEEDED_TIME_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when a devnet made with --seed begins, on whatever day it is made."""
EPOCH_BLOCKS = 20
EPOCH_MS = 60_000
ATTESTATION_GROUPS = 2
"""One less than elsewhere: two commands make a new commitment count."""
LICENCE_MS = 10 * HORIZON_MS_MAX
PERIOD_MS = 60_000

COIN = 1_000_000
MAIN_COINS = 10_000 * COIN
"""What an account holds of one issuer's coins; of the next issuer's it holds a quarter of this."""
SIDE_COINS = MAIN_COINS // 4
FAUCET_COINS = 20_000 * COIN
FAUCET_OUTPUTS = 8
"""Of each issuer, so that several can be paid at once before the change is final."""

BOND_COINS = 25_000 * COIN
"""What each issuer puts up in the coins of each other issuer."""

REGION = "devnet-1"
_CAPACITY = (
    Capacity(
        device_class="h100x8",
        devices=20,
        region=REGION,
        workloads=("fine-tuning", "inference", "training"),
    ),
    Capacity(device_class="l40sx8", devices=25, region=REGION, workloads=("inference",)),
    Capacity(device_class="cpu", devices=3, region=REGION, workloads=("hashing",)),
)
"""What each issuer commits: machines of eight cards, and processors such as any machine has."""
_FACTORS = (*FACTORS, Factor("cpu", "hashing", 60_000_000))
_REFERENCES = tuple(
    sorted((*REFERENCES, Reference("hashing", 4_000)), key=lambda item: item.workload)
)
"""As elsewhere, and a small job that the machine of a devnet delivers: a processor is worth sixty
coins an hour, 67 units a second, which any does."""
_ATTESTORS = "meridian northlight plumbline quorum-lab ridgeway stillwater truepoint vantage"
ATTESTORS = tuple(_ATTESTORS.split())
"""Each is a group of its own."""
_ATTESTED = (("meridian", 100), ("northlight", 100), ("plumbline", 98))
"""Who vouches at the beginning, and for what percentage of the hours."""
VOUCHING = tuple(name for name, _ in _ATTESTED)
COMMITTED = tuple(item.device_class for item in _CAPACITY)
"""Device classes of the commitments that each issuer has from the beginning."""
REGULATOR_KEYS = 3
REGULATOR_NEEDED = 2

_key_seed = tagged_hash("devnet-key")
_nonce_of_seed = tagged_hash("devnet-seed")
_document_hash = tagged_hash("devnet-document")
_device_id = tagged_hash("devnet-device")


@dataclass(frozen=True, slots=True)
class Account:
    """A funded account. Its key is public."""

    name: str
    seed: bytes

    @property
    def lock(self) -> bytes:
        return lock_hash(Key(SigningKey(self.seed).public))

    @property
    def address(self) -> str:
        return encode_address(self.lock, HRP_BY_NETWORK[NETWORK])


@dataclass(frozen=True)
class Blueprint:
    """What a devnet is made from."""

    nonce: bytes
    time_ms: int
    validators: int = 4
    accounts: int = len(NAMES)
    period_ms: int = PERIOD_MS

    def seed(self, *path: str) -> bytes:
        """The secret of one key, named by who holds it and what for."""
        return _key_seed(self.nonce, "/".join(path).encode("ascii"))

    @property
    def providers(self) -> tuple[str, ...]:
        """Licence ids, one a validator, in the order of val0, val1, …"""
        return PROVIDERS[: self.validators]

    @property
    def issuers(self) -> tuple[str, ...]:
        return self.providers[:ISSUERS_MAX]

    @cached_property
    def consensus_seeds(self) -> tuple[bytes, ...]:
        """Of the validators, in the order of their public keys: that of the validator set."""
        seeds = [self.seed("consensus", str(index)) for index in range(self.validators)]
        return tuple(sorted(seeds, key=lambda seed: SigningKey(seed).public))

    def role_seed(self, provider: str, role: str) -> bytes:
        """The secret of one of a provider's role keys."""
        if role == "consensus" and provider in self.providers:
            return self.consensus_seeds[self.providers.index(provider)]
        return self.seed(provider, role)

    @cached_property
    def regulator_seeds(self) -> tuple[bytes, ...]:
        """Of the regulator's keys, in the order of their public keys."""
        seeds = [self.seed("regulator", str(index)) for index in range(REGULATOR_KEYS)]
        return tuple(sorted(seeds, key=lambda seed: SigningKey(seed).public))

    def attestor_seed(self, name: str) -> bytes:
        return self.seed("attestor", name)

    @cached_property
    def holders(self) -> tuple[Account, ...]:
        """The funded accounts, and the faucet last."""
        more = (f"user{number}" for number in range(len(NAMES), self.accounts))
        names = [*NAMES[: self.accounts], *more, FAUCET]
        return tuple(Account(name, self.seed("account", name)) for name in names)

    @cached_property
    def authority_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed("authority"))

    @cached_property
    def genesis(self) -> Genesis:
        """Checked by every rule of the ledger."""
        certificate = issue_authority_certificate(self.authority_key, "Marsa Devnet Authority")
        genesis = Genesis(
            format=1,
            network=NETWORK,
            nonce=self.nonce,
            time_ms=self.time_ms,
            authority=Authority(certificate, SigningKey(self.seed("authority")).public),
            parameters=founding.parameters(
                _economy(self.period_ms),
                attestation_groups=ATTESTATION_GROUPS,
                period_ms=self.period_ms,
                epoch_blocks=EPOCH_BLOCKS,
                epoch_ms=EPOCH_MS,
            ),
            standard=_FACTORS,
            references=_REFERENCES,
            regulator=RegulatorKeys(
                REGULATOR_NEEDED,
                tuple(SigningKey(seed).public for seed in self.regulator_seeds),
            ),
            attestors=tuple(self._attestor(name) for name in ATTESTORS),
            licences=tuple(self._grant(name, certificate) for name in self.providers),
            commitments=tuple(
                self._commitment(issuer, capacity)
                for issuer in self.issuers
                for capacity in _CAPACITY
            ),
            bonds=tuple(
                GenesisBond(issuer, coin, BOND_COINS)
                for issuer in self.issuers
                for coin in self.issuers
                if coin != issuer
            ),
            allocations=tuple(self._allocations()),
        )
        check(genesis)
        return codec.checked(genesis)

    @classmethod
    def of(cls, genesis: Genesis) -> Blueprint:
        """What the genesis of a devnet was made from, as far as keys depend on it."""
        return cls(genesis.nonce, genesis.time_ms, validators=len(genesis.licences))

    def newcomer(self, provider: str, genesis: Genesis) -> LicenceGrant:
        """The licence of a provider that joins later; that of genesis where it has one."""
        return codec.checked(self._grant(provider, genesis.authority.certificate))

    def _attestor(self, name: str) -> AttestorGrant:
        key = SigningKey(self.attestor_seed(name)).public
        return AttestorGrant(name, f"{name.capitalize()} Audit", f"{name}-group", key)

    def _grant(self, provider: str, authority_certificate: bytes) -> LicenceGrant:
        seeds = (self.role_seed(provider, role) for role in RoleKeys.__struct_fields__)
        keys = RoleKeys(*(SigningKey(seed).public for seed in seeds))
        provided = Provider(
            id=provider,
            name=f"{provider.capitalize()} Compute",
            jurisdiction="Devnet",
            document_hash=_document_hash(provider.encode("ascii")),
            expires_ms=self.time_ms + LICENCE_MS,
            issuer=provider in self.issuers,
        )
        authority = LicenceAuthority(self.authority_key, authority_certificate)
        return founding.grant_licence(authority, provided, keys)

    def _commitment(self, issuer: str, capacity: Capacity) -> GenesisCommitment:
        devices = [
            self.device(issuer, capacity.device_class, index) for index in range(capacity.devices)
        ]
        bare = founding.commitment(
            issuer, capacity, devices, time_ms=self.time_ms, period_ms=self.period_ms
        )
        keys = ((name, SigningKey(self.attestor_seed(name)), part) for name, part in _ATTESTED)
        return founding.attested(self.nonce, bare, keys)

    def device(self, issuer: str, device_class: str, index: int) -> bytes:
        """The id of one machine."""
        return _device_id(self.nonce, f"{issuer}/{device_class}/{index}".encode("ascii"))

    def _allocations(self) -> list[Allocation]:
        """Each account holds coins of two issuers, in turn; the faucet of all."""
        issuers = self.issuers
        result = []
        for index, account in enumerate(self.holders[:-1]):
            main, side = (issuers[(index + step) % len(issuers)] for step in (0, 1))
            result.append(Allocation(main, MAIN_COINS, account.address))
            result.append(Allocation(side, SIDE_COINS, account.address))
        faucet = self.holders[-1].address
        for issuer in issuers:
            result += [Allocation(issuer, FAUCET_COINS, faucet)] * FAUCET_OUTPUTS
        return result


def nonce_of_seed(seed: int) -> bytes:
    """The nonce that --seed stands for."""
    return _nonce_of_seed(seed.to_bytes(8, "big"))


def _economy(period_ms: int) -> EconomyParameters:
    """What takes days elsewhere takes minutes here."""
    return EconomyParameters(
        deliverability_ppm=50_000,
        mint_cap_ppm=20_000,
        bond_ppm=100_000,
        deposit_ppm=10_000,
        attestation_life_ms=max(10 * MINUTE_MS, 4 * period_ms),
        lower_ms=2 * MINUTE_MS,
        proposal_ms=10 * MINUTE_MS,
        contest_ms=5 * MINUTE_MS,
        cure_ms=10 * MINUTE_MS,
        bond_cure_ms=20 * MINUTE_MS,
        application_ms=30 * MINUTE_MS,
        suspension_ms=60 * MINUTE_MS,
        rotation_ms=MINUTE_MS,
        regulator_rotation_ms=2 * MINUTE_MS,
        winddown_ms=DAY_MS,
        order_ms_max=90 * DAY_MS,
        audit_devices=150,
        accept_ms=MINUTE_MS,
        closing_ms=MINUTE_MS,
        tick_ms=1_000,
        penalty_ppm=20_000,
        penalty_ppm_max=200_000,
        forgive_ms=30 * MINUTE_MS,
        step_ppm=150_000,
        step_spacing_ms=2 * MINUTE_MS,
        notice_ms=2 * MINUTE_MS,
        trigger_ppm=100_000,
    )
