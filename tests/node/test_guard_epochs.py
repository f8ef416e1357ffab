"""The guard across epochs: what the end of one makes impossible, and when a lost log is no matter
any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from consensus.effects import VoteRequest
from consensus.messages import VoteMark
from ledger.block import COMMIT, PREPARE, Block, Header, VotePayload, header_hash
from ledger.validators import ValidatorSet
from node.signing import LocalKey
from node.vote_guard import SURE_EPOCHS, Permission, Refused, VoteGuard
from node.wal import INSTANCE_ID_BYTES, WriteAheadLog
from tests.consensus.kit import Kit
from tests.sim.storage import MemoryLogFile

KIT = Kit(4)
MEMBER = 1
MEMBERS = KIT.rules.validators.members
RULES = [KIT.rules]
for number in range(1, 6):
    RULES.append(RULES[-1].following(ValidatorSet(number, MEMBERS)))
WITHOUT = RULES[0].following(ValidatorSet(1, tuple(MEMBERS[index] for index in (0, 2, 3))))
"""Epoch 1 in which this member has no seat."""


def header(epoch: int, height: int, salt: str = "") -> Header:
    return replace(KIT.header(salt=salt), epoch=epoch, height=height)


class Desk:
    """A guard and its log, which may be lost, on a chain that stands in some epoch."""

    def __init__(self, epoch: int = 0) -> None:
        self.file = MemoryLogFile()
        WriteAheadLog.create(self.file, bytes(INSTANCE_ID_BYTES))
        self.start(epoch)

    def start(self, epoch: int) -> None:
        """As the node starts, with the log that there is."""
        log, records = WriteAheadLog.open(self.file)
        self.guard = VoteGuard(key(), RULES[epoch], log, records, new_log=pytest.fail)

    def start_without_log(self, epoch: int) -> None:
        """Its file is gone; a new one is made when that is safe."""

        def new_log() -> WriteAheadLog:
            self.file = MemoryLogFile()
            return WriteAheadLog.create(self.file, bytes(INSTANCE_ID_BYTES))

        self.guard = VoteGuard(key(), RULES[epoch], None, new_log=new_log, why="it is missing")

    def hear(self, epoch: int, height: int, votes: tuple[VoteMark, ...] = ()) -> None:
        """All others and this member itself, at this height."""
        status = replace(KIT.status(), epoch=epoch, height=height, votes=votes)
        self.guard.hear_self(height)
        for member in (2, 3, 0):
            self.guard.hear(member, status)

    def vote(self, epoch: int, height: int, salt: str = "") -> None:
        found = header(epoch, height, salt)
        payload = VotePayload(epoch, PREPARE, 0, height, header_hash(found))
        self.guard.stage(VoteRequest(payload), synced=True, block=Block(found, ()))
        assert len(self.guard.flush()) == 1


def key() -> LocalKey:
    return LocalKey(KIT.world.member_key(MEMBER), KIT.rules.chain_id)


def echo(epoch: int, height: int) -> tuple[VoteMark, ...]:
    """A vote of this key that the others saw."""
    payload = VotePayload(epoch, COMMIT, 0, height, header_hash(header(epoch, height)))
    return (VoteMark(MEMBER, epoch, 0, height, COMMIT, payload.block_hash, key().sign(payload)),)


def test_votes_of_an_epoch_that_is_over_are_refused() -> None:
    """After its last block at height 3 neither is one of it signed, at any height, nor one of the
    next at a height that is final; in the next a height above has one hash again."""
    desk = Desk()
    desk.hear(0, 0)
    desk.vote(0, 4)
    desk.guard.committed(3)
    desk.guard.enter_epoch(RULES[1], 3)
    for epoch, height in ((0, 4), (0, 5), (1, 3), (2, 4)):
        with pytest.raises(Refused):
            desk.vote(epoch, height)
    desk.vote(1, 4)
    desk.vote(1, 4)
    with pytest.raises(Refused, match="another block"):
        desk.vote(1, 4, salt="other")


def lost_fresh(desk: Desk) -> None:
    """A new log on a chain with blocks."""
    desk.start(1)
    desk.hear(1, 5)


def lost_missing(desk: Desk) -> None:
    """No log at all."""
    desk.start_without_log(1)
    desk.hear(1, 5)


def lost_behind(desk: Desk) -> None:
    """A log of epoch 0, where others saw a vote of epoch 1: a restored copy."""
    desk.hear(0, 0)
    desk.vote(0, 1)
    desk.start(1)
    desk.hear(1, 5, echo(1, 6))


LOST = [lost_fresh, lost_missing, lost_behind]


@pytest.mark.parametrize("lose", LOST)
def test_a_lost_log_is_no_matter_two_epochs_later(lose: Callable[[Desk], None]) -> None:
    """It follows in the epoch in which it was lost and in the next, in which it knows that it will
    vote; in the one after it votes by itself, above the last block of the epoch before."""
    desk = Desk()
    lose(desk)
    assert desk.guard.permission is Permission.FOLLOWING
    assert not desk.guard.is_sure_next
    assert f"or epoch {1 + SURE_EPOCHS}" in desk.guard.reason
    desk.guard.enter_epoch(RULES[2], 10)
    assert desk.guard.permission is Permission.FOLLOWING
    assert desk.guard.is_sure_next
    with pytest.raises(Refused):
        desk.vote(2, 11)
    desk.guard.enter_epoch(RULES[3], 20)
    assert desk.guard.permission is Permission.ALLOWED
    assert desk.guard.reason == ""
    with pytest.raises(Refused, match="votes begin above 20"):
        desk.vote(3, 20)
    desk.vote(3, 21)


@pytest.mark.parametrize("lose", LOST)
def test_a_restart_does_not_begin_the_wait_anew(lose: Callable[[Desk], None]) -> None:
    """The log says from which epoch on: restarted in the next, it votes in the same one; restarted
    in that one, it votes at once, and what it then signed is remembered."""
    desk = Desk()
    lose(desk)
    desk.start(2)
    desk.hear(2, 12)
    assert desk.guard.permission is Permission.FOLLOWING
    assert desk.guard.is_sure_next
    desk.guard.enter_epoch(RULES[3], 20)
    desk.vote(3, 21)
    desk.start(3)
    desk.hear(3, 20)
    assert desk.guard.permission is Permission.ALLOWED
    with pytest.raises(Refused, match="another block"):
        desk.vote(3, 21, salt="other")


def test_a_log_of_an_earlier_epoch_is_whole() -> None:
    """The node was down while epochs ended: nothing of the old one is restored, and it votes."""
    desk = Desk()
    desk.hear(0, 0)
    desk.vote(0, 4)
    desk.start(3)
    assert desk.guard.restored(30).proposals == ()
    desk.hear(3, 30)
    assert desk.guard.permission is Permission.ALLOWED
    with pytest.raises(Refused):
        desk.vote(0, 5)
    desk.vote(3, 31)


def test_a_log_ahead_of_the_chain_signs_nothing_of_the_past() -> None:
    """An older copy of the chain under a newer log: no vote of epoch 0 after one of epoch 1; when
    the chain is there again, what was signed binds."""
    desk = Desk()
    desk.hear(0, 0)
    desk.guard.enter_epoch(RULES[1], 3)
    desk.vote(1, 4)
    desk.start(0)
    desk.hear(0, 1)
    with pytest.raises(Refused, match="this is epoch 1"):
        desk.vote(0, 2)
    desk.guard.enter_epoch(RULES[1], 3)
    desk.hear(1, 3)
    with pytest.raises(Refused, match="another block"):
        desk.vote(1, 4, salt="other")
    desk.vote(1, 4)


def test_what_others_said_in_an_epoch_counts_in_it_alone() -> None:
    """Members are counted by their place in one set: two of epoch 0 and one of epoch 1 are no
    quorum."""
    desk = Desk()
    desk.guard.hear(2, KIT.status())
    desk.guard.hear(3, KIT.status())
    desk.guard.enter_epoch(RULES[1], 3)
    desk.guard.hear(2, replace(KIT.status(), epoch=1))
    assert desk.guard.permission is Permission.WAITING


def test_without_a_seat_nothing_of_its_own_counts() -> None:
    """Its word is none of the quorum's, which is two of these three members."""
    desk = Desk()
    desk.guard.enter_epoch(WITHOUT, 3)
    assert not desk.guard.hear_self(3)
    status = replace(KIT.status(), epoch=1, height=3)
    assert not desk.guard.hear(0, status)
    assert desk.guard.hear(1, status)
    assert desk.guard.permission is Permission.FOLLOWING


