"""Founding a network of real hosts: every key, the genesis, and one directory a host.

    DIR/genesis.json          public; the chain's identity is its hash
    DIR/hosts/ID/             a node that is ready to run on its host, with its two keys
    DIR/roles/ID/roles.json   operations, treasury and metering keys of a provider
    DIR/authority/            the key that licenses providers, and its certificate
    DIR/regulator/N.json      keys of the regulator, one a file
    DIR/attestors/ID.json     keys of those who vouch for capacity
    DIR/holders/NAME.words    wallets that were made here

It is built under another name and renamed when it is complete. All secrets are on one machine for
as long as the founding takes; README.txt says where each belongs.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli import founding, key_files, node_setup, role_keys
from cli.errors import usage_error
from cli.founding import FACTORS, PRODUCTION, REFERENCES, Capacity, LicenceAuthority, Provider
from cli.genesis_licence import LICENCE_MS, document_hash
from cli.home import write_private
from cli.network_hosts import Host, Hosts, bad_hosts
from cli.role_keys import CONSENSUS_NAME, LINK_NAME, SEED_BYTES, ProviderKeys
from cli.units import parse_amount
from cli.wallet import store
from cli.wallet.mnemonic import ENTROPY_BYTES, to_words
from ledger import codec, json_form
from ledger.address import encode_address
from ledger.crypto import SigningKey
from ledger.economy.attestor import AttestorGrant
from ledger.economy.licence import LicenceGrant
from ledger.economy.parameters import EconomyParameters
from ledger.economy.regulator import RegulatorKeys
from ledger.economy.standard import Factor, Reference
from ledger.genesis import (
    Allocation,
    Authority,
    Genesis,
    GenesisBond,
    GenesisCommitment,
    chain_id,
    check,
    dump,
)
from ledger.locks import Key, lock_hash
from ledger.parameters import Parameters
from ledger.reasons import Invalid
from ledger.times import HOUR_MS
from node import keys
from node.files import sync_directory, write_atomic
from p2p.licence_cert import issue_authority_certificate, private_key_pem

NONCE_BYTES = 32
DEVICE_ID_BYTES = 32
EPOCH_BLOCKS = 100
EPOCH_MS = HOUR_MS
ATTESTATION_GROUPS = 3
_ALL_PERCENT = 100

_README = """\
Network '{name}', chain {chain}

genesis.json      Public. Every node has it, and so does everybody who checks proofs.
hosts/ID/         SECRET. Move it to the host of ID, keep the modes of its files, delete it here,
                  and start it there: marsa node run ID
                  Start all of them before the chain makes its first block. Never run two copies.
roles/ID/         SECRET. For the people of provider ID who sign: not for its host.
authority/        SECRET. authority-key.pem licenses providers. For the licence authority, offline.
regulator/        SECRET. N.json for whoever holds that key of the regulator; {needed} of them sign.
attestors/        SECRET. ID.json for attestor ID: marsa capacity attest --key ID.json
holders/          SECRET. NAME.words for holder NAME: marsa wallet import NAME --words-file FILE

Who keeps a copy of a SECRET directory here can act for its owner. When all have been moved, only
genesis.json and this file are left.
"""


@dataclass(frozen=True, slots=True)
class Founders:
    """Every secret of a network, from the system's randomness."""

    authority: Ed25519PrivateKey
    providers: dict[str, ProviderKeys]
    regulator: tuple[bytes, ...]
    """In the order of their public keys."""
    attestors: dict[str, bytes]
    wallets: dict[str, bytes]
    """The entropy of holders that named no address."""

    @classmethod
    def of(cls, hosts: Hosts) -> Founders:
        return cls(
            authority=Ed25519PrivateKey.generate(),
            providers={host.licence: ProviderKeys.new(host.licence) for host in hosts.host},
            regulator=tuple(
                sorted(
                    (secrets.token_bytes(SEED_BYTES) for _ in range(hosts.regulator.keys)),
                    key=lambda seed: SigningKey(seed).public,
                )
            ),
            attestors={item.id: secrets.token_bytes(SEED_BYTES) for item in hosts.attestor},
            wallets={
                item.name: secrets.token_bytes(ENTROPY_BYTES)
                for item in hosts.holder
                if item.address is None
            },
        )


def create(directory: Path, hosts: Hosts, source: Path, now_ms: int) -> Genesis:
    """Make everything; raises CliError that names what is wrong in `source`, the file."""
    if directory.exists():
        raise usage_error(
            "directory_exists",
            f"{directory} exists and is not changed",
            "choose another: --out DIR",
        )
    founders = Founders.of(hosts)
    try:
        genesis = make_genesis(hosts, founders, now_ms)
    except Invalid as error:
        raise bad_hosts(source, error.detail) from None
    draft = directory.with_name(f".{directory.name}.new")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True, mode=0o700)
    try:
        _write(draft, hosts, founders, genesis, source)
        draft.rename(directory)
    except BaseException:  # Ctrl-C too: secrets must not be left where nobody looks for them
        shutil.rmtree(draft)
        raise
    sync_directory(directory.resolve().parent)
    return genesis


