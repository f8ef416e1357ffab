"""Headers and certificates: what they bind, and which certificates prove a decision."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.block import (
    COMMIT,
    HEADER_BYTES_MAX,
    PREPARE,
    Certificate,
    Header,
    VotePayload,
    check_certificate,
    header_hash,
    make_certificate,
    vote_hash,
)
from ledger.codec import decode, encode
from ledger.reasons import Invalid, Reason
from ledger.validators import ValidatorSet
from tests.ledger.world import World, key

WORLD = World()
BLOCK = WORLD.make_block()[0]
PAYLOAD = VotePayload(0, COMMIT, 3, 1, header_hash(BLOCK.header))
SIGNER_BY_KEY = {
    grant.keys.consensus: key(f"{grant.id}/consensus") for grant in WORLD.genesis.licences
}


def certify(indices: list[int], payload: VotePayload = PAYLOAD) -> Certificate:
    message = vote_hash(WORLD.chain_id, payload)
    members = WORLD.validators.members
    return make_certificate(
        payload, {index: SIGNER_BY_KEY[members[index].key].sign(message) for index in indices}
    )


def check(certificate: Certificate, validators: ValidatorSet = WORLD.validators) -> None:
    check_certificate(certificate, WORLD.chain_id, validators, COMMIT)


def test_any_quorum_proves_the_same_vote() -> None:
    """Each choice of three of four members is accepted, and survives its encoding."""
    for missing in range(4):
        certificate = certify([index for index in range(4) if index != missing])
        data = encode(certificate)
        check(decode(data, Certificate, size_max=len(data)))
        assert missing not in certificate.signer_indices


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"phase": PREPARE}, "wrong phase"),
        ({"signers": 0b0011}, "2 signers"),
        ({"signers": 0b1111}, "4 signers"),
        ({"signers": 0b1011}, "wrong"),
        ({"signers": 0b10011}, "not a member"),
        ({"signatures": ()}, "0 signatures"),
        ({"view": 4}, "wrong"),
        ({"height": 2}, "wrong"),
        ({"epoch": 1}, "wrong"),
        ({"block_hash": bytes(32)}, "wrong"),
    ],
)
def test_what_is_not_exactly_a_quorum_over_this_vote_is_refused(
    changes: dict[str, object], says: str
) -> None:
    """One changed field of a good certificate, each with its sentence."""
    bad = msgspec.structs.replace(certify([0, 1, 2]), **changes)
    with pytest.raises(Invalid, match=says) as caught:
        check(bad)
    assert caught.value.reason is Reason.BAD_CERTIFICATE


def test_more_signatures_than_a_quorum_are_refused() -> None:
    """A certificate has one size; what is more is spare."""
    with pytest.raises(Invalid, match="4 signers, 4 signatures, quorum is 3"):
        check(certify([0, 1, 2, 3]))


def test_votes_of_another_phase_or_chain_count_for_nothing() -> None:
    """PREPARE signatures under a COMMIT certificate, and a certificate of another chain."""
    prepared = certify([0, 1, 2], msgspec.structs.replace(PAYLOAD, phase=PREPARE))
    with pytest.raises(Invalid):
        check(msgspec.structs.replace(prepared, phase=COMMIT))
    with pytest.raises(Invalid):
        check_certificate(certify([0, 1, 2]), bytes(32), WORLD.validators, COMMIT)


@given(st.sampled_from(Header.__struct_fields__))
def test_every_field_of_a_header_is_in_its_hash(name: str) -> None:
    """Changing any field changes the hash."""
    value = getattr(BLOCK.header, name)
    other = bytes(31) + b"\x07" if isinstance(value, bytes) else value + 1
    changed = msgspec.structs.replace(BLOCK.header, **{name: other})
    assert header_hash(changed) != header_hash(BLOCK.header)


def test_a_header_fits_its_limit() -> None:
    """The largest numbers in every field still encode below the limit."""
    largest = dict.fromkeys(("epoch", "height", "time_ms"), 2**63 - 1)
    header = msgspec.structs.replace(BLOCK.header, **largest)
    assert len(encode(header)) <= HEADER_BYTES_MAX