def test_two_epochs_count_from_what_a_quorum_of_others_says() -> None:
    """It signed in epoch 5, then its disk was lost. On its way from genesis it hears a laggard and
    a liar who stand in epoch 2: with itself they are a quorum, but no proof of where it voted."""
    desk = Desk(5)
    desk.hear(5, 0)
    desk.guard.enter_epoch(RULES[5], 50)
    desk.vote(5, 51, salt="first")
    desk.start_without_log(0)
    for epoch in (1, 2):
        desk.guard.enter_epoch(RULES[epoch], epoch * 10)
    status = replace(KIT.status(), epoch=2, height=21)
    desk.guard.hear_self(21)
    for member in (2, 3):
        desk.guard.hear(member, status)
    assert desk.guard.permission is Permission.FOLLOWING
    assert "or epoch" not in desk.guard.reason
    for epoch in (3, 4, 5):
        desk.guard.enter_epoch(RULES[epoch], epoch * 10)
    with pytest.raises(Refused):
        desk.vote(5, 51, salt="second")


def test_a_key_that_runs_elsewhere_does_not_vote_in_the_next_epoch() -> None:
    """Its log began anew once, which is long over; then another process shows up with the key."""
    desk = Desk()
    lost_fresh(desk)
    desk.start(3)
    desk.hear(3, 20)
    assert desk.guard.permission is Permission.ALLOWED
    desk.guard.enter_epoch(RULES[4], 30)
    assert desk.guard.distrust_key()
    desk.guard.enter_epoch(RULES[5], 40)
    assert desk.guard.permission is Permission.FOLLOWING


def test_an_own_vote_of_the_epoch_before_is_no_other_signer() -> None:
    """It prepared above what became the end of the epoch, and another block there in the next; an
    echo of the first comes late."""
    desk = Desk()
    desk.hear(0, 0)
    desk.vote(0, 4, salt="old")
    old = VotePayload(0, PREPARE, 0, 4, header_hash(header(0, 4, "old")))
    desk.guard.committed(3)
    desk.guard.enter_epoch(RULES[1], 3)
    desk.hear(1, 3)
    desk.vote(1, 4)
    mark = VoteMark(MEMBER, 0, 0, 4, PREPARE, old.block_hash, key().sign(old))
    desk.guard.hear(2, replace(KIT.status(), votes=(mark,)))
    assert desk.guard.permission is Permission.ALLOWED
