"""A PBFT replica: `step(event, now) -> Output`, and nothing else touches it.

It reads no clock, holds no key and no ledger state, and never waits. Chained, signed PBFT: the
sequence number is the height, each block names its parent, at most `window` heights are in
flight, and a COMMIT needs every ancestor in the window prepared in the same view. Handlers record
what happened; then `advance` asks for all that has become possible, so that the order of arrival
does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable

from consensus import changing, normal_case
from consensus.effects import (
    CaughtUp,
    Connected,
    Distrusted,
    Event,
    Executed,
    Now,
    Output,
    Pending,
    Proposed,
    Received,
    Send,
    Signed,
    Tick,
    VotingAllowed,
    VotingStopped,
)
from consensus.messages import (
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
    Vote,
)
from consensus.replica_state import (
    PAUSE_MS,
    START_WAIT_MS,
    STATUS_MS,
    Restored,
    initial_state,
)
from consensus.slot import Proposal
from consensus.status import make_status, on_status
from consensus.view_change import Rules, check_new_view, check_view_change
from ledger.block import Certificate, Header, header_hash


class Replica:
    """One member's (or, with `member` None, a follower's) state machine."""

    def __init__(
        self,
        rules: Rules,
        member: int | None,
        head: Header,
        certificate: Certificate | None,
        restored: Restored,
        now: Now,
        heard: Iterable[int] = (),
    ) -> None:
        """`heard` are members whose STATUS is known from the epoch before."""
        self.state = initial_state(rules, member, head, certificate, restored, now)
        self.state.status_from.update(heard)
        if member is not None:
            self.state.status_from.add(member)
        self._restore(restored, now)

    def step(self, event: Event, now: Now) -> Output:
        """Everything that follows from one event; raises ReplicaBroken if this node must stop."""
        out = Output()
        self._notice_pause(now)
        self._handle(event, out, now)
        self._advance(out, now)
        out.deadline_ms = self._deadline_ms(now)
        return out

    def parent_to_extend(self, now: Now) -> tuple[bytes, Header] | None:
        """Hash and header of the block that this primary may build on now, None if it may not.

        Block 1 waits until all members are connected, after `START_WAIT_MS` for a quorum.
        """
        state = self.state
        if not state.active or state.primary != state.member:
            return None
        height = max(state.height, state.derived_top) + 1
        while height in state.slots and state.slots[height].proposal is not None:
            height += 1
        allowed = (
            height in state.heights_open
            and state.may_vote(height)
            and (state.height > 0 or self._may_start(now))
        )
        return state.parent_of(height) if allowed else None

    def heartbeat_due(self, now: Now) -> bool:
        """Whether the primary should extend the chain although nothing is pending.

        Never while a block is in flight: one proves as well as four that the chain lives.
        """
        state = self.state
        below = state.slots.get(state.height + 1)
        if below is not None and below.proposal is not None:
            return False
        return state.height == 0 or now.monotonic_ms >= self._heartbeat_ms()

    def _notice_pause(self, now: Now) -> None:
        """Who stood still has read nothing meanwhile, and must not take its own silence for that of
        the primary."""
        state = self.state
        if now.monotonic_ms > state.stepped_ms + PAUSE_MS:
            state.awake_ms = now.monotonic_ms
        state.stepped_ms = now.monotonic_ms

    def _handle(self, event: Event, out: Output, now: Now) -> None:
        state = self.state
        match event:
            case Received():
                self._on_message(event, out, now)
            case Signed():
                self._on_signed(event, out, now)
            case Executed():
                normal_case.on_executed(state, event)
            case Proposed():
                normal_case.on_proposed(state, event)
            case CaughtUp(header, certificate):
                if header.height > state.height:
                    state.commit(header, certificate, now)
                    if state.target is None:  # at the tip: hear at once what is in flight
                        state.next_status_ms = now.monotonic_ms
            case Connected(members):
                self._on_connected(members, now)
            case Pending(since_ms):
                state.pending_since_ms = since_ms
            case Distrusted(why):
                state.distrust = why
            case VotingAllowed(above_height, view_min):
                state.voting = True
                state.vote_above = above_height
                state.vote_view_min = view_min
            case VotingStopped():
                state.voting = False
            case Tick():
                pass

    def _on_message(self, event: Received, out: Output, now: Now) -> None:
        state, sender = self.state, event.sender
        match event.message:
            case PrePrepare() as message:
                normal_case.on_pre_prepare(state, sender, message, out)
            case Prepare() | Commit() as message:
                normal_case.on_vote(state, sender, message, out)
            case Suspect() as message:
                changing.on_suspect(state, sender, message, now)
            case ViewChange() as message:
                changing.on_view_change(state, sender, message, out, now)
            case NewView() as message:
                changing.on_new_view(state, sender, message, out, now)
            case Status() as message:
                on_status(state, sender, message, out, now)

    def _on_signed(self, event: Signed, out: Output, now: Now) -> None:
        state = self.state
        match event.message:
            case ViewChange() as message:
                changing.on_own_view_change(state, message, out)
            case NewView() as message:
                changing.on_own_new_view(state, message, out, now)
            case Prepare() | Commit() as vote:
                normal_case.on_own_vote(state, vote)
                self._send_vote(vote, out)

    def _send_vote(self, vote: Vote, out: Output) -> None:
        state = self.state
        if vote.view != state.view:
            return
        if normal_case.is_proposal_vote(state, vote):
            proposal = state.slots[vote.height].proposal
            assert proposal is not None
            leaves = proposal.leaves or ()
            out.send.append(Send(PrePrepare(vote.view, proposal.header, leaves, vote.signature)))
        else:
            out.send.append(Send(vote))

    def _advance(self, out: Output, now: Now) -> None:
        state = self.state
        changing.advance_view(state, out, now)
        normal_case.advance(state, out, now)
        while state.unpark_due:
            self._unpark(out, now)
            normal_case.advance(state, out, now)
        if now.monotonic_ms >= state.next_status_ms:
            state.next_status_ms = now.monotonic_ms + STATUS_MS
            out.send.append(Send(make_status(state)))

    def _unpark(self, out: Output, now: Now) -> None:
        """Give parked messages that fit the present view to their handlers, lowest first."""
        state = self.state
        state.unpark_due = False
        if not state.active:
            return
        ready = sorted(key for key in state.parked if key[1] <= state.view)
        for key in sorted(ready, key=lambda item: (item[1], item[2], item[3], item[0])):
            message = state.parked.pop(key)
            self._on_message(Received(key[0], message), out, now)

    def _on_connected(self, members: frozenset[int], now: Now) -> None:
        state = self.state
        regained = len(state.connected) < state.quorum <= len(members)
        if members - state.connected:
            state.next_status_ms = now.monotonic_ms  # whoever is new hears at once where we stand
        state.connected = members
        if regained:
            state.failed_views = 0
            state.progress_ms = now.monotonic_ms

    def _may_start(self, now: Now) -> bool:
        """Enough members are linked and have heard a quorum.

        A guard with a fresh log must hear a quorum before there is a block: afterwards it could not
        know whether it ever voted.
        """
        state = self.state
        waited = now.monotonic_ms >= state.started_ms + START_WAIT_MS
        needed = state.quorum if waited else state.rules.validators.n
        heard_by = {member: heard.bit_count() for member, heard in state.heard_by.items()}
        if state.member is not None:
            heard_by[state.member] = len(state.status_from)
        ready = [member for member in state.connected if heard_by.get(member, 0) >= state.quorum]
        return len(ready) >= needed

    def _heartbeat_ms(self) -> int:
        return self.state.progress_ms + self.state.rules.timing.heartbeat_ms

    def _deadline_ms(self, now: Now) -> int:
        state = self.state
        suspicion = max(changing.suspicion_ms(state), state.next_suspect_ms)
        due = state.next_status_ms
        if now.monotonic_ms < suspicion < due:
            due = suspicion
        if now.monotonic_ms < state.next_catch_up_ms < due:
            due = state.next_catch_up_ms
        if state.primary == state.member and now.monotonic_ms < self._heartbeat_ms() < due:
            due = self._heartbeat_ms()
        return due

    def _restore(self, restored: Restored, now: Now) -> None:
        """Take up what the guard's log holds for the view in which this member last voted."""
        state = self.state
        if state.member is None:
            return
        own = restored.view_change
        if own is not None and own.body.view == state.view:
            state.view_changes[state.member] = check_view_change(own, state.rules)
        if restored.new_view is not None and restored.new_view.body.view == state.view:
            derived = check_new_view(restored.new_view, state.rules, {})
            changing.resume_view(state, restored.new_view, derived, now)
        for header, leaves in restored.proposals:
            if header.height in state.heights_open and state.slot(header.height).proposal is None:
                state.slot(header.height).proposal = Proposal(
                    header, header_hash(header), leaves, (), derived=False
                )
