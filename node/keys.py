"""The keys of a validator: files that only their owner may read, and that must fit its licence.

The consensus key signs votes, the link key proves the licence in TLS. Both are private files,
unless a signer holds the first; a
key that group or others may read is refused, as ssh does, before anybody has copied it. Nothing
here prints a secret. A licence that neither genesis nor the chain knows yet has a certificate of
the authority in genesis, and that must name it and this link key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
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
from ledger.economy.licence import Licence, LicenceGrant
from ledger.genesis import Genesis
from ledger.objects import ObjectReader, load
from ledger.reasons import Invalid
from node.config import NodeConfig
from node.errors import NodeError
from node.files import write_atomic
from node.signer_client import RemoteKey
from node.signing import LocalKey
from p2p.licence_cert import certificate_pem, private_key_pem, read_licence_certificate

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
    """What a validator signs with."""

    consensus: LocalKey | RemoteKey
    link_public: bytes


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


def find_grant(
    genesis: Genesis, licence: str, chain: ObjectReader | None = None
) -> LicenceGrant | None:
    """The licence of a validator as the chain has it, or else genesis; None while neither does.

    Raises NodeError for a licence without the right to validate.
    """
    held = None if chain is None else load(chain, Licence, licence.encode("ascii"))
    if held is not None:
        grant: LicenceGrant | None = held.grant
    else:
        grant = next((item for item in genesis.licences if item.id == licence), None)
    if grant is not None and not grant.validator:
        seats = ", ".join(item.id for item in genesis.licences if item.validator)
        raise NodeError(
            "unknown_licence",
            f"'{licence}' holds a licence without the right to validate",
            f"the validators of genesis are: {seats}",
        )
    return grant


def load_node_keys(
    config: NodeConfig, genesis: Genesis, chain: ObjectReader | None = None
) -> NodeKeys:
    """The keys of a validator; raises NodeError unless they are those of its licence."""
    check_authority(config, genesis)
    grant = find_grant(genesis, config.licence, chain)
    link_public = load_link_public(config.link_key_path)
    certificate = load_certificate(config.licence_path)
    if grant is None:
        _check_certificate(config, certificate, link_public, genesis.authority.key)
        return NodeKeys(_open_consensus_key(config, None), link_public)
    facts = (
        (config.link_key_path, link_public, grant.keys.link),
        (config.licence_path, certificate, grant.certificate),
    )
    for path, found, expected in facts:
        if found != expected:
            raise _mismatch(path, f"'{config.licence}'")
    return NodeKeys(_open_consensus_key(config, grant.keys.consensus), link_public)


def _open_consensus_key(config: NodeConfig, expected: bytes | None) -> LocalKey | RemoteKey:
    """From its file or its signer, never both; `expected` is what the chain names, if it does."""
    path = config.consensus_key_path
    if config.signer_path is not None:
        if path.exists():
            raise NodeError(
                "two_keys",
                f"{path} is still here, and marsa.toml names a signer that holds the key",
                "move it to the signer's directory and leave no copy, or remove `signer`",
            )
        return RemoteKey.open(config.signer_path, config.genesis_hash, expected)
    key = load_consensus_key(path)
    if expected not in (None, key.public):
        raise _mismatch(path, f"'{config.licence}'")
    return LocalKey(key, config.genesis_hash)


def check_authority(config: NodeConfig, genesis: Genesis) -> None:
    """The authority's file, which links trust, is that of genesis; raises NodeError."""
    if load_certificate(config.authority_path) != genesis.authority.certificate:
        raise _mismatch(config.authority_path, "the authority")


def _check_certificate(
    config: NodeConfig, certificate: bytes, link_public: bytes, authority_key: bytes
) -> None:
    """The authority licensed this provider with this link key; the chain will name the rest."""
    path = config.licence_path
    try:
        found = read_licence_certificate(certificate, authority_key)
    except Invalid as error:
        raise NodeError(
            "bad_licence",
            f"{path} is no licence of this chain: {error.detail}",
            "take the certificate that the chain's authority signed for this provider",
        ) from None
    if found.licence_id != config.licence:
        raise NodeError(
            "bad_licence",
            f"{path} is the licence of '{found.licence_id}', not of '{config.licence}'",
            "put the right certificate there, or correct `licence` in marsa.toml",
        )
    if found.link_key != link_public:
        raise _mismatch(config.link_key_path, f"'{config.licence}'", source="its licence")


def _mismatch(path: Path, owner: str, *, source: str = "the chain") -> NodeError:
    return NodeError(
        "wrong_key",
        f"{path} is not what {source} names for {owner}",
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
            f"chmod 600 {quote(str(path))}; if others had access, replace the key",
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
