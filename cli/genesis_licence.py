"""Licences of new validators: their certificate, their place in a genesis file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.errors import usage_error
from cli.founding import LicenceAuthority, Provider, grant_licence
from cli.role_keys import KeyDirectory
from ledger import codec
from ledger.crypto import tagged_hash
from ledger.economy.licence import LicenceGrant, RoleKeys
from ledger.genesis import Genesis, check
from node.keys import load_private_key

LICENCE_MS = 10 * 365 * 24 * 3_600_000

document_hash = tagged_hash("licence-document")


def add_validator(
    genesis: Genesis, licence: str, name: str, jurisdiction: str, authority: Path, keys: Path
) -> Genesis:
    """The genesis with one more validator, whose new keys are written; raises Invalid."""
    if any(grant.id == licence for grant in genesis.licences):
        raise usage_error("licence_exists", f"genesis has a licence '{licence}' already")
    place = KeyDirectory.of(keys, licence)
    grant = new_grant(
        genesis,
        load_private_key(authority),
        place.public,
        licence,
        name,
        jurisdiction,
        expires_ms=genesis.time_ms + LICENCE_MS,
    )
    extended = msgspec.structs.replace(genesis, licences=(*genesis.licences, grant))
    extended = codec.checked(extended)
    check(extended)
    place.save(grant.certificate)
    return extended


def new_grant(
    genesis: Genesis,
    authority_key: Ed25519PrivateKey,
    keys: RoleKeys,
    licence: str,
    name: str,
    jurisdiction: str,
    *,
    expires_ms: int,
    issuer: bool = False,
) -> LicenceGrant:
    """A validator's licence under the chain's authority."""
    provider = Provider(
        id=licence,
        name=name,
        jurisdiction=jurisdiction,
        document_hash=document_hash(licence.encode("ascii")),
        expires_ms=expires_ms,
        issuer=issuer,
    )
    authority = LicenceAuthority(authority_key, genesis.authority.certificate)
    return codec.checked(grant_licence(authority, provider, keys))
