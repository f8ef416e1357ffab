"""STATUS: say where we stand every second; send again what a peer says it lacks.

This one exchange repairs every loss. Each member sends again its own messages of the current
view, byte for byte; whoever holds a NEW-VIEW passes it on; the certificate of the last commit
lets a laggard decide or catch up. At most one answer a peer each `ANSWER_MS`.
"""

from __future__ import annotations

from consensus.effects import Now, Output, Send
from consensus.messages import Held, Message, PrePrepare, Status
from consensus.normal_case import is_proposal_vote
from consensus.replica_state import ReplicaState
from consensus.slot import Slot
from ledger.block import PREPARE
from ledger.reasons import Invalid

ANSWER_MS = 500


def make_status(state: ReplicaState) -> Status:
    """What this replica holds, in a form that fits one frame whatever happened before."""
    certificate = state.committed_certificate
    view_changes = sum(
        1 << member
        for member, checked in state.view_changes.items()
        if checked.message.body.view == state.view
    )
    return Status(
        epoch=state.rules.epoch,
        view=state.view,
        active=int(state.active),
        height=state.height,
        heard=sum(1 << member for member in state.status_from),
        certificate=() if certificate is None else (certificate,),
        held=tuple([_held(state, height) for height in state.heights_open]),
        view_changes=view_changes,
        votes=tuple([state.marks[member] for member in sorted(state.marks)]),
    )


def on_status(state: ReplicaState, sender: int, status: Status, out: Output, now: Now) -> None:
    """Learn from a peer's STATUS; send it what it lacks of ours."""
    if status.epoch != state.rules.epoch:
        return
    try:
        is_proved = _learn_height(state, status)
    except Invalid:
        out.liars.append(sender)
        return
    if is_proved:
        if state.height == 0 and sender not in state.status_from:
            state.next_status_ms = now.monotonic_ms  # the first block waits for this news
        state.status_from.add(sender)
        state.heard_by[sender] = status.heard
    last_ms = state.answered_ms.get(sender)
    if last_ms is not None and now.monotonic_ms < last_ms + ANSWER_MS:
        return
    lacking = _lacking(state, status)
    if lacking:
        state.answered_ms[sender] = now.monotonic_ms
    out.send.extend([Send(message, sender) for message in lacking])


def _learn_height(state: ReplicaState, status: Status) -> bool:
    """A height counts only with its certificate; False where the claim comes without one of it.
    Raises Invalid for one that does not hold."""
    if not status.certificate:
        return status.height == 0
    certificate = status.certificate[0]
    if certificate.height != status.height:
        return False
    if certificate.height <= state.known_height and certificate.height not in state.heights_open:
        return True
    if certificate.height not in state.certified:
        state.rules.check_final(certificate)
        state.learn_certificate(certificate)
    return True


def _lacking(state: ReplicaState, status: Status) -> list[Message]:
    if state.member is None or status.view > state.view:
        return []
    behind = status.view < state.view
    if behind or not status.active:
        if state.new_view is not None:
            return [state.new_view]
        own = state.view_changes.get(state.member)
        waits_for_ours = behind or not status.view_changes >> state.member & 1
        if own is not None and own.message.body.view == state.view and waits_for_ours:
            return [own.message]
        return []
    messages: list[Message] = []
    for held in status.held:
        slot = state.slots.get(held.height)
        if slot is not None:
            messages.extend(_lacking_votes(state, state.member, slot, held))
    return messages


def _lacking_votes(state: ReplicaState, member: int, slot: Slot, held: Held) -> list[Message]:
    messages: list[Message] = []
    for vote in slot.own_votes(member):
        has = held.prepares if vote.phase == PREPARE else held.commits
        has_vote = bool(has >> member & 1)
        if is_proposal_vote(state, vote):
            if slot.proposal is not None and not (held.proposal and has_vote):
                leaves = slot.proposal.leaves or ()
                messages.append(PrePrepare(vote.view, slot.proposal.header, leaves, vote.signature))
        elif not has_vote:
            messages.append(vote)
    return messages


def _held(state: ReplicaState, height: int) -> Held:
    slot = state.slots.get(height)
    if slot is None:
        return Held(height, 0, 0, 0)
    proposed = slot.proposal is not None
    return Held(height, int(proposed), slot.prepares.bitmap(), slot.commits.bitmap())
