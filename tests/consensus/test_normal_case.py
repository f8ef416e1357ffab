"""PRE-PREPARE to decision: what is accepted, what is asked for, and in which order."""

from __future__ import annotations

import msgspec
import pytest

from consensus.effects import CaughtUp, Executed, Proposed, Tick
from consensus.messages import Commit, Prepare, PrePrepare
from consensus.normal_case import CATCH_UP_PATIENCE_MS
from consensus.replica_state import PARK_HEIGHTS, PARK_VIEWS, ReplicaBroken
from ledger.block import (
    CLOCK_SKEW_MS_MAX,
    COMMIT,
    PREPARE,
    header_hash,
)
from ledger.reasons import Reason
from tests.consensus.kit import Kit, Member

KIT = Kit(4)
ONE = KIT.header()
WIDE = Kit(4, window=4)


def test_a_backup_prepares_commits_and_decides() -> None:
    """Proposal, PREPARE; a quorum of PREPAREs, COMMIT; a quorum of COMMITs, final."""
    backup = Member(KIT, 1)
    backup.hear(0, KIT.pre_prepare(ONE))
    assert [vote.signer for vote in backup.of(Prepare)] == [1]
    assert backup.of(Commit) == []
    backup.hear(2, KIT.vote(2, PREPARE, ONE))
    assert [vote.block_hash for vote in backup.of(Commit)] == [header_hash(ONE)]
    assert backup.hear(0, KIT.vote(0, COMMIT, ONE)).decided == []
    decided = backup.hear(3, KIT.vote(3, COMMIT, ONE)).decided
    assert [item.header for item in decided] == [ONE]
    assert decided[0].certificate.signer_indices == [0, 1, 3]
    assert backup.state.height == 1


def test_the_order_of_arrival_does_not_matter() -> None:
    """All votes before the proposal: the same decision."""
    backup = Member(KIT, 1)
    for member in (3, 2, 0):
        backup.hear(member, KIT.vote(member, COMMIT, ONE), KIT.vote(member, PREPARE, ONE))
    decided = backup.hear(0, KIT.pre_prepare(ONE)).decided
    assert [item.header for item in decided] == [ONE]


def test_the_primary_is_counted_once() -> None:
    """Its PRE-PREPARE is its PREPARE: both together with ours are two of three."""
    backup = Member(KIT, 1)
    backup.hear(0, KIT.pre_prepare(ONE), KIT.vote(0, PREPARE, ONE))
    assert backup.of(Commit) == []


@pytest.mark.parametrize(
    ("name", "sender", "message"),
    [
        ("claims another signer", 2, KIT.vote(2, PREPARE, ONE, claim=3)),
        ("arrives from another member", 3, KIT.vote(2, PREPARE, ONE)),
        ("is signed by another member", 3, KIT.vote(2, PREPARE, ONE, claim=3)),
        ("is of another view", 2, KIT.vote(2, PREPARE, ONE, view=1)),
        ("is of another epoch", 2, msgspec.structs.replace(KIT.vote(2, PREPARE, ONE), epoch=1)),
        (
            "is a COMMIT called PREPARE",
            2,
            Prepare(*msgspec.structs.astuple(KIT.vote(2, COMMIT, ONE))),
        ),
    ],
)
def test_a_vote_counts_for_its_verified_signer_only(
    name: str, sender: int, message: object
) -> None:
    """A quorum is of distinct keys, whatever a message claims."""
    backup = Member(KIT, 1)
    backup.hear(0, KIT.pre_prepare(ONE))
    backup.hear(sender, message)
    assert backup.of(Commit) == [], name


@pytest.mark.parametrize(
    ("name", "sender", "message"),
    [
        ("from a backup", 2, KIT.pre_prepare(ONE)),
        (
            "with a wrong signature",
            0,
            msgspec.structs.replace(KIT.pre_prepare(ONE), signature=bytes(64)),
        ),
        (
            "with leaves of another body",
            0,
            msgspec.structs.replace(KIT.pre_prepare(ONE), leaves=(bytes(32),)),
        ),
        ("of another chain", 0, KIT.pre_prepare(msgspec.structs.replace(ONE, chain_id=bytes(32)))),
        ("of another epoch", 0, KIT.pre_prepare(msgspec.structs.replace(ONE, epoch=1))),
        (
            "of another set",
            0,
            KIT.pre_prepare(msgspec.structs.replace(ONE, validators_hash=bytes(32))),
        ),
        ("built by another member", 0, KIT.pre_prepare(KIT.header(view=1))),
    ],
)
def test_a_proposal_that_is_not_the_primarys_is_dropped(
    name: str, sender: int, message: object
) -> None:
    """Nothing is executed or voted for, and nobody is accused."""
    backup = Member(KIT, 1)
    output = backup.hear(sender, message)
    assert (output.execute, backup.of(Prepare)) == ([], []), name
    assert not backup.state.bad_primary


