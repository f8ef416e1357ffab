"""Changing the view: suspect first, leave only with f + 1, enter only with q.

A replica that suspects its primary says so and goes on voting. It leaves the view when f + 1
members (itself included) suspect or have left, so that one of them is honest; then it votes no
more until a NEW-VIEW proves, with q VIEW-CHANGEs, what the new view begins with. One latest
SUSPECT and VIEW-CHANGE of each member are kept.

Timers after Castro and Liskov, section 4.5.2: T starts when q VIEW-CHANGEs are held, doubles for
each view that fails and, unlike theirs, stops doubling (a network that was down for an hour must
not need another hour to recover).
"""

from __future__ import annotations

from consensus.effects import Now, Output, Send
from consensus.messages import (
    NewView,
    NewViewBody,
    Suspect,
    ViewChange,
    ViewChangeBody,
)
from consensus.replica_state import (
    START_WAIT_MS,
    STATUS_MS,
    SUSPECT_LIFE_MS,
    ReplicaState,
)
from consensus.slot import Proposal
from consensus.view_change import (
    CheckedViewChange,
    Derived,
    check_new_view,
    check_view_change,
)
from ledger.reasons import Invalid


def on_suspect(state: ReplicaState, sender: int, message: Suspect, now: Now) -> None:
    """Kept for `SUSPECT_LIFE_MS` from receipt; only the latest of each member counts."""
    if message.epoch == state.rules.epoch and message.view > state.view:
        state.suspects[sender] = (message, now.monotonic_ms)


VIEW_CHANGE_MS = 100
VIEW_CHANGES_AT_ONCE = 4
"""How many VIEW-CHANGEs of one member are looked at in one go, and after how long one more: each
holds certificates to verify, and its sender may name a higher view as often as it likes. Who means
one that was not looked at says it again when it hears a STATUS."""


def on_view_change(
    state: ReplicaState, sender: int, message: ViewChange, out: Output, now: Now
) -> None:
    """Kept when its signer sent it, for this view or a later one, and its proofs hold."""
    body = message.body
    held = state.view_changes.get(sender)
    if body.signer != sender or body.view < state.view or body.epoch != state.rules.epoch:
        return
    if held is not None and held.message.body.view >= body.view:
        return
    booked_ms = max(state.view_changes_booked_ms.get(sender, 0), now.monotonic_ms)
    if booked_ms >= now.monotonic_ms + VIEW_CHANGES_AT_ONCE * VIEW_CHANGE_MS:
        return
    state.view_changes_booked_ms[sender] = booked_ms + VIEW_CHANGE_MS
    try:
        state.view_changes[sender] = check_view_change(message, state.rules)
    except Invalid:
        out.liars.append(sender)


def on_new_view(state: ReplicaState, sender: int, message: NewView, out: Output, now: Now) -> None:
    """Entered when it proves a later view, or the view that this replica waits for.

    Whoever passes one on has checked it.
    """
    body = message.body
    if body.view < state.view or (body.view == state.view and state.active):
        return
    if body.epoch != state.rules.epoch:
        return
    try:
        derived = check_new_view(message, state.rules, state.view_changes)
    except Invalid:
        out.liars.append(sender)
        return
    resume_view(state, message, derived, now)


def resume_view(state: ReplicaState, message: NewView, derived: Derived, now: Now) -> None:
    """Vote in the view that a checked NEW-VIEW proves, beginning with what it derives."""
    state.enter_view(message, derived.top, now)
    _install(state, derived)


def on_own_view_change(state: ReplicaState, message: ViewChange, out: Output) -> None:
    """Our VIEW-CHANGE came back signed and logged."""
    assert state.member is not None
    if message.body.view >= state.view:
        state.view_changes[state.member] = check_view_change(message, state.rules)
    out.send.append(Send(message))


def on_own_new_view(state: ReplicaState, message: NewView, out: Output, now: Now) -> None:
    """Our NEW-VIEW came back signed and logged: send it, and obey it like everyone."""
    assert state.member is not None
    out.send.append(Send(message))
    on_new_view(state, state.member, message, out, now)


