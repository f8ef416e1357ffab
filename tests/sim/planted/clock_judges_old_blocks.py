"""A block that a NEW-VIEW proposes again is judged by the wall clock: it has become too old.

Had by: Indy Plenum, whose proposals "with an incorrect time" came in avalanches (indy-node#1582).
"""

from __future__ import annotations

from consensus.effects import Now
from consensus.replica_state import ReplicaState
from consensus.slot import Proposal, Slot
from ledger.block import CLOCK_SKEW_MS_MAX
from tests.sim.planting import Planted


def _is_timely(state: ReplicaState, slot: Slot, proposal: Proposal, now: Now) -> bool:
    return abs(proposal.header.time_ms - now.wall_ms) <= CLOCK_SKEW_MS_MAX


PLANTED = Planted(
    target="consensus.normal_case:_is_timely",
    wrong=_is_timely,
    checkers=("liveness", "views at rest"),
)
