"""Licences: when they are active, and which set of validators they make."""

from __future__ import annotations

from hashlib import sha256

from ledger.economy.licence import (
    Licence,
    certificate_fingerprint,
    validator_set,
)
from tests.ledger.world import grant, key


def test_a_licence_is_active_until_it_expires() -> None:
    """The moment of expiry still counts, the next millisecond does not."""
    licence = Licence.granted(grant("val0"), 0)
    expires_ms = licence.grant.expires_ms
    assert licence.is_active(0)
    assert licence.is_active(expires_ms)
    assert not licence.is_active(expires_ms + 1)


def test_validators_are_the_licences_with_a_seat() -> None:
    """Issuers without a seat do not vote; members carry the consensus key."""
    grants = [grant(f"val{index}", validator=index != 2) for index in range(5)]
    members = validator_set(grants).members
    assert {member.licence for member in members} == {"val0", "val1", "val3", "val4"}
    for member in members:
        assert member.key == key(f"{member.licence}/consensus").public


def test_the_fingerprint_is_plain_sha256() -> None:
    """What TLS tools print for the same certificate."""
    assert certificate_fingerprint(b"der") == sha256(b"der").digest()
