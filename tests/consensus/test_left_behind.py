"""What a decided height, a view that ended and a busy moment leave in a replica's memory: nothing
that is asked, sent or judged twice."""

from __future__ import annotations

import pytest

from consensus.effects import CaughtUp, Output, Proposed, Signed, Tick
from consensus.messages import Held, Prepare, Status
from consensus.normal_case import CATCH_UP_RETRY_MS
from consensus.replica_state import STATUS_MS
from consensus.status import make_status
from ledger.block import COMMIT, PREPARE, header_hash
from tests.consensus.kit import Kit, Member

KIT = Kit(4)
WIDE = Kit(4, window=4)
ONE, TWO, THREE = WIDE.chain(3)[1:]


def decide(member: Member, *headers: object) -> None:
    for header in headers:
        member.hear(0, WIDE.pre_prepare(header))
        for other in (0, 2, 3):
            member.hear(other, WIDE.vote(other, PREPARE, header), WIDE.vote(other, COMMIT, header))


def test_a_decided_height_leaves_nothing() -> None:
    """Votes that came early or late, the body's verdict, certificates: all of it above the tip."""
    backup = Member(WIDE, 1)
    backup.hear(3, WIDE.vote(3, PREPARE, ONE, view=1), WIDE.vote(3, PREPARE, TWO, view=1))
    decide(backup, ONE)
    backup.hear(3, WIDE.vote(3, COMMIT, ONE), WIDE.vote(3, PREPARE, ONE, view=1))
    state = backup.state
    assert state.height == 1
    assert all(height > 1 for height in (*state.slots, *state.prepared, *state.certified))
    assert all(header.height > 1 for header, _ in state.executed.values())
    assert [key[2] for key in state.parked] == [2]


def test_an_own_vote_that_comes_back_late_leaves_nothing() -> None:
    """Signed while the height was decided by the votes of others."""
    backup = Member(WIDE, 1)
    vote = WIDE.vote(1, PREPARE, ONE)
    backup.step(CaughtUp(ONE, WIDE.certificate(COMMIT, ONE)))
    backup.step(Signed(vote))
    assert 1 not in backup.state.slots


def test_a_block_is_given_to_be_executed_once() -> None:
    """However often its replica looks before the answer comes; its own it never is."""
    asked = []
    backup = Member(WIDE, 1, executes=False)
    asked += backup.hear(0, WIDE.pre_prepare(ONE)).execute
    for other in (2, 3):
        asked += backup.hear(other, WIDE.vote(other, PREPARE, ONE)).execute
    asked += backup.step(Tick()).execute
    assert [item.block_hash for item in asked] == [header_hash(ONE)]
    primary = Member(WIDE, 0, executes=False)
    assert primary.step(Proposed(ONE, ())).execute == []
    assert primary.step(Tick()).execute == []


def test_what_was_fetched_at_the_tip_changes_nothing() -> None:
    """The block that is the tip already: no decision, and what is in flight stays."""
    backup = Member(WIDE, 1)
    decide(backup, ONE)
    backup.hear(0, WIDE.pre_prepare(TWO))
    slot, progress_ms = backup.state.slots[2], backup.state.progress_ms
    backup.wait(100)
    output = backup.step(CaughtUp(ONE, WIDE.certificate(COMMIT, ONE)))
    assert output.decided == []
    assert backup.state.slots[2] is slot
    assert backup.state.progress_ms == progress_ms


def test_votes_of_the_next_view_count_when_it_begins_at_every_height() -> None:
    """They came before its NEW-VIEW; those of the view after it wait on."""
    backup = Member(WIDE, 2)
    one, two = WIDE.header(view=1), None
    two = WIDE.header(one, view=1)
    backup.hear(3, WIDE.vote(3, PREPARE, two, view=1), WIDE.vote(3, PREPARE, one, view=1))
    backup.hear(3, WIDE.vote(3, PREPARE, one, view=2))
    backup.hear(1, WIDE.new_view(1, [WIDE.view_change(signer, 1) for signer in (0, 1, 3)]))
    held = {height: slot.prepares.bitmap() for height, slot in backup.state.slots.items()}
    assert held == {1: 0b1000, 2: 0b1000}
    assert [key[1] for key in backup.state.parked] == [2]


