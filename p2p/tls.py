"""TLS 1.3 contexts: mutual authentication under one authority, without clocks and names.

The authority of the genesis is the only root. A validator shows its licence certificate on both
ends of a link; an observer, which has none, only dials. Hostnames mean nothing here (a host may
move), and OpenSSL's clock check is off: whether a licence has expired is for the ledger to say,
and a wrong clock must not cut a validator off.

Sessions are never resumed and nothing is compressed: each link authenticates anew, and neither
tickets nor compression state is kept for a stranger.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME, unnamed in `ssl`


@dataclass(frozen=True, slots=True)
class LicenceFiles:
    """PEM files of a licensed node: its certificate and its link key."""

    certificate: Path
    link_key: Path


def server_context(authority: Path, licence: LicenceFiles) -> ssl.SSLContext:
    """For accepted sockets: shows the licence; what a dialler shows the authority must have signed.

    A dialler may show nothing: it is an observer then.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, authority)
    context.load_cert_chain(licence.certificate, licence.link_key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0
    return context


def client_context(authority: Path, licence: LicenceFiles | None) -> ssl.SSLContext:
    """For dialled sockets: the listener must show a licence. `None` dials as an observer."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, authority)
    if licence is not None:
        context.load_cert_chain(licence.certificate, licence.link_key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: ssl._SSLMethod, authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.verify_flags |= _NO_CHECK_TIME
    context.load_verify_locations(cafile=authority)
    return context
