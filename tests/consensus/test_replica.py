"""What a replica makes of events that come late, twice, or not at all; and what ends it."""

from __future__ import annotations

import msgspec
import pytest

from consensus.effects import (
    CaughtUp,
    Connected,
    Executed,
    Pending,
    Proposed,
    Received,
    Signed,
    Tick,
    VotingAllowed,
    VotingStopped,
)
from consensus.messages import (
    Commit,
    Held,
    Message,
    NewViewBody,
    Prepare,
    PrePrepare,
    Suspect,
    ViewChange,
    ViewChangeBody,
)
from consensus.replica import Replica
from consensus.replica_state import PARK_VIEWS, START_WAIT_MS, STATUS_MS, ReplicaBroken, Restored
from ledger.block import COMMIT, PREPARE, header_hash
from ledger.reasons import Reason
from tests.consensus.kit import Kit, Member

KIT = Kit(4)
ONE = KIT.header()
TWO = KIT.header(ONE)
TIMING = KIT.rules.timing
EVERYBODY = frozenset(range(4))


def backup_above_one() -> Member:
    return Member(KIT, 2, head=ONE)


def in_view_one(member: int = 2) -> Member:
    """A member that has entered view 1, in which nothing is derived."""
    made = Member(KIT, member, head=ONE)
    changes = [KIT.view_change(signer, 1, base=ONE) for signer in (0, 1, 3)]
    made.hear(1, KIT.new_view(1, changes))
    made.sent.clear()
    return made


def test_blocks_that_were_fetched_move_the_height_up_only() -> None:
    """What is fetched twice, or came by votes meanwhile, changes nothing."""
    backup = backup_above_one()
    backup.step(CaughtUp(TWO, KIT.certificate(COMMIT, TWO)))
    assert backup.state.committed == TWO
    backup.step(CaughtUp(ONE, KIT.certificate(COMMIT, ONE)))
    assert backup.state.committed == TWO


def test_nothing_is_voted_for_while_the_guard_must_not_sign() -> None:
    """The proposal is kept, and voted for when the disk is well again."""
    backup = backup_above_one()
    backup.step(VotingStopped())
    backup.hear(0, KIT.pre_prepare(TWO))
    assert backup.of(Prepare) == []
    backup.step(VotingAllowed(0, 0))
    assert [vote.block_hash for vote in backup.of(Prepare)] == [header_hash(TWO)]


@pytest.mark.parametrize(
    ("phase", "words"), [(PREPARE, "a prepared block fails"), (COMMIT, "a final block fails")]
)
def test_a_quorum_behind_a_block_that_fails_here_ends_this_node(phase: int, words: str) -> None:
    """It must stop, not choose: its own ledger or everyone else's is wrong."""
    backup = backup_above_one()
    now = backup.now
    backup.replica.step(Received(0, KIT.pre_prepare(TWO)), now)
    for member in (0, 1, 3):
        backup.replica.step(Received(member, KIT.vote(member, phase, TWO)), now)
    with pytest.raises(ReplicaBroken, match=words):
        backup.replica.step(Executed(TWO, header_hash(TWO), Reason.BAD_SIGNATURE), now)


def test_one_vote_less_than_a_quorum_ends_nothing() -> None:
    """Two members and a block that fails here: the primary is suspected, the node goes on."""
    backup = backup_above_one()
    backup.replica.step(Received(0, KIT.pre_prepare(TWO)), backup.now)
    backup.replica.step(Received(1, KIT.vote(1, PREPARE, TWO)), backup.now)
    failed = Executed(TWO, header_hash(TWO), Reason.BAD_SIGNATURE)
    sent = [item.message for item in backup.replica.step(failed, backup.now).send]
    assert sent == [Suspect(0, 1)]


def test_a_proposal_of_a_view_that_was_left_is_not_taken() -> None:
    """It came late, and its primary leads no more."""
    backup = in_view_one()
    backup.hear(0, KIT.pre_prepare(TWO))
    assert backup.sent == []
    assert backup.state.slots == {}


