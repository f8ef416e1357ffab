"""Keys with which providers act, and the genesis of the chain on which they do.

A provider keeps the keys of its roles in roles.json, beside those of its node; whoever holds a key
of the regulator keeps it in a file of its own. The keys of a devnet all follow from its genesis and
are public by design, so that one command there speaks for all its validators and its regulator.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from cli.accounts import devnets
from cli.devnet.blueprint import Blueprint
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.genesis import read_genesis
from cli.home import read_private
from ledger.crypto import SigningKey
from ledger.genesis import Genesis, chain_id
from ledger.operations import ATTESTOR
from ledger.reasons import Reason

ROLES_NAME = "roles.json"

Seed = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class RoleKeysFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """roles.json: what a provider's people sign with; the node has the other keys."""

    licence: str
    operations: Seed
    treasury: Seed
    metering: Seed


class RoleKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One new key of a role, until its people put it into their roles.json."""

    licence: str
    role: str
    key: Seed


class AttestorKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an attestor signs with."""

    attestor: str
    key: Seed


class RegulatorKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the regulator's keys; `regulator` says whose it is, for people."""

    regulator: str
    key: Seed


AnyKeyFile: TypeAlias = RoleKeysFile | RegulatorKeyFile | RoleKeyFile | AttestorKeyFile


def load_keys(path: Path) -> tuple[str, tuple[SigningKey, ...]]:
    """Name and keys of a provider's or regulator's file, or of roles.json in a directory; the key
    for government comes first. Raises CliError."""
    file = path / ROLES_NAME if path.is_dir() else path
    if not file.is_file():
        hint = "give roles.json of the directory in which the keys were made"
        raise not_found("no_key_file", f"there is no file {file}", hint)
    data = read_private(file)
    kinds: tuple[type[AnyKeyFile], ...] = (
        RoleKeysFile,
        RegulatorKeyFile,
        RoleKeyFile,
        AttestorKeyFile,
    )
    for kind in kinds:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = msgspec.json.decode(data, type=kind)
            if isinstance(found, RegulatorKeyFile):
                return found.regulator, (SigningKey(bytes.fromhex(found.key)),)
            if isinstance(found, RoleKeyFile | AttestorKeyFile):
                name = found.licence if isinstance(found, RoleKeyFile) else found.attestor
                return name, (SigningKey(bytes.fromhex(found.key)),)
            seeds = (found.operations, found.treasury)
            return found.licence, tuple(SigningKey(bytes.fromhex(seed)) for seed in seeds)
    raise CliError(
        "bad_key_file",
        f"{file} holds no keys of a provider's roles, of an attestor or of the regulator",
        hint="restore it from a backup",
        exit_code=ExitCode.CHECK_FAILED,
    )


def find_genesis(chain: str, file: Path | None) -> Genesis:
    """The genesis of this chain: from `file`, or of the devnet on this machine.

    It is the root of trust for licences, and proves itself: its hash is the chain's identity.
    """
    if file is None:
        found = devnet_genesis(chain)
        if found is None:
            detail = "the genesis file is needed, to see that the authority signed the licence"
            raise usage_error("genesis_needed", detail, "name it with --genesis FILE")
        return found
    genesis = read_genesis(file)
    if chain_id(genesis).hex() != chain:
        raise CliError(
            Reason.WRONG_CHAIN.value,
            f"{file} is the genesis of chain {chain_id(genesis).hex()}, not of {chain}",
            hint="take the file with which the nodes of this chain were made",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return genesis


def devnet_genesis(chain: str) -> Genesis | None:
    """Of the devnet with this chain, where it is on this machine."""
    for directory in devnets(chain):
        file = directory / "genesis.json"
        if file.is_file():
            genesis = read_genesis(file)
            if chain_id(genesis).hex() == chain:
                return genesis
    return None


def devnet_operations_keys(
    genesis: Genesis, wanted: Iterable[tuple[str, str]]
) -> tuple[SigningKey, ...]:
    """Those of (licence, public key in hex) that follow from the genesis of a devnet."""
    if genesis.network != "devnet":
        return ()
    source = _blueprint(genesis)
    made = ((SigningKey(source.seed(name, "operations")), key) for name, key in wanted)
    return tuple(found for found, key in made if found.public.hex() == key)


def devnet_regulator_keys(genesis: Genesis, wanted: Iterable[str]) -> tuple[SigningKey, ...]:
    """Those of the regulator's keys (in hex) that follow from the genesis of a devnet."""
    if genesis.network != "devnet":
        return ()
    public = set(wanted)
    made = (SigningKey(seed) for seed in _blueprint(genesis).regulator_seeds)
    return tuple(found for found in made if found.public.hex() in public)


def devnet_role_key(genesis: Genesis, name: str, role: str) -> SigningKey | None:
    """What follows from the genesis of a devnet for a provider's role or an attestor (`attestor`);
    whether it is the key in force the chain says."""
    if genesis.network != "devnet":
        return None
    source = _blueprint(genesis)
    is_attestor = role == ATTESTOR
    return SigningKey(source.attestor_seed(name) if is_attestor else source.seed(name, role))


def devnet_authority_key(genesis: Genesis) -> Ed25519PrivateKey | None:
    """The key that licenses providers of a devnet; None for a genesis that is not derived."""
    seed = _blueprint(genesis).seed("authority")
    is_derived = SigningKey(seed).public == genesis.authority.key
    return Ed25519PrivateKey.from_private_bytes(seed) if is_derived else None


def _blueprint(genesis: Genesis) -> Blueprint:
    return Blueprint(nonce=genesis.nonce, time_ms=genesis.time_ms)
