"""The normal case: PRE-PREPARE, execute, PREPARE, COMMIT, decide.

Handlers only record; `advance` then asks, for each open height in order, for whatever has become
possible. So nothing depends on the order in which messages, signatures and results arrive.
"""

from __future__ import annotations

from consensus.effects import (
    CatchUp,
    Decided,
    Execute,
    Executed,
    Now,
    Output,
    Proposed,
    VoteRequest,
)
from consensus.messages import Prepare, PreparedEntry, PrePrepare, Vote, make_vote
from consensus.replica_state import PARK_VIEWS, ReplicaBroken, ReplicaState
from consensus.slot import Proposal, Slot
from ledger.block import (
    CLOCK_SKEW_MS_MAX,
    COMMIT,
    PREPARE,
    Certificate,
    Header,
    header_hash,
    make_certificate,
    vote_hash,
)
from ledger.merkle import remembered_root

CATCH_UP_RETRY_MS = 1_000
CATCH_UP_PATIENCE_MS = 300  # with messages of near heights that wait in queues


def on_pre_prepare(state: ReplicaState, sender: int, message: PrePrepare, out: Output) -> None:
    """A first proposal of the view's primary.

    Accepted when it comes from the primary of the current view, for an open height above the
    heights that the NEW-VIEW derived, names this chain, epoch and set, was built by that primary
    and bears its PREPARE signature. Its vote counts even where the block is known from before a
    restart; a second block is not taken. Parked when early. A header that cannot be right although
    its primary signed it is a cause for suspicion; a list that does not hash to `tx_root` is
    nobody's proof and is dropped, at its sender's cost.
    """
    height = message.header.height
    if message.view < state.view or height <= state.height:
        return
    if not state.active or message.view > state.view or state.parent_of(height) is None:
        state.park(sender, message)
        return
    if height not in state.heights_open:
        state.park(sender, message)
        return
    if sender != state.primary or height <= state.derived_top:
        return
    if not _names_this_chain(state, message.header):
        return
    block_hash = header_hash(message.header)
    slot = state.slot(height)
    known = slot.is_proposed(block_hash)
    if not known and remembered_root(message.leaves) != message.header.tx_root:
        out.liars.append(sender)
        return
    payload = state.payload(PREPARE, height, block_hash)
    if not _count(state, slot, make_vote(payload, sender, message.signature), out):
        return
    if slot.proposal is not None:
        return
    if not _continues_parent(state, message.header):
        state.bad_primary = "a header that does not continue its parent"
        return
    slot.proposal = Proposal(message.header, block_hash, message.leaves, (sender,), derived=False)
    state.unpark_due = True


def on_proposed(state: ReplicaState, event: Proposed) -> None:
    """This node's own block, already executed; ignored if the view moved on meanwhile."""
    height = event.header.height
    parent = state.parent_of(height)
    slot = state.slot(height)
    stale = (
        not state.active
        or state.primary != state.member
        or height not in state.heights_open
        or height <= state.derived_top
        or slot.proposal is not None
        or parent is None
        or parent[0] != event.header.parent_hash
    )
    if stale:
        return
    block_hash = header_hash(event.header)
    state.executed[block_hash] = (event.header, None)
    slot.asked_execution = True
    slot.proposal = Proposal(event.header, block_hash, event.leaves, (), derived=False)


def on_vote(state: ReplicaState, sender: int, vote: Vote, out: Output) -> None:
    """A PREPARE or COMMIT; kept when its signer sent it, in this epoch, near view and height."""
    if vote.signer != sender or vote.epoch != state.rules.epoch or vote.view < state.view:
        return
    if not state.height < vote.height <= state.near_height:
        return
    if vote.view > state.view + PARK_VIEWS:
        return
    if vote.view > state.view or not state.active:
        state.park(sender, vote)
        return
    _count(state, state.slot(vote.height), vote, out)


def on_own_vote(state: ReplicaState, vote: Vote) -> None:
    """Our own vote came back signed; one that the view has left behind is not counted."""
    state.mark(vote)
    if vote.view == state.view and vote.height > state.height:
        state.slot(vote.height).votes(vote.phase).add(vote)


def on_executed(state: ReplicaState, event: Executed) -> None:
    """The result of an execution that `advance` asked for, in this view or an earlier one."""
    if event.header.height <= state.height:
        return
    state.executed[event.block_hash] = (event.header, event.reason)
    slot = state.slots.get(event.header.height)
    if event.reason is not None and slot is not None and slot.is_proposed(event.block_hash):
        state.bad_primary = f"its block fails execution: {event.reason}"


def advance(state: ReplicaState, out: Output, now: Now) -> None:
    """Ask for everything that has become possible, lowest height first."""
    while True:
        _advance_slots(state, out, now)
        if not _decide_next(state, out, now):
            return


def _advance_slots(state: ReplicaState, out: Output, now: Now) -> None:
    # The certificate of each height is logged with its own COMMIT: one that went ahead of those
    # below would leave them out of a VIEW-CHANGE after a crash.
    ancestors_voted = True
    for height in state.heights_open:
        slot = state.slots.get(height)
        if slot is None or slot.proposal is None:
            return
        proposal = slot.proposal
        if not slot.asked_execution:
            slot.asked_execution = True
            if proposal.block_hash not in state.executed:
                out.execute.append(
                    Execute(proposal.block_hash, proposal.header, proposal.leaves, proposal.sources)
                )
        prepared = slot.prepared_hash(state.quorum)
        if prepared is not None:
            _remember_prepared(state, slot, proposal)
        if prepared is not None or proposal.derived:
            _check_executes(state, proposal)
        may_commit = ancestors_voted and prepared is not None
        _ask_votes(state, slot, proposal, may_commit, out, now)
        ancestors_voted = slot.asked_commit