def test_a_primary_whose_view_ended_while_it_built_proposes_nothing() -> None:
    """The block is thrown away; two proposals for one height are never made either."""
    primary = Member(KIT, 0, head=ONE)
    primary.step(Proposed(TWO, ()))
    primary.step(Proposed(KIT.header(ONE, salt="another"), ()))
    assert [message.header for message in primary.of(PrePrepare)] == [TWO]
    late = in_view_one(0)
    late.step(Proposed(TWO, ()))
    assert late.sent == []


def test_a_vote_that_is_signed_after_its_view_is_not_sent() -> None:
    """Others would drop it; and in the new view it is nobody's vote."""
    backup = in_view_one()
    backup.step(Signed(KIT.vote(2, PREPARE, TWO, view=0)))
    assert backup.of(Prepare) == []
    assert all(not slot.own_votes(2) for slot in backup.state.slots.values())


def test_a_new_view_that_is_heard_again_undoes_nothing() -> None:
    """The slot of the view goes on from where it was; so it does after the NEW-VIEW before."""
    backup = in_view_one()
    two = KIT.header(ONE, view=1)
    backup.hear(1, KIT.pre_prepare(two, view=1))
    backup.hear(1, KIT.new_view(1, [KIT.view_change(item, 1, base=ONE) for item in (0, 1, 3)]))
    assert backup.state.slots[2].is_proposed(header_hash(two))
    later = [KIT.view_change(item, 2, base=ONE) for item in (0, 1, 3)]
    waiting = Member(KIT, 3, head=ONE)
    waiting.hear(2, KIT.new_view(2, later))
    waiting.hear(1, KIT.new_view(1, [KIT.view_change(item, 1, base=ONE) for item in (0, 1, 2)]))
    assert (waiting.state.view, waiting.state.active) == (2, True)


def test_a_new_view_tells_a_member_that_is_behind_what_is_final() -> None:
    """Its base comes with a certificate: the member asks for the blocks up to it at once or soon.

    What the NEW-VIEW derives above that base waits until those are there.
    """
    behind = Member(KIT, 3)
    far = KIT.chain(6)
    changes = [KIT.view_change(item, 1, base=far[5]) for item in (0, 1, 2)]
    entry = KIT.entry(far[6])
    changes[0] = KIT.view_change(0, 1, base=far[5], entries=(entry,))
    asked = behind.hear(1, KIT.new_view(1, changes)).catch_up
    assert [item.certificate.block_hash for item in asked] == [header_hash(far[5])]
    assert behind.of(Prepare) == []
    behind.step(CaughtUp(far[5], KIT.certificate(COMMIT, far[5])))
    assert [vote.block_hash for vote in behind.of(Prepare)] == [header_hash(far[6])]


def test_a_proposal_that_comes_before_its_parent_is_taken_after_it() -> None:
    """In a window of four; each further one too, without another message."""
    kit = Kit(4, 4)
    backup = Member(kit, 2)
    _, one, two, three = kit.chain(3)
    backup.hear(0, kit.pre_prepare(three), kit.pre_prepare(two))
    assert backup.of(Prepare) == []
    backup.hear(0, kit.pre_prepare(one))
    assert [vote.height for vote in backup.of(Prepare)] == [1, 2, 3]


def test_all_heights_that_became_final_are_decided_at_once() -> None:
    """The COMMIT that makes the lowest one final brings the others along, in their order."""
    kit = Kit(4, 4)
    backup = Member(kit, 2)
    headers = kit.chain(3)[1:]
    for header in headers:
        backup.hear(0, kit.pre_prepare(header))
    for member in (0, 1, 3):
        for header in headers[1:]:
            backup.hear(member, kit.vote(member, COMMIT, header))
    backup.hear(0, kit.vote(0, COMMIT, headers[0]))
    backup.hear(1, kit.vote(1, COMMIT, headers[0]))
    assert backup.state.height == 0
    last = Received(3, kit.vote(3, COMMIT, headers[0]))
    decided = backup.replica.step(last, backup.now).decided
    assert [item.header for item in decided] == headers