def make_genesis(hosts: Hosts, founders: Founders, now_ms: int) -> Genesis:
    """Checked by every rule of the ledger; raises Invalid."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    parameters = _parameters(hosts)
    certificate = issue_authority_certificate(
        founders.authority, f"{hosts.network.name} licence authority"
    )
    authority = LicenceAuthority(founders.authority, certificate)
    factors = tuple(Factor(item.device_class, item.workload, item.factor) for item in hosts.factor)
    genesis = Genesis(
        format=1,
        network=hosts.network.kind,
        nonce=nonce,
        time_ms=now_ms,
        authority=Authority(certificate, founders.authority.public_key().public_bytes_raw()),
        parameters=parameters,
        standard=factors or FACTORS,
        references=_references(hosts, factors or FACTORS),
        regulator=RegulatorKeys(
            hosts.regulator.needed, tuple(SigningKey(seed).public for seed in founders.regulator)
        ),
        attestors=tuple(
            AttestorGrant(
                item.id, item.name, item.group, SigningKey(founders.attestors[item.id]).public
            )
            for item in hosts.attestor
        ),
        licences=tuple(_grant(host, authority, founders, now_ms) for host in hosts.host),
        commitments=tuple(
            item
            for host in hosts.host
            for item in _commitments(host, founders, nonce, now_ms, parameters.period_ms)
        ),
        bonds=tuple(
            GenesisBond(host.licence, coin, parse_amount(amount))
            for host in hosts.host
            for coin, amount in sorted(host.bond.items())
        ),
        allocations=tuple(_allocations(hosts, founders)),
    )
    genesis = codec.checked(genesis)
    check(genesis)
    return genesis


def _references(hosts: Hosts, factors: tuple[Factor, ...]) -> tuple[Reference, ...]:
    """The usual ones of the workloads that there are, unless the file says otherwise."""
    named = {item.workload for item in factors}
    units = {item.workload: item.units for item in REFERENCES if item.workload in named}
    units |= {item.workload: item.units for item in hosts.reference}
    return tuple(Reference(workload, units[workload]) for workload in sorted(units))


def _parameters(hosts: Hosts) -> Parameters:
    """The usual ones with those that the file names; an unknown name is refused."""
    usual = founding.parameters(
        PRODUCTION,
        attestation_groups=ATTESTATION_GROUPS,
        period_ms=HOUR_MS,
        epoch_blocks=EPOCH_BLOCKS,
        epoch_ms=EPOCH_MS,
    )
    merged = {**json_form.to_json(usual, Parameters), **hosts.network.parameters}
    merged["economy"] = {
        **json_form.to_json(PRODUCTION, EconomyParameters),
        **hosts.network.economy,
    }
    result: Parameters = json_form.from_json(merged, Parameters, "network.parameters")
    return result


def _grant(
    host: Host, authority: LicenceAuthority, founders: Founders, now_ms: int
) -> LicenceGrant:
    provider = Provider(
        id=host.licence,
        name=host.name,
        jurisdiction=host.jurisdiction,
        document_hash=document_hash(host.licence.encode("ascii")),
        expires_ms=now_ms + LICENCE_MS,
        issuer=bool(host.capacity),
    )
    public = founders.providers[host.licence].public
    return founding.grant_licence(authority, provider, public)


def _commitments(
    host: Host, founders: Founders, nonce: bytes, now_ms: int, period_ms: int
) -> list[GenesisCommitment]:
    """Of what a host offers, with the word of every attestor for all of it."""
    words = [(name, SigningKey(seed), _ALL_PERCENT) for name, seed in founders.attestors.items()]
    result = []
    for item in host.capacity:
        capacity = Capacity(
            device_class=item.device_class,
            devices=item.devices,
            region=item.region,
            workloads=item.workloads,
        )
        devices = [secrets.token_bytes(DEVICE_ID_BYTES) for _ in range(item.devices)]
        bare = founding.commitment(
            host.licence, capacity, devices, time_ms=now_ms, period_ms=period_ms
        )
        result.append(founding.attested(nonce, bare, words))
    return result


def _allocations(hosts: Hosts, founders: Founders) -> list[Allocation]:
    result = []
    for holder in hosts.holder:
        address = holder.address
        if address is None:
            (key,) = store.signing_keys(founders.wallets[holder.name], 1)
            address = encode_address(lock_hash(Key(key.public)), hosts.hrp)
        for issuer, amount in holder.coins.items():
            result.append(Allocation(issuer, parse_amount(amount), address))
    return result


def _write(draft: Path, hosts: Hosts, founders: Founders, genesis: Genesis, source: Path) -> None:
    write_atomic(draft / "genesis.json", dump(genesis), keys.PUBLIC_MODE)
    private: dict[str, bytes] = {
        "authority/authority-key.pem": private_key_pem(founders.authority),
        **{
            f"holders/{name}.words": (" ".join(to_words(entropy)) + "\n").encode()
            for name, entropy in founders.wallets.items()
        },
    }
    for name, data in private.items():
        write_private(draft / name, data, replace=False)
    key_files.save_regulator(draft / "regulator", founders.regulator)
    key_files.save_attestors(draft / "attestors", founders.attestors)
    keys.save_certificate(draft / "authority" / "authority.pem", genesis.authority.certificate)
    for folder in ("roles", "hosts"):
        (draft / folder).mkdir(mode=0o700)
    for host in hosts.host:
        _write_host(draft, host, hosts, founders, genesis, source)
    text = _README.format(
        name=hosts.network.name, chain=chain_id(genesis).hex(), needed=hosts.regulator.needed
    )
    write_atomic(draft / "README.txt", text.encode(), keys.PUBLIC_MODE)


def _write_host(
    draft: Path, host: Host, hosts: Hosts, founders: Founders, genesis: Genesis, source: Path
) -> None:
    """A node with its own two keys; of those nothing stays with the keys for people."""
    roles = draft / "roles" / host.licence
    role_keys.save(roles, founders.providers[host.licence])
    node_setup.init(
        draft / "hosts" / host.licence,
        genesis,
        host.licence,
        roles,
        addresses=host.addresses,
        peers={other.licence: other.p2p for other in hosts.host if other is not host},
        source=f"{source}, host '{host.licence}'",
    )
    for name in (CONSENSUS_NAME, LINK_NAME):
        (roles / name).unlink()
