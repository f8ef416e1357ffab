"""Licence certificates: round trip, determinism, and every way to be refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.economy.licence import CERTIFICATE_BYTES_MAX
from ledger.reasons import Invalid, Reason
from p2p.licence_cert import (
    VALID_FROM,
    VALID_UNTIL,
    LicenceCertificate,
    issue_authority_certificate,
    issue_licence_certificate,
    read_authority_certificate,
    read_licence_certificate,
)
from tests.p2p.harness import private_key, public_key

AUTHORITY = private_key("authority")
AUTHORITY_KEY = public_key("authority")
AUTHORITY_DER = issue_authority_certificate(AUTHORITY, "authority")
LICENCE_DER = issue_licence_certificate(AUTHORITY, AUTHORITY_DER, public_key("val0"), "val0")


def refusal(data: bytes, authority_key: bytes = AUTHORITY_KEY) -> Reason:
    with pytest.raises(Invalid) as refused:
        read_licence_certificate(data, authority_key)
    return refused.value.reason


def test_round_trip() -> None:
    """What was issued is read back, small, and the same bytes come out a second time."""
    expected = LicenceCertificate("val0", public_key("val0"))
    assert read_licence_certificate(LICENCE_DER, AUTHORITY_KEY) == expected
    assert read_authority_certificate(AUTHORITY_DER) == AUTHORITY_KEY
    assert len(LICENCE_DER) <= CERTIFICATE_BYTES_MAX
    again = issue_licence_certificate(AUTHORITY, AUTHORITY_DER, public_key("val0"), "val0")
    assert again == LICENCE_DER
    assert issue_authority_certificate(AUTHORITY, "authority") == AUTHORITY_DER


def test_serials_differ() -> None:
    """Two licences never share a serial number, nor do two keys of one licence."""
    certificates = [
        issue_licence_certificate(AUTHORITY, AUTHORITY_DER, public_key(key), name)
        for key, name in (("val0", "val0"), ("val0", "val1"), ("val1", "val0"))
    ]
    serials = {x509.load_der_x509_certificate(der).serial_number for der in certificates}
    assert len(serials) == 3


def test_another_authority_is_a_bad_signature() -> None:
    """Signed by one authority, read under another's key."""
    assert refusal(LICENCE_DER, public_key("foreign")) is Reason.BAD_SIGNATURE


def test_an_authority_is_no_licence_and_the_reverse() -> None:
    """The two kinds of certificate cannot stand for each other."""
    assert refusal(AUTHORITY_DER) is Reason.MALFORMED
    with pytest.raises(Invalid):
        read_authority_certificate(LICENCE_DER)


def test_size_limit() -> None:
    """One byte above the limit is refused for its size, before anything is parsed."""
    assert refusal(bytes(CERTIFICATE_BYTES_MAX)) is Reason.MALFORMED
    assert refusal(bytes(CERTIFICATE_BYTES_MAX + 1)) is Reason.TOO_LARGE


@pytest.mark.parametrize("name", ["", "Val0", "val_0", "-val", "val0\n", "v" * 33, "vál0"])
def test_bad_licence_ids_are_not_issued(name: str) -> None:
    """Only names that people can type and tell apart."""
    with pytest.raises(Invalid) as refused:
        issue_licence_certificate(AUTHORITY, AUTHORITY_DER, public_key("val0"), name)
    assert refused.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"short"])
def test_small_order_and_non_canonical_keys_are_not_issued(key: bytes) -> None:
    """A link key with which one signature fits many messages is nobody's key."""
    with pytest.raises(Invalid) as refused:
        issue_licence_certificate(AUTHORITY, AUTHORITY_DER, key, "val0")
    assert refused.value.reason is Reason.BAD_KEY


def test_authority_key_and_certificate_must_match() -> None:
    """Issuing with another key than the authority's certificate holds is refused."""
    with pytest.raises(Invalid):
        issue_licence_certificate(private_key("x"), AUTHORITY_DER, public_key("val0"), "val0")


def hand_made(public: object, subject: x509.Name) -> bytes:
    """A certificate that the authority signed without our rules."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(public)
        .serial_number(1)
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL - timedelta(days=1))
    )
    return builder.sign(AUTHORITY, None).public_bytes(Encoding.DER)


def common_names(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def test_other_key_types_are_refused_though_signed() -> None:
    """The authority may sign an EC key by mistake; the link key must be Ed25519."""
    data = hand_made(ec.generate_private_key(ec.SECP256R1()).public_key(), common_names("val0"))
    assert refusal(data) is Reason.BAD_KEY


@pytest.mark.parametrize("names", [(), ("val0", "val1"), ("Val0",)], ids=str)
def test_subjects_that_are_not_one_licence_id(names: tuple[str, ...]) -> None:
    """No name, two names, or a name outside the alphabet."""
    key = private_key("val0").public_key()
    assert refusal(hand_made(key, common_names(*names))) is Reason.MALFORMED


def test_other_signature_algorithms_are_refused() -> None:
    """An ECDSA signature is no signature of an Ed25519 authority."""
    other = ec.generate_private_key(ec.SECP256R1())
    data = (
        x509.CertificateBuilder()
        .subject_name(common_names("val0"))
        .issuer_name(common_names("authority"))
        .public_key(private_key("val0").public_key())
        .serial_number(1)
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .sign(other, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    assert refusal(data) in {Reason.BAD_SIGNATURE, Reason.NON_CANONICAL}


def test_every_flipped_bit_is_refused() -> None:
    """No single-bit change of a certificate reads as a licence; nothing but Invalid comes out."""
    for position in range(len(LICENCE_DER)):
        for bit in (0, 3, 7):
            changed = bytearray(LICENCE_DER)
            changed[position] ^= 1 << bit
            with pytest.raises(Invalid):
                read_licence_certificate(bytes(changed), AUTHORITY_KEY)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(LICENCE_DER)))
def test_garbage_is_invalid(garbage: bytes, cut: int) -> None:
    """Random bytes, truncations and trailing bytes are Invalid, never another exception."""
    for data in (garbage, LICENCE_DER[:cut] + garbage, LICENCE_DER + b"\x00" + garbage):
        if data != LICENCE_DER:
            with pytest.raises(Invalid):
                read_licence_certificate(data, AUTHORITY_KEY)