def test_a_primary_that_prepared_another_block_is_not_believed() -> None:
    """Its PREPARE of one block came first: its proposal of another is evidence, no proposal."""
    backup = backup_above_one()
    backup.hear(0, KIT.vote(0, PREPARE, KIT.header(ONE, salt="another")))
    output = backup.hear(0, KIT.pre_prepare(TWO))
    assert [(proof.first.signer, proof.second.signer) for proof in output.evidence] == [(0, 0)]
    assert backup.of(Prepare) == []
    assert backup.of(Suspect) == [Suspect(0, 1)]


def test_a_view_change_with_a_wrong_signature_moves_nobody() -> None:
    """Two of them would be f + 1; a NEW-VIEW with a wrong one is none either."""
    backup = backup_above_one()
    for member in (0, 1):
        message = KIT.view_change(member, 1, base=ONE)
        backup.hear(member, msgspec.structs.replace(message, signature=bytes(64)))
    changes = [KIT.view_change(signer, 1, base=ONE) for signer in (0, 1, 3)]
    new_view = msgspec.structs.replace(KIT.new_view(1, changes), signature=bytes(64))
    backup.hear(1, new_view)
    assert (backup.state.view, backup.state.active) == (0, True)
    assert backup.state.view_changes == {}


FALSE_VOTE = msgspec.structs.replace(KIT.vote(3, PREPARE, TWO), signature=bytes(64))
FALSE_PROPOSAL = msgspec.structs.replace(KIT.pre_prepare(TWO), signature=bytes(64))
FALSE_CERTIFICATE = KIT.certificate(COMMIT, TWO, signers=[0, 1])
CHANGES = tuple(KIT.view_change(signer, 1, base=ONE) for signer in (0, 1, 3))


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        (3, FALSE_VOTE),
        (0, FALSE_PROPOSAL),
        (0, msgspec.structs.replace(KIT.pre_prepare(TWO), leaves=(b"\x01" * 32,))),
        (3, KIT.view_change(3, 1, base=TWO, base_certificate=(FALSE_CERTIFICATE,))),
        (3, msgspec.structs.replace(KIT.view_change(3, 1, base=ONE), signature=bytes(64))),
        (1, msgspec.structs.replace(KIT.new_view(1, CHANGES), signature=bytes(64))),
        (1, KIT.new_view(1, CHANGES[:2])),
        (3, KIT.status(TWO, certificate=(FALSE_CERTIFICATE,))),
    ],
)
def test_who_sends_a_false_proof_is_named(sender: int, message: Message) -> None:
    """A signature or certificate that does not hold costs time, so its sender pays."""
    assert backup_above_one().hear(sender, message).liars == [sender]


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        (3, KIT.vote(3, PREPARE, TWO)),
        (3, KIT.vote(2, PREPARE, TWO, claim=2)),
        (3, msgspec.structs.replace(FALSE_VOTE, epoch=1)),
        (0, KIT.pre_prepare(TWO)),
        (3, KIT.view_change(3, 1, base=ONE, epoch=1)),
        (3, KIT.view_change(3, 1, base=ONE)),
        (1, KIT.new_view(1, CHANGES, epoch=1)),
        (3, KIT.new_view(1, CHANGES)),
        (3, KIT.status(TWO, epoch=1, certificate=(FALSE_CERTIFICATE,))),
        (3, KIT.status(TWO)),
    ],
)
def test_what_is_old_or_not_meant_for_this_epoch_names_nobody(
    sender: int, message: Message
) -> None:
    """Honest members say such things around the end of an epoch; and what holds harms nobody."""
    assert backup_above_one().hear(sender, message).liars == []


def test_a_false_vote_that_was_parked_names_its_sender_later() -> None:
    """When its view begins, whoever's message it was that began it."""
    backup = backup_above_one()
    vote = msgspec.structs.replace(KIT.vote(3, PREPARE, TWO, view=1), signature=bytes(64))
    assert backup.hear(3, vote).liars == []
    assert backup.hear(1, KIT.new_view(1, CHANGES)).liars == [3]


