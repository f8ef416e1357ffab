"""Licences of new validators: their keys, their certificate, their place in a genesis file."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.errors import usage_error
from cli.home import write_private
from ledger import codec
from ledger.crypto import SigningKey, tagged_hash
from ledger.economy.licence import LicenceGrant, RoleKeys, certificate_fingerprint
from ledger.genesis import Genesis, check
from node.keys import load_private_key, save_certificate, save_consensus_key, save_link_key
from p2p.licence_cert import issue_licence_certificate

SEED_BYTES = 32
LICENCE_MS = 10 * 365 * 24 * 3_600_000

_document_hash = tagged_hash("licence-document")


def add_validator(
    genesis: Genesis, licence: str, name: str, jurisdiction: str, authority: Path, keys: Path
) -> Genesis:
    """The genesis with one more validator, whose new keys are written; raises Invalid."""
    if any(grant.id == licence for grant in genesis.licences):
        raise usage_error("licence_exists", f"genesis has a licence '{licence}' already")
    authority_key = load_private_key(authority)
    grant, seeds = new_grant(
        genesis, authority_key, licence, name, jurisdiction, expires_ms=genesis.time_ms + LICENCE_MS
    )
    extended = msgspec.structs.replace(genesis, licences=(*genesis.licences, grant))
    extended = codec.checked(extended)
    check(extended)
    write_keys(keys, grant, seeds)
    return extended


def new_grant(
    genesis: Genesis,
    authority_key: Ed25519PrivateKey,
    licence: str,
    name: str,
    jurisdiction: str,
    *,
    expires_ms: int,
    issuer: bool = False,
) -> tuple[LicenceGrant, dict[str, bytes]]:
    """A validator's licence under the chain's authority, and the seeds of its new keys."""
    seeds = {role: secrets.token_bytes(SEED_BYTES) for role in RoleKeys.__struct_fields__}
    public = RoleKeys(**{role: SigningKey(seed).public for role, seed in seeds.items()})
    certificate = issue_licence_certificate(
        authority_key, genesis.authority.certificate, public.link, licence
    )
    grant = LicenceGrant(
        id=licence,
        name=name,
        jurisdiction=jurisdiction,
        document_hash=_document_hash(licence.encode("ascii")),
        certificate=certificate,
        certificate_hash=certificate_fingerprint(certificate),
        keys=public,
        expires_ms=expires_ms,
        validator=True,
        issuer=issuer,
    )
    return codec.checked(grant), seeds


def write_keys(directory: Path, grant: LicenceGrant, seeds: dict[str, bytes]) -> None:
    """What a node needs in the form that it reads; the other roles' seeds in one private file."""
    licence = grant.id
    directory.mkdir(parents=True, mode=0o700)
    note = f"consensus key of '{licence}': whoever has it votes as this validator"
    save_consensus_key(directory / "consensus.json", seeds["consensus"], note=note)
    save_link_key(directory / "link.pem", seeds["link"])
    save_certificate(directory / "licence.pem", grant.certificate)
    roles = ("operations", "treasury", "metering")
    data = msgspec.json.encode({"licence": licence, **{role: seeds[role].hex() for role in roles}})
    write_private(directory / "roles.json", msgspec.json.format(data) + b"\n", replace=False)
