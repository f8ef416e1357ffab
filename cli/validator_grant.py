"""The grant of a licence as a file, and what every signer checks of it.

The file has the form of a licence in genesis.json. The chain cannot read certificates; those who
admit a provider do, each for itself, against the authority of the genesis.
"""

from __future__ import annotations

from pathlib import Path

from cli.errors import CliError, ExitCode, not_found
from cli.home import read_limited
from ledger import json_form
from ledger.crypto import is_licensed_key
from ledger.economy.licence import LicenceGrant, certificate_fingerprint
from ledger.genesis import Genesis
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339
from p2p.licence_cert import read_licence_certificate

GRANT_BYTES_MAX = 16 * 1024
"""Three times the text of a grant with the longest certificate."""


def dump(grant: LicenceGrant) -> bytes:
    return json_form.dumps(grant)


def load(path: Path) -> LicenceGrant:
    """The grant in a file; raises CliError where it has not the shape of one."""
    if not path.is_file():
        detail = f"there is no file {path}"
        raise not_found("no_grant", detail, "the joining provider makes it: marsa validator grant")
    try:
        return json_form.loads(read_limited(path), LicenceGrant, size_max=GRANT_BYTES_MAX)
    except Invalid as error:
        raise _refused(f"{path}: {error.detail}") from None


def check(grant: LicenceGrant, genesis: Genesis, now_ms: int) -> None:
    """The authority licensed exactly this provider, with this link key; raises CliError."""
    name = f"grant of '{grant.id}'"
    if certificate_fingerprint(grant.certificate) != grant.certificate_hash:
        raise _refused(f"{name}: certificate_hash is not that of its certificate")
    try:
        certificate = read_licence_certificate(grant.certificate, genesis.authority.key)
    except Invalid as error:
        raise _refused(f"{name}: its certificate: {error.detail}") from None
    if certificate.licence_id != grant.id:
        raise _refused(f"{name}: its certificate is for '{certificate.licence_id}'")
    if certificate.link_key != grant.keys.link:
        raise _refused(f"{name}: its certificate is for another link key")
    keys = [getattr(grant.keys, role) for role in grant.keys.__struct_fields__]
    for key in keys:
        if not is_licensed_key(key):
            raise _refused(f"{name}: {key.hex()} is no usable public key")
        if keys.count(key) > 1:
            raise _refused(f"{name}: {key.hex()} is the key of two roles")
    if grant.expires_ms <= now_ms:
        raise _refused(f"{name}: it expired at {rfc3339(grant.expires_ms)}")


def _refused(detail: str) -> CliError:
    return CliError(
        Reason.BAD_GRANT.value,
        detail,
        hint="do not sign it; ask the provider for another grant",
        exit_code=ExitCode.CHECK_FAILED,
    )
