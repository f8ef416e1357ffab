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
from tests.consensus.kit import Kit, Member

KIT = Kit(5)
FIRST = KIT.header(salt="first")
SECOND = KIT.header(salt="second")


@given(st.integers(min_value=4, max_value=32))
def test_two_quorums_share_an_honest_member(n: int) -> None:
    """For every size; and the honest members alone are a quorum, so nothing can be blocked."""
    f, quorum = fault_limit(n), quorum_size(n)
    assert 2 * quorum - n >= f + 1
    assert quorum <= n - f


@given(st.integers(min_value=4, max_value=32))
def test_a_quorum_is_no_larger_than_it_must_be(n: int) -> None:
    """One member less, and two quorums could share evil members alone; f is as large as it can."""
    f, quorum = fault_limit(n), quorum_size(n)
    assert 2 * (quorum - 1) - n <= f
    assert 3 * f < n <= 3 * (f + 1)


@given(st.data())
def test_drawn_quorums_share_an_honest_member(data: st.DataObject) -> None:
    """Any two of q members and any f evil ones, for sizes of the form 3f + 1 and all others."""
    n = data.draw(st.integers(min_value=4, max_value=32))
    members = st.permutations(range(n))
    first, second = (set(data.draw(members)[: quorum_size(n)]) for _ in range(2))
    evil = set(data.draw(members)[: fault_limit(n)])
    assert (first & second) - evil


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10, 12, 16, 23, 31, 32])
def test_with_f_silent_members_the_others_decide_and_with_one_more_they_do_not(n: int) -> None:
    """The whole normal case on a replica: n - f voices are enough, q - 1 are not."""
    kit = Kit(n)
    header = kit.header()
    for voices in (n - fault_limit(n), kit.quorum, kit.quorum - 1):
        backup = Member(kit, 1)
        backup.hear(0, kit.pre_prepare(header))
        others = [member for member in range(voices) if member != 1]
        for phase in (PREPARE, COMMIT):
            for member in others:
                backup.hear(member, kit.vote(member, phase, header))
        assert (backup.state.height == 1) == (voices >= kit.quorum)


@pytest.mark.parametrize("n", [4, 5, 6, 16, 32])
def test_a_certificate_has_exactly_a_quorum(n: int) -> None:
    """One signature less or more is refused."""
    kit = Kit(n)
    header = kit.header()
    for signers in (range(kit.quorum - 1), range(kit.quorum + 1)):
        certificate = kit.certificate(COMMIT, header, signers=signers)
        with pytest.raises(Invalid):
            check_certificate(
                certificate, kit.world.chain_id, kit.world.validators, COMMIT, kit.world.is_valid
            )


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
