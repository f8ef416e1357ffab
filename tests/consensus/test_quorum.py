"""Counting votes and checking certificates: one vote a member, quorums that intersect."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.quorum import VoteSet
from ledger.block import COMMIT, PREPARE, check_certificate
from ledger.reasons import Invalid
from ledger.validators import fault_limit, quorum_size
from tests.consensus.kit import Kit

KIT = Kit(5)
FIRST = KIT.header(salt="first")
SECOND = KIT.header(salt="second")


@given(st.integers(min_value=4, max_value=32))
def test_two_quorums_share_an_honest_member(n: int) -> None:
    """For every size; and the honest members alone are a quorum, so nothing can be blocked."""
    f, quorum = fault_limit(n), quorum_size(n)
    assert 2 * quorum - n >= f + 1
    assert quorum <= n - f


def test_a_member_counts_once() -> None:
    """The same vote again changes nothing; a second one is answered with the first."""
    votes = VoteSet()
    first = KIT.vote(1, PREPARE, FIRST)
    assert votes.add(first) is None
    assert votes.add(first) is None
    assert votes.add(KIT.vote(1, PREPARE, SECOND)) == first
    assert votes.count(first.block_hash) == 1
    assert votes.count(KIT.vote(1, PREPARE, SECOND).block_hash) == 0
    assert votes.bitmap() == 0b10


def test_a_quorum_is_of_one_hash() -> None:
    """Four votes of which two are for another block are no quorum of four."""
    votes = VoteSet()
    for member in (0, 1):
        votes.add(KIT.vote(member, PREPARE, FIRST))
    for member in (2, 3):
        votes.add(KIT.vote(member, PREPARE, SECOND))
    assert votes.quorum_hash(KIT.quorum) is None
    votes.add(KIT.vote(4, PREPARE, FIRST))
    assert votes.quorum_hash(3) == KIT.vote(0, PREPARE, FIRST).block_hash


def test_signatures_are_the_first_quorum_in_order() -> None:
    """A certificate holds exactly q, whoever came first."""
    votes = VoteSet()
    for member in (4, 2, 0, 3, 1):
        votes.add(KIT.vote(member, PREPARE, FIRST))
    found = votes.signatures(KIT.vote(0, PREPARE, FIRST).block_hash, KIT.quorum)
    assert list(found) == [0, 1, 2, 3]


def test_certificate_holds() -> None:
    """q signatures of q members over one preimage."""
    certificate = KIT.certificate(COMMIT, FIRST)
    check_certificate(
        certificate, KIT.world.chain_id, KIT.world.validators, COMMIT, KIT.world.is_valid
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"view": 1},
        {"height": 2},
        {"epoch": 1},
        {"block_hash": bytes(32)},
        {"phase": PREPARE},
        {"signers": 0b11110},
        {"signers": 0b0111},
        {"signers": 0b10111},
        {"signatures": ()},
    ],
)
def test_certificate_with_one_field_changed_is_refused(changes: dict[str, object]) -> None:
    """Each redundant field alone: index, bitmap, view, height, epoch, hash, phase."""
    certificate = msgspec.structs.replace(KIT.certificate(COMMIT, FIRST), **changes)
    with pytest.raises(Invalid):
        check_certificate(
            certificate, KIT.world.chain_id, KIT.world.validators, COMMIT, KIT.world.is_valid
        )