def test_of_two_view_changes_for_one_view_the_first_counts() -> None:
    """An evil member that signs two gives every honest one what it heard first, for good."""
    backup = backup_above_one()
    first = KIT.view_change(0, 2, base=ONE)
    backup.hear(0, first, KIT.view_change(0, 2, base=ONE, entries=(KIT.entry(TWO),)))
    assert backup.state.view_changes[0].message == first


def test_each_signature_is_asked_for_once() -> None:
    """However often it is woken while the guard works: one VIEW-CHANGE, one NEW-VIEW a view."""
    primary = Member(KIT, 1, head=ONE)
    now = primary.now
    asked = []
    for member in (0, 2, 3):
        message = KIT.view_change(member, 1, base=ONE)
        asked += primary.replica.step(Received(member, message), now).votes
    asked += primary.replica.step(Tick(), now).votes
    assert [type(item) for item in asked] == [ViewChangeBody]
    signed = primary._signed(asked[0])
    asked = primary.replica.step(Signed(signed), now).votes
    asked += primary.replica.step(Tick(), now).votes
    assert [type(item) for item in asked] == [NewViewBody]


@pytest.mark.parametrize(("above_height", "asked"), [(1, 1), (2, 0)])
def test_a_view_change_is_a_vote_at_the_next_height(above_height: int, asked: int) -> None:
    """A member that recovered and may not vote there yet leaves the view and signs nothing."""
    backup = backup_above_one()
    backup.step(VotingAllowed(above_height, 0))
    backup.hear(0, Suspect(0, 1))
    backup.hear(1, Suspect(0, 1))
    assert backup.state.view == 1
    assert len(backup.of(ViewChange)) == asked


@pytest.mark.parametrize(("linked", "sent"), [(3, 1), (2, 0)])
def test_who_waits_for_others_to_follow_suspects_only_in_company(linked: int, sent: int) -> None:
    """A quorum of links is enough; with fewer a further view could never begin."""
    backup = backup_above_one()
    backup.hear(0, Suspect(0, 1))
    backup.hear(1, Suspect(0, 1))
    backup.step(Connected(frozenset(range(2, 2 - linked, -1))))
    backup.sent.clear()
    backup.run(TIMING.heartbeat_ms + 2 * TIMING.view_timeout_ms)
    assert backup.of(Suspect) == [Suspect(0, 2)] * sent


def test_suspicions_count_for_this_epoch_and_later_views() -> None:
    """Those of another epoch say nothing; an old one does not put out a new one."""
    backup = backup_above_one()
    backup.hear(0, Suspect(1, 1))
    backup.hear(1, Suspect(1, 1))
    assert backup.state.view == 0
    backup.hear(0, Suspect(0, 1), Suspect(0, 0))
    backup.hear(1, Suspect(0, 1))
    assert backup.state.view == 1


@pytest.mark.parametrize(("ahead", "parked"), [(PARK_VIEWS, 1), (PARK_VIEWS + 1, 0)])
def test_votes_of_far_views_are_not_kept(ahead: int, parked: int) -> None:
    """At the last view that is kept, and one above it."""
    backup = backup_above_one()
    backup.hear(1, KIT.vote(1, PREPARE, TWO, view=ahead))
    assert len(backup.state.parked) == parked


@pytest.mark.parametrize(("height", "counted"), [(1, False), (2, True), (4, True), (5, False)])
def test_votes_of_near_heights_count(height: int, counted: bool) -> None:
    """From the first height that is open to two above the window (1)."""
    backup = backup_above_one()
    header = msgspec.structs.replace(TWO, height=height)
    backup.hear(1, KIT.vote(1, PREPARE, header))
    assert (height in backup.state.slots) == counted


