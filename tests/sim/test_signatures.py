"""The book of a key sees each way in which the key could contradict itself, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consensus.messages import Signable, ViewChangeBody
from ledger.block import COMMIT, PREPARE, Header, VotePayload, header_hash
from tests.consensus.kit import Kit
from tests.sim.signatures import (
    CommitTooEarly,
    DoubleSigned,
    LockedBlock,
    Locks,
    RecoveredTooLow,
    SignatureBook,
    VotesUnrecovered,
)

KIT = Kit()
CHAIN = KIT.chain(4)
OTHER = KIT.header(CHAIN[0], salt="other")


class Key:
    """One member's book; a quorum is three, and nobody is evil."""

    def __init__(self, locks: Locks | None = None, member: int = 0) -> None:
        locks = locks or Locks(lambda _: KIT.quorum)
        self.book = SignatureBook(KIT.world.chain_id, member, locks)

    def sign(self, *requests: Signable) -> None:
        for request in requests:
            self.book.ask(request)
            message = next(key for key, held in self.book._asked.items() if held == request)
            self.book.sign(message)


def vote(phase: int, header: Header, view: int = 0) -> VotePayload:
    return VotePayload(0, phase, view, header.height, header_hash(header))


def leave(view: int, *heights: int, of: int = 0) -> ViewChangeBody:
    """A VIEW-CHANGE from genesis with these heights, prepared in view `of`."""
    entries = tuple(KIT.entry(CHAIN[height], view=of) for height in heights)
    return KIT.view_change(0, view, entries=entries).body


def test_what_an_honest_key_signs() -> None:
    """Two heights, again after a restart, a view change that takes both along, votes there."""
    votes = [vote(phase, CHAIN[at]) for at in (1, 2) for phase in (PREPARE, COMMIT)]
    key = Key()
    key.sign(*votes, *votes, leave(1, 1, 2), leave(1, 1, 2), vote(PREPARE, CHAIN[1], 1))
    assert key.book.signed == 2 * len(votes) + 3


@pytest.mark.parametrize(
    ("why", "requests"),
    [
        ("two hashes", [vote(PREPARE, CHAIN[1]), vote(PREPARE, OTHER)]),
        ("after", [vote(PREPARE, CHAIN[1], 1), vote(COMMIT, CHAIN[1])]),
        ("after", [leave(2), leave(1)]),
        ("after", [leave(1), vote(PREPARE, CHAIN[1])]),
        ("two different", [leave(1), leave(1, 1)]),
        ("without height 1", [vote(PREPARE, CHAIN[1]), vote(COMMIT, CHAIN[1]), leave(1)]),
        ("without height 1", [vote(COMMIT, CHAIN[1], 1), leave(2, 1, of=0)]),
    ],
)
def test_a_contradiction(why: str, requests: list[Signable]) -> None:
    """Of a vote, a view or what goes along into one."""
    with pytest.raises(DoubleSigned, match=why):
        Key().sign(*requests)


def test_a_signature_that_nobody_asked_for() -> None:
    """What the guard was not asked for is no vote of its member, unless it is allowed."""
    key = Key()
    key.book.allow(bytes(32))
    key.book.sign(bytes(32))
    with pytest.raises(DoubleSigned, match="nobody asked"):
        key.book.sign(b"\1" * 32)


def test_a_commit_before_its_parent() -> None:
    """Height 2 without height 1, unless that may be decided by the others."""
    with pytest.raises(CommitTooEarly):
        Key().sign(vote(COMMIT, CHAIN[2]))
    locks = Locks(lambda _: KIT.quorum)
    for member in (1, 2, 3):
        Key(locks, member).sign(vote(COMMIT, CHAIN[1]))
    Key(locks).sign(vote(COMMIT, CHAIN[2]))


def test_another_block_where_one_may_be_decided() -> None:
    """Three signed a COMMIT in view 0; in view 1 the fourth prepares another block."""
    locks = Locks(lambda _: KIT.quorum)
    for member in (1, 2, 3):
        Key(locks, member).sign(vote(COMMIT, CHAIN[1]))
    with pytest.raises(LockedBlock):
        Key(locks).sign(vote(PREPARE, OTHER, 1))


@pytest.mark.parametrize("above", [1, 2])
def test_recovery_begins_above_all_votes(above: int) -> None:
    """Also those that were signed while its log was an older one."""
    key = Key()
    key.sign(vote(PREPARE, CHAIN[1]))
    key.book.forget()
    key.sign(vote(PREPARE, CHAIN[2]))
    if above < 2:
        with pytest.raises(RecoveredTooLow):
            key.book.recovered(above)
        return
    key.book.recovered(above)
    key.sign(vote(PREPARE, CHAIN[3]))
    with pytest.raises(RecoveredTooLow):
        key.sign(vote(COMMIT, CHAIN[2]))


@pytest.mark.parametrize("then", [SignatureBook.forget, lambda book: book.recovered(1)])
def test_no_vote_without_memory(then: Callable[[SignatureBook], None]) -> None:
    """An unreadable log signs nothing; an older one, or a recovered member, does."""
    key = Key()
    key.sign(vote(PREPARE, CHAIN[1]))
    key.book.must_follow = True
    with pytest.raises(VotesUnrecovered):
        key.sign(vote(PREPARE, CHAIN[2]))
    then(key.book)
    key.sign(vote(PREPARE, CHAIN[2]))
