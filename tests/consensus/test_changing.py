"""Suspicion, leaving and entering views, and the timers behind them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from consensus.changing import VIEW_CHANGE_MS, VIEW_CHANGES_AT_ONCE, suspicion_ms
from consensus.effects import Connected, Pending, Tick, VotingAllowed
from consensus.messages import Commit, NewView, Prepare, Suspect, ViewChange
from consensus.replica_state import (
    PAUSE_MS,
    STATUS_MS,
    SUSPECT_LIFE_MS,
    PreparedEntry,
    Restored,
)
from ledger.block import COMMIT, PREPARE, header_hash
from tests.consensus.kit import Kit, Member

KIT = Kit(4)
ONE = KIT.header()
TIMING = KIT.rules.timing
T = TIMING.view_timeout_ms


def waiting(member: int = 2) -> Member:
    """A backup with a block behind it and a pending transaction."""
    backup = Member(KIT, member, head=ONE)
    backup.step(Pending(backup.clock_ms))
    return backup


def suspect(view: int = 1) -> Suspect:
    return Suspect(0, view)


def test_a_pending_transaction_trips_the_timer_after_t() -> None:
    """Not a millisecond before; and it votes on while it suspects."""
    backup = waiting()
    backup.wait(T - 1)
    backup.step(Tick())
    assert backup.of(Suspect) == []
    backup.wait(1)
    backup.step(Tick())
    assert backup.of(Suspect) == [suspect()]
    assert (backup.state.view, backup.state.active) == (0, True)
    backup.hear(0, KIT.pre_prepare(KIT.header(ONE)))
    assert len(backup.of(Prepare)) == 1


def test_without_pending_the_heartbeat_is_awaited() -> None:
    """An idle chain makes a block every heartbeat: T after it the primary is suspected."""
    backup = Member(KIT, 2, head=ONE)
    backup.run(TIMING.heartbeat_ms + T - 1)
    assert backup.of(Suspect) == []
    backup.run(1)
    assert backup.of(Suspect) == [suspect()]


def test_a_pause_of_its_own_is_not_the_silence_of_the_primary() -> None:
    """What was sent meanwhile is still to be read: T runs from the first step after the pause."""
    backup = waiting()
    backup.wait(max(T, PAUSE_MS) + 1)
    backup.step(Tick())
    backup.run(T - 1)
    assert backup.of(Suspect) == []
    backup.run(1)
    assert backup.of(Suspect) == [suspect()]


def test_a_pause_of_its_own_ends_no_wait_for_a_view() -> None:
    """As in a view, so while it waits for the next one."""
    backup = waiting()
    for member in (0, 1, 3):
        backup.hear(member, KIT.view_change(member, 1))
    backup.wait(PAUSE_MS + 4 * T)
    backup.step(Tick())
    assert backup.of(Suspect) == []
    backup.run(2 * T)
    assert suspect(2) in backup.of(Suspect)


def test_a_suspicion_is_repeated_each_second_while_it_lasts() -> None:
    """So that a lost one does not matter."""
    backup = waiting()
    backup.wait(T)
    backup.step(Tick())
    backup.step(Tick())
    assert len(backup.of(Suspect)) == 1
    backup.wait(STATUS_MS)
    backup.step(Tick())
    assert len(backup.of(Suspect)) == 2


def test_one_other_suspicion_moves_nobody_and_two_do() -> None:
    """f + 1 members, so that one of them is honest."""
    backup = waiting()
    backup.hear(0, suspect())
    assert backup.state.view == 0
    backup.hear(1, suspect())
    assert (backup.state.view, backup.state.active) == (1, False)
    assert [message.body.view for message in backup.of(ViewChange)] == [1]


def test_a_suspicion_fades() -> None:
    """Two that are further apart than a suspicion lives are never two."""
    backup = waiting()
    backup.step(Pending(None))
    backup.hear(0, suspect())
    backup.wait(SUSPECT_LIFE_MS)
    backup.state.progress_ms = backup.clock_ms
    backup.hear(1, suspect())
    assert backup.state.view == 0


def test_the_smallest_of_the_later_views_is_joined() -> None:
    """One evil member that names a view far away takes nobody along."""
    backup = waiting()
    backup.hear(0, suspect(1_000_000))
    backup.hear(1, suspect(3))
    assert backup.state.view == 3


def test_no_vote_in_a_view_that_was_left() -> None:
    """After its VIEW-CHANGE it neither prepares nor commits until a NEW-VIEW."""
    backup = waiting()
    two = KIT.header(ONE)
    backup.hear(0, KIT.pre_prepare(two))
    backup.hear(0, suspect())
    backup.hear(1, suspect())
    backup.sent.clear()
    backup.hear(1, KIT.vote(1, PREPARE, two))
    backup.hear(3, KIT.vote(3, PREPARE, two))
    assert backup.of(Prepare) + backup.of(Commit) == []


def test_what_was_prepared_goes_along_and_outlives_views() -> None:
    """The certificate of view 0 is in the VIEW-CHANGE to 1 and, unchanged, in that to 3."""
    backup = waiting()
    two = KIT.header(ONE)
    backup.hear(0, KIT.pre_prepare(two))
    backup.hear(1, KIT.vote(1, PREPARE, two))
    for view in (1, 3):
        backup.hear(0, suspect(view))
        backup.hear(1, suspect(view))
        body = backup.of(ViewChange)[-1].body
        assert (body.view, body.base) == (view, ONE)
        assert [(item.header, item.certificate.view) for item in body.entries] == [(two, 0)]


def enter_view_one(backup: Member, entries: tuple[PreparedEntry, ...] = ()) -> None:
    changes = [
        KIT.view_change(item, 1, base=ONE, entries=entries if item == 0 else ())
        for item in (0, 1, 3)
    ]
    backup.hear(1, KIT.new_view(1, changes))


def test_a_new_view_is_entered_and_its_derived_block_prepared() -> None:
    """The NEW-VIEW is the proposal; the derived height takes no other."""
    backup = waiting()
    two = KIT.header(ONE)
    enter_view_one(backup, (KIT.entry(two),))
    assert (backup.state.view, backup.state.active) == (1, True)
    assert [(vote.view, vote.block_hash) for vote in backup.of(Prepare)] == [(1, header_hash(two))]
    other = KIT.header(ONE, view=1)
    backup.hear(1, KIT.pre_prepare(other, view=1))
    assert len(backup.of(Prepare)) == 1
    assert backup.state.slots[2].is_proposed(header_hash(two))


def test_after_the_derived_heights_the_new_primary_proposes() -> None:
    """Nothing was prepared: its first PRE-PREPARE is for the height after the base."""
    backup = waiting()
    enter_view_one(backup)
    backup.hear(1, KIT.pre_prepare(KIT.header(ONE, view=1), view=1))
    assert [(vote.view, vote.height) for vote in backup.of(Prepare)] == [(1, 2)]


def test_in_a_view_above_zero_nobody_prepares_before_its_new_view() -> None:
    """The proposal that overtakes the NEW-VIEW waits for it."""
    backup = waiting()
    backup.hear(0, suspect())
    backup.hear(3, suspect())
    backup.hear(1, KIT.pre_prepare(KIT.header(ONE, view=1), view=1))
    assert backup.of(Prepare) == []
    enter_view_one(backup)
    assert len(backup.of(Prepare)) == 1


def test_the_new_primary_sends_a_new_view_once_it_holds_a_quorum() -> None:
    """Its own VIEW-CHANGE included; exactly q are inside."""
    primary = waiting(1)
    primary.hear(0, suspect())
    primary.hear(2, suspect())
    primary.hear(2, KIT.view_change(2, 1, base=ONE))
    assert primary.of(NewView) == []
    primary.hear(3, KIT.view_change(3, 1, base=ONE))
    (message,) = primary.of(NewView)
    assert sorted(item.body.signer for item in message.body.view_changes) == [1, 2, 3]
    assert (primary.state.view, primary.state.active) == (1, True)


def test_of_two_view_changes_of_a_member_the_later_view_is_kept() -> None:
    """One each, whatever the distance."""
    backup = waiting()
    for view in (2, 9, 5):
        backup.hear(1, KIT.view_change(1, view, base=ONE))
    assert {key: item.message.body.view for key, item in backup.state.view_changes.items()} == {
        1: 9
    }


def test_view_changes_of_one_member_cost_a_bounded_time() -> None:
    """Four at once, then one each 100 ms, good or bad; those of others count all the same."""
    backup = waiting()

    def held(member: int) -> int:
        found = backup.state.view_changes.get(member)
        return 0 if found is None else found.message.body.view

    for view in range(2, 2 + 2 * VIEW_CHANGES_AT_ONCE):
        backup.hear(3, KIT.view_change(3, view, base=ONE))
    assert held(3) == 1 + VIEW_CHANGES_AT_ONCE
    backup.hear(1, KIT.view_change(1, 9, base=ONE))
    assert held(1) == 9
    backup.wait(VIEW_CHANGE_MS)
    false = msgspec.structs.replace(KIT.view_change(3, 20, base=ONE), signature=bytes(64))
    backup.hear(3, false, KIT.view_change(3, 21, base=ONE))
    assert held(3) == 1 + VIEW_CHANGES_AT_ONCE
    backup.wait(VIEW_CHANGE_MS)
    backup.hear(3, KIT.view_change(3, 21, base=ONE))
    assert held(3) == 21


def test_a_view_change_passed_on_by_another_member_does_not_count() -> None:
    """The link names its sender; whole VIEW-CHANGEs travel inside a NEW-VIEW only."""
    backup = waiting()
    backup.hear(3, KIT.view_change(1, 2, base=ONE))
    assert backup.state.view_changes == {}


def test_patience_doubles_to_its_limit_and_a_commit_resets_it() -> None:
    """2, 4, … 60 s, never more; then 2 s again."""
    backup = waiting()
    expected = T
    for view in range(1, 40):
        assert backup.state.timeout_ms == expected
        backup.hear(0, suspect(view))
        backup.hear(1, suspect(view))
        assert backup.state.view == view
        expected = min(2 * expected, TIMING.view_timeout_ms_max)
    assert expected == TIMING.view_timeout_ms_max
    two = KIT.header(ONE)
    backup.state.commit(two, KIT.certificate(COMMIT, two), backup.now)
    assert backup.state.timeout_ms == T


def test_reconnecting_to_a_quorum_resets_patience() -> None:
    """A network that was down must not need as long again to recover."""
    backup = waiting()
    for view in (1, 2, 3):
        backup.hear(0, suspect(view))
        backup.hear(1, suspect(view))
    assert backup.state.timeout_ms == 8 * T
    backup.step(Connected(frozenset((1, 2))))
    assert backup.state.timeout_ms == 8 * T
    backup.step(Connected(frozenset((0, 1, 2))))
    assert backup.state.timeout_ms == T


def test_the_timer_of_a_new_view_starts_with_q_view_changes() -> None:
    """Before, nobody could have sent it: then the long patience counts."""
    backup = waiting()
    backup.hear(0, suspect())
    backup.hear(3, suspect())
    left_ms = backup.clock_ms
    assert suspicion_ms(backup.state) == left_ms + TIMING.heartbeat_ms + 2 * T
    backup.wait(500)
    backup.hear(0, KIT.view_change(0, 1, base=ONE))
    backup.hear(3, KIT.view_change(3, 1, base=ONE))
    assert suspicion_ms(backup.state) == left_ms + 500 + 2 * T


def test_alone_nobody_runs_ahead() -> None:
    """Without a quorum of links an inactive member waits instead of adding views."""
    backup = waiting()
    backup.hear(0, suspect())
    backup.hear(3, suspect())
    backup.sent.clear()
    backup.step(Connected(frozenset((2,))))
    backup.wait(10 * TIMING.view_timeout_ms_max)
    backup.step(Tick())
    assert backup.of(Suspect) == []


def test_restored_above_view_zero_it_waits_and_sends_its_view_change_again() -> None:
    """The same bytes, to a member whose STATUS lacks it; no vote before the NEW-VIEW."""
    own = KIT.view_change(2, 1, base=ONE)
    backup = Member(KIT, 2, head=ONE, restored=Restored(view=1, view_change=own))
    assert (backup.state.view, backup.state.active) == (1, False)
    backup.wait(STATUS_MS)
    backup.hear(3, KIT.status(ONE, view=1, active=0))
    assert backup.of(ViewChange) == [own]
    backup.sent.clear()
    enter_view_one(backup)
    assert backup.state.active


def test_restored_primary_of_a_later_view_resumes_it() -> None:
    """Its logged NEW-VIEW proves the view to itself and is sent to whoever waits for it."""
    two = KIT.header(ONE)
    changes = [KIT.view_change(item, 1, base=ONE, entries=[KIT.entry(two)]) for item in (0, 1, 3)]
    message = KIT.new_view(1, changes)
    primary = Member(KIT, 1, head=ONE, restored=Restored(view=1, new_view=message))
    assert (primary.state.view, primary.state.active) == (1, True)
    assert primary.state.slots[2].is_proposed(header_hash(two))
    primary.wait(STATUS_MS)
    primary.hear(3, KIT.status(ONE, view=1, active=0))
    assert primary.of(NewView) == [message]


def test_restored_entries_outlive_the_restart() -> None:
    """What the log holds above the chain goes into the next VIEW-CHANGE."""
    two = KIT.header(ONE)
    restored = Restored(prepared=(KIT.entry(ONE), KIT.entry(two)))
    backup = Member(KIT, 2, head=ONE, restored=restored)
    backup.hear(0, suspect())
    backup.hear(1, suspect())
    (message,) = backup.of(ViewChange)
    assert [item.header for item in message.body.entries] == [two]


def test_restored_proposal_is_not_replaced() -> None:
    """This member prepared a block before it stopped; its primary now shows another one."""
    two, other = KIT.header(ONE), KIT.header(ONE, salt="other")
    backup = Member(KIT, 2, head=ONE, restored=Restored(proposals=((two, ()),)))
    backup.hear(0, KIT.pre_prepare(other))
    assert backup.state.slots[2].is_proposed(header_hash(two))
    assert {vote.block_hash for vote in backup.of(Prepare)} <= {header_hash(two)}


def test_votes_begin_where_the_guard_says() -> None:
    """Recovered: not below its height, nor in a view below its view."""
    backup = Member(KIT, 2, head=ONE)
    backup.step(VotingAllowed(2, 0))
    backup.hear(0, KIT.pre_prepare(KIT.header(ONE)))
    assert backup.of(Prepare) == []
    backup.step(VotingAllowed(1, 1))
    assert backup.of(Prepare) == []
    backup.step(VotingAllowed(1, 0))
    assert len(backup.of(Prepare)) == 1


@pytest.mark.parametrize("limit_ms", [2_000, 60_000])
def test_the_limit_of_patience_is_the_chains(limit_ms: int) -> None:
    """A parameter, not a constant of the code."""
    kit = Kit(4)
    kit.rules = replace(kit.rules, timing=replace(TIMING, view_timeout_ms_max=limit_ms))
    backup = Member(kit, 2)
    backup.state.failed_views = 1_000
    assert backup.state.timeout_ms == limit_ms
