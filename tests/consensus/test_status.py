"""STATUS: what it says, what it is answered with, and what it may not do."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from consensus.effects import CaughtUp, Proposed, Tick
from consensus.messages import Commit, Held, NewView, Prepare, PrePrepare, Status, ViewChange
from consensus.replica_state import STATUS_MS
from consensus.status import ANSWER_MS, make_status
from ledger import codec
from ledger.block import COMMIT, PREPARE
from ledger.parameters import WINDOW_MAX
from ledger.reasons import Invalid
from p2p.wire import MESSAGES
from tests.consensus.kit import Kit, Member

KIT = Kit(4)
ONE = KIT.header()
NOTHING = (Held(1, 0, 0, 0),)


def prepared_backup() -> Member:
    """It holds the proposal, q PREPAREs and its own COMMIT."""
    backup = Member(KIT, 1)
    backup.hear(0, KIT.pre_prepare(ONE))
    backup.hear(2, KIT.vote(2, PREPARE, ONE))
    backup.sent.clear()
    backup.wait(STATUS_MS)
    return backup


def test_it_is_sent_every_second() -> None:
    """Always, whatever happens."""
    backup = Member(KIT, 1)
    times = []
    for _ in range(50):
        backup.wait(100)
        backup.sent.clear()
        backup.step(Tick())
        times += [backup.clock_ms for _ in backup.of(Status)]
    assert len(times) in (5, 6)
    assert {later - earlier for earlier, later in pairwise(times)} == {STATUS_MS}


def test_own_votes_that_a_peer_lacks_are_sent_again() -> None:
    """Byte for byte, to that peer alone; what it holds is not."""
    backup = prepared_backup()
    backup.hear(3, KIT.status(held=NOTHING))
    answers = [
        (to, type(message)) for to, message in backup.sent if not isinstance(message, Status)
    ]
    assert answers == [(3, Prepare), (3, Commit)]
    backup.wait(ANSWER_MS)
    backup.sent.clear()
    backup.hear(3, KIT.status(held=(Held(1, 1, 0b0010, 0),)))
    assert [type(message) for _, message in backup.sent if not isinstance(message, Status)] == [
        Commit
    ]


def test_a_peer_gets_one_answer_a_while() -> None:
    """However often it asks."""
    backup = prepared_backup()
    for _ in range(10):
        backup.hear(3, KIT.status(held=NOTHING))
    assert len(backup.of(Prepare)) == 1


def test_the_primary_sends_its_proposal_again() -> None:
    """To who lacks the block, and to who holds the block from its log but not the vote."""
    primary = Member(KIT, 0)
    primary.step(Proposed(ONE, ()))
    primary.sent.clear()
    for held in (Held(1, 0, 0, 0), Held(1, 1, 0b0100, 0)):
        primary.wait(STATUS_MS)
        primary.hear(2, KIT.status(held=(held,)))
    assert len(primary.of(PrePrepare)) == 2
    primary.wait(STATUS_MS)
    primary.hear(2, KIT.status(held=(Held(1, 1, 0b0101, 0),)))
    assert len(primary.of(PrePrepare)) == 2


def test_a_new_view_is_passed_on_by_whoever_holds_it() -> None:
    """Its primary may be gone by now."""
    backup = Member(KIT, 2)
    message = KIT.new_view(1, [KIT.view_change(item, 1) for item in (0, 1, 3)])
    backup.hear(1, message)
    backup.wait(STATUS_MS)
    backup.sent.clear()
    backup.hear(3, KIT.status(view=1, active=0))
    assert backup.of(NewView) == [message]
    backup.wait(STATUS_MS)
    backup.hear(0, KIT.status())
    assert len(backup.of(NewView)) == 2


def test_a_certificate_decides_what_votes_were_lost_for() -> None:
    """The peer's last commit is our next height, and its block is here."""
    backup = prepared_backup()
    decided = backup.hear(3, KIT.status(ONE)).decided
    assert [item.header for item in decided] == [ONE]


def test_a_height_without_its_proof_is_no_height() -> None:
    """Missing, of another height, or forged: neither heard nor a target."""
    certificate = KIT.certificate(COMMIT, ONE)
    forged = msgspec.structs.replace(certificate, signatures=(bytes(64),) * 3)
    claims = [
        KIT.status(height=9),
        KIT.status(height=9, certificate=(certificate,)),
        KIT.status(height=1, certificate=(forged,)),
        KIT.status(height=1, certificate=(KIT.certificate(PREPARE, ONE),)),
    ]
    backup = Member(KIT, 1, voting=False)
    for claim in claims:
        backup.hear(3, claim)
    assert backup.state.status_from == {1}
    assert backup.state.known_height == 0


def test_another_epoch_says_nothing() -> None:
    """Not even that its sender was heard."""
    backup = Member(KIT, 1, voting=False)
    backup.hear(3, KIT.status(epoch=1))
    assert backup.state.status_from == {1}


def test_own_view_change_is_sent_to_who_waits_for_it() -> None:
    """And to who is still in an earlier view."""
    backup = Member(KIT, 2)
    for view_change in (KIT.view_change(0, 1), KIT.view_change(3, 1)):
        backup.hear(view_change.body.signer, view_change)
    backup.sent.clear()
    backup.wait(STATUS_MS)
    backup.hear(3, KIT.status(view=1, active=0, view_changes=0b1001))
    backup.hear(1, KIT.status())
    assert len(backup.of(ViewChange)) == 2
    backup.wait(STATUS_MS)
    backup.hear(3, KIT.status(view=1, active=0, view_changes=0b1101))
    assert len(backup.of(ViewChange)) == 2


def test_the_largest_status_fits_its_frame() -> None:
    """32 members, the largest window, every echo, the longest numbers."""
    kit = Kit(32, window=WINDOW_MAX)
    backup = Member(kit, 1)
    head = kit.header()
    for member in range(32):
        backup.state.mark(kit.vote(member, COMMIT, head, view=2**63))
    backup.state.commit(head, kit.certificate(COMMIT, head, view=2**63), backup.now)
    status = make_status(backup.state)
    assert (len(status.votes), len(status.held)) == (32, WINDOW_MAX)
    assert len(codec.encode(status)) < MESSAGES[Status.TYPE].size_max


@pytest.mark.parametrize("above", [0, 1])
def test_no_status_holds_more_than_a_chain_may_have_in_flight(above: int) -> None:
    """As many heights as the largest window are read; one more is no STATUS."""
    held = tuple(Held(height, 0, 0, 0) for height in range(1, WINDOW_MAX + above + 1))
    raw = codec.encode(msgspec.structs.replace(KIT.status(), held=held))
    if above:
        with pytest.raises(Invalid):
            codec.decode(raw, Status, size_max=MESSAGES[Status.TYPE].size_max)
    else:
        assert codec.decode(raw, Status, size_max=MESSAGES[Status.TYPE].size_max).held == held


def test_who_has_caught_up_says_so_at_once() -> None:
    """Peers then send what is in flight; else every proposal would be missed once more."""
    backup = Member(KIT, 1)
    headers = KIT.chain(8)
    backup.hear(2, KIT.status(headers[8]))
    backup.sent.clear()
    for header in headers[1:8]:
        backup.step(CaughtUp(header, KIT.certificate(COMMIT, header)))
    assert backup.of(Status) == []
    backup.step(CaughtUp(headers[8], KIT.certificate(COMMIT, headers[8])))
    assert [status.height for status in backup.of(Status)] == [8]
