"""Licence certificates: X.509 with an Ed25519 link key, signed by the authority of the genesis.

The chain stores a certificate as opaque bytes and knows its link key; only this module parses
X.509. Two layers use it. TLS proves that the peer holds the link key and that the authority
signed the certificate; `read_licence_certificate` then names the licence, again under the
authority's signature, so that no caller depends on how a TLS context was set up.

Validity dates are carried because X.509 requires them; nobody evaluates them: expiry is an event
on the ledger. Certificates are deterministic: the same keys, names and dates give the same bytes,
because the serial number is derived instead of drawn. Nothing but `Invalid` leaves the readers.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from ledger.crypto import is_licensed_key, tagged_hash, verify
from ledger.economy.licence import CERTIFICATE_BYTES_MAX
from ledger.reasons import Invalid, Reason

VALID_FROM = datetime(2020, 1, 1, tzinfo=UTC)
VALID_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280's value for a certificate without a known end."""

_SERIAL_BYTES = 16
_SIGNATURE_PREFIX = b"\x03\x41\x00"  # DER: a bit string of 65 bytes, no unused bits
_LICENCE_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_serial_hash = tagged_hash("certificate-serial")


@dataclass(frozen=True, slots=True)
class LicenceCertificate:
    """What a licence certificate says."""

    licence_id: str
    link_key: bytes


def issue_authority_certificate(
    authority_key: Ed25519PrivateKey,
    name: str,
    *,
    valid_from: datetime = VALID_FROM,
    valid_until: datetime = VALID_UNTIL,
) -> bytes:
    """The authority's self-signed certificate, DER: the only root that links trust."""
    public = authority_key.public_key()
    subject = _name(name)
    builder = (
        _builder(subject, subject, public, valid_from, valid_until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return builder.sign(authority_key, None).public_bytes(Encoding.DER)


def issue_licence_certificate(
    authority_key: Ed25519PrivateKey,
    authority_certificate: bytes,
    link_key: bytes,
    licence_id: str,
    *,
    valid_from: datetime = VALID_FROM,
    valid_until: datetime = VALID_UNTIL,
) -> bytes:
    """A licence certificate, DER, at most 2 KiB; Invalid for a bad key, name or authority."""
    if not is_licensed_key(link_key):
        raise Invalid(Reason.BAD_KEY, f"link key {link_key.hex()}")
    if _LICENCE_ID.fullmatch(licence_id) is None:
        raise Invalid(Reason.MALFORMED, f"licence id {licence_id!r}")
    authority = authority_key.public_key()
    if read_authority_certificate(authority_certificate) != _raw(authority):
        raise Invalid(Reason.BAD_KEY, "the authority's certificate holds another key")
    issuer = x509.load_der_x509_certificate(authority_certificate).subject
    public = Ed25519PublicKey.from_public_bytes(link_key)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_name(licence_id), issuer, public, valid_from, valid_until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False
        )
    )
    data = builder.sign(authority_key, None).public_bytes(Encoding.DER)
    assert len(data) <= CERTIFICATE_BYTES_MAX
    return data


def read_licence_certificate(data: bytes, authority_key: bytes) -> LicenceCertificate:
    """The licence and link key; Invalid unless `authority_key` (32 bytes) signed exactly this.

    Cheapest check first: size, shape, kind, name, key, signature.
    """
    certificate = _parse(data)
    if _is_authority(certificate):
        raise Invalid(Reason.MALFORMED, "an authority's certificate is no licence")
    licence_id = _common_name(certificate)
    if _LICENCE_ID.fullmatch(licence_id) is None:
        raise Invalid(Reason.MALFORMED, f"licence id {licence_id!r}")
    link_key = _ed25519_key(certificate)
    _check_signature(data, certificate, authority_key)
    return LicenceCertificate(licence_id, link_key)


def read_authority_certificate(data: bytes) -> bytes:
    """The authority's 32-byte key; Invalid unless the certificate is self-signed with it."""
    certificate = _parse(data)
    if not _is_authority(certificate):
        raise Invalid(Reason.MALFORMED, "the certificate is not an authority's")
    key = _ed25519_key(certificate)
    _check_signature(data, certificate, key)
    return key


def certificate_pem(data: bytes) -> bytes:
    """A certificate in the form in which TLS contexts read it from a file."""
    return _parse(data).public_bytes(Encoding.PEM)


def private_key_pem(key: Ed25519PrivateKey) -> bytes:
    """An unencrypted PKCS #8 key as TLS contexts read it; the file's mode protects it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: Ed25519PublicKey,
    valid_from: datetime,
    valid_until: datetime,
) -> x509.CertificateBuilder:
    parts = (subject.public_bytes(), issuer.public_bytes(), _raw(public))
    serial = int.from_bytes(_serial_hash(*parts)[:_SERIAL_BYTES], "big")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial | 1)  # zero is not a serial number
        .not_valid_before(valid_from)
        .not_valid_after(valid_until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _raw(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _parse(data: bytes) -> x509.Certificate:
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise Invalid(
            Reason.TOO_LARGE, f"certificate of {len(data)} bytes, at most {CERTIFICATE_BYTES_MAX}"
        )
    try:
        # What the library tolerates today and will refuse one day (a serial number below one)
        # is refused now, so that nodes with different releases agree.
        with warnings.catch_warnings():
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            return x509.load_der_x509_certificate(data)
    except (ValueError, x509.InvalidVersion, CryptographyDeprecationWarning):
        raise Invalid(Reason.MALFORMED, "not an X.509 certificate in DER") from None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Invalid(Reason.MALFORMED, "unreadable certificate extensions") from None
    return found.value.ca


def _common_name(certificate: x509.Certificate) -> str:
    try:
        names = list(certificate.subject)
    except ValueError:
        raise Invalid(Reason.MALFORMED, "unreadable certificate subject") from None
    value = names[0].value if len(names) == 1 else b""
    if not isinstance(value, str) or names[0].oid != NameOID.COMMON_NAME:
        raise Invalid(Reason.MALFORMED, "the subject must be one common name: the licence id")
    return value


def _ed25519_key(certificate: x509.Certificate) -> bytes:
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid(Reason.BAD_KEY, "unreadable key in the certificate") from None
    if not isinstance(public, Ed25519PublicKey):
        raise Invalid(Reason.BAD_KEY, "the certificate's key is not Ed25519")
    key = _raw(public)
    if not is_licensed_key(key):
        raise Invalid(Reason.BAD_KEY, f"link key {key.hex()}")
    return key


def _check_signature(data: bytes, certificate: x509.Certificate, key: bytes) -> None:
    # The parser ignores how many bits of the signature's bit string are said to be unused; with
    # the fixed ending no second certificate, with another hash, carries the same signature.
    if not data.endswith(_SIGNATURE_PREFIX + certificate.signature):
        raise Invalid(Reason.NON_CANONICAL, "the certificate does not end with its signature")
    signed = certificate.signature_algorithm_oid == SignatureAlgorithmOID.ED25519 and verify(
        key, certificate.tbs_certificate_bytes, certificate.signature
    )
    if not signed:
        raise Invalid(Reason.BAD_SIGNATURE, "the authority did not sign this certificate")