def test_the_deadline_is_the_first_of_what_is_due() -> None:
    """The next STATUS, the suspicion of a waiting backup, the heartbeat of an idle primary."""
    backup = backup_above_one()
    start_ms = backup.clock_ms
    backup.step(Pending(start_ms))
    backup.wait(TIMING.view_timeout_ms - STATUS_MS // 2)
    assert backup.step(Tick()).deadline_ms == start_ms + TIMING.view_timeout_ms
    backup.wait(STATUS_MS // 2)
    assert backup.step(Tick()).deadline_ms == start_ms + TIMING.view_timeout_ms + STATUS_MS // 2
    primary = Member(KIT, 0, head=ONE)
    primary.wait(TIMING.heartbeat_ms - STATUS_MS // 2)
    assert primary.step(Tick()).deadline_ms == start_ms + TIMING.heartbeat_ms
    primary.wait(STATUS_MS // 2)
    assert primary.step(Tick()).deadline_ms == primary.clock_ms + STATUS_MS // 2


def test_a_restarted_primary_proposes_the_block_that_it_logged() -> None:
    """As a PRE-PREPARE, which alone brings the others the block, not as a bare PREPARE."""
    restored = Restored(proposals=((TWO, ()),))
    primary = Member(KIT, 0, head=ONE, restored=restored)
    primary.wait(STATUS_MS)
    primary.hear(1, KIT.status(ONE, held=(Held(2, 0, 0, 0),)))
    assert [message.header for message in primary.of(PrePrepare)] == [TWO]
    assert primary.of(Prepare) == []


def test_an_idle_chain_makes_a_block_each_heartbeat() -> None:
    """Not a millisecond before, and not while another block is in flight."""
    primary = Member(KIT, 0, head=ONE)
    primary.wait(TIMING.heartbeat_ms - 1)
    assert not primary.replica.heartbeat_due(primary.now)
    primary.wait(1)
    assert primary.replica.heartbeat_due(primary.now)
    primary.step(Proposed(TWO, ()))
    assert not primary.replica.heartbeat_due(primary.now)


def start(linked: frozenset[int], heard: int) -> Member:
    """The first primary of a chain; the others have heard as many members as `heard` has bits."""
    primary = Member(KIT, 0)
    primary.step(Connected(linked))
    for member in (1, 2, 3):
        primary.hear(member, KIT.status(heard=heard))
    return primary


@pytest.mark.parametrize(
    ("linked", "heard", "at_once", "later"),
    [
        (EVERYBODY, 0b1111, True, True),
        (EVERYBODY, 0b0111, True, True),
        (EVERYBODY, 0b0011, False, False),
        (EVERYBODY - {3}, 0b1111, False, True),
        (EVERYBODY - {2, 3}, 0b1111, False, False),
    ],
)
def test_block_one_waits_for_all_and_then_for_a_quorum(
    linked: frozenset[int], heard: int, at_once: bool, later: bool
) -> None:
    """Each member that counts is linked and has heard a quorum itself."""
    primary = start(linked, heard)
    assert (primary.replica.parent_to_extend(primary.now) is not None) == at_once
    primary.wait(START_WAIT_MS - 1)
    assert (primary.replica.parent_to_extend(primary.now) is not None) == at_once
    primary.wait(1)
    assert (primary.replica.parent_to_extend(primary.now) is not None) == later


def test_a_follower_votes_for_nothing_and_decides_like_the_others() -> None:
    """Without a seat it has no VIEW-CHANGE, no SUSPECT and no answer, only the chain."""
    seated = backup_above_one()
    follower = Replica(KIT.rules, None, ONE, KIT.certificate(COMMIT, ONE), Restored(), seated.now)
    for member in (0, 1, 2):
        follower.step(Received(member, KIT.status(ONE)), seated.now)
    follower.step(Received(0, KIT.pre_prepare(TWO)), seated.now)
    follower.step(Executed(TWO, header_hash(TWO), None), seated.now)
    decided = []
    for member in (0, 1, 2):
        for phase in (PREPARE, COMMIT):
            output = follower.step(Received(member, KIT.vote(member, phase, TWO)), seated.now)
            assert output.votes == []
            assert not [item for item in output.send if isinstance(item.message, Prepare | Commit)]
            decided += output.decided
    assert [item.header for item in decided] == [TWO]