def test_what_waited_for_a_view_that_is_over_is_forgotten() -> None:
    """Also at heights that are above the number of the view."""
    backup = Member(WIDE, 3)
    for view in (1, 2):
        backup.hear(0, WIDE.vote(0, PREPARE, THREE, view=view))
    backup.hear(2, WIDE.new_view(2, [WIDE.view_change(signer, 2) for signer in (0, 1, 2)]))
    assert backup.state.view == 2
    assert backup.state.parked == {}
    assert backup.state.slots[3].prepares.bitmap() == 0b0001


def test_what_was_prepared_is_not_executed_again_in_the_next_view() -> None:
    """Its result goes along; that of a block which nobody prepared is forgotten."""
    backup = Member(WIDE, 2)
    backup.hear(0, WIDE.pre_prepare(ONE), WIDE.pre_prepare(TWO))
    for other in (1, 3):
        backup.hear(other, WIDE.vote(other, PREPARE, ONE))
    entry = WIDE.entry(ONE)
    changes = [WIDE.view_change(signer, 1, entries=(entry,)) for signer in (0, 1, 3)]
    output = backup.hear(1, WIDE.new_view(1, changes))
    assert output.execute == []
    assert {*backup.state.executed} == {header_hash(ONE)}
    assert [vote.block_hash for vote in backup.of(Prepare) if vote.view] == [header_hash(ONE)]


@pytest.mark.parametrize(
    ("signer", "phase", "is_bad"),
    [(0, PREPARE, True), (2, PREPARE, False), (0, COMMIT, False), (2, COMMIT, False)],
)
def test_only_two_proposals_of_the_primary_speak_against_it(
    signer: int, phase: int, is_bad: bool
) -> None:
    """Whoever else votes twice is accused, and the view goes on."""
    backup = Member(WIDE, 1)
    votes = [WIDE.vote(signer, phase, WIDE.header(salt=salt)) for salt in "ab"]
    output = Output()
    for vote in votes:
        output.evidence += backup.hear(signer, vote).evidence
    assert len(output.evidence) == 1
    assert bool(backup.state.bad_primary) is is_bad


def test_status_says_what_is_held_and_nothing_else() -> None:
    """Of an open height without a proposal nothing; whose VIEW-CHANGEs of this view are there."""
    backup = Member(WIDE, 3)
    status = make_status(backup.state)
    assert status.held == tuple(Held(height, 0, 0, 0) for height in (1, 2, 3, 4))
    assert status.view_changes == 0
    backup.hear(0, WIDE.view_change(0, 1))
    assert make_status(backup.state).view_changes == 0  # of a view that this one is not in
    backup.hear(2, WIDE.view_change(2, 2))
    assert backup.state.view == 1
    assert make_status(backup.state).view_changes == 0b1001
    backup.hear(1, WIDE.view_change(1, 1))
    assert make_status(backup.state).view_changes == 0b1011


def test_who_lacks_blocks_asks_one_signer_after_another() -> None:
    """A signer that does not answer must not be asked for ever."""
    behind = Member(KIT, 1)
    chain = KIT.chain(6)
    proof = KIT.certificate(COMMIT, chain[6], signers=(0, 2, 3))
    asked = []
    for _ in range(6):
        output = behind.hear(2, KIT.status(chain[6], certificate=(proof,)))
        asked += [request.member for request in output.catch_up]
        behind.wait(CATCH_UP_RETRY_MS)
    assert {*asked} == {0, 2, 3}


def test_a_quiet_member_says_so_each_second() -> None:
    """What it waits for is never due before it is."""
    backup = Member(WIDE, 1)
    for _ in range(3):
        backup.wait(STATUS_MS)
        backup.sent.clear()
        output = backup.step(Tick())
        assert len(backup.of(Status)) == 1
        assert backup.of(Prepare) == []
        assert output.deadline_ms == backup.now.monotonic_ms + STATUS_MS
