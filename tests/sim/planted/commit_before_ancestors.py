"""COMMIT is signed for a prepared block whose ancestors are not prepared in this view.

Had by: Indy Plenum (`_can_commit`), where only execution in order hides it: the certificate of
the upper block can be for one that the next view discards.
"""

from __future__ import annotations

from consensus.effects import Now, Output
from consensus.normal_case import _ask_votes as _right
from consensus.replica_state import ReplicaState
from consensus.slot import Proposal, Slot
from tests.sim.planted_focus import four_in_flight
from tests.sim.planting import Planted


def _ask_votes(
    state: ReplicaState,
    slot: Slot,
    proposal: Proposal,
    may_commit: bool,
    out: Output,
    now: Now,
) -> None:
    _right(state, slot, proposal, slot.prepared_hash(state.quorum) is not None, out, now)


PLANTED = Planted(
    target="consensus.normal_case:_ask_votes",
    wrong=_ask_votes,
    checkers=("CommitTooEarly", "agreement", "LockedBlock"),
    focus=four_in_flight,
)