def _ask_votes(
    state: ReplicaState,
    slot: Slot,
    proposal: Proposal,
    may_commit: bool,
    out: Output,
    now: Now,
) -> None:
    height = proposal.header.height
    result = state.executed.get(proposal.block_hash)
    if not state.active or result is None or result[1] is not None or not state.may_vote(height):
        return
    if not slot.asked_prepare and _is_timely(state, slot, proposal, now):
        slot.asked_prepare = True
        out.votes.append(VoteRequest(state.payload(PREPARE, height, proposal.block_hash)))
    if may_commit and not slot.asked_commit:
        slot.asked_commit = True
        payload = state.payload(COMMIT, height, proposal.block_hash)
        out.votes.append(VoteRequest(payload, state.prepared[height]))


def _decide_next(state: ReplicaState, out: Output, now: Now) -> bool:
    height = state.height + 1
    certificate = _certificate_at(state, height)
    if certificate is None:
        if state.target is not None:
            _ask_catch_up(state, state.target, out, now)
        return False
    result = state.executed.get(certificate.block_hash)
    if result is None:
        _ask_catch_up(state, certificate, out, now)
        return False
    header, reason = result
    if reason is not None:
        raise ReplicaBroken(f"a final block fails execution here, height {height}: {reason}")
    if header.parent_hash != state.committed_hash:
        raise ReplicaBroken(f"the final block at height {height} continues another than ours")
    out.decided.append(Decided(header, certificate.block_hash, certificate))
    state.commit(header, certificate, now)
    return True


def _certificate_at(state: ReplicaState, height: int) -> Certificate | None:
    slot = state.slots.get(height)
    if slot is not None:
        block_hash = slot.commits.quorum_hash(state.quorum)
        if block_hash is not None:
            payload = state.payload(COMMIT, height, block_hash)
            return make_certificate(payload, slot.commits.signatures(block_hash, state.quorum))
    return state.certified.get(height)


def _ask_catch_up(state: ReplicaState, certificate: Certificate, out: Output, now: Now) -> None:
    """A final block that this replica has not executed: near ones are mostly on the way.

    A busy member that lags by some heights has their messages in its queues. As long as it commits
    it is left alone: fetching what comes anyway would only make it later.
    """
    near = certificate.height <= state.near_height
    if state.next_catch_up_ms == 0:
        state.next_catch_up_ms = now.monotonic_ms + (CATCH_UP_PATIENCE_MS if near else 0)
    if now.monotonic_ms < state.next_catch_up_ms:
        return
    state.next_catch_up_ms = now.monotonic_ms + CATCH_UP_RETRY_MS
    signers = [index for index in certificate.signer_indices if index != state.member]
    member = signers[(now.monotonic_ms // CATCH_UP_RETRY_MS) % len(signers)]
    out.catch_up.append(CatchUp(member, certificate))


def _check_executes(state: ReplicaState, proposal: Proposal) -> None:
    result = state.executed.get(proposal.block_hash)
    if result is not None and result[1] is not None:
        detail = f"height {proposal.header.height}: {result[1]}"
        raise ReplicaBroken(f"a prepared block fails execution here, {detail}")


def _remember_prepared(state: ReplicaState, slot: Slot, proposal: Proposal) -> None:
    held = state.prepared.get(proposal.header.height)
    if held is not None and held.certificate.view >= state.view:
        return
    payload = state.payload(PREPARE, proposal.header.height, proposal.block_hash)
    signatures = slot.prepares.signatures(proposal.block_hash, state.quorum)
    state.prepared[proposal.header.height] = PreparedEntry(
        proposal.header, make_certificate(payload, signatures)
    )


def _is_timely(state: ReplicaState, slot: Slot, proposal: Proposal, now: Now) -> bool:
    """A first proposal's time is near this clock, or f + 1 members found it near theirs."""
    if proposal.derived or abs(proposal.header.time_ms - now.wall_ms) <= CLOCK_SKEW_MS_MAX:
        return True
    return slot.prepares.count(proposal.block_hash) > state.rules.validators.f


def _names_this_chain(state: ReplicaState, header: Header) -> bool:
    validators = state.rules.validators
    return (
        header.chain_id == state.rules.chain_id
        and header.epoch == state.rules.epoch
        and header.validators_hash == validators.hash
        and header.proposer == validators.members[state.primary].key
    )


def _continues_parent(state: ReplicaState, header: Header) -> bool:
    parent = state.parent_of(header.height)
    return (
        parent is not None
        and header.parent_hash == parent[0]
        and header.time_ms > parent[1].time_ms
    )


def _count(state: ReplicaState, slot: Slot, vote: Vote, out: Output) -> bool:
    """Add a vote after the cheapest checks; True when it is held."""
    votes = slot.votes(vote.phase)
    held = votes.of(vote.signer)
    if held is not None and held.block_hash == vote.block_hash:
        return True
    key = state.rules.validators.members[vote.signer].key
    message = vote_hash(state.rules.chain_id, vote.payload)
    if not state.rules.is_valid(key, message, vote.signature):
        out.liars.append(vote.signer)
        return False
    state.mark(vote)
    first = votes.add(vote)
    if first is None:
        return True
    state.conflict(first, out, vote)
    return False


def is_proposal_vote(state: ReplicaState, vote: Vote) -> bool:
    """Whether our PREPARE travels as a PRE-PREPARE: we are the primary and made the block."""
    slot = state.slots.get(vote.height)
    return (
        isinstance(vote, Prepare)
        and vote.signer == state.primary
        and slot is not None
        and slot.proposal is not None
        and not slot.proposal.derived
    )
