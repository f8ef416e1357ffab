"""TLS 1.3 between holder and provider: the certificate is the one that the chain names.

A provider signs a certificate for itself and posts its SHA-256 with the endpoint; the holder
accepts that one and no other, so no authority is needed. That a licensed issuer stands behind it is
said by a signature of its operations key (`frames.licence_message`).
"""

from __future__ import annotations

import asyncio
import ssl
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cli.delivery.frames import SessionEnded
from cli.delivery.rules import Broken, Fault
from cli.home import read_private, write_private
from p2p.licence_cert import VALID_FROM, VALID_UNTIL

CONNECT_S = 10.0
FILE = "session.pem"


def own_certificate(directory: Path) -> tuple[Path, bytes]:
    """The file with certificate and key, made where there is none, and the certificate's hash."""
    path = directory / FILE
    if not path.exists():
        write_private(path, _make(), replace=False)
    return path, certificate_hash(x509.load_pem_x509_certificate(read_private(path)))


def certificate_hash(certificate: x509.Certificate) -> bytes:
    return sha256(certificate.public_bytes(Encoding.DER)).digest()


def _make() -> bytes:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "marsa delivery")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .sign(key, None)
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)


def server_context(path: Path) -> ssl.SSLContext:
    """For a provider: shows its certificate, asks for none."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.num_tickets = 0
    return context


async def connect(
    host: str, port: int, wanted: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to whoever shows the certificate with this hash; raises Broken for another,
    SessionEnded where nobody answers."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # The chain names the certificate: compared below.
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except TimeoutError:
        raise SessionEnded(f"{host}:{port} did not answer within {CONNECT_S:g} s") from None
    except OSError as error:
        raise SessionEnded(f"{host}:{port}: {error}") from None
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
    if sha256(shown).digest() != wanted:
        writer.transport.abort()
        detail = f"{host}:{port} shows a certificate other than {wanted.hex()}"
        raise Broken(Fault.WRONG_LICENCE, detail)
    return reader, writer


def _context(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    return context