def test_two_proposals_are_evidence_and_end_the_trust() -> None:
    """The second one is not taken; both signatures are handed out."""
    backup = Member(KIT, 1)
    backup.hear(0, KIT.pre_prepare(ONE))
    output = backup.hear(0, KIT.pre_prepare(KIT.header(salt="other")))
    assert [(item.first.block_hash, item.second.signer) for item in output.evidence] == [
        (header_hash(ONE), 0)
    ]
    assert len(backup.of(Prepare)) == 1
    assert backup.state.bad_primary


def test_a_header_on_another_parent_ends_the_trust() -> None:
    """Its primary signed it, so it is no accident of the network."""
    backup = Member(KIT, 1)
    backup.hear(0, KIT.pre_prepare(msgspec.structs.replace(ONE, parent_hash=bytes(32))))
    assert backup.state.bad_primary
    assert backup.of(Prepare) == []


def test_a_block_that_fails_execution_is_not_prepared() -> None:
    """And its primary is suspected; a quorum for it means that this node is broken."""
    backup = Member(KIT, 1)
    slot_hash = header_hash(ONE)
    backup.replica.step(Executed(ONE, slot_hash, Reason.BAD_STATE_ROOT), backup.now)
    backup.hear(0, KIT.pre_prepare(ONE))
    assert backup.of(Prepare) == []
    backup.hear(2, KIT.vote(2, PREPARE, ONE))
    with pytest.raises(ReplicaBroken):
        backup.hear(3, KIT.vote(3, PREPARE, ONE))


def test_a_time_far_from_the_clock_waits_for_others() -> None:
    """No PREPARE and no suspicion, until f + 1 members found it near theirs."""
    backup = Member(KIT, 1)
    late = msgspec.structs.replace(ONE, time_ms=backup.now.wall_ms + CLOCK_SKEW_MS_MAX + 1)
    backup.hear(0, KIT.pre_prepare(late))
    assert (backup.of(Prepare), backup.state.bad_primary) == ([], "")
    backup.hear(2, KIT.vote(2, PREPARE, late))
    assert len(backup.of(Prepare)) == 1


@pytest.mark.parametrize(
    ("skew_ms", "prepares"),
    [
        (-CLOCK_SKEW_MS_MAX - 1, 0),
        (-CLOCK_SKEW_MS_MAX, 1),
        (CLOCK_SKEW_MS_MAX, 1),
        (CLOCK_SKEW_MS_MAX + 1, 0),
    ],
)
def test_how_far_a_time_may_be_from_the_clock(skew_ms: int, prepares: int) -> None:
    """The same on both sides."""
    backup = Member(KIT, 1)
    backup.wait(2 * CLOCK_SKEW_MS_MAX)
    header = msgspec.structs.replace(ONE, time_ms=backup.now.wall_ms + skew_ms)
    backup.hear(0, KIT.pre_prepare(header))
    assert len(backup.of(Prepare)) == prepares


def test_nothing_is_voted_for_before_the_guard_allows() -> None:
    """Proposal and votes are taken, none is given."""
    backup = Member(KIT, 1, voting=False)
    backup.hear(0, KIT.pre_prepare(ONE))
    assert backup.output.votes == []
    assert backup.state.slots[1].proposal is not None


def test_a_commit_waits_for_every_ancestor() -> None:
    """Window 4: height 2 is prepared first, its COMMIT comes after that of height 1."""
    one, two = WIDE.chain(2)[1:]
    backup = Member(WIDE, 1)
    backup.hear(0, WIDE.pre_prepare(one), WIDE.pre_prepare(two))
    for member in (2, 3):
        backup.hear(member, WIDE.vote(member, PREPARE, two))
    assert backup.of(Commit) == []
    backup.hear(2, WIDE.vote(2, PREPARE, one))
    assert [vote.height for vote in backup.of(Commit)] == [1, 2]


def test_a_commit_waits_for_the_one_below_though_that_is_prepared() -> None:
    """Window 4: height 1 is prepared by the others and not executed here. A COMMIT of height 2 now
    would be all that the log holds: a VIEW-CHANGE after a crash would lack height 1."""
    one, two = WIDE.chain(2)[1:]
    backup = Member(WIDE, 1, executes=False)
    backup.hear(0, WIDE.pre_prepare(one), WIDE.pre_prepare(two))
    for header in (one, two):
        for member in (2, 3):
            backup.hear(member, WIDE.vote(member, PREPARE, header))
    backup.execute(two)
    assert backup.of(Commit) == []
    backup.execute(one)
    assert [vote.height for vote in backup.of(Commit)] == [1, 2]


def test_a_final_block_on_another_chain_stops_the_node() -> None:
    """More than f lie: a quorum stands behind a block that continues another than ours."""
    one, other = WIDE.header(), WIDE.header(salt="other")
    above = WIDE.header(other)
    backup = Member(WIDE, 1)
    backup.hear(0, WIDE.pre_prepare(one))
    backup.execute(above)
    for member in (0, 2, 3):
        backup.hear(member, WIDE.vote(member, COMMIT, above))
    with pytest.raises(ReplicaBroken, match="continues another"):
        for member in (0, 2, 3):
            backup.hear(member, WIDE.vote(member, COMMIT, one))