def advance_view(state: ReplicaState, out: Output, now: Now) -> None:
    """Suspect, leave and ask for signatures, whatever has become due."""
    _suspect(state, out, now)
    _join_later_view(state, now)
    if state.active:
        return
    held = _held_for_view(state)
    if len(held) >= state.quorum and state.quorum_ms is None:
        state.quorum_ms = now.monotonic_ms
    if not state.may_vote(state.height + 1) or state.member is None:
        return
    if not state.asked_view_change and state.member not in held:
        state.asked_view_change = True
        out.votes.append(_own_view_change(state, state.member))
    enough = len(held) >= state.quorum and state.member in held
    if state.primary == state.member and enough and not state.asked_new_view:
        state.asked_new_view = True
        chosen = tuple(held[index].message for index in sorted(held)[: state.quorum])
        out.votes.append(NewViewBody(state.rules.epoch, state.view, chosen, state.member))


def suspicion_ms(state: ReplicaState) -> int:
    """From when on (monotonic) this replica suspects the primary, if nothing happens before."""
    if state.bad_primary or state.distrust:
        return 0
    patience = state.timeout_ms
    if not state.active and state.quorum_ms is not None:
        return max(state.quorum_ms, state.awake_ms) + patience
    idle = state.rules.timing.heartbeat_ms + (START_WAIT_MS if state.height == 0 else 0)
    due = state.progress_ms + idle
    if state.active and state.pending_since_ms is not None:
        waits_for_start = state.height == 0 and len(state.connected) < state.rules.validators.n
        start_ms = state.started_ms + START_WAIT_MS if waits_for_start else 0
        due = min(due, max(state.progress_ms, state.pending_since_ms, start_ms))
    return max(due, state.awake_ms) + patience


def _suspect(state: ReplicaState, out: Output, now: Now) -> None:
    if state.member is None or not state.synced or now.monotonic_ms < suspicion_ms(state):
        return
    if not state.active and state.quorum_ms is None and len(state.connected) < state.quorum:
        return  # Nobody could follow: running ahead alone would only cost views.
    if now.monotonic_ms < state.next_suspect_ms:
        return
    state.next_suspect_ms = now.monotonic_ms + STATUS_MS
    suspect = Suspect(state.rules.epoch, state.view + 1)
    state.suspects[state.member] = (suspect, now.monotonic_ms)
    out.send.append(Send(suspect))


def _join_later_view(state: ReplicaState, now: Now) -> None:
    """f + 1 members are for a later view: go to the smallest of their views."""
    if not state.suspects and not state.view_changes:
        return
    wanted: dict[int, int] = {}
    for member, (suspect, received_ms) in state.suspects.items():
        if suspect.view > state.view and now.monotonic_ms < received_ms + SUSPECT_LIFE_MS:
            wanted[member] = suspect.view
    for member, checked in state.view_changes.items():
        if checked.message.body.view > state.view:
            wanted[member] = max(wanted.get(member, 0), checked.message.body.view)
    if len(wanted) > state.rules.validators.f:
        state.leave_view(min(wanted.values()), now)


def _held_for_view(state: ReplicaState) -> dict[int, CheckedViewChange]:
    return {
        member: checked
        for member, checked in state.view_changes.items()
        if checked.message.body.view == state.view
    }


def _own_view_change(state: ReplicaState, member: int) -> ViewChangeBody:
    certificate = state.committed_certificate
    entries = [state.prepared[height] for height in sorted(state.prepared)]
    return ViewChangeBody(
        epoch=state.rules.epoch,
        view=state.view,
        base=state.committed,
        base_certificate=() if certificate is None else (certificate,),
        entries=tuple(entries[: state.window]),
        signer=member,
    )


def _install(state: ReplicaState, derived: Derived) -> None:
    """The NEW-VIEW is itself the proposal of the heights that it derives."""
    if derived.base_certificate is not None and derived.base.height > state.height:
        state.learn_certificate(derived.base_certificate)
    for entry in derived.proposals:
        if entry.header.height > state.height:
            state.slot(entry.header.height).proposal = Proposal(
                header=entry.header,
                block_hash=entry.certificate.block_hash,
                leaves=None,
                sources=tuple(entry.certificate.signer_indices),
                derived=True,
            )
