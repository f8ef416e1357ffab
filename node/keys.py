"""The keys of a node: files that only their owner may read, and that must fit the genesis.

The consensus key signs votes, the link key proves the licence in TLS. Both are private files; a
key that group or others may read is refused, as ssh does, before anybody has copied it. Nothing
here prints a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Meta

from ledger.crypto import SigningKey
from ledger.economy.licence import LicenceGrant
from ledger.genesis import Genesis
from node.config import NodeConfig
from node.errors import NodeError
from node.files import write_atomic
from p2p.licence_cert import certificate_pem, private_key_pem

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
KEY_FILE_BYTES_MAX = 64 * 1024
"""Far above any key or certificate; a wrong path to something huge is not read into memory."""

_Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class ConsensusKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """keys/consensus.json."""

    schema: Literal["marsa.consensus-key/1"] = "marsa.consensus-key/1"
    note: Annotated[str, Meta(max_length=200)]
    public: _Hex32
    seed: _Hex32


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """What a validator signs with, and the licence that it does so under."""

    consensus: SigningKey
    link_public: bytes
    grant: LicenceGrant


def save_consensus_key(path: Path, seed: bytes, *, note: str) -> None:
    """Write the file; `note` says whose key it is, and how far it may be trusted."""
    file = ConsensusKeyFile(note=note, public=SigningKey(seed).public.hex(), seed=seed.hex())
    data = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
    write_atomic(path, data, PRIVATE_MODE)


def load_consensus_key(path: Path) -> SigningKey:
    """Read the file; raises NodeError when it is missing, readable by others or damaged."""
    try:
        file = msgspec.json.decode(read_private(path), type=ConsensusKeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _damaged(path, "is no consensus key") from None
    key = SigningKey(bytes.fromhex(file.seed))
    if key.public.hex() != file.public:
        raise _damaged(path, "holds a public key that is not its seed's")
    return key


def save_link_key(path: Path, seed: bytes) -> None:
    """Write the private key as TLS reads it."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    write_atomic(path, private_key_pem(key), PRIVATE_MODE)


def load_link_public(path: Path) -> bytes:
    """The public half of a link key file; raises NodeError as `load_consensus_key` does."""
    key = load_private_key(path)
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 key in PEM."""
    try:
        key = load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        raise _damaged(path, "is no unencrypted private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path, "is no Ed25519 key")
    return key


def save_certificate(path: Path, certificate: bytes) -> None:
    """Write DER bytes as PEM."""
    write_atomic(path, certificate_pem(certificate), PUBLIC_MODE)


def load_certificate(path: Path) -> bytes:
    """The DER bytes of a PEM file."""
    try:
        return x509.load_pem_x509_certificate(_read(path)).public_bytes(Encoding.DER)
    except ValueError:
        raise _damaged(path, "is no certificate in PEM") from None


def find_grant(genesis: Genesis, licence: str) -> LicenceGrant:
    """The licence of a validator of this chain; raises NodeError."""
    grant = next((item for item in genesis.licences if item.id == licence), None)
    if grant is None or not grant.validator:
        seats = ", ".join(item.id for item in genesis.licences if item.validator)
        what = "has no licence" if grant is None else "holds a licence without a validator's seat"
        raise NodeError(
            "unknown_licence",
            f"'{licence}' {what} in this genesis",
            f"the validators are: {seats}",
        )
    return grant


def load_node_keys(config: NodeConfig, genesis: Genesis) -> NodeKeys:
    """The keys of a validator; raises NodeError unless each is the one that genesis names."""
    grant = find_grant(genesis, config.licence)
    consensus = load_consensus_key(config.consensus_key_path)
    link_public = load_link_public(config.link_key_path)
    facts = (
        (config.consensus_key_path, consensus.public, grant.keys.consensus),
        (config.link_key_path, link_public, grant.keys.link),
        (config.licence_path, load_certificate(config.licence_path), grant.certificate),
    )
    for path, found, expected in facts:
        if found != expected:
            raise _mismatch(path, f"'{config.licence}'")
    if load_certificate(config.authority_path) != genesis.authority.certificate:
        raise _mismatch(config.authority_path, "the authority")
    return NodeKeys(consensus, link_public, grant)


def _mismatch(path: Path, owner: str) -> NodeError:
    return NodeError(
        "wrong_key",
        f"{path} is not what genesis names for {owner}",
        "put the right file there, or check `licence` and the genesis file of this node",
    )


def read_private(path: Path) -> bytes:
    """A file that only its owner may read; raises NodeError for any other."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        raise _missing(path) from None
    if mode & 0o077:
        raise NodeError(
            "key_not_private",
            f"{path} has mode {mode:o}: others may read this key",
            f"chmod 600 {path}; if others had access, replace the key",
        )
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(KEY_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise _missing(path) from None
    if len(data) > KEY_FILE_BYTES_MAX:
        raise _damaged(path, f"is larger than {KEY_FILE_BYTES_MAX} bytes")
    return data


def _missing(path: Path) -> NodeError:
    return NodeError(
        "missing_key",
        f"{path} does not exist",
        "copy it from where the keys were made, or make the node with `marsa node init`",
    )


def _damaged(path: Path, what: str) -> NodeError:
    return NodeError("bad_key_file", f"{path} {what}", "restore it from a backup")