def test_heights_are_decided_in_order() -> None:
    """A quorum of COMMITs for height 2 waits for height 1."""
    one, two = WIDE.chain(2)[1:]
    backup = Member(WIDE, 1)
    backup.hear(0, WIDE.pre_prepare(one), WIDE.pre_prepare(two))
    for member in (0, 2, 3):
        backup.hear(member, WIDE.vote(member, COMMIT, two))
    assert backup.state.height == 0
    backup.hear(0, WIDE.vote(0, COMMIT, one))
    backup.hear(2, WIDE.vote(2, COMMIT, one))
    decided = backup.hear(3, WIDE.vote(3, COMMIT, one)).decided
    assert [item.header.height for item in decided] == [1, 2]


def test_a_proposal_beyond_the_window_is_parked_and_taken_later() -> None:
    """Window 1: height 2 comes before height 1 is final, and is not lost."""
    one, two = KIT.chain(2)[1:]
    backup = Member(KIT, 1)
    backup.hear(0, KIT.pre_prepare(two), KIT.pre_prepare(one))
    assert [vote.height for vote in backup.of(Prepare)] == [1]
    for member in (0, 2, 3):
        backup.hear(member, KIT.vote(member, COMMIT, one))
    assert [vote.height for vote in backup.of(Prepare)] == [1, 2]


@pytest.mark.parametrize(("window", "heights"), [(1, 1 + PARK_HEIGHTS), (4, 4 + 4)])
def test_parking_is_bounded(window: int, heights: int) -> None:
    """Views within +16, heights within two windows, or the window + 2; proposals of their primary
    only."""
    kit = Kit(4, window)
    backup = Member(kit, 1)
    headers = kit.chain(10)
    for view in range(60):
        for header in headers[1:]:
            for sender in range(4):
                backup.hear(sender, kit.vote(sender, PREPARE, header, view=view))
                proposal = msgspec.structs.replace(kit.pre_prepare(header, view=view), view=view)
                backup.hear(sender, proposal)
    parked = backup.state.parked
    assert max(view for _, view, _, _ in parked) == PARK_VIEWS
    assert max(height for _, _, height, _ in parked) == heights
    proposals = [key for key, item in parked.items() if isinstance(item, PrePrepare)]
    assert all(sender == kit.primary(view) for sender, view, _, _ in proposals)
    assert len(parked) <= (4 + 1) * (PARK_VIEWS + 1) * heights
    assert len(backup.state.slots) <= heights


def test_a_certificate_without_the_block_asks_for_it() -> None:
    """q COMMITs for a block that does not come for a while: its signers are asked."""
    backup = Member(KIT, 1)
    for member in (0, 2, 3):
        backup.hear(member, KIT.vote(member, COMMIT, ONE))
    assert backup.output.catch_up == []
    backup.wait(CATCH_UP_PATIENCE_MS)
    asked = backup.step(Tick()).catch_up
    assert [item.certificate.height for item in asked] == [1]
    assert asked[0].member in (0, 2, 3)
    backup.step(CaughtUp(ONE, asked[0].certificate))
    assert backup.state.height == 1


def test_far_behind_the_highest_proved_block_is_the_target() -> None:
    """A STATUS beyond the window: no votes from now on, catch-up to what it proves."""
    backup = Member(KIT, 1)
    far = KIT.chain(40)[40]
    output = backup.hear(2, KIT.status(far))
    assert [item.certificate.height for item in output.catch_up] == [40]
    assert not backup.state.synced
    backup.hear(0, KIT.pre_prepare(ONE))
    assert backup.of(Prepare) == []


def test_a_primary_proposes_only_what_continues_the_chain() -> None:
    """Its own block is its PREPARE; while it is in flight there is no other (window 1)."""
    primary = Member(KIT, 0)
    for other in (1, 2, 3):
        primary.hear(other, KIT.status(heard=0b1111))
    parent = primary.replica.parent_to_extend(primary.now)
    assert parent == (header_hash(KIT.genesis), KIT.genesis)
    primary.step(Proposed(ONE, ()))
    sent = primary.of(PrePrepare)
    assert [message.header for message in sent] == [ONE]
    assert primary.of(Prepare) == []
    assert primary.replica.parent_to_extend(primary.now) is None


def test_the_window_bounds_what_a_primary_has_in_flight() -> None:
    """Window 4: four heights, then it waits."""
    primary = Member(WIDE, 0)
    headers = WIDE.chain(5)
    for other in (1, 2, 3):
        primary.hear(other, WIDE.status(heard=0b1111))
    for header in headers[1:5]:
        assert primary.replica.parent_to_extend(primary.now) is not None
        primary.step(Proposed(header, ()))
    assert primary.replica.parent_to_extend(primary.now) is None
    assert [message.header.height for message in primary.of(PrePrepare)] == [1, 2, 3, 4]
